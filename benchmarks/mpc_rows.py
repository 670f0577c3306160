"""The work of each row of benchmarks/mpc.py over any machine, as functions that party processes import."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.spu_table import BITS, EPOCHS, PATIENTS, RATE, STEP_ROWS, TRIP
from lingqu.share import Aggregate, Machine, Relation, Shared, SharedBits, group, join
from lingqu.share.functions import exp

GROUPS = 1000
GROUP_BITS, JOIN_BITS = 10, 40
Work = Callable[..., object]


def multiply_real(machine: Machine, x: Shared, y: Shared) -> Shared:
    """Fixed-point products."""
    return machine.multiply_real(x, y)


def multiply(machine: Machine, x: Shared, y: Shared) -> Shared:
    """Integer products."""
    return machine.multiply(x, y)


def less_than(machine: Machine, x: Shared, y: Shared) -> SharedBits:
    """64-bit comparisons."""
    return machine.less_than(x, y)


def equality(machine: Machine, x: Shared, y: Shared) -> SharedBits:
    """64-bit equality tests."""
    return machine.equal(x, y)


def matmul_real(machine: Machine, x: Shared, y: Shared) -> Shared:
    """A fixed-point matrix product."""
    return machine.matmul_real(x, y)


def sigmoid(machine: Machine, x: Shared) -> Shared:
    """The logistic function."""
    return machine.sigmoid(x)


def exponential(machine: Machine, x: Shared) -> Shared:
    """The exponential."""
    return exp(machine, x)


def division(machine: Machine, x: Shared, y: Shared) -> Shared:
    """Fixed-point quotients."""
    return machine.divide(x, y)


def sort(machine: Machine, x: Shared) -> object:
    """Integers in ascending order, by all 64 bits."""
    return machine.apply(machine.sort(iter([machine.to_bits(x)])), [x])


def shuffle(machine: Machine, x: Shared) -> object:
    """Rows in a random order."""
    return machine.shuffle([x])


def network(machine: Machine, x: Shared, *layers: Shared) -> Shared:
    """Dense layers (weights, biases) with rectifiers between them."""
    for i in range(0, len(layers), 2):
        x = machine.add(machine.matmul_real(x, layers[i]), layers[i + 1].broadcast_to((len(x), layers[i + 1].size)))
        if i + 2 < len(layers):
            x = machine.select(machine.less_than(x, 0, bits=40), machine.scale(x, 0), x)
    return x


def _step(machine: Machine, x: Shared, y: Shared, w: Shared) -> Shared:
    error = machine.subtract(machine.sigmoid(machine.matmul_real(x, w)), y)
    return machine.subtract(w, machine.scale_real(machine.matmul_real(x.transpose(), error), RATE / len(x)))


def logistic(machine: Machine, x: Shared, y: Shared, w: Shared) -> Shared:
    """Logistic regression: ten full-batch steps for few rows, one pass over batches for many."""
    if len(x) == PATIENTS:
        for _ in range(EPOCHS):
            w = _step(machine, x, y, w)
        return w
    for start in range(0, len(x), STEP_ROWS):
        w = _step(machine, x[start : start + STEP_ROWS], y[start : start + STEP_ROWS], w)
    return w


def _relation(machine: Machine, name: str, values: Shared, key: str, keyed: Shared, bits: int) -> Relation:
    """A column and a key, every row of them there."""
    there = machine.constant(1).broadcast_to((len(values),))
    return Relation({name: values}, {key: (machine.to_bits(keyed, bits),)}, there)


def group_by(machine: Machine, code: Shared, value: Shared) -> object:
    """Sums of a column by a key of ten bits."""
    aggregates = [Aggregate("total", "sum", "value")]
    return group(machine, _relation(machine, "value", value, "code", code, GROUP_BITS), ["code"], aggregates, GROUPS)


def joined(machine: Machine, left: Shared, right: Shared) -> object:
    """Two tables, a key of 40 bits and one column each, joined on their keys."""
    return join(
        machine,
        _relation(machine, "a", left, "a_id", left, JOIN_BITS),
        _relation(machine, "b", right, "b_id", right, JOIN_BITS),
        [("a_id", "b_id")],
    )


def opened_sigmoid(machine: Machine, x: Shared) -> Any:
    """The logistic function, opened."""
    return machine.reveal_real(machine.sigmoid(x))


def opened_exponential(machine: Machine, x: Shared) -> Any:
    """The exponential, opened."""
    return machine.reveal_real(exp(machine, x))


def opened_division(machine: Machine, x: Shared, y: Shared) -> Any:
    """Quotients, opened."""
    return machine.reveal_real(machine.divide(x, y))


@dataclass(frozen=True)
class Row:
    """A row's work, how many times SPU's ABY3 is aimed at, and the same work with its result opened.

    shaped: a round trip, seconds, and bits a second.  scaling: one of a row's sizes; SPU does not run it.
    cheetah: whether SPU's two-party protocol runs it in memory and minutes.
    """

    work: Work
    aim: float | None = None
    opened: Work | None = None
    shaped: tuple[float, float] | None = None
    scaling: bool = False
    cheetah: bool = False


WIDE_AREA = TRIP, BITS
ROWS = {
    "multiply 1e6": Row(multiply_real, 2, cheetah=True),
    "multiply 1e6, integers": Row(multiply, 3),
    "less-than 1e6": Row(less_than, 10, cheetah=True),
    "less-than 1e5": Row(less_than, cheetah=True),
    "equality 1e6": Row(equality, cheetah=True),
    "matmul 1000x1000x1000": Row(matmul_real, 2),
    "matmul 4096x128x32": Row(matmul_real, 2, cheetah=True),
    "sigmoid 1e5": Row(sigmoid, 4, opened_sigmoid, cheetah=True),
    "exp 1e5": Row(exponential, 1, opened_exponential, cheetah=True),
    "division 1e5": Row(division, 4, opened_division, cheetah=True),
    "sort 1e4": Row(sort, 7.5),
    "sort 1e5": Row(sort, 17),
    "shuffle 1e6": Row(shuffle),
    "network 784-128-128-10, batch 128": Row(network, 2, cheetah=True),
    "logistic 569x30, 10 epochs": Row(logistic, 2, cheetah=True),
    "logistic 100000x100, 1 epoch": Row(logistic, 2),
    "less-than 1e6, 20 ms 100 Mbit/s": Row(less_than, 1, shaped=WIDE_AREA, cheetah=True),
    "sigmoid 1e5, 20 ms 100 Mbit/s": Row(sigmoid, 1, shaped=WIDE_AREA, cheetah=True),
    **{f"scaling: sort {size}": Row(sort, scaling=True) for size in ("1e4", "1e5", "1e6")},
    **{f"scaling: shuffle {size} x 8": Row(shuffle, scaling=True) for size in ("1e4", "1e5", "1e6")},
    **{f"scaling: group {size} into 1000": Row(group_by, scaling=True) for size in ("1e4", "1e5", "1e6")},
    **{f"scaling: join {size} with {size}": Row(joined, scaling=True) for size in ("1e4", "1e5", "1e6")},
}


def _status(name: str) -> int:
    """A size in bytes from /proc/self/status; 0 where there is none."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(name):
                return 1024 * int(line.split()[1])
    return 0


