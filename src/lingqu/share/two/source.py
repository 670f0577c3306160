"""Correlations that two parties make alone: transfers from the room `ot`, products from lattices."""

from __future__ import annotations

from lingqu import ot
from lingqu.kinds.channel import Channel
from lingqu.share.api import Words
from lingqu.share.two.needs import LANES, Transfers
from lingqu.share.two.products import Products

Triple = tuple[Words, Words, Words]


class Made:
    """One party's side; both call the same methods with the same sizes in the same order.  Semi-honest."""

    def __init__(self, channel: Channel) -> None:
        """Run the base transfers: `ot.costs.setup_cost()`; lattice keys are made with the first product."""
        self._channel = channel
        self._correlations = ot.connect(channel)
        self._products: Products | None = None

    def __repr__(self) -> str:
        return f"Made(party={self._channel.party})"

    def prepare(self, counts: tuple[int, int]) -> None:
        """As Source.prepare: this party's extensions are sent before it waits for the other's.  1 round."""
        party = self._channel.party
        self._correlations.sending.prepare(counts[party])
        self._correlations.receiving.prepare(counts[1 - party])

    def transfers(self, sender: int, count: int) -> Transfers:
        """As Source.transfers.  Cost: `ot.costs.correlation_cost`."""
        assert count % LANES == 0
        if sender == self._channel.party:
            sending = self._correlations.sending
            return Transfers(sending.spans(count), (int(sending.delta[0]), int(sending.delta[1])))
        return Transfers(self._correlations.receiving.spans(count), None)

    def triples(self, count: int) -> Triple:
        """As Source.triples.  Cost: `products.triples_cost`."""
        return self._multiplier().triples(count)

    def matrix_triple(self, rows: int, inner: int, columns: int) -> Triple:
        """As Source.matrix_triple.  Cost: `products.matrix_triple_cost`."""
        a, b, c = self._multiplier().matrix_triple(rows, inner, columns)
        return a.reshape(-1), b.reshape(-1), c.reshape(-1)

    def _multiplier(self) -> Products:
        if self._products is None:
            self._products = Products(self._channel)
        return self._products
