"""Tables in the types that Lingqu computes with, their fingerprints and their keys."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from lingqu.catalog.sources import SEALED, CsvFile, Source, line_of_row, load, quoted
from lingqu.kinds.errors import BadInput
from lingqu.kinds.schema import ColumnType

ARROW: Mapping[ColumnType, pa.DataType] = {
    ColumnType.BOOL: pa.bool_(),
    ColumnType.INT: pa.int64(),
    ColumnType.REAL: pa.float64(),
    ColumnType.STRING: pa.string(),
    ColumnType.DATE: pa.date32(),
    ColumnType.TIMESTAMP: pa.timestamp("us"),
}
DIGITS = 18
"""A decimal column has at most so many digits; more are reals, unless a view cuts them."""

# A text is a number only in its plain decimal form: codes with leading zeros stay strings.
_INT = "regexp_full_match({0}, '-?(0|[1-9][0-9]*)')"
_REAL = r"regexp_full_match({0}, '-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?')"
_DECIMAL = r"regexp_full_match({0}, '-?(0|[1-9][0-9]*)(\.[0-9]+)?')"
_CLOCK = r"[0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]{{1,6}})?)?"
_STAMP = "regexp_full_match({0}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[ T]" + _CLOCK + "')"
_DATE = "regexp_full_match({0}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}')"
_FROM_TEXT: Mapping[ColumnType, str] = {
    ColumnType.BOOL: "CASE lower({0}) WHEN 'true' THEN true WHEN 'false' THEN false END",
    ColumnType.INT: f"CASE WHEN {_INT} THEN TRY_CAST({{0}} AS BIGINT) END",
    ColumnType.REAL: f"CASE WHEN {_REAL} THEN TRY_CAST({{0}} AS DOUBLE) END",
    ColumnType.STRING: "{0}",
    ColumnType.DATE: f"CASE WHEN {_DATE} THEN TRY_CAST({{0}} AS DATE) END",
    ColumnType.TIMESTAMP: f"CASE WHEN {_STAMP} THEN TRY_CAST({{0}} AS TIMESTAMP) END",
    ColumnType.DECIMAL: f"CASE WHEN {_DECIMAL} THEN {{0}} END",
}
# In this order a column of text gets the first type that all its texts have.
_NARROWEST = (ColumnType.BOOL, ColumnType.INT, ColumnType.REAL, ColumnType.DATE, ColumnType.STRING)
_SQL: Mapping[ColumnType, str] = {
    ColumnType.BOOL: "BOOLEAN",
    ColumnType.INT: "BIGINT",
    ColumnType.REAL: "DOUBLE",
    ColumnType.STRING: "VARCHAR",
    ColumnType.DATE: "DATE",
    ColumnType.TIMESTAMP: "TIMESTAMP",
}
_LOSSLESS = {
    (ColumnType.INT, ColumnType.REAL),
    (ColumnType.INT, ColumnType.STRING),
    (ColumnType.BOOL, ColumnType.INT),
    (ColumnType.BOOL, ColumnType.STRING),
    (ColumnType.DATE, ColumnType.STRING),
    (ColumnType.DATE, ColumnType.TIMESTAMP),
    (ColumnType.DECIMAL, ColumnType.REAL),
    (ColumnType.INT, ColumnType.DECIMAL),
}


def read(source: Source, types: Mapping[str, ColumnType] | None = None) -> pa.Table:
    """The table in Lingqu's types: bool, int64, float64, string (NFC), date32, timestamp[us], decimal128 of 18 digits.

    Its rows are in a fixed order.

    types: the types of some columns, where the source's own or the text's look is not meant.
    Errors: BadInput for a wrong column, an unsupported type, a value that does not fit (with line or row, never the
    value), NaN or infinity, a broken file; Unavailable when a database is away.
    """
    return conform(load(source), source, types or {})


def conform(
    raw: pa.Table,
    source: Source,
    types: Mapping[str, ColumnType],
    scales: Mapping[str, int] | None = None,
    first: int = 0,
) -> pa.Table:
    """A loaded table in Lingqu's types; errors as for `read`.

    scales, first: of a part of a table, whose row `first` is the part's first one: the digits after the point of its
    decimal columns, which a part alone does not tell; BadInput where a value has more.
    """
    wrong = sorted(set(types) - set(raw.column_names))
    if wrong:
        raise BadInput(f"{source} has no column {wrong[0]}.", f"It has {', '.join(raw.column_names)}.")
    with duckdb.connect(":memory:", config=SEALED) as connection:
        connection.register("raw", raw)
        chosen: dict[str, ColumnType] = {}
        kinds: dict[str, pa.DataType] = {}
        expressions = []
        for field in raw.schema:
            name = field.name
            natural = _natural(field, source)
            if isinstance(source, CsvFile) and name not in types:
                chosen[name] = _look(connection, name)
            else:
                chosen[name] = types.get(name, _declared(field, natural))
            sql = _SQL.get(chosen[name], "")
            kinds[name] = ARROW.get(chosen[name])
            if chosen[name] is ColumnType.DECIMAL:
                scale = _scale(connection, field, natural)
                if scales is not None:
                    if scale > scales[name]:
                        raise BadInput(f"Column {name} of {source} has more digits after the point.", "Round them.")
                    scale = scales[name]
                sql, kinds[name] = f"DECIMAL({DIGITS}, {scale})", pa.decimal128(DIGITS, scale)
            expressions.append(f"{_conversion(natural, chosen[name], sql, name, source)} AS {quoted(name)}")
        query = f"SELECT {', '.join(expressions)} FROM raw"  # noqa: S608 names are quoted
        table = connection.sql(query).to_arrow_table()
    table = table.cast(pa.schema(list(kinds.items())))
    _check_values(raw, table, source, first)
    for place, (name, kind) in enumerate(chosen.items()):
        if kind is ColumnType.STRING:  # two spellings of one text are one key, one group, one category
            table = table.set_column(place, table.field(place), pc.utf8_normalize(table.column(name), form="NFC"))
    return table


def column_type(kind: pa.DataType) -> ColumnType:
    """Lingqu's type of a conformed column."""
    if pa.types.is_decimal(kind):
        return ColumnType.DECIMAL
    return next(name for name, arrow in ARROW.items() if arrow.equals(kind))


