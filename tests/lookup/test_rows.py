"""Keys and rows of lookups: from tables to records and back, from what people have to what is asked."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st
from pyarrow import csv, parquet

from lingqu.kinds.errands import Given, Scanned
from lingqu.kinds.errors import BadInput, ProtocolViolation
from lingqu.kinds.schema import Asset, Column, ColumnProfile, ColumnType, Grade
from lingqu.lookup import LookupSpec
from lingqu.lookup.keys import given, read_keys
from lingqu.lookup.rows import asked, owned, read
from lingqu.lookup.steps import LookupArguments

TYPES = (
    ColumnType.BOOL,
    ColumnType.INT,
    ColumnType.REAL,
    ColumnType.STRING,
    ColumnType.DATE,
    ColumnType.TIMESTAMP,
    ColumnType.DECIMAL,
)
WHOLE = st.integers(-(2**63), 2**63 - 1)
CELLS: dict[ColumnType, Any] = {
    ColumnType.BOOL: st.booleans(),
    ColumnType.REAL: st.floats(allow_nan=False, allow_infinity=False),
    ColumnType.STRING: st.text(max_size=8),
}


def arguments(*types: ColumnType, key: ColumnType = ColumnType.STRING, form: str = "exact/1") -> LookupArguments:
    columns = tuple(Scanned(title=f"v{i}", value=f"v{i}", type=kind, nulls=f"n{i}") for i, kind in enumerate(types))
    keys = (Scanned(title="k", value="k", type=key),)
    return LookupArguments(
        table="a/t", asker=0, rows=3, keys=keys, forms=(form,), columns=columns, queries=4, width=1024
    )


def scan(cells: list[list[Any]], types: tuple[ColumnType, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {"k": np.array([f"k{i}" for i in range(len(cells[0]))], object)}
    for place, (column, kind) in enumerate(zip(cells, types, strict=True)):
        dtype = {ColumnType.BOOL: bool, ColumnType.REAL: float, ColumnType.STRING: object}.get(kind, np.int64)
        filler = "" if dtype is object else 0
        found[f"v{place}"] = np.array([filler if cell is None else cell for cell in column], dtype)
        found[f"n{place}"] = np.array([cell is None for cell in column], bool)
    return found


@settings(max_examples=60, deadline=None)
@examples(st.data())
def test_values_of_every_type_come_back_as_they_were(data: st.DataObject) -> None:
    cells = [data.draw(st.lists(st.none() | CELLS.get(kind, WHOLE), min_size=2, max_size=2)) for kind in TYPES]
    described = arguments(*TYPES)
    records = owned(described, scan(cells, TYPES))
    bodies = [records.value(0), None, records.value(1)]
    back = read(described, bodies, "owner")
    for place, column in enumerate(cells):
        found = [
            None if gone else cell
            for cell, gone in zip(back[f"value{place}"].tolist(), back[f"value{place}_null"], strict=True)
        ]
        assert found == [column[0], None, column[1]]


def test_rows_that_are_too_long_or_share_a_key_are_refused_without_their_place() -> None:
    described = arguments(ColumnType.STRING)
    long = scan([["x" * 1100, "y"]], (ColumnType.STRING,))
    with pytest.raises(BadInput, match="more than the agreed 1024 bytes"):
        owned(described, long)
    twice = scan([["x", "y"]], (ColumnType.STRING,)) | {"k": np.array(["A", "a "], object)}
    assert len(owned(described, twice)) == 2
    with pytest.raises(BadInput, match="have one key in the agreed forms"):
        owned(arguments(ColumnType.STRING, form="text/1"), twice)
    with pytest.raises(BadInput, match="A key is not in its form: identity/1"):
        owned(arguments(ColumnType.STRING, form="identity/1"), twice)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ColumnType.INT, b"[1.5]"),
        (ColumnType.INT, b"[true]"),
        (ColumnType.BOOL, b"[1]"),
        (ColumnType.INT, b"[9223372036854775808]"),
        (ColumnType.STRING, b"[1]"),
        (ColumnType.REAL, b'["1"]'),
        (ColumnType.INT, b"[1,2]"),
        (ColumnType.INT, b"1"),
        (ColumnType.INT, b"[1"),
        (ColumnType.INT, b"\xff"),
        (ColumnType.INT, b"[" * 1000),
    ],
)
def test_what_is_no_row_is_refused(kind: ColumnType, body: bytes) -> None:
    with pytest.raises(ProtocolViolation, match="no row of a/t"):
        read(arguments(kind), [body], "owner")


def test_dates_and_numbers_are_keys_too() -> None:
    described = arguments(key=ColumnType.DATE, form="date/1")
    records = owned(described, {"k": np.array([0, 19_000])})
    _, keys = asked(described, Given(columns={"k": ("1970-01-01", "2022年1月8日", None)}))
    assert keys == [records.keys[0], records.keys[1], None]
    described = arguments(key=ColumnType.INT)
    records = owned(described, {"k": np.array([-5])})
    assert asked(described, Given(columns={"k": (-5,)}))[1] == [records.keys[0]]


def asset() -> Asset:
    columns = (Column(name="id", type=ColumnType.INT), Column(name="name", type=ColumnType.STRING))
    return Asset(
        id="owner/t",
        owner="owner",
        name="t",
        title="t",
        version=1,
        columns=columns,
        rows=1,
        profile={"id": ColumnProfile(unique=True), "name": ColumnProfile()},
        grade=Grade.GENERAL,
        registered="2026-01-01T00:00:00Z",
        key=("id", "name"),
    )


SPEC = LookupSpec(table="owner/t", keys=("id", "name"), forms=("exact/1", "text/1"), queries=3)
WANTED = {"id": (1, 2), "name": ("a", None)}


@pytest.mark.parametrize(
    "keys",
    [
        [(1, "a"), (2, None)],
        {"id": [1, 2], "name": ["a", None]},
        {"id": ["1", "2"], "name": ["a", None], "more": [0, 0]},
        pa.table({"id": [1, 2], "name": ["a", None]}),
        pd.DataFrame({"id": [1, 2], "name": ["a", None]}),
        [(np.int64(1), "a"), (2.0, None)],
    ],
    ids=["tuples", "columns", "texts", "arrow", "pandas", "numpy"],
)
def test_keys_are_taken_as_people_have_them(keys: Any) -> None:
    assert given(keys, SPEC, asset()).columns == WANTED


@pytest.mark.parametrize(
    ("keys", "cause"),
    [
        ("one text", "no list"),
        ([1, 2], "A key has 2 parts"),
        ([(1.5, "a")], "Key 1 of id is no whole number"),
        ([(1, "a")] * 4, "4 keys are more than the 3 of a run"),
        ({"id": [1]}, "no column 'name'"),
    ],
)
def test_keys_that_do_not_fit_are_named_by_place(keys: Any, cause: str) -> None:
    with pytest.raises(BadInput, match=cause):
        given(keys, SPEC, asset())


def test_dates_are_given_as_texts() -> None:
    spec = LookupSpec(table="owner/t", keys=("name",), forms=("date/1",))
    moments = [datetime.date(2020, 1, 2), datetime.datetime(2020, 1, 3, 4, 5)]
    assert given(moments, spec, asset()).columns == {"name": ("2020-01-02", "2020-01-03")}


def test_files_are_read_as_written(tmp_path: Path) -> None:
    table = pa.table({"id": ["007", "1"], "name": ["", "ä"]})
    csv.write_csv(table, tmp_path / "keys.csv")
    parquet.write_table(table, tmp_path / "keys.parquet")
    for name in ("keys.csv", "keys.parquet"):
        assert read_keys(tmp_path / name)["id"] == ["007", "1"]
    for path in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(BadInput, match="cannot be read as keys"):
            read_keys(path)
