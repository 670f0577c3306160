"""A session whose messages are recorded, and proved before anything is opened.

Every message that carries shares is of one of four kinds.  A product is reshared: proved by `BitProofs` or
`RingProofs`.  A table moves under a permutation that two parties know: proved likewise.  An owner shares its values:
any message it could send is some value's.  A value is opened: one holder of the missing component sends it, the other
its digest, and both must agree.  Before an opening all proofs are made, and each party hears from both others that
theirs hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import LingquError, ProtocolViolation
from lingqu.share.api import Words
from lingqu.share.rep3 import session as unchecked
from lingqu.share.rep3.malicious.bits import BitProofs
from lingqu.share.rep3.malicious.guard import Guarded, refused
from lingqu.share.rep3.malicious.ring import RingProofs, joint_coin
from lingqu.share.rep3.malicious.ring_claims import Reading
from lingqu.share.rep3.malicious.statement import Segment
from lingqu.share.rep3.session import BINARY, Group, Parts, Session, Tables

STEP = 1 << 14
"""Comparisons that are worth the rounds of a proof and of opening them."""
PENDING_BIT_WORDS = 1 << 21
"""Words of conjunctions that may wait for their proof; each is kept six times, and needs as much again in a check."""
PENDING_RING_WORDS = 1 << 24
"""Ring elements, of operands and results, that may wait for their proof."""
DIGEST_BYTES = 32
HOLDS, FAILS = b"\x01", b"\x00"
Halves = tuple[Words | None, Words | None]
"""Two components, each None at the party that does not hold it: x_0 and x_1, unless said otherwise."""


def component(s: Session, x: Parts, index: int) -> Words | None:
    """Component x_index, where this party holds it."""
    return x[0] if s.party == index else x[1] if s.after == index else None


class Checked(Session):
    """A party's keys and channel, and what it has to prove and to verify."""

    def __init__(self, channel: Guarded, mine: _core.Prg, next_: _core.Prg) -> None:
        super().__init__(channel, mine, next_)
        self.guard = channel
        self.bits = BitProofs(self)
        self.rings = RingProofs(self)
        self._unsettled = False

    def __repr__(self) -> str:
        return f"Checked(party={self.party})"

    # Products

    def _masks(self, count: int) -> Parts:
        return self.draw(self.party, count), self.draw(self.party + 1, count)

    def _conjunctions(self, x: Parts, y: Parts, masked: tuple[Words, Words, Words]) -> Parts:
        """Reshare and record x & y with what is linear; masked: the own component and the summands of the claims."""
        own, first, second = masked
        z = self.reshare(own, BINARY)
        first ^= z[1]
        self.bits.conjunction(x, y, (first, second))
        self.recorded()
        return z

    def conjunction(self, x: Parts, y: Parts) -> Parts:
        """As Session.conjunction, recorded."""
        return self._conjunctions(x, y, _core.and_masked(x, y, self.mine, self.next))

    def choose(
        self, tables: Tables, length: int, choices: list[tuple[int, int, int]], unions: list[tuple[int, int]]
    ) -> Parts:
        """As Session.choose, recorded."""
        return self._conjunctions(*_core.choose_masked(tables, length, choices, unions, self.mine, self.next))

    def choose_pairs(
        self, table: Words, bits: int, left: NDArray[np.uint32], right: NDArray[np.uint32]
    ) -> tuple[Parts, Parts]:
        """As Session.choose_pairs, recorded."""
        length, pairs = -(-len(left) // 64), bits // 2
        planes = _core.pair_planes(table, bits, (left, right))
        value = range(bits, 2 * bits)
        choices = [(2 * i + 1, value[2 * i + 1], value[2 * i]) for i in range(pairs)]
        unions = [(2 * i + 1, 2 * i) for i in range(1, pairs)]
        found = self.choose(([planes[0]], [planes[1]]), length, choices, unions)
        highest = [np.ascontiguousarray(part.reshape(2, bits, length)[:, -1]).reshape(-1) for part in planes]
        return found, (highest[0], highest[1])

    def show_choices(
        self, tables: Tables, length: int, choices: list[tuple[int, int, int]], unions: list[tuple[int, int]]
    ) -> Words:
        """As Session.show_choices, opened once everything is proved."""
        words = self.open(self.choose(tables, length, choices, unions), None, BINARY, 64)
        assert words is not None
        return words

    # What party 0 knows of two components

    def carries(self, x: Halves, count: int) -> tuple[Halves, Halves]:
        """The carries out of every bit of x_0 + x_1, and the sum's bits, both as XOR shares of two.  1 round.

        x and the results: one half at parties 0 and 2, the other at parties 0 and 1, None elsewhere.
        With c_i the carry into bit i and c_0 = 0, what is proved is c_{i+1} ^ c_i = (x_{0,i} ^ c_i) & (x_{1,i} ^ c_i),
        which only the carries of the sum satisfy.  In the shares c' and c'' of c, with p = x_0 ^ c' and q = x_1 ^ c'',
        the right side is p q ^ c' c'' and what either verifier knows alone; p ^ q is the sum.
        """
        own, other = x
        mine = None if self.party == 1 else self.draw(0, count)
        theirs = self.receive(0, count, BINARY) if self.party == 1 else None
        if self.party == 0:
            assert own is not None
            assert other is not None
            assert mine is not None
            theirs = _core.carries(own, other, mine)
            self.send(1, theirs, BINARY)
        first = None if own is None or mine is None else _core.carry_part(own, mine)
        second = None if other is None or theirs is None else _core.carry_part(other, theirs)
        # (share of the sum, of the carries into each bit): the first verifier's of u and v, the second's of v and u
        shares = [part for part in (first, second and second[::-1]) if part]
        share = None if self.party == 0 else mine if self.party == 2 else theirs
        known = None if share is None else _core.carry_known(share)
        self.bits.claim(0, Segment(tuple(u for u, _ in shares), tuple(v for _, v in shares), known))
        self.recorded()
        return (mine, theirs), (first and first[0], second and second[0])

    def turned(self, more: int) -> Session:
        """Itself: claims are of fixed parties."""
        return self

    def summed(self, x: Parts, bits: int = 64) -> Parts:
        """As Session.summed, all 64 bits by the carries, recorded."""
        count = len(x[0])
        _, (own, other) = self.carries((component(self, x, 0), component(self, x, 1)), count)
        zero = np.zeros(count, np.uint64) if self.party else None
        first, second = ((own, other), (other, zero), (zero, own))[self.party]
        assert first is not None
        assert second is not None
        return first, second

    def share_dot(
        self,
        prover: int,
        left: Sequence[Reading] | None,
        right: Sequence[Reading] | None,
        count: int,
        width: int = 64,
        kept: int = 2,
    ) -> Halves:
        """Share what one party knows, sums of products of `left` and `right`, recorded: 1 round, `width` bits a result.

        left is known to the party before it besides, right to the one after.  Terms stand one vector of results after
        the other.  The results are multiples of 2**(64-width).  kept: words that are kept for a pair of factors alone.
        Returns components x_prover and x_{prover+1}, where they are held; the third is 0.
        """
        up = np.uint64(64 - width)
        if self.party == (prover + 1) % 3:
            known = self.receive(prover, count, width=width)
            if up:
                known = known << up
            self.rings.single(prover, None, right, known, kept)
            self.recorded()
            return None, known
        mask = self.draw(prover, count)
        if up:
            mask <<= up
        if self.party != prover % 3:
            self.rings.single(prover, left, None, mask, kept)
            self.recorded()
            return mask, None
        assert left is not None
        assert right is not None
        known = _core.dot_masked(left, right, mask)
        self.send(prover + 1, known >> up if up else known, width=width)
        self.rings.single(prover, left, right, known, kept)
        self.recorded()
        return mask, known

    def multiply(self, x: Parts, y: Parts) -> Parts:
        """x * y, flat, recorded: 1 round, 24 bytes an element, and its proof."""
        own, mine, following = _core.multiply_masked(x, y, self.mine, self.next)
        z = self.reshare(own)
        self.rings.product(x, y, z[1], (mine, following))
        self.recorded()
        return z

    def sum_of_products(self, x: Parts, y: Parts, terms: int) -> Parts:
        """The sum over the first of `terms` axes of x * y, flat, recorded: 1 round."""
        masks = self._masks(len(x[0]) // terms)
        products = x[0] * (y[0] + y[1]) + x[1] * y[0]
        z = self.reshare(np.add.reduce(products.reshape(terms, -1), axis=0) + masks[0] - masks[1])
        self.rings.dot(x, y, z[1], masks, strided=True)
        self.recorded()
        return z

    def matmul(self, pairs: Sequence[tuple[Parts, bool, Parts]], sizes: tuple[int, int, int]) -> Parts:
        """Products x @ y of a stack, flat; (x, whether x lies by columns, y) of each, all recorded: 1 round."""
        count = sizes[0] * sizes[2]
        masks = self._masks(count * len(pairs))
        own = [
            _core.matmul(x[0], y[0] + y[1], sizes, turned) + _core.matmul(x[1], y[0], sizes, turned)
            for x, turned, y in pairs
        ]
        z = self.reshare(np.concatenate([*own, np.zeros(0, np.uint64)]) + masks[0] - masks[1])
        for i, (x, turned, y) in enumerate(pairs):
            part = slice(i * count, (i + 1) * count)
            self.rings.matmul(x, y, z[1][part], (masks[0][part], masks[1][part]), sizes, turned)
        self.recorded()
        return z

    # Proofs and openings

    def recorded(self) -> None:
        """Prove at once what is too much to keep."""
        self._unsettled = True
        if self.bits.words >= PENDING_BIT_WORDS or self.rings.pending >= PENDING_RING_WORDS:
            self._prove()

    def _prove(self) -> None:
        try:
            if self.bits.pending or self.rings.pending:
                coin = joint_coin(self)
                self.bits.check(coin)
                self.rings.check(coin)
        except ProtocolViolation as error:
            raise self._ended(error) from None

    def _ended(self, error: ProtocolViolation) -> LingquError:
        """Tell both others, and close for good."""
        try:
            for peer in (self.before, self.after):
                self.guard.send(peer, FAILS, Tag.SEED)
        except LingquError as earlier:
            return self.guard.fail(earlier)
        return self.guard.fail(error)

    def settle(self) -> None:
        """Prove all that is recorded, and go on when both others say that what they verified holds."""
        if not self._unsettled:
            return
        self._prove()
        self._unsettled = False
        for peer in (self.before, self.after):
            self.guard.send(peer, HOLDS, Tag.SEED)
        for peer in (self.before, self.after):
            if bytes(self.guard.receive(peer, len(HOLDS), Tag.SEED)) != HOLDS:
                raise self.guard.fail(refused())

    def refuse(self, error: ProtocolViolation) -> LingquError:
        """As Session.refuse: the channel stays closed."""
        return self.guard.fail(error)

    def agree(self, peer: int, data: bytes | memoryview) -> None:
        """Compare what both received from a third: 1 round, a digest each way; the session ends where they differ."""
        mine = sha256(data).digest()
        self.guard.send(peer, mine, Tag.SEED)
        if bytes(self.guard.receive(peer, DIGEST_BYTES, Tag.SEED)) != mine:
            raise self._ended(refused())

    def open(self, parts: Parts, to: int | None, group: Group, width: int) -> Words | None:
        """Open to one party or to all, once everything before it is proved.

        P_{j-1} sends P_j the component that it lacks, P_{j+1} its digest.  None where not received.
        Cost: 1 round, for a recipient the size of the values and 32 bytes; the proofs.
        """
        self.settle()
        first, second = parts
        if to in (None, self.after):
            self.send(self.after, first, group, width)
        if to in (None, self.before):
            self.guard.send(self.before, _digest(second, width), Tag.SEED)
        if to not in (None, self.party):
            return None
        missing = self.receive(self.before, len(first), group, width)
        if bytes(self.guard.receive(self.after, DIGEST_BYTES, Tag.SEED)) != _digest(missing, width):
            raise self._ended(refused())
        return group.plus(group.plus(first, second), missing)


def _digest(words: Words, width: int) -> bytes:
    packed = words if width == 64 else _core.pack(words, width)
    return sha256(np.ascontiguousarray(packed, dtype="<u8").tobytes()).digest()


def connect(channel: Channel) -> Checked:
    """Agree on fresh pairwise keys: 1 round, 48 bytes in all."""
    guard = Guarded(channel)
    keys = unchecked.connect(guard)
    return Checked(guard, keys.mine, keys.next)
