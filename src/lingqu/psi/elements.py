"""The elements of a set: rows' key columns in an agreed form, as bytes that are equal exactly when the keys are.

A row whose key is null in any column takes no part and matches nothing, as in SQL.  Rows with equal keys are one
element; `rows_of` leads from elements back to all their rows.
"""

from __future__ import annotations

import secrets
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
        wanted = np.zeros(len(self) + 1, bool)
        wanted[elements] = True
        wanted[-1] = False
        return np.flatnonzero(wanted[self.element_of])

    def digests(self, salt: bytes) -> NDArray[np.uint64]:
        """128 bits of SHA-256(salt || element), two words an element."""
        return _core.element_digests(salt, self.data, self.offsets)

    def take(self, which: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Data and offsets of some elements, in the given order."""
        lengths = np.diff(self.offsets)[which]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        origin = np.repeat(self.offsets[which] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return self.data[origin], offsets


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
    whole = _joined(parts)
    present = np.asarray(pc.is_valid(whole))
    data, offsets = _buffers(whole.filter(pa.array(present)))
    return unique(data, offsets, present)


def _joined(parts: Sequence[pa.Array]) -> pa.Array:
    """Every part behind its length, so that no two keys of several columns run into the same bytes."""
    pieces: list[Any] = []
    for part in parts:
        lengths = np.asarray(pc.fill_null(pc.binary_length(part), 0), np.uint32)
        prefix = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(4), len(part), [None, pa.py_buffer(lengths.astype("<u4").tobytes())]
        )
        pieces += [prefix.cast(pa.large_binary()), part]
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.large_binary()))


def _buffers(values: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    if not len(values):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int64, len(values) + 1, 8 * values.offset)
    raw = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    return raw, ends - ends[0]


def unique(data: NDArray[np.uint8], offsets: NDArray[np.int64], present: NDArray[np.bool_]) -> Elements:
    """One element for equal keys, in the order of their first rows.

    data, offsets: the keys of the rows that have one.  present: of all rows, which have one.
    """
    digests = _core.element_digests(secrets.token_bytes(32), data, offsets).reshape(-1, 2)
    _, first, inverse = np.unique(_keys(digests), return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    element_of = np.full(len(present), -1, np.int64)
    element_of[present] = rank[inverse]
    kept = first[order]
    if len(kept) == len(digests):
        return Elements(data, offsets, element_of)
    chosen = Elements(data, offsets, element_of).take(kept)
    return Elements(*chosen, element_of)


def _keys(digests: NDArray[np.uint64]) -> NDArray[Any]:
    """Digests as values that sort fast: their low words, unless two elements share one."""
    low = np.ascontiguousarray(digests[:, 0])
    order = np.argsort(low)
    tied = low[order][1:] == low[order][:-1]
    high = digests[order, 1]
    if bool(np.any(tied & (high[1:] != high[:-1]))):
        return np.ascontiguousarray(digests).view([("low", "<u8"), ("high", "<u8")]).reshape(-1)
    return low
