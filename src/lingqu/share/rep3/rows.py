"""Hidden permutations of rows: shuffle, and the stable radix sort on shared permutations, which suits few key bits.

Permutations are shared vectors of destinations: row i goes to position p(i); or a public order of rows that were
shuffled, with the seeds of that shuffle (`Orders`): columns follow it by the same shuffle under fresh masks.
Source: Araki et al., "Secure Graph Analysis at Scale" (CCS 2021) for the shuffle;
after Asharov et al., "Efficient Secure Three-Party Sorting" (CCS 2022) for the sort.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol, runtime_checkable

import numpy as np

from lingqu import _core
from lingqu.kinds.channel import Tag
from lingqu.kinds.errors import ProtocolViolation
from lingqu.share.api import Words
from lingqu.share.rep3 import arithmetic, circuits
from lingqu.share.rep3.hops import LAST, Hops, Order, Orders, Packed, draw_orders, pair
from lingqu.share.rep3.session import Parts, Session
from lingqu.share.tables import Table

TWO = np.uint64(2)
KeyBit = tuple[Parts, int]
"""Words, and a bit's position in them."""
Key = tuple[Parts, int]
"""Words of a key, and their width."""
STEP = 1 << 13
"""Comparisons that are worth the rounds of opening some."""
DIGIT_BITS = 2
"""Key bits that one pass of the sort takes: fewer passes against more products a pass."""


def opened_order(s: Session, words: Words) -> Order:
    """Opened words as the permutation they must be; ProtocolViolation otherwise."""
    try:
        return _core.as_permutation(words)
    except ValueError:
        violation = ProtocolViolation(
            "A shuffled order that was opened is no permutation.", "Check which software the other parties run."
        )
        raise s.refuse(violation) from None


class Steps(Protocol):
    """What sorting and moving by hidden destinations are made of, so that another protocol can bring its own."""

    @property
    def session(self) -> Session:
        """The party's keys and channel."""

    @property
    def step(self) -> int:
        """Comparisons that are worth the rounds of opening some."""

    @property
    def last(self) -> int:
        """The key by whose permutation a table moves last."""

    def integers(self, bits: Parts) -> Parts:
        """Single bits as 0 or 1."""

    def conjunction(self, x: Parts, y: Parts) -> Parts:
        """x & y of single bits."""

    def sum_of_products(self, x: Parts, y: Parts, terms: int) -> Parts:
        """The sum over the first of `terms` axes of x * y, flat."""

    def move(
        self, orders: Orders, tables: Iterable[Table], opened: int = 0, inverse: bool = False
    ) -> list[Table | Words]:
        """As Hops.run."""

    def shuffled(self, orders: Orders, keys: list[Key]) -> Words:
        """Keys above the rows' numbers, shuffled, as `_core.interleave` gives them; the list is emptied."""


@runtime_checkable
class Sparing(Steps, Protocol):
    """Steps that nothing has to be kept of, so that what a step was made of can be written over."""

    def bit_order(self, digits: list[Parts]) -> Parts:
        """As `digit_order` by one bit."""


@dataclass(frozen=True)
class PlainSteps:
    """The steps as semi-honest parties take them."""

    session: Session
    step: int = STEP
    last: int = LAST

    def integers(self, bits: Parts) -> Parts:
        """As Steps.integers."""
        return arithmetic.words_as_integers(self.session, bits, 1)

    def conjunction(self, x: Parts, y: Parts) -> Parts:
        """As Steps.conjunction."""
        return circuits.conjunction_words(self.session, x, y, 1)

    def sum_of_products(self, x: Parts, y: Parts, terms: int) -> Parts:
        """As Steps.sum_of_products."""
        return arithmetic.sum_of_products(self.session, x, y, terms)

    def move(
        self, orders: Orders, tables: Iterable[Table], opened: int = 0, inverse: bool = False
    ) -> list[Table | Words]:
        """As Steps.move."""
        return Hops(self.session, orders, inverse).run(tables, opened)

    def shuffled(self, orders: Orders, keys: list[Key]) -> Words:
        """As Steps.shuffled."""
        both = Hops(self.session, orders).run(_packed(self.session, keys) for _ in range(1))[0]
        assert isinstance(both, np.ndarray)
        return both

    def bit_order(self, digits: list[Parts]) -> Parts:
        """As Sparing.bit_order, s_0 + flag (s_1 - s_0): both factors of a product are made in chunks, s_0 in the flags'
        place."""
        s = self.session
        first, second = flags = arithmetic.bits_as_integers(s, digits)
        constants = _constant(s, 0), _constant(s, 1)
        count = np.uint64(len(first))
        # arrays of one word: numbers of NumPy's, unlike arrays, warn where they wrap
        zeros = [count * constants[half] - flags[half].sum(dtype=np.uint64, keepdims=True) for half in (0, 1)]
        own = np.empty(len(first), np.uint64)
        for start in range(0, len(first), arithmetic.CHUNK_ROWS):
            rows = slice(start, min(start + arithmetic.CHUNK_ROWS, len(first)))
            places = np.arange(rows.start + 1, rows.stop + 1, dtype=np.uint64)
            rises = []
            for half in (0, 1):
                up = np.cumsum(flags[half][rows], dtype=np.uint64)
                rises.append(zeros[half] + TWO * up - places * constants[half])
                zeros[half] = zeros[half] + TWO * up[-1:]
            x = flags[0][rows], flags[1][rows]
            own[rows] = _core.multiply_shares(x, (rises[0], rises[1]), s.mine, s.next)
        s.send(s.before, own)
        for half, part in enumerate(flags):
            np.cumsum(part, out=part)
            np.negative(part, out=part)
            if constants[half]:
                np.add(part, np.arange(len(part), dtype=np.uint64), out=part)
        first += own
        del own
        second += s.receive(s.after, len(second))
        return first, second


