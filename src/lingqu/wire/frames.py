"""Frames: how a message travels on a stream, and the strict decoder that every peer's bytes meet first.

A message is cut into frames of 4 MiB, the last one shorter or equal; every frame but the last carries MORE.  A frame is
a header of 40 bytes, little-endian, and its payload:

    magic 4 | session 16 | sender u8 | recipient u8 | tag u8 | flags u8 | sequence u64 | round u32 | length u32
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from lingqu.kinds.channel import Buffer, Tag
from lingqu.kinds.documents import MAX_DOCUMENT
from lingqu.kinds.errors import BadInput, ProtocolViolation

MAGIC = b"LQF1"
HEADER = struct.Struct("<4s16sBBBBQII")
_BEGIN, _REST = struct.Struct("<4s16sBB"), struct.Struct("<BBQII")  # what a connection fixes, and what it does not
SESSION_BYTES = 16
MAX_FRAME = 4 << 20
MAX_MESSAGE = 1 << 30
MAX_SEED = 64
MORE = 1

_CURE = "The session has ended; run the job again, and ask that party for its version of lingqu if this comes back."


class BadMagic(ProtocolViolation):
    """The bytes are no frame of this protocol's version."""


class ForeignSession(ProtocolViolation):
    """The frame belongs to another session."""


class ForgedSender(ProtocolViolation):
    """The frame names another sender or recipient than its connection belongs to."""


class OutOfSequence(ProtocolViolation):
    """The frame is a replay, or came out of order, or one before it is missing."""


class TooLong(ProtocolViolation):
    """The frame or its message is longer than its kind may be, or than the receiver expects."""


class WrongSize(ProtocolViolation):
    """The message is shorter than the receiver expects, or is not cut into frames as the protocol says."""


class BadTag(ProtocolViolation):
    """The tag is unknown, changes within a message, or is not the one that the receiver expects."""


class BadRound(ProtocolViolation):
    """The round is zero, falls from one message to the next, or changes within a message."""


class Control(IntEnum):
    """Tags of frames that carry no message of a mechanism; their round is 0."""

    HELLO = 0xF0
    HEARTBEAT = 0xF1
    GOODBYE = 0xF2


_LIMITS: dict[int, int] = {
    Tag.ELEMENTS: MAX_MESSAGE,
    Tag.BITS: MAX_MESSAGE,
    Tag.SEED: MAX_SEED,
    Tag.DOCUMENT: MAX_DOCUMENT,
    Tag.BLOCKS: MAX_MESSAGE,
    Control.HELLO: 64,
    Control.HEARTBEAT: 0,
    Control.GOODBYE: 2,
}
_CONTROLS = frozenset(int(control) for control in Control)


class Header(NamedTuple):
    """What a checked header says: `length` payload bytes follow, `more` frames of the message follow those."""

    tag: int
    round: int
    length: int
    more: bool

    @property
    def control(self) -> bool:
        """Whether the frame belongs to the channel itself."""
        return self.tag in _CONTROLS


class FrameEncoder:
    """Writes the headers of one direction of one connection.

    session: 16 bytes.  sender, to: parties' indices, 0..255.
    """

    def __init__(self, session: bytes, sender: int, to: int) -> None:
        if len(session) != SESSION_BYTES:
            raise BadInput(f"A session's name of {len(session)} bytes is not 16 bytes.", "Use 16 random bytes.")
        self._begin = _BEGIN.pack(MAGIC, session, sender, to)
        self._sequence = 0

    def header(self, tag: int, round_: int, length: int, more: bool = False) -> bytes:
        """The next frame's header, 40 bytes; each call uses up one sequence number."""
        sequence = self._sequence
        self._sequence = sequence + 1
        flags = MORE if more else 0
        return self._begin + _REST.pack(tag, flags, sequence, round_, length)

    def frames(self, tag: int, round_: int, data: Buffer) -> Iterator[tuple[bytes, memoryview]]:
        """Headers and payloads of one message, without copying; BadInput when it is longer than its tag may be."""
        view = octets(data)
        check_size(tag, len(view))
        for start in range(0, max(len(view), 1), MAX_FRAME):
            part = view[start : start + MAX_FRAME]
            yield self.header(tag, round_, len(part), start + len(part) < len(view)), part


