"""What the other parties can see of a job whose recipient looks at what it found: nothing, as to them it is over.

How long it looks tells how many match.  So these tests hold it there (`held_comparison`), and let it go, or kill it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.node.asking import Asking, release
from tests.node.cluster import BIG, CIVIL, HUMAN, Bureau, Trio

from lingqu.ledger import verify
from lingqu.node import messages as m
from lingqu.node.core import Core
from lingqu.node.transport import Transport

HELD = (sys.executable, "-m", "tests.node.held_comparison")
MOMENT = 0.5
RESIDENTS, EMPLOYMENT = "civil-affairs/residents", "human-resources/employment"
SIDES = [{"table": table, "keys": ["person_id"]} for table in (RESIDENTS, EMPLOYMENT)]
BOTH: dict[str, Any] = {"tables": SIDES, "forms": ["text/1"]}
LOOKUP: dict[str, Any] = {"table": RESIDENTS, "keys": ["person_id"], "forms": ["text/1"], "columns": ["age"]}
KEYS = [[f"p{i:04d}"] for i in range(15, 60)]
Case = tuple[str, str, str, dict[str, Any], dict[str, Any], list[Any]]
CASES: dict[str, Case] = {
    "intersection": ("intersect", CIVIL, HUMAN, BOTH, {}, KEYS),
    "size": ("intersect", CIVIL, HUMAN, BOTH | {"result": "size"}, {}, [[45]]),
    "malicious": ("intersect", CIVIL, HUMAN, BOTH, {"adversary": "malicious-with-abort"}, KEYS),
    "published": ("intersect", CIVIL, HUMAN, BOTH | {"published": True}, {}, KEYS),
    "lookup": ("lookup", BIG, CIVIL, LOOKUP, {}, [["p0007", True, 27], ["nobody", False, None]]),
}


@pytest.fixture(scope="module")
def holding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    """Three nodes, of which those that ask can be held; test folders are found by their modules' path."""
    root = tmp_path_factory.mktemp("holding")
    nodes = Trio(root, record=str(root / "record"))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
            nodes.start()
            nodes.pair()
            nodes.register()
            for node in (nodes.civil, nodes.big):
                node.stop()
                node.start(HELD)
            yield nodes
    finally:
        nodes.close()


@contextmanager
def hold(node: Bureau) -> Iterator[Callable[[], None]]:
    """A node's next worker is held; what is given lets it go."""
    pipe = node.home.path / "hold"
    os.mkfifo(pipe, 0o600)

    def go() -> None:
        if pipe.exists():
            with open(pipe, "wb"):  # waits until the worker is there
                pipe.unlink()

    try:
        yield go
    finally:
        pipe.unlink(missing_ok=True)


def ask(trio: Trio, case: str, **more: Any) -> tuple[Bureau, Bureau, str, Callable[[], str]]:
    """Who asks, whom, under which contract, and what starts a run."""
    kind, mine, other, program, terms, rows = CASES[case]
    asking = Asking(kind, "what its time tells", 2)
    asker, peer = trio.nodes[mine], trio.nodes[other]
    contract = asking.agree(asker, [peer], program, **(terms | more))
    given = {"person_id": [row[0] for row in rows]} if kind == "lookup" else None

    def start() -> str:
        job: str = asker.call("analyst", "POST", "/v1/jobs", asking.order(contract, given))["id"]
        return job

    return asker, peer, contract, start


def over(trio: Trio, job: str, peer: Bureau) -> None:
    """Wait until a job has ended well at a peer, to whom the asker's node has yet to offer it."""
    pause = threading.Event()
    while job not in [one["id"] for one in peer.call("analyst", "GET", "/v1/jobs")["jobs"]]:
        pause.wait(0.1)
    view = trio.ended(job, peer)
    assert view["state"] == "done", view["error"]


def ledger(node: Bureau) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = node.call("auditor", "GET", "/v1/ledger")["entries"]
    return entries


def seen(trio: Trio, asker: Bureau, peer: Bureau) -> tuple[int, int, str]:
    """All that a peer sees of a node: the messages between them, and how long the node's ledger is."""
    control = (trio.root / "record" / f"{asker.name}.control.jsonl").read_text().splitlines()
    told = [line for line in control if json.loads(line)["peer"] == peer.name]
    return len(told), len(ledger(asker)), json.dumps(ledger(peer))


