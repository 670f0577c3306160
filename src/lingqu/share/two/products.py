"""Products of additively shared words of Z_2^64 from lattices, between two parties and nobody else.

Every product is exact; its shares are uniform. Semi-honest security from ring learning with errors, 128 bits, with
what an answer tells beyond the product below 2^-40 for a million elements. Parameters, bounds and proofs:
docs/protocols/lattice-products.md. Sources: Fan, Vercauteren (2012); Cheetah (USENIX Security 2022), sections 3 and 5.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from lingqu._core import (
    MatrixEvaluator,
    MatrixHolder,
    MatrixLeft,
    MatrixRight,
    Prg,
    TripleEvaluator,
    TripleHolder,
    matmul,
    matrix_layout,
)
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation
from lingqu.kinds.mechanism import Cost
from lingqu.share.api import Words
from lingqu.share.two.layout import (
    MATRIX_KEY,
    SLOTS,
    TRIPLE_ANSWER,
    TRIPLE_KEY,
    TRIPLE_REQUEST,
    Layout,
    Sizes,
    Step,
    Verb,
    choose,
    measured,
    steps,
)

Bytes = NDArray[np.uint8]
_RIGHT_BYTES = 256 << 20
_BAD_REQUEST = "sent a request or key that is no ciphertext"
_BAD_ANSWER = "sent an answer that is no ciphertext"


def setup_cost() -> Cost:
    """What making a `Products` costs: one round, the public keys of both parties."""
    return Cost(1, 2 * (TRIPLE_KEY + MATRIX_KEY))


def triples_cost(count: int, depths: list[int] | None = None) -> Cost:
    """What `triples(count)` costs: exact; depths: as in `layout.measured`."""
    batches = -(-count // SLOTS)

    def size(step: Step) -> int:
        return TRIPLE_REQUEST if step.verb is Verb.ASK else TRIPLE_ANSWER

    first, second = _batches_of(batches, 0), _batches_of(batches, 1)
    return measured((steps(first, second, 1), steps(second, first, 1)), size, depths)


def matrix_triple_cost(m: int, k: int, n: int) -> Cost:
    """What `matrix_triple(m, k, n)` costs: exact."""
    return choose(m, k, n).cost() if m * k * n else Cost()


def _batches_of(batches: int, party: int) -> int:
    """Batches for which a party holds the key: 0, 2, 4, ... or 1, 3, 5, ..."""
    return (batches + 1 - party) // 2


class Products:
    """One party's keys for multiplying with its one peer; both call the same methods with the same sizes in order."""

    def __init__(self, channel: Channel) -> None:
        """Make keys and exchange the public ones: `setup_cost()`."""
        if len(channel.parties) != 2:
            raise BadInput(f"Products need 2 parties, not {len(channel.parties)}.", "Name two compute parties.")
        self._channel = channel
        self._peer = 1 - channel.party
        self._prg = Prg(os.urandom(16))
        self._words = TripleHolder(os.urandom(16))
        self._matrices = MatrixHolder(os.urandom(16))
        for key in (self._words.public_key(), self._matrices.public_key()):
            channel.send(self._peer, key.data, Tag.BLOCKS)
        try:
            self._word_evaluator = TripleEvaluator(os.urandom(16), self._receive(TRIPLE_KEY))
            self._matrix_evaluator = MatrixEvaluator(os.urandom(16), self._receive(MATRIX_KEY))
        except ValueError:
            raise self._malformed(_BAD_REQUEST) from None

    def __repr__(self) -> str:
        return f"Products(party={self._channel.party})"

    def triples(self, count: int) -> tuple[Words, Words, Words]:
        """Shares of uniform a and b and of a * b modulo 2^64, each shape (count,).

        Cost: `triples_cost(count)`, 121 bytes a triple in full batches of 16,384, and a whole batch at least.
        Memory: under 20 MB beside the result.  Discloses: nothing.
        """
        a, b = self._prg.words(count), self._prg.words(count)
        c = np.zeros(count, np.uint64)
        batches = -(-count // SLOTS)
        mine, theirs = (_batches_of(batches, party) for party in (self._channel.party, self._peer))
        request = bytearray()
        for step in steps(mine, theirs, 1):
            own = step.verb in (Verb.ASK, Verb.FINISH)
            batch = 2 * step.exchange + (self._channel.party if own else self._peer)
            at = slice(batch * SLOTS, min((batch + 1) * SLOTS, count))
            if step.verb is Verb.ASK:
                data, x, y = self._words.request()
                self._send(data)
                a[at], b[at] = x[: at.stop - at.start], y[: at.stop - at.start]
            elif step.verb is Verb.TAKE:
                request = self._channel.receive(self._peer, TRIPLE_REQUEST, Tag.BLOCKS)
            elif step.verb is Verb.ANSWER:
                c[at] += self._answer_words(request, a[at], b[at])
            else:
                c[at] += self._finish_words(at.stop - at.start)
        c += a * b
        return a, b, c

    def matrix_triple(self, m: int, k: int, n: int) -> tuple[Words, Words, Words]:
        """Shares of uniform A (m, k) and B (k, n) and of A @ B modulo 2^64.

        Cost: `matrix_triple_cost(m, k, n)`.  Memory: under 0.7 GB beside the operands.  Discloses: nothing.
        """
        a, b = self._prg.words(m * k).reshape(m, k), self._prg.words(k * n).reshape(k, n)
        c = matmul(a.reshape(-1), b.reshape(-1), (m, k, n), False).reshape(m, n)
        if c.size and k:
            layout = choose(m, k, n)
            if layout.turned:
                c = np.ascontiguousarray((c.T + self._cross(layout, b.T, a.T)).T)
            else:
                c += self._cross(layout, a, b)
        return a, b, c

    def _cross(self, layout: Layout, left: Words, right: Words) -> Words:
        """Shares of own left @ the peer's right and the peer's left @ own right."""
        out = np.zeros((layout.rows, layout.columns), np.uint64)
        exchanges = layout.exchanges
        rights = _Rights(layout, right)
        request: MatrixLeft | None = None
        for step in steps(len(exchanges), len(exchanges), layout.groups):
            rows, inner = exchanges[step.exchange]
            sizes = layout.sizes(rows, inner)
            size, groups = matrix_layout(sizes)
            first, end, answer = groups[step.group]
            if step.verb is Verb.ASK:
                part = left[rows.start : rows.stop, inner.start : inner.stop]
                self._send(self._matrices.request(_flat(part), sizes))
            elif step.verb is Verb.TAKE:
                request = None  # gives its memory back first
                request = self._take_matrix(size, sizes)
            else:
                block = out[rows.start : rows.stop, first:end]
                if step.verb is Verb.ANSWER:
                    assert request is not None
                    data, words = self._matrix_evaluator.answer(request, rights.get(inner, sizes, step.group))
                    self._send(data)
                else:
                    words = self._finish_matrix(answer, sizes, step.group)
                block += words.reshape(block.shape)
        return out

    def _send(self, data: Bytes) -> None:
        self._channel.send(self._peer, data.data, Tag.BLOCKS)

    def _receive(self, size: int) -> Bytes:
        return np.frombuffer(self._channel.receive(self._peer, size, Tag.BLOCKS), np.uint8)

    def _malformed(self, what: str) -> ProtocolViolation:
        name = self._channel.parties[self._peer]
        return ProtocolViolation(f"{name} {what}.", "See that both parties run the same version.", party=name)

    def _answer_words(self, request: bytearray, x: Words, y: Words) -> Words:
        try:
            data, share = self._word_evaluator.answer(np.frombuffer(request, np.uint8), x, y)
        except ValueError:
            raise self._malformed(_BAD_REQUEST) from None
        self._send(data)
        return share

    def _finish_words(self, count: int) -> Words:
        try:
            return self._words.finish(self._receive(TRIPLE_ANSWER), count)
        except ValueError:
            raise self._malformed(_BAD_ANSWER) from None

    def _take_matrix(self, size: int, sizes: Sizes) -> MatrixLeft:
        try:
            return MatrixLeft(self._receive(size), sizes)
        except ValueError:
            raise self._malformed(_BAD_REQUEST) from None

    def _finish_matrix(self, size: int, sizes: Sizes, group: int) -> Words:
        try:
            return self._matrices.finish(self._receive(size), sizes, group)
        except ValueError:
            raise self._malformed(_BAD_ANSWER) from None


class _Rights:
    """The right operand transformed, a group of columns at a time; kept while it fits in 256 MB."""

    def __init__(self, layout: Layout, right: Words) -> None:
        self._right = right
        self._kept: dict[tuple[int, int], MatrixRight] = {}
        padded = 32 * layout.inner * layout.columns
        self._keep = padded <= _RIGHT_BYTES and layout.rows > layout.run

    def get(self, inner: range, sizes: Sizes, group: int) -> MatrixRight:
        """One group of one part of the inner dimension."""
        key = inner.start, group
        if (found := self._kept.get(key)) is not None:
            return found
        made = MatrixRight(_flat(self._right[inner.start : inner.stop]), sizes, group)
        if self._keep:
            self._kept[key] = made
        return made


def _flat(words: Words) -> Words:
    return np.ascontiguousarray(words).reshape(-1)
