"""What the machine of ranges is made of, against Python's integers: ends, known bits, order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lingqu.kinds.errors import RangeError
from lingqu.share import maximum_along, minimum_along
from lingqu.share.api import Shared
from lingqu.share.functions import exp
from lingqu.share.ranges import Ranges, ends, words

LIMIT = 1 << 63
ONE = 1 << 20
INTEGER = st.one_of(
    st.integers(-LIMIT, LIMIT - 1),
    st.integers(-50, 50),
    st.sampled_from([s * ((1 << k) + d) for k in (20, 31, 32, 52, 53, 61, 62) for s in (1, -1) for d in (-1, 0, 1)]),
)
SMALL = st.integers(-(1 << 31), 1 << 31)
PAIR = st.tuples(INTEGER, INTEGER).map(sorted)


def array(values: Any) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def pair(x: list[int]) -> ends.Ends:
    return array(x[0]), array(x[1])


@given(PAIR, PAIR, st.data())
def test_sums_and_products_hold_what_they_can_be(x: list[int], y: list[int], data: st.DataObject) -> None:
    one, other = data.draw(st.integers(*x)), data.draw(st.integers(*y))
    for operation, value in ((ends.both_added, one + other), (ends.multiplied, one * other)):
        corners = [x[0] + y[0], x[1] + y[1]] if operation is ends.both_added else [a * b for a in x for b in y]
        try:
            low, high = operation(pair(x), pair(y), "test")
        except RangeError:
            reach = max(abs(x[0]), abs(x[1])) * max(abs(y[0]), abs(y[1]))
            assert max(map(abs, corners)) >= LIMIT or (operation is ends.multiplied and reach > LIMIT * (1 - 2**-19))
        else:
            assert (int(low), int(high)) == (min(corners), max(corners))
            assert int(low) <= value <= int(high)


@given(PAIR)
def test_a_square_is_not_negative(x: list[int]) -> None:
    x = [end >> 32 for end in x]
    low, high = ends.multiplied(pair(x), pair(x), "test", np.array(True))
    assert int(low) == (0 if x[0] <= 0 <= x[1] else min(x[0] ** 2, x[1] ** 2))
    assert int(high) == max(x[0] ** 2, x[1] ** 2)


@given(st.lists(INTEGER, min_size=1, max_size=5))
def test_sums_over_an_axis_are_exact_or_refused(values: list[int]) -> None:
    try:
        found = ends.summed(array(values), "test", np.sum)
    except RangeError:
        assert abs(sum(values)) >= LIMIT
    else:
        assert int(found) == sum(values)


@given(st.lists(st.tuples(SMALL, SMALL).map(sorted), min_size=12, max_size=12), st.data(), st.booleans())
def test_matrix_products_hold_every_product(pairs: list[list[int]], data: st.DataObject, centred: bool) -> None:
    low, high = array([p[0] for p in pairs]), array([p[1] for p in pairs])
    chosen = np.array([data.draw(st.integers(*p)) for p in pairs], object)
    x, y = (low[:6].reshape(2, 3), high[:6].reshape(2, 3)), (low[6:].reshape(3, 2), high[6:].reshape(3, 2))
    numbers = np.arange(1, 7, dtype=np.uint64).reshape(2, 3), np.arange(11, 17, dtype=np.uint64).reshape(3, 2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ends, "TERMS", 0 if centred else 1 << 24)
        least, greatest = ends.matrix_product(x, y, "test", numbers)
    product = chosen[:6].reshape(2, 3) @ chosen[6:].reshape(3, 2)
    assert bool(np.all((least.astype(object) <= product) & (product <= greatest.astype(object))))


def test_large_products_of_matrices_are_bounded_by_their_middles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "TERMS", 0)
    ones = np.ones((2, 3), np.int64)
    none = np.full((2, 3), ends.UNKNOWN)
    low, high = ends.matrix_product((0 * ones, ones), (0 * ones.T, 2 * ones.T), "test", (none, none.T))
    assert (low.tolist(), high.tolist()) == ([[0, 0], [0, 0]], [[6, 6], [6, 6]])
    low, high = ends.matrix_product((-ones, ones), (5 * ones.T, 5 * ones.T), "test", (none, none.T))
    assert bool(np.all((low <= -15) & (low >= -16) & (high >= 15) & (high <= 16)))
    with pytest.raises(RangeError, match=r"A result of test may reach 2\^6"):
        ends.matrix_product((-ones << 31, ones << 31), (ones.T << 31, ones.T << 31), "test", (none, none.T))


@given(PAIR, st.integers(1, 64), st.data())
def test_known_bits_hold_every_integer(x: list[int], width: int, data: st.DataObject) -> None:
    value = data.draw(st.integers(*x))
    must, may = words.of_range(pair(x), width)
    bits = value % (1 << width)
    assert (int(must) & ~bits, bits & ~int(may)) == (0, 0)
    low, high = words.to_range((must, may), width)
    signed = bits - (1 << 64) if width == 64 and bits >> 63 else bits
    assert int(low) <= signed <= int(high)


@given(*[st.tuples(st.integers(0, 255), st.integers(0, 255)) for _ in range(2)], st.data())
def test_bits_of_bits(x: tuple[int, int], y: tuple[int, int], data: st.DataObject) -> None:
    known = [(np.array(a & b, np.uint64), np.array(a | b, np.uint64)) for a, b in (x, y)]
    one, other = (int(must) | data.draw(st.integers(0, 255)) & int(may) for must, may in known)
    must, may = words.xor(known[0], known[1], 8)
    assert (int(must) & ~(one ^ other), (one ^ other) & ~int(may)) == (0, 0)
    must, may = words.inverted(known[0], 8)
    assert (int(must) & one, (one ^ 255) & ~int(may)) == (0, 0)
    must, may = words.agreeing([(known[0], known[1])])
    assert int(must) <= int(one == other) <= int(may)


# Order


def reals(m: Ranges, x: Shared) -> tuple[list[float], list[float]]:
    low, high = m.ends(x)
    return (low / ONE).tolist(), (high / ONE).tolist()


def test_an_entry_less_its_extreme_has_a_sign() -> None:
    m = Ranges()
    x = m.between(np.full(3, -9 * ONE), 9 * ONE)
    assert reals(m, m.subtract(x, maximum_along(m, x))) == ([-18.0] * 3, [0.0] * 3)
    assert reals(m, m.subtract(x, minimum_along(m, x))) == ([0.0] * 3, [18.0] * 3)
    assert reals(m, m.subtract(x, x)) == ([0.0] * 3, [0.0] * 3)
    other = m.between(np.full(3, -9 * ONE), 9 * ONE)
    assert reals(m, m.subtract(other, maximum_along(m, x))) == ([-18.0] * 3, [18.0] * 3)


def test_one_entry_is_the_greatest() -> None:
    m = Ranges()
    x = m.between(np.full((2, 3), -9 * ONE), 9 * ONE)
    powers = exp(m, m.subtract(x, maximum_along(m, x, 1)[:, None]))
    low, high = reals(m, m.sum(powers, 1))
    assert min(low) > 0.9999
    assert max(high) < 3.0001
    for part in (powers[:, np.array([0, 0, 1])], powers[:, :2], m.concat([powers[:, :2], powers[::-1, 2:]], axis=1)):
        assert max(reals(m, m.sum(part, 1))[0]) < 1e-5, "an axis that has not all the entries, each once"


def test_differences_of_repeated_entries_have_no_greatest() -> None:
    m = Ranges()
    x = m.between(np.full(2, -9 * ONE), 9 * ONE)
    most = maximum_along(m, x)
    assert reals(m, m.sum(exp(m, m.subtract(x[np.array([0, 0])], most)), 0))[0] == pytest.approx(0, abs=1e-5)
    assert reals(m, m.sum(exp(m, m.subtract(x[np.array([1, 0])], most)), 0))[0] == pytest.approx(1, abs=1e-4)
    low, _ = m.ends(m.sum(m.concat([m.subtract(x[:1], most), m.subtract(x[:1], most)]), 0))
    assert int(low) == -36 * ONE


def test_what_is_chosen_by_a_comparison_is_in_its_bounds() -> None:
    m = Ranges()
    x, zero = m.between(np.full(1, -5), 7), m.constant(np.zeros(1, np.int64))
    y = m.between(np.full(1, 2), 4)
    below = m.less_than(x, 0)
    for bit, one, other, expected in (
        (below, zero, x, (0, 7)),
        (m.logical_not(below), x, zero, (0, 7)),
        (below, x, zero, (-5, 0)),
        (m.less_than(x, y), x, y, (-5, 4)),
        (m.less_than(x, y), y, x, (2, 7)),
        (m.less_than(y, x), x, y, (2, 7)),
    ):
        low, high = m.ends(m.select(bit, one, other))
        assert (int(low[0]), int(high[0])) == expected
    assert reals(m, m.subtract(x, m.select(m.less_than(x, y), y, x)))[1] == [0.0]
