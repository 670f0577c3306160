"""What a hostile peer may try against every protocol of two parties, each ended or without effect.

Points that are none are in test_ecdh.py and test_curves.py; parties that cheat within the rules' form in
test_malicious.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingqu.kinds.channel import Buffer, Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation, Refused
from lingqu.psi import PROTOCOLS, Elements, Terms, elements, intersect
from lingqu.psi.many import NAME as MANY

Both = Callable[..., Any]
TWO = [name for name in PROTOCOLS if name != MANY]
EVALUATING = ["psi.rr22", "psi.rr22.malicious"]
INVALID = json.loads((Path(__file__).parent / "vectors" / "ristretto255.json").read_text())["invalid"]


def held(values: Any) -> Elements:
    return elements([list(values)], ["exact/1"])


def run(both: Both, name: str, one: Any, two: Any, wrap: Any = None, **other: Any) -> Any:
    agreed = Terms(protocol=name, forms=("exact/1",), **other)
    return both(lambda c: intersect(c, held(one), agreed), lambda c: intersect(c, held(two), agreed), wrap)


class Through:
    """A channel whose messages pass through a function of their number, counted from zero."""

    def __init__(self, channel: Channel, alter: Callable[[int, bytes], bytes]) -> None:
        self._channel = channel
        self._alter = alter
        self._number = -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        self._number += 1
        self._channel.send(to, self._alter(self._number, bytes(data)), tag)


def only(number: int, alter: Callable[[bytes], bytes]) -> Callable[[Channel], Through]:
    return lambda channel: Through(channel, lambda at, data: alter(data) if at == number else data)


def lengths(both: Both, name: str, receiver: int) -> list[int]:
    """The lengths of party 1's messages."""
    seen: list[int] = []

    def listen(at: int, data: bytes) -> bytes:
        seen.append(len(data))
        return data

    run(both, name, range(30), range(10, 50), lambda c: Through(c, listen), recipients=(receiver,))
    return seen


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("receiver", [0, 1])
def test_ten_times_the_announced_data_and_cut_messages_end_the_session(both: Both, name: str, receiver: int) -> None:
    for number, length in enumerate(lengths(both, name, receiver)):
        for alter in (lambda data: 10 * data, lambda data: data[:-1], lambda data: b""):
            if length == 0:
                continue
            with pytest.raises((ProtocolViolation, Refused, BadInput)):  # BadInput: no frame of this type is as long
                run(both, name, range(30), range(10, 50), only(number, alter), recipients=(receiver,))


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("size", [41, 39, 1 << 20, 1 << 60])
def test_a_set_of_another_size_than_declared_ends_the_session(both: Both, name: str, size: int) -> None:
    def lie(data: bytes) -> bytes:
        return data[:32] + size.to_bytes(8, "little") + data[40:]

    with pytest.raises((ProtocolViolation, Refused)):
        run(both, name, range(30), range(10, 50), only(0, lie))


@pytest.mark.parametrize("name", TWO)
def test_a_set_that_was_declared_as_empty_is_not_read(both: Both, name: str) -> None:
    try:
        found = run(both, name, range(30), range(10, 50), only(0, lambda d: d[:32] + bytes(8) + d[40:])).results
    except ProtocolViolation:
        return
    assert found[0].size == 0


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("receiver", [0, 1])
def test_messages_of_an_old_session_match_nothing_in_a_new_one(both: Both, name: str, receiver: int) -> None:
    """Replayed from the first message of the protocol on: it ends, or the result holds nothing that was not shared."""
    old: list[bytes] = []

    def record(at: int, data: bytes) -> bytes:
        old.append(data)
        return data

    def replay(at: int, data: bytes) -> bytes:
        return old[at] if at and at < len(old) and len(old[at]) == len(data) else data

    run(both, name, range(30), range(10, 50), lambda c: Through(c, record), recipients=(receiver,))
    try:
        again = run(both, name, range(30), range(10, 50), lambda c: Through(c, replay), recipients=(receiver,))
    except ProtocolViolation:
        return
    assert again.results[receiver].size == 0


@pytest.mark.parametrize("name", TWO)
def test_a_salt_is_not_used_twice_though_the_peer_repeats_its_own(both: Both, name: str) -> None:
    """The peer sends one hello in both sessions: what depends on the salt differs all the same."""
    hellos: list[bytes] = []
    seen: list[list[bytes]] = [[], []]

    def first(at: int, data: bytes) -> bytes:
        if at == 0:
            hellos.append(data)
            return hellos[0]
        return data

    class Both0(Through):
        """Records what party 0 sends after its hello."""

    for number in (0, 1):
        agreed = Terms(protocol=name, forms=("exact/1",))

        def honest(channel: Channel, number: int = number, agreed: Terms = agreed) -> Any:
            def note(at: int, data: bytes) -> bytes:
                seen[number].append(data)
                return data

            return intersect(Both0(channel, note), held(range(20)), agreed)

        try:
            both(honest, lambda c, agreed=agreed: intersect(Through(c, first), held(range(20)), agreed))
        except ProtocolViolation:
            assert number == 1  # the two sides' salts differ, as the peer counts on another hello than it sent
    assert len(hellos) == 2
    assert all(one != two for one, two in zip(*seen, strict=False))


@pytest.mark.parametrize("name", EVALUATING)
@pytest.mark.parametrize("receiver", [0, 1])
@pytest.mark.parametrize("bad", [*INVALID, "00" * 32])
def test_base_elements_that_are_none_end_the_session(both: Both, name: str, receiver: int, bad: str) -> None:
    """Not canonical, off the curve, of low or mixed order, and the identity; from the one side or the other."""
    point = bytes.fromhex(bad)
    with pytest.raises(ProtocolViolation, match="canonical"):
        run(both, name, range(9), range(5, 20), only(1, lambda d: point + d[32:]), recipients=(receiver,))


@pytest.mark.parametrize("name", TWO)
def test_messages_and_their_order_do_not_depend_on_how_many_match(both: Both, name: str) -> None:
    """Of both parties: how many messages, how long, and which before which; kernels read all that they may read."""
    found = []
    for first in (0, 20, 60):
        orders: list[tuple[int, int]] = []

        def listen(at: int, data: bytes, orders: list[tuple[int, int]] = orders) -> bytes:
            orders.append((at, len(data)))
            return data

        traffic = run(both, name, range(60), range(first, first + 60), lambda c, f=listen: Through(c, f)).traffic
        found.append((orders, [(one.sent, one.messages, one.rounds) for one in traffic]))
    assert found[0] == found[1] == found[2]
