"""Two real nodes that make correlations ahead: used once, bounded, stopped by jobs, by contracts and by full disks."""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.node.cluster import CIVIL, HUMAN, Bureau, Trio

from lingqu.ledger import verify
from lingqu.node.config import SuppliesConfig

pytestmark = pytest.mark.timeout(900)
SMALL = (sys.executable, "-m", "tests.node.small_portions")


class Duo(Trio):
    """Two bureaus that compute alone; the second one asks."""

    names = (CIVIL, HUMAN)

    def __init__(self, root: Path, **more: Any) -> None:
        self.root = root
        self.nodes = {name: Bureau(root, name, **more) for name in self.names}
        self.civil, self.human = (self.nodes[name] for name in self.names)
        self.big = self.human

    def start(self) -> None:
        """Start both, with small portions."""
        threads = [threading.Thread(target=node.start, args=(SMALL,)) for node in self.nodes.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def shelf(self, node: Bureau, contract: str) -> dict[str, Any]:
        """What a node says of a contract's correlations."""
        found = node.call("auditor", "GET", "/v1/supplies")["supplies"]
        views = [view for view in found if view["contract"] == contract]
        return dict(views[0]) if views else {"state": "none", "portions": 0, "bytes": 0, "runs": 0, "cause": ""}

    def portions(self, node: Bureau, contract: str) -> set[str]:
        """The portions on a node's disk."""
        return {path.stem for path in folder(node, contract).glob("*.batch")}

    def ready(self, contract: str) -> None:
        """Wait until both hold what is wanted."""
        wait(lambda: all(view["state"] == "ready" for view in self.state(contract)), lambda: str(self.state(contract)))

    def state(self, contract: str) -> list[dict[str, Any]]:
        return [self.shelf(node, contract) for node in self.nodes.values()]


def folder(node: Bureau, contract: str) -> Path:
    return node.home.supplies / contract.removeprefix("sha256:")


def wait(holds: Callable[[], bool], said: Callable[[], str] = str, within: float = 240) -> None:
    pause = threading.Event()
    for _ in range(int(within / 0.05)):
        if holds():
            return
        pause.wait(0.05)
    raise AssertionError(said())


@pytest.fixture(scope="module")
def duo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Duo]:
    nodes = Duo(tmp_path_factory.mktemp("duo"), supplies=SuppliesConfig(free=0))
    try:
        nodes.start()
        nodes.pair()
        nodes.register()
        yield nodes
    finally:
        nodes.close()


def done(duo: Duo, job: str, node: Bureau | None = None) -> bool:
    """Whether a job was done at a node, the asker's by default; its error is shown when it was not."""
    view = duo.ended(job, node, within=240)
    assert view["state"] == "done", view["error"]
    return True


def open_receipt(token: str) -> dict[str, Any]:
    """The document of a signed receipt, unverified."""
    payload = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def used(duo: Duo, job: str) -> list[dict[str, Any]]:
    """What the job's correlations took at each node."""
    return [node.call("auditor", "GET", f"/v1/jobs/{job}")["supplies"] for node in duo.nodes.values()]


def test_a_contract_s_correlations_are_made_once_it_is_signed_and_its_job_uses_them(duo: Duo) -> None:
    contract = duo.propose(uses=3)
    assert duo.state(contract) == [duo.shelf(node, "none") for node in duo.nodes.values()]
    duo.civil.call("owner", "POST", f"/v1/contracts/{contract}/approve", {})
    duo.ready(contract)
    for view in duo.state(contract):
        assert view["portions"] == view["portions_wanted"] > 3
        assert view["runs"] == view["wanted"] == 1
        assert 0 < view["bytes"] <= view["bytes_wanted"]
        assert view["mechanism"] == "share.two"
    before = duo.portions(duo.civil, contract)
    assert before == duo.portions(duo.human, contract)
    job = duo.run(contract)
    assert done(duo, job)
    assert done(duo, job, duo.civil)
    for figures in used(duo, job):
        assert figures["ahead"]["bytes"] > 100_000
        assert figures["ahead"]["rounds"] > 10
        assert figures["online"]["bytes"] == 0
        assert figures["online"]["rounds"] == 0
    ran = [sum(step["bytes"] for step in duo.ended(job, node)["steps"]) for node in duo.nodes.values()]
    assert all(sent < figures["ahead"]["bytes"] for sent, figures in zip(ran, used(duo, job), strict=True))
    told = duo.human.call("auditor", "GET", "/v1/ledger")["entries"]
    tokens = [entry["body"]["token"] for entry in told if entry["kind"] == "receipt" and entry["body"]["job"] == job]
    receipts = [open_receipt(token) for token in tokens]
    assert {receipt["party"]: receipt["supplies"] for receipt in receipts} == dict(
        zip(duo.names, used(duo, job), strict=True)
    )
    for node in duo.nodes.values():
        assert not before & duo.portions(node, contract)  # used once
    bundles = [node.call("auditor", "POST", "/v1/export", {}) for node in duo.nodes.values()]
    report = verify(bundles, None)
    assert report.ok, report.findings
    duo.ready(contract)  # for the next run
    assert not before & duo.portions(duo.civil, contract)
    online_only = duo.agree(uses=1, minimum_group=6)
    job = duo.run(online_only)  # at once: nothing, or little, is there yet
    assert done(duo, job)
    assert all(figures["online"]["bytes"] > 0 for figures in used(duo, job))


