"""Joins with repeated keys, outer joins, statistics of groups and limits, against DuckDB on the pooled tables."""

from __future__ import annotations

import datetime
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lingqu.engine.release import Release
from lingqu.kinds.channel import Traffic
from lingqu.kinds.disclosure import Fact
from lingqu.kinds.mechanism import Registry
from lingqu.kinds.schema import ColumnType
from lingqu.plan.plan import Step
from lingqu.share.rep3 import DECLARATION

COLUMNS = {
    "id": ColumnType.INT, "k": ColumnType.INT, "g": ColumnType.STRING, "x": ColumnType.INT, "y": ColumnType.REAL,
    "d": ColumnType.DATE,
}  # fmt: skip
STATISTICS = (
    "COUNT(DISTINCT {0}.x)", "COUNT(DISTINCT {0}.g)", "VAR_SAMP({0}.x)", "VAR_POP({0}.y)", "STDDEV({0}.y)",
    "STDDEV_POP({0}.x)", "MEDIAN({0}.x)", "MEDIAN({0}.y)", "QUANTILE_CONT({0}.x, 0.3)", "QUANTILE_DISC({0}.x, 0.25)",
    "PERCENTILE_CONT(0.125) WITHIN GROUP (ORDER BY {0}.y DESC)",
    "PERCENTILE_DISC(0.75) WITHIN GROUP (ORDER BY {0}.d)", "SUM(a.x + b.x)", "MIN({0}.x)", "AVG({0}.y)",
)  # fmt: skip


def agree(found: Any, wanted: Any) -> bool:
    if isinstance(found, float):
        return math.isclose(found, float(wanted), rel_tol=1e-6, abs_tol=1e-6)
    return bool(found == wanted)


def check(release: Release, wanted: list[tuple[Any, ...]], order: bool = False) -> None:
    found = release.table()
    if not order:
        found, wanted = (
            sorted(rows, key=lambda row: repr([cell for cell in row if not isinstance(cell, float)]))
            for rows in (found, wanted)
        )
    assert len(found) == len(wanted), (found, wanted)
    for row, other in zip(found, wanted, strict=True):
        assert all(agree(a, b) for a, b in zip(row, other, strict=True)), (row, other)


def table_rows(draw: Any, texts: tuple[str, ...], keys: int) -> list[tuple[Any, ...]]:
    """Rows with an id each, and a key that repeats."""
    none = st.none()
    return [
        (
            place,
            draw(none | st.integers(1, keys)),
            draw(none | st.sampled_from(texts)),
            draw(none | st.integers(-5, 5)),
            draw(none | st.integers(-40, 40).map(lambda v: v / 8)),
            draw(none | st.integers(0, 5).map(lambda v: datetime.date(2020, 1, 1) + datetime.timedelta(days=v))),
        )
        for place in range(draw(st.integers(0, 7)))
    ]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_joins(make_table: Any, make_world: Any, data: st.DataObject) -> None:
    draw = data.draw
    left, right = (table_rows(draw, texts, draw(st.sampled_from([1, 3, 9]))) for texts in (("ä", "中"), ("中", "b")))
    world = make_world(
        [
            make_table("civil-affairs", "a", COLUMNS, left, frozenset({"id"})),
            make_table("human-resources", "b", COLUMNS, right, frozenset({"id"})),
        ],
        minimum=draw(st.sampled_from([2, 3])),
    )
    kind = draw(st.sampled_from(["", "LEFT", "RIGHT", "FULL OUTER"]))
    side, key = draw(st.sampled_from("ab")), draw(st.sampled_from(["a.g", "b.g", "a.x", "b.d"]))
    on = draw(st.sampled_from(["a.k = b.k", "a.id = b.id", "a.id = b.k", "a.k = b.id AND a.g = b.g"]))
    where = draw(st.sampled_from(["", " WHERE a.x < 3", " WHERE a.x < b.x OR b.x IS NULL", " WHERE a.g IS NULL"]))
    value = draw(st.sampled_from(STATISTICS)).format(side)
    column = value[value.rindex("(") + 1 :].split(",")[0].rstrip(")").removeprefix("ORDER BY ").removesuffix(" DESC")
    column = column.removeprefix("DISTINCT ")
    query = f"SELECT {key}, COUNT(*), {value} FROM a {kind} JOIN b ON {on}{where} GROUP BY {key}"
    check(world.ask(query), expected(world, query, key, column))


def expected(world: Any, query: str, key: str, column: str) -> list[tuple[Any, ...]]:
    """DuckDB's rows: of groups with enough rows, different ones where joins repeat a table's; values likewise."""
    repeated = {step.id: step for step in world.compile(query).steps}.get("having")
    least = world.minimum
    wider = query.replace(" FROM a ", f", COUNT({column}), COUNT(DISTINCT a.id), COUNT(DISTINCT b.id) FROM a ", 1)
    marked = [] if repeated is None else marks(world.compile(query))
    found = []
    for row in world.pooled(wider):
        name, count, cell, counted, lefts, rights = row
        enough = all((lefts, rights)[place] >= least for place in marked)
        if count >= least and enough:
            found.append((name, count, cell if counted >= least else None))
    return found


