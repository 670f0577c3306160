"""Exact integer operations between shared integers over any Machine: quotient and rest, powers, bits and shifts."""

from __future__ import annotations

from typing import Literal

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share import images
from lingqu.share.api import FRACTION_BITS, INTEGER_LIMIT, Machine, Shared
from lingqu.share.domain import image, within
from lingqu.share.reals import NORMAL_BITS, normal_reciprocal, scaled_product
from lingqu.share.steering import set_bits

DIVIDEND_BITS = 59
"""Dividends are below 2**59 in absolute value."""
DIVISOR_MOST = 1 << 30
MISS = 3.001
"""A quotient's error in units where the relative error of 2**-24 no longer counts."""
Rounding = Literal["floor", "truncate"]


def divide_exact(
    machine: Machine, x: Shared, y: Shared, rounding: Rounding = "floor", bits: int = DIVIDEND_BITS
) -> tuple[Shared, Shared]:
    """(quotient, rest) of shared integers with x = quotient y + rest, exact, broadcast.

    x: |x| < 2**bits, bits 2 to 59.  y: 1 <= |y| <= 2**30, never 0: by its declared range, or by `divide_or_null`.
    rounding: "floor" rounds the quotient down and gives the rest y's sign, as Python; "truncate" rounds towards zero
    and gives the rest x's sign, as SQL.
    Cost: signs, one normalised reciprocal, one to three steps of two products each, then seven comparisons side by
    side.  Discloses: nothing.
    Source: Newton's reciprocal after Catrina, Saxena (FC 2010); the rest is divided again until comparisons settle it.
    """
    _dividends(machine, x, bits, "divide_exact")
    shape = np.broadcast_shapes(x.shape, y.shape)
    x, y = x.broadcast_to(shape), y.broadcast_to(shape)
    within(machine, y, -DIVISOR_MOST, DIVISOR_MOST, "divide_exact")
    return _divide_exact(machine, x, y, rounding, bits)


def _dividends(machine: Machine, x: Shared, bits: int, operation: str) -> None:
    """BadInput for a number of bits that cannot be, RangeError for dividends that have more."""
    if not 2 <= bits <= DIVIDEND_BITS:
        raise BadInput(f"A dividend of {bits} bits is outside 2 to {DIVIDEND_BITS}.", "Narrow it, or divide in parts.")
    limit = (1 << bits) - 1
    within(machine, x, -limit, limit, operation)


@image(images.whole_quotient)
def _divide_exact(machine: Machine, x: Shared, y: Shared, rounding: Rounding, bits: int) -> tuple[Shared, Shared]:
    if rounding == "floor":
        turn = _direction(machine, y)
        both = machine.multiply(machine.stack([x, y]), turn[None])
        quotient, rest = _floor_division(machine, both[0], both[1], bits)
        return quotient, machine.multiply(rest, turn)
    turns = _direction(machine, machine.stack([x, y]))
    sizes = machine.multiply(machine.stack([x, y]), turns)
    quotient, rest = _floor_division(machine, sizes[0], sizes[1], bits)
    signed = machine.multiply(machine.stack([quotient, rest]), turns[:1])
    return machine.multiply(signed[0], turns[1]), signed[1]


def _direction(machine: Machine, x: Shared) -> Shared:
    """-1 for negatives, else 1."""
    return machine.add(machine.scale(machine.inject(machine.less_than(x, 0)), -2), 1)


def _floor_division(machine: Machine, x: Shared, y: Shared, bits: int) -> tuple[Shared, Shared]:
    """(floor(x / y), x mod y) for 1 <= y <= 2**30.

    A step is off by 2**-24 of the quotient and 3, so that the rest shrinks to 3.001 y, and the comparisons decide.
    """
    factor, power = normal_reciprocal(machine, machine.scale(y, 1 << FRACTION_BITS))
    quotient, rest, ratio = machine.scale(x, 0), x, float(1 << bits)
    while True:
        part = scaled_product(machine, rest, factor, NORMAL_BITS)
        part = scaled_product(machine, part, power, NORMAL_BITS + 1)
        quotient = machine.add(quotient, part)
        rest = machine.subtract(rest, machine.multiply(part, y))
        ratio = ratio / (1 << 24) + 3
        if ratio <= MISS:
            break
    multiples = np.arange(-3, 4, dtype=np.int64).reshape((-1,) + (1,) * y.ndim)
    edges = machine.scale(y[None].broadcast_to((7, *y.shape)), multiples)
    below = set_bits(machine, machine.less_than(rest[None].broadcast_to(edges.shape), edges, bits=35))
    count = machine.add(machine.negate(below), 3)
    return machine.add(quotient, count), machine.subtract(rest, machine.multiply(count, y))


