"""A worker process's life: pipes, gate, kill, orphans; with stand-ins for the worker where its lines matter."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lingqu.engine.mechanism import machine_for
from lingqu.engine.supervisor import Supervisor, Worker
from lingqu.engine.worker import ORPHANED, JobLine
from lingqu.identity import Certificate, NodeKey
from lingqu.kinds.disclosure import Statement
from lingqu.kinds.errors import LingquError, PartyLost, Refused, Unavailable
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.programs import Program
from lingqu.net.memory import memory_channels
from lingqu.plan.plan import Plan, Step

PARTIES = ("civil-affairs", "human-resources", "big-data")
STAND_IN = """
import json, sys
def tell(**message):
    print(json.dumps(message), flush=True)
job = json.loads(sys.stdin.readline())
"""


class Told:
    """A handler that notes what it hears."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self.over = threading.Event()
        self.listens = threading.Event()
        self.error: LingquError | None = None
        self.release: Path | None = None
        self.refuse: LingquError | None = None

    def ready(self, endpoint: str) -> None:
        self.lines.append(endpoint)
        self.listens.set()

    def progress(self, step: str, figures: Mapping[str, Any]) -> None:
        self.lines.append((step, figures["state"]))

    def gate(self, step: str, reveal: bool) -> None:
        self.lines.append((step, reveal))
        if self.refuse is not None:
            raise self.refuse

    def left(self) -> None:
        self.lines.append("left")
        if self.refuse is not None:
            raise self.refuse

    def ended(self, figures: Mapping[str, Any], release: Path | None, error: LingquError | None) -> None:
        self.error, self.release = error, release
        self.over.set()


def plan(mechanism: str = "share.rep3") -> Plan:
    return Plan(
        program=Program(kind="sql", text="SELECT 1"),
        parties=PARTIES,
        recipient="big-data",
        minimum_group=2,
        assets=(),
        steps=(Step(id="out", operator="release", mechanism=mechanism, parties=PARTIES, reason="the exit"),),
        statement=Statement(learned={}, withheld=()),
        outputs=(),
    )


@pytest.fixture
def line(tmp_path: Path) -> JobLine:
    key = NodeKey.generate()
    key.save(tmp_path / "node.pem")
    certificates = [Certificate.issue(key, PARTIES[0], "t")]
    certificates += [Certificate.issue(NodeKey.generate(), name, "t") for name in PARTIES[1:]]
    (tmp_path / "node.crt").write_text(certificates[0].pem)
    return JobLine(
        job=secrets.token_hex(16),
        plan=plan(),
        party=0,
        certificates=tuple(certificate.pem for certificate in certificates),
        key=str(tmp_path / "node.pem"),
        certificate=str(tmp_path / "node.crt"),
        tables={},
        bindings={},
        host="127.0.0.1",
        first=0,
        last=0,
        timeout=5,
        directory=str(tmp_path / "job"),
        kept=str(tmp_path / "kept"),
    )


@pytest.fixture
def told() -> Told:
    return Told()


def spawn(line: JobLine, told: Told, script: str) -> tuple[Supervisor, Worker]:
    supervisor = Supervisor((sys.executable, "-c", STAND_IN + script))
    return supervisor, supervisor.spawn(line, told)


@pytest.fixture
def real() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.close()


def test_a_worker_s_lines_reach_the_node_and_the_answers_the_worker(line: JobLine, told: Told) -> None:
    supervisor, worker = spawn(
        line,
        told,
        """
tell(ready="127.0.0.1:1")
endpoints = json.loads(sys.stdin.readline())["start"]
tell(gate="out", reveal=False); assert json.loads(sys.stdin.readline()) == {"gate": None}
tell(gate="out", reveal=True); assert json.loads(sys.stdin.readline()) == {"gate": None}
tell(step="out", state="done", rounds=1, bytes=2, seconds=0.5)
tell(left=True); assert json.loads(sys.stdin.readline()) == {"left": None}
tell(done={"rounds": 1, "bytes": 2, "release": endpoints[0]})
""",
    )
    assert told.listens.wait(20)
    worker.start(["/somewhere"])
    assert told.over.wait(20)
    assert (told.error, told.release) == (None, Path("/somewhere"))
    assert told.lines == ["127.0.0.1:1", ("out", False), ("out", True), ("out", "done"), "left"]
    supervisor.close()


