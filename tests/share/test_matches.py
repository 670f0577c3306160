"""Joins with repeated keys and of rows without a match, against pairs in the clear, on the twin and every protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.kinds.errors import BadInput
from lingqu.share import Machine, Relation, SharedBits, compact, join_rows
from lingqu.share.plain import Plain

Parties = Callable[..., Any]
few = settings(max_examples=6, deadline=None)
many = settings(max_examples=40, deadline=None)
Row = tuple[int, int, int]
"""key, value, valid."""
row = st.tuples(st.integers(0, 6), st.integers(-100, 100), st.integers(0, 1))
table = st.lists(row, max_size=9)
unique = st.lists(row, max_size=7, unique_by=lambda r: (r[0], r[2]))
kinds = st.sampled_from(["inner", "left", "right", "full"])
NOTHING = 7
"""The code of a group key whose side is not there."""


def relation(m: Machine, owner: int, rows: list[Row], prefix: str) -> Relation:
    """Rows as shares, the key in two words, a group key of 3 bits (key mod 3)."""
    owner %= m.parties

    def column(values: list[int]) -> Any:
        return m.input(owner, np.array(values, np.int64) if m.owns(owner) else None, (len(rows),))

    def words(values: list[int], width: int) -> SharedBits:
        return m.input_bits(owner, np.array(values, np.uint64) if m.owns(owner) else None, (len(rows),), width)

    keys = [r[0] for r in rows]
    return Relation(
        {f"{prefix}v": column([r[1] for r in rows])},
        {
            f"{prefix}k": (words([k // 2 for k in keys], 2), words([k * 0x9E3779B97F4A7C15 % 2**64 for k in keys], 64)),
            f"{prefix}g": (words([k % 3 for k in keys], 3),),
        },
        column([r[2] for r in rows]),
    )


def joined(m: Machine, left: list[Row], right: list[Row], **how: Any) -> list[Any]:
    """The joined rows in the clear, sorted, and whether the bound was exceeded."""
    sides = relation(m, 0, left, "l"), relation(m, 1, right, "r")
    found = join_rows(m, *sides, [("lk", "rk")], absent={"lg": (NOTHING,), "rg": (NOTHING,)}, **how)
    rows = found.rows
    opened: list[Any] = [
        m.reveal(x) for x in (rows.valid, found.left, found.right, rows.columns["lv"], rows.columns["rv"])
    ]
    opened += [m.reveal_bits(rows.keys[name][0]) for name in ("lg", "rg")]
    exceeded = None if found.exceeded is None else m.reveal(found.exceeded)
    table = np.stack([np.asarray(x).astype(np.int64) for x in opened], 1)
    return [rows.rows, sorted(tuple(map(int, r[1:])) for r in table if r[0]), exceeded]


def expected(left: list[Row], right: list[Row], kind: str) -> list[tuple[int, ...]]:
    ours, theirs = [r for r in left if r[2]], [r for r in right if r[2]]
    rows = [(1, 1, a[1], b[1], a[0] % 3, b[0] % 3) for a in ours for b in theirs if a[0] == b[0]]
    if kind in ("left", "full"):
        rows += [(1, 0, a[1], 0, a[0] % 3, NOTHING) for a in ours if a[0] not in {b[0] for b in theirs}]
    if kind in ("right", "full"):
        rows += [(0, 1, 0, b[1], NOTHING, b[0] % 3) for b in theirs if b[0] not in {a[0] for a in ours}]
    return sorted(rows)


@many
@given(table, unique, kinds, st.booleans())
def test_one_side_with_a_key_once(several: list[Row], once: list[Row], kind: str, swap: bool) -> None:
    sides = (once, several) if swap else (several, once)
    size, rows, exceeded = joined(Plain(), *sides, kind=kind, unique="left" if swap else "right")
    kept = len(once) if kind in ("full", "left" if swap else "right") else 0
    assert size == len(several) + kept
    assert rows == expected(*sides, kind)
    assert exceeded is None


@many
@given(table, table, kinds)
def test_keys_that_repeat_on_both_sides(left: list[Row], right: list[Row], kind: str) -> None:
    wanted = expected(left, right, kind)
    for bound in (81, max(len(wanted), 1)):
        _, rows, exceeded = joined(Plain(), left, right, kind=kind, bound=bound)
        assert rows == wanted
        assert exceeded == 0


@many
@given(table, table, st.integers(1, 6))
def test_a_bound_that_is_exceeded_is_told(left: list[Row], right: list[Row], bound: int) -> None:
    wanted = expected(left, right, "inner")
    size, rows, exceeded = joined(Plain(), left, right, bound=bound)
    assert size <= bound
    assert len(rows) == min(bound, len(wanted))
    assert set(rows) <= set(wanted)
    assert bool(exceeded) == (len(wanted) > bound)


@few
@given(table, table, unique, kinds)
def test_three_parties_agree_with_the_twin(
    parties: Parties, left: list[Row], right: list[Row], once: list[Row], kind: str
) -> None:
    def work(m: Machine) -> list[Any]:
        return [joined(m, left, once, kind=kind, unique="right"), joined(m, left, right, kind=kind, bound=20)]

    wanted = work(Plain())
    for result in parties(work).results:
        assert result[0] == wanted[0]
        assert [result[1][0], result[1][2]] == [wanted[1][0], wanted[1][2]]
        assert result[1][1] == wanted[1][1]


@few
@given(table, st.integers(0, 12))
def test_compaction(parties: Parties, rows: list[Row], bound: int) -> None:
    def work(m: Machine) -> Any:
        found = compact(m, relation(m, 2, rows, "x"), bound)
        return [m.reveal(found.valid), m.reveal(found.columns["xv"]), m.reveal_bits(found.keys["xg"][0])]

    valid = [r for r in rows if r[2]][:bound]
    for result in (work(Plain()), *parties(work).results):
        there = result[0].astype(bool)
        assert list(there) == [True] * len(valid) + [False] * (min(bound, len(rows)) - len(valid))
        assert list(result[1][there]) == [r[1] for r in valid]
        assert list(result[2][there]) == [r[0] % 3 for r in valid]


def test_a_join_without_a_bound_is_refused() -> None:
    m = Plain()
    side = relation(m, 0, [(1, 2, 1)], "l"), relation(m, 0, [(1, 2, 1)], "r")
    for bound in (None, 0):
        with pytest.raises(BadInput):
            join_rows(m, *side, [("lk", "rk")], bound=bound)
    with pytest.raises(BadInput):
        compact(m, side[0], -1)
