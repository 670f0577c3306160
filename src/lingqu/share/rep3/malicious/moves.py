"""Tables moved through three permutations, each known to two parties, every message recorded for its proof.

Source: Araki et al., "Secure Graph Analysis at Scale" (CCS 2021) and Laur, Willemson, Zhang (ISC 2011) for moves that
two of three parties know; the order of the hops is k_1, k_2, k_0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lingqu import _core
from lingqu.kinds.channel import Tag
from lingqu.share.api import Words
from lingqu.share.ranking import layout, numbered
from lingqu.share.rep3.hops import Order, Orders, group_of, pair
from lingqu.share.rep3.malicious.session import Checked
from lingqu.share.rep3.malicious.statement import Moved
from lingqu.share.rep3.rows import Key
from lingqu.share.rep3.session import ADDITIVE, BINARY, Parts
from lingqu.share.tables import Table

HOPS = (1, 2, 0)
"""Keys by which a table moves, one after the other."""


def move(
    s: Checked, orders: Orders, tables: Iterable[Table], opened: int = 0, inverse: bool = False
) -> list[Table | Words]:
    """As Hops.run.  Cost: 3 rounds and 48 bytes a word; for opened tables the proofs and an opening."""
    moved = list(tables)
    for index in reversed(HOPS) if inverse else HOPS:
        order = orders.held(index)
        if inverse and order is not None:
            order = _undone(order)
        hops = [_Hop(s, index, order, table) for table in moved]
        moved = [table.having(*hop.finished()) for hop, table in zip(hops, moved, strict=True)]
    s.recorded()
    shown = [_shown(s, table) for table in moved[:opened]]
    return [*shown, *moved[opened:]]


def shuffled(s: Checked, orders: Orders, keys: list[Key]) -> Words:
    """As Steps.shuffled."""
    rows = len(keys[0][0][0])
    columns, full, total = layout(rows, sum(width for _, width in keys))
    number = s.place(0, np.arange(rows, dtype=np.uint64), rows)
    first, second = (numbered(number[i], [(words[i], width) for words, width in keys]) for i in (0, 1))
    keys.clear()
    table = move(s, orders, [Table(Tag.BITS, (first, second), columns, full)])[0]
    assert isinstance(table, Table)
    first, second = (_packed(part.reshape(rows, columns), total) for part in table.parts)
    return _core.interleave(first, second, rows, total)


def _packed(words: Words, bits: int) -> Words:
    """Rows of words as rows of so many bits without gaps."""
    widths = [min(64, bits - start) for start in range(0, bits, 64)]
    columns = [(np.ascontiguousarray(words[:, i]), None, width) for i, width in enumerate(widths)]
    return _core.pack_rows(len(words), 0, False, columns)


def _shown(s: Checked, table: Table) -> Words:
    words = s.open(pair(table), None, group_of(table), table.width)
    assert words is not None
    return words


def _undone(order: Order) -> Order:
    back = np.empty(len(order), np.uint32)
    back[order] = np.arange(len(order), dtype=np.uint32)
    return back


@dataclass(frozen=True)
class _Claim:
    """What a prover says it sent: its rows moved = the two verifiers' summands; as this party knows it."""

    prover: int
    order_at: int
    order: Order | None
    words: Words | None
    summand: Words
    other: Words | None = None


class _Hop:
    """One table's move under k_index: row t of the result is row order[t].

    The lower holder P_{index-1} and the upper one P_index know the order.  Each sends the other the component that it
    alone of the two has, moved, less words drawn under the key that it shares with the third party, P_{index+1}.
    """

    def __init__(self, s: Checked, index: int, order: Order | None, table: Table) -> None:
        self.s = s
        self.index = index
        self.order = order
        self.table = table
        self.drawn: list[Words | None] = [
            s.draw(key, table.count, table.width) if key % 3 in (s.party, s.after) else None
            for key in (index - 1, index + 1)
        ]
        self.sent = None if order is None else self._send(order)

    @property
    def lower(self) -> int:
        return (self.index - 1) % 3

    @property
    def upper(self) -> int:
        return self.index % 3

    def _send(self, order: Order) -> Words:
        is_lower = self.s.party == self.lower
        data, drawn = (self.table.parts[0], self.drawn[0]) if is_lower else (self.table.parts[1], self.drawn[1])
        assert drawn is not None
        sent = group_of(self.table).minus(_core.gather(data, order, self.table.columns), drawn)
        self.s.send(self.upper if is_lower else self.lower, sent, group_of(self.table), self.table.width)
        return sent

    def finished(self) -> Parts:
        """The moved components, when the messages have crossed."""
        below, above = self.drawn
        if self.order is None:
            assert below is not None
            assert above is not None
            first, second = self.table.parts
            self._record(_Claim(self.lower, self.upper, None, second, below))
            self._record(_Claim(self.upper, self.lower, None, first, above))
            return above, below
        return self._joined(self.order)

    def _joined(self, order: Order) -> Parts:
        table, is_lower = self.table, self.s.party == self.lower
        sent, drawn = self.sent, self.drawn[0 if is_lower else 1]
        assert sent is not None
        assert drawn is not None
        received = self.s.receive(self.upper if is_lower else self.lower, table.count, group_of(table), table.width)
        data, common = table.parts if is_lower else table.parts[::-1]
        if is_lower:
            # the second verifier of the lower holder is the upper one, that of the upper one the third party
            self._record(_Claim(self.lower, self.upper, order, data, sent, drawn))
            self._record(_Claim(self.upper, self.lower, order, None, received))
        else:
            self._record(_Claim(self.lower, self.upper, order, None, received))
            self._record(_Claim(self.upper, self.lower, order, data, drawn, sent))
        joint = group_of(table).plus(group_of(table).plus(sent, received), _core.gather(common, order, table.columns))
        return (drawn, joint) if is_lower else (joint, drawn)

    def _record(self, claim: _Claim) -> None:
        sizes = self.table.count // max(self.table.columns, 1), self.table.columns
        if group_of(self.table).tag is ADDITIVE.tag:
            self.s.rings.moved(
                claim.prover, claim.order_at, sizes, claim.order, claim.words, claim.summand, claim.other
            )
            return
        assert group_of(self.table).tag is BINARY.tag
        known = None if claim.prover == self.s.party else claim.summand
        at_first = claim.order_at == (claim.prover - 1) % 3
        self.s.bits.moved(Moved(claim.prover, *sizes, at_first, claim.order, claim.words, known))
