"""Hidden permutations of rows: shuffle, and the stable radix sort on shared permutations.

A hidden order is a private permutation of party 0 and then one of party 1.  Permutations are shared vectors of
destinations: row i goes to position p(i).
Source: Chase, Ghosh, Poburinnaya, "Secret-Shared Shuffle" (ASIACRYPT 2020) for moving shared rows by a private
permutation; after Asharov et al., "Efficient Secure Three-Party Sorting" (CCS 2022) for the sort.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Tag
from lingqu.kinds.errors import ProtocolViolation
from lingqu.share.api import Words
from lingqu.share.tables import Table
from lingqu.share.two import arithmetic, circuits
from lingqu.share.two.needs import Move, Piece, orders
from lingqu.share.two.session import Session

Order = NDArray[np.uint32]
KeyBit = tuple[Words, int]
"""Words, and a bit's position in them."""
DIGIT_BITS = 3
"""Key bits that one pass of the sort takes: fewer passes against more products a pass."""
INTEGERS = Move(Tag.ELEMENTS, 1, 64)
"""How one column of integers moves."""
UNDONE = Move(Tag.ELEMENTS, 1, 64, True)


def moves_of(tables: Sequence[Table], inverse: bool = False) -> list[Move]:
    """How tables move."""
    return [Move(table.tag, table.columns, table.width, inverse) for table in tables]


@dataclass(frozen=True)
class Hidden:
    """One hidden order with what its tables need, in the order of `moves`."""

    session: Session
    rows: int
    moves: Sequence[Move]
    pieces: Sequence[Piece]

    def run(self, tables: Sequence[Table], first: int = 0) -> list[Table]:
        """Move tables, the moves from number `first` on: 2 rounds, one component of every table each."""
        inverse = self.moves[first].inverse
        for holder in (1, 0) if inverse else (0, 1):
            tables = self._hop(holder, tables, first, inverse)
        return list(tables)

    def _hop(self, holder: int, tables: Sequence[Table], first: int, inverse: bool) -> list[Table]:
        s = self.session
        piece = [part.reshape(-1) for part in self.pieces[holder]]
        if s.party != holder:
            labels = piece[2 * first :]
            for table, before in zip(tables, labels[::2], strict=False):
                s.send(_minus(table.tag, table.parts[0], before), table.tag, table.width)
            return [_cut(table, after) for table, after in zip(tables, labels[1::2], strict=False)]
        order = piece[0].astype(np.uint32)
        kernel = _core.scatter if inverse else _core.gather
        moved = []
        for table, excess in zip(tables, piece[1 + first :], strict=False):
            whole = _plus(table.tag, table.parts[0], s.receive(len(table.parts[0]), table.tag, table.width))
            moved.append(_cut(table, _plus(table.tag, kernel(whole, order, table.columns), excess)))
        return moved


def _plus(tag: Tag, x: Words, y: Words) -> Words:
    return np.bitwise_xor(x, y) if tag is Tag.BITS else np.add(x, y)


def _minus(tag: Tag, x: Words, y: Words) -> Words:
    return np.bitwise_xor(x, y) if tag is Tag.BITS else np.subtract(x, y)


def _cut(table: Table, words: Words) -> Table:
    return table.having(words if table.width == 64 else words & np.uint64((1 << table.width) - 1))


def draw(s: Session, rows: int, moves: Sequence[Move]) -> Hidden:
    """A fresh hidden order."""
    return Hidden(s, rows, moves, [s.take(orders(holder, rows, moves), 1) for holder in (0, 1)])


def opened_order(s: Session, words: Words) -> Order:
    """Open words that are a permutation: 1 round; ProtocolViolation where they are none."""
    try:
        return _core.as_permutation(words + s.exchange(words, Tag.ELEMENTS))
    except ValueError:
        raise ProtocolViolation(
            "A shuffled order that was opened is no permutation.", "Check which software the other party runs."
        ) from None


def shuffle(s: Session, rows: int, tables: Sequence[Table]) -> list[Table]:
    """All tables' rows in one fresh order."""
    return draw(s, rows, moves_of(tables)).run(tables)


def _order_table(words: Words) -> Table:
    return Table(Tag.ELEMENTS, (words,))


