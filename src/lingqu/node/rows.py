"""The rows of a released table for whoever asked: from its document, or, of a large one, from the node's file."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lingqu.kinds.errors import BadInput, Tampered
from lingqu.node.replies import released_table

if TYPE_CHECKING:
    import pyarrow as pa

    from lingqu.engine.release import Release
    from lingqu.node.remote import Remote

BATCH = 1 << 12
"""Rows at a time; Arrow keeps several times what one batch takes."""


class Rows:
    """A released table's rows.  A large one's are fetched when first looked at, into a file that goes with this object.

    The file is checked against the digest in the document.
    """

    def __init__(self, remote: Remote, release: Release) -> None:
        self._remote = remote
        self._release = release

    def __len__(self) -> int:
        return self._release.count

    def head(self, count: int) -> pa.Table:
        """The first rows.  Memory: a batch."""
        if self._release.attached is None:
            return released_table(self._release).slice(0, count)
        import pyarrow as pa
        from pyarrow import parquet

        with parquet.ParquetFile(self._file) as file:
            for batch in file.iter_batches(count):
                return pa.Table.from_batches([batch])
            return file.schema_arrow.empty_table()

    def table(self) -> pa.Table:
        """All rows, in memory; BadInput when the result is a model."""
        if self._release.attached is None:
            return released_table(self._release)
        from pyarrow import parquet

        return parquet.read_table(self._file)

    def write(self, file: Path) -> None:
        """Write them to a .csv or .parquet file, which is there whole or not at all.

        Memory: a batch of a large result.  BadInput for another kind of file, or when the result is a model.
        """
        kind = file.suffix.lower()
        if kind not in (".csv", ".parquet"):
            raise BadInput(f"{file.name} is no file for rows.", "Name one that ends in .csv or .parquet.")
        other = file.with_name(file.name + ".new")
        try:
            self._write(other, kind)
            os.replace(other, file)
        finally:
            other.unlink(missing_ok=True)

    def _write(self, file: Path, kind: str) -> None:
        from pyarrow import csv, parquet

        if self._release.attached is None:
            (csv.write_csv if kind == ".csv" else parquet.write_table)(released_table(self._release), file)
        elif kind == ".parquet":
            self._fetch(file)
        else:
            with parquet.ParquetFile(self._file) as rows, csv.CSVWriter(file, rows.schema_arrow) as writer:
                for batch in rows.iter_batches(BATCH):
                    writer.write_batch(batch)

    @cached_property
    def _file(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="lingqu-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._fetch(folder / "rows.parquet")
        return folder / "rows.parquet"

    def _fetch(self, file: Path) -> None:
        """Write the node's file here; Tampered when it is another than the document names."""
        attached = self._release.attached
        assert attached is not None
        seen, whole = 0, hashlib.sha256()
        with (
            open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target,
            closing(self._remote.rows(self._release.job)) as chunks,
        ):
            for chunk in chunks:
                seen += len(chunk)
                if seen > attached.bytes:
                    break
                whole.update(chunk)
                target.write(chunk)
        if (seen, "sha256:" + whole.hexdigest()) != (attached.bytes, attached.digest):
            file.unlink()
            raise Tampered("The node's rows are others than its result names.", "Compare with another party's.")
