"""Plans: their statements, digests and explanations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from lingqu.kinds.errors import Refused
from lingqu.kinds.mechanism import Adversary
from lingqu.plan import statement
from lingqu.plan.explain import Measured, explain, explain_text
from lingqu.plan.inputs import AlignArguments
from lingqu.plan.plan import Plan

QUERY = (
    "SELECT education, COUNT(*) AS n, AVG(hours) FROM residents r JOIN employment e ON r.id = e.id"
    " WHERE age BETWEEN 20 AND 60 GROUP BY education ORDER BY n LIMIT 3"
)

STATEMENT = """\
big-data learns:
  - civil-affairs/residents has 50 rows (public in the catalogue) [row-count, catalogue]
  - human-resources/employment has 50 rows (public in the catalogue) [row-count, catalogue]
  - the number and width of the values shared [shape, join1]
  - the result rows: r.education, COUNT(*), AVG(hours); for every group of r.education with at least 2 rows \
[result-rows, release]
  - AVG(hours) opens as its sum and its count [result-rows, release]
  - which groups are missing from the result, but not whether they are small or absent [result-rows, release]
  - nothing else
civil-affairs learns:
  - human-resources/employment has 50 rows (public in the catalogue) [row-count, catalogue]
  - the number and width of the values shared [shape, join1]
  - nothing else
human-resources learns:
  - civil-affairs/residents has 50 rows (public in the catalogue) [row-count, catalogue]
  - the number and width of the values shared [shape, join1]
  - nothing else
Nobody learns:
  - any row or single value of civil-affairs/residents
  - any row or single value of human-resources/employment
  - who is in both civil-affairs/residents and human-resources/employment
  - how many are in both civil-affairs/residents and human-resources/employment, beyond the counts in the result rows
  - which rows meet the conditions
  - anything of groups with fewer than 2 rows
  - other aggregates over fewer than 2 non-null values
On this condition:
  - civil-affairs, human-resources, big-data compute on shares. This holds while each of them follows the protocol and \
