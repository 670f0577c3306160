"""The SQL functions that an owner's database may compute on its own rows: an allow-list.

Each is total: it cannot fail on some rows, because a failing run would tell the others something about them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlglot import exp

from lingqu.kinds.schema import ColumnType
from lingqu.plan.logical import Bounds, Expression
from lingqu.sql.exact import DAY

_NUMBER = frozenset({ColumnType.INT, ColumnType.REAL, ColumnType.DECIMAL})
_TEXT = frozenset({ColumnType.STRING})
_DATE = frozenset({ColumnType.DATE, ColumnType.TIMESTAMP})
_TIME = frozenset({ColumnType.TIMESTAMP})
ROUNDED = frozenset({"FLOOR", "CEIL", "ROUND"})
"""Functions that take decimals as reals."""
LONGEST = 1 << 31
"""Places in a text stay below this; DuckDB fails from 2**32 on."""


@dataclass(frozen=True)
class Function:
    """name: as people write it.  keys: the arguments' places in the syntax tree.  takes: permitted types, None for any.

    result: the type; None for the arguments' common one.  bounds: from the arguments.  positions: whether the arguments
    after the first are places in a text, whole numbers whose bounds stay below LONGEST.
    """

    name: str
    keys: tuple[str, ...]
    takes: frozenset[ColumnType] | None
    result: ColumnType | None
    bounds: Callable[[Sequence[Expression]], Bounds | None]
    sql: Callable[[Sequence[str]], str]
    positions: bool = False

    def arguments(self, node: exp.Expr) -> list[exp.Expr]:
        """The arguments of a call, in order."""
        found: list[exp.Expr] = []
        for key in self.keys:
            value = node.args.get(key)
            found += value if isinstance(value, list) else [] if value is None else [value]
        return found


def _call(name: str) -> Callable[[Sequence[str]], str]:
    return lambda parts: f"{name}({', '.join(parts)})"


def _none(_: Sequence[Expression]) -> None:
    return None


def _constant(lower: float, upper: float) -> Callable[[Sequence[Expression]], Bounds]:
    return lambda _: Bounds(lower, upper)


def _absolute(arguments: Sequence[Expression]) -> Bounds | None:
    bounds = arguments[0].bounds
    return None if bounds is None else Bounds(0, bounds.magnitude)


def _rounded(arguments: Sequence[Expression]) -> Bounds | None:
    bounds = arguments[0].bounds
    return None if bounds is None else _outward(bounds)


def _outward(bounds: Bounds) -> Bounds:
    if not math.isfinite(bounds.magnitude):
        return bounds
    return Bounds(float(math.floor(bounds.lower)), float(math.ceil(bounds.upper)))


def _hull(arguments: Sequence[Expression]) -> Bounds | None:
    bounds = arguments[0].bounds
    for argument in arguments[1:]:
        bounds = None if bounds is None or argument.bounds is None else bounds.hull(argument.bounds)
    return bounds


def _years(arguments: Sequence[Expression]) -> Bounds | None:
    bounds = days_of(arguments[0])
    return None if bounds is None else Bounds(1970 + bounds.lower // 365.2 - 1, 1970 + bounds.upper // 365.2 + 1)


def days_of(value: Expression) -> Bounds | None:
    """Bounds of the days of a date or timestamp."""
    bounds = value.bounds
    if bounds is None or value.type is ColumnType.DATE:
        return bounds
    return Bounds(bounds.lower // DAY, bounds.upper // DAY)


def division_bounds(operator: str, bounds: Bounds | None, divisor: object, *, whole: bool) -> Bounds | None:
    """Bounds of a quotient or remainder; without a constant divisor other than zero only for whole numbers, else None.

    whole: both sides are whole numbers, so that the result is no larger than the dividend.
    """
    if bounds is None:
        return None
    if isinstance(divisor, bool) or not isinstance(divisor, int | float) or divisor == 0:
        return Bounds(-bounds.magnitude, bounds.magnitude) if whole else None
    if operator == "%":
        limit = min(abs(divisor), bounds.magnitude)
        return Bounds(-limit if bounds.lower < 0 else 0, limit)
    quotient = Bounds.around(bounds.lower / divisor, bounds.upper / divisor)
    return quotient if operator == "/" else _outward(quotient)


_INT, _REAL, _STRING, _BOOL = ColumnType.INT, ColumnType.REAL, ColumnType.STRING, ColumnType.BOOL

FUNCTIONS: dict[type[exp.Expr], Function] = {
    exp.Abs: Function("ABS", ("this",), _NUMBER, None, _absolute, _call("abs")),
    exp.Floor: Function("FLOOR", ("this",), _NUMBER, None, _rounded, _call("floor")),
    exp.Ceil: Function("CEIL", ("this",), _NUMBER, None, _rounded, _call("ceil")),
    exp.Round: Function("ROUND", ("this",), _NUMBER, None, _rounded, _call("round")),
    exp.Greatest: Function("GREATEST", ("this", "expressions"), _NUMBER, None, _hull, _call("greatest")),
    exp.Least: Function("LEAST", ("this", "expressions"), _NUMBER, None, _hull, _call("least")),
    exp.Coalesce: Function("COALESCE", ("this", "expressions"), None, None, _hull, _call("coalesce")),
    exp.Length: Function("LENGTH", ("this",), _TEXT, _INT, _constant(0, 1 << 32), _call("length")),
    exp.Lower: Function("LOWER", ("this",), _TEXT, _STRING, _none, _call("lower")),
    exp.Upper: Function("UPPER", ("this",), _TEXT, _STRING, _none, _call("upper")),
    exp.Trim: Function("TRIM", ("this",), _TEXT, _STRING, _none, _call("trim")),
    exp.Substring: Function(
        "SUBSTRING", ("this", "start", "length"), _TEXT, _STRING, _none, _call("substring"), positions=True
    ),
    exp.DPipe: Function("||", ("this", "expression"), _TEXT, _STRING, _none, lambda p: f"({' || '.join(p)})"),
    exp.Like: Function(
        "LIKE", ("this", "expression"), _TEXT, _BOOL, _constant(0, 1), lambda p: f"({p[0]} LIKE {p[1]})"
    ),
    exp.ILike: Function(
        "ILIKE", ("this", "expression"), _TEXT, _BOOL, _constant(0, 1), lambda p: f"({p[0]} ILIKE {p[1]})"
    ),
    exp.Year: Function("YEAR", ("this",), _DATE, _INT, _years, _call("year")),
    exp.Month: Function("MONTH", ("this",), _DATE, _INT, _constant(1, 12), _call("month")),
    exp.Day: Function("DAY", ("this",), _DATE, _INT, _constant(1, 31), _call("day")),
    exp.Quarter: Function("QUARTER", ("this",), _DATE, _INT, _constant(1, 4), _call("quarter")),
    exp.Hour: Function("HOUR", ("this",), _TIME, _INT, _constant(0, 23), _call("hour")),
    exp.Minute: Function("MINUTE", ("this",), _TIME, _INT, _constant(0, 59), _call("minute")),
}

EXTRACTED: dict[str, type[exp.Expr]] = {
    "YEAR": exp.Year, "MONTH": exp.Month, "DAY": exp.Day, "QUARTER": exp.Quarter, "HOUR": exp.Hour,
    "MINUTE": exp.Minute,
}  # fmt: skip
"""EXTRACT(part FROM date) is the function of the part's name."""
