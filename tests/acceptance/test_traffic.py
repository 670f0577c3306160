"""What passes between the nodes, recorded before encryption, tells nobody anything that was not declared."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.acceptance.worlds import SQL, TRAINING, World, agreed, answered, paired, world

from lingqu.kinds.programs import Program
from lingqu.net.record import Direction, Recording, read_recording
from scenarios.census.network import BIG, CIVIL, HUMAN

NAMES = (CIVIL, HUMAN, BIG)
NUMBER = re.compile(rb"[1-9][0-9]{16}[0-9X]")
RUN = 3  # consecutive rows that make a pattern which random shares do not hit


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
        values = table.column(column).to_pylist()
        for start in range(0, len(values) - RUN, RUN):
            window = values[start : start + RUN]
            if isinstance(window[0], str):
                yield "".join(window).encode()
                yield "\x00".join(window).encode()
                continue
            for kind, scale in itertools.product(("<i8", "<u4", "<f8", ">i8"), (1, 1 << 20)):
                yield (np.asarray(window) * scale).astype(kind).tobytes()


def leaks(haystack: bytes, table: pa.Table) -> list[str]:
    """What of a table stands in some bytes: the columns' names for the report, never the values."""
    found = ["an identity number"] if NUMBER.search(haystack) else []
    return found + [f"values: pattern {place}" for place, pattern in enumerate(patterns(table)) if pattern in haystack]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, World]]:
    """The same two questions asked in two worlds that publish the same, with other people in both tables."""
    done = []
    for seed, shared in ((1, 0.9), (2, 0.6)):
        data, folder = world(seed, shared), tmp_path_factory.mktemp("record")
        for name in NAMES:
            (folder / name).mkdir()
        with paired(tmp_path_factory.mktemp("nodes"), data, folder) as net:
            analyst = net[BIG].remote("analyst")
            for program in (Program(kind="sql", text=SQL), Program(kind="train", text=TRAINING)):
                answered(analyst, agreed(net, program))
        done.append((folder, data))
    return done


@pytest.mark.timeout(240)
def test_no_plaintext_between_any_two_processes(runs: list[tuple[Path, World]]) -> None:
    for folder, data in runs:
        for name in NAMES:
            taken = recordings(folder, name)
            assert len(taken) == 2
            for recording in taken:
                sent = b"".join(m.data for m in recording.messages if m.direction is Direction.SENT)
                assert len(sent) > 10_000
                for table in (data.residents, data.employment):
                    assert leaks(sent, table) == []


def test_no_identity_number_in_control_messages(runs: list[tuple[Path, World]]) -> None:
    for folder, data in runs:
        people = {
            number.encode() for table in (data.residents, data.employment) for number in table["person_id"].to_pylist()
        }
        for name in NAMES:
            payloads = list(control(folder, name))
            assert len(payloads) > 10
            for payload in payloads:
                assert not NUMBER.search(payload)
                assert not any(number in payload for number in people)


@pytest.mark.parametrize("name", NAMES)
def test_transcripts_of_two_worlds_have_one_shape(runs: list[tuple[Path, World]], name: str) -> None:
    """Who is in both tables differs, and so do the matches' number and the answers; the messages' shapes do not."""
    one, other = (recordings(folder, name) for folder, _ in runs)
    for mine, theirs in zip(one, other, strict=True):
        assert mine.shape == theirs.shape


def test_the_search_would_find_a_leak() -> None:
    """The search is no dead letter: it finds a column that was sent in the clear."""
    data = world(3, 0.5)
    hours = np.asarray(data.employment["hours_per_week"].to_pylist(), dtype="<i8").tobytes()
    assert leaks(b"noise" + hours, data.employment)
    assert leaks("、".join(data.residents["person_id"].to_pylist()).encode(), data.residents)
