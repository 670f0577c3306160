"""Fixed-point functions written over any Machine: products with truncation, reciprocal, quotient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.share.api import FRACTION_BITS, Machine, Shared, encode
from lingqu.share.integers import leading_place, round_shift
from lingqu.share.steering import Power, spelled_power, times

NORMAL_BITS = 30
"""Fractional bits of a normalised divisor and its reciprocal."""
LOWEST, HIGHEST = FRACTION_BITS, FRACTION_BITS + 30
"""Where the leading bit of a divisor in [1, 2**30] can stand."""


def multiply_real(machine: Machine, x: Shared, y: Shared) -> Shared:
    """As Machine.multiply_real."""
    return machine.truncate(machine.multiply(x, y), FRACTION_BITS)


def matmul_real(machine: Machine, x: Shared, y: Shared) -> Shared:
    """As Machine.matmul_real."""
    return machine.truncate(machine.matmul(x, y), FRACTION_BITS)


def scale_real(machine: Machine, x: Shared, factor: NDArray[Any] | float) -> Shared:
    """As Machine.scale_real."""
    return machine.truncate(machine.scale(x, encode(np.asarray(factor))), FRACTION_BITS)


def normal_reciprocal(machine: Machine, y: Shared) -> tuple[Shared, Power]:
    """(w, scale) for y with leading bit j: scale = 2**(50 - j), and w = 2**30 / u for u = y scale / 2**51 in [1/2, 1).

    The leading bit is found by a tree; Newton's iteration starts from 2.9142 - 2 u (error 0.0858) and
    squares the error three times.  Source: Catrina, Saxena, "Secure computation with fixed-point numbers" (FC 2010),
    for the normalisation and the linear start.
    """
    scale = _normalising_scale(machine, y)
    u = machine.truncate(scale.times(machine, y), HIGHEST + 1 - NORMAL_BITS)
    one = 1 << NORMAL_BITS
    w = machine.add(machine.scale(u, -2), round(2.9142 * one))
    for _ in range(3):
        product = machine.truncate(machine.multiply(u, w), NORMAL_BITS)
        w = machine.truncate(machine.multiply(w, machine.add(machine.negate(product), 2 * one)), NORMAL_BITS)
    return w, scale


def _normalising_scale(machine: Machine, y: Shared) -> Power:
    """2**(50 - j) for the leading bit j of y: 31 - i for its place i in a window of 31 rows above an empty one."""
    planes = machine.planes(machine.to_bits(y, HIGHEST + 1))
    none = machine.constant_bits(np.zeros((1, planes.shape[1]), np.uint64), 64)
    place = leading_place(machine, machine.concat([none, planes[LOWEST : HIGHEST + 1]]))[:5]
    bits = machine.from_planes(machine.logical_not(place), y.shape)
    return spelled_power(machine, bits, (1, 2, 4, 8, 16))


def reciprocal(machine: Machine, x: Shared, fraction_bits: int) -> Shared:
    """As Machine.reciprocal; rounded to nearest, so that small results are off by less than one unit."""
    w, scale = normal_reciprocal(machine, x)
    return round_shift(machine, scale.times(machine, w), HIGHEST + 11 - fraction_bits)


def divide(machine: Machine, x: Shared, y: Shared) -> Shared:
    """As Machine.divide: x w 2**(19 - j) in two halves of the word each, so that no product leaves the ring's range."""
    w, scale = normal_reciprocal(machine, y)
    quotient = scaled_product(machine, x, w, NORMAL_BITS)
    return scaled_product(machine, quotient, scale, NORMAL_BITS + 1)


def scaled_product(machine: Machine, x: Shared, factor: Shared | Power, bits: int) -> Shared:
    """x factor / 2**bits for |x factor| below 2**(62 + bits), factor at most 2**31.

    The low half is taken around its middle: it reaches 2**(bits + 1) where the truncation is one too low, and its
    product would then reach 2**62.
    """
    high = machine.add(machine.truncate(x, bits), 1)
    low = machine.subtract(x, machine.scale(high, 1 << bits))
    products = times(machine, machine.stack([high, low]), factor)
    return machine.add(products[0], machine.truncate(products[1], bits))
