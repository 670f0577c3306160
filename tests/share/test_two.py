"""Two parties over correlations that they make themselves: results, exact costs, pieces used once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.share.dealer import Dealer

from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import BadInput, LingquError
from lingqu.net.memory import MemoryChannel, memory_channels
from lingqu.share import Machine
from lingqu.share.outline import Outline
from lingqu.share.plain import Plain
from lingqu.share.two import DECLARATION, Two, connect
from lingqu.share.two.declaration import preparation_cost
from lingqu.share.two.link import Link
from lingqu.share.two.needs import TRIPLES, Need, Transfers, lookups, matrices, scaled, strings
from lingqu.share.two.session import Session, pair_key
from lingqu.share.two.stock import Stock
from lingqu.share.two.tally import TwoTally

X = np.array([0, 1, -1, (1 << 61) - 1, 1 - (1 << 61), 12345, -54321, 1 << 40])
Y = np.array([5, 1, -2, 1 << 60, 1 - (1 << 61), -777, 54321, -3])


def both(work: Callable[[MemoryChannel], Any]) -> list[Any]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, memory_channels(["alpha", "beta"], timeout=30)))


def program(m: Machine, x: Any, y: Any) -> list[Any]:
    shuffled: Any = m.shuffle([x])[0]
    order = m.sort([m.to_bits(x)])
    return [
        m.multiply(x, y),
        m.matmul(x.reshape(2, 4), y.reshape(4, 2)),
        m.truncate(x, 20),
        m.to_shared(m.to_bits(y)),
        m.select(m.less_than(x, y), x, y),
        m.inject(m.equal(x, y)),
        m.apply(order, [y])[0],
        m.sum(shuffled),
        m.sigmoid(m.truncate(x, 25)),
    ]


def on_shapes(m: Outline) -> object:
    return program(m, m.input(0, None, X.shape), m.input(1, None, Y.shape))


@pytest.fixture(scope="module")
def session() -> list[Any]:
    """What both parties saw: results, and the traffic of connecting, preparing and computing."""

    def serve(channel: MemoryChannel) -> Any:
        traffic = [replace(channel.traffic)]
        m = connect(channel)
        traffic.append(replace(channel.traffic))
        m.prepare(on_shapes)
        traffic.append(replace(channel.traffic))
        made = replace(m.preparation)
        x = m.input(0, X if m.owns(0) else None, X.shape)
        y = m.input(1, Y if m.owns(1) else None, Y.shape)
        results = program(m, x, y)
        traffic.append(replace(channel.traffic))
        assert m.preparation.sent == made.sent
        return [m.reveal(result) for result in results], traffic

    return both(serve)


def test_the_results_are_the_twin_s(session: list[Any]) -> None:
    (found, _), (other, _) = session
    ideal = Plain()
    expected = [ideal.reveal(value) for value in program(ideal, ideal.input(0, X, X.shape), ideal.input(0, Y, Y.shape))]
    slack = [0, 0, 1, 0, 0, 0, 0, 0, 12]
    for mine, theirs, exact, most in zip(found, other, expected, slack, strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert np.abs(mine - exact).max() <= most


def spent(session: list[Any], phase: int) -> tuple[int, int]:
    """Rounds and bytes of one phase: connecting, preparing, computing."""
    traffic = [one[1] for one in session]
    rounds = [max(one[at].rounds for one in traffic) for at in (phase, phase + 1)]
    return rounds[1] - rounds[0], sum(one[phase + 1].sent - one[phase].sent for one in traffic)


def test_connecting_and_preparing_cost_what_is_declared(session: list[Any]) -> None:
    declared = DECLARATION.cost("connect", {})
    assert spent(session, 0) == (declared.rounds, declared.bytes)
    prepared = preparation_cost(on_shapes)
    assert spent(session, 1) == (prepared.rounds, prepared.bytes)
    tally = TwoTally()
    on_shapes(Outline(tally, 2))
    assert spent(session, 2)[1] == tally.cost.bytes


class Talking(Dealer):
    """A dealer's correlations for which a message passes each time, as happens when transfers are extended."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(channel.party, 3)
        self.channel = channel

    def transfers(self, sender: int, count: int) -> Transfers:
        if self.channel.party == sender:
            self.channel.send(1 - sender, b"", Tag.BLOCKS)
        else:
            self.channel.receive(sender, 0, Tag.BLOCKS)
        return super().transfers(sender, count)


def test_correlations_may_be_made_at_any_point_of_a_program() -> None:
    """Nothing stays unread while a piece is made: the message that makes it would come after."""

    def serve(channel: MemoryChannel) -> list[Any]:
        m = Two(Session(channel, pair_key(channel), Talking(channel)))
        x = m.input(0, X if m.owns(0) else None, X.shape)
        y = m.input(1, Y if m.owns(1) else None, Y.shape)
        return [m.reveal(result) for result in program(m, x, y)]

    mine, theirs = both(serve)
    np.testing.assert_array_equal(mine[0], X * Y)
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def test_two_parties_are_needed() -> None:
    class Three:
        party, parties = 0, ("alpha", "beta", "gamma")

    with pytest.raises(LingquError):
        connect(Three())  # type: ignore[arg-type]


def stock(channel: Channel) -> Stock:
    return Stock(Link(channel), Dealer(channel.party, 5))


@pytest.mark.parametrize("need", [strings(2), scaled(0), scaled(1), lookups(1, 2), TRIPLES, matrices(2, 3, 4)])
def test_a_piece_is_given_out_once(need: Need) -> None:
    """However the stock is taken, in whole or in parts, no unit comes twice: all of them are random and differ."""

    def serve(channel: MemoryChannel) -> list[Any]:
        mine = stock(channel)
        mine.fill({need: 5})
        return [mine.take(need, units) for units in (1, 3, 0, 2, 4)]

    for taken in both(serve):
        pieces = [np.concatenate([part.reshape(-1) for part in one]) for one in taken if one[0].size]
        sizes = [one[0].shape[-1] for one in taken]
        assert sizes == [1, 3, 0, 2, 4]
        wide = [word for piece in pieces for word in piece if word > 1]
        assert len(set(wide)) == len(wide)


def test_the_stock_is_bounded() -> None:
    def serve(channel: MemoryChannel) -> str:
        with pytest.raises(BadInput) as refused:
            stock(channel).fill({TRIPLES: 1 << 27})
        return str(refused.value)

    assert "2 GiB" in both(serve)[0]


def test_a_machine_shows_no_share() -> None:
    def serve(channel: MemoryChannel) -> list[str]:
        m = connect(channel)
        return [repr(m), repr(m._session), repr(m._session.stock), repr(m._session.stock.source)]

    for shown in both(serve):
        assert all(len(text) < 40 for text in shown)
