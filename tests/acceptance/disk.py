"""A disk that tests can fill: a small file system of its own where one may be mounted, else a limit on the process."""

from __future__ import annotations

import resource
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from scenarios.census.network import Bureau

SIZE = "24m"


class Disk:
    """The disk of a node's home.  own: whether it is a file system of its own."""

    def __init__(self, home: Path, own: bool) -> None:
        self._ballast = home / "ballast"
        self._database = home / "lingqu.db"
        self._own = own
        self._limited: tuple[int, tuple[int, int]] | None = None

    def fill(self, bureau: Bureau) -> None:
        """From now on the node can write nothing: not even into room that its database had set aside."""
        with closing(sqlite3.connect(self._database, timeout=10)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if not self._own:
            assert bureau.process is not None
            pid = bureau.process.pid
            before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            self._limited = (pid, before)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
            return
        try:
            with self._ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError:
            return

    def free(self) -> None:
        """There is room again."""
        if self._limited is not None:
            pid, before = self._limited
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
            self._limited = None
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(home: Path) -> Iterator[Disk]:
    """The disk of a home that does not exist yet."""
    home.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", str(home)]
    try:
        own = subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0
    except OSError:
        own = False
    try:
        yield Disk(home, own)
    finally:
        if own:
            subprocess.run(["umount", "--lazy", str(home)], check=True)
