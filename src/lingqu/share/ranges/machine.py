"""The Machine of ranges: it runs what is written over Machine before anything is shared, and finds what may overflow.

A handle of integers holds the least and the greatest integer that each entry can be, and a number of the entry: entries
of one number are surely the same value, so that a square is not negative.  A handle of words holds the bits that are
surely set, and those that may be.  What only moves entries works on all components alike.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import RangeError
from lingqu.share import checks, curves, images
from lingqu.share.api import (
    FRACTION_BITS,
    INTEGER_LIMIT,
    REAL_LIMIT,
    C,
    Column,
    Integers,
    Permutation,
    Public,
    Reals,
    Shape,
    Shared,
    SharedBits,
    Words,
    encode,
    ring,
)
from lingqu.share.local import BitMoves
from lingqu.share.lookups import Found, Kept, Lookup
from lingqu.share.ranges import ends as bounds
from lingqu.share.ranges import words as known
from lingqu.share.ranges.ends import Ends
from lingqu.share.ranges.order import Order

TOP = INTEGER_LIMIT.bit_length() - 1
DIVISOR_REALS = (1 << FRACTION_BITS, 1 << (FRACTION_BITS + 30))
"""Divisors of Machine.divide and reciprocal, as integers."""
REMEMBERED = 32
"""Comparisons whose bits are still known for what they are when they choose."""
EVERY = (-1 << 63, (1 << 63) - 1)


class Ranges(BitMoves):
    """A Machine of ranges, for all parties at once; RangeError where a value may leave what the protocols hold.

    What it opens is not known: `reveal*` give None, as at a party that receives nothing.
    """

    steers = False

    def __init__(self, parties: int = 3) -> None:
        self._parties = parties
        self._count = 1  # 0 is the number of what a rearrangement sets to zero
        self._order = Order()
        self._comparisons: deque[tuple[Words, Shared, Shared, bool]] = deque(maxlen=REMEMBERED)

    @property
    def party(self) -> int:
        """Always 0."""
        return 0

    @property
    def parties(self) -> int:
        """As many as the protocol has."""
        return self._parties

    def owns(self, owner: int) -> bool:
        """It has no values to give."""
        return False

    # As Bounding, for images

    def ends(self, x: Shared) -> Ends:
        """As Bounding.ends."""
        return x.parts[0].view(np.int64), x.parts[1].view(np.int64)

    def between(self, low: Any, high: Any) -> Shared:
        """As Bounding.between."""
        both = np.broadcast_arrays(np.asarray(low, np.int64), np.asarray(high, np.int64))
        parts = [np.ascontiguousarray(end).reshape(end.shape).view(np.uint64) for end in both]
        first, self._count = self._count, self._count + parts[0].size
        return Shared((*parts, np.arange(first, self._count, dtype=np.uint64).reshape(parts[0].shape)))

    def extreme(self, entries: Shared, found: Shared, greatest: bool) -> None:
        """As Bounding.extreme."""
        self._order.extreme(entries.parts[2], found.parts[2], greatest)

    def risen(self, x: Shared, found: Shared, function: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> None:
        """As Bounding.risen."""
        self._order.risen(x.parts[2], found.parts[2], function)

    def require(self, x: Shared, low: int, high: int, operation: str) -> None:
        """As Checking.require, which functions over a Machine call."""
        least, greatest = self.ends(x)
        if bool(np.any((least < low) | (greatest > high))):
            raise RangeError(
                f"An operand of {operation} may be from {int(least.min()):,} to {int(greatest.max()):,}, outside its "
                f"domain from {low:,} to {high:,} (fixed point as integers).",
                "Declare narrower ranges, or bring it into the domain first: scale or clip it.",
            )

    def _made(self, ends: Ends) -> Shared:
        return self.between(*ends)

    def _other(self, y: Shared | Public) -> Shared:
        """A public operand as a handle of entries without numbers."""
        if isinstance(y, Shared):
            return y
        words = ring(y)
        return Shared((words, words, np.broadcast_to(bounds.UNKNOWN, words.shape)))

    # Input and output

    def input(self, owner: int, values: Integers | None, shape: Shape) -> Shared:
        """As Machine.input: any integers."""
        return self.between(*(np.full(shape, end, np.int64) for end in EVERY))

    def input_bits(self, owner: int, words: Integers | None, shape: Shape, width: int) -> SharedBits:
        """As Machine.input_bits: any words."""
        return SharedBits((np.zeros(shape, np.uint64), np.full(shape, known.full(width))), width)

    def input_real(self, owner: int, values: NDArray[Any] | None, shape: Shape) -> Shared:
        """As Machine.input_real: any reals below 2**41."""
        most = (REAL_LIMIT << FRACTION_BITS) - 1
        return self.between(np.full(shape, -most, np.int64), np.full(shape, most, np.int64))

    def constant(self, values: Public) -> Shared:
        """As Machine.constant."""
        words = ring(values).view(np.int64)
        return self.between(words, words)

    def constant_bits(self, words: Public, width: int) -> SharedBits:
        """As Machine.constant_bits."""
        found = checks.words(words, width)
        return SharedBits((found, found), width)

    def constant_real(self, values: NDArray[Any] | float) -> Shared:
        """As Machine.constant_real."""
        return self.constant(encode(np.asarray(values)))

    def reveal(self, x: Shared, to: int | None = None) -> NDArray[np.int64] | None:
        """As Machine.reveal, without a value."""
        return None

    def reveal_bits(self, x: SharedBits, to: int | None = None) -> Words | None:
        """As Machine.reveal_bits, without a value."""
        return None

    def reveal_real(self, x: Shared, to: int | None = None) -> Reals | None:
        """As Machine.reveal_real, without a value."""
        return None

    # Local

    def add(self, x: Shared, y: Shared | Public) -> Shared:
        """As Machine.add."""
        other = self._other(y)
        found = self._made(bounds.both_added(self.ends(x), self.ends(other), "add"))
        if isinstance(y, Shared) and x.shape == y.shape:
            self._order.raised(x.parts[2], self.ends(y)[0], found.parts[2])
            self._order.raised(y.parts[2], self.ends(x)[0], found.parts[2])
        return found

    def subtract(self, x: Shared, y: Shared | Public) -> Shared:
        """As Machine.subtract; of an extreme, and of an entry from itself, the sign is known."""
        other = self._other(y)
        low, high = bounds.both_added(self.ends(x), bounds.negated(self.ends(other), "subtract"), "subtract")
        mine, its = x.parts[2], other.parts[2]
        known, slack = self._order.at_most(its, mine)
        low = np.where(known, np.maximum(low, -slack), low)
        known, slack = self._order.at_most(mine, its)
        found = self.between(low, np.where(known, np.minimum(high, slack), high))
        self._order.differences(mine, its, found.parts[2])
        return found

    def negate(self, x: Shared) -> Shared:
        """As Machine.negate."""
        return self._made(bounds.negated(self.ends(x), "negate"))

    def scale(self, x: Shared, factor: Public) -> Shared:
        """As Machine.scale."""
        return self._made(bounds.multiplied(self.ends(x), self.ends(self._other(factor)), "scale"))

    def _sums(self, x: Shared, operation: str, total: Callable[[NDArray[Any]], Any]) -> Shared:
        low, high = (bounds.summed(end, operation, total) for end in self.ends(x))
        return self.between(low, high)

    def sum(self, x: Shared, axis: int | None = None) -> Shared:
        """As Machine.sum."""
        found = self._sums(x, "sum", lambda end: np.sum(end, axis=axis))
        if axis is None or not self._order.grouped or not x.shape[axis]:
            return found
        low, high = self.ends(found)
        gain = self._order.gain(np.moveaxis(x.parts[2], axis, -1), np.moveaxis(self.ends(x)[0], axis, -1))
        return self.between(np.minimum(bounds.added(low, gain, "sum"), high), high)

    def cumsum(self, x: Shared, axis: int = 0) -> Shared:
        """As Machine.cumsum."""
        return self._sums(x, "cumsum", lambda end: np.cumsum(end, axis=axis))

    def concat(self, arrays: Sequence[C], axis: int = 0) -> C:
        """As Machine.concat."""
        each = zip(*(a.parts for a in checks.same_width(arrays)), strict=True)
        return arrays[0].like(tuple(np.concatenate(parts, axis=axis) for parts in each))

    def stack(self, arrays: Sequence[C], axis: int = 0) -> C:
        """As Machine.stack."""
        each = zip(*(a.parts for a in checks.same_width(arrays)), strict=True)
        return arrays[0].like(tuple(np.stack(parts, axis=axis) for parts in each))

    def matmul_public(self, x: Shared, y: Integers) -> Shared:
        """As Machine.matmul_public."""
        return self._matrix_product(x, self._other(y), "matmul_public")

    def logical_xor(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_xor."""
        checks.same_width([x, y])
        return SharedBits(known.xor(_known(x), _known(y), x.width), x.width)

    def logical_not(self, x: SharedBits) -> SharedBits:
        """As Machine.logical_not."""
        found = SharedBits(known.inverted(_known(x), x.width), x.width)
        compared = self._comparison(x)
        if compared is not None:
            self._comparisons.append((found.parts[0], *compared[:2], not compared[2]))
        return found

    def parity(self, x: Shared) -> SharedBits:
        """As Machine.parity."""
        return SharedBits(known.of_range(self.ends(x), 1), 1)

    # Arithmetic

    def multiply(self, x: Shared, y: Shared) -> Shared:
        """As Machine.multiply."""
        same = bounds.alike(x.parts[2], y.parts[2])
        return self._made(bounds.multiplied(self.ends(x), self.ends(y), "multiply", same))

    def multiply_real(self, x: Shared, y: Shared) -> Shared:
        """As Machine.multiply_real."""
        return self.truncate(self.multiply(x, y), FRACTION_BITS)

    def scale_real(self, x: Shared, factor: NDArray[Any] | float) -> Shared:
        """As Machine.scale_real."""
        return self.truncate(self.scale(x, encode(np.asarray(factor))), FRACTION_BITS)

    def _matrix_product(self, x: Shared, y: Shared, operation: str) -> Shared:
        checks.stack_sizes(x.shape, y.shape)
        numbers = x.parts[2], y.parts[2]
        return self._made(bounds.matrix_product(self.ends(x), self.ends(y), operation, numbers))

    def matmul(self, x: Shared, y: Shared) -> Shared:
        """As Machine.matmul."""
        return self._matrix_product(x, y, "matmul")

    def matmul_real(self, x: Shared, y: Shared) -> Shared:
        """As Machine.matmul_real."""
        return self.truncate(self.matmul(x, y), FRACTION_BITS)

    def truncate(self, x: Shared, bits: int) -> Shared:
        """As Machine.truncate."""
        low, high = bounds.below(self.ends(x), TOP, "truncate")
        shift = np.int64(checks.shift(bits))
        return self.between((low >> shift) - 1, high >> shift)

    def reciprocal(self, x: Shared, fraction_bits: int = FRACTION_BITS) -> Shared:
        """As Machine.reciprocal."""
        checks.fraction(fraction_bits)
        self.require(x, *DIVISOR_REALS, "reciprocal")
        low, high = (2.0 ** (FRACTION_BITS + fraction_bits) / end for end in reversed(self.ends(x)))
        return self.between(np.floor(low * (1 - 2.0**-18) - 1), np.ceil(high * (1 + 2.0**-18) + 1))

    def divide(self, x: Shared, y: Shared) -> Shared:
        """As Machine.divide."""
        bounds.below(self.ends(x), REAL_LIMIT.bit_length() - 1 + FRACTION_BITS - 2, "divide")
        found: Shared = images.quotient(*DIVISOR_REALS)(self, x, y)
        self.require(y, *DIVISOR_REALS, "divide")
        return found

    def sigmoid(self, x: Shared) -> Shared:
        """As Machine.sigmoid."""
        return curves.sigmoid(self, x)

    # Bits

    def less_than(self, x: Shared, y: Shared | Public, bits: int = 64) -> SharedBits:
        """As Machine.less_than: known where the ranges do not meet."""
        other = self._other(y)
        checks.compare(bits)
        low, high = bounds.below(self.ends(x), TOP, "less_than")
        least, greatest = bounds.below(self.ends(other), TOP, "less_than")
        bounds.below((low - greatest, high - least), bits - 1, "less_than")
        same = bounds.alike(x.parts[2], other.parts[2])
        found = SharedBits(known.settled(high < least, (low < greatest) & ~same), 1)
        self._comparisons.append((found.parts[0], x, other, False))
        return found

    def _comparison(self, bit: SharedBits) -> tuple[Shared, Shared, bool] | None:
        """(x, y, False) where bits are those of x < y, and True where they are its complement."""
        return next((one[1:] for one in self._comparisons if one[0] is bit.parts[0]), None)

    def equal(self, x: Shared, y: Shared | Public) -> SharedBits:
        """As Machine.equal."""
        other = self._other(y)
        (low, high), (least, greatest) = self.ends(x), self.ends(other)
        fixed = (low == high) & (least == greatest) & (low == least)
        sure = bounds.alike(x.parts[2], other.parts[2]) | fixed
        return SharedBits(known.settled(sure, (low <= greatest) & (least <= high)), 1)

    def equal_words(self, pairs: Sequence[tuple[SharedBits, SharedBits]]) -> SharedBits:
        """As Machine.equal_words."""
        checks.same_shapes(pairs)
        for x, y in pairs:
            checks.same_width([x, y])
        return SharedBits(known.agreeing([(_known(x), _known(y)) for x, y in pairs]), 1)

    def logical_and(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_and."""
        checks.same_width([x, y])
        return SharedBits(tuple(np.bitwise_and(a, b) for a, b in zip(x.parts, y.parts, strict=True)), x.width)

    def logical_or(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_or."""
        checks.same_width([x, y])
        return SharedBits(tuple(np.bitwise_or(a, b) for a, b in zip(x.parts, y.parts, strict=True)), x.width)

    def select(self, bit: SharedBits | Shared, x: Shared, y: Shared) -> Shared:
        """As Machine.select: either of the two where the bit is not known."""
        if isinstance(bit, Shared):
            self.require(bit, 0, 1, "select")
            return self._chosen((bit.parts[0], bit.parts[1]), self.ends(x), self.ends(y))
        compared = self._comparison(bit)
        if compared is None:
            return self._chosen(_known(bit), self.ends(x), self.ends(y))
        less, more, inverted = compared
        if inverted:
            return self._by_comparison(known.inverted(_known(bit), 1), y, x, less, more)
        return self._by_comparison(_known(bit), x, y, less, more)

    def _chosen(self, bit: known.Known, x: Ends, y: Ends) -> Shared:
        sure, never = bit[0] == 1, bit[1] == 0
        low = np.where(sure, x[0], np.where(never, y[0], np.minimum(x[0], y[0])))
        high = np.where(sure, x[1], np.where(never, y[1], np.maximum(x[1], y[1])))
        return self.between(low, high)

    def _by_comparison(self, bit: known.Known, x: Shared, y: Shared, less: Shared, more: Shared) -> Shared:
        """x where less < more, else y: what was compared and is chosen has its other's ends too."""
        (low, high), (least, greatest) = self.ends(x), self.ends(y)
        (lowest, below), (above, highest) = self.ends(less), self.ends(more)
        first, second = self._alike(x, less), self._alike(x, more)
        third, fourth = self._alike(y, less), self._alike(y, more)
        high = np.where(first, np.minimum(high, highest - 1), high)
        low = np.where(second, np.maximum(low, lowest + 1), low)
        least = np.where(third, np.maximum(least, above), least)
        greatest = np.where(fourth, np.minimum(greatest, below), greatest)
        found = self._chosen(bit, (low, high), (least, greatest))
        for both, greater in ((second & third, True), (first & fourth, False)):
            numbers = [np.where(both, one.parts[2], bounds.UNKNOWN) for one in (x, y)]
            if bool(np.any(both)) and numbers[0].shape == numbers[1].shape == found.shape:
                self._order.extreme(np.stack(numbers), found.parts[2], greater)
        return found

    def _alike(self, x: Shared, y: Shared) -> NDArray[np.bool_]:
        """Where two entries are surely the same."""
        (low, high), (least, greatest) = self.ends(x), self.ends(y)
        return np.asarray(bounds.alike(x.parts[2], y.parts[2]) | ((low == high) & (low == least) & (high == greatest)))

    def to_bits(self, x: Shared, bits: int = 64, low: int = 0) -> SharedBits:
        """As Machine.to_bits."""
        width = checks.window(bits, low)
        return SharedBits(tuple(part >> np.uint64(low) for part in known.of_range(self.ends(x), bits)), width)

    def to_shared(self, x: SharedBits) -> Shared:
        """As Machine.to_shared."""
        return self._made(known.to_range(_known(x), x.width))

    def inject(self, x: SharedBits) -> Shared:
        """As Machine.inject."""
        return self.to_shared(checks.single(x))

    def weigh(self, bits: SharedBits, weights: NDArray[np.int64]) -> Shared:
        """As Machine.weigh."""
        factors = checks.weights(bits, weights).reshape(*weights.shape, *(1,) * (bits.ndim - 1))
        must, may = (part.astype(np.int64) for part in bits.parts)
        terms = (factors * np.where(factors >= 0, *pair) for pair in ((must, may), (may, must)))
        low, high = (bounds.summed(term, "weigh", lambda end: np.sum(end, axis=1)) for term in terms)
        return self.between(low, high)

    # Rows: after a permutation any row may hold what any row held

    def _anywhere(self, column: Column) -> Column:
        if len(column) == 0:
            return column
        if isinstance(column, SharedBits):
            must, may = np.bitwise_and.reduce(column.parts[0], axis=0), np.bitwise_or.reduce(column.parts[1], axis=0)
            return column.like(tuple(np.broadcast_to(part, column.shape).copy() for part in (must, may)))
        low, high = self.ends(column)
        return self.between(*(np.broadcast_to(end, column.shape) for end in (low.min(axis=0), high.max(axis=0))))

    def shuffle(self, columns: Iterable[Column]) -> list[Column]:
        """As Machine.shuffle."""
        every = list(columns)
        checks.row_count(every)
        return [self._anywhere(column) for column in every]

    def sort(self, keys: Iterable[SharedBits]) -> Permutation:
        """As Machine.sort."""
        return self._places(checks.row_count(list(keys)))

    def _places(self, rows: int) -> Permutation:
        return Permutation(self.between(np.zeros(rows, np.int64), max(rows - 1, 0)))

    def apply(self, permutation: Permutation, columns: Iterable[Column]) -> list[Column]:
        """As Machine.apply."""
        every = list(columns)
        checks.same_rows(every, permutation.rows)
        return [self._anywhere(column) for column in every]

    def unapply(self, permutation: Permutation, columns: Iterable[Column]) -> list[Column]:
        """As Machine.unapply."""
        return self.apply(permutation, columns)

    def permutation(self, destinations: Shared) -> Permutation:
        """As Machine.permutation, trusted."""
        return self._places(len(destinations))

    def slots(self, asked: int) -> int:
        """As Machine.slots."""
        return asked

    def look_up(self, sizes: Lookup, asked: Words | None, kept: Kept | None) -> Found:
        """As Machine.look_up: any integers and words."""
        checks.two_of(sizes.asker, sizes.keeper, self._parties)
        rows = sizes.asked
        dense = self.input_bits(sizes.keeper, None, (rows, sizes.dense), sizes.dense_width) if sizes.dense else None
        met = self.between(np.zeros(rows, np.int64), 1)
        return Found(met, self.input(sizes.keeper, None, (rows, sizes.columns)), dense, None)


def _known(x: SharedBits) -> known.Known:
    return x.parts[0], x.parts[1]
