"""Lingqu's private set intersection beside SPU's, measured in the same run, with the machine's own limits.

Run: make bench-psi, or python -m benchmarks.psi [--spu PYTHON] [--sections NAME ...] [--divide N] [--words WORD ...]
for the rows whose names contain a word.  Sections: table (both engines), shares (as the result), lookup (and unbalanced
sets), growth (files larger than memory), shaped (every protocol at 100 Mbit/s and 20 ms, beside the planner's choice).
Every row is printed once it is measured.  --divide N: all sizes divided by N, to try the command; no figures to keep.
In the table each engine has one process a party over plain loopback TCP, one warm-up, then the median of the runs of
the slower party.  The rows alternate between the engines, so that a disturbance meets both.  A row of files takes the
time from the CSV file with the keys to the CSV file with the rows that matched; half of the keys match.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import psi_lookup, psi_scale, psi_shares
from benchmarks.net_bench import raw_figures
from benchmarks.psi_engines import Figures, checked, jobs_of, measured, ours, theirs
from benchmarks.psi_rows import ROWS, SHAPED, SHAPED_SIZES, SLOW, SLOW_MOST, Row
from lingqu._core import Prg
from lingqu.psi import Line, choose
from lingqu.psi.parts import PART, parted

COLUMNS = (
    "row",
    "ours s",
    "aim s",
    "SPU s",
    "SPU / ours",
    "CPU s",
    "SPU CPU s",
    "MB",
    "SPU MB",
    "rounds",
    "peak MB",
    "SPU peak MB",
)
TRIP, RATE = 0.02, 12.5e6
GROWTH = (10_000, 100_000, 1_000_000, 10_000_000)
HUNDRED_MILLION = 10**8
LOOKUPS = (("lookup", 1_000_000, 256), ("unbalanced", 1_000, 1_000_000))
QUERY_AIM = 0.05


@dataclass(frozen=True)
class Asked:
    """What is to be measured.  words: of the rows' names; none: all.  spu: a Python with SPU.  divide: all sizes."""

    words: tuple[str, ...] = ()
    spu: str | None = None
    repeat: int = 3
    divide: int = 1

    def takes(self, name: str) -> bool:
        """Whether a row is among those asked for."""
        return not self.words or any(word.lower() in name.lower() for word in self.words)


def line(cells: Sequence[str]) -> None:
    """A line of a Markdown table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def header(title: str, cells: Sequence[str]) -> None:
    """What a table shows, and its first two lines."""
    print(f"\n{title}\n")
    line(cells)
    line(["---", *["---:"] * (len(cells) - 1)])


def power(section: str, size: int) -> str:
    """A row's name: of its section and a power of ten."""
    return f"{section} 1e{len(str(size)) - 1}"


def table(asked: Asked, folder: Path) -> None:
    """Both engines, row by row."""
    rows = [row for row in ROWS if asked.takes(row.name) and (row.work or asked.spu)]
    if rows:
        header("Two parties, half of the keys in both:", COLUMNS)
    for row in rows:
        line(compared(row.divided(asked.divide), folder, asked.spu, min(asked.repeat, row.runs)))


def compared(row: Row, folder: Path, python: str | None, repeat: int) -> list[str]:
    """A line of the table."""
    mine: Figures = {"error": "not offered"}
    if row.work:
        with ours(len(row.sizes)) as processes:
            mine = checked(row, measured(processes, jobs_of(row, folder, repeat)))
    other: Figures = {"error": "not offered"}
    if row.spu and python:
        with theirs(python) as processes:
            other = checked(row, measured(processes, jobs_of(row, folder, repeat)))

    def cell(figures: Figures, name: str, form: str = ".2f", scale: float = 1) -> str:
        return format(figures[name] / scale, form) if name in figures else "-"

    ratio = f"{other['seconds'] / mine['seconds']:.1f}" if "seconds" in other and "seconds" in mine else "-"
    return [
        *(row.name, cell(mine, "seconds", ".3f"), f"{row.aim:g}" if row.aim else "-"),
        *(cell(other, "seconds", ".3f"), ratio, cell(mine, "processor"), cell(other, "processor")),
        *(cell(mine, "bytes", ".1f", 1e6), cell(other, "bytes", ".1f", 1e6)),
        *(cell(mine, "rounds", ".0f"), cell(mine, "peak", ".0f"), cell(other, "peak", ".0f")),
    ]