@pytest.mark.parametrize(("question", "word"), [('gate="out", reveal=True', "gate"), ("left=True", "left")])
def test_a_no_of_the_node_reaches_the_worker_with_its_term(line: JobLine, told: Told, question: str, word: str) -> None:
    told.refuse = Refused("The contract was revoked.", "Propose a new one.", term="revoked")
    supervisor, _ = spawn(
        line,
        told,
        f"""
tell({question})
tell(failed=json.loads(sys.stdin.readline())["{word}"])
""",
    )
    assert told.over.wait(20)
    assert isinstance(told.error, Refused)
    assert told.error.term == "revoked"
    supervisor.close()


@pytest.mark.parametrize("script", ["print('hello', flush=True)", "tell(unknown=1)", "tell(step=1)", "print('[]')"])
def test_a_line_that_is_no_message_ends_the_worker(line: JobLine, told: Told, script: str) -> None:
    supervisor, worker = spawn(line, told, script + "\nsys.stdin.readline()")
    assert told.over.wait(20)
    assert told.error is not None
    assert "no message" in told.error.cause
    worker.join()
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)
    supervisor.close()


def test_a_result_does_not_count_when_the_worker_failed_after_it(line: JobLine, told: Told) -> None:
    failure = {"code": "party-lost", "cause": "c", "cure": "d", "term": None, "party": "big-data"}
    supervisor, _ = spawn(
        line,
        told,
        f"tell(done={{'release': '/r'}}); tell(failed={failure})",
    )
    assert told.over.wait(20)
    assert isinstance(told.error, PartyLost)
    assert (told.error.party, told.release) == ("big-data", None)
    supervisor.close()


def test_a_killed_worker_is_reaped_and_its_party_named(line: JobLine, told: Told, real: Supervisor) -> None:
    worker = real.spawn(line, told)
    assert told.listens.wait(60)
    assert str(told.lines[0]).startswith("127.0.0.1:")
    os.kill(worker.pid, signal.SIGKILL)
    assert told.over.wait(20)
    assert isinstance(told.error, PartyLost)
    assert told.error.party == "civil-affairs"
    assert "status -9" in told.error.cause
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)


def test_a_worker_whose_node_is_gone_ends_at_once(line: JobLine) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "lingqu.engine.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        process.stdin.write(line.canonical() + b"\n")
        process.stdin.flush()
        assert b'"ready"' in process.stdout.readline()
        process.stdin.close()
        assert process.wait(20) == ORPHANED


def test_a_worker_says_why_it_cannot_listen_or_reach_the_others(line: JobLine, told: Told, real: Supervisor) -> None:
    worker = real.spawn(line.model_copy(update={"host": "192.0.2.1"}), told)  # no address of this machine
    assert told.over.wait(60)
    assert isinstance(told.error, Unavailable)
    lost = Told()
    worker = real.spawn(line.model_copy(update={"timeout": 1}), lost)
    assert lost.listens.wait(60)
    worker.start([str(lost.lines[0]), "127.0.0.1:1", "127.0.0.1:1"])
    assert lost.over.wait(60)
    assert isinstance(lost.error, PartyLost)
    log = Path(line.directory) / "worker.log"
    assert log.stat().st_mode & 0o077 == 0


def test_a_worker_that_cannot_be_started_is_an_error(line: JobLine, told: Told) -> None:
    supervisor = Supervisor(("/no/such/program",))
    with pytest.raises(Unavailable, match="No worker process"):
        supervisor.spawn(line, told)
    supervisor.close()


def test_the_mechanism_comes_from_the_installed_ones_and_never_in_the_clear() -> None:
    channel = memory_channels(PARTIES)[0]
    for mechanism in ("share.plain", "local"):
        with pytest.raises(Refused) as refused:
            machine_for(plan(mechanism), channel)
        assert refused.value.term == "techniques"
    with pytest.raises(LingquError, match="no mechanism"):
        machine_for(plan("os.system"), channel)


@pytest.mark.parametrize(
    ("changes", "term"),
    [
        ({"adversary": Adversary.MALICIOUS_ABORT}, "adversary"),
        ({"parties": PARTIES[:2], "outside": PARTIES[2:]}, "parties"),
    ],
)
def test_a_plan_that_promises_more_than_its_mechanism_declares_does_not_run(changes: dict[str, Any], term: str) -> None:
    with pytest.raises(Refused) as refused:
        machine_for(plan().model_copy(update=changes), memory_channels(PARTIES)[0])
    assert refused.value.term == term


def test_a_job_line_survives_the_pipe(line: JobLine) -> None:
    assert JobLine.parse(line.canonical()) == line
    assert json.loads(line.canonical())["plan"]["steps"][0]["id"] == "out"
