"""Bit circuits on planes: row p of a plane matrix holds bit p of all words, 64 words' bits in one machine word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.rep3.session import BINARY, Parts, Session, flat_pair

Planes = tuple[Words, Words]
"""Two components, each of shape (planes, ceil(n / 64))."""
ALL = np.uint64((1 << 64) - 1)


CHUNK_ROWS = 1 << 18
"""Rows that a circuit takes at a time: its memory is bounded, and a chunk is worth its rounds."""


def chunks(count: int) -> list[slice]:
    """The rows of each chunk; one empty chunk of none."""
    return [slice(start, min(start + CHUNK_ROWS, count)) for start in range(0, max(count, 1), CHUNK_ROWS)]


def conjunction(s: Session, x: Parts, y: Parts) -> Parts:
    """x & y on dense bits, flat: 1 round, 24 bytes a machine word.  Source: Araki et al. (CCS 2016) section 3.1."""
    return s.reshare(_core.and_shares(x, y, s.mine, s.next), BINARY)


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


def _and_planes(s: Session, x: Planes, y: Planes) -> Planes:
    shape = x[0].shape
    first, second = conjunction(s, flat_pair(x), flat_pair(y))
    return first.reshape(shape), second.reshape(shape)


def all_ones(s: Session, x: Planes) -> Parts:
    """The conjunction of all planes as a tree: ceil(log2(planes)) rounds."""
    while (rows := len(x[0])) > 1:
        half = rows // 2
        both = _and_planes(s, (x[0][:half], x[1][:half]), (x[0][half : 2 * half], x[1][half : 2 * half]))
        odd = x[0][2 * half :], x[1][2 * half :]
        x = (np.concatenate([both[0], odd[0]]), np.concatenate([both[1], odd[1]])) if rows % 2 else both
    return x[0][0], x[1][0]


def equal_words(s: Session, pairs: Sequence[tuple[Parts, int]]) -> Parts:
    """A dense bit an element: whether the given differences (words, width) are all zero."""

    def some(rows: slice) -> Parts:
        every = [planes_of((words[0][rows], words[1][rows]), width) for words, width in pairs]
        stacked = np.concatenate([x[0] for x in every]), np.concatenate([x[1] for x in every])
        return all_ones(s, complement(s, stacked))

    return _joined([some(rows) for rows in chunks(len(pairs[0][0][0]))])


def is_zero(s: Session, x: Parts) -> Parts:
    """A dense bit an element: x == 0, as x_0 + x_1 == -x_2. 7 rounds a chunk of rows."""
    return _by_chunks(x, lambda part: all_ones(s, _summand_planes(s, part, 64, zeros=True)))


def _summand_planes(s: Session, x: Parts, width: int, zeros: bool = False) -> Planes:
    """(x_0 + x_1) ^ x_2 by planes: party 0 shares the sum, parties 1 and 2 know x_2.  1 round.

    x_2 stands in a component of its own, so both summands can be read off: the sum is the XOR of the other two.
    zeros: the complement of (x_0 + x_1) ^ -x_2, all ones where x is 0.
    """
    count = len(x[0])
    given = s.give(0, x[0] + x[1] if s.party == 0 else None, count, BINARY)
    if s.party == 0:
        return planes_of((np.invert(given[0]) if zeros else given[0], given[1]), width)
    third = x[1] if s.party == 1 else x[0]
    third = np.negative(third) if zeros else third
    if s.party == 1:
        return planes_of((given[0], third), width)
    return planes_of((third, np.invert(given[1]) if zeros else given[1]), width)


def _generate(s: Session, propagate: Planes, rows: int) -> Planes:
    """The conjunctions of both summands' first planes: parties 1 and 2 know one summand, so each adds a term."""
    first, second = (part[:rows].reshape(-1) for part in propagate)
    both = s.reshare(_core.and_known(first, second, s.party != 0, s.mine, s.next), BINARY)
    return both[0].reshape(rows, -1), both[1].reshape(rows, -1)


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

    def components(self, s: Session) -> Words:
        """This party's component of the lowest pairs combined: their values, then their `chooses` but the first."""
        x = [table[0] for table in self.tables], [table[1] for table in self.tables]
        low = 2 * self._pairs
        return _core.choose_rows(x, self.length, (self.chooses[:low], self.values[:low]), s.mine, s.next)

    def combined(self, s: Session) -> Choices:
        """The lowest pairs combined, those above as they are: 1 round."""
        pairs = self._pairs
        table = s.reshare(self.components(s), BINARY)
        rows = sum(len(known[0]) for known in self.tables) // self.length if self.length else 0
        kept = [*self.tables, table] if 2 * pairs < self.count else [table]
        base = rows if 2 * pairs < self.count else 0
        # the first node's `chooses` is never read: its number is that of another row
        chooses = [base, *range(base + pairs, base + 2 * pairs - 1)]
        values = list(range(base, base + pairs))
        return Choices(kept, self.length, chooses + self.chooses[2 * pairs :], values + self.values[2 * pairs :])


