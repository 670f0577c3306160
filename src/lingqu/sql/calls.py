"""Aggregate calls: from syntax to what is to be computed of which argument."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from sqlglot import exp

from lingqu.kinds.schema import ColumnType
from lingqu.plan.logical import Aggregate
from lingqu.sql.aggregates import sealed_type
from lingqu.sql.bind import Binder

DENOMINATOR = 1000
Function = Literal["count", "sum", "avg", "min", "max", "distinct", "variance", "deviation", "quantile"]


@dataclass(frozen=True)
class Call:
    """function: of `plan.logical.Aggregate`, with its marks discrete and whole.  name: as people write it."""

    function: Function
    name: str
    discrete: bool = False
    whole: bool = False


CALLS: Mapping[type[exp.Expr], Call] = MappingProxyType(
    {
        exp.Count: Call("count", "COUNT"),
        exp.Sum: Call("sum", "SUM"),
        exp.Avg: Call("avg", "AVG"),
        exp.Min: Call("min", "MIN"),
        exp.Max: Call("max", "MAX"),
        exp.Variance: Call("variance", "VAR_SAMP"),
        exp.VariancePop: Call("variance", "VAR_POP", whole=True),
        exp.Stddev: Call("deviation", "STDDEV"),
        exp.StddevSamp: Call("deviation", "STDDEV_SAMP"),
        exp.StddevPop: Call("deviation", "STDDEV_POP", whole=True),
        exp.Median: Call("quantile", "MEDIAN"),
        exp.Quantile: Call("quantile", "QUANTILE", discrete=True),
        exp.PercentileCont: Call("quantile", "QUANTILE_CONT"),
        exp.PercentileDisc: Call("quantile", "QUANTILE_DISC", discrete=True),
        exp.WithinGroup: Call("quantile", "PERCENTILE_CONT"),
    }
)
"""Aggregates by the syntax that stands for them."""


def no_aggregate(binder: Binder, node: exp.Expr, where: str, cure: str) -> None:
    """BadInput where an aggregate stands."""
    found = node.find(exp.AggFunc)
    if found is not None:
        raise binder.error(found, f"An aggregate cannot stand in {where}.", cure)


def read_call(binder: Binder, node: exp.Expr) -> tuple[Aggregate, ColumnType]:
    """An aggregate without a name, and the type of its result; BadInput for what it cannot take."""
    call, inner, fraction = CALLS[type(node)], node.this, Fraction(1, 2)
    if isinstance(node, exp.WithinGroup):
        call, inner, fraction = _within(binder, node)
    elif isinstance(node, exp.Quantile | exp.PercentileCont | exp.PercentileDisc):
        given = node.args.get("quantile" if isinstance(node, exp.Quantile) else "expression")
        fraction = _fraction(binder, node, given)
    shape = Aggregate(
        "", call.function, None, node.sql("duckdb"), fraction if call.function == "quantile" else Fraction(1, 2),
        discrete=call.discrete, whole=call.whole,
    )  # fmt: skip
    if node.args.get("expressions"):
        raise binder.error(node, f"{call.name} takes one argument.", "Leave out the others.")
    if isinstance(inner, exp.Distinct):
        if call.function != "count" or len(inner.expressions) != 1:
            raise binder.error(
                node, f"{call.name}(DISTINCT ...) is not supported.", "Write COUNT(DISTINCT column), of one column."
            )
        shape, inner = replace(shape, function="distinct"), inner.expressions[0]
    if call.function == "count" and (inner is None or isinstance(inner, exp.Star)):
        return shape, ColumnType.INT
    no_aggregate(binder, inner, "an aggregate", "Aggregate a column.")
    argument = binder.bind(inner)
    if shape.function == "count":
        return (replace(shape, argument=argument) if argument.nullable else shape), ColumnType.INT
    takes = {ColumnType.INT, ColumnType.REAL, ColumnType.BOOL, ColumnType.DECIMAL}
    if call.function in ("min", "max") or (call.function == "quantile" and call.discrete):
        takes |= {ColumnType.DATE, ColumnType.TIMESTAMP}
    if call.function in ("quantile", "variance", "deviation"):
        takes.discard(ColumnType.BOOL)
    if shape.function != "distinct" and argument.type not in takes:
        raise binder.error(
            node,
            f"{call.name} cannot take {argument.text}, which has the type {argument.type.value}.",
            "Aggregate a number; texts can be counted or grouped by.",
        )
    return replace(shape, argument=argument), sealed_type(shape, argument.type)


def _within(binder: Binder, node: exp.WithinGroup) -> tuple[Call, exp.Expr, Fraction]:
    """PERCENTILE_CONT(f) WITHIN GROUP (ORDER BY x): what it takes; from above it is the complement from below."""
    inner, entries = node.this, node.expression.expressions if node.expression is not None else []
    if not isinstance(inner, exp.PercentileCont | exp.PercentileDisc) or len(entries) != 1:
        raise binder.error(
            node, "WITHIN GROUP is not supported here.", "Write PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY column)."
        )
    fraction = _fraction(binder, node, inner.this)
    if entries[0].args.get("desc"):
        if isinstance(inner, exp.PercentileDisc):
            raise binder.error(node, "PERCENTILE_DISC takes ascending order only.", "Use PERCENTILE_CONT, or ORDER BY.")
        fraction = 1 - fraction
    return CALLS[type(inner)], entries[0].this, fraction


def _fraction(binder: Binder, node: exp.Expr, given: exp.Expr | None) -> Fraction:
    text = str(given.this) if isinstance(given, exp.Literal) and not given.is_string else ""
    try:
        found = Fraction(text)
    except ValueError:
        found = Fraction(-1)
    if not 0 <= found <= 1 or found.denominator > DENOMINATOR:
        raise binder.error(
            node, "A quantile takes a share from 0 to 1 of at most three decimal places.", "Write QUANTILE(x, 0.25)."
        )
    return found
