"""Images that functions over a Machine declare (`domain.image`): by the ends of a range, and the functions' own errors.

Rules take a machine of ranges in place of the function's machine, and the function's other arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import RangeError
from lingqu.share.api import FRACTION_BITS, Shared, SharedBits
from lingqu.share.domain import Bounding, Ends

ONE = 1 << FRACTION_BITS
Real = Callable[[NDArray[Any]], Any]
LOOSE = 2.0**-46
"""Relative room for what NumPy itself rounds."""


def _outwards(
    machine: Bounding, least: NDArray[Any], greatest: NDArray[Any], error: Callable[[NDArray[Any]], Any], floor: float
) -> Shared:
    """Reals, with their errors, as fixed point."""
    low = np.maximum(least - error(least), floor) * ONE
    high = (greatest + error(greatest)) * ONE
    return machine.between(np.floor(low).astype(np.int64), np.ceil(high).astype(np.int64))


def monotone(
    function: Real,
    *,
    absolute: float = 0.0,
    relative: float = 0.0,
    falling: bool = False,
    floor: float = -np.inf,
) -> Callable[..., Shared]:
    """Of a rising (or falling) real function of fixed point with an absolute and a relative error.

    floor: what no result is below.
    """

    def error(value: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(absolute + (relative + LOOSE) * np.abs(value))

    def least(x: NDArray[np.int64]) -> NDArray[np.int64]:
        value = function(x / float(ONE))
        return np.asarray(np.floor(np.maximum(value - error(value), floor) * ONE), np.int64)

    def rule(machine: Bounding, x: Shared) -> Shared:
        low, high = (end / float(ONE) for end in machine.ends(x))
        if falling:
            return _outwards(machine, function(high), function(low), error, floor)
        found = _outwards(machine, function(low), function(high), error, floor)
        machine.risen(x, found, least)
        return found

    return rule


def valley(function: Real, least: float, lowest: float, absolute: float) -> Callable[..., Shared]:
    """Of a real function that falls up to `least`, where it is `lowest`, and rises from there."""

    def rule(machine: Bounding, x: Shared) -> Shared:
        low, high = (end / float(ONE) for end in machine.ends(x))
        ends = function(low), function(high)
        under = np.where((low <= least) & (least <= high), lowest, np.minimum(*ends))
        return _outwards(machine, under, np.maximum(*ends), lambda value: absolute + LOOSE * np.abs(value), -np.inf)

    return rule


def exact(function: Callable[..., Any]) -> Callable[..., Shared]:
    """Of a function that does not fall in any of its shared operands; public arguments follow them."""

    def rule(machine: Bounding, *arguments: Any) -> Shared:
        sides = [[machine.ends(one)[i] if isinstance(one, Shared) else one for one in arguments] for i in (0, 1)]
        return machine.between(*(function(*side) for side in sides))

    return rule


def absolute(machine: Bounding, x: Shared) -> Shared:
    """|x|."""
    low, high = machine.ends(x)
    sizes = np.abs(low), np.abs(high)
    return machine.between(np.where((low <= 0) & (high >= 0), 0, np.minimum(*sizes)), np.maximum(*sizes))


def extreme(machine: Bounding, entries: Shared, greatest: bool) -> Shared:
    """The greatest or the least over the first axis, which the machine then knows to be it."""
    choose = np.max if greatest else np.min
    found = machine.between(*(choose(end, axis=0) for end in machine.ends(entries)))
    machine.extreme(entries, found, greatest)
    return found


def greater(machine: Bounding, x: Shared, y: Shared) -> Shared:
    """The greater of two, which the machine then knows to be at least either."""
    found = machine.between(*(np.maximum(a, b) for a, b in zip(machine.ends(x), machine.ends(y), strict=True)))
    beside = tuple(np.stack(np.broadcast_arrays(a, b)) for a, b in zip(x.parts, y.parts, strict=True))
    machine.extreme(Shared(beside), found, True)
    return found


def place(machine: Bounding, entries: Shared, greatest: bool) -> Shared:
    """A place along the first axis."""
    return machine.between(np.zeros(entries.shape[1:], np.int64), len(entries) - 1)


def hull_with_zero(machine: Bounding, x: Shared, *arguments: Any) -> Shared:
    """Of ordering.quantile: between the entries, or 0, and off by the rounded fraction of a gap."""
    low, high = (int(choose(end)) for choose, end in zip((np.min, np.max), machine.ends(x), strict=True))
    off = 1 + ((high - low) >> (FRACTION_BITS - 1))
    return machine.between(min(low, 0) - off, max(high, 0) + off)


def spread_down(
    machine: Bounding, marks: SharedBits, table: Shared, words: Sequence[SharedBits] = ()
) -> tuple[Shared, list[SharedBits]]:
    """Of relation.copy_down: what any row of a column holds, or zeros."""
    low, high = machine.ends(table)
    ends = np.min(low, axis=0, initial=0), np.max(high, axis=0, initial=0)
    may = [np.broadcast_to(np.bitwise_or.reduce(word.parts[1], axis=0), word.shape).copy() for word in words]
    found = machine.between(*(np.broadcast_to(end, table.shape) for end in ends))
    return found, [word.like((np.zeros_like(one), one)) for word, one in zip(words, may, strict=True)]


def divided(machine: Bounding, x: Shared, divisor: int) -> tuple[Shared, Shared]:
    """floor(x / divisor) and the rest, for a public divisor above 0."""
    low, high = machine.ends(x)
    least, greatest = low // divisor, high // divisor
    whole = least == greatest
    rest = np.where(whole, low - least * divisor, 0), np.where(whole, high - greatest * divisor, divisor - 1)
    return machine.between(least, greatest), machine.between(*rest)


# Quotients by shared numbers


def _divisors(y: Ends, operation: str, least: int = 1) -> Ends:
    """Divisors of one sign each, `least` away from 0; RangeError for others."""
    low, high = y
    if bool(np.any((low < least) & (high > -least))):
        raise RangeError(
            f"A divisor of {operation} may be 0, or too near to it.",
            "Keep it away from 0: declare a narrower range, clip it, or add a constant.",
        )
    return y


def _quotients(x: Ends, y: Ends) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and the greatest quotients of the ends."""
    corners = [np.asarray(a / b) for a in x for b in (end.astype(np.float64) for end in y)]
    return np.minimum.reduce(corners), np.maximum.reduce(corners)


