"""Tables in, rows in both out: kinds of files, a party killed at a random part, what changed under way."""

from __future__ import annotations

import json
import random
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from lingqu.kinds.channel import Channel
from lingqu.kinds.errors import BadInput, TableChanged
from lingqu.psi import Outcome, Result, Terms, intersect_files

Both = Callable[..., Any]
PROTOCOL = "psi.ecdh"


def terms(**more: Any) -> Terms:
    return Terms(**({"protocol": PROTOCOL, "forms": ("text/1",)} | more))


def table(first: int, last: int) -> pa.Table:
    """People and their ages; every hundredth key is null, one is there twice."""
    keys = [None if i % 100 == 7 else f" Key {i}" for i in range(first, last)] + [f"key {last - 1}"]
    return pa.table({"id": keys, "age": [i % 90 for i in range(first, last)] + [1]})


ONE, TWO = table(0, 700), table(350, 1200)


def shared(own: pa.Table, other: pa.Table) -> pa.Table:
    """What must come out, by Python's sets."""
    there = {key.strip().casefold() for key in other.column("id").to_pylist() if key}
    keys = own.column("id").to_pylist()
    return own.take([row for row, key in enumerate(keys) if key and key.strip().casefold() in there])


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_files_in_and_out(both: Both, tmp_path: Path, kind: str) -> None:
    (csv.write_csv if kind == "csv" else parquet.write_table)(ONE, tmp_path / f"one.{kind}")
    (csv.write_csv if kind == "csv" else parquet.write_table)(TWO, tmp_path / f"two.{kind}")

    def part(channel: Channel, name: str) -> Outcome:
        source, output = str(tmp_path / f"{name}.{kind}"), tmp_path / f"both-{name}.{kind}"
        agreed = terms(recipients=(0, 1))
        folder = tmp_path / name
        return intersect_files(channel, source, ["id"], agreed, folder, output, columns=["age"], most=100)

    found = both(lambda c: part(c, "one"), lambda c: part(c, "two")).results
    for name, outcome, expected in (("one", found[0], shared(ONE, TWO)), ("two", found[1], shared(TWO, ONE))):
        assert outcome == Outcome(expected.num_rows, None)
        path = tmp_path / f"both-{name}.{kind}"
        assert (csv.read_csv(path) if kind == "csv" else parquet.read_table(path)).to_pylist() == expected.to_pylist()
        assert not list((tmp_path / name).iterdir())
        assert not path.with_name(path.name + ".new").exists()


def test_a_size_and_no_rows_for_who_may_not_know(both: Both, tmp_path: Path) -> None:
    parquet.write_table(ONE, tmp_path / "one.parquet")
    parquet.write_table(TWO.slice(0, 0), tmp_path / "two.parquet")

    def part(channel: Channel, name: str, agreed: Terms) -> Outcome:
        output = tmp_path / f"{name}-{agreed.result}.csv"
        return intersect_files(channel, str(tmp_path / f"{name}.parquet"), ["id"], agreed, tmp_path / name, output)

    sized = terms(result=Result.SIZE)
    assert both(lambda c: part(c, "one", sized), lambda c: part(c, "two", sized)).results == [
        Outcome(None, 0),
        Outcome(None, None),
    ]
    found = both(lambda c: part(c, "one", terms()), lambda c: part(c, "two", terms())).results
    assert found == [Outcome(0, None), Outcome(None, None)]
    assert csv.read_csv(tmp_path / "one-elements.csv").num_rows == 0
    assert not (tmp_path / "two-elements.csv").exists()


def test_a_table_that_changes_under_way_gives_no_rows(both: Both, tmp_path: Path) -> None:
    parquet.write_table(ONE, tmp_path / "one.parquet")
    parquet.write_table(TWO, tmp_path / "two.parquet")
    source = str(tmp_path / "one.parquet")

    def changing(channel: Channel) -> Outcome:
        def changed(done: int, total: int) -> None:
            if done == total:
                parquet.write_table(pa.concat_tables([ONE.slice(1), ONE.slice(0, 1)]), source)

        return intersect_files(channel, source, ["id"], terms(), tmp_path / "a", tmp_path / "out.csv", report=changed)

    with pytest.raises(TableChanged):
        both(changing, lambda c: intersect_files(c, str(tmp_path / "two.parquet"), ["id"], terms(), tmp_path / "b"))
    assert not (tmp_path / "out.csv").exists()


