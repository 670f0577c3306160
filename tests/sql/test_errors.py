"""What is not supported is said at its place, with what would work."""

from __future__ import annotations

from typing import Any

import pytest

from lingqu.kinds.errors import BadInput, LingquError, RangeError, Refused
from lingqu.kinds.programs import Parameter, Program
from lingqu.kinds.schema import ColumnType
from lingqu.sql import FRONTEND

JOINED = "FROM residents r JOIN employment e ON r.id = e.id"

SNAPSHOTS = {
    "SELECT education,\n       age\nFROM residents GROUP BY education": """\
residents.age is neither a group key nor an aggregate, so it would release values of single rows. (line 2, column 8)
       age
       ^
 [term: minimum_group] Add it to GROUP BY, or aggregate it: COUNT, SUM, AVG, MIN or MAX.""",
    "SELECT *\nFROM residents": """\
SELECT * would release rows; only aggregates over groups of at least the minimum size may leave. (line 1, column 8)
SELECT *
       ^
 [term: minimum_group] Name aggregates, for example SELECT education, COUNT(*) ... GROUP BY education.""",
    "SELECT COUNT(*) FROM residents WHERE aeg > 3": """\
There is no column aeg. (line 1, column 38)
SELECT COUNT(*) FROM residents WHERE aeg > 3
                                     ^
 Columns of residents: id, education, age, born, weight, married.""",
    "SELECT COUNT(*) FROM employment WHERE 行业 = 3": """\
employment.行业 (string) and 3 (int) cannot be compared. (line 1, column 39)
SELECT COUNT(*) FROM employment WHERE 行业 = 3
                                      ^
 Compare values of one type.""",
    f"SELECT COUNT(*) {JOINED} WHERE id = 'x'": """\
The column id is ambiguous. (line 1, column 73)
SELECT COUNT(*) FROM residents r JOIN employment e ON r.id = e.id WHERE id = 'x'
                                                                        ^
 Write one of r.id, e.id.""",
    "SELECT COUNT(*) FROM residents WHERE 行 > 3 AND": """\
This is no SQL that can be read: Required keyword: 'expression' missing. (line 1, column 44)
SELECT COUNT(*) FROM residents WHERE 行 > 3 AND
                                     \u3000     ^
 Correct it here.""",
}


@pytest.mark.parametrize(("query", "message"), SNAPSHOTS.items())
def test_messages_show_the_place(bureaus: Any, query: str, message: str) -> None:
    with pytest.raises(LingquError) as caught:
        bureaus.compile(query)
    assert str(caught.value) == message


