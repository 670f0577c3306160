"""An owner's local part of a plan: expressions over its own rows, every row kept in order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp

from lingqu.catalog.sources import SEALED, Source, load, quoted
from lingqu.catalog.spools import Spool, spool
from lingqu.catalog.tables import conform, fingerprint
from lingqu.kinds.errands import Columns, Scan
from lingqu.kinds.errors import BadInput, RangeError, Refused, TableChanged
from lingqu.kinds.schema import Asset

ROWS = "rows"
MORE_THAN_A_ROW = (
    exp.Query,
    exp.Table,
    exp.AggFunc,
    exp.Window,
    exp.Star,
    exp.Command,
    exp.UDTF,
    exp.Explode,
    exp.Lambda,
    exp.Placeholder,
    exp.Parameter,
)


@dataclass(frozen=True)
class Projection:
    """One output column.  sql: a DuckDB expression over the columns of one row, null in no row."""

    name: str
    sql: str


def scan(
    source: Source, asset: Asset, projections: Sequence[Projection], registered: str
) -> dict[str, npt.NDArray[Any]]:
    """Evaluate the projections on every row of the asset, in the order of its rows.

    registered: the fingerprint that `describe` gave.
    Returns arrays of asset.rows values: bool, int64, float64, object (str), int64 for dates (days) and timestamps
    (microseconds).
    Errors: TableChanged when the data is not what was registered; Refused for an expression that is more than a
    function of one row (subqueries, aggregates, windows, files); BadInput for one that is null or fails on some row;
    RangeError for integers beyond 64 bits and for reals that are not finite.  No error holds a value.
    Cost: reads the source once.  Discloses: nothing, it is local; the connection has no access to files or network.
    """
    for projection in projections:
        _check_expression(projection, asset)
    table = _registered(source, asset, registered)
    return _evaluated(table, asset, projections)


class Registered(Scan):
    """The scan of a registered table, for whoever wants it in batches; a column looked at by name is read with `scan`.

    Arguments and errors as for `scan`; folder: on whose disk the table lies meanwhile (`spools.spool`).  Nothing is
    read before it is asked for.
    """

    def __init__(
        self, source: Source, asset: Asset, projections: Sequence[Projection], registered: str, folder: Path
    ) -> None:
        self._source = source
        self._asset = asset
        self._projections = {projection.name: projection for projection in projections}
        self._registered = registered
        self._folder = folder
        self._read = {projection.name: _check_expression(projection, asset) for projection in projections}

    @property
    def rows(self) -> int:
        """As published."""
        return self._asset.rows

    def batches(self, names: Sequence[str]) -> Iterator[Columns]:
        """Memory: some batches.  Work: the source is read once, however often this is called."""
        read = sorted({column for name in names for column in self._read[name]})
        projections = [self._projections[name] for name in names]
        for batch in self._spool.batches(read or [self._asset.columns[0].name]):
            yield _evaluated(pa.Table.from_batches([batch]), self._asset, projections)

    @cached_property
    def _spool(self) -> Spool:
        return spool(self._source, self._asset, self._registered, self._folder)

    @cached_property
    def _columns(self) -> Columns:
        return scan(self._source, self._asset, list(self._projections.values()), self._registered)

    def whole(self) -> Columns:
        """As `scan` gives them: the table is checked though there be no column."""
        return self._columns

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._projections)

    def __len__(self) -> int:
        return len(self._projections)


def _evaluated(table: pa.Table, asset: Asset, projections: Sequence[Projection]) -> dict[str, npt.NDArray[Any]]:
    """The projections, checked before, on some rows in the asset's types."""
    if not projections:
        return {}
    with duckdb.connect(":memory:", config=SEALED) as connection:
        connection.register("arriving", table)
        place = quoted(_free_name(asset))
        numbered = f"SELECT *, row_number() OVER () - 1 AS {place} FROM arriving"  # noqa: S608 the name is ours
        connection.execute(f"CREATE TABLE {ROWS} AS {numbered}")
        connection.unregister("arriving")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return {one.name: _evaluate(connection, one, place, table.num_rows) for one in projections}


def _registered(source: Source, asset: Asset, registered: str) -> pa.Table:
    """The table in the asset's types, known to be the registered one."""
    cure = "Register the table again, and propose contracts over the new version."
    raw = load(source)
    if raw.num_rows != asset.rows:
        raise TableChanged(f"{asset.id} had {asset.rows} rows when it was registered, now {raw.num_rows}.", cure)
    if raw.column_names != [column.name for column in asset.columns]:
        raise TableChanged(f"{asset.id} has other columns than when it was registered.", cure)
    try:
        table = conform(raw, source, {column.name: column.type for column in asset.columns})
    except BadInput as error:
        raise TableChanged(f"{asset.id} has changed since it was registered: {error.cause}", cure) from None
    if fingerprint(table) != registered:
        raise TableChanged(f"The content of {asset.id} has changed since it was registered.", cure)
    return table


