"""The order of different keys in few rounds of comparisons that are opened; how many is public.

Keys are shuffled first, so what is opened is the order of a uniformly random permutation, whatever they are (Hamada,
Kikuchi, Ikarashi, Chida, Takahashi, ICISC 2012).  Their quicksort opens more comparisons when its pivots are bad; here
the number is public: sorted rows serve as pivots of a binary search of further rows, and the rows that fall between the
same two pivots are compared each with each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.sparing import release

Order = NDArray[np.uint32]
Compare = Callable[[Order, Order], NDArray[np.bool_]]
"""Whether row left[i] is below row right[i], opened."""
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


def layout(rows: int, bits: int) -> tuple[int, int, int]:
    """Words a row, their width, and bits of keys with the rows' numbers."""
    total = bits + (rows - 1).bit_length()
    columns = -(-total // 64)
    return columns, total if columns == 1 else 64, total


def numbered(numbers: Words, keys: Sequence[tuple[Words, int]]) -> Words:
    """One component of keys (words, width), the least significant first, above the rows' numbers: words row by row."""
    rows = len(numbers)
    table = np.zeros((rows, layout(rows, sum(width for _, width in keys))[0]), np.uint64)
    table[:, 0] = numbers
    at = (rows - 1).bit_length()
    for words, width in keys:
        word, shift = divmod(at, 64)
        table[:, word] |= words << np.uint64(shift)
        if shift + width > 64:
            table[:, word + 1] |= words >> np.uint64(64 - shift)
        at += width
    return table.reshape(-1)


def ranks(plan: tuple[Stage, ...], compare: Compare, together: int, of_more: int | None = None) -> Order:
    """The rows in ascending order, found by opened comparisons, no more than `together` at a time.

    of_more: how many at a time where a step has more than `together`.
    With probability below 2**(2 - TAIL) a stage opens a few more than its plan says.
    """
    order = np.zeros(0, np.uint32)
    for stage in plan:
        limits = [together if count <= together or of_more is None else of_more for count in stage.comparisons]
        order = _joined(compare, order, stage, limits)
        release(len(order))
    return order


def _joined(compare: Compare, order: Order, stage: Stage, limits: list[int]) -> Order:
    """The order of the sorted rows and the stage's further ones."""
    by, begins = _core.group_places(_searched(compare, order, stage, limits), stage.known + 1)
    by += np.uint32(stage.known)
    release(stage.added)
    place = np.zeros(stage.added, np.uint32)
    for left, right, spare in _batches(begins, stage.pairs, limits[-1]):
        # rows 0 and 1 differ, and how they compare is opened anyway
        x, y = np.zeros(len(left) + spare, np.uint32), np.ones(len(left) + spare, np.uint32)
        np.take(by, left, out=x[: len(left)])
        np.take(by, right, out=y[: len(left)])
        less = compare(x, y)[: len(left)]
        del x, y
        np.add.at(place, right[less], np.uint32(1))
        np.add.at(place, left[~less], np.uint32(1))
        del left, right, less
    # before a further row stand the sorted ones below its gap, and the further ones of the gaps before that
    firsts = begins[:-1] + np.arange(stage.known + 1, dtype=np.uint32)
    place += np.repeat(firsts, np.diff(begins))
    del firsts
    out = np.zeros(stage.known + stage.added, np.uint32)
    out[place] = by
    del place, by
    # a sorted row comes behind the further ones of all gaps up to its own
    begins[1:] += np.arange(stage.known + 1, dtype=np.uint32)
    out[begins[1:-1]] = order
    return out


def _searched(compare: Compare, order: Order, stage: Stage, limits: list[int]) -> Order:
    """How many sorted rows are below each further one: a step opens the pivots that part what is left evenly."""
    found = np.zeros(stage.added, np.uint32)
    left = stage.known.bit_length()
    for digit, together in zip(stage.digits, limits, strict=False):
        left -= digit
        count = ((1 << digit) - 1) * stage.added
        above = np.zeros(stage.added, np.uint8)
        for start in range(0, count, together):
            parts = list(_stretches(start, min(start + together, count), stage.added))
            outcomes = compare(*_pivots(order, found, stage.known, parts, left))
            for _, stretch in parts:
                size = stretch.stop - stretch.start
                above[stretch] += outcomes[:size]
                outcomes = outcomes[size:]
        found += above.astype(np.uint32) << np.uint32(left)
    return found


def _pivots(
    order: Order, found: Order, known: int, parts: Sequence[tuple[int, slice]], left: int
) -> tuple[Order, Order]:
    """The pivots that parts of the further rows are compared with, and these rows."""
    count = sum(stretch.stop - stretch.start for _, stretch in parts)
    pivots, rows, at = np.empty(count, np.uint32), np.empty(count, np.uint32), 0
    for line, stretch in parts:
        here = slice(at, at := at + stretch.stop - stretch.start)
        np.take(order, found[stretch] + np.uint32(((line + 1) << left) - 1), out=pivots[here])
        rows[here] = np.arange(known + stretch.start, known + stretch.stop, dtype=np.uint32)
    return pivots, rows


def _stretches(start: int, stop: int, length: int) -> Iterator[tuple[int, slice]]:
    """Positions start..stop of lines of one length, one line after the other: (line, part of it)."""
    while start < stop:
        line, at = divmod(start, length)
        end = min(length, at + stop - start)
        yield line, slice(at, end)
        start += end - at


def _batches(begins: Order, declared: int, together: int) -> Iterator[tuple[Order, Order, int]]:
    """Pairs of places between the same pivots as they are compared, and how many others are compared with them.

    begins: of each gap among the places.  The declared ones come first, filled up to their number; those beyond it come
    apart from them.
    """
    start = (0, 0, 1)
    while declared:
        size = min(declared, together)
        (left, right), start = _core.group_pairs(begins, start, size)
        yield left, right, size - len(left)
        declared -= size
    while True:
        (left, right), start = _core.group_pairs(begins, start, together)
        if not len(left):
            return
        yield left, right, 0
