"""Rows that an intersection finds against those that pandas merges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lingqu.psi import Result, Terms, elements, intersect

Both = Callable[..., Any]
Row = tuple[str | None, int | None]

# Few keys, so that tables share some of them and repeat them; one name composed and decomposed, a rare character and
# one outside the basic plane.
NAMES = st.sampled_from(["", " ", "a", "é", "e\u0301", "张三", "張三", "𠮷田", "\U0001f9ee", "\0", "a\x1fb"])
KEYS = st.tuples(st.none() | NAMES | st.text(max_size=2), st.none() | st.integers(-1, 1) | st.sampled_from([2**62]))
TABLES = st.lists(KEYS, max_size=25)
SAME: list[Row] = [("张三", 1), ("a", 0), ("a", 0), (None, 1)]


def merged(own: list[Row], other: list[Row]) -> list[int]:
    """The rows of `own` whose key `other` has too, in order; pandas would match nulls, which are no keys here."""
    mine, theirs = (
        pd.DataFrame(
            {"name": pd.Series([a for a, _ in rows], dtype=object), "n": pd.array([b for _, b in rows], "Int64")}
        )
        for rows in (own, other)
    )
    mine["row"] = range(len(mine))
    found = mine.dropna().merge(theirs.dropna().drop_duplicates(), on=["name", "n"])
    return sorted(found["row"].tolist())


def rows_in_both(both: Both, one: list[Row], two: list[Row], agreed: Terms) -> tuple[Any, list[list[int]]]:
    held = [
        elements(
            [pa.array([a for a, _ in rows], pa.string()), pa.array([b for _, b in rows], pa.int64())], agreed.forms
        )
        for rows in (one, two)
    ]
    found = both(lambda c: intersect(c, held[0], agreed), lambda c: intersect(c, held[1], agreed)).results
    rows = [
        [] if result.elements is None else own.rows_of(result.elements).tolist()
        for own, result in zip(held, found, strict=True)
    ]
    return found, rows


@pytest.mark.parametrize("protocol", ["psi.ecdh", "psi.rr22"])
@settings(max_examples=15, deadline=None)
@given(one=TABLES, two=TABLES)
@example(one=[], two=[])
@example(one=SAME, two=[])
@example(one=[], two=SAME)
@example(one=SAME, two=SAME[::-1])
@example(one=SAME, two=[("李四", 1), ("a", 1)])
@example(one=[(None, None)] * 3, two=[(None, None)])
def test_both_sides_rows_are_those_of_a_merge(both: Both, protocol: str, one: list[Row], two: list[Row]) -> None:
    agreed = Terms(protocol=protocol, forms=("exact/1", "exact/1"), recipients=(0, 1))
    _, rows = rows_in_both(both, one, two, agreed)
    assert rows == [merged(one, two), merged(two, one)]


@settings(max_examples=15, deadline=None)
@given(one=TABLES, two=TABLES)
@example(one=SAME, two=SAME[::-1])
def test_the_number_is_that_of_a_merges_keys(both: Both, one: list[Row], two: list[Row]) -> None:
    agreed = Terms(protocol="psi.ecdh", forms=("exact/1", "exact/1"), result=Result.SIZE)
    found, _ = rows_in_both(both, one, two, agreed)
    assert found[0].size == len({one[row] for row in merged(one, two)})


def test_a_hundred_thousand_rows_a_side(both: Both) -> None:
    """Keys of two columns with repeats and nulls; about a third of the rows are in both."""
    draw = np.random.default_rng(5)
    sides = []
    for first in (0, 60_000):
        numbers = draw.integers(first, first + 90_000, 100_000).tolist()
        sides.append([(None if n % 97 == 0 else f"客户 {n // 3}", None if n % 89 == 0 else n % 3) for n in numbers])
    one, two = sides
    agreed = Terms(protocol="psi.rr22", forms=("exact/1", "exact/1"), recipients=(0, 1))
    _, rows = rows_in_both(both, one, two, agreed)
    assert rows[0] == merged(one, two)
    assert rows[1] == merged(two, one)
    assert 20_000 < len(rows[0]) < 50_000
