"""Intersections over real nodes beyond two tables and the planner's choice: three owners, published tables, curves."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from pyarrow import csv
from tests.node.asking import Asking, command, ended_well, kept, learned, messages, release, until
from tests.node.cluster import BIG, CIVIL, HUMAN, Bureau, Trio, refusal

import lingqu
from lingqu.kinds.errors import BadInput

PURPOSE = "who is in all registers"
ASKING = Asking("intersect", PURPOSE, 5)
FIRST, SECOND, THIRD = "civil-affairs/residents", "human-resources/employment", "big-data/permits"
FEW, VERY_MANY = "civil-affairs/asked", "human-resources/listed"


def register(node: Bureau, table: str, lines: list[str]) -> None:
    """A table at one node, known at once there."""
    source = node.home.path.parent / f"{table}.csv"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    document = {"name": table, "title": table, "source": str(source), "key": ["person_id"]}
    node.call("manager", "POST", "/v1/tables", document)


def known(node: Bureau, table: str, version: int) -> None:
    """Wait until a node's catalogue has a version of a table."""
    pause = threading.Event()
    while (table, version) not in [
        (one["id"], one["version"]) for one in node.call("analyst", "GET", "/v1/catalog")["assets"]
    ]:
        pause.wait(0.1)


@pytest.fixture(scope="module")
def more(trio: Trio) -> Trio:
    """Beside the others a table at the third node (p0030 to p0099), and a small and a larger one."""
    register(trio.big, "permits", ["person_id,kind", *(f"p{i:04d},k{i % 3}" for i in range(30, 100))])
    register(trio.civil, "asked", ["person_id,note", *(f"p{i:04d},n{i}" for i in range(290, 310))])
    register(trio.human, "listed", ["person_id", *(f"p{i:04d}" for i in range(300))])
    for node in (trio.civil, trio.human, trio.big):
        for table in (THIRD, FEW, VERY_MANY):
            known(node, table, 1)
    return trio


def three(**changed: Any) -> dict[str, Any]:
    sides: list[dict[str, Any]] = [{"table": table, "keys": ["person_id"]} for table in (FIRST, SECOND, THIRD)]
    return {"tables": [sides[0] | {"columns": ["age"]}, *sides[1:]], "forms": ["text/1"]} | changed


def against(**changed: Any) -> dict[str, Any]:
    sides = [{"table": FEW, "keys": ["person_id"], "columns": ["note"]}, {"table": VERY_MANY, "keys": ["person_id"]}]
    return {"tables": sides, "forms": ["text/1"], "published": True} | changed


def two(**changed: Any) -> dict[str, Any]:
    sides = [{"table": table, "keys": ["person_id"]} for table in (FIRST, SECOND)]
    return {"tables": sides, "forms": ["text/1"]} | changed


def test_one_of_three_owners_gets_its_rows_that_all_have(more: Trio) -> None:
    nodes = [more.civil, more.human, more.big]
    contract = ASKING.agree(more.civil, nodes[1:], three())
    terms = more.civil.call("analyst", "GET", f"/v1/contracts/{contract}")["terms"]
    assert [party["name"] for party in terms["parties"]] == [CIVIL, HUMAN, BIG]
    assert (terms["recipients"], terms["techniques"]) == ([CIVIL], ["psi.many"])
    facts = learned(more.civil, contract)
    assert "intersection" in facts[CIVIL]
    assert set(facts[HUMAN]) == set(facts[BIG]) == {"row-count", "shape"}
    assert "which of the others have it" in " ".join(terms["statement"]["withheld"])
    assert "no more than two of them pool what they hold" in terms["statement"]["assumes"]
    job = ASKING.run(more, nodes, contract)
    found = release(more.civil, job)
    assert [column["name"] for column in found["columns"]] == ["person_id", "age"]
    assert [tuple(row) for row in found["rows"]] == [(f"p{i:04d}", 20 + i % 40) for i in range(30, 60)]
    for node in (more.human, more.big):
        assert refusal(node, "analyst", "GET", f"/v1/jobs/{job}/result").term == "recipients"
    step, measured = ASKING.declared(more.civil, three()), ASKING.measured(more, job, nodes)
    assert sum(one["bytes"] for one in measured) == step["bytes"]
    assert max(one["rounds"] for one in measured) == step["rounds"]
    keys = [f"p{i:04d}".encode() for i in range(100)]
    for party in (CIVIL, HUMAN, BIG):
        data = messages(more, job, party)
        assert not [key for key in keys if key in data]
    told = [one for one in more.human.call("auditor", "GET", "/v1/ledger")["entries"] if one["body"].get("job") == job]
    assert {"run", "spend"} <= {one["kind"] for one in told}
    assert HUMAN in {one["body"]["party"] for one in told if one["kind"] == "receipt"}


