"""Private lookup, and a few elements against very many: one process for each side, plain TCP on the loopback.

The section "lookup" of `make bench-psi`; rows are "lookup 1000000x256", "unbalanced 1000x1000000".  "s" are the
client's seconds on line; processor seconds are those of both sides; MB are the payload of both; memory is the peak of
either process.
"""

from __future__ import annotations

import multiprocessing
import resource
import secrets
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.channel import Channel
from lingqu.net.loopback import LoopbackListener
from lingqu.pir import Records, Table, Terms, connect, serve
from lingqu.pir.records import Packed
from lingqu.psi import Elements, elements, unbalanced

NAMES = ("client", "server")
BATCH = 16

Figures = dict[str, float]


def numbered(count: int) -> Packed:
    """Keys of 16 bytes: zeros and a number."""
    keys = np.zeros((count, 2), "<u8")
    keys[:, 0] = np.arange(count)
    return Packed(keys.view(np.uint8).reshape(-1), np.arange(count + 1, dtype=np.int64) * 16)


def table_of(count: int, width: int) -> Records:
    """Random values under numbered keys."""
    data: NDArray[np.uint8] = np.random.default_rng(1).integers(0, 256, count * width, np.uint8)
    values = Packed(data, np.arange(count + 1, dtype=np.int64) * width)
    return Records(numbered(count), values, np.zeros(count, bool))


class Spent:
    """Seconds by the clock and of the processor, and bytes received, since it was made."""

    def __init__(self, channel: Channel | None = None) -> None:
        self._channel = channel
        self._begun, self._processor = time.perf_counter(), time.process_time()
        self._moved = self._bytes()

    def _bytes(self) -> int:
        return self._channel.traffic.sent + self._channel.traffic.received if self._channel else 0

    def figures(self, name: str) -> Figures:
        seconds, processor = time.perf_counter() - self._begun, time.process_time() - self._processor
        return {f"{name} s": seconds, f"{name} CPU s": processor, f"{name} MB": (self._bytes() - self._moved) / 1e6}


def lookup_server(channel: Callable[[], Channel], pipe: Connection, count: int, width: int, repeat: int) -> Figures:
    """Prepare the table, answer, change 100 rows, answer again."""
    given, spent = table_of(count, width), Spent()
    table = Table.build(given)
    found = spent.figures("prepare table")
    terms, line = Terms(table="bench", queries=1 << 12), channel()
    processor = time.process_time()
    asked = serve(line, table, terms)
    found["server CPU s a query"] = (time.process_time() - processor) / asked
    spent = Spent()
    rows = [given.keys[i] for i in range(min(100, count))]
    table.update(Records(Packed.of(rows), Packed.of([bytes(width)] * len(rows)), np.zeros(len(rows), bool)))
    found |= spent.figures("change 100 rows")
    serve(line, table, terms)
    return found


def lookup_client(channel: Callable[[], Channel], pipe: Connection, count: int, width: int, repeat: int) -> Figures:
    """Fetch the hint, ask one key at a time and in batches, come back for the changes."""
    line, terms, keys = channel(), Terms(table="bench", queries=1 << 12), numbered(count)
    spent = Spent(line)
    session = connect(line, terms)
    found = spent.figures("hint")
    spent = Spent(line)
    session.prepare(64)
    found |= {"prepare a query s": spent.figures("x")["x s"] / 64}
    singles, batches = [], []
    for _ in range(repeat + 1):
        session.prepare(1 + BATCH)
        spent = Spent(line)
        number = secrets.randbelow(count)
        answers = session.lookup([keys[number]])
        assert answers.found.all()
        singles.append(spent.figures("query"))
        spent = Spent(line)
        answers = session.lookup([keys[secrets.randbelow(count)] for _ in range(BATCH - 1)] + [b"absent"])
        assert answers.found.tolist() == [True] * (BATCH - 1) + [False]
        batches.append(spent.figures(f"batch of {BATCH}"))
    session.close()
    for runs in (singles[1:], batches[1:]):
        found |= {name: median(run[name] for run in runs) for name in runs[0]}
    found["slowest query s"] = max(run["query s"] for run in singles[1:])
    spent = Spent(line)
    again = connect(line, terms, session.hint)
    found |= spent.figures("follow 100 changed rows")
    assert again.lookup([keys[0]]).values == (bytes(width),)
    again.close()
    return found


