"""psi.ecdh: intersection by commuting exponents on a group; least traffic, two rounds of curve work.

Every element x becomes H(x)^a under its owner's fresh secret; the peer raises it to H(x)^(ab).  Equal elements then
have equal tags, others tags that look random.  Who is to learn the elements gets its own tags back in its own order;
who is to learn their number only gets them shuffled.
Source: Meadows (S&P 1986); Huberman, Franklin, Hogg (EC 1999); De Cristofaro, Gasti, Tsudik (CANS 2012) for the size.
psi.ecdh        ristretto255 (RFC 9496), hashing RFC 9380's ristretto255_XMD:SHA-512_R255MAP_RO_
psi.ecdh.p256   P-256, hashing RFC 9380's P256_XMD:SHA-256_SSWU_RO_
psi.ecdh.sm2    SM2's curve (GB/T 32918.5); the same with SM3 and Z = -9, which is ours and no registered suite
Adversary: semi-honest, one of two.  Assumption: decisional Diffie-Hellman on the group, the hash a random oracle.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Channel
from lingqu.kinds.errors import ProtocolViolation
from lingqu.psi.agreement import Agreement, Result, Terms, agree, random_order, tag_bytes
from lingqu.psi.elements import Elements

NAME = "psi.ecdh"
P256 = "psi.ecdh.p256"
SM2 = "psi.ecdh.sm2"
POINT = 32
COMPRESSED = 33
Bytes = NDArray[np.uint8]
CHUNK = 1 << 13
"""Elements a message: the peer works on one while the next is made."""


class Secret(Protocol):
    """One secret scalar of a group."""

    def map(self, tag: bytes, data: Bytes, offsets: NDArray[np.int64]) -> Bytes:
        """Each element hashed to the group, times the scalar."""

    def multiply(self, points: Bytes) -> Bytes:
        """Each encoded point times the scalar; ValueError naming the first that is no element, or the identity."""


@dataclass(frozen=True)
class Group:
    """point: bytes of an encoded element.  domain: of the hash.  secret: a scalar from 64 uniform bytes."""

    point: int
    domain: bytes
    secret: Callable[[bytes], Secret]


GROUPS = {
    NAME: Group(POINT, b"lingqu-psi-ecdh-v1-ristretto255_XMD:SHA-512_R255MAP_RO_-", _core.GroupKey),
    P256: Group(COMPRESSED, b"lingqu-psi-ecdh-v1-P256_XMD:SHA-256_SSWU_RO_-", partial(_core.CurveKey, "p256")),
    SM2: Group(COMPRESSED, b"lingqu-psi-ecdh-v1-SM2_XMD:SM3_SSWU_RO_-", partial(_core.CurveKey, "sm2")),
}


@dataclass(frozen=True)
class Intersection:
    """What a party learns.  size: how many elements both have.  elements: which of its own, where it may know.

    Both are None at a party that is no recipient.
    """

    size: int | None
    elements: NDArray[np.int64] | None

    def __repr__(self) -> str:
        return f"Intersection(size={self.size})"


def intersect(channel: Channel, own: Elements, terms: Terms) -> Intersection:
    """Intersect this party's set with its peer's; both call it with the same terms.

    Cost: 3 rounds; 64 bytes of each side, a point an element of either, and a tag an element of every recipient
    (see `tag_bytes`).  Work: two exponentiations an element of each side, at each party
    one.  Memory: the sets, and 32 bytes an element of both.
    Discloses: both sizes to both; to recipients the size, or their elements that the peer has too.
    """
    agreement = agree(channel, terms, len(own))
    return _Session(channel, own, agreement).run()


class _Session:
    """One run: the party's secret, its order, and what it has seen of its peer."""

    def __init__(self, channel: Channel, own: Elements, agreement: Agreement) -> None:
        self.channel = channel
        self.peer = 1 - channel.party
        self.own = own
        self.agreement = agreement
        self.group = GROUPS[agreement.terms.protocol]
        self.key = self.group.secret(secrets.token_bytes(64))
        self.order = random_order(len(own))
        self.width = tag_bytes(agreement.sizes)

    @property
    def learns(self) -> bool:
        return self.channel.party in self.agreement.terms.recipients

    @property
    def peer_learns(self) -> bool:
        return self.peer in self.agreement.terms.recipients

    def run(self) -> Intersection:
        self._send_points()
        theirs = self._receive_points()
        raised = self._raise(theirs)
        if self.peer_learns:
            self._answer(raised)
        if not self.learns:
            return Intersection(None, None)
        mine = self._tags_of_own()
        return self._compare(mine, raised)

    def _send_points(self) -> None:
        """The own elements' points, in an order of this party's choice alone."""
        tag = self.group.domain + self.agreement.salt
        for start in range(0, len(self.own), CHUNK):
            data, offsets = self.own.take(self.order[start : start + CHUNK])
            self.channel.send(self.peer, self.key.map(tag, data, offsets).data.cast("B"))

    def _receive_points(self) -> list[Bytes]:
        size = self.agreement.sizes[self.peer]
        chunks = []
        for start in range(0, size, CHUNK):
            count = min(CHUNK, size - start)
            chunks.append(np.frombuffer(self.channel.receive(self.peer, self.group.point * count), np.uint8))
        return chunks

    def _raise(self, theirs: list[Bytes]) -> Bytes:
        """The peer's points under both secrets, as tags; whatever is no point, or comes twice, ends the session."""
        name = self.channel.parties[self.peer]
        tags, seen = [], []
        for number, points in enumerate(theirs):
            try:
                raised = self.key.multiply(points)
            except ValueError as error:
                raise ProtocolViolation(
                    f"{name} sent what is no group element, in chunk {number}: {error}.", "Check its software."
                ) from None
            seen.append(points.reshape(-1, self.group.point))
            tags.append(_tags(raised.reshape(-1, self.group.point), self.width))
        if _repeats(np.concatenate(seen) if seen else np.zeros((0, self.group.point), np.uint8)):
            raise ProtocolViolation(f"{name} sent one element twice.", "A set has every element once.")
        return np.concatenate(tags) if tags else np.zeros((0, self.width), np.uint8)

    def _answer(self, raised: Bytes) -> None:
        """The peer's tags, in its order, or shuffled when it may only count."""
        if self.agreement.terms.result is Result.SIZE:
            raised = raised[random_order(len(raised))]
        for start in range(0, len(raised), CHUNK):
            part = np.ascontiguousarray(raised[start : start + CHUNK])
            self.channel.send(self.peer, part.data.cast("B"))

    def _tags_of_own(self) -> Bytes:
        chunks = [np.zeros((0, self.width), np.uint8)]
        for start in range(0, len(self.own), CHUNK):
            count = min(CHUNK, len(self.own) - start)
            received = self.channel.receive(self.peer, self.width * count)
            chunks.append(np.frombuffer(received, np.uint8).reshape(-1, self.width))
        return np.concatenate(chunks)

    def _compare(self, mine: Bytes, theirs: Bytes) -> Intersection:
        meeting = _core.TagMeeting(mine.reshape(-1), self.width)
        meeting.meet(_core.sorted_tags(theirs.reshape(-1), self.width)[0])
        found = meeting.found()
        size = int(found.sum())
        if self.agreement.terms.result is Result.SIZE:
            return Intersection(size, None)
        return Intersection(size, np.sort(self.order[found]))


def _tags(points: Bytes, width: int) -> Bytes:
    """The bytes of every point that are compared; the first is left out, as some of its bits are always 0."""
    return np.ascontiguousarray(points[:, 1 : 1 + width])


def _values(tags: Bytes) -> NDArray[np.void]:
    return np.ascontiguousarray(tags).view(np.dtype((np.void, tags.shape[1]))).reshape(-1)


def _repeats(points: Bytes) -> bool:
    """Whether a row comes twice."""
    front = np.sort(np.ascontiguousarray(points[:, 1:9]).view("<u8").reshape(-1))
    if not bool(np.any(front[1:] == front[:-1])):
        return False
    return len(np.unique(_values(points))) < len(points)
