"""Quantiles, distinct counts and variances a group against the clear, on the twin and on every protocol."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.kinds.errors import BadInput
from lingqu.share import (
    Aggregate,
    Machine,
    Relation,
    SharedBits,
    distinct_marks,
    distinct_rows,
    group,
    quantile_parts,
    quantile_unit,
    wide,
)
from lingqu.share.groups import scatter
from lingqu.share.plain import Plain

Parties = Callable[..., Any]
Row = tuple[int, int, int, int]
"""group, value, valid, present."""
row = st.tuples(st.integers(0, 2), st.integers(-50, 50), st.integers(0, 1), st.integers(0, 1))
table = st.lists(row, max_size=14)
fractions = st.sampled_from([Fraction(0), Fraction(1), Fraction(1, 2), Fraction(1, 3), Fraction(9, 10)])


def relation(m: Machine, rows: list[Row]) -> Relation:
    def column(values: list[int]) -> Any:
        return m.input(0, np.array(values, np.int64) if m.owns(0) else None, (len(rows),))

    def words(values: list[int], width: int) -> SharedBits:
        return m.input_bits(0, np.array(values, np.uint64) if m.owns(0) else None, (len(rows),), width)

    return Relation(
        {"v": column([r[1] for r in rows]), "p": column([r[3] for r in rows])},
        {"g": (words([r[0] for r in rows], 2),), "v": (words([r[1] % 5 for r in rows], 3),)},
        column([r[2] for r in rows]),
    )


def statistics(m: Machine, rows: list[Row], fraction: Fraction, kind: Literal["continuous", "discrete"]) -> Any:
    """(group code, quantile times its unit, distinct) of each group."""
    whole = relation(m, rows)
    parts = quantile_parts(m, whole, ["g"], "v", fraction, kind=kind, present="p", bits=8)
    marks = distinct_marks(m, whole, ["g"], "v", "p")
    more = Relation({**whole.columns, "q": parts, "d": marks}, whole.keys, whole.valid)
    found = group(m, more, ["g"], [Aggregate("q", "sum", "q"), Aggregate("d", "sum", "d")], 3)
    opened: list[Any] = [
        m.reveal(found.valid),
        m.reveal_bits(found.keys["g"][0]),
        *map(m.reveal, found.columns.values()),
    ]
    return [tuple(int(cell[i]) for cell in opened[1:]) for i in range(found.rows) if opened[0][i]]


def quantile_of(values: list[int], fraction: Fraction, kind: str) -> Fraction:
    if not values:
        return Fraction(0)
    values = sorted(values)
    if kind == "discrete":
        return Fraction(values[max(math.ceil(fraction * len(values)), 1) - 1])
    place = fraction * (len(values) - 1)
    low = values[math.floor(place)]
    return low + (place - math.floor(place)) * (values[min(math.floor(place) + 1, len(values) - 1)] - low)


def wanted(rows: list[Row], fraction: Fraction, kind: Literal["continuous", "discrete"]) -> list[tuple[int, ...]]:
    result: list[tuple[int, ...]] = []
    for code in sorted({r[0] for r in rows if r[2]}):
        known = [r[1] for r in rows if r[0] == code and r[2] and r[3]]
        exact = quantile_of(known, fraction, kind) * quantile_unit(fraction, kind)
        assert exact.denominator == 1
        result.append((code, int(exact), len({v % 5 for v in known})))
    return result


@settings(max_examples=40, deadline=None)
@given(table, fractions, st.sampled_from(["continuous", "discrete"]))
def test_quantiles_and_distinct_counts(rows: list[Row], fraction: Fraction, kind: Any) -> None:
    assert statistics(Plain(), rows, fraction, kind) == wanted(rows, fraction, kind)


@settings(max_examples=5, deadline=None)
@given(table, fractions)
def test_three_parties_agree(parties: Parties, rows: list[Row], fraction: Fraction) -> None:
    expected = [wanted(rows, fraction, kind) for kind in ("continuous", "discrete")]

    def work(m: Machine) -> Any:
        return [statistics(m, rows, fraction, kind) for kind in ("continuous", "discrete")]

    assert all(result == expected for result in parties(work).results)


def test_distinct_rows_and_variance() -> None:
    m = Plain()
    rows = [(0, 2, 1, 1), (1, 5, 1, 1), (0, -7, 1, 1), (2, 9, 0, 1), (1, 5, 1, 1), (0, 2, 1, 1)]
    found = distinct_rows(m, relation(m, rows), ["g", "v"], 6)
    assert int(m.reveal(found.valid).sum()) == 3  # type: ignore[union-attr]
    values = np.array([2**61, -(2**61), 2**61 - 1, 17], np.int64)
    x = wide.widen(m, m.constant(values))
    result = scatter(m, m.constant(4), wide.total(m, x), wide.total(m, wide.multiply(m, x, x)))
    exact = 4 * sum(int(v) ** 2 for v in values) - sum(map(int, values)) ** 2
    assert wide.reveal(m, result) == exact


def test_wrong_arguments_are_refused() -> None:
    m = Plain()
    whole = relation(m, [(0, 1, 1, 1)])
    for column, fraction in (("v", Fraction(3, 2)), ("v", Fraction(1, 1001)), ("nothing", Fraction(1, 2))):
        with pytest.raises(BadInput):
            quantile_parts(m, whole, ["g"], column, fraction)
    with pytest.raises(BadInput):
        distinct_marks(m, whole, ["nothing"], "v")
