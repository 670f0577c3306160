"""Real functions over any Machine: exponential, logarithm, roots, powers, softmax.

Fixed point has 20 fractional bits; a unit in the last place is 2**-20.  Results are computed with more bits and
rounded to nearest where nothing else is said.
Operands outside a function's domain give RangeError in the plain twin and a meaningless value in a protocol.
Normalisation by the leading bit: after Catrina, Saxena, "Secure computation with fixed-point numbers" (FC 2010).
Polynomials minimise the greatest relative error (linear programming) and are evaluated after
Paterson, Stockmeyer (1973), with few products of secrets.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share import images
from lingqu.share.api import FRACTION_BITS, REAL_LIMIT, Machine, Shared, SharedBits
from lingqu.share.curves import CURVE_BITS, CURVE_LIMIT
from lingqu.share.domain import image, within
from lingqu.share.images import monotone
from lingqu.share.integers import leading_place, round_shift
from lingqu.share.ordering import maximum_along
from lingqu.share.steering import Power, moved, products_of_bits, spelled

ONE = 1 << FRACTION_BITS
REAL_MOST = REAL_LIMIT * ONE - 1
LN2 = 0.6931471805599453094
EXP_HIGHEST = 27
"""The greatest operand of exp: exp(27) is just below 2**39."""
EXP_SHIFT = 22
"""exp works on x + 22 ln 2, which is positive wherever the result is not 0."""
DECAY_SHIFT = 31
"""The same for exp of x <= 0 with 30 fractional bits, which softmax sums."""
EXP_BITS = 29
"""Fractional bits of 2**f, f in [0, 1), before it is shifted into place."""
HALF_RANGE = 32
FIVE = (1, 2, 4, 8, 16)
EXP_COEFFICIENTS = (1152924498189317120, 761965633239, 265469849925, 54537, 14192)
"""2**f on [0, 1) with 60, 40, 40, 20 and 20 fractional bits, relative error 2.6e-6."""
NORMAL_BITS = 28
"""Fractional bits of a normalised operand u in [1/2, 1) and of w = 4 u - 3."""
LOG_BITS = 2 * NORMAL_BITS
TOP = 61
"""Where a normalised operand's leading bit stands before it is truncated."""
LOG_COEFFICIENTS = (
    -20729655085490048,
    24019156282677496,
    -4003827070035066,
    890004965622216,
    -818574 << 28,
    216693 << 28,
    -74662 << 28,
    22090 << 28,
)
"""ln(u) in powers of w, error 3.3e-7 and 1e-8 at the ends."""
SQRT_COEFFICIENTS = (
    62403646037488968,
    10400777014952874,
    -865622345787804,
    534915 << 28,
    -122762 << 28,
    30676 << 28,
)
"""sqrt(u) in powers of w, relative error 1.1e-6."""
INVERSE_SQRT_COEFFICIENTS = (
    83204919711075376,
    -13868552227530234,
    3467617771363332,
    -3556546 << 28,
    1032560 << 28,
    -373273 << 28,
    117233 << 28,
)
"""1 / sqrt(u) in powers of w, relative error 1.9e-6; all three with 56 fractional bits."""


ODD_AND_FILLED = [[1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1]]
"""Sums for _normal: whether k is odd, and whether x is positive."""


def _rounded(machine: Machine, x: Shared, bits: int) -> Shared:
    """x / 2**bits, rounded up or down."""
    return machine.add(machine.truncate(x, bits), 1)


HALF_UNIT = 0.6 / ONE


@image(monotone(np.exp, absolute=HALF_UNIT, relative=5e-6, floor=0), (1 - CURVE_LIMIT, EXP_HIGHEST * ONE))
def exp(machine: Machine, x: Shared) -> Shared:
    """The exponential.

    x: fixed point of any shape, -2**40 < x <= 27.  Returns fixed point: relative error 5e-6 and half a unit in the
    last place.  Cost: 33 rounds, 491 bytes an element between three.  Discloses: nothing.
    Source: after Aly, Smart, "Benchmarking privacy preserving scientific operations" (ACNS 2019): 2**n from the bits
    of the integer part, 2**f by a polynomial.
    """
    mantissa, power, bits = _split_power(machine, x, EXP_SHIFT, 6)
    low = power.times(machine, mantissa)
    shift = EXP_SHIFT + EXP_BITS - FRACTION_BITS
    small = round_shift(machine, low, shift)
    large = machine.scale(low, 1 << (HALF_RANGE - shift))
    return machine.select(bits[5], large, small)