def _packed(s: Session, keys: list[Key]) -> Packed:
    """Keys, the least significant first, above the rows' numbers, of which each party builds what it will move.

    The numbers are component x_0.
    """
    rows, width = len(keys[0][0][0]), sum(width for _, width in keys)
    bits = (rows - 1).bit_length()
    columns: list[tuple[Words, Words | None, int]]
    if s.party == 0:
        columns = [(words[0], words[1], width) for words, width in keys]
    else:
        columns = [(words[1], None, width) for words, width in keys]
    keys.clear()
    words = None if s.party == 2 else _core.pack_rows(rows, bits, s.party == 0, columns)
    return Packed(rows, bits + width, words)


def shuffle(steps: Steps, rows: int, tables: Iterable[Table]) -> list[Table]:
    """All tables' rows in one fresh order."""
    return [t for t in steps.move(draw_orders(steps.session, rows), tables) if isinstance(t, Table)]


def apply(steps: Steps, destinations: Parts, tables: Iterable[Table], count: int) -> list[Table]:
    """Bring rows to destinations below `count`: shuffle both, open the destinations, move.  After Asharov et al."""
    rows = len(destinations[0])
    every = chain([Table(Tag.ELEMENTS, destinations)], tables)
    moved = steps.move(draw_orders(steps.session, rows), every, opened=1)
    order = moved.pop(0)
    assert isinstance(order, np.ndarray)
    to = opened_order(steps.session, order)
    del order
    wanted = None if count == rows else np.flatnonzero(to < count)
    to = to if wanted is None else to[wanted]
    found = []
    while moved:  # each is freed before the next one is brought to its place
        table = moved.pop(0)
        assert isinstance(table, Table)
        if wanted is not None:
            table = table.having(*(part.reshape(rows, -1)[wanted].reshape(-1) for part in table.parts))
        found.append(_local(_core.scatter, table, to))
    return found


def head(table: Table, count: int) -> Table:
    """The first rows, which do not keep the others in memory."""
    return table.having(*(part[: count * table.columns].copy() for part in table.parts))


def unapply(steps: Steps, destinations: Parts, tables: Iterable[Table]) -> list[Table]:
    """The inverse of apply: read at the opened shuffled destinations, then undo the shuffle.  After Asharov et al."""
    orders = draw_orders(steps.session, len(destinations[0]))
    order = steps.move(orders, [Table(Tag.ELEMENTS, destinations)], opened=1)[0]
    assert isinstance(order, np.ndarray)
    return _undo(steps, orders, opened_order(steps.session, order), tables)


def follow(steps: Steps, orders: Orders, tables: Iterable[Table], inverse: bool = False) -> list[Table]:
    """Bring every row to its place in an order that a sort found, or back."""
    return [t for t in steps.move(orders, tables, inverse=inverse) if isinstance(t, Table)]


def _undo(steps: Steps, orders: Orders, origin: Order, tables: Iterable[Table]) -> list[Table]:
    read = (_local(_core.gather, t, origin) for t in tables)
    return [t for t in steps.move(orders, read, inverse=True) if isinstance(t, Table)]


def _local(kernel: Callable[[Words, Order, int], Words], table: Table, order: Order) -> Table:
    return table.having(*(kernel(part, order, table.columns) for part in table.parts))