def _free_name(asset: Asset) -> str:
    """A name for the row's place that no column has."""
    name = "place"
    while any(column.name.casefold() == name for column in asset.columns):
        name += "_"
    return name


def _check_expression(projection: Projection, asset: Asset) -> frozenset[str]:
    """Refuse what is more than a function of one row of this asset; the columns that it reads."""
    what = f"The expression for {projection.name}"
    try:
        statements = sqlglot.parse(projection.sql, dialect="duckdb")
    except sqlglot.errors.SqlglotError:
        raise BadInput(f"{what} is no SQL expression.", "Correct the plan.") from None
    tree = statements[0] if len(statements) == 1 else None
    if not isinstance(tree, exp.Condition):
        raise Refused(f"{what} is not one expression.", "A scan takes one expression for each column.", term="plan")
    for node in tree.walk():
        if isinstance(node, MORE_THAN_A_ROW):
            raise Refused(
                f"{what} contains {type(node).__name__.lower()}, which is more than a function of one row.",
                "Let the plan compute it under the protocol.",
                term="plan",
            )
        if _beyond_the_row(node):
            called = node.name if isinstance(node, exp.Anonymous) else node.key
            raise Refused(f"{what} calls {called}, no function of a row.", "Use another function.", term="plan")
        if isinstance(node, exp.Column) and (node.table or asset.column(node.name) is None):
            known = ", ".join(column.name for column in asset.columns)
            raise BadInput(f"{what} names {node.sql()}, which {asset.id} does not have.", f"It has {known}.")
    return frozenset(node.name for node in tree.find_all(exp.Column))


def _beyond_the_row(node: object) -> bool:
    """Whether it calls a function that has effects, or whose answer the row alone does not give."""
    steady, changing = _functions()
    if isinstance(node, exp.Anonymous):
        return node.name.casefold() not in steady
    return isinstance(node, exp.Func) and any(name.lower() in changing for name in node.sql_names())


@cache
def _functions() -> tuple[frozenset[str], frozenset[str]]:
    """DuckDB's functions of one row that have no effects and always give the same answer; those that do not."""
    query = "SELECT lower(function_name) FROM duckdb_functions() GROUP BY 1 HAVING "
    steady = "bool_and(function_type = 'scalar' AND stability = 'CONSISTENT')"
    changing = "bool_or(function_type = 'scalar' AND stability <> 'CONSISTENT')"
    with duckdb.connect(":memory:", config=SEALED) as connection:
        both = [connection.sql(query + kind).fetchall() for kind in (steady, changing)]
    return frozenset(name for (name,) in both[0]), frozenset(name for (name,) in both[1])


def _evaluate(connection: duckdb.DuckDBPyConnection, projection: Projection, place: str, rows: int) -> npt.NDArray[Any]:
    """One projection's values in the order of the rows."""
    cure = "Correct the plan; a projection must have a value in every row."
    try:
        query = f"SELECT {place}, ({projection.sql}\n) FROM {ROWS} ORDER BY {place}"  # noqa: S608 checked before
        found = connection.sql(query).to_arrow_table()
    except duckdb.Error as error:
        raise BadInput(f"The expression for {projection.name} fails: {type(error).__name__}.", cure) from None
    column = found.column(1)
    if found.num_columns != 2 or not np.array_equal(found.column(0).to_numpy(), np.arange(rows)):
        raise BadInput(f"The expression for {projection.name} does not keep the rows.", cure)
    if column.null_count:
        raise BadInput(f"The expression for {projection.name} is null in {column.null_count} of {rows} rows.", cure)
    return _numpy(column, projection.name)


def _numpy(column: pa.ChunkedArray, name: str) -> npt.NDArray[Any]:
    kind = column.type
    if pa.types.is_boolean(kind):
        return np.asarray(column.to_numpy(), dtype=np.bool_)
    if pa.types.is_date32(kind):
        return np.asarray(column.cast(pa.int32()).to_numpy(), dtype=np.int64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.asarray(column.to_pylist(), dtype=object)
    whole = pa.types.is_decimal(kind) and kind.scale == 0
    if pa.types.is_integer(kind) or whole:
        try:
            return np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)
        except pa.ArrowInvalid:
            raise RangeError(f"{name} holds integers beyond 64 bits.", "Scale the column down.") from None
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        reals = column.cast(pa.float64())
        if not pc.all(pc.is_finite(reals)).as_py() and len(reals):
            raise RangeError(f"{name} holds values that are not finite.", "Guard the division or logarithm.")
        return np.asarray(reals.to_numpy(), dtype=np.float64)
    raise BadInput(f"{name} has the unsupported type {kind}.", "Cast it to bool, bigint, double, varchar or date.")
