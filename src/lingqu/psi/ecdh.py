"""psi.ecdh: intersection by Diffie-Hellman on a group; least traffic, two or three exponentiations an element.

For the elements: an oblivious function F(x) = tag of k H(x).  The holder's key k is fresh; the asker hides H(x) behind
r G with a fresh r, has k (H(x) + r G) answered, and takes r (k G) away, so that it computes multiples of two known
points only.  The holder sends F of its own elements in an order of its choice; the asker compares.  The asker is who
learns; where both do it is who has fewer elements, and it then marks the holder's tags that it has, too.
Source: Jarecki, Liu (SCN 2010) for the intersection; Jarecki, Krawczyk, Xu (PKC 2021) for the blinding, with k G in the
last hash.
For the size alone: every element becomes a H(x) under its owner's fresh secret a, the peer raises it to a b H(x), and
gives these back as tags, shuffled.
Source: Meadows (S&P 1986); De Cristofaro, Gasti, Tsudik (CANS 2012).
Adversary: semi-honest, one of two.  Assumption: decisional Diffie-Hellman on the group, the hashes random oracles.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import ProtocolViolation
from lingqu.psi.agreement import Agreement, Result, Terms, agree, random_order, tag_bytes
from lingqu.psi.elements import Elements
from lingqu.psi.groups import GROUPS, NAME, P256, POINT, SM2, Bytes, in_order
from lingqu.psi.heard import Heard

__all__ = ["CHUNK", "GROUPS", "NAME", "P256", "POINT", "SM2", "asker", "exchange"]

CHUNK = 1 << 10
"""Elements a message, and a call of a kernel: the peer works on one while the next is made."""


def asker(recipients: tuple[int, ...], sizes: tuple[int, int]) -> int:
    """The party that asks the other for its function: a recipient, of two the one with fewer elements."""
    return min(recipients, key=lambda party: (sizes[party], party))


def exchange(channel: Channel, own: Elements, terms: Terms) -> Heard | None:
    """All messages of an intersection with the peer's set; both call it with the same terms.

    What a recipient is left with is compared afterwards, so that the peer sees nothing that waits for it; None at a
    party that learns nothing.  Where both learn the elements, the asker has compared before it sends its marks.
    Cost: 3 rounds, 4 where both learn the elements.  64 bytes of each side.  For the elements a point, two an element
    of the asker and a tag an element of the holder (see `asker` and `tag_bytes`), and a bit for each of these where
    both learn.  For the size a point an element of either, and a tag an element of every recipient.
    Work: for the elements one exponentiation an element of each side, all at the holder, and at the asker two
    multiples of known points an element, an eighth of one each.  For the size two exponentiations an element of each
    side, at each party one.  On as many threads as there are processors, `MOST_THREADS` at most.
    Memory: the sets, and 96 bytes an element of the asker, or 32 an element of both.
    Discloses: both sizes to both; to recipients the size, or their elements that the peer has too.
    """
    agreement = agree(channel, terms, len(own))
    if terms.result is Result.SIZE:
        return _Counting(channel, own, agreement).run()
    if channel.party == asker(terms.recipients, agreement.sizes):
        return _Asking(channel, own, agreement).run()
    return _Holding(channel, own, agreement).run()


class _Session:
    """What every run has: the group, the peer, and this party's own order."""

    def __init__(self, channel: Channel, own: Elements, agreement: Agreement) -> None:
        self.channel = channel
        self.peer = 1 - channel.party
        self.own = own
        self.agreement = agreement
        self.group = GROUPS[agreement.terms.protocol]
        self.domain = self.group.domain + agreement.salt
        self.order = random_order(len(own))
        self.width = tag_bytes(agreement.sizes)

    @property
    def learns(self) -> bool:
        return self.channel.party in self.agreement.terms.recipients

    @property
    def peer_learns(self) -> bool:
        return self.peer in self.agreement.terms.recipients

    def taken(self) -> Iterator[tuple[Bytes, NDArray[np.int64]]]:
        """Data and offsets of the own elements, message by message."""
        for start in range(0, len(self.own), CHUNK):
            yield self.own.take(self.order[start : start + CHUNK])

    def send(self, part: Bytes) -> None:
        self.channel.send(self.peer, part.reshape(-1).data.cast("B"))

    def received(self, count: int, width: int) -> Iterator[Bytes]:
        """So many rows of the peer's, message by message."""
        for start in range(0, count, CHUNK):
            size = width * min(CHUNK, count - start)
            yield np.frombuffer(self.channel.receive(self.peer, size), np.uint8)

    def checked(self, work: Callable[[Bytes], Bytes], number: int, points: Bytes) -> Bytes:
        """What the kernel makes of the peer's points; whatever is no point ends the session."""
        try:
            return work(points)
        except ValueError as error:
            raise ProtocolViolation(
                f"{self._name} sent what is no group element, in chunk {number}: {error}.", "Check its software."
            ) from None

    def distinct(self, points: list[Bytes]) -> None:
        """End the session when a point came twice: honest ones differ, as elements, blinds and keys do."""
        if points and _repeats(np.concatenate(points).reshape(-1, self.group.point)):
            raise ProtocolViolation(f"{self._name} sent one element twice.", "A set has every element once.")

    @property
    def _name(self) -> str:
        return self.channel.parties[self.peer]

    def tags(self, public: bytes, points: Bytes) -> Bytes:
        """The last hash of the function: of the session, the key's public part and the point."""
        salt = hashlib.sha256(b"lingqu psi ecdh tags 1" + self.agreement.salt + public).digest()
        offsets = np.arange(0, len(points) + 1, self.group.point, dtype=np.int64)
        digests = _core.element_digests(salt, points, offsets).view(np.uint8).reshape(-1, 16)
        return np.ascontiguousarray(digests[:, : self.width])

    def marked(self, matched: NDArray[np.bool_]) -> Heard:
        """matched: which of the own elements, in this run's order, the peer has."""
        return Heard.marked(self.order.astype(np.uint32), matched)

    def heard(self, mine: Bytes, theirs: Bytes) -> Heard:
        """Tags to compare: of the own elements in this run's order, and the peer's as `sorted_tags` puts them."""
        return Heard(self.order.astype(np.uint32), self.width, mine, theirs)


