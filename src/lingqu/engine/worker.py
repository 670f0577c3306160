"""One party's part of one job, as a process: `python -m lingqu.engine.worker`.

It speaks JSON lines with its node over stdin and stdout: it reads its job, says where it listens, waits for the other
parties' endpoints, then runs the plan; before every step and again before the reveal it asks the node whether it may.
When its stdin ends the node is gone, and the process ends at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import queue
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from pydantic import Field

from lingqu._core import keep_memory
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import LingquError, Refused, Unavailable, revived
from lingqu.kinds.programs import Value
from lingqu.kinds.schema import Asset
from lingqu.plan.plan import Plan, Step

if TYPE_CHECKING:
    import numpy.typing as npt

    from lingqu.engine.execute import LocalRows
    from lingqu.engine.release import Release
    from lingqu.kinds.channel import Channel, Traffic
    from lingqu.kinds.errands import Runner
    from lingqu.net.tls import Listener
    from lingqu.share.supplies import Account

MAX_LINE = 32 << 20
RELEASE = "release.json"
ATTACHED = "release.parquet"
"""What a worker leaves in its job's folder: the result, and beside it the rows of a large one."""
ORPHANED = 3
OUTSIDE_PATIENCE = 7 * 86_400.0
"""Seconds for which an outside party waits for compute parties that live; they watch each other more closely."""
LOW_PRIORITY = 19
"""Added to the niceness of a worker that only makes correlations ahead."""
_PR_SET_PDEATHSIG = 1
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


class LocalTable(Document):
    """One of this party's tables: where its rows are, what was published, and the fingerprint of the rows."""

    source: Annotated[str, Field(repr=False)]  # a database URL may hold a password
    asset: Asset
    fingerprint: str


class JobLine(Document):
    """All that a worker is told.

    job: the session's 16 bytes, hexadecimal.  party: this party's place in plan.everyone.
    certificates: the pinned certificates (PEM) of everyone, in that order.  key, certificate: this party's files.
    tables: this party's tables by asset id.  host, first, last: where to listen (0, 0: any free port).
    directory: the job's own folder.  kept: the contract's, which outlives its jobs.  earlier: the one of another
    contract over the same program between the same parties, or None.
    given: the file of what this party gave the run for itself, or None.
    record: a folder for a recording of the messages, for tests; or None.
    supplies: the folder of the contract's correlations, or None.  making: make such ahead instead of running the plan,
    among the compute parties alone.
    """

    job: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    plan: Plan
    party: int
    certificates: tuple[str, ...]
    key: str
    certificate: str
    tables: dict[str, LocalTable]
    bindings: dict[str, Value]
    host: str
    first: int
    last: int
    timeout: int
    directory: str
    kept: str
    earlier: Path | None = None
    given: str | None = None
    record: str | None = None
    supplies: str | None = None
    making: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The parties of the session."""
        return self.plan.parties if self.making else self.plan.everyone


class Pipe:
    """The node's end of things: lines out, commands in; the end of stdin ends this process."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever a library prints belongs into the log
        self._writing = threading.Lock()
        self._commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        first = sys.stdin.buffer.readline(MAX_LINE)
        if not first:
            os._exit(ORPHANED)
        self.job = JobLine.parse(first)
        threading.Thread(target=self._listen, name="node", daemon=True).start()

    def tell(self, **message: Any) -> None:
        """Write one line to the node."""
        with self._writing:
            self._out.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
            self._out.flush()

    def start(self) -> tuple[list[str], tuple[str, ...]]:
        """Wait for the endpoints of all parties, and the names of the portions of correlations to use, or to make."""
        command = self._commands.get()
        return [str(endpoint) for endpoint in command["start"]], tuple(str(name) for name in command["prepared"])

    def gate(self, step: str, reveal: bool) -> None:
        """Ask the node; its own error when it says no: Refused by a term, Unavailable when its disk is full."""
        self.tell(gate=step, reveal=reveal)
        answer = self._commands.get()["gate"]
        if answer is not None:
            raise revived(answer)

    def leave(self) -> None:
        """Tell the node that this party has said its last word to the others, and wait until it has written that down.

        Its own error when it cannot.
        """
        self.tell(left=True)
        answer = self._commands.get()["left"]
        if answer is not None:
            raise revived(answer)

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            self._commands.put(json.loads(line))
        os._exit(ORPHANED)