class FrameDecoder:
    """Checks the headers of one direction of one connection; one named ProtocolViolation for each fault.

    session, sender, to: what every frame must name.  max_length: the longest message, bytes, whatever its tag.
    name: the sender's name, for the errors.
    """

    def __init__(
        self, session: bytes, sender: int, to: int, max_length: int = MAX_MESSAGE, *, name: str = "the peer"
    ) -> None:
        self._session = session
        self._begin = _BEGIN.pack(MAGIC, session, sender, to)
        self._max_length = max_length
        self.name = name
        self._sequence = 0
        self._round = 1
        self._open: Header | None = None  # the last frame of an unfinished message
        self._held = 0  # bytes of the unfinished message so far

    @property
    def unfinished(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._open is not None

    def header(self, data: Buffer) -> Header:
        """Check 40 bytes and return what they announce; raises the fault's own error, and then the session is over."""
        if len(data) != HEADER.size:
            raise WrongSize(f"{self.name} sent a header of {len(data)} bytes.", _CURE, party=self.name)
        if data[: _BEGIN.size] != self._begin:
            raise self._foreign(data)
        tag, flags, sequence, round_, length = _REST.unpack_from(data, _BEGIN.size)
        if sequence != self._sequence:
            raise self._fault(OutOfSequence, f"frame {sequence} where frame {self._sequence} was due")
        if flags & ~MORE:
            raise self._fault(BadMagic, f"a frame with unknown flags {flags:#x}")
        header = Header(tag, round_, length, flags == MORE)
        self._check_tag(header)
        self._check_length(header)
        self._check_round(header)
        self._sequence += 1
        if not header.control:
            self._round = round_
            self._open = header if header.more else None
            self._held = self._held + length if header.more else 0
        return header

    def _foreign(self, data: Buffer) -> ProtocolViolation:
        """What is wrong with a header that does not begin as every frame of this connection."""
        magic, session, sender, to = _BEGIN.unpack_from(data)
        if magic != MAGIC:
            return self._fault(BadMagic, "bytes that are no frame of this version")
        if session != self._session:
            return self._fault(ForeignSession, "a frame of another session")
        return self._fault(ForgedSender, f"a frame from party {sender} to party {to} on its own connection")

    def _check_tag(self, header: Header) -> None:
        if header.tag not in _LIMITS:
            raise self._fault(BadTag, f"a frame of the unknown tag {header.tag}")
        if self._open is not None and not header.control and header.tag != self._open.tag:
            raise self._fault(BadTag, f"a message that changes its tag from {self._open.tag} to {header.tag}")
        if self._open is not None and header.control:
            raise self._fault(BadTag, "a control frame within a message")

    def _check_length(self, header: Header) -> None:
        limit = min(_LIMITS[header.tag], self._max_length)
        if header.length > MAX_FRAME or self._held + header.length > limit:
            raise self._fault(TooLong, f"more than the {limit} bytes that a message of tag {header.tag} may have")
        if header.more and header.length != MAX_FRAME:
            raise self._fault(WrongSize, f"an inner frame of {header.length} bytes")
        if self._open is not None and header.length == 0:
            raise self._fault(WrongSize, "an empty last frame")

    def _check_round(self, header: Header) -> None:
        if header.control:
            if header.round != 0:
                raise self._fault(BadRound, f"a control frame of round {header.round}")
        elif header.round < self._round:
            raise self._fault(BadRound, f"a message of round {header.round} after one of round {self._round}")
        elif self._open is not None and header.round != self._open.round:
            raise self._fault(BadRound, "a message that changes its round")

    def _fault(self, fault: type[ProtocolViolation], what: str) -> ProtocolViolation:
        return fault(f"{self.name} sent {what}.", _CURE, party=self.name)


def octets(data: Buffer) -> memoryview:
    """The bytes of any contiguous buffer, without copying; BadInput when it is not contiguous."""
    view = memoryview(data)
    if not view.c_contiguous:
        raise BadInput("These bytes do not lie together in memory.", "Send a contiguous copy.")
    return view.cast("B") if view.nbytes else memoryview(b"")


def check_size(tag: int, size: int) -> None:
    """BadInput when an own message of `size` bytes is longer than its tag may be."""
    if size > (limit := _LIMITS[tag]):
        raise BadInput(
            f"A message of {size} bytes is longer than the {limit} bytes that one of tag {tag} may have.",
            "Send it in parts, and let the peer receive each part.",
        )


def expect(name: str, tag: int, size: int, *, want_tag: int, least: int, most: int) -> None:
    """Check a whole message against what its receiver expects: BadTag, TooLong or WrongSize naming both figures."""
    if tag != want_tag:
        raise BadTag(f"{name} sent a message of tag {tag} where tag {want_tag} was due.", _CURE, party=name)
    if size > most:
        raise TooLong(f"{name} sent {size} bytes where at most {most} were due.", _CURE, party=name)
    if size < least:
        raise WrongSize(f"{name} sent {size} bytes where {least} were due.", _CURE, party=name)
