"""`kill -9` of every node and every worker at random moments: the others end the job, and a rerun works."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.worlds import NAMES, PURPOSE, SQL, agreed, answered, paired, world

from lingqu.kinds.programs import Program
from scenarios.census.network import BIG, Network, wait_until

MOMENTS = 5  # kills of each process that meet a job under way
ATTEMPTS = 20
LIMIT = 10.0  # seconds within which the others must have ended the job
LONGEST = 2.5  # seconds after the start at which a process is killed at the latest
ENDED = {"done", "failed", "refused"}


def workers(root: Path) -> dict[int, str]:
    """The worker processes that run under a root, with their party's name."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
                place = Path(os.readlink(entry / "cwd"))
            except OSError:
                continue
            if b"lingqu.engine.worker" in command and place.is_relative_to(root):
                found[int(entry.name)] = place.relative_to(root).parts[0]
    return found


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with paired(tmp_path_factory.mktemp("nodes"), world(7, 0.8)) as made:
        yield made


@pytest.mark.timeout(540)
@pytest.mark.parametrize("victim", NAMES)
@pytest.mark.parametrize("kind", ["node", "worker"])
def test_killed_at_random_moments(net: Network, victim: str, kind: str) -> None:
    moments = random.Random(f"{victim} {kind}")
    contract = agreed(net, Program(kind="sql", text=SQL), uses=ATTEMPTS + 1)
    struck = 0
    for _ in range(ATTEMPTS):
        job = net[BIG].remote("analyst").start(contract.id, PURPOSE).id
        threading.Event().wait(moments.uniform(0, LONGEST))
        hit = kill(net, victim, kind)
        deadline = time.monotonic() + LIMIT
        survivors = [name for name in NAMES if not (kind == "node" and name == victim)]
        ends = {name: end(net, name, job, deadline) for name in survivors}
        wait_until("no worker is left", lambda: not workers(net.root), LIMIT)
        if kind == "node":
            restart(net, victim)
        failures = {name: said for name, (state, said) in ends.items() if state in ("failed", "refused")}
        unnamed = {name: said for name, said in failures.items() if victim not in said}
        assert not unnamed, f"the killed {kind} of {victim} is not named"
        struck += bool(hit and failures)
        if struck == MOMENTS:
            break
    assert struck == MOMENTS, f"only {struck} of {ATTEMPTS} kills met the job under way"
    answered(net[BIG].remote("analyst"), contract)
    analyst = net[BIG].remote("analyst")
    view = analyst.contract(contract.id)
    released = [job for job in analyst.jobs() if job.contract == contract.id and job.state == "done"]
    assert view.reserved == 0
    assert len(released) <= view.spent <= ATTEMPTS + 1


def kill(net: Network, victim: str, kind: str) -> bool:
    """Kill the victim's node, or its worker if one runs."""
    if kind == "node":
        process = net[victim].process
        assert process is not None
        process.kill()
        process.wait()
        return True
    hit = [pid for pid, name in workers(net.root).items() if name == victim]
    for pid in hit:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return bool(hit)


def restart(net: Network, victim: str) -> None:
    net[victim].stop()
    net[victim].start()
    net[victim].wait_ready()


def end(net: Network, name: str, job: str, deadline: float) -> tuple[str | None, str]:
    """How a job ended at a node, by the deadline, and its error; None when the node never had it."""
    remote = net[name].remote("auditor")
    pause = threading.Event()
    while True:
        found = next((view for view in remote.jobs() if view.id == job), None)
        if found is None or found.state in ENDED:
            return (found.state, f"{found.error}") if found else (None, "")
        assert time.monotonic() < deadline, f"{name} still has the job as {found.state} after {LIMIT} s"
        pause.wait(0.1)
