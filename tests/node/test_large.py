"""Intersections larger than a document over real nodes: memory, rows in files, resuming, what a ledger covers."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from tests.node.asking import Asking, command, kept
from tests.node.cluster import BIG, CIVIL, HUMAN, Bureau, Trio, refusal

import lingqu
from lingqu.catalog import open_source
from lingqu.engine.release import MOST_ROWS
from lingqu.intersect import IntersectSpec
from lingqu.kinds.errors import BadInput, Tampered
from lingqu.node.errors import Conflict, NotFound

PURPOSE = "who is in both large registers"
ASKING = Asking("intersect", PURPOSE, 5)
FEW, MANY = 80_000, 320_000
PART = 1 << 15


def people(rows: int, first: int = 0) -> pa.Table:
    """Some 400 bytes a row."""
    numbers = range(first, first + rows)
    notes = {f"note{place}": [f"{i:0130d}" for i in numbers] for place in range(3)}
    return pa.table({"person_id": [f"p{i:08d}" for i in numbers], "age": [i % 100 for i in numbers], **notes})


def register(node: Bureau, table: str, source: str) -> None:
    document = {"name": table, "title": table, "source": source, "key": ["person_id"]}
    node.call("manager", "POST", "/v1/tables", document)


def known(nodes: tuple[Bureau, ...], tables: list[str]) -> None:
    pause = threading.Event()
    for node in nodes:
        while not set(tables) <= {one["id"] for one in node.call("analyst", "GET", "/v1/catalog")["assets"]}:
            pause.wait(0.1)


@pytest.fixture(scope="module")
def large(trio: Trio) -> Trio:
    """At civil affairs two tables, Parquet, one four times the other; at human resources their later nine tenths."""
    for name, rows in (("few", FEW), ("many", MANY)):
        mine = trio.root / f"large-{name}.parquet"
        parquet.write_table(people(rows), mine, row_group_size=1 << 14)
        theirs = trio.root / f"large-{name}.csv"
        csv.write_csv(people(rows, rows // 10).select(["person_id", "age"]), theirs)
        register(trio.civil, f"large-{name}", str(mine))
        register(trio.human, f"large-{name}", str(theirs))
    known((trio.civil, trio.human), [f"{owner}/large-{name}" for owner in (CIVIL, HUMAN) for name in ("few", "many")])
    return trio


def program(name: str, **more: Any) -> dict[str, Any]:
    sides: list[dict[str, Any]] = [
        {"table": f"{owner}/large-{name}", "keys": ["person_id"]} for owner in (CIVIL, HUMAN)
    ]
    sides[0]["columns"] = ["age", "note0", "note1"]
    return {"tables": sides, "forms": ["exact/1"], "part": PART, "mechanism": "psi.rr22"} | more


def peak(pid: int, program: bytes = b"lingqu.engine.worker") -> int:
    """The most bytes that a process has had in memory so far; 0 when it is gone, or not yet this program."""
    try:
        if program not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return 0  # it was forked just now, and has its parent's memory
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def watched(trio: Trio, contract: str) -> tuple[str, int]:
    """A job that has ended well, and the peak of the asker's worker."""
    job = trio.civil.call("analyst", "POST", "/v1/jobs", ASKING.order(contract))["id"]
    most, over = 0, threading.Event()

    def wait() -> None:
        trio.ended(job, trio.civil, 200)
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    while not over.wait(0.01):
        most = max([most, *map(peak, trio.civil.workers())])
    for node in (trio.civil, trio.human):
        view = trio.ended(job, node)
        assert view["state"] == "done", view["error"]
    return job, most


def agree(trio: Trio, what: dict[str, Any], **more: Any) -> str:
    return ASKING.agree(trio.civil, [trio.human], what, **more)


@pytest.fixture(scope="module")
def done(large: Trio) -> tuple[str, int, int]:
    """A run over the larger tables; the peaks of the worker over the smaller and over the larger."""
    _, less = watched(large, agree(large, program("few")))
    job, more = watched(large, agree(large, program("many")))
    return job, less, more


def test_a_workers_memory_does_not_grow_with_the_table(done: tuple[str, int, int]) -> None:
    _, less, more = done
    table = people(MANY).nbytes - people(FEW).nbytes
    print(f"peaks: {less / 1e6:.0f} MB of {FEW} rows, {more / 1e6:.0f} MB of {MANY}; {table / 1e6:.0f} MB apart")
    assert less > 0
    assert more - less < table / 2  # held whole, it takes several times its size


