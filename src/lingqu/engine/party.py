"""One party of a local trial, as a process: `python -m lingqu.engine.party`, started by `lingqu.local()` only.

It reads lines of JSON from its parent, each followed by the raw .npy arrays it announces, and answers in the same way.
A line names the function to run as a module and a name.  That is an import named by data, which nothing else here
does: it is allowed because the line comes from the process that started this one, by the same user, over a pipe that
nobody else holds, and that process could as well have run any code itself.  Nothing from a peer is ever imported;
still only a function at the top level of an importable module is taken.  Arrays are read without pickle.
When its stdin ends its parent is gone, and the process ends at once, whatever it was doing.
"""

from __future__ import annotations

import importlib
import inspect
import io
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from lingqu._core import keep_memory
from lingqu.kinds.channel import Channel
from lingqu.kinds.errors import BadInput, LingquError
from lingqu.share.api import Shared, SharedBits

MAX_LINE = 1 << 20
ORPHANED = 3
LOCAL_WORK = "(local work)"
Array = NDArray[Any]


def dump(array: Array) -> bytes:
    """An array as the bytes of a .npy file."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
    return buffer.getvalue()


def load(data: bytes) -> Array:
    """An array from the bytes of a .npy file; no object is ever built from them."""
    array: Array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array


class Tally:
    """What each operation took: calls, rounds, bytes sent and seconds."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.within = False
        self._found: dict[str, list[float]] = {}

    @property
    def rows(self) -> dict[str, dict[str, float]]:
        """The counts by operation."""
        return {
            name: dict(zip(("calls", "rounds", "bytes", "seconds"), row, strict=True))
            for name, row in self._found.items()
        }

    def count(self, name: str, seconds: float, sent: int = 0, rounds: int = 0) -> None:
        """Count one call."""
        row = self._found.setdefault(name, [0, 0, 0, 0.0])
        row[0] += 1
        row[1] += rounds
        row[2] += sent
        row[3] += seconds

    def call(self, name: str, method: Callable[..., Any], *positional: Any, **named: Any) -> Any:
        """Call a machine's method and count it; what it calls in turn is part of it."""
        if self.within:
            return method(*positional, **named)
        traffic, start = self.channel.traffic, time.perf_counter()
        sent, rounds = traffic.sent, traffic.rounds
        self.within = True
        try:
            return method(*positional, **named)
        finally:
            self.within = False
            traffic = self.channel.traffic
            self.count(name, time.perf_counter() - start, traffic.sent - sent, traffic.rounds - rounds)


class CountedMachine:
    """A Machine whose operations are counted; it has no other methods of its own."""

    def __init__(self, machine: Any, tally: Tally) -> None:
        self._machine = machine
        self._tally = tally

    def __getattr__(self, name: str) -> Any:
        """The machine's attribute; a method comes counted."""
        found = getattr(self._machine, name)
        return partial(self._tally.call, name, found) if callable(found) else found


