"""Words of which some bits are known: (must, may) has the bits that are surely set, and those that may be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lingqu.share.ranges.ends import Ends

Words = NDArray[np.uint64]
Known = tuple[Words, Words]
TOP = np.uint64(1 << 63)


def full(width: int) -> np.uint64:
    """All bits of a word."""
    return np.uint64((1 << width) - 1)


def of_range(x: Ends, width: int) -> Known:
    """The lowest bits of integers: those above the first in which both ends differ are known."""
    low, high = x[0].view(np.uint64), x[1].view(np.uint64)
    open_bits = np.asarray(low ^ high)
    for shift in (1, 2, 4, 8, 16, 32):
        open_bits = open_bits | (open_bits >> np.uint64(shift))
    return np.asarray(low & ~open_bits & full(width)), np.asarray((low | open_bits) & full(width))


def to_range(x: Known, width: int) -> Ends:
    """Words as non-negative integers, at width 64 as signed ones."""
    must, may = x
    if width == 64:
        either = ~must & may & TOP
        must, may = must | either, may & ~either
    return np.asarray(must).view(np.int64), np.asarray(may).view(np.int64)


def xor(x: Known, y: Known, width: int) -> Known:
    """Bitwise exclusive or."""
    known = ~(x[0] ^ x[1]) & ~(y[0] ^ y[1])
    must = (x[0] ^ y[0]) & known
    return np.asarray(must), np.asarray((must | ~known) & full(width))


def inverted(x: Known, width: int) -> Known:
    """Bitwise complement."""
    return np.asarray(~x[1] & full(width)), np.asarray(~x[0] & full(width))


def settled(sure: NDArray[np.bool_], possible: NDArray[np.bool_]) -> Known:
    """Single bits that are surely set, and that may be."""
    return np.asarray(sure, np.uint64), np.asarray(possible, np.uint64)


def agreeing(pairs: list[tuple[Known, Known]]) -> Known:
    """Whether all pairs of words agree."""
    known = [((x[0] == x[1]) & (y[0] == y[1]), (x[0] & ~y[1]) | (y[0] & ~x[1])) for x, y in pairs]
    sure = np.all([fixed & (apart == 0) for fixed, apart in known], axis=0)
    possible = np.all([apart == 0 for _, apart in known], axis=0)
    return settled(sure, possible)