def marks(plan: Any) -> list[int]:
    """Places of the tables whose different rows are counted."""
    step = next(step for step in plan.steps if step.operator == "mark")
    names = [mark["name"] for mark in step.arguments["marks"]]
    return [place for place in (0, 1) if f"r{place}" in names]


def sample(make_table: Any, make_world: Any, minimum: int = 2) -> Any:
    """People and their jobs, of which one can have several."""
    day = datetime.date(2020, 1, 1)
    people = [(i, i % 7, "xyz"[i % 3], i - 9 if i % 5 else None, i / 4, day) for i in range(60)]
    jobs = [(i, i % 9, "pq"[i % 2], (i * 7) % 11, None if i % 4 == 3 else i / 8, day) for i in range(48)]
    return make_world(
        [
            make_table("civil-affairs", "a", COLUMNS, people, frozenset({"id"})),
            make_table("human-resources", "b", COLUMNS, jobs, frozenset({"id"})),
            make_table("big-data", "c", COLUMNS, jobs[3:40], frozenset({"id"})),
        ],
        minimum=minimum,
    )


LIMITS = (
    "SELECT g, COUNT(*) n FROM a GROUP BY g ORDER BY n DESC, g LIMIT 2",
    "SELECT x, COUNT(*) n FROM a GROUP BY x ORDER BY x DESC NULLS FIRST LIMIT 3",
    "SELECT x, COUNT(*) n FROM a GROUP BY x ORDER BY n DESC, x ASC NULLS LAST LIMIT 4",
    "SELECT k, SUM(x) s, MIN(y) m FROM a GROUP BY k ORDER BY s NULLS FIRST, k DESC LIMIT 3",
    "SELECT k, MAX(y) m, MEDIAN(x) q FROM a GROUP BY k ORDER BY q DESC NULLS LAST, m LIMIT 2",
    "SELECT b.g, b.x, COUNT(DISTINCT a.id) n FROM a JOIN b ON a.k = b.k GROUP BY 1, 2 ORDER BY 3 DESC, 2, 1 LIMIT 3",
    "SELECT k, AVG(y) v FROM a GROUP BY k ORDER BY v DESC LIMIT 3",
    "SELECT k, COUNT(*) FROM a GROUP BY k LIMIT 0",
)


@pytest.mark.parametrize("query", LIMITS)
def test_limits_keep_the_first_rows(make_table: Any, make_world: Any, query: str) -> None:
    world = sample(make_table, make_world)
    wanted = query.replace(" ORDER", " HAVING COUNT(*) >= 2 ORDER")
    check(world.ask(query), world.pooled(wanted), order=True)


def test_rows_beyond_the_limit_stay_closed(make_table: Any, make_world: Any) -> None:
    """The release opens as many rows as LIMIT says; small groups do not take a place."""
    world = sample(make_table, make_world, 3)
    query = "SELECT k, COUNT(*) n, SUM(x) s FROM a GROUP BY k ORDER BY n, k LIMIT 2"
    plan = world.compile(query)
    release = world.run(plan)
    assert release.table() == world.pooled(query.replace(" ORDER", " HAVING COUNT(*) >= 3 ORDER"))
    assert release.withheld == ()
    told = [told.about for told in plan.steps[-1].reveals if told.fact is Fact.RESULT_ROWS]
    assert told == [
        "the result rows: a.k, COUNT(*), SUM(x); for the first 2 in the order of the query of every group of a.k with "
        "at least 3 rows"
    ]
    averages = world.compile("SELECT k, AVG(x) v FROM a GROUP BY k ORDER BY v LIMIT 2")
    assert "also the result rows that LIMIT 2 leaves out: it is applied after opening" in [
        told.about for told in averages.steps[-1].reveals
    ]


def test_repeated_rows_do_not_make_a_group_larger(make_table: Any, make_world: Any) -> None:
    """One person's pay in ten joined rows is still one person's pay."""
    columns = {"id": ColumnType.INT, "pay": ColumnType.INT}
    people = [(1, 100), (2, 200), (3, 300), (4, 400), (5, 500)]
    visits = [(1, 0)] * 10 + [(i, 1) for i in (2, 3, 4)]
    world = make_world(
        [
            make_table("civil-affairs", "p", columns, people, frozenset({"id"})),
            make_table("human-resources", "v", {"id": ColumnType.INT, "w": ColumnType.INT}, visits),
        ],
        minimum=3,
    )
    plan = world.compile("SELECT w, SUM(pay), COUNT(*) FROM p JOIN v ON p.id = v.id GROUP BY w")
    assert world.run(plan).table() == [(1, 900, 3)]
    assert any("fewer than 3 different rows of civil-affairs/p" in line for line in plan.statement.withheld)


