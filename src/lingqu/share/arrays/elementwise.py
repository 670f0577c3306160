"""Arithmetic, comparison and logic of the array API standard, on shares.

Names, operands and results are the standard's; what differs is said.  A public operand is cheaper than a shared one.
Fixed-point products are rounded up or down, off by less than two units in the last place.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil as whole_above
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.share import integers, quotient
from lingqu.share.api import FRACTION_BITS, Machine, Shared, SharedBits
from lingqu.share.arrays.array import Operand, SharedArray, as_public, coerce, numbers
from lingqu.share.arrays.dtypes import DType, bool_, encoded, float64, int64, promoted, public_values
from lingqu.share.division import divide_exact, shift_right

FACTOR_LIMIT = 1 << 31
"""Public whole factors below this are multiplied without a truncation."""
NUMBERS = (int64, float64)


def arrays_of(*operands: Operand) -> list[SharedArray]:
    """Operands as arrays; Python numbers take the type of the arrays beside them where the standard says so."""
    known = [one for one in operands if isinstance(one, SharedArray)]
    beside = max(known, key=lambda one: one.dtype.fraction_bits) if known else as_public(0)
    return [coerce(one, beside) for one in operands]


def machine_of(*arrays: SharedArray) -> Machine | None:
    """The machine of the shares among arrays; BadInput where there are two."""
    found: Machine | None = None
    for one in arrays:
        if one.machine is not None:
            if found is not None and one.machine is not found:
                raise BadInput("These arrays are shares of different sessions.", "Compute within one session.")
            found = one.machine
    return found


def result_of(*arrays: SharedArray) -> DType:
    """The promoted type; a public real takes the fixed point of the shares beside it."""
    shared = [one.dtype for one in arrays if not one.public and one.dtype.real]
    kinds = promoted(*(one.dtype for one in arrays))
    return promoted(*shared) if kinds.real and shared else kinds


def by_numpy(function: Callable[..., Any], *arrays: SharedArray, dtype: DType | None = None) -> SharedArray:
    """Public values computed by NumPy; the fixed point's bits of the operands stay."""
    with np.errstate(all="ignore"):
        found = np.asarray(function(*(one.values for one in arrays)))
    kept = promoted(*(one.dtype for one in arrays))
    inferred = as_public(found)
    return as_public(found, dtype or (kept if inferred.dtype.real and kept.real else inferred.dtype))


def cast(x: SharedArray, dtype: DType) -> SharedArray:
    """As the standard's astype: towards zero to integers, other fractional bits rounded up or down.

    Cost: none from booleans' numbers upwards in bits; an injection of booleans; a truncation; a comparison to bool.
    """
    machine = x.machine
    if x.dtype == dtype:
        return x
    if machine is None:
        return SharedArray(None, public_values(x.values, dtype), dtype)
    if dtype == bool_:
        return not_equal(x, 0)
    if x.dtype == bool_:
        number = machine.inject(x.flags)
        return SharedArray(machine, machine.scale(number, 1 << dtype.fraction_bits), dtype)
    if not dtype.real:
        return _whole(machine, x, dtype)
    change = dtype.fraction_bits - x.dtype.fraction_bits
    moved = machine.scale(x.handle, 1 << change) if change > 0 else rounded(machine, x.handle, -change)
    return SharedArray(machine, moved, dtype)


def rounded(machine: Machine, x: Shared, bits: int) -> Shared:
    """x / 2**bits, rounded up or down."""
    return machine.add(machine.truncate(x, bits), 1)


def _whole(machine: Machine, x: SharedArray, dtype: DType) -> SharedArray:
    bits = x.dtype.fraction_bits
    below = machine.inject(machine.less_than(x.handle, 0))
    raised = machine.add(x.handle, machine.scale(below, (1 << bits) - 1))
    return SharedArray(machine, shift_right(machine, raised, bits), dtype)


# Arithmetic


