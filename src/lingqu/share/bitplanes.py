"""Words turned into planes of bits and back, component by component: linear over XOR, so local for every sharing."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.share.api import Shape, Words


def planes(parts: tuple[Words, ...], width: int) -> tuple[Words, ...]:
    """As Machine.planes, on components."""
    flat = (np.ascontiguousarray(part).reshape(-1) for part in parts)
    return tuple(_core.to_planes(part, width).reshape(width, -(-part.size // 64)) for part in flat)


def single_bits(parts: tuple[Words, ...], shape: Shape) -> tuple[Words, ...]:
    """As Machine.from_planes, on components."""
    size = prod(shape)
    every = ([_core.unpack(np.ascontiguousarray(row), size, 1) for row in part] for part in parts)
    return tuple(np.array(rows, np.uint64).reshape(len(rows), *shape) for rows in every)


def sklansky(level: int, positions: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which positions a level of Sklansky's prefix network updates, and from which positions."""
    every = np.arange(positions)
    to = every[(every >> level) & 1 == 1]
    return to, (to >> level << level) - 1
