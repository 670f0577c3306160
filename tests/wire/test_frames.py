"""Frames: golden transcripts, and every fault by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.kinds.channel import Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation
from lingqu.wire import frames
from lingqu.wire.arrays import decode_words, encode_words
from lingqu.wire.frames import HEADER, FrameDecoder, FrameEncoder, Header, TooLong, WrongSize, expect

NAMED = (
    frames.BadMagic, frames.ForeignSession, frames.ForgedSender, frames.OutOfSequence, frames.TooLong, frames.WrongSize,
    frames.BadTag, frames.BadRound,
)  # fmt: skip
VECTORS = json.loads((Path(__file__).parent / "vectors" / "frames.json").read_text())
SESSION = bytes.fromhex(VECTORS["session"])


def read_stream(stream: bytes, decoder: FrameDecoder) -> tuple[list[tuple[Header, bytes]], ProtocolViolation | None]:
    """The whole messages of a stream, and the error that ended it."""
    messages, data, position = [], b"", 0
    try:
        while position < len(stream):
            header = decoder.header(stream[position : position + HEADER.size])
            position += HEADER.size
            part = stream[position : position + header.length]
            position += header.length
            if header.control:
                continue
            data += part
            if not header.more:
                messages.append((header, data))
                data = b""
    except ProtocolViolation as error:
        return messages, error
    return messages, None


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_golden_transcripts(case: dict[str, Any]) -> None:
    stream = b"".join(bytes.fromhex(part) if isinstance(part, str) else bytes(part) for part in case["stream"])
    messages, error = read_stream(stream, FrameDecoder(SESSION, VECTORS["sender"], VECTORS["to"], name="bee"))
    assert [[header.tag, header.round, len(data)] for header, data in messages] == case["messages"]
    if case["error"] is None:
        assert error is None
    else:
        assert error is not None
        assert type(error) is getattr(frames, case["error"])
        assert error.party == "bee"
        assert error.cure


def encoded(*messages: tuple[Tag, int, bytes]) -> bytes:
    """The stream of some messages."""
    encoder = FrameEncoder(SESSION, 1, 0)
    return b"".join(
        header + bytes(part) for tag, round_, data in messages for header, part in encoder.frames(tag, round_, data)
    )


def test_the_encoder_writes_the_golden_bytes() -> None:
    golden = VECTORS["cases"][0]["stream"]
    stream = b"".join(bytes.fromhex(part) if isinstance(part, str) else bytes(part) for part in golden)
    assert encoded((Tag.ELEMENTS, 1, bytes(8)), (Tag.ELEMENTS, 1, bytes(8))) == stream


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([Tag.ELEMENTS, Tag.BITS, Tag.DOCUMENT]), st.binary(max_size=300)), max_size=8)
)
def test_what_is_encoded_is_decoded(items: list[tuple[Tag, bytes]]) -> None:
    messages = [(tag, number + 1, data) for number, (tag, data) in enumerate(items)]
    decoded, error = read_stream(encoded(*messages), FrameDecoder(SESSION, 1, 0))
    assert error is None
    assert [(Tag(header.tag), header.round, data) for header, data in decoded] == messages


def test_a_long_message_is_cut_without_copying_and_put_together() -> None:
    data = np.arange(1_200_000, dtype=np.uint64)
    parts = list(FrameEncoder(SESSION, 1, 0).frames(Tag.ELEMENTS, 1, data.data))
    assert [len(part) for _, part in parts] == [4 << 20, 4 << 20, 9_600_000 - (8 << 20)]
    assert np.shares_memory(np.frombuffer(parts[1][1], dtype=np.uint8), data)
    decoder = FrameDecoder(SESSION, 1, 0)
    for header, _ in parts[:2]:
        assert decoder.header(header).more
        assert decoder.unfinished
    assert not decoder.header(parts[2][0]).more
    assert not decoder.unfinished


@settings(max_examples=300, deadline=None)
@given(position=st.integers(0, HEADER.size - 1), mask=st.integers(1, 255))
def test_a_changed_header_byte_is_caught_or_a_later_round(position: int, mask: int) -> None:
    """Rounds are counters only: a later one is admitted as it is.  Everything else ends the session."""
    stream = bytearray(encoded((Tag.ELEMENTS, 3, bytes(8)), (Tag.ELEMENTS, 3, bytes(8))))
    second = HEADER.size + 8
    stream[second + position] ^= mask
    decoder = FrameDecoder(SESSION, 1, 0)
    decoder.header(bytes(stream[: HEADER.size]))
    try:
        header = decoder.header(bytes(stream[second : second + HEADER.size]))
        expect("bee", header.tag, header.length, want_tag=Tag.ELEMENTS, least=8, most=8)
    except NAMED:
        return
    assert 32 <= position < 36
    assert header.round > 3


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_never_a_frame(data: bytes) -> None:
    messages, error = read_stream(data, FrameDecoder(SESSION, 1, 0))
    assert messages == []
    assert (error is None) == (data == b"")


def test_limits_hold_on_both_sides() -> None:
    encoder = FrameEncoder(SESSION, 1, 0)
    with pytest.raises(BadInput, match="65 bytes"):
        list(encoder.frames(Tag.SEED, 1, bytes(65)))
    with pytest.raises(BadInput, match="lie together"):
        list(encoder.frames(Tag.ELEMENTS, 1, memoryview(bytes(8))[::2]))
    with pytest.raises(BadInput, match="16 bytes"):
        FrameEncoder(b"", 1, 0)
    header = encoder.header(Tag.ELEMENTS, 1, 100)
    with pytest.raises(TooLong, match="99"):
        FrameDecoder(SESSION, 1, 0, 99).header(header)


def test_arrays_have_exactly_the_expected_count() -> None:
    words = np.array([[1, 2], [3, 2**64 - 1]], dtype=np.uint64)
    data = bytes(encode_words(words))
    assert decode_words(data, 4).tolist() == [1, 2, 3, 2**64 - 1]
    assert decode_words(bytearray(data), 4).flags.writeable
    assert bytes(encode_words(words.T)) == words.T.tobytes()
    assert decode_words(bytes(encode_words(words[:0])), 0).size == 0
    with pytest.raises(TooLong):
        decode_words(data, 3)
    with pytest.raises(WrongSize):
        decode_words(data, 5)
    with pytest.raises(WrongSize):
        decode_words(data[:-1], 4)
