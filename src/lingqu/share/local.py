"""What every additive sharing computes without a message: the same linear operation on each component."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.share import bitplanes, checks
from lingqu.share.api import C, Public, Shape, Shared, SharedBits, Words, encode, ring


class BitMoves:
    """Bits of words moved apart and together, the same on every component, whatever the components are."""

    def bit(self, x: SharedBits, position: int) -> SharedBits:
        """As Machine.bit."""
        shift = np.uint64(checks.position(x, position))
        return SharedBits(tuple((part >> shift) & np.uint64(1) for part in x.parts), 1)

    def planes(self, x: SharedBits) -> SharedBits:
        """As Machine.planes."""
        return SharedBits(bitplanes.planes(x.parts, x.width), 64)

    def from_planes(self, x: SharedBits, shape: Shape) -> SharedBits:
        """As Machine.from_planes."""
        return SharedBits(bitplanes.single_bits(x.parts, shape), 1)


class Local(BitMoves, ABC):
    """The local half of a Machine, on components of any number."""

    steers = False

    @abstractmethod
    def _constant(self, words: Words) -> tuple[Words, ...]:
        """Components of a public constant, additive and XOR alike."""

    def constant(self, values: Public) -> Shared:
        """As Machine.constant."""
        return Shared(self._constant(ring(values)))

    def constant_bits(self, words: Public, width: int) -> SharedBits:
        """As Machine.constant_bits."""
        return SharedBits(self._constant(checks.words(words, width)), width)

    def constant_real(self, values: NDArray[Any] | float) -> Shared:
        """As Machine.constant_real."""
        return Shared(self._constant(encode(np.asarray(values))))

    def _other(self, y: Shared | Public) -> Shared:
        return y if isinstance(y, Shared) else self.constant(y)

    def _each(self, x: Shared, kernel: Callable[[Words], NDArray[np.uint64]]) -> Shared:
        return Shared(tuple(np.asarray(kernel(part), dtype=np.uint64) for part in x.parts))

    def add(self, x: Shared, y: Shared | Public) -> Shared:
        """As Machine.add."""
        return Shared(tuple(np.asarray(np.add(a, b)) for a, b in zip(x.parts, self._other(y).parts, strict=True)))

    def subtract(self, x: Shared, y: Shared | Public) -> Shared:
        """As Machine.subtract."""
        return Shared(tuple(np.asarray(np.subtract(a, b)) for a, b in zip(x.parts, self._other(y).parts, strict=True)))

    def negate(self, x: Shared) -> Shared:
        """As Machine.negate."""
        return self._each(x, np.negative)

    def scale(self, x: Shared, factor: Public) -> Shared:
        """As Machine.scale."""
        words = ring(factor)
        return self._each(x, lambda part: np.multiply(part, words))

    def sum(self, x: Shared, axis: int | None = None) -> Shared:
        """As Machine.sum."""
        return self._each(x, lambda part: np.asarray(part.sum(axis=axis, dtype=np.uint64)))

    def cumsum(self, x: Shared, axis: int = 0) -> Shared:
        """As Machine.cumsum."""
        return self._each(x, lambda part: np.cumsum(part, axis=axis, dtype=np.uint64))

    def concat(self, arrays: Sequence[C], axis: int = 0) -> C:
        """As Machine.concat."""
        checks.same_width(arrays)
        every = range(len(arrays[0].parts))
        return arrays[0].like(tuple(np.concatenate([a.parts[i] for a in arrays], axis=axis) for i in every))

    def stack(self, arrays: Sequence[C], axis: int = 0) -> C:
        """As Machine.stack."""
        checks.same_width(arrays)
        every = range(len(arrays[0].parts))
        return arrays[0].like(tuple(np.stack([a.parts[i] for a in arrays], axis=axis) for i in every))

    def logical_xor(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_xor."""
        checks.same_width([x, y])
        return SharedBits(tuple(np.bitwise_xor(a, b) for a, b in zip(x.parts, y.parts, strict=True)), x.width)

    def logical_not(self, x: SharedBits) -> SharedBits:
        """As Machine.logical_not."""
        return self.logical_xor(x, self.constant_bits((1 << x.width) - 1, x.width))

    def parity(self, x: Shared) -> SharedBits:
        """As Machine.parity: the lowest bit of a sum is the XOR of the lowest bits."""
        return SharedBits(tuple(part & np.uint64(1) for part in x.parts), 1)