def _by_relative_error(machine: Bounding, x: Ends, y: Ends) -> Shared:
    """A quotient of fixed point within 2**-24 and 3 units in the last place."""
    return _outwards(machine, *_quotients(x, y), lambda v: 3 / ONE + (2.0**-24 + LOOSE) * np.abs(v), -np.inf)


def quotient(lowest: int, highest: int) -> Callable[..., Shared]:
    """Of a division of fixed point by a divisor whose absolute value is in [lowest, highest]; RangeError otherwise."""

    def rule(machine: Bounding, x: Shared, y: Shared) -> Shared:
        machine.require(y, -highest, highest, "divide")
        return _by_relative_error(machine, machine.ends(x), _divisors(machine.ends(y), "divide", lowest))

    return rule


def _whole_parts(machine: Bounding, x: Ends, y: Ends, rounding: str) -> tuple[Shared, Shared]:
    """The quotient and the rest of integers: the rest is below the divisor, with its sign or x's."""
    corners = [_rounded_quotient(a, b, rounding) for a in x for b in y]
    size = np.maximum(np.abs(y[0]), np.abs(y[1])) - 1
    signs = y if rounding == "floor" else x
    rest = np.where(signs[0] < 0, -size, 0), np.where(signs[1] > 0, size, 0)
    if rounding != "floor":  # the rest is no larger than x itself
        rest = np.maximum(rest[0], np.minimum(x[0], 0)), np.minimum(rest[1], np.maximum(x[1], 0))
    return machine.between(np.minimum.reduce(corners), np.maximum.reduce(corners)), machine.between(*rest)


