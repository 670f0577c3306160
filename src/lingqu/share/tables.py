"""Columns of any shape and kind, packed into two tables that move by rows: integers side by side, bits densely."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Self, TypeVar

import numpy as np

from lingqu import _core
from lingqu.kinds.channel import Tag
from lingqu.share.api import Column, Shared, SharedBits, Words
from lingqu.share.outline import WORD, packed
from lingqu.share.places import Place, places_of
from lingqu.share.sparing import MOST_ROWS

Parts = tuple[Words, ...]
T = TypeVar("T")
CHUNK_ROWS = 1 << 16
"""Rows that are packed at a time, whole words of bits."""
MOST_BITS = 48
"""Bits of a row up to which packing them is worth it."""


@dataclass(frozen=True)
class Layout:
    """A table without its shares.  count: words in a component.

    packed: rows of `columns` bits lie in the words without gaps.
    """

    tag: Tag
    count: int
    columns: int
    width: int
    packed: bool = False

    def having(self, *parts: Words) -> Table:
        """A table of this layout."""
        return Table(self.tag, parts, self.columns, self.width)


@dataclass(frozen=True)
class Table:
    """Rows of words, flat, a component each: `columns` words of `width` bits a row, additive or XOR-shared by tag."""

    tag: Tag
    parts: Parts
    columns: int = 1
    width: int = 64

    @property
    def count(self) -> int:
        """Words in a component."""
        return len(self.parts[0])

    @property
    def layout(self) -> Layout:
        """The table without its shares, which can be freed then."""
        return Layout(self.tag, self.count, self.columns, self.width)

    def having(self, *parts: Words) -> Self:
        """The same layout with other shares."""
        return replace(self, parts=parts)


def _per_row(column: Column) -> int:
    return prod(column.shape[1:])


def layout_of(integers: int, widths: Sequence[int]) -> list[tuple[Tag, int, int]]:
    """(tag, columns, width) of the tables that so many integers and words of these widths a row make."""
    _, words, width = places_of(widths)
    return [(Tag.ELEMENTS, integers, 64)] * bool(integers) + [(Tag.BITS, words, width)] * bool(widths)


def binary_bytes(rows: int, widths: Sequence[int]) -> int:
    """Bytes of one component of bit columns of these widths, packed as tables are; 0 for none."""
    _, words, width = places_of(widths)
    return WORD * packed(rows * words, width) if widths else 0


def _widths(columns: Sequence[Column]) -> list[int]:
    return [c.width for c in columns if isinstance(c, SharedBits) for _ in range(_per_row(c))]


def pack_columns(columns: Sequence[Column]) -> list[Table]:
    """An additive table and a binary one, each only if there is such a column."""
    return list(packed_columns(list(columns)))


def packed_columns(columns: list[Column]) -> Iterator[Table]:
    """As `pack_columns`, one at a time, so that the first can be freed before the second is built.

    The list is emptied: a column that nobody else holds is freed when it stands in its table.
    """
    integers = [column for column in columns if isinstance(column, Shared) and _per_row(column)]
    bits = [column for column in columns if isinstance(column, SharedBits) and _per_row(column)]
    columns.clear()
    return _one_by_one(integers, _bits_table(bits) if bits else None)


def _one_by_one(integers: list[Shared], bits: Callable[[], Table] | None) -> Iterator[Table]:
    """The table of integers, whose list is emptied, and that of bits."""
    if integers:
        rows, width = len(integers[0]), sum(_per_row(column) for column in integers)
        halves = [[column.parts[i].reshape(rows, _per_row(column)) for column in integers] for i in _halves(integers)]
        integers.clear()
        yield Table(Tag.ELEMENTS, _each(halves, _beside), width)
    if bits is not None:
        yield bits()


def _bits_table(bits: list[SharedBits]) -> Callable[[], Table]:
    """The table of columns of bits, which lie packed until it is asked for if they are many.  The list is emptied."""
    places, count, width = places_of(_widths(bits))
    halves = [[column.parts[i] for column in bits] for i in _halves(bits)]
    rows = len(bits[0])
    bits.clear()
    if rows < MOST_ROWS or count * width > MOST_BITS:
        return lambda: Table(Tag.BITS, _each(halves, lambda parts: _dense(parts, places, count)), count, width)

    def packed_bits(parts: Sequence[Words]) -> Words:
        some = (slice(start, start + CHUNK_ROWS) for start in range(0, rows, CHUNK_ROWS))
        return np.concatenate([_core.pack(_dense([part[at] for part in parts], places, 1), width) for at in some])

    dense = list(_each(halves, packed_bits))
    return lambda: Table(Tag.BITS, _each(dense, lambda part: _core.unpack(part, rows, width)), count, width)


def outlines_of(columns: Sequence[Column]) -> list[Column]:
    """Columns of the same shapes and kinds that hold nothing, for `unpack_columns`."""
    return [c.like(tuple(np.broadcast_to(np.uint64(0), c.shape) for _ in c.parts)) for c in columns]


def _halves(columns: Sequence[Column]) -> range:
    return range(len(columns[0].parts))


def _each(halves: list[T], join: Callable[[T], Words]) -> Parts:
    """One component after the other, each given up as soon as it is joined."""
    found = []
    while halves:
        found.append(join(halves.pop(0)))
    return tuple(found)


def _beside(parts: Sequence[Words]) -> Words:
    """Columns side by side, flat; a single table that lies by rows is not copied, so nobody may write into it."""
    return np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)).reshape(-1)


def _dense(parts: Sequence[Words], places: Sequence[Place], count: int) -> Words:
    rows = len(parts[0])
    out = np.zeros((rows, count), np.uint64)
    words = (part.reshape(rows, k)[:, i] for part in parts for k in [prod(part.shape[1:])] for i in range(k))
    for word, place in zip(words, places, strict=True):
        out[:, place.word] |= word << np.uint64(place.shift)
    return out.reshape(-1)


def unpack_columns(columns: Sequence[Column], tables: list[Table]) -> list[Column]:
    """The moved tables as columns of the shapes and kinds they came from.  The list of tables is emptied."""
    rows, halves = len(columns[0]), []
    found = {table.tag: [part.reshape(rows, table.columns) for part in table.parts] for table in tables}
    tables.clear()
    none = np.zeros((rows, 0), np.uint64)
    places = places_of(_widths(columns))[0]
    for _ in columns[0].parts:  # what a component comes from is given up before the next one
        integers, bits = (found[tag].pop(0) if tag in found else none for tag in (Tag.ELEMENTS, Tag.BITS))
        halves.append(_component(columns, places, integers, bits))
    return [column.like(tuple(parts)) for column, *parts in zip(columns, *halves, strict=True)]


def _component(columns: Sequence[Column], places: Sequence[Place], table: Words, dense: Words) -> list[Words]:
    """One component of every column."""
    spots, at, found = iter(places), 0, []
    for column in columns:
        size = _per_row(column)
        if isinstance(column, Shared):
            found.append(table[:, at : at + size].reshape(column.shape))
            at += size
        else:
            found.append(_undense(dense, [next(spots) for _ in range(size)], column))
    return found


def _undense(part: Words, spots: Sequence[Place], column: SharedBits) -> Words:
    out = np.zeros((len(part), len(spots)), np.uint64)
    for i, s in enumerate(spots):
        np.right_shift(part[:, s.word], np.uint64(s.shift), out=out[:, i])
        out[:, i] &= np.uint64((1 << s.width) - 1)
    return out.reshape(column.shape)
