"""An inner product proved to two verifiers that share both factors, in rounds of folding.

The prover knows u = u' + u'' and v = v' + v'', the first verifier u' and v', the second u'' and v''. Vectors are cut
into pieces u_0 .. u_{f-1} and v_0 .. v_{f-1}. The prover shares the coefficients of
h(X) = sum over a, b of <u_a, v_b> X^(f-1+a-b) between the verifiers, all but that of X^(f-1), which is the claim.
Then r is drawn, the new claim is h(r), and the new vectors are sum r^a u_a and sum r^(f-1-b) v_b, of which the
verifiers compute their shares. In the last round a piece more of one random number on each side, at r^f, the sum of
one under each of the prover's keys, hides the numbers that the verifiers open.
Source: after Boneh, Boyle, Corrigan-Gibbs, Gilboa, Ishai (CRYPTO 2019), section 5; Bootle et al. (Eurocrypt 2016).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lingqu import _core
from lingqu._core import Prg
from lingqu.kinds.channel import Tag
from lingqu.kinds.errors import ProtocolViolation
from lingqu.share.api import Words
from lingqu.share.rep3.malicious.ring_claims import Reading, Side, whole
from lingqu.share.rep3.session import Session

LANES = 8
FACTORS = (16, 32, 64)
"""Factors of the first folds; the last one is repeated."""
LAST = 64
"""Length from which one fold finishes."""
SEED_BYTES = 16
DIGEST_BYTES = 32


def elements(stream: Prg, count: int, prime: int) -> list[int]:
    """Numbers modulo the prime, 2**-76 from uniform."""
    words = stream.words(2 * count).tolist()
    return [(low + (high << 64)) % prime for low, high in zip(words[::2], words[1::2], strict=True)]


class Transcript:
    """The coins that all three parties toss in one order, each after the messages it binds, and their digest."""

    def __init__(self, session: Session, coin: bytes) -> None:
        self._session = session
        self._digest = hashlib.sha256(b"lingqu ring proof" + coin)

    @property
    def digest(self) -> bytes:
        """Of all coins so far."""
        return self._digest.digest()

    def stream(self) -> Prg:
        """Public random words, known to nobody before the last coin was tossed."""
        return Prg(self.digest[:SEED_BYTES])

    def toss(self) -> Prg:
        """Draw a seed under every key; the prover lacks one, and has it from the verifier it has sent its message to.

        Cost: 1 round, 48 bytes.
        """
        s = self._session
        mine, following = (s.draw(s.party + step, SEED_BYTES // 8).tobytes() for step in (0, 1))
        s.channel.send(s.before, following, Tag.SEED)
        missing = bytes(s.channel.receive(s.after, SEED_BYTES, Tag.SEED))
        seeds = {s.party: mine, s.after: following, s.before: missing}
        self._digest.update(seeds[0] + seeds[1] + seeds[2])
        return self.stream()

    def confirm(self) -> None:
        """See that all parties had the same coins, before anything is opened.  Cost: 1 round, 192 bytes."""
        s = self._session
        for peer in (s.before, s.after):
            s.channel.send(peer, self.digest, Tag.SEED)
        for peer in (s.before, s.after):
            if bytes(s.channel.receive(peer, DIGEST_BYTES, Tag.SEED)) != self.digest:
                raise violation(s, peer, "had other coins in the proof of products than this party")


def violation(session: Session, party: int, what: str) -> ProtocolViolation:
    """The error that ends a session, naming the party whose message shows it."""
    name = session.channel.parties[party]
    return ProtocolViolation(
        f"Party {name} {what}.", "End the session; see whose software or machine was altered.", party=name
    )


def padded(length: int, factor: int, lanes: int = LANES) -> int:
    """Length after a fold of full blocks."""
    return -(-length // (lanes * factor)) * lanes


def plan(lengths: Sequence[Sequence[int]]) -> list[int]:
    """Factors of all folds but the last, and the last one's, for the sides' lengths of each prover's claim."""
    if max(map(sum, lengths)) <= LAST:
        return [max(1, *map(sum, lengths))]
    sizes = [list(sides) for sides in lengths]
    factors: list[int] = []
    while max(map(sum, sizes)) > LAST:
        factors.append(FACTORS[min(len(factors), len(FACTORS) - 1)])
        sizes = [[sum(padded(side, factors[-1]) for side in sides)] for sides in sizes]
    return [*factors, max(map(sum, sizes))]


