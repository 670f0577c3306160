"""Order over a machine against numpy and Python's sort."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput, RangeError
from lingqu.share import Machine, Shared
from lingqu.share.ordering import (
    SortKey,
    argmax,
    argmin,
    count_distinct,
    maximum_along,
    median,
    minimum_along,
    prefix_sums,
    quantile,
    sort_by,
    top_k,
)
from lingqu.share.plain import Plain

Parties = Callable[..., Any]
LIMIT = 1 << 62


def both(parties: Parties, work: Callable[[Machine], list[Any]]) -> list[list[Any]]:
    """The twin's results and one party's."""
    return [work(Plain()), parties(work).results[1]]


def held(m: Machine, values: Any) -> Shared:
    array = np.asarray(values)
    return m.input(0, array if m.owns(0) else None, array.shape)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("shape", [(1, 3, 2), (5, 4, 3), (8, 7, 1)])
def test_extremes_and_their_places(parties: Parties, axis: int, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(3).integers(-4, 5, shape)
    x.flat[0] = LIMIT // 2

    def work(m: Machine) -> list[Any]:
        a = held(m, x)
        every = (minimum_along, maximum_along, argmin, argmax, prefix_sums)
        return [m.reveal(function(m, a, axis)) for function in every]

    expected = [x.min(axis), x.max(axis), x.argmin(axis), x.argmax(axis), x.cumsum(axis)]
    for found in both(parties, work):
        for one, true in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, true)


def sorted_rows(
    values: NDArray[np.int64], known: NDArray[np.int64], second: NDArray[np.int64], nulls_last: bool
) -> list[tuple[int, int, int]]:
    rows = list(zip(values.tolist(), known.tolist(), second.tolist(), strict=True))
    null_sign = 1 if nulls_last else -1
    return sorted(rows, key=lambda row: (null_sign * (1 - row[1]), -row[0] * row[1], row[2]))


@pytest.mark.parametrize("nulls_last", [True, False])
def test_sort_by_several_keys(parties: Parties, nulls_last: bool) -> None:
    random = np.random.default_rng(8)
    v, w = random.integers(-3, 4, 40), random.integers(1 - LIMIT, LIMIT, 40)
    known = random.integers(0, 2, 40)

    def work(m: Machine) -> list[Any]:
        values, flags, second = held(m, v), held(m, known), held(m, w)
        keys = [SortKey(values, True, flags, nulls_last, bits=3), SortKey(second)]
        moved = sort_by(m, keys, [m.stack([values, flags, second], 1)])[0]
        assert isinstance(moved, Shared)
        return [m.reveal(moved)]

    for found in both(parties, work):
        assert [tuple(row) for row in found[0].tolist()] == sorted_rows(v, known, w, nulls_last)


def test_greatest(parties: Parties) -> None:
    x = np.random.default_rng(9).integers(-20, 20, 33)
    order = np.argsort(-x, kind="stable")[:7]
    for values, places in both(parties, lambda m: [m.reveal(each) for each in top_k(m, held(m, x), 7, bits=6)]):
        np.testing.assert_array_equal(places, order)
        np.testing.assert_array_equal(values, x[order])


@pytest.mark.parametrize("fraction", [0, 0.25, 0.5, 0.9, 0.999, 1])
@pytest.mark.parametrize("share", [0.5, 1])
def test_quantiles_of_valid_rows(parties: Parties, fraction: float, share: float) -> None:
    random = np.random.default_rng(10)
    x = np.rint(random.normal(size=41) * 1000 * (1 << 20)).astype(np.int64)
    valid = (random.random(41) <= share).astype(np.int64)
    kept = x[valid == 1]

    def work(m: Machine) -> list[Any]:
        a, flags = held(m, x), held(m, valid)
        linear = quantile(m, a, flags, fraction, bits=40)
        return [m.reveal(linear), m.reveal(quantile(m, a, flags, fraction, "lower", bits=40))]

    slack = 1 + float(np.diff(np.sort(kept)).max()) / (1 << 20)
    for linear, lower in both(parties, work):
        assert lower == np.quantile(kept, fraction, method="lower")
        assert abs(linear - np.quantile(kept, fraction)) <= slack


@pytest.mark.parametrize("valid", [[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 1], [1, 1, 1, 0]])
def test_median(parties: Parties, valid: list[int]) -> None:
    x = np.array([40, -10, 30, 20])
    kept = x[np.array(valid) == 1]
    for found in both(parties, lambda m: [m.reveal(median(m, held(m, x), held(m, valid), bits=8))]):
        assert found[0] == (np.median(kept) if len(kept) else 0)


@pytest.mark.parametrize("rows", [0, 1, 2, 30])
def test_distinct_keys(parties: Parties, rows: int) -> None:
    random = np.random.default_rng(rows)
    high, low = random.integers(0, 2, rows).astype(np.uint64), random.integers(0, 5, rows).astype(np.uint64)
    valid = random.integers(0, 2, rows)

    def work(m: Machine) -> list[Any]:
        own = m.owns(0)
        words = [m.input_bits(0, word if own else None, (rows,), width) for word, width in ((high, 1), (low, 64))]
        return [m.reveal(count_distinct(m, words, held(m, valid)))]

    true = len({pair for pair, flag in zip(zip(high, low, strict=True), valid, strict=True) if flag})
    for found in both(parties, work):
        assert found[0] == true


def test_arguments_are_checked() -> None:
    m = Plain()
    x, table = m.constant(np.arange(3)), m.constant(np.zeros((2, 2), np.int64))
    for call in (
        lambda: minimum_along(m, x, 1),
        lambda: argmax(m, x[:0], 0),
        lambda: sort_by(m, [], [x]),
        lambda: sort_by(m, [SortKey(table)], [table]),
        lambda: sort_by(m, [SortKey(x, bits=64)], [x]),
        lambda: top_k(m, x, 4),
        lambda: top_k(m, x, 0),
        lambda: quantile(m, x, x[:2], 0.5),
        lambda: quantile(m, x, x, 1.1),
        lambda: quantile(m, x, x, float("nan")),
        lambda: quantile(m, x, x, 0.12345),
        lambda: count_distinct(m, [], x),
    ):
        with pytest.raises(BadInput):
            call()
    with pytest.raises(RangeError):
        sort_by(m, [SortKey(m.constant(np.array([8])), bits=4)], [x[:1]])
    with pytest.raises(RangeError):
        median(m, m.constant(np.array([1 << 40])), m.constant(np.array([1])))
