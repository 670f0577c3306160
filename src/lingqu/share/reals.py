"""Fixed-point functions written over any Machine: products with truncation, reciprocal, quotient, sigmoid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.share.api import FRACTION_BITS, Machine, Shared, encode

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


def _normal_reciprocal(machine: Machine, y: Shared) -> tuple[Shared, Shared]:
    """(w, scale) for y with leading bit j: scale = 2**(50 - j), and w = 2**30 / u for u = y scale / 2**51 in [1/2, 1).

    The leading bit is found by a prefix or from the top; Newton's iteration starts from 2.9142 - 2 u (error 0.0858) and
    squares the error three times.  Source: Catrina, de Hoogh, "Improved primitives for secure multiparty integer
    computation" (SCN 2010) for the normalisation; Ercegovac, Lang et al. for the linear start.
    """
    scale = _normalising_scale(machine, y)
    u = machine.truncate(machine.multiply(y, scale), HIGHEST + 1 - NORMAL_BITS)
    one = 1 << NORMAL_BITS
    w = machine.add(machine.scale(u, -2), round(2.9142 * one))
    for _ in range(3):
        product = machine.truncate(machine.multiply(u, w), NORMAL_BITS)
        w = machine.truncate(machine.multiply(w, machine.add(machine.negate(product), 2 * one)), NORMAL_BITS)
    return w, scale


def _normalising_scale(machine: Machine, y: Shared) -> Shared:
    """2**(50 - j) for the leading bit j of y: a prefix or from the top, with weights on its steps."""
    count = HIGHEST - LOWEST + 1
    bits = machine.to_bits(y)
    window = machine.stack([machine.bit(bits, HIGHEST - i) for i in range(count)], 0)
    step = 1
    while step < count:
        seen = machine.logical_or(window[step:], window[:-step])
        window = machine.concat([window[:step], seen])
        step *= 2
    flags = machine.inject(window)
    weights = np.array([1 << i for i in range(count)], np.int64)
    change = np.concatenate([weights[:-1] - weights[1:], weights[-1:]]).reshape((-1,) + (1,) * y.ndim)
    return machine.sum(machine.scale(flags, change), axis=0)


def reciprocal(machine: Machine, x: Shared, fraction_bits: int) -> Shared:
    """As Machine.reciprocal."""
    w, scale = _normal_reciprocal(machine, x)
    return machine.truncate(machine.multiply(w, scale), HIGHEST + 11 - fraction_bits)


def divide(machine: Machine, x: Shared, y: Shared) -> Shared:
    """As Machine.divide: x w 2**(19 - j) in two halves of the word each, so that no product leaves the ring's range."""
    w, scale = _normal_reciprocal(machine, y)
    quotient = _scaled_product(machine, x, w, NORMAL_BITS)
    return _scaled_product(machine, quotient, scale, NORMAL_BITS + 1)


def _scaled_product(machine: Machine, x: Shared, factor: Shared, bits: int) -> Shared:
    """x factor / 2**bits for |x factor| below 2**(62 + bits), factor at most 2**31.

    The low half is taken around its middle: it reaches 2**(bits + 1) where the truncation is one too low, and its
    product would then reach 2**62.
    """
    high = machine.add(machine.truncate(x, bits), 1)
    low = machine.subtract(x, machine.scale(high, 1 << bits))
    products = machine.multiply(machine.stack([high, low]), factor.broadcast_to((2, *factor.shape)))
    return machine.add(products[0], machine.truncate(products[1], bits))


KNOTS = (0, 1.087, 2.373, 4.077, 6.347)
SATURATION = 9.9
"""From here on the sigmoid is within 5.1e-5 of 1."""
CUBICS = (
    (536823400, 269767397, -5566580, -16019728),
    (802907991, 203927340, -56381873, 4817177),
    (982252807, 82760122, -31962597, 5137755),
    (1055890384, 16803966, -6564066, 999945),
    (1071886913, 1644282, -546665, 64125),
)
"""Least-squares cubics in powers of the distance from each knot, with NORMAL_BITS fractional bits (error 5.1e-5)."""


def sigmoid(machine: Machine, x: Shared) -> Shared:
    """As Machine.sigmoid: by symmetry on [0, 9.9) with five cubics, constant outside.

    Source: piecewise polynomials chosen by comparisons, as in ABY3 section 5.4.2 for two knots.
    """
    edge = round(SATURATION * (1 << FRACTION_BITS))
    row = (-1, *(1 for _ in range(x.ndim)))
    outer = np.array([-edge, 0, edge]).reshape(row)
    below = machine.inject(machine.less_than(x.reshape(1, *x.shape), outer))
    far_below, negative, not_above = below[0], below[1], below[2]
    positive_side = machine.subtract(not_above, negative)
    side = machine.subtract(positive_side, machine.subtract(negative, far_below))
    distance = machine.multiply(side, x)
    knots = np.array([round(knot * (1 << FRACTION_BITS)) for knot in KNOTS], np.int64)
    before = machine.inject(
        machine.less_than(distance.reshape(1, *x.shape), knots[1:].reshape(row), bits=FRACTION_BITS + 5)
    )
    fitted = _cubic(machine, distance, machine.add(machine.negate(before), 1), knots)
    half = 1 << (FRACTION_BITS - 1)
    curve = machine.multiply(side, machine.subtract(fitted, half))
    above = machine.scale(machine.subtract(not_above, 2), -half)
    return machine.add(curve, machine.subtract(above, machine.scale(far_below, half)))


def _cubic(machine: Machine, distance: Shared, past: Shared, knots: NDArray[np.int64]) -> Shared:
    """Horner's rule with the coefficients of the interval; past[i]: shared 1 where knot i + 1 is passed."""
    table = np.array(CUBICS, np.int64)

    def chosen(values: NDArray[np.int64]) -> Shared:
        steps = np.diff(values).reshape((-1,) + (1,) * distance.ndim)
        return machine.add(machine.sum(machine.scale(past, steps), axis=0), int(values[0]))

    offset = machine.subtract(distance, chosen(knots))
    value = chosen(table[:, 3])
    for power in (2, 1):
        value = machine.add(machine.truncate(machine.multiply(value, offset), FRACTION_BITS), chosen(table[:, power]))
    constant = chosen(table[:, 0] >> (NORMAL_BITS - FRACTION_BITS))
    return machine.add(machine.truncate(machine.multiply(value, offset), NORMAL_BITS), constant)
