"""`lingqu.local()`: real protocol parties in processes of this machine, for notebooks, tests and benchmarks.

The parties share nothing but the loopback: each is a process of its own with its own memory and keys, and talks to the
others as the workers of nodes do, over a mesh of mutual TLS.  Their parent owns all inputs and sees all results, so a
trial shows what a computation costs and that it is right; it keeps nothing from the person who starts it.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from lingqu.engine.mechanism import fitting
from lingqu.engine.party import MAX_LINE, dump, load
from lingqu.identity import Certificate, NodeKey
from lingqu.kinds.errors import BadInput, LingquError, PartyLost, Unavailable
from lingqu.kinds.mechanism import Adversary, installed
from lingqu.share.arrays.ranges import Range, check_run
from lingqu.share.arrays.trial import takes_arrays

NAMES = ("alpha", "beta", "gamma")
REAP_SECONDS = 2.0
Array = NDArray[Any]
Opened = Array | tuple[Array, ...] | dict[str, Array] | None


@dataclass(frozen=True)
class Operation:
    """What all calls of one Machine operation took.

    rounds: of one run, at the party with most.  bytes: payload sent by all parties.  seconds: the slowest party's.
    """

    name: str
    calls: int
    rounds: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Report:
    """One trial.

    result: what the function returned at the first party that got something; results: at each party.
    seconds: the slowest party's, the median over repeated runs; times: of each run; processor: seconds of processor
    time that all parties took together, the median, which other programs disturb less; rounds: the longest chain of
    messages; bytes: payload that each party sent in one run; setup: seconds to start the processes and the mesh;
    operations: the last run by Machine operation, and last "(local work)", what the function did between them.
    """

    result: Opened
    results: tuple[Opened, ...]
    seconds: float
    times: tuple[float, ...]
    processor: float
    rounds: int
    bytes: tuple[int, ...]
    setup: float
    operations: tuple[Operation, ...]

    def __str__(self) -> str:
        lines = [f"{self.seconds:.4f} s, {self.rounds} rounds, {sum(self.bytes):,} bytes from all parties together"]
        lines.append(f"{'operation':20} {'calls':>6} {'rounds':>7} {'bytes':>14} {'seconds':>9}")
        lines += [
            f"{one.name:20} {one.calls:6d} {one.rounds:7d} {one.bytes:14,d} {one.seconds:9.4f}"
            for one in self.operations
        ]
        return "\n".join(lines)


class _Process:
    """One party's process and the pipes to it."""

    def __init__(self, name: str, opening: Mapping[str, Any]) -> None:
        self.name = name
        try:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "lingqu.engine.party"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        except OSError as error:
            raise Unavailable(
                f"{name}'s process could not be started: {error.strerror}.", "Free memory or process slots.", party=name
            ) from None
        self.tell(opening)

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, message: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """One line, then the raw bytes it announces; whether the process is gone shows in its answer."""
        pipe = self._process.stdin
        assert pipe is not None
        with contextlib.suppress(BrokenPipeError):
            pipe.write(json.dumps({**message, "sizes": [len(blob) for blob in blobs]}).encode() + b"\n")
            for blob in blobs:
                pipe.write(blob)
            pipe.flush()

    def hear(self) -> tuple[dict[str, Any], list[Array]]:
        """The next answer and its arrays; raises what the party failed with, PartyLost when the process is gone."""
        pipe = self._process.stdout
        assert pipe is not None
        line = pipe.readline(MAX_LINE)
        if not line:
            status = self._process.wait()
            raise PartyLost(f"{self.name}'s process ended with status {status}.", "Start a new trial.", party=self.name)
        message = json.loads(line)
        if "failed" in message:
            raise _error(message["failed"], self.name)
        return message, [load(_exactly(pipe, size)) for size in message["sizes"]]

    def end(self) -> None:
        """Close the pipes, which ends the process, and see to it that it is gone."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        try:
            self._process.wait(REAP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Local:
    """Parties on this machine; `lingqu.local()` makes it.  A context manager: its end ends the processes.

    mechanism: the name of the protocol that they run.
    """

    def __init__(self, parties: int, mechanism: str, latency: float | None, bandwidth: float | None, tls: bool) -> None:
        self.mechanism = mechanism
        self._names = NAMES[:parties]
        self._shape = (latency, bandwidth)
        self._tls = tls
        self._processes: list[_Process] = []
        self._setup = 0.0

    def __repr__(self) -> str:
        running = bool(self._processes)
        return f"Local(parties={len(self._names)}, mechanism={self.mechanism!r}, tls={self._tls}, running={running})"

    def __enter__(self) -> Self:
        if self._processes:
            raise BadInput("This trial's parties run already.", "Use the object in one `with` statement at a time.")
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """The parties' process ids; empty when none run."""
        return tuple(process.pid for process in self._processes)

    def close(self) -> None:
        """End the parties' processes; safe to call twice."""
        processes, self._processes = self._processes, []
        for process in processes:
            process.end()

    def run(
        self,
        function: Callable[..., object],
        *arrays: Array,
        owners: Sequence[int] | None = None,
        repeat: int = 1,
        ranges: Sequence[Range] | None = None,
    ) -> Report:
        """Share the arrays, run `function(machine, *shares)` in every party and collect what each returned.

        function: defined at the top level of a module that a new process can import, not in a notebook's cell:
        no code is sent to the parties, they import it by name.  It returns what it revealed: an array or number, a
        tuple or dictionary of those, or None.  One made by `lingqu.secure`, or marked by `share.arrays.on_arrays`, is
        called as `function(*arrays)` with shared arrays, and the arrays that it returns are opened.
        arrays: integers and booleans become integers, floats fixed-point reals.  owners: who inputs each, by
        its index; by default the first array is party 0's, the second party 1's, and so on in turn.
        repeat: runs on the same shares, for stable times; the last run's result and operations are reported.
        ranges: what each array may hold.  RangeError before anything is shared, and the trial goes on, where an array
        holds something else, or where a step of the function could leave its range for some values of these ranges.
        Sharing the arrays is not part of the figures.  Raises the failing party's error with its name in `party`;
        after that the trial has ended.
        """
        if not self._processes:
            raise BadInput("This trial's parties do not run.", "Use `with lingqu.local() as trial:`.")
        if repeat < 1:
            raise BadInput(f"A function cannot be run {repeat} times.", "Give `repeat` at least 1.")
        whose = [i % len(self._names) for i in range(len(arrays))] if owners is None else list(owners)
        if len(whose) != len(arrays) or not set(whose) <= set(range(len(self._names))):
            last = len(self._names) - 1
            raise BadInput(f"{len(arrays)} arrays need as many owners among 0 to {last}.", "Name one for each.")
        module, name = place_of(function)
        inputs = [np.asarray(array) for array in arrays]
        for array in inputs:
            if array.dtype.kind not in "iubf":
                raise BadInput(f"An array of {array.dtype} cannot be shared.", "Give integers, booleans or floats.")
        if ranges is not None:
            check_run(function, ranges, takes_arrays(function), len(self._names), inputs)
        described = [
            {"owner": owner, "shape": array.shape, "kind": array.dtype.kind}
            for owner, array in zip(whose, inputs, strict=True)
        ]
        order = {"run": [module, name], "inputs": described, "repeat": repeat}
        for party, process in enumerate(self._processes):
            own = [dump(array) for owner, array in zip(whose, inputs, strict=True) if owner == party]
            process.tell(order, own)
        return self._report(self._hear_all())

    def _start(self) -> None:
        begun = time.perf_counter()
        latency, bandwidth = self._shape
        session = secrets.token_hex(16)
        with tempfile.TemporaryDirectory(prefix="lingqu-local-") as directory:
            if self._tls:
                _throw_away_keys(Path(directory), self._names)
            for party, name in enumerate(self._names):
                opening = {
                    "party": party,
                    "names": self._names,
                    "mechanism": self.mechanism,
                    "session": session,
                    "directory": directory if self._tls else None,
                    "latency": latency,
                    "bandwidth": bandwidth,
                    "path": sys.path,
                }
                self._processes.append(_Process(name, opening))
            endpoints = [message["ready"] for message, _ in self._hear_all()]
            for process in self._processes:
                process.tell({"start": endpoints})
            self._hear_all()
        self._setup = time.perf_counter() - begun

    def _hear_all(self) -> list[tuple[dict[str, Any], list[Array]]]:
        """Every party's answer.  Of several errors the cause is raised, not the others' loss of that party."""
        heard, errors = [], []
        for process in self._processes:
            try:
                heard.append(process.hear())
            except LingquError as error:
                errors.append(error)
        if errors:
            self.close()
            raise next((error for error in errors if not isinstance(error, PartyLost)), errors[0])
        return heard

    def _report(self, heard: list[tuple[dict[str, Any], list[Array]]]) -> Report:
        results = tuple(_opened(message["result"], arrays) for message, arrays in heard)
        figures = [message["figures"] for message, _ in heard]
        times = tuple(max(run) for run in zip(*(one["times"] for one in figures), strict=True))
        operations = tuple(
            Operation(
                name,
                calls=row[0]["calls"],
                rounds=max(one["rounds"] for one in row),
                bytes=sum(one["bytes"] for one in row),
                seconds=max(one["seconds"] for one in row),
            )
            for name in figures[0]["operations"]
            if (row := [one["operations"][name] for one in figures if name in one["operations"]])
        )
        return Report(
            result=next((one for one in results if one is not None), None),
            results=results,
            seconds=median(times),
            times=times,
            processor=median(sum(run) for run in zip(*(one["processor"] for one in figures), strict=True)),
            rounds=max(one["rounds"] for one in figures),
            bytes=tuple(one["bytes"] for one in figures),
            setup=self._setup,
            operations=operations,
        )


