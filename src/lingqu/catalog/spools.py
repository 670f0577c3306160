"""A registered table on this party's own disk: read once from its source, then some rows at a time as often as needed.

What was checked against the fingerprint is what is read afterwards, whatever happens to the source meanwhile.
"""

from __future__ import annotations

import tempfile
import unicodedata
import weakref
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, cast

import duckdb
import pyarrow as pa
from pyarrow import ipc

from lingqu.catalog.sources import SEALED, PostgresTable, Source, check_names, quoted
from lingqu.catalog.streams import FEW, arriving
from lingqu.catalog.tables import conform, fingerprint_of
from lingqu.kinds.errors import BadInput, TableChanged, Unavailable
from lingqu.kinds.schema import Asset, ColumnType

HELD = "256MB"
"""What a sort of a database's rows may hold in memory."""
SORTING = "sorting"
"""The folder in which it keeps the rest, and which it removes."""
_AGAIN = "Register the table again, and propose contracts over the new version."


class Spool:
    """A table in the asset's types, in a file without a name: it goes when this object or its process does."""

    def __init__(self, file: IO[bytes], schema: pa.Schema, rows: int) -> None:
        self._file = file
        self._schema = schema
        self.rows = rows
        weakref.finalize(self, file.close)

    def __repr__(self) -> str:
        return f"Spool({self.rows} rows)"

    def batches(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns, at most `streams.FEW` rows at a time, in the order of the rows.  Memory: a batch."""
        places = [self._schema.get_field_index(name) for name in names]
        with ipc.open_file(self._file, options=ipc.IpcReadOptions(included_fields=places)) as reader:
            for place in range(reader.num_record_batches):
                yield reader.get_batch(place).select(list(names))

    def fingerprint(self) -> str:
        """As `tables.fingerprint` of the whole table.  Work: two or three passes over every column."""
        return fingerprint_of(self._schema, self.rows, lambda name: (b.column(name) for b in self.batches([name])))


def spool(source: Source, asset: Asset, registered: str, folder: Path) -> Spool:
    """Read a table into a file of the folder's disk and check that it is the one that was registered.

    registered: the fingerprint that `describe` gave.  TableChanged when it is another; Unavailable when a database is
    away.  Memory: some batches, and HELD for a database's rows, of which the rest is sorted in the folder.  Disk:
    the table, as it lies in memory.
    """
    file = cast(IO[bytes], tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 the spool closes it
    try:
        kept = _written(file, source, asset, folder)
        if kept.fingerprint() != registered:
            raise TableChanged(f"The content of {asset.id} has changed since it was registered.", _AGAIN)
    except BaseException:
        file.close()
        raise
    return kept


def _written(file: IO[bytes], source: Source, asset: Asset, folder: Path) -> Spool:
    """The table, in the asset's types, into a file; TableChanged where it has other rows or columns."""
    rows, schema, writer = 0, None, None
    wanted = [column.name for column in asset.columns]
    types = {column.name: column.type for column in asset.columns}
    scales = {column.name: column.scale for column in asset.columns}
    with closing(_ordered(source, folder)) as batches:
        for batch in batches:
            named = [unicodedata.normalize("NFC", name) for name in batch.schema.names]
            if named != wanted:
                check_names(named, source)
                raise TableChanged(f"{asset.id} has other columns than when it was registered.", _AGAIN)
            table = _conformed(pa.table(batch.columns, names=named), source, asset, types, scales, rows)
            if writer is None:
                schema = table.schema
                writer = ipc.new_file(file, schema)
            rows += table.num_rows
            if rows <= asset.rows:  # of a table that has grown nothing is kept, but it is counted
                for part in table.to_batches(FEW):
                    writer.write_batch(part)
    assert writer is not None
    assert schema is not None
    writer.close()
    if rows != asset.rows:
        raise TableChanged(f"{asset.id} had {asset.rows} rows when it was registered, now {rows}.", _AGAIN)
    return Spool(file, schema, rows)


def _conformed(
    raw: pa.Table, source: Source, asset: Asset, types: dict[str, ColumnType], scales: dict[str, int], first: int
) -> pa.Table:
    try:
        return conform(raw, source, types, scales, first)
    except BadInput as error:
        raise TableChanged(f"{asset.id} has changed since it was registered: {error.cause}", _AGAIN) from None


def _ordered(source: Source, folder: Path) -> Generator[pa.RecordBatch]:
    """The rows in the order of `sources.load`: a file's own, a database's by all columns."""
    if not isinstance(source, PostgresTable):
        yield from arriving(source)
        return
    with closing(arriving(source)) as batches:
        first = next(batches)
        reader = pa.RecordBatchReader.from_batches(first.schema, _all(first, batches))
        places = {"temp_directory": str(folder / SORTING), "memory_limit": HELD}
        with duckdb.connect(":memory:", config={**SEALED, **places}) as connection:
            connection.register("unordered", reader)
            order = ", ".join(f"{quoted(name)} ASC NULLS LAST" for name in first.schema.names)
            query = f"SELECT * FROM unordered ORDER BY {order}"  # noqa: S608 names are quoted
            try:
                yield from connection.sql(query).to_arrow_reader(FEW)
            except (duckdb.Error, pa.ArrowException) as error:
                raise Unavailable(
                    f"{source} could not be read to its end and sorted: {type(error).__name__}.",
                    "Look at the database, and at the free space of this node's disk.",
                ) from None


def _all(first: pa.RecordBatch, others: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from others
