"""The demo as anybody runs it, with the traffic of every pair of processes recorded and searched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.acceptance.recorded import control, numbers, plain_words, recordings, sent
from tests.acceptance.worlds import NAMES, SCENARIO


@pytest.mark.timeout(300)
def test_the_demo_holds_and_its_traffic_tells_nothing(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / "record" / name).mkdir(parents=True)
    command = [sys.executable, "-m", "scenarios.census.demo", "--record", str(tmp_path / "record")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=SCENARIO.parents[1], check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every check holds" in done.stdout
    assert "✗" not in done.stdout
    people = [
        pq.read_table(SCENARIO / f"{name}.parquet", columns=["person_id"]) for name in ("residents", "employment")
    ]
    known = {number for table in people for number in table["person_id"].to_pylist()}
    for name in NAMES:
        streams = recordings(tmp_path / "record", name)
        assert len(streams) == 2  # the query and the training; refused runs sent nothing
        for stream in streams:
            assert len(sent(stream)) > 1 << 20
            assert plain_words(stream) == 0
            assert known.isdisjoint(numbers(sent(stream)))
        for payload in control(tmp_path / "record", name):
            assert known.isdisjoint(numbers(payload))
