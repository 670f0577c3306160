"""A scan gives every row in order, over the registered data only, and reaches nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lingqu.catalog import Projection, Source, TableChanged, describe, open_source, scan
from lingqu.kinds.errors import BadInput, LingquError, RangeError, Refused
from lingqu.kinds.schema import Asset, Grade

Write = Callable[..., str]
Registered = tuple[Source, Asset, str]

TEXT = "id,年龄,pay,ok,since,word\n" + "".join(
    f"p{n},{n % 80},{n}.5,{'true' if n % 3 else 'false'},1970-01-{n % 28 + 1:02d},{'甲' if n % 2 else ''}\n"
    for n in range(5000)
)


@pytest.fixture
def table(write: Write) -> Registered:
    source = open_source(write(TEXT))
    asset, seal = describe(source, owner="civil-affairs", name="people", title="People", grade=Grade.GENERAL, version=1)
    return source, asset, seal


def one(table: Registered, sql: str) -> npt.NDArray[Any]:
    source, asset, seal = table
    return scan(source, asset, [Projection("x", sql)], seal)["x"]


def test_types_and_order(table: Registered) -> None:
    source, asset, seal = table
    found = scan(
        source,
        asset,
        [
            Projection("id", "id"),
            Projection("age", '"年龄" + 0'),
            Projection("pay", "pay * 2"),
            Projection("valid", '"年龄" BETWEEN 18 AND 60 AND ok'),
            Projection("since", "since"),
            Projection("word", "coalesce(word, '无')"),
            Projection("holdout", "hash(id || 'salt') % 5 = 0"),
            Projection("education", "CASE WHEN word = '甲' THEN 1 ELSE 0 END"),
            Projection("constant", "true"),
        ],
        seal,
    )
    assert [array.dtype.kind for array in found.values()] == ["O", "i", "f", "b", "i", "O", "b", "i", "b"]
    assert all(len(array) == asset.rows for array in found.values())
    assert found["id"].tolist() == [f"p{n}" for n in range(5000)]
    assert found["pay"].tolist() == [2 * n + 1.0 for n in range(5000)]
    assert found["valid"].tolist() == [18 <= n % 80 <= 60 and n % 3 != 0 for n in range(5000)]
    assert found["since"][:3].tolist() == [0, 1, 2]
    assert found["word"][:2].tolist() == ["无", "甲"]
    assert found["age"].dtype == np.int64


def test_an_empty_table_gives_empty_columns(write: Write) -> None:
    source = open_source(write("id,word\n"))
    asset, seal = describe(source, owner="civil-affairs", name="none", title="", grade=Grade.GENERAL, version=1)
    found = scan(source, asset, [Projection("id", "id"), Projection("n", "length(word)")], seal)
    assert found["id"].shape == (0,)
    assert found["n"].dtype == np.int64
    assert scan(source, asset, [], seal) == {}


@pytest.mark.parametrize(
    ("sql", "kind", "says"),
    [
        ("word", BadInput, "is null in 2500 of 5000 rows"),
        ("nothing", BadInput, "names nothing, which civil-affairs/people does not have"),
        ("people.id", BadInput, "names people.id"),
        ("CAST(id AS INTEGER)", BadInput, "fails: ConversionException"),
        ("CAST('x' || id AS DATE)", BadInput, "fails"),
        ("CASE WHEN false THEN error(id) ELSE error(id) END", Refused, "calls error"),
        ("pay / 0", LingquError, "null in|not finite"),
        ("ln(pay - pay)", LingquError, "fails|not finite"),
        ("CAST(9223372036854775807 AS HUGEINT) + 1", RangeError, "beyond 64 bits"),
        ("[pay]", BadInput, "unsupported type"),
        ("1 +", BadInput, "no SQL expression"),
        ("max(pay)", Refused, "contains max"),
        ("row_number() OVER ()", Refused, "contains window"),
        ("unnest([1, 2])", Refused, "contains explode"),
        ("(SELECT 1)", Refused, "not one expression"),
        ("coalesce((SELECT max(pay) FROM rows), 0)", Refused, "contains"),
        ("EXISTS (SELECT 1)", Refused, "contains"),
        ("id; id", Refused, "not one expression"),
        ("id) FROM rows; SELECT (id", BadInput, "no SQL expression"),
        ("*", Refused, "not one expression|contains star"),
        ("COLUMNS(*)", Refused, "contains star"),
        ("?", Refused, "contains placeholder"),
        ("getvariable('x')", Refused, "calls getvariable"),
        ("current_setting('threads')", Refused, "calls current_setting"),
        ("read_text('/etc/passwd')", Refused, "calls read_text"),
        ("random()", Refused, "calls rand"),
        ("current_date", Refused, "calls currentdate"),
        ("current_database()", Refused, "calls currentdatabase"),
        ("DROP TABLE rows", Refused, "not one expression"),
    ],
)
def test_an_expression_is_a_function_of_one_row(
    table: Registered, sql: str, kind: type[LingquError], says: str
) -> None:
    with pytest.raises(kind, match=says) as error:
        one(table, sql)
    assert "p17" not in str(error.value)


def test_the_sealed_connection_reads_no_file(
    table: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("a\nsecret\n")
    monkeypatch.setattr("lingqu.catalog.scans._check_expression", lambda projection, asset: None)
    for sql in (
        f"(SELECT content FROM read_text('{secret}'))",
        f"(SELECT a FROM read_csv('{secret}'))",
        f"(SELECT a FROM '{secret}')",
        "(SELECT 1 FROM asset)",  # a Python variable of the caller
        "id) FROM rows; SET enable_external_access = true; SELECT (id",
        f"id) FROM rows; COPY rows TO '{tmp_path}/out.csv'; SELECT (id",
        "id) FROM rows; INSTALL httpfs; SELECT (id",
    ):
        with pytest.raises(BadInput, match=r"fails|does not keep the rows"):
            one(table, sql)
    assert not (tmp_path / "out.csv").exists()


def test_changed_content_is_noticed(write: Write, table: Registered) -> None:
    cases = {
        TEXT + "p,1,1.5,true,1970-01-01,\n": "had 5000 rows when it was registered, now 5001",
        TEXT.replace("p17,17,", "p17,18,"): "content of civil-affairs/people has changed",
        TEXT.replace("p17,17,", "p17,x,"): "has changed since it was registered: .*column 年龄: no int",
        TEXT.replace("年龄", "age", 1): "has other columns",
    }
    for text, says in cases.items():
        write(text)
        with pytest.raises(TableChanged, match=says) as error:
            one(table, "id")
        assert "Register the table again" in error.value.cure
    write(TEXT)
    assert one(table, "id").shape == (5000,)


def test_a_vanished_file_is_named(table: Registered) -> None:
    source, _, _ = table
    Path(str(source)).unlink()
    with pytest.raises(BadInput, match="There is no file"):
        one(table, "id")


def test_postgres_scans_in_one_order(postgres_url: str) -> None:
    from adbc_driver_postgresql import dbapi

    source = open_source(f"{postgres_url}#public.moving")
    with dbapi.connect(postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE moving (id text, n bigint)")
        cursor.execute("INSERT INTO moving SELECT 'p' || i, i FROM generate_series(1, 500) i")
        connection.commit()
        asset, seal = describe(source, owner="civil-affairs", name="moving", title="", grade=Grade.CORE, version=1)
        before = scan(source, asset, [Projection("id", "id")], seal)["id"]
        cursor.execute("UPDATE moving SET n = n WHERE id = 'p1'")  # the row moves in the heap
        connection.commit()
        assert scan(source, asset, [Projection("id", "id")], seal)["id"].tolist() == before.tolist()
        cursor.execute("UPDATE moving SET n = 0 WHERE id = 'p1'")
        connection.commit()
    with pytest.raises(TableChanged, match="content of civil-affairs/moving"):
        scan(source, asset, [Projection("id", "id")], seal)