@dataclass
class _Carries:
    """(generate, propagate) pairs by position, as numbers of rows in matrices that are never overwritten."""

    tables: list[Planes]
    generate: list[int]
    propagate: list[int]

    def _component(self, i: int) -> list[Words]:
        return [table[i].reshape(-1) for table in self.tables]

    def conjunctions(self, s: Session, left: list[int], right: list[int]) -> Planes:
        """The conjunctions of chosen rows: 1 round."""
        length = self.tables[0][0].shape[1]
        x = self._component(0), self._component(1)
        both = s.reshare(_core.and_rows(x, length, (left, right), s.mine, s.next), BINARY)
        return both[0].reshape(len(left), length), both[1].reshape(len(left), length)

    def add_into(self, product: Planes, rows: list[int]) -> None:
        """XOR rows of the matrices into the first rows of a product."""
        for i in (0, 1):
            _core.xor_rows(product[i].reshape(-1), self._component(i), product[i].shape[1], rows)

    def row(self, number: int) -> Parts:
        """A row of both components."""
        for first, second in self.tables:
            if number < len(first):
                return first[number], second[number]
            number -= len(first)
        raise AssertionError("unreachable")


def sign(s: Session, x: Parts, bits: int) -> Parts:
    """A dense bit an element: x < 0, for -2**(bits-1) <= x < 2**(bits-1).

    The top of `bits` bits of the sum (x_0 + x_1) + x_2, with a tree of (generate, propagate) pairs for its carry.
    Cost: 2 + ceil(log2(bits - 1)) rounds a chunk of rows.
    Source: ABY3 section 5.3, with the most significant bit's carry only.
    """
    return _by_chunks(x, lambda part: _sign(s, part, bits))


def _sign(s: Session, x: Parts, bits: int) -> Parts:
    propagate = _summand_planes(s, x, bits)
    generate = _generate(s, propagate, bits - 1)
    top = propagate[0][-1].copy(), propagate[1][-1].copy()
    carries = _Carries([generate, propagate], list(range(bits - 1)), list(range(bits - 1, 2 * bits - 2)))
    del generate, propagate
    while len(carries.generate) > 1:
        carries = _halved(s, carries)
    carry = carries.row(carries.generate[0])
    return top[0] ^ carry[0], top[1] ^ carry[1]


def _halved(s: Session, carries: _Carries) -> _Carries:
    """Neighbours combine, an odd one at the top stays.  The lowest needs no propagate."""
    g, p = carries.generate, carries.propagate
    pairs = len(g) // 2
    upper = p[1 : 2 * pairs : 2]
    product = carries.conjunctions(s, [*upper, *upper[1:]], [*g[: 2 * pairs : 2], *p[2 : 2 * pairs : 2]])
    carries.add_into(product, g[1 : 2 * pairs : 2])
    # the first propagate is never read: its number is that of another row
    halved = _Carries([product], list(range(pairs)), list(range(pairs - 1, 2 * pairs - 1)))
    if len(g) % 2:
        last = carries.row(g[-1]), carries.row(p[-1])
        halved.tables.append((np.stack([last[0][0], last[1][0]]), np.stack([last[0][1], last[1][1]])))
        halved.generate.append(2 * pairs - 1)
        halved.propagate.append(2 * pairs)
    return halved


def sklansky(level: int, positions: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which positions a level of Sklansky's prefix network updates, and from which positions."""
    every = np.arange(positions)
    to = every[(every >> level) & 1 == 1]
    return to, (to >> level << level) - 1


def to_bits(s: Session, x: Parts) -> Parts:
    """All 64 bits of x_0 + x_1 + x_2 as words: 8 rounds a chunk of rows.

    Source: ABY3 section 5.3; the prefix network is Sklansky's (1960), which has fewer products than Kogge and Stone's
    at the same depth, and fan-out is free here.
    """
    return _by_chunks(x, lambda part: _to_bits(s, part))


def _to_bits(s: Session, x: Parts) -> Parts:
    half = _summand_planes(s, x, 64)
    carries = _Carries([_generate(s, half, 63), half], list(range(63)), list(range(63, 126)))
    written = 63 + 64
    for level in range(6):
        to, origin = (rows.tolist() for rows in sklansky(level, 63))
        g, p = carries.generate, carries.propagate
        later = [(i, k) for i, k in zip(to, origin, strict=True) if i >= 2 << level]
        left, right = [p[i] for i in to], [g[k] for k in origin]
        product = carries.conjunctions(s, left + [p[i] for i, _ in later], right + [p[k] for _, k in later])
        carries.add_into(product, [g[i] for i in to])
        carries.tables.append(product)
        for row, i in enumerate([*to, *(i for i, _ in later)]):
            (g if row < len(to) else p)[i] = written + row
        written += len(product[0])
    sums = half[0].copy(), half[1].copy()
    carries.add_into((sums[0][1:], sums[1][1:]), carries.generate)
    return _core.from_planes(sums[0].reshape(-1), len(x[0])), _core.from_planes(sums[1].reshape(-1), len(x[0]))


def _by_chunks(x: Parts, kernel: Callable[[Parts], Parts]) -> Parts:
    """A kernel on some rows at a time, which bounds the memory; what it gives a chunk joins into dense words."""
    return _joined([kernel((x[0][rows], x[1][rows])) for rows in chunks(len(x[0]))])


def _joined(found: Sequence[Parts]) -> Parts:
    if len(found) == 1:
        return found[0]
    return np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])
