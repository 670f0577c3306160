"""Real functions and bitwise operations of the array API standard, on shares.

Real functions take and give fixed point; they are computed with 20 fractional bits, so their domains and errors are
those of `lingqu.share.functions` and `lingqu.share.curves`, whatever the operand's own fractional bits are.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log as natural
from typing import Any, Literal

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share import curves
from lingqu.share import functions as reals
from lingqu.share.api import Machine, Shared
from lingqu.share.arrays import elementwise as e
from lingqu.share.arrays.array import Operand, SharedArray, as_public, numbers
from lingqu.share.arrays.dtypes import bool_, float64, int64
from lingqu.share.division import bitwise, shift_right

Function = Callable[[Machine, Shared], Shared]


def _real(x: SharedArray, exact: Callable[..., Any], function: Function) -> SharedArray:
    machine = x.machine
    if machine is None:
        return e.by_numpy(exact, x)
    found = SharedArray(machine, function(machine, numbers(machine, e.cast(x, float64), float64)), float64)
    return e.cast(found, x.dtype) if x.dtype.real else found


def exp(x: SharedArray, /) -> SharedArray:
    """The exponential, x <= 27: relative error 5e-6 and half a unit in the last place."""
    return _real(x, np.exp, reals.exp)


def expm1(x: SharedArray, /) -> SharedArray:
    """exp(x) - 1, with the absolute error of exp: no better around 0."""
    return e.subtract(exp(x), 1.0)


def log(x: SharedArray, /) -> SharedArray:
    """The natural logarithm, x >= 2**-20: absolute error 4e-7 and 0.55 units in the last place."""
    return _real(x, np.log, reals.log)


def log1p(x: SharedArray, /) -> SharedArray:
    """log(1 + x), as log: no better around 0 than a unit in the last place."""
    return log(e.add(x, 1.0))


def log2(x: SharedArray, /) -> SharedArray:
    """The logarithm to base 2."""
    return e.multiply(log(x), 1 / natural(2))


def log10(x: SharedArray, /) -> SharedArray:
    """The logarithm to base 10."""
    return e.multiply(log(x), 1 / natural(10))


def sqrt(x: SharedArray, /) -> SharedArray:
    """The square root, x >= 0: relative error 3e-6 and half a unit in the last place."""
    return _real(x, np.sqrt, reals.sqrt)


def rsqrt(x: SharedArray, /) -> SharedArray:
    """1 / sqrt(x), x >= 2**-20: relative error 3e-6 and half a unit in the last place."""
    return _real(x, lambda v: 1 / np.sqrt(v), reals.inverse_sqrt)


def tanh(x: SharedArray, /) -> SharedArray:
    """The hyperbolic tangent, absolute error 8e-6."""
    return _real(x, np.tanh, curves.tanh)


def sinh(x: SharedArray, /) -> SharedArray:
    """The hyperbolic sine, |x| <= 27, with the errors of exp."""
    return e.multiply(e.subtract(exp(x), exp(e.negative(x))), 0.5)


def cosh(x: SharedArray, /) -> SharedArray:
    """The hyperbolic cosine, |x| <= 27, with the errors of exp."""
    return e.multiply(e.add(exp(x), exp(e.negative(x))), 0.5)


def sigmoid(x: SharedArray, /) -> SharedArray:
    """1 / (1 + exp(-x)), absolute error 5e-6; beyond the standard."""
    return _real(x, lambda v: 1 / (1 + np.exp(-v)), lambda m, h: m.sigmoid(h))


def erf(x: SharedArray, /) -> SharedArray:
    """The error function of shares, absolute error 7e-6; beyond the standard."""
    if x.public:
        raise BadInput("erf is for shares.", "Compute it on public values where you have them.")
    return _real(x, np.tanh, curves.erf)


def hypot(x1: Operand, x2: Operand, /) -> SharedArray:
    """sqrt(x1**2 + x2**2), both squares' sum below 2**22."""
    x, y = e.arrays_of(x1, x2)
    return sqrt(e.add(e.square(x), e.square(y)))


def logaddexp(x1: Operand, x2: Operand, /) -> SharedArray:
    """log(exp(x1) + exp(x2)), without overflow."""
    x, y = e.arrays_of(x1, x2)
    return e.add(e.maximum(x, y), log1p(exp(e.negative(e.abs(e.subtract(x, y))))))


def reciprocal(x: SharedArray, /) -> SharedArray:
    """1 / x, as divide."""
    return e.divide(1.0, x)


