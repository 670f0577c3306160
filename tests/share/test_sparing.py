"""What sorts, groupings and joins do with many rows to take less memory, done with few: the results, and the costs."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lingqu import _core
from lingqu.share import Aggregate, Machine, Relation, SharedBits, group, join, joins, relation, sparing, tables
from lingqu.share.outline import Outline, shaped, shaped_bits
from lingqu.share.plain import Plain
from lingqu.share.relation import apply_first, parked
from lingqu.share.rep3 import arithmetic, circuits, hops
from lingqu.share.rep3.tally import Tally

Parties = Callable[..., Any]
ROWS = 330


@pytest.fixture(autouse=True)
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred rows are many, and chunks have 64 or 128 of them."""
    for module in (sparing, tables, relation, hops):
        monkeypatch.setattr(module, "MOST_ROWS", 100)
    monkeypatch.setattr(tables, "CHUNK_ROWS", 64)
    for module in (circuits, arithmetic, joins):
        monkeypatch.setattr(module, "CHUNK_ROWS", 128)


def column(m: Machine, values: Any) -> Any:
    return m.input(0, np.asarray(values, np.int64) if m.owns(0) else None, (len(values),))


def key(m: Machine, values: Any, width: int) -> tuple[SharedBits, ...]:
    return (m.input_bits(1, np.asarray(values, np.uint64) if m.owns(1) else None, (len(values),), width),)


def grouped(m: Machine, width: int = 6, kinds: tuple[Any, ...] = ("sum", "count")) -> Relation:
    draw = np.random.default_rng(width)
    codes, values = draw.integers(0, 40, ROWS), draw.integers(-99, 99, ROWS)
    whole = Relation({"v": column(m, values)}, {"k": key(m, codes, width)}, column(m, draw.integers(0, 2, ROWS)))
    return group(m, whole, ["k"], [Aggregate(k, k, None if k == "count" else "v") for k in kinds], 50)


def joined(m: Machine, rows: int = ROWS, valid: bool = True) -> Relation:
    draw = np.random.default_rng(rows)
    sides = []
    for name in ("l", "r"):
        keys = draw.permutation(2 * rows)[:rows]
        there = m.constant(1).broadcast_to((rows,)) if valid else column(m, draw.integers(0, 2, rows))
        sides.append(
            Relation({name: column(m, keys)}, {f"{name}k": key(m, keys, 40), f"{name}o": key(m, keys % 5, 3)}, there)
        )
    return join(m, sides[0], sides[1], [("lk", "rk")], keep=["lk"])


def opened(m: Machine, found: Relation) -> list[Any]:
    """Columns and keys, zero where the row is not there."""
    valid = m.reveal(found.valid)
    assert valid is not None
    columns = [m.reveal(c) for c in found.columns.values()]
    words = [m.reveal_bits(w) for k in found.keys.values() for w in k]
    return [valid, *(np.where(valid, np.asarray(x).view(np.int64), 0) for x in (*columns, *words))]


@pytest.mark.parametrize("protocol", ["rep3", "two", "malicious"])
@pytest.mark.parametrize(
    "work", [grouped, lambda m: grouped(m, 60, ("sum", "max")), joined, lambda m: joined(m, 65, False)]
)
def test_many_rows_are_grouped_and_joined(
    every: dict[str, Parties], protocol: str, work: Callable[[Any], Relation]
) -> None:
    ideal = opened(Plain(), work(Plain()))
    assert ideal[0].any()
    for found in every[protocol](lambda m: opened(m, work(m))).results:
        np.testing.assert_equal(found, ideal)


@pytest.fixture
def every(rep3: Parties, two: Parties, checked_parties: Parties) -> dict[str, Parties]:
    return {"rep3": rep3, "two": two, "malicious": checked_parties}


@pytest.mark.parametrize("width", [1, 2, 7, 33, 64])
def test_many_rows_are_sorted_moved_and_moved_back(parties: Parties, width: int) -> None:
    draw = np.random.default_rng(width)
    words = draw.integers(0, 1 << 63, ROWS).astype(np.uint64) >> np.uint64(64 - width)
    values = np.arange(3 * ROWS).reshape(ROWS, 3)

    def work(m: Machine) -> list[Any]:
        mine, bits = m.constant(values), m.constant_bits(words & np.uint64(1), 1)
        order = m.sort(iter(key(m, words, width)))
        moved = m.apply(order, [mine, bits])
        some = apply_first(m, order, [bits, mine], 130)
        back = m.unapply(order, moved)
        return [m.reveal_bits(x) if isinstance(x, SharedBits) else m.reveal(x) for x in (*moved, *some, *back)]

    by = np.argsort(words, kind="stable")
    expected = [
        values[by],
        (words & np.uint64(1))[by],
        (words & np.uint64(1))[by][:130],
        values[by][:130],
        values,
        words & np.uint64(1),
    ]
    for found in parties(work).results:
        np.testing.assert_equal(found, expected)


@pytest.mark.parametrize("width", [1, 6, 40, 64])
def test_many_rows_cost_what_is_declared(rep3: Parties, width: int) -> None:
    def work(m: Machine, x: Any) -> None:
        order = m.sort(iter([x[0]]))
        m.apply(order, [x[1], x[0]])
        m.to_bits(x[1])

    def prepare(m: Machine) -> Any:
        return key(m, np.zeros(ROWS), width)[0], column(m, np.arange(ROWS))

    outline = Outline(Tally(), 3)
    work(outline, (shaped_bits((ROWS,), width), shaped((ROWS,))))
    run = rep3(work, prepare)
    assert (run.rounds, run.bytes) == (outline.tally.cost.rounds, outline.tally.cost.bytes)


def test_waiting_words_come_back() -> None:
    draw = np.random.default_rng(3)
    for rows, width in [(99, 7), (100, 7), (640, 1), (333, 64)]:
        words = Plain().constant_bits(draw.integers(0, 1 << 63, rows).astype(np.uint64) >> np.uint64(64 - width), width)
        back = parked(words).taken()
        assert back.width == width
        np.testing.assert_array_equal(back.parts[0], words.parts[0])
    assert parked(shaped_bits((10**9,), 5)).taken().shape == (10**9,)


def test_a_key_is_freed_before_groups_are_counted(rep3: Parties, monkeypatch: pytest.MonkeyPatch) -> None:
    held: dict[int, weakref.ref[Any]] = {}
    alive: list[bool] = []
    multiply = _core.multiply_shares

    def whole(m: Machine) -> Relation:
        words = key(m, np.arange(ROWS) % 9, 64)
        held[m.party] = weakref.ref(words[0].parts[0])
        return Relation({"v": column(m, np.arange(ROWS))}, {"k": words}, m.constant(1).broadcast_to((ROWS,)))

    def seen(x: Any, *others: Any) -> Any:
        alive.extend(one() is not None for one in held.values() if len(held) == 3 and len(x[0]) == 128)
        return multiply(x, *others)

    monkeypatch.setattr(_core, "multiply_shares", seen)
    rep3(lambda m: group(m, whole(m), ["k"], [Aggregate("s", "sum", "v")], 9).rows)
    assert alive
    assert not any(alive)


def test_memory_is_spared_as_often_as_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[bool] = []
    monkeypatch.setattr(_core, "spare_memory", begun.append)

    def work() -> None:
        with sparing.sparing(1), sparing.sparing(1000), sparing.sparing(100):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert begun == [True, True, False, False]
