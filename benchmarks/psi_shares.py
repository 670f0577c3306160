"""Shares as the result: two owners' tables aligned with nobody learning who matched, two payload columns a side.

The section "shares" of `make bench-psi`.  One process a party over loopback TCP without TLS, keys as texts in memory
and hashed within the time, half of them in both tables; the result is checked by opening how many matched and the sum
of all payload.  One warm-up, then the median of the slowest party's runs.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

import lingqu
from lingqu._core import element_hashes
from lingqu.share import Machine, Rows, Shared, Side, align

SALT = bytes(range(32))
ROWS = 1 << 20
AIMS = {2: 10.0, 3: 4.0}
"""Seconds to reach with as many rows, by the number of parties."""
COLUMNS = ("row", "s", "aim s", "CPU s", "MB", "rounds", "peak MB of a party")
KEY_BYTES = 18
_PRIME = 7_919


@dataclass(frozen=True)
class Figures:
    """Of one alignment: seconds of the slowest party, processor seconds and bytes of all, rounds, peak bytes of one."""

    seconds: float
    processor: float
    bytes: int
    rounds: int
    peak: int


@lru_cache(maxsize=2)
def table(owner: int, rows: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """An owner's keys of 18 digits as bytes and their offsets, in random order, and its payload."""
    numbers = np.random.default_rng(owner).permutation(rows) + owner * (rows // 2)
    data = np.empty((rows, KEY_BYTES), np.uint8)
    for place in range(KEY_BYTES):  # digit by digit: formatting texts would keep the channel's threads waiting
        data[:, KEY_BYTES - 1 - place] = (numbers * _PRIME + 10**17) // 10**place % 10 + ord("0")
    return data.reshape(-1), np.arange(0, KEY_BYTES * rows + 1, KEY_BYTES), np.column_stack([numbers, -numbers % 1000])


def aligned(machine: Machine, size: Shared) -> NDArray[np.int64]:
    """How many matched, the sums of all payload of those, and the peak memory of this process.  size: (0, rows)."""
    rows = size.shape[1]
    asker, keeper = (Side(owner, rows, [f"x{owner}", f"y{owner}"]) for owner in (0, 1))
    own: list[Rows | None] = [None, None]
    if machine.party < 2:
        data, offsets, payload = table(machine.party, rows)
        keys, _ = element_hashes(SALT, data, offsets)
        own[machine.party] = Rows(keys.reshape(-1, 2), payload)
    found = align(machine, asker, keeper, own[0], own[1]).rows
    columns = machine.stack([found.columns[name] for name in ("x0", "y0", "x1", "y1")], axis=1)
    sums = machine.matmul(found.valid.reshape(1, -1), columns)
    opened = machine.reveal(machine.concat([machine.sum(found.valid).reshape(1, 1), sums], axis=1))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return np.append(np.asarray(opened), peak)


def measured(parties: int, rows: int = ROWS, repeat: int = 3) -> Figures:
    """Align two tables of so many rows; SystemExit where the result is wrong."""
    with lingqu.local(parties, tls=False) as trial:
        size = np.zeros((0, rows), np.int64)
        trial.run(aligned, size)
        report = trial.run(aligned, size, repeat=repeat)
    both = np.arange(rows // 2, rows)
    expected = [len(both), *2 * [int(both.sum()), int((-both % 1000).sum())]]
    results = [np.asarray(result) for result in report.results]
    if any(result[:-1].tolist() != expected for result in results):
        raise SystemExit(f"{results[0][:-1]} is not {expected}.")
    peak = max(int(result[-1]) for result in results)
    return Figures(report.seconds, report.processor, sum(report.bytes), report.rounds, peak)


def cells(found: Figures, aim: float) -> list[str]:
    """A row's cells behind its name, as COLUMNS."""
    return [
        *(f"{found.seconds:.2f}", f"{aim:g}", f"{found.processor:.2f}"),
        *(f"{found.bytes / 1e6:.1f}", str(found.rounds), f"{found.peak / 1e6:.0f}"),
    ]
