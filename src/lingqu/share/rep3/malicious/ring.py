"""The proof that a party's messages in products over Z_2^64 are right, for all products since the last check.

Every party proves its own products and verifies those of both others. Operands are kept by reference until the check,
so nobody may change them before.

1. A coin that is tossed when all messages have arrived picks 48 random subsets of all results (and, for matrices,
   of rows and columns first, and of these 116 pairs of combinations). A result that is wrong modulo 2^64 makes a
   subset's sum wrong with probability 1/2.
2. Over the integers a subset's sum of products is C + 2^64 Q, C the sum of the results' summands at the verifiers.
   The prover shares the 48 integers Q between the verifiers, in at most 162 bits.
3. A new coin picks a prime p between 2^50 and 2^51 and numbers b_j modulo p. A wrong sum differs by less than 2^227
   whatever Q is, so at most four of more than 2^44.8 primes hide it. With weights b_j the sums are one inner product.
4. ring_argument proves it.

Soundness: a wrong result passes with probability at most 2^-46 (subsets, pairs) + 2^-42.8 (prime) + 2^-50 (b_j)
+ d 2^-50 (folds), d their coefficients: 282 for a million products, below 2^-41 in all; each further factor of 64 in
length adds 126 to d, so 2^-40 holds for the 2^32 factors that one check takes at most.
Source: after Boneh et al. (CRYPTO 2019) and Boyle, Gilboa, Ishai, Nof (CCS 2019, Asiacrypt 2020), with an integer
quotient and a random prime in place of their extension rings; docs/protocols/ring-proofs.md says why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from lingqu import _core
from lingqu._core import Prg
from lingqu.kinds.channel import Tag
from lingqu.kinds.errors import BadInput
from lingqu.share.api import Words
from lingqu.share.rep3.malicious.ring_argument import (
    DIGEST_BYTES,
    SEED_BYTES,
    Argument,
    Transcript,
    Vectors,
    elements,
    plan,
    violation,
)
from lingqu.share.rep3.malicious.ring_claims import (
    COMBINATIONS,
    PAIRS,
    Claim,
    Matrices,
    Moved,
    Order,
    Products,
    Reading,
    Role,
    Single,
)
from lingqu.share.rep3.session import Parts, Session

SHARE_BITS = 160
"""Of the first verifier's share of a quotient; quotients are below 2**106 in size, so it hides them up to 2**-54."""
SHARE_WORDS = 3
SHARE_LIMIT = 1 << (SHARE_BITS + 1)
MOST = 1 << 32
"""Factors of one check; the quotients' bound rests on it."""
CANDIDATES = 4096
"""Of which one is prime but with probability 2**-170."""


def joint_coin(session: Session) -> bytes:
    """32 random bytes that no party knows before both others have received all that was sent to them.

    Parties that are told different coins notice at the next check.  Cost: 1 round, 96 bytes.
    """
    s = session
    ahead, behind = s.draw(s.party, 4).tobytes(), s.draw(s.party + 1, 4).tobytes()
    half = SEED_BYTES
    s.channel.send(s.after, ahead[:half], Tag.SEED)
    s.channel.send(s.before, behind[half:], Tag.SEED)
    missing = bytes(s.channel.receive(s.before, half, Tag.SEED)) + bytes(s.channel.receive(s.after, half, Tag.SEED))
    seeds = {s.party: ahead, s.after: behind, s.before: missing}
    return hashlib.sha256(seeds[0] + seeds[1] + seeds[2]).digest()


class Waves(Protocol):
    """What counts messages; rep3.tally.Tally does."""

    def wave(self, *messages: tuple[int, int, int]) -> None:
        """Messages (sender, receiver, bytes) that are all sent before any is received."""


