"""Parties take turns in sending more than the others, and long operations are divided between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingqu.share import Machine, Shared
from lingqu.share.functions import exp
from lingqu.share.outline import Outline
from lingqu.share.rep3 import turns
from lingqu.share.rep3.tally import Tally
from lingqu.share.rep3.turns import DIVIDED, PATIENCE, TOGETHER, Turns, side_by_side

ROWS = 3000
ONE = 1 << 20


@given(st.lists(st.tuples(st.integers(0, 1 << 21), st.integers(-2, 40)), max_size=12))
def test_parts_cover_all_rows_and_long_operations_leave_the_parties_level(steps: list[tuple[int, int]]) -> None:
    turns = Turns()
    sent = [0, 0, 0]
    for count, more in steps:
        ahead = max(sent) - min(sent)
        parts = turns.divide(count, more)
        at = 0
        for party, rows in parts:
            assert rows.start == at
            assert (rows.stop - rows.start) % TOGETHER == 0 or party == parts[0][0]
            sent[party] += (rows.stop - rows.start) * more
            at = rows.stop
        assert at == count
        assert len({party for party, _ in parts}) == len(parts)
        if count * more >= DIVIDED:
            assert max(sent) - min(sent) <= max(ahead - count * more // 2, 0) + 3 * TOGETHER * more


def test_the_first_party_stays_while_messages_are_small() -> None:
    turns = Turns()
    assert [turns.take(PATIENCE // 2) for _ in range(5)] == [0, 0, 1, 1, 2]


def test_all_parts_send_before_any_waits() -> None:
    seen = []

    def part(name: str, rounds: int) -> turns.Steps[str]:
        for i in range(rounds):
            seen.append(f"{name}{i}")
            yield
        return name

    assert side_by_side([part("a", 1), part("b", 3), part("c", 0)]) == ["a", "b", "c"]
    assert seen == ["a0", "b0", "b1", "b2"]


def operands(m: Machine) -> tuple[Shared, Any]:
    draw = np.random.default_rng(5)
    real, flags = draw.integers(-20 * ONE, 20 * ONE, ROWS), draw.integers(0, 2, (9, ROWS))
    x = m.input(0, real if m.owns(0) else None, (ROWS,))
    return x, m.input_bits(1, flags if m.owns(1) else None, (9, ROWS), 1)


WEIGHTS = np.arange(18, dtype=np.int64).reshape(2, 9) - 5
LONG: dict[str, Callable[[Machine, Shared, Any], Shared]] = {
    "truncate": lambda m, x, bits: m.truncate(x, 7),
    "weigh": lambda m, x, bits: m.weigh(bits, WEIGHTS),
    "select": lambda m, x, bits: m.select(bits[0], x, m.scale(x, 3)),
    "select by fewer bits": lambda m, x, bits: m.select(bits[0], m.stack([x, x]), m.scale(m.stack([x, x]), 3)),
    "less_than": lambda m, x, bits: m.inject(m.less_than(x, m.scale(x, -1))),
    "exp": lambda m, x, bits: exp(m, m.scale(x, 1)),
}


@pytest.mark.parametrize("name", LONG)
def test_divided_operations_give_and_cost_the_same(rep3: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "DIVIDED", 1 << 10)
    monkeypatch.setattr(turns, "PATIENCE", 1 << 8)
    repeat = 2

    def work(m: Machine, value: tuple[Shared, Any]) -> list[Any]:
        found = [LONG[name](m, *value) for _ in range(repeat)]
        return [m.reveal(one) for one in found]

    run = rep3(work, operands)
    twin = rep3.twin()
    wanted = twin.reveal(LONG[name](twin, *operands(twin)))
    for result in run.results:
        for one in result:
            off = np.abs(one.astype(np.float64) - wanted)
            assert np.all(off <= (1e-5 * np.abs(wanted) + 1 if name == "exp" else name == "truncate"))

    tally = Tally()
    shapes = operands(Outline(Tally(), 3))
    for _ in range(repeat):
        LONG[name](Outline(tally, 3), *shapes)
    assert run.bytes == tally.cost.bytes + repeat * 24 * wanted.size


def test_an_exponential_loads_all_parties_alike(rep3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "DIVIDED", 1 << 10)
    monkeypatch.setattr(turns, "PATIENCE", 1 << 8)
    run = rep3(lambda m, value: exp(m, value[0]), operands)
    sent = [sum(len(message.data) for message in run.sent if message.sender == party) for party in range(3)]
    assert max(sent) < 1.01 * min(sent)

    tally = Tally()
    exp(Outline(tally, 3), operands(Outline(Tally(), 3))[0])
    assert (run.rounds, run.bytes) == (tally.cost.rounds, tally.cost.bytes)
