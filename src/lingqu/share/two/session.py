"""One party's side of a session: channel, the pair's key, own randomness, correlations.

A secret is x_0 + x_1 modulo 2^64 (or the XOR of words); party i holds x_i.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter

from lingqu._core import Prg
from lingqu.kinds.channel import Channel, Tag
from lingqu.share.supplies import Preparation
from lingqu.share.two.link import KEY_BYTES, Link
from lingqu.share.two.needs import Need, Piece, Source
from lingqu.share.two.stock import Stock


class Session(Link):
    """A party's keys, channel and stock. Both parties do the same in the same order, whatever the data."""

    def __init__(self, channel: Channel, pair: Prg, source: Source) -> None:
        super().__init__(channel)
        self.pair = pair
        self.stock = Stock(self, source)
        self.preparation = Preparation()
        self.ahead = Preparation()

    def __repr__(self) -> str:
        return f"Session(party={self.party})"

    def take(self, need: Need, units: int) -> Piece:
        """Correlations from the stock; what it lacks is made now and counted as preparation."""
        with self._preparing():
            return self.stock.take(need, units)

    def expect(self, demand: Mapping[Need, int]) -> None:
        """Correlations that are about to be taken: the transfers that the stock lacks for all of them, in 1 round."""
        with self._preparing():
            self.stock.expect(demand)

    def fill(self, demand: Mapping[Need, int]) -> None:
        """Make correlations ahead."""
        with self._preparing():
            self.stock.fill(demand)

    @contextmanager
    def _preparing(self) -> Iterator[None]:
        traffic = self.channel.traffic
        sent, rounds, start = traffic.sent, traffic.rounds, perf_counter()
        yield
        self.preparation.sent += traffic.sent - sent
        self.preparation.rounds += traffic.rounds - rounds
        self.preparation.seconds += perf_counter() - start


def pair_key(channel: Channel) -> Prg:
    """The generator that both parties draw others' shares of inputs from: party 0 chooses its key. 16 bytes."""
    if channel.party == 0:
        key = os.urandom(KEY_BYTES)
        channel.send(1, key, Tag.SEED)
    else:
        key = bytes(channel.receive(0, KEY_BYTES, Tag.SEED))
    return Prg(key)
