"""Products between two parties alone: exact, uniform, refused when malformed, and as dear as declared."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

from lingqu import _core
from lingqu.kinds.channel import Buffer, Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation
from lingqu.kinds.mechanism import Cost
from lingqu.net.memory import MemoryChannel, memory_channels
from lingqu.share.two.layout import SLOTS, choose
from lingqu.share.two.products import (
    Products,
    matrix_triple_cost,
    setup_cost,
    triples_cost,
)

NAMES = ("alpha", "beta")
WAIT = 60.0
Alter = Callable[[int, bytearray], None]


class Sent:
    """A channel that notes the shape of what is sent, and may alter it first."""

    def __init__(self, inner: MemoryChannel, alter: Alter | None = None) -> None:
        self.inner = inner
        self.alter = alter
        self.shape: list[tuple[int, int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        message = bytearray(data)
        if self.alter is not None:
            self.alter(len(self.shape), message)
        self.shape.append((to, int(tag), len(message)))
        self.inner.send(to, message, tag)


@dataclass
class Run:
    """What two parties got, or the errors they met, and their channels."""

    results: list[Any]
    errors: list[BaseException | None]
    channels: list[Sent]

    @property
    def cost(self) -> Cost:
        traffic = [channel.inner.traffic for channel in self.channels]
        return Cost(max(one.rounds for one in traffic), sum(one.sent for one in traffic))

    @property
    def shapes(self) -> list[list[tuple[int, int, int]]]:
        return [channel.shape for channel in self.channels]


def run(work: Callable[[Products], Any], alter: Alter | None = None) -> Run:
    """The same work at both parties, from keys on; `alter` changes the messages of party 0, counted from 0."""
    inner = memory_channels(NAMES, timeout=WAIT)
    done = Run([None, None], [None, None], [Sent(inner[0], alter), Sent(inner[1])])

    def serve(party: int) -> None:
        channel: Channel = done.channels[party]
        try:
            done.results[party] = work(Products(channel))
        except BaseException as error:
            done.errors[party] = error
            channel.close()

    threads = [threading.Thread(target=serve, args=(party,)) for party in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    if alter is None:
        for error in done.errors:
            if error is not None:
                raise error
    return done


def opened(done: Run) -> list[Any]:
    """The shared values."""
    return [left + right for left, right in zip(*done.results, strict=True)]


def bits_of(words: Any) -> Any:
    """Each of the 64 bits' share of ones."""
    return np.unpackbits(np.ascontiguousarray(words).view(np.uint8), bitorder="little").reshape(-1, 64).mean(axis=0)


@pytest.mark.parametrize("count", [0, 1, 1000, SLOTS + 1, 100_000])
def test_triples_are_products_of_uniform_words(count: int) -> None:
    done = run(lambda products: products.triples(count))
    a, b, c = opened(done)
    assert a.shape == b.shape == c.shape == (count,)
    np.testing.assert_array_equal(a * b, c)
    assert done.cost == setup_cost() + triples_cost(count)
    if count == 100_000:
        # 9 rows of 64 frequencies of deviation 0.5 / sqrt(count): beyond 6 of them by chance once in a million runs.
        for words in (a, b, *done.results[0], *done.results[1], done.results[0][2] - a):
            assert np.abs(bits_of(words) - 0.5).max() < 3 / np.sqrt(count)
            assert len(np.unique(words)) == count


SIZES = [(1, 1, 1), (3, 5, 2), (70, 33, 1), (1, 300, 40), (17, 1, 900), (200, 100, 150), (4096, 16, 4), (2, 9000, 3)]


@pytest.mark.parametrize("sizes", SIZES)
def test_matrix_triples_are_products(sizes: tuple[int, int, int]) -> None:
    m, k, n = sizes
    done = run(lambda products: products.matrix_triple(m, k, n))
    a, b, c = opened(done)
    assert (a.shape, b.shape, c.shape) == ((m, k), (k, n), (m, n))
    np.testing.assert_array_equal(a @ b, c)
    assert done.cost == setup_cost() + matrix_triple_cost(m, k, n)


@pytest.mark.parametrize("sizes", [(0, 3, 2), (3, 0, 2), (3, 2, 0)])
def test_empty_products_cost_nothing(sizes: tuple[int, int, int]) -> None:
    m, k, n = sizes
    done = run(lambda products: products.matrix_triple(m, k, n))
    assert done.results[0][2].shape == (m, n)
    assert not opened(done)[2].any()
    assert (done.cost, matrix_triple_cost(m, k, n)) == (setup_cost(), Cost())


