"""What the asker of a run gives its own worker alone: a file in the job's directory, for as long as the run lasts."""

from __future__ import annotations

import os
from pathlib import Path

from lingqu.kinds.errands import Given
from lingqu.kinds.errors import Unavailable

_NAME = "given.json"


def keep(directory: Path, given: Given | None) -> str | None:
    """Write it for the worker, readable by this user alone, and say where; None where nothing was given.

    Unavailable when the disk will not have it.
    """
    if given is None:
        return None
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / _NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:
            file.write(given.canonical())
    except OSError as failed:
        raise Unavailable(f"The keys could not be written: {failed.strerror}.", "Look at the disk.") from None
    return str(directory / _NAME)


def drop(directory: Path) -> None:
    """Remove it."""
    (directory / _NAME).unlink(missing_ok=True)
