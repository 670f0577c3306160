"""Writes frames.json: transcripts of the frame protocol, packed by hand so that they check the encoder too."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

SESSION = bytes(range(16))
FULL = 4 << 20
Part = str | int


def frame(sequence: int, **changes: Any) -> list[Part]:
    """One frame of party 1 to party 0 with eight zero bytes of ring elements, with some fields changed."""
    fields: dict[str, Any] = {"magic": b"LQF1", "session": SESSION, "sender": 1, "to": 0, "tag": 1, "flags": 0}
    fields |= {"sequence": sequence, "round": 1, "length": 8} | changes
    head = fields["magic"] + fields["session"]
    head += struct.pack("<BBBB", fields["sender"], fields["to"], fields["tag"], fields["flags"])
    head += struct.pack("<QII", fields["sequence"], fields["round"], fields["length"])
    return [head.hex(), int(fields["length"])]


def case(name: str, *frames: list[Part], error: str | None = None, messages: list[list[int]] | None = None) -> Any:
    """A transcript: `messages` as [tag, round, length] that arrive, and then the error, if one is due."""
    stream = [part for each in frames for part in each]
    return {"name": name, "stream": stream, "messages": messages or [], "error": error}


def cases() -> list[Any]:
    """All transcripts."""
    first, good = frame(0), [[1, 1, 8]]
    inner = frame(0, flags=1, length=FULL)
    return [
        case("two messages of one round", first, frame(1), messages=good * 2),
        case("rounds and tags that go on", first, frame(1, round=5, tag=2), messages=[*good, [2, 5, 8]]),
        case("an empty message", frame(0, length=0), messages=[[1, 1, 0]]),
        case("a seed and a document", frame(0, tag=3, length=64), frame(1, tag=4), messages=[[3, 1, 64], [4, 1, 8]]),
        case("a heartbeat between", first, frame(1, tag=0xF1, round=0, length=0), frame(2), messages=good * 2),
        case("a message of two frames", inner, frame(1), messages=[[1, 1, FULL + 8]]),
        case("a message that fills two frames", inner, frame(1, length=FULL), messages=[[1, 1, 2 * FULL]]),
        case("another magic", frame(0, magic=b"LQF2"), error="BadMagic"),
        case("an HTTP request", [b"GET / HTTP/1.1\r\nHost: lingqu.example\r\n\r\n\r\n".hex()], error="BadMagic"),
        case("unknown flags", frame(0, flags=2), error="BadMagic"),
        case("another session", frame(0, session=bytes(16)), error="ForeignSession"),
        case("another sender", frame(0, sender=2), error="ForgedSender"),
        case("another recipient", frame(0, to=2), error="ForgedSender"),
        case("a replay", first, first, messages=good, error="OutOfSequence"),
        case("reordered", frame(1), first, error="OutOfSequence"),
        case("one missing", first, frame(2), messages=good, error="OutOfSequence"),
        case("an unknown tag", frame(0, tag=9), error="BadTag"),
        case("tag zero", frame(0, tag=0), error="BadTag"),
        case("a tag that changes", inner, frame(1, tag=2), error="BadTag"),
        case("a heartbeat within a message", inner, frame(1, tag=0xF1, round=0, length=0), error="BadTag"),
        case("round zero", frame(0, round=0), error="BadRound"),
        case("a falling round", frame(0, round=2), frame(1), messages=[[1, 2, 8]], error="BadRound"),
        case("a round that changes", inner, frame(1, round=2), error="BadRound"),
        case("a heartbeat with a round", frame(0, tag=0xF1, length=0), error="BadRound"),
        case("a seed too long", frame(0, tag=3, length=65), error="TooLong"),
        case("a frame too long", frame(0, length=FULL + 1)[:1], error="TooLong"),
        case("a document too long", frame(0, tag=4, flags=1, length=FULL), frame(1, tag=4, flags=1, length=FULL),
             frame(2, tag=4), error="TooLong"),
        case("a heartbeat with a payload", frame(0, tag=0xF1, round=0), error="TooLong"),
        case("a short inner frame", frame(0, flags=1), error="WrongSize"),
        case("an empty last frame", inner, frame(1, length=0), error="WrongSize"),
        case("a stream cut off in a header", [first[0][:-2] if isinstance(first[0], str) else 0], error="WrongSize"),
    ]  # fmt: skip


if __name__ == "__main__":
    document = {"session": SESSION.hex(), "sender": 1, "to": 0, "cases": cases()}
    Path(__file__).with_name("frames.json").write_text(json.dumps(document, indent=1) + "\n")
