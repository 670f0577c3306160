"""Intersections of two organisations' tables over real nodes: results, terms, receipts, traffic."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

import pytest
from pyarrow import csv
from tests.node.asking import Asking, command, ended_well, kept, learned, messages, release, until, without_uses
from tests.node.cluster import BIG, CIVIL, HUMAN, Bureau, Trio, refusal

import lingqu
from lingqu.kinds.errors import BadInput
from lingqu.psi.parts import parted
from lingqu.psi.session import opening_cost

PURPOSE = "who is in both registers"
ASKING = Asking("intersect", PURPOSE, 5)
FIRST, SECOND = "civil-affairs/residents", "human-resources/employment"


def spec(**more: Any) -> dict[str, Any]:
    first = {"table": FIRST, "keys": ["person_id"]} | more.pop("first", {})
    second = {"table": SECOND, "keys": ["person_id"]} | more.pop("second", {})
    return {"tables": [first, second], "forms": ["text/1"]} | more


def agree(trio: Trio, program: dict[str, Any], asker: Bureau | None = None, **more: Any) -> str:
    """A contract in force, proposed by one of the two owners."""
    asker = asker or trio.civil
    return ASKING.agree(asker, [trio.human if asker is trio.civil else trio.civil], program, **more)


def run(trio: Trio, contract: str, asker: Bureau | None = None) -> str:
    """A job that has ended well at both owners."""
    asker = asker or trio.civil
    return ASKING.run(trio, [asker, trio.human if asker is trio.civil else trio.civil], contract)


def test_the_asker_gets_its_own_rows_in_both_and_nobody_else_anything(trio: Trio) -> None:
    contract = agree(trio, spec(first={"columns": ["education", "age"]}))
    terms = trio.civil.call("analyst", "GET", f"/v1/contracts/{contract}")["terms"]
    assert [party["name"] for party in terms["parties"]] == [CIVIL, HUMAN]
    assert terms["recipients"] == [CIVIL]
    facts = learned(trio.civil, contract)
    assert "intersection" in facts[CIVIL]
    assert set(facts[HUMAN]) == {"row-count", "shape"}
    assert any(HUMAN in line for line in terms["statement"]["withheld"])
    job = run(trio, contract)
    found = release(trio.civil, job)
    assert [column["name"] for column in found["columns"]] == ["person_id", "education", "age"]
    levels = ("学士", "Masters", "none")
    assert [tuple(row) for row in found["rows"]] == [(f"p{i:04d}", levels[i % 3], 20 + i % 40) for i in range(15, 60)]
    assert refusal(trio.human, "analyst", "GET", f"/v1/jobs/{job}/result").term == "recipients"


def test_rounds_and_bytes_are_the_declared_ones(trio: Trio) -> None:
    contract = agree(trio, spec())
    step = ASKING.declared(trio.civil, spec())
    job = run(trio, contract)
    measured = ASKING.measured(trio, job, (trio.civil, trio.human))
    assert sum(one["bytes"] for one in measured) == step["bytes"]
    assert max(one["rounds"] for one in measured) == step["rounds"]
    assert [(one["rows"], one["of"]) for one in measured] == [(60, 60), (45, 45)]


def test_both_may_receive_each_its_own_rows(trio: Trio) -> None:
    program = spec(first={"columns": ["age"]}, second={"columns": ["hours"]})
    job = run(trio, agree(trio, program, trio.human, recipients=[HUMAN, CIVIL]), trio.human)
    mine, theirs = release(trio.human, job), release(trio.civil, job)
    assert [tuple(row) for row in mine["rows"]] == [(f"p{i:04d}", 30 + i % 12) for i in range(15, 60)]
    assert [tuple(row) for row in theirs["rows"]] == [(f"p{i:04d}", 20 + i % 40) for i in range(15, 60)]


def test_the_size_alone_and_only_from_the_minimum_on(trio: Trio) -> None:
    job = run(trio, agree(trio, spec(result="size")))
    assert release(trio.civil, job)["rows"] == [[45]]
    few = run(trio, agree(trio, spec(result="size"), minimum_group=46))
    assert release(trio.civil, few)["rows"] == []
    assert "fewer than 46" in release(trio.civil, few)["note"]


def test_against_malicious_parties_with_one_recipient(trio: Trio) -> None:
    contract = agree(trio, spec(), adversary="malicious-with-abort")
    terms = trio.civil.call("analyst", "GET", f"/v1/contracts/{contract}")["terms"]
    assert terms["adversary"] == "malicious-with-abort"
    assert "do instead of following the protocol" in terms["statement"]["assumes"]
    assert len(release(trio.civil, run(trio, contract))["rows"]) == 45
    for program, more in ((spec(result="size"), {}), (spec(), {"recipients": [CIVIL, HUMAN]})):
        ASKING.refused(trio.civil, program, "techniques", adversary="malicious-with-abort", **more)


def test_explanation_names_protocols_parts_and_who_learns_what(trio: Trio) -> None:
    view = ASKING.explained(trio.civil, spec())
    assert "person_id = person_id as text/1" in view["explain"]
    assert (
        "of every row of civil-affairs/residents whether human-resources/employment has its key too" in view["explain"]
    )
    assert {one["mechanism"] for one in view["weighed"]} >= {"psi.ecdh", "psi.rr22"}
    assert "share." not in view["explain"].partition("Mechanisms:")[0]


@pytest.mark.parametrize(
    ("program", "more", "term"),
    [
        (spec(first={"largest": 59}), {}, "set-size"),
        (spec(second={"largest": 10}), {}, "set-size"),
        (spec(), {"recipients": [CIVIL, BIG]}, "recipients"),
        (spec(), {"parties": [CIVIL, BIG]}, "parties"),
        (spec(), {"adversary": "malicious-with-abort", "parties": [CIVIL, HUMAN, BIG]}, "parties"),
    ],
)
def test_what_cannot_be_proposed_names_its_term(
    trio: Trio, program: dict[str, Any], more: dict[str, Any], term: str
) -> None:
    ASKING.refused(trio.civil, program, term, **more)


@pytest.mark.parametrize(
    "program",
    [
        spec(forms=["nonsense/1"]),
        spec(first={"keys": ["nobody"]}),
        spec(first={"columns": ["nothing"]}),
        spec(second={"columns": ["hours"]}),
        spec(first={"table": SECOND}),
        spec(first={"table": "civil-affairs/unknown"}),
    ],
)
def test_a_program_that_does_not_fit_is_no_plan(trio: Trio, program: dict[str, Any]) -> None:
    assert isinstance(refusal(trio.civil, "analyst", "POST", "/v1/contracts", ASKING.document(program)), BadInput)


def test_who_owns_neither_table_cannot_ask(trio: Trio) -> None:
    error = refusal(trio.big, "analyst", "POST", "/v1/contracts", ASKING.document(spec()))
    assert error.term == "recipients"
    assert "owns neither table" in error.cause


def test_uses_other_purposes_and_revocation_stop_it(trio: Trio) -> None:
    contract = agree(trio, spec())
    other = {"contract": contract, "purpose": "something else"}
    assert refusal(trio.civil, "analyst", "POST", "/v1/jobs", other).term == "purpose"
    run(trio, contract)
    again = {"contract": contract, "purpose": PURPOSE}
    assert refusal(trio.civil, "analyst", "POST", "/v1/jobs", again).term == "uses"
    revoked = agree(trio, spec(), uses=3)
    trio.human.call("owner", "POST", f"/v1/contracts/{revoked}/revoke", {"reason": "no more"})
    until(trio.civil, revoked, "revoked", threading.Event().wait)
    assert refusal(trio.civil, "analyst", "POST", "/v1/jobs", again | {"contract": revoked}).term == "revoked"


def test_the_workers_messages_hold_no_key(trio: Trio) -> None:
    """Nor a hash of one that anybody could make, nor any other value of the tables."""
    contract = agree(trio, spec(first={"columns": ["education"]}))
    job = run(trio, contract)
    keys = [f"p{i:04d}".encode() for i in range(60)]
    secret = [*keys, "学士".encode(), *(hashlib.sha256(key).digest()[:8] for key in keys)]
    for party in (CIVIL, HUMAN):
        data = messages(trio, job, party)
        assert len(data) > 1_000
        assert not [one for one in secret if one in data]
        assert [one for one in secret if one in data + keys[7]] == [keys[7]]
    for node in (trio.civil, trio.human):
        assert not list(kept(node, contract).glob("*/*"))


def test_in_python_and_on_the_command_line(trio: Trio, tmp_path: Path) -> None:
    with lingqu.connect(home=trio.civil.home.path) as client:
        both = client.intersect(
            FIRST,
            SECOND,
            on="person_id",
            forms="text/1",
            columns={FIRST: ["age"]},
            largest=1000,
            purpose=PURPOSE,
            minimum_group=5,
        )
        assert "has its key too" in both.explain().text
        agreement = both.propose(title="both registers", uses=2)
        trio.human.call("owner", "POST", f"/v1/contracts/{agreement.id}/approve", {})
        agreement.wait(timeout=20, every=0.1)
        rows: list[tuple[int, int]] = []
        result = both.run(progress=lambda job: rows.extend((step.rows, step.of) for step in job.steps))
        expected = {"person_id": [f"p{i:04d}" for i in range(15, 60)], "age": [20 + i % 40 for i in range(15, 60)]}
        assert result.to_arrow().to_pydict() == expected
        assert (60, 60) in rows
        spec_file = tmp_path / "both.json"
        spec_file.write_bytes(both.spec.canonical())
    verb = command(trio.civil)
    assert "Who learns what" in ended_well(verb("explain", "--intersect", str(spec_file), "--minimum-group", "5"))
    output = tmp_path / "both.csv"
    run_once = verb("intersect", str(spec_file), "--purpose", PURPOSE, "-o", str(output))
    assert run_once.returncode == 0, run_once.stderr
    assert csv.read_csv(output).to_pydict() == expected
    without_uses(verb("intersect", str(spec_file), "--purpose", PURPOSE))


@pytest.fixture(scope="module")
def many(trio: Trio) -> dict[str, Any]:
    """A program over two larger tables, in 94 parts."""
    people = [f"q{i:05d}" for i in range(2_000)]
    for node, table, keys in ((trio.civil, "many", people[:1500]), (trio.human, "more", people[500:])):
        source = trio.root / f"{table}.csv"
        source.write_text("\n".join(["person_id", *keys]) + "\n")
        document = {"name": table, "title": table, "source": str(source), "key": ["person_id"]}
        node.call("manager", "POST", "/v1/tables", document)
    pause = threading.Event()
    for node, table in ((trio.civil, f"{HUMAN}/more"), (trio.human, f"{CIVIL}/many")):
        while table not in [one["id"] for one in node.call("analyst", "GET", "/v1/catalog")["assets"]]:
            pause.wait(0.1)
    return spec(first={"table": f"{CIVIL}/many"}, second={"table": f"{HUMAN}/more"}, part=16)


@pytest.mark.parametrize("victim", [CIVIL, HUMAN])
def test_the_run_after_a_kill_does_the_rest(trio: Trio, many: dict[str, Any], victim: str) -> None:
    contract = agree(trio, many, uses=9)
    assert any(
        ASKING.killed(trio, [trio.civil, trio.human], contract, trio.nodes[victim]) == "failed" for _ in range(5)
    ), "no kill met a run under way"
    folders = [kept(node, contract) for node in (trio.civil, trio.human)]
    done = [{path.name for path in (folder / "intersect").glob("done-??????")} for folder in folders]
    assert done[0] & done[1]
    assert len(done[0] ^ done[1]) <= 1
    job = run(trio, contract)
    assert [row[0] for row in release(trio.civil, job)["rows"]] == [f"q{i:05d}" for i in range(500, 1500)]
    sent = sum(one["bytes"] for one in ASKING.measured(trio, job, (trio.civil, trio.human)))
    plan = trio.civil.call("analyst", "GET", f"/v1/jobs/{job}/plan")
    declared = next(step["bytes"] for step in plan["steps"] if step["id"] == "intersect")
    parts = parted((1500, 1500), most=16)
    opening = opening_cost(parts).bytes
    missing = parts.count - len(done[0] & done[1])
    assert sent == opening + (declared - opening) // parts.count * missing
    assert not [path for folder in folders for path in folder.glob("*/*")]
