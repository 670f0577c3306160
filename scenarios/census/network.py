"""Real nodes on the loopback, each a process with its own home: the two bureaus, and big-data where three compute."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lingqu.kinds.errors import LingquError, Unavailable
from lingqu.node.remote import Home, Remote

CIVIL, HUMAN, BIG = "civil-affairs", "human-resources", "big-data"
TITLES = {CIVIL: "民政局", HUMAN: "人社局", BIG: "大数据局"}
NAMES = (CIVIL, HUMAN, BIG)
START_SECONDS = 40.0
LINGQU = (sys.executable, "-m", "lingqu")


class Bureau:
    """One organisation: its home directory, its node's process, and its users' connections."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.title = TITLES[name]
        self.home = root / name
        self.process: subprocess.Popen[bytes] | None = None
        self._remotes: dict[str, Remote] = {}

    def lingqu(self, *arguments: str) -> Any:
        """Run one verb of the command line at this node with --json, and return what it prints."""
        command = [*LINGQU, *arguments, "--home", str(self.home), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise LingquError(f"`lingqu {arguments[0]}` failed: {done.stderr.strip()}", "See the node's log.")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def remote(self, user: str) -> Remote:
        """The connection of one of the node's users."""
        if user not in self._remotes:
            self._remotes[user] = Remote.at(Home(self.home), user)
        return self._remotes[user]

    def start(self, command: Sequence[str] = (*LINGQU, "serve")) -> None:
        """Start the node's process; `command` may name another program than `lingqu serve`."""
        with (self.home / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--home", str(self.home)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_ready(self) -> None:
        """Wait until the node answers; Unavailable with the end of its log when it does not."""
        assert self.process is not None
        pause = threading.Event()
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.remote("manager").health()
                return
            except Unavailable:
                pause.wait(0.1)
        log = (self.home / "serve.log").read_text(errors="replace")[-2000:]
        raise Unavailable(f"The node {self.name} did not start: {log}", "See its serve.log.")

    def stop(self) -> None:
        """End the node in order; kill it when it does not end."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        for remote in self._remotes.values():
            remote.close()
        self._remotes.clear()


class Network:
    """The bureaus under one root directory.

    names: who takes part; the last one asks, and receives the results.
    """

    def __init__(self, root: Path, names: Sequence[str] = NAMES) -> None:
        self.root = root
        self.asker = names[-1]
        self.signers = tuple(names[:-1])
        self.bureaus = {name: Bureau(name, root) for name in names}

    def __getitem__(self, name: str) -> Bureau:
        return self.bureaus[name]

    def initialise(self, record: Path | None = None) -> None:
        """Make the homes on free ports.  record: where the nodes write their traffic in the clear, for tests."""
        ports = iter(free_ports(2 * len(self.bureaus)))
        for bureau in self.bureaus.values():
            arguments = ["--name", bureau.name, "--title", bureau.title]
            arguments += ["--api-port", str(next(ports)), "--peer-port", str(next(ports))]
            if record is not None:
                arguments += ["--record", str(record / bureau.name)]
            bureau.lingqu("init", *arguments)

    def start(self) -> None:
        """Start all nodes and wait until each answers."""
        for bureau in self.bureaus.values():
            bureau.start()
        for bureau in self.bureaus.values():
            bureau.wait_ready()

    def pair(self, one: str, other: str) -> str:
        """Pair two nodes: `one` invites, `other` joins, both confirm the same digits, which are returned."""
        inviting, joining = self[one].remote("manager"), self[other].remote("manager")
        joined = joining.join(inviting.invite().code)
        seen = next(peer for peer in inviting.node().peers if peer.name == other)
        assert joined.comparison is not None
        if seen.comparison != joined.comparison:
            raise LingquError("The two sides show different digits.", "Somebody stands between them: do not confirm.")
        inviting.confirm(other, seen.comparison)
        joining.confirm(one, joined.comparison)
        return joined.comparison

    def pair_all(self) -> dict[tuple[str, str], str]:
        """Pair every two nodes."""
        names = list(self.bureaus)
        pairs = [(one, other) for index, one in enumerate(names) for other in names[index + 1 :]]
        return {pair: self.pair(*pair) for pair in pairs}

    def approve(self, owner: str, contract: str) -> None:
        """Let an owner sign a proposed contract once its node has it."""
        signer = self[owner].remote("owner")
        wait_until(f"{owner} has the proposal", lambda: any(view.id == contract for view in signer.contracts()))
        signer.approve(contract)

    def wait_in_force(self, contract: str) -> None:
        """Wait until every node has every signature."""
        nodes = [bureau.remote("auditor") for bureau in self.bureaus.values()]
        wait_until(
            "the contract is in force everywhere",
            lambda: all(node.contract(contract).state == "in-force" for node in nodes),
        )

    def stop(self) -> None:
        """Stop all nodes."""
        for bureau in self.bureaus.values():
            bureau.stop()


@contextmanager
def network(root: Path, record: Path | None = None, names: Sequence[str] = NAMES) -> Iterator[Network]:
    """Started nodes that do not know each other yet; stopped at the end."""
    made = Network(root, names)
    made.initialise(record)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def free_ports(count: int) -> list[int]:
    """Distinct loopback ports that nobody listens on now."""
    holders = [socket.socket() for _ in range(count)]
    try:
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [int(holder.getsockname()[1]) for holder in holders]
    finally:
        for holder in holders:
            holder.close()


def wait_until(said: str, holds: Any, seconds: float = 30.0) -> None:
    """Wait until `holds()` is true; LingquError says what did not come."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise LingquError(f"This did not come about within {seconds:g} s: {said}.", "See the nodes' logs.")
        pause.wait(0.05)


def memory_of(process: int) -> int:
    """Resident bytes of a process, 0 when it is gone."""
    try:
        with open(f"/proc/{process}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