def _set(count: int, first: int = 0) -> Elements:
    return elements([np.arange(first, first + count)], ["exact/1"])


def unbalanced_server(channel: Callable[[], Channel], pipe: Connection, left: int, right: int, repeat: int) -> Figures:
    """Publish the set, answer, change 1,000 elements (fewer of a small set), answer."""
    own, spent = _set(right), Spent()
    holder = unbalanced.Holder.publish(own, left)
    found = spent.figures("publish")
    terms, line = unbalanced.UnbalancedTerms(forms=("exact/1",), queries=left), channel()
    for _ in range(repeat + 2):
        unbalanced.serve(line, holder, terms)
    spent = Spent()
    some = min(500, right // 4)
    holder.update(_set(some, 2 * right), _set(some), left)
    found |= spent.figures("change 1000")
    unbalanced.serve(line, holder, terms)
    return found


def unbalanced_client(channel: Callable[[], Channel], pipe: Connection, left: int, right: int, repeat: int) -> Figures:
    """Ask with nothing, ask again with the published set, and after a change."""
    own, terms, line = (
        _set(left, right - left // 2),
        unbalanced.UnbalancedTerms(forms=("exact/1",), queries=left),
        channel(),
    )
    spent = Spent(line)
    asked = unbalanced.intersect(line, own, terms)
    found = spent.figures("first session")
    runs = []
    for _ in range(repeat + 1):
        spent = Spent(line)
        asked = unbalanced.intersect(line, own, terms, asked.published)
        runs.append(spent.figures("on line"))
        assert asked.intersection.size == left // 2
    found |= {name: median(run[name] for run in runs[1:]) for name in runs[0]}
    spent = Spent(line)
    asked = unbalanced.intersect(line, own, terms, asked.published)
    return found | spent.figures("after 1000 changes")


SIDES: dict[str, tuple[Callable[..., Figures], Callable[..., Figures]]] = {
    "lookup": (lookup_client, lookup_server),
    "unbalanced": (unbalanced_client, unbalanced_server),
}


def run_side(party: int, pipe: Connection, row: str, repeat: int) -> None:
    """One side of a row, in its process: the figures, with the peak memory."""
    kind, _, size = row.partition(" ")
    one, two = (int(part) for part in size.split("x"))

    def channel() -> Channel:
        listener = LoopbackListener()
        pipe.send(listener.address)
        session, endpoints = pipe.recv()
        return listener.mesh(session, party, NAMES, endpoints, timeout=600)

    found = SIDES[kind][party](channel, pipe, one, two, repeat)
    found[f"{NAMES[party]} peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    pipe.send(found)


def measure(row: str, repeat: int = 10) -> Figures:
    """The figures of one row, from two fresh processes."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for party in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=run_side, args=(party, theirs, row, repeat))
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    endpoints = [pipe.recv() for pipe in pipes]
    session = secrets.token_bytes(16)
    for pipe in pipes:
        pipe.send((session, endpoints))
    found: dict[str, Any] = {}
    for pipe, process in zip(pipes, processes, strict=True):
        found |= pipe.recv()
        process.join()
    return found


def lines(row: str, found: Figures) -> Iterator[str]:
    """A row's figures as a table in Markdown."""
    yield f"| {row} | |"
    yield "|---|---:|"
    for name, value in found.items():
        if value:
            yield f"| {name} | {value:,.{1 if value >= 100 else 4}f} |"
