"""The logical plan: typed expressions and a small tree, between a program's text and the steps of a plan."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from lingqu.kinds.schema import Asset, ColumnType

NUMBERS = frozenset({ColumnType.INT, ColumnType.REAL, ColumnType.BOOL})


@dataclass(frozen=True)
class Bounds:
    """Where the values of a numeric expression lie; dates count in days, booleans are 0 and 1."""

    lower: float
    upper: float

    @classmethod
    def around(cls, *values: float) -> Bounds:
        """The smallest interval that holds all; everything where one is no number, as infinity times 0 is none."""
        return cls(-math.inf, math.inf) if any(map(math.isnan, values)) else cls(min(values), max(values))

    @property
    def magnitude(self) -> float:
        """The largest absolute value."""
        return max(abs(self.lower), abs(self.upper))

    def __add__(self, other: Bounds) -> Bounds:
        return Bounds.around(self.lower + other.lower, self.upper + other.upper)

    def __neg__(self) -> Bounds:
        return Bounds(-self.upper, -self.lower)

    def __mul__(self, other: Bounds) -> Bounds:
        return Bounds.around(*(a * b for a in (self.lower, self.upper) for b in (other.lower, other.upper)))

    def hull(self, other: Bounds) -> Bounds:
        """The smallest interval that holds both."""
        return Bounds(min(self.lower, other.lower), max(self.upper, other.upper))


@dataclass(frozen=True)
class Local:
    """An expression that one owner computes in its own DuckDB, row by row.

    table: alias of the one table it reads; None for constants and parameters.  sql: DuckDB expression over that table's
    columns, `$name` for parameters.  columns: names of the columns read.  bounds: None for strings, unbounded columns.
    repeats: no value occurs more often, where the expression is a bare column whose profile says so.
    categories: published values, where the expression is a bare string column whose profile lists all of them.
    text: as the program wrote it.  constant, parameter: the literal's value or the parameter's name, where it is one.
    offset: where it stands in the program's text.  tens: of a decimal, which is a whole number of 10**-tens: `sql` and
    `bounds` are of that number.
    """

    table: str | None
    sql: str
    type: ColumnType
    nullable: bool
    bounds: Bounds | None
    columns: frozenset[str]
    text: str
    categories: tuple[str, ...] | None = None
    repeats: int | None = None
    constant: bool | int | float | str | None = None
    parameter: str | None = None
    offset: int = field(default=0, compare=False)
    tens: int = 0


Operator = Literal[
    "+", "-", "*", "neg", "=", "<>", "<", "<=", ">", ">=", "and", "or", "not", "is_null", "case", "number",
    "//", "%", "&", "|", "xor", ">>",
]  # fmt: skip


@dataclass(frozen=True)
class Apply:
    """An expression over several owners' values, computed on shares.

    "case" takes condition, value, condition, value, ..., else.  "number" makes 0 or 1 of a boolean.
    tens: of a decimal, as in Local.
    """

    operator: Operator
    arguments: tuple[Expression, ...]
    type: ColumnType
    nullable: bool
    bounds: Bounds | None
    text: str
    tens: int = 0


Expression = Local | Apply


@dataclass(frozen=True)
class Aggregate:
    """name: within the plan.  function: what of the argument.  argument: None for COUNT(*).  text: as written.

    "distinct" counts different values.  "variance" and "deviation" are a sample's, or with `whole` the population's.
    "quantile": at `fraction`, interpolated, or with `discrete` a value of the group.
    """

    name: str
    function: Literal["count", "sum", "avg", "min", "max", "distinct", "variance", "deviation", "quantile"]
    argument: Expression | None
    text: str
    fraction: Fraction = Fraction(1, 2)
    discrete: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Computed:
    """An expression over a group's aggregates, for HAVING.

    operator: one of Apply's, or "aggregate" (name) and "constant" (constant: a literal or parameter).
    """

    operator: str
    arguments: tuple[Computed, ...] = ()
    name: str = ""
    constant: Local | None = None


@dataclass(frozen=True)
class Scan:
    """All rows of one asset, known as alias in the program."""

    alias: str
    asset: Asset


JoinKind = Literal["inner", "left", "right", "full"]


@dataclass(frozen=True)
class Join:
    """Rows of both sides whose keys are all equal and not null, and unmatched rows of the sides that `kind` keeps.

    on: pairs (left, right) of one-owner expressions.
    """

    left: Tree
    right: Scan
    on: tuple[tuple[Local, Local], ...]
    kind: JoinKind = "inner"


@dataclass(frozen=True)
class Filter:
    """Rows for which the predicate is true (neither false nor null)."""

    source: Tree
    predicate: Expression


Tree = Scan | Join | Filter


@dataclass(frozen=True)
class Shown:
    """A result column: a group key or an aggregate by its name within the plan, under the name the program gives.

    tens: of a decimal, digits after the point.
    """

    title: str
    name: str
    type: ColumnType
    text: str
    tens: int = 0


@dataclass(frozen=True)
class Query:
    """A whole query.  order: (name within the plan, descending, nulls first).  limit: rows kept, or None."""

    source: Tree
    keys: tuple[tuple[str, Local], ...]
    aggregates: tuple[Aggregate, ...]
    having: Computed | None
    shown: tuple[Shown, ...]
    order: tuple[tuple[str, bool, bool], ...]
    limit: int | None


def tables(expression: Expression) -> frozenset[str]:
    """Aliases of the tables that an expression reads."""
    if isinstance(expression, Local):
        return frozenset() if expression.table is None else frozenset({expression.table})
    return frozenset().union(*(tables(argument) for argument in expression.arguments))


def leaves(expression: Expression) -> list[Local]:
    """The one-owner expressions that an expression is made of, in order."""
    if isinstance(expression, Local):
        return [expression]
    return [leaf for argument in expression.arguments for leaf in leaves(argument)]


def scans(tree: Tree) -> list[Scan]:
    """The tables of a tree, from left to right."""
    if isinstance(tree, Scan):
        return [tree]
    if isinstance(tree, Filter):
        return scans(tree.source)
    return [*scans(tree.left), tree.right]


def conjuncts(tree: Tree) -> list[Expression]:
    """The predicates of all filters of a tree; rows must satisfy each."""
    if isinstance(tree, Scan):
        return []
    if isinstance(tree, Filter):
        return [*conjuncts(tree.source), tree.predicate]
    return conjuncts(tree.left)


def joins(tree: Tree) -> list[Join]:
    """The joins of a tree, in the order in which they are done."""
    if isinstance(tree, Scan):
        return []
    return joins(tree.source) if isinstance(tree, Filter) else [*joins(tree.left), tree]