class Parent:
    """The parent's end of things: answers out, orders in; the end of stdin ends this process."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever the function prints is for people
        self._orders: queue.SimpleQueue[tuple[dict[str, Any], list[bytes]]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="parent", daemon=True).start()

    def tell(self, message: Mapping[str, Any], arrays: list[Array] | None = None) -> None:
        """Write one line and the arrays it announces."""
        blobs = [dump(array) for array in arrays or []]
        self._out.write(json.dumps({**message, "sizes": [len(blob) for blob in blobs]}).encode() + b"\n")
        for blob in blobs:
            self._out.write(blob)
        self._out.flush()

    def hear(self) -> tuple[dict[str, Any], list[bytes]]:
        """The next order."""
        return self._orders.get()

    def _listen(self) -> None:
        pipe = sys.stdin.buffer
        while line := pipe.readline(MAX_LINE):
            order = json.loads(line)
            blobs = [pipe.read(size) for size in order["sizes"]]
            if [len(blob) for blob in blobs] != order["sizes"]:
                break
            self._orders.put((order, blobs))
        os._exit(ORPHANED)


def join(parent: Parent, opening: Mapping[str, Any]) -> Channel:
    """Listen, say where, and connect with the other parties."""
    from lingqu.net.shaped import ShapedChannel

    names, party, session = opening["names"], opening["party"], bytes.fromhex(opening["session"])
    channel: Channel
    if opening["directory"] is None:
        from lingqu.net.loopback import LoopbackListener

        plain = LoopbackListener()
        parent.tell({"ready": plain.address})
        channel = plain.mesh(session, party, names, parent.hear()[0]["start"])
    else:
        from lingqu.identity import Certificate
        from lingqu.net.tls import listen

        folder = Path(opening["directory"])
        key, certificate = folder / f"{names[party]}.pem", folder / f"{names[party]}.crt"
        listener = listen("127.0.0.1", key=key, certificate=certificate)
        pinned = [Certificate.load(folder / f"{name}.crt") for name in names]
        parent.tell({"ready": listener.address})
        channel = listener.mesh(session, party, names, parent.hear()[0]["start"], pinned)
    if opening["latency"] is None and opening["bandwidth"] is None:
        return channel
    return ShapedChannel(channel, opening["latency"] or 0.0, opening["bandwidth"] or float("inf"))


def found(module: str, name: str) -> Callable[..., Any]:
    """A function at the top level of an importable module; BadInput for anything else."""
    try:
        function = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise BadInput(f"{module} cannot be imported here: {error}.", "Start the trial where it can be.") from None
    if not inspect.isfunction(function) or function.__qualname__ != name:
        raise BadInput(f"{module} has no function {name} at its top level.", "Define it with `def`.")
    return function


def serve(channel: Channel, machine: Any, order: Mapping[str, Any], blobs: list[bytes]) -> tuple[Any, dict[str, Any]]:
    """Share the inputs and run the function; what it returned at its last run, and the figures."""
    function = found(*order["run"])
    own = iter(blobs)
    shares = []
    for described in order["inputs"]:
        values = load(next(own)) if described["owner"] == machine.party else None
        if values is not None and values.dtype.kind == "b":
            values = values.astype(np.int64)
        share = machine.input_real if described["kind"] == "f" else machine.input
        shares.append(share(described["owner"], values, tuple(described["shape"])))
    run = _runner(function, [described["kind"] for described in order["inputs"]])
    times: list[float] = []
    processor: list[float] = []
    result: Any = None
    for _ in range(order["repeat"]):
        tally = Tally(channel)
        _meet(channel)
        before, used, start = replace(channel.traffic), time.process_time(), time.perf_counter()
        result = run(CountedMachine(machine, tally), shares)
        times.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
        now = channel.traffic
        tally.count(LOCAL_WORK, times[-1] - sum(row["seconds"] for row in tally.rows.values()))
    figures = {"times": times, "bytes": now.sent - before.sent, "rounds": now.rounds - before.rounds}
    return result, {**figures, "processor": processor, "operations": tally.rows}


def _runner(function: Callable[..., Any], kinds: Sequence[str]) -> Callable[[Any, Sequence[Shared]], Any]:
    """What runs a function on a machine and shares: as it is, or one of shared arrays by way of those."""
    from lingqu.share.arrays import trial

    if trial.takes_arrays(function):
        return lambda machine, shares: trial.called(function, machine, shares, kinds)
    return lambda machine, shares: function(machine, *shares)


def _meet(channel: Channel) -> None:
    """Wait until every party has come here, twice so that all count their rounds from one number."""
    others = [peer for peer in range(len(channel.parties)) if peer != channel.party]
    for _ in range(2):
        for peer in others:
            channel.send(peer, b"")
        for peer in others:
            channel.receive(peer, 0)


def opened(result: Any) -> tuple[Any, list[Array]]:
    """What a function returned as a description and arrays; BadInput for what is not opened or no array."""
    if result is None:
        return None, []
    if isinstance(result, Mapping):
        return [str(name) for name in result], [_array(value) for value in result.values()]
    if isinstance(result, tuple | list):
        return "tuple", [_array(value) for value in result]
    return "array", [_array(result)]


def _array(value: Any) -> Array:
    if isinstance(value, Shared | SharedBits):
        raise BadInput("The function returns shares, which one party alone cannot read.", "Return what it reveals.")
    array = np.asarray(value)
    if array.dtype.kind not in "iubf":
        raise BadInput(f"The function returns {type(value).__name__}, no array of numbers.", "Return what it reveals.")
    return array


def _failure(error: Exception, name: str) -> dict[str, str | None]:
    """The error with this party's name; one that is not Lingqu's own comes with the place where it was raised."""
    if isinstance(error, LingquError):
        document = error.document()
        return {**document, "party": document["party"] or name}
    frame = traceback.extract_tb(error.__traceback__)[-1]
    cause = f"{name} failed with {type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})."
    return LingquError(cause, "Correct the function, then start a new trial.", party=name).document()


def main() -> NoReturn:
    """The process: orders until the parent ends it or something fails, which ends the session at every party."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    keep_memory()
    parent = Parent()
    opening, _ = parent.hear()
    sys.path[:] = opening["path"]
    from lingqu.engine.mechanism import connect

    try:
        channel = join(parent, opening)
        machine = connect(opening["mechanism"], channel)
        parent.tell({"meshed": True})
        while True:
            order, blobs = parent.hear()
            result, figures = serve(channel, machine, order, blobs)
            description, arrays = opened(result)
            parent.tell({"result": description, "figures": figures}, arrays)
    except Exception as error:
        parent.tell({"failed": _failure(error, opening["names"][opening["party"]])})
    os._exit(1)


if __name__ == "__main__":
    main()
