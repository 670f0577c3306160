"""Private lookups over real nodes: answers, terms, receipts, traffic, what is kept and what goes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from pyarrow import csv
from tests.node.asking import Asking, command, ended_well, kept, learned, messages, release, until, without_uses
from tests.node.cluster import BIG, CIVIL, HUMAN, Trio, refusal

import lingqu
from lingqu.kinds.errors import BadInput

PURPOSE = "is this person registered"
ASKING = Asking("lookup", PURPOSE, 2)
TABLE = "civil-affairs/residents"
LEVELS = ("学士", "Masters", "none")


def spec(**more: Any) -> dict[str, Any]:
    return {"table": TABLE, "keys": ["person_id"], "forms": ["text/1"], "columns": ["education", "age"]} | more


def agree(trio: Trio, program: dict[str, Any], **more: Any) -> str:
    """A contract in force, proposed by an organisation that has no table."""
    return ASKING.agree(trio.big, [trio.civil], program, **more)


def order(contract: str, keys: list[str | None]) -> dict[str, Any]:
    return ASKING.order(contract, {"person_id": keys})


def run(trio: Trio, contract: str, keys: list[str | None]) -> str:
    """A job that has ended well at both."""
    return ASKING.run(trio, [trio.big, trio.civil], contract, {"person_id": keys})


def test_the_asker_gets_the_rows_of_its_keys_and_the_owner_nothing(trio: Trio) -> None:
    contract = agree(trio, spec(), uses=2)
    terms = trio.big.call("analyst", "GET", f"/v1/contracts/{contract}")["terms"]
    assert [party["name"] for party in terms["parties"]] == [BIG, CIVIL]
    assert (terms["recipients"], terms["owners"]) == ([BIG], [CIVIL])
    facts = learned(trio.big, contract)
    assert "result-rows" in facts[BIG]
    assert set(facts[CIVIL]) == {"row-count", "shape"}
    assert any(f"{CIVIL} learns neither" in line for line in terms["statement"]["withheld"])
    job = run(trio, contract, ["p0007", " P0008", None, "nobody", "p0007"])
    found = release(trio.big, job)
    assert [column["name"] for column in found["columns"]] == ["person_id", "found", "education", "age"]
    assert found["rows"] == [
        ["p0007", True, LEVELS[1], 27],
        [" P0008", True, LEVELS[2], 28],
        [None, False, None, None],
        ["nobody", False, None, None],
        ["p0007", True, LEVELS[1], 27],
    ]
    assert refusal(trio.civil, "analyst", "GET", f"/v1/jobs/{job}/result").term == "recipients"
    assert not list(trio.big.home.jobs.glob("**/given.json"))
    for node in (trio.big, trio.civil):
        assert trio.ended(job, node)["contract"] == contract


def test_the_first_run_costs_what_is_declared_and_later_ones_need_no_hint(trio: Trio) -> None:
    contract = agree(trio, spec(queries=3), uses=2)
    step = ASKING.declared(trio.big, spec(queries=3))
    bytes_of = []
    for keys in (["p0001"], ["p0002", "nobody", "p0003"]):
        job = run(trio, contract, list(keys))
        measured = ASKING.measured(trio, job, (trio.big, trio.civil))
        bytes_of.append(sum(one["bytes"] for one in measured))
        assert max(one["rounds"] for one in measured) == step["rounds"]
    assert bytes_of[0] == step["bytes"]
    assert bytes_of[1] < step["bytes"] / 4


def test_the_transcript_does_not_depend_on_the_keys(trio: Trio) -> None:
    """Not on their number, nor on whether they are there; and no message holds one, or a value."""
    shapes = []
    for keys in (["p0001"], ["nobody", "p0033", "p0001"]):
        job = run(trio, agree(trio, spec()), list(keys))
        steps = ASKING.measured(trio, job, (trio.big, trio.civil))
        shapes.append([(one["bytes"], one["rounds"]) for one in steps])
        data = {party: messages(trio, job, party) for party in (BIG, CIVIL)}
        for party in (BIG, CIVIL):
            assert not [
                one for one in (b"p0001", b"p0033", b"nobody", "学士".encode(), b"Masters") if one in data[party]
            ]
            assert b"p0001" in data[party] + b"p0001"
    assert shapes[0] == shapes[1]


def test_what_is_prepared_is_kept_for_the_contract_and_goes_with_it(trio: Trio) -> None:
    contract = agree(trio, spec(), uses=5)
    run(trio, contract, ["p0001"])
    folders = {node.name: kept(node, contract) for node in (trio.big, trio.civil)}
    key = folders[CIVIL] / "table" / "key"
    before = key.read_bytes()
    assert (folders[BIG] / "hint").exists()
    assert not (folders[BIG] / "table").exists()
    run(trio, contract, ["p0002"])
    assert key.read_bytes() == before
    trio.civil.call("owner", "POST", f"/v1/contracts/{contract}/revoke", {"reason": "no more"})
    until(trio.big, contract, "revoked", threading.Event().wait)
    assert refusal(trio.big, "analyst", "POST", "/v1/jobs", order(contract, ["p0001"])).term == "revoked"


@pytest.mark.parametrize(
    ("program", "more", "term"),
    [
        (spec(largest=59), {}, "set-size"),
        (spec(), {"recipients": [BIG, CIVIL]}, "recipients"),
        (spec(), {"parties": [BIG, HUMAN]}, "parties"),
        (spec(), {"adversary": "malicious-with-abort"}, "techniques"),
    ],
)
def test_what_cannot_be_proposed_names_its_term(
    trio: Trio, program: dict[str, Any], more: dict[str, Any], term: str
) -> None:
    ASKING.refused(trio.big, program, term, **more)


@pytest.mark.parametrize(
    "program",
    [
        spec(forms=["nonsense/1"]),
        spec(keys=["nobody"]),
        spec(keys=["education"], columns=["age"]),
        spec(columns=["nothing"]),
        spec(table="civil-affairs/unknown"),
        spec(queries=0),
        spec(width=2000),
    ],
)
def test_a_program_that_does_not_fit_is_no_plan(trio: Trio, program: dict[str, Any]) -> None:
    assert isinstance(refusal(trio.big, "analyst", "POST", "/v1/contracts", ASKING.document(program)), BadInput)


def test_an_owner_does_not_look_up_its_own_table(trio: Trio) -> None:
    error = refusal(trio.civil, "analyst", "POST", "/v1/contracts", ASKING.document(spec()))
    assert "own database" in error.cure


@pytest.mark.parametrize(
    ("given", "program", "cause"),
    [
        (None, spec(), "needs keys"),
        ({"person_id": ["p"] * 17}, spec(), "17 keys were given"),
        ({"person_id": [3]}, spec(), "not of its type"),
        ({"name": ["p0001"]}, spec(), "Keys of name"),
        ({"person_id": ["p0001"]}, spec(forms=["identity/1"]), "not in its form"),
        ({"person_id": ["p0001"]}, spec(width=10), "more than the agreed 10 bytes"),
    ],
)
def test_keys_that_do_not_fit_end_the_run_and_cost_no_use(
    trio: Trio, given: dict[str, Any] | None, program: dict[str, Any], cause: str
) -> None:
    contract = agree(trio, program)
    document = order(contract, []) | {"given": None if given is None else {"columns": given}}
    job = trio.big.call("analyst", "POST", "/v1/jobs", document)["id"]
    view = trio.ended(job, trio.big)
    assert cause in view["error"]["cause"]
    assert trio.big.call("analyst", "GET", f"/v1/contracts/{contract}")["spent"] == 0


def test_runs_of_a_day_are_limited_at_every_node(trio: Trio) -> None:
    contract = agree(trio, spec(queries=1), uses=5, daily=1)
    job = trio.big.call("analyst", "POST", "/v1/jobs", order(contract, ["p0001", "p0002"]))["id"]
    assert "2 keys were given" in trio.ended(job, trio.big)["error"]["cause"]  # gives its place free again
    run(trio, contract, ["p0001"])
    error = refusal(trio.big, "analyst", "POST", "/v1/jobs", order(contract, ["p0002"]))
    assert error.term == "daily"
    shown = trio.civil.call("owner", "GET", f"/v1/contracts/{contract}")
    assert shown["terms"]["daily"] == 1


def test_keys_are_no_part_of_other_programs(trio: Trio) -> None:
    contract = trio.agree()
    document = {"contract": contract, "purpose": "labour statistics", "given": {"columns": {"person_id": ["p0001"]}}}
    job = trio.big.call("analyst", "POST", "/v1/jobs", document)["id"]
    assert trio.ended(job, trio.big)["error"]["term"] == "program"
    uneven = document | {"given": {"columns": {"a": ["1"], "b": []}}}
    assert isinstance(refusal(trio.big, "analyst", "POST", "/v1/jobs", uneven), BadInput)


def test_in_python_and_on_the_command_line(trio: Trio, tmp_path: Path) -> None:
    with lingqu.connect(home=trio.big.home.path) as client:
        lookup = client.lookup(TABLE, on="person_id", forms="text/1", columns=["age"], queries=4, purpose=PURPOSE)
        assert "however many keys are asked" in lookup.explain().text
        agreement = lookup.propose(title="lookups", uses=3)
        trio.civil.call("owner", "POST", f"/v1/contracts/{agreement.id}/approve", {})
        agreement.wait(timeout=20, every=0.1)
        expected = {"person_id": ["p0009", "x"], "found": [True, False], "age": [29, None]}
        assert lookup.run(["p0009", "x"]).to_arrow().to_pydict() == expected
        with pytest.raises(BadInput, match="5 keys are more"):
            lookup.run(["p0009"] * 5)
        spec_file = tmp_path / "lookup.json"
        spec_file.write_bytes(lookup.spec.canonical())
    verb = command(trio.big)
    ended_well(verb("explain", "--lookup", str(spec_file), "--minimum-group", "2"))
    output, keys = tmp_path / "found.csv", tmp_path / "keys.csv"
    keys.write_text("person_id,more\np0009,1\nx,2\n", encoding="utf-8")
    done = verb("lookup", str(spec_file), "--keys", str(keys), "--purpose", PURPOSE, "-o", str(output))
    assert done.returncode == 0, done.stderr
    assert csv.read_csv(output).to_pydict()["age"] == [29, None]
    again = verb("lookup", str(spec_file), "p0011", "--purpose", PURPOSE)
    assert again.returncode == 0, again.stderr
    assert "31" in again.stdout
    without_uses(verb("lookup", str(spec_file), "p0011", "--purpose", PURPOSE))
