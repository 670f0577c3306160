"""Whole quotients, rests, bit operations and shifts at owners and across them, against DuckDB."""

from __future__ import annotations

from typing import Any

import pytest

from lingqu.kinds.channel import Traffic
from lingqu.kinds.errors import BadInput, RangeError
from lingqu.kinds.schema import ColumnType
from lingqu.plan.plan import Step

JOINED = " FROM a JOIN b ON a.id = b.id"
EXPRESSIONS = (
    "a.x // {y}", "a.x % {y}", "b.y & a.x", "a.x | b.y", "xor(a.x, b.y)", "~(a.x + b.y)", "(a.x + b.y) >> 2",
    "(a.x - b.y) << 3", "(a.x - b.y) // 7", "(a.x * b.y) % 1000", "a.x & 6", "~b.y", "a.x >> 1", "b.y << 4",
    "(a.x >> 3) | (b.y & 255)", "(a.x - b.y) >> 0",
)  # fmt: skip


@pytest.fixture
def world(make_table: Any, make_world: Any) -> Any:
    kinds = {"id": ColumnType.INT, "x": ColumnType.INT}
    names = {"id": ColumnType.INT, "y": ColumnType.INT}
    left = [(i, None if i % 11 == 5 else (i * 7919) % 4001 - 2000) for i in range(40)]
    right = [(i, None if i % 9 == 5 else (i * 104729) % 61 - 30) for i in range(40)]
    return make_world(
        [
            make_table("civil-affairs", "a", kinds, left, frozenset({"id"})),
            make_table("human-resources", "b", names, [*right, (40, 0)], frozenset({"id"})),
        ]
    )


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_same_as_duckdb(world: Any, expression: str) -> None:
    """Division by zero is null here, an error in some versions of DuckDB, as are negative numbers shifted left."""
    query = f"SELECT COUNT({expression}), SUM({expression}), MIN({expression}){JOINED}"
    assert world.ask(query.format(y="b.y")).table() == world.pooled(
        query.format(y="NULLIF(b.y, 0)").replace("<< 3", "* 8").replace("<< 4", "* 16")
    )


def test_rep3_agrees_and_sends_what_is_declared(world: Any) -> None:
    query = f"SELECT SUM(a.x // b.y), SUM(a.x % b.y), SUM(xor(a.x, b.y) | (a.x & b.y)), MAX((a.x - b.y) >> 2){JOINED}"
    plan = world.compile(query)
    sent: dict[str, int] = {}

    def watch(party: int, step: Step, traffic: Traffic) -> None:
        sent[step.id] = sent.get(step.id, 0) + traffic.sent

    release = world.run_rep3(plan, watch)[2]
    assert release is not None
    pooled = query.replace("// b.y", "// NULLIF(b.y, 0)").replace("% b.y", "% NULLIF(b.y, 0)")
    assert release.table() == world.pooled(pooled)
    assert sent == {step.id: step.bytes for step in plan.steps}


@pytest.mark.parametrize("expression", ["a.x << b.y", "a.x >> -1", "a.x >> 62", "a.x & 1.5"])
def test_what_bits_cannot_do(world: Any, expression: str) -> None:
    with pytest.raises(BadInput):
        world.compile(f"SELECT SUM({expression}){JOINED}")


def test_ranges_are_checked_beforehand(world: Any) -> None:
    for expression in ("a.x << 60", "a.x // (b.y * 1073741824)", "(a.x * 1125899906842624) // b.y"):
        with pytest.raises(RangeError):
            world.compile(f"SELECT SUM({expression}){JOINED}")
