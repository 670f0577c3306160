"""Correlated randomness made ahead, one kind beside the other, each piece used once.

Correlated transfers become, without any message, what operations consume: strings (a random bit times a random string,
both shared), scaled words (a random bit of one party times a random word of the other), and the keys of lookups.
Products of ring elements come from a source of triples.  They live in this process's memory, or in a store (store.py):
a crash wastes them and cannot repeat them.  Both parties take the same pieces in the same order, by public sizes alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import numpy as np

from lingqu import _core
from lingqu.kinds.errors import BadInput
from lingqu.share.api import Words
from lingqu.share.two.link import Link
from lingqu.share.two.needs import (
    CHOICES,
    DIGIT,
    LANES,
    MOST_BYTES,
    Need,
    Piece,
    Source,
    batches,
    size_of,
    transfers_of,
)
from lingqu.share.two.networks import make_order


class Stock:
    """One party's correlations; `take` makes what is missing, `fill` makes it ahead."""

    def __init__(self, link: Link, source: Source) -> None:
        self.link = link
        self.source = source
        self._pieces: dict[Need, list[Piece]] = {}
        self._later: deque[Callable[[], Mapping[Need, list[Piece]]]] = deque()

    def __repr__(self) -> str:
        return f"Stock(kinds={len(self._pieces)})"

    def held(self, need: Need) -> int:
        """Units of a kind that are there."""
        return sum(piece[0].shape[-1] for piece in self._pieces.get(need, ()))

    def fill(self, demand: Mapping[Need, int]) -> None:
        """Make a demand ahead, beside what is there; BadInput when the stock would pass MOST_BYTES."""
        if size_of({need: self.held(need) for need in self._pieces}) + size_of(demand) > MOST_BYTES:
            raise BadInput("The stock of correlations would pass 2 GiB.", "Prepare for fewer operations at a time.")
        self.source.prepare(transfers_of(demand))
        for need, units in demand.items():
            self._make(need, units)

    def expect(self, demand: Mapping[Need, int]) -> None:
        """So much will be taken: the transfers of what is missing are made ready together, both directions at once."""
        while self._later and any(self.held(need) < units for need, units in demand.items()):
            self.take_up(self._later.popleft()())
        missing = {need: max(units - self.held(need), 0) for need, units in demand.items()}
        self.source.prepare(transfers_of(missing))

    def give_up(self) -> dict[Need, list[Piece]]:
        """Everything that is there, which is then gone from here."""
        held, self._pieces = self._pieces, {}
        return {need: pieces for need, pieces in held.items() if pieces}

    def take_up(self, pieces: Mapping[Need, list[Piece]]) -> None:
        """Add pieces that both parties gave up together, in the same order at both."""
        for need, added in pieces.items():
            self._pieces.setdefault(need, []).extend(added)

    def take_up_later(self, load: Callable[[], Mapping[Need, list[Piece]]]) -> None:
        """Pieces that are loaded, after those of earlier calls, once something is missing; alike at both."""
        self._later.append(load)

    def take(self, need: Need, units: int) -> Piece:
        """So many units, which are then gone."""
        while self._later and self.held(need) < units:
            self.take_up(self._later.popleft()())
        missing = units - self.held(need)
        if missing > 0 or units == 0:
            self._make(need, max(missing, 0))
        taken: list[Piece] = []
        pieces = self._pieces[need]
        while units:
            first = pieces[0]
            size = first[0].shape[-1]
            if size > units:
                pieces[0] = tuple(part[..., units:] for part in first)
                first = tuple(part[..., :units] for part in first)
            else:
                del pieces[0]
            taken.append(first)
            units -= first[0].shape[-1]
        if not taken:
            return tuple(part[..., :0] for part in pieces[0])
        return _joined(taken)

    def _make(self, need: Need, units: int) -> None:
        pieces = self._pieces.setdefault(need, [])
        if need.kind == "matrices":
            pieces.extend(self._matrices(need.sizes) for _ in range(units))
        elif need.kind == "orders":
            pieces.extend(make_order(self.link, self.source, need) for _ in range(units))
        elif need.kind == "triples":
            none = np.zeros(0, np.uint64)
            pieces.append(self.source.triples(batches(units)) if units else (none, none, none))
        else:
            self.source.prepare(need.transfers(units))
            pieces.append(self._strings(need.width, units) if need.kind == "strings" else self._one_way(need, units))

    def _matrices(self, sizes: tuple[int, int, int]) -> Piece:
        m, k, n = sizes
        empty = tuple(np.zeros((count, 1), np.uint64) for count in (m * k, k * n, m * n))
        return empty if 0 in sizes else tuple(part.reshape(-1, 1) for part in self.source.matrix_triple(m, k, n))

    def _one_way(self, need: Need, units: int) -> Piece:
        given = self.source.transfers(need.giver, sum(need.transfers(units)))
        if need.kind == "lookups":
            if given.delta is not None:
                return (_core.lookups_sent(given.rows, given.delta, need.width).reshape(CHOICES, need.width, units),)
            keys, choices = _core.lookups_received(given.rows, need.width)
            return keys.reshape(need.width, units), choices.reshape(DIGIT, units)
        if given.delta is not None:
            zero, one = (words[:units] for words in _core.words_sent(given.rows, given.delta))
            return one - zero, np.negative(zero)
        choices, words = _core.words_received(given.rows)
        return _core.unpack(choices, len(words), 1)[:units], words[:units]

    def _strings(self, width: int, units: int) -> Piece:
        """a = c_0 + c_1, b = (the difference of the hashes) of both; a b from two products of private parts."""
        found: dict[str, Words] = {}
        for sender in (0, 1):
            given = self.source.transfers(sender, LANES * units)
            if given.delta is None:
                found["a"], found["read"] = _core.strings_received(given.rows, width)
            else:
                found["b"], found["kept"] = _core.strings_sent(given.rows, given.delta, width)
        b = found["b"].reshape(width, units)
        return found["a"], b, (found["a"] & b) ^ (found["kept"] ^ found["read"]).reshape(width, units)


def _joined(pieces: list[Piece]) -> Piece:
    """Pieces of one kind one after the other."""
    if len(pieces) == 1:
        return tuple(np.ascontiguousarray(part) for part in pieces[0])
    return tuple(np.concatenate(parts, axis=-1) for parts in zip(*pieces, strict=True))