def shares(asked: Asked, folder: Path) -> None:
    """Two owners' tables aligned as shares, with three parties and with two."""
    rows = max(16, psi_shares.ROWS // asked.divide)
    chosen = [(f"shares 2^20, {parties} parties", parties) for parties in (3, 2)]
    chosen = [(name, parties) for name, parties in chosen if asked.takes(name)]
    if chosen:
        header("Shares as the result, two payload columns a side:", psi_shares.COLUMNS)
    for name, parties in chosen:
        line((name, *psi_shares.cells(psi_shares.measured(parties, rows, asked.repeat), psi_shares.AIMS[parties])))


def lookup(asked: Asked, folder: Path) -> None:
    """Private lookup with its hint and traffic, and a few elements against very many."""
    for kind, first, second in LOOKUPS:
        name = f"lookup 1e6 x {second} B" if kind == "lookup" else "unbalanced 1e3 x 1e6"
        if not asked.takes(name):
            continue
        one, two = max(16, first // asked.divide), second if kind == "lookup" else max(32, second // asked.divide)
        found = psi_lookup.measure(f"{kind} {one}x{two}")
        print("\n" + "\n".join(psi_lookup.lines(name, found)), flush=True)
        if kind == "lookup":
            kept = "reached" if found["query s"] <= QUERY_AIM else "missed"
            print(f"\nThe aim of {QUERY_AIM * 1e3:.0f} ms a query on line is {kept}.", flush=True)


def growth(asked: Asked, folder: Path) -> None:
    """From ten thousand to ten million, files larger than memory in parts; a hundred million by arithmetic."""
    sizes = [size for size in GROWTH if asked.takes(power("growth", size))]
    if sizes:
        header(
            f"Growth of psi.rr22, Parquet in and out, parts of about {PART:,} rows:",
            ("row", "s", "us a row", "CPU s", "MB", "peak MB of a party"),
        )
    for size in sizes:
        rows = max(16, size // asked.divide)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            one, two = psi_scale.measured(rows, "psi.rr22", PART, Path(place))
        took = max(one["seconds"], two["seconds"])
        sent = (one["sent"] + two["sent"]) / 1e6
        cells = (f"{took:.2f}", f"{took / rows * 1e6:.2f}", f"{one['processor'] + two['processor']:.2f}", f"{sent:.1f}")
        line((power("growth", size), *cells, f"{max(one['peak'], two['peak']):.0f}"))
        if size == GROWTH[-1]:
            print(f"\n{by_arithmetic(rows, took, sent)}", flush=True)


def by_arithmetic(rows: int, took: float, megabytes: float) -> str:
    """What a hundred million rows would take, from a run that was measured."""
    measured_parts = parted((rows, rows)).count
    parts = parted((HUNDRED_MILLION, HUNDRED_MILLION)).count
    times = parts / measured_parts
    seconds, gigabytes = times * took, times * megabytes / 1e3
    return (
        f"1e8 rows were not run.  By arithmetic: {parts} parts, {times:.1f} times the {measured_parts} of the last "
        f"row, so {seconds:.0f} s and {gigabytes:.1f} GB, at the same peak of memory but for 8 bytes a row in both."
    )


def shaped(asked: Asked, folder: Path) -> None:
    """Each protocol at 100 Mbit/s and 20 ms there and back, and what the planner takes."""
    sizes = [size for size in SHAPED_SIZES if asked.takes(power("shaped", size))]
    if sizes:
        header(
            f"{RATE * 8 / 1e6:.0f} Mbit/s each way and {TRIP * 1e3:.0f} ms there and back, columns in memory:",
            ("row", *(f"{name} s" for name in SHAPED), "chosen", "expected s", "is the fastest"),
        )
    verdicts = []
    for size in sizes:
        rows = max(2, size // asked.divide)
        seconds = {}
        for protocol, work in SHAPED.items():
            if protocol in SLOW and size > SLOW_MOST:
                continue
            row = Row(protocol, work, (rows, rows), files=False)
            runs = asked.repeat if size < SHAPED_SIZES[-1] else 1
            with ours() as processes:
                jobs = jobs_of(row, folder, runs, (TRIP / 2, RATE))
                seconds[protocol] = checked(row, measured(processes, jobs))["seconds"]
        chosen = choose((rows, rows), Line(RATE, TRIP))
        fastest = min(seconds, key=lambda name: seconds[name])
        verdicts.append(chosen.protocol == fastest)
        times = [f"{seconds[name]:.3f}" if name in seconds else "-" for name in SHAPED]
        lost = seconds[chosen.protocol] - seconds[fastest]
        verdict = "yes" if verdicts[-1] else f"no: {fastest} is, by {lost:.3f} s"
        line((power("shaped", size), *times, chosen.protocol, f"{chosen.seconds:.3f}", verdict))
    if verdicts:
        told = "is" if all(verdicts) else "is NOT"
        print(f"\nThe planner's choice {told} the fastest protocol at every size of this table.", flush=True)


Section = Callable[[Asked, Path], None]
SECTIONS: dict[str, Section] = {
    "table": table,
    "shares": shares,
    "lookup": lookup,
    "growth": growth,
    "shaped": shaped,
}


def limits() -> str:
    """What this machine can do at best."""
    stream, source = Prg(bytes(16)), np.ones(4_000_000, np.uint64)
    target = np.zeros_like(source)
    start = time.perf_counter()
    stream.words(source.size)
    aes = source.nbytes / (time.perf_counter() - start) / 1e9
    np.copyto(target, source)
    start = time.perf_counter()
    np.copyto(target, source)
    copy = source.nbytes / (time.perf_counter() - start) / 1e9
    trip, rate = raw_figures()
    return (
        f"AES-128-CTR {aes:.1f} GB/s, memcpy {copy:.1f} GB/s, "
        f"loopback TCP {rate / 1e3:.1f} GB/s, there and back {trip:.0f} us"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spu", help="a Python in which SPU is installed")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--divide", type=int, default=1, help="divide all sizes, to try the command")
    parser.add_argument("--words", nargs="+", default=[], help="the rows whose names contain one of these")
    chosen = parser.parse_args(arguments)
    asked = Asked(tuple(chosen.words), chosen.spu, chosen.repeat, chosen.divide)
    cpu = next((x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")), "")
    version, load = platform.python_version(), os.getloadavg()[0]
    print(f"{cpu.partition(':')[2].strip()}, Python {version}, load {load:.1f} at the start")
    print(f"Limits: {limits()}", flush=True)
    if asked.divide != 1:
        print(f"All sizes are divided by {asked.divide}: a trial of the command, no figures to keep.", flush=True)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as directory:
        for name in chosen.sections:
            SECTIONS[name](asked, Path(directory))
    print(f"\n{time.perf_counter() - began:.0f} s in all, load {os.getloadavg()[0]:.1f} at the end", flush=True)


if __name__ == "__main__":
    main()
