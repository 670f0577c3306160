"""One session of an unbalanced intersection: the client asks about its elements, the server evaluates them blinded."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation, Refused
from lingqu.psi.elements import Elements
from lingqu.psi.heard import Intersection
from lingqu.psi.unbalanced.holder import Holder, derive
from lingqu.psi.unbalanced.published import Published, Tags, decode_changes
from lingqu.psi.unbalanced.terms import ABOUT, CHUNK, HELLO, ID, POINTS, About, Follows, Spend, UnbalancedTerms

POINT = 32


@dataclass(frozen=True)
class Asked:
    """What a client has afterwards: the intersection, and the published set for its next session."""

    intersection: Intersection
    published: Published


@dataclass(frozen=True)
class Derived:
    """What a client is left with after the last message: its own tags, and the published set for its next session."""

    tags: tuple[Tags, ...]
    published: Published

    def found(self) -> Intersection:
        """Compare: which of its own elements the set has.  Takes longer or shorter by which do."""
        marks = [np.zeros(0, bool), *(self.published.find(tags) for tags in self.tags)]
        matched = np.flatnonzero(np.concatenate(marks))
        return Intersection(len(matched), matched)


def _free(count: int) -> None:
    """Nothing counts beyond the terms."""


def _other(channel: Channel) -> tuple[int, str]:
    if len(channel.parties) != 2:
        raise BadInput("An intersection has two parties.", "Connect one client and one server.")
    peer = 1 - channel.party
    return peer, channel.parties[peer]


def serve(channel: Channel, holder: Holder, terms: UnbalancedTerms, spend: Spend = _free) -> int:
    """Answer one client's session; returns how many elements it asked about.

    spend: asked before anything is evaluated.  Cost: as declared.  Work: one exponentiation an asked element.
    Discloses: to the server how many elements the client asks about, and which version it had.
    ProtocolViolation when the client names other terms or sends what is no group element; Refused when it asks more
    than the terms allow.
    """
    peer, name = _other(channel)
    digest, key, version, count = HELLO.unpack(channel.receive(peer, HELLO.size, Tag.SEED))
    if not hmac.compare_digest(digest, terms.digest()):
        raise ProtocolViolation(f"{name} names other terms for the intersection.", "Agree on forms and limits.")
    if len(holder.published) > terms.largest or not holder.published.shape.holds(len(holder.published), terms.queries):
        raise Refused(
            "The published set is larger than the terms allow, or its tags too short.",
            "Publish again.",
            term="set-size",
        )
    if count > terms.queries:
        raise Refused(
            f"{name} asks about {count} elements, more than the agreed {terms.queries}.", "Ask less.", term="set-size"
        )
    spend(count)
    answers = []
    for start in range(0, count, POINTS):
        size = POINT * min(POINTS, count - start)
        blinded = np.frombuffer(channel.receive(peer, size, Tag.BLOCKS), np.uint8)
        try:
            evaluated = holder.evaluate(blinded)
        except ValueError as error:
            raise ProtocolViolation(f"{name} sent what is no group element: {error}.", "Check its software.") from None
        answers.append(evaluated)
    _publish(channel, peer, holder, key, version)  # once all has come, so that neither side waits for the other to read
    for evaluated in answers:
        channel.send(peer, evaluated.data.cast("B"), Tag.BLOCKS)
    return int(count)


def _publish(channel: Channel, peer: int, holder: Holder, key: bytes, version: int) -> None:
    """Describe the set, and send what leads from the client's version to it."""
    own = holder.published
    about = About(own.key, own.version, own.digest, len(own), own.shape)
    data = b""
    if key != own.key or version > own.version:
        about, data = replace(about, follows=Follows.SET), own.encoded()
    elif version < own.version:
        about, data = replace(about, follows=Follows.CHANGES), b"".join(holder.changes[version:])
        if len(data) >= own.shape.encoded_bytes(len(own)):
            about, data = replace(about, follows=Follows.SET), own.encoded()
    channel.send(peer, replace(about, trailing=len(data)).encoded(), Tag.BLOCKS)
    view = memoryview(data)
    for start in range(0, len(data), CHUNK):
        channel.send(peer, view[start : start + CHUNK], Tag.BLOCKS)


