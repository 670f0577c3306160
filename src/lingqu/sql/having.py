"""HAVING: conditions over aggregates as circuits, with averages as fractions so that nothing is rounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from lingqu.plan.logical import Computed
from lingqu.sql.circuit import ALWAYS, Node, Number, both, combine, comparison

PARAMETER_SCALE = 20
_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
ONE = Number(Node(op="constant", value="1"), 0, 1, ALWAYS)


@dataclass(frozen=True)
class Ratio:
    """A number as over / under; under is positive wherever both are present."""

    over: Number
    under: Number = ONE


def condition(computed: Computed, negated: bool, aggregate: Callable[[str], Ratio]) -> Node:
    """The circuit that says whether a HAVING condition (or its negation) is true; RangeError where it does not fit.

    aggregate: the number that an aggregate's name stands for.
    """
    if computed.operator == "not":
        return condition(computed.arguments[0], not negated, aggregate)
    if computed.operator in ("and", "or"):
        op = computed.operator if not negated else {"and": "or", "or": "and"}[computed.operator]
        return Node(op=op, args=tuple(condition(argument, negated, aggregate) for argument in computed.arguments))
    if computed.operator == "is_null":
        value = _number(computed.arguments[0], aggregate)
        present = both(value.over.present, value.under.present)
        return present if negated else Node(op="not", args=(present,))
    op = _OPPOSITE[computed.operator] if negated else computed.operator
    left, right = (_number(argument, aggregate) for argument in computed.arguments)
    return comparison(op, _product(left.over, right.under), _product(right.over, left.under), "HAVING")


def _number(computed: Computed, aggregate: Callable[[str], Ratio]) -> Ratio:
    if computed.operator == "aggregate":
        return aggregate(computed.name)
    if computed.operator == "constant":
        return _constant(computed)
    parts = [_number(argument, aggregate) for argument in computed.arguments]
    if computed.operator == "neg":
        over = parts[0].over
        return Ratio(
            Number(Node(op="neg", args=(over.node,)), over.scale, over.magnitude, over.present), parts[0].under
        )
    under = _product(parts[0].under, parts[1].under)
    if computed.operator == "*":
        return Ratio(_product(parts[0].over, parts[1].over), under)
    sides = [_product(parts[0].over, parts[1].under), _product(parts[1].over, parts[0].under)]
    return Ratio(combine(computed.operator, *sides), under)


def _product(left: Number, right: Number) -> Number:
    """A product, where a factor of one costs nothing."""
    if right == ONE:
        return left
    return right if left == ONE else combine("*", left, right)


def _constant(computed: Computed) -> Ratio:
    local = computed.constant
    assert local is not None
    assert local.bounds is not None
    if local.parameter is not None:
        scale = PARAMETER_SCALE if local.type.value == "real" else 0
        return Ratio(
            Number(Node(op="parameter", name=local.parameter, scale=scale), scale, local.bounds.magnitude, ALWAYS)
        )
    exact = Fraction(repr(local.constant))
    over = Number(Node(op="constant", value=str(exact.numerator)), 0, abs(exact.numerator), ALWAYS)
    if exact.denominator == 1:
        return Ratio(over)
    return Ratio(over, Number(Node(op="constant", value=str(exact.denominator)), 0, exact.denominator, ALWAYS))
