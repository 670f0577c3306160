"""Least and greatest integers entry by entry: sums and products in 64 bits, with every one that may leave them found.

Where 64 bits could overflow on the way, floating point rounded outwards decides, or Python's integers do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import RangeError

Signed = NDArray[np.int64]
Ends = tuple[Signed, Signed]
Same = NDArray[np.bool_]
Float = NDArray[np.float64]
RING_BITS = 63
SAFE = 2.0**RING_BITS * (1 - 2.0**-20)
"""What is below this in floating point is below 2**63, whatever was rounded on the way."""
WHOLE = 2.0**53
"""Integers below this are exact in floating point."""
ROUNDING = 2.0**-52
TERMS = 1 << 24
"""Products of two matrices of so many terms are bounded term by term, larger ones by their middles and radii."""
BLOCK = 1 << 20


def refuse(operation: str, magnitude: float, limit: int, what: str = "An operand") -> NoReturn:
    """RangeError for what may be too large; magnitude: how large, as an integer of the ring."""
    raise RangeError(
        f"{what} of {operation} may reach 2^{np.log2(max(magnitude, 1.0)):.1f}, and must stay below 2^{limit}.",
        "Declare narrower ranges, scale the values down before it, or use fewer fractional bits.",
    )


def greatest(x: Ends) -> Float:
    """How large in absolute value each entry may be."""
    return np.asarray(np.maximum(np.abs(x[0].astype(np.float64)), np.abs(x[1].astype(np.float64))))


def below(x: Ends, bits: int, operation: str) -> Ends:
    """Have integers checked to be below 2**bits in absolute value."""
    low, high = x
    if bits < RING_BITS and bool(np.any((low <= -(1 << bits)) | (high >= 1 << bits))):
        refuse(operation, float(np.max(greatest(x))), bits)
    return x


def _within_ring(low: Float, high: Float, operation: str) -> None:
    if bool(np.any((low <= -SAFE) | (high >= SAFE))):
        refuse(operation, float(max(np.max(np.abs(low)), np.max(np.abs(high)))), RING_BITS, "A result")


def added(x: Signed, y: Signed, operation: str) -> Signed:
    """x + y."""
    with np.errstate(over="ignore"):
        total = np.asarray(x + y)
    if bool(np.any(((x ^ total) & (y ^ total)) < 0)):
        refuse(operation, float(np.max(np.abs(x.astype(np.float64) + y))), RING_BITS, "A result")
    return total


def both_added(x: Ends, y: Ends, operation: str) -> Ends:
    """x + y."""
    return added(x[0], y[0], operation), added(x[1], y[1], operation)


def negated(x: Ends, operation: str) -> Ends:
    """-x."""
    if bool(np.any(x[0] == np.iinfo(np.int64).min)):
        refuse(operation, 2.0**RING_BITS, RING_BITS, "A result")
    return np.asarray(-x[1]), np.asarray(-x[0])


def multiplied(x: Ends, y: Ends, operation: str, same: Same | None = None) -> Ends:
    """x * y; same: where both are one value, whose square is not negative."""
    reach = greatest(x) * greatest(y)
    _within_ring(-reach, reach, operation)
    corners = [np.asarray(a * b) for a in x for b in y]
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    if same is not None and bool(np.any(same)):
        low = np.where(same, _least_square(x, corners), low)
    return np.asarray(low), np.asarray(high)


def _least_square(x: Any, corners: list[Any]) -> Any:
    """The least square of each entry, of which the corners are all products of two ends."""
    return np.where((x[0] <= 0) & (x[1] >= 0), 0, np.minimum(corners[0], corners[3]))


def summed(x: Signed, operation: str, total: Callable[[NDArray[Any]], Any]) -> Signed:
    """Sums of entries by a rule that takes any type of NumPy's: over an axis, running, or over all."""
    if bool(np.all(total(np.abs(x.astype(np.float64))) < SAFE)):
        return np.asarray(total(x), np.int64)
    exact = np.asarray(total(x.astype(object)), object)
    reach = max(abs(int(value)) for value in exact.reshape(-1))
    if reach >> RING_BITS:
        refuse(operation, float(reach), RING_BITS, "A result")
    return exact.astype(np.int64)


def matrix_product(x: Ends, y: Ends, operation: str, numbers: tuple[NDArray[np.uint64], NDArray[np.uint64]]) -> Ends:
    """x @ y for matrices or stacks of them; numbers: of the values, equal where a value is surely the same."""
    reach = np.matmul(greatest(x), greatest(y))
    inner = x[0].shape[-1]
    bounds = _termwise if reach.size * inner <= TERMS else _centred
    low, high = bounds([end.astype(np.float64) for end in x], [end.astype(np.float64) for end in y], numbers)
    if float(np.max(reach, initial=0)) >= WHOLE:
        slack = reach * ((inner + 8) * ROUNDING)
        low, high = low - slack, high + slack
    _within_ring(low, high, operation)
    return np.floor(low).astype(np.int64), np.ceil(high).astype(np.int64)


def _termwise(
    x: list[Float], y: list[Float], numbers: tuple[NDArray[np.uint64], NDArray[np.uint64]]
) -> tuple[Float, Float]:
    """Sums of the least and of the greatest value of each product."""
    shape = (*np.broadcast_shapes(x[0].shape[:-2], y[0].shape[:-2]), x[0].shape[-2], y[0].shape[-1])
    low, high = np.zeros(shape), np.zeros(shape)
    inner = x[0].shape[-1]
    step = max(1, BLOCK // max(1, low.size))
    for start in range(0, inner, step):
        part = slice(start, start + step)
        left = [end[..., part, None] for end in x]
        right = [end[..., None, part, :] for end in y]
        corners = [a * b for a in left for b in right]
        least = np.minimum.reduce(corners)
        same = alike(numbers[0][..., part, None], numbers[1][..., None, part, :])
        if bool(np.any(same)):
            least = np.where(same, _least_square(left, corners), least)
        low += least.sum(axis=-2)
        high += np.maximum.reduce(corners).sum(axis=-2)
    return low, high


def _centred(
    x: list[Float], y: list[Float], numbers: tuple[NDArray[np.uint64], NDArray[np.uint64]]
) -> tuple[Float, Float]:
    """Bounds at most half as wide again, by four products of matrices.

    Source: Rump, Fast and parallel interval arithmetic (BIT 1999).
    """
    if bool(np.all(x[0] >= 0)) and bool(np.all(y[0] >= 0)):
        return np.matmul(x[0], y[0]), np.matmul(x[1], y[1])
    (mine, wide), (yours, broad) = (((e[0] + e[1]) / 2, (e[1] - e[0]) / 2) for e in (x, y))
    middle = np.matmul(mine, yours)
    radius = np.matmul(np.abs(mine) + wide, broad) + np.matmul(wide, np.abs(yours))
    slack = (np.matmul(np.abs(mine), np.abs(yours)) + radius) * ((mine.shape[-1] + 8) * ROUNDING)
    return middle - radius - slack, middle + radius + slack


UNKNOWN = np.uint64((1 << 64) - 1)
"""The number of a value that has none."""


def alike(x: NDArray[np.uint64], y: NDArray[np.uint64]) -> Same:
    """Where two values are surely the same."""
    return np.asarray((x == y) & (x != UNKNOWN))
