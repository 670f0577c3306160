"""The stable order of rows by opened comparisons of shuffled keys, no two of which are equal.

A row's number below its key makes the keys different and the order stable.  They are shuffled, so nobody knows which
row is which, and then compared in the open: what is opened is the order of a uniformly random permutation, whatever
the keys are (Hamada, Kikuchi, Ikarashi, Chida, Takahashi, ICISC 2012).  Their quicksort opens more comparisons when
its pivots are bad; here the number is public: sorted rows serve as pivots of a binary search of further rows, and the
rows that fall between the same two pivots are compared each with each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Tag
from lingqu.share.api import Words
from lingqu.share.rep3 import circuits
from lingqu.share.rep3.rows import Order, Steps, draw_orders, opened_order, pair
from lingqu.share.rep3.session import Parts, Session
from lingqu.share.tables import Table

WIDEST = 4
"""Most bits of a search's result that one step may find."""
TAIL = 41
"""Bits of improbability of either way in which the rows between pivots could exceed their bound."""


@dataclass(frozen=True)
class Stage:
    """Rows that join sorted ones: `digits` are the bits that each step of their search finds.

    pairs: comparisons among rows between the same pivots, exceeded with probability below 2**(1 - TAIL).
    """

    known: int
    added: int
    digits: tuple[int, ...]
    pairs: int

    @property
    def comparisons(self) -> list[int]:
        """How many are opened together, step by step."""
        return [self.added * ((1 << digit) - 1) for digit in self.digits] + [self.pairs]

    def units(self, step: int) -> int:
        """The stage's cost in comparisons."""
        return sum(count + step for count in self.comparisons)


FEW_BITS = 10
"""Key bits up to which a radix sort is cheaper."""


def by_digits(rows: int, bits: int) -> bool:
    """Whether a radix sort is cheaper than comparisons: of few bits, unless so few rows are each compared with each."""
    return bits <= (FEW_BITS if rows > 1 << 8 else 2)


@lru_cache(64)
def stages(rows: int, step: int) -> tuple[Stage, ...]:
    """The cheapest stages that sort so many rows; step: comparisons that are worth the rounds of opening some."""
    sizes = [(1 << k) - 1 for k in range(2, rows.bit_length() + 1) if (1 << k) <= rows]
    best: dict[int, tuple[int, tuple[Stage, ...]]] = {0: (0, ())}
    for size in [*sizes, rows]:
        options = []
        for known, (units, before) in best.items():
            stage = _stage(known, size - known, step)
            options.append((units + stage.units(step), (*before, stage)))
        best[size] = min(options, key=lambda option: option[0])
    return best[rows][1]


