"""The choice among mechanisms, and the sizes of keys and fractions."""

from __future__ import annotations

import pytest

from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.mechanism import Adversary, Cost, Declaration, Operation, Registry, Sizes, Threat
from lingqu.plan.choose import Work, choose, cost
from lingqu.plan.inputs import bound, key_width, literal
from lingqu.plan.plan import Setting

HONEST = Threat(Adversary.SEMI_HONEST, 3, 1, "an assumption")
MALICIOUS = Threat(Adversary.MALICIOUS_ABORT, 3, 1, "an assumption")


def declared(name: str, threat: Threat, size: int, *operations: str) -> Declaration:
    def price(sizes: Sizes) -> Cost:
        return Cost(1, size * sizes["rows"])

    return Declaration(name, name, "a paper", threat, {o: Operation(o, price, "a section") for o in operations})


def setting(adversary: Adversary, *declarations: Declaration) -> Setting:
    registry = Registry()
    for declaration in declarations:
        registry.register(declaration)
    return Setting(("aa-a", "bb-b", "cc-c"), "aa-a", 5, adversary, tuple(registry.declarations), registry)


CHEAP = declared("cheap", HONEST, 1, "sort")
DEAR = declared("dear", MALICIOUS, 9, "sort", "join")
WORK = [Work("sort", {"rows": 1_000_000})]


def test_the_cheapest_that_fits() -> None:
    chosen, why = choose(setting(Adversary.SEMI_HONEST, DEAR, CHEAP), WORK)
    assert chosen is CHEAP
    assert "cheapest of 2" in why
    assert choose(setting(Adversary.MALICIOUS_ABORT, DEAR, CHEAP), WORK)[0] is DEAR
    assert choose(setting(Adversary.SEMI_HONEST, DEAR, CHEAP), [*WORK, Work("join", {"rows": 1})])[0] is DEAR


def test_every_failure_is_named() -> None:
    with pytest.raises(Refused) as caught:
        choose(setting(Adversary.MALICIOUS_ABORT, DEAR, CHEAP), [Work("train", {"rows": 1})])
    assert "cheap: withstands semi-honest parties only" in caught.value.cause
    assert "dear: does not offer train" in caught.value.cause
    assert caught.value.term == "techniques"


def test_costs_add_up() -> None:
    assert cost(DEAR, [Work("sort", {"rows": 2}, times=3), Work("join", {"rows": 1})]) == Cost(4, 63)


@pytest.mark.parametrize(
    ("left", "right", "width"), [(0, 0, 64), (1000, 1000, 64), (40_000, 40_000, 72), (2**60, 2**60, 128)]
)
def test_key_width(left: int, right: int, width: int) -> None:
    assert key_width(left, right) == width


def test_parameters_become_literals_outside_quotes_only() -> None:
    sql = """("$a" = $a) AND (b = '$a''s $b') AND c < $b"""
    assert bound(sql, {"a": "o'k", "b": -2}) == """("$a" = 'o''k') AND (b = '$a''s $b') AND c < (-2)"""
    assert literal(True) == "TRUE"
    assert literal(0.1) == "CAST(0.1 AS DOUBLE)"
    with pytest.raises(BadInput, match=":a has no value"):
        bound("$a", {})


def test_settings_are_checked() -> None:
    registry = Registry()
    with pytest.raises(BadInput, match="minimum group of 1"):
        Setting(("aa-a",), "aa-a", 1, Adversary.SEMI_HONEST, (), registry)
    with pytest.raises(BadInput, match="named twice"):
        Setting(("aa-a", "aa-a"), "aa-a", 2, Adversary.SEMI_HONEST, (), registry)
