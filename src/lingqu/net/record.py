"""Recordings of a party's messages in the clear, for tests: who sees what, and does a change alter the transcript."""

from __future__ import annotations

import json
import os
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, NamedTuple

from lingqu.kinds.channel import Buffer, Channel, Tag, Traffic
from lingqu.kinds.errors import BadInput, PartyLost, ProtocolViolation
from lingqu.wire.frames import MAX_MESSAGE, expect, octets

_MAGIC = b"lingqu recording 1\n"
_RECORD = struct.Struct("<BBBIQ")  # direction, peer, tag, round, length
_MAX_HEAD = 16_384


class Direction(IntEnum):
    SENT = 0
    RECEIVED = 1


class Shape(NamedTuple):
    """What an observer of lengths sees of a message."""

    direction: Direction
    peer: int
    tag: int
    round: int
    length: int


@dataclass(frozen=True)
class Message:
    """One message.  peer: index of the other party.  round: the depth at which it was sent or taken."""

    direction: Direction
    peer: int
    tag: int
    round: int
    data: bytes

    @property
    def shape(self) -> Shape:
        """Everything but the content."""
        return Shape(self.direction, self.peer, self.tag, self.round, len(self.data))


@dataclass(frozen=True)
class Recording:
    """What one party sent and received, in its order."""

    party: int
    parties: tuple[str, ...]
    messages: tuple[Message, ...]

    @property
    def shape(self) -> tuple[Shape, ...]:
        """The transcript without its content; equal for runs of equal declared disclosures."""
        return tuple(message.shape for message in self.messages)


class RecordingChannel:
    """A channel that also writes every message, before encryption, to a file; for tests, never for a node's own use."""

    def __init__(self, channel: Channel, path: Path) -> None:
        self._channel = channel
        self._file: BinaryIO = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        head = json.dumps({"party": channel.party, "parties": channel.parties}).encode()
        self._file.write(_MAGIC + head + b"\n")

    @property
    def party(self) -> int:
        """This party's index."""
        return self._channel.party

    @property
    def parties(self) -> tuple[str, ...]:
        """The parties' names."""
        return self._channel.parties

    @property
    def traffic(self) -> Traffic:
        """The recorded channel's counters."""
        return self._channel.traffic

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        """Record and send."""
        self._write(Direction.SENT, to, tag, self.traffic.rounds + 1, data)
        self._channel.send(to, data, tag)

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        """Receive and record."""
        data = self._channel.receive(sender, size, tag)
        self._write(Direction.RECEIVED, sender, tag, self.traffic.rounds, data)
        return data

    def receive_document(self, sender: int, limit: int) -> bytes:
        """Receive and record."""
        data = self._channel.receive_document(sender, limit)
        self._write(Direction.RECEIVED, sender, Tag.DOCUMENT, self.traffic.rounds, data)
        return data

    def close(self) -> None:
        """Close the channel and the file."""
        self._channel.close()
        self._file.close()

    def _write(self, direction: Direction, peer: int, tag: Tag, round_: int, data: Buffer) -> None:
        view = octets(data)
        self._file.write(_RECORD.pack(direction, peer, tag, round_, len(view)))
        self._file.write(view)


def read_recording(path: Path) -> Recording:
    """Read a whole recording; BadInput when it is none or was cut off within a message."""
    with path.open("rb") as file:
        if file.readline(len(_MAGIC)) != _MAGIC:
            raise BadInput(f"{path} is no recording.", "Give a file that a RecordingChannel wrote.")
        head = json.loads(file.readline(_MAX_HEAD))
        return Recording(int(head["party"]), tuple(head["parties"]), tuple(_messages(file, path)))


def _messages(file: BinaryIO, path: Path) -> Iterator[Message]:
    while head := file.read(_RECORD.size):
        if len(head) == _RECORD.size:
            direction, peer, tag, round_, length = _RECORD.unpack(head)
            if length <= MAX_MESSAGE and direction in list(Direction):
                data = file.read(length)
                if len(data) == length:
                    yield Message(Direction(direction), peer, tag, round_, data)
                    continue
        raise BadInput(f"The recording {path} ends within a message.", "Close the channel before reading it.")


class ReplayChannel:
    """Feeds a recording's received messages to the recorded party, and checks what it sends against what it sent.

    exact: compare the bytes too, for runs with fixed seeds; otherwise only recipient, tag, round and length.
    """

    def __init__(self, recording: Recording, *, exact: bool = True) -> None:
        self._recording = recording
        self._exact = exact
        self._traffic = Traffic()
        self._sent = self._queues(recording.messages, Direction.SENT)
        self._received = self._queues(recording.messages, Direction.RECEIVED)

    @staticmethod
    def _queues(messages: Sequence[Message], direction: Direction) -> dict[int, deque[Message]]:
        queues: dict[int, deque[Message]] = {}
        for message in messages:
            if message.direction is direction:
                queues.setdefault(message.peer, deque()).append(message)
        return queues

    @property
    def party(self) -> int:
        """The recorded party's index."""
        return self._recording.party

    @property
    def parties(self) -> tuple[str, ...]:
        """The recorded parties' names."""
        return self._recording.parties

    @property
    def traffic(self) -> Traffic:
        """What has been replayed so far."""
        return self._traffic

    @property
    def finished(self) -> bool:
        """Whether every recorded message has been sent and received again."""
        return not any([*self._sent.values(), *self._received.values()])

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        """Compare with the next message that was sent to that party; ProtocolViolation where it differs."""
        view = octets(data)
        due = self._next(self._sent, to, "sent to")
        found = Shape(Direction.SENT, to, tag, self._traffic.rounds + 1, len(view))
        if found != due.shape or (self._exact and view != due.data):
            what = f"{found} where the recording has {due.shape}" if found != due.shape else "other bytes of that shape"
            raise ProtocolViolation(
                f"Message {self._traffic.messages} differs: {what}.", "Find what changed since the recording."
            )
        self._traffic.sent += len(view)
        self._traffic.messages += 1

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        """The next recorded message of that party."""
        return bytearray(self._take(sender, tag, size, size))

    def receive_document(self, sender: int, limit: int) -> bytes:
        """The next recorded message of that party, a document."""
        return self._take(sender, Tag.DOCUMENT, 0, limit)

    def close(self) -> None:
        """Nothing is open."""

    def _take(self, sender: int, tag: Tag, least: int, most: int) -> bytes:
        message = self._next(self._received, sender, "received from")
        expect(self.parties[sender], message.tag, len(message.data), want_tag=tag, least=least, most=most)
        self._traffic.received += len(message.data)
        self._traffic.rounds = max(self._traffic.rounds, message.round)
        return message.data

    def _next(self, queues: dict[int, deque[Message]], peer: int, what: str) -> Message:
        if not queues.get(peer):
            raise PartyLost(f"The recording has no further message {what} party {peer}.", "Record the longer run.")
        return queues[peer].popleft()