UNSUPPORTED = [
    "SELECT r.* FROM residents r",
    "SELECT 1 FROM residents",
    "SELECT COUNT(*) FROM nowhere",
    "SELECT COUNT(*) FROM 'x.csv'",
    "SELECT COUNT(*) FROM read_csv('x.csv')",
    "SELECT COUNT(*) FROM (SELECT 1)",
    "SELECT DISTINCT education FROM residents",
    "SELECT COUNT(DISTINCT weight) FROM residents",
    "SELECT COUNT(DISTINCT age, education) FROM residents",
    "SELECT SUM(DISTINCT age) FROM residents",
    "SELECT MEDIAN(married) FROM residents",
    "SELECT MEDIAN(born) FROM residents",
    "SELECT QUANTILE(age, 1.5) FROM residents",
    "SELECT QUANTILE(age, 0.12345) FROM residents",
    "SELECT QUANTILE(age, [0.25, 0.5]) FROM residents",
    "SELECT QUANTILE(age, age) FROM residents",
    "SELECT MODE() WITHIN GROUP (ORDER BY age) FROM residents",
    "SELECT PERCENTILE_DISC(0.3) WITHIN GROUP (ORDER BY age DESC) FROM residents",
    "SELECT COUNT(*) FROM residents HAVING STDDEV(age) > 3",
    "SELECT SKEWNESS(age) FROM residents",
    "SELECT COUNT(*) FROM residents LEFT JOIN employment ON residents.id = employment.id AND age > 3",
    "SELECT COUNT(*) FROM residents SEMI JOIN employment ON residents.id = employment.id",
    "SELECT COUNT(*) FROM residents NATURAL JOIN employment",
    "SELECT COUNT(*) FROM residents JOIN employment USING (id)",
    "SELECT COUNT(*) FROM residents r JOIN employment e ON r.age < e.hours",
    "SELECT COUNT(*) FROM residents r JOIN employment e ON r.age = e.id",
    "SELECT COUNT(*) FROM residents r JOIN employment e ON r.weight = e.wage",
    "SELECT COUNT(*) FROM residents, employment",
    "SELECT COUNT(*) FROM residents JOIN residents ON TRUE",
    "SELECT COUNT(*) FROM residents WHERE age IN (SELECT hours FROM employment)",
    "SELECT SUM(age) OVER () FROM residents",
    "SELECT COUNT(*) FROM residents WHERE age = 'x'",
    "SELECT COUNT(*) FROM residents WHERE age",
    "SELECT COUNT(*) FROM residents WHERE born > 'yesterday'",
    "SELECT COUNT(*) FROM residents WHERE age BETWEEN SYMMETRIC 30 AND 20",
    "SELECT weight, COUNT(*) FROM residents GROUP BY weight",
    "SELECT SUM(education) FROM residents",
    "SELECT MIN(id) FROM residents",
    "SELECT MAX(age, 3) FROM residents",
    "SELECT SUM(age) / COUNT(*) FROM residents",
    "SELECT COUNT(*) FILTER (WHERE age > 3) FROM residents",
    "SELECT SUM(wage / hours) FROM employment",
    "WITH t AS (SELECT 1) SELECT COUNT(*) FROM t",
    "SELECT COUNT(*) FROM residents UNION SELECT COUNT(*) FROM employment",
    "DELETE FROM residents",
    "COPY residents TO 'x.csv'",
    "SELECT COUNT(*) FROM residents; DROP TABLE residents",
    "SELECT COUNT(*) FROM residents WHERE age > :x",
    "SELECT COUNT(*) FROM residents WHERE random() > 0.5",
    "SELECT COUNT(*) FROM residents WHERE read_text('/etc/passwd') = 'x'",
    "SELECT COUNT(*) FROM residents WHERE CAST(education AS INT) = 3",
    "SELECT COUNT(*) FROM residents WHERE COUNT(*) > 1",
    "SELECT COUNT(*) FROM residents HAVING education = 'x'",
    "SELECT ROUND(weight, 2), COUNT(*) FROM residents GROUP BY 1",
    "SELECT COUNT(*) FROM residents ORDER BY age",
    "SELECT COUNT(*) FROM residents ORDER BY 2",
    "SELECT COUNT(*) FROM residents LIMIT age",
    "SELECT COUNT(*) FROM residents LIMIT 10%",
    "SELECT COUNT(*) FROM residents LIMIT 10 OFFSET 3",
    "SELECT COUNT(*) FROM residents TABLESAMPLE 10%",
    "SELECT COUNT(*) FROM residents AS t(a, b)",
    "SELECT COUNT(*) FROM residents GROUP BY ROLLUP (education)",
    "SELECT COUNT(*) FROM residents QUALIFY 1 = 1",
    "SELECT COUNT(*), COUNT(*) FROM residents",
    "SELECT COUNT(*) FROM residents WHERE age > 99999999999999999999999",
    "SELECT 'open",
    "SELECT COUNT(*) FROM residents WHERE " + "(" * 4000 + "TRUE" + ")" * 4000,
    f"SELECT COUNT(*) {JOINED} WHERE r.education = e.income",
    f"SELECT COUNT(*) {JOINED} WHERE LOWER(r.education) || e.income = 'x'",
    f"SELECT r.age + e.hours, COUNT(*) {JOINED} GROUP BY 1",
]


FAILING_ON_SOME_ROWS = [
    "SUBSTRING(id, CASE WHEN age > 40 THEN 9999999999 ELSE 1 END) = 'x'",
    "SUBSTRING(id, 1, age * 9999999999) = 'x'",
    "SUBSTRING(id, education) = 'x'",
    "few + 1 > 2",
    "-few > 2",
    "few * few > 2",
    "ABS(few) > 2",
    "few // -1 > 2",
    "(age // (age - 30)) * 4611686018427387903 + age > 3",
]


@pytest.mark.parametrize("condition", FAILING_ON_SOME_ROWS)
def test_no_expression_can_fail_on_some_rows_only(make_table: Any, make_world: Any, condition: str) -> None:
    """Such a failure ends the run for everyone, and so would tell all parties whether there is such a row."""
    kinds = {"id": ColumnType.STRING, "education": ColumnType.STRING, "age": ColumnType.INT, "few": ColumnType.INT}
    rows = [(f"p{i}", "x", 20 + i, None if i else 5) for i in range(20)]
    world = make_world([make_table("civil-affairs", "people", kinds, rows)])
    asset = world.assets["civil-affairs/people"]
    unpublished = asset.profile["few"].model_copy(update={"lower": None, "upper": None})
    asset = asset.model_copy(update={"profile": {**asset.profile, "few": unpublished}})
    program = Program(kind="sql", text=f"SELECT COUNT(*) FROM people WHERE {condition}")
    with pytest.raises((BadInput, RangeError)):
        FRONTEND.compile(program, {asset.id: asset}, world.setting())


def test_bounds_that_are_no_numbers_are_refused(make_table: Any, make_world: Any) -> None:
    rows = [(1e200 * (i - 9),) for i in range(20)]
    world = make_world([make_table("civil-affairs", "a", {"x": ColumnType.REAL}, rows)])
    power = "*".join(["(CASE WHEN x > 3 THEN 1e18 ELSE 0 END)"] * 20)
    for value in ("x * x * 0", "x * x - x * x", f"{power} * 0", "FLOOR(x * x)", "x / 1e-300 // 1e-300"):
        with pytest.raises(RangeError, match="reaches inf"):
            world.compile(f"SELECT SUM({value}) FROM a")
    huge = " * ".join(["1e18"] * 20)
    with pytest.raises(RangeError):
        world.compile(f"SELECT COUNT(*) FROM a HAVING COUNT(*) * {huge} * 0 + COUNT(*) * 1e18 * 1e18 > 3")


