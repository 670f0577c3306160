"""Hidden orders of rows: three private permutations, each known to two parties, through which tables hop.

Source: Araki et al., "Secure Graph Analysis at Scale" (CCS 2021).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Tag
from lingqu.share.api import Words
from lingqu.share.rep3.session import ADDITIVE, BINARY, Group, Parts, Session
from lingqu.share.sparing import MOST_ROWS
from lingqu.share.tables import Layout, Table

Order = NDArray[np.uint32]
LAST = 2
"""The key by whose permutation a table hops last, and first when it comes back."""


def group_of(table: Table | Layout) -> Group:
    """Of a table's shares."""
    return BINARY if table.tag is Tag.BITS else ADDITIVE


def pair(table: Table) -> Parts:
    """Both components."""
    return table.parts[0], table.parts[1]


@dataclass(frozen=True)
class Orders:
    """A private permutation under each key that this party holds, and a public one behind the last of them.

    A permutation is drawn whenever it is asked for, so that nobody keeps it.  last: the key whose permutation a table
    meets last; row i of what is shuffled comes from row shown[i] of what the private permutations give.
    """

    rows: int
    seeds: dict[int, bytes]
    last: int = LAST
    shown: Order | None = None

    def __getitem__(self, index: int) -> Order:
        order = _core.Prg(self.seeds[index % 3]).permutation(self.rows)
        return order if self.shown is None or index % 3 != self.last else order[self.shown]

    def held(self, index: int) -> Order | None:
        """The permutation under a key, where this party holds it."""
        return self[index] if index % 3 in self.seeds else None

    def then(self, shown: Order, last: int = LAST) -> Orders:
        """These and a public permutation."""
        return replace(self, shown=shown, last=last)


def draw_orders(s: Session, rows: int) -> Orders:
    """Fresh permutations; nobody holds all three."""
    keys = [index % 3 for index in (s.party, s.party + 1)]
    return Orders(rows, {index: s.draw(index, 2).astype("<u8").tobytes() for index in keys})