def test_what_was_made_ahead_gives_the_same_answer(duo: Duo) -> None:
    contract = duo.agree(uses=2)
    answers = []
    duo.ready(contract)
    for _ in range(2):  # the second run starts at once, and makes on line what is not there
        job = duo.run(contract)
        assert done(duo, job)
        answers.append(duo.human.call("analyst", "GET", f"/v1/jobs/{job}/result")["rows"])
    assert answers[0] == answers[1]
    assert len(answers[0]) == 3
    wait(lambda: not folder(duo.civil, contract).exists() and not folder(duo.human, contract).exists())


def test_a_job_ends_the_making_at_once(duo: Duo) -> None:
    contract = duo.agree(uses=2)
    wait(lambda: any(view["state"] == "making" for view in duo.state(contract)), lambda: str(duo.state(contract)))
    job = duo.run(contract)
    assert done(duo, job)
    duo.ready(contract)


@pytest.mark.parametrize("victim", [CIVIL, HUMAN])
def test_a_killed_node_goes_on_where_it_was(duo: Duo, victim: str) -> None:
    """kill -9 of a node in the middle of making: its worker ends with it, and the rest is made when it is back."""
    contract = duo.agree(uses=2)
    node, other = duo.nodes[victim], duo.nodes[HUMAN if victim == CIVIL else CIVIL]
    wait(lambda: len(duo.portions(node, contract)) > 1, lambda: str(duo.state(contract)))
    node.kill()
    kept = duo.portions(node, contract)
    node.start(SMALL)
    duo.ready(contract)
    assert duo.portions(node, contract) == duo.portions(other, contract)
    assert len(kept - duo.portions(node, contract)) <= 1  # at most the portion that one alone had stored
    job = duo.run(contract)
    assert done(duo, job)
    assert all(figures["online"]["bytes"] == 0 for figures in used(duo, job))


@pytest.mark.parametrize("victim", [CIVIL, HUMAN])
def test_a_worker_killed_while_it_uses_portions_wastes_them(duo: Duo, victim: str) -> None:
    contract = duo.agree(uses=2)
    duo.ready(contract)
    before = duo.portions(duo.civil, contract)
    node = duo.nodes[victim]
    job = duo.run(contract)
    wait(lambda: not before <= duo.portions(node, contract), lambda: "never taken")
    for pid in node.workers():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    ends = [duo.ended(job, each)["state"] for each in duo.nodes.values()]
    assert set(ends) <= {"failed", "refused", "done"}
    duo.ready(contract)
    for each in duo.nodes.values():
        assert not before & duo.portions(each, contract)  # gone before use, and never back
    again = duo.run(contract)
    assert done(duo, again)


def test_stores_that_differ_are_compared_and_made_whole(duo: Duo) -> None:
    """What one node lost, the other drops; a run between the two uses only what both hold."""
    contract = duo.agree(uses=3)
    duo.ready(contract)
    lost = sorted(duo.portions(duo.human, contract))[:2]
    for name in lost:
        (folder(duo.human, contract) / f"{name}.batch").unlink()
    job = duo.run(contract)
    assert done(duo, job)
    assert all(figures["ahead"]["bytes"] > 0 for figures in used(duo, job))
    duo.ready(contract)
    assert not set(lost) & duo.portions(duo.civil, contract)
    assert duo.portions(duo.civil, contract) == duo.portions(duo.human, contract)


def test_a_portion_that_was_changed_ends_the_job_and_is_gone(duo: Duo) -> None:
    contract = duo.agree(uses=2)
    duo.ready(contract)
    name = min(duo.portions(duo.civil, contract))
    path = folder(duo.civil, contract) / f"{name}.batch"
    data = path.read_bytes()
    path.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    job = duo.run(contract)
    assert duo.ended(job)["state"] == "failed"
    view = duo.ended(job, duo.civil)
    assert "is not what was stored" in view["error"]["cause"]
    duo.ready(contract)
    assert name not in duo.portions(duo.civil, contract)
    again = duo.run(contract)
    assert done(duo, again)


