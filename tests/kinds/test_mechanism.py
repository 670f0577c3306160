"""Costs add up, declarations answer, the registry takes a name once."""

from importlib.metadata import EntryPoint

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingqu.kinds import mechanism
from lingqu.kinds.errors import LingquError
from lingqu.kinds.mechanism import Adversary, Cost, Declaration, Operation, Registry, Threat, installed, log2_ceil

COSTS = st.builds(Cost, st.integers(0, 10**6), st.integers(0, 10**12))
THREAT = Threat(Adversary.SEMI_HONEST, 3, 1, "pairwise secure channels")


def declared(name: str, *, ideal: bool = False) -> Declaration:
    multiply = Operation("multiply", lambda sizes: Cost(1, 24 * sizes["rows"]), "a paper, section 1")
    return Declaration(name, "A mechanism", "a paper", THREAT, {"multiply": multiply}, ideal=ideal)


@given(COSTS, COSTS, COSTS)
def test_costs_in_sequence_and_side_by_side(a: Cost, b: Cost, c: Cost) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Cost() == a == a.beside(Cost())
    assert a.beside(b) == b.beside(a)
    assert a.beside(b).beside(c) == a.beside(b.beside(c))
    assert a.beside(b).bytes == (a + b).bytes
    assert a.beside(b).rounds <= (a + b).rounds


@given(COSTS, st.integers(0, 20))
def test_a_product_is_a_repeated_sum(cost: Cost, times: int) -> None:
    total = Cost()
    for _ in range(times):
        total = total + cost
    assert cost * times == total


def test_a_declaration_answers_for_what_it_declares_only() -> None:
    declaration = declared("share.test")
    assert declaration.cost("multiply", {"rows": 5}) == Cost(1, 120)
    with pytest.raises(LingquError, match="'divide'"):
        declaration.cost("divide", {"rows": 5})
    with pytest.raises(LingquError, match="'rows' for 'multiply'"):
        declaration.cost("multiply", {})


def test_a_name_is_registered_once() -> None:
    registry = Registry()
    registry.register(declared("share.test"))
    with pytest.raises(LingquError, match="twice"):
        registry.register(declared("share.test"))
    assert registry.get("share.test").name == "share.test"
    with pytest.raises(LingquError, match=r"Known: share\.test"):
        registry.get("share.other")


def test_ideal_mechanisms_are_no_candidates() -> None:
    registry = Registry()
    registry.register(declared("real"))
    registry.register(declared("twin", ideal=True))
    assert [candidate.name for candidate in registry.candidates("multiply")] == ["real"]
    assert list(registry.candidates("divide")) == []


def test_an_entry_point_that_gives_no_declaration_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def points(group: str) -> list[EntryPoint]:
        return [EntryPoint("broken", "math:pi", group)]

    monkeypatch.setattr(mechanism, "entry_points", points)
    with pytest.raises(LingquError, match="broken"):
        installed()


def test_a_threat_of_several_numbers_of_parties() -> None:
    many = Threat(Adversary.SEMI_HONEST, 3, 2, "channels", most=16)
    assert str(many) == "semi-honest, all but 1 of 3 to 16 parties; channels"
    assert [many.takes(parties) for parties in (2, 3, 16, 17)] == [False, True, True, False]
    assert [THREAT.takes(parties) for parties in (2, 3, 4)] == [False, True, False]
    assert str(many.among(5)) == "semi-honest, 4 of 5 parties; channels"
    assert THREAT.among(3) == THREAT


def test_a_threat_reads_as_a_sentence() -> None:
    assert str(THREAT) == "semi-honest, 1 of 3 parties; pairwise secure channels"


@given(st.integers(0, 2**100))
def test_log2_ceil(value: int) -> None:
    bits = log2_ceil(value)
    assert 2**bits >= value
    assert value < 2 or 2 ** (bits - 1) < value
    assert [log2_ceil(2**60 + more) for more in (-1, 0, 1)] == [60, 60, 61]
