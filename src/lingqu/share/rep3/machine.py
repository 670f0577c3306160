"""Rep3: the Machine of three parties with replicated shares, semi-honest, one corruption."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Channel
from lingqu.kinds.errors import BadInput
from lingqu.share import checks, curves, reals
from lingqu.share.api import (
    FRACTION_BITS,
    Column,
    Integers,
    Permutation,
    Public,
    Reals,
    Shape,
    Shared,
    SharedBits,
    Words,
    decode,
    encode,
    ring,
)
from lingqu.share.local import Local
from lingqu.share.lookups import Found, Kept, Lookup, by_rows, flags_of
from lingqu.share.rep3 import arithmetic, circuits, hops, lookup, ranking, rows, session
from lingqu.share.rep3.session import ADDITIVE, BINARY, Group, Parts, Session, flat, flat_pair
from lingqu.share.sparing import sparing
from lingqu.share.tables import Table, outlines_of, packed_columns, unpack_columns


def integers_of(parts: Parts, shape: Shape) -> Shared:
    """Flat components as integers of a shape."""
    return Shared((parts[0].reshape(shape), parts[1].reshape(shape)))


def words_of(parts: Parts, shape: Shape, width: int) -> SharedBits:
    """Flat components as words of a shape."""
    return SharedBits((parts[0].reshape(shape), parts[1].reshape(shape)), width)


def by_rows_or_columns(x: Shared) -> tuple[Parts, bool]:
    """A matrix flat as it lies in memory, and whether that is by columns: a transposed matrix is not copied."""
    turned = all(part.flags.f_contiguous and not part.flags.c_contiguous for part in x.parts)
    return flat_pair(x.transpose().parts if turned else x.parts), turned


def stack_of(x: Shared, lead: Shape) -> list[Shared]:
    """The matrices of a stack, repeated over the leading axes."""
    full = x.broadcast_to((*lead, *x.shape[-2:]))
    return [full[index] for index in np.ndindex(*lead)]


def _whole(products: list[Shared], lead: Shape, sizes: tuple[int, int, int]) -> Shared:
    """Products of matrices as a stack."""
    shape = (*lead, sizes[0], sizes[2])
    parts = (np.array([product.parts[i] for product in products], np.uint64).reshape(shape) for i in (0, 1))
    return Shared(tuple(parts))


class Ordered(Permutation):
    """What a sort by comparisons finds: columns follow it at the cost of a shuffle."""

    __slots__ = ("orders",)

    def __init__(self, orders: hops.Orders) -> None:
        self.orders = orders

    @property
    def rows(self) -> int:
        return self.orders.rows


class Rep3(Local):
    """One party's machine of share.rep3; see Machine for every method, DECLARATION for costs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._steps: rows.Steps = rows.PlainSteps(session)

    def __repr__(self) -> str:
        return f"Rep3(party={self.party})"

    @property
    def party(self) -> int:
        """This party's index, 0 to 2."""
        return self._session.party

    @property
    def parties(self) -> int:
        """Always 3."""
        return 3

    def owns(self, owner: int) -> bool:
        """Only its own values."""
        return owner == self.party

    # Input and output

    def _input(self, owner: int, words: Words | None, shape: Shape, group: Group, width: int) -> Parts:
        if owner not in (0, 1, 2):
            raise BadInput(f"Party {owner} computes nothing here.", "Name an owner among the parties 0 to 2.")
        own = flat(words) if words is not None and owner == self.party else None
        return self._session.give(owner, own, prod(shape), group, width)

    def input(self, owner: int, values: Integers | None, shape: Shape) -> Shared:
        """As Machine.input."""
        own = ring(checks.owned(values, shape)) if self.owns(owner) else None
        return integers_of(self._input(owner, own, shape, ADDITIVE, 64), shape)

    def input_bits(self, owner: int, words: Integers | None, shape: Shape, width: int) -> SharedBits:
        """As Machine.input_bits."""
        own = checks.words(checks.owned(words, shape), width) if self.owns(owner) else None
        return words_of(self._input(owner, own, shape, BINARY, width), shape, width)

    def input_real(self, owner: int, values: NDArray[Any] | None, shape: Shape) -> Shared:
        """As Machine.input_real."""
        own = encode(checks.owned(values, shape)) if self.owns(owner) else None
        return integers_of(self._input(owner, own, shape, ADDITIVE, 64), shape)

    def _constant(self, words: Words) -> Parts:
        """Component x_0 is the constant; the zeros take no memory."""
        zero = np.broadcast_to(np.uint64(0), words.shape)
        return (words if self.party == 0 else zero), (words if self.party == 2 else zero)

    def _open(self, x: Shared | SharedBits, to: int | None, group: Group, width: int) -> Words | None:
        """The one component a party lacks comes from the party before it.  Araki et al. (CCS 2016) section 3.1."""
        s, (first, second) = self._session, flat_pair(x.parts)
        if to not in (None, 0, 1, 2):
            raise BadInput(f"Party {to} computes nothing here.", "Reveal to one of the parties 0 to 2, or to all.")
        if to is None or to == s.after:
            s.send(s.after, first, group, width)
        if to is not None and to != s.party:
            return None
        missing = s.receive(s.before, len(first), group, width)
        return group.plus(group.plus(first, second), missing).reshape(x.shape)

    def reveal(self, x: Shared, to: int | None = None) -> NDArray[np.int64] | None:
        """As Machine.reveal."""
        words = self._open(x, to, ADDITIVE, 64)
        return None if words is None else words.view(np.int64)

    def reveal_bits(self, x: SharedBits, to: int | None = None) -> Words | None:
        """As Machine.reveal_bits."""
        return self._open(x, to, BINARY, x.width)

    def reveal_real(self, x: Shared, to: int | None = None) -> Reals | None:
        """As Machine.reveal_real."""
        words = self._open(x, to, ADDITIVE, 64)
        return None if words is None else decode(words)

    def zeroed(self, words: Words) -> Words:
        """Ring elements plus this party's part of a fresh sharing of zero, for those who open to outside parties."""
        return self._session.zeroed(words)

    def matmul_public(self, x: Shared, y: Integers) -> Shared:
        """As Machine.matmul_public."""
        words = ring(y)
        lead, sizes = checks.stack_sizes(x.shape, words.shape)
        if lead:
            stacks, factors = stack_of(x, lead), np.broadcast_to(words, (*lead, *words.shape[-2:]))
            pairs = zip(stacks, np.ndindex(*lead), strict=True)
            return _whole([self.matmul_public(a, factors[index]) for a, index in pairs], lead, sizes)
        parts, turned = by_rows_or_columns(x)
        first, second = (_core.matmul(part, flat(words), sizes, turned) for part in parts)
        return integers_of((first, second), (sizes[0], sizes[2]))

    def logical_not(self, x: SharedBits) -> SharedBits:
        """As Machine.logical_not."""
        mask = np.uint64((1 << x.width) - 1)
        return SharedBits(circuits.complement(self._session, (x.parts[0], x.parts[1]), mask), x.width)

    # Arithmetic

    def multiply(self, x: Shared, y: Shared) -> Shared:
        """As Machine.multiply."""
        shape = checks.common_shape(x, y)
        return integers_of(
            arithmetic.multiply(self._session, flat_pair(x.parts, shape), flat_pair(y.parts, shape)), shape
        )

    def multiply_real(self, x: Shared, y: Shared) -> Shared:
        """As Machine.multiply_real; truncated before it is reshared."""
        shape = checks.common_shape(x, y)
        left, right = flat_pair(x.parts, shape), flat_pair(y.parts, shape)
        return integers_of(arithmetic.multiply_truncate(self._session, left, right, FRACTION_BITS), shape)

    def scale_real(self, x: Shared, factor: NDArray[Any] | float) -> Shared:
        """As Machine.scale_real."""
        return reals.scale_real(self, x, factor)

    def matmul(self, x: Shared, y: Shared) -> Shared:
        """As Machine.matmul."""
        lead, sizes = checks.stack_sizes(x.shape, y.shape)
        pairs = [
            (*by_rows_or_columns(a), flat_pair(b.parts))
            for a, b in zip(stack_of(x, lead), stack_of(y, lead), strict=True)
        ]
        return integers_of(arithmetic.matmul(self._session, pairs, sizes), (*lead, sizes[0], sizes[2]))

    def matmul_real(self, x: Shared, y: Shared) -> Shared:
        """As Machine.matmul_real; truncated before it is reshared."""
        sizes = checks.matrix_sizes(x.shape, y.shape)
        parts, turned = by_rows_or_columns(x)
        product = arithmetic.matmul_truncate(self._session, parts, flat_pair(y.parts), sizes, turned, FRACTION_BITS)
        return integers_of(product, (sizes[0], sizes[2]))

    def truncate(self, x: Shared, bits: int) -> Shared:
        """As Machine.truncate."""
        return integers_of(arithmetic.truncate(self._session, flat_pair(x.parts), checks.shift(bits)), x.shape)

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

    def _bit(self, dense: Parts, shape: Shape) -> SharedBits:
        count = prod(shape)
        first, second = (_core.unpack(part, count, 1) for part in dense)
        return words_of((first, second), shape, 1)

    def less_than(self, x: Shared, y: Shared | Public, bits: int = 64) -> SharedBits:
        """As Machine.less_than."""
        difference = self.subtract(x, y)
        dense = circuits.sign(self._session, flat_pair(difference.parts), checks.compare(bits))
        return self._bit(dense, difference.shape)

    def equal(self, x: Shared, y: Shared | Public) -> SharedBits:
        """As Machine.equal."""
        difference = self.subtract(x, y)
        return self._bit(circuits.is_zero(self._session, flat_pair(difference.parts)), difference.shape)

    def equal_words(self, pairs: Sequence[tuple[SharedBits, SharedBits]]) -> SharedBits:
        """As Machine.equal_words."""
        checks.same_shapes(pairs)
        flattened = []
        for x, y in pairs:
            checks.same_width([x, y])
            flattened.append((flat_pair(x.parts), flat_pair(y.parts), x.width))
        return self._bit(circuits.equal_pairs(self._session, flattened), pairs[0][0].shape)

    def logical_and(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_and."""
        checks.same_width([x, y])
        shape = checks.common_shape(x, y)
        left, right = flat_pair(x.parts, shape), flat_pair(y.parts, shape)
        return words_of(circuits.conjunction_words(self._session, left, right, x.width), shape, x.width)

    def logical_or(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_or: x ^ y ^ (x & y)."""
        return self.logical_xor(self.logical_xor(x, y), self.logical_and(x, y))

    def select(self, bit: SharedBits | Shared, x: Shared, y: Shared) -> Shared:
        """As Machine.select: y + bit (x - y)."""
        difference = self.subtract(x, y)
        if isinstance(bit, Shared):
            return self.add(y, self.multiply(bit, difference))
        return self.add(y, self._steered(checks.single(bit), difference))

    def _steered(self, bit: SharedBits, x: Shared) -> Shared:
        """Bits times words, broadcast."""
        shape = np.broadcast_shapes(bit.shape, x.shape)
        # at least one axis: numbers of NumPy's, unlike arrays, warn where they wrap
        words = [np.atleast_1d(np.broadcast_to(part, shape)) for part in x.parts]
        bits = [np.atleast_1d(part) for part in bit.parts]
        return integers_of(arithmetic.steer(self._session, (bits[0], bits[1]), (words[0], words[1])), shape)

    def to_bits(self, x: Shared, bits: int = 64, low: int = 0) -> SharedBits:
        """As Machine.to_bits."""
        width = checks.window(bits, low)
        return words_of(circuits.to_bits(self._session, flat_pair(x.parts), bits, low), x.shape, width)

    def to_shared(self, x: SharedBits) -> Shared:
        """As Machine.to_shared."""
        return integers_of(arithmetic.words_as_integers(self._session, flat_pair(x.parts), x.width), x.shape)

    def inject(self, x: SharedBits) -> Shared:
        """As Machine.inject."""
        return self.to_shared(checks.single(x))

    def weigh(self, bits: SharedBits, weights: NDArray[np.int64]) -> Shared:
        """As Machine.weigh."""
        shape = len(checks.weights(bits, weights)), *bits.shape[1:]
        return integers_of(arithmetic.weigh(self._session, flat_pair(bits.parts), weights, prod(shape[1:])), shape)

    # Rows

    def shuffle(self, columns: Iterable[Column]) -> list[Column]:
        """As Machine.shuffle."""
        every = list(columns)
        count, outlines = checks.row_count(every), outlines_of(every)
        with sparing(count):
            return unpack_columns(outlines, rows.shuffle(self._steps, count, packed_columns(every)))

    def sort(self, keys: Iterable[SharedBits]) -> Permutation:
        """As Machine.sort."""
        every = list(keys)
        count = checks.row_count(every)
        words = [(flat_pair(key.parts), key.width) for key in reversed(every)]
        every.clear()
        if count < 2:
            return Permutation(self.constant(np.arange(count)))
        with sparing(count):
            if not ranking.by_digits(count, sum(width for _, width in words)):
                return Ordered(ranking.sort(self._steps, words))
            bits = [(parts, position) for parts, width in words for position in range(width)]
            words.clear()
            return Permutation(integers_of(rows.sort(self._steps, bits), (count,)))

    def apply(self, permutation: Permutation, columns: Iterable[Column]) -> list[Column]:
        """As Machine.apply."""
        return self.apply_first(permutation, columns, permutation.rows)

    def apply_first(self, permutation: Permutation, columns: Iterable[Column], count: int) -> list[Column]:
        """The first rows of what `apply` gives."""
        with sparing(permutation.rows):
            outlines, tables = self._tables(permutation, columns)
            if isinstance(permutation, Ordered):
                found = rows.follow(self._steps, permutation.orders, tables)
                found = found if count == permutation.rows else [rows.head(table, count) for table in found]
            else:
                found = rows.apply(self._steps, flat_pair(permutation.destinations.parts), tables, count)
            return unpack_columns([outline[:count] for outline in outlines], found)

    def unapply(self, permutation: Permutation, columns: Iterable[Column]) -> list[Column]:
        """As Machine.unapply."""
        with sparing(permutation.rows):
            outlines, tables = self._tables(permutation, columns)
            if isinstance(permutation, Ordered):
                found = rows.follow(self._steps, permutation.orders, tables, inverse=True)
            else:
                found = rows.unapply(self._steps, flat_pair(permutation.destinations.parts), tables)
            return unpack_columns(outlines, found)

    def _tables(self, permutation: Permutation, columns: Iterable[Column]) -> tuple[list[Column], Iterator[Table]]:
        """Outlines of the columns that a permutation moves, and their tables, one at a time."""
        every = list(columns)
        checks.same_rows(every, permutation.rows)
        return outlines_of(every), packed_columns(every)

    def permutation(self, destinations: Shared) -> Permutation:
        """As Machine.permutation; what is no permutation ends the session when it is opened."""
        return Permutation(destinations)

    # Lookups

    def slots(self, asked: int) -> int:
        """As Machine.slots: one a key, in the asker's order."""
        return asked

    def look_up(self, sizes: Lookup, asked: Words | None, kept: Kept | None) -> Found:
        """As Machine.look_up; the third party helps."""
        checks.two_of(sizes.asker, sizes.keeper, self.parties)
        pieces = lookup.look_up(self._session, sizes, asked, kept)
        tests, table, dense = by_rows(sizes, sizes.asked, pieces)
        differences = [(flat_pair(test.parts), test.width) for test in tests]
        hit = self._bit(circuits.equal_words(self._session, differences), (sizes.asked,))
        met = self.inject(hit)
        table = self.multiply(table, met.reshape(-1, 1)) if sizes.columns else table
        dense = None if dense is None else self.logical_and(dense, flags_of(hit, dense))
        return Found(met, table, dense, np.arange(sizes.asked) if self.owns(sizes.asker) else None)


def connect(channel: Channel) -> Rep3:
    """A machine over a channel of three parties, with fresh pairwise keys: 1 round, 48 bytes in all."""
    return Rep3(session.connect(channel))
