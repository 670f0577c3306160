"""Tables in batches: the same rows as a whole reading gives, in an order that repeats."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lingqu.catalog import PostgresTable, count, open_source, read, stream
from lingqu.kinds.errors import BadInput, Unavailable

Write = Callable[..., str]
TABLE = pa.table({"id": [f"k{i}" for i in range(1000)] + [None], "n": [*range(1000), -1], "t": ["李"] * 1001})


def joined(source: Any, columns: Any = None, rows: int = 64) -> pa.Table:
    batches = list(stream(source, columns, rows))
    assert all(batch.num_rows <= rows for batch in batches)
    return pa.Table.from_batches(batches)


@pytest.fixture(params=["parquet", "csv", "csv.gz", "postgres"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "parquet":
        pq.write_table(TABLE, tmp_path / "t.parquet", row_group_size=300)
        return open_source(str(tmp_path / "t.parquet"))
    text = "id,n,t\n" + "".join(f"{one['id'] or ''},{one['n']},{one['t']}\n" for one in TABLE.to_pylist())
    if request.param == "csv":
        (tmp_path / "t.csv").write_text(text, encoding="utf-8")
        return open_source(str(tmp_path / "t.csv"))
    if request.param == "csv.gz":
        (tmp_path / "t.csv.gz").write_bytes(gzip.compress(text.encode()))
        return open_source(str(tmp_path / "t.csv.gz"))
    from adbc_driver_postgresql import dbapi

    url = request.getfixturevalue("postgres_url")
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS streamed")
        cursor.execute("CREATE TABLE streamed (id text, n bigint, t text)")
        for one in reversed(TABLE.to_pylist()):
            cursor.execute("INSERT INTO streamed VALUES ($1, $2, $3)", (one["id"], one["n"], one["t"]))
        connection.commit()
    return PostgresTable(url, "streamed")


def test_batches_are_the_table(source: Any) -> None:
    assert count(source) == 1001
    found = joined(source)
    whole = read(source)
    key = [("n", "ascending")]
    found = found.set_column(1, "n", found.column("n").cast(pa.int64()))
    assert found.sort_by(key).to_pylist() == whole.sort_by(key).to_pylist()
    assert joined(source).equals(joined(source))
    assert joined(source, ["n", "id"]).column_names == ["n", "id"]


def test_a_column_that_is_not_there_is_named(source: Any) -> None:
    with pytest.raises(BadInput, match=r"no column nothing|cannot be read"):
        joined(source, ["nothing"])


def test_an_empty_table_is_one_empty_batch(write: Write, tmp_path: Path) -> None:
    pq.write_table(TABLE.slice(0, 0), tmp_path / "t.parquet")
    for text in (str(tmp_path / "t.parquet"), write("id,n\n", "e.csv")):
        source = open_source(text)
        assert count(source) == 0
        (batch,) = stream(source, ["id"])
        assert (batch.num_rows, batch.schema.names) == (0, ["id"])


def test_what_cannot_be_read_is_said(write: Write, tmp_path: Path, postgres_url: str) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"not a table")
    with pytest.raises(BadInput, match="no readable Parquet"):
        list(stream(open_source(str(tmp_path / "bad.parquet")), None))
    broken = open_source(write("id,n\na,1\nb\n", "b.csv"))
    with pytest.raises(BadInput, match=r"line 3|no CSV"):
        list(stream(broken, ["id"]))
    with pytest.raises(BadInput, match="cannot be read"):
        count(PostgresTable(postgres_url, "no_such_table"))
    with pytest.raises(Unavailable, match="cannot be reached"):
        count(PostgresTable("postgresql://nobody@127.0.0.1:1/none", "t"))
