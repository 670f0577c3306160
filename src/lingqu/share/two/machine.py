"""Two: the Machine of two parties alone, semi-honest, without a dealer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu._core import cuckoo_bins
from lingqu.kinds.channel import Channel, Tag
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
from lingqu.share.outline import Outline
from lingqu.share.supplies import Preparation
from lingqu.share.tables import pack_columns, unpack_columns
from lingqu.share.two import arithmetic, circuits, lookup, ranking, rows
from lingqu.share.two.link import flat
from lingqu.share.two.needs import Need, Piece
from lingqu.share.two.session import Session, pair_key
from lingqu.share.two.source import Made
from lingqu.share.two.tally import TwoTally


def _integers(words: Words, shape: Shape) -> Shared:
    return Shared((words.reshape(shape),))


def _words(words: Words, shape: Shape, width: int) -> SharedBits:
    return SharedBits((words.reshape(shape),), width)


def _stack(words: Words, lead: Shape) -> list[Words]:
    """The matrices of a stack repeated to `lead`, each flat; one matrix where `lead` is empty."""
    full = np.broadcast_to(words, (*lead, *words.shape[-2:]))
    return [flat(full[index]) for index in np.ndindex(*lead)]


class Two(Local):
    """One party's machine of share.two; see Machine for every method, DECLARATION for costs."""

    steers = True

    def __init__(self, session: Session) -> None:
        self._session = session

    def __repr__(self) -> str:
        return f"Two(party={self.party})"

    @property
    def party(self) -> int:
        """This party's index, 0 or 1."""
        return self._session.party

    @property
    def parties(self) -> int:
        """Always 2."""
        return 2

    @property
    def preparation(self) -> Preparation:
        """What making correlations took so far; the rest of the channel's traffic is the operations' own."""
        return self._session.preparation

    @property
    def ahead(self) -> Preparation:
        """What making those correlations took, in earlier sessions, that were loaded so far."""
        return self._session.ahead

    def owns(self, owner: int) -> bool:
        """Only its own values."""
        return owner == self.party

    def prepare(self, work: Callable[[Outline], object]) -> None:
        """Make ahead the correlations that `work` takes, which is run on shapes without values.

        work: takes a Machine; its inputs are machine.input(owner, None, shape).  Both parties prepare the same.
        BadInput when the stock would pass 2 GiB.  Discloses: nothing.  Cost: see `correlations` in the DECLARATION.
        """
        tally = TwoTally()
        work(Outline(tally, 2))
        self.fill(tally.demand)

    def fill(self, demand: Mapping[Need, int]) -> None:
        """Make a demand ahead, beside what is there; both parties the same.  Errors and cost as `prepare`."""
        self._session.fill(demand)

    def name(self) -> bytes:
        """16 random bytes that both parties have alike; both call it alike."""
        return self._session.pair.words(2).tobytes()

    def give_up(self) -> dict[Need, list[Piece]]:
        """The correlations made ahead and not used, which this machine then has no longer; for `store`."""
        return self._session.stock.give_up()

    def take_up(self, load: Callable[[], tuple[Mapping[Need, list[Piece]], Preparation]]) -> None:
        """Correlations that both machines gave up together: loaded when needed, and used before any are made."""
        session = self._session

        def loaded() -> Mapping[Need, list[Piece]]:
            pieces, took = load()
            session.ahead.add(took)
            return pieces

        session.stock.take_up_later(loaded)

    # Input and output

    def _input(self, owner: int, own: Words | None, shape: Shape, tag: Tag, width: int) -> Words:
        """The other's share is drawn under the pair's key, so no message is sent."""
        if owner not in (0, 1):
            raise BadInput(f"Party {owner} computes nothing here.", "Name an owner among the parties 0 and 1.")
        drawn = self._session.pair.words(prod(shape)).reshape(shape)
        if width < 64:
            drawn &= np.uint64((1 << width) - 1)
        if own is None:
            return drawn
        return own ^ drawn if tag is Tag.BITS else own - drawn

    def input(self, owner: int, values: Integers | None, shape: Shape) -> Shared:
        """As Machine.input."""
        own = ring(checks.owned(values, shape)) if self.owns(owner) else None
        return Shared((self._input(owner, own, shape, Tag.ELEMENTS, 64),))

    def input_bits(self, owner: int, words: Integers | None, shape: Shape, width: int) -> SharedBits:
        """As Machine.input_bits."""
        own = checks.words(checks.owned(words, shape), width) if self.owns(owner) else None
        return SharedBits((self._input(owner, own, shape, Tag.BITS, width),), width)

    def input_real(self, owner: int, values: NDArray[Any] | None, shape: Shape) -> Shared:
        """As Machine.input_real."""
        own = encode(checks.owned(values, shape)) if self.owns(owner) else None
        return Shared((self._input(owner, own, shape, Tag.ELEMENTS, 64),))

    def _constant(self, words: Words) -> tuple[Words, ...]:
        return (words if self.party == 0 else np.zeros(words.shape, np.uint64),)

    def _open(self, words: Words, to: int | None, tag: Tag, width: int) -> Words | None:
        s, own = self._session, flat(words)
        if to not in (None, 0, 1):
            raise BadInput(f"Party {to} computes nothing here.", "Reveal to party 0, to party 1, or to both.")
        if to != s.party:
            s.send(own, tag, width)
        if to not in (None, s.party):
            return None
        theirs = s.receive(len(own), tag, width)
        return (own ^ theirs if tag is Tag.BITS else own + theirs).reshape(words.shape)

    def masked(self, words: Words) -> Words:
        """Words plus this party's part of a fresh sharing of zero, drawn under the pair's key: free."""
        mask = self._session.pair.words(len(words))
        return words + mask if self.party == 0 else words - mask

    def reveal(self, x: Shared, to: int | None = None) -> NDArray[np.int64] | None:
        """As Machine.reveal."""
        words = self._open(x.parts[0], to, Tag.ELEMENTS, 64)
        return None if words is None else words.view(np.int64)

    def reveal_bits(self, x: SharedBits, to: int | None = None) -> Words | None:
        """As Machine.reveal_bits."""
        return self._open(x.parts[0], to, Tag.BITS, x.width)

    def reveal_real(self, x: Shared, to: int | None = None) -> Reals | None:
        """As Machine.reveal_real."""
        words = self._open(x.parts[0], to, Tag.ELEMENTS, 64)
        return None if words is None else decode(words)

    # Arithmetic

    def matmul_public(self, x: Shared, y: Integers) -> Shared:
        """As Machine.matmul_public."""
        words = ring(y)
        lead, sizes = checks.stack_sizes(x.shape, words.shape)
        pairs = zip(_stack(x.parts[0], lead), _stack(words, lead), strict=True)
        found = [_core.matmul(a, b, sizes, False) for a, b in pairs]
        return _integers(np.concatenate([np.zeros(0, np.uint64), *found]), (*lead, sizes[0], sizes[2]))

    def multiply(self, x: Shared, y: Shared) -> Shared:
        """As Machine.multiply."""
        shape = np.broadcast_shapes(x.shape, y.shape)
        return _integers(arithmetic.multiply(self._session, flat(x.parts[0], shape), flat(y.parts[0], shape)), shape)

    def multiply_real(self, x: Shared, y: Shared) -> Shared:
        """As Machine.multiply_real."""
        return reals.multiply_real(self, x, y)

    def scale_real(self, x: Shared, factor: NDArray[Any] | float) -> Shared:
        """As Machine.scale_real."""
        return reals.scale_real(self, x, factor)

    def matmul(self, x: Shared, y: Shared) -> Shared:
        """As Machine.matmul."""
        lead, sizes = checks.stack_sizes(x.shape, y.shape)
        pairs = list(zip(_stack(x.parts[0], lead), _stack(y.parts[0], lead), strict=True))
        return _integers(arithmetic.matmul(self._session, pairs, sizes), (*lead, sizes[0], sizes[2]))

    def matmul_real(self, x: Shared, y: Shared) -> Shared:
        """As Machine.matmul_real."""
        return reals.matmul_real(self, x, y)

    def truncate(self, x: Shared, bits: int) -> Shared:
        """As Machine.truncate."""
        return _integers(arithmetic.truncate(self._session, flat(x.parts[0]), checks.shift(bits)), x.shape)

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

    def _bit(self, dense: Words, shape: Shape) -> SharedBits:
        return _words(_core.unpack(dense, prod(shape), 1), shape, 1)

    def less_than(self, x: Shared, y: Shared | Public, bits: int = 64) -> SharedBits:
        """As Machine.less_than."""
        difference = self.subtract(x, y)
        return self._bit(
            circuits.sign(self._session, flat(difference.parts[0]), checks.compare(bits)), difference.shape
        )

    def equal(self, x: Shared, y: Shared | Public) -> SharedBits:
        """As Machine.equal."""
        difference = self.subtract(x, y)
        return self._bit(circuits.is_zero(self._session, flat(difference.parts[0])), difference.shape)

    def equal_words(self, pairs: Sequence[tuple[SharedBits, SharedBits]]) -> SharedBits:
        """As Machine.equal_words."""
        checks.same_shapes(pairs)
        differences = [self.logical_xor(x, y) for x, y in pairs]
        planes = [circuits.planes_of(flat(d.parts[0]), d.width) for d in differences]
        return self._bit(circuits.all_same(self._session, np.concatenate(planes)), differences[0].shape)

    def logical_and(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_and."""
        checks.same_width([x, y])
        shape = np.broadcast_shapes(x.shape, y.shape)
        if (many := checks.beside(x.shape, y.shape)) > 1:
            one, all_of = (x, y) if y.shape == shape else (y, x)
            rows = all_of.parts[0].reshape(many, -1)
            found = circuits.conjunction_beside(self._session, flat(one.parts[0]), rows, x.width)
            return _words(found, shape, x.width)
        left, right = flat(x.parts[0], shape), flat(y.parts[0], shape)
        return _words(circuits.conjunction_words(self._session, left, right, x.width), shape, x.width)

    def logical_or(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_or: x ^ y ^ (x & y)."""
        return self.logical_xor(self.logical_xor(x, y), self.logical_and(x, y))

    def select(self, bit: SharedBits | Shared, x: Shared, y: Shared) -> Shared:
        """As Machine.select: y + bit (x - y)."""
        difference = self.subtract(x, y)
        if isinstance(bit, Shared):
            return self.add(y, self.multiply(bit, difference))
        shape = np.broadcast_shapes(checks.single(bit).shape, difference.shape)
        flags, words = flat(bit.parts[0], shape), flat(difference.parts[0], shape)
        return self.add(y, _integers(arithmetic.choose(self._session, flags, words), shape))

    def to_bits(self, x: Shared, bits: int = 64, low: int = 0) -> SharedBits:
        """As Machine.to_bits; the lowest bits are made and dropped."""
        width = checks.window(bits, low)
        words = circuits.to_bits(self._session, flat(x.parts[0]), bits)
        return _words(words >> np.uint64(low) if low else words, x.shape, width)

    def to_shared(self, x: SharedBits) -> Shared:
        """As Machine.to_shared."""
        return _integers(arithmetic.words_as_integers(self._session, flat(x.parts[0]), x.width), x.shape)

    def inject(self, x: SharedBits) -> Shared:
        """As Machine.inject."""
        return self.to_shared(checks.single(x))

    def weigh(self, bits: SharedBits, weights: NDArray[np.int64]) -> Shared:
        """As Machine.weigh."""
        shaped = checks.weights(bits, weights).reshape(*weights.shape, *(1,) * (bits.ndim - 1))
        flags = self.inject(bits)
        return self.stack([self.sum(self.scale(flags, row), 0) for row in shaped])

    # Rows

    def shuffle(self, columns: Iterable[Column]) -> list[Column]:
        """As Machine.shuffle."""
        every = list(columns)
        count = checks.row_count(every)
        return unpack_columns(every, rows.shuffle(self._session, count, pack_columns(every)))

    def sort(self, keys: Iterable[SharedBits]) -> Permutation:
        """As Machine.sort."""
        every = list(keys)
        count = checks.row_count(every)
        if count < 2:
            return Permutation(self.constant(np.arange(count)))
        words = [(flat(key.parts[0]), key.width) for key in reversed(every)]
        if not ranking.by_digits(sum(width for _, width in words)):
            return Permutation(_integers(ranking.sort(self._session, words), (count,)))
        bits = [(word, position) for word, width in words for position in range(width)]
        return Permutation(_integers(rows.sort(self._session, bits), (count,)))

    def apply(self, permutation: Permutation, columns: Iterable[Column]) -> list[Column]:
        """As Machine.apply."""
        every = list(columns)
        checks.same_rows(every, permutation.rows)
        destinations = flat(permutation.destinations.parts[0])
        return unpack_columns(every, rows.apply(self._session, destinations, pack_columns(every)))

    def unapply(self, permutation: Permutation, columns: Iterable[Column]) -> list[Column]:
        """As Machine.unapply."""
        every = list(columns)
        checks.same_rows(every, permutation.rows)
        destinations = flat(permutation.destinations.parts[0])
        return unpack_columns(every, rows.unapply(self._session, destinations, pack_columns(every)))

    def permutation(self, destinations: Shared) -> Permutation:
        """As Machine.permutation; what is no permutation ends the session when it is opened."""
        return Permutation(destinations)

    # Lookups

    def slots(self, asked: int) -> int:
        """As Machine.slots: the bins of a cuckoo table."""
        return cuckoo_bins(asked)

    def look_up(self, sizes: Lookup, asked: Words | None, kept: Kept | None) -> Found:
        """As Machine.look_up."""
        checks.two_of(sizes.asker, sizes.keeper, self.parties)
        slots = self.slots(sizes.asked)
        pieces, places = lookup.look_up(self._session, sizes, asked, kept)
        tests, table, dense = by_rows(sizes, slots, [(piece,) for piece in pieces])
        hit = self.equal_words([(test, self.constant_bits(np.zeros(slots, np.uint64), test.width)) for test in tests])
        met = self.inject(hit)
        if sizes.columns:
            table = self.select(hit.reshape(-1, 1), table, self.constant(np.zeros(table.shape, np.int64)))
        dense = None if dense is None else self.logical_and(dense, flags_of(hit, dense))
        return Found(met, table, dense, places)


def connect(channel: Channel) -> Two:
    """A machine over a channel of two parties: base transfers in both directions and the pair's key.

    Cost: DECLARATION's "connect".  Discloses: nothing.  BadInput for another number of parties.
    """
    source = Made(channel)
    return Two(Session(channel, pair_key(channel), source))