def _decay(machine: Machine, x: Shared) -> Shared:
    """exp(x) for x <= 0 with 30 fractional bits; what is below 2**-31 counts as that, half a unit."""
    mantissa, power, _ = _split_power(machine, x, DECAY_SHIFT, 5)
    value = power.times(machine, mantissa)
    return _rounded(machine, value, DECAY_SHIFT + EXP_BITS - 30)


def _split_power(machine: Machine, x: Shared, lift: int, bits: int) -> tuple[Shared, Power, SharedBits]:
    """(m, power, bits): exp(x) = m 2**(k - lift), m in [1, 2) with 29 fractional bits, k the number of the bits.

    power: 2**k of the lowest five bits.
    x: at most (2**bits - lift) ln 2, less a few units in the last place.  What is lower than -lift ln 2 counts as that.
    """
    lowest = round(lift * LN2 * ONE)
    inside = machine.logical_not(machine.less_than(x, -lowest, bits=CURVE_BITS + 2))
    y = moved(machine, inside, machine.add(x, lowest))
    t = _rounded(machine, machine.scale(y, round((1 << 30) / LN2)), 30)
    words = machine.to_bits(t, FRACTION_BITS + bits, low=FRACTION_BITS)
    places = machine.stack([machine.bit(words, place) for place in range(bits)])
    power, whole = spelled(machine, places, FIVE, np.left_shift(ONE, np.arange(bits))[None])
    f = machine.subtract(t, whole[0])
    c0, c1, c2, c3, c4 = EXP_COEFFICIENTS
    square = machine.add(machine.multiply_real(f, f), 1)
    inner = machine.add(machine.add(machine.scale(f, c3), machine.scale(square, c4)), c2)
    value = machine.add(machine.add(machine.scale(f, c1), machine.multiply(inner, square)), c0)
    return _rounded(machine, value, 60 - EXP_BITS), power, places


