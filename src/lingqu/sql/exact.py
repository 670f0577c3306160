"""Decimals as whole numbers of a power of ten, and dates as whole days: types that are exact on shares."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from lingqu.kinds.schema import ColumnType
from lingqu.plan.inputs import BUDGET
from lingqu.plan.logical import Apply, Bounds, Expression, Local

DIGITS = 18
EPOCH = datetime.date(1970, 1, 1)
START = datetime.datetime(1970, 1, 1)
DAY = 86_400_000_000
"""Microseconds of a day."""
DAYS_MOST = 1_000_000
"""More days than this are added to no date: DuckDB's dates end."""


def decimal_bounds(lower: float, upper: float, tens: int) -> Bounds:
    """Bounds of the whole numbers of 10**-tens between two reals, rounded outward."""
    return Bounds(math.floor(lower * 10**tens) - 1.0, math.ceil(upper * 10**tens) + 1.0)


def literal(value: Expression) -> Expression:
    """A literal such as 12.50 as the decimal that it is; anything else as it was."""
    if not isinstance(value, Local) or value.constant is None or value.type is not ColumnType.REAL:
        return value
    try:
        exact = Decimal(value.text)
    except InvalidOperation:
        return value
    tens = max(0, -int(exact.as_tuple().exponent))
    if tens > DIGITS or abs(exact) * 10**tens >= 1 << BUDGET:
        return value
    number = int(exact.scaleb(tens))
    sql = f"CAST({number} AS BIGINT)"
    return replace(value, sql=sql, type=ColumnType.DECIMAL, bounds=Bounds(number, number), constant=number, tens=tens)


def finer(value: Expression, tens: int) -> Expression:
    """A decimal or whole number as a decimal with so many digits after the point, at least as many as it has."""
    factor, bounds = 10 ** (tens - value.tens), value.bounds
    scaled = None if bounds is None else Bounds(bounds.lower * factor, bounds.upper * factor)
    if isinstance(value, Apply):
        if factor == 1:
            return replace(value, type=ColumnType.DECIMAL)
        by = Local(
            None, f"CAST({factor} AS BIGINT)", ColumnType.INT, False, Bounds(factor, factor), frozenset(), str(factor),
            constant=factor,
        )  # fmt: skip
        return Apply("*", (value, by), ColumnType.DECIMAL, value.nullable, scaled, value.text, tens)
    known = value.constant
    return replace(
        value,
        sql=value.sql if factor == 1 else f"({value.sql} * {factor})",
        type=ColumnType.DECIMAL,
        bounds=scaled,
        constant=known * factor if isinstance(known, int) else known,
        tens=tens,
    )


def real(value: Expression) -> Expression | None:
    """A decimal as a real, rounded to the nearest double by its owner; None where several owners made it."""
    if value.type is not ColumnType.DECIMAL:
        return value
    if isinstance(value, Apply):
        return None
    factor, bounds = 10**value.tens, value.bounds
    return replace(
        value,
        sql=f"(CAST({value.sql} AS DOUBLE) / {factor})",
        type=ColumnType.REAL,
        bounds=None if bounds is None else Bounds(bounds.lower / factor, bounds.upper / factor),
        constant=None if value.constant is None else float(value.constant) / factor,
        tens=0,
    )


def alike(values: Sequence[Expression], *, aligned: bool = True) -> list[Expression] | None:
    """Numbers of one kind: exact where none is a real, with equally many digits after the point where `aligned`.

    None where a decimal of several owners meets a real: shares are either exact or not.
    """
    if not any(value.type is ColumnType.DECIMAL for value in values):
        return list(values)
    values = [literal(value) for value in values]
    if any(value.type is ColumnType.REAL for value in values):
        found = [real(value) for value in values]
        return None if None in found else [value for value in found if value is not None]
    if not aligned:
        return list(values)
    tens = max(value.tens for value in values)
    numbers = (ColumnType.INT, ColumnType.DECIMAL)
    return [finer(value, tens) if value.type in numbers else value for value in values]


def moment(text: str, kind: ColumnType) -> int:
    """Days of a date, or microseconds of a timestamp, since 1970; ValueError for what is none."""
    if kind is ColumnType.DATE:
        return (datetime.date.fromisoformat(text) - EPOCH).days
    return (datetime.datetime.fromisoformat(text).replace(tzinfo=None) - START) // datetime.timedelta(microseconds=1)


def type_of(value: bool | int | float | str) -> ColumnType:
    """The type of a literal or of a parameter's value."""
    if isinstance(value, bool):
        return ColumnType.BOOL
    if isinstance(value, int):
        return ColumnType.INT
    return ColumnType.REAL if isinstance(value, float) else ColumnType.STRING


def constant(value: bool | int | float | str, text: str) -> Local:
    """A literal as an expression of any owner."""
    kind = type_of(value)
    sql = {
        ColumnType.BOOL: "TRUE" if value else "FALSE",
        ColumnType.INT: f"CAST({value} AS BIGINT)",
        ColumnType.REAL: f"CAST({value!r} AS DOUBLE)",
        ColumnType.STRING: "'" + str(value).replace("'", "''") + "'",
    }[kind]
    bounds = None if isinstance(value, str) else Bounds(float(value), float(value))
    return Local(None, sql, kind, False, bounds, frozenset(), text, constant=value)
