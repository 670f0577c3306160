"""Curves that are flat far out: sigmoid, tanh, erf and GELU over any Machine, as quartics chosen by the operand's bits.

A curve is fitted on [0, 16) of a scaled operand, odd or even symmetry gives the other side, and beyond 16 it is its
limit.  The interval is read off the bits of the operand, so no comparison is made.
Source: after ABY3 (Mohassel, Rindal, CCS 2018), piecewise polynomials.  The coefficients minimise the
greatest error on each interval (linear programming), rounded one after the other from the highest down;
benchmarks/fit_curves.py fits them again and compares the errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import erf as error_function

import numpy as np
from numpy.typing import NDArray

from lingqu.share.api import FRACTION_BITS, REAL_LIMIT, Machine, Shared, SharedBits
from lingqu.share.domain import image
from lingqu.share.images import monotone, valley
from lingqu.share.steering import steered

ONE = 1 << FRACTION_BITS
CURVE_LIMIT = REAL_LIMIT * ONE // 2
"""Operands of a curve are below this as integers: 2**40."""
CURVE_BITS = CURVE_LIMIT.bit_length() - 1
VALUE_BITS = 62
"""Fractional bits of a curve's value before its only rounding."""
INDEX_BITS = 4
"""Integer bits of a scaled operand inside the fitted range."""


