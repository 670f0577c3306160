"""Reading CSV, Parquet and PostgreSQL, and what a user reads when it cannot be done."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lingqu.catalog import PostgresTable, Projection, check_key, describe, fingerprint, open_source, read, scan
from lingqu.catalog.tables import column_type
from lingqu.kinds.errors import BadInput, LingquError, Unavailable
from lingqu.kinds.schema import ColumnType, Grade

Write = Callable[..., str]

CSV = '''编号,age,score,employed,since,name
11010519491231002X,30,1.5,true,2020-01-31,"赵, ""一"""
110105194912310038,41,-2e3,FALSE,1969-12-31,
110105194912310046,,0,true,2020-02-29,""
'''


def test_csv_types_follow_from_the_text(write: Write) -> None:
    table = read(open_source(write(CSV, "人口.csv")))
    assert {field.name: column_type(field.type) for field in table.schema} == {
        "编号": ColumnType.STRING,
        "age": ColumnType.INT,
        "score": ColumnType.REAL,
        "employed": ColumnType.BOOL,
        "since": ColumnType.DATE,
        "name": ColumnType.STRING,
    }
    assert table.to_pylist() == [
        {"编号": "11010519491231002X", "age": 30, "score": 1.5, "employed": True, "since": date(2020, 1, 31),
         "name": '赵, "一"'},
        {"编号": "110105194912310038", "age": 41, "score": -2000.0, "employed": False, "since": date(1969, 12, 31),
         "name": None},
        {"编号": "110105194912310046", "age": None, "score": 0.0, "employed": True, "since": date(2020, 2, 29),
         "name": ""},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (("1", "2"), ColumnType.INT),
        (("007", "1"), ColumnType.STRING),
        (("1", "2.5"), ColumnType.REAL),
        (("9223372036854775807", "1"), ColumnType.INT),
        (("9223372036854775808", "1"), ColumnType.STRING),
        (("nan", "1"), ColumnType.STRING),
        (("2020-02-30", "2020-01-01"), ColumnType.STRING),
        (("", ""), ColumnType.STRING),
        (("true", "1"), ColumnType.STRING),
    ],
)
def test_a_csv_column_is_as_narrow_as_its_texts(write: Write, values: tuple[str, ...], kind: ColumnType) -> None:
    table = read(open_source(write("a,b\n" + "".join(f"{value},x\n" for value in values))))
    assert column_type(table.schema.field("a").type) is kind


def test_gzip_crlf_and_a_byte_order_mark_read_the_same(write: Write) -> None:
    plain = read(open_source(write(CSV)))
    packed = read(open_source(write(gzip.compress(CSV.encode()), "table.csv.gz")))
    windows = read(open_source(write(b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode(), "windows.csv")))
    assert plain.equals(packed)
    assert fingerprint(plain) == fingerprint(windows)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"a,b\n1,2\n3,4,5\n", r"line 3, column 3: too many columns"),
        (b"a,b\n1,2\n3\n", r"line 3, column b: missing columns"),
        (b'a,b\n1,2\n3,"x\n', r"line 3, column b: unquoted value"),
        (b"a,b\n1,2\n3,\xff\n", r"line 3, column b: invalid encoding"),
        (b"a,b\n1,2\n3,\x00\n", r"line 3, column 2: a NUL byte"),
        (b"a,b\r\n1,2\n3,4\r\n", r"line 2, last column: .* ends in another way"),
        (b"a,b\n1," + b"x" * 3_000_000 + b"\n", r"line 2, column 1: line size over maximum"),
        (b"", r"empty: it has no header line"),
        (b"a,\n1,2\n", r"Column 2 of .* has no usable name"),
        (b"a,A\n1,2\n", r"Two columns of .* are called A"),
        (b"\xff,b\n1,2\n", r"Column 1 of .* has no usable name"),
    ],
)
def test_a_broken_csv_names_line_and_column(write: Write, text: bytes, says: str) -> None:
    with pytest.raises(BadInput, match=says) as error:
        read(open_source(write(text)))
    assert error.value.cure


def test_a_value_of_another_type_names_its_line_and_not_itself(write: Write) -> None:
    text = 'a,b\n1,"x\ny"\n\n,z\nsecret,z\n'
    with pytest.raises(BadInput, match=r"line 6, column a: no int; 1 such in all") as error:
        read(open_source(write(text)), {"a": ColumnType.INT})
    assert "secret" not in str(error.value)
    assert read(open_source(write(text)))["a"].to_pylist() == ["1", None, "secret"]


def test_a_wrong_column_is_named_with_the_right_ones(write: Write) -> None:
    with pytest.raises(BadInput, match=r"has no column 年龄. It has a, b"):
        read(open_source(write("a,b\n1,2\n")), {"年龄": ColumnType.INT})


def test_unknown_sources_and_missing_files(tmp_path: Path, write: Write) -> None:
    for text, says in {
        str(tmp_path / "none.csv"): "There is no file",
        str(tmp_path): "is no table that Lingqu reads",
        "table.xlsx": "is no table that Lingqu reads",
        "postgresql://localhost/db": "names no table",
        write("a\n1\n", "b*.csv"): "wildcard",
    }.items():
        with pytest.raises(BadInput, match=says):
            open_source(text)
    with pytest.raises(BadInput, match="no readable Parquet file"):
        read(open_source(write(b"PAR1 no", "x.parquet")))
    with pytest.raises(BadInput, match=r"no CSV file|cannot be read"):
        read(open_source(write(b"\x1f\x8b no", "x.csv.gz")))


def parquet(path: Path, columns: dict[str, pa.Array]) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_parquet_types(tmp_path: Path) -> None:
    source = parquet(
        tmp_path / "表.parquet",
        {
            "small": pa.array([1, None], pa.int8()),
            "wide": pa.array([2**63 - 1, 0], pa.uint64()),
            "half": pa.array([0.5, None], pa.float32()),
            "exact": pa.array(["1.25", "2.50"]).cast(pa.decimal128(9, 2)),
            "word": pa.array(["a", "b"]).dictionary_encode(),
            "long": pa.array(["a", None], pa.large_string()),
            "day": pa.array([date(2020, 1, 1), None]),
            "flag": pa.array([True, None]),
        },
    )
    table = read(open_source(source))
    assert [column_type(kind).value for kind in table.schema.types] == [
        "int", "int", "real", "decimal", "string", "string", "date", "bool",
    ]  # fmt: skip
    assert table.to_pylist()[0] == {
        "small": 1, "wide": 2**63 - 1, "half": 0.5, "exact": Decimal("1.25"), "word": "a", "long": "a",
        "day": date(2020, 1, 1), "flag": True,
    }  # fmt: skip
    assert read(open_source(source), {"small": ColumnType.REAL})["small"].to_pylist() == [1.0, None]
    assert read(open_source(source), {"exact": ColumnType.REAL})["exact"].to_pylist() == [1.25, 2.5]
    with pytest.raises(BadInput, match="is real, which does not convert to int"):
        read(open_source(source), {"half": ColumnType.INT})


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pa.array([[1]]), "unsupported type list"),
        (pa.array([0], pa.timestamp("s", "UTC")), "unsupported type timestamp"),
        (pa.array([b"x"]), "unsupported type binary"),
        (pa.array([2**63], pa.uint64()), "row 1, column a: no int"),
        (pa.array([1.0, float("nan")]), "row 2, column a: no real; 1 such"),
        (pa.array([float("-inf")]), "row 1, column a: no real"),
    ],
)
def test_parquet_values_that_cannot_be_computed_with(tmp_path: Path, column: pa.Array, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        read(open_source(parquet(tmp_path / "x.parquet", {"a": column})))


def test_fingerprint_sees_content_and_nothing_else() -> None:
    whole = pa.table({"a": pa.array(["x", None, "", "yz"]), "b": pa.array([1, 2, None, 4])})
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 2), whole.slice(3)])
    assert fingerprint(chunked) == fingerprint(whole)
    others: list[dict[str, Any]] = [
        {"a": ["x", None, "", "yz"], "b": [1, 2, 0, 4]},
        {"a": ["x", "", None, "yz"], "b": [1, 2, None, 4]},
        {"a": ["x", None, "y", "z"], "b": [1, 2, None, 4]},
        {"a": ["x", None, "", "yz"], "c": [1, 2, None, 4]},
        {"a": ["x", None, "", "yz"], "b": [1.0, 2.0, None, 4.0]},
        {"b": [1, 2, None, 4], "a": ["x", None, "", "yz"]},
        {"a": ["yz", None, "", "x"], "b": [4, 2, None, 1]},
    ]
    assert len({fingerprint(pa.table(other)) for other in others} | {fingerprint(whole)}) == len(others) + 1
    assert fingerprint(whole.slice(0, 0)) != fingerprint(whole)


def test_keys() -> None:
    table = pa.table({"id": ["a", "b", "b"], "part": [1, 2, 3], "hole": ["a", None, None], "real": [1.0, 2.0, 3.0]})
    check_key(table, ["part"])
    check_key(table, ["id", "part"])
    check_key(table.slice(0, 0), ["id"])
    for key, says in {
        ("id",): "is not unique: 1 of 3 rows repeat",
        ("hole",): "is null in 2 of 3 rows",
        ("nothing",): "The key column nothing does not exist",
        ("real",): "holds reals",
        (): "No key is named",
    }.items():
        with pytest.raises(BadInput, match=says) as error:
            check_key(table, key)
        assert "'b'" not in str(error.value)


def test_postgres(postgres_url: str) -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute('CREATE SCHEMA "人口"')
        cursor.execute(
            'CREATE TABLE "人口"."居民" '
            '("编号" text, age smallint, pay numeric(10,2), born date, ok bool, code char(3))'
        )
        cursor.execute(
            """INSERT INTO "人口"."居民" VALUES ('2', 40, 12.50, '1980-05-01', true, 'abc'),
               ('1', 30, NULL, '1990-05-01', false, NULL)"""
        )
        cursor.execute("CREATE TABLE stamps (at timestamptz)")
        cursor.execute("CREATE SEQUENCE counter")
        connection.commit()
    table = read(open_source(f"{postgres_url}#人口.居民"))
    assert table.to_pylist() == [
        {"编号": "1", "age": 30, "pay": None, "born": date(1990, 5, 1), "ok": False, "code": None},
        {"编号": "2", "age": 40, "pay": 12.5, "born": date(1980, 5, 1), "ok": True, "code": "abc"},
    ]
    found = [column_type(kind).value for kind in table.schema.types]
    assert found == ["string", "int", "real", "date", "bool", "string"]
    query = open_source(f"{postgres_url}#select%20count(*)%20as%20n%20from%20%22人口%22.%22居民%22")
    assert read(query).to_pylist() == [{"n": 2}]
    with pytest.raises(BadInput, match="SQLSTATE 42P01"):
        read(open_source(f"{postgres_url}#public.missing"))
    with pytest.raises(BadInput, match="SQLSTATE 25006"):  # read-only transaction
        read(open_source(f"{postgres_url}#select%20nextval('counter')%20as%20n"))
    with pytest.raises(BadInput, match="unsupported type timestamp"):
        read(open_source(f"{postgres_url}#stamps"))


def test_postgres_away_or_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source("postgresql://reader:hunter2@127.0.0.1:1/db#t")
    assert isinstance(source, PostgresTable)
    assert "hunter2" not in f"{source} {source!r}"
    with pytest.raises(Unavailable, match="cannot be reached") as away:
        read(source)
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    with pytest.raises(Unavailable, match=r"lingqu\[postgres\]") as missing:
        read(source)
    errors: list[LingquError] = [away.value, missing.value]
    assert not any("hunter2" in str(error) for error in errors)


@pytest.mark.parametrize("password", ["s3cret", "s3/cret", "s3?cret", "a:s3cret", "a@s3cret"])
def test_no_spelling_of_a_password_prints(password: str) -> None:
    source = open_source(f"postgresql://user:{password}@host:5432/db?sslmode=require#public.t")
    assert str(source) == "postgresql://host:5432/db#public.t"
    assert "s3" not in repr(source)
    with pytest.raises(BadInput) as caught:
        open_source("postgresql://user:s3#cret@host/db#public.t")
    assert "s3" not in str(caught.value)
    assert "cret@" not in str(caught.value)


def test_decimals_and_timestamps_of_text(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("pay,at\n12.5,2020-01-02 03:04:05.25\n-0.125,\n7,2021-12-31T00:00\n", "utf-8")
    table = read(open_source(str(path)), {"pay": ColumnType.DECIMAL, "at": ColumnType.TIMESTAMP})
    assert table["pay"].to_pylist() == [Decimal("12.500"), Decimal("-0.125"), Decimal("7.000")]
    assert table["at"].to_pylist() == [datetime(2020, 1, 2, 3, 4, 5, 250000), None, datetime(2021, 12, 31)]
    path.write_text("pay\n12.5\n1e3\n", "utf-8")
    with pytest.raises(BadInput, match="line 3, column pay: no decimal"):
        read(open_source(str(path)), {"pay": ColumnType.DECIMAL})


def test_decimals_have_fingerprints_and_bounds(tmp_path: Path) -> None:
    values = [Decimal(i) / 4 - 3 for i in range(40)]
    stamps = [datetime(2020, 1, 1, i % 24) for i in range(40)]
    columns = {"pay": pa.array(values, pa.decimal128(12, 2)), "at": pa.array(stamps, pa.timestamp("ms"))}
    source = open_source(parquet(tmp_path / "t.parquet", columns))
    asset, first = describe(source, owner="civil-affairs", name="t", title="t", grade=Grade.GENERAL, version=1)
    assert [(column.type.value, column.scale) for column in asset.columns] == [("decimal", 2), ("timestamp", 0)]
    profile = asset.profile["pay"]
    assert profile.lower is not None
    assert profile.lower <= -3
    assert asset.profile["at"].mean is None
    sql = 'CAST(CAST("pay" AS DECIMAL(18, 2)) * 100 AS BIGINT)'
    found = scan(source, asset, [Projection("x", sql), Projection("y", 'epoch_us("at")')], first)
    assert found["x"].tolist() == [int(value * 100) for value in values]
    assert found["y"][1] - found["y"][0] == 3_600_000_000
