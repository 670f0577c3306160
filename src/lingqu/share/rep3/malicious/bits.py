"""Proofs that every conjunction, carry and move of words of bits was computed as the protocol says.

What is to be proved is recorded while it is sent, and proved together.  In a check each party is the prover of its own
messages, first verifier of the next party's and second verifier of the previous one's, in the same rounds.

1. A joint coin gives the weights; nobody knows it before both others have received all that is recorded.
2. A round: P_i sends the second verifier the product's values, less the first's share, which is drawn under k_i.  The
   verifiers draw the round's point under k_{i+2}, the key that P_i lacks; the second tells P_i.
3. Before the last round P_i tells both verifiers which challenges it was given: who folds at another point than the
   verifiers would disclose the difference.  A random row joins each share, so what is left of them is random.
4. The first verifier sends the second what is left of its shares of u and v and of the claim; the second compares.

Soundness.  Wrong messages of a party pass a check with probability at most
(3 + 62 + 14 + 14 + 30 r + 32 + 1) / (2^64 - 2^8): 2 for the weights of words and 1 for those of moved tables,
2 (rows - 1) for each of the three rounds on words and of r further ones, 2 ROWS for the last, 1 for the factor of the
moved tables.  For up to 2^36 words r <= 8, and the probability is less than 2^-55.
Disclosure: none; every message is masked, and whether the comparison holds is certain for an honest prover.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from lingqu import _core
from lingqu.kinds.channel import Tag
from lingqu.share.api import Words
from lingqu.share.rep3.malicious.guard import refused
from lingqu.share.rep3.malicious.statement import (
    Moved,
    Part,
    Segment,
    challenge,
)
from lingqu.share.rep3.session import BINARY, Parts, Session

SEED_WORDS = 2
DIGEST_BYTES = 32


class _Streams:
    """Generators of one check under k_index: the prover's masks, the second verifier's random row, the challenges."""

    def __init__(self, session: Session, index: int) -> None:
        words = session.draw(index, 3 * SEED_WORDS).reshape(3, SEED_WORDS)
        self.masks, self.row, self.points = (_core.Prg(words[i].astype("<u8").tobytes()) for i in range(3))


class BitProofs:
    """What one party has to prove and to verify of words and moves of bits, since the last check."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._clear()

    def _clear(self) -> None:
        self._mine: list[Segment] = []
        self._first: list[Segment] = []
        self._second: list[Segment] = []
        self._moved: list[Moved] = []
        self.words = 0

    @property
    def pending(self) -> bool:
        """Whether there is anything to prove."""
        return bool(self.words or self._moved)

    def conjunction(self, x: Parts, y: Parts, known: Parts) -> None:
        """Record x & y, flat, claimed by all three parties; nobody may change the operands before the check.

        known: this party's summand as first verifier, which is the component received without what was drawn under its
        next key, and as second verifier, which is what it drew under its own key and the product of its own components.
        """
        self._mine.append(Segment(x, y, None))
        self._first.append(Segment(x[1:], y[1:], known[0]))
        self._second.append(Segment(x[:1], y[:1], known[1]))
        self.words += len(x[0])

    def claim(self, prover: int, segment: Segment) -> None:
        """Record what one prover alone claims, as this party knows it."""
        role = (prover - self._session.party) % 3
        (self._mine, self._first, self._second)[role].append(segment)
        self.words += len(segment)

    def moved(self, record: Moved) -> None:
        """Record a table that moved."""
        self._moved.append(record)

    def check(self, coin: bytes) -> None:
        """Prove and verify all that is recorded; ProtocolViolation when this party finds the previous one's false.

        coin: random, known to nobody before all that is recorded had arrived everywhere.
        Cost: see Tally.bits.  Discloses: nothing.
        """
        if self.pending:
            check = Check(self._session, (self._mine, self._first, self._second), self._moved)
            self._clear()
            check.run(coin)


class Check:
    """One check at one party, in its three parts."""

    def __init__(self, session: Session, words: Sequence[Sequence[Segment]], moved: list[Moved]) -> None:
        self.session = s = session
        self._mine, self._next = _Streams(s, s.party), _Streams(s, s.after)

        def of(prover: int) -> list[Moved]:
            return [one for one in moved if one.prover == prover]

        self.prover = Part(words[0], of(s.party), True)
        self.first = Part(words[1], of(s.after), False)
        self.second = Part(words[2], of(s.before), False)

    def run(self, coin: bytes) -> None:
        """All rounds in step; ProtocolViolation when the comparison fails."""
        parts = self.prover, self.first, self.second
        for part, prover in zip(parts, (self.session.party, self.session.after, self.session.before), strict=True):
            part.begin(sha256(b"lingqu bit proof %d" % prover + coin).digest())
        for number in range(max(len(part.rounds) for part in parts)):
            self._round(number)
        self._compare()

    def _send(self, to: int, words: Words) -> None:
        self.session.send(to, words, BINARY)

    def _receive(self, sender: int, count: int) -> Words:
        return self.session.receive(sender, count, BINARY)

    def values(self, number: int) -> Words:
        """What the prover says of the round's polynomial: its values at 1, 2, ..."""
        return self.prover.values(number)

    def _round(self, number: int) -> None:
        s = self.session
        if number < len(self.prover.rounds):
            last = number == len(self.prover.rounds) - 1
            if last:
                self.prover.hide(self._mine.masks.words(2) ^ self._next.row.words(2))
            values = self.values(number)
            self._send(s.after, values ^ self._mine.masks.words(len(values)))
        if number < len(self.first.rounds):
            self._first(number)
        if number < len(self.second.rounds):
            self._second(number)
        if number < len(self.prover.rounds) - 1:
            self.prover.fold(number, self._receive(s.after, 2))

    def _first(self, number: int) -> None:
        if number == len(self.first.rounds) - 1:
            self.first.hide(self._next.masks.words(2))
        rest = self._next.masks.words(2 * self.first.rounds[number] - 2)
        self._folded(self.first, number, rest, challenge(self._mine.points))

    def _second(self, number: int) -> None:
        last = number == len(self.second.rounds) - 1
        if last:
            self.second.hide(self._mine.row.words(2))
        rest = self._receive(self.session.before, 2 * self.second.rounds[number] - 2)
        challenges = challenge(self._next.points)
        if not last:
            self._send(self.session.before, challenges)
        self._folded(self.second, number, rest, challenges)

    def _folded(self, part: Part, number: int, rest: Words, challenges: Words) -> None:
        part.take(number, rest, int(challenges[0]))
        if number == len(part.rounds) - 1:
            part.finish(int(challenges[0]))
        else:
            part.fold(number, challenges)

    def _compare(self) -> None:
        s = self.session
        if self.prover.rounds:
            for to in (s.before, s.after):
                s.channel.send(to, self.prover.heard, Tag.SEED)
        for sender, part in ((s.after, self.first), (s.before, self.second)):
            if part.rounds and bytes(s.channel.receive(sender, DIGEST_BYTES, Tag.SEED)) != part.heard:
                raise refused()
        if self.first.rounds:
            self._send(s.before, np.append(self.first.last, np.uint64(self.first.share)))
        if self.second.rounds:
            self._compare_last(self._receive(s.after, 3))

    def _compare_last(self, theirs: Words) -> None:
        """What is left of the first verifier's shares and its share of the claim, against what is known here."""
        u, v = theirs[:2] ^ self.second.last
        if _core.gf_dot(np.array([u]), np.array([v])) != int(theirs[2]) ^ self.second.share:
            raise refused()
