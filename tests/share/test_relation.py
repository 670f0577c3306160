"""Join, group and filter against dictionaries in the clear, on the twin and on every protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.kinds.errors import BadInput
from lingqu.share import Aggregate, Machine, Relation, SharedBits, filter_rows, group, join
from lingqu.share.groups import EMPTY
from lingqu.share.plain import Plain

Parties = Callable[..., Any]
few = settings(max_examples=8, deadline=None)
AGGREGATES = [
    Aggregate("rows", "count"),
    Aggregate("known", "count", present="flag"),
    Aggregate("total", "sum", "value"),
    Aggregate("known_total", "sum", "value", present="flag"),
    Aggregate("lowest", "min", "value"),
    Aggregate("highest", "max", "value", present="flag"),
]

Row = tuple[int, int, int, int]
"""key, value, valid, flag."""
row = st.tuples(st.integers(0, 40), st.integers(-1000, 1000), st.integers(0, 1), st.integers(0, 1))
table = st.lists(row, max_size=25)
unique = st.lists(row, max_size=25, unique_by=lambda r: (r[0], r[2]))


def relation(m: Machine, owner: int, rows: list[Row], prefix: str = "") -> Relation:
    """Rows as shares; the key in two words of 9 and 64 bits, the group (key mod 4) in 2 bits."""
    owner %= m.parties

    def column(values: list[int]) -> Any:
        return m.input(owner, np.array(values, np.int64) if m.owns(owner) else None, (len(rows),))

    def words(values: list[int], width: int) -> SharedBits:
        return m.input_bits(owner, np.array(values, np.uint64) if m.owns(owner) else None, (len(rows),), width)

    keys = [r[0] for r in rows]
    scattered = [k * 0x9E3779B97F4A7C15 % 2**64 for k in keys]
    return Relation(
        {f"{prefix}{name}": column([r[i] for r in rows]) for name, i in (("key", 0), ("value", 1), ("flag", 3))},
        {
            f"{prefix}id": (words([k // 7 for k in keys], 9), words(scattered, 64)),
            f"{prefix}g": (words([k % 4 for k in keys], 2),),
        },
        column([r[2] for r in rows]),
    )


def opened(m: Machine, found: Relation) -> list[Any]:
    columns = {name: m.reveal(c) for name, c in found.columns.items()}
    keys = {name: [m.reveal_bits(w) for w in words] for name, words in found.keys.items()}
    return [m.reveal(found.valid), columns, keys]


def on_both(parties: Parties, work: Callable[[Machine], list[Any]]) -> list[Any]:
    ideal = work(Plain())
    for result in parties(work).results:
        np.testing.assert_equal(result, ideal)
    return ideal


@few
@given(unique, unique)
def test_join_finds_exactly_the_valid_matches(parties: Parties, left: list[Row], right: list[Row]) -> None:
    def work(m: Machine) -> list[Any]:
        sides = relation(m, 0, left, "l_"), relation(m, 2, right, "r_")
        found = join(m, *sides, [("l_id", "r_id")], keep=["l_id"])
        return [found.rows, set(found.keys), *opened(m, found)[:2]]

    rows, keys, valid, columns = on_both(parties, work)
    assert rows == min(len(left), len(right))
    assert keys == {"l_id", "l_g", "r_g"}
    theirs = {r[0]: r for r in right if r[2]}
    expected = {(r[0], r[1], theirs[r[0]][1]) for r in left if r[2] and r[0] in theirs}
    count = int(valid.sum())
    assert list(valid) == [1] * count + [0] * (rows - count)
    names = ("l_key", "l_value", "r_value")
    assert {tuple(int(columns[n][i]) for n in names) for i in range(count)} == expected


@few
@given(table, st.integers(1, 30))
def test_group_aggregates(parties: Parties, rows: list[Row], bound: int) -> None:
    def work(m: Machine) -> list[Any]:
        return opened(m, group(m, relation(m, 1, rows), ["g"], AGGREGATES, bound))

    valid, columns, keys = on_both(parties, work)
    present = sorted({r[0] % 4 for r in rows if r[2]})[:bound]
    assert len(valid) == min(bound, max(len(rows), 1))
    assert list(valid) == [1] * len(present) + [0] * (len(valid) - len(present))
    assert [int(k) for k in keys["g"][0][: len(present)]] == present
    for k, code in enumerate(present):
        members = [r for r in rows if r[2] and r[0] % 4 == code]
        check_group(columns, k, members)
    for values in columns.values():
        assert not values[len(present) :].any()


def check_group(columns: dict[str, Any], k: int, members: list[Row]) -> None:
    known = [r for r in members if r[3]]
    assert columns["rows"][k] == len(members)
    assert columns["known"][k] == len(known)
    assert columns["total"][k] == sum(r[1] for r in members)
    assert columns["known_total"][k] == sum(r[1] for r in known)
    assert columns["lowest"][k] == min((r[1] for r in members), default=EMPTY)
    assert columns["highest"][k] == max((r[1] for r in known), default=-EMPTY)


@few
@given(table)
def test_one_group_of_everything(parties: Parties, rows: list[Row]) -> None:
    def work(m: Machine) -> list[Any]:
        return opened(m, group(m, relation(m, 1, rows), [], AGGREGATES, 1))

    valid, columns, keys = on_both(parties, work)
    assert list(valid) == [1]
    assert keys == {}
    check_group(columns, 0, [r for r in rows if r[2]])


def test_group_by_two_keys_without_aggregates(parties: Parties) -> None:
    rows = [(k, 0, 1, 1) for k in (3, 9, 3, 17, 9, 40)]

    def work(m: Machine) -> list[Any]:
        return opened(m, group(m, relation(m, 0, rows), ["g", "id"], [], 10))

    valid, columns, keys = on_both(parties, work)
    assert columns == {}
    assert list(valid) == [1, 1, 1, 1, 0, 0]
    assert list(keys["g"][0][:4]) == [0, 1, 1, 3]


@few
@given(table)
def test_filter_then_join_then_group(parties: Parties, rows: list[Row]) -> None:
    once = list({r[0]: r for r in rows}.values())

    def work(m: Machine) -> list[Any]:
        left, right = relation(m, 0, once, "l_"), relation(m, 1, once[::-1], "r_")
        kept = filter_rows(m, left, m.less_than(left.columns["l_value"], 100))
        found = join(m, kept, right, [("l_id", "r_id")])
        return opened(m, group(m, found, ["r_g"], [Aggregate("n", "count"), Aggregate("s", "sum", "r_value")], 4))

    valid, columns, _ = on_both(parties, work)
    members = [r for r in once if r[2] and r[1] < 100]
    assert int(valid.sum()) == len({r[0] % 4 for r in members})
    assert int(columns["n"].sum()) == len(members)
    assert int(columns["s"].sum()) == sum(r[1] for r in members)


def test_wrong_relations_are_refused() -> None:
    m = Plain()
    one = relation(m, 0, [(1, 2, 1, 1)], "l_")
    two = relation(m, 0, [(1, 2, 1, 1)] * 2, "r_")
    violations: list[Callable[[], Any]] = [
        lambda: Relation(one.columns, two.keys, one.valid),
        lambda: join(m, one, two, []),
        lambda: join(m, one, one, [("l_id", "l_id")]),
        lambda: join(m, one, two, [("l_id", "r_g")]),
        lambda: join(m, one, two, [("l_id", "nothing")]),
        lambda: group(m, one, ["l_g"], [], 0),
        lambda: group(m, one, ["nothing"], [], 1),
        lambda: group(m, one, [], [Aggregate("n", "count", "l_value")], 1),
        lambda: group(m, one, [], [Aggregate("n", "sum")], 1),
        lambda: group(m, one, [], [Aggregate("n", "sum", "nothing")], 1),
    ]
    for violate in violations:
        with pytest.raises(BadInput):
            violate()