def settled(trio: Trio, asker: Bureau, peer: Bureau) -> tuple[int, int, str]:
    """The same, once nothing moves any more."""
    pause, last = threading.Event(), seen(trio, asker, peer)
    for _ in range(100):
        pause.wait(4 * MOMENT)
        before, last = last, seen(trio, asker, peer)
        if last == before:
            return last
    raise AssertionError("the nodes do not come to rest")


def receipt(node: Bureau, job: str, party: str) -> bool:
    """Whether a node has a party's receipt of a job."""
    return any(
        entry["kind"] == "receipt" and f'"{job}"' in json.dumps(entry) and f'"party": "{party}"' in json.dumps(entry)
        for entry in ledger(node)
    )


def condition(peer: Bureau, asker: Bureau, job: str) -> str:
    """What a node answers a peer that asks how a job is."""
    core = Core.open(peer.home)
    try:
        answer = Transport(core).send(asker.name, m.JobHealth(job=job))
        assert isinstance(answer, m.JobCondition)
        return answer.state
    finally:
        core.store.close()


@pytest.mark.parametrize("case", CASES)
def test_the_end_of_a_job_is_announced_before_the_result_is_looked_at(holding: Trio, case: str) -> None:
    """While the recipient is held the others have all that they ever get of it; when it goes on, nothing moves."""
    asker, peer, _, start = ask(holding, case)
    with hold(asker) as go:
        job = start()
        over(holding, job, peer)
        assert condition(peer, asker, job) == "done"
        before = settled(holding, asker, peer)
        assert receipt(peer, job, asker.name)
        assert asker.call("analyst", "GET", f"/v1/jobs/{job}")["state"] == "running"
        go()
        assert holding.ended(job, asker)["state"] == "done"
    assert settled(holding, asker, peer) == before
    assert release(asker, job)["rows"] == CASES[case][5]
    assert condition(peer, asker, job) == "done"


def test_a_recipient_killed_before_it_looks_tells_nobody_and_can_ask_again(holding: Trio) -> None:
    asker, peer, _, start = ask(holding, "intersection", uses=2)
    with hold(asker):
        job = start()
        over(holding, job, peer)
        before = settled(holding, asker, peer)
        for pid in asker.workers():
            os.kill(pid, signal.SIGKILL)
        ended = holding.ended(job, asker)
        assert (ended["state"], ended["error"]["code"]) == ("failed", "party-lost")
    assert settled(holding, asker, peer) == before
    assert holding.ended(job, peer)["state"] == condition(peer, asker, job) == "done"
    again = start()
    assert [holding.ended(again, node)["state"] for node in (asker, peer)] == ["done", "done"]
    assert release(asker, again)["rows"] == KEYS
    report = verify([node.call("auditor", "POST", "/v1/export", {}) for node in (asker, peer)], None)
    assert report.ok, report.findings


def test_a_node_killed_before_its_worker_has_looked_tells_nothing_new(holding: Trio) -> None:
    asker, peer, contract, start = ask(holding, "intersection", uses=2)
    with hold(asker):
        job = start()
        over(holding, job, peer)
        before = settled(holding, asker, peer)
        asker.kill()
    asker.start(HELD)
    assert holding.ended(job, asker)["state"] == "failed"
    assert settled(holding, asker, peer)[1] == before[1]
    assert condition(peer, asker, job) == "done"
    view = asker.call("analyst", "GET", f"/v1/contracts/{contract}")
    assert view["spent"] == 1
    report = verify([node.call("auditor", "POST", "/v1/export", {}) for node in (asker, peer)], None)
    assert report.ok, report.findings


def test_a_revocation_still_keeps_the_result_from_a_recipient_that_has_not_looked(holding: Trio) -> None:
    """And the one who revokes does not see whether it came in time."""
    asker, peer, contract, start = ask(holding, "intersection")
    with hold(asker) as go:
        job = start()
        over(holding, job, peer)
        size = settled(holding, asker, peer)[1]
        peer.call("owner", "POST", f"/v1/contracts/{contract}/revoke", {"reason": "no more"})
        ended = holding.ended(job, asker)
        assert (ended["state"], ended["error"]["term"]) == ("refused", "revoked")
        del go
    assert condition(peer, asker, job) == "done"
    after = settled(holding, asker, peer)[1]
    kinds = [entry["kind"] for entry in ledger(asker)[size:after]]
    assert "refuse" not in kinds
