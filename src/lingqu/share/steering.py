"""Words steered by shared bits, over any Machine: sums of words times bits, and powers of two that bits spell.

A machine whose products of words cost little multiplies by integers made of the bits.  One that `steers` moves each
word by each bit instead, as a bit times a word costs it much less than a product of words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lingqu.share.api import Machine, Shared, SharedBits

WORTH = 6
"""Words times bits that cost no more than one product of words."""


def moved(machine: Machine, bits: SharedBits, x: Shared) -> Shared:
    """Bits times words, broadcast: 1 round."""
    return machine.select(bits, x, machine.constant(np.zeros((), np.int64)))


def set_bits(machine: Machine, bits: SharedBits) -> Shared:
    """How many of the bits over the first axis are set.  Cost: Machine.weigh, one sum."""
    return machine.weigh(bits, np.ones((1, len(bits)), np.int64))[0]


def steered(machine: Machine, bits: SharedBits, flags: Shared, weights: NDArray[np.int64], x: Shared) -> Shared:
    """x times sums of flags: row r is x times the sum over i of weights[r, i] flags[i].  1 round.

    bits, flags: the same bits shared both ways, (n, *shape of x).  weights: public, (rows, n).
    """
    many, count = weights.shape
    if machine.steers and count <= WORTH * many:
        each = moved(machine, bits, x[None])
        return machine.stack([_weighed(machine, each, row) for row in weights])
    factors = machine.stack([_weighed(machine, flags, row) for row in weights])
    return machine.multiply(factors, x[None])


def _weighed(machine: Machine, flags: Shared, weights: NDArray[np.int64]) -> Shared:
    return machine.sum(machine.scale(flags, weights.reshape((-1,) + (1,) * (flags.ndim - 1))), axis=0)


@dataclass(frozen=True)
class Power:
    """2**k, k the sum of exponents[i] where bit i is set; value: the same as an integer, where the machine made it."""

    bits: SharedBits
    exponents: tuple[int, ...]
    value: Shared | None

    def times(self, machine: Machine, x: Shared) -> Shared:
        """x 2**k, broadcast: 1 round, or one for each bit where the machine steers."""
        if self.value is not None:
            return machine.multiply(x, self.value.broadcast_to(x.shape))
        for i, exponent in enumerate(self.exponents):
            x = machine.add(x, machine.scale(moved(machine, self.bits[i], x), (1 << exponent) - 1))
        return x


GROUP = 3
"""Bits of a product whose conjunctions are all made; products of groups are products of words."""
Term = frozenset[int]


def spelled_power(machine: Machine, bits: SharedBits, exponents: tuple[int, ...]) -> Power:
    """The power of two that bits spell; a machine that steers makes no integers of them."""
    if machine.steers:
        return Power(bits, exponents, None)
    return spelled(machine, bits, exponents, np.zeros((0, len(exponents)), np.int64))[0]


def spelled(
    machine: Machine, bits: SharedBits, exponents: tuple[int, ...], sums: NDArray[np.int64]
) -> tuple[Power, Shared]:
    """The power of two that the first bits spell, one for each exponent, and weighed sums of all: (rows, *shape)."""
    if machine.steers:
        return Power(bits[: len(exponents)], exponents, None), machine.weigh(bits, sums)
    factors = np.ones((1, len(bits), 2), np.int64)
    factors[0, : len(exponents), 1] = np.left_shift(1, np.array(exponents, np.int64))
    products, rows = products_of_bits(machine, bits, factors, sums)
    return Power(bits[: len(exponents)], exponents, products[0]), rows


def products_of_bits(
    machine: Machine, bits: SharedBits, factors: NDArray[np.int64], sums: NDArray[np.int64]
) -> tuple[Shared, Shared]:
    """Products over single bits (n, *shape) of one of two public factors each, and weighed sums of the bits.

    factors: (products, n, 2), the factor where a bit is 0 and where it is 1, modulo 2**64.  sums: (rows, n) weights.
    Returns (products, *shape) and (rows, *shape).  Within GROUP bits a product is a sum of weighed conjunctions.
    Cost: ceil(log2(GROUP)) rounds of conjunctions, Machine.weigh, ceil(log2(n / GROUP)) rounds of products of words.
    """
    count = len(bits)
    groups = [range(start, min(start + GROUP, count)) for start in range(0, count, GROUP)]
    polynomials = [[_expanded(factors[product], group) for product in range(len(factors))] for group in groups]
    single = [frozenset([i]) for i in range(count)]
    used = {term for group in polynomials for one in group for term, weight in one.items() if term and weight}
    used |= {single[i] for i in np.flatnonzero(np.any(sums != 0, axis=0))}
    terms = sorted(used, key=lambda term: (len(term), sorted(term)))
    weights = np.zeros((len(groups) * len(factors) + len(sums), len(terms)), np.uint64)
    for row, one in enumerate(one for group in polynomials for one in group):
        weights[row] = [one.get(term, 0) for term in terms]
    for column, term in enumerate(terms):
        if len(term) == 1:
            weights[len(weights) - len(sums) :, column] = sums[:, min(term)].astype(np.uint64)
    found = machine.weigh(_conjunctions(machine, bits, terms), weights.view(np.int64))
    constants = np.array([one.get(frozenset(), 0) for group in polynomials for one in group], np.uint64).view(np.int64)
    parts = machine.add(found[: len(constants)], constants.reshape((-1,) + (1,) * (bits.ndim - 1)))
    products = parts.reshape(len(groups), len(factors), *bits.shape[1:])
    while len(products) > 1:
        half = len(products) // 2
        both = machine.multiply(products[:half], products[half : 2 * half])
        products = machine.concat([both, products[2 * half :]])
    return products[0], found[len(constants) :]


def _expanded(factors: NDArray[np.int64], group: range) -> dict[Term, int]:
    """The product of a group's factors as weights of conjunctions of its bits, modulo 2**64."""
    found: dict[Term, int] = {frozenset(): 1}
    for i in group:
        clear, change = int(factors[i, 0]), int(factors[i, 1]) - int(factors[i, 0])
        with_bit = {term | {i}: weight * change for term, weight in found.items()}
        found = {term: weight * clear for term, weight in found.items()} | with_bit
    return {term: weight % (1 << 64) for term, weight in found.items()}


def _conjunctions(machine: Machine, bits: SharedBits, terms: list[Term]) -> SharedBits:
    """The conjunction of each term's bits, those of fewer bits first: a round a further bit."""
    made = {frozenset([i]): bits[i] for i in range(len(bits))}
    wanted = {frozenset(sorted(term)[:size]) for term in terms for size in range(2, len(term) + 1)}
    for size in range(2, GROUP + 1):
        level = sorted((term for term in wanted if len(term) == size), key=sorted)
        if level:
            left = machine.stack([made[term - {max(term)}] for term in level])
            right = machine.stack([bits[max(term)] for term in level])
            both = machine.logical_and(left, right)
            made |= {term: both[i] for i, term in enumerate(level)}
    return machine.stack([made[term] for term in terms])


def times(machine: Machine, x: Shared, factor: Shared | Power) -> Shared:
    """x times a shared factor, broadcast to x."""
    if isinstance(factor, Power):
        return factor.times(machine, x)
    return machine.multiply(x, factor.broadcast_to(x.shape))
