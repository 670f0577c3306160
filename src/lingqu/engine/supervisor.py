"""Worker processes: started for one job and party, spoken to over pipes, gone with their job or their node."""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any, Protocol

from lingqu.engine.worker import MAX_LINE, JobLine
from lingqu.kinds.errors import LingquError, PartyLost, Unavailable, revived

LOG = logging.getLogger("lingqu.engine.supervisor")
REAP_SECONDS = 10.0


class Handler(Protocol):
    """What a node does when its worker speaks; called on the worker's own reader thread, one call at a time."""

    def ready(self, endpoint: str) -> None:
        """The worker listens."""

    def progress(self, step: str, figures: Mapping[str, Any]) -> None:
        """A step began or ended: state, rounds, bytes, seconds."""

    def gate(self, step: str, reveal: bool) -> None:
        """The worker asks whether it may go on; raises LingquError when not."""

    def left(self) -> None:
        """The worker has said its last word to the other parties and works on alone; raises LingquError to stop it."""

    def ended(self, figures: Mapping[str, Any], release: Path | None, error: LingquError | None) -> None:
        """The worker is gone, for this reason; release: the file with the result, at the recipient only."""


class Worker:
    """One worker process.  Every method is safe from any thread."""

    def __init__(self, process: subprocess.Popen[bytes], line: JobLine, handler: Handler) -> None:
        self._process = process
        self._line = line
        self._handler = handler
        self._writing = threading.Lock()
        self._reader = threading.Thread(target=self._read, name=f"worker-{line.job[:8]}", daemon=True)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def begin(self) -> None:
        """Send the job and start listening to the worker."""
        self._reader.start()
        self._send(self._line.canonical())

    def start(self, endpoints: Sequence[str], prepared: Sequence[str] = ()) -> None:
        """Every party is ready: mesh up and run.  prepared: names of portions of correlations to use, or to make."""
        self._send(json.dumps({"start": list(endpoints), "prepared": list(prepared)}).encode())

    def kill(self) -> None:
        """End the process now; its end is reported through `Handler.ended`."""
        if self._process.poll() is None:
            self._process.kill()

    def join(self, timeout: float = REAP_SECONDS) -> None:
        """Wait until the process is gone and its end was reported."""
        if threading.current_thread() is not self._reader:
            self._reader.join(timeout)

    def _send(self, line: bytes) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            with self._writing:
                pipe.write(line + b"\n")
                pipe.flush()
        except (OSError, ValueError):
            return  # the worker is gone; the reader reports why

    def _read(self) -> None:
        figures: dict[str, Any] = {}
        release: Path | None = None
        error: LingquError | None = None
        finished = False
        pipe = self._process.stdout
        assert pipe is not None
        try:
            while line := pipe.readline(MAX_LINE):
                message = json.loads(line)
                if "done" in message:
                    finished, figures = True, message["done"]
                    release = Path(figures["release"]) if figures.get("release") else None
                elif "failed" in message:
                    error = revived(message["failed"])
                else:
                    self._take(message)
        except (ValueError, KeyError, TypeError):
            error = LingquError("The worker wrote a line that is no message.", f"Look at {self._line.directory}.")
        except LingquError as refused:
            error = refused
        except Exception as unforeseen:  # the process must be reaped and its end reported, whatever a handler does
            LOG.exception("job %s", self._line.job)
            error = LingquError(f"The node failed with {type(unforeseen).__name__}.", "Look at its log.")
        self._process.kill()
        status = self._process.wait()
        for end in (self._process.stdin, pipe):
            _close(end)
        if error is None and not finished:
            error = PartyLost(
                f"The worker process of {self._line.plan.everyone[self._line.party]} ended with status {status}.",
                f"Look at jobs/{self._line.job}/worker.log in its home, then run the job again.",
                party=self._line.plan.everyone[self._line.party],
            )
        self._handler.ended(figures, None if error else release, error)

    def _take(self, message: Mapping[str, Any]) -> None:
        if "ready" in message:
            self._handler.ready(message["ready"])
        elif "step" in message:
            self._handler.progress(message["step"], message)
        elif "gate" in message:
            self._answer("gate", lambda: self._handler.gate(message["gate"], message["reveal"]))
        elif "left" in message:
            self._answer("left", self._handler.left)
        else:
            raise KeyError("message")

    def _answer(self, question: str, handle: Callable[[], None]) -> None:
        """Let the worker go on, or tell it why not."""
        try:
            handle()
        except LingquError as refused:
            self._send(json.dumps({question: refused.document()}).encode())
        else:
            self._send(json.dumps({question: None}).encode())


class Supervisor:
    """Starts workers.

    All of them are children of one long-lived thread: the kernel ends a worker when the *thread* that started it ends
    (PR_SET_PDEATHSIG), so a node that is killed takes its workers with it.
    """

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", "lingqu.engine.worker")) -> None:
        self._command = tuple(command)
        self._orders: queue.SimpleQueue[tuple[JobLine, Future[subprocess.Popen[bytes]]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="spawner", daemon=True)
        self._thread.start()

    def spawn(self, line: JobLine, handler: Handler) -> Worker:
        """Start a worker for a job at this party; Unavailable when the machine cannot."""
        order: Future[subprocess.Popen[bytes]] = Future()
        self._orders.put((line, order))
        worker = Worker(order.result(), line, handler)
        worker.begin()
        return worker

    def close(self) -> None:
        """Stop starting workers; those that still run are killed by the kernel."""
        self._orders.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (order := self._orders.get()) is not None:
            line, future = order
            try:
                future.set_result(self._start(line))
            except OSError as error:
                future.set_exception(
                    Unavailable(
                        f"No worker process could be started: {error.strerror}.",
                        "Free memory, disk space or process slots on this machine.",
                    )
                )

    def _start(self, line: JobLine) -> subprocess.Popen[bytes]:
        directory = Path(line.directory)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with open(descriptor, "ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=directory,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            )


def _close(pipe: IO[bytes] | None) -> None:
    """Close a pipe whose other end may be gone with bytes unread."""
    if pipe is not None:
        try:
            pipe.close()
        except OSError:
            return
