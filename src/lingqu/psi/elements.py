"""The elements of a set: rows' key columns in an agreed form, as bytes that are equal exactly when the keys are.

A row whose key is null in any column takes no part and matches nothing, as in SQL.  Rows with equal keys are one
element; `rows_of` leads from elements back to all their rows.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.errors import BadInput
from lingqu.psi.forms import normalise

MOST_COLUMNS = 16


@dataclass(frozen=True)
class Elements:
    """A set, with its way back to the rows.

    data, offsets: element i is data[offsets[i]:offsets[i + 1]].  element_of: the element of every row, -1 for a row
    whose key is null.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    element_of: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return f"Elements({len(self)} of {len(self.element_of)} rows)"

    def rows_of(self, elements: NDArray[np.int64]) -> NDArray[np.int64]:
        """All rows whose element is among the given ones, in the rows' order."""
        return np.flatnonzero(self.marked(elements))

    def marked(self, elements: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Of every row whether its element is among the given ones."""
        wanted = np.zeros(len(self) + 1, bool)
        wanted[elements] = True
        wanted[-1] = False
        return wanted[self.element_of]

    def digests(self, salt: bytes) -> NDArray[np.uint64]:
        """128 bits of SHA-256(salt || element), two words an element."""
        return _core.element_digests(salt, self.data, self.offsets)

    def take(self, which: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Data and offsets of some elements, in the given order."""
        return _core.take_texts(self.data, self.offsets, which)


def elements(columns: Sequence[Any], forms: Sequence[str]) -> Elements:
    """The set of a table's keys.

    columns: one array a key column (pyarrow, numpy or a sequence; None is null), all of one length.
    forms: the normal form of every column, such as "text/1" (see lingqu.psi.forms).  BadInput names the column that
    does not fit its form, and a row, never a value.
    """
    if not 1 <= len(columns) <= MOST_COLUMNS or len(columns) != len(forms):
        raise BadInput(f"{len(columns)} key columns with {len(forms)} forms.", "Give each key column its form.")
    parts = [normalise(column, form, place) for place, (column, form) in enumerate(zip(columns, forms, strict=True))]
    if len({len(part) for part in parts}) > 1:
        raise BadInput("The key columns differ in length.", "Give columns of one table.")
    present = np.asarray(functools.reduce(pc.and_, (pc.is_valid(part) for part in parts)))
    if not present.all():
        parts = [part.filter(pa.array(present)) for part in parts]
    texts = _core.join_texts([_buffers(part) for part in parts])
    del parts
    pa.default_memory_pool().release_unused()  # what reading a file and the forms have left there
    return unique(*texts, present)


def _buffers(values: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if not len(values):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    _, offsets, data = values.buffers()
    return np.frombuffer(data, np.uint8), np.frombuffer(offsets, np.int64, len(values) + 1, 8 * values.offset)


def unique(data: NDArray[np.uint8], offsets: NDArray[np.int64], present: NDArray[np.bool_]) -> Elements:
    """One element for equal keys, in the order of their first rows.

    data, offsets: the keys of the rows that have one.  present: of all rows, which have one.
    """
    kept, number = _core.unique_texts(data, offsets)
    element_of = number
    if not present.all():
        element_of = np.full(len(present), -1, np.int64)
        element_of[present] = number
    every = Elements(data, offsets, element_of)
    return every if len(kept) == len(number) else Elements(*every.take(kept), element_of)
