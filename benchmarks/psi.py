"""Lingqu's private set intersection beside SPU's, measured in the same run, with the machine's own limits.

Run: make bench-psi, or python -m benchmarks.psi [--spu PYTHON] [--repeat 3] [WORD ...] for the rows whose names contain
a word.  Both engines: one process a party over plain loopback TCP, one warm-up, then the median of the runs of the
slower party.  The rows alternate between the engines, so that a disturbance meets both.  A row of files takes the time
from the CSV file with the keys to the CSV file with the rows that matched, at SPU as here; half of the keys match.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.net_bench import raw_figures
from benchmarks.psi_rows import GROWTH, ROWS, SHAPED, SHAPED_SIZES, Row
from lingqu._core import Prg
from lingqu.psi import Line, choose

SPU_SCRIPT = Path(__file__).with_name("spu_psi.py")
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
HUNDRED_MILLION, BUCKET = 10**8, 1 << 20

Figures = dict[str, Any]


class Process:
    """A party's process that answers lines of JSON."""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def tell(self, message: object) -> None:
        """One line to it."""
        assert self._process.stdin is not None
        print(json.dumps(message), file=self._process.stdin, flush=True)

    def hear(self) -> Any:
        """Its next answer; what else it prints is left out."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(json.JSONDecodeError):
                return json.loads(line)
        raise SystemExit("A party's process has ended; run the row alone to see why.")

    def end(self) -> None:
        """Close its pipes, and see to it that it is gone."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def ours(parties: int = 2) -> Iterator[list[Process]]:
    """Processes of Lingqu's parties, connected."""
    processes = [Process((sys.executable, "-m", "benchmarks.psi_party")) for _ in range(parties)]
    try:
        session = secrets.token_hex(16)
        for party, process in enumerate(processes):
            process.tell({"session": session, "party": party})
        endpoints = [process.hear() for process in processes]
        for process in processes:
            process.tell(endpoints)
        yield processes
    finally:
        for process in processes:
            process.end()


@contextlib.contextmanager
def theirs(python: str) -> Iterator[list[Process]]:
    """Processes of SPU's two parties."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        ports = [str(probe.getsockname()[1]) for probe in probes]
    processes = [Process((python, str(SPU_SCRIPT), str(rank), *ports)) for rank in range(2)]
    try:
        yield processes
    finally:
        for process in processes:
            process.end()


def measured(processes: Sequence[Process], jobs: Sequence[dict[str, Any]]) -> Figures:
    """The figures of one row: of the slower party in each run, the sum of bytes, the larger peak."""
    for process, job in zip(processes, jobs, strict=True):
        process.tell(job)
    answers = [process.hear() for process in processes]
    for answer in answers:
        if "error" in answer:
            return {"error": answer["error"]}
    return {
        "seconds": median(max(times) for times in zip(*(answer["times"] for answer in answers), strict=True)),
        "processor": median(sum(used) for used in zip(*(answer["processor"] for answer in answers), strict=True)),
        "bytes": sum(answer["bytes"] for answer in answers),
        "rounds": max(answer.get("rounds", 0) for answer in answers),
        "peak": max(answer["peak"] for answer in answers),
        "found": answers[0]["found"],
    }


def tables(folder: Path, sizes: Sequence[int]) -> list[str]:
    """A CSV file a party: distinct keys of 18 digits in random order, half of the smallest set in all of them."""
    shared = min(sizes) // 2
    paths = []
    for party, size in enumerate(sizes):
        path = folder / f"{'-'.join(map(str, sizes))}.{party}.csv"
        if not path.exists():
            own = np.arange(size) + np.where(np.arange(size) < shared, 0, (party + 1) * 10**10)
            keys = (np.random.default_rng(party).permutation(own) * 7_919 + 10**17).astype(np.int64)
            path.write_text("id,value\n" + "".join(f"{key},{place}\n" for place, key in enumerate(keys)))
        paths.append(str(path))
    return paths


def jobs_of(row: Row, folder: Path, repeat: int, shaped: tuple[float, float] | None = None) -> list[dict[str, Any]]:
    """What every party of a row is told."""
    shared = {"work": row.work, "files": row.files, "repeat": repeat, "shaped": shaped, "protocol": row.spu}
    inputs = tables(folder, row.sizes)
    return [{**shared, "input": path, "output": path + ".out"} for path in inputs]


def checked(row: Row, figures: Figures) -> Figures:
    """Every engine found the rows that match."""
    expected = min(row.sizes) // 2
    if "error" not in figures and figures["found"] != expected:
        raise SystemExit(f"{row.name}: {figures['found']} rows matched, {expected} do.")
    return figures


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
    aim = f"{row.aims[0]:g}" if row.aims[0] else "-"
    return [
        *(row.name, cell(mine, "seconds", ".3f"), aim, cell(other, "seconds", ".3f"), ratio),
        *(cell(mine, "processor"), cell(other, "processor")),
        *(cell(mine, "bytes", ".1f", 1e6), cell(other, "bytes", ".1f", 1e6)),
        *(cell(mine, "rounds", ".0f"), cell(mine, "peak", ".0f"), cell(other, "peak", ".0f")),
    ]


def line(cells: Sequence[str]) -> None:
    """A line of a Markdown table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def header(cells: Sequence[str]) -> None:
    """The first two lines of one."""
    line(cells)
    line(["---", *["---:"] * (len(cells) - 1)])


