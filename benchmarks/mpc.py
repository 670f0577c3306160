"""Lingqu's three-party protocol beside SPU's, measured in the same run, with the machine's own limits.

Run: make bench-mpc, or python -m benchmarks.mpc [--spu PYTHON] [--repeat 3] [ROW ...] for the rows whose names contain
a word.  Both engines: one process a party over loopback TCP, inputs already shared, one warm-up, then the median of
the repeated runs of the slowest party.  The rows alternate between the engines, so that a disturbance meets both.
Lingqu's column "plain" is without TLS, as SPU's; "TLS" is how nodes run.  `noisy` marks a spread above 1.5.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import lingqu
from benchmarks.net_bench import raw_figures
from benchmarks.spu_table import EPOCHS, INPUTS, PATIENTS, RATE, clear
from lingqu._core import Prg
from lingqu._core import matmul as ring_matmul
from lingqu.kinds.errors import LingquError
from lingqu.share import FRACTION_BITS, Machine, Shared
from lingqu.share.functions import exp

NOISY = 1.5
COLUMNS = (
    *("row", "plain s", "TLS s", "SPU s", "SPU / plain", "aim", "CPU s", "SPU CPU s", "MB a party", "SPU MB", "rounds"),
    *("x loopback", "x AES", "error", "SPU error"),
)
SPU_SCRIPT = Path(__file__).with_name("spu_table.py")


def multiply_real(machine: Machine, x: Shared, y: Shared) -> None:
    """Fixed-point products."""
    machine.multiply_real(x, y)


def multiply(machine: Machine, x: Shared, y: Shared) -> None:
    """Integer products."""
    machine.multiply(x, y)


def less_than(machine: Machine, x: Shared, y: Shared) -> None:
    """64-bit comparisons."""
    machine.less_than(x, y)


def equality(machine: Machine, x: Shared, y: Shared) -> None:
    """64-bit equality tests."""
    machine.equal(x, y)


def matmul_real(machine: Machine, x: Shared, y: Shared) -> None:
    """A fixed-point matrix product."""
    machine.matmul_real(x, y)


def sigmoid(machine: Machine, x: Shared) -> None:
    """The logistic function."""
    machine.sigmoid(x)


def exponential(machine: Machine, x: Shared) -> None:
    """The exponential."""
    exp(machine, x)


def division(machine: Machine, x: Shared, y: Shared) -> None:
    """Fixed-point quotients."""
    machine.divide(x, y)


def sort(machine: Machine, x: Shared) -> None:
    """Integers in ascending order, by all 64 bits."""
    machine.apply(machine.sort([machine.to_bits(x)]), [x])


def shuffle(machine: Machine, x: Shared) -> None:
    """One column in a random order."""
    machine.shuffle([x])


def logistic(machine: Machine, x: Shared, y: Shared, w: Shared) -> None:
    """Full-batch gradient descent of a logistic regression."""
    turned = x.transpose()
    for _ in range(EPOCHS):
        error = machine.subtract(machine.sigmoid(machine.matmul_real(x, w)), y)
        w = machine.subtract(w, machine.scale_real(machine.matmul_real(turned, error), RATE / PATIENTS))


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
    """A row's work, how many times SPU's speed is aimed at, and the same work with its result opened."""

    work: Callable[..., object]
    aim: float | None
    opened: Callable[..., object] | None = None


ROWS = {
    "multiply 1e6": Row(multiply_real, 2),
    "multiply 1e6, integers": Row(multiply, 3),
    "less-than 1e6": Row(less_than, 10),
    "equality 1e6": Row(equality, None),
    "matmul 1000x1000x1000": Row(matmul_real, 2),
    "matmul 4096x128x32": Row(matmul_real, 2),
    "sigmoid 1e5": Row(sigmoid, 4, opened_sigmoid),
    "exp 1e5": Row(exponential, 1, opened_exponential),
    "division 1e5": Row(division, 4, opened_division),
    "sort 1e4": Row(sort, 7.5),
    "sort 1e5": Row(sort, 17),
    "shuffle 1e6": Row(shuffle, None),
    "logistic 569x30, 10 epochs": Row(logistic, 2),
}


def best(work: Callable[[], object], times: int = 5) -> float:
    """Seconds of the fastest run."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        found.append(time.perf_counter() - start)
    return min(found)


@dataclass(frozen=True)
class Limits:
    """Bytes a second of AES-128-CTR, memcpy and the loopback; seconds of products of 1000 x 1000; a round trip, us."""

    aes: float
    memcpy: float
    blas: float
    naive: float
    kernel: float
    loopback: float
    trip: float

    def __str__(self) -> str:
        return (
            f"AES-128-CTR {self.aes / 1e9:.1f} GB/s, memcpy {self.memcpy / 1e9:.1f} GB/s, BLAS double "
            f"{2 / self.blas:.0f} GFLOP/s, 64-bit integer product 1000^3 {self.naive:.2f} s in numpy and "
            f"{self.kernel:.2f} s in Lingqu's kernel (one core each); loopback TCP {self.loopback / 1e9:.1f} GB/s, "
            f"round trip {self.trip:.0f} us"
        )