def _rounded_quotient(x: NDArray[np.int64], y: NDArray[np.int64], rounding: str) -> NDArray[np.int64]:
    if rounding == "floor":
        return np.asarray(x // y)
    return np.asarray(np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y)))


def whole_quotient(
    machine: Bounding, x: Shared, y: Shared, rounding: str = "floor", bits: int = 0
) -> tuple[Shared, Shared]:
    """Of division.divide_exact."""
    return _whole_parts(machine, machine.ends(x), _divisors(machine.ends(y), "divide_exact"), rounding)


def quotient_or_null(
    machine: Bounding, x: Shared, y: Shared, rounding: str = "truncate", bits: int = 0
) -> tuple[Shared, Shared, Shared]:
    """Of division.divide_or_null: what the divisors of either sign give, and 0."""
    ends, (low, high) = machine.ends(x), machine.ends(y)
    parts = []
    for sign in (-1, 1):
        near, far = (low, high) if sign > 0 else (-high, -low)
        positive = np.maximum(near, 1), np.maximum(far, 1)
        sides = positive if sign > 0 else (-positive[1], -positive[0])
        found = _whole_parts(machine, ends, sides, rounding)
        parts.append([[np.where(far > 0, end, 0) for end in machine.ends(part)] for part in found])
    both = [
        machine.between(np.minimum(0, np.minimum(one[0], two[0])), np.maximum(0, np.maximum(one[1], two[1])))
        for one, two in zip(*parts, strict=True)
    ]
    shape = np.broadcast_shapes(x.shape, y.shape)
    present = np.where((low > 0) | (high < 0), 1, 0), np.where((low == 0) & (high == 0), 0, 1)
    return both[0], both[1], machine.between(*(np.broadcast_to(end, shape) for end in present))


# Roots and powers


def power(machine: Bounding, x: Shared, exponent: float) -> Shared:
    """A power of fixed point above 0 by a public exponent; RangeError where it may reach exp(27)."""
    low, high = (end / float(ONE) for end in machine.ends(x))
    ends = (low**exponent, high**exponent) if exponent >= 0 else (high**exponent, low**exponent)
    relative = 6e-6 + abs(exponent) * 1e-6
    if bool(np.any(ends[1] * (1 + relative) >= np.exp(27.0))):
        raise RangeError("A power may reach exp(27).", "Declare a narrower range, or scale the values down.")
    return _outwards(machine, *ends, lambda value: 0.6 / ONE + (relative + LOOSE) * np.abs(value), 0.0)


def norm(machine: Bounding, x: Shared, axis: int | None = None) -> Shared:
    """Of linear.norm: the root of a sum of squares that is low by less than 2**-19; RangeError from 2**22 on."""
    low, high = (end / float(ONE) for end in machine.ends(x))
    sizes = np.abs(low), np.abs(high)
    squares = np.where((low <= 0) & (high >= 0), 0, np.minimum(*sizes)) ** 2, np.maximum(*sizes) ** 2
    least, greatest = (np.sum(one, axis=axis) for one in squares)
    if bool(np.any(greatest * (1 + LOOSE) >= 1 << 22)):
        raise RangeError("A sum of squares of norm may reach 2^22.", "Declare narrower ranges, or scale the values.")
    ends = np.sqrt(np.maximum(least - 2.0**-19, 0)), np.sqrt(greatest)
    return _outwards(machine, *ends, lambda value: 0.6 / ONE + (2e-6 + LOOSE) * np.abs(value), 0.0)


def softmax(machine: Bounding, x: Shared) -> Shared:
    """From 0 to 1, with its error."""
    error = 1.2e-5 + x.shape[-1] * 2.0**-31
    nothing = np.zeros(x.shape)
    return _outwards(machine, nothing, nothing + 1, lambda value: error, -np.inf)