def test_all_owners_may_receive_each_its_own_rows(more: Trio) -> None:
    nodes = [more.big, more.civil, more.human]
    contract = ASKING.agree(more.big, nodes[1:], three(), recipients=[BIG, CIVIL, HUMAN])
    job = ASKING.run(more, nodes, contract)
    keys = [f"p{i:04d}" for i in range(30, 60)]
    assert [row[0] for row in release(more.human, job)["rows"]] == keys
    assert [row[0] for row in release(more.big, job)["rows"]] == keys
    assert [tuple(row) for row in release(more.civil, job)["rows"]] == [
        (f"p{i:04d}", 20 + i % 40) for i in range(30, 60)
    ]


def test_a_table_is_published_once_for_a_contract(more: Trio) -> None:
    nodes = [more.civil, more.human]
    contract = ASKING.agree(more.civil, nodes[1:], against(), uses=3)
    facts = learned(more.civil, contract)
    assert "intersection" in facts[CIVIL]
    assert set(facts[HUMAN]) == {"row-count", "shape"}
    step = ASKING.declared(more.civil, against())
    assert "published once to civil-affairs as tags" in step["reason"]
    key, keys = kept(more.human, contract) / "holder" / "key", [f"p{i:04d}".encode() for i in range(310)]
    sent, secret = [], b""
    for number in range(2):
        job = ASKING.run(more, nodes, contract)
        assert [tuple(row) for row in release(more.civil, job)["rows"]] == [
            (f"p{i:04d}", f"n{i}") for i in range(290, 300)
        ]
        measured = ASKING.measured(more, job, nodes)
        sent.append(sum(one["bytes"] for one in measured))
        assert max(one["rounds"] for one in measured) == step["rounds"]
        said = [messages(more, job, party) for party in (CIVIL, HUMAN)]
        assert not [key for key in keys if any(key in data for data in said)]
        assert number == 0 or key.read_bytes() == secret
        secret = key.read_bytes()
    assert sent[0] == step["bytes"]
    published = (kept(more.civil, contract) / "published" / "tags").stat().st_size
    assert sent[1] == sent[0] - published  # the second run sends no tags again
    assert not (kept(more.civil, contract) / "holder").exists()
    more.human.call("owner", "POST", f"/v1/contracts/{contract}/revoke", {"reason": "no more"})
    until(more.civil, contract, "revoked", threading.Event().wait)
    assert not kept(more.human, contract).exists()


def test_a_client_that_lost_the_tags_gets_them_again(more: Trio) -> None:
    nodes = [more.civil, more.human]
    contract = ASKING.agree(more.civil, nodes[1:], against(), uses=2)
    ASKING.run(more, nodes, contract)
    (kept(more.civil, contract) / "published" / "published.json").write_text("{}")
    (kept(more.human, contract) / "holder" / "holder.json").unlink()
    job = ASKING.run(more, nodes, contract)
    assert len(release(more.civil, job)["rows"]) == 10
    assert (
        sum(one["bytes"] for one in ASKING.measured(more, job, nodes))
        == ASKING.declared(more.civil, against())["bytes"]
    )


def test_a_further_contract_goes_on_with_the_tags_of_an_earlier_one(more: Trio) -> None:
    """Once the large table is registered again with other rows: only what came and went is sent."""
    nodes = [more.civil, more.human]
    register(more.human, "growing", ["person_id", *(f"p{i:04d}" for i in range(300))])
    known(more.civil, "human-resources/growing", 1)
    program = against()
    program["tables"][1]["table"] = "human-resources/growing"
    first = ASKING.agree(more.civil, nodes[1:], program)
    ASKING.run(more, nodes, first)
    register(more.human, "growing", ["person_id", *(f"p{i:04d}" for i in range(5, 303))])
    known(more.civil, "human-resources/growing", 2)
    again = ASKING.agree(more.civil, nodes[1:], program)
    job = ASKING.run(more, nodes, again)
    assert [row[0] for row in release(more.civil, job)["rows"]] == [f"p{i:04d}" for i in range(290, 303)]
    keys = [(kept(more.human, contract) / "holder" / "key").read_bytes() for contract in (first, again)]
    assert keys[0] == keys[1]
    size = (kept(more.civil, again) / "published" / "tags").stat().st_size
    sent = sum(one["bytes"] for one in ASKING.measured(more, job, nodes))
    declared = ASKING.declared(more.civil, program)["bytes"]
    assert declared - size < sent < declared - size / 2
    terms = more.human.call("analyst", "GET", f"/v1/contracts/{again}")["terms"]
    assert any("came and went since" in line["about"] for line in terms["statement"]["learned"][CIVIL])
    more.human.call("owner", "POST", f"/v1/contracts/{first}/revoke", {"reason": "no more"})
    more.human.call("owner", "POST", f"/v1/contracts/{again}/revoke", {"reason": "no more"})
    until(more.civil, again, "revoked", threading.Event().wait)
    until(more.civil, first, "revoked", threading.Event().wait)
    job = ASKING.run(more, nodes, ASKING.agree(more.civil, nodes[1:], program))
    assert sum(one["bytes"] for one in ASKING.measured(more, job, nodes)) == declared  # revoked ones give nothing on


