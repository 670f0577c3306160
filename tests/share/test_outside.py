"""Owners and recipients that do not compute, with every mechanism that serves them: values, costs, traffic."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import pytest

from lingqu.kinds.channel import Buffer, Channel, Tag
from lingqu.kinds.errors import BadInput, LingquError, PartyLost, ProtocolViolation
from lingqu.kinds.mechanism import Adversary, Cost, installed
from lingqu.net.inner import InnerChannel
from lingqu.net.memory import memory_channels
from lingqu.share.outside import Doorway, Outsider

MECHANISMS = sorted(point.name for point in entry_points(group="lingqu.doorways"))
CHI_SQUARE_LIMIT = 377.1
"""The chi-square distribution with 255 degrees of freedom passes this with probability 1e-6."""
Sent = tuple[int, int, int, bytes]


class Heard:
    """A channel that keeps what its party sends."""

    def __init__(self, channel: Channel, record: list[Sent]) -> None:
        self._channel = channel
        self._record = record

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        self._record.append((self._channel.party, to, int(tag), bytes(data)))
        self._channel.send(to, data, tag)


@dataclass
class Ran:
    """cost: after the keys were agreed.  sent: by each party, in order, after that."""

    results: list[Any]
    cost: Cost
    sent: list[list[Sent]]

    @property
    def shapes(self) -> list[list[tuple[int, int, int, int]]]:
        return [[(a, b, tag, len(data)) for a, b, tag, data in row] for row in self.sent]


def run(
    name: str,
    inside: Callable[..., Any],
    outside: Callable[[Outsider, int], Any],
    outsiders: int = 1,
    wrapped: Callable[[int, Any], Any] = lambda place, channel: channel,
) -> Ran:
    """Every party in a thread: `inside(machine, door)` at the compute parties, `outside(outsider, index)` elsewhere.

    wrapped: (index, channel) → the channel that the party uses.
    """
    count = installed().get(name).threat.parties
    machines = next(iter(entry_points(group="lingqu.machines", name=name))).load()
    doorway: Doorway = next(iter(entry_points(group="lingqu.doorways", name=name))).load()
    channels = memory_channels([f"p{i}" for i in range(count + outsiders)], timeout=20)
    sent: list[list[Sent]] = [[] for _ in channels]
    before: list[int] = [0] * len(channels)
    depth: list[int] = [0] * len(channels)
    ready = threading.Barrier(len(channels))

    def party(place: int) -> Any:
        channel: Any = wrapped(place, Heard(channels[place], sent[place]))
        try:
            if place < count:
                machine = machines(InnerChannel(channel, count))
                work = functools.partial(inside, machine, doorway.door(machine, channel))
            else:
                work = functools.partial(outside, doorway.outsider(channel), place)
            for _ in range(2):  # all count their rounds from one number
                for peer in set(range(len(channels))) - {place}:
                    channel.send(peer, b"", Tag.DOCUMENT)
                for peer in set(range(len(channels))) - {place}:
                    channel.receive(peer, 0, Tag.DOCUMENT)
            ready.wait(20)
            sent[place].clear()
            before[place], depth[place] = channel.traffic.sent, channel.traffic.rounds
        except BaseException:
            ready.abort()
            channel.close()
            raise
        ready.wait(20)
        try:
            return work()
        except BaseException:  # the others may not have left the barrier yet: it is not to be broken
            channel.close()
            raise

    with ThreadPoolExecutor(len(channels)) as pool:
        results = [task.result() for task in [pool.submit(party, place) for place in range(len(channels))]]
    start = max(depth)
    rounds = max(channel.traffic.rounds for channel in channels) - start
    total = sum(channel.traffic.sent for channel in channels) - sum(before)
    return Ran(results, Cost(max(rounds, 0), total), sent)


@pytest.mark.parametrize("name", MECHANISMS)
def test_what_an_outside_owner_shares_is_what_the_parties_compute_on(name: str) -> None:
    count = installed().get(name).threat.parties
    values = np.array([[0, 1, -1], [2**62, -(2**62), 7]])
    words = np.array([0, 1, 2**37 - 1, 5], np.uint64)

    def inside(machine: Any, door: Any) -> Any:
        first = door.input(count, None, (2, 3))
        second = door.input(count + 1, None, (2, 3))
        key = door.input_bits(count, None, (4,), 37)
        door.reveal(machine.add(first, second), count + 1)
        return machine.reveal(first), machine.reveal_bits(key)

    def outside(outsider: Outsider, place: int) -> Any:
        outsider.input(values if place == count else values * 0 + 5, (2, 3))
        if place == count:
            outsider.input_bits(words, (4,), 37)
            return None
        return outsider.receive((2, 3))

    ran = run(name, inside, outside, outsiders=2)
    for opened, bits in ran.results[:count]:
        assert np.array_equal(opened, values)
        assert np.array_equal(bits, words)
    assert np.array_equal(ran.results[-1], values + 5)


OPERATIONS: dict[str, tuple[dict[str, int], Any, Any]] = {
    "input_outside": (
        {"rows": 300, "columns": 2},
        lambda m, door, place: door.input(place, None, (300, 2)),
        lambda o, array: o.input(array[:600].reshape(300, 2), (300, 2)),
    ),
    "input_bits_outside": (
        {"rows": 300, "bits": 37},
        lambda m, door, place: door.input_bits(place, None, (300,), 37),
        lambda o, array: o.input_bits(array[:300] & (2**37 - 1), (300,), 37),
    ),
    "reveal_outside": (
        {"rows": 300, "columns": 2},
        lambda m, door, place: door.reveal(m.constant(np.zeros((300, 2), np.int64)), place),
        lambda o, array: o.receive((300, 2)),
    ),
}


def _with(outside: Any, array: Any, outsider: Outsider, place: int) -> Any:
    return outside(outsider, array)


@pytest.mark.parametrize("name", MECHANISMS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_costs_and_shapes_are_as_declared(name: str, operation: str) -> None:
    declaration = installed().get(name)
    sizes, inside, outside = OPERATIONS[operation]
    arrays = [np.zeros(600, np.int64), np.random.default_rng(3).integers(0, 2**62, 600)]
    place = declaration.threat.parties
    runs = [
        run(name, functools.partial(inside, place=place), functools.partial(_with, outside, array)) for array in arrays
    ]
    assert runs[0].cost == declaration.cost(operation, sizes)
    assert runs[0].shapes == runs[1].shapes


@pytest.mark.parametrize("name", MECHANISMS)
def test_what_each_compute_party_receives_is_uniform(name: str) -> None:
    """Every party's view of an input is random whatever the values are; a recipient's view adds up to them alone."""
    count = installed().get(name).threat.parties
    shape = (2000, 2)

    def inside(machine: Any, door: Any) -> None:
        x = door.input(count, None, shape)
        door.reveal(machine.multiply(x, machine.constant(np.ones(shape, np.int64))), count)

    def outside(outsider: Outsider, place: int) -> Any:
        outsider.input(np.zeros(shape, np.int64), shape)
        return outsider.receive(shape)

    ran = run(name, inside, outside)
    assert not np.any(ran.results[-1])
    for sender, to, tag, data in (message for row in ran.sent for message in row):
        if count in (sender, to) and tag == Tag.ELEMENTS:
            counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
            expected = len(data) / 256
            assert ((counts - expected) ** 2 / expected).sum() < CHI_SQUARE_LIMIT, (sender, to)


@pytest.mark.parametrize("name", MECHANISMS)
def test_only_outside_parties_come_through_the_door(name: str) -> None:
    def inside(machine: Any, door: Any) -> None:
        with pytest.raises(BadInput):
            door.input(0, None, (1,))

    run(name, inside, lambda o, place: None)


CHECKED = sorted(name for name in MECHANISMS if installed().get(name).threat.adversary is Adversary.MALICIOUS_ABORT)


@dataclass
class Altered:
    """A channel that alters one of its party's messages: the first of a tag to a peer, after the keys."""

    channel: Channel
    to: int
    tag: Tag
    skip: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.channel, name)

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        changed = bytearray(bytes(data))
        if (to, tag) == (self.to, self.tag):
            self.skip -= 1
            if self.skip < 0:
                changed[0] ^= 1
        self.channel.send(to, bytes(changed), tag)


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize(
    ("who", "to", "tag", "skip"),
    [
        (3, 1, Tag.ELEMENTS, 0),  # the owner gives two parties different shares
        (3, 0, Tag.SEED, 0),  # or different keys
        (1, 2, Tag.SEED, 1),  # a party claims that it got something else
        (0, 3, Tag.ELEMENTS, 0),  # a party opens another share of the result
        (2, 3, Tag.SEED, 0),  # or another digest
    ],
)
def test_one_deviation_is_found_and_nothing_is_opened(name: str, who: int, to: int, tag: Tag, skip: int) -> None:
    def inside(machine: Any, door: Any) -> None:
        x = door.input(3, None, (4,))
        door.reveal(machine.multiply(x, x), 3)

    def outside(outsider: Outsider, place: int) -> Any:
        outsider.input(np.arange(4), (4,))
        return outsider.receive((4,))

    with pytest.raises(LingquError) as caught:
        run(
            name,
            inside,
            outside,
            wrapped=lambda place, channel: Altered(channel, to, tag, skip) if place == who else channel,
        )
    assert isinstance(caught.value, ProtocolViolation | PartyLost)


def test_an_inner_channel_reaches_nobody_outside() -> None:
    channels = memory_channels(["a", "b", "c"])
    inner = InnerChannel(channels[0], 2)
    assert inner.parties == ("a", "b")
    assert inner.party == 0
    inner.send(1, b"x" * 8)
    assert InnerChannel(channels[1], 2).receive(0, 8) == b"x" * 8
    for broken in (
        lambda: inner.send(2, b""),
        lambda: inner.receive(2, 8),
        lambda: inner.receive_document(2, 8),
        lambda: InnerChannel(channels[2], 2),
        lambda: InnerChannel(channels[0], 4),
    ):
        with pytest.raises(LingquError):
            broken()
    inner.close()
