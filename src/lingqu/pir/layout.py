"""The shape of a prepared table, and the chance that an answer cannot be read.

A table has two halves.  A column of a half is a bucket of cells, a cell holds one sealed record, and every record
stands in one of two columns, one in each half (a cuckoo table).  A query is one vector over the columns of both halves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from lingqu import _core
from lingqu.kinds.errors import BadInput

SECRET, BLOCK, _GROUP, OVERHEAD = _core.pir_sizes()
HALVES = 2
MARK = 16
"""Bytes by which an answer shows its table's version."""
LARGEST_VALUE = 1024
MOST_COLUMNS = 1 << 19
_FILLED = {4: 0.88, 8: 0.92, 16: 0.93, 32: 0.93, 64: 0.93}
"""How full buckets of so many cells are built, so that later records find room (thresholds: 0.976, 0.998, then 1)."""
_QUERIES = 64
"""Queries for each time that the hint is sent, by which a layout is chosen."""
_ERROR_VARIANCE = 32


@dataclass(frozen=True)
class Layout:
    """columns: of one half.  cells: of a column.  value: bytes that a value may have."""

    columns: int
    cells: int
    value: int

    def __post_init__(self) -> None:
        fits = (
            self.cells in _FILLED
            and self.columns % BLOCK == 0
            and BLOCK <= self.columns <= MOST_COLUMNS
            and 0 <= self.value <= LARGEST_VALUE
        )
        if not fits:
            raise BadInput(f"No table has {self.columns} columns of {self.cells} cells.", "Use what `choose` gives.")

    @property
    def width(self) -> int:
        """Bytes of a cell: nonce, tag, length, and the value at its full length."""
        return self.value + OVERHEAD

    @property
    def rows(self) -> int:
        """Rows of a half: its cells, and the mark."""
        return self.cells * self.width + MARK

    @property
    def table_bytes(self) -> int:
        return HALVES * self.rows * self.columns

    @property
    def hint_bytes(self) -> int:
        """What a client gets once: 16 bits of every word."""
        return HALVES * self.rows * SECRET * 2

    @property
    def query_bytes(self) -> int:
        return HALVES * self.columns * 4

    @property
    def answer_bytes(self) -> int:
        return HALVES * self.rows * 2

    @property
    def room(self) -> int:
        """Records that the table is built for."""
        return int(HALVES * (self.columns - 1) * self.cells * _FILLED[self.cells])

    def failure(self) -> float:
        """log2 of a bound on the chance that any byte of an answer is misread.

        The errors of one half (centred binomial, variance 32, entries at most 128), what rounding the hint (weighed by
        a secret of -1, 0, 1) and the answer adds are subgaussian; a byte is misread when they reach 2^23.
        """
        rounding = 2.0 ** (2 * 16) / 12
        variance = self.columns * 128.0**2 * _ERROR_VARIANCE + (SECRET + 1) * rounding
        return math.log2(2 * HALVES * self.rows) - 2.0 ** (2 * 23) / (2 * variance) / math.log(2)


def choose_layout(count: int, value: int) -> Layout:
    """The layout for so many records, the one with least traffic of one hint and 64 queries.

    BadInput when no layout holds them.
    """
    fitting = []
    for cells, filled in _FILLED.items():
        buckets = math.ceil(count / filled / (HALVES * cells)) + 1
        columns = max(BLOCK, -(-buckets // BLOCK) * BLOCK)
        if columns <= MOST_COLUMNS:
            fitting.append(Layout(columns, cells, value))
    if not fitting:
        raise BadInput(f"{count} records are more than one table holds.", "Split the table by a public column.")
    return min(fitting, key=lambda layout: layout.hint_bytes + _QUERIES * layout.query_bytes)
