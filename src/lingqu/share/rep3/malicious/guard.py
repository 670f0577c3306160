"""A channel that stays closed once anything was wrong, and says so each time it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from lingqu.kinds.channel import Buffer, Channel, Tag, Traffic
from lingqu.kinds.errors import LingquError, PartyLost, ProtocolViolation

T = TypeVar("T")


def refused() -> ProtocolViolation:
    """The error of a check that fails; it says nothing of values."""
    return ProtocolViolation(
        "A party's messages are not what the protocol makes of its shares; the run has ended, the rest stays closed.",
        "Find out which party runs altered software or has faulty memory before any of them runs again.",
    )


class Guarded:
    """The channel beneath, until its first error, which closes it and is raised again by every later use."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._failure: LingquError | None = None

    def __repr__(self) -> str:
        return f"Guarded(party={self.party}, failed={self._failure is not None})"

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
        """What has passed so far."""
        return self._channel.traffic

    def fail(self, error: LingquError) -> LingquError:
        """Close for good; the error to raise, which is the first one."""
        if self._failure is None:
            self._failure = error
            self._channel.close()
        return self._failure

    def _attempt(self, action: Callable[[], T]) -> T:
        if self._failure is not None:
            raise self._failure
        try:
            return action()
        except (ProtocolViolation, PartyLost) as error:
            raise self.fail(error) from None

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        """As Channel.send."""
        self._attempt(lambda: self._channel.send(to, data, tag))

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        """As Channel.receive."""
        return self._attempt(lambda: self._channel.receive(sender, size, tag))

    def receive_document(self, sender: int, limit: int) -> bytes:
        """As Channel.receive_document."""
        return self._attempt(lambda: self._channel.receive_document(sender, limit))

    def close(self) -> None:
        """As Channel.close."""
        self._channel.close()
