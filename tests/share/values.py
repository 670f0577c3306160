"""Operands of tests by kind and shape, with made-up contents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.share import Machine, Relation, SharedBits


class Values:
    """Operands with made-up contents: zeros, or random ones."""

    def __init__(self, m: Machine, seed: int | None) -> None:
        self.m = m
        self.random = None if seed is None else np.random.default_rng(seed)

    def array(self, *shape: int, below: int = 1 << 40) -> NDArray[np.int64]:
        return np.zeros(shape, np.int64) if self.random is None else self.random.integers(0, below, shape)

    def shared(self, *shape: int, below: int = 1 << 40, least: int = 0) -> Any:
        own = self.array(*shape, below=below) + least
        return self.m.input(0, own if self.m.owns(0) else None, shape)

    def bits(self, *shape: int, width: int = 1) -> SharedBits:
        own = self.array(*shape, below=1 << min(width, 62))
        return self.m.input_bits(0, own if self.m.owns(0) else None, shape, width)

    def order(self, rows: int) -> Any:
        order = np.arange(rows) if self.random is None else self.random.permutation(rows)
        return self.m.permutation(self.m.input(0, order if self.m.owns(0) else None, (rows,)))

    def key(self, rows: int, width: int) -> tuple[SharedBits, ...]:
        widths = [width % 64] * (width % 64 > 0) + [64] * (width // 64)
        return tuple(self.bits(rows, width=w) for w in widths)

    def relation(self, rows: int, columns: int, keys: Mapping[str, int], prefix: str = "") -> Relation:
        values = {f"{prefix}{i}": self.shared(rows) for i in range(columns)}
        return Relation(values, {k: self.key(rows, width) for k, width in keys.items()}, self.shared(rows, below=2))