def test_several_exchanges_cost_what_they_are_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lingqu.share.two.layout.MOST_DEEP", 2)
    choose.cache_clear()
    try:
        for m, k, n in ((9000, 12, 3), (600, 70, 500)):
            assert len(choose(m, k, n).exchanges) > 1
            done = run(partial(Products.matrix_triple, m=m, k=k, n=n))
            a, b, c = opened(done)
            np.testing.assert_array_equal(a @ b, c)
            assert done.cost == setup_cost() + matrix_triple_cost(m, k, n)
    finally:
        choose.cache_clear()


def test_traffic_depends_on_sizes_alone() -> None:
    def work(products: Products) -> None:
        products.triples(20_000)
        products.matrix_triple(40, 30, 20)

    first, second = run(work), run(work)
    assert first.shapes == second.shapes


# Messages of party 0: its two keys, its request, its answer.  In two places every string of bits is taken: what a
# request's slots hold above their words, and an answer for matrices, modulo a power of two.
FREE = {(False, 2, 16), (True, 3, 16), (True, 3, -8)}
CASES = [(matrices, message, place) for matrices in (False, True) for message in range(4) for place in (16, -8)]


@pytest.mark.parametrize(("matrices", "message", "place"), [case for case in CASES if case not in FREE])
def test_words_that_are_no_residues_are_refused(matrices: bool, message: int, place: int) -> None:
    def work(products: Products) -> Any:
        return products.matrix_triple(8, 8, 8) if matrices else products.triples(SLOTS + 1)

    def alter(index: int, data: bytearray) -> None:
        if index == message:
            at = place % len(data)
            data[at : at + 8] = b"\xff" * 8

    done = run(work, alter)
    error = done.errors[1]
    assert isinstance(error, ProtocolViolation)
    assert "alpha" in str(error)


def test_messages_of_another_length_are_refused() -> None:
    def alter(index: int, data: bytearray) -> None:
        if index == 2:
            data.append(0)

    assert isinstance(run(lambda products: products.triples(5), alter).errors[1], ProtocolViolation)


def test_two_parties_are_needed() -> None:
    channel = memory_channels(["alpha", "beta", "gamma"])[0]
    with pytest.raises(BadInput, match="2 parties"):
        Products(channel)


def test_secrets_are_redacted() -> None:
    holder = _core.TripleHolder(bytes(16)), _core.MatrixHolder(bytes(16))
    assert [repr(one) for one in holder] == ["TripleHolder(<redacted>)", "MatrixHolder(<redacted>)"]
    done = run(lambda products: repr(products))
    assert done.results == ["Products(party=0)", "Products(party=1)"]


def attack_bits(degree: int, modulus_bits: float) -> float:
    """The primal attack's cost on ternary secrets with errors of deviation 3.24.

    Blocks after Alkim, Ducas, Poeppelmann, Schwabe (USENIX Security 2016), with the secret scaled to the error's size
    (Bai, Galbraith, ACISP 2014); 2^(0.292 b + 16.4 + log2(8 d)) as the homomorphic encryption standard counts.
    """
    error, secret = 3.24, math.sqrt(2 / 3)

    def found(block: int, samples: int) -> bool:
        size = degree + samples + 1
        root = ((math.pi * block) ** (1 / block) * block / (2 * math.pi * math.e)) ** (1 / (2 * (block - 1)))
        volume = (samples * modulus_bits + degree * math.log2(error / secret)) / size
        return math.log2(error) + math.log2(block) / 2 <= math.log2(root) * (2 * block - size - 1) + volume

    costs = [
        0.292 * block + 16.4 + math.log2(8 * (degree + samples + 1))
        for samples in range(degree // 2, degree * 3 // 2, degree // 32)
        for block in [next(block for block in range(60, 2000) if found(block, samples))]
    ]
    return min(costs)


@pytest.mark.parametrize(("which", "most"), [(0, 438), (1, 218)])
def test_parameters_reach_128_bits(which: int, most: int) -> None:
    degree, primes = _core.lattice_parameters()[which]
    modulus = math.log2(math.prod(primes))
    assert modulus <= most  # the standard's table for this degree, ternary secrets, 128 bits classical
    assert attack_bits(degree, modulus) >= 128
