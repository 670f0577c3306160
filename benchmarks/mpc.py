"""Lingqu's protocols beside SPU's, measured in the same run, with the machine's own limits.

Run: make bench-mpc, or python -m benchmarks.mpc [--spu PYTHON] [--repeat 3] [ROW ...] for the rows whose names contain
a word.  All engines: one process a party over loopback TCP, inputs already shared, one warm-up, then the median of the
repeated runs of the slowest party; CHEETAH, which takes long, runs once after its warm-up.  The rows alternate between
the engines, so that a disturbance meets all.  Without TLS, as SPU's, but for the column "TLS", which is how nodes run.
`noisy` marks a spread above 1.5.  A protocol that is not installed is "not built"; it appears once it is registered.
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
from math import log10
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.mpc_rows import ROWS, WATCHED, Row, idle_rounds
from benchmarks.net_bench import raw_figures
from benchmarks.spu_table import INPUTS, clear
from lingqu._core import Prg
from lingqu._core import matmul as ring_matmul
from lingqu.engine.local import Local, local
from lingqu.kinds.errors import LingquError
from lingqu.share import FRACTION_BITS

NOISY = 1.5
ROUNDS = 500
SPU_SCRIPT = Path(__file__).with_name("spu_table.py")
COLUMNS = (
    *("row", "ours s", "TLS s", "malicious s", "ABY3 s", "ABY3 / ours", "aim", "malicious / ours"),
    *("two s", "two online s", "CHEETAH s", "CHEETAH / two", "CHEETAH / online"),
    *("MB", "malicious MB", "ABY3 MB", "two MB", "CHEETAH MB", "rounds", "CPU s", "ABY3 CPU s"),
    *("x loopback", "x AES", "error", "ABY3 error"),
)
PAIRED = (
    *("row", "s", "CPU s", "online s", "CHEETAH s", "CHEETAH CPU s", "CHEETAH / s", "CHEETAH / online"),
    *("MB", "MB online", "CHEETAH MB", "rounds", "rounds online", "peak MB"),
)
SCALING = ("row", "s", "CPU s", "MB", "rounds", "peak MB", "operands MB", "peak / operands", "grows with rows to the")


@dataclass(frozen=True)
class Engine:
    """How a column of ours is run."""

    parties: int = 3
    adversary: str = "semi-honest"
    tls: bool = False

    def trial(self, row: Row) -> Local:
        """The parties of a row."""
        trip, bits = row.shaped or (None, None)
        latency, bandwidth = trip if trip is None else trip / 2, bits if bits is None else bits / 8
        return local(self.parties, latency, bandwidth, adversary=self.adversary, tls=self.tls)


OURS, TLS, MALICIOUS, TWO = Engine(), Engine(tls=True), Engine(adversary="malicious"), Engine(parties=2)


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
    """Bytes a second of AES-128-CTR, memcpy and the loopback; seconds of products of 1000 x 1000.

    trip: there and back on a plain loopback connection, us.  round: one round of three parties in `lingqu.local`, us.
    """

    aes: float
    memcpy: float
    blas: float
    naive: float
    kernel: float
    loopback: float
    trip: float
    round: float

    def __str__(self) -> str:
        return (
            f"AES-128-CTR {self.aes / 1e9:.1f} GB/s, memcpy {self.memcpy / 1e9:.1f} GB/s, BLAS double "
            f"{2 / self.blas:.0f} GFLOP/s, 64-bit integer product 1000^3 {self.naive:.2f} s in numpy and "
            f"{self.kernel:.2f} s in Lingqu's kernel (one core each); loopback TCP {self.loopback / 1e9:.1f} GB/s, "
            f"there and back {self.trip:.0f} us; a round of three parties {self.round:.0f} us"
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
        round=_round(),
    )


def _round() -> float:
    """Microseconds of one round of three parties, every one of which sends a word to another."""
    with local(tls=False) as trial:
        report = trial.run(idle_rounds, np.zeros(1, np.int64), np.zeros(ROUNDS, np.int64), repeat=3)
        return min(report.times) / ROUNDS * 1e6


class Spu:
    """The process that measures SPU, asked row by row; or the reason why there is none."""

    def __init__(self, python: str | None) -> None:
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
            (python, str(SPU_SCRIPT)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def measure(self, protocol: str, row: str, repeat: int) -> dict[str, Any]:
        """SPU's figures of a row, or its error."""
        if self._process is None:
            return {"error": self.missing}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(protocol, repeat, row, file=self._process.stdin, flush=True)
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
    """One engine's figures of one row.

    prepared: seconds of making correlations.  beyond: bytes of memory that the work took.  made, made_rounds: bytes and
    rounds of making correlations.
    """

    times: tuple[float, ...]
    processor: float
    bytes: int
    rounds: int
    worst: float | None = None
    prepared: float = 0.0
    beyond: float = 0.0
    made: int = 0
    made_rounds: int = 0

    @property
    def seconds(self) -> float:
        """The median."""
        return median(self.times)

    @property
    def noisy(self) -> bool:
        """Whether the runs differ much."""
        return max(self.times) > NOISY * min(self.times)

    def __str__(self) -> str:
        return f"{self.seconds:.3f}{' noisy' if self.noisy else ''}"