class _Asking(_Session):
    """The party that learns its elements' tags under the other's key."""

    def run(self) -> Heard:
        count = len(self.own)
        blinds = [secrets.token_bytes(self.group.blind * min(CHUNK, count - at)) for at in range(0, count, CHUNK)]
        hidden = [np.frombuffer(part, np.uint8) for part in blinds]
        blinding = self.group.blinding()
        for points in in_order(
            partial(blinding.blind, self.domain, data, offsets, part)
            for (data, offsets), part in zip(self.taken(), hidden, strict=True)
        ):
            self.send(points)
        public = bytes(self.channel.receive(self.peer, self.group.point))
        try:
            unblinding = self.group.unblinding(public)
        except ValueError:
            raise ProtocolViolation(
                f"{self._name} sent a key that is no group element.", "Check its software."
            ) from None
        theirs = _joined(list(self.received(self.agreement.sizes[self.peer], self.width)))
        theirs, which = _core.sorted_tags(theirs, self.width)
        answers: list[Bytes] = []

        def opened(number: int, points: Bytes) -> Bytes:
            found = self.checked(lambda part: unblinding.unblind(part, hidden[number]), number, points)
            return self.tags(public, found)

        def calls() -> Iterator[Callable[[], Bytes]]:
            for number, points in enumerate(self.received(count, self.group.point)):
                answers.append(points)
                yield partial(opened, number, points)

        mine = _joined(list(in_order(calls())))
        self.distinct(answers)
        return self._marking(mine, theirs, which) if self.peer_learns else self.heard(mine, theirs)

    def _marking(self, mine: Bytes, theirs: Bytes, which: NDArray[np.uint32]) -> Heard:
        """Compare, and tell the holder, too.  theirs: in order; which: each one's place in the holder's order."""
        meeting = _core.TagMeeting(mine, self.width)
        met = meeting.meet(theirs)
        if len(which):
            marks = np.zeros(len(which), bool)
            marks[which[met]] = True
            self.channel.send(self.peer, np.packbits(marks, bitorder="little").data.cast("B"), Tag.BLOCKS)
        return self.marked(meeting.found())