Pair = tuple[list[Side], list[Side]]


@dataclass
class Vectors:
    """A party's factors (u, v) in its own proof, its shares of those that it verifies, and of both claims."""

    own: Pair
    first: Pair
    second: Pair
    first_claim: int
    second_claim: int


class Argument:
    """The folds of the three proofs at one party: it proves one, and is first and second verifier of the others."""

    def __init__(self, session: Session, transcript: Transcript, prime: int, vectors: Vectors) -> None:
        self._session = session
        self._transcript = transcript
        self._prime = prime
        self._vectors = vectors

    def run(self, factors: Sequence[int]) -> None:
        """All folds, then the confirmation of coins, then the opening."""
        if len(factors) == 1:
            self._fold([1], [1], 1)
        for factor in factors[:-1]:
            self._round(factor)
        self._finish(factors[-1])

    def _round(self, factor: int) -> None:
        own = self._vectors.own
        left, right = ([(side.readings, side.weights, side.repeat) for side in sides] for sides in own)
        coefficients = _core.ring_products(self._prime, left, right, factor, LANES).tolist()
        shares = self._exchange(coefficients, factor)
        powers = self._next_claims(shares, factor)
        self._fold(powers[:factor], powers[factor - 1 :: -1], LANES)

    def _exchange(self, coefficients: list[int], factor: int) -> tuple[list[int], list[int]]:
        """Share the own coefficients, all but the claim; the shares of the others' as first and second verifier."""
        s, prime = self._session, self._prime
        del coefficients[factor - 1]
        count = len(coefficients)
        drawn = elements(s.mine, count, prime)
        sent = [(value - share) % prime for value, share in zip(coefficients, drawn, strict=True)]
        s.send(s.after, np.array(sent, np.uint64))
        first = elements(s.next, count, prime)
        return first, self._received(s.before, count)

    def _received(self, sender: int, count: int) -> list[int]:
        values: list[int] = self._session.receive(sender, count).tolist()
        if any(value >= self._prime for value in values):
            raise violation(self._session, sender, "sent a number that is not below the prime of the proof")
        return values

    def _next_claims(self, shares: tuple[list[int], list[int]], factor: int) -> list[int]:
        """Toss r, evaluate both shared polynomials there, and return all its powers that they need."""
        prime, v = self._prime, self._vectors
        r = 1 + elements(self._transcript.toss(), 1, prime - 1)[0]
        powers = [1]
        while len(powers) < len(shares[0]) + 1:
            powers.append(powers[-1] * r % prime)

        def evaluated(claim: int, others: list[int]) -> int:
            values = [*others[: factor - 1], claim, *others[factor - 1 :]]
            return sum(value * power for value, power in zip(values, powers, strict=True)) % prime

        v.first_claim, v.second_claim = evaluated(v.first_claim, shares[0]), evaluated(v.second_claim, shares[1])
        return powers

    def _fold(self, left_powers: list[int], right_powers: list[int], lanes: int) -> None:
        v = self._vectors
        rising, falling = (_Folding(self._prime, powers, lanes) for powers in (left_powers, right_powers))
        v.own, v.first, v.second = (
            (rising.folded(left), falling.folded(right)) for left, right in (v.own, v.first, v.second)
        )

    def _finish(self, factor: int) -> None:
        s, prime, v = self._session, self._prime, self._vectors
        own, first, second = ((_row(pair[0], factor), _row(pair[1], factor)) for pair in (v.own, v.first, v.second))
        hidden = _core.ring_products(prime, [([whole(own[0])], None, 1)], [([whole(own[1])], None, 1)], factor, 1)
        # under either key the prover's mask of its first or second verifier's shares, and one of the party's as such
        ahead, behind = elements(s.mine, 4, prime), elements(s.next, 4, prime)
        mine = [(one + other) % prime for one, other in zip(ahead[:2], behind[2:], strict=True)]
        values = _hide(hidden.tolist(), own, (mine[0], mine[1]), factor)
        shares = self._exchange([value % prime for value in values], factor)
        powers = self._next_claims(shares, factor)

        def left_over(pair: tuple[Words, Words], masks: list[int]) -> tuple[int, int]:
            rising, falling = powers[:factor], powers[factor - 1 :: -1]
            u, v = (
                _opened(row, weights, mask, powers[factor]) % prime
                for row, weights, mask in zip(pair, (rising, falling), masks, strict=True)
            )
            return u, v

        self._transcript.confirm()
        self._open(left_over(first, behind[:2]), left_over(second, ahead[2:]))

    def _open(self, first: tuple[int, int], second: tuple[int, int]) -> None:
        """Both verifiers of a proof open their numbers and their share of the claim to each other."""
        s, prime, v = self._session, self._prime, self._vectors
        s.send(s.before, np.array([*first, v.first_claim], np.uint64))
        s.send(s.after, np.array([*second, v.second_claim], np.uint64))
        for peer, own, claim in ((s.before, first, v.first_claim), (s.after, second, v.second_claim)):
            other_u, other_v, other_claim = self._received(peer, 3)
            prover = s.after if peer == s.before else s.before
            if ((own[0] + other_u) * (own[1] + other_v) - claim - other_claim) % prime:
                name = s.channel.parties[peer]
                raise violation(s, prover, f"fails the proof of its products, or {name} verified it wrongly")


