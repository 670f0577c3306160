"""Correlated and random transfers: what both parties get fits together, is used once, and costs what is declared."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lingqu.kinds.channel import Channel
from lingqu.kinds.errors import BadInput, ProtocolViolation
from lingqu.net.memory import memory_channels
from lingqu.ot import Correlations, connect
from lingqu.ot.costs import FIRST_ROWS, TREE_BYTES, correlation_cost, extensions, rows_of, setup_cost, trees_of

Pair = list[Correlations]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 63, 1000, 4097, 300_001])
@pytest.mark.parametrize("sender", [0, 1])
def test_rows_correlate(pair: Pair, sender: int, count: int) -> None:
    delta, q = pair[sender].sending.take(count)
    bits, t = pair[1 - sender].receiving.take(count)
    assert q.shape == t.shape == (count, 2)
    assert bits.shape == (count,)
    np.testing.assert_array_equal(t, q ^ bits[:, None] * delta)
    assert pair[sender].sending.position == pair[1 - sender].receiving.position


@pytest.mark.parametrize("log", [1, 2, 3, 4, 8])
def test_the_receiver_gets_the_key_of_its_choice_alone(pair: Pair, log: int) -> None:
    keys = pair[0].sending.keys(501, log)
    choices, mine = pair[1].receiving.keys(501, log)
    same = (keys == mine[:, None]).all(axis=2)
    np.testing.assert_array_equal(same, np.arange(1 << log) == choices[:, None])
    assert len(np.unique(keys.reshape(-1, 2), axis=0)) == 501 << log


@pytest.mark.parametrize("log", [1, 2, 4])
def test_masks_are_the_keys_lowest_bytes(pair: Pair, log: int) -> None:
    masks = pair[0].sending.masks(2000, log)
    choices, mine = pair[1].receiving.masks(2000, log)
    assert masks.shape == (2000, 1 << log)
    np.testing.assert_array_equal(masks[np.arange(2000), choices], mine)


def deviation(bits: np.ndarray[Any, Any]) -> float:
    """Standard deviations by which the number of ones differs from half."""
    return abs(float(bits.sum()) - bits.size / 2) / (math.sqrt(bits.size) / 2)


def test_bits_and_rows_look_uniform(pair: Pair) -> None:
    """Each of 130 statistics is normal; any of them beyond 6 deviations has a false-alarm rate below 1e-6 in all."""
    _, q = pair[0].sending.take(1 << 16)
    bits, _ = pair[1].receiving.take(1 << 16)
    planes = np.unpackbits(np.ascontiguousarray(q).view(np.uint8), axis=1, bitorder="little")
    assert not planes[:, 0].any()
    assert all(deviation(planes[:, i]) < 6 for i in range(1, 128))
    assert deviation(bits) < 6
    assert deviation(bits[1:] ^ bits[:-1]) < 6
    assert deviation(planes[1:, 1:] ^ planes[:-1, 1:]) < 6


def test_two_sessions_share_nothing(both: Callable[..., Any]) -> None:
    def ready(channel: Channel) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None:
        session = connect(channel)
        if channel.party == 1:
            session.receiving.prepare(64)
            return None
        return session.sending.take(64)

    (one, q), (other, r) = both(ready).results[0], both(ready).results[0]
    assert (one != other).any()
    assert not (q == r).all(axis=1).any()


def test_costs_are_as_declared(both: Callable[..., Any]) -> None:
    """The setup and then takes of one direction, over three extensions."""
    assert both(connect).bytes == setup_cost().bytes
    assert both(connect).rounds == setup_cost().rounds
    first = rows_of(trees_of(0))
    steps = [0, 10, first, 5, rows_of(trees_of(1))]

    def work(channel: Channel) -> None:
        session = connect(channel)
        for count in steps:
            if channel.party == 0:
                session.sending.take(count)
            else:
                session.receiving.take(count)

    run = both(work)
    trees = extensions(0, 10) + extensions(1, 10) + extensions(2, 5)
    assert run.bytes == setup_cost().bytes + TREE_BYTES * sum(trees)
    assert both(lambda channel: take(channel, 10)).bytes == setup_cost().bytes + correlation_cost(10).bytes
    many = first + 100_000
    assert both(lambda channel: take(channel, many)).bytes == setup_cost().bytes + correlation_cost(many).bytes


def take(channel: Channel, count: int) -> None:
    """A session that takes once from one direction."""
    session = connect(channel)
    if channel.party == 0:
        session.sending.take(count)
    else:
        session.receiving.take(count)


def test_extensions_grow_to_the_parameters_most_and_at_once_to_what_is_missing() -> None:
    assert rows_of(trees_of(0)) >= FIRST_ROWS
    assert trees_of(3) == trees_of(9) == 4971
    assert 3_000_000 <= rows_of(trees_of(0, 3_000_000)) < 3_002_048
    assert extensions(0, 0) == extensions(2, -5) == []
    assert extensions(0, 1) == [trees_of(0)]
    assert extensions(0, 12_000_000) == [4971, trees_of(1, 12_000_000 - rows_of(4971))]


def test_the_transcript_has_one_shape(both: Callable[..., Any]) -> None:
    def work(channel: Channel) -> None:
        session = connect(channel)
        session.sending.prepare(5)
        session.receiving.prepare(5)

    assert both(work).shape == both(work).shape


@pytest.mark.parametrize("index", range(4))
def test_altered_messages_end_the_session_or_match_nothing(both: Callable[..., Any], index: int) -> None:
    """Party 0's base messages of another length or kind are refused; altered blocks give rows that do not fit."""

    def flip(at: int, message: bytes) -> bytes:
        return b"\xff" * len(message) if at == index else message

    run = both(connect, flip, fail=True)
    if index < 2:
        assert isinstance(run.errors[1], ProtocolViolation)
    else:
        assert run.errors == [None, None]


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("cut", [slice(0, -1), slice(0, 0)])
def test_truncated_messages_end_the_session(both: Callable[..., Any], index: int, cut: slice) -> None:
    run = both(connect, lambda at, message: message[cut] if at == index else message, fail=True)
    assert isinstance(run.errors[1], ProtocolViolation)


def test_an_identity_element_is_refused(both: Callable[..., Any]) -> None:
    run = both(connect, lambda at, message: bytes(32) if at == 1 else message, fail=True)
    assert isinstance(run.errors[1], ProtocolViolation)
    assert "identity" in str(run.errors[1])


def test_wrong_sizes_are_refused(pair: Pair) -> None:
    with pytest.raises(BadInput):
        pair[0].sending.take(-1)
    with pytest.raises(ValueError, match="log"):
        pair[0].sending.keys(1, 9)
    with pytest.raises(BadInput):
        connect(memory_channels(("a", "b", "c"))[0])
    assert "0x" not in repr(pair[0].sending)