class Progress:
    """Figures of each step as it ends: the traffic since the one before, and the time."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._clock = time.monotonic()
        self.rounds = self.bytes = 0
        self.account: Callable[[], Account] | None = None

    def __call__(self, step: Step, traffic: Traffic) -> None:
        """A step has ended; traffic: what it took at this party."""
        now = time.monotonic()
        self.rounds += traffic.rounds
        self.bytes += traffic.sent
        figures = {} if self.account is None else {"supplies": supplied(self.account())}
        self._pipe.tell(
            step=step.id,
            state="done",
            rounds=traffic.rounds,
            bytes=traffic.sent,
            seconds=round(now - self._clock, 4),
            **figures,
        )
        self._clock = now

    def rows(self, step: Step, done: int, total: int) -> None:
        """A long step has dealt with so many rows of all."""
        seconds = round(time.monotonic() - self._clock, 4)
        self._pipe.tell(step=step.id, state="running", seconds=seconds, rows=done, of=total)


def supplied(account: Account) -> dict[str, dict[str, int]]:
    """An account of correlations as a receipt's `supplies` holds it."""
    return {
        kind: {"rounds": took.rounds, "bytes": took.sent, "milliseconds": round(took.seconds * 1000)}
        for kind, took in (("ahead", account.ahead), ("online", account.online))
    }


def local_rows(job: JobLine) -> LocalRows:
    """What the engine calls for a "scan" step: this party's own rows, projected by its own database when looked at."""
    if not job.tables:  # a party without data is spared the database

        def nothing(step: Step) -> Mapping[str, npt.NDArray[Any]]:
            raise Refused(f"Step {step.id} reads rows of a party that has none.", "Run the signed plan.", term="assets")

        return nothing
    from lingqu.catalog import Projection, Registered, open_source
    from lingqu.engine.places import Placeless
    from lingqu.plan.inputs import ScanArguments, bound

    def rows(step: Step) -> Mapping[str, npt.NDArray[Any]]:
        arguments = ScanArguments.parse(json.dumps(step.arguments))
        table = job.tables.get(arguments.asset)
        if table is None:
            raise Refused(f"{arguments.asset} is not this party's.", "Run the signed plan.", term="assets")
        projections = [Projection(item.name, bound(item.sql, job.bindings)) for item in arguments.projections]
        return Placeless(
            lambda: Registered(
                open_source(table.source), table.asset, projections, table.fingerprint, Path(job.directory)
            ),
            table.source,
            table.asset.id,
        )

    return rows


def computes(job: JobLine) -> bool:
    """Whether this party is one of the compute parties."""
    return job.party < len(job.plan.parties)


def compute(
    pipe: Pipe, channel: Channel, rows: LocalRows, progress: Progress, prepared: tuple[str, ...]
) -> Release | None:
    """A compute party's part.  prepared: the portions of correlations to use."""
    from lingqu.engine.execute import execute
    from lingqu.engine.mechanism import doorway, mechanism_of, runner
    from lingqu.engine.meeting import Outside
    from lingqu.engine.supplies import machine_with, supplier
    from lingqu.net.inner import InnerChannel

    job, plan, outside = pipe.job, pipe.job.plan, None
    own = runner(mechanism_of(plan))
    if own is None and job.given is not None:
        raise Refused("This program takes nothing that only the asker knows.", "Give no keys.", term="program")
    if own is not None:
        return carried_out(pipe, own, channel, rows, progress)
    inside = len(plan.parties)
    machine = machine_with(plan, InnerChannel(channel, inside), job.supplies, prepared)
    source = supplier(mechanism_of(plan))
    if source is not None:
        progress.account = lambda: source.account(machine)
    if plan.outside:
        door = doorway(mechanism_of(plan)).door(machine, channel)
        outside = Outside(door, channel, range(inside, len(plan.everyone)))
    return execute(
        plan,
        machine,
        rows,
        job.bindings,
        progress,
        pipe.gate,
        job=job.job,
        traffic=lambda: channel.traffic,
        outside=outside,
    )


def carried_out(pipe: Pipe, runner: Runner, channel: Channel, rows: LocalRows, progress: Progress) -> Release | None:
    """A compute party's part in a plan whose mechanism runs its steps itself."""
    from lingqu.engine.errands import carry_out
    from lingqu.kinds.errands import Given

    job = pipe.job
    given = None if job.given is None else Given.parse(Path(job.given).read_bytes())
    return carry_out(
        job.plan,
        runner,
        channel,
        rows,
        job.bindings,
        progress,
        pipe.gate,
        job=job.job,
        folder=Path(job.kept),
        earlier=job.earlier,
        report=progress.rows,
        given=given,
        left=pipe.leave,
        beside=Path(job.directory) / ATTACHED,
    )


