"""One prover's statement as an inner product over GF(2^64): who knows what of it, and how a round shrinks it.

Prover P_i, first verifier P_{i-1}, second verifier P_{i+1}.  The first knows u and c1, the second v and c2, the
prover u and v; it shows that <u, v> = c1 + c2.  A round reads u and v as rows of values of polynomials, one polynomial
a column, shares the values of the sum of their products among the verifiers, and evaluates everything at a challenge.
Source: Boneh, Boyle, Corrigan-Gibbs, Gilboa, Ishai (CRYPTO 2019), section 4; Boyle, Gilboa, Ishai, Nof (CCS 2019),
section 4; Li et al. (USENIX Security 2023), section 4, for vectors of which each verifier knows one.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.rep3.session import KEY_BYTES

FIRST_ROWS = 32
"""Rows of the round that takes bits."""
ROWS = 16
"""Rows of a round on field elements, and the most elements of the last round."""
LEAST_CHALLENGE = 256
"""Challenges are none of the points at which polynomials are given."""
Order = NDArray[np.uint32]


def columns_of(words: int) -> int:
    """Words of a row when so many stand in FIRST_ROWS rows."""
    return -(-words // FIRST_ROWS)


def rounds_of(words: int, elements: int) -> list[int]:
    """Rows of each round on so many words of conjunctions and so many elements; the last counts its random row.

    No round where there is nothing to prove.
    """
    rounds = [FIRST_ROWS] * (words > 0)
    elements += 128 * columns_of(words)
    if not elements:
        return []
    while elements > ROWS:
        rounds.append(ROWS)
        elements = -(-elements // ROWS)
    return [*rounds, elements + 1]


def padded(vector: Words, length: int) -> Words:
    """The vector, then zeros up to a length."""
    if len(vector) == length:
        return vector
    whole = np.zeros(length, np.uint64)
    whole[: len(vector)] = vector
    return whole


def challenge(stream: _core.Prg) -> Words:
    """The point of a round, none of those given, and one more element."""
    point = 0
    while point < LEAST_CHALLENGE:
        point = int(stream.words(1)[0])
    return np.concatenate([np.array([point], np.uint64), stream.words(1)])


@dataclass(frozen=True)
class Moved:
    """What one prover says of a table that moved: data[order[row]] = first ^ second in every row of `columns` words.

    The prover knows data and order.  One verifier knows the data, the other (`order_at_first`: the first) the order,
    and each of them a summand, `known`.  What a party does not know is None.
    """

    prover: int
    rows: int
    columns: int
    order_at_first: bool
    order: Order | None
    data: Words | None
    known: Words | None

    @property
    def words(self) -> int:
        """Words of the table."""
        return self.rows * self.columns

    def vectors(self, weights: Words) -> tuple[Words | None, Words | None]:
        """u and v of the moved data's inner product with weights, as far as they are known."""
        turned = None if self.order is None else _core.scatter(weights, self.order, self.columns)
        return (turned, self.data) if self.order_at_first else (self.data, turned)


@dataclass(frozen=True)
class Conjunctions:
    """Many conjunctions as this party knows them: components of the factors in rows, and what it knows as a verifier.

    first: its summand of z as first verifier of the next party; second: as second verifier of the one before.
    """

    x: tuple[Words, Words]
    y: tuple[Words, Words]
    first: Words
    second: Words
    words: int