def _sum(x1: Operand, x2: Operand, name: str) -> SharedArray:
    x, y = arrays_of(x1, x2)
    machine = machine_of(x, y)
    if machine is None:
        return by_numpy(np.add if name == "add" else np.subtract, x, y)
    dtype = numeric(result_of(x, y))
    if x.public:
        left = encoded(x.values, dtype)
        other = numbers(machine, y, dtype)
        return SharedArray(machine, machine.add(other if name == "add" else machine.negate(other), left), dtype)
    right = encoded(y.values, dtype) if y.public else numbers(machine, y, dtype)
    combine = machine.add if name == "add" else machine.subtract
    return SharedArray(machine, combine(numbers(machine, x, dtype), right), dtype)


def numeric(dtype: DType) -> DType:
    """The type that arithmetic gives: booleans count as integers."""
    return int64 if dtype == bool_ else dtype


def add(x1: Operand, x2: Operand, /) -> SharedArray:
    """The sum.  Cost: none."""
    return _sum(x1, x2, "add")


def subtract(x1: Operand, x2: Operand, /) -> SharedArray:
    """The difference.  Cost: none."""
    return _sum(x1, x2, "subtract")


def multiply(x1: Operand, x2: Operand, /) -> SharedArray:
    """The product.  Cost: a product and its truncation; no truncation for integers and whole public factors."""
    x, y = arrays_of(x1, x2)
    machine = machine_of(x, y)
    if machine is None:
        return by_numpy(np.multiply, x, y)
    dtype = numeric(result_of(x, y))
    if x.public or y.public:
        shared, factor = (y, x) if x.public else (x, y)
        return scaled(machine, shared, factor.values, dtype)
    left, right = _number(machine, x), _number(machine, y)
    product = machine.multiply(left, right)
    excess = x.dtype.fraction_bits + y.dtype.fraction_bits - dtype.fraction_bits
    return SharedArray(machine, rounded(machine, product, excess) if excess else product, dtype)


def _number(machine: Machine, x: SharedArray) -> Shared:
    """Shares as they are, booleans as 0 and 1."""
    return machine.inject(x.flags) if x.dtype == bool_ else x.handle


def factor_bits(values: NDArray[Any]) -> int:
    """Fractional bits of public real factors: 20, and more where all are small, up to 50."""
    top = float(np.max(np.abs(values), initial=0.0))
    return min(50, FRACTION_BITS + max(0, -whole_above(log2(top)))) if 0 < top < np.inf else FRACTION_BITS


def factors(values: NDArray[Any]) -> tuple[NDArray[np.int64], int]:
    """Public factors as integers, and how many fractional bits those have: none where all are whole."""
    if values.dtype.kind != "f":
        return values.astype(np.int64), 0
    if bool(np.all(values == np.rint(values))) and bool(np.all(np.abs(values) < FACTOR_LIMIT)):
        return values.astype(np.int64), 0
    bits = factor_bits(values)
    return encoded(values * 2.0 ** (bits - FRACTION_BITS), float64), bits


def scaled(machine: Machine, x: SharedArray, values: NDArray[Any], dtype: DType) -> SharedArray:
    """Shares times public factors: relative precision 2**-20 of the greatest factor.

    |x c| < 2**22 for factors above 1, |x| < 2**22 below, with 20 fractional bits.  Cost: a truncation, or none.
    """
    whole, bits = factors(values)
    product = machine.scale(_number(machine, x), whole)
    excess = bits + x.dtype.fraction_bits - dtype.fraction_bits
    if excess < 0:
        product = machine.scale(product, 1 << -excess)
    return SharedArray(machine, rounded(machine, product, excess) if excess > 0 else product, dtype)


def divide(x1: Operand, x2: Operand, /) -> SharedArray:
    """The quotient; a shared divisor y has 2**-12 <= |y| <= 2**18 and |x| < 2**27.

    Relative error 2**-24 and 3 units in the last place, beyond that of reading a small divisor's own bits.
    Cost: a public divisor costs as a public factor; a shared one a comparison, a division, two products.
    BadInput for a public divisor 0.
    """
    x, y = arrays_of(x1, x2)
    machine = machine_of(x, y)
    if machine is None:
        return by_numpy(np.divide, x, y)
    dtype = promoted(result_of(x, y), float64) if not result_of(x, y).real else result_of(x, y)
    if y.public:
        if bool(np.any(y.values == 0)):
            raise BadInput("A public divisor is 0.", "Replace it, or leave those entries out.")
        return scaled(machine, x, 1.0 / y.values, dtype)
    left, right = numbers(machine, cast(x, float64), float64), numbers(machine, cast(y, float64), float64)
    return cast(SharedArray(machine, quotient.divide_signed(machine, left, right), float64), dtype)