def test_whole_quotients_and_remainders_have_bounds(bureaus: Any) -> None:
    query = "SELECT SUM(age // (age - 30)), SUM(age % (age - 31)), SUM(-(age // (30 - age)) + 1) FROM residents"
    assert bureaus.ask(query).table() == bureaus.pooled(query)


@pytest.mark.parametrize("query", UNSUPPORTED)
def test_unsupported_names_cause_and_cure(bureaus: Any, query: str) -> None:
    with pytest.raises((BadInput, Refused)) as caught:
        bureaus.compile(query)
    assert caught.value.cause
    assert caught.value.cure


def test_joins_whose_rows_would_be_too_many(make_table: Any, make_world: Any) -> None:
    pairs = (("civil-affairs", "a"), ("human-resources", "b"))
    world = make_world([make_table(owner, name, {"k": ColumnType.INT}, [(1,)] * 16) for owner, name in pairs])
    assets = {name: asset.model_copy(update={"rows": 10**7}) for name, asset in world.assets.items()}
    program = Program(kind="sql", text="SELECT COUNT(*) FROM a JOIN b ON a.k = b.k")
    with pytest.raises(RangeError, match="can have 160000000 rows") as caught:
        FRONTEND.compile(program, assets, world.setting())
    assert "fewer rows a key" in caught.value.cure


def test_duplicate_keys_that_the_profile_does_not_know(make_table: Any, make_world: Any) -> None:
    kinds = {"k": ColumnType.INT}
    left = make_table("civil-affairs", "a", kinds, [(1,), (1,), (2,)], frozenset({"k"}))
    right = make_table("human-resources", "b", kinds, [(1,), (2,)], frozenset({"k"}))
    with pytest.raises(BadInput, match=r"a\.k is not unique"):
        make_world([left, right]).ask("SELECT COUNT(*) FROM a JOIN b ON a.k = b.k")


def test_texts_without_published_categories(make_table: Any, make_world: Any) -> None:
    table = make_table("civil-affairs", "a", {"name": ColumnType.STRING}, [("x",)], categories={"name": None})
    with pytest.raises(BadInput, match="publishes no complete list of its categories"):
        make_world([table]).compile("SELECT name, COUNT(*) FROM a GROUP BY name")


def test_sums_that_could_overflow(make_table: Any, make_world: Any) -> None:
    table = make_table("civil-affairs", "a", {"x": ColumnType.REAL}, [(1,)] * 8, bounds={"x": (0, 2.0**60)})
    with pytest.raises(RangeError, match=r"a\.x reaches 1\.15292e\+18") as caught:
        make_world([table]).compile("SELECT SUM(x) FROM a")
    assert "larger unit" in caught.value.cure


def test_values_outside_the_published_bounds(make_table: Any, make_world: Any) -> None:
    table = make_table("civil-affairs", "a", {"x": ColumnType.INT}, [(1,), (7,)], bounds={"x": (0, 5)})
    with pytest.raises(RangeError, match=r"a\.x has values outside its published bounds 0 to 5"):
        make_world([table]).ask("SELECT SUM(x) FROM a")
    with pytest.raises(RangeError, match="group key a\\.x has values outside"):
        make_world([table]).ask("SELECT x, COUNT(*) FROM a GROUP BY x")


def test_parameters_are_checked(bureaus: Any) -> None:
    query = "SELECT COUNT(*) FROM residents WHERE age > :low AND education = :level"
    parameters = {"low": Parameter(lower=18, upper=65), "level": Parameter(allowed=("HS", "PhD"))}
    assert bureaus.ask(query, parameters, low=20, level="HS").rows
    for bindings in ({"low": 17, "level": "HS"}, {"low": 20, "level": "x' OR 'a' = 'a"}, {"low": 20.5, "level": "HS"}):
        with pytest.raises(Refused) as caught:
            bureaus.ask(query, parameters, **bindings)
        assert caught.value.term == "program"
    for few in ({"low": 20}, {"low": 20, "level": "HS", "more": 1}):
        with pytest.raises(BadInput):
            bureaus.ask(query, parameters, **few)


def test_tables_by_several_names(bureaus: Any, make_table: Any, make_world: Any) -> None:
    for name in ('"civil-affairs/residents"', '"civil-affairs".residents', "residents", "Residents"):
        assert bureaus.compile(f"SELECT COUNT(*) FROM {name}").assets[0].id == "civil-affairs/residents"
    twice = [make_table(owner, "t", {"x": ColumnType.INT}, [(1,)]) for owner in ("civil-affairs", "big-data")]
    with pytest.raises(BadInput, match="Several owners have a table t"):
        make_world(twice).compile("SELECT COUNT(*) FROM t")
