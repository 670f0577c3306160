"""The demo as anybody runs it, with the traffic of every pair of processes recorded and searched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.acceptance.recorded import control, numbers, plain_words, recordings, sent
from tests.acceptance.worlds import NAMES, SCENARIO

LONG = 8  # bytes


@pytest.mark.timeout(300)
def test_the_demo_holds_and_its_traffic_tells_nothing(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / "record" / name).mkdir(parents=True)
    command = [sys.executable, "-m", "scenarios.census.demo", "--record", str(tmp_path / "record")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SCENARIO.parents[1], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every check holds" in done.stdout
    assert "✗" not in done.stdout
    files = [SCENARIO / f"{name}.parquet" for name in ("residents", "employment")]
    people = [pq.read_table(file, columns=["person_id"]) for file in files]
    known = {number for table in people for number in table["person_id"].to_pylist()}
    texts = long_texts(files)
    assert len(texts) > 40
    for name in NAMES:
        streams = recordings(tmp_path / "record", name)
        assert len(streams) == 2  # the query and the training; refused runs sent nothing
        for stream in streams:
            assert len(sent(stream)) > 1 << 20
            assert plain_words(stream) == 0
            assert known.isdisjoint(numbers(sent(stream)))
            everything = sent(stream)
            assert [text for text in texts if text in everything] == []
        for payload in control(tmp_path / "record", name):
            assert known.isdisjoint(numbers(payload))


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("options", "mechanism", "points"),
    [
        (["--adversary", "malicious"], "share.rep3.malicious", "Three nodes, three processes"),
        (["--parties", "2"], "share.two", "Two nodes, two processes"),
    ],
)
def test_the_demo_holds_against_malicious_parties_and_between_two(
    options: list[str], mechanism: str, points: str
) -> None:
    """The same questions and answers; between two parties, minutes and gigabytes."""
    command = [sys.executable, "-m", "scenarios.census.demo", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SCENARIO.parents[1], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every check holds" in done.stdout
    assert points in done.stdout
    assert f"{mechanism} (chosen)" in done.stdout


def long_texts(files: list[Path]) -> list[bytes]:
    """The tables' distinct text values, labels among them, that are too long to stand in random bytes by chance."""
    found: set[str] = set()
    for file in files:
        table = pq.read_table(file)
        for name in table.column_names:
            if name != "person_id" and pa.types.is_string(table.schema.field(name).type):
                found.update(table[name].drop_null().unique().to_pylist())
    return sorted(text.encode() for text in found if len(text) >= LONG)
