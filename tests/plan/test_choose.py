"""The choice among mechanisms, and the sizes of keys and fractions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.mechanism import Adversary, Cost, Declaration, Operation, Registry, Sizes, Threat
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset, Column, ColumnProfile, ColumnType, Grade
from lingqu.plan.choose import Work, choose, cost
from lingqu.plan.draft import Draft
from lingqu.plan.explain import explain_text, weigh
from lingqu.plan.inputs import bound, key_width, literal
from lingqu.plan.plan import Plan, Setting

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


NEEDS = [Work("input", {"rows": 1}), Work("reveal", {"rows": 1})]
PAIR = declared("pair", Threat(Adversary.SEMI_HONEST, 2, 1, "an assumption"), 1, "input", "reveal", "input_outside")
TRIO = declared("trio", HONEST, 1, "input", "reveal")
SAFE = declared("trio.safe", MALICIOUS, 9, "input", "reveal")
MATCH = declared("match", Threat(Adversary.SEMI_HONEST, 2, 1, "an assumption"), 1, "intersect")


@pytest.mark.parametrize(
    ("able", "adversary", "work", "cure"),
    [
        ([PAIR, TRIO, MATCH], Adversary.MALICIOUS_ABORT, NEEDS, "Install a mechanism that withstands malicious"),
        ([PAIR], Adversary.SEMI_HONEST, NEEDS, "Name 2 compute parties for pair."),
        ([TRIO], Adversary.SEMI_HONEST, [*NEEDS, Work("train", {})], "Install a mechanism that offers what is missing"),
    ],
)
def test_a_refusal_says_what_would_help(
    able: list[Declaration], adversary: Adversary, work: list[Work], cure: str
) -> None:
    with pytest.raises(Refused) as caught:
        choose(setting(adversary, *able), work)
    assert caught.value.cure.startswith(cure)
    if MATCH in able:
        assert "pair and trio" not in caught.value.cause
        assert "pair, trio would run this with a weaker promise" in caught.value.cure


def test_malicious_never_falls_back() -> None:
    asked = setting(Adversary.MALICIOUS_ABORT, TRIO, SAFE)
    assert choose(asked, NEEDS)[0] is SAFE
    with pytest.raises(Refused, match=r"trio: withstands semi-honest parties only") as caught:
        choose(replace(asked, techniques=("trio",)), NEEDS)
    assert caught.value.cure == "Agree on a contract that allows trio.safe."
    with pytest.raises(Refused) as caught:
        choose(replace(asked, parties=("aa-a", "bb-b")), NEEDS)
    assert caught.value.cure == "Name 3 compute parties for trio.safe."


def test_mechanisms_are_weighed_over_the_whole_program() -> None:
    asked = setting(Adversary.SEMI_HONEST, SAFE, TRIO, PAIR, MATCH)
    asked = replace(asked, techniques=("trio.safe", "trio", "pair"))  # the kind's frontend says which carry it
    plan = compiled(asked)
    found = weigh(plan, asked, compiled)
    assert [one.mechanism for one in found] == ["trio", "trio.safe", "pair"]
    assert [one.chosen for one in found] == [True, False, False]
    assert found[0].bytes == 2_000
    assert found[1].bytes == 18_000
    assert found[2].seconds is None
    assert found[2].why == "needs 2 compute parties, there are 3"
    text = explain_text(plan, None, found)
    assert "trio (chosen): 2 rounds, 2,000 bytes" in text
    assert "pair (does not fit): needs 2 compute parties, there are 3" in text


def test_declared_effort_weighs_beside_the_messages() -> None:
    slow = replace(TRIO, name="slow", effort=lambda operation, sizes: sizes["rows"] * 1e-3)
    asked = setting(Adversary.SEMI_HONEST, slow, replace(TRIO, name="trim"), SAFE)
    plan = compiled(asked)
    assert {step.mechanism for step in plan.steps} == {"trim"}
    assert all("effort" not in step.model_dump() for step in plan.steps)
    found = {one.mechanism: one.seconds for one in weigh(plan, asked, compiled)}
    assert found["slow"] == pytest.approx((found["trim"] or 0) + 2.0)
    alone = compiled(replace(asked, techniques=("slow",)))
    assert [step.effort for step in alone.steps] == [1.0, 1.0]
    assert "1.00" in explain_text(alone)


def compiled(asked: Setting) -> Plan:
    draft = Draft(asked)
    for operator in ("input", "release"):
        work = [Work("reveal" if operator == "release" else "input", {"rows": 1_000})]
        draft.shared(operator, operator, [], {"owner": "aa-a"}, work, reason="because")
    asset = Asset(
        id="aa-a/table",
        owner="aa-a",
        name="table",
        title="Table",
        version=1,
        grade=Grade.GENERAL,
        columns=(Column(name="n", type=ColumnType.INT, nullable=False),),
        rows=1_000,
        profile={"n": ColumnProfile(nulls=0)},
        registered="2026-01-01T00:00:00Z",
    )
    program = Program(kind="sql", text="SELECT COUNT(*) FROM t")
    return draft.plan(program, {asset.id: asset}, {asset.id: ["n"]}, [], [])


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
