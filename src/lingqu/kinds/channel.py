"""The one thing a mechanism gets to talk to the other parties."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

Buffer = bytes | bytearray | memoryview


class Tag(IntEnum):
    """The type of a message's payload; a receiver says which it expects and takes no other."""

    ELEMENTS = 1  # little-endian 64-bit ring elements
    BITS = 2  # little-endian 64-bit words of packed bits
    SEED = 3  # key material and commitments, at most 64 bytes
    DOCUMENT = 4  # canonical JSON
    BLOCKS = 5  # blocks, group elements and ciphertexts, as a protocol lays them out


@dataclass
class Traffic:
    """sent, received: payload bytes.  messages: messages sent.  rounds: longest chain of messages that ends here."""

    sent: int = 0
    received: int = 0
    messages: int = 0
    rounds: int = 0


class Channel(Protocol):
    """Ordered, authenticated messages between the parties of one session, seen from one of them.

    `send` queues and returns, and blocks only when the peer reads too slowly (back-pressure).
    `receive` blocks until the next message of that sender, and ends the session with a ProtocolViolation when
    its tag or its exact size is another, with PartyLost when the peer is gone or the time limit passes.
    Frames count rounds: a message sent after receiving one of depth d has depth d + 1 at least.
    """

    @property
    def party(self) -> int:
        """This party's index, 0 to len(parties) - 1."""

    @property
    def parties(self) -> tuple[str, ...]:
        """The parties' names, in the order of their indices."""

    @property
    def traffic(self) -> Traffic:
        """What has passed so far."""

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        """Send one message of any length."""

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        """Receive one message of exactly `size` bytes."""

    def receive_document(self, sender: int, limit: int) -> bytes:
        """Receive one DOCUMENT message of at most `limit` bytes."""

    def close(self) -> None:
        """End the session; safe to call twice."""
