"""The stable order of rows by opened comparisons of shuffled keys (share/ranking.py), no two of which are equal.

A row's number below its key makes the keys different and the order stable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Tag
from lingqu.share import ranking
from lingqu.share.api import Words
from lingqu.share.ranking import layout, ranks, stages
from lingqu.share.rep3 import circuits
from lingqu.share.rep3.rows import Order, Steps, draw_orders, opened_order, pair, release
from lingqu.share.rep3.session import Parts, Session
from lingqu.share.tables import Table

FEW_BITS = 10
"""Key bits up to which a radix sort is cheaper."""


def by_digits(rows: int, bits: int) -> bool:
    """Whether a radix sort is cheaper than comparisons: of few bits, unless so few rows are each compared with each."""
    return bits <= (FEW_BITS if rows > 1 << 8 else 2)


@dataclass(frozen=True)
class Keys:
    """Different keys of `bits` bits: a row is `columns` words of one component, then those of the other."""

    table: Words
    columns: int
    bits: int


def numbered(s: Session, keys: Sequence[tuple[Parts, int]]) -> Table:
    """Rows of keys of one or several words (words, width), the least significant first, above the rows' numbers."""
    rows = len(keys[0][0][0])
    columns, full, _ = layout(rows, sum(width for _, width in keys))
    number = s.place(0, np.arange(rows, dtype=np.uint64), rows)
    first, second = (ranking.numbered(number[i], [(words[i], width) for words, width in keys]) for i in (0, 1))
    return Table(Tag.BITS, (first, second), columns, full)


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
    # built when it is asked for, so that nobody else keeps it
    moved = steps.move(orders, (numbered(s, each) for each in [keys]))[0]
    assert isinstance(moved, Table)
    both = np.concatenate([part.reshape(rows, moved.columns) for part in moved.parts], axis=1)
    shuffled = Keys(both.reshape(-1), moved.columns, layout(rows, sum(width for _, width in keys))[2])
    del both, moved
    release(rows)
    order = ranks(stages(rows, steps.step), partial(compare, s, shuffled))
    del shuffled
    to = np.empty(rows, np.uint64)
    to[opened_order(s, order.astype(np.uint64))] = np.arange(rows, dtype=np.uint64)
    back = steps.move(orders, [Table(Tag.ELEMENTS, s.place(0, to, rows))], inverse=True)[0]
    assert isinstance(back, Table)
    return pair(back)
