"""Recorded traffic, and the search for plaintext in it."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from lingqu.net.record import Direction, Recording, read_recording
from scenarios.census.prepare import is_identity_number

NUMBER = re.compile(rb"(?<![0-9a-f])[1-9][0-9]{16}[0-9X](?![0-9a-f])")
RUN = 3  # consecutive rows that make a pattern which random shares do not hit
SMALL = 1 << 44
STRIDE = 12  # every so many rows a pattern begins


def recordings(folder: Path, name: str) -> list[Recording]:
    """A node's recordings in the order of its runs."""
    files = sorted((folder / name).glob("*.recording"), key=lambda file: file.stat().st_mtime_ns)
    return [read_recording(file) for file in files]


def control(folder: Path, name: str) -> Iterator[bytes]:
    """The payloads of a node's control messages."""
    with (folder / name / f"{name}.control.jsonl").open(encoding="utf-8") as file:
        for line in file:
            payload = json.loads(line)["token"].split(".")[1]
            yield base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))


def patterns(table: pa.Table) -> Iterator[bytes]:
    """Byte strings that hold consecutive plaintext values of a table in every encoding that is near at hand."""
    for column in table.column_names:
        values = table.column(column).drop_null().to_pylist()
        for start in range(0, len(values) - RUN, STRIDE):
            window = values[start : start + RUN]
            if isinstance(window[0], str):
                yield "".join(window).encode()
                yield "\x00".join(window).encode()
                continue
            for kind, scale in itertools.product(("<i8", "<u4", "<f8", ">i8"), (1, 1 << 20)):
                yield (np.asarray(window) * scale).astype(kind).tobytes()


def numbers(haystack: bytes) -> set[str]:
    """The valid identity numbers that stand in some bytes."""
    texts = {match.group().decode() for match in NUMBER.finditer(haystack)}
    return {text for text in texts if is_identity_number(text)}


def leaks(haystack: bytes, table: pa.Table) -> list[str]:
    """What of a table stands in some bytes: the columns' names for the report, never the values."""
    found = ["an identity number"] if numbers(haystack) else []
    return found + [f"values: pattern {place}" for place, pattern in enumerate(patterns(table)) if pattern in haystack]


def sent(recording: Recording) -> bytes:
    """All that a party sent in one run."""
    return b"".join(message.data for message in recording.messages if message.direction is Direction.SENT)


def plain_words(recording: Recording) -> int:
    """How many neighbouring pairs of 64-bit words that a party sent look like plain numbers, whole or fixed-point.

    A word below 2**44 holds every count, age, hour and amount of the tables, with 20 fractional bits too; of two random
    neighbours that are both below, there is one among 2**40.
    """
    pairs = 0
    for message in recording.messages:
        if message.direction is Direction.SENT and message.data:
            small = np.frombuffer(message.data[: len(message.data) // 8 * 8], dtype="<u8") < SMALL
            pairs += int(np.count_nonzero(small[1:] & small[:-1]))
    return pairs
