"""Wide integers and exact integer operations against Python's, on the twin and on every protocol, edges included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.kinds.errors import BadInput, RangeError
from lingqu.share import (
    Machine,
    bitwise,
    bitwise_not,
    divide_exact,
    divide_or_null,
    shift_left,
    shift_right,
    whole_power,
    wide,
)
from lingqu.share.outline import Outline, shaped
from lingqu.share.plain import Plain
from lingqu.share.rep3.tally import Tally

Parties = Callable[..., Any]
EDGES = [0, 1, -1, 2**63 - 1, -(2**63), 2**62, -(2**62), 2**60, -(2**60), 2**30, -(2**30), 2**31 - 1, 5 - 2**31]
whole = st.sampled_from(EDGES) | st.integers(-(2**63), 2**63 - 1)
pairs = st.lists(st.tuples(whole, whole), min_size=1, max_size=12)
few = settings(max_examples=5, deadline=None)
many = settings(max_examples=30, deadline=None)


def given_ints(m: Machine, values: Any) -> Any:
    array = np.array(values, np.int64)
    return m.input(0, array if m.owns(0) else None, array.shape)


def arithmetic(m: Machine, rows: list[tuple[int, int]]) -> list[Any]:
    x, y = (wide.widen(m, given_ints(m, [r[i] for r in rows]), 1 << 64) for i in (0, 1))
    found = [
        wide.reveal(m, wide.multiply(m, x, y)),
        wide.reveal(m, wide.subtract(m, x, y)),
        wide.reveal(m, wide.total(m, wide.add(m, x, y))),
        wide.reveal(m, wide.scale(m, x, -(10**15))),
    ]
    bits = [m.reveal_bits(wide.less_than(m, x, y)), m.reveal_bits(wide.equal(m, x, y))]
    return [np.asarray(f).tolist() for f in (*found, *bits)]


def in_python(rows: list[tuple[int, int]]) -> list[Any]:
    return [
        [a * b for a, b in rows],
        [a - b for a, b in rows],
        sum(a + b for a, b in rows),
        [-a * 10**15 for a, _ in rows],
        [int(a < b) for a, b in rows],
        [int(a == b) for a, b in rows],
    ]


EDGE_PAIRS = [(a, b) for a in EDGES for b in EDGES if abs(a * b) < wide.WIDE_LIMIT]


@many
@given(pairs)
def test_wide_arithmetic(rows: list[tuple[int, int]]) -> None:
    rows = [r for r in rows if abs(r[0] * r[1]) < wide.WIDE_LIMIT]
    if rows:
        assert arithmetic(Plain(), rows) == in_python(rows)


def test_wide_edges_on_both(parties: Parties) -> None:
    wanted = in_python(EDGE_PAIRS)
    assert arithmetic(Plain(), EDGE_PAIRS) == wanted
    for result in parties(lambda m: arithmetic(m, EDGE_PAIRS)).results:
        assert result == wanted


def test_sums_of_any_length_and_narrowing() -> None:
    m = Plain()
    x = wide.widen(m, m.constant(np.array([-(2**63), 2**63 - 1], np.int64)), 1 << 64)
    rows = 1 << 31
    long = Outline(Tally(), 3)
    summed = wide.total(long, wide.widen(long, shaped((rows,)), 1 << 64))
    assert max(summed.bounds) <= wide.ROOM
    assert summed.magnitude >= rows << 63
    least = wide.widen(m, m.constant(np.array([-(2**63)], np.int64)), 1 << 64)
    assert list(wide.reveal(m, wide.scale(m, least, rows))) == [-(2**94)]  # type: ignore[arg-type]
    large = wide.multiply(m, x, wide.constant(m, 10**9, (2,)))
    small = wide.subtract(m, large, wide.scale(m, x, 10**9 - 1))  # x itself again, by way of 93 bits
    shifted = wide.add(m, small, wide.constant(m, 1, (2,)))
    assert list(wide.reveal(m, shifted)) == [1 - 2**63, 2**63]  # type: ignore[arg-type]
    near = wide.subtract(m, small, x)
    assert m.reveal(wide.narrow(m, near, 1)).tolist() == [0, 0]  # type: ignore[union-attr]
    with pytest.raises(RangeError):
        wide.narrow(m, small, 1 << 63)
    with pytest.raises(RangeError):
        wide.constant(m, 1 << 126, ())
    with pytest.raises(RangeError):
        wide.limbs_needed(1 << 100, 1 << 27)
    assert [wide.limbs_needed(2**b, 1 << 20) for b in (20, 50, 62, 90, 104)] == [1, 2, 2, 3, 4]


divisors = st.sampled_from([1, -1, 2, 3, 2**30, -(2**30), 2**30 - 1, 10**9]) | st.integers(1, 2**30)
dividends = st.sampled_from([0, 1, -1, 2**59 - 1, 1 - 2**59]) | st.integers(1 - 2**59, 2**59 - 1)
divisions = st.lists(st.tuples(dividends, divisors), min_size=1, max_size=12)


def towards_zero(x: int, y: int) -> tuple[int, int]:
    size = abs(x) // abs(y)
    return (size, x - size * y) if (x < 0) == (y < 0) else (-size, x + size * y)


def divided(m: Machine, rows: list[tuple[int, int]]) -> list[Any]:
    x, y = (given_ints(m, [r[i] for r in rows]) for i in (0, 1))
    found = [*divide_exact(m, x, y), *divide_exact(m, x, y, "truncate"), *divide_or_null(m, x, m.scale(y, 0))]
    return [np.asarray(m.reveal(f)).tolist() for f in found]


def check_division(found: list[Any], rows: list[tuple[int, int]]) -> None:
    assert list(zip(found[0], found[1], strict=True)) == [divmod(a, b) for a, b in rows]
    assert list(zip(found[2], found[3], strict=True)) == [towards_zero(a, b) for a, b in rows]
    assert found[4:] == [[0] * len(rows)] * 3


@many
@given(divisions)
def test_division_by_a_shared_integer(rows: list[tuple[int, int]]) -> None:
    check_division(divided(Plain(), rows), rows)


def test_division_on_three_parties(parties: Parties) -> None:
    draw = np.random.default_rng(5)
    rows = [(a, b) for a in (0, -1, 2**59 - 1, 1 - 2**59, 10**15) for b in (1, -1, 3, -(2**30), 2**30 - 1, 65537)]
    rows += [(int(draw.integers(1 - 2**59, 2**59)), int(draw.integers(1, 2**30))) for _ in range(200)]
    for result in parties(lambda m: divided(m, rows)).results:
        check_division(result, rows)


@few
@given(st.lists(st.tuples(whole, whole), min_size=1, max_size=6), st.integers(0, 61))
def test_bits_and_shifts(parties: Parties, rows: list[tuple[int, int]], shift: int) -> None:
    small = [a >> 2 for a, _ in rows]

    def work(m: Machine) -> list[Any]:
        x, y = (given_ints(m, [r[i] for r in rows]) for i in (0, 1))
        found = [bitwise(m, op, x, y) for op in ("and", "or", "xor")]
        found += [bitwise_not(m, x), shift_right(m, given_ints(m, small), shift), shift_left(m, x, shift)]
        return [np.asarray(m.reveal(f)).tolist() for f in found]

    wanted = [[a & b for a, b in rows], [a | b for a, b in rows], [a ^ b for a, b in rows], [~a for a, _ in rows]]
    wanted += [[a >> shift for a in small], [((a << shift) + 2**63) % 2**64 - 2**63 for a, _ in rows]]
    for result in (work(Plain()), *parties(work).results):
        assert result == wanted


def test_powers_and_refusals() -> None:
    m = Plain()
    x = m.constant(np.array([-3, 0, 2, 7], np.int64))
    for exponent in (0, 1, 5, 22):
        assert np.asarray(m.reveal(whole_power(m, x, exponent))).tolist() == [v**exponent for v in (-3, 0, 2, 7)]
    violations: list[Callable[[], Any]] = [
        lambda: whole_power(m, x, 63),
        lambda: shift_left(m, x, 64),
        lambda: shift_right(m, x, -1),
        lambda: divide_exact(m, x, x, bits=60),
    ]
    for violate in violations:
        with pytest.raises(BadInput):
            violate()
    with pytest.raises(RangeError):
        divide_exact(m, m.constant(np.array([1 << 59])), m.constant(np.array([1])))
