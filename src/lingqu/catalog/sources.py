"""Where a table lies: CSV, Parquet or PostgreSQL; reading it as it is, before types are settled."""

from __future__ import annotations

import csv
import gzip
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar, cast
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lingqu.kinds.errors import BadInput, Unavailable

SEALED: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "threads": "2",
}


@dataclass(frozen=True)
class CsvFile:
    """RFC 4180: commas, double quotes, a header line, UTF-8; plain or gzip (`.csv.gz`).

    An empty field is null, a quoted empty field is the empty string.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class ParquetFile:
    path: Path

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class PostgresTable:
    """url: as libpq takes it.  relation: "schema.table" or "table" or a SELECT.  The password does not print."""

    url: str = field(repr=False)
    relation: str

    def __str__(self) -> str:
        place = self.url.partition("://")[2].rpartition("@")[2].partition("?")[0]
        return f"postgresql://{place}#{self.relation}"

    @property
    def query(self) -> str:
        """The SELECT that gives the rows."""
        if self.relation[:7].lower() == "select ":
            return self.relation
        return "SELECT * FROM " + ".".join(quoted(part) for part in self.relation.split(".", 1))  # noqa: S608 quoted


Source = CsvFile | ParquetFile | PostgresTable
Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)


def open_source(text: str) -> Source:
    """The source that a text names: a path ending in .csv, .csv.gz or .parquet, or `postgresql://…#schema.table`.

    A percent-encoded `postgresql://…#select%20…` names a query.  BadInput for anything else and for a missing file.
    """
    if text.startswith(("postgresql://", "postgres://")):
        url, mark, relation = text.partition("#")
        if not mark or not relation:
            raise BadInput("The PostgreSQL source names no table.", "Write postgresql://host/database#schema.table.")
        if "@" in relation and "@" not in url:  # a password's own # would end the URL, and print with the table
            raise BadInput("The PostgreSQL URL has a # before its @.", "Write a # in a password as %23.")
        return PostgresTable(url, unquote(relation))
    path = Path(text)
    kind = CsvFile if path.name.endswith((".csv", ".csv.gz")) else ParquetFile if path.suffix == ".parquet" else None
    if kind is None:
        raise BadInput(
            f"{text.partition('?')[0]!r} is no table that Lingqu reads.",
            "Name a .csv, .csv.gz or .parquet file, or postgresql://host/database#schema.table.",
        )
    _readable(path)
    return kind(path)


def quoted(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def load(source: Source) -> pa.Table:
    """The rows as the source has them; every CSV column is text still.

    Names of columns come in the normal form NFC.  Files keep their order of rows; a database has none, so its rows come
    back sorted by all columns.
    Errors: BadInput for a broken file (a CSV names line and column), Unavailable when a database is away.
    Reading needs no network and no DuckDB extension beyond those linked into it.
    """
    match source:
        case CsvFile(path):
            table = _load_csv(path)
        case ParquetFile(path):
            table = _load_parquet(path)
        case PostgresTable():
            table = _load_postgres(source)
    # Checked again: two names may be two spellings of one.
    names = [unicodedata.normalize("NFC", name) for name in table.column_names]
    check_names(names, source)
    return table.rename_columns(names)


def line_of_row(path: Path, row: int) -> int:
    """The line of a CSV file on which the row with that index (0 is the first after the header) begins."""
    with _text(path) as lines:
        reader = csv.reader(lines)
        next(reader)
        last = reader.line_num
        several = len(_header(path)) > 1
        for fields in reader:
            if not fields and several:  # a blank line is no row
                last = reader.line_num
                continue
            if row == 0:
                break
            row -= 1
            last = reader.line_num
        return last + 1


def _readable(path: Path) -> None:
    if not path.is_file():
        raise BadInput(f"There is no file {path}.", "Correct the path.")
    if any(mark in str(path) for mark in "*?[]"):
        raise BadInput(f"The path {path} contains a wildcard character.", "Rename the file without * ? [ ].")


def _text(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return cast(IO[str], gzip.open(path, "rt", encoding="utf-8-sig", newline="", errors="replace"))
    return path.open(encoding="utf-8-sig", newline="", errors="replace")


def _header(path: Path) -> list[str]:
    """The column names of a CSV file."""
    try:
        with _text(path) as lines:
            names = next(csv.reader(lines), [])
    except (OSError, EOFError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read: {type(error).__name__}.", "Check the file and its rights.") from None
    if not names:
        raise BadInput(f"{path} is empty: it has no header line.", "Put the column names on the first line.")
    return names


def check_names(names: list[str], what: object) -> None:
    """BadInput unless every column has a name of 1 to 128 characters, each once whatever the case."""
    seen: set[str] = set()
    for place, name in enumerate(names, 1):
        if not name or len(name) > 128 or not name.isprintable() or "\ufffd" in name:
            raise BadInput(f"Column {place} of {what} has no usable name.", "Name it with 1 to 128 characters.")
        if name.casefold() in seen:
            raise BadInput(f"Two columns of {what} are called {name}, case aside.", "Rename one of them.")
        seen.add(name.casefold())


def csv_query(path: Path) -> tuple[str, list[str]]:
    """The query that reads a CSV file, whose only parameter is its path, and the names of its columns, all of text.

    Lines that are no rows are in `reject_errors` afterwards.
    """
    _readable(path)
    names = _header(path)
    check_names(names, path)
    columns = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in names)
    options = (
        f"auto_detect=false, columns={{{columns}}}, delim=',', quote='\"', escape='\"', header=true, strict_mode=true, "
        "null_padding=false, allow_quoted_nulls=false, hive_partitioning=false, store_rejects=true"
    )
    return f"SELECT * FROM read_csv(?, {options})", names  # noqa: S608 names are quoted literals


def _load_csv(path: Path) -> pa.Table:
    query, _ = csv_query(path)
    with duckdb.connect(":memory:", config=SEALED) as connection:
        try:
            table = connection.sql(query, params=[str(path)]).to_arrow_table()
            rejects = connection.sql(
                "SELECT line, column_idx, column_name, error_type::VARCHAR FROM reject_errors ORDER BY line LIMIT 1"
            ).fetchall()
        except duckdb.Error:
            raise BadInput(*_broken(path)) from None
    if rejects:
        line, place, name, fault = rejects[0]
        where = f"column {name}" if name else f"column {place or 1}"
        raise BadInput(f"{path}, line {line}, {where}: {str(fault).lower()}.", "Correct that line of the file.")
    if any(pc.any(pc.match_substring(column, "\0")).as_py() for column in table.columns):
        raise BadInput(*_broken(path))
    return table


def _broken(path: Path) -> tuple[str, str]:
    """Cause and cure for a file that the parser gave up on: a NUL byte or mixed line endings, with the line."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as lines:
            first: bytes | None = None
            for number, line in enumerate(lines, 1):
                ending = line[len(line.rstrip(b"\r\n")) :]
                first = ending if first is None else first
                if b"\0" in line:
                    column = line[: line.index(b"\0")].count(b",") + 1
                    return f"{path}, line {number}, column {column}: a NUL byte.", "Write the file as UTF-8 text."
                if ending and ending != first:
                    return (
                        f"{path}, line {number}, last column: this line ends in another way than the first.",
                        "Use one kind of line ending.",
                    )
    except (OSError, EOFError) as error:
        return f"{path} cannot be read: {type(error).__name__}.", "Check the file and its rights."
    return f"{path} is no CSV file.", "Write it with commas, double quotes and a header line, as UTF-8."


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _load_parquet(path: Path) -> pa.Table:
    _readable(path)
    with duckdb.connect(":memory:", config=SEALED) as connection:
        try:
            relation = connection.sql("SELECT * FROM read_parquet(?, hive_partitioning=false)", params=[str(path)])
            table = relation.to_arrow_table()
        except duckdb.Error as error:
            raise BadInput(f"{path} is no readable Parquet file: {type(error).__name__}.", "Write it again.") from None
    check_names(table.column_names, path)
    return table