def negative(x: SharedArray, /) -> SharedArray:
    """-x.  Cost: none."""
    return subtract(0, x) if x.public or x.dtype == bool_ else x.like(_of(x).negate(x.handle))


def _of(x: SharedArray) -> Machine:
    machine = x.machine
    assert machine is not None
    return machine


def positive(x: SharedArray, /) -> SharedArray:
    """x."""
    return x


def square(x: SharedArray, /) -> SharedArray:
    """x times itself."""
    return multiply(x, x)


def abs(x: SharedArray, /) -> SharedArray:
    """|x|, exact.  Cost: a comparison and a product."""
    return by_numpy(np.abs, x) if x.public else x.like(integers.absolute(_of(x), x.handle))


def sign(x: SharedArray, /) -> SharedArray:
    """-1, 0 or 1.  Cost: two comparisons side by side."""
    if x.public:
        return by_numpy(np.sign, x)
    machine = _of(x)
    return x.like(machine.scale(integers.sign(machine, x.handle), 1 << x.dtype.fraction_bits))


def floor_divide(x1: Operand, x2: Operand, /) -> SharedArray:
    """The quotient towards -infinity: exact for integers; floor(x1 / x2) for reals.

    Integers: one public divisor below 2**31 in absolute value; others, public or shared, from 1 to 2**30 in absolute
    value, with |x1| < 2**59, and never 0.
    """
    return _divided(x1, x2, 0)


def remainder(x1: Operand, x2: Operand, /) -> SharedArray:
    """What floor_divide leaves, with the divisor's sign."""
    return _divided(x1, x2, 1)


def _divided(x1: Operand, x2: Operand, which: int) -> SharedArray:
    x, y = arrays_of(x1, x2)
    machine = machine_of(x, y)
    if machine is None:
        return by_numpy(np.remainder if which else np.floor_divide, x, y)
    if result_of(x, y).real:
        whole = floor(divide(x, y))
        return subtract(x, multiply(whole, y)) if which else whole
    if not y.public or len({*y.values.reshape(-1).tolist()}) != 1:
        found = divide_exact(machine, numbers(machine, x, int64), numbers(machine, y, int64))[which]
        return SharedArray(machine, found, int64)
    if not 0 < abs_int(y) < FACTOR_LIMIT:
        raise BadInput(
            "Shared integers are divided by a public integer from 1 to 2^31 - 1, or its negative.",
            "Convert both to reals and divide, then round.",
        )
    divisor = int(y.values.reshape(-1)[0])
    operand = numbers(machine, x, int64).broadcast_to(np.broadcast_shapes(x.shape, y.shape))
    found = integers.divide_whole(machine, operand if divisor > 0 else machine.negate(operand), abs_int(y))[which]
    return SharedArray(machine, machine.negate(found) if which and divisor < 0 else found, int64)


def abs_int(x: SharedArray) -> int:
    """The absolute value of the first public entry."""
    value = int(x.values.reshape(-1)[0])
    return value if value > 0 else -value


# Rounding


def _rounding(
    x: SharedArray, exact: Callable[..., Any], on_shares: Callable[[Machine, Shared, int], Shared]
) -> SharedArray:
    if x.public:
        return by_numpy(exact, x)
    if not x.dtype.real:
        return x
    machine, bits = _of(x), x.dtype.fraction_bits
    return x.like(machine.scale(on_shares(machine, x.handle, bits), 1 << bits))


def floor(x: SharedArray, /) -> SharedArray:
    """The greatest whole number that is not above, exact.  Cost: a truncation, a narrow comparison."""
    return _rounding(x, np.floor, shift_right)


def ceil(x: SharedArray, /) -> SharedArray:
    """The least whole number that is not below, exact."""
    return _rounding(x, np.ceil, lambda m, h, bits: m.negate(shift_right(m, m.negate(h), bits)))