def softmax(machine: Machine, x: Shared) -> Shared:
    """exp(x) along the last axis, divided by its sum.

    x: fixed point, at least one axis, up to 2**20 entries along the last, |x| < 2**39.  Returns fixed point, absolute
    error below 1.2e-5 and 2**-31 an entry, rounded up or down.
    Cost: 11 rounds a level of a tournament along the axis, then an exponential an entry, a reciprocal a row and a
    product an entry.  Discloses: nothing.
    """
    within(machine, x, 1 - CURVE_LIMIT // 2, CURVE_LIMIT // 2 - 1, "softmax")
    if x.ndim == 0 or not 1 <= x.shape[-1] <= 1 << 20:
        raise BadInput("Softmax needs 1 to 2^20 entries along the last axis.", "Give it a longer or shorter axis.")
    return _softmax(machine, x)


@image(images.softmax)
def _softmax(machine: Machine, x: Shared) -> Shared:
    highest = maximum_along(machine, x, -1)[..., None]
    powers = _decay(machine, machine.subtract(x, highest))
    twice = _rounded(machine, machine.sum(powers, axis=powers.ndim - 1)[..., None], 29 - FRACTION_BITS)
    return _rounded(machine, machine.multiply(powers, machine.reciprocal(twice, 30)), 59 - FRACTION_BITS)


def _leading(machine: Machine, x: Shared, signed: bool = False) -> SharedBits:
    """Six bits of i + 2, lowest first, i the place (0 to 61) of the leading bit of x >= 0; last whether one is.

    signed: of x < 0, none is.
    """
    planes = machine.planes(machine.to_bits(x))
    none = machine.constant_bits(np.zeros((2, planes.shape[1]), np.uint64), 64)
    found = leading_place(machine, machine.concat([none, planes[: TOP + 1]]))
    if signed:
        found = machine.concat([found[:6], machine.logical_and(found[6:], machine.logical_not(planes[63:]))])
    return machine.from_planes(found, x.shape)


def _normal(
    machine: Machine, x: Shared, exponents: Sequence[Sequence[int]], sums: Sequence[Sequence[int]], signed: bool = False
) -> tuple[Shared, Shared, Shared]:
    """(w, powers, sums): w = 4 u - 3 with 28 fractional bits for x = u 2**(k - 21), u in [1/2, 1), k = place + 2.

    Where x is 0, or negative if signed, k = 0 and u = 0.
    exponents: of further powers of two, for each of the six bits of k: positive where the bit counts, negative where
    its complement does.  sums: weights of the six bits, and of whether x is neither 0 nor, if signed, negative.
    """
    flags = _leading(machine, x, signed)
    every = np.array([[-1, -2, -4, -8, -16, -32], *exponents], np.int64)
    factors = np.ones((len(every), len(flags), 2), np.int64)
    factors[:, :6, 1] = np.left_shift(1, np.maximum(every, 0))
    factors[:, :6, 0] = np.left_shift(1, np.maximum(-every, 0))
    powers, found = products_of_bits(machine, flags, factors, np.array(sums, np.int64).reshape(-1, len(flags)))
    u = _rounded(machine, machine.multiply(x, powers[0]), TOP + 1 - NORMAL_BITS)
    return machine.subtract(machine.scale(u, 4), 3 << NORMAL_BITS), powers[1:], found


def _polynomial(machine: Machine, w: Shared, coefficients: Sequence[int], block: int) -> Shared:
    """The polynomial in w (28 fractional bits, |w| <= 1) with 56 fractional bits.

    block: 3 or 4, how many coefficients the lower part has; the upper one is multiplied by w**block.
    """
    square = _rounded(machine, machine.multiply(w, w), NORMAL_BITS)
    if block == 4:
        further = _rounded(machine, machine.multiply(machine.stack([w, square]), square[None]), NORMAL_BITS)
        powers = [w, square, further[0], further[1]]
    else:
        powers = [w, square, _rounded(machine, machine.multiply(w, square), NORMAL_BITS)]

    def part(values: Sequence[int]) -> Shared:
        result = machine.scale(w, 0)
        for power, value in zip(powers, values[1:], strict=False):
            result = machine.add(result, machine.scale(power, (value + (1 << (NORMAL_BITS - 1))) >> NORMAL_BITS))
        return machine.add(result, values[0])

    upper = _rounded(machine, part(coefficients[block:]), NORMAL_BITS)
    return machine.add(part(coefficients[:block]), machine.multiply(upper, powers[block - 1]))


def _log(machine: Machine, x: Shared) -> Shared:
    """ln(x) with 56 fractional bits: ln(u) + (k - 21) ln 2."""
    w, _, number = _normal(machine, x, [], [[1, 2, 4, 8, 16, 32, 0]])
    place = machine.subtract(number[0], FRACTION_BITS + 1)
    whole = machine.scale(place, round(LN2 * (1 << LOG_BITS)))
    mantissa = _polynomial(machine, w, LOG_COEFFICIENTS, 4)
    return machine.add(whole, mantissa)


@image(monotone(np.log, absolute=4e-7 + HALF_UNIT), (1, REAL_MOST))
def log(machine: Machine, x: Shared) -> Shared:
    """The natural logarithm.

    x: fixed point of any shape, 2**-20 <= x < 2**41.  Returns fixed point: absolute error 4e-7 (1e-8 around 1, where
    the logarithm is small) and 0.55 units in the last place.
    Cost: 36 rounds, 691 bytes an element between three.  Discloses: nothing.
    """
    return round_shift(machine, _log(machine, x), LOG_BITS - FRACTION_BITS)


def _root(machine: Machine, u: Shared, odd: Shared, even_factor: float, odd_factor: float) -> Shared:
    """u (56 fractional bits) times one of two factors, with 30 fractional bits."""
    even, change = round(even_factor * (1 << 30)), round((odd_factor - even_factor) * (1 << 30))
    factor = machine.add(machine.scale(odd, change), even)
    return _rounded(machine, machine.multiply(_rounded(machine, u, 26), factor), 30)


@image(monotone(np.sqrt, absolute=HALF_UNIT, relative=2e-6, floor=0), (0, REAL_MOST))
def sqrt(machine: Machine, x: Shared) -> Shared:
    """The square root.

    x: fixed point of any shape, 0 <= x < 2**41; where it is negative, as truncation leaves some zeros, the root is 0.
    Returns fixed point: relative error 2e-6 and half a unit in the last place.
    Cost: 42 rounds, 858 bytes an element between three.  Discloses: nothing.
    """
    w, powers, known = _normal(machine, x, [[0, 1, 2, 4, 8, 16]], ODD_AND_FILLED, True)
    mantissa = _root(machine, _polynomial(machine, w, SQRT_COEFFICIENTS, 3), known[0], 0.5**0.5, 1)
    size = machine.multiply(powers[0], known[1])
    return round_shift(machine, machine.multiply(mantissa, size), FRACTION_BITS)


@image(monotone(lambda x: x**-0.5, absolute=HALF_UNIT, relative=3e-6, falling=True, floor=0), (1, REAL_MOST))
def inverse_sqrt(machine: Machine, x: Shared) -> Shared:
    """1 / sqrt(x).

    x: fixed point of any shape, 2**-20 <= x < 2**41.  Returns fixed point: relative error 3e-6 and half a unit in
    the last place.  Cost: 39 rounds, 823 bytes an element between three.  Discloses: nothing.
    """
    w, powers, known = _normal(machine, x, [[0, -1, -2, -4, -8, -16]], ODD_AND_FILLED[:1])
    mantissa = _root(machine, _polynomial(machine, w, INVERSE_SQRT_COEFFICIENTS, 3), known[0], 2**0.5, 1)
    return round_shift(machine, machine.multiply(mantissa, powers[0]), FRACTION_BITS + 11)


def power(machine: Machine, x: Shared, exponent: float) -> Shared:
    """x to a public power.

    exponent: an int from 0 to 64, computed by squaring on |x**n| < 2**21 at every step, each product low by less than
    two units in the last place; or a float of at most 16 in absolute value, computed as exp(exponent ln(x)) for
    2**-20 <= x < 2**41 and a result below exp(27): relative error 6e-6 + |exponent| 1e-6, and half a unit in the last
    place.  BadInput for other exponents.
    Cost: a product a squaring and a set bit; or a logarithm, a truncation and an exponential.  Discloses: nothing.
    """
    if isinstance(exponent, int):
        if not 0 <= exponent <= 64:
            raise BadInput(f"The integer power {exponent} is outside 0 to 64.", "Pass a float for other powers.")
        return _whole_power(machine, x, exponent)
    if not abs(exponent) <= 16:
        raise BadInput(f"The power {exponent} is outside -16 to 16.", "Take the power in two steps.")
    within(machine, x, 1, REAL_MOST, "power")
    return _real_power(machine, x, exponent)


@image(images.power)
def _real_power(machine: Machine, x: Shared, exponent: float) -> Shared:
    product = machine.scale(_rounded(machine, _log(machine, x), LOG_BITS - 26), round(exponent * (1 << 26)))
    return exp(machine, _rounded(machine, product, 52 - FRACTION_BITS))


def _whole_power(machine: Machine, x: Shared, exponent: int) -> Shared:
    result = machine.constant(np.full(x.shape, ONE, np.int64)) if exponent == 0 else None
    while exponent:
        if exponent & 1:
            result = x if result is None else machine.multiply_real(result, x)
        exponent >>= 1
        if exponent:
            x = machine.multiply_real(x, x)
    assert result is not None
    return result
