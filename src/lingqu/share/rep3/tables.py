"""Columns of any shape and kind, packed into two tables that move by rows: integers side by side, bits densely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from lingqu.share.api import Column, Shared, SharedBits, Words
from lingqu.share.rep3.rows import Table
from lingqu.share.rep3.session import ADDITIVE, BINARY, Parts


@dataclass(frozen=True)
class Place:
    """Where one word of a row stands in the dense row."""

    word: int
    shift: int
    width: int


def _per_row(column: Column) -> int:
    return prod(column.shape[1:])


def places_of(widths: Sequence[int]) -> tuple[list[Place], int, int]:
    """First-fit places without splitting a word; words a row, and the width of the fullest."""
    filled: list[int] = []
    places = []
    for width in widths:
        word = next((i for i, used in enumerate(filled) if used + width <= 64), len(filled))
        if word == len(filled):
            filled.append(0)
        places.append(Place(word, filled[word], width))
        filled[word] += width
    return places, len(filled), max(filled, default=1)


def _widths(columns: Sequence[Column]) -> list[int]:
    return [c.width for c in columns if isinstance(c, SharedBits) for _ in range(_per_row(c))]


def pack_columns(columns: Sequence[Column]) -> list[Table]:
    """An additive table and a binary one, each only if there is such a column."""
    tables = []
    integers = [column for column in columns if isinstance(column, Shared) and _per_row(column)]
    if integers:
        rows, width = len(integers[0]), sum(_per_row(column) for column in integers)
        first, second = (
            np.concatenate([column.parts[i].reshape(rows, _per_row(column)) for column in integers], axis=1).reshape(-1)
            for i in (0, 1)
        )
        tables.append(Table(ADDITIVE, (first, second), width))
    bits = [column for column in columns if isinstance(column, SharedBits) and _per_row(column)]
    if bits:
        places, count, width = places_of(_widths(bits))
        first, second = (_dense([column.parts[i] for column in bits], places, count) for i in (0, 1))
        tables.append(Table(BINARY, (first, second), count, width))
    return tables


def _dense(parts: Sequence[Words], places: Sequence[Place], count: int) -> Words:
    rows = len(parts[0])
    out = np.zeros((rows, count), np.uint64)
    words = (part.reshape(rows, k)[:, i] for part in parts for k in [prod(part.shape[1:])] for i in range(k))
    for word, place in zip(words, places, strict=True):
        out[:, place.word] |= word << np.uint64(place.shift)
    return out.reshape(-1)


def unpack_columns(columns: Sequence[Column], tables: Sequence[Table]) -> list[Column]:
    """The moved tables as columns of the shapes and kinds they came from."""
    found = {table.group.tag: table for table in tables}
    integers = _taken(found.get(ADDITIVE.tag), len(columns[0]))
    binary = _taken(found.get(BINARY.tag), len(columns[0]))
    places = iter(places_of(_widths(columns))[0])
    at = 0
    result: list[Column] = []
    for column in columns:
        size = _per_row(column)
        if isinstance(column, Shared):
            first, second = (part[:, at : at + size].reshape(column.shape) for part in integers)
            result.append(Shared((first, second)))
            at += size
        else:
            spots = [next(places) for _ in range(size)]
            first, second = (_undense(part, spots, column) for part in binary)
            result.append(SharedBits((first, second), column.width))
    return result


def _taken(table: Table | None, rows: int) -> Parts:
    if table is None:
        return np.zeros((rows, 0), np.uint64), np.zeros((rows, 0), np.uint64)
    return table.parts[0].reshape(rows, table.columns), table.parts[1].reshape(rows, table.columns)


def _undense(part: Words, spots: Sequence[Place], column: SharedBits) -> Words:
    words = [(part[:, s.word] >> np.uint64(s.shift)) & np.uint64((1 << s.width) - 1) for s in spots]
    return np.stack(words, axis=1).reshape(column.shape) if words else np.zeros(column.shape, np.uint64)
