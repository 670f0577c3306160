"""The changes between two versions of a prepared table, by which a hint follows it without being made again."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.errors import BadInput
from lingqu.pir.layout import HALVES, MARK, SECRET, Layout

_HEAD = struct.Struct("<16sI")

Hints = Sequence[NDArray[np.uint32]]


@dataclass(frozen=True)
class Patch:
    """From one version to the next.

    mark: the new version's.  cells: (half, column, cell) each.  changes: new bytes minus old ones as signed bytes, a
    row a cell.
    """

    mark: bytes
    cells: NDArray[np.uint32]
    changes: NDArray[np.int16]

    def encoded(self) -> bytes:
        return (
            _HEAD.pack(self.mark, len(self.cells))
            + self.cells.astype("<u4").tobytes()
            + self.changes.astype("<i2").tobytes()
        )

    def apply(self, hints: Hints, seed: bytes, layout: Layout, old_mark: bytes) -> None:
        """Turn the hints of the version before into those of this one."""
        for (half, column, cell), changes in zip(self.cells.tolist(), self.changes, strict=True):
            _core.pir_patch(
                hints[half], seed, half * layout.columns + column, cell * layout.width, np.ascontiguousarray(changes)
            )
        marked = signed(self.mark) - signed(old_mark)
        for half in range(HALVES):
            _core.pir_patch(hints[half], seed, half * layout.columns, layout.rows - MARK, marked)


def signed(data: bytes | NDArray[np.uint8]) -> NDArray[np.int16]:
    """Bytes as the signed entries of the table."""
    return np.frombuffer(data, np.int8).astype(np.int16)


def patch_bytes(layout: Layout, cells: int) -> int:
    """Bytes of a patch of so many cells."""
    return _HEAD.size + cells * (12 + 2 * layout.width)


def decode_patches(data: bytes, layout: Layout) -> Iterator[Patch]:
    """The patches that stand one after the other; BadInput when they do not fit the layout."""
    at = 0
    while at < len(data):
        if len(data) - at < _HEAD.size:
            raise BadInput("A patch ends early.", "Fetch the hint again.")
        mark, count = _HEAD.unpack_from(data, at)
        end = at + patch_bytes(layout, count)
        if end > len(data):
            raise BadInput("A patch ends early.", "Fetch the hint again.")
        places = np.frombuffer(data, "<u4", 3 * count, at + _HEAD.size).reshape(-1, 3)
        changes = np.frombuffer(data, "<i2", layout.width * count, at + _HEAD.size + 12 * count).reshape(
            -1, layout.width
        )
        limits = np.array([HALVES, layout.columns, layout.cells], np.uint32)
        if (places >= limits).any() or (places[:, 1] == 0).any() or (np.abs(changes.astype(np.int32)) > 255).any():
            raise BadInput("A patch changes what is no cell.", "Fetch the hint again.")
        yield Patch(mark, places, changes)
        at = end


def hint_words(layout: Layout) -> int:
    """Words of one half's hint."""
    return layout.rows * SECRET