class Part:
    """A party's part in one prover's proof.

    u_at, v_at: which of its components of the factors is in u and which in v; None where it does not know the vector.
    """

    def __init__(self, bits: Conjunctions, moved: list[Moved], u_at: int | None, v_at: int | None) -> None:
        self.rounds = rounds_of(bits.words, sum(one.words for one in moved))
        self.share = 0  # of the claim, at a verifier
        self._bits = bits
        self._moved = moved
        self._at = (u_at, v_at)
        self._vectors: list[Words | None] = [None if at is None else np.zeros(0, np.uint64) for at in self._at]
        self._heard = sha256(b"lingqu.share.rep3.malicious bits")

    @property
    def heard(self) -> bytes:
        """The digest of all challenges so far."""
        return self._heard.digest()

    @property
    def last(self) -> tuple[int | None, int | None]:
        """u and v when one element is left of them."""
        u, v = (None if x is None else int(x[0]) for x in self._vectors)
        return u, v

    def _stands_on_bits(self, number: int) -> bool:
        return number == 0 and self._bits.words > 0

    def begin(self, seed: bytes) -> None:
        """Take the random weights: the claim on the bits, or at once the moved tables where there are no bits."""
        self._heard.update(seed)
        self._stream = _core.Prg(seed[:KEY_BYTES])
        if not self._bits.words:
            self._add_moved(1)
            return
        self.columns, self.rows = self._stream.words(columns_of(self._bits.words)), self._stream.words(FIRST_ROWS)
        if self._at == (1, None):
            self.share = _core.gf_claim(self._bits.first, self.columns, self.rows)
        elif self._at == (None, 0):
            self.share = _core.gf_claim(self._bits.second, self.columns, self.rows)

    def _add_moved(self, weight: int) -> None:
        """Append the moved tables to vectors and claim, weighed by a challenge drawn after the round on the bits."""
        for one in self._moved:
            weights = _core.gf_scale(self._stream.words(one.words), weight)
            for i, vector in enumerate(one.vectors(weights)):
                held = self._vectors[i]
                if held is not None:
                    assert vector is not None
                    self._vectors[i] = np.concatenate([held, vector])
            if one.known is not None:
                self.share ^= _core.gf_dot(weights, one.known)

    def hide(self, *rows: Words | None) -> None:
        """Append the random rows of the last round to u and v."""
        for i, row in enumerate(rows):
            held = self._vectors[i]
            if held is not None:
                assert row is not None
                self._vectors[i] = np.concatenate([held, row])

    def _in_rows(self, vector: Words, rows: int) -> Words:
        return padded(vector, -(-len(vector) // rows) * rows)

    def values(self, number: int) -> Words:
        """At the prover: the values at 1, 2, ... of the sum of products; that at 0 follows from the claim."""
        bits = self._bits
        if self._stands_on_bits(number):
            pairs = [(bits.x[0], bits.y[1]), (bits.y[0], bits.x[1])]
            return _core.gf_cross_bits(pairs, self.columns, self.rows)[1:]
        u, v = self._vectors
        assert u is not None
        assert v is not None
        rows = self.rounds[number]
        return _core.gf_cross(self._in_rows(u, rows), self._in_rows(v, rows), rows)[1:]

    def take(self, number: int, rest: Words, point: int) -> None:
        """At a verifier: from its shares of the values at 1, 2, ... to its share of the value at a point.

        Those at the rows' points add to the claim; the random row of the last round is not among them.
        """
        summed = self.rows_summed(number)
        first = self.share ^ int(np.bitwise_xor.reduce(rest[: summed - 1], initial=np.uint64(0)))
        values = np.concatenate([np.array([first], np.uint64), rest])
        self.share = _core.gf_dot(values, _core.gf_lagrange(len(values), point))

    def rows_summed(self, number: int) -> int:
        """Rows whose values add to the claim."""
        return self.rounds[number] - (number == len(self.rounds) - 1)

    def fold(self, number: int, challenges: Words) -> None:
        """Evaluate the vectors at the round's point."""
        self._heard.update(challenges.astype("<u8").tobytes())
        rows, point = self.rounds[number], int(challenges[0])
        coefficients = _core.gf_lagrange(rows, point)
        if self._stands_on_bits(number):
            self._fold_bits(coefficients)
            self._add_moved(int(challenges[1]))
        else:
            self._evaluate(rows, coefficients)

    def finish(self, point: int) -> None:
        """At a verifier: the last round's point, which the prover does not learn."""
        self._evaluate(self.rounds[-1], _core.gf_lagrange(self.rounds[-1], point))

    def _evaluate(self, rows: int, coefficients: Words) -> None:
        self._vectors = [
            None if x is None else _core.gf_fold(self._in_rows(x, rows), coefficients) for x in self._vectors
        ]

    def _fold_bits(self, coefficients: Words) -> None:
        bits, (u_at, v_at) = self._bits, self._at
        if u_at is not None:
            weighed = _core.gf_multiply(coefficients, self.rows)
            factors = bits.x[u_at], bits.y[u_at]
            self._vectors[0] = np.concatenate([_core.gf_fold_bits(x, weighed, self.columns) for x in factors])
        if v_at is not None:
            factors = bits.y[v_at], bits.x[v_at]
            self._vectors[1] = np.concatenate([_core.gf_fold_bits(x, coefficients) for x in factors])