def growth(folder: Path) -> None:
    """From ten thousand to ten million, and a hundred million by arithmetic."""
    print("\nGrowth, columns in memory:\n")
    header(("row", "s", "us an element", "CPU s", "MB", "peak MB"))
    for row in GROWTH:
        with ours() as processes:
            found = checked(row, measured(processes, jobs_of(row, folder, 1)))
        each = found["seconds"] / row.sizes[0] * 1e6
        cells = (f"{found['seconds']:.3f}", f"{each:.2f}", f"{found['processor']:.2f}", f"{found['bytes'] / 1e6:.1f}")
        line([row.name, *cells, f"{found['peak']:.0f}"])
    bucket = Row("bucket", "rr22", (BUCKET, BUCKET), files=False)
    with ours() as processes:
        found = checked(bucket, measured(processes, jobs_of(bucket, folder, 1)))
    buckets = -(-HUNDRED_MILLION // BUCKET)
    seconds, megabytes = found["seconds"], found["bytes"] / 1e6
    print(
        f"\n1e8 was not run: in buckets of 2^20 it is {buckets} times the bucket measured here, {seconds:.2f} s and "
        f"{megabytes:.1f} MB: {buckets * seconds:.0f} s and {buckets * megabytes / 1e3:.1f} GB, and twice the reading "
        "and writing of both files."
    )


def shaped(folder: Path) -> None:
    """Each protocol at 100 Mbit/s and 20 ms there and back, and what the planner takes."""
    print(f"\n{RATE * 8 / 1e6:.0f} Mbit/s each way and {TRIP * 1e3:.0f} ms there and back, columns in memory:\n")
    header(("elements a side", *(f"{work} s" for work in SHAPED), "expected", "chosen", "is the fastest"))
    for size in SHAPED_SIZES:
        seconds = {}
        for work in SHAPED:
            row = Row(work, work, (size, size), files=False)
            with ours() as processes:
                found = checked(row, measured(processes, jobs_of(row, folder, 1, (TRIP / 2, RATE))))
            seconds[f"psi.{work}"] = found["seconds"]
        chosen = choose((size, size), Line(RATE, TRIP))
        fastest = min(seconds, key=lambda name: seconds[name])
        times = [f"{value:.3f}" for value in seconds.values()]
        line(
            [
                f"{size:,}",
                *times,
                f"{chosen.seconds:.3f}",
                chosen.protocol,
                "yes" if chosen.protocol == fastest else "no",
            ]
        )


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spu", help="a Python in which SPU is installed")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--parts", nargs="+", choices=("table", "growth", "shaped"), default=["table", "growth", "shaped"]
    )
    parser.add_argument("words", nargs="*")
    chosen = parser.parse_args()
    cpu = next((x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")), "")
    print(f"{cpu.partition(':')[2].strip()}, Python {platform.python_version()}; {limits()}\n")
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        if "table" in chosen.parts:
            header(COLUMNS)
            for row in ROWS:
                if row.installed and all(word.lower() in row.name.lower() for word in chosen.words):
                    line(compared(row, folder, chosen.spu, chosen.repeat))
        if "growth" in chosen.parts and not chosen.words:
            growth(folder)
        if "shaped" in chosen.parts and not chosen.words:
            shaped(folder)


if __name__ == "__main__":
    main()