Found = Figures | str
"""Figures, or why there are none."""


def _party_figures(result: object) -> NDArray[np.float64]:
    assert isinstance(result, np.ndarray)
    return result


def ours(name: str, engine: Engine, repeat: int) -> Found:
    """Lingqu's figures of a row."""
    row, inputs = ROWS[name], INPUTS[name]()
    try:
        trial = engine.trial(row)
    except LingquError:
        return "not built"
    try:
        with trial:
            first = trial.run(WATCHED[row.work], *inputs)
            later = trial.run(WATCHED[row.work], *inputs, repeat=repeat)
            expected, worst = clear(name, inputs), None
            if expected is not None and row.opened is not None and engine is OURS:
                opened = _party_figures(trial.run(row.opened, *inputs).result)
                worst = float(np.max(np.abs(opened - expected)))
    except LingquError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return "failed"
    last = [_party_figures(result) for result in later.results]
    beyond = max(float(_party_figures(result)[2]) for result in first.results)
    prepared = max(float(one[1]) for one in last)
    made, made_rounds = (max(int(one[i]) for one in last) for i in (3, 4))
    sent, rounds = max(later.bytes), later.rounds
    return Figures(later.times, later.processor, sent, rounds, worst, prepared, beyond, made, made_rounds)


def theirs(spu: Spu, protocol: str, name: str, repeat: int) -> Found:
    """SPU's figures of a row."""
    found = spu.measure(protocol, name, repeat)
    if "error" in found:
        if not spu.missing and "no such" not in found["error"]:
            print(f"SPU {protocol}, {name}: {found['error']}", file=sys.stderr)
        return "-"
    return Figures(tuple(found["times"]), median(found["processor"]), max(found["bytes"]), 0, found["worst"])


def _ratio(slow: Found, fast: Found | float) -> str:
    if isinstance(slow, str) or isinstance(fast, str):
        return "-"
    seconds = fast.seconds if isinstance(fast, Figures) else fast
    return f"{slow.seconds / max(seconds, 1e-6):.1f}"


def _cell(found: Found, show: Callable[[Figures], str]) -> str:
    return "-" if isinstance(found, str) else show(found)


def _megabytes(found: Found) -> str:
    return _cell(found, lambda one: f"{one.bytes / 1e6:.1f}")


def _error(found: Found) -> str:
    return _cell(found, lambda one: "-" if one.worst is None else f"{one.worst:.0e}")


def compared(name: str, spu: Spu, repeat: int, machine: Limits) -> list[str]:
    """The cells of a row that other engines are measured on too."""
    row = ROWS[name]
    plain, secured, checked = (ours(name, engine, repeat) for engine in (OURS, TLS, MALICIOUS))
    aby3 = theirs(spu, "ABY3", name, repeat)
    two = ours(name, TWO, 1)
    cheetah = theirs(spu, "CHEETAH", name, 1) if row.cheetah else "-"
    online = "-" if isinstance(two, str) else max(two.seconds - two.prepared, 0.0)
    moved = 1 if isinstance(plain, str) else max(3 * plain.bytes, 1)
    return [
        *(name, str(plain), str(secured), str(checked), str(aby3), _ratio(aby3, plain)),
        f"{row.aim:g}" if row.aim else "-",
        _ratio(checked, plain),
        str(two),
        online if isinstance(online, str) else f"{online:.3f}",
        *(str(cheetah), _ratio(cheetah, two), "-" if isinstance(online, str) else _ratio(cheetah, online)),
        *(_megabytes(found) for found in (plain, checked, aby3, two, cheetah)),
        _cell(plain, lambda one: str(one.rounds)),
        *(_cell(found, lambda one: f"{one.processor:.2f}") for found in (plain, aby3)),
        _cell(plain, lambda one: f"{one.seconds * machine.loopback / moved:.1f}"),
        _cell(plain, lambda one: f"{one.seconds * machine.aes / moved:.1f}"),
        *(_error(found) for found in (plain, aby3)),
    ]