def _stage(known: int, added: int, step: int) -> Stage:
    bits = known.bit_length()
    pairs = _most_pairs(known, added)
    splits = [(width,) * (bits // width) + (bits % width,) * (bits % width > 0) for width in range(1, WIDEST + 1)]
    return min((Stage(known, added, digits, pairs) for digits in splits), key=lambda stage: stage.units(step))


def _most_pairs(known: int, added: int) -> int:
    """How many pairs of added rows fall between the same pivots, exceeded with probability below 2**(1 - TAIL).

    All compositions of the added rows into the gaps are equally likely. A gap holds k of them with probability at most
    (added / (added + known))**k, so none holds more than `longest`; cut there, Bernstein's bound holds for the sum of
    the pairs, as the gaps are negatively associated (Joag-Dev and Proschan, 1983). E[C(s, 2)**2] is at most
    6 g**4 + 6 g**3 + g**2 with g = added / (known + 1), from the falling moments k! g**k.
    """
    every = added * (added - 1) // 2
    if not known:
        return every
    gaps = known + 1
    improbable = TAIL + gaps.bit_length()
    # ln(1 + x) >= 2 x / (2 + x), and ln 2 < 0.6932
    longest = min(added, improbable * 6932 * (2 * added + known) // (20_000 * known) + 1)
    mean = added * (added - 1) // (gaps + 1) + 1
    variance = 6 * added**4 // gaps**3 + 6 * added**3 // gaps**2 + added**2 // gaps + 3
    exponent = TAIL * 6932 // 10_000 + 1
    largest = longest * (longest - 1) // 2
    return min(every, mean + isqrt(2 * variance * exponent) + 1 + largest * exponent // 3 + 1)


@dataclass(frozen=True)
class Keys:
    """Different keys of `bits` bits: a row is `columns` words of one component, then those of the other."""

    table: Words
    columns: int
    bits: int


def layout(rows: int, bits: int) -> tuple[int, int, int]:
    """Words a row, their width, and bits of keys with the rows' numbers."""
    total = bits + (rows - 1).bit_length()
    columns = -(-total // 64)
    return columns, total if columns == 1 else 64, total


def numbered(s: Session, keys: Sequence[tuple[Parts, int]]) -> Table:
    """Rows of keys of one or several words (words, width), the least significant first, above the rows' numbers."""
    rows = len(keys[0][0][0])
    columns, full, _ = layout(rows, sum(width for _, width in keys))
    number = s.place(0, np.arange(rows, dtype=np.uint64), rows)
    halves = []
    for half in (0, 1):
        table = np.zeros((rows, columns), np.uint64)
        table[:, 0] = number[half]
        at = (rows - 1).bit_length()
        for words, width in keys:
            word, shift = divmod(at, 64)
            table[:, word] |= words[half] << np.uint64(shift)
            if shift + width > 64:
                table[:, word + 1] |= words[half] >> np.uint64(64 - shift)
            at += width
        halves.append(table.reshape(-1))
    return Table(Tag.BITS, (halves[0], halves[1]), columns, full)


def compare(s: Session, keys: Keys, left: Order, right: Order) -> NDArray[np.bool_]:
    """Whether row left[i] is below row right[i], opened to all.

    The highest bit in which two keys differ decides: a tree of nodes (whether the keys differ in a part of the bits,
    y's bit where they differ first) combines with two conjunctions a pair of nodes.
    Cost: ceil(log2(bits)) rounds a chunk of rows.  Discloses: the outcomes.
    """
    found = [_compare(s, keys, left[rows], right[rows]) for rows in circuits.chunks(len(left))]
    return np.concatenate(found) if len(found) > 1 else found[0]


def _compare(s: Session, keys: Keys, left: Order, right: Order) -> NDArray[np.bool_]:
    length = -(-len(left) // 64)
    first, second = _core.pair_planes(keys.table, keys.columns, keys.bits, (left, right))
    shape = 2 * keys.bits, length
    planes = first.reshape(shape), second.reshape(shape)
    nodes = circuits.Choices([planes], length, list(range(keys.bits)), list(range(keys.bits, 2 * keys.bits)))
    del first, second, planes
    while nodes.count > 2:
        nodes = nodes.combined(s)
    words = nodes.opened(s)
    return _core.unpack(words, len(left), 1).astype(np.bool_)


def sort(steps: Steps, keys: Sequence[tuple[Parts, int]]) -> Parts:
    """Destinations of the stable order by keys (words, width), the least significant first; at least two rows.

    Discloses: nothing, but with probability below 2**(2 - TAIL) a stage it opens a few more comparisons than declared.
    """
    s, rows = steps.session, len(keys[0][0][0])
    orders = draw_orders(s, rows)
    moved = steps.move(orders, [numbered(s, keys)])[0]
    assert isinstance(moved, Table)
    both = np.concatenate([part.reshape(rows, moved.columns) for part in moved.parts], axis=1)
    shuffled = Keys(both.reshape(-1), moved.columns, layout(rows, sum(width for _, width in keys))[2])
    del both, moved
    order = np.zeros(0, np.uint32)
    for stage in stages(rows, steps.step):
        order = _joined(s, shuffled, order, stage)
    to = np.empty(rows, np.uint64)
    to[opened_order(s, order.astype(np.uint64))] = np.arange(rows, dtype=np.uint64)
    back = steps.move(orders, [Table(Tag.ELEMENTS, s.place(0, to, rows))], inverse=True)[0]
    assert isinstance(back, Table)
    return pair(back)


def _joined(s: Session, keys: Keys, order: Order, stage: Stage) -> Order:
    """The order of the sorted rows and the stage's further ones."""
    gap = _searched(s, keys, order, stage)
    by = np.argsort(gap, kind="stable").astype(np.uint32)
    gap = gap[by]
    left, right = _pairs(gap)
    spare = max(stage.pairs - len(left), 0)
    rows = by + np.uint32(stage.known)
    # rows 0 and 1 differ, and how they compare is opened anyway
    x = np.concatenate([rows[left], np.zeros(spare, np.uint32)])
    y = np.concatenate([rows[right], np.ones(spare, np.uint32)])
    below = [compare(s, keys, x[part], y[part]) for part in _parts(len(x), stage.pairs)]
    less = np.concatenate(below)[: len(left)] if below else np.zeros(0, np.bool_)
    place = np.bincount(right[less], minlength=stage.added) + np.bincount(left[~less], minlength=stage.added)
    counts = np.bincount(gap, minlength=stage.known + 1)
    reached = np.cumsum(counts)
    out = np.zeros(stage.known + stage.added, np.uint32)
    out[np.arange(stage.known) + reached[: stage.known]] = order
    out[gap + (reached - counts)[gap] + place] = rows
    return out


def _parts(count: int, most: int) -> list[slice]:
    """The comparisons that are declared, and apart from them those beyond."""
    return [part for part in (slice(0, min(count, most)), slice(most, count)) if part.start < part.stop]


def _searched(s: Session, keys: Keys, order: Order, stage: Stage) -> Order:
    """How many sorted rows are below each further one: a step opens the pivots that part what is left evenly."""
    rows = np.arange(stage.known, stage.known + stage.added, dtype=np.uint32)
    found = np.zeros(stage.added, np.uint32)
    left = stage.known.bit_length()
    for digit in stage.digits:
        left -= digit
        pivots = np.arange(1, 1 << digit, dtype=np.uint32)[:, None] << np.uint32(left)
        chosen = order[found + pivots - np.uint32(1)].reshape(-1)
        above = compare(s, keys, chosen, np.tile(rows, len(pivots))).reshape(len(pivots), -1)
        found += np.count_nonzero(above, axis=0).astype(np.uint32) << np.uint32(left)
    return found


def _pairs(gap: Order) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All pairs of positions that hold the same value in a sorted array, the earlier first."""
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    at, distance = np.arange(len(gap) - 1), 1
    while len(at := at[gap[at] == gap[at + distance]]):
        first.append(at)
        second.append(at + distance)
        distance += 1
        at = at[at < len(gap) - distance]
    return np.concatenate(first), np.concatenate(second)