def local(
    parties: int = 3,
    latency: float | None = None,
    bandwidth: float | None = None,
    *,
    adversary: str = Adversary.SEMI_HONEST,
    tls: bool = True,
) -> Local:
    """Two or three parties in processes of this machine, to be used in a `with` statement.

    adversary: "malicious-with-abort", or "malicious" for short, runs a protocol whose every step is checked.
    latency: one way, seconds; bandwidth: bytes a second from each party to each other one; None: as the loopback is.
    tls: False runs the parties over plain TCP on the loopback, which whoever administers the machine can read; it is
    for benchmarks only, to tell the protocol's cost from that of TLS.
    Raises BadInput where no installed protocol fits.  Discloses: the caller sees all inputs and results anyway.
    """
    mechanism = fitting(parties, Adversary.named(adversary), installed().declarations.values())
    for name, value in (("latency", latency), ("bandwidth", bandwidth)):
        if value is not None and not (0 <= value < float("inf") and (value > 0 or name == "latency")):
            raise BadInput(f"A {name} of {value} cannot be.", "Give seconds, or bytes a second above 0.")
    return Local(parties, mechanism, latency, bandwidth, tls)


def place_of(function: Callable[..., object]) -> tuple[str, str]:
    """The module and name by which a new process finds a function; BadInput when it would not find it."""
    name = getattr(function, "__qualname__", "")
    module = getattr(function, "__module__", None) or ""
    if module == "__main__":
        main = sys.modules["__main__"]
        spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
        module = spec.name if spec is not None else Path(file).stem if file is not None else ""
    found = inspect.isfunction(function) and module and name.isidentifier()
    if not found or getattr(sys.modules[function.__module__], name, None) is not function:
        raise BadInput(
            f"{name or function!r} is no function at the top level of a module that a new process can import.",
            "Write it with `def` in a .py file and import it: the parties are other processes and get no code sent.",
        )
    return module, name


def _throw_away_keys(directory: Path, names: Sequence[str]) -> None:
    """A key and a certificate for each party, for this session only."""
    for name in names:
        key = NodeKey.generate()
        key.save(directory / f"{name}.pem")
        (directory / f"{name}.crt").write_text(Certificate.issue(key, name, name).pem, encoding="ascii")


def _opened(shape: Any, arrays: list[Array]) -> Opened:
    """What a party returned, from its description and its arrays."""
    if shape is None:
        return None
    if shape == "array":
        return arrays[0]
    return tuple(arrays) if shape == "tuple" else dict(zip(shape, arrays, strict=True))


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) != size:
        raise PartyLost("A party's process ended within an answer.", "Start a new trial.")
    return data


def _error(document: Mapping[str, Any], name: str) -> LingquError:
    """A party's error under its own class."""
    kinds: list[type[LingquError]] = [LingquError]
    for kind in kinds:
        if kind.code == document["code"]:
            break
        kinds.extend(kind.__subclasses__())
    else:
        kind = LingquError
    return kind(document["cause"], document["cure"], term=document["term"], party=document["party"] or name)
