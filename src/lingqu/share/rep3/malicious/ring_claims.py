"""What a party's products claim, as sums of products of what the two verifiers share.

In a product, prover P_i sends z_i = x_i y_i + x_i y_{i+1} + x_{i+1} y_i + draw(k_i) - draw(k_{i+1}) to P_{i-1}. The
verifier P_{i-1}, the first, knows component i of everything, and P_{i+1}, the second, component i + 1. So the claim is
(x_i + x_{i+1}) (y_i + y_{i+1}) = c1 + c2 modulo 2^64, c1 = z_i - draw(k_i) known to the first verifier and
c2 = draw(k_{i+1}) + x_{i+1} y_{i+1} to the second. Of every claim below: the factors are sums of a share of the first
verifier and one of the second, or what one of them knows alone; outputs are numbered, and a claim's left factors are
weighed by the weights of their outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.rep3.session import Parts

COMBINATIONS = 48
"""Binary weight vectors; a wrong result survives one of them with probability at most 1/2."""

PAIRS = 116
"""Pairs of combinations of a product's rows and columns; a wrong one survives each with probability at most 3/4."""

Reading = tuple[Words, tuple[int, int] | None]
"""Words, or (number of a bit, value) of a bit of each that is read as 0 or the value."""
Weights = Callable[[int], Words]
"""Draws public weight words, 48 bits of each used."""
Order = NDArray[np.uint32]


def whole(words: Words) -> Reading:
    """All of the words."""
    return words, None


def bit(words: Words, at: int, value: int = 1) -> Reading:
    """One bit of every word, times a value modulo 2**64."""
    return words, (at, value % (1 << 64))


@dataclass(frozen=True)
class Side:
    """Factors as one party knows them: the sum of what is read, of both shares at the prover, and 0 where nothing is.

    length: of the vector.  weights: of the outputs.  repeat: words that one output has before the next; see
    _core.ring_products.
    """

    length: int
    readings: tuple[Reading, ...]
    weights: Words | None = None
    repeat: int = 1


class Role(Enum):
    """A party's part in the proof of one prover."""

    PROVER = 0
    FIRST = 1
    SECOND = 2


class Claim(Protocol):
    """Outputs that a prover claims; what the methods need is there at the roles that call them."""

    @property
    def outputs(self) -> int:
        """Numbered relations modulo 2^64."""

    def by(self, prover: int) -> bool:
        """Whether this prover claims it."""

    def lengths(self) -> tuple[int, ...]:
        """Lengths of its pairs of factors."""

    def quotients(self, weights: Words) -> Words:
        """At the prover: for each combination the sum of the picked (sum - c1 - c2) / 2^64, two words each."""

    def left(self, role: Role, weights: Words) -> list[Side]:
        """The weighed left factors."""

    def right(self, role: Role) -> list[Side]:
        """The right factors."""

    def known(self, role: Role, prime: int, weights: Words) -> int:
        """At a verifier: the weighed sum of its summands of the outputs."""


@dataclass(frozen=True)
class Products:
    """Every output the sum of `terms` products, claimed by all three parties.

    x, y: flat components.  received: component i + 1 of the result.  masks: what this party drew under its two keys.
    strided: output t sums the products t, t + outputs, ...; else those from terms * t on.
    """

    x: Parts
    y: Parts
    received: Words
    masks: Parts
    strided: bool = False

    @property
    def outputs(self) -> int:
        return len(self.received)

    @property
    def _terms(self) -> int:
        return len(self.x[0]) // max(self.outputs, 1)

    def by(self, prover: int) -> bool:
        return True

    def lengths(self) -> tuple[int, ...]:
        return (len(self.x[0]),)

    def quotients(self, weights: Words) -> Words:
        return _core.ring_quotients(self.x, self.y, self.masks[1], weights, self.strided)

    def _side(self, role: Role, parts: Parts, weights: Words | None = None, repeat: int = 1) -> list[Side]:
        known = {Role.PROVER: parts, Role.FIRST: parts[1:], Role.SECOND: parts[:1]}[role]
        return [Side(len(parts[0]), tuple(whole(part) for part in known), weights, repeat)]

    def left(self, role: Role, weights: Words) -> list[Side]:
        return self._side(role, self.x, weights, 1 if self.strided else max(self._terms, 1))

    def right(self, role: Role) -> list[Side]:
        return self._side(role, self.y)

    def known(self, role: Role, prime: int, weights: Words) -> int:
        if role is Role.FIRST:
            return _core.ring_weighed_sum(prime, self.received, weights, self.masks[1])
        if self._terms == 1:
            return _core.ring_weighed_sum(prime, self.masks[0], weights, None, (self.x[0], self.y[0]))
        shape = (self._terms, self.outputs) if self.strided else (self.outputs, self._terms)
        own = np.add.reduce((self.x[0] * self.y[0]).reshape(shape), axis=0 if self.strided else 1)
        return _core.ring_weighed_sum(prime, self.masks[0] + own, weights)


