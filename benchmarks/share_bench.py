"""Seconds, bytes and rounds of share.rep3, beside what the machine can do at best.

Run: python benchmarks/share_bench.py [operation ...]. Three parties run as threads of one process over memory channels,
so two cores carry three parties; the kernels release the interpreter lock, what is left of Python does not.
The last two columns are ratios to moving the payload once through memory (memcpy) and once through AES-128-CTR.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lingqu._core import Prg
from lingqu.net.memory import memory_channels
from lingqu.share import (
    Aggregate,
    Machine,
    Relation,
    argmax,
    divide_whole,
    exp,
    group,
    join,
    log,
    softmax,
    sqrt,
    tanh,
)
from lingqu.share.rep3 import connect

ROWS = 30_000
COLUMNS = 20
Work = Callable[[Machine, Any], object]


@dataclass
class Measured:
    """One operation: the slowest party's seconds, everyone's payload bytes, the longest chain of messages."""

    seconds: float
    bytes: int
    rounds: int


def measure(prepare: Callable[[Machine], Any], work: Work) -> Measured:
    """Three parties in threads; what `prepare` does is not counted."""
    channels = memory_channels(["alpha", "beta", "gamma"])
    seconds, sent, rounds = [0.0] * 3, [0] * 3, [0] * 3
    barrier = threading.Barrier(3)

    def serve(party: int) -> None:
        channel = channels[party]
        machine = connect(channel)
        value = prepare(machine)
        barrier.wait()
        channel.traffic.sent = channel.traffic.rounds = 0
        barrier.wait()
        start = time.perf_counter()
        work(machine, value)
        seconds[party] = time.perf_counter() - start
        sent[party], rounds[party] = channel.traffic.sent, channel.traffic.rounds

    threads = [threading.Thread(target=serve, args=(party,)) for party in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Measured(max(seconds), sum(sent), max(rounds))


def machine_limits() -> tuple[float, float]:
    """Bytes a second of memcpy and of AES-128-CTR on one core, best of five."""
    source = np.ones(4_000_000, np.uint64)
    target = np.zeros_like(source)
    stream = Prg(bytes(16))

    def best(run: Callable[[], object]) -> float:
        times = []
        for _ in range(5):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return source.nbytes / min(times)

    return best(lambda: np.copyto(target, source)), best(lambda: stream.words(source.size))


def _numbers(machine: Machine, owner: int, *shape: int, below: int = 1 << 40) -> Any:
    own = np.random.default_rng(owner).integers(0, below, shape) if machine.owns(owner) else None
    return machine.input(owner, own, shape)


def _side(machine: Machine, owner: int, prefix: str) -> Relation:
    own = machine.owns(owner)
    keys = np.random.default_rng(owner).permutation(2 * ROWS)[:ROWS].astype(np.uint64)
    high = machine.input_bits(owner, keys % np.uint64(63) if own else None, (ROWS,), 6)
    low = machine.input_bits(owner, keys * np.uint64(0x9E3779B97F4A7C15) if own else None, (ROWS,), 64)
    code = machine.input_bits(owner, keys % np.uint64(32) if own else None, (ROWS,), 5)
    columns = {f"{prefix}{i}": _numbers(machine, owner, ROWS) for i in range(COLUMNS)}
    return Relation(columns, {f"{prefix}id": (high, low), f"{prefix}g": (code,)}, machine.constant(np.ones(ROWS, int)))


def _grouped(machine: Machine, side: Relation) -> Relation:
    aggregates = [Aggregate("n", "count"), Aggregate("a", "sum", "l0"), Aggregate("b", "sum", "l1")]
    return group(machine, side, ["lg"], aggregates, 32)


MILLION = 1_000_000
OPERATIONS: dict[str, tuple[Callable[[Machine], Any], Work]] = {
    "multiply 1e6": (lambda m: (_numbers(m, 0, MILLION), _numbers(m, 1, MILLION)), lambda m, x: m.multiply(*x)),
    "truncate 1e6": (lambda m: _numbers(m, 0, MILLION), lambda m, x: m.truncate(x, 20)),
    "less_than 1e6": (lambda m: (_numbers(m, 0, MILLION), _numbers(m, 1, MILLION)), lambda m, x: m.less_than(*x)),
    "sort 1e5 x 64 bits": (lambda m: m.to_bits(_numbers(m, 0, 100_000)), lambda m, x: m.sort([x])),
    "join 3e4 x 3e4, 70 bits, 40 columns": (
        lambda m: (_side(m, 0, "l"), _side(m, 1, "r")),
        lambda m, x: join(m, x[0], x[1], [("lid", "rid")]),
    ),
    "group 3e4 by 5 bits, 3 aggregates": (lambda m: _side(m, 0, "l"), _grouped),
    "sigmoid 3e4": (lambda m: _numbers(m, 0, ROWS, below=1 << 23), lambda m, x: m.sigmoid(x)),
    "sigmoid 1e5": (lambda m: _numbers(m, 0, 100_000, below=1 << 23), lambda m, x: m.sigmoid(x)),
    "exp 1e5": (lambda m: _numbers(m, 0, 100_000, below=1 << 24), exp),
    "log 1e5": (lambda m: m.add(_numbers(m, 0, 100_000), 1), log),
    "sqrt 1e5": (lambda m: _numbers(m, 0, 100_000), sqrt),
    "divide 1e5": (
        lambda m: (_numbers(m, 0, 100_000), m.add(_numbers(m, 1, 100_000), 1 << 20)),
        lambda m, x: m.divide(*x),
    ),
    "divide_whole 1e5": (lambda m: _numbers(m, 0, 100_000), lambda m, x: divide_whole(m, x, 86_400)),
    "tanh 1e5": (lambda m: _numbers(m, 0, 100_000, below=1 << 23), tanh),
    "softmax 1e4 x 10": (lambda m: _numbers(m, 0, 10_000, 10, below=1 << 23), softmax),
    "argmax 1e5": (lambda m: _numbers(m, 0, 100_000), argmax),
    "matmul 3e4 x 60 x 1": (lambda m: (_numbers(m, 0, ROWS, 60), _numbers(m, 1, 60, 1)), lambda m, x: m.matmul(*x)),
    "matmul 60 x 3e4 x 1, transposed": (
        lambda m: (_numbers(m, 0, ROWS, 60).transpose(), _numbers(m, 1, ROWS, 1)),
        lambda m, x: m.matmul(*x),
    ),
    "matmul 500 x 500 x 500": (
        lambda m: (_numbers(m, 0, 500, 500), _numbers(m, 1, 500, 500)),
        lambda m, x: m.matmul(*x),
    ),
}


def main() -> None:
    """Measure the operations whose names contain an argument, or all."""
    copied, encrypted = machine_limits()
    print(f"memcpy {copied / 1e9:.1f} GB/s, AES-128-CTR {encrypted / 1e9:.1f} GB/s, one core each")
    print(f"{'operation':38} {'seconds':>9} {'MB':>9} {'rounds':>7} {'x memcpy':>9} {'x AES':>7}")
    for name, (prepare, work) in OPERATIONS.items():
        if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
            continue
        found = min((measure(prepare, work) for _ in range(3)), key=lambda one: one.seconds)
        floor = max(found.bytes, 1)
        print(
            f"{name:38} {found.seconds:9.4f} {found.bytes / 1e6:9.2f} {found.rounds:7d} "
            f"{found.seconds * copied / floor:9.1f} {found.seconds * encrypted / floor:7.1f}"
        )


if __name__ == "__main__":
    main()
