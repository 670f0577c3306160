"""A table's keys on this party's own disk, part by part: what keeps memory bounded however large the table is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput, TableChanged
from lingqu.psi.elements import Elements, elements, unique

Batches = Callable[[], Iterable[Sequence[Any]]]
"""Reads a table's key columns from its beginning: batches, each one array a key column."""


class Fingerprint:
    """What a table's keys are, row by row: equal tables read in equal batches have equal ones."""

    def __init__(self, forms: Sequence[str]) -> None:
        self._forms = forms
        self._known = hashlib.sha256()

    def read(self, columns: Sequence[Any]) -> Elements:
        """Take in the next batch; its elements.  BadInput for a value outside its form, without its row."""
        part = column_elements(columns, self._forms)
        for array in (part.element_of, part.offsets, part.data):
            self._known.update(np.int64(len(array)).tobytes() + np.ascontiguousarray(array).tobytes())
        return part

    def hexdigest(self) -> str:
        """The fingerprint of what was read so far."""
        return self._known.hexdigest()


class Spill:
    """Files of one folder, readable by this user alone.  count: of parts.  parts: those that are kept here."""

    def __init__(self, folder: Path, count: int, parts: range) -> None:
        self._folder = folder
        self._count = count
        self._parts = parts

    def write(self, batches: Batches, forms: Sequence[str], salt: bytes, rows: int) -> str:
        """Read the table once and write every row's key into its part's file; the table's fingerprint.

        rows: how many there must be; TableChanged otherwise.  BadInput for a value outside its form, without its row.
        Memory: one batch.  The fingerprint is of rows and keys in their order, and goes to nobody.
        """
        known = Fingerprint(forms)
        files = {part: _private(self._path(part)) for part in self._parts}
        seen = 0
        try:
            for columns in batches():
                part = known.read(columns)
                self._part(files, part, salt, seen)
                seen += len(part.element_of)
        finally:
            for file in files.values():
                file.close()
        if seen != rows:
            raise TableChanged(f"The table has {seen} rows, {rows} were announced.", "Announce it as it is now.")
        return known.hexdigest()

    def read(self, part: int) -> tuple[Elements, NDArray[np.int64]]:
        """A part's elements, and the table's row of each of `element_of`."""
        rows, lengths, data = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.uint8)]
        with open(self._path(part), "rb") as file:
            end = os.fstat(file.fileno()).st_size
            while file.tell() < end:
                for kept in (rows, lengths, data):
                    kept.append(np.lib.format.read_array(file, allow_pickle=False))
        place = np.concatenate(rows)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(lengths))])
        return unique(np.concatenate(data), offsets, np.ones(len(place), bool)), place

    def _part(self, files: dict[int, IO[bytes]], batch: Elements, salt: bytes, first: int) -> None:
        present = np.flatnonzero(batch.element_of >= 0)
        element = batch.element_of[present]
        numbers = batch.digests(salt).reshape(-1, 2)[:, 0] % np.uint64(self._count)
        where = numbers[element].astype(np.int64)
        order = np.argsort(where, kind="stable")
        ends = np.searchsorted(where[order], np.arange(self._count + 1))
        for part, file in files.items():
            chosen = order[ends[part] : ends[part + 1]]
            data, offsets = batch.take(element[chosen])
            for array in (present[chosen] + first, np.diff(offsets), data):
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)

    def _path(self, part: int) -> Path:
        return self._folder / f"part-{part:06d}"


def column_elements(columns: Sequence[Any], forms: Sequence[str]) -> Elements:
    """As `elements`; BadInput for a value outside its form, without its row: others read what ends a run."""
    try:
        return elements(columns, forms)
    except BadInput as error:
        place = error.cause.find(" in row ")
        if place < 0:
            raise
        form = error.cause[error.cause.rfind(" ") + 1 :]
        raise BadInput(
            f"{error.cause[:place]} that is not in the form {form}",
            "Correct the value (`lingqu.psi.normalise` names its row), or agree on another form.",
        ) from None


@contextmanager
def private_file(path: Path) -> Iterator[IO[bytes]]:
    """A new file of this user alone, on disk for good once the block ends."""
    with _private(path) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_private(path: Path, data: bytes) -> None:
    """Write a file of this user alone, for good when this returns."""
    with private_file(path) as file:
        file.write(data)


def durably(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file so that it is there whole or not at all, whatever happens, and stays once this returns."""
    other = path.with_name(path.name + ".new")
    write(other)
    os.replace(other, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