def test_a_revocation_stops_the_making_and_removes_what_is_there(duo: Duo) -> None:
    contract = duo.agree(uses=2)
    wait(lambda: len(duo.portions(duo.human, contract)) > 0, lambda: str(duo.state(contract)))
    duo.civil.call("owner", "POST", f"/v1/contracts/{contract}/revoke", {})
    wait(lambda: not folder(duo.civil, contract).exists() and not folder(duo.human, contract).exists())


def test_a_full_disk_stops_the_making_and_hurts_no_job(duo: Duo) -> None:
    """A limit on the size of files stands for the disk: the portion fails, the reason is told, the job still runs."""
    assert duo.human.process is not None
    pid = duo.human.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    limit = max(path.stat().st_size for path in duo.human.home.path.glob("lingqu.db*")) + (64 << 20)
    assert limit > 60_000  # the database has room; its workers, which inherit less, have none
    contract = duo.propose(uses=2)
    wait(lambda: not duo.human.workers())
    stop = threading.Event()

    def squeeze() -> None:
        while not stop.wait(0.005):
            for worker in duo.human.workers():
                with suppress(ProcessLookupError, PermissionError, FileNotFoundError):  # it may end in between
                    if b"--worker" in Path(f"/proc/{worker}/cmdline").read_bytes():
                        resource.prlimit(worker, resource.RLIMIT_FSIZE, (20_000, before[1]))

    thread = threading.Thread(target=squeeze)
    thread.start()
    try:
        duo.civil.call("owner", "POST", f"/v1/contracts/{contract}/approve", {})
        wait(lambda: "disk" in duo.shelf(duo.human, contract)["cause"], lambda: str(duo.state(contract)))
        assert duo.shelf(duo.human, contract)["state"] == "waiting"
        assert not duo.portions(duo.human, contract)
    finally:
        stop.set()
        thread.join()
    job = duo.run(contract)
    assert done(duo, job)
    duo.ready(contract)


def test_what_a_node_holds_is_bounded_and_may_be_nothing(tmp_path: Path) -> None:
    nodes = Duo(tmp_path, supplies=SuppliesConfig(free=0))
    config = nodes.human.home.config()

    def bound(**supplies: int) -> None:
        tight = config.model_copy(update={"supplies": SuppliesConfig(free=0, **supplies)})
        nodes.human.home.config_file.write_text(tight.toml(), encoding="utf-8")

    def full(contract: str) -> bool:
        leader = nodes.shelf(nodes.civil, contract)
        return leader["state"] == "waiting" and "room" in leader["cause"]

    bound(bytes=1_000_000)  # a portion is taken to need a megabyte beyond its contents until it is there
    try:
        nodes.start()
        nodes.pair()
        nodes.register(400)
        contract = nodes.agree(uses=3)
        wait(lambda: full(contract), lambda: str(nodes.state(contract)))
        for node in nodes.nodes.values():
            assert nodes.shelf(node, contract)["portions"] == 0 < nodes.shelf(node, contract)["portions_wanted"]
        job = nodes.run(contract)
        assert done(nodes, job)
        nodes.human.stop()
        bound(bytes=1_490_000)  # room for two, while the third lacks some kilobytes
        nodes.human.start(SMALL)
        wait(
            lambda: full(contract) and len(nodes.portions(nodes.human, contract)) > 1,
            lambda: str(nodes.state(contract)),
        )
        for node in nodes.nodes.values():
            assert 2 <= nodes.shelf(node, contract)["portions"] < nodes.shelf(node, contract)["portions_wanted"] / 2
        assert nodes.shelf(nodes.human, contract)["bytes"] < 1_490_000
        job = nodes.run(contract)
        assert done(nodes, job)
        assert all(figures["ahead"]["bytes"] > 0 < figures["online"]["bytes"] for figures in used(nodes, job))
        nodes.human.stop()
        bound(runs=0)
        nodes.human.start(SMALL)
        wait(lambda: not nodes.portions(nodes.human, contract))
        wait(lambda: "makes no correlations ahead" in nodes.shelf(nodes.civil, contract)["cause"])
        assert nodes.shelf(nodes.human, contract)["state"] == "off"
        job = nodes.run(contract)
        assert done(nodes, job)
        assert all(figures["ahead"]["bytes"] == 0 < figures["online"]["bytes"] for figures in used(nodes, job))
    finally:
        nodes.close()