@pytest.mark.parametrize("curve", ["psi.ecdh.p256", "psi.ecdh.sm2"])
def test_a_contract_may_name_its_mechanism(more: Trio, curve: str) -> None:
    program = two(mechanism=curve)
    contract = ASKING.agree(more.civil, [more.human], program)
    terms = more.human.call("analyst", "GET", f"/v1/contracts/{contract}")["terms"]
    assert terms["techniques"] == [curve]
    job = ASKING.run(more, [more.civil, more.human], contract)
    assert len(release(more.civil, job)["rows"]) == 45
    measured, step = ASKING.measured(more, job, [more.civil, more.human]), ASKING.declared(more.civil, program)
    assert sum(one["bytes"] for one in measured) == step["bytes"]
    assert max(one["rounds"] for one in measured) == step["rounds"]


def test_the_planner_takes_no_curve_that_is_not_named(more: Trio) -> None:
    view = ASKING.explained(more.civil, two())
    weighed = {one["mechanism"]: one for one in view["weighed"]}
    assert weighed["psi.ecdh"]["chosen"]
    assert weighed["psi.ecdh.p256"]["seconds"] > weighed["psi.ecdh"]["seconds"]
    assert weighed["psi.many"]["seconds"] is None
    named = {one["mechanism"]: one for one in ASKING.explained(more.civil, two(mechanism="psi.rr22"))["weighed"]}
    assert named["psi.rr22"]["chosen"]
    assert "names psi.rr22" in named["psi.ecdh"]["why"]


@pytest.mark.parametrize(
    ("program", "wanted", "term"),
    [
        (two(mechanism="psi.nothing"), {}, "techniques"),
        (two(mechanism="psi.many"), {}, "techniques"),
        (three(mechanism="psi.rr22"), {}, "techniques"),
        (against(mechanism="psi.rr22"), {}, "techniques"),
        (against(), {"recipients": [CIVIL, HUMAN]}, "recipients"),
        (three(), {"recipients": [CIVIL, HUMAN]}, "recipients"),
        (three(), {"adversary": "malicious-with-abort"}, "techniques"),
        (three(), {"parties": [CIVIL, HUMAN]}, "parties"),
    ],
)
def test_what_cannot_be_proposed_names_its_term(
    more: Trio, program: dict[str, Any], wanted: dict[str, Any], term: str
) -> None:
    ASKING.refused(more.civil, program, term, **wanted)


@pytest.mark.parametrize("program", [three(result="size"), three(published=True), against(result="size")])
def test_a_program_that_does_not_fit_is_no_plan(more: Trio, program: dict[str, Any]) -> None:
    for side in program["tables"]:
        side.pop("columns", None)
    proposed = ASKING.document(program)
    assert isinstance(refusal(more.civil, "analyst", "POST", "/v1/contracts", proposed), BadInput)


def test_in_python_and_on_the_command_line(more: Trio, tmp_path: Path) -> None:
    with lingqu.connect(home=more.civil.home.path) as client:
        every = client.intersect(FIRST, SECOND, THIRD, on="person_id", forms="text/1", purpose=PURPOSE, minimum_group=5)
        assert "all of human-resources/employment and big-data/permits have its key" in every.explain().text
        with pytest.raises(BadInput, match="one column in each of the 3 tables"):
            client.intersect(FIRST, SECOND, THIRD, on=[("person_id", "person_id")], purpose=PURPOSE)
        listed = client.intersect(
            FEW, VERY_MANY, on="person_id", forms="text/1", published=True, purpose=PURPOSE, minimum_group=5
        )
        for asked, others in ((every, (more.human, more.big)), (listed, (more.human,))):
            agreement = asked.propose(title="all registers", uses=1)
            for other in others:
                other.call("owner", "POST", f"/v1/contracts/{agreement.id}/approve", {})
            agreement.wait(timeout=20, every=0.1)
        assert listed.run().to_arrow().to_pydict() == {"person_id": [f"p{i:04d}" for i in range(290, 300)]}
        spec_file, output = tmp_path / "all.json", tmp_path / "all.csv"
        spec_file.write_bytes(every.spec.canonical())
    verb = command(more.civil)
    assert "psi.many" in ended_well(verb("explain", "--intersect", str(spec_file), "--minimum-group", "5"))
    done = verb("intersect", str(spec_file), "--purpose", PURPOSE, "-o", str(output))
    assert done.returncode == 0, done.stderr
    assert csv.read_csv(output).to_pydict() == {"person_id": [f"p{i:04d}" for i in range(30, 60)]}
