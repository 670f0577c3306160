"""The interface of secret sharing: opaque handles, and the Machine that computes on them.

Integers are elements of Z_2^64 read as signed; reals are fixed point with `FRACTION_BITS` fractional bits.
A handle's public parts are its shape and width; its values are reached through `Machine.reveal*` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput, RangeError

if TYPE_CHECKING:
    from lingqu.share.lookups import Found, Kept, Lookup

FRACTION_BITS = 20
REAL_LIMIT = 1 << 41
"""Reals are below this in absolute value: 2**61 after scaling, one bit of room for comparisons."""
INTEGER_LIMIT = 1 << 62
"""Operands of comparisons and truncation are below this in absolute value."""

Words = NDArray[np.uint64]
Integers = NDArray[np.int64] | NDArray[np.uint64]
Reals = NDArray[np.float64]
Shape = tuple[int, ...]
Part = int | slice | EllipsisType | None | NDArray[Any]
Index = Part | tuple[Part, ...]
Public = int | Integers


class _Handle:
    """What both kinds of handle can do in public: shapes, indices, no values."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Words, ...]) -> None:
        self.parts = parts  # this party's share components; for machines only

    @property
    def shape(self) -> Shape:
        return self.parts[0].shape

    @property
    def ndim(self) -> int:
        return self.parts[0].ndim

    @property
    def size(self) -> int:
        return self.parts[0].size

    def __len__(self) -> int:
        return len(self.parts[0])

    def like(self, parts: tuple[Words, ...]) -> Self:
        """A handle of the same kind and width on other components; for machines only."""
        raise TypeError("only Shared and SharedBits are handles")

    def __getitem__(self, index: Index) -> Self:
        """Elements at a public index, as numpy indexes."""
        return self.like(tuple(np.asarray(part[index], dtype=np.uint64) for part in self.parts))

    def reshape(self, *shape: int) -> Self:
        """The same elements in another shape; one length may be -1."""
        return self.like(tuple(part.reshape(shape) for part in self.parts))

    def transpose(self, axes: Sequence[int] | None = None) -> Self:
        """The axes in another order, by default reversed."""
        return self.like(tuple(part.transpose(axes) for part in self.parts))

    def moved(self, rearrange: Callable[[Words], NDArray[Any]]) -> Self:
        """Elements rearranged, repeated, left out or set to zero by a public rule, the same for each component."""
        return self.like(tuple(np.asarray(rearrange(part), dtype=np.uint64) for part in self.parts))

    def broadcast_to(self, shape: Shape) -> Self:
        """The elements repeated to a larger shape by numpy's rules."""
        return self.like(tuple(np.broadcast_to(part, shape) for part in self.parts))


class Shared(_Handle):
    """An additively shared array over Z_2^64, of any shape."""

    __slots__ = ()

    def like(self, parts: tuple[Words, ...]) -> Self:
        """The same kind on other components."""
        return type(self)(parts)

    def __repr__(self) -> str:
        return f"Shared(shape={self.shape})"


class SharedBits(_Handle):
    """An XOR-shared array of words of `width` bits, 1 to 64; the width 1 makes single bits."""

    __slots__ = ("width",)

    def __init__(self, parts: tuple[Words, ...], width: int) -> None:
        super().__init__(parts)
        if not 1 <= width <= 64:
            raise BadInput(f"A word has 1 to 64 bits, not {width}.", "Split the key into words of at most 64 bits.")
        self.width = width

    def like(self, parts: tuple[Words, ...]) -> Self:
        """The same kind on other components."""
        return type(self)(parts, self.width)

    def __repr__(self) -> str:
        return f"SharedBits(shape={self.shape}, width={self.width})"


class Permutation:
    """A shared permutation: row i goes to a hidden destination.

    A machine may hold it otherwise, in a class of its own.
    """

    __slots__ = ("destinations",)

    def __init__(self, destinations: Shared) -> None:
        self.destinations = destinations  # for machines only

    @property
    def rows(self) -> int:
        return len(self.destinations)

    def __repr__(self) -> str:
        return f"Permutation(rows={self.rows})"


Column = Shared | SharedBits
C = TypeVar("C", Shared, SharedBits)


def encode(values: NDArray[Any]) -> Words:
    """Reals as fixed point, rounded to nearest; RangeError when one is not finite or reaches 2**41."""
    reals = np.asarray(values, dtype=np.float64)
    if not bool(np.all(np.isfinite(reals))) or bool(np.any(np.abs(reals) >= REAL_LIMIT)):
        raise RangeError(
            f"A real does not fit the fixed-point range: it must be finite and below 2^{REAL_LIMIT.bit_length() - 1}.",
            "Rescale the column.",
        )
    return np.rint(reals * float(1 << FRACTION_BITS)).astype(np.int64).view(np.uint64)


