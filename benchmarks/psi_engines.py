"""The processes of benchmarks/psi.py: Lingqu's parties and SPU's, what they are told, and their figures."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.psi_rows import Row

SPU_SCRIPT = Path(__file__).with_name("spu_psi.py")

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
