"""Four nodes, three of which compute: an owner shares from outside, and the result goes to two recipients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.node.cluster import BIG, CIVIL, HUMAN, PURPOSE, SQL, Bureau, Trio, refusal

from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.mechanism import Adversary, installed
from lingqu.ledger import verify

THIRD = "third-office"
COMPUTE = [HUMAN, BIG, THIRD]


class Quartet(Trio):
    """A fourth node that holds no data."""

    names = (CIVIL, HUMAN, BIG, THIRD)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quartet]:
    nodes = Quartet(tmp_path_factory.mktemp("four"))
    try:
        nodes.start()
        nodes.pair()
        nodes.register()
        yield nodes
    finally:
        nodes.close()


def rows(node: Bureau, job: str) -> Any:
    release = node.call("analyst", "GET", f"/v1/jobs/{job}/result")
    assert release["recipient"] == node.name
    return release["rows"]


def test_an_outside_owner_signs_shares_consents_and_receives(four: Quartet) -> None:
    contract = four.agree(parties=COMPUTE, recipients=[BIG, CIVIL])
    terms = four.big.call("analyst", "GET", f"/v1/contracts/{contract}")["terms"]
    assert [party["name"] for party in terms["parties"]] == [*COMPUTE, CIVIL]
    assert terms["outside"] == [CIVIL]
    assert terms["recipients"] == [BIG, CIVIL]
    assert HUMAN in terms["statement"]["assumes"]
    job = four.run(contract)
    for node in (four.big, *four.nodes.values()):
        view = four.ended(job, node)
        assert view["state"] == "done", view["error"]
    assert rows(four.big, job) == rows(four.civil, job)
    assert len(rows(four.big, job)) == 3
    for node in (four.human, four.nodes[THIRD]):
        assert refusal(node, "analyst", "GET", f"/v1/jobs/{job}/result").term == "recipients"
    states = {step["id"]: step["state"] for step in four.ended(job, four.civil)["steps"]}
    assert states["input0"] == states["release"] == "done"
    assert states["group"] == "elsewhere"
    assert {view["spent"] for view in everywhere(four, contract)} == {1}
    bundles = [node.call("auditor", "POST", "/v1/export", {}) for node in four.nodes.values()]
    report = verify(bundles, None)
    assert report.ok, report.findings


def test_two_compute_and_the_analyst_s_office_only_receives(four: Quartet) -> None:
    contract = four.propose(parties=[CIVIL, HUMAN])
    for node in (four.civil, four.human):
        node.call("owner", "POST", f"/v1/contracts/{contract}/approve", {})
    terms = four.big.call("analyst", "GET", f"/v1/contracts/{contract}")["terms"]
    assert terms["outside"] == [BIG]
    assert len(terms["techniques"]) == 1
    assert f"{CIVIL}, {HUMAN} compute on shares" in terms["statement"]["assumes"]
    job = four.run(contract)
    for node in (four.big, four.civil, four.human):
        view = four.ended(job, node, within=120)
        assert view["state"] == "done", view["error"]
    assert len(rows(four.big, job)) == 3
    for node in (four.civil, four.human):
        assert refusal(node, "analyst", "GET", f"/v1/jobs/{job}/result").term == "recipients"


def test_a_malicious_contract_runs_on_a_mechanism_that_withstands_it_with_an_outside_owner(four: Quartet) -> None:
    contract = four.agree(parties=COMPUTE, adversary="malicious-with-abort")
    terms = four.civil.call("analyst", "GET", f"/v1/contracts/{contract}")["terms"]
    assert terms["adversary"] == "malicious-with-abort"
    (technique,) = terms["techniques"]
    assert installed().get(technique).threat.adversary is Adversary.MALICIOUS_ABORT
    assert all("abort" in {line["fact"] for line in lines} for lines in terms["statement"]["learned"].values())
    job = four.run(contract)
    for node in (four.big, *four.nodes.values()):
        view = four.ended(job, node, within=120)
        assert view["state"] == "done", view["error"]
    assert len(rows(four.big, job)) == 3


def test_a_promise_that_no_mechanism_of_so_many_parties_gives_is_refused_with_a_cure(four: Quartet) -> None:
    body = {"program": {"kind": "sql", "text": SQL}, "minimum_group": 5, "adversary": "malicious-with-abort"}
    error = refusal(four.big, "analyst", "POST", "/v1/plans", {**body, "parties": [CIVIL, HUMAN]})
    assert error.term == "techniques"
    assert "withstands semi-honest parties only, malicious-with-abort is asked for" in error.cause
    assert error.cure.startswith(("Name 3 compute parties for", "Install a mechanism that withstands"))


def everywhere(four: Quartet, contract: str) -> list[Any]:
    return [node.call("analyst", "GET", f"/v1/contracts/{contract}") for node in four.nodes.values()]


def test_an_outside_owners_no_keeps_the_result_from_everyone(four: Quartet) -> None:
    contract = four.agree(parties=COMPUTE)
    four.civil.call("owner", "POST", f"/v1/contracts/{contract}/revoke", {"reason": "no"})
    error = refusal(four.big, "analyst", "POST", "/v1/jobs", {"contract": contract, "purpose": PURPOSE})
    assert error.term == "revoked"
    assert isinstance(error, Refused)
    unsigned = four.propose(parties=COMPUTE)
    for node in (four.human, four.nodes[THIRD]):
        node.call("owner", "POST", f"/v1/contracts/{unsigned}/approve", {})
    error = refusal(four.big, "analyst", "POST", "/v1/jobs", {"contract": unsigned, "purpose": PURPOSE})
    assert error.term == "signatures"
    assert CIVIL in error.cause


def test_a_lost_outside_owner_is_named(four: Quartet, tmp_path: Path) -> None:
    contract = four.agree(parties=COMPUTE)
    (four.root / "residents.csv").rename(tmp_path / "residents.csv")
    try:
        job = four.run(contract)
        for node in (four.big, *four.nodes.values()):
            view = four.ended(job, node)
            assert view["state"] == "failed"
            assert view["error"]["party"] == (CIVIL if node is not four.civil else None)
            assert "civil-affairs/residents" in view["error"]["cause"]
    finally:
        (tmp_path / "residents.csv").rename(four.root / "residents.csv")
    assert {(view["spent"], view["reserved"]) for view in everywhere(four, contract)} == {(0, 0)}


def test_arrangements_are_checked(four: Quartet) -> None:
    body = {"program": {"kind": "sql", "text": SQL}, "minimum_group": 5}
    strange = refusal(four.big, "analyst", "POST", "/v1/plans", {**body, "parties": [HUMAN, BIG, "nobody-here"]})
    assert isinstance(strange, BadInput)
    other = refusal(four.big, "analyst", "POST", "/v1/plans", {**body, "parties": COMPUTE, "recipients": [CIVIL]})
    assert other.term == "recipients"
    four_of_them = refusal(four.big, "analyst", "POST", "/v1/plans", body)
    assert "two or three compute" in four_of_them.cause
