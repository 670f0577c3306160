"""What machines do wrong, at real nodes: a full disk, a taken port, a wrong clock."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.acceptance.disk import Disk, small_disk
from tests.acceptance.tiny import NAMES, PURPOSE, SECRETS, Tiny, failed, tiny

from scenarios.census.network import CIVIL, HUMAN, LINGQU, Network, free_ports, wait_until

PEOPLE = 24
SHARED = "".join(f"p{i:02d},{40 + i % 2}\n" for i in range(PEOPLE))
QUERY = (
    'SELECT COUNT(*) AS n, SUM(w.hours) AS h FROM "civil-affairs".people p JOIN "human-resources".work w ON p.id = w.id'
)
SUM = (PEOPLE, 40 * PEOPLE + PEOPLE // 2)
TRAINING = json.dumps(
    {
        "tables": ["civil-affairs/people", "human-resources/work"],
        "on": [["id", "id"]],
        "label": {"table": "civil-affairs/people", "column": "sex", "positive": "f"},
        "features": [{"table": "human-resources/work", "column": "hours"}],
        "iterations": 30,
    }
)
STREAMS = free_ports(1)[0]


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Disk]]:
    root = tmp_path_factory.mktemp("machine")
    with small_disk(root / "nodes" / HUMAN) as made:
        yield root, made


@pytest.fixture(scope="module")
def nodes(disk: tuple[Path, Disk]) -> Iterator[Tiny]:
    def one_stream_port(net: Network) -> None:
        config = net[HUMAN].home / "config.toml"
        text = config.read_text(encoding="utf-8")
        assert "first = 0\nlast = 0\n" in text
        config.write_text(text.replace("first = 0\nlast = 0\n", f"first = {STREAMS}\nlast = {STREAMS}\n"))

    with tiny(disk[0], one_stream_port) as made:
        people = "".join(f"p{i:02d},{'fm'[i % 2]}\n" for i in range(PEOPLE))
        made.register(CIVIL, "people", "id,sex\n" + people, key=["id"])
        made.register(HUMAN, "work", "id,hours\n" + SHARED, key=["id"])
        yield made


def works(nodes: Tiny, contract_query: str = QUERY) -> None:
    assert nodes.answer(contract_query).table() == [SUM]


# A full disk


def test_registering_on_a_full_disk(nodes: Tiny, disk: tuple[Path, Disk]) -> None:
    table = nodes.file("id,n\n" + "".join(f"{SECRETS[0]}{i},{i}\n" for i in range(12)))
    before = nodes.net[HUMAN].remote("auditor").ledger()
    disk[1].fill(nodes.net[HUMAN])
    try:
        code, error = nodes.lingqu(HUMAN, "register", "more", str(table))
    finally:
        disk[1].free()
    assert (code, error["code"]) == (1, "unavailable")
    assert str(nodes.net[HUMAN].home / "lingqu.db") in error["cause"]
    assert "disk" in error["cause"]
    assert "Free space" in error["cure"]
    assert nodes.net[HUMAN].remote("auditor").ledger()[: len(before)] == before
    asset = nodes.register(HUMAN, "more", table)
    assert asset.version == 1  # nothing of the first try was kept


@pytest.mark.parametrize("moment", ["before the run", "during the run"])
def test_a_job_on_a_full_disk_ends_everywhere(nodes: Tiny, disk: tuple[Path, Disk], moment: str) -> None:
    contract = nodes.agreed(TRAINING, "train", uses=2)
    human = nodes.net[HUMAN].remote("auditor")
    try:
        if moment == "before the run":
            disk[1].fill(nodes.net[HUMAN])
            job = nodes.analyst.start(contract.id, PURPOSE)
        else:
            job = nodes.analyst.start(contract.id, PURPOSE)
            wait_until("it runs", lambda: any(v.id == job.id and v.state == "running" for v in human.jobs()))
            disk[1].fill(nodes.net[HUMAN])
        ended = nodes.analyst.follow(job.id)
        error = nodes.failure(ended)  # ended at every node, the full one too
    finally:
        disk[1].free()
    assert (error.code, error.party) == ("unavailable", HUMAN), str(error)
    assert "disk" in error.cause
    assert "Free space" in error.cure
    # A node that had reached the reveal has spent its use; the full one has not, and has its reserved one free again.
    assert nodes.analyst.contract(contract.id).spent <= (moment == "during the run")
    again = nodes.run(contract).checked()
    assert nodes.analyst.result(again.id).kind == "model"
    for name in NAMES:
        view = nodes.net[name].remote("auditor").contract(contract.id)
        assert (view.reserved, view.spent >= 1) == (0, True)
    bundle = nodes.tables / f"{moment}.bundle"
    for name in NAMES:
        bundle.write_bytes(nodes.net[name].remote("auditor").export())
        done = subprocess.run([*LINGQU, "verify", str(bundle), "--json"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


# A port in use


def test_a_port_in_use_names_the_port_and_its_setting(nodes: Tiny, tmp_path: Path) -> None:
    manager = nodes.net[CIVIL].remote("manager")
    api, peer = manager.url.rpartition(":")[2], manager.node().address.rpartition(":")[2]
    free = iter(free_ports(2))
    cases = (("api.port", api, str(next(free)), api), ("peer.port", str(next(free)), peer, peer))
    for place, (setting, api_port, peer_port, wanted) in enumerate(cases):
        home = tmp_path / str(place)
        init = ["init", "--name", "late", "--api-port", api_port, "--peer-port", peer_port, "--home", str(home)]
        subprocess.run([*LINGQU, *init, "--json"], capture_output=True, check=True)
        done = subprocess.run(
            [*LINGQU, "serve", "--home", str(home), "--json"], capture_output=True, text=True, timeout=60, check=False
        )
        error = json.loads(done.stderr)
        assert (done.returncode, error["code"]) == (1, "unavailable")
        assert f"Port {wanted} of 127.0.0.1" in error["cause"]
        assert setting in error["cure"]


def test_a_home_that_runs_already(nodes: Tiny) -> None:
    code, error = nodes.lingqu(CIVIL, "serve")
    assert (code, error["code"]) == (1, "unavailable")
    assert str(nodes.net[CIVIL].home) in error["cause"]


def test_stream_ports_that_are_all_in_use(nodes: Tiny) -> None:
    contract = nodes.agreed(QUERY)
    with closing(socket.socket()) as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", STREAMS))
        holder.listen()
        error = nodes.failure(nodes.run(contract))
    assert (error.code, error.party) == ("unavailable", HUMAN)
    assert f"from {STREAMS} to {STREAMS}" in error.cause
    assert "stream.first" in error.cure
    assert nodes.analyst.result(nodes.run(contract).checked().id).table() == [SUM]


# A wrong clock


@pytest.mark.parametrize("seconds", [600, -600])
def test_a_clock_that_is_wrong_is_named(nodes: Tiny, seconds: int) -> None:
    contract = nodes.agreed(QUERY)
    human = nodes.net[HUMAN]
    human.stop()
    human.start((sys.executable, "-m", "tests.acceptance.skewed_node", "--seconds", str(seconds)))
    try:
        human.wait_ready()
        error = nodes.failure(nodes.run(contract))
        assert error.code == "unavailable"
        assert "clock" in error.cause
        assert any(f"{about} s {'behind' if seconds > 0 else 'ahead of'}" in error.cause for about in range(590, 611))
        assert HUMAN in str(error)
        assert "NTP" in error.cure
    finally:
        human.stop()
        human.start()
        human.wait_ready()
    assert nodes.analyst.result(nodes.run(contract).checked().id).table() == [SUM]
    failed(lambda: nodes.run(contract).checked(), "refused")
