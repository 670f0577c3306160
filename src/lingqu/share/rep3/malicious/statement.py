"""One prover's statement as an inner product over GF(2^64): who knows what of it, and how a round shrinks it.

Prover P_i, first verifier P_{i-1}, second verifier P_{i+1}.  The first knows u_1, v_1 and c1, the second u_2, v_2 and
c2, the prover u = u_1 + u_2 and v = v_1 + v_2; it shows that <u, v> = c1 + c2.  A round reads u and v as rows of values
of polynomials, one polynomial a column, shares the values of the sum of their products among the verifiers, and
evaluates everything at a challenge, the verifiers each their shares.
Source: Boneh, Boyle, Corrigan-Gibbs, Gilboa, Ishai (CRYPTO 2019), sections 4 and 5, for an input that the verifiers
share; Boyle, Gilboa, Ishai, Nof (CCS 2019), section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.rep3.session import KEY_BYTES, Parts

WORD_ROWS = 32
"""Rows of the round that takes words of bits; the next two fold the bits of a word."""
BIT_ROWS = 8
"""Rows of either round that folds the bits of a word, the upper and the lower half of their numbers' six bits."""
LANES = 8
"""Columns of words that stand side by side in a block of rows."""
SMALL = 1 << 12
"""Segments of fewer words are joined before they are filled up to blocks."""
ROWS = 16
"""Rows of a round on field elements, and the most elements of the last round."""
LEAST_CHALLENGE = 256
"""Challenges are none of the points at which polynomials are given."""
Order = NDArray[np.uint32]