def _load_postgres(source: PostgresTable) -> pa.Table:
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
            cursor.execute(source.query)
            table = cursor.fetch_arrow_table()
        except Error as error:
            state = f" (SQLSTATE {error.sqlstate})" if error.sqlstate else ""
            raise BadInput(
                f"{source} cannot be read{state}.", "Check that the table exists and that the user may SELECT from it."
            ) from None
    check_names(table.column_names, source)
    bare = plain(table)
    return bare.sort_by([(name, "ascending") for name in bare.column_names]) if bare.num_rows > 1 else bare


def plain(table: Rows) -> Rows:
    """A database's rows with its own types, which Arrow lacks, as they are stored."""
    storage = [column.cast(column.type.storage_type) if _opaque(column.type) else column for column in table.columns]
    return type(table).from_arrays(storage, schema=_labelled(table, storage))


def _opaque(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.OpaqueType)


def _labelled(table: Rows, storage: Sequence[Any]) -> pa.Schema:
    """The schema of the plain columns; the database's own name of a type that Arrow lacks stays as metadata."""
    fields = []
    for old, column in zip(table.schema, storage, strict=True):
        metadata = {"database-type": old.type.type_name} if _opaque(old.type) else None
        fields.append(pa.field(old.name, column.type, metadata=metadata))
    return pa.schema(fields)
