"""A Machine of shapes only: it runs what is written over Machine and counts what a protocol would send.

No values exist here, so what it counts cannot depend on any. Handles hold a zero repeated over their shape.
Each protocol brings a Tally: what its own operations send.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.kinds.mechanism import Cost
from lingqu.share import checks, curves, reals
from lingqu.share.api import (
    FRACTION_BITS,
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
    ring,
)
from lingqu.share.lookups import Found, Kept, Lookup

WORD = 8
"""Bytes of a ring element, and of 64 packed bits."""


def packed(count: int, width: int = 1) -> int:
    """Machine words that `count` words of `width` bits fill."""
    return -(-count * width // 64)


class Tally(Protocol):
    """Counts what one run of a protocol sends, operation after operation; sizes are public.

    count: elements.  width, bits: of words and comparisons.  rows, integers, widths: of a table, the integers a row
    and the widths of its words of bits.
    """

    @property
    def steers(self) -> bool:
        """Machine.steers."""

    @property
    def cost(self) -> Cost:
        """What has been counted."""

    def give(self, size: int, owner: int) -> None:
        """An owner shares values of `size` bytes together."""

    def reveal(self, size: int, recipients: int) -> None:
        """Values of `size` bytes together are opened to one party (1) or to all."""

    def multiply(self, count: int) -> None:
        """Machine.multiply."""

    def matmul(self, rows: int, inner: int, columns: int, stack: int = 1) -> None:
        """Machine.matmul, of a stack of matrices."""

    def multiply_real(self, count: int) -> None:
        """Machine.multiply_real."""

    def matmul_real(self, rows: int, inner: int, columns: int) -> None:
        """Machine.matmul_real."""

    def truncate(self, count: int, bits: int) -> None:
        """Machine.truncate."""

    def less_than(self, count: int, bits: int = 64) -> None:
        """Machine.less_than."""

    def is_zero(self, count: int) -> None:
        """Machine.equal."""

    def all_ones(self, count: int, planes: int) -> None:
        """Machine.equal_words, `planes` bits a pair of keys."""

    def bits_and(self, count: int, width: int = 1, beside: int = 1) -> None:
        """Machine.logical_and, and logical_or; beside: how many words meet each of one operand."""

    def select(self, flags: int, count: int) -> None:
        """Machine.select of `count` elements by so many bits, which may be fewer."""

    def to_bits(self, count: int, bits: int = 64, low: int = 0) -> None:
        """Machine.to_bits."""

    def integers(self, count: int, width: int = 1) -> None:
        """Machine.to_shared; width 1 is Machine.inject."""

    def weigh(self, count: int, bits: int, sums: Sequence[int]) -> None:
        """Machine.weigh of so many bits of `count` elements; sums: how many of the bits count in each."""

    def shuffle(self, rows: int, integers: int, widths: Sequence[int] = ()) -> None:
        """Machine.shuffle."""

    def sort(self, rows: int, bits: int) -> bool:
        """Machine.sort by keys of `bits` bits together; whether columns follow its order at the cost of a shuffle."""

    def apply(self, rows: int, integers: int, widths: Sequence[int] = ()) -> None:
        """Machine.apply."""

    def unapply(self, rows: int, integers: int, widths: Sequence[int] = ()) -> None:
        """Machine.unapply."""


@runtime_checkable
class OrderTally(Tally, Protocol):
    """Of a protocol in which columns may follow the order that a sort found at the cost of a shuffle."""

    def unshuffle(self, rows: int, integers: int, widths: Sequence[int] = ()) -> None:
        """A shuffle undone."""


@runtime_checkable
class LookupTally(Tally, Protocol):
    """Of a protocol that offers Machine.look_up."""

    def slots(self, asked: int) -> int:
        """Machine.slots."""

    def look_up(self, sizes: Lookup) -> None:
        """Machine.look_up."""


class Ordered(Permutation):
    """An order that columns follow at the cost of a shuffle."""

    __slots__ = ()


def shaped(shape: Shape) -> Shared:
    """A handle of a shape."""
    return Shared((np.broadcast_to(np.uint64(0), shape),))


def shaped_bits(shape: Shape, width: int = 1) -> SharedBits:
    """A handle of words of a shape."""
    return SharedBits((np.broadcast_to(np.uint64(0), shape),), width)


def _extended(shapes: Sequence[Shape], axis: int) -> Shape:
    first = list(shapes[0])
    first[axis] = sum(shape[axis] for shape in shapes)
    return tuple(first)


def _public_shape(y: Shared | Public) -> Shape:
    return y.shape if isinstance(y, Shared) else np.shape(y)


def _split(columns: Sequence[Column]) -> tuple[int, list[int]]:
    """Integers a row, and the widths of the words a row."""
    integers = sum(prod(c.shape[1:]) for c in columns if isinstance(c, Shared))
    widths = [c.width for c in columns if isinstance(c, SharedBits) for _ in range(prod(c.shape[1:]))]
    return integers, widths


class Outline:
    """The Machine that only counts; `tally` has the cost so far."""

    def __init__(self, tally: Tally, parties: int) -> None:
        self.tally = tally
        self._parties = parties

    @property
    def party(self) -> int:
        """Always 0."""
        return 0

    @property
    def parties(self) -> int:
        """As many as the protocol has."""
        return self._parties

    @property
    def steers(self) -> bool:
        """As the protocol that is counted."""
        return self.tally.steers

    def owns(self, owner: int) -> bool:
        """It has no values to give."""
        return False

    # Input and output

    def input(self, owner: int, values: Integers | None, shape: Shape) -> Shared:
        """As Machine.input."""
        self.tally.give(WORD * prod(shape), owner)
        return shaped(shape)

    def input_bits(self, owner: int, words: Integers | None, shape: Shape, width: int) -> SharedBits:
        """As Machine.input_bits."""
        self.tally.give(WORD * packed(prod(shape), width), owner)
        return shaped_bits(shape, width)

    def input_real(self, owner: int, values: NDArray[Any] | None, shape: Shape) -> Shared:
        """As Machine.input_real."""
        return self.input(owner, None, shape)

    def constant(self, values: Public) -> Shared:
        """As Machine.constant."""
        return shaped(np.shape(values))

    def constant_bits(self, words: Public, width: int) -> SharedBits:
        """As Machine.constant_bits."""
        return shaped_bits(np.shape(words), width)

    def constant_real(self, values: NDArray[Any] | float) -> Shared:
        """As Machine.constant_real."""
        return shaped(np.shape(values))

    def reveal(self, x: Shared, to: int | None = None) -> NDArray[np.int64] | None:
        """As Machine.reveal, without a value."""
        self.tally.reveal(WORD * x.size, self._parties if to is None else 1)
        return None

    def reveal_bits(self, x: SharedBits, to: int | None = None) -> Words | None:
        """As Machine.reveal_bits, without a value."""
        self.tally.reveal(WORD * packed(x.size, x.width), self._parties if to is None else 1)
        return None

    def reveal_real(self, x: Shared, to: int | None = None) -> Reals | None:
        """As Machine.reveal_real, without a value."""
        self.reveal(x, to)
        return None

    # Local

    def add(self, x: Shared, y: Shared | Public) -> Shared:
        """As Machine.add."""
        return shaped(np.broadcast_shapes(x.shape, _public_shape(y)))

    def subtract(self, x: Shared, y: Shared | Public) -> Shared:
        """As Machine.subtract."""
        return self.add(x, y)

    def negate(self, x: Shared) -> Shared:
        """As Machine.negate."""
        return x

    def scale(self, x: Shared, factor: Public) -> Shared:
        """As Machine.scale."""
        return self.add(x, ring(factor))

    def sum(self, x: Shared, axis: int | None = None) -> Shared:
        """As Machine.sum."""
        if axis is None:
            return shaped(())
        kept = list(x.shape)
        del kept[axis]
        return shaped(tuple(kept))

    def cumsum(self, x: Shared, axis: int = 0) -> Shared:
        """As Machine.cumsum."""
        return x

    def concat(self, arrays: Sequence[C], axis: int = 0) -> C:
        """As Machine.concat."""
        shape = _extended([a.shape for a in checks.same_width(arrays)], axis)
        return arrays[0].like((np.broadcast_to(np.uint64(0), shape),))

    def stack(self, arrays: Sequence[C], axis: int = 0) -> C:
        """As Machine.stack."""
        shape = list(checks.same_width(arrays)[0].shape)
        shape.insert(axis, len(arrays))
        return arrays[0].like((np.broadcast_to(np.uint64(0), tuple(shape)),))

    def matmul_public(self, x: Shared, y: Integers) -> Shared:
        """As Machine.matmul_public."""
        lead, (rows, _, columns) = checks.stack_sizes(x.shape, y.shape)
        return shaped((*lead, rows, columns))

    def logical_xor(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_xor."""
        checks.same_width([x, y])
        return shaped_bits(np.broadcast_shapes(x.shape, y.shape), x.width)

    def logical_not(self, x: SharedBits) -> SharedBits:
        """As Machine.logical_not."""
        return x

    def parity(self, x: Shared) -> SharedBits:
        """As Machine.parity."""
        return shaped_bits(x.shape)

    def bit(self, x: SharedBits, position: int) -> SharedBits:
        """As Machine.bit."""
        checks.position(x, position)
        return shaped_bits(x.shape)

    def planes(self, x: SharedBits) -> SharedBits:
        """As Machine.planes."""
        return shaped_bits((x.width, packed(x.size)), 64)

    def from_planes(self, x: SharedBits, shape: Shape) -> SharedBits:
        """As Machine.from_planes."""
        return shaped_bits((len(x), *shape))

    # Arithmetic

    def multiply(self, x: Shared, y: Shared) -> Shared:
        """As Machine.multiply."""
        product = self.add(x, y)
        self.tally.multiply(product.size)
        return product

    def multiply_real(self, x: Shared, y: Shared) -> Shared:
        """As Machine.multiply_real."""
        product = self.add(x, y)
        self.tally.multiply_real(product.size)
        return product

    def scale_real(self, x: Shared, factor: NDArray[Any] | float) -> Shared:
        """As Machine.scale_real."""
        return reals.scale_real(self, x, factor)

    def matmul(self, x: Shared, y: Shared) -> Shared:
        """As Machine.matmul."""
        lead, sizes = checks.stack_sizes(x.shape, y.shape)
        if lead:
            self.tally.matmul(*sizes, prod(lead))
        else:
            self.tally.matmul(*sizes)
        return shaped((*lead, sizes[0], sizes[2]))

    def matmul_real(self, x: Shared, y: Shared) -> Shared:
        """As Machine.matmul_real."""
        rows, inner, columns = checks.matrix_sizes(x.shape, y.shape)
        self.tally.matmul_real(rows, inner, columns)
        return shaped((rows, columns))

    def truncate(self, x: Shared, bits: int) -> Shared:
        """As Machine.truncate."""
        checks.shift(bits)
        self.tally.truncate(x.size, bits)
        return x

    def reciprocal(self, x: Shared, fraction_bits: int = FRACTION_BITS) -> Shared:
        """As Machine.reciprocal."""
        return reals.reciprocal(self, x, checks.fraction(fraction_bits))

    def divide(self, x: Shared, y: Shared) -> Shared:
        """As Machine.divide."""
        shape = np.broadcast_shapes(x.shape, y.shape)
        return reals.divide(self, x.broadcast_to(shape), y.broadcast_to(shape))

    def sigmoid(self, x: Shared) -> Shared:
        """As Machine.sigmoid."""
        return curves.sigmoid(self, x)

    # Bits

    def less_than(self, x: Shared, y: Shared | Public, bits: int = 64) -> SharedBits:
        """As Machine.less_than."""
        shape = self.add(x, y).shape
        self.tally.less_than(prod(shape), checks.compare(bits))
        return shaped_bits(shape)

    def equal(self, x: Shared, y: Shared | Public) -> SharedBits:
        """As Machine.equal."""
        shape = self.add(x, y).shape
        self.tally.is_zero(prod(shape))
        return shaped_bits(shape)

    def equal_words(self, pairs: Sequence[tuple[SharedBits, SharedBits]]) -> SharedBits:
        """As Machine.equal_words."""
        checks.same_shapes(pairs)
        self.tally.all_ones(pairs[0][0].size, sum(x.width for x, _ in pairs))
        return shaped_bits(pairs[0][0].shape)

    def logical_and(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_and."""
        both = self.logical_xor(x, y)
        self.tally.bits_and(both.size, both.width, checks.beside(x.shape, y.shape))
        return both

    def logical_or(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_or."""
        return self.logical_and(x, y)

    def select(self, bit: SharedBits | Shared, x: Shared, y: Shared) -> Shared:
        """As Machine.select."""
        difference = self.subtract(x, y)
        if isinstance(bit, Shared):
            return self.multiply(bit, difference)
        chosen = shaped(np.broadcast_shapes(bit.shape, difference.shape))
        self.tally.select(bit.size, chosen.size)
        return chosen

    def to_bits(self, x: Shared, bits: int = 64, low: int = 0) -> SharedBits:
        """As Machine.to_bits."""
        width = checks.window(bits, low)
        self.tally.to_bits(x.size, bits, low)
        return shaped_bits(x.shape, width)

    def to_shared(self, x: SharedBits) -> Shared:
        """As Machine.to_shared."""
        self.tally.integers(x.size, x.width)
        return shaped(x.shape)

    def inject(self, x: SharedBits) -> Shared:
        """As Machine.inject."""
        return self.to_shared(checks.single(x))

    def weigh(self, bits: SharedBits, weights: NDArray[np.int64]) -> Shared:
        """As Machine.weigh."""
        used = np.count_nonzero(checks.weights(bits, weights), axis=1)
        self.tally.weigh(prod(bits.shape[1:]), len(bits), used.tolist())
        return shaped((len(weights), *bits.shape[1:]))

    # Rows

    def shuffle(self, columns: Iterable[Column]) -> list[Column]:
        """As Machine.shuffle."""
        every = list(columns)
        self.tally.shuffle(checks.row_count(every), *_split(every))
        return every

    def sort(self, keys: Iterable[SharedBits]) -> Permutation:
        """As Machine.sort."""
        every = list(keys)
        rows = checks.row_count(every)
        ordered = self.tally.sort(rows, sum(key.width for key in every))
        return (Ordered if ordered else Permutation)(shaped((rows,)))

    def apply(self, permutation: Permutation, columns: Iterable[Column]) -> list[Column]:
        """As Machine.apply."""
        every = list(columns)
        checks.same_rows(every, permutation.rows)
        (self.tally.shuffle if isinstance(permutation, Ordered) else self.tally.apply)(permutation.rows, *_split(every))
        return every

    def unapply(self, permutation: Permutation, columns: Iterable[Column]) -> list[Column]:
        """As Machine.unapply."""
        every = list(columns)
        checks.same_rows(every, permutation.rows)
        if isinstance(permutation, Ordered) and isinstance(self.tally, OrderTally):
            self.tally.unshuffle(permutation.rows, *_split(every))
        else:
            self.tally.unapply(permutation.rows, *_split(every))
        return every

    def permutation(self, destinations: Shared) -> Permutation:
        """As Machine.permutation."""
        return Permutation(destinations)

    def _lookups(self) -> LookupTally:
        if not isinstance(self.tally, LookupTally):
            raise BadInput("This protocol offers no lookups of an owner's keys.", "Join by sorting.")
        return self.tally

    def slots(self, asked: int) -> int:
        """As Machine.slots."""
        return self._lookups().slots(asked)

    def look_up(self, sizes: Lookup, asked: Words | None, kept: Kept | None) -> Found:
        """As Machine.look_up, of sizes alone."""
        tally = self._lookups()
        tally.look_up(sizes)
        slots = tally.slots(sizes.asked)
        dense = shaped_bits((slots, sizes.dense), sizes.dense_width) if sizes.dense else None
        return Found(shaped((slots,)), shaped((slots, sizes.columns)), dense, None)