def decode(words: Words) -> Reals:
    """Fixed point as reals."""
    return words.view(np.int64).astype(np.float64) / float(1 << FRACTION_BITS)


def ring(values: Any) -> Words:
    """Public integers as ring elements; BadInput for anything that is no integer."""
    if isinstance(values, int):
        return np.asarray(values % (1 << 64), dtype=np.uint64)
    array = np.asarray(values)
    if array.dtype.kind == "b":
        return array.astype(np.uint64)
    if array.dtype.kind not in "iu":
        raise BadInput(f"Ring elements are integers, not {array.dtype}.", "Encode reals with input_real.")
    if array.dtype.kind == "i":
        return array.astype(np.int64).view(np.uint64)
    return array.astype(np.uint64)


class Machine(Protocol):
    """One party's view of a protocol for shared computation; every party calls the same methods in the same order.

    Arrays broadcast as in numpy. Local operations cost nothing; costs of the others stand in the DECLARATION of the
    protocol. Nothing but `reveal*` discloses a value; shapes and widths are public.
    """

    @property
    def party(self) -> int:
        """This party's index."""

    @property
    def steers(self) -> bool:
        """Whether a bit times a word costs much less than a product of words; see share/steering.py."""

    @property
    def parties(self) -> int:
        """How many parties compute."""

    def owns(self, owner: int) -> bool:
        """Whether this machine must be given the values that `owner` inputs."""

    # Input and output

    def input(self, owner: int, values: Integers | None, shape: Shape) -> Shared:
        """Share an owner's integers.  values: at the owner, of exactly `shape`; None at the others."""

    def input_bits(self, owner: int, words: Integers | None, shape: Shape, width: int) -> SharedBits:
        """Share an owner's words of `width` bits; BadInput when a word has more."""

    def input_real(self, owner: int, values: NDArray[Any] | None, shape: Shape) -> Shared:
        """Share an owner's reals as fixed point; RangeError when one reaches 2**41."""

    def constant(self, values: Public) -> Shared:
        """Public integers as a handle."""

    def constant_bits(self, words: Public, width: int) -> SharedBits:
        """Public words as a handle."""

    def constant_real(self, values: NDArray[Any] | float) -> Shared:
        """Public reals as a fixed-point handle."""

    def reveal(self, x: Shared, to: int | None = None) -> NDArray[np.int64] | None:
        """Open integers to one party, or to all (None); None where not received.  Discloses: the values."""

    def reveal_bits(self, x: SharedBits, to: int | None = None) -> Words | None:
        """Open words to one party or to all."""

    def reveal_real(self, x: Shared, to: int | None = None) -> Reals | None:
        """Open fixed point as reals to one party or to all."""

    # Local, free

    def add(self, x: Shared, y: Shared | Public) -> Shared:
        """x + y; y may be public integers."""

    def subtract(self, x: Shared, y: Shared | Public) -> Shared:
        """x - y; y may be public integers."""

    def negate(self, x: Shared) -> Shared:
        """-x."""

    def scale(self, x: Shared, factor: Public) -> Shared:
        """x times public integers."""

    def sum(self, x: Shared, axis: int | None = None) -> Shared:
        """Sum over an axis, or over all (shape ())."""

    def cumsum(self, x: Shared, axis: int = 0) -> Shared:
        """Running sums along an axis."""

    def concat(self, arrays: Sequence[C], axis: int = 0) -> C:
        """Join along an existing axis; words must have one width."""

    def stack(self, arrays: Sequence[C], axis: int = 0) -> C:
        """Join along a new axis."""

    def matmul_public(self, x: Shared, y: Integers) -> Shared:
        """x @ y for public integers y; matrices or stacks of them."""

    def logical_xor(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """Bitwise exclusive or of words of one width."""

    def logical_not(self, x: SharedBits) -> SharedBits:
        """Bitwise complement within the width."""

    def parity(self, x: Shared) -> SharedBits:
        """The lowest bit of integers; turns a shared 0 or 1 into a bit for free."""

    def bit(self, x: SharedBits, position: int) -> SharedBits:
        """One bit of words, 0 the least significant."""

    def planes(self, x: SharedBits) -> SharedBits:
        """Words turned into rows of bits: row i has bit i of all words, 64 to a word; shape (width, ceil(size / 64)).

        Bitwise operations on planes work on 64 elements at once; what stands beyond the last one is of no use.
        """

    def from_planes(self, x: SharedBits, shape: Shape) -> SharedBits:
        """Rows of planes as single bits of shape (rows, *shape): the inverse of `planes` bit by bit."""

    # Arithmetic

    def multiply(self, x: Shared, y: Shared) -> Shared:
        """x * y in the ring."""

    def multiply_real(self, x: Shared, y: Shared) -> Shared:
        """Fixed-point product, truncated: low by less than two units in the last place; |x * y| < 2**62 unscaled."""

    def scale_real(self, x: Shared, factor: NDArray[Any] | float) -> Shared:
        """Fixed-point product with public reals, which are rounded to 20 fractional bits first; as multiply_real."""

    def matmul(self, x: Shared, y: Shared) -> Shared:
        """x @ y in the ring, for matrices or stacks of them as numpy's matmul; only the product is sent, once."""

    def matmul_real(self, x: Shared, y: Shared) -> Shared:
        """Fixed-point product of matrices, or stacks, with one truncation; entries of the unscaled product below 2**62.

        Low by less than two units in the last place, however many products an entry sums.
        """

    def truncate(self, x: Shared, bits: int) -> Shared:
        """floor(x / 2**bits) + e with e in {0, -1}, so low by less than two; bits 1 to 62, |x| < 2**62."""

    def reciprocal(self, x: Shared, fraction_bits: int = FRACTION_BITS) -> Shared:
        """1 / x for fixed point x in [1, 2**30]: relative error 2**-18 and one unit of 2**-fraction_bits (20 to 50)."""

    def divide(self, x: Shared, y: Shared) -> Shared:
        """x / y for fixed point |x| < 2**39, y in [1, 2**30]: relative error 2**-24 and 3 units in the last place."""

    def sigmoid(self, x: Shared) -> Shared:
        """1 / (1 + exp(-x)) for fixed point |x| < 2**40, absolute error below 5e-6."""

    # Bits

    def less_than(self, x: Shared, y: Shared | Public, bits: int = 64) -> SharedBits:
        """x < y as signed integers (or fixed point); |x|, |y| < 2**62.

        bits: a smaller number is cheaper and promises |x - y| < 2**(bits - 1); 2 to 64.
        """

    def equal(self, x: Shared, y: Shared | Public) -> SharedBits:
        """x == y, any ring elements."""

    def equal_words(self, pairs: Sequence[tuple[SharedBits, SharedBits]]) -> SharedBits:
        """Whether all pairs of words agree; the words of a pair have one width, all pairs one shape."""

    def logical_and(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """Bitwise and of words of one width."""

    def logical_or(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """Bitwise or of words of one width."""

    def select(self, bit: SharedBits | Shared, x: Shared, y: Shared) -> Shared:
        """x where the bit (or shared 0 or 1) is one, y where it is zero."""

    def to_bits(self, x: Shared, bits: int = 64, low: int = 0) -> SharedBits:
        """The lowest `bits` bits of integers without the `low` lowest of them, as words of width bits - low."""

    def to_shared(self, x: SharedBits) -> Shared:
        """Words as non-negative integers (as ring elements at width 64)."""

    def inject(self, x: SharedBits) -> Shared:
        """A bit (width 1) as 0 or 1."""

    def weigh(self, bits: SharedBits, weights: NDArray[np.int64]) -> Shared:
        """Sums of single bits over the first axis times public weights: (sums, *bits[0].shape).

        weights: (sums, len(bits)), modulo 2**64.  Costs less than an injection of each bit where the sums are fewer.
        """

    # Rows: the first axis is the row.  What comes from an iterator and is held by nobody else is freed when it is sent

    def shuffle(self, columns: Iterable[Column]) -> list[Column]:
        """The rows of all columns in one fresh random order that no party knows."""

    def sort(self, keys: Iterable[SharedBits]) -> Permutation:
        """The stable ascending order of unsigned key words, the most significant word first."""

    def apply(self, permutation: Permutation, columns: Iterable[Column]) -> list[Column]:
        """Bring row i of every column to its destination."""

    def unapply(self, permutation: Permutation, columns: Iterable[Column]) -> list[Column]:
        """Row i of the result is the row at i's destination: the inverse of `apply`."""

    def permutation(self, destinations: Shared) -> Permutation:
        """Trust shared integers to be a permutation of 0 .. n-1; opening them is safe only if they are."""

    # Lookups: keys that their owners know in the clear

    def slots(self, asked: int) -> int:
        """Rows that a lookup of so many keys gives; as many as keys only where slot i always is that of key i."""

    def look_up(self, sizes: Lookup, asked: Words | None, kept: Kept | None) -> Found:
        """Look the asker's keys up among the keeper's, with hidden hits.

        asked: at the asker, distinct keys of shape (asked, 2).  kept: at the keeper, its keys and rows.
        BadInput where a key repeats, and where one of the two does not compute.  Discloses: nothing beyond the sizes.
        """
