"""A session of parties in threads, over channels that count rounds and bytes and keep every message."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.share.dealer import Dealer

from lingqu.kinds.channel import Buffer, Tag, Traffic
from lingqu.kinds.errors import PartyLost, ProtocolViolation
from lingqu.share import Machine
from lingqu.share.plain import Plain
from lingqu.share.rep3 import connect, malicious
from lingqu.share.two.machine import Two
from lingqu.share.two.session import Session, pair_key

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
        self.parties = NAMES[: 1 + max(sender for sender, _ in queues)]
        self.session = 0
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


Work = Callable[[Any], Any]
SESSIONS = itertools.count(11)


def connect_two(channel: TestChannel) -> Machine:
    """Two parties with a dealer in place of transfers and lattices, who deals anew in every session."""
    return Two(Session(channel, pair_key(channel), Dealer(channel.party, channel.session)))


PROTOCOLS: dict[str, tuple[int, Callable[[TestChannel], Machine]]] = {
    "rep3": (3, connect),
    "two": (2, connect_two),
    "malicious": (3, malicious.connect),
}


def run_parties(work: Work, prepare: Work | None = None, protocol: str = "rep3") -> Run:
    """Run the same work at all parties; with `prepare`, the work gets its result and only the work is counted.

    work: takes the machine (and the prepared value).
    """
    count, join = PROTOCOLS[protocol]
    pairs = [(a, b) for a in range(count) for b in range(count) if a != b]
    queues: dict[tuple[int, int], queue.Queue[Sent]] = {pair: queue.Queue() for pair in pairs}
    channels = [TestChannel(party, queues) for party in range(count)]
    number = next(SESSIONS)
    for channel in channels:
        channel.session = number
    results: list[Any] = [None] * count
    failures: list[BaseException] = []
    barrier = threading.Barrier(count)

    def serve(party: int) -> None:
        channel = channels[party]
        try:
            machine = join(channel)
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

    threads = [threading.Thread(target=serve, args=(party,), daemon=True) for party in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * WAIT)
    if failures:
        real = [error for error in failures if not isinstance(error, PartyLost | threading.BrokenBarrierError)]
        raise (real or failures)[0]
    sent = [message for channel in channels for message in channel.record]
    return Run(results, sent, max(channel.traffic.rounds for channel in channels))


@dataclass(frozen=True)
class Parties:
    """`run_parties` of one protocol, for tests that cannot import a conftest."""

    protocol: str

    def __call__(self, work: Work, prepare: Work | None = None) -> Run:
        return run_parties(work, prepare, self.protocol)

    @property
    def count(self) -> int:
        return PROTOCOLS[self.protocol][0]

    def twin(self) -> Plain:
        return Plain(self.count)


@pytest.fixture(scope="session", params=["rep3", "two"])
def parties(request: pytest.FixtureRequest) -> Parties:
    """Every protocol of its own kind in turn; what malicious adds has its own tests."""
    return Parties(request.param)


@pytest.fixture(scope="session")
def rep3() -> Parties:
    """Three parties."""
    return Parties("rep3")


@pytest.fixture(scope="session")
def two() -> Parties:
    """Two parties."""
    return Parties("two")


@pytest.fixture(scope="session")
def checked_parties() -> Parties:
    """Three parties with proofs of every message."""
    return Parties("malicious")