def from_outside(pipe: Pipe, channel: Channel, rows: LocalRows, progress: Progress) -> Release | None:
    """The part of an owner or recipient that does not compute."""
    from lingqu.engine.mechanism import doorway, mechanism_of
    from lingqu.engine.outsider import take_part

    job = pipe.job
    outsider = doorway(mechanism_of(job.plan)).outsider(channel)
    return take_part(job.plan, outsider, channel, rows, job.bindings, progress, pipe.gate, job=job.job)


def run(pipe: Pipe) -> Mapping[str, Any]:
    """Listen, mesh up, run the plan; what `done` carries."""
    from lingqu.identity import Certificate
    from lingqu.net.stream import Limits

    job = pipe.job
    pinned = [Certificate.parse(pem) for pem in job.certificates]
    listener = _listen(job)
    pipe.tell(ready=listener.address)
    rows = local_rows(job)  # loads the database while the other parties get ready
    endpoints, prepared = pipe.start()
    channel: Channel = listener.mesh(
        bytes.fromhex(job.job),
        job.party,
        job.names,
        endpoints,
        pinned,
        timeout=job.timeout,
        limits=Limits() if computes(job) else Limits(patience=OUTSIDE_PATIENCE),
    )
    if job.making:
        from lingqu.engine.supplies import make

        with contextlib.closing(channel):
            make(pipe, channel, prepared)
        return {"rounds": channel.traffic.rounds, "bytes": channel.traffic.sent, "release": None}
    if job.record is not None:
        from lingqu.net.record import RecordingChannel

        channel = RecordingChannel(channel, Path(job.record) / f"{job.job}.{job.plan.everyone[job.party]}.recording")
    progress = Progress(pipe)
    with contextlib.closing(channel):
        if computes(job):
            opened = compute(pipe, channel, rows, progress, prepared)
        else:
            opened = from_outside(pipe, channel, rows, progress)
    done: dict[str, Any] = {"rounds": progress.rounds, "bytes": progress.bytes, "release": None}
    if opened is not None:
        path = Path(job.directory) / RELEASE
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(opened.canonical())
            file.flush()
            os.fsync(file.fileno())
        done["release"] = str(path)
    return done


def _listen(job: JobLine) -> Listener:
    """A port of the range that is free."""
    from lingqu.net import tls

    for port in range(job.first, job.last + 1):
        with contextlib.suppress(Unavailable):
            return tls.listen(job.host, port, key=Path(job.key), certificate=Path(job.certificate))
    raise Unavailable(
        f"Every stream port from {job.first} to {job.last} of {job.host} is in use.",
        "Widen stream.first to stream.last in config.toml, or run fewer jobs at once.",
    )


def _unforeseen(error: Exception, job: JobLine) -> LingquError:
    party = job.plan.everyone[job.party]
    if isinstance(error, OSError) and error.errno in _DISK:
        return Unavailable(
            f"The disk that holds {error.filename or job.directory} cannot be written: {error.strerror}.",
            "Free space there, then run the job again.",
            party=party,
        )
    return LingquError(f"The worker failed with {type(error).__name__}.", "Look at the job's worker.log.", party=party)


def forbid_core_dumps() -> None:
    """Keep keys, shares and rows out of core files.  The limit of one byte counts where dumps go to a pipe, too."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0 if most == 0 else 1, most))


def main() -> NoReturn:
    """The process: one job, then the end."""
    forbid_core_dumps()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the node
    keep_memory()
    pipe = Pipe()
    if pipe.job.making:
        os.nice(LOW_PRIORITY)
    try:
        done = run(pipe)
    except LingquError as error:
        pipe.tell(failed=error.document())
    except Exception as error:
        # The traceback's frames name code, never values; the message of an unforeseen error could hold a value.
        where = "".join(traceback.format_tb(error.__traceback__))
        sys.stderr.write(f"{where}{type(error).__name__}\n")
        unforeseen = _unforeseen(error, pipe.job)
        pipe.tell(failed=unforeseen.document())
    else:
        pipe.tell(done=done)
    os._exit(0)


if __name__ == "__main__":
    main()