class _Holding(_Session):
    """The party that has the key."""

    def run(self) -> Heard | None:
        key = self.group.secret(secrets.token_bytes(64))
        public = key.public()
        self.channel.send(self.peer, public)
        asked: list[Bytes] = []

        def tagged(data: Bytes, offsets: NDArray[np.int64]) -> Bytes:
            return self.tags(public, key.map(self.domain, data, offsets))

        def answers() -> Iterator[Callable[[], Bytes]]:
            for number, points in enumerate(self.received(self.agreement.sizes[self.peer], self.group.point)):
                asked.append(points)
                yield partial(self.checked, key.answer, number, points)
            self.distinct(asked)

        own = (partial(tagged, data, offsets) for data, offsets in self.taken())
        for part in in_order(chain(own, answers())):
            self.send(part)
        return self._told() if self.learns else None

    def _told(self) -> Heard:
        """Which of the own tags the asker says that it has, too."""
        count = len(self.own)
        size = -(-count // 8)
        packed = np.frombuffer(self.channel.receive(self.peer, size, Tag.BLOCKS) if count else b"", np.uint8)
        marks = np.unpackbits(packed, bitorder="little").astype(bool)
        if marks[count:].any():
            raise ProtocolViolation(f"{self._name} marked more elements than there are.", "Check its software.")
        return self.marked(marks[:count])


class _Counting(_Session):
    """Either party where recipients learn the number alone."""

    def run(self) -> Heard | None:
        key = self.group.secret(secrets.token_bytes(64))
        for points in in_order(partial(key.map, self.domain, data, offsets) for data, offsets in self.taken()):
            self.send(points)
        raised = self._raised(key.multiply)
        if self.peer_learns:
            shuffled = raised[random_order(len(raised))]
            for start in range(0, len(raised), CHUNK):
                self.send(shuffled[start : start + CHUNK])
        if not self.learns:
            return None
        mine = _joined(list(self.received(len(self.own), self.width)))
        return self.heard(mine, _core.sorted_tags(raised.reshape(-1), self.width)[0])

    def _raised(self, work: Callable[[Bytes], Bytes]) -> Bytes:
        """The peer's points under both secrets, as tags: of each all but its first byte, some bits of which are 0."""
        seen: list[Bytes] = []

        def calls() -> Iterator[Callable[[], Bytes]]:
            for number, points in enumerate(self.received(self.agreement.sizes[self.peer], self.group.point)):
                seen.append(points)
                yield partial(self.checked, work, number, points)

        raised = _joined(list(in_order(calls()))).reshape(-1, self.group.point)
        self.distinct(seen)
        return np.ascontiguousarray(raised[:, 1 : 1 + self.width])


def _joined(parts: list[Bytes]) -> Bytes:
    """All parts as one."""
    return np.concatenate(parts).reshape(-1) if parts else np.zeros(0, np.uint8)


def _repeats(points: Bytes) -> bool:
    """Whether a row comes twice."""
    front = np.sort(np.ascontiguousarray(points[:, 1:9]).view("<u8").reshape(-1))
    if not bool(np.any(front[1:] == front[:-1])):
        return False
    rows = np.ascontiguousarray(points).view(np.dtype((np.void, points.shape[1]))).reshape(-1)
    return len(np.unique(rows)) < len(points)
