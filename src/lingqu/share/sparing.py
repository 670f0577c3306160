"""Work on many rows gives the memory that it frees back to the system, where the process would keep it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lingqu import _core

MANY_ROWS = 1 << 16
"""Rows from which on memory is given back once the work is done."""
MOST_ROWS = 1 << 17
"""Rows from which on a column is worth giving back as soon as it is freed, and waiting bits are worth packing."""


def release(rows: int) -> None:
    """After work on many rows, give the memory that it has freed back to the system."""
    if rows >= MANY_ROWS:
        _core.release_memory()


@contextmanager
def sparing(rows: int) -> Iterator[None]:
    """Work on so many rows; what was freed before it goes back first where they are most."""
    if rows < MOST_ROWS:
        yield
        release(rows)
        return
    _core.release_memory()
    _core.spare_memory(True)
    try:
        yield
    finally:
        _core.spare_memory(False)
        _core.release_memory()