def intersect(channel: Channel, own: Elements, terms: UnbalancedTerms, known: Published | None = None) -> Asked:
    """Which of this client's elements the server's set has: `exchange`, and then what it left to compare."""
    derived = exchange(channel, own, terms, known)
    return Asked(derived.found(), derived.published)


def exchange(channel: Channel, own: Elements, terms: UnbalancedTerms, known: Published | None = None) -> Derived:
    """All messages by which a client asks about its elements.  known: the published set of an earlier session.

    Nothing is compared yet, so that nothing which the server sees waits for it.
    Cost: 2 rounds; bytes as declared.  Work: three exponentiations an own element (one at the server).
    Discloses: to the client the size of the server's set, which of its own elements are in it, and between versions
    how many elements came and went and, of elements it has asked about, whether they did; to the server their number.
    BadInput when the terms allow fewer elements; ProtocolViolation when the server's messages are not as they must be.
    """
    peer, name = _other(channel)
    if len(own) > terms.queries:
        raise BadInput(f"{len(own)} elements are more than the agreed {terms.queries}.", "Agree on more.")
    key, version = (known.key, known.version) if known else (bytes(ID), 0)
    channel.send(peer, HELLO.pack(terms.digest(), key, version, len(own)), Tag.SEED)
    blinded = [_blinded(own, start) for start in range(0, len(own), POINTS)]
    for _, _, blinding in blinded:
        channel.send(peer, blinding.message().data.cast("B"), Tag.BLOCKS)
    published = _current(channel, peer, name, terms, known)
    tags = []
    for number, (data, offsets, blinding) in enumerate(blinded):
        size = POINT * (len(offsets) - 1)
        evaluated = np.frombuffer(channel.receive(peer, size, Tag.BLOCKS), np.uint8)
        try:
            points = blinding.unblind(evaluated)
        except ValueError as error:
            raise ProtocolViolation(
                f"{name} sent what is no group element, in chunk {number}: {error}.", "Check its software."
            ) from None
        tags.append(derive(published, data, offsets, points))
    return Derived(tuple(tags), published)


def _blinded(own: Elements, start: int) -> tuple[NDArray[np.uint8], NDArray[np.int64], _core.Blinding]:
    data, offsets = own.take(np.arange(start, min(start + POINTS, len(own)), dtype=np.int64))
    randomness = np.frombuffer(secrets.token_bytes(64 * (len(offsets) - 1)), np.uint8)
    return data, offsets, _core.Blinding(data, offsets, randomness)


def _current(channel: Channel, peer: int, name: str, terms: UnbalancedTerms, known: Published | None) -> Published:
    """The published set of the server's version, from what it sends next."""
    about = About.decoded(channel.receive(peer, ABOUT, Tag.BLOCKS), name, terms)
    whole = about.shape.encoded_bytes(about.size)
    if about.trailing > max(whole, about.shape.encoded_bytes(terms.largest)):
        raise ProtocolViolation(f"{name} announces more than a set has.", "Check its software.")
    sizes = (min(CHUNK, about.trailing - start) for start in range(0, about.trailing, CHUNK))
    data = b"".join(bytes(channel.receive(peer, size, Tag.BLOCKS)) for size in sizes)
    try:
        if about.follows is Follows.SET:
            return Published.decoded(about.key, about.version, about.digest, about.shape, about.size, data)
        if known is None or (known.key, known.shape) != (about.key, about.shape):
            raise BadInput("This client has no version that leads to the server's.", "Drop the set.")
        moved = replace(known)
        for change, encoded in decode_changes(data, about.shape):
            moved.follow(change, encoded)
    except BadInput as error:
        raise ProtocolViolation(f"{name} sent what leads to no version: {error}", "Drop the set.") from None
    if (moved.version, moved.digest, len(moved)) != (about.version, about.digest, about.size):
        raise ProtocolViolation(f"{name} serves another version than its changes lead to.", "Drop the set.")
    return moved
