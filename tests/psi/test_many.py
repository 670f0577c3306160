"""psi.many against Python's sets, its declared messages, and parties that deviate."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.kinds.channel import Buffer, Channel, Tag, Traffic
from lingqu.kinds.errors import BadInput, PartyLost, ProtocolViolation, Refused
from lingqu.net.memory import memory_channels
from lingqu.psi import MANY, Elements, Intersection, Result, Terms, elements, intersect
from lingqu.psi.many import NAME

NAMES = ("alpha", "beta", "gamma", "delta")


def terms(**other: Any) -> Terms:
    return Terms(protocol=NAME, forms=("exact/1",), **other)


def held(values: Sequence[Any]) -> Elements:
    return elements([list(values)], ["exact/1"]) if values else elements([np.zeros(0, np.int64)], ["exact/1"])


def run(
    sets: Sequence[Sequence[Any]],
    agreed: Terms | Sequence[Terms],
    wrap: Callable[[int, Channel], Channel] = lambda party, channel: channel,
) -> tuple[list[Intersection], list[Traffic]]:
    """Every party in a thread of its own; raises the first failure that is not a peer's end."""
    channels = memory_channels(NAMES[: len(sets)], timeout=20)
    results: dict[int, Intersection] = {}
    failures: list[BaseException] = []

    def serve(party: int) -> None:
        one = agreed if isinstance(agreed, Terms) else agreed[party]
        try:
            results[party] = intersect(wrap(party, channels[party]), held(sets[party]), one)
        except BaseException as error:
            failures.append(error)
            channels[party].close()

    threads = [threading.Thread(target=serve, args=(party,), daemon=True) for party in range(len(sets))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failures:
        raise ([error for error in failures if not isinstance(error, PartyLost)] or failures)[0]
    return [results[party] for party in range(len(sets))], [channel.traffic for channel in channels]


@settings(max_examples=5, deadline=None)
@given(st.lists(st.sets(st.text(max_size=2), max_size=20), min_size=3, max_size=4), st.integers(0, 2) | st.none())
def test_agrees_with_sets(sets: list[set[str]], leader: int | None) -> None:
    sides = [sorted(one) for one in sets]
    recipients = tuple(range(len(sides))) if leader is None else (leader,)
    found, _ = run(sides, terms(recipients=recipients))
    common = functools.reduce(set.intersection, sets)
    for party, (own, result) in enumerate(zip(sides, found, strict=True)):
        if party in recipients:
            assert result.elements is not None
            assert {own[i] for i in result.elements} == common
            assert result.size == len(common)
        else:
            assert result.elements is None
            assert result.size is None


@pytest.mark.parametrize("told", [(0,), (0, 1, 2), (0, 1, 2, 3)])
def test_traffic_depends_on_sizes_and_the_result_alone_and_is_as_declared(told: tuple[int, ...]) -> None:
    """Who has what beside the elements that all have: in the second world two of three share far more."""
    shapes = []
    for third in (range(90, 390), [*range(90, 100), *range(500, 790)]):
        sets = [range(100), range(300), third, *([range(80, 380)] if len(told) == 4 else [])]
        _, traffic = run(sets, terms(recipients=told))
        shapes.append([(one.sent, one.messages, one.rounds) for one in traffic])
    assert shapes[0] == shapes[1]
    sizes = {"leader": 100, "others": 300, "parties": max(3, len(told))} | ({"found": 10} if len(told) > 1 else {})
    declared = MANY.cost("intersect_many", sizes)
    assert declared.bytes == sum(sent for sent, _, _ in shapes[0])
    assert declared.rounds == max(rounds for _, _, rounds in shapes[0])


@pytest.mark.parametrize("sizes", [(2, 3, 5), (2, 4, 4), (3, 3, 4)])
def test_another_number_than_agreed_beforehand_ends_the_session(sizes: tuple[int, ...]) -> None:
    sets = [range(2), range(3), range(4)]
    with pytest.raises(ProtocolViolation, match=r"elements, \d are agreed"):
        run(sets, terms(sizes=sizes))
    assert run(sets, terms(sizes=(2, 3, 4)))[0][0].size == 2


def test_what_two_of_three_share_is_not_found() -> None:
    found, _ = run([range(50), range(50), range(100, 150)], terms())
    assert found[0].size == 0


class Altering:
    """A channel whose messages to party 0 pass through a function of their number, counted from zero."""

    def __init__(self, channel: Channel, alter: Callable[[int, bytes], bytes]) -> None:
        self._channel = channel
        self._alter = alter
        self._number = -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        if to == 0:
            self._number += 1
            data = self._alter(self._number, bytes(data))
        self._channel.send(to, data, tag)


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("cut", [lambda data: data[:-1], lambda data: 10 * data], ids=["short", "tenfold"])
def test_messages_of_another_length_end_the_session(number: int, cut: Callable[[bytes], bytes]) -> None:
    """Party 2's messages to the leader: hello, key, base, trees, seed, store; there is no seventh."""

    def wrap(party: int, channel: Channel) -> Any:
        return Altering(channel, lambda at, data: cut(data) if at == number else data) if party == 2 else channel

    sets = [range(20), range(10, 40), range(15, 30)]
    if number == 6:
        assert run(sets, terms(), wrap)[0][0].size == 5
        return
    with pytest.raises((ProtocolViolation, BadInput)):
        run(sets, terms(), wrap)


def test_a_party_that_shows_different_hellos_to_others_is_found() -> None:
    def wrap(party: int, channel: Channel) -> Any:
        flip = lambda at, data: data[:-1] + bytes([data[-1] ^ 1]) if at == 0 else data  # noqa: E731
        return Altering(channel, flip) if party == 2 else channel

    with pytest.raises(ProtocolViolation, match="other sizes or randomness"):
        run([range(5), range(5), range(5)], terms(), wrap)


def test_a_leader_that_tells_of_elements_that_a_party_has_not_is_found() -> None:
    class Lying(Altering):
        def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
            self._number += 1
            last = len(bytes(data)) == 16 * 5 and to == 1
            self._channel.send(to, bytes(80) if last else data, tag)

    def wrap(party: int, channel: Channel) -> Any:
        return Lying(channel, lambda at, data: data) if party == 0 else channel

    with pytest.raises(ProtocolViolation, match="has not"):
        run([range(5), range(5), range(5)], terms(recipients=(0, 1, 2)), wrap)


def test_other_terms_and_too_many_elements_end_it() -> None:
    other = [terms(), terms(), terms(largest=77)]
    with pytest.raises(ProtocolViolation, match="other terms"):
        run([range(5)] * 3, other)
    with pytest.raises(Refused) as raised:
        run([range(5), range(12), range(5)], terms(largest=11))
    assert raised.value.term == "set-size"


@pytest.mark.parametrize("bad", [{"recipients": (0, 1)}, {"recipients": (7,)}, {"result": Result.SIZE}])
def test_what_is_not_offered_is_bad_input(bad: dict[str, Any]) -> None:
    channel = memory_channels(NAMES[:3])[0]
    with pytest.raises(BadInput):
        intersect(channel, held(range(3)), terms(**bad))


def test_two_parties_take_another_protocol() -> None:
    with pytest.raises(BadInput, match="for two"):
        intersect(memory_channels(NAMES[:2])[0], held(range(3)), terms())
