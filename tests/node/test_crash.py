"""kill -9 of workers and nodes at moments that a seed chooses: the job ends everywhere, and a rerun works."""

from __future__ import annotations

import os
import random
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.node.cluster import BIG, CIVIL, HUMAN, Bureau, Trio

from lingqu.kinds.errors import LingquError
from lingqu.node.errors import NotFound

LONGEST_MOMENT = 2.5  # seconds after the start; a small job takes about as long


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def all_gone(pids: list[int]) -> bool:
    """Whether all these processes have ended, within ten seconds."""
    pause = threading.Event()
    for _ in range(200):
        if not any(alive(pid) for pid in pids):
            return True
        pause.wait(0.05)
    return False


def views(trio: Trio, job: str) -> dict[str, dict[str, Any]]:
    """The job's end at every node that heard of it."""
    found = {}
    for name, node in trio.nodes.items():
        with suppress(NotFound):
            found[name] = trio.ended(job, node)
    return found


def check_after(trio: Trio, job: str, contract: str, victim: str, hit: bool) -> None:
    """What must hold after a kill: blame, no worker, no second release, a use that is spent or free, a rerun."""
    ends = views(trio, job)
    if hit and ends[BIG]["state"] != "done":
        assert victim in {view["error"]["party"] for view in ends.values() if view["error"]}, ends
    for view in ends.values():
        assert view["state"] in ("done", "failed", "refused")
        assert (view["error"] is None) == (view["state"] == "done")
    released = [entry for entry in entries(trio.big, "release") if entry["body"]["job"] == job]
    assert len(released) == (ends[BIG]["state"] == "done")
    assert all(node.workers() == [] for node in trio.nodes.values())
    for node in trio.nodes.values():
        assert node.call("owner", "GET", f"/v1/contracts/{contract}")["reserved"] == 0
    again = trio.run(contract)
    assert trio.ended(again)["state"] == "done", trio.ended(again)


def entries(node: Bureau, kind: str) -> list[dict[str, Any]]:
    return [entry for entry in node.call("auditor", "GET", "/v1/ledger")["entries"] if entry["kind"] == kind]


@pytest.mark.parametrize(("seed", "name"), [(1, CIVIL), (2, HUMAN), (3, BIG)])
def test_a_killed_worker_ends_its_job_everywhere(trio: Trio, seed: int, name: str) -> None:
    victim = trio.nodes[name]
    contract = trio.agree(uses=2)
    job = trio.run(contract)
    pause = threading.Event()
    pause.wait(random.Random(seed).uniform(0, LONGEST_MOMENT))
    for _ in range(100):  # the worker may not be there yet
        pids = victim.workers()
        with suppress(LingquError):
            if pids or victim.call("owner", "GET", f"/v1/jobs/{job}")["ended"]:
                break
        pause.wait(0.05)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    check_after(trio, job, contract, name, bool(pids))


@pytest.mark.parametrize(("seed", "name"), [(4, CIVIL), (5, HUMAN), (6, BIG)])
def test_a_killed_node_ends_its_jobs_everywhere(trio: Trio, seed: int, name: str) -> None:
    victim = trio.nodes[name]
    contract = trio.agree(uses=2)
    job = trio.run(contract)
    pause = threading.Event()
    pause.wait(random.Random(seed).uniform(0, LONGEST_MOMENT))
    orphans = victim.workers()
    victim.kill()
    try:
        for other in trio.nodes.values():
            if other is not victim:
                with suppress(NotFound):
                    trio.ended(job, other)
        assert all_gone(orphans)
    finally:
        victim.start()
    check_after(trio, job, contract, name, True)
