"""Whole numbers in expressions: bit operations and shifts; quotients and rests across owners."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sqlglot import exp

from lingqu.kinds.errors import RangeError
from lingqu.kinds.schema import ColumnType
from lingqu.plan.logical import Apply, Bounds, Expression, Local, Operator
from lingqu.share.division import DIVIDEND_BITS
from lingqu.sql import exact
from lingqu.sql.circuit import Node, Number, both

if TYPE_CHECKING:
    from lingqu.sql.bind import Binder

BITWISE: dict[type[exp.Expr], Operator] = {exp.BitwiseAnd: "&", exp.BitwiseOr: "|", exp.BitwiseXor: "xor"}
SHIFTS = (exp.BitwiseLeftShift, exp.BitwiseRightShift)
WHOLE = frozenset({"//", "%", "&", "|", "xor", ">>"})
DIVISOR_BITS = 30
LONGEST = 61


def whole(binder: Binder, node: exp.Expr, value: Expression) -> Expression:
    """A whole number with bounds; BadInput for anything else."""
    if value.type is not ColumnType.INT:
        raise binder.error(node, f"{value.text} is no whole number.", "Bits are operated on in whole numbers.")
    binder.bounded(node, [value])
    return value


def bits(binder: Binder, node: exp.Expr) -> Expression:
    """A bit operation or shift of whole numbers; BadInput or RangeError where it does not fit."""
    if isinstance(node, exp.BitwiseNot):
        value = whole(binder, node, binder.bind(node.this))
        lower = None if value.bounds is None else -value.bounds
        minus = binder.make(node, "neg", [value], lambda s: f"(-{s[0]})", ColumnType.INT, lower)
        less = None if lower is None else lower + Bounds(-1, -1)
        one = exact.constant(1, "1")
        return binder.make(node, "-", [minus, one], lambda s: f"({s[0]} - {s[1]})", ColumnType.INT, less)
    left = whole(binder, node, binder.bind(node.this))
    right = whole(binder, node, binder.bind(node.expression))
    if isinstance(node, SHIFTS):
        return _shifted(binder, node, left, right)
    operator = BITWISE[type(node)]
    spans = [side.bounds for side in (left, right) if side.bounds is not None]
    top = float(1 << max(int(span.magnitude).bit_length() for span in spans))
    bounds = Bounds(0 if all(span.lower >= 0 for span in spans) else -top, top - 1)
    return binder.make(
        node,
        operator,
        [left, right],
        lambda s: f"xor({s[0]}, {s[1]})" if operator == "xor" else f"({s[0]} {operator} {s[1]})",
        ColumnType.INT,
        bounds,
    )


def _shifted(binder: Binder, node: exp.Expr, left: Expression, right: Expression) -> Expression:
    places = right.constant if isinstance(right, Local) else None
    if not isinstance(places, int) or not 0 <= places <= LONGEST:
        raise binder.error(node, f"{right.text} is no number of places.", f"Shift by a number from 0 to {LONGEST}.")
    assert left.bounds is not None
    factor = 1 << places
    if isinstance(node, exp.BitwiseLeftShift):
        by = exact.constant(factor, str(factor))
        bounds = left.bounds * Bounds(factor, factor)
        return binder.make(node, "*", [left, by], lambda s: f"({s[0]} * {s[1]})", ColumnType.INT, bounds)
    bounds = Bounds(math.floor(left.bounds.lower / factor), math.floor(left.bounds.upper / factor))
    return binder.make(node, ">>", [left, right], lambda s: f"({s[0]} >> {s[1]})", ColumnType.INT, bounds)


def divided(binder: Binder, node: exp.Expr, made: Expression) -> Expression:
    """A quotient or rest, if its operands are in the range of division on shares; RangeError otherwise."""
    if isinstance(made, Apply):
        limits = (1 << DIVIDEND_BITS, 1 << DIVISOR_BITS)
        for argument, limit in zip(made.arguments, limits, strict=True):
            if argument.bounds is None or argument.bounds.magnitude >= limit:
                raise binder.scope.place.error(
                    node,
                    f"{argument.text} may be too large to divide across tables.",
                    f"Dividends stay below 2^{DIVIDEND_BITS}, divisors below 2^{DIVISOR_BITS}.",
                    RangeError,
                )
    return made


def number(operator: str, left: Number, right: Number) -> Number:
    """The circuit of an operation of `WHOLE`; a quotient or rest by zero is null."""
    present = both(left.present, right.present)
    if operator in ("//", "%"):
        zero = Node(op="constant", value="0")
        present = both(present, Node(op="<>", args=(right.node, zero)))
        wide = max(2, min(left.bits, DIVIDEND_BITS))
        node = Node(op="quotient" if operator == "//" else "rest", args=(left.node, right.node), scale=wide)
        return Number(node, 0, left.magnitude, present)
    if operator == ">>":
        places = int(right.node.value)
        moved = Node(op="shift_right", args=(left.node,), scale=places) if places else left.node
        return Number(moved, 0, max(1.0, left.magnitude / (1 << places) + 1), present)
    top = 1 << max(int(side.magnitude).bit_length() for side in (left, right))
    return Number(Node(op=operator, args=(left.node, right.node)), 0, top, present)