def fingerprint(table: pa.Table) -> str:
    """`sha256:` and the hexadecimal digest of names, types and values in their order.

    Equal exactly for equal conformed tables, however they are chunked in memory.
    """
    return fingerprint_of(table.schema, table.num_rows, lambda name: table.column(name).chunks)


def fingerprint_of(schema: pa.Schema, rows: int, chunks: Callable[[str], Iterable[pa.Array]]) -> str:
    """As `fingerprint`, of a table that is read column by column.

    chunks: a column's values in their order, from the first on at every call: some are read two or three times.
    Memory: a chunk.
    """
    whole = hashlib.sha256(b"lingqu table 1\n")
    for field in schema:
        part = hashlib.sha256()
        for data in _passes(field.type):
            for chunk in chunks(field.name):
                part.update(data(chunk))
        label = f"{len(field.name.encode())}:{field.name}:{column_type(field.type).value}:{rows}\n"
        whole.update(label.encode() + part.digest())
    return "sha256:" + whole.hexdigest()


def _passes(kind: pa.DataType) -> tuple[Callable[[pa.Array], bytes], ...]:
    """What a column's digest is over, one after the other: which values there are, and these."""
    return (_validity, _lengths, _texts) if pa.types.is_string(kind) else (_validity, _numbers)


def _validity(column: pa.Array) -> bytes:
    return _raw(pc.cast(pc.is_valid(column), pa.uint8()))


def _lengths(column: pa.Array) -> bytes:
    lengths = pc.binary_length(pc.fill_null(column, ""))
    return bytes(lengths.to_numpy(zero_copy_only=False).astype("<i8").tobytes())


def _texts(column: pa.Array) -> bytes:
    return "".join(pc.fill_null(column, "").to_pylist()).encode()


def _numbers(column: pa.Array) -> bytes:
    if pa.types.is_boolean(column.type):
        return _raw(pc.cast(pc.fill_null(column, False), pa.uint8()))
    plain = column
    if pa.types.is_date(column.type):
        plain = column.cast(pa.int32())
    elif pa.types.is_timestamp(column.type):
        plain = column.cast(pa.int64())
    elif pa.types.is_decimal(column.type):
        plain = whole_numbers(column)
    return _raw(pc.fill_null(plain, 0))


def _raw(column: pa.Array) -> bytes:
    return bytes(column.to_numpy(zero_copy_only=False).tobytes())


def whole_numbers(column: pa.Array) -> pa.Array:
    """Decimals as whole numbers of their last digit."""
    factor = pa.scalar(10**column.type.scale, pa.decimal128(DIGITS + 1, 0))
    return pc.multiply(column, factor).cast(pa.int64())


