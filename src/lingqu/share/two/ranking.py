"""The stable order of rows by opened comparisons of shuffled keys (share/ranking.py), no two of which are equal.

A row's number below its key makes the keys different and the order stable.  Neither party knows the order into which
both have shuffled the rows, so what is opened is the order of a uniformly random permutation to each of them.
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
from lingqu.share.ranking import Order
from lingqu.share.tables import Table
from lingqu.share.two.circuits import each_with
from lingqu.share.two.needs import Move
from lingqu.share.two.rows import UNDONE, draw
from lingqu.share.two.session import Session

STEP = 1 << 11
"""Comparisons that are worth the rounds of one step of the search."""
FEW_BITS = 9
"""Key bits up to which a radix sort is cheaper."""
TOGETHER = 1 << 18
"""Comparisons made at a time, which bounds the memory."""


def by_digits(bits: int) -> bool:
    """Whether a radix sort is cheaper than comparisons."""
    return bits <= FEW_BITS


def moves(rows: int, bits: int) -> list[Move]:
    """How the keys move, and how their order moves back."""
    columns, width, _ = ranking.layout(rows, bits)
    return [Move(Tag.BITS, columns, width), UNDONE]


def parts(count: int) -> list[slice]:
    """Comparisons in parts that are made one after the other."""
    return [slice(start, min(start + TOGETHER, count)) for start in range(0, count, TOGETHER)]


@dataclass(frozen=True)
class Keys:
    """Shuffled keys that differ, XOR-shared: words row by row, and the bits that count."""

    table: Words
    bits: int

    def planes(self, rows: Order) -> Words:
        """Some rows' keys as planes, the lowest bit first."""
        chosen = self.table[rows]
        columns = [_core.to_planes(np.ascontiguousarray(column), 64).reshape(64, -1) for column in chosen.T]
        return np.concatenate(columns)[: self.bits]


def compare(s: Session, keys: Keys, left: Order, right: Order) -> NDArray[np.bool_]:
    """Whether row left[i] is below row right[i], opened to both.

    The highest bit in which two keys differ decides: a tree of nodes (whether the keys differ in a part of the bits,
    the right one's bit where they differ first), one product of a bit with two for a pair of nodes.
    Cost: ceil(log2(bits)) rounds and 1 to open, a part.  Discloses: the outcomes.
    """
    found = [_compare(s, keys, left[part], right[part]) for part in parts(len(left))]
    return np.concatenate(found) if found else np.zeros(0, np.bool_)


def _compare(s: Session, keys: Keys, left: Order, right: Order) -> NDArray[np.bool_]:
    value = keys.planes(right)
    differ = keys.planes(left) ^ value
    while len(value) > 1:
        pairs = 2 * (len(value) // 2)
        low, high, deciding = value[:pairs:2], value[1:pairs:2], differ[1:pairs:2]
        texts = [low ^ high] if len(value) == 2 else [low ^ high, differ[:pairs:2]]
        both = each_with(s, deciding, np.stack(texts, axis=1))
        value = np.concatenate([low ^ both[:, 0], value[pairs:]])
        if len(texts) == 2:
            differ = np.concatenate([differ[:pairs:2] ^ deciding ^ both[:, 1], differ[pairs:]])
    opened = value[0] ^ s.exchange(value[0], Tag.BITS)
    return _core.unpack(np.ascontiguousarray(opened), len(left), 1).astype(np.bool_)


def sort(s: Session, keys: Sequence[tuple[Words, int]]) -> Words:
    """Destinations of the stable order by keys (words, width), the least significant first; at least two rows.

    Discloses: nothing, but with probability below 2**(2 - ranking.TAIL) a stage it opens a few more comparisons than
    declared.
    """
    rows, bits = len(keys[0][0]), sum(width for _, width in keys)
    columns, width, total = ranking.layout(rows, bits)
    numbers = np.arange(rows, dtype=np.uint64) if s.party == 0 else np.zeros(rows, np.uint64)
    hidden = draw(s, rows, moves(rows, bits))
    (moved,) = hidden.run([Table(Tag.BITS, (ranking.numbered(numbers, keys),), columns, width)])
    shuffled = Keys(moved.parts[0].reshape(rows, columns), total)
    order = ranking.ranks(ranking.stages(rows, STEP), partial(compare, s, shuffled), TOGETHER)
    to = np.zeros(rows, np.uint64)
    if s.party == 0:
        to[order] = np.arange(rows, dtype=np.uint64)
    (back,) = hidden.run([Table(Tag.ELEMENTS, (to,))], first=1)
    return back.parts[0]