def apply(s: Session, destinations: Words, tables: Sequence[Table]) -> list[Table]:
    """Bring every row to its destination: shuffle both, open the destinations, move.  After Asharov et al."""
    every = [_order_table(destinations), *tables]
    order, *moved = draw(s, len(destinations), moves_of(every)).run(every)
    to = opened_order(s, order.parts[0])
    return [_local(_core.scatter, table, to) for table in moved]


def unapply(s: Session, destinations: Words, tables: Sequence[Table]) -> list[Table]:
    """The inverse of apply: read at the opened shuffled destinations, then undo the shuffle.  After Asharov et al."""
    hidden = draw(s, len(destinations), [INTEGERS, *moves_of(tables, inverse=True)])
    (order,) = hidden.run([_order_table(destinations)])
    origin = opened_order(s, order.parts[0])
    return hidden.run([_local(_core.gather, table, origin) for table in tables], first=1)


def _local(kernel: Callable[[Words, Order, int], Words], table: Table, order: Order) -> Table:
    return table.having(kernel(table.parts[0], order, table.columns))


def pass_moves(width: int) -> list[Move]:
    """What a pass of the sort moves: the order found so far, the next digit, and back the digit's order."""
    return [INTEGERS, Move(Tag.BITS, 1, width), UNDONE]


def sort(s: Session, bits: Sequence[KeyBit]) -> Words:
    """Destinations of the stable order by key bits, the least significant first, a digit of DIGIT_BITS bits a pass.

    A pass shuffles the order found so far together with its digit, opens the shuffled order once, and uses it twice:
    to bring the digit to its place and to compose with the digit's order.  After Asharov et al.
    """
    digits = [bits[i : i + DIGIT_BITS] for i in range(0, len(bits), DIGIT_BITS)]
    found = digit_order(s, *_as_digit(digits[0]))
    for digit in digits[1:]:
        words, width = _as_digit(digit)
        hidden = draw(s, len(words), pass_moves(width))
        order, carried = hidden.run([_order_table(found), Table(Tag.BITS, (words,), 1, width)])
        to = opened_order(s, order.parts[0])
        later = digit_order(s, _local(_core.scatter, carried, to).parts[0], width)
        read = _local(_core.gather, _order_table(later), to)
        found = hidden.run([read], first=2)[0].parts[0]
    return found


def _as_digit(bits: Sequence[KeyBit]) -> tuple[Words, int]:
    """The bits of one digit side by side in a word; only one digit is taken out of the keys at a time."""
    places = [((words >> np.uint64(at)) & np.uint64(1)) << np.uint64(i) for i, (words, at) in enumerate(bits)]
    return np.bitwise_or.reduce(places), len(bits)


def one_hot(x: int, y: int) -> int:
    """Bit v - 1 is set for the value v = x ^ y above 0 of up to three bits."""
    return (1 << ((x ^ y) & 7)) >> 1


@cache
def values_of(width: int) -> int:
    """Values above 0 of a digit."""
    return int((1 << width) - 1)


def digit_order(s: Session, words: Words, width: int) -> Words:
    """Destinations of the stable order by one digit of 1 to 3 bits.

    One flag a digit value; row i of value v goes to s_v = (rows of lower values) + (rows of value v up to i) - 1, so it
    goes to s_0 + the sum over v above 0 of flag_v (s_v - s_0).  After Asharov et al. (there for one bit and a product).
    """
    count, values = len(words), values_of(width)
    if width == 1:
        flags = words
    else:
        planes = circuits.lookup(s, circuits.as_digits(circuits.planes_of(words, width)), one_hot, values)
        flags = np.concatenate([_core.unpack(np.ascontiguousarray(row), count, 1) for row in planes])
    known = arithmetic.words_as_integers(s, flags, 1).reshape(values, count)
    constant = np.uint64(1 - s.party)
    base, running = np.zeros(1, np.uint64), []
    for column in [constant - np.add.reduce(known, axis=0), *known]:
        total = np.cumsum(column, dtype=np.uint64)
        running.append(total + base - constant)
        base = base + total[-1:]
    steps = np.concatenate([column - running[0] for column in running[1:]])
    chosen = arithmetic.choose(s, flags, steps).reshape(values, count)
    result: Words = running[0] + np.add.reduce(chosen, axis=0)
    return result
