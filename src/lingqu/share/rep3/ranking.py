"""The stable order of rows by opened comparisons of shuffled keys (share/ranking.py), no two of which are equal.

A row's number below its key makes the keys different and the order stable.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.ranking import layout, ranks, stages
from lingqu.share.rep3 import circuits
from lingqu.share.rep3.hops import Order, Orders, draw_orders
from lingqu.share.rep3.rows import Key, Steps, opened_order
from lingqu.share.rep3.session import Session
from lingqu.share.sparing import release

FEW_BITS = 10
"""Key bits up to which a radix sort is cheaper."""


def by_digits(rows: int, bits: int) -> bool:
    """Whether a radix sort is cheaper than comparisons: of few bits, unless so few rows are each compared with each."""
    return bits <= (FEW_BITS if rows > 1 << 8 else 2)


@dataclass(frozen=True)
class Keys:
    """Different keys of `bits` bits, at least 3: both components row by row, as `_core.interleave` gives them."""

    table: Words
    bits: int


def compare(s: Session, keys: Keys, left: Order, right: Order) -> NDArray[np.bool_]:
    """Whether row left[i] is below row right[i], opened to all.

    The highest bit in which two keys differ decides: a tree of nodes (whether the keys differ in a part of the bits,
    y's bit where they differ first) combines with two conjunctions a pair of nodes.
    Cost: ceil(log2(bits)) rounds a chunk of rows.  Discloses: the outcomes.
    """
    found = [_compare(s, keys, left[rows], right[rows]) for rows in circuits.chunks(len(left))]
    return np.concatenate(found) if len(found) > 1 else found[0]


def _compare(s: Session, keys: Keys, left: Order, right: Order) -> NDArray[np.bool_]:
    length, pairs = -(-len(left) // 64), keys.bits // 2
    (first, second), (top_first, top_second) = s.choose_pairs(keys.table, keys.bits, left, right)
    # the lowest node's `chooses` is never read: its number is that of another row
    chooses, values = [0, *range(pairs, 2 * pairs - 1)], list(range(pairs))
    tables = [(first.reshape(-1, length), second.reshape(-1, length))]
    if keys.bits % 2:
        tables.append((top_first.reshape(2, length), top_second.reshape(2, length)))
        chooses.append(2 * pairs - 1)
        values.append(2 * pairs)
    nodes = circuits.Choices(tables, length, chooses, values)
    del first, second, top_first, top_second, tables
    while nodes.count > 2:
        nodes = nodes.combined(s)
    words = nodes.opened(s)
    return _core.unpack(words, len(left), 1).astype(np.bool_)


def sort(steps: Steps, keys: list[Key]) -> Orders:
    """The stable order by keys (words, width), the least significant first; at least two rows.  The list is emptied.

    Discloses: nothing, but with probability below 2**(2 - TAIL) a stage it opens a few more comparisons than declared.
    """
    s, rows, bits = steps.session, len(keys[0][0][0]), sum(width for _, width in keys)
    orders = draw_orders(s, rows)
    shuffled = Keys(steps.shuffled(orders, keys), layout(rows, bits)[2])
    release(rows)
    plan, limits = stages(rows, steps.step), (circuits.CHUNK_ROWS, circuits.chunk_rows(shuffled.bits))
    order = ranks(plan, partial(compare, s, shuffled), *limits)
    del shuffled
    return orders.then(opened_order(s, order.astype(np.uint64)), steps.last)