def trunc(x: SharedArray, /) -> SharedArray:
    """The whole number next to it towards zero, exact."""
    return x if not x.dtype.real else cast(cast(x, int64), x.dtype) if not x.public else by_numpy(np.trunc, x)


def round(x: SharedArray, /) -> SharedArray:
    """The nearest whole number, ties to the even one, exact."""
    return _rounding(x, np.rint, _nearest)


def _nearest(machine: Machine, x: Shared, bits: int) -> Shared:
    up = integers.round_shift(machine, x, bits)
    tie = machine.equal(machine.subtract(machine.scale(up, 1 << bits), x), 1 << (bits - 1))
    return machine.subtract(up, machine.inject(machine.logical_and(tie, machine.parity(up))))


# Comparison


def _compared(x1: Operand, x2: Operand, exact: Callable[..., Any], swapped: bool, inverted: bool) -> SharedArray:
    """x1 < x2, its operands exchanged, its result inverted."""
    x, y = arrays_of(x1, x2)
    machine = machine_of(x, y)
    if machine is None:
        return by_numpy(exact, x, y, dtype=bool_)
    dtype = numeric(result_of(x, y))
    left, right = (y, x) if swapped else (x, y)
    second = encoded(right.values, dtype) if right.public else numbers(machine, right, dtype)
    found = machine.less_than(numbers(machine, left, dtype), second)
    return SharedArray(machine, machine.logical_not(found) if inverted else found, bool_)


def less(x1: Operand, x2: Operand, /) -> SharedArray:
    """x1 < x2.  Cost: a comparison; |x| < 2**62 after scaling."""
    return _compared(x1, x2, np.less, False, False)


def greater(x1: Operand, x2: Operand, /) -> SharedArray:
    """x1 > x2.  Cost: as less."""
    return _compared(x1, x2, np.greater, True, False)


def less_equal(x1: Operand, x2: Operand, /) -> SharedArray:
    """x1 <= x2.  Cost: as less."""
    return _compared(x1, x2, np.less_equal, True, True)


def greater_equal(x1: Operand, x2: Operand, /) -> SharedArray:
    """x1 >= x2.  Cost: as less."""
    return _compared(x1, x2, np.greater_equal, False, True)


def equal(x1: Operand, x2: Operand, /) -> SharedArray:
    """x1 == x2.  Cost: an equality test; none for booleans."""
    x, y = arrays_of(x1, x2)
    machine = machine_of(x, y)
    if machine is None:
        return by_numpy(np.equal, x, y, dtype=bool_)
    if x.dtype == y.dtype == bool_:
        return logical_not(logical_xor(x, y))
    dtype = result_of(x, y)
    if x.public:
        x, y = y, x
    other = encoded(y.values, dtype) if y.public else numbers(machine, y, dtype)
    return SharedArray(machine, machine.equal(numbers(machine, x, dtype), other), bool_)


def not_equal(x1: Operand, x2: Operand, /) -> SharedArray:
    """x1 != x2.  Cost: as equal."""
    return logical_not(equal(x1, x2))


def maximum(x1: Operand, x2: Operand, /) -> SharedArray:
    """The greater.  Cost: a comparison and a selection."""
    return _chosen(x1, x2, np.maximum, integers.maximum)


def minimum(x1: Operand, x2: Operand, /) -> SharedArray:
    """The lesser.  Cost: a comparison and a selection."""
    return _chosen(x1, x2, np.minimum, integers.minimum)


def _chosen(
    x1: Operand, x2: Operand, exact: Callable[..., Any], choose: Callable[[Machine, Shared, Shared], Shared]
) -> SharedArray:
    """One of two by a comparison of both."""
    x, y = arrays_of(x1, x2)
    machine = machine_of(x, y)
    if machine is None:
        return by_numpy(exact, x, y)
    dtype = result_of(x, y)
    if dtype == bool_:
        return logical_or(x, y) if exact is np.maximum else logical_and(x, y)
    return SharedArray(machine, choose(machine, numbers(machine, x, dtype), numbers(machine, y, dtype)), dtype)


def clip(x: SharedArray, /, min: Operand | None = None, max: Operand | None = None) -> SharedArray:
    """x kept between min and max.  Cost: as minimum and maximum."""
    kept = x if min is None else maximum(x, min)
    return kept if max is None else minimum(kept, max)