def check_key(table: pa.Table, columns: Sequence[str]) -> None:
    """BadInput, with counts and no values, unless the columns exist, have no nulls, and no combination occurs twice."""
    if not columns:
        raise BadInput("No key is named.", "Name the columns that identify a row.")
    for name in columns:
        if name not in table.column_names:
            raise BadInput(f"The key column {name} does not exist.", f"The table has {', '.join(table.column_names)}.")
        if pa.types.is_floating(table.schema.field(name).type):
            raise BadInput(f"The key column {name} holds reals.", "Use a string, int, date or bool column as key.")
        nulls = table.column(name).null_count
        if nulls:
            raise BadInput(f"The key column {name} is null in {nulls} of {table.num_rows} rows.", "Fill or drop them.")
    distinct = table.select(list(columns)).group_by(list(columns)).aggregate([]).num_rows
    if distinct < table.num_rows:
        raise BadInput(
            f"The key {', '.join(columns)} is not unique: {table.num_rows - distinct} of {table.num_rows} rows repeat.",
            "Remove the repeated rows or choose another key.",
        )


def _natural(field: pa.Field, source: Source) -> ColumnType:
    """The type that a loaded column has of itself."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if pa.types.is_boolean(kind):
        return ColumnType.BOOL
    if pa.types.is_integer(kind):
        return ColumnType.INT
    if pa.types.is_decimal(kind) and kind.precision <= DIGITS and kind.scale >= 0:
        return ColumnType.DECIMAL
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return ColumnType.TIMESTAMP
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return ColumnType.REAL
    if pa.types.is_date(kind):
        return ColumnType.DATE
    if pa.types.is_null(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind) or kind == pa.string_view():
        return ColumnType.STRING
    raise BadInput(
        f"Column {field.name} of {source} has the unsupported type {kind}.",
        "Cast it to bool, bigint, double, decimal, varchar, date or timestamp in a view or query, or leave it out.",
    )


def _declared(field: pa.Field, natural: ColumnType) -> ColumnType:
    """The type a column gets when nobody says otherwise; exact decimals of a database arrive as text."""
    return ColumnType.REAL if (field.metadata or {}).get(b"database-type") == b"numeric" else natural


def _look(connection: duckdb.DuckDBPyConnection, name: str) -> ColumnType:
    """The narrowest type that every text of a CSV column has; string for a column without values."""
    column = quoted(name)
    tests = [f"count({_FROM_TEXT[kind].format(column)}) = count({column})" for kind in _NARROWEST]
    wide = f"count_if({_INT.format(column)} AND TRY_CAST({column} AS BIGINT) IS NULL) > 0"
    query = f"SELECT count({column}), {wide}, {', '.join(tests)} FROM raw"  # noqa: S608 the name is quoted
    values, too_wide, *fits = connection.sql(query).fetchall()[0]
    if not values or too_wide:
        return ColumnType.STRING
    return next(kind for kind, fit in zip(_NARROWEST, fits, strict=True) if fit)


def _scale(connection: duckdb.DuckDBPyConnection, field: pa.Field, natural: ColumnType) -> int:
    """Digits after the point of a decimal column: its own, or as many as its longest text has."""
    if pa.types.is_decimal(field.type):
        return int(field.type.scale)
    if natural is not ColumnType.STRING:
        return 0
    column = quoted(field.name)
    longest = f"max(length(split_part({column}, '.', 2)))"
    found = connection.sql(f"SELECT {longest} FROM raw WHERE {_DECIMAL.format(column)}").fetchall()[0][0]  # noqa: S608
    return min(int(found or 0), DIGITS)


def _conversion(natural: ColumnType, kind: ColumnType, sql: str, name: str, source: Source) -> str:
    """The SQL expression that converts a column; null where a value does not fit."""
    if natural is ColumnType.STRING:
        cast = "TRY_CAST" if kind is ColumnType.DECIMAL else "CAST"
        return f"{cast}({_FROM_TEXT[kind].format(quoted(name))} AS {sql})"
    if natural is not kind and (natural, kind) not in _LOSSLESS:
        raise BadInput(
            f"Column {name} of {source} is {natural.value}, which does not convert to {kind.value}.",
            f"Register it as {natural.value}, or convert it in the source.",
        )
    return f"TRY_CAST({quoted(name)} AS {sql})"


def _check_values(raw: pa.Table, table: pa.Table, source: Source, first: int) -> None:
    """BadInput where a value was lost in conversion, or is NaN or infinite.  first: the first row's place."""
    for name in table.column_names:
        column = table.column(name)
        kind = column_type(column.type)
        bad = pc.and_(pc.is_valid(raw.column(name)), pc.is_null(column))
        if pa.types.is_floating(column.type):
            bad = pc.or_(bad, pc.fill_null(pc.invert(pc.is_finite(column)), False))
        count = pc.sum(bad).as_py() or 0
        if count:
            row = first + pc.index(bad, True).as_py()
            csv = isinstance(source, CsvFile)
            where = f"line {line_of_row(source.path, row)}" if isinstance(source, CsvFile) else f"row {row + 1}"
            raise BadInput(
                f"{source}, {where}, column {name}: no {kind.value}; {count} such in all.",
                "Correct them" + (", or register the column as string." if csv else " in the source."),
            )