class _Folding:
    """Folds of sides by the same powers; what several proofs read is folded once."""

    def __init__(self, prime: int, powers: list[int], lanes: int) -> None:
        self._prime = prime
        self._powers = np.array(powers, np.uint64)
        self._lanes = lanes
        self._found: dict[tuple[int, tuple[int, int] | None, int, int], Words] = {}

    def folded(self, sides: list[Side]) -> list[Side]:
        """The vector that is left."""
        parts = [self._side(side) for side in sides]
        words = parts[0] if len(parts) == 1 else np.concatenate([*parts, np.zeros(0, np.uint64)])
        return [Side(len(words), (whole(words),))]

    def _side(self, side: Side) -> Words:
        if not side.readings:
            return np.zeros(padded(side.length, len(self._powers), self._lanes), np.uint64)
        shares = [self._share(reading, side) for reading in side.readings]
        return shares[0] if len(shares) == 1 else _core.ring_sums(self._prime, shares[0], shares[1])

    def _share(self, reading: Reading, side: Side) -> Words:
        # by identity: the sides keep what they read as long as this lasts
        key = id(reading[0]), reading[1], id(side.weights), side.repeat
        if key not in self._found:
            one = [([reading], side.weights, side.repeat)]
            self._found[key] = _core.ring_fold(self._prime, one, self._powers, self._lanes)
        return self._found[key]


def _row(sides: list[Side], length: int) -> Words:
    """The one side left, filled up with zeros."""
    row = np.zeros(length, np.uint64)
    words, _ = sides[0].readings[0]
    row[: len(words)] = words
    return row


def _hide(inner: list[int], own: tuple[Words, Words], masks: tuple[int, int], factor: int) -> list[int]:
    """The coefficients with one random number more on each side, at the power `factor` of both."""
    values = [*inner, 0, 0]
    for place, (left, right) in enumerate(zip(own[0].tolist(), own[1].tolist(), strict=True)):
        values[factor + place] += left * masks[1]
        values[factor + factor - 1 - place] += right * masks[0]
    values[2 * factor] += masks[0] * masks[1]
    return values


def _opened(row: Words, powers: list[int], mask: int, power: int) -> int:
    """The last fold of a row, hidden."""
    total: int = sum(value * weight for value, weight in zip(row.tolist(), powers, strict=True))
    return total + mask * power