def idle_rounds(machine: Machine, x: Shared, steps: Shared) -> NDArray[np.float64]:
    """As many one-word products, one after the other, as there are steps; returns the resident bytes before."""
    resident = _status("VmRSS")
    for _ in range(steps.size):
        x = machine.multiply(x, x)
    return np.array([resident], np.float64)


def _prepared(machine: Machine) -> NDArray[np.float64]:
    """Seconds, bytes and rounds that making correlations took this party so far."""
    made = getattr(machine, "preparation", None)
    return np.zeros(3) if made is None else np.array([made.seconds, made.sent, made.rounds], np.float64)


def _watched(work: Work) -> Work:
    """The work, which then returns its seconds, those of preparing correlations, the memory it took beyond before, and
    the bytes and rounds of preparing.

    Where messages are proved after they are sent, the work ends when all of them are.
    Linux forgets the greatest memory so far when told so; elsewhere the memory is 0.
    """

    def watch(machine: Machine, *shares: Shared) -> NDArray[np.float64]:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = _status("VmRSS")
        already, start = _prepared(machine), time.perf_counter()
        work(machine, *shares)
        if (settle := getattr(machine, "settle", None)) is not None:
            settle()
        seconds = time.perf_counter() - start
        spent, sent, rounds = _prepared(machine) - already
        return np.array([seconds, spent, max(_status("VmHWM") - before, 0), sent, rounds])

    watch.__name__ = watch.__qualname__ = f"watched_{work.__name__}"
    globals()[watch.__name__] = watch
    return watch


WATCHED = {work: _watched(work) for work in dict.fromkeys(row.work for row in ROWS.values())}
