"""The life of a contract between three nodes, and the terms that refuse."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator

import pytest
from tests.node.cluster import PURPOSE, Trio, refusal

from lingqu.contract import Terms
from lingqu.kinds import clock
from lingqu.kinds.errors import Refused
from lingqu.ledger import verify
from lingqu.node.core import Core
from lingqu.node.errors import Conflict
from lingqu.node.messages import JobOffer, JobReady, JobRefused
from lingqu.node.transport import Transport


@pytest.fixture
def altered(trio: Trio) -> Iterator[Transport]:
    """What a modified coordinator would send with: the analyst's node's own key, and no checks."""
    core = Core.open(trio.big.home)
    yield Transport(core)
    core.store.close()


def offer(trio: Trio, contract: str, **changes: object) -> JobOffer:
    """An honest offer but for the changes."""
    terms = Terms.parse(json.dumps(trio.big.call("analyst", "GET", f"/v1/contracts/{contract}")["terms"]))
    fields = {
        "job": secrets.token_hex(16),
        "contract": contract,
        "plan": terms.plan,
        "statement": terms.statement_digest,
        "purpose": PURPOSE,
        "bindings": {},
        "offered": clock.now(),
    }
    return JobOffer.model_validate(fields | changes)


def test_a_contract_runs_as_often_as_agreed_and_not_once_more(trio: Trio) -> None:
    contract = trio.propose(uses=1)
    start = {"contract": contract, "purpose": PURPOSE}
    unsigned = refusal(trio.big, "analyst", "POST", "/v1/jobs", start)
    assert unsigned.term == "signatures"
    for owner in (trio.civil, trio.human):
        assert owner.call("owner", "GET", f"/v1/contracts/{contract}")["state"] == "proposed"
        owner.call("owner", "POST", f"/v1/contracts/{contract}/approve", {})
    assert isinstance(refusal(trio.civil, "owner", "POST", f"/v1/contracts/{contract}/approve", {}), Conflict)
    for node in trio.nodes.values():
        view = node.call("auditor", "GET", f"/v1/contracts/{contract}")
        assert (view["state"], view["approvals"]) == ("in-force", ["big-data", "civil-affairs", "human-resources"])

    other = refusal(trio.big, "analyst", "POST", "/v1/jobs", start | {"purpose": "advertising"})
    assert other.term == "purpose"
    job = trio.run(contract)
    assert trio.ended(job)["state"] == "done"
    result = trio.big.call("analyst", "GET", f"/v1/jobs/{job}/result")
    assert result["rows"] == [["Masters", 15, 35.8], ["none", 15, 36.8], ["学士", 15, 34.8]]
    for node in trio.nodes.values():
        assert trio.ended(job, node)["state"] == "done"
    for owner in (trio.civil, trio.human):  # only the recipient has it
        assert isinstance(refusal(owner, "analyst", "GET", f"/v1/jobs/{job}/result"), Refused)

    assert refusal(trio.big, "analyst", "POST", "/v1/jobs", start).term == "uses"
    view = trio.big.call("analyst", "GET", f"/v1/contracts/{contract}")
    assert (view["state"], view["spent"], view["reserved"]) == ("used-up", 1, 0)
    assert [refused["term"] for refused in view["refusals"]] == ["signatures", "purpose", "uses"]


def test_owners_refuse_what_a_modified_coordinator_sends(trio: Trio, altered: Transport) -> None:
    contract = trio.agree(uses=1)
    alterations: dict[str, dict[str, object]] = {
        "plan": {"plan": "sha256:" + "1" * 64},
        "statement": {"statement": "sha256:" + "1" * 64},
        "purpose": {"purpose": "advertising"},
        "program": {"bindings": {"lowest": 1}},
    }
    for term, changes in alterations.items():
        answer = altered.send("civil-affairs", offer(trio, contract, **changes))
        assert isinstance(answer, JobRefused)
        assert answer.term == term
    first = offer(trio, contract)
    ready = altered.send("civil-affairs", first, 40)
    assert isinstance(ready, JobReady)
    assert altered.send("civil-affairs", first, 40) == ready  # a retry is answered alike and reserves nothing more
    again = altered.send("civil-affairs", offer(trio, contract))
    assert isinstance(again, JobRefused)
    assert again.term == "uses"  # the one use is reserved
    # The coordinator does not know the job it offered, so the owner ends it and frees the use.
    assert trio.ended(first.job, trio.civil)["state"] == "failed"
    view = trio.civil.call("owner", "GET", f"/v1/contracts/{contract}")
    assert (view["spent"], view["reserved"]) == (0, 0)
    assert trio.civil.workers() == []
    kinds = [entry["body"].get("term") for entry in trio.civil.call("auditor", "GET", "/v1/ledger")["entries"]]
    assert {"plan", "statement", "purpose", "program", "uses"} <= set(kinds)


def test_revocation_and_rejection_are_final_at_every_node(trio: Trio) -> None:
    contract = trio.agree(uses=3)
    trio.human.call("owner", "POST", f"/v1/contracts/{contract}/revoke", {"reason": "the study is over"})
    for node in trio.nodes.values():
        assert node.call("owner", "GET", f"/v1/contracts/{contract}")["state"] == "revoked"
    start = {"contract": contract, "purpose": PURPOSE}
    assert refusal(trio.big, "analyst", "POST", "/v1/jobs", start).term == "revoked"

    rejected = trio.propose()
    trio.civil.call("owner", "POST", f"/v1/contracts/{rejected}/reject", {"reason": "too broad"})
    assert trio.human.call("owner", "GET", f"/v1/contracts/{rejected}")["state"] == "rejected"
    assert isinstance(refusal(trio.human, "owner", "POST", f"/v1/contracts/{rejected}/approve", {}), Conflict)


def test_revocation_stops_a_running_job_before_its_result(trio: Trio) -> None:
    contract = trio.agree(uses=3)
    job = trio.run(contract)
    trio.civil.call("owner", "POST", f"/v1/contracts/{contract}/revoke", {})
    view = trio.ended(job)
    assert view["state"] in ("refused", "failed"), view
    assert refusal(trio.big, "analyst", "GET", f"/v1/jobs/{job}/result").code == "conflict"


def test_a_cancelled_job_ends_everywhere_and_frees_its_use(trio: Trio) -> None:
    contract = trio.agree(uses=1)
    job = trio.run(contract)
    trio.big.call("analyst", "POST", f"/v1/jobs/{job}/cancel", {})
    view = trio.ended(job)
    assert (view["state"], view["error"]["term"]) == ("refused", "cancelled")
    again = trio.run(contract)
    assert trio.ended(again)["state"] == "done"


def test_the_three_histories_agree(trio: Trio) -> None:
    # A node may still note another's checkpoint while the bundles are exported one after the other.
    for _ in range(10):
        report = verify([node.call("auditor", "POST", "/v1/export", {}) for node in trio.nodes.values()], None)
        if report.ok:
            break
    assert report.ok, str(report)