def test_an_output_of_another_kind_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no file for rows"):
        intersect_files(None, "x.csv", ["id"], terms(), tmp_path, tmp_path / "out.xlsx")  # type: ignore[arg-type]


PARTY = """
import json, os, signal, sys
from pathlib import Path
from lingqu.net.loopback import LoopbackListener
from lingqu.psi import Terms, intersect_files
job = json.loads(sys.argv[1])
listener = LoopbackListener()
print(listener.address, flush=True)
endpoints = json.loads(sys.stdin.readline())
reports = []
class Mortal:
    def __init__(self, channel):
        self._channel, self._sent = channel, 0
    def __getattr__(self, name):
        return getattr(self._channel, name)
    def send(self, *message):
        self._sent += len(reports) - 1 == job["part"]
        if self._sent == job["message"]:
            os.kill(os.getpid(), signal.SIGKILL)
        self._channel.send(*message)
channel = Mortal(listener.mesh(bytes.fromhex(job["session"]), job["party"], ("alpha", "beta"), endpoints))
terms = Terms.parse(json.dumps(job["terms"]))
try:
    outcome = intersect_files(channel, job["source"], ["id"], terms, Path(job["folder"]), Path(job["output"]),
                              columns=["age"], most=job["most"], report=lambda done, total: reports.append(done))
except Exception as error:
    print(json.dumps({"failed": type(error).__name__}), flush=True)
else:
    print(json.dumps({"rows": outcome.rows, "reports": reports}), flush=True)
channel.close()
"""


@contextmanager
def parties(jobs: list[dict[str, Any]]) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes, meshed."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PARTY, json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for job in jobs
    ]
    try:
        lines = [process.stdout.readline().strip() for process in running if process.stdout]
        for process in running:
            assert process.stdin is not None
            process.stdin.write(json.dumps(lines) + "\n")
            process.stdin.flush()
        yield running
    finally:
        for process in running:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("victim", [0, 1])
@pytest.mark.parametrize(
    ("protocol", "recipients"), [("psi.ecdh", (0, 1)), ("psi.rr22", (0, 1)), ("psi.rr22", (0,)), ("psi.ecdh", (0,))]
)
def test_a_party_killed_within_a_random_part_goes_on_there(
    tmp_path: Path, victim: int, protocol: str, recipients: tuple[int, ...]
) -> None:
    """kill -9 of either party; the next call does what is missing, and the rows are those of Python's sets.

    Nothing was compared of the parts before, which the other party takes as done: their rows are there all the same.
    """
    parquet.write_table(ONE, tmp_path / "one.parquet")
    parquet.write_table(TWO, tmp_path / "two.parquet")
    most, count = 100, 9
    part, message = random.randint(0, count - 1), random.randint(1, 3 if len(recipients) == 2 else 2)

    def jobs(message: int) -> list[dict[str, Any]]:
        session = secrets.token_hex(16)
        return [
            {
                "party": place,
                "session": session,
                "source": str(tmp_path / f"{name}.parquet"),
                "folder": str(tmp_path / name),
                "output": str(tmp_path / f"{name}.csv"),
                "terms": {"protocol": protocol, "forms": ["text/1"], "recipients": list(recipients)},
                "most": most,
                "part": part,
                "message": message if place == victim else -1,
            }
            for place, name in enumerate(("one", "two"))
        ]

    with parties(jobs(message)) as running:
        assert running[victim].wait(60) == -9
        told, _ = running[1 - victim].communicate(timeout=60)
        assert json.loads(told) == {"failed": "PartyLost"}
    done = [{path.name for path in (tmp_path / name).glob("done-*")} for name in ("one", "two")]
    assert len(done[victim]) == part
    assert part <= len(done[1 - victim]) <= part + 1
    with parties(jobs(-1)) as running:
        answers = [json.loads(process.communicate(timeout=60)[0]) for process in running]
    assert [len(answer["reports"]) for answer in answers] == [count - part + 1] * 2
    wanted = (("one", answers[0], shared(ONE, TWO)), ("two", answers[1], shared(TWO, ONE)))
    for name, answer, expected in (wanted[party] for party in recipients):
        assert answer["rows"] == expected.num_rows
        assert csv.read_csv(tmp_path / f"{name}.csv").to_pylist() == expected.to_pylist()