def limits() -> Limits:
    """What this machine can do at best."""
    source = np.ones(4_000_000, np.uint64)
    target = np.zeros_like(source)
    stream = Prg(bytes(16))
    real = np.random.default_rng(0).random((1000, 1000))
    word = np.random.default_rng(0).integers(0, 1 << 63, (1000, 1000)).astype(np.uint64)
    line = word.reshape(-1)
    trip, rate = raw_figures()
    return Limits(
        aes=source.nbytes / best(lambda: stream.words(source.size)),
        memcpy=source.nbytes / best(lambda: np.copyto(target, source)),
        blas=best(lambda: real @ real, 3),
        naive=best(lambda: word @ word, 1),
        kernel=best(lambda: ring_matmul(line, line, (1000, 1000, 1000), False), 2),
        loopback=rate * 1e6,
        trip=trip,
    )


class Spu:
    """The process that measures SPU, asked row by row; or the reason why there is none."""

    def __init__(self, python: str | None, repeat: int) -> None:
        self.missing = "" if python else "no Python with SPU was given"
        self._process = None
        if python is None:
            return
        command = (python, "-c", "import spu; print(spu.__version__)")
        check = subprocess.run(command, capture_output=True, text=True, check=False)
        if check.returncode:
            self.missing = f"SPU cannot be imported by {python}: {check.stderr.strip()[-120:]}"
            return
        self.version = check.stdout.split()[-1]
        self._process = subprocess.Popen(
            (python, str(SPU_SCRIPT), str(repeat)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def measure(self, row: str) -> dict[str, Any]:
        """SPU's figures of a row, or its error."""
        if self._process is None:
            return {"error": self.missing}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(row, file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        return {"error": "SPU's process has ended"}

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


@dataclass(frozen=True)
class Figures:
    """One engine's figures of one row."""

    times: tuple[float, ...]
    processor: float
    bytes: int
    rounds: int
    worst: float | None

    @property
    def seconds(self) -> float:
        """The median."""
        return median(self.times)

    @property
    def noisy(self) -> bool:
        """Whether the runs differ much."""
        return max(self.times) > NOISY * min(self.times)


def ours(name: str, tls: bool, repeat: int) -> Figures:
    """Lingqu's figures of a row."""
    row, inputs = ROWS[name], INPUTS[name]()
    with lingqu.local(tls=tls) as trial:
        report = trial.run(row.work, *inputs, repeat=repeat + 1)
        expected, worst = clear(name, inputs), None
        if expected is not None and row.opened is not None and not tls:
            opened = trial.run(row.opened, *inputs).result
            assert isinstance(opened, np.ndarray)
            worst = float(np.max(np.abs(opened - expected)))
    return Figures(report.times[1:], report.processor, max(report.bytes), report.rounds, worst)


def theirs(found: dict[str, Any]) -> Figures | None:
    """SPU's figures of a row; None where it has none."""
    if "error" in found:
        return None
    return Figures(tuple(found["times"]), median(found["processor"]), max(found["bytes"]), 0, found["worst"])


def lines(names: list[str], spu: Spu, repeat: int, machine: Limits) -> Iterator[str]:
    """The table as Markdown, row by row."""
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "|---|" + "---:|" * (len(COLUMNS) - 1)
    for name in names:
        try:
            plain, secured = (ours(name, tls, repeat) for tls in (False, True))
        except LingquError as error:
            yield f"| {name} | {error} |"
            continue
        answer = spu.measure(name)
        other = theirs(answer)
        if other is None and not spu.missing and "no such" not in answer["error"]:
            print(f"SPU, {name}: {answer['error']}", file=sys.stderr)
        moved = max(3 * plain.bytes, 1)
        cells = [
            name,
            _seconds(plain),
            _seconds(secured),
            _seconds(other) if other else "-",
            f"{other.seconds / plain.seconds:.1f}" if other else "-",
            f"{ROWS[name].aim:g}" if ROWS[name].aim else "-",
            f"{plain.processor:.2f}",
            f"{other.processor:.2f}" if other else "-",
            f"{plain.bytes / 1e6:.1f}",
            f"{other.bytes / 1e6:.1f}" if other else "-",
            str(plain.rounds),
            f"{plain.seconds * machine.loopback / moved:.1f}",
            f"{plain.seconds * machine.aes / moved:.1f}",
            "-" if plain.worst is None else f"{plain.worst:.0e}",
            "-" if other is None or other.worst is None else f"{other.worst:.0e}",
        ]
        yield "| " + " | ".join(cells) + " |"


def _seconds(figures: Figures) -> str:
    return f"{figures.seconds:.3f}{' noisy' if figures.noisy else ''}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--spu", help="the Python that has spu==0.9.5")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("rows", nargs="*")
    options = parser.parse_args()
    names = [name for name in ROWS if not options.rows or any(word in name for word in options.rows)]
    machine = limits()
    spu = Spu(options.spu, options.repeat)
    cores, load = os.cpu_count(), os.getloadavg()[0]
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, {cores} cores, load {load:.1f} at the start")
    print(f"Limits: {machine}")
    print(f"Lingqu: share.rep3, 64-bit ring, {FRACTION_BITS} fractional bits.", end=" ")
    print(
        f"SPU: none ({spu.missing})."
        if spu.missing
        else f"SPU {spu.version}: ABY3, FM64, 18 fractional bits (its default)."
    )
    print(
        "x loopback, x AES: plain seconds over the time to move all parties' payload once through each.\n", flush=True
    )
    try:
        for line in lines(names, spu, options.repeat, machine):
            print(line, flush=True)
    finally:
        spu.close()
    print(f"\nload {os.getloadavg()[0]:.1f} at the end", flush=True)


if __name__ == "__main__":
    main()
