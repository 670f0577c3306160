"""Programs that a mechanism runs itself, asked over real nodes: proposed, approved, run, and what each step sent."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.recorded import sent
from tests.node.cluster import Bureau, Trio, refusal

from lingqu.kinds import clock
from lingqu.kinds.errors import Refused
from lingqu.net.record import read_recording

Program = dict[str, Any]


@dataclass(frozen=True)
class Asking:
    """One kind of program with the purpose that its tests state."""

    kind: str
    purpose: str
    minimum_group: int

    def document(self, program: Program, **more: Any) -> dict[str, Any]:
        """A proposal, as the interface takes it."""
        return {
            "title": self.kind,
            "purpose": self.purpose,
            "program": {"kind": self.kind, "text": json.dumps(program)},
            "minimum_group": self.minimum_group,
            "uses": 1,
            "expires": clock.written(clock.read(clock.now()) + timedelta(days=1)),
        } | more

    def agree(self, asker: Bureau, others: Sequence[Bureau], program: Program, **more: Any) -> str:
        """A contract in force."""
        contract: str = asker.call("analyst", "POST", "/v1/contracts", self.document(program, **more))["id"]
        for other in others:
            other.call("owner", "POST", f"/v1/contracts/{contract}/approve", {})
        return contract

    def order(self, contract: str, given: dict[str, Any] | None = None) -> dict[str, Any]:
        """The request of a run."""
        asked: dict[str, Any] = {"contract": contract, "purpose": self.purpose}
        return asked if given is None else asked | {"given": {"columns": given}}

    def run(self, trio: Trio, nodes: Sequence[Bureau], contract: str, given: dict[str, Any] | None = None) -> str:
        """A job that has ended well at all nodes, of which the first asks."""
        job: str = nodes[0].call("analyst", "POST", "/v1/jobs", self.order(contract, given))["id"]
        for node in nodes:
            view = trio.ended(job, node)
            assert view["state"] == "done", view["error"]
        return job

    def killed(self, trio: Trio, nodes: Sequence[Bureau], contract: str, victim: Bureau) -> str:
        """The state of a run whose worker at one node is killed (kill -9) as soon as some parts are done."""
        job = nodes[0].call("analyst", "POST", "/v1/jobs", self.order(contract))["id"]
        folder = kept(victim, contract) / "intersect"
        pause = threading.Event()
        while len(list(folder.glob("done-??????"))) < 3:
            if nodes[0].call("analyst", "GET", f"/v1/jobs/{job}")["state"] not in ("admitting", "running"):
                break
            pause.wait(0.01)
        for pid in victim.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended = [trio.ended(job, node) for node in nodes]
        assert ended[0]["state"] == "done" or ended[0]["error"]["code"] == "party-lost"
        assert len({one["state"] for one in ended}) == 1
        state: str = ended[0]["state"]
        return state

    def explained(self, asker: Bureau, program: Program, **more: Any) -> Any:
        """What the asker's node says of a program before it is proposed."""
        document = self.document(program)
        wanted = {key: document[key] for key in ("program", "minimum_group")}
        return asker.call("analyst", "POST", "/v1/plans", wanted | more)

    def declared(self, asker: Bureau, program: Program, **more: Any) -> dict[str, Any]:
        """The step of the plan that the mechanism runs."""
        plan = self.explained(asker, program, **more)["plan"]
        step: dict[str, Any] = next(one for one in plan["steps"] if one["id"] == self.kind)
        return step

    def measured(self, trio: Trio, job: str, nodes: Sequence[Bureau]) -> list[dict[str, Any]]:
        """That step's figures at each node."""
        return [next(one for one in trio.ended(job, n)["steps"] if one["id"] == self.kind) for n in nodes]

    def refused(self, asker: Bureau, program: Program, term: str, **more: Any) -> None:
        """A proposal is refused by this term."""
        error = refusal(asker, "analyst", "POST", "/v1/contracts", self.document(program, **more))
        assert isinstance(error, Refused)
        assert error.term == term


def release(node: Bureau, job: str) -> Any:
    """The result of a job at a node."""
    return node.call("analyst", "GET", f"/v1/jobs/{job}/result")


def learned(node: Bureau, contract: str) -> dict[str, list[str]]:
    """Which kinds of facts each party learns, by the contract's statement."""
    terms = node.call("analyst", "GET", f"/v1/contracts/{contract}")["terms"]
    return {name: [line["fact"] for line in lines] for name, lines in terms["statement"]["learned"].items()}


def kept(node: Bureau, contract: str) -> Path:
    """What runs of a contract leave at a node."""
    return node.home.path / "kept" / contract.removeprefix("sha256:")


def messages(trio: Trio, job: str, party: str) -> bytes:
    """What a party's worker sent to the others."""
    return sent(read_recording(trio.root / "record" / f"{job}.{party}.recording"))


def command(node: Bureau) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command `lingqu` of a node's analyst."""

    def verb(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "lingqu", *arguments, "--home", str(node.home.path)]
        return subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "160"})

    return verb


def ended_well(done: subprocess.CompletedProcess[str]) -> str:
    """What a command printed that must have succeeded."""
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def without_uses(done: subprocess.CompletedProcess[str]) -> None:
    """A command was refused since the contract's uses are spent."""
    assert done.returncode == 3
    assert "uses" in done.stderr


def until(node: Bureau, contract: str, state: str, pause: Callable[[float], Any]) -> None:
    """Wait until a node has a contract in some state."""
    for _ in range(600):
        if node.call("analyst", "GET", f"/v1/contracts/{contract}")["state"] == state:
            return
        pause(0.1)
    pytest.fail(f"{node.name} does not have the contract {state}")
