"""Decimals, timestamps, days and sums beyond 64 bits, against DuckDB on the pooled tables."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lingqu.engine.release import Release
from lingqu.kinds.channel import Traffic
from lingqu.kinds.errors import BadInput, RangeError
from lingqu.kinds.schema import ColumnType
from lingqu.node.replies import released_table
from lingqu.plan.plan import Step

COLUMNS = {
    "id": ColumnType.INT, "p": ColumnType.DECIMAL, "q": ColumnType.DECIMAL, "t": ColumnType.TIMESTAMP,
    "d": ColumnType.DATE, "n": ColumnType.INT, "r": ColumnType.REAL,
}  # fmt: skip
SCALES = {"p": 2, "q": 3}
JOINED = " FROM a JOIN b ON a.id = b.id"
START = datetime.datetime(2020, 1, 1)


def check(release: Release, wanted: list[tuple[Any, ...]]) -> None:
    found = sorted(release.table(), key=repr)
    wanted = sorted(wanted, key=repr)
    assert len(found) == len(wanted), (found, wanted)
    for row, other in zip(found, wanted, strict=True):
        for cell, cell_wanted in zip(row, other, strict=True):
            if isinstance(cell, float):
                assert math.isclose(cell, float(cell_wanted), rel_tol=1e-9, abs_tol=1e-9), (row, other)
            else:
                assert cell == cell_wanted, (row, other)


def table_rows(draw: Any, most: int = 9) -> list[tuple[Any, ...]]:
    none = st.none()
    digits = st.integers(-(10**6), 10**6)
    return [
        (
            place,
            draw(none | digits.map(lambda v: Decimal(v).scaleb(-2))),
            draw(none | digits.map(lambda v: Decimal(v).scaleb(-3))),
            draw(none | st.integers(0, 10**14).map(lambda v: START + datetime.timedelta(microseconds=v))),
            draw(none | st.integers(0, 900).map(lambda v: START.date() + datetime.timedelta(days=v))),
            draw(none | st.integers(-9, 9)),
            draw(none | st.integers(-99, 99).map(lambda v: v / 8)),
        )
        for place in range(most)
    ]


def world_of(make_table: Any, make_world: Any, left: list[Any], right: list[Any]) -> Any:
    return make_world(
        [
            make_table("civil-affairs", "a", COLUMNS, left, frozenset({"id"}), scales=SCALES),
            make_table("human-resources", "b", COLUMNS, right, frozenset({"id"}), scales=SCALES),
        ]
    )


CONDITIONS = (
    "a.p < b.q", "a.p + b.q > 12.345", "a.p = 1.5 OR b.q <> a.q", "a.t < b.t", "a.d < b.t", "b.t >= '2020-01-02 12:00'",
    "a.d - b.d BETWEEN -200 AND 200", "a.d + b.n < b.d", "a.d + INTERVAL 3 DAY > b.d", "NOT (a.p * b.n > b.q)",
    "a.p / 3 > a.r", "a.d > '2020-06-01'", "CAST(a.t AS DATE) <= a.d", "ABS(a.p) > 12.5", "a.p > a.n",
    "EXTRACT(YEAR FROM a.t) = 2020 AND MONTH(a.t) < 7 OR HOUR(b.t) > 12", "COALESCE(a.p, 0) < 100.25",
)  # fmt: skip
VALUES = (
    "SUM(a.p)", "SUM(a.p * b.n)", "AVG(b.q)", "MIN(a.p)", "MAX(b.t)", "SUM(a.p - b.q)", "SUM(a.p * 1.05)",
    "MAX(a.d + 1)", "SUM(a.d - b.d)", "MEDIAN(a.p)", "VAR_SAMP(b.q)", "COUNT(DISTINCT a.p)", "SUM(-a.p)",
    "SUM(CASE WHEN a.p < b.q THEN a.p ELSE 0.125 END)", "QUANTILE_DISC(a.p, 0.25)", "SUM(GREATEST(a.p, a.q, 1))",
    "MIN(a.p + a.n)", "AVG(a.p * a.r)",
)  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_types(make_table: Any, make_world: Any, data: st.DataObject) -> None:
    draw = data.draw
    world = world_of(make_table, make_world, table_rows(draw), table_rows(draw))
    where, value = draw(st.sampled_from(CONDITIONS)), draw(st.sampled_from(VALUES))
    inner = value[value.index("(") + 1 : -1].removeprefix("DISTINCT ").removesuffix(", 0.25")
    query = f"SELECT COUNT(*), {value}{JOINED} WHERE {where}"
    pooled = query.replace("a.d + b.n", "a.d + CAST(b.n AS INTEGER)")  # DuckDB adds no 64-bit days
    pooled = pooled.replace("MEDIAN(a.p)", "MEDIAN(CAST(a.p AS DOUBLE))")  # and cuts the mean of two decimals
    wanted = [
        (count, cell if counted >= world.minimum else None)
        for count, cell, counted in world.pooled(pooled.replace(" FROM ", f", COUNT({inner}) FROM ", 1))
        if count >= world.minimum
    ]
    check(world.ask(query), wanted)


def money(make_table: Any, make_world: Any, **bounds: Any) -> Any:
    times = [(i % 5, Decimal(i * 1000 + 7).scaleb(-2), START + datetime.timedelta(hours=7 * i)) for i in range(40)]
    kinds = {"k": ColumnType.DECIMAL, "p": ColumnType.DECIMAL, "t": ColumnType.TIMESTAMP}
    rows = [(Decimal(k).scaleb(-1), p, t) for k, p, t in times]
    other = [(Decimal(i).scaleb(-1), 2**60 - i, Decimal(i).scaleb(-2)) for i in range(5)]
    names = {"k": ColumnType.DECIMAL, "big": ColumnType.INT, "rate": ColumnType.DECIMAL}
    return make_world(
        [
            make_table("civil-affairs", "a", kinds, rows, scales={"k": 1, "p": 2}, bounds=bounds),
            make_table(
                "human-resources", "b", names, other, frozenset({"k"}), scales={"k": 1, "rate": 2},
                bounds={"big": (0, 2.0**60)},
            ),
        ]
    )  # fmt: skip


QUERIES = (
    "SELECT HOUR(t) // 8 h, SUM(p * rate) s, AVG(p), COUNT(*) FROM a JOIN b ON a.k = b.k GROUP BY h"
    " HAVING SUM(p) > 700.07 ORDER BY s DESC LIMIT 3",
    "SELECT SUM(big), AVG(big), COUNT(*), MIN(t), MAX(t) FROM a JOIN b ON a.k = b.k WHERE t < '2020-01-09 00:00:00'",
    "SELECT CAST(t AS DATE) AS day, SUM(p) FROM a GROUP BY day ORDER BY day",
    "SELECT HOUR(t) // 8 h, SUM(big) FROM a JOIN b ON a.k = b.k GROUP BY h HAVING AVG(p) < 190.5",
)


@pytest.mark.parametrize("query", QUERIES)
def test_rep3_is_exact_and_sends_what_is_declared(make_table: Any, make_world: Any, query: str) -> None:
    world = money(make_table, make_world)
    plan = world.compile(query)
    sent: dict[str, int] = {}

    def watch(party: int, step: Step, traffic: Traffic) -> None:
        sent[step.id] = sent.get(step.id, 0) + traffic.sent

    release = world.run_rep3(plan, watch)[2]
    assert release is not None
    check(release, world.pooled(query if "day" not in query else query.replace("ORDER", "HAVING COUNT(*) >= 2 ORDER")))
    assert sent == {step.id: step.bytes for step in plan.steps}
    released_table(release)


def test_decimals_leave_as_they_are(make_table: Any, make_world: Any) -> None:
    release = money(make_table, make_world).ask("SELECT SUM(p) s, MAX(t) m FROM a")
    assert release.rows == (("7802.80", "2020-01-12 09:00:00"),)
    assert str(released_table(release).schema.field("s").type) == "decimal128(38, 2)"


@pytest.mark.parametrize(
    "expression",
    ["p // 3", "p % 3", "p + t", "t + 1", "a.p * b.rate + 0.1 * SQRT(4)", "t > 'yesterday'", "p > 'x'"],
)
def test_what_decimals_and_timestamps_cannot_do(make_table: Any, make_world: Any, expression: str) -> None:
    with pytest.raises(BadInput):
        money(make_table, make_world).compile(f"SELECT SUM({expression}) FROM a JOIN b ON a.k = b.k")


def test_products_that_could_overflow(make_table: Any, make_world: Any) -> None:
    with pytest.raises(RangeError, match="exceeds 62 bits"):
        money(make_table, make_world).compile("SELECT SUM(p * big) FROM a JOIN b ON a.k = b.k")
