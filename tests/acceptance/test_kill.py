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

MOMENTS = 5
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
    seed = f"{victim} {kind}"
    moments = random.Random(seed)
    contract = agreed(net, Program(kind="sql", text=SQL), uses=2 * MOMENTS)
    named = 0
    for _ in range(MOMENTS):
        remote = net[BIG].remote("analyst")
        job = remote.start(contract.id, PURPOSE).id
        moment = moments.uniform(0, LONGEST)
        threading.Event().wait(moment)
        hit = kill(net, victim, kind)
        survivors = [name for name in NAMES if not (kind == "node" and name == victim)]
        states = {name: ended_state(net, name, job) for name in survivors}
        wait_until("no worker is left", lambda: not workers(net.root), LIMIT)
        if hit and not all(state in ("done", None) for state, _ in states.values()):
            named += any(victim in said for _, said in states.values())
        if kind == "node":
            restart(net, victim)
    answered(net[BIG].remote("analyst"), contract)
    view = net[BIG].remote("analyst").contract(contract.id)
    released = [job for job in net[BIG].remote("analyst").jobs() if job.contract == contract.id and job.state == "done"]
    assert view.reserved == 0
    assert len(released) <= view.spent <= 2 * MOMENTS
    assert named > 0, "no failure named the killed party"


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


def ended_state(net: Network, name: str, job: str) -> tuple[str | None, str]:
    """How a job ended at a node, within the limit; None when the node never had it."""
    remote = net[name].remote("auditor")
    deadline = time.monotonic() + LIMIT
    pause = threading.Event()
    while True:
        found = next((view for view in remote.jobs() if view.id == job), None)
        if found is None or found.state in ENDED:
            error = found.error if found else None
            return (found.state if found else None), f"{error}"
        assert time.monotonic() < deadline, f"{name} still has the job as {found.state} after {LIMIT} s"
        pause.wait(0.1)