def count_check(tally: Waves, lengths: Sequence[Sequence[int]]) -> None:
    """Count the messages of a check; lengths: pairs of factors of each party's claims."""
    if not any(map(len, lengths)):
        return
    factors = plan(lengths)
    sizes = [8 * COMBINATIONS * SHARE_WORDS, *(8 * (2 * factor - 2) for factor in factors[:-1]), 16 * factors[-1]]
    for size in sizes:
        tally.wave(*((party, party + 1, size) for party in range(3)))
        tally.wave(*((party, party - 1, SEED_BYTES) for party in range(3)))
    for size in (DIGEST_BYTES, 24):
        tally.wave(*((party, party + step, size) for party in range(3) for step in (1, -1)))


def product_lengths(products: int) -> tuple[int, ...]:
    """For count_check: the factors of products, dot products counted term by term."""
    return (products,) if products else ()


def matmul_lengths(sizes: tuple[int, int, int]) -> tuple[int, ...]:
    """For count_check: the factors that a matrix product of sizes (rows, inner, columns) leaves."""
    rows, inner, columns = sizes
    pairs = min(min(columns, COMBINATIONS) * min(rows, COMBINATIONS), PAIRS)
    return product_lengths(pairs * inner) if pairs else ()


class RingProofs:
    """The products of one party that wait for their proof.

    session: with keys that all parties draw from in the same order.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._claims: list[Claim | Matrices] = []
        self._pending = 0
        self._scattered: dict[tuple[int, int], Words] = {}

    def __repr__(self) -> str:
        return f"RingProofs(party={self._session.party}, pending={self._pending})"

    @property
    def pending(self) -> int:
        """Words kept for the next check; the caller flushes when they are many."""
        return self._pending

    def product(self, x: Parts, y: Parts, received: Words, masks: Parts) -> None:
        """Products z = x * y, flat and of one length.

        received: component i + 1 of z, as it came.  masks: what this party drew under k_i (added) and k_{i+1}
        (subtracted) in its message.  The component that this party sent is not needed.
        """
        self.dot(x, y, received, masks)

    def dot(self, x: Parts, y: Parts, received: Words, masks: Parts, strided: bool = False) -> None:
        """Sums of equally many products, one result and one mask for each sum.

        strided: of m results, result t sums the products t, t + m, ... (a first axis); else they lie together (a last).
        """
        outputs, count = len(received), len(x[0])
        _require({len(part) for part in (*x, *y)} == {count}, "The factors of products differ in length.")
        _require(len(masks[0]) == len(masks[1]) == outputs, "Every result has two masks.")
        _require(count == 0 if not outputs else count % outputs == 0, "Products do not divide among the results.")
        self._add(Products(x, y, received, masks, strided), 4 * count + 3 * outputs)

    def single(
        self,
        prover: int,
        left: Sequence[Reading] | None,
        right: Sequence[Reading] | None,
        summand: Words,
        kept: int = 2,
    ) -> None:
        """One prover's claim that sums of products are known + known'; terms stand one vector after the other.

        left: known to the prover and to the first verifier, the party before it; right: to the prover and the second.
        summand: at a verifier its own summand; at the prover that of the second.  kept: words of a pair of factors that
        are kept for this claim alone, at any party.
        """
        prover, outputs = prover % 3, len(summand)
        role = Role((prover - self._session.party) % 3)
        _require((left is None) is (role is Role.SECOND) and (right is None) is (role is Role.FIRST), "Another role.")
        claim = Single(prover, left, right, summand)
        divides = all(length % max(outputs, 1) == 0 for length in claim.lengths())
        _require(divides, "Products do not divide among the results.")
        if left is not None and right is not None:
            alike = [len(words) for words, _ in left] == [len(words) for words, _ in right]
            _require(alike, "The factors of products differ in length.")
        self._add(claim, kept * sum(claim.lengths()) + outputs)

    def matmul(
        self, x: Parts, y: Parts, received: Words, masks: Parts, sizes: tuple[int, int, int], turned: bool = False
    ) -> None:
        """A matrix product, flat in row order, for sizes (rows, inner, columns).  turned: x lies by columns.

        The check costs about 48 additions for each entry of x, y and z and 116 products for each of `inner`, not
        rows * inner * columns products.
        """
        rows, inner, columns = sizes
        _require({len(part) for part in x} == {rows * inner}, "The left matrix does not have these sizes.")
        _require({len(part) for part in y} == {inner * columns}, "The right matrix does not have these sizes.")
        _require(
            {len(part) for part in (received, *masks)} == {rows * columns}, "The product does not have these sizes."
        )
        words = 2 * (len(x[0]) + len(y[0])) + 3 * len(received)
        self._add(Matrices(x, y, received, masks, sizes, turned), words)

    def moved(
        self,
        prover: int,
        order_at: int,
        sizes: tuple[int, int],
        order: Order | None,
        words: Words | None,
        summand: Words,
        other: Words | None = None,
    ) -> None:
        """One prover's claim that words[order[t], c] = known + known' for every row t and column c.

        prover, order_at: the party that claims it, and the other one that knows the order, a permutation of rows; the
        third knows the words.  sizes: (rows, columns).  summand: at a verifier its own summand; at the prover that of
        the verifier after it.  other: at the prover the first's.  order, words: None where not known.
        """
        rows, columns = sizes
        prover, order_at, party = prover % 3, order_at % 3, self._session.party
        _require(prover != order_at, "The prover and the verifier that knows the order are two parties.")
        knows = (party in (prover, order_at), party != order_at)
        _require((order is not None) is knows[0] and (words is not None) is knows[1], "Operands of another role.")
        _require(order is None or len(order) == rows, "An order of another length.")
        count = rows * columns
        _require(len(summand) == count and (words is None or len(words) == count), "A table of another size.")
        role = Role.SECOND if order_at == (prover + 1) % 3 else Role.FIRST
        _require((other is None) is (party != prover), "The prover alone knows both summands.")
        self._add(Moved(prover, role, rows, columns, order, words, summand, other, self._scattered), 3 * count)

    def _add(self, claim: Claim | Matrices, words: int) -> None:
        if claim.outputs:
            self._claims.append(claim)
            self._pending += words

    def _lengths(self) -> list[list[int]]:
        """The factors' lengths of each prover's claims."""
        lengths: list[list[int]] = [[], [], []]
        for claim in self._claims:
            if isinstance(claim, Matrices):
                for row in lengths:
                    row.extend(matmul_lengths(claim.sizes))
            else:
                for prover in range(3):
                    lengths[prover].extend(claim.lengths() if claim.by(prover) else ())
        return lengths

    def count(self, tally: Waves) -> None:
        """Count the messages of a check of all that is pending."""
        count_check(tally, self._lengths())

    def check(self, coin: bytes) -> None:
        """Prove and verify all that is pending; ProtocolViolation when a proof fails, and the session is over then.

        coin: 16 bytes or more that no party knew before all messages of the pending products had arrived everywhere;
        see joint_coin.  Cost: see count; 12 rounds and 11 kB for a million products, nothing when none are pending.
        Discloses: nothing; what the verifiers open is uniform.
        """
        claims, lengths = self._claims, self._lengths()
        self._claims, self._pending = [], 0
        if not claims:
            return
        _require(len(coin) >= SEED_BYTES, "The coin of a proof has at least 16 bytes.")
        _require(sum(max(lengths, key=sum)) <= MOST, "A check takes at most 2^32 factors.")
        _Check(self._session, claims, coin).run(plan(lengths))
        self._scattered.clear()


def _require(holds: bool, cause: str) -> None:
    if not holds:
        raise BadInput(cause, "Record what the product was computed from.")


class _Check:
    """One check: the claims with matrices reduced, and the weight words of their outputs."""

    def __init__(self, session: Session, claims: Iterable[Claim | Matrices], coin: bytes) -> None:
        self._session = session
        self._transcript = Transcript(session, coin)
        public = self._transcript.stream()
        self._claims = [claim.reduced(public.words) if isinstance(claim, Matrices) else claim for claim in claims]
        self._shared: list[tuple[Words, frozenset[int], set[int]]] = []
        self._weights = [self._drawn(public, claim) for claim in self._claims]

    def _drawn(self, public: Prg, claim: Claim) -> Words:
        """The weights of a claim's outputs: claims of different provers need no weights of their own.

        They stand in different proofs, and within each of them all weights are independent.  Of moves those share that
        are under one order, so that the weights move once.
        """
        provers = {prover for prover in range(3) if claim.by(prover)}
        pair = frozenset({claim.prover, claim.order_at_party}) if isinstance(claim, Moved) else frozenset()
        for weights, kind, taken in self._shared:
            if len(weights) == claim.outputs and kind == pair and not provers & taken:
                taken.update(provers)
                return weights
        words = public.words(claim.outputs)
        if len(provers) == 1:
            self._shared.append((words, pair, provers))
        return words

    def run(self, factors: Sequence[int]) -> None:
        first, second = self._share_quotients()
        stream = self._transcript.toss()
        prime = _core.ring_prime(stream.words(CANDIDATES))
        challenges = elements(stream, COMBINATIONS, prime)
        vectors = self._vectors(prime, challenges)
        for claim, shares in (("first_claim", first), ("second_claim", second)):
            weighed = sum(challenge * share for challenge, share in zip(challenges, shares, strict=True))
            setattr(vectors, claim, (getattr(vectors, claim) + (weighed << 64)) % prime)
        Argument(self._session, self._transcript, prime, vectors).run(factors)

    def _quotients(self) -> list[int]:
        totals = [0] * COMBINATIONS
        for claim, weights in zip(self._claims, self._weights, strict=True):
            if claim.by(self._session.party):
                halves = claim.quotients(weights)
                lows, highs = halves[::2].tolist(), halves[1::2].view(np.int64).tolist()
                totals = [t + low + (high << 64) for t, low, high in zip(totals, lows, highs, strict=True)]
        return totals

    def _share_quotients(self) -> tuple[list[int], list[int]]:
        """Share the own quotients; the shares of the others' as first and as second verifier."""
        s = self._session
        own = [quotient - share for quotient, share in zip(self._quotients(), _masks(s.mine), strict=True)]
        size = 8 * SHARE_WORDS
        s.send(s.after, np.frombuffer(b"".join(q.to_bytes(size, "little", signed=True) for q in own), np.uint64))
        first = _masks(s.next)
        received = s.receive(s.before, COMBINATIONS * SHARE_WORDS).tobytes()
        second = [
            int.from_bytes(received[at : at + size], "little", signed=True) for at in range(0, len(received), size)
        ]
        if any(abs(share) >= SHARE_LIMIT for share in second):
            raise violation(s, s.before, "sent a share of a quotient that is too large")
        return first, second

    def _vectors(self, prime: int, challenges: list[int]) -> Vectors:
        """The factors modulo the prime, and the verifiers' summands of the claims without the quotients."""
        s = self._session
        row = np.array(challenges, np.uint64)
        vectors = Vectors(([], []), ([], []), ([], []), 0, 0)
        weighed: dict[int, Words] = {}
        for claim, words in zip(self._claims, self._weights, strict=True):
            if id(words) not in weighed:
                weighed[id(words)] = _core.ring_weigh(prime, words, row)
            weights = weighed[id(words)]
            for role, prover, (left, right) in (
                (Role.PROVER, s.party, vectors.own),
                (Role.FIRST, s.after, vectors.first),
                (Role.SECOND, s.before, vectors.second),
            ):
                if claim.by(prover):
                    left.extend(claim.left(role, weights))
                    right.extend(claim.right(role))
            if claim.by(s.after):
                vectors.first_claim += claim.known(Role.FIRST, prime, weights)
            if claim.by(s.before):
                vectors.second_claim += claim.known(Role.SECOND, prime, weights)
        return vectors


def _masks(stream: Prg) -> list[int]:
    """Uniform shares of SHARE_BITS bits."""
    raw, size = stream.words(SHARE_WORDS * COMBINATIONS).tobytes(), 8 * SHARE_WORDS
    shares = [int.from_bytes(raw[at : at + size], "little") for at in range(0, len(raw), size)]
    return [share & ((1 << SHARE_BITS) - 1) for share in shares]


__all__ = ["RingProofs", "count_check", "joint_coin", "matmul_lengths", "product_lengths"]
