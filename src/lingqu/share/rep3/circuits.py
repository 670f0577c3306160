"""Bit circuits on planes: row p of a plane matrix holds bit p of all words, 64 words' bits in one machine word."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.bitplanes import sklansky
from lingqu.share.rep3.session import Parts, Session, Tables, flat_pair

Planes = tuple[Words, Words]
"""Two components, each of shape (planes, ceil(n / 64))."""
Edges = tuple[tuple[int, int], ...]
ALL = np.uint64((1 << 64) - 1)


CHUNK_ROWS = 1 << 18
"""Rows that a circuit takes at a time: its memory is bounded, and a chunk is worth its rounds."""
MOST_BITS = 48
"""Bits of a row up to which so many rows take little."""


def chunks(count: int) -> list[slice]:
    """The rows of each chunk; one empty chunk of none."""
    return [slice(start, min(start + CHUNK_ROWS, count)) for start in range(0, max(count, 1), CHUNK_ROWS)]


def chunk_rows(bits: int) -> int:
    """Rows that a circuit takes at a time which holds much of rows of so many bits; wide ones are half as many."""
    return CHUNK_ROWS if bits <= MOST_BITS else CHUNK_ROWS // 2


def sized_chunks(count: int, bits: int) -> list[slice]:
    """As `chunks`, of `chunk_rows` where there are several."""
    if count <= CHUNK_ROWS:
        return chunks(count)
    rows = chunk_rows(bits)
    return [slice(start, min(start + rows, count)) for start in range(0, count, rows)]


def conjunction(s: Session, x: Parts, y: Parts) -> Parts:
    """x & y on dense bits, flat: 1 round, 24 bytes a machine word.  Source: Araki et al. (CCS 2016) section 3.1."""
    return s.conjunction(x, y)


def conjunction_words(s: Session, x: Parts, y: Parts, width: int) -> Parts:
    """x & y on words of a width, packed on the way."""
    if width == 64:
        return conjunction(s, x, y)
    left = _core.pack(x[0], width), _core.pack(x[1], width)
    right = _core.pack(y[0], width), _core.pack(y[1], width)
    both = conjunction(s, left, right)
    count = len(x[0])
    return _core.unpack(both[0], count, width), _core.unpack(both[1], count, width)


def complement(s: Session, x: Planes, mask: np.uint64 = ALL) -> Planes:
    """Flip the bits of the mask, by component x_0 alone."""
    first = x[0] ^ mask if s.party == 0 else x[0]
    second = x[1] ^ mask if s.party == 2 else x[1]
    return first, second


def planes_of(x: Parts, width: int) -> Planes:
    """Words turned into planes."""
    first, second = (_core.to_planes(part, width).reshape(width, -1) for part in x)
    return first, second


def and_planes(s: Session, x: Planes, y: Planes) -> Planes:
    """x & y plane by plane: 1 round."""
    shape = x[0].shape
    first, second = conjunction(s, flat_pair(x), flat_pair(y))
    return first.reshape(shape), second.reshape(shape)


def all_ones(s: Session, x: Planes) -> Parts:
    """The conjunction of all planes as a tree: ceil(log2(planes)) rounds."""
    while (rows := len(x[0])) > 1:
        half = rows // 2
        both = and_planes(s, (x[0][:half], x[1][:half]), (x[0][half : 2 * half], x[1][half : 2 * half]))
        odd = x[0][2 * half :], x[1][2 * half :]
        x = (np.concatenate([both[0], odd[0]]), np.concatenate([both[1], odd[1]])) if rows % 2 else both
    return x[0][0], x[1][0]


def equal_words(s: Session, pairs: Sequence[tuple[Parts, int]]) -> Parts:
    """A dense bit an element: whether the given differences (words, width) are all zero."""

    def some(rows: slice) -> Parts:
        return _all_zero(s, (((words[0][rows], words[1][rows]), width) for words, width in pairs))

    return _joined([some(rows) for rows in chunks(len(pairs[0][0][0]))])


def equal_pairs(s: Session, pairs: Sequence[tuple[Parts, Parts, int]]) -> Parts:
    """A dense bit an element: whether x equals y in all pairs (x, y, width); their differences are built in chunks."""

    def some(rows: slice) -> Parts:
        differences = (((x[0][rows] ^ y[0][rows], x[1][rows] ^ y[1][rows]), width) for x, y, width in pairs)
        return _all_zero(s, differences)

    return _joined([some(rows) for rows in chunks(len(pairs[0][0][0]))])


def _all_zero(s: Session, every: Iterable[tuple[Parts, int]]) -> Parts:
    """A dense bit an element: whether all words are zero, of which one after the other is turned into planes."""
    planes = [planes_of(words, width) for words, width in every]
    stacked = np.concatenate([x[0] for x in planes]), np.concatenate([x[1] for x in planes])
    del planes
    return all_ones(s, complement(s, stacked))


def is_zero(s: Session, x: Parts) -> Parts:
    """A dense bit an element: x == 0, as x_0 + x_1 == -x_2. 7 rounds a chunk of rows."""

    def of(part: Parts) -> Parts:
        seat = s.turned(len(part[0]))
        return all_ones(seat, _equal_summands(seat, part))

    return by_chunks(x, of)


def _summands(s: Session, x: Parts, bits: int = 64) -> Parts:
    """(x_0 + x_1, x_2): party 0 shares the sum, and x_2 stands in a component of its own.  1 round.

    So both can be read off: the XOR of the first two components is the sum.  x_2 is at parties 1 and 2.
    """
    given = s.summed(x, bits)
    if s.party == 0:
        return given
    return (given[0], x[1]) if s.party == 1 else (x[0], given[1])


def _equal_summands(s: Session, x: Parts) -> Planes:
    """Planes of the complement of (x_0 + x_1) ^ -x_2: all ones where x is 0."""
    first, second = _summands(s, x)
    if s.party == 0:
        first = np.invert(first)
    elif s.party == 1:
        second = np.negative(second)
    else:
        first, second = np.negative(first), np.invert(second)
    return planes_of((first, second), 64)


@dataclass
class Choices:
    """Nodes (chooses, value), the lowest first, as numbers of rows in matrices that are never overwritten.

    Where a node does not choose, the value of those below it counts.  The lowest node's `chooses` is never read.
    """

    tables: list[Planes]
    length: int
    chooses: list[int]
    values: list[int]

    @property
    def count(self) -> int:
        """Nodes that are left."""
        return len(self.values)

    @property
    def _pairs(self) -> int:
        """Neighbours to combine, so that a power of two is left."""
        return self.count - (1 << ((self.count - 1).bit_length() - 1))

    @property
    def rows(self) -> int:
        """Rows of all matrices."""
        return sum(len(table[0]) for table in self.tables)

    @property
    def components(self) -> Tables:
        """The matrices of both components, flat."""
        first, second = ([table[i].reshape(-1) for table in self.tables] for i in (0, 1))
        return first, second

    def chosen(self, s: Session, choices: list[tuple[int, int, int]], unions: list[tuple[int, int]]) -> Planes:
        """Choices (by, upper, lower) and unions of rows: 1 round."""
        first, second = s.choose(self.components, self.length, choices, unions)
        shape = len(choices) + len(unions), self.length
        return first.reshape(shape), second.reshape(shape)

    @property
    def _lowest(self) -> tuple[list[tuple[int, int, int]], list[tuple[int, int]]]:
        """The lowest pairs combined, as choices and unions: their values, then their `chooses` but the first."""
        by, values = self.chooses, self.values
        uppers = range(1, 2 * self._pairs, 2)
        return [(by[i], values[i], values[i - 1]) for i in uppers], [(by[i], by[i - 1]) for i in uppers[1:]]

    def opened(self, s: Session) -> Words:
        """The value of two nodes that are left, opened to all: 1 round."""
        return s.show_choices(self.components, self.length, *self._lowest)

    def combined(self, s: Session) -> Choices:
        """The lowest pairs combined, those above as they are: 1 round."""
        pairs = self._pairs
        table = self.chosen(s, *self._lowest)
        kept = self.tables if 2 * pairs < self.count else []
        base = self.rows if kept else 0
        # the first node's `chooses` is never read: its number is that of another row
        chooses = [base, *range(base + pairs, base + 2 * pairs - 1)]
        values = list(range(base, base + pairs))
        return Choices(
            [*kept, table], self.length, chooses + self.chooses[2 * pairs :], values + self.values[2 * pairs :]
        )


def _carries(s: Session, x: Parts, bits: int) -> Choices:
    """The carries into each bit of (x_0 + x_1) + x_2, not yet combined: 1 round.

    Where the summands' bits are equal they are the carry out of their position, else the carry from below passes.  The
    lowest node is the carry into the sum, 0.  The first matrix has the complement of the summands' XOR in its rows.
    """
    first, second = _summands(s, x, bits)
    equal = planes_of(
        (np.invert(first) if s.party == 0 else first, np.invert(second) if s.party == 2 else second), bits
    )
    third = None if s.party == 0 else _core.to_planes(x[1] if s.party == 1 else x[0], bits).reshape(bits, -1)
    zero = np.zeros(equal[0].shape, np.uint64)
    known = (zero if third is None or s.party == 1 else third), (zero if third is None or s.party == 2 else third)
    tables = [equal, known, (zero[:1], zero[:1])]
    below = range(bits - 1)
    return Choices(tables, equal[0].shape[1], [0, *below], [2 * bits, *(bits + i for i in below)])


def sign(s: Session, x: Parts, bits: int) -> Parts:
    """A dense bit an element: x < 0, for -2**(bits-1) <= x < 2**(bits-1).

    The top of `bits` bits of the sum (x_0 + x_1) + x_2, with a tree of choices for the carry into it.
    Cost: 1 + ceil(log2(bits)) rounds a chunk of rows.
    Source: ABY3 section 5.3, with the most significant bit's carry only.
    """
    return by_chunks(x, lambda part: _sign(s.turned(len(part[0]) * bits // 64), part, bits))


def _sign(s: Session, x: Parts, bits: int) -> Parts:
    carries = _carries(s, x, bits)
    top = complement(s, (carries.tables[0][0][-1], carries.tables[0][1][-1]))
    while carries.count > 1:
        carries = carries.combined(s)
    carry = carries.tables[-1]
    return top[0] ^ carry[0][0], top[1] ^ carry[1][0]


def to_bits(s: Session, x: Parts, bits: int = 64, low: int = 0) -> Parts:
    """Bits low to bits - 1 of x_0 + x_1 + x_2 as words: 2 + ceil(log2(bits)) rounds a chunk of rows.

    Source: ABY3 section 5.3; the prefix network is Sklansky's (1960), which has fewer products than Kogge and Stone's
    at the same depth, and fan-out is free here; of it, what the wanted bits take.
    """
    count = len(x[0])
    if count <= CHUNK_ROWS:
        return _to_bits(s.turned(count * bits // 64), x, bits, low)
    found = np.empty(count, np.uint64), np.empty(count, np.uint64)
    for rows in sized_chunks(count, bits):
        part = x[0][rows], x[1][rows]
        found[0][rows], found[1][rows] = _to_bits(s.turned(len(part[0]) * bits // 64), part, bits, low)
    return found


@cache
def network(bits: int, low: int) -> tuple[tuple[Edges, Edges], ...]:
    """The levels of a prefix network: (choices, unions), each pairs (place, place that it takes from).

    Without what no carry into the bits low to bits - 1 takes.
    """
    levels: list[tuple[Edges, Edges]] = []
    values, unions = set(range(low, bits)), set[int]()
    for level in reversed(range((bits - 1).bit_length())):
        pairs = [(int(i), int(k)) for i, k in zip(*sklansky(level, bits), strict=True)]
        chosen, joined = (tuple(pair for pair in pairs if pair[0] in wanted) for wanted in (values, unions))
        unions |= {i for i, _ in chosen} | {k for _, k in joined}
        values |= {k for _, k in chosen}
        levels.append((chosen, joined))
    return tuple(reversed(levels))


def _to_bits(s: Session, x: Parts, bits: int, low: int) -> Parts:
    carries = _carries(s, x, bits)
    equal, known, zero = carries.tables
    # the two are overwritten, level by level, so they are no other's and not one another's
    carry, links = (known[0].copy(), known[1].copy()), (equal[0].copy(), equal[1].copy())
    carries.tables = [links, carry, zero]
    del known
    by, values = carries.chooses, carries.values
    for choices, unions in network(bits, low):
        chosen = [(by[i], values[i], values[k]) for i, k in choices]
        table = carries.chosen(s, chosen, [(by[i], by[k]) for i, k in unions])
        for half in (0, 1):
            carry[half][[values[i] - bits for i, _ in choices]] = table[half][: len(choices)]
            links[half][[by[i] for i, _ in unions]] = table[half][len(choices) :]
        del table
    del links
    flat, first = [], max(low, 1)
    for half in (0, 1):
        sums = equal[half]
        sums[first:] ^= carry[half][first - 1 : bits - 1]
        flat.append(_core.from_planes(sums[low:].reshape(-1), len(x[0])))
    return complement(s, (flat[0], flat[1]), np.uint64((1 << (bits - low)) - 1))


def by_chunks(x: Parts, kernel: Callable[[Parts], Parts]) -> Parts:
    """A kernel on some rows at a time, which bounds the memory; what it gives a chunk joins into dense words."""
    return _joined([kernel((x[0][rows], x[1][rows])) for rows in chunks(len(x[0]))])


def _joined(found: Sequence[Parts]) -> Parts:
    if len(found) == 1:
        return found[0]
    return np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])
