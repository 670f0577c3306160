"""The rows of benchmarks/psi.py: what one party does in each, and which rows there are.

A row's work gets a channel, the job, and what `prepare` made of it, and returns how many rows matched, or None where
the party does not learn it.
A feature adds its work to WORK and its row to ROWS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv

from lingqu.kinds.channel import Channel
from lingqu.psi import Elements, Result, Terms, elements, intersect

FORM = "exact/1"
KEY = "id"
Job = dict[str, Any]
Work = Callable[[Channel, Job, Any], int | None]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    work: a name in WORK.  sizes: elements of the receiver and the sender.  files: CSV in and CSV out, or columns in
    memory.  spu: SPU's protocol of the same row.  aim: seconds that the row is to stay within; 0 where nothing is
    asked.  runs: the most runs after the warm-up, few where one takes long.
    """

    name: str
    work: str
    sizes: tuple[int, int]
    files: bool = True
    spu: str | None = None
    aim: float = 0
    runs: int = 3

    def divided(self, by: int) -> Row:
        """The same row over smaller sets."""
        first, second = (max(2, size // by) for size in self.sizes)
        return replace(self, sizes=(first, second))


def read(path: str) -> pa.Table:
    """A party's table; keys are texts."""
    return csv.read_csv(path, convert_options=csv.ConvertOptions(column_types={KEY: pa.string()}))


def write(path: str, table: pa.Table) -> None:
    """The rows that matched."""
    csv.write_csv(table, path)


def prepare(job: Job) -> Any:
    """What is there before the clock starts: the file's path, or the column in memory."""
    return None if job["files"] else read(job["input"])[KEY].combine_chunks()


def intersection(protocol: str, **other: Any) -> Work:
    """Keys in, the rows that both have out at the first party."""

    def work(channel: Channel, job: Job, column: Any) -> int | None:
        terms = Terms(protocol=protocol, forms=(FORM,), **other)
        table = read(job["input"]) if job["files"] else None
        own: Elements = elements([column if table is None else table[KEY]], [FORM])
        found = intersect(channel, own, terms)
        if found.elements is None:
            return found.size
        rows = own.rows_of(found.elements)
        if table is not None:
            write(job["output"], table.take(pa.array(rows)))
        return len(rows)

    return work


WORK: dict[str, Work] = {
    "rr22": intersection("psi.rr22"),
    "rr22.malicious": intersection("psi.rr22.malicious"),
    "ecdh": intersection("psi.ecdh"),
    "ecdh.p256": intersection("psi.ecdh.p256"),
    "ecdh.sm2": intersection("psi.ecdh.sm2"),
    "ecdh size": intersection("psi.ecdh", result=Result.SIZE),
}
MANY, MORE = 100_000, 1 << 20
ROWS = (
    Row("RR22 1e5", "rr22", (MANY, MANY), spu="RR22", aim=0.12),
    Row("RR22 2^20", "rr22", (MORE, MORE), spu="RR22", aim=1.4),
    Row("RR22 2^20 in memory", "rr22", (MORE, MORE), files=False, aim=0.8),
    Row("RR22 2^20 malicious", "rr22.malicious", (MORE, MORE)),
    Row("RR22 2^20 malicious in memory", "rr22.malicious", (MORE, MORE), files=False),
    Row("KKRT 2^20", "", (MORE, MORE), spu="KKRT"),
    Row("ECDH 1e5", "ecdh", (MANY, MANY), spu="ECDH", aim=0.6),
    Row("ECDH 2^20", "ecdh", (MORE, MORE), spu="ECDH", aim=6, runs=1),
    Row("ECDH size alone 1e5", "ecdh size", (MANY, MANY)),
    Row("ECDH P-256 1e4", "ecdh.p256", (MANY // 10, MANY // 10)),
    Row("ECDH SM2 1e4", "ecdh.sm2", (MANY // 10, MANY // 10)),
)
SHAPED = {
    "psi.rr22": "rr22",
    "psi.rr22.malicious": "rr22.malicious",
    "psi.ecdh": "ecdh",
    "psi.ecdh.p256": "ecdh.p256",
    "psi.ecdh.sm2": "ecdh.sm2",
}
"""Protocols on a shaped line, and their work."""
SHAPED_SIZES = (1_000, 10_000, 100_000, 1_000_000)
SLOW, SLOW_MOST = ("psi.ecdh.p256", "psi.ecdh.sm2"), 1_000
"""Protocols that nobody takes for their speed, and up to which size they are measured."""