@dataclass(frozen=True)
class Matrices:
    """A matrix product x @ y, flat, of sizes (rows, inner, columns), claimed by all three parties.

    turned: x lies by columns.
    """

    x: Parts
    y: Parts
    received: Words
    masks: Parts
    sizes: tuple[int, int, int]
    turned: bool

    @property
    def outputs(self) -> int:
        return len(self.received)

    def reduced(self, weights: Weights) -> Products:
        """116 inner products of what is left: 48 random binary combinations of x's rows and 48 of y's columns, where
        there are more, and of these a random combination of rows with one of columns for each; or all, if they are few.

        A wrong product has 48 rows and columns that are right with probability at most 2**-47. A wrong table of these
        is right under one combination of either with probability at most 3/4, under 116 pairs with at most 2**-48.
        Source: Freivalds (1977), on both sides.
        """
        rows, _, columns = self.sizes
        above = weights(rows) if rows > COMBINATIONS else None
        beside = weights(columns) if columns > COMBINATIONS else None
        down, across = min(rows, COMBINATIONS), min(columns, COMBINATIONS)
        few = down * across <= PAIRS
        pairs: _Pairs | _Every = _Every(down, across) if few else _Pairs.drawn(down, across, weights)

        def of_rows(table: Words) -> Words:
            """A table's rows, combined where there are many."""
            return table if above is None else _core.ring_combine(table, above, False)

        def of_columns(table: Words, width: int, picks: Words | None) -> Words:
            """A table's columns, combined where there are many, as rows."""
            return _turned(table, width) if picks is None else _core.ring_combine(table, picks, True)

        def left(x: Words) -> Words:
            return pairs.left(of_columns(x, rows, above) if self.turned else of_rows(x))

        def right(y: Words) -> Words:
            return pairs.right(of_columns(y, columns, beside))

        def both(z: Words) -> Words:
            return pairs.both(of_columns(of_rows(z), columns, beside))

        x, y, masks = ((f(pair[0]), f(pair[1])) for f, pair in ((left, self.x), (right, self.y), (both, self.masks)))
        return Products(x, y, both(self.received), masks)