def sort(steps: Steps, bits: list[KeyBit]) -> Parts:
    """Destinations of the stable order by key bits, the least significant first, a digit of DIGIT_BITS bits a pass.

    A pass shuffles the order found so far together with its digit, opens the shuffled order once, and uses it twice:
    to bring the digit to its place and to compose with the digit's order.  After Asharov et al.  The list is emptied.
    """
    digits = [bits[i : i + DIGIT_BITS] for i in range(0, len(bits), DIGIT_BITS)]
    bits.clear()
    words, width = _as_digit(digits.pop(0))
    first = [words]
    del words
    found = digit_order(steps, first, width)
    while digits:
        words, width = _as_digit(digits.pop(0))
        orders = draw_orders(steps.session, len(words[0]))
        tables = [Table(Tag.ELEMENTS, found), Table(Tag.BITS, words, width=width)]
        order, carried = steps.move(orders, tables, opened=1)
        del tables, words, found
        assert isinstance(order, np.ndarray)
        assert isinstance(carried, Table)
        to = opened_order(steps.session, order)
        later = digit_order(steps, [pair(_local(_core.scatter, carried, to))], width)
        found = pair(_undo(steps, orders, to, [Table(Tag.ELEMENTS, later)])[0])
    return found


def _as_digit(bits: list[KeyBit]) -> tuple[Parts, int]:
    """The bits of one digit side by side in a word; only one digit is taken out of the keys at a time."""
    if len(bits) == 1 and not bits[0][1]:
        return bits[0][0], 1  # the highest bit of all is that of a word of one bit
    return (_beside_bits(bits, 0), _beside_bits(bits, 1)), len(bits)


def _beside_bits(bits: Sequence[KeyBit], half: int) -> Words:
    out = np.zeros(len(bits[0][0][half]), np.uint64)
    for i, (words, at) in enumerate(bits):
        one = words[half] >> np.uint64(at) if at else words[half].copy()
        one &= np.uint64(1)
        one <<= np.uint64(i)
        out |= one
    return out


def digit_order(steps: Steps, digits: list[Parts], width: int) -> Parts:
    """Destinations of the stable order by one digit of 1 or 2 bits.  digits: of every row; the list is emptied.

    One flag a digit value; row i of value v goes to (rows of lower values) + (rows of value v up to i) - 1, a sum of
    products of flags and running counts.  After Asharov et al. (there for one bit).
    """
    if width == 1 and isinstance(steps, Sparing):
        return steps.bit_order(digits)
    words = digits.pop()
    if width == 1:
        return _destinations(steps, [steps.integers(words)])
    count = len(words[0])
    low = words[0] & np.uint64(1), words[1] & np.uint64(1)
    high = words[0] >> np.uint64(1), words[1] >> np.uint64(1)
    del words
    both = steps.conjunction(low, high)
    stacked = np.concatenate([low[0], high[0], both[0]]), np.concatenate([low[1], high[1], both[1]])
    del low, high, both
    values = steps.integers(stacked)
    del stacked
    ones, twos, threes = ((values[0][i : i + count], values[1][i : i + count]) for i in range(0, 3 * count, count))
    del values
    # what came of messages stays as it is until it is proved
    flags = [(some[0] - threes[0], some[1] - threes[1]) for some in (ones, twos)] + [threes]
    del ones, twos, threes
    return _destinations(steps, flags)


def _destinations(steps: Steps, flags: list[Parts]) -> Parts:
    """From the flags of the values above 0: s_0 + sum over v of flag_v (s_v - s_0), s_v the destinations within v.

    The list is emptied.
    """
    rises = [_rises(steps.session, [flag[half] for flag in flags], half) for half in (0, 1)]
    x = _beside([flag[0] for flag in flags]), _beside([flag[1] for flag in flags])
    product = steps.sum_of_products(x, (rises.pop(0), rises.pop()), len(flags))
    del x
    lowest = []
    halves = [[flag[half] for flag in flags] for half in (0, 1)]
    flags.clear()
    for half in (0, 1):  # a component's flags are given up before the next one's are counted
        lowest.append(_lowest(steps.session, halves.pop(0), half))
        lowest[half] += product[half]
    return lowest[0], lowest[1]


def _beside(parts: Sequence[Words]) -> Words:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _constant(s: Session, half: int) -> np.uint64:
    """A component of 1."""
    return np.uint64(1 if (s.party, half) in ((0, 0), (2, 1)) else 0)


def _lowest(s: Session, flags: Sequence[Words], half: int) -> Words:
    """A component of s_0."""
    constant = _constant(s, half)
    lowest = np.subtract(constant, flags[0])
    for flag in flags[1:]:
        lowest -= flag
    np.cumsum(lowest, out=lowest)
    lowest -= constant
    return lowest


def _rises(s: Session, flags: Sequence[Words], half: int) -> Words:
    """A component of s_v - s_0 for all v above 0, one after the other."""
    constant, lowest = _constant(s, half), _lowest(s, flags, half)
    base = lowest[-1:] + constant
    count = len(lowest)
    others = np.empty(len(flags) * count, np.uint64)
    for i, flag in enumerate(flags):
        other = others[i * count : (i + 1) * count]
        np.cumsum(flag, out=other)
        total = other[-1:].copy()
        other += base - constant
        other -= lowest
        base += total
    return others