@dataclass(frozen=True)
class Curve:
    """Quartics in the distance from each interval's middle.

    scale: factor of the operand before its interval is read.  knots: the intervals' left ends; the last ends at 16.
    rows: for each interval the coefficients of the powers 0 to 4, with 62, 42, 42, 22 and 22 fractional bits.
    """

    scale: int
    knots: tuple[int, ...]
    rows: tuple[tuple[int, int, int, int, int], ...]

    @property
    def middles(self) -> NDArray[np.int64]:
        """The intervals' middles in fixed point."""
        ends = np.array([*self.knots, 1 << INDEX_BITS], np.int64)
        return (ends[:-1] + ends[1:]) * (ONE // 2)


LOGISTIC = (
    (564741686176169280, 1033462939749, -126453751088, -65902, 17349),
    (1464553708472540672, 656036157825, -208310472440, 9679, 13049),
    (1956009432453486336, 308345643606, -130797525838, 27994, -1433),
    (2170664298282264320, 125133113293, -58904583480, 16567, -3053),
    (2274976122344235520, 29176371879, -14404188386, 4698, -1095),
    (2303290573500338688, 2396399947, -1198174950, 441, -109),
    (2305825098720962048, 1436998, -7238192, 6, -1),
)
"""1 / (1 + exp(-x)) - 1/2, error 2.9e-6."""
SIGMOID = Curve(1, (0, 1, 2, 3, 4, 6, 9), LOGISTIC)
TANH = Curve(2, (0, 1, 2, 3, 4, 6, 9), LOGISTIC)
"""tanh(x) / 2, as tanh(x) = 2 sigmoid(2 x) - 1."""
ERF = Curve(
    4,
    (0, 2, 4, 6, 9, 12),
    (
        (637163992014871040, 582696389828, -36405085492, -9929, 1005),
        (1639812484809051392, 353489428134, -66261887525, 745, 1211),
        (2128063390394803456, 130060006814, -40642681884, 5370, -32),
        (2287375229103509760, 18406231152, -8655175954, 2272, -337),
        (2305368328634398464, 616453349, -408782041, 185, -49),
        (2305840079654936576, 3163925, -1183662, 2, -1),
    ),
)
"""erf(x) / 2, error 2.5e-6."""
GELU = Curve(
    2,
    (0, 1, 2, 4, 5, 7, 10),
    (
        (462659563743986816, 669917829516, -411832895375, 32695, 14836),
        (783850813893003136, 1763221077, -237989457994, 66913, 1315),
        (462157791165127168, -280392901623, 17559582219, 30079, -8931),
        (126844593284374064, -130178841520, 53443855668, -6337, -2064),
        (18673279866784232, -26272421898, 17093713108, -5796, 979),
        (214277197038645, -365465380, 392546854, -345, 133),
        (-1430100833507, -546345, 501735, 0, 0),
    ),
)
"""x Phi(-x) for x >= 0, what GELU lacks of the positive part, error 5.2e-6."""


DOMAIN = (1 - CURVE_LIMIT, CURVE_LIMIT - 1)
exact_erf = np.vectorize(error_function, [np.float64])
SIGMOID_IMAGE = monotone(lambda x: (1 + np.tanh(x / 2)) / 2, absolute=5e-6)
GELU_IMAGE = valley(lambda x: x * (1 + exact_erf(x / 2**0.5)) / 2, -0.75179, -0.16998, 7e-6)


@image(SIGMOID_IMAGE, DOMAIN)
def sigmoid(machine: Machine, x: Shared) -> Shared:
    """1 / (1 + exp(-x)).

    x: fixed point of any shape, |x| < 2**40.  Returns fixed point, absolute error below 5e-6.
    Cost: 25 rounds, 559 bytes an element.  Discloses: nothing.
    """
    return machine.add(_odd(machine, x, SIGMOID, ONE // 2), ONE // 2)


@image(monotone(np.tanh, absolute=8e-6), DOMAIN)
def tanh(machine: Machine, x: Shared) -> Shared:
    """The hyperbolic tangent.

    x: fixed point of any shape, |x| < 2**40.  Returns fixed point, absolute error below 8e-6.
    Cost: as sigmoid.  Discloses: nothing.
    """
    return _odd(machine, x, TANH, ONE)


@image(monotone(exact_erf, absolute=7e-6), DOMAIN)
def erf(machine: Machine, x: Shared) -> Shared:
    """The error function.

    x: fixed point of any shape, |x| < 2**40.  Returns fixed point, absolute error below 7e-6.
    Cost: 25 rounds, 542 bytes an element.  Discloses: nothing.
    """
    return _odd(machine, x, ERF, ONE)


@image(GELU_IMAGE, DOMAIN)
def gelu(machine: Machine, x: Shared) -> Shared:
    """x Phi(x), Phi the normal distribution function (no approximation by tanh).

    x: fixed point of any shape, |x| < 2**40.  Returns fixed point, absolute error below 7e-6 everywhere: the positive
    part is exact, and what it has too much is fitted.
    Cost: 25 rounds, 587 bytes an element.  Discloses: nothing.
    """
    place = _position(machine, machine.scale(x, GELU.scale), GELU)
    products = place.steered(machine, np.concatenate([GELU.scale * SIDE, SIGN]), x)
    fitted = _quartic(machine, products[0], place, GELU, VALUE_BITS - FRACTION_BITS)
    positive = machine.subtract(x, products[1])
    return machine.subtract(positive, place.steered(machine, INSIDE, fitted)[0])


def _odd(machine: Machine, x: Shared, curve: Curve, limit: int) -> Shared:
    """An odd curve with a limit (fixed point, 1 or 1/2): side times the fit inside, plus or minus the limit outside."""
    scaled = machine.scale(x, curve.scale)
    place = _position(machine, scaled, curve)
    shift = VALUE_BITS - FRACTION_BITS - (1 if limit == ONE else 0)
    fitted = _quartic(machine, place.steered(machine, SIDE, scaled)[0], place, curve, shift)
    right, inside, sign = (place.flags[i] for i in (-3, -2, -1))
    side = machine.subtract(machine.scale(right, 2), inside)
    outside = machine.subtract(machine.add(machine.scale(sign, -2), 1), side)
    return machine.add(place.steered(machine, SIDE, fitted)[0], machine.scale(outside, limit))


SIDE = np.array([[2, -1, 0]], np.int64)
"""The sign of x, 1 or -1, where |x| < 16 and else 0, from the last three flags of a place."""
INSIDE = np.array([[0, 1, 0]], np.int64)
SIGN = np.array([[0, 0, 1]], np.int64)


@dataclass(frozen=True)
class _Place:
    """Where x is, as bits and as integers, the flags over the first axis; 0 where |x| >= 16 but for the last.

    Flag i is 1 where knot i + 1 is passed; the last three where 0 <= x < 16, where |x| < 16, and where x < 0.
    """

    bits: SharedBits
    flags: Shared

    @property
    def passed(self) -> tuple[SharedBits, Shared]:
        """The knots' flags."""
        return self.bits[:-3], self.flags[:-3]

    def steered(self, machine: Machine, weights: NDArray[np.int64], x: Shared) -> Shared:
        """x times sums of the last three flags."""
        used = np.flatnonzero(np.any(weights != 0, axis=0))
        bits = machine.stack([self.bits[int(i) - 3] for i in used])
        flags = machine.stack([self.flags[int(i) - 3] for i in used])
        return steered(machine, bits, flags, weights[:, used], x)


def _position(machine: Machine, x: Shared, curve: Curve) -> _Place:
    """Bits that differ from the sign are those of |x|, or of |x| less one unit in the last place."""
    top = CURVE_BITS + (curve.scale - 1).bit_length()
    bits = machine.planes(machine.to_bits(x, top + 1))
    sign = bits[top:]
    places = machine.logical_xor(bits[FRACTION_BITS:top], sign)
    index, clear = places[:INDEX_BITS], machine.logical_not(places[INDEX_BITS:])
    clear, pairs = _level(machine, clear, index[::2], index[1::2])
    low, high = (_one_hot(machine, index[2 * i], index[2 * i + 1], pairs[i]) for i in (0, 1))
    reached = [(knot >> 2, knot & 3) for knot in curve.knots[1:]]
    same = machine.stack([high[upper] for upper, _ in reached])
    past = machine.stack([_either(machine, low[lower:]) for _, lower in reached])
    clear, exact = _level(machine, clear, same, past)
    beyond = [_either(machine, high[upper + 1 :]) if upper < 3 else None for upper, _ in reached]
    passed = machine.stack(
        [exact[i] if more is None else machine.logical_xor(exact[i], more) for i, more in enumerate(beyond)]
    )
    while len(clear) > 1:
        clear, _ = _level(machine, clear, clear[:0], clear[:0])
    kept = machine.logical_and(clear, machine.concat([passed, machine.logical_not(sign)]))
    found = machine.from_planes(machine.concat([kept, clear, sign]), x.shape)
    return _Place(found, machine.inject(found))


def _level(machine: Machine, leaves: SharedBits, left: SharedBits, right: SharedBits) -> tuple[SharedBits, SharedBits]:
    """One level of a tree of conjunctions over the first axis, and `left` and `right` beside it: 1 round."""
    half = len(leaves) // 2
    both = machine.logical_and(machine.concat([leaves[:half], left]), machine.concat([leaves[half : 2 * half], right]))
    return machine.concat([both[:half], leaves[2 * half :]]), both[half:]


def _one_hot(machine: Machine, low: SharedBits, high: SharedBits, both: SharedBits) -> SharedBits:
    """Which of 0 to 3 two bits make, given their conjunction."""
    one, two = machine.logical_xor(low, both), machine.logical_xor(high, both)
    return machine.stack([machine.logical_not(machine.logical_xor(one, high)), one, two, both])


def _either(machine: Machine, flags: SharedBits) -> SharedBits:
    """Whether one of several exclusive flags is set."""
    return reduce(machine.logical_xor, (flags[i] for i in range(len(flags))))


def _quartic(machine: Machine, y: Shared, place: _Place, curve: Curve, shift: int) -> Shared:
    """The quartic of y's interval with shift fewer fractional bits: 7 rounds, 184 bytes.

    c0 + c1 u + (c2 + c3 u + c4 u^2) u^2 with secret coefficients; only u^2 and the sum are truncated.
    """
    table = np.array(curve.rows, np.int64)
    bits, passed = place.passed

    def chosen(values: NDArray[np.int64]) -> Shared:
        steps = np.diff(values).reshape((-1,) + (1,) * y.ndim)
        return machine.add(machine.sum(machine.scale(passed, steps), axis=0), int(values[0]))

    def times(powers: Sequence[int], x: Shared) -> list[Shared]:
        """x times the coefficients of some powers."""
        if not machine.steers:
            products = machine.multiply(machine.stack([chosen(table[:, power]) for power in powers]), x[None])
            return [products[i] for i in range(len(powers))]
        steps = steered(machine, bits, passed, np.diff(table[:, powers], axis=0).T, x)
        return [machine.add(steps[i], machine.scale(x, int(table[0, power]))) for i, power in enumerate(powers)]

    u = machine.subtract(y, chosen(curve.middles))
    if machine.steers:
        square, (first, third) = machine.multiply(u, u), times([1, 3], u)
    else:
        products = machine.multiply(machine.stack([u, chosen(table[:, 1]), chosen(table[:, 3])]), u[None])
        square, first, third = products[0], products[1], products[2]
    square = machine.truncate(machine.add(square, ONE), FRACTION_BITS)
    (fourth,) = times([4], square)
    inner = machine.add(machine.add(chosen(table[:, 2]), third), fourth)
    value = machine.add(machine.add(chosen(table[:, 0]), first), machine.multiply(inner, square))
    return machine.truncate(machine.add(value, 1 << shift), shift)