@dataclass(frozen=True)
class Packed:
    """Rows of bits without gaps (`_core.pack_rows`), of which a party has no more than it will move first.

    words: all components together at party 0, component x_2 at party 1, None at party 2.
    """

    rows: int
    width: int
    words: Words | None

    @property
    def layout(self) -> Layout:
        """As words that are sent whole."""
        return Layout(Tag.BITS, -(-self.rows * self.width // 64), self.width, 64, packed=True)


Outgoing = tuple[Words | None, _core.Prg | None]
"""What a party adds to the last exchange (`_own`), and what will draw the component that it took away from that."""


@dataclass(frozen=True)
class Hops:
    """One way through the three private permutations: lead and helper apply a, lead and other b, helper and other c.

    The result is c(b(a(rows))), or with `inverse` the same with each permutation undone.  Masks lie on what a
    permutation gives, so that a move reads where a table lies and writes what is sent.
    """

    session: Session
    orders: Orders
    inverse: bool = False
    drawn: dict[int, Order] = field(default_factory=dict)

    @property
    def lead(self) -> int:
        return 2 if self.inverse else 0

    @property
    def indices(self) -> tuple[int, int, int]:
        """The keys' indices in order of application."""
        return (2, 0, 1) if self.inverse else (1, 0, 2)

    def _order(self, index: int) -> Order:
        """The permutation under a key, drawn again for each table where it is long."""
        if self.orders.rows >= MOST_ROWS:
            return self.orders[index]
        if index not in self.drawn:
            self.drawn[index] = self.orders[index]
        return self.drawn[index]

    def _move(self, words: Words, index: int, table: Layout, last: bool = False) -> Words:
        """The words moved under a key; of packed ones that move no further, behind room for the other component."""
        if table.packed:
            return _core.gather_packed(words, self._order(index), table.columns, last)
        return (_core.scatter if self.inverse else _core.gather)(words, self._order(index), table.columns)

    def run(self, tables: Iterable[Table | Packed], opened: int = 0) -> list[Table | Words]:
        """Permute tables of one number of rows; the first `opened` come out in the clear, to all.

        Tables are taken one after the other and not kept: their shares are not needed once they are sent.  Of packed
        ones, which move one way only, both components come out row by row (`_core.interleave`).

        Cost: 2 rounds; 32 bytes an element and party set of a table that stays shared, 48 of one that is opened.
        Discloses: the opened tables' rows in an order that no party knows.
        """
        layouts = self._first_hops(tables)
        outgoing = self._second_hops(layouts, opened)
        self._send_last(layouts, outgoing, opened)
        found: list[Table | Words] = []
        while outgoing:  # what has come out is not kept in two places
            table, sent = layouts[len(found)], outgoing.pop(0)
            found.append(self._open(table, sent[0]) if len(found) < opened else self._share(table, sent))
        return found

    def _first_hops(self, tables: Iterable[Table | Packed]) -> list[Layout]:
        """Lead applies a and b to its two components; helper applies a to the third; both masked."""
        s, (a, b, _) = self.session, self.indices
        if s.party not in (self.lead, 1):
            return [table.layout for table in tables]
        keys, to = ((a, b), 1) if s.party == self.lead else ((a,), 2 - self.lead)
        layouts, every = list[Layout](), iter(tables)
        while (table := next(every, None)) is not None:
            layout, words = table.layout, self._first_words(table)
            del table
            for index in keys:
                words = self._move(words, index, layout)
                s.mask(index, words, group_of(layout), layout.width, undo=s.party == 1)
            s.send(to, words, group_of(layout), layout.width)
            layouts.append(layout)
            del words
        return layouts

    def _first_words(self, table: Table | Packed) -> Words:
        """What a party moves first: lead its components together, helper its third one."""
        if isinstance(table, Packed):
            assert table.words is not None
            return table.words
        if self.session.party == self.lead:
            return group_of(table).plus(*pair(table))
        return table.parts[0 if self.inverse else 1]

    def _second_hops(self, tables: Sequence[Layout], opened: int) -> list[Outgoing]:
        """Other applies b to what helper sent; then helper and other hold summands and apply c."""
        s, (_, b, c) = self.session, self.indices
        if s.party == self.lead:
            return [(None, None)] * len(tables)
        moved = []
        for table in tables:
            group, width = group_of(table), table.width
            words = s.receive(self.lead if s.party == 1 else 1, table.count, group, width)
            if s.party != 1:
                words = self._move(words, b, table)
                s.mask(b, words, group, width, undo=True)
            moved.append(self._move(words, c, table, last=True))
            del words
        # all holders of a key draw in one order: what hides the hops first, of all tables
        every = enumerate(zip(tables, moved, strict=True))
        return [(m, self._last_mask(t, _own(t, m), i < opened)) for i, (t, m) in every]

    def _last_mask(self, table: Layout, moved: Words, opened: bool) -> _core.Prg | None:
        """Mask what this party adds to the last exchange, in place: by a zero where that is opened, else by the
        component that the party draws, which is drawn a second time when it is needed."""
        s, group, width = self.session, group_of(table), table.width
        a, b, c = self.indices
        if opened:
            s.mask(c, moved, group, width, undo=s.party != 1)
            return None
        index = a if s.party == 1 else b
        again = s.stream(index).copy()
        s.mask(index, moved, group, width, undo=True)
        return again

    def _send_last(self, tables: Sequence[Layout], outgoing: Sequence[Outgoing], opened: int) -> None:
        s = self.session
        if s.party == self.lead:
            return
        peer = 3 - self.lead - s.party
        for i, (table, (moved, _)) in enumerate(zip(tables, outgoing, strict=True)):
            assert moved is not None
            own = _own(table, moved)
            s.send(peer, own, group_of(table), table.width)
            if i < opened:
                s.send(self.lead, own, group_of(table), table.width)

    def _open(self, table: Layout, own: Words | None) -> Words:
        s = self.session
        if own is None:
            peers = [party for party in (0, 1, 2) if party != self.lead]
            one, two = (s.receive(party, table.count, group_of(table), table.width) for party in peers)
            return group_of(table).plus(one, two)
        return group_of(table).plus(own, s.receive(3 - self.lead - s.party, table.count, group_of(table), table.width))

    def _share(self, table: Layout, outgoing: Outgoing) -> Table | Words:
        s, (moved, again) = self.session, outgoing
        a, b, c = self.indices
        if moved is None or again is None:
            streams = {index: s.stream(index) for index in (a, b)}
            first, second = streams[s.party], streams[s.after]
            if table.packed:
                return _core.interleave(first, second, self.orders.rows, table.columns)
            return table.having(self._drawn(table, first), self._drawn(table, second))
        own = _own(table, moved)
        theirs = s.receive(3 - self.lead - s.party, table.count, group_of(table), table.width)
        group_of(table).add_to(own, theirs)
        del theirs
        if table.packed:
            _core.interleave_within(moved, again, self.orders.rows, table.columns, s.party == c)
            return moved[: -(-2 * self.orders.rows * table.columns // 64) + 1]
        drawn = self._drawn(table, again)
        return table.having(*((own, drawn) if s.party == c else (drawn, own)))

    def _drawn(self, table: Layout, stream: _core.Prg) -> Words:
        words = stream.words(table.count)
        if table.width < 64:
            words &= np.uint64((1 << table.width) - 1)
        return words


def _own(table: Layout, moved: Words) -> Words:
    """A component that was moved, which may have room before it."""
    return moved[-table.count :] if table.packed else moved