no two of them pool what they hold; a party that deviates is not noticed (honest majority, private pairwise channels, \
AES-128 as a pseudorandom function)."""


def test_statement(bureaus: Any) -> None:
    assert statement.text(bureaus.compile(QUERY).statement) == STATEMENT


def test_explanation(bureaus: Any) -> None:
    plan = bureaus.compile(QUERY)
    operators = [line.operator for line in explain(plan)]
    assert operators == ["scan", "scan", "align", "group", "seal", "release"]
    reason = explain(plan)[2].reason
    assert "by alignment: share.rep3 looks keys up that stay at their owners" in reason
    assert "2^-40 by 128-bit salted hashes" in reason
    text = explain_text(plan, {"join1": Measured(9, 1234, 0.5)})
    assert "measured" in text
    assert "1234" in text
    assert STATEMENT in text
    assert all(line.rounds > 0 and line.bytes > 0 for line in explain(plan) if line.technique == "share.rep3")


@pytest.mark.parametrize(
    ("selected", "but"),
    [
        ("SUM(r.age)", ""),
        ("MAX(r.age)", ", but for the MIN and MAX in the result rows"),
        (
            "SUM(CASE WHEN r.id = 'p1' THEN r.age ELSE 0 END)",
            ", but for what the expressions inside its aggregates single out",
        ),
        (
            "MIN(r.age), SUM(GREATEST(r.age - 60, 0))",
            ", but for the MIN and MAX in the result rows and what the expressions inside its aggregates single out",
        ),
    ],
)
def test_a_statement_promises_no_more_than_the_aggregates_hold(bureaus: Any, selected: str, but: str) -> None:
    plan = bureaus.compile(f"SELECT {selected} FROM residents r")
    assert f"any row or single value of civil-affairs/residents{but}" in plan.statement.withheld


def test_any_change_changes_the_digest(bureaus: Any) -> None:
    plan = bureaus.compile(QUERY)
    others = [
        bureaus.compile(QUERY.replace("60", "61")),
        bureaus.compile(QUERY, minimum_group=3),
        bureaus.compile(QUERY, recipient="civil-affairs"),
        plan.model_copy(update={"minimum_group": 3}),
        plan.model_copy(update={"steps": (*plan.steps[:-1], plan.steps[-1].model_copy(update={"reason": "x"}))}),
    ]
    assert len({plan.sha256(), *(other.sha256() for other in others)}) == len(others) + 1
    assert bureaus.compile(QUERY) == plan
    assert Plan.parse(plan.canonical()) == plan


def test_every_process_makes_the_same_plan(bureaus: Any) -> None:
    """Hash seeds differ between nodes; plans do not."""
    code = (
        "import json, sys\n"
        "from lingqu.kinds.mechanism import Adversary, installed\n"
        "from lingqu.kinds.programs import Program\n"
        "from lingqu.kinds.schema import Asset\n"
        "from lingqu.plan.plan import Setting\n"
        "from lingqu.sql import FRONTEND\n"
        "told = json.load(sys.stdin)\n"
        "assets = {a['id']: Asset.parse(json.dumps(a)) for a in told['assets']}\n"
        "allowed = ('share.rep3',)\n"
        "setting = Setting(tuple(told['parties']), 'big-data', 2, Adversary.SEMI_HONEST, allowed, installed())\n"
        "print(FRONTEND.compile(Program(kind='sql', text=told['query']), assets, setting).sha256())\n"
    )
    told = {
        "assets": [asset.model_dump(mode="json") for asset in bureaus.assets.values()],
        "parties": bureaus.setting().parties,
        "query": QUERY.replace("WHERE", "WHERE (hours < age OR NOT married) AND"),
    }
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(told),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "77")
    }
    assert digests == {bureaus.compile(told["query"]).sha256() + "\n"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"techniques": ("psi",)}, "not among the techniques"),
        ({"adversary": Adversary.MALICIOUS_ABORT}, "withstands semi-honest parties only"),
        ({"parties": ("civil-affairs", "human-resources"), "recipient": "civil-affairs"}, "needs 3 compute parties"),
        ({"techniques": ("share.plain",)}, "computes in the clear"),
    ],
)
def test_no_mechanism_fits(bureaus: Any, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why) as caught:
        bureaus.compile(QUERY, **changes)
    assert caught.value.term == "techniques"


def test_owners_and_recipients_that_do_not_compute_take_part_from_outside(bureaus: Any) -> None:
    inside = bureaus.compile(QUERY)
    assert inside.outside == ()
    assert "outside" not in inside.canonical().decode()
    plan = bureaus.compile(QUERY, parties=("civil-affairs", "big-data", "third"), copies_to=("somebody", "third"))
    assert plan.outside == ("human-resources", "somebody")
    assert plan.recipients == ("big-data", "somebody", "third")
    assert {"human-resources", "somebody"} <= set(plan.statement.learned)
    steps = {step.id: step for step in plan.steps}
    assert "human-resources" in steps["input1"].parties
    assert set(steps["release"].parties) == set(plan.everyone)
    told = {party for line in plan.statement.learned for party in [line] if _results(plan, party)}
    assert told == {"big-data", "somebody", "third"}
    assert plan.steps[-1].bytes > inside.steps[-1].bytes


def _results(plan: Any, party: str) -> bool:
    return any(line.fact.value == "result-rows" for line in plan.statement.learned[party])


def test_scans_are_over_all_rows_and_read_only_named_columns(bureaus: Any) -> None:
    plan = bureaus.compile(QUERY)
    assert {use.id: use.columns for use in plan.assets} == {
        "civil-affairs/residents": ("id", "education", "age"),
        "human-resources/employment": ("id", "hours"),
    }
    aligned = AlignArguments.parse(json.dumps(plan.step("join1").arguments))
    assert [side.rows.rows for side in (aligned.asker, aligned.keeper)] == [50, 50]
    assert all("WHERE" not in json.dumps(step.arguments) for step in plan.steps)
