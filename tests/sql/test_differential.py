"""Queries under the ideal twin and under rep3 against DuckDB on the pooled tables."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lingqu.catalog import Projection, describe, open_source, scan
from lingqu.engine.execute import execute
from lingqu.engine.release import Release
from lingqu.kinds.channel import Traffic
from lingqu.kinds.programs import Parameter, Program
from lingqu.kinds.schema import ColumnType, Grade
from lingqu.plan.inputs import bound
from lingqu.plan.plan import Step
from lingqu.share.plain import Plain
from lingqu.sql import FRONTEND

JOINED = " FROM residents r JOIN employment e ON r.id = e.id"


def agree(found: Any, wanted: Any) -> bool:
    """Equal, reals to 1e-6 relative."""
    if isinstance(wanted, bool | str | datetime.date) or wanted is None:
        return bool(found == wanted)
    if isinstance(found, float):
        return math.isclose(found, float(wanted), rel_tol=1e-6, abs_tol=1e-6)
    return bool(found == wanted)


def check(release: Release, wanted: list[tuple[Any, ...]]) -> None:
    """The released rows are the wanted ones, in any order."""

    def order(row: tuple[Any, ...]) -> str:
        return repr([cell for cell in row if not isinstance(cell, float)])

    found = sorted(release.table(), key=order)
    wanted = sorted(wanted, key=order)
    assert len(found) == len(wanted), (found, wanted)
    for row, other in zip(found, wanted, strict=True):
        assert all(agree(a, b) for a, b in zip(row, other, strict=True)), (row, other)


QUERIES = [
    ("SELECT education, COUNT(*) AS n, AVG(hours)" + JOINED + " GROUP BY education", "HAVING COUNT(*) >= 2"),
    ("SELECT education, 行业, SUM(wage), MAX(age)" + JOINED + " GROUP BY 1, 2", "HAVING COUNT(*) >= 2"),
    ("SELECT COUNT(*), COUNT(age), SUM(hours * age), MIN(born), MAX(married), SUM(-hours)" + JOINED, ""),
    ("SELECT COUNT(*)" + JOINED + " WHERE r.weight * 10 < e.wage OR NOT (age > 30 AND married)", ""),
    ("SELECT COUNT(*)" + JOINED + " WHERE NOT (age < hours OR wage IS NULL) AND education IN ('HS', '本科')", ""),
    ("SELECT COUNT(*)" + JOINED + " WHERE age + hours IS NULL OR age - hours BETWEEN -10 AND 10", ""),
    (
        "SELECT SUM(CASE WHEN hours > age THEN hours ELSE 0 END), SUM(CASE WHEN age > 40 THEN wage ELSE 1.5 END)"
        + JOINED,
        "",
    ),
    ("SELECT born, COUNT(*)" + JOINED + " GROUP BY born", "HAVING COUNT(*) >= 2"),
    ("SELECT age // 10 AS d, COUNT(*) n, AVG(weight) FROM residents GROUP BY d", "HAVING COUNT(*) >= 2"),
    ("SELECT married, COUNT(*) FROM residents WHERE born < '1980-05-01' GROUP BY married", "HAVING COUNT(*) >= 2"),
    ("SELECT YEAR(born) % 3 AS m, SUM(ABS(age - 40)) FROM residents GROUP BY m", "HAVING COUNT(*) >= 2"),
    ("SELECT COUNT(*) FROM residents WHERE education LIKE '本%' OR UPPER(education) NOT LIKE 'H_'", ""),
    ("SELECT COUNT(*) FROM residents WHERE COALESCE(age, 0) >= 30 AND LENGTH(id) > 2", ""),
    ("SELECT 行业, COUNT(*) n" + JOINED + " GROUP BY 行业 HAVING AVG(age) > 40.5 AND SUM(wage) IS NOT NULL", ""),
    ("SELECT 行业, COUNT(*) n" + JOINED + " GROUP BY 行业 HAVING NOT (2 * AVG(hours) < AVG(age))", ""),
    ("SELECT r.education, COUNT(*) n" + JOINED + " GROUP BY r.education HAVING MIN(hours) + 1 < MAX(hours) - 1", ""),
    ("SELECT COUNT(*) FROM residents r JOIN employment e ON r.id = e.id AND r.education = e.income", ""),
]


@pytest.mark.parametrize("seed", [3, 8])
@pytest.mark.parametrize(("query", "least"), QUERIES)
def test_same_as_duckdb(make_census: Callable[..., Any], query: str, least: str, seed: int) -> None:
    world = make_census(rows=500, seed=seed)
    release = world.ask(query)
    wanted = world.pooled(f"{query} {least}")
    if " GROUP BY " not in query and wanted[0][0] == 0:
        wanted = []  # a count of nobody rests on fewer rows than the minimum group
    check(release, wanted)


def test_order_limit_and_names(bureaus: Any) -> None:
    query = "SELECT 行业 AS 业, COUNT(*) AS n" + JOINED + " GROUP BY 1 ORDER BY n DESC, 业 NULLS FIRST LIMIT 2"
    release = bureaus.ask(query)
    assert [column.name for column in release.columns] == ["业", "n"]
    assert release.table() == bureaus.pooled(query)


def test_parameters_at_the_owner_and_on_shares(bureaus: Any) -> None:
    parameters = {
        "low": Parameter(lower=0, upper=99),
        "factor": Parameter(lower=0.5, upper=20.0),
        "day": Parameter(allowed=("1970-01-01", "1980-01-01")),
        "least": Parameter(lower=1, upper=10),
    }
    query = (
        "SELECT education, COUNT(*)" + JOINED + " WHERE age > :low AND weight * :factor < wage AND born < :day"
        " GROUP BY education HAVING COUNT(*) > :least"
    )
    bindings: dict[str, Any] = {"low": 25, "factor": 12.5, "day": "1980-01-01", "least": 2}
    release = bureaus.ask(query, parameters, **bindings)
    text = query
    for name, value in bindings.items():
        text = text.replace(f":{name}", f"'{value}'" if isinstance(value, str) else str(value))
    check(release, bureaus.pooled(text))


def test_composite_keys_dates_and_three_tables(make_table: Any, make_world: Any) -> None:
    kinds = {"city": ColumnType.STRING, "day": ColumnType.DATE, "x": ColumnType.INT}
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(days=i) for i in range(6)]
    rows = [(city, day, i) for i, (city, day) in enumerate((c, d) for c in ("a", "b", None) for d in days)]
    other = [(city, day, x * 2) for city, day, x in rows[::-1] if x % 3]
    names = {"x": ColumnType.INT, "group": ColumnType.STRING}
    world = make_world(
        [
            make_table("civil-affairs", "first", kinds, rows, frozenset({"x"})),
            make_table("human-resources", "second", {**kinds, "y": ColumnType.INT}, [(*r, 1) for r in other]),
            make_table("big-data", "third", names, [(i, "ab"[i % 2]) for i in range(16)], frozenset({"x"})),
        ]
    )
    query = (
        'SELECT t."group", COUNT(*), SUM(s.x + f.x) FROM first f JOIN second s ON f.city = s.city AND f.day = s.day'
        ' JOIN third t ON t.x = f.x GROUP BY t."group"'
    )
    check(world.ask(query), world.pooled(query))


def test_the_same_character_in_two_forms_joins(make_table: Any, make_world: Any) -> None:
    kinds = {"id": ColumnType.STRING}
    world = make_world(
        [
            make_table("civil-affairs", "a", kinds, [("Zoe\u0308",), ("x",)], frozenset({"id"})),
            make_table("human-resources", "b", kinds, [("Zo\u00eb",), ("x",)], frozenset({"id"})),
        ]
    )
    assert world.ask("SELECT COUNT(*) FROM a JOIN b ON a.id = b.id").table() == [(2,)]


@pytest.mark.parametrize("rows", [(0, 5), (5, 0), (0, 0), (4, 4)])
def test_empty_tables_and_no_matches(make_table: Any, make_world: Any, rows: tuple[int, int]) -> None:
    kinds = {"id": ColumnType.INT, "g": ColumnType.STRING, "x": ColumnType.REAL}
    left = [(i, "g", 1.5) for i in range(rows[0])]
    right = [(i + 100, "h", 2.5) for i in range(rows[1])]
    world = make_world(
        [
            make_table("civil-affairs", "a", kinds, left, frozenset({"id"})),
            make_table("human-resources", "b", kinds, right, frozenset({"id"})),
        ]
    )
    for query in (
        "SELECT COUNT(*), SUM(a.x), MIN(b.x) FROM a JOIN b ON a.id = b.id",
        "SELECT a.g, COUNT(*), AVG(a.x * b.x) FROM a JOIN b ON a.id = b.id WHERE a.x < b.x GROUP BY a.g",
        "SELECT a.id, COUNT(*) FROM a GROUP BY a.id",
    ):
        assert world.ask(query).rows == ()


NUMBERS = {"k": ColumnType.INT, "g": ColumnType.STRING, "x": ColumnType.INT, "y": ColumnType.REAL, "b": ColumnType.BOOL}


def rows_of(draw: Any, owner: str) -> list[tuple[Any, ...]]:
    size = draw(st.integers(0, 8))
    keys = draw(st.permutations(range(9)))[:size]
    none = st.none()
    return [
        (
            key if draw(st.integers(0, 6)) else None,
            draw(none | st.sampled_from(["ä", "中", owner])),
            draw(none | st.integers(-5, 5)),
            draw(none | st.integers(-40, 40).map(lambda v: v / 8)),
            draw(none | st.booleans()),
        )
        for key in keys
    ]


@st.composite
def conditions(draw: Any, depth: int = 2) -> str:
    kind = draw(st.integers(0, 5 if depth == 0 else 8))
    number = st.sampled_from(["a.x", "b.x", "a.y", "b.y", "1", "a.x * b.x", "a.x - b.y", "b.x + 2"])
    if kind <= 2:
        return f"{draw(number)} {draw(st.sampled_from(['=', '<>', '<', '<=', '>', '>=']))} {draw(number)}"
    if kind == 3:
        return f"({draw(number)}) IS {draw(st.sampled_from(['', 'NOT ']))}NULL"
    if kind == 4:
        return f"{draw(number)} BETWEEN {draw(number)} AND {draw(number)}"
    if kind == 5:
        return f"{draw(st.sampled_from(['a.g', 'b.g']))} IN ('ä', '中')"
    if kind == 6:
        return f"NOT ({draw(conditions(depth - 1))})"
    word = "AND" if kind == 7 else "OR"
    return f"({draw(conditions(depth - 1))}) {word} ({draw(conditions(depth - 1))})"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_queries(make_table: Any, make_world: Any, data: st.DataObject) -> None:
    draw = data.draw
    world = make_world(
        [
            make_table("civil-affairs", "a", NUMBERS, rows_of(draw, "civil"), frozenset({"k"})),
            make_table("human-resources", "b", NUMBERS, rows_of(draw, "human"), frozenset({"k"})),
        ]
    )
    for table in world.tables:
        table.unique = frozenset({"k"})
    where = draw(conditions())
    key = draw(st.sampled_from(["a.g", "b.b", "a.x", "b.x"]))
    value = draw(st.sampled_from(["a.x", "b.y", "a.x + b.x", "a.y * b.x", "CASE WHEN a.x < b.x THEN 1 ELSE 0 END"]))
    query = f"SELECT {key}, COUNT(*), COUNT({value}), SUM({value}), AVG({value}), MIN({value}), MAX({value})"
    query += f" FROM a JOIN b ON a.k = b.k WHERE {where} GROUP BY {key}"
    least = world.minimum
    # An aggregate over fewer non-null values than the minimum group is withheld.
    wanted = [
        row if row[2] >= least else (*row[:3], None, None, None, None) for row in world.pooled(query) if row[1] >= least
    ]
    check(world.ask(query), wanted)


def test_rep3_agrees_and_costs_what_it_declares(bureaus: Any) -> None:
    query = "SELECT education, COUNT(*) AS n, AVG(wage), MIN(age)" + JOINED
    query += " WHERE age < hours * 2 GROUP BY education HAVING COUNT(*) > 1"
    plan = bureaus.compile(query)
    sent: dict[str, int] = {}

    def watch(party: int, step: Step, traffic: Traffic) -> None:
        sent[step.id] = sent.get(step.id, 0) + traffic.sent

    releases = bureaus.run_rep3(plan, watch)
    assert releases[:2] == [None, None]
    assert releases[2] is not None
    check(releases[2], bureaus.pooled(query))
    declared = {step.id: step.bytes for step in plan.steps}
    assert sent == declared


def test_traffic_depends_on_public_sizes_only(make_census: Callable[..., Any]) -> None:
    """Two data sets with one profile: the same counts of messages, bytes and rounds at every step and party."""
    shapes = []
    query = "SELECT 行业, COUNT(*), SUM(hours)" + JOINED + " WHERE age > 40 OR hours < 20 GROUP BY 行业"
    first, second = make_census(rows=30, seed=1), make_census(rows=30, seed=2)
    plan = first.compile(query)
    for world in (first, second):
        for table in world.tables:
            table.bounds = {"age": (0, 100), "hours": (0, 100)}
            table.categories = {"行业": ("IT", "农业")}
    plan = first.compile(query)
    for world in (first, second):
        seen: list[tuple[int, str, int, int, int]] = []

        def watch(party: int, step: Step, traffic: Traffic, seen: list[tuple[int, str, int, int, int]] = seen) -> None:
            seen.append((party, step.id, traffic.sent, traffic.received, traffic.messages))

        world.run_rep3(plan, watch)
        shapes.append(sorted(seen))
    assert shapes[0] == shapes[1]


def test_the_catalogue_computes_what_the_plan_asks(bureaus: Any, make_world: Any, tmp_path: Path) -> None:
    """From files through registration and scan, instead of through this folder's own."""
    sources = {}
    for table in bureaus.tables:
        path = tmp_path / f"{table.name}.parquet"
        with duckdb.connect() as connection:
            table.load(connection, "t")
            connection.execute(f"COPY t TO '{path}'")
        source = open_source(str(path))
        asset, fingerprint = describe(
            source, owner=table.owner, name=table.name, title=table.name, grade=Grade.GENERAL, version=1
        )
        sources[asset.id] = (source, asset, fingerprint)
    query = "SELECT r.married, COUNT(*), AVG(e.wage), MIN(r.born), SUM(LENGTH(r.education))" + JOINED
    query += " WHERE r.education LIKE 'H%' OR e.hours // 10 > 3 AND r.born >= '1960-01-01' GROUP BY 1"
    assets = {name: asset for name, (_, asset, _) in sources.items()}
    plan = FRONTEND.compile(Program(kind="sql", text=query), assets, bureaus.setting())

    def rows(step: Step) -> dict[str, Any]:
        source, asset, fingerprint = sources[str(step.arguments["asset"])]
        projections: Any = step.arguments["projections"]
        return scan(source, asset, [Projection(p["name"], bound(p["sql"], {})) for p in projections], fingerprint)

    release = execute(plan, Plain(), rows, {}, lambda *_: None, lambda *_: None, job="0" * 32)
    assert release is not None
    check(release, bureaus.pooled(query + " HAVING COUNT(*) >= 2"))
