"""Correlations from one seed that both parties know: for tests of what uses them, never for anything else."""

from __future__ import annotations

import numpy as np

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.two.needs import Transfers

Triple = tuple[Words, Words, Words]


class Dealer:
    """One party's half of what a dealer of that seed gives out."""

    def __init__(self, party: int, seed: int) -> None:
        self.party = party
        self.random = np.random.default_rng(seed)
        self.delta = [(int(a) | 1, int(b)) for a, b in self._words(4).reshape(2, 2)]

    def _words(self, count: int) -> Words:
        return self.random.integers(0, 1 << 64, count, dtype=np.uint64)

    def prepare(self, counts: tuple[int, int]) -> None:
        """As Source.prepare: nothing is to be made."""

    def transfers(self, sender: int, count: int) -> Transfers:
        """As Source.transfers."""
        blocks, choices = self._words(2 * count).reshape(count, 2), self._words(count // 64)
        blocks[:, 0] &= ~np.uint64(1)
        delta = self.delta[sender]
        if self.party == sender:
            return Transfers([blocks.reshape(-1)], delta)
        bits = _core.unpack(choices, count, 1)
        shift = np.array(delta, np.uint64)[None] * bits[:, None]
        return Transfers([(blocks ^ shift).reshape(-1)], None)

    def _shares(self, values: Words) -> Words:
        mask = self._words(values.size).reshape(values.shape)
        return mask if self.party else values - mask

    def triples(self, count: int) -> Triple:
        """As Source.triples."""
        a, b = self._words(count), self._words(count)
        return self._shares(a), self._shares(b), self._shares(a * b)

    def matrix_triple(self, rows: int, inner: int, columns: int) -> Triple:
        """As Source.matrix_triple."""
        a, b = self._words(rows * inner).reshape(rows, inner), self._words(inner * columns).reshape(inner, columns)
        return self._shares(a).reshape(-1), self._shares(b).reshape(-1), self._shares(a @ b).reshape(-1)
