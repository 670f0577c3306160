"""Two parties in threads, over channels in memory that keep every message."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from lingqu.kinds.channel import Buffer, Channel, Tag, Traffic
from lingqu.net.memory import memory_channels
from lingqu.ot import Correlations, connect

NAMES = ("alpha", "beta")
WAIT = 60.0


class Tapped:
    """A channel that keeps what is sent, and may alter it first."""

    def __init__(self, inner: Channel, alter: Callable[[int, bytes], bytes] | None = None) -> None:
        self.inner = inner
        self.alter = alter
        self.sent: list[tuple[int, Tag, bytes]] = []

    @property
    def party(self) -> int:
        return self.inner.party

    @property
    def parties(self) -> tuple[str, ...]:
        return self.inner.parties

    @property
    def traffic(self) -> Traffic:
        return self.inner.traffic

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        message = bytes(data)
        if self.alter:
            message = self.alter(len(self.sent), message)
        self.sent.append((to, tag, message))
        self.inner.send(to, message, tag)

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        return self.inner.receive(sender, size, tag)

    def receive_document(self, sender: int, limit: int) -> bytes:
        return self.inner.receive_document(sender, limit)

    def close(self) -> None:
        self.inner.close()


@dataclass
class Both:
    """What two parties returned or raised, and their channels."""

    results: list[Any]
    errors: list[BaseException | None]
    channels: list[Tapped]

    @property
    def bytes(self) -> int:
        return sum(len(message) for channel in self.channels for _, _, message in channel.sent)

    @property
    def rounds(self) -> int:
        return max(channel.traffic.rounds for channel in self.channels)

    @property
    def shape(self) -> list[list[tuple[int, int, int]]]:
        return [[(to, int(tag), len(data)) for to, tag, data in channel.sent] for channel in self.channels]


Work = Callable[[Channel], Any]


def run_both(work: Work, alter: Callable[[int, bytes], bytes] | None = None, *, fail: bool = False) -> Both:
    """Run the same work at two parties; `alter` changes what party 0 sends.  fail: errors are results, not raised."""
    channels = [Tapped(inner, alter if inner.party == 0 else None) for inner in memory_channels(NAMES, timeout=WAIT)]
    both = Both([None, None], [None, None], channels)

    def serve(party: int) -> None:
        try:
            both.results[party] = work(channels[party])
        except BaseException as error:
            both.errors[party] = error
            channels[party].close()

    threads = [threading.Thread(target=serve, args=(party,)) for party in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    if not fail:
        for error in both.errors:
            if error is not None:
                raise error
    return both


@pytest.fixture
def both() -> Callable[..., Both]:
    """`run_both`."""
    return run_both


@pytest.fixture(scope="module")
def pair() -> list[Correlations]:
    """A connected pair whose halves may be used in turn by one thread: senders never wait."""
    return [*run_both(connect).results]
