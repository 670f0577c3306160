"""A session of parties in threads over channels in memory, with one message altered on its way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lingqu.kinds.channel import Buffer, Channel, Tag, Traffic
from lingqu.net.memory import memory_channels

WAIT = 60.0


@dataclass
class Altered:
    """Changes the message of one index that one party sends.  done: whether the message came and was changed."""

    party: int
    index: int
    change: Callable[[bytes], bytes]
    done: bool = False

    def __call__(self, party: int, index: int, message: bytes) -> bytes:
        """The message as it goes on."""
        if (party, index) != (self.party, self.index):
            return message
        changed = self.change(message)
        self.done = changed != message
        return changed


class Tapped:
    """A channel that keeps what its party sends and whom it sent it to."""

    def __init__(self, inner: Channel, alter: Altered | None) -> None:
        self.inner = inner
        self.alter = alter
        self.sent: list[tuple[int, Tag, bytes]] = []

    @property
    def party(self) -> int:
        """As Channel.party."""
        return self.inner.party

    @property
    def parties(self) -> tuple[str, ...]:
        """As Channel.parties."""
        return self.inner.parties

    @property
    def traffic(self) -> Traffic:
        """As Channel.traffic."""
        return self.inner.traffic

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        """Send, altered or not."""
        message = bytes(data)
        if self.alter:
            message = self.alter(self.party, len(self.sent), message)
        self.sent.append((to, tag, message))
        self.inner.send(to, message, tag)

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        """As Channel.receive."""
        return self.inner.receive(sender, size, tag)

    def receive_document(self, sender: int, limit: int) -> bytes:
        """As Channel.receive_document."""
        return self.inner.receive_document(sender, limit)

    def close(self) -> None:
        """As Channel.close."""
        self.inner.close()


@dataclass
class Session:
    """What each party returned, raised and sent."""

    results: list[Any]
    errors: list[BaseException | None]
    channels: list[Tapped] = field(default_factory=list)

    @property
    def sent(self) -> list[list[tuple[int, Tag, bytes]]]:
        """Every message, by sender."""
        return [channel.sent for channel in self.channels]


def run_session(work: Callable[[Channel], Any], names: Sequence[str], alter: Altered | None = None) -> Session:
    """The same work at every party; a party that fails leaves, as a worker does.  Errors are results."""
    channels = [Tapped(inner, alter) for inner in memory_channels(names, timeout=WAIT)]
    session = Session([None] * len(names), [None] * len(names), channels)

    def serve(party: int) -> None:
        try:
            session.results[party] = work(channels[party])
        except BaseException as error:
            session.errors[party] = error
            channels[party].close()

    threads = [threading.Thread(target=serve, args=(party,)) for party in range(len(names))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    return session