@dataclass(frozen=True)
class _Pairs:
    """Combinations of one table's rows, each with one of another's: 116 times.

    down: the first table's rows.  above, beside: of every row of the two the pairs that pick it, 48 to a word.
    """

    down: int
    above: list[Words]
    beside: list[Words]

    @classmethod
    def drawn(cls, down: int, across: int, weights: Weights) -> _Pairs:
        """Uniform ones."""
        words = range(-(-PAIRS // COMBINATIONS))
        return cls(down, [weights(down) for _ in words], [weights(across) for _ in words])

    @staticmethod
    def _combined(table: Words, picks: list[Words]) -> Words:
        rows = np.concatenate([_core.ring_combine(table, words, False) for words in picks])
        return rows[: len(rows) // (COMBINATIONS * len(picks)) * PAIRS]

    def left(self, table: Words) -> Words:
        """The first factors' rows."""
        return self._combined(table, self.above)

    def right(self, table: Words) -> Words:
        """The second factors' rows."""
        return self._combined(table, self.beside)

    def both(self, table: Words) -> Words:
        """Of a table of `across` rows of `down` words, what belongs to each pair."""
        rows = self._combined(table, self.beside).reshape(PAIRS, self.down)
        identity = np.eye(self.down, dtype=np.uint64).reshape(-1)
        total: Words = np.add.reduce(rows * self._combined(identity, self.above).reshape(PAIRS, self.down), axis=1)
        return total


@dataclass(frozen=True)
class _Every:
    """All rows of one table with all of another."""

    down: int
    across: int

    def left(self, table: Words) -> Words:
        """As _Pairs.left."""
        return np.repeat(table.reshape(self.down, -1), self.across, axis=0).reshape(-1)

    def right(self, table: Words) -> Words:
        """As _Pairs.right."""
        return np.tile(table, self.down)

    def both(self, table: Words) -> Words:
        """As _Pairs.both."""
        return _turned(table, self.down)


def _turned(table: Words, columns: int) -> Words:
    """A flat matrix by columns."""
    return np.ascontiguousarray(table.reshape(-1, columns).T).reshape(-1) if columns else table


@dataclass(frozen=True)
class Single:
    """Every output the sum of products of two words, claimed by one prover: output t sums t, t + outputs, ... of all.

    The first verifier knows the left factors, the second the right ones, each a summand; see RingProofs.single.
    """

    prover: int
    lefts: Sequence[Reading] | None
    rights: Sequence[Reading] | None
    summand: Words

    @property
    def outputs(self) -> int:
        return len(self.summand)

    def by(self, prover: int) -> bool:
        return prover == self.prover

    def lengths(self) -> tuple[int, ...]:
        some = self.lefts or self.rights or ()
        return tuple(len(words) for words, _ in some)

    def quotients(self, weights: Words) -> Words:
        assert self.lefts is not None
        assert self.rights is not None
        return _core.ring_single_quotients(self.lefts, self.rights, self.summand, weights)

    def left(self, role: Role, weights: Words) -> list[Side]:
        if self.lefts is None:
            return [Side(length, ()) for length in self.lengths()]
        return [Side(len(reading[0]), (reading,), weights) for reading in self.lefts]

    def right(self, role: Role) -> list[Side]:
        if self.rights is None:
            return [Side(length, ()) for length in self.lengths()]
        return [Side(len(reading[0]), (reading,)) for reading in self.rights]

    def known(self, role: Role, prime: int, weights: Words) -> int:
        return _core.ring_weighed_sum(prime, self.summand, weights)


@dataclass(frozen=True)
class Moved:
    """words[order[t], c] = known1[t, c] + known2[t, c], rows of `columns` words, claimed by one prover.

    The prover knows words and order, and the second verifier's summand as `summand`. `order_at` says which verifier
    knows the order, a permutation of the rows; the other knows the words. The weights, moved back, are the left
    factors. A verifier's summand is `summand`, `other` at the prover the first verifier's. scattered: weights that
    moved in this check, by weights and order.
    """

    prover: int
    order_at: Role
    rows: int
    columns: int
    order: Order | None
    words: Words | None
    summand: Words
    other: Words | None
    scattered: dict[tuple[int, int], Words]

    @property
    def outputs(self) -> int:
        return self.rows * self.columns

    @property
    def order_at_party(self) -> int:
        """The verifier that knows the order."""
        return (self.prover + (1 if self.order_at is Role.SECOND else 2)) % 3

    def by(self, prover: int) -> bool:
        return prover == self.prover

    def lengths(self) -> tuple[int, ...]:
        return (self.outputs,)

    def quotients(self, weights: Words) -> Words:
        assert self.other is not None
        return _core.ring_word_quotients(self.other + self.summand, self.summand, weights)

    def _ordered(self, weights: Words) -> list[Side]:
        if self.order is None:
            return [Side(self.outputs, ())]
        both = id(weights), id(self.order)
        if both not in self.scattered:
            self.scattered[both] = _core.scatter(weights, self.order, self.columns)
        return [Side(self.outputs, (whole(self.scattered[both]),))]

    def _data(self) -> list[Side]:
        return [Side(self.outputs, () if self.words is None else (whole(self.words),))]

    def left(self, role: Role, weights: Words) -> list[Side]:
        return self._ordered(weights)

    def right(self, role: Role) -> list[Side]:
        return self._data()

    def known(self, role: Role, prime: int, weights: Words) -> int:
        return _core.ring_weighed_sum(prime, self.summand, weights)
