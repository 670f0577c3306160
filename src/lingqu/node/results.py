"""Large results: their rows in files of the node's home, one a job; the documents in the store name their digests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lingqu.catalog.spools import SORTING
from lingqu.engine.release import Attached
from lingqu.engine.worker import ATTACHED, RELEASE
from lingqu.kinds.errors import Tampered, Unavailable
from lingqu.node.config import Home
from lingqu.node.errors import NotFound


class Results:
    """The files of a home."""

    def __init__(self, home: Home) -> None:
        self._folder = home.results

    def path(self, job: str) -> Path:
        """A job's file, whether it is there or not."""
        return self._folder / f"{job}.parquet"

    def found(self, job: str) -> Path:
        """A job's file; NotFound where somebody has removed it."""
        if not self.path(job).is_file():
            raise NotFound(f"The rows of job {job} are no longer here.", "Run it again.")
        return self.path(job)

    def all(self) -> list[str]:
        """The jobs that have one."""
        return [file.stem for file in self._folder.glob("*.parquet")]

    def keep(self, job: str, attached: Attached, file: Path) -> None:
        """Take a worker's file, for good when this returns.

        Tampered when it is another than its document names, Unavailable when the disk will not have it.
        """
        from lingqu.engine.attached import digest_of  # what reads such files is large, and most results are small

        try:
            with file.open("rb") as found:
                size, digest = os.fstat(found.fileno()).st_size, digest_of(found)
            if (size, digest) != (attached.bytes, attached.digest):
                raise Tampered("The worker's rows are others than its result names.", "Look at its log.")
            self._folder.mkdir(mode=0o700, exist_ok=True)
            os.replace(file, self.path(job))
            _settle(self._folder)
        except OSError as failed:
            raise Unavailable(f"The result could not be kept: {failed.strerror}.", "Look at the disk.") from None

    def drop(self, job: str) -> None:
        """Remove a job's file where there is one."""
        self.path(job).unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove from a job's folder what its worker left of rows; its log stays."""
    for name in (RELEASE, ATTACHED):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / SORTING, ignore_errors=True)


def _settle(folder: Path) -> None:
    """What is in a folder now stays there through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
