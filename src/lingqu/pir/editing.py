"""Changes of a prepared table's cells, collected before any is written."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.errors import BadInput, Unavailable
from lingqu.pir.layout import HALVES, Layout
from lingqu.pir.patches import Patch, signed

EMPTY = (1 << 32) - 1
_MOVES = 500
_NONCE = 12

Bytes = NDArray[np.uint8]
Place = tuple[int, int, int]  # half, column, cell


class Editor:
    """The cells of a table as they will be.  derived: 64 secret bytes of a key."""

    def __init__(self, layout: Layout, halves: Sequence[Bytes], other: NDArray[np.uint32]) -> None:
        self._layout = layout
        self._halves = [half.reshape(layout.rows, layout.columns) for half in halves]
        self._other = other.reshape(HALVES, layout.columns, layout.cells)
        self._new: dict[Place, tuple[Bytes, int]] = {}  # a cell's bytes, and its record's other column

    def put(self, derived: Bytes, value: bytes | None) -> None:
        """A record's new value; Unavailable when no cell is free for it."""
        cell = _core.pir_seal(derived, secrets.token_bytes(_NONCE), value, self._layout.width)
        columns = self._columns(derived)
        found = self._find(derived, columns)
        if found is not None:
            self._new[found] = (cell, columns[1 - found[0]])
            return
        half = min(range(HALVES), key=lambda half: -len(self._free(half, columns[half])))
        other = columns[1 - half]
        column = columns[half]
        for _ in range(_MOVES):
            free = self._free(half, column)
            if free:
                self._new[half, column, free[0]] = (cell, other)
                return
            place = (half, column, secrets.randbelow(self._layout.cells))
            moved = self._cell(place)
            self._new[place] = (cell, other)
            cell, back = moved
            half, column, other = 1 - half, back, column
        raise Unavailable("The prepared table is full.", "Prepare it again.")

    def remove(self, derived: Bytes, row: int) -> None:
        """Take a record out; BadInput when it is not there."""
        found = self._find(derived, self._columns(derived))
        if found is None:
            raise BadInput(f"The key to remove in row {row} is not in the table.", "Remove what is there.")
        self._new[found] = (np.frombuffer(secrets.token_bytes(self._layout.width), np.uint8), EMPTY)

    def patch(self, mark: bytes) -> Patch:
        """The changes, in an order that says nothing of theirs."""
        places = sorted(self._new)
        changes = [
            signed(self._new[place][0].tobytes()) - signed(self._written(place)[0].tobytes()) for place in places
        ]
        shape = (len(places), self._layout.width)
        return Patch(mark, np.array(places, np.uint32).reshape(-1, 3), np.array(changes, np.int16).reshape(shape))

    def write(self) -> None:
        """Write the changes to the table."""
        width = self._layout.width
        for place, (cell, other) in self._new.items():
            half, column, number = place
            self._halves[half][number * width : (number + 1) * width, column] = cell
            self._other[place] = other

    def _columns(self, derived: Bytes) -> tuple[int, ...]:
        return tuple(_core.pir_columns(derived, self._layout.columns).tolist())

    def _written(self, place: Place) -> tuple[Bytes, int]:
        half, column, number = place
        rows = slice(number * self._layout.width, (number + 1) * self._layout.width)
        return np.ascontiguousarray(self._halves[half][rows, column]), int(self._other[place])

    def _cell(self, place: Place) -> tuple[Bytes, int]:
        return self._new[place] if place in self._new else self._written(place)

    def _free(self, half: int, column: int) -> list[int]:
        places = ((half, column, number) for number in range(self._layout.cells))
        return [place[2] for place in places if self._cell(place)[1] == EMPTY]

    def _find(self, derived: Bytes, columns: Sequence[int]) -> Place | None:
        places = [(half, columns[half], number) for half in range(HALVES) for number in range(self._layout.cells)]
        cells = np.concatenate([self._cell(place)[0] for place in places])
        opened = _core.pir_open(derived, cells, self._layout.width)
        return None if opened is None else places[opened[0]]
