"""Sorting by opened comparisons: stable for keys of any width, and what is opened is a random order."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lingqu.share import Machine, Shared, SharedBits
from lingqu.share import ranking as plans
from lingqu.share.api import Column
from lingqu.share.plain import Plain
from lingqu.share.relation import as_bits, as_values
from lingqu.share.rep3 import Rep3, ranking
from lingqu.share.rep3.rows import STEP, opened_order

Parties = Callable[..., Any]
few = settings(max_examples=12, deadline=None)
CHI_SQUARE_5 = 35.9  # 5 degrees of freedom, one false alarm in a million


def sorted_places(m: Machine, keys: list[tuple[NDArray[np.uint64], int]]) -> NDArray[np.int64]:
    shared = [m.input_bits(0, key if m.owns(0) else None, key.shape, width) for key, width in keys]
    places = m.unapply(m.sort(shared), [m.constant(np.arange(len(keys[0][0])))])[0]
    assert isinstance(places, Shared)
    opened = m.reveal(places)
    assert opened is not None
    return opened


@few
@given(st.lists(st.tuples(st.sampled_from([0, 1, 7]), st.integers(0, (1 << 64) - 1) | st.just(3)), min_size=1))
def test_wide_keys_sort_stably(parties: Parties, rows: list[tuple[int, int]]) -> None:
    keys = [(np.array([row[0] for row in rows], np.uint64), 3), (np.array([row[1] for row in rows], np.uint64), 64)]
    expected = np.argsort(np.lexsort((keys[1][0], keys[0][0])))
    for found in (*parties(lambda m: sorted_places(m, keys)).results, sorted_places(Plain(), keys)):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("rows", "width"), [(2, 64), (255, 64), (3000, 64), (3000, 11), (2048, 53)])
def test_every_stage_keeps_equal_keys_in_order(parties: Parties, rows: int, width: int) -> None:
    draw = np.random.default_rng(rows)
    key = draw.integers(0, 40, rows).astype(np.uint64) << np.uint64(width - 6)
    expected = np.argsort(np.argsort(key, kind="stable"))
    for found in parties(lambda m: sorted_places(m, [(key, width)])).results:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("rows", [2, 3, 4, 100, 1023, 1024, 100_000, 3_000_000])
def test_stages_take_every_row(rows: int) -> None:
    known = 0
    for stage in plans.stages(rows, STEP):
        assert stage.known == known
        assert sum(stage.digits) == known.bit_length()
        known += stage.added
    assert known == rows


def test_pairs_between_pivots_stay_below_their_bound() -> None:
    draw = np.random.default_rng(3)
    for known, added in ((15, 48), (1023, 3072), (4095, 4096), (127, 9000)):
        most = plans._most_pairs(known, added)
        found = []
        for _ in range(200):
            pivots = np.sort(draw.permutation(known + added)[:known])
            inside = np.diff(np.concatenate([[-1], pivots, [known + added]])) - 1
            found.append(int((inside * (inside - 1) // 2).sum()))
        assert max(found) <= most
        assert np.mean(found) == pytest.approx(added * (added - 1) / (known + 2), rel=0.2)


@pytest.mark.parametrize("together", [64, 1000, 1 << 18])
def test_comparisons_come_in_the_parts_that_are_declared(together: int) -> None:
    keys = np.random.default_rng(8).permutation(3000)
    plan, sizes = plans.stages(3000, STEP), []

    def compare(left: plans.Order, right: plans.Order) -> NDArray[np.bool_]:
        sizes.append(len(left))
        return keys[left] < keys[right]

    np.testing.assert_array_equal(plans.ranks(plan, compare, together), np.argsort(keys))
    declared = [min(together, count - at) for s in plan for count in s.comparisons for at in range(0, count, together)]
    assert sizes == declared


def test_keys_that_nobody_else_holds_are_freed_before_rows_are_compared(
    rep3: Parties, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: dict[int, weakref.ref[Any]] = {}
    alive: list[bool] = []
    ranks = plans.ranks

    def seen(plan: Any, compare: Any, *limits: int) -> Any:
        party = compare.args[0].party
        alive.append(held[party]() is not None)
        return ranks(plan, compare, *limits)

    def keys(m: Machine) -> Iterator[SharedBits]:
        words = m.input_bits(0, np.arange(500, dtype=np.uint64) if m.owns(0) else None, (500,), 64)
        held[m.party] = weakref.ref(words.parts[0])
        yield words

    monkeypatch.setattr(ranking, "ranks", seen)
    rep3(lambda m: m.sort(keys(m)).rows)
    assert alive == [False] * 3


def test_an_order_is_followed_again_and_back(parties: Parties) -> None:
    draw = np.random.default_rng(5)
    key, column, bits = (draw.integers(0, 1 << 30, 300).astype(np.uint64) for _ in range(3))

    def work(m: Machine) -> Any:
        words, flags = m.constant_bits(key, 30), m.constant_bits(bits, 30)
        order = m.sort([words])
        columns: list[Column] = [m.constant(column), flags]
        there = [m.apply(order, iter(columns)) for _ in range(2)]
        back = m.unapply(order, there[1])
        return [(m.reveal(as_values(x)), m.reveal_bits(as_bits(y))) for x, y in (*there, back)]

    by = np.argsort(key, kind="stable")
    for found in parties(work).results:
        for (values, words), rows in zip(found, (by, by, np.arange(300)), strict=True):
            np.testing.assert_array_equal(values, column[rows].view(np.int64))
            np.testing.assert_array_equal(words, bits[rows])


def test_more_pairs_than_expected_are_compared_too(rep3: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ranking, "stages", lambda rows, _: (plans.Stage(0, 15, (), 105), plans.Stage(15, rows - 15, (2, 2), 7))
    )
    key = np.random.default_rng(1).integers(0, 1 << 60, 400).astype(np.uint64)
    expected = np.argsort(np.argsort(key))
    np.testing.assert_array_equal(rep3(lambda m: sorted_places(m, [(key, 60)])).results[1], expected)


@pytest.mark.parametrize("key", [[5, 5, 5], [1, 2, 3], [9, 1 << 50, 0]])
def test_two_parties_open_a_random_order(two: Parties, monkeypatch: pytest.MonkeyPatch, key: list[int]) -> None:
    opened: list[tuple[int, ...]] = []
    ranks = plans.ranks

    def seen(plan: Any, compare: Any, together: int) -> Any:
        order = ranks(plan, compare, together)
        opened.append(tuple(order.tolist()))
        return order

    def work(m: Machine) -> None:
        words = m.constant_bits(np.array(key, np.uint64), 60)
        for _ in range(240):
            m.sort([words])

    monkeypatch.setattr(plans, "ranks", seen)
    two(work)
    counts = np.unique(np.array(opened), axis=0, return_counts=True)[1] / 2  # both parties see each
    assert len(counts) == 6
    assert ((counts - 40) ** 2 / 40).sum() < CHI_SQUARE_5


@pytest.mark.parametrize("key", [[5, 5, 5], [1, 2, 3], [9, 1 << 50, 0]])
def test_what_is_opened_is_a_random_order(rep3: Parties, monkeypatch: pytest.MonkeyPatch, key: list[int]) -> None:
    opened: list[tuple[int, ...]] = []

    def seen(s: Any, order: Any) -> Any:
        if s.party == 0:
            opened.append(tuple(order.tolist()))
        return opened_order(s, order)

    def work(m: Rep3) -> None:
        words = m.constant_bits(np.array(key, np.uint64), 60)
        for _ in range(240):
            m.sort([words])

    monkeypatch.setattr(ranking, "opened_order", seen)
    rep3(work)
    counts = np.unique(np.array(opened), axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert ((counts - 40) ** 2 / 40).sum() < CHI_SQUARE_5
