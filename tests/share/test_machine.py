"""Every protocol against its ideal twin, over edge values and random ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput, RangeError
from lingqu.share import Machine, Shared, SharedBits, reals
from lingqu.share.plain import Plain

Parties = Any
LIMIT = 1 << 62
EDGES = [0, 1, -1, 2, -2, LIMIT - 1, 1 - LIMIT, LIMIT // 2, -LIMIT // 2, (1 << 20) - 1, -(1 << 20)]
RING = [*EDGES, (1 << 63) - 1, -(1 << 63), LIMIT, -LIMIT]

ring_values = st.lists(st.sampled_from(RING) | st.integers(-(1 << 63), (1 << 63) - 1), max_size=70)
bounded_values = st.lists(st.sampled_from(EDGES) | st.integers(1 - LIMIT, LIMIT - 1), max_size=70)
few = settings(max_examples=15, deadline=None)


@pytest.fixture(scope="module", params=["rep3", "two", "checked_parties"])
def parties(request: pytest.FixtureRequest) -> Parties:
    """Every test with each protocol."""
    found: Parties = request.getfixturevalue(request.param)
    return found


def array(values: list[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def held(machine: Machine, owner: int, values: NDArray[Any]) -> Shared:
    owner %= machine.parties
    return machine.input(owner, values if machine.owns(owner) else None, values.shape)


def held_bits(machine: Machine, owner: int, words: NDArray[Any], width: int) -> SharedBits:
    owner %= machine.parties
    return machine.input_bits(owner, words if machine.owns(owner) else None, words.shape, width)


def agree(parties: Parties, work: Callable[[Machine], list[Any]], slack: float = 0) -> list[Any]:
    """All parties open the same, and the twin the same or within `slack`."""
    results = parties(work).results
    ideal = work(Plain())
    for found, *others, expected in zip(*results, ideal, strict=True):
        for other in others:
            np.testing.assert_array_equal(found, other)
        if slack:
            np.testing.assert_allclose(found, expected, rtol=0, atol=slack)
        else:
            np.testing.assert_array_equal(found, expected)
    return list(ideal)


@few
@given(ring_values, st.integers(0, 2))
def test_ring_operations(parties: Parties, values: list[int], owner: int) -> None:
    x, y = array(values), array(values[::-1])

    def work(m: Machine) -> list[Any]:
        a, b = held(m, owner, x), held(m, owner + 1, y)
        table = m.stack([a, b], 1)
        return [
            m.reveal(part)
            for part in (
                a,
                m.add(a, b),
                m.add(a, 7),
                m.subtract(a, y),
                m.negate(b),
                m.scale(a, -3),
                m.sum(a),
                m.sum(table, 0),
                m.cumsum(table),
                m.concat([a, b])[1:],
                m.multiply(a, b),
                m.multiply(table, a.reshape(-1, 1)),
                m.matmul(table.transpose(), table),
                m.matmul(table, m.constant(np.eye(2, 3, dtype=np.int64))),
                m.matmul_public(table, np.array([[1], [-2]])),
                m.to_shared(m.to_bits(a)),
            )
        ]

    agree(parties, work)


@few
@given(ring_values)
def test_bits(parties: Parties, values: list[int]) -> None:
    x, y = array(values), array(values[::-1])
    narrow = (x.view(np.uint64) & np.uint64(0x7F), y.view(np.uint64) & np.uint64(0x7F))

    def work(m: Machine) -> list[Any]:
        a, b = held(m, 0, x), held(m, 1, y)
        p, q = held_bits(m, 2, narrow[0], 7), held_bits(m, 1, narrow[1], 7)
        return [
            m.reveal_bits(part)
            for part in (
                m.to_bits(a),
                m.to_bits(a, 26),
                m.to_bits(a, 3),
                m.logical_and(p, m.stack([p, q, p])),
                m.logical_and(m.stack([q, p])[:, None], p[None]),
                m.parity(a),
                m.equal(a, b),
                m.equal(a, 0),
                m.equal_words([(p, q), (m.to_bits(a), m.to_bits(b))]),
                m.equal_words([(m.bit(p, 3), m.bit(q, 3))]),
                m.logical_and(p, q),
                m.logical_or(p, q),
                m.logical_xor(p, q),
                m.logical_not(p),
                m.concat([p, q]),
                m.constant_bits(narrow[0], 7),
            )
        ] + [m.reveal(m.to_shared(p)), m.reveal(m.inject(m.bit(p, 6)))]

    agree(parties, work)


@few
@given(bounded_values)
def test_comparisons(parties: Parties, values: list[int]) -> None:
    x, y = array(values), array(values[::-1])

    def work(m: Machine) -> list[Any]:
        a, b = held(m, 0, x), held(m, 2, y)
        below = m.less_than(a, b)
        near = held(m, 1, np.clip(x, -8, 7))
        return [
            m.reveal_bits(below),
            m.reveal_bits(m.less_than(a, a)),
            m.reveal_bits(m.less_than(a, 1)),
            m.reveal_bits(m.less_than(near, 0, bits=5)),
            m.reveal_bits(m.less_than(near, 7, bits=6)),
            m.reveal(m.select(below, a, b)),
            m.reveal(m.select(m.inject(below), b, a)),
        ]

    agree(parties, work)


@pytest.mark.parametrize("bits", [1, 2, 20, 31, 40, 61, 62])
def test_truncation_is_off_by_one_unit_at_most(parties: Parties, bits: int) -> None:
    near = [sign * (LIMIT - 1 - step) for step in range(3) for sign in (1, -1)]
    near += [sign * (1 << place) + step for place in range(62) for sign in (1, -1) for step in (-1, 0, 1)]
    x = np.repeat(array([v for v in near if abs(v) < LIMIT]), 20)
    opened = parties(lambda m: m.reveal(m.truncate(held(m, 0, x), bits))).results[1]
    error = opened - (x >> bits)
    assert set(np.unique(error)) <= {-1, 0}


@few
@given(st.lists(st.floats(-400, 400), max_size=20), st.lists(st.floats(1, 1 << 30), min_size=1, max_size=20))
def test_reals(parties: Parties, values: list[float], divisors: list[float]) -> None:
    x = np.resize(np.array(values or [0.0]), len(divisors))
    y = np.array(divisors)
    ulp = 2.0**-20

    def work(m: Machine) -> list[Any]:
        a = m.input_real(0, x if m.owns(0) else None, x.shape)
        return [
            m.reveal_real(part)
            for part in (
                a,
                m.constant_real(x),
                m.multiply_real(a, a),
                m.scale_real(a, -1.5),
                m.matmul_real(a.reshape(1, -1), a.reshape(-1, 1)),
            )
        ]

    def quotients(m: Machine) -> list[Any]:
        a = m.input_real(0, x if m.owns(0) else None, x.shape)
        b = m.input_real(1, y if m.owns(1) else None, y.shape)
        return [m.reveal_real(part) for part in (m.reciprocal(b), m.divide(a, b))]

    agree(parties, work, ulp)
    agree(parties, quotients, 6 * ulp)


def test_real_products_are_low_by_less_than_two_units(parties: Parties) -> None:
    x = np.random.default_rng(4).integers(-(1 << 30), 1 << 30, 4000)
    y = np.random.default_rng(5).integers(-(1 << 30), 1 << 30, 4000)

    def work(m: Machine) -> Any:
        a, b = (m.input(0, values if m.owns(0) else None, values.shape) for values in (x, y))
        return m.reveal(m.multiply_real(a, b))

    twin, opened = work(Plain()), parties(work).results[0]
    low = (x * y - (opened << 20)) / 2.0**20
    assert low.min() >= 0
    assert 1 < low.max() < 2
    assert set(np.unique(twin - opened)) == {0, 1}


def test_reciprocal_keeps_its_relative_error(parties: Parties) -> None:
    y = np.concatenate([2.0 ** np.arange(31), 2.0 ** np.arange(30) * 1.9999, [1, 3, 7, 1e3, 1e9]])
    opened = parties(lambda m: m.reveal(m.reciprocal(m.input_real(0, y if m.owns(0) else None, y.shape), 50)))
    relative = opened.results[0] / 2.0**50 * (np.rint(y * 2**20) / 2**20) - 1
    assert np.abs(relative).max() <= 2.0**-18


def test_quotient_over_the_whole_range(parties: Parties) -> None:
    x = np.array([2.0**38, -(2.0**38), 2.0**38, 1e-6, -5.5, 3e11])
    y = np.array([1, 1.5, 2.0**30, 2.0**30, 7, 3.0])

    def work(m: Machine) -> Any:
        a = m.input_real(0, x if m.owns(0) else None, x.shape)
        return m.reveal_real(m.divide(a, m.input_real(1, y if m.owns(1) else None, y.shape)))

    np.testing.assert_allclose(parties(work).results[0], x / y, rtol=2.0**-24, atol=3 * 2.0**-20)


def test_sigmoid_error_and_shape(parties: Parties) -> None:
    x = np.concatenate([np.linspace(-12, 12, 4001), [-1e6, 1e6, -(2.0**39), 2.0**39, 0]])
    found = parties(lambda m: m.reveal_real(m.sigmoid(m.input_real(0, x if m.owns(0) else None, x.shape)))).results[1]
    expected = 1 / (1 + np.exp(-np.clip(x, -50, 50)))
    assert np.abs(found - expected).max() < 1e-4
    assert np.diff(found[:4001]).min() > -1.1e-4
    assert found.min() >= -1e-5
    assert found.max() <= 1 + 1e-5


@few
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, (1 << 5) - 1)), max_size=40),
    st.integers(0, 2),
)
def test_sort_is_stable_and_moves_columns(parties: Parties, rows: list[tuple[int, int]], owner: int) -> None:
    high, low = (np.array([row[i] for row in rows], np.uint64) for i in (0, 1))
    values = np.arange(len(rows))

    def work(m: Machine) -> list[Any]:
        keys = [held_bits(m, owner, high, 2), held_bits(m, owner, low, 5)]
        order = m.sort(keys)
        column = held(m, owner, values)
        table = m.stack([column, m.negate(column)], 1)
        moved = m.apply(order, [table, *keys, column])
        back = m.unapply(order, moved)
        return [m.reveal_bits(c) if isinstance(c, SharedBits) else m.reveal(c) for c in [*moved, *back]]

    agree(parties, work)


def test_wide_words_move_unharmed(parties: Parties) -> None:
    words = np.arange(1, 12, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)

    def work(m: Machine) -> list[Any]:
        wide, bit = held_bits(m, 0, words, 64), held_bits(m, 1, words & np.uint64(1), 1)
        pair = m.stack([wide, wide], 1)
        order = m.sort([wide])
        return [m.reveal_bits(c) for c in m.apply(order, [bit, wide, pair]) if isinstance(c, SharedBits)]

    agree(parties, work)


def test_shuffle_keeps_rows_together_and_is_random(parties: Parties) -> None:
    x = np.arange(200)

    def work(m: Machine) -> list[Any]:
        column, bits = held(m, 0, x), held_bits(m, 1, x, 8)
        moved, words = m.shuffle([column, bits])
        assert isinstance(moved, Shared)
        assert isinstance(words, SharedBits)
        return [m.reveal(moved), m.reveal_bits(words)]

    one, two = (parties(work).results[0] for _ in range(2))
    np.testing.assert_array_equal(np.sort(one[0]), x)
    np.testing.assert_array_equal(one[0], one[1].astype(np.int64))
    assert not np.array_equal(one[0], x)
    assert not np.array_equal(one[0], two[0])


def test_only_the_addressee_gets_the_values(parties: Parties) -> None:
    x = np.array([5, 6])
    for to in range(parties.count):
        results = parties(lambda m, to=to: m.reveal(held(m, 0, x), to)).results
        assert [r is None for r in results] == [party != to for party in range(parties.count)]
        np.testing.assert_array_equal(results[to], x)


def test_the_twin_refuses_what_leaves_the_range() -> None:
    m = Plain()
    big = m.constant(np.array([LIMIT]))
    for violate in (
        lambda: m.truncate(big, 20),
        lambda: m.less_than(big, 0),
        lambda: m.less_than(m.constant(np.array([9])), 0, bits=4),
        lambda: m.multiply_real(m.constant_real(1 << 25), m.constant_real(1 << 25)),
        lambda: m.reciprocal(m.constant_real(0.5)),
        lambda: m.divide(m.constant_real(2.0**40), m.constant_real(1)),
        lambda: m.sigmoid(big),
        lambda: m.select(m.constant(2), big, big),
        lambda: m.constant_real(float("nan")),
        lambda: m.constant_real(2.0**41),
    ):
        with pytest.raises(RangeError):
            violate()


def test_public_arguments_are_checked(parties: Parties) -> None:
    words = np.array([1, 2], np.uint64)

    def check(m: Machine) -> None:
        one, pair = m.constant_bits(words[:1], 2), m.constant_bits(words, 2)
        wide, x = m.constant_bits(words, 3), m.constant(words)
        for violate in (
            lambda: m.input(m.party, None, (2,)),
            lambda: m.input(m.party, np.arange(3), (2,)),
            lambda: m.constant(np.array([0.5])),
            lambda: m.constant_bits(words, 1),
            lambda: m.constant_bits(words, 65),
            lambda: m.bit(pair, 2),
            lambda: m.inject(pair),
            lambda: m.logical_and(pair, wide),
            lambda: m.equal_words([(pair, pair), (one, one)]),
            lambda: m.truncate(x, 63),
            lambda: m.less_than(x, 0, bits=1),
            lambda: m.reciprocal(x, 51),
            lambda: m.matmul(x.reshape(1, 2), x.reshape(1, 2)),
            lambda: m.sort([]),
            lambda: m.sort([one, pair]),
            lambda: m.apply(m.sort([pair]), [one]),
        ):
            with pytest.raises(BadInput):
                violate()

    check(Plain())
    m = parties(lambda m: m).results[0]
    with pytest.raises(BadInput):
        m.reveal(m.constant(1), 3)
    with pytest.raises(BadInput):
        m.input(4, None, (1,))
    with pytest.raises(BadInput):
        m.matmul(m.constant(words), m.constant(words))


def test_nothing_prints_its_values(parties: Parties) -> None:
    secret = np.array([7777777, 8888888])

    def work(m: Machine) -> list[str]:
        x, b = held(m, 0, secret), held_bits(m, 0, secret, 32)
        return [repr(x), repr(b), repr(m.sort([b])), repr(m), repr(getattr(m, "_session", ""))]

    for text in [*parties(work).results[0], *work(Plain())]:
        assert "7777777" not in text
        assert "array" not in text


class Lower(Plain):
    """The twin whose truncation is off by one wherever it may be."""

    def truncate(self, x: Shared, bits: int) -> Shared:
        return self.subtract(super().truncate(x, bits), 1)


def test_quotients_stay_in_range_whatever_truncation_does() -> None:
    machine = Lower()
    x = array([(1 << 59) - 1, (1 << 30) - 1, (1 << 30) - 2, -1, 1 - (1 << 59)])
    for y in (1 << 20, (1 << 20) + 1, (1 << 50) - 1, 1 << 50):
        divisor = machine.constant(np.full(len(x), y))
        found = machine.reveal(reals.divide(machine, machine.constant(x), divisor))
        assert found is not None
        exact = x.astype(float) / y * (1 << 20)
        assert np.all(np.abs(found - exact) <= np.abs(exact) * 2.0**-24 + 3)