def test_the_rows_are_a_file_that_the_result_covers(large: Trio, done: tuple[str, int, int]) -> None:
    job = done[0]
    document = large.civil.call("analyst", "GET", f"/v1/jobs/{job}/result")
    assert document["rows"] == []
    assert document["attached"]["rows"] == MANY - MANY // 10 > MOST_ROWS
    data = large.civil.call("analyst", "GET", f"/v1/jobs/{job}/rows")
    assert len(data) == document["attached"]["bytes"]
    assert "sha256:" + hashlib.sha256(data).hexdigest() == document["attached"]["digest"]
    # The ledger has the release from before the rows were found out, as the others see when it was written.
    entries = large.civil.call("auditor", "GET", "/v1/ledger")["entries"]
    assert [e["body"].get("result") for e in entries if e["kind"] == "release" and e["body"]["job"] == job] == [None]
    found = parquet.read_table(pa.BufferReader(data))
    assert found.column_names == ["person_id", "age", "note0", "note1"]
    assert found.equals(people(MANY - MANY // 10, MANY // 10).select(found.column_names))
    assert not list(large.civil.home.jobs.glob(f"{job}/*"))
    file = large.civil.home.results / f"{job}.parquet"
    assert file.stat().st_mode & 0o777 == 0o600
    for role in ("owner", "manager", "auditor"):
        assert refusal(large.civil, role, "GET", f"/v1/jobs/{job}/rows").term == "role"
    assert refusal(large.human, "analyst", "GET", f"/v1/jobs/{job}/rows").term == "recipients"


def test_in_python(large: Trio, done: tuple[str, int, int], tmp_path: Path) -> None:
    expected = people(MANY - MANY // 10, MANY // 10).select(["person_id", "age", "note0", "note1"])
    with lingqu.connect(home=large.civil.home.path) as client:
        result = client.result(done[0])
        assert len(result) == MANY - MANY // 10
        assert f"p{MANY // 10:08d}" in repr(result)
        assert f"… {len(result) - 20} more rows" in repr(result)
        assert "<table>" in result._repr_html_()
        result.write(tmp_path / "rows.parquet")
        assert parquet.read_table(tmp_path / "rows.parquet").equals(expected)
        result.write(str(tmp_path / "rows.csv"))
        assert csv.read_csv(tmp_path / "rows.csv").num_rows == len(result)
        assert result.to_arrow().equals(expected)
        assert {path.name for path in tmp_path.iterdir()} == {"rows.parquet", "rows.csv"}
        with pytest.raises(BadInput, match="no file for rows"):
            result.write(tmp_path / "rows.json")


def peak_of(*arguments: str) -> tuple[int, str]:
    """The most bytes that the command `lingqu` had in memory, and what it printed."""
    line = [sys.executable, "-m", "lingqu", *arguments]
    most, pause = 0, threading.Event()
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None:
            most = max(most, peak(process.pid, b"lingqu"))
            pause.wait(0.005)
        assert process.stdout is not None
        said = process.stdout.read()
    assert process.returncode == 0, said
    return most, said


@pytest.fixture(scope="module")
def small(large: Trio) -> str:
    """A run over small tables."""
    sides = [{"table": f"{CIVIL}/residents"}, {"table": f"{HUMAN}/employment"}]
    what = {"tables": [side | {"keys": ["person_id"]} for side in sides], "forms": ["text/1"]}
    return ASKING.run(large, [large.civil, large.human], agree(large, what))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_on_the_command_line(large: Trio, small: str, done: tuple[str, int, int], tmp_path: Path, kind: str) -> None:
    home, output = ("--home", str(large.civil.home.path)), tmp_path / f"rows.{kind}"
    less, _ = peak_of("result", small, "-o", str(output), *home)
    more, said = peak_of("result", done[0], "-o", str(output), *home)
    rows = csv.read_csv(output) if kind == "csv" else parquet.read_table(output)
    assert rows.num_rows == MANY - MANY // 10
    assert f"… {rows.num_rows - 20:,} more rows" in said
    size = people(rows.num_rows).select(["person_id", "age", "note0", "note1"]).nbytes
    print(f"{kind}: {less / 1e6:.0f} MB, then {more / 1e6:.0f} MB for {size / 1e6:.0f} MB of rows")
    assert more - less < size
    refused = command(large.civil)("result", done[0], "-o", str(tmp_path / "rows.json"))
    assert "ends in .csv or .parquet" in refused.stderr


def test_a_run_on_the_command_line_writes_its_rows(large: Trio, tmp_path: Path) -> None:
    spec, output = tmp_path / "spec.json", tmp_path / "rows.csv"
    agreed = IntersectSpec.parse(json.dumps(program("few"))).canonical().decode()
    spec.write_text(agreed)
    proposal = ASKING.document({}) | {"program": {"kind": "intersect", "text": agreed}}
    contract = large.civil.call("analyst", "POST", "/v1/contracts", proposal)["id"]
    large.human.call("owner", "POST", f"/v1/contracts/{contract}/approve", {})
    ended = command(large.civil)("intersect", str(spec), "--purpose", PURPOSE, "-o", str(output))
    assert ended.returncode == 0, ended.stderr
    assert csv.read_csv(output).num_rows == FEW - FEW // 10


def test_rows_that_were_altered_at_the_node_are_refused(large: Trio, tmp_path: Path) -> None:
    job = ASKING.run(large, [large.civil, large.human], agree(large, program("few")))
    file = large.civil.home.results / f"{job}.parquet"
    data = file.read_bytes()
    with lingqu.connect(home=large.civil.home.path) as client:
        for other in (data[:-1], data + b"x", data[:100] + bytes([data[100] ^ 1]) + data[101:]):
            file.write_bytes(other)
            with pytest.raises(Tampered, match="others than its result names"):
                client.result(job).write(tmp_path / "rows.parquet")
            assert not list(tmp_path.iterdir())
        file.write_bytes(data)
        client.result(job).write(tmp_path / "rows.parquet")
        file.unlink()
        with pytest.raises(NotFound, match="no longer here"):
            client.result(job).to_arrow()


def test_small_results_have_no_file(large: Trio, small: str, tmp_path: Path) -> None:
    assert "attached" not in large.civil.call("analyst", "GET", f"/v1/jobs/{small}/result")
    assert isinstance(refusal(large.civil, "analyst", "GET", f"/v1/jobs/{small}/rows"), Conflict)
    with lingqu.connect(home=large.civil.home.path) as client:
        client.result(small).write(tmp_path / "few.parquet")
    assert parquet.read_table(tmp_path / "few.parquet").num_rows == 45


def test_a_databases_table_streams_too(large: Trio, postgres_url: str) -> None:
    """Beyond one batch, in the database's own order, which is not the registered one."""
    from adbc_driver_postgresql import dbapi

    rows = 100_000
    with dbapi.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS large")
        cursor.execute(
            "CREATE TABLE large AS SELECT 'p' || lpad((i * 7919 % 100000)::text, 8, '0') AS person_id, i AS place "
            f"FROM generate_series(0, {rows - 1}) AS i"
        )
        connection.commit()
    assert open_source(f"{postgres_url}#large")
    register(large.civil, "large-db", f"{postgres_url}#large")
    known((large.civil, large.human), [f"{CIVIL}/large-db"])
    what = program("few")
    what["tables"][0] = {"table": f"{CIVIL}/large-db", "keys": ["person_id"], "columns": ["place"]}
    job = ASKING.run(large, [large.civil, large.human], agree(large, what))
    data = large.civil.call("analyst", "GET", f"/v1/jobs/{job}/rows")
    found = parquet.read_table(pa.BufferReader(data)).to_pydict()
    wanted = {f"p{i * 7919 % rows:08d}": i for i in range(rows) if FEW // 10 <= i * 7919 % rows < FEW + FEW // 10}
    assert dict(zip(found["person_id"], found["place"], strict=True)) == wanted


@pytest.fixture(scope="module")
def three(trio: Trio) -> dict[str, Any]:
    """A program over three owners' tables, in 94 parts."""
    keys = [f"q{i:05d}" for i in range(2_000)]
    sides: list[dict[str, Any]] = []
    for node, some in ((trio.civil, keys[:1500]), (trio.human, keys[500:]), (trio.big, keys[200:1700])):
        source = trio.root / f"{node.name}-thirds.csv"
        source.write_text("\n".join(["person_id", *some]) + "\n")
        register(node, "thirds", str(source))
        sides.append({"table": f"{node.name}/thirds", "keys": ["person_id"]})
    known((trio.civil, trio.human, trio.big), [side["table"] for side in sides])
    return {"tables": sides, "forms": ["text/1"], "part": 16}


@pytest.mark.parametrize("victim", [CIVIL, HUMAN, BIG])
def test_three_owners_run_goes_on_after_a_kill(trio: Trio, three: dict[str, Any], victim: str) -> None:
    """kill -9 of one worker at a part's boundary: the parts that all have are not done again."""
    nodes = [trio.civil, trio.human, trio.big]
    contract = ASKING.agree(trio.civil, nodes[1:], three, uses=9)
    hit: Callable[[], bool] = lambda: ASKING.killed(trio, nodes, contract, trio.nodes[victim]) == "failed"  # noqa: E731
    assert any(hit() for _ in range(5)), "no kill met a run under way"
    folders = [kept(node, contract) / "intersect" for node in nodes]
    done = [{path.name for path in folder.glob("done-??????")} for folder in folders]
    common = len(done[0] & done[1] & done[2])
    assert common >= 3
    job = ASKING.run(trio, nodes, contract)
    rows = trio.civil.call("analyst", "GET", f"/v1/jobs/{job}/result")["rows"]
    assert [row[0] for row in rows] == [f"q{i:05d}" for i in range(500, 1500)]
    measured = ASKING.measured(trio, job, nodes)
    plan = trio.civil.call("analyst", "GET", f"/v1/jobs/{job}/plan")
    declared = next(step for step in plan["steps"] if step["id"] == "intersect")
    assert "in 94 parts" in declared["reason"]
    opening = 6 * (80 + 64 + 12)
    each, rest = divmod(declared["bytes"] - opening, 94)
    assert rest == 0
    assert sum(one["bytes"] for one in measured) == opening + each * (94 - common)
    assert [one["rows"] for one in measured] == [1500, 1500, 1500]
    assert not [path for folder in folders for path in folder.glob("*")]
