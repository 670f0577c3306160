"""A table read once and then in batches: the same values as a whole scan, and what is no longer the registered one."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lingqu.catalog import Projection, Registered, TableChanged, describe, open_source, read, scan
from lingqu.catalog.spools import SORTING, spool
from lingqu.kinds.errors import Refused
from lingqu.kinds.schema import Asset, ColumnType, Grade

Write = Callable[..., str]
ROWS = 150_000  # three batches
SEEN = [
    Projection("id", "id"),
    Projection("n", "COALESCE(n, 0)"),
    Projection("gone", "(n IS NULL)"),
    Projection("pay", "pay * 2"),
    Projection("since", "since"),
    Projection("at", 'epoch_us("at")'),
    Projection("cents", "CAST(price * 100 AS BIGINT)"),
    Projection("ok", "ok AND pay > 3"),
    Projection("one", "1"),
]


def table(rows: int = ROWS) -> pa.Table:
    day, numbers = datetime.date(2020, 1, 1), range(rows)
    return pa.table(
        {
            "id": [f"李{i * 7919 % 1_000_003}" for i in numbers],
            "n": pa.array([None if i % 10 == 3 else i - 70_000 for i in numbers], pa.int64()),
            "pay": [i / 4 for i in numbers],
            "since": [day + datetime.timedelta(days=i % 900) for i in numbers],
            "at": pa.array([1_600_000_000_000_000 + i for i in numbers], pa.timestamp("us")),
            "price": pa.array([Decimal(i % 1000) / 100 for i in numbers], pa.decimal128(12, 2)),
            "ok": [i % 3 == 0 for i in numbers],
        }
    )


def registered(source: Any, **more: Any) -> tuple[Asset, str]:
    return describe(source, owner="civil-affairs", name="t", title="t", grade=Grade.GENERAL, version=1, **more)


def joined(rows: Registered, names: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    parts = list(rows.batches(names))
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_batches_are_the_scan(tmp_path: Path, kind: str) -> None:
    file = tmp_path / f"t.{kind}"
    if kind == "parquet":
        pq.write_table(table(), file, row_group_size=40_000)
    else:
        from pyarrow import csv

        csv.write_csv(table(), file)
    source = open_source(str(file))
    asset, seal = registered(source, types={"price": ColumnType.DECIMAL, "at": ColumnType.TIMESTAMP})
    names = [one.name for one in SEEN]
    whole = scan(source, asset, SEEN, seal)
    rows = Registered(source, asset, SEEN, seal, tmp_path)
    assert (rows.rows, list(rows), "n" in rows, "x" in rows) == (ROWS, names, True, False)
    first = joined(rows, names)
    file.unlink()  # read once: what follows is what was checked
    again = joined(rows, ["cents", "id"])
    for name in names:
        assert first[name].dtype == whole[name].dtype
        assert first[name].tolist() == whole[name].tolist(), name
    assert again["cents"].tolist() == whole["cents"].tolist()
    assert max(len(part["one"]) for part in rows.batches(["one"])) <= 1 << 16
    assert list(tmp_path.iterdir()) == []


def test_a_databases_rows_come_in_the_registered_order(postgres_url: str, tmp_path: Path) -> None:
    """Sorted by bytes with nulls last, as whole readings are, whatever the database's own order of texts is."""
    from adbc_driver_postgresql import dbapi

    texts = ["b", "B", "a", "Ä", "ä", "é", "z", "李", "", None, "aa", "A b", "A-b", "Ab"]
    with dbapi.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS mixed")
        cursor.execute("CREATE TABLE mixed (t text, n numeric, d date, r real, k smallint)")
        for i in range(300):
            values = (texts[i % 14], None if i % 5 == 0 else f"{i % 7 - 3}.{i % 10}", i % 11)
            text = "NULL" if values[0] is None else f"'{values[0]}'"
            number = "NULL" if values[1] is None else values[1]
            cursor.execute(
                f"INSERT INTO mixed VALUES ({text}, {number}, DATE '2020-01-01' + {values[2]}, {i % 13} / 4.0, {i % 3})"
            )
        connection.commit()
    source = open_source(f"{postgres_url}#mixed")
    asset, seal = registered(source)
    kept = spool(source, asset, seal, tmp_path)
    assert pa.Table.from_batches(kept.batches(asset_names(asset))).to_pylist() == read(source).to_pylist()
    assert kept.fingerprint() == seal
    assert not (tmp_path / SORTING).exists()


def asset_names(asset: Asset) -> list[str]:
    return [column.name for column in asset.columns]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.booleans(),
        ),
        max_size=20,
    )
)
def test_fingerprints_agree_with_whole_readings(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]]
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    kinds = [("t", pa.string()), ("n", pa.int64()), ("r", pa.float64()), ("b", pa.bool_())]
    columns = [pa.array([row[place] for row in rows], kind) for place, (_, kind) in enumerate(kinds)]
    pq.write_table(pa.table(columns, schema=pa.schema(kinds)), folder / "t.parquet")
    source = open_source(str(folder / "t.parquet"))
    asset, seal = registered(source)
    kept = spool(source, asset, seal, folder)
    assert kept.fingerprint() == seal
    assert pa.Table.from_batches(kept.batches(["t", "n", "r", "b"]), pa.schema(kinds)).equals(read(source))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,p\na,1.50\nb,2.25\nc,3\n", "had 2 rows when it was registered, now 3"),
        ("id,p\na,1.50\n", "had 2 rows when it was registered, now 1"),
        ("id,q\na,1.50\nb,2.25\n", "has other columns"),
        ("id,p,q\na,1.50,1\nb,2.25,1\n", "has other columns"),
        ("id,p\na,1.50\nb,2.26\n", "content of civil-affairs/t has changed"),
        ("id,p\nb,2.25\na,1.50\n", "content of civil-affairs/t has changed"),
        ("id,p\na,1.50\nb,2.250001\n", "more digits after the point"),
        ("id,p\na,1.50\nb,x\n", "no decimal"),
    ],
)
def test_another_table_is_said_to_have_changed(write: Write, tmp_path: Path, text: str, says: str) -> None:
    source = open_source(write("id,p\na,1.50\nb,2.25\n"))
    asset, seal = registered(source, types={"p": ColumnType.DECIMAL})
    assert spool(source, asset, seal, tmp_path).rows == 2
    write(text)
    with pytest.raises(TableChanged, match=says):
        spool(source, asset, seal, tmp_path)


def test_an_expression_is_checked_before_anything_is_read(write: Write, tmp_path: Path) -> None:
    source = open_source(write("id\na\n"))
    asset, seal = registered(source)
    with pytest.raises(Refused, match="more than a function of one row"):
        Registered(source, asset, [Projection("x", "count(*)")], seal, tmp_path)


def test_an_empty_table_has_no_batch(write: Write, tmp_path: Path) -> None:
    source = open_source(write("id\n"))
    asset, seal = registered(source)
    rows = Registered(source, asset, [Projection("id", "id")], seal, tmp_path)
    assert list(rows.batches(["id"])) == []
    assert rows.whole()["id"].tolist() == []