def paired(name: str, spu: Spu) -> list[str]:
    """The cells of a row of two parties alone."""
    two = ours(name, TWO, 1)
    cheetah = theirs(spu, "CHEETAH", name, 1) if ROWS[name].cheetah else "-"
    if isinstance(two, str):
        return [name, two, *["-"] * (len(PAIRED) - 2)]
    online = max(two.seconds - two.prepared, 0.0)
    return [
        *(name, f"{two.seconds:.2f}", f"{two.processor:.2f}", f"{online:.3f}"),
        _cell(cheetah, lambda one: f"{one.seconds:.2f}"),
        _cell(cheetah, lambda one: f"{one.processor:.2f}"),
        *(_ratio(cheetah, two), _ratio(cheetah, online)),
        *(f"{size / 1e6:.1f}" for size in (two.bytes, two.bytes - two.made)),
        *(_megabytes(cheetah), str(two.rounds), str(two.rounds - two.made_rounds), f"{two.beyond / 1e6:.0f}"),
    ]


def scaled(name: str, before: Figures | None) -> tuple[list[str], Figures | None]:
    """The cells of a scaling row, and its figures; before: those of a tenth of the rows."""
    found = ours(name, OURS, 2)
    if isinstance(found, str):
        return [name, found, *["-"] * (len(SCALING) - 2)], None
    operands = sum(2 * 8 * array.size for array in INPUTS[name]())
    peak = operands + found.beyond
    grows = "-" if before is None else f"{log10(found.seconds / before.seconds):.2f}"
    return [
        *(name.removeprefix("scaling: "), str(found), f"{found.processor:.2f}", _megabytes(found), str(found.rounds)),
        *(f"{peak / 1e6:.0f}", f"{operands / 1e6:.0f}", f"{peak / operands:.1f}", grows),
    ], found


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def _head(columns: tuple[str, ...]) -> Iterator[str]:
    yield _line(columns)
    yield "|---|" + "---:|" * (len(columns) - 1)


def lines(names: list[str], spu: Spu, repeat: int, machine: Limits, pair: bool = False) -> Iterator[str]:
    """The tables as Markdown, row by row; pair: of two parties alone."""
    several = [name for name in names if not ROWS[name].scaling]
    if pair:
        yield from _head(PAIRED)
        for name in several:
            yield _line(paired(name, spu))
        return
    if several:
        yield from _head(COLUMNS)
    for name in several:
        yield _line(compared(name, spu, repeat, machine))
    growing = [name for name in names if ROWS[name].scaling]
    if growing:
        yield ""
        yield from _head(SCALING)
    before: tuple[object, Figures | None] = (None, None)
    for name in growing:
        work = ROWS[name].work
        cells, found = scaled(name, before[1] if before[0] is work else None)
        before = work, found
        yield _line(cells)


def start() -> str:
    """What a party's process takes before it computes."""
    with local(tls=False) as trial:
        report = trial.run(idle_rounds, np.zeros(1, np.int64), np.zeros(0, np.int64))
        resident = max(float(_party_figures(result)[0]) for result in report.results)
        return f"a session of three processes is up in {report.setup:.2f} s; {resident / 1e6:.0f} MB resident a party"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--spu", help="the Python that has spu==0.9.5")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--two", action="store_true", help="measure two parties and CHEETAH alone")
    parser.add_argument("rows", nargs="*")
    options = parser.parse_args()
    names = [name for name in ROWS if not options.rows or any(word in name for word in options.rows)]
    spu = Spu(options.spu)
    cores, load = os.cpu_count(), os.getloadavg()[0]
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, {cores} cores, load {load:.1f} at the start")
    machine = limits()
    print(f"Limits: {machine}")
    print(f"Start: {start()}")
    print(f"Lingqu: 64-bit ring, {FRACTION_BITS} fractional bits.", end=" ")
    print(
        f"SPU: none ({spu.missing})." if spu.missing else f"SPU {spu.version}: FM64, 18 fractional bits (its default)."
    )
    print("MB: sent by the party that sends most.  x loopback, x AES: our seconds over the time to move all parties'")
    print(
        "payload once through each.  CPU s: of all parties.  two online s: without making correlations.\n", flush=True
    )
    try:
        for line in lines(names, spu, options.repeat, machine, options.two):
            print(line, flush=True)
    finally:
        spu.close()
    print(f"\nload {os.getloadavg()[0]:.1f} at the end", flush=True)


if __name__ == "__main__":
    main()
