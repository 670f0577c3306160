"""Real nodes on the loopback for tests: each a process with its own home, spoken to over HTTP."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from lingqu.kinds import clock
from lingqu.kinds.errors import LingquError
from lingqu.kinds.parties import Role
from lingqu.node.config import ApiConfig, Config, Home, PeerConfig, initialise
from lingqu.node.errors import revived

CIVIL, HUMAN, BIG = "civil-affairs", "human-resources", "big-data"
TITLES = {CIVIL: "民政局", HUMAN: "人社局", BIG: "大数据局"}
SQL = """
SELECT r.education, COUNT(*) AS people, AVG(e.hours) AS hours
FROM "civil-affairs/residents" r JOIN "human-resources/employment" e ON r.person_id = e.person_id
GROUP BY r.education
"""
PURPOSE = "labour statistics"
SERVE = (sys.executable, "-m", "lingqu.node.serve")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_home(root: Path, name: str, roles: Sequence[Role] = tuple(Role), **more: Any) -> Home:
    """A node's home with one user per role, named for it."""
    home = Home(root / name)
    port = free_port()
    config = Config(
        name=name,
        title=TITLES.get(name, name),
        api=ApiConfig(port=free_port()),
        peer=PeerConfig(host="127.0.0.1", port=port, address=f"127.0.0.1:{port}"),
        **more,
    )
    initialise(home, config, [(role.value, role) for role in roles])
    return home


class Bureau:
    """One organisation's node."""

    def __init__(self, root: Path, name: str, **more: Any) -> None:
        self.name = name
        self.home = make_home(root, name, **more)
        self.process: subprocess.Popen[str] | None = None
        self._http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.home.config().api.port}", timeout=60, trust_env=False
        )

    def start(self, command: Sequence[str] = SERVE) -> None:
        """Start the node and wait until it says that it is up."""
        self.process = subprocess.Popen(
            [*command, "--home", str(self.home.path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == f"{self.name} is up\n", line + self.process.stdout.read()

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """An orderly end."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None

    def close(self) -> None:
        """Stop everything."""
        self.stop()
        self._http.close()

    def call(self, role: str, method: str, path: str, document: dict[str, Any] | None = None) -> Any:
        """One request as the user of a role; raises the error that the node described."""
        headers = {}
        if role:
            token = (self.home.tokens / f"{role}.token").read_text()
            headers = {"Authorization": f"Bearer {token}"}
        response = self._http.request(method, path, json=document, headers=headers)
        if response.is_success:
            return response.json() if "json" in response.headers["content-type"] else response.content
        found = response.json()
        raise revived(*(found[field] for field in ("code", "cause", "cure", "term", "party")))

    def events(self, job: str) -> list[dict[str, Any]]:
        """Every view of a job that its stream of events holds, until the stream ends."""
        token = (self.home.tokens / "analyst.token").read_text()
        headers = {"Authorization": f"Bearer {token}"}
        with self._http.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            return [json.loads(line.removeprefix("data: ")) for line in response.iter_lines() if line]

    def workers(self) -> list[int]:
        """Process ids of the node's workers."""
        if self.process is None:
            return []
        found = []
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            found += [int(pid) for pid in task.read_text().split()]
        return found


class Trio:
    """Three nodes, paired, with their tables registered."""

    names: tuple[str, ...] = (CIVIL, HUMAN, BIG)

    def __init__(self, root: Path, **more: Any) -> None:
        self.root = root
        self.nodes = {name: Bureau(root, name, **more) for name in self.names}
        self.civil, self.human, self.big = (self.nodes[name] for name in (CIVIL, HUMAN, BIG))

    def start(self) -> None:
        """Start all three at once."""
        threads = [threading.Thread(target=node.start) for node in self.nodes.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def pair(self) -> None:
        """Every pair of nodes, confirmed on both sides."""
        for inviter, joiner in itertools.combinations(self.nodes.values(), 2):
            code = inviter.call("manager", "POST", "/v1/invitations", {})["code"]
            peer = joiner.call("manager", "POST", "/v1/peers", {"code": code})
            confirmed = {"comparison": peer["comparison"]}
            joiner.call("manager", "POST", f"/v1/peers/{inviter.name}/confirm", confirmed)
            inviter.call("manager", "POST", f"/v1/peers/{joiner.name}/confirm", confirmed)

    def register(self, people: int = 60) -> None:
        """Two small tables: ids 0..people-1 at civil affairs, the later three quarters at human resources."""
        levels = ("学士", "Masters", "none")
        rows = [f"p{i:04d},{levels[i % 3]},{20 + i % 40}" for i in range(people)]
        work = [f"p{i:04d},{30 + i % 12}" for i in range(people // 4, people)]
        (self.root / "residents.csv").write_text("\n".join(["person_id,education,age", *rows]) + "\n", encoding="utf-8")
        (self.root / "employment.csv").write_text("\n".join(["person_id,hours", *work]) + "\n", encoding="utf-8")
        for node, table in ((self.civil, "residents"), (self.human, "employment")):
            source = str(self.root / f"{table}.csv")
            document = {"name": table, "title": table, "source": source, "key": ["person_id"]}
            node.call("manager", "POST", "/v1/tables", document)

    def propose(self, uses: int = 1, **more: Any) -> str:
        """A contract over SQL, proposed by the analyst's node."""
        document = {
            "title": "education and hours",
            "purpose": PURPOSE,
            "program": {"kind": "sql", "text": SQL},
            "minimum_group": 5,
            "uses": uses,
            "expires": clock.written(clock.read(clock.now()) + timedelta(days=1)),
        } | more
        contract: str = self.big.call("analyst", "POST", "/v1/contracts", document)["id"]
        return contract

    def agree(self, uses: int = 1, **more: Any) -> str:
        """A contract in force."""
        contract = self.propose(uses, **more)
        for owner in (node for node in self.nodes.values() if node is not self.big):
            owner.call("owner", "POST", f"/v1/contracts/{contract}/approve", {})
        return contract

    def run(self, contract: str, purpose: str = PURPOSE) -> str:
        """Start a job; its id."""
        job: str = self.big.call("analyst", "POST", "/v1/jobs", {"contract": contract, "purpose": purpose})["id"]
        return job

    def ended(self, job: str, node: Bureau | None = None, within: float = 60) -> dict[str, Any]:
        """The job's last view at a node."""
        node = node or self.big
        pause = threading.Event()
        for _ in range(int(within / 0.1)):
            try:
                view: dict[str, Any] = node.call("analyst", "GET", f"/v1/jobs/{job}")
            except httpx.TransportError:
                view = {"state": "away"}
            if view["state"] in ("done", "failed", "refused"):
                return view
            pause.wait(0.1)
        raise AssertionError(f"job {job} has not ended at {node.name} within {within} s: {view}")

    def close(self) -> None:
        """Stop all three."""
        for node in self.nodes.values():
            node.close()


def refusal(node: Bureau, role: str, method: str, path: str, document: dict[str, Any] | None = None) -> LingquError:
    """The error with which a node answers."""
    try:
        found = node.call(role, method, path, document)
    except LingquError as error:
        return error
    raise AssertionError(f"{path} was allowed: {found}")
