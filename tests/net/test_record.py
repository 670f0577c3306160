"""Recordings, replay, and channels shaped like slower networks."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import BadInput, PartyLost, ProtocolViolation
from lingqu.net.memory import memory_channels
from lingqu.net.record import Direction, RecordingChannel, ReplayChannel, Shape, read_recording
from lingqu.net.shaped import ShapedChannel
from lingqu.wire.frames import TooLong

NAMES = ("ant", "bee")


def doubling(channel: Channel, secret: bytes = b"12345678") -> None:
    """Party 0 sends eight bytes and a document, and gets the eight bytes twice."""
    channel.send(1, secret)
    channel.send(1, b"{}", Tag.DOCUMENT)
    assert channel.receive(1, 16) == 2 * secret


def answering(channel: Channel) -> None:
    """Party 1 of the same protocol."""
    data = channel.receive(0, 8)
    assert channel.receive_document(0, 10) == b"{}"
    channel.send(0, data + data)


def record(path: Path, secret: bytes) -> None:
    a, b = memory_channels(NAMES)
    recorded = RecordingChannel(a, path)
    thread = threading.Thread(target=answering, args=(b,))
    thread.start()
    doubling(recorded, secret)
    thread.join()
    assert (recorded.party, recorded.parties) == (0, NAMES)
    recorded.close()


def test_a_recording_holds_every_message_in_the_clear(tmp_path: Path) -> None:
    record(tmp_path / "one", b"12345678")
    record(tmp_path / "two", b"abcdefgh")
    one, two = read_recording(tmp_path / "one"), read_recording(tmp_path / "two")
    assert (one.party, one.parties) == (0, NAMES)
    assert one.shape == (
        Shape(Direction.SENT, 1, Tag.ELEMENTS, 1, 8),
        Shape(Direction.SENT, 1, Tag.DOCUMENT, 1, 2),
        Shape(Direction.RECEIVED, 1, Tag.ELEMENTS, 2, 16),
    )
    assert one.shape == two.shape
    assert one.messages[0].data == b"12345678"
    assert two.messages[2].data == b"abcdefghabcdefgh"


def test_a_replayed_party_meets_the_same_messages_and_must_send_the_same(tmp_path: Path) -> None:
    record(tmp_path / "one", b"12345678")
    recording = read_recording(tmp_path / "one")
    replay = ReplayChannel(recording)
    doubling(replay)
    assert replay.finished
    assert (replay.traffic.sent, replay.traffic.received, replay.traffic.messages, replay.traffic.rounds) == (
        10,
        16,
        2,
        2,
    )
    with pytest.raises(PartyLost):
        replay.receive(1, 16)
    with pytest.raises(ProtocolViolation, match="other bytes"):
        ReplayChannel(recording).send(1, b"87654321")
    ReplayChannel(recording, exact=False).send(1, b"87654321")
    with pytest.raises(ProtocolViolation, match="length=9"):
        ReplayChannel(recording, exact=False).send(1, b"123456789")
    with pytest.raises(TooLong):
        ReplayChannel(recording).receive(1, 8)


def test_damaged_recordings_are_errors(tmp_path: Path) -> None:
    path = tmp_path / "one"
    record(path, b"12345678")
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(BadInput, match="within a message"):
        read_recording(path)
    path.write_bytes(b"something else")
    with pytest.raises(BadInput, match="no recording"):
        read_recording(path)


def test_a_shaped_channel_counts_as_the_one_beneath_it() -> None:
    a, b = (ShapedChannel(channel, 0.001, 1e6) for channel in memory_channels(NAMES))
    thread = threading.Thread(target=answering, args=(b,))
    thread.start()
    doubling(a)
    thread.join()
    assert (a.traffic.sent, a.traffic.received, a.traffic.messages, a.traffic.rounds) == (10, 16, 2, 2)
    assert (b.party, b.parties) == (1, NAMES)
    a.close()
    b.close()