EXACT = (
    "SELECT a.g, COUNT(*), COUNT(DISTINCT b.id), MEDIAN(b.x), STDDEV(a.y) FROM a JOIN b ON a.k = b.k GROUP BY a.g",
    "SELECT b.g, COUNT(DISTINCT a.x), VAR_SAMP(b.y) v, QUANTILE_DISC(a.x, 0.3) FROM a LEFT JOIN b ON a.id = b.k"
    " WHERE a.y < b.y OR b.y IS NULL GROUP BY b.g ORDER BY 2 DESC, b.g LIMIT 2",
    "SELECT COUNT(*), VAR_POP(a.x + b.x) FROM a FULL JOIN b ON a.id = b.id HAVING COUNT(DISTINCT a.g) > 1",
    "SELECT a.k, MAX(b.x), SUM(b.x) s FROM a RIGHT JOIN b ON a.k = b.k GROUP BY a.k"
    " ORDER BY a.k DESC NULLS LAST LIMIT 3",
)


@pytest.mark.parametrize("query", EXACT)
def test_rep3_agrees_and_sends_what_is_declared(make_table: Any, make_world: Any, query: str) -> None:
    world = sample(make_table, make_world)
    plan = world.compile(query)
    sent: dict[str, int] = {}

    def watch(party: int, step: Step, traffic: Traffic) -> None:
        sent[step.id] = sent.get(step.id, 0) + traffic.sent

    release = world.run_rep3(plan, watch)[2]
    assert release is not None
    check(release, world.run(plan).table())
    assert sent == {step.id: step.bytes for step in plan.steps}


ALIGNED = (
    "SELECT a.g, b.g other, COUNT(*), SUM(a.x + b.x), MEDIAN(b.x) FROM a JOIN b ON a.id = b.id WHERE a.x > b.x - 3"
    " GROUP BY a.g, b.g",
    "SELECT b.g, COUNT(*), COUNT(DISTINCT a.id), AVG(b.y) FROM a JOIN b ON a.k = b.id WHERE b.x > -3 GROUP BY b.g",
    "SELECT a.g, COUNT(b.id), SUM(b.x), COUNT(DISTINCT b.g) FROM a LEFT JOIN b ON a.k = b.id GROUP BY a.g",
    "SELECT b.g, COUNT(a.id), MIN(a.d) FROM b LEFT JOIN a ON b.k = a.id WHERE b.y IS NOT NULL GROUP BY b.g",
    "SELECT a.g, COUNT(*), SUM(b.x) FROM a RIGHT JOIN b ON a.id = b.k AND a.g = b.g GROUP BY a.g",
    "SELECT a.g, COUNT(*), SUM(c.x) FROM a JOIN b ON a.id = b.id JOIN c ON b.k = c.id GROUP BY a.g",
    "SELECT b.g, COUNT(*), COUNT(c.id) FROM a JOIN b ON a.k = b.id LEFT JOIN c ON a.id = c.k GROUP BY b.g",
)


@pytest.mark.parametrize("query", ALIGNED)
def test_alignment_and_sorting_agree(make_table: Any, make_world: Any, query: str) -> None:
    world = sample(make_table, make_world)
    plan = world.compile(query)
    registry = Registry({"share.rep3": replace(DECLARATION, aligned_rows=None)})
    by_sorting = world.compile(query, registry=registry)
    assert [step.operator for step in plan.steps if step.id == "join1"] == ["align"]
    assert "align" not in {step.operator for step in by_sorting.steps}
    assert sum(step.bytes for step in plan.steps) < sum(step.bytes for step in by_sorting.steps)
    sent: dict[str, int] = {}

    def watch(party: int, step: Step, traffic: Traffic) -> None:
        sent[step.id] = sent.get(step.id, 0) + traffic.sent

    release = world.run_rep3(plan, watch)[2]
    assert release is not None
    check(release, world.run(plan).table())
    check(world.run(by_sorting), world.run(plan).table())  # the random joins above compare the twin with DuckDB
    assert sent == {step.id: step.bytes for step in plan.steps}


def test_what_cannot_be_aligned_is_sorted_and_says_why(make_table: Any, make_world: Any) -> None:
    world = sample(make_table, make_world)
    for query, why in (
        ("SELECT COUNT(*) FROM a JOIN b ON a.k = b.k", "both sides' rows stay or repeat their keys"),
        ("SELECT COUNT(*) FROM a FULL JOIN b ON a.id = b.id", "both sides' rows stay or repeat their keys"),
        ("SELECT COUNT(*) FROM a RIGHT JOIN b ON a.k = b.id", "both sides' rows stay or repeat their keys"),
    ):
        assert f"by sorting shared rows: {why}" in world.compile(query).step("join1").reason
    third = world.compile("SELECT COUNT(*) FROM a JOIN b ON a.id = b.id JOIN c ON b.k = c.id").step("join2").reason
    assert "by sorting shared rows: the left side is joined already" in third
    outside = world.compile(
        "SELECT COUNT(*) FROM a JOIN b ON a.id = b.id", parties=("civil-affairs", "another", "big-data")
    )
    assert "by sorting shared rows: human-resources does not compute" in outside.step("join1").reason
