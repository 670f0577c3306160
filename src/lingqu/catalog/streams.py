"""Tables in batches, for what must not hold a whole table in memory."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from lingqu.catalog.sources import SEALED, CsvFile, ParquetFile, PostgresTable, Source, csv_query, plain, quoted
from lingqu.kinds.errors import BadInput, Unavailable

BATCH = 1 << 16
FEW = 1 << 14
"""Rows of a batch that has all columns of a table, however many those are."""
_REJECTED = "SELECT line FROM reject_errors ORDER BY line LIMIT 1"


def count(source: Source) -> int:
    """The number of rows.  A CSV file is read once for it, a database counts.  Errors as for `stream`."""
    match source:
        case ParquetFile(path):
            with _parquet(path) as file:
                rows: int = file.metadata.num_rows
                return rows
        case CsvFile(path):
            return sum(batch.num_rows for batch in stream(source, csv_query(path)[1][:1]))
        case PostgresTable():
            with _cursor(source) as cursor:
                cursor.execute(f"SELECT count(*) FROM ({source.query}) AS counted")  # noqa: S608 the manager's own query
                return int(cursor.fetchone()[0])


def stream(source: Source, columns: Sequence[str] | None, rows: int = BATCH) -> Iterator[pa.RecordBatch]:
    """A table's rows in batches of at most `rows`, one at least, in an order that is the same every time the table is.

    columns: those that are read, in this order; None: all.  CSV columns are text.  A database sorts its rows by all
    columns that are read.  BadInput for a column that is not there, a broken file or query; Unavailable when a database
    is away.  Memory: a batch, or a row group of a Parquet file.
    """
    match source:
        case ParquetFile(path):
            yield from _stream_parquet(path, columns, rows)
        case CsvFile(path):
            yield from _stream_csv(path, columns, rows)
        case PostgresTable():
            yield from _stream_postgres(source, columns, rows)


def arriving(source: Source, rows: int = FEW) -> Generator[pa.RecordBatch]:
    """A table's rows as `sources.load` gives them, some at a time, one batch at least; a database's in any order.

    Errors as there, but that a CSV file's broken lines are named once it is read.  Memory: some batches.
    """
    match source:
        case ParquetFile(path):
            yield from _arriving_file(path, "SELECT * FROM read_parquet(?, hive_partitioning=false)", rows, "Parquet")
        case CsvFile(path):
            for batch in _arriving_file(path, csv_query(path)[0], rows, "CSV"):
                if any(pc.any(pc.match_substring(column, "\0")).as_py() for column in batch.columns):
                    raise BadInput(f"{path} has a NUL byte.", "Write the file as UTF-8 text.")
                yield batch
        case PostgresTable():
            with _cursor(source) as cursor:
                cursor.execute(source.query)
                for batch in _some(cursor.fetch_record_batch()):
                    yield plain(batch)


def _arriving_file(path: Path, query: str, rows: int, kind: str) -> Iterator[pa.RecordBatch]:
    # One thread: every further one holds rows of its own.
    with duckdb.connect(":memory:", config={**SEALED, "threads": "1"}) as connection:
        try:
            yield from _some(connection.sql(query, params=[str(path)]).to_arrow_reader(rows))
            bad = [] if kind != "CSV" else connection.sql(_REJECTED).fetchall()
        except (duckdb.Error, pa.ArrowException) as error:
            raise BadInput(f"{path} is no readable {kind} file: {type(error).__name__}.", "Write it again.") from None
    if bad:
        raise BadInput(f"{path}, line {bad[0][0]} is no row of the table.", "Correct that line of the file.")


@contextmanager
def _parquet(path: Path) -> Iterator[parquet.ParquetFile]:
    try:
        file = parquet.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{path} is no readable Parquet file: {type(error).__name__}.", "Write it again.") from None
    with file:
        yield file


def _stream_parquet(path: Path, columns: Sequence[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
    with _parquet(path) as file:
        names = _named(columns, file.schema_arrow.names, path)
        try:
            if not file.metadata.num_rows:
                yield _empty(pa.schema([file.schema_arrow.field(name) for name in names]))
            for batch in file.iter_batches(rows, columns=names):
                yield batch.select(names)
        except (OSError, pa.ArrowException) as error:
            raise BadInput(f"{path} is no readable Parquet file: {type(error).__name__}.", "Write it again.") from None


def _stream_csv(path: Path, columns: Sequence[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
    query, known = csv_query(path)
    names = _named(columns, known, path)
    with duckdb.connect(":memory:", config=SEALED) as connection:
        try:
            shown = ", ".join(quoted(name) for name in names)
            relation = connection.sql(f"SELECT {shown} FROM ({query})", params=[str(path)])  # noqa: S608 quoted
            yield from _some(relation.to_arrow_reader(rows))
            bad = connection.sql(_REJECTED).fetchall()
        except (duckdb.Error, pa.ArrowException) as error:
            raise BadInput(f"{path} is no CSV file: {type(error).__name__}.", "Write it again.") from None
    if bad:
        raise BadInput(f"{path}, line {bad[0][0]} is no row of the table.", "Correct that line of the file.")


def _stream_postgres(source: PostgresTable, columns: Sequence[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
    with _cursor(source) as cursor:
        shown = "*" if columns is None else ", ".join(quoted(name) for name in columns)
        query = f"SELECT {shown} FROM ({source.query}) AS streamed"  # noqa: S608 the manager's own query, names quoted
        cursor.execute(f"{query} LIMIT 0")
        width = len(cursor.description or ())
        order = ", ".join(str(place) for place in range(1, width + 1))
        cursor.execute(f"{query} ORDER BY {order}")
        for batch in _some(cursor.fetch_record_batch()):
            for start in range(0, max(batch.num_rows, 1), rows):
                yield batch.slice(start, rows)


def _some(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """The reader's batches, an empty one where there are none."""
    batch = None
    for batch in reader:
        yield batch
    if batch is None:
        yield _empty(reader.schema)


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


@contextmanager
def _cursor(source: PostgresTable) -> Iterator[Any]:
    try:
        from adbc_driver_manager import Error
        from adbc_driver_postgresql import dbapi
    except ImportError:
        raise Unavailable("The PostgreSQL driver is not installed.", "pip install 'lingqu[postgres]'") from None
    try:
        connection = dbapi.connect(source.url)
    except Error:
        raise Unavailable(f"{source} cannot be reached.", "Check address, user, password and the server.") from None
    with connection, connection.cursor() as cursor:
        try:
            cursor.execute("SET TRANSACTION READ ONLY")
            yield cursor
        except Error as error:
            state = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
            raise BadInput(
                f"{source} cannot be read{state}.", "Check that table and columns exist and may be selected."
            ) from None


def _named(columns: Sequence[str] | None, known: Sequence[str], what: object) -> list[str]:
    names = list(known) if columns is None else list(columns)
    missing = [name for name in names if name not in known]
    if missing:
        raise BadInput(f"{what} has no column {missing[0]}.", f"It has {', '.join(known)}.")
    return names
