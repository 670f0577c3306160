"""An owner's table as a mechanism's own run meets it: which columns are scanned and how, and what is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lingqu.kinds.errands import Scanned
from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.schema import Asset, Column, ColumnType
from lingqu.plan.inputs import Projected, ScanArguments

KEYS = (ColumnType.STRING, ColumnType.INT, ColumnType.DATE)
"""Types of columns that can be keys."""
_EMPTY = {
    ColumnType.BOOL: "FALSE",
    ColumnType.INT: "0",
    ColumnType.REAL: "0",
    ColumnType.STRING: "''",
    ColumnType.DATE: "DATE '1970-01-01'",
}


def table_of(assets: Mapping[str, Asset], table: str) -> Asset:
    """The asset of that id; BadInput when there is none."""
    if table not in assets:
        raise BadInput(f"There is no table {table!r}.", f"Known: {', '.join(sorted(assets)) or 'none'}.")
    return assets[table]


def column_of(asset: Asset, name: str) -> Column:
    """The asset's column of that name; BadInput when there is none."""
    column = asset.column(name)
    if column is None:
        raise BadInput(f"{asset.id} has no column {name!r}.", f"It has {', '.join(c.name for c in asset.columns)}.")
    return column


def key_of(asset: Asset, name: str) -> Column:
    """As `column_of`, for a key; BadInput for a column of a type that is none."""
    column = column_of(asset, name)
    if column.type not in KEYS:
        raise BadInput(f"{name} is {column.type.value}, which is no key.", "Use texts, whole numbers or dates as keys.")
    return column


def check_size(asset: Asset, largest: int | None) -> None:
    """Refused (term "set-size") for a table of more rows than agreed.  largest: None for as many as it has."""
    if largest is not None and asset.rows > largest:
        raise Refused(
            f"{asset.id} has {asset.rows} rows, {largest} are the most that is asked for.",
            "Agree on more, or register a smaller table.",
            term="set-size",
        )


def scanned(asset: Asset, name: str) -> Scanned:
    """A column as `scan` gives it; BadInput when the asset has none of that name."""
    column = column_of(asset, name)
    label = f"c{[other.name for other in asset.columns].index(name)}"
    return Scanned(title=name, value=label, type=column.type, nulls=f"{label}_null" if column.nullable else None)


def scan(asset: Asset, names: Sequence[str]) -> ScanArguments:
    """The scan of some columns, each null nowhere, with its nulls as a column beside it."""
    projections = []
    for name in names:
        column, given = column_of(asset, name), scanned(asset, name)
        projections.append(Projected(name=given.value, sql=_value(column)))
        if given.nulls is not None:
            projections.append(Projected(name=given.nulls, sql=f"({_quoted(name)} IS NULL)"))
    return ScanArguments(asset=asset.id, projections=tuple(projections))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _value(column: Column) -> str:
    """A column as a scan gives it: decimals and timestamps as whole numbers."""
    name = _quoted(column.name)
    if column.type is ColumnType.TIMESTAMP:
        return f"COALESCE(epoch_us({name}), 0)"
    if column.type is ColumnType.DECIMAL:
        return f"COALESCE(CAST({name} * {10**column.scale} AS BIGINT), 0)"
    return f"COALESCE({name}, {_EMPTY[column.type]})"
