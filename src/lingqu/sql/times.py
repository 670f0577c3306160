"""Dates and timestamps in expressions: texts as constants, days added and subtracted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from lingqu.kinds.schema import ColumnType
from lingqu.plan.logical import Apply, Bounds, Expression, Local, Operator
from lingqu.sql import exact

if TYPE_CHECKING:
    from lingqu.sql.bind import Binder

_TIMES = {ColumnType.DATE: "DATE", ColumnType.TIMESTAMP: "TIMESTAMP"}


def days_or(binder: Binder, node: exp.Expr) -> Expression:
    """An expression, or the whole days of an INTERVAL."""
    if not isinstance(node, exp.Interval):
        return binder.bind(node)
    unit, number = str(node.args.get("unit") or "").upper().rstrip("S"), node.this
    text = str(number.this) if isinstance(number, exp.Literal) else ""
    if unit not in ("DAY", "WEEK") or not text.isdigit():
        raise binder.error(node, "This interval is not supported.", "Write INTERVAL 3 DAY, or WEEK, or a number.")
    return exact.constant(int(text) * (7 if unit == "WEEK" else 1), node.sql("duckdb"))


def shifted(binder: Binder, node: exp.Expr, operator: Operator, left: Expression, right: Expression) -> Expression:
    """A date some days later or earlier, or the days between two dates."""
    bounds = None
    if left.bounds is not None and right.bounds is not None:
        bounds = left.bounds + (-right.bounds if operator == "-" else right.bounds)
    if operator == "-" and right.type in (ColumnType.DATE, ColumnType.STRING):
        left, right = binder.alike(node, left, right)
        binder.bounded(node, [left, right])
        between = None if left.bounds is None or right.bounds is None else left.bounds + -right.bounds
        return binder.make(node, "-", [left, right], lambda s: f"({s[0]} - {s[1]})", ColumnType.INT, between)
    if right.type is not ColumnType.INT or right.bounds is None or right.bounds.magnitude > exact.DAYS_MOST:
        raise binder.error(
            node,
            f"{right.text} is no number of days.",
            f"Add whole numbers whose bounds stay below {exact.DAYS_MOST}, or INTERVAL 3 DAY.",
        )
    binder.bounded(node, [left])
    return binder.make(
        node,
        operator,
        [left, right],
        lambda s: f"({s[0]} {operator} CAST({s[1]} AS INTEGER))",
        ColumnType.DATE,
        bounds,
    )


def as_time(binder: Binder, node: exp.Expr, value: Expression, kind: ColumnType) -> Expression:
    """A text constant beside a date or timestamp as such, and a date beside a timestamp as its midnight."""
    if kind is ColumnType.TIMESTAMP and value.type is ColumnType.DATE and isinstance(value, Local):
        bounds = None if value.bounds is None else value.bounds * Bounds(exact.DAY, exact.DAY)
        known = value.constant * exact.DAY if isinstance(value.constant, int) else None
        return replace(value, sql=f"CAST({value.sql} AS TIMESTAMP)", type=kind, bounds=bounds, constant=known)
    if kind not in _TIMES or value.type is not ColumnType.STRING:
        return value
    if isinstance(value, Apply) or value.table is not None:
        return value
    texts: Sequence[object] = [value.constant]
    if value.parameter is not None:
        texts = binder.parameters[value.parameter].allowed or ()
    try:
        moments = [exact.moment(str(text), kind) for text in texts]
    except ValueError:
        form = "YYYY-MM-DD" if kind is ColumnType.DATE else "YYYY-MM-DD HH:MM:SS"
        raise binder.error(node, f"{value.text} is no {kind.value}.", f"Write it as '{form}'.") from None
    return Local(
        table=None,
        sql=f"CAST({value.sql} AS {_TIMES[kind]})",
        type=kind,
        nullable=False,
        bounds=Bounds(min(moments), max(moments)),
        columns=frozenset(),
        text=value.text,
        constant=moments[0] if value.parameter is None else None,
        parameter=value.parameter,
    )