def pow(x1: Operand, x2: Operand, /) -> SharedArray:
    """A power.

    A whole public exponent from 0 to 64 multiplies, a negative one divides 1 by that; another public exponent up to 16
    in absolute value, or a shared one, takes exp(x2 log(x1)) of x1 > 0.  BadInput for others.
    """
    x, y = e.arrays_of(x1, x2)
    if e.machine_of(x, y) is None:
        return e.by_numpy(np.power, x, y)
    if not y.public or x.public:
        return exp(e.multiply(y, log(e.cast(x, y.dtype) if x.public else x)))
    exponents = {*y.values.reshape(-1).tolist()}
    if len(exponents) != 1:
        raise BadInput("The exponents of one power differ.", "Compute one power for each, or share the exponents.")
    exponent = exponents.pop()
    if float(exponent).is_integer():
        return _whole_power(x, int(exponent))
    return _real(x, np.power, lambda m, h: reals.power(m, h, float(exponent)))


def _whole_power(x: SharedArray, exponent: int) -> SharedArray:
    if not -64 <= exponent <= 64:
        raise BadInput(f"The power {exponent} is outside -64 to 64.", "Take it in two steps.")
    if exponent < 0:
        return reciprocal(_whole_power(x, -exponent))
    result = None if exponent else as_public(np.ones(x.shape), x.dtype)
    while exponent:
        if exponent & 1:
            result = x if result is None else e.multiply(result, x)
        exponent >>= 1
        if exponent:
            x = e.square(x)
    assert result is not None
    return result


# There is no NaN, infinity or negative zero


def _constant(x: SharedArray, exact: Callable[..., Any], otherwise: bool) -> SharedArray:
    return e.by_numpy(exact, x, dtype=bool_) if x.public else as_public(np.full(x.shape, otherwise))


def isnan(x: SharedArray, /) -> SharedArray:
    """Nowhere, in public: shares have no NaN."""
    return _constant(x, np.isnan, False)


def isinf(x: SharedArray, /) -> SharedArray:
    """Nowhere, in public: shares have no infinity."""
    return _constant(x, np.isinf, False)


def isfinite(x: SharedArray, /) -> SharedArray:
    """Everywhere, in public."""
    return _constant(x, np.isfinite, True)


def signbit(x: SharedArray, /) -> SharedArray:
    """Whether x < 0."""
    return e.less(x, 0)


def copysign(x1: Operand, x2: Operand, /) -> SharedArray:
    """|x1| with the sign of x2, 0 counting as positive."""
    x, y = e.arrays_of(x1, x2)
    size = e.abs(x)
    return e.where(e.less(y, 0), e.negative(size), size)


# Bits of integers


def _bitwise(x1: Operand, x2: Operand, exact: Callable[..., Any], name: Literal["and", "or", "xor"]) -> SharedArray:
    x, y = e.arrays_of(x1, x2)
    machine = e.machine_of(x, y)
    if x.dtype == y.dtype == bool_:
        return {"and": e.logical_and, "or": e.logical_or, "xor": e.logical_xor}[name](x, y)
    if machine is None:
        return e.by_numpy(exact, x, y)
    if x.dtype.real or y.dtype.real:
        raise BadInput("Bits are those of integers and booleans.", "Convert with astype first.")
    found = bitwise(machine, name, numbers(machine, x, int64), numbers(machine, y, int64))
    return SharedArray(machine, found, int64)


def bitwise_and(x1: Operand, x2: Operand, /) -> SharedArray:
    """The bits that both have.  Cost: two conversions to bits, one back; that of logical_and for booleans."""
    return _bitwise(x1, x2, np.bitwise_and, "and")


def bitwise_or(x1: Operand, x2: Operand, /) -> SharedArray:
    """The bits that either has.  Cost: as bitwise_and."""
    return _bitwise(x1, x2, np.bitwise_or, "or")


def bitwise_xor(x1: Operand, x2: Operand, /) -> SharedArray:
    """The bits that one has.  Cost: as bitwise_and; none for booleans."""
    return _bitwise(x1, x2, np.bitwise_xor, "xor")


def bitwise_invert(x: SharedArray, /) -> SharedArray:
    """The bits that it has not.  Cost: none."""
    return e.logical_not(x) if x.dtype == bool_ else e.subtract(-1, x)


def _places(x: SharedArray, y: SharedArray, most: int) -> int:
    if x.dtype.real or not y.public or y.dtype.real or y.size != 1 or not 0 <= int(y.values.item()) <= most:
        raise BadInput(f"Integers are shifted by one public number of 0 to {most} bits.", "Multiply or divide instead.")
    return int(y.values.item())


def bitwise_left_shift(x1: Operand, x2: Operand, /) -> SharedArray:
    """x1 times 2**x2 for one public x2.  Cost: none."""
    x, y = e.arrays_of(x1, x2)
    return e.by_numpy(np.left_shift, x, y) if e.machine_of(x, y) is None else e.multiply(x, 1 << _places(x, y, 30))


def bitwise_right_shift(x1: Operand, x2: Operand, /) -> SharedArray:
    """floor(x1 / 2**x2) for one public x2, exact.  Cost: a truncation and a narrow comparison."""
    x, y = e.arrays_of(x1, x2)
    machine = e.machine_of(x, y)
    if machine is None:
        return e.by_numpy(np.right_shift, x, y)
    return x.like(shift_right(machine, x.handle, _places(x, y, 60)))
