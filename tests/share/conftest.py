"""A session of three Rep3 parties in threads, over channels that count rounds and bytes and keep every message."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from lingqu.kinds.channel import Buffer, Tag, Traffic
from lingqu.kinds.errors import PartyLost, ProtocolViolation
from lingqu.share.rep3 import Rep3, connect

WAIT = 30.0
NAMES = ("alpha", "beta", "gamma")


@dataclass
class Sent:
    """One message as it went over a channel."""

    sender: int
    to: int
    tag: Tag
    depth: int
    data: bytes


STOPPED = Sent(-1, -1, Tag.DOCUMENT, 0, b"")


class TestChannel:
    """An end of a session in memory; the contract of kinds.channel.Channel, and a record of what was sent."""

    __test__ = False

    def __init__(self, party: int, queues: dict[tuple[int, int], queue.Queue[Sent]]) -> None:
        self.party = party
        self.parties = NAMES
        self.traffic = Traffic()
        self.record: list[Sent] = []
        self._queues = queues

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        assert to != self.party
        message = Sent(self.party, to, tag, self.traffic.rounds + 1, bytes(data))
        self.record.append(message)
        self.traffic.sent += len(message.data)
        self.traffic.messages += 1
        self._queues[self.party, to].put(message)

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        try:
            message = self._queues[sender, self.party].get(timeout=WAIT)
        except queue.Empty:
            raise PartyLost(f"{NAMES[sender]} sends nothing.", "See what it does.", party=NAMES[sender]) from None
        if message.sender != sender:
            raise PartyLost(f"{NAMES[sender]} has stopped.", "See its error.", party=NAMES[sender])
        if message.tag is not tag or len(message.data) != size:
            raise ProtocolViolation(f"{NAMES[sender]} sent another message than expected.", "Check its software.")
        self.traffic.rounds = max(self.traffic.rounds, message.depth)
        self.traffic.received += size
        return bytearray(message.data)

    def receive_document(self, sender: int, limit: int) -> bytes:
        raise ProtocolViolation("Nobody sends documents here.", "Send shares.")

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class Run:
    """What a session did: each party's result, and everything sent after the keys were agreed on."""

    results: list[Any]
    sent: list[Sent] = field(default_factory=list)
    rounds: int = 0

    @property
    def bytes(self) -> int:
        return sum(len(message.data) for message in self.sent)

    @property
    def shape(self) -> list[tuple[int, int, int, int, int]]:
        """The transcript without its contents, a party's messages in their order."""
        return [(m.sender, m.to, int(m.tag), m.depth, len(m.data)) for m in self.sent]


Work = Callable[[Rep3], Any]


def run_parties(work: Work, prepare: Work | None = None) -> Run:
    """Run the same work at three parties; with `prepare`, the work gets its result and only the work is counted.

    work: takes the machine (and the prepared value).
    """
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    queues: dict[tuple[int, int], queue.Queue[Sent]] = {pair: queue.Queue() for pair in pairs}
    channels = [TestChannel(party, queues) for party in range(3)]
    results: list[Any] = [None] * 3
    failures: list[BaseException] = []
    barrier = threading.Barrier(3)

    def serve(party: int) -> None:
        channel = channels[party]
        try:
            machine = connect(channel)
            value = prepare(machine) if prepare else None
            barrier.wait(WAIT)
            channel.record.clear()
            channel.traffic = Traffic()
            barrier.wait(WAIT)
            results[party] = work(machine, value) if prepare else work(machine)  # type: ignore[call-arg]
        except BaseException as error:
            failures.append(error)
            barrier.abort()
            for pair in pairs:
                queues[pair].put(STOPPED)

    threads = [threading.Thread(target=serve, args=(party,), daemon=True) for party in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * WAIT)
    if failures:
        real = [error for error in failures if not isinstance(error, PartyLost | threading.BrokenBarrierError)]
        raise (real or failures)[0]
    sent = [message for channel in channels for message in channel.record]
    return Run(results, sent, max(channel.traffic.rounds for channel in channels))


@pytest.fixture(scope="session")
def parties() -> Callable[..., Run]:
    """`run_parties`, for tests that cannot import a conftest."""
    return run_parties