def divide_or_null(
    machine: Machine, x: Shared, y: Shared, rounding: Rounding = "truncate", bits: int = DIVIDEND_BITS
) -> tuple[Shared, Shared, Shared]:
    """(quotient, rest, present): as divide_exact where y is not 0; 0, 0 and a present flag of 0 where it is, as SQL.

    Cost: as divide_exact, an equality test, an injection, a product.  Discloses: nothing.
    """
    _dividends(machine, x, bits, "divide_or_null")
    within(machine, y, -DIVISOR_MOST, DIVISOR_MOST, "divide_or_null")
    return _divide_or_null(machine, x, y, rounding, bits)


@image(images.quotient_or_null)
def _divide_or_null(
    machine: Machine, x: Shared, y: Shared, rounding: Rounding, bits: int
) -> tuple[Shared, Shared, Shared]:
    shape = np.broadcast_shapes(x.shape, y.shape)
    zero = machine.inject(machine.equal(y, 0)).broadcast_to(shape)
    found = divide_exact(machine, x, machine.add(y, zero), rounding, bits)
    present = machine.add(machine.negate(zero), 1)
    kept = machine.multiply(machine.stack(list(found)), present[None])
    return kept[0], kept[1], present


def whole_power(machine: Machine, x: Shared, exponent: int) -> Shared:
    """x to a public power from 0 to 62, in the ring: exact where |x**exponent| < 2**63.

    Cost: a product a squaring and a set bit of the exponent.  Discloses: nothing.  BadInput for other exponents.
    """
    if not 0 <= exponent <= 62:
        raise BadInput(f"The power {exponent} is outside 0 to 62.", "Use a smaller exponent.")
    result = machine.constant(np.ones(x.shape, np.int64)) if exponent == 0 else None
    while exponent:
        if exponent & 1:
            result = x if result is None else machine.multiply(result, x)
        exponent >>= 1
        if exponent:
            x = machine.multiply(x, x)
    assert result is not None
    return result


def bitwise(machine: Machine, operation: Literal["and", "or", "xor"], x: Shared, y: Shared) -> Shared:
    """The bitwise conjunction, disjunction or exclusive or of integers in two's complement, any ring elements.

    Cost: the bits of both, one conjunction (none for xor), 64 bits back to the ring.  Discloses: nothing.
    """
    shape = np.broadcast_shapes(x.shape, y.shape)
    bits = machine.to_bits(machine.stack([x.broadcast_to(shape), y.broadcast_to(shape)]))
    if operation == "xor":
        return machine.to_shared(machine.logical_xor(bits[0], bits[1]))
    join = machine.logical_and if operation == "and" else machine.logical_or
    return machine.to_shared(join(bits[0], bits[1]))


def bitwise_not(machine: Machine, x: Shared) -> Shared:
    """The bitwise complement of integers in two's complement: -x - 1.  Cost: none."""
    return machine.subtract(machine.negate(x), 1)


def shift_left(machine: Machine, x: Shared, bits: int) -> Shared:
    """x 2**bits in the ring for a public 0 to 63.  Cost: none.  BadInput for other shifts."""
    if not 0 <= bits <= 63:
        raise BadInput(f"A shift by {bits} is outside 0 to 63.", "Shift by less.")
    return machine.scale(x, 1 << bits)


def shift_right(machine: Machine, x: Shared, bits: int) -> Shared:
    """floor(x / 2**bits), exact, for a public 0 to 61.

    x: |x| < 2**62.  Cost: a truncation, a comparison of bits + 2 bits, an injection.  Discloses: nothing.
    """
    if not 0 <= bits <= 61:
        raise BadInput(f"A shift by {bits} is outside 0 to 61.", "Shift by less.")
    within(machine, x, 1 - INTEGER_LIMIT, INTEGER_LIMIT - 1, "shift_right")
    return _shift_right(machine, x, bits) if bits else x


@image(images.exact(lambda x, bits: x >> bits))
def _shift_right(machine: Machine, x: Shared, bits: int) -> Shared:
    low = machine.truncate(x, bits)
    rest = machine.subtract(x, machine.scale(low, 1 << bits))
    below = machine.inject(machine.less_than(rest, 1 << bits, bits=bits + 2))
    return machine.subtract(machine.add(low, 1), below)
