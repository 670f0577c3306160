"""Channels between threads: the contract that every channel keeps."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import BadInput, PartyLost
from lingqu.net.memory import memory_channels
from lingqu.wire.frames import BadTag, TooLong, WrongSize

NAMES = ("ant", "bee", "cat")


def test_messages_arrive_in_order_and_are_copies() -> None:
    a, b, _ = memory_channels(NAMES)
    words = np.arange(4, dtype=np.uint64)
    a.send(1, words.data)
    words[:] = 0
    a.send(1, b"", Tag.BITS)
    a.send(1, b"{}", Tag.DOCUMENT)
    assert np.frombuffer(b.receive(0, 32), dtype=np.uint64).tolist() == [0, 1, 2, 3]
    assert b.receive(0, 0, Tag.BITS) == b""
    assert b.receive_document(0, 2) == b"{}"


def test_rounds_follow_the_longest_chain_and_bytes_are_counted() -> None:
    a, b, c = memory_channels(NAMES)
    a.send(1, bytes(8))
    a.send(2, bytes(16))
    b.receive(0, 8)
    b.send(2, bytes(24))
    c.receive(0, 16)
    assert c.traffic.rounds == 1
    c.receive(1, 24)
    assert (c.traffic.rounds, c.traffic.received, c.traffic.sent, c.traffic.messages) == (2, 40, 0, 0)
    assert (a.traffic.rounds, a.traffic.sent, a.traffic.messages) == (0, 24, 2)


@pytest.mark.parametrize(
    ("size", "tag", "fault"), [(16, Tag.BITS, BadTag), (8, Tag.ELEMENTS, TooLong), (24, Tag.ELEMENTS, WrongSize)]
)
def test_an_unexpected_message_ends_the_session(size: int, tag: Tag, fault: type[Exception]) -> None:
    a, b, c = memory_channels(NAMES)
    a.send(1, bytes(16))
    c.send(1, bytes(8))
    with pytest.raises(fault):
        b.receive(0, size, tag)
    with pytest.raises(fault):
        b.send(0, b"")
    with pytest.raises(PartyLost, match="bee"):
        a.receive(1, 8)


def test_silence_and_departure_name_the_party() -> None:
    _, b, _ = memory_channels(NAMES, timeout=0.05)
    for _ in range(2):
        with pytest.raises(PartyLost, match="cat") as lost:
            b.receive(2, 8)
        assert lost.value.party == "cat"
    a, b, c = memory_channels(NAMES)
    c.send(0, bytes(8))
    c.close()
    c.close()
    assert a.receive(2, 8) == bytes(8)
    for _ in range(2):
        with pytest.raises(PartyLost) as lost:
            a.receive(2, 8)
        assert lost.value.party == "cat"
    with pytest.raises(PartyLost):
        c.send(0, b"")
    assert b.party == 1


def test_a_waiting_party_wakes_when_the_peer_leaves() -> None:
    a, b, _ = memory_channels(NAMES)
    caught: list[PartyLost] = []

    def wait() -> None:
        with pytest.raises(PartyLost) as lost:
            b.receive(0, 8)
        caught.append(lost.value)

    thread = threading.Thread(target=wait)
    thread.start()
    a.close()
    thread.join(10)
    assert caught[0].party == "ant"


def test_bad_addresses_names_and_lengths_are_errors() -> None:
    channels: list[Channel] = list(memory_channels(NAMES))
    with pytest.raises(BadInput):
        channels[0].send(0, b"")
    with pytest.raises(BadInput):
        channels[0].receive(3, 0)
    with pytest.raises(BadInput):
        channels[0].send(1, bytes(65), Tag.SEED)
    with pytest.raises(BadInput):
        memory_channels(("ant", "ant"))
    with pytest.raises(BadInput):
        memory_channels(NAMES, session=b"short")