def columns_of(lengths: Iterable[int]) -> int:
    """Columns of words when segments of these lengths stand in blocks."""
    sizes = list(lengths)
    every = [sum(size for size in sizes if size < SMALL), *(size for size in sizes if size >= SMALL)]
    return sum(-(-size // (WORD_ROWS * LANES)) * LANES for size in every)


def rounds_of(columns: int, elements: int) -> list[int]:
    """Rows of each round on so many columns of words and so many elements; the last counts its random row.

    No round where there is nothing to prove.
    """
    rounds = [WORD_ROWS, BIT_ROWS, BIT_ROWS] * (columns > 0)
    elements += columns
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

    def vectors(self, weights: Words) -> Parts:
        """u and v of the moved data's inner product with weights; what is not known is not in the party's share: 0."""
        turned = None if self.order is None else _core.scatter(weights, self.order, self.columns)
        zero = np.zeros(self.words, np.uint64) if turned is None or self.data is None else weights
        turned, data = zero if turned is None else turned, zero if self.data is None else self.data
        return (turned, data) if self.order_at_first else (data, turned)


@dataclass(frozen=True)
class Segment:
    """u & v = known ^ known', word by word, as a party knows it in one prover's proof.

    u, v: at a verifier its share alone, at the prover the first verifier's and the second's, whose XOR the vector is.
    known: a verifier's summand; the prover needs none.
    """

    u: tuple[Words, ...]
    v: tuple[Words, ...]
    known: Words | None

    def __len__(self) -> int:
        return len(self.u[0])


def _whole(segments: Sequence[Segment]) -> Segment:
    """Several as one."""

    def of(vectors: Sequence[tuple[Words, ...]]) -> tuple[Words, ...]:
        return tuple(np.concatenate(shares) for shares in zip(*vectors, strict=True))

    summands = [one.known for one in segments if one.known is not None]
    u, v = of([one.u for one in segments]), of([one.v for one in segments])
    return Segment(u, v, np.concatenate(summands) if summands else None)


def joined(segments: Sequence[Segment]) -> list[Segment]:
    """The small ones as one, then the large ones; see columns_of."""
    few = [one for one in segments if len(one) < SMALL]
    return [_whole(few)] * bool(few) + [one for one in segments if len(one) >= SMALL]


class Part:
    """A party's part in one prover's proof: u and v at the prover, a share of each at a verifier."""

    def __init__(self, segments: Sequence[Segment], moved: list[Moved], is_prover: bool) -> None:
        self._is_prover = is_prover
        self._columns = columns_of(map(len, segments))
        self.rounds = rounds_of(self._columns, sum(one.words for one in moved))
        self.share = 0  # of the claim, at a verifier
        words = joined(segments) if self._columns else []
        self._u, self._v = [one.u for one in words], [one.v for one in words]
        self._known = [one.known for one in words if one.known is not None]
        self._moved = moved
        self._vectors = np.zeros(0, np.uint64), np.zeros(0, np.uint64)
        self._heard = sha256(b"lingqu.share.rep3.malicious bits")

    @property
    def heard(self) -> bytes:
        """The digest of all challenges so far."""
        return self._heard.digest()

    @property
    def last(self) -> Words:
        """u and v when one element is left of them, or the shares."""
        return np.concatenate(self._vectors)

    def _stands_on_words(self, number: int) -> bool:
        return number < 2 + (not self._is_prover) and self._columns > 0

    def begin(self, seed: bytes) -> None:
        """Take the random weights: the claim on the words, or at once the moved tables where there are none."""
        self._heard.update(seed)
        self._stream = _core.Prg(seed[:KEY_BYTES])
        if not self._columns:
            self._add_moved(1)
            return
        self.columns, self.rows = self._stream.words(self._columns), self._stream.words(WORD_ROWS)
        if self._known:
            self.share = _core.gf_claim(self._known, self.columns, self.rows)

    def _add_moved(self, weight: int) -> None:
        """Append the moved tables to vectors and claim, weighed by a challenge drawn after the rounds on words."""
        for one in self._moved:
            weights = _core.gf_scale(self._stream.words(one.words), weight)
            self._append(one.vectors(weights))
            if one.known is not None:
                self.share ^= _core.gf_dot(weights, one.known)

    def _append(self, vectors: Parts) -> None:
        (u, v), (more_u, more_v) = self._vectors, vectors
        self._vectors = np.concatenate([u, more_u]), np.concatenate([v, more_v])

    def hide(self, rows: Words) -> None:
        """Append the random rows of the last round, one element to u and one to v."""
        self._append((rows[:1], rows[1:]))

    def _in_rows(self, vector: Words, rows: int) -> Words:
        return padded(vector, -(-len(vector) // rows) * rows)

    def values(self, number: int) -> Words:
        """At the prover: the values at 1, 2, ... of the sum of products; that at 0 follows from the claim."""
        if self._stands_on_words(number):
            if number == 0:
                return _core.gf_first_values(self._u, self._v, self.columns, self.rows)[1:]
            return _core.gf_second_values(self._u, self._v, self.columns, self._left, self._right)[1:]
        u, v = self._vectors
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
        if self._stands_on_words(number):
            self._fold_words(number, coefficients)
        else:
            self._evaluate(rows, coefficients)
        if number == 2 and self._columns:
            self._add_moved(int(challenges[1]))

    def finish(self, point: int) -> None:
        """At a verifier: the last round's point, which the prover does not learn."""
        self._evaluate(self.rounds[-1], _core.gf_lagrange(self.rounds[-1], point))

    def _evaluate(self, rows: int, coefficients: Words) -> None:
        u, v = (_core.gf_fold(self._in_rows(x, rows), coefficients) for x in self._vectors)
        self._vectors = u, v

    def _fold_words(self, number: int, coefficients: Words) -> None:
        """The words stay as they are until the point is known at which the rest is folded, which is one pass."""
        if number == 0:
            self._right = coefficients
            self._left = _core.gf_multiply(coefficients, self.rows)
        elif number == 1:
            self._upper = np.repeat(coefficients, BIT_ROWS)
            if self._is_prover:
                self._fold_bits(self._upper, BIT_ROWS)
        else:
            self._fold_bits(_core.gf_multiply(self._upper, np.tile(coefficients, BIT_ROWS)), 1)

    def _fold_bits(self, weights: Words, left: int) -> None:
        """From words to elements, `left` a column; bit b of u weighs X^b besides, its columns theirs."""
        shifted = _core.gf_multiply(weights, np.uint64(1) << np.arange(64, dtype=np.uint64))
        self._vectors = (
            _core.gf_fold_words(self._u, self._left, shifted, left, self.columns),
            _core.gf_fold_words(self._v, self._right, weights, left),
        )