def where(condition: Operand, x1: Operand, x2: Operand, /) -> SharedArray:
    """x1 where the condition holds, x2 elsewhere.

    Cost: an injection and a product; no product where both are public; nothing under a public condition.
    """
    (chosen,) = arrays_of(condition)
    x, y = arrays_of(x1, x2)
    machine = machine_of(chosen, x, y)
    if chosen.dtype != bool_:
        raise BadInput(f"A condition is of type bool, not {chosen.dtype}.", "Compare with something first.")
    if machine is None:
        return as_public(np.where(chosen.values, x.values, y.values), promoted(x.dtype, y.dtype))
    dtype = result_of(x, y)
    if chosen.public:
        return _placed(machine, chosen.values, x, y, dtype)
    if dtype == bool_:
        return logical_xor(y, logical_and(chosen, logical_xor(x, y)))
    if x.public and y.public:
        one, other = encoded(x.values, dtype), encoded(y.values, dtype)
        flag = machine.inject(chosen.flags)
        return SharedArray(machine, machine.add(machine.scale(flag, one - other), other), dtype)
    return SharedArray(
        machine, machine.select(chosen.flags, numbers(machine, x, dtype), numbers(machine, y, dtype)), dtype
    )


def _placed(machine: Machine, mask: NDArray[Any], x: SharedArray, y: SharedArray, dtype: DType) -> SharedArray:
    """A selection that everybody knows; a value that is not chosen need not be in range."""
    shape = np.broadcast_shapes(mask.shape, x.shape, y.shape)
    sides = [
        as_public(np.where(used, side.values, 0), side.dtype) if side.public else side
        for side, used in ((x, mask), (y, ~mask))
    ]
    if dtype == bool_:
        bits = [machine.constant_bits(s.values, 1) if s.public else s.flags for s in sides]
        parts = tuple(np.where(mask, a, b) for a, b in zip(bits[0].parts, bits[1].parts, strict=True))
        return SharedArray(machine, SharedBits(parts, 1).broadcast_to(shape), bool_)
    left, right = (numbers(machine, side, dtype) for side in sides)
    pairs = zip(left.parts, right.parts, strict=True)
    return SharedArray(machine, Shared(tuple(np.where(mask, a, b) for a, b in pairs)).broadcast_to(shape), dtype)


# Logic


def _logical(x1: Operand, x2: Operand) -> tuple[SharedArray, SharedArray, Machine | None]:
    x, y = arrays_of(x1, x2)
    if x.dtype != bool_ or y.dtype != bool_:
        raise BadInput(f"Logic takes booleans, not {x.dtype} and {y.dtype}.", "Compare with something first.")
    return x, y, machine_of(x, y)


def logical_and(x1: Operand, x2: Operand, /) -> SharedArray:
    """Whether both hold.  Cost: a bit's conjunction; none with a public operand."""
    x, y, machine = _logical(x1, x2)
    if machine is None:
        return by_numpy(np.logical_and, x, y)
    if x.public or y.public:
        shared, mask = (y, x.values) if x.public else (x, y.values)
        return shared.moved(lambda p: p & mask.astype(np.uint64))
    return SharedArray(machine, machine.logical_and(x.flags, y.flags), bool_)


def logical_or(x1: Operand, x2: Operand, /) -> SharedArray:
    """Whether one of them holds.  Cost: as logical_and."""
    return logical_not(logical_and(logical_not(x1), logical_not(x2)))


def logical_xor(x1: Operand, x2: Operand, /) -> SharedArray:
    """Whether exactly one holds.  Cost: none."""
    x, y, machine = _logical(x1, x2)
    if machine is None:
        return by_numpy(np.logical_xor, x, y)
    bits = [machine.constant_bits(s.values.astype(np.uint64), 1) if s.public else s.flags for s in (x, y)]
    return SharedArray(machine, machine.logical_xor(*bits), bool_)


def logical_not(x: Operand, /) -> SharedArray:
    """Whether it does not hold.  Cost: none."""
    x, _, machine = _logical(x, False)
    return by_numpy(np.logical_not, x) if machine is None else x.like(machine.logical_not(x.flags))
