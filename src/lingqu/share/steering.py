"""Words steered by shared bits, over any Machine: sums of words times bits, and powers of two that bits spell.

A machine whose products of words cost little multiplies by integers made of the bits.  One that `steers` moves each
word by each bit instead, as a bit times a word costs it much less than a product of words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lingqu.share.api import Machine, Shared, SharedBits
from lingqu.share.integers import powers_of_two

WORTH = 6
"""Words times bits that cost no more than one product of words."""


def moved(machine: Machine, bits: SharedBits, x: Shared) -> Shared:
    """Bits times words, broadcast: 1 round."""
    return machine.select(bits, x, machine.constant(np.zeros((), np.int64)))


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


def power(machine: Machine, bits: SharedBits, flags: Shared, exponents: tuple[int, ...]) -> Power:
    """The power of two that bits spell; flags: the same bits as integers, over the first axis."""
    value = None if machine.steers else powers_of_two(machine, flags, np.array(exponents, np.int64))
    return Power(bits, exponents, value)


def spelled_power(machine: Machine, bits: SharedBits, exponents: tuple[int, ...]) -> Power:
    """As `power` of bits that are not integers too; a machine that steers needs none."""
    return Power(bits, exponents, None) if machine.steers else power(machine, bits, machine.inject(bits), exponents)


def times(machine: Machine, x: Shared, factor: Shared | Power) -> Shared:
    """x times a shared factor, broadcast to x."""
    if isinstance(factor, Power):
        return factor.times(machine, x)
    return machine.multiply(x, factor.broadcast_to(x.shape))
