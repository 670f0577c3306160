"""Expressions over several owners' values as small circuits: built by the compiler, evaluated on shares.

Numbers are integers; a real is one times 2**scale, and every node's scale is fixed when the plan is made. Conditions
are one bit: whether the SQL condition is true. Null is never true, so "not" is pushed down to the comparisons first.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import JsonValue

from lingqu.kinds.documents import Document
from lingqu.kinds.errors import RangeError
from lingqu.kinds.programs import Value
from lingqu.kinds.schema import ColumnType
from lingqu.plan.choose import Work
from lingqu.plan.inputs import BUDGET, MAX_FRACTION, MIN_FRACTION
from lingqu.plan.logical import Apply, Expression, Local
from lingqu.share.api import Machine, Shared, SharedBits
from lingqu.share.division import bitwise, divide_or_null, shift_right

EPOCH = datetime.date(1970, 1, 1)
_BITWISE: dict[str, Literal["and", "or", "xor"]] = {"&": "and", "|": "or", "xor": "xor"}
_OPPOSITE = {"=": "<>", "<>": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


class Node(Document):
    """One gate.

    op: numbers: "column" (name), "constant" (value, a decimal integer), "parameter" (name, scale), "+", "-", "*",
    "neg", "shift" (times 2**scale), "times" (by the constant value), "quotient" and "rest" (towards zero;
    abs(dividend) < 2**scale), "&", "|", "xor", "shift_right" (by scale places), "number" (0 or 1 of a condition),
    "case" (condition, value, ..., else).
    Conditions: "truth" (a 0/1 column's name), "<", "<=", ">", ">=", "=", "<>", "and", "or", "not", "always".
    """

    op: str
    args: tuple[Node, ...] = ()
    name: str = ""
    scale: int = 0
    value: str = ""

    def json_value(self) -> JsonValue:
        """As part of a step's arguments."""
        return self.model_dump(mode="json", exclude_defaults=True)


def node(value: JsonValue) -> Node:
    """The circuit in a step's arguments."""
    return Node.parse(json.dumps(value))


ALWAYS = Node(op="always")


def both(first: Node, second: Node) -> Node:
    """Conjunction, short where one side always holds."""
    if ALWAYS in (first, second):
        return second if first == ALWAYS else first
    return Node(op="and", args=(first, second))


@dataclass(frozen=True)
class Number:
    """A numeric circuit: its scale, the largest magnitude unscaled, and the condition under which it is not null."""

    node: Node
    scale: int
    magnitude: float
    present: Node

    @property
    def bits(self) -> int:
        """Bits of the scaled integers with their sign: |values| < 2**(bits - 1)."""
        return max(2, math.ceil(self.magnitude * 2.0**self.scale + 1).bit_length() + 1)

    def at(self, scale: int) -> Node:
        """The circuit at a finer scale."""
        if scale == self.scale:
            return self.node
        return Node(op="shift", args=(self.node,), scale=scale - self.scale)


def fits(number: Number, rows: int, about: str) -> None:
    """RangeError unless a sum over so many rows stays in range."""
    # Not ">=": infinity times 0 is no number, and must not hide what is added to it.
    if not number.magnitude * 2.0**number.scale * max(rows, 1) < 2.0 ** (BUDGET - 1):
        raise RangeError(
            f"{about} reaches {number.magnitude:g} by the published bounds; with {number.scale} fraction bits over "
            f"{rows} rows it exceeds {BUDGET} bits.",
            "Compute in a larger unit, or register values inside narrower bounds.",
        )


def finest(build: Callable[[int], Number], rows: int, about: str) -> Number:
    """The circuit with as many fraction bits at its leaves as the range permits; RangeError when none fit.

    build: makes it for a number of fraction bits, and raises RangeError where an inner value does not fit.
    """
    for fraction in range(MAX_FRACTION, MIN_FRACTION, -1):
        try:
            number = build(fraction)
            fits(number, rows, about)
        except RangeError:
            continue
        return number
    number = build(MIN_FRACTION)
    fits(number, rows, about)
    return number


def combine(op: str, left: Number, right: Number) -> Number:
    """Sum, difference or product of two circuits; null where either is."""
    present = both(left.present, right.present)
    if op == "*":
        product = Node(op="*", args=(left.node, right.node))
        for number, other in ((left, right), (right, left)):
            if other.node.op == "constant":
                product = Node(op="times", args=(number.node,), value=other.node.value)
        return Number(product, left.scale + right.scale, left.magnitude * right.magnitude, present)
    scale = max(left.scale, right.scale)
    total = Node(op=op, args=(left.at(scale), right.at(scale)))
    return Number(total, scale, left.magnitude + right.magnitude, present)


def comparison(op: str, left: Number, right: Number, about: str) -> Node:
    """Whether a comparison is true: both sides present, and so ordered."""
    scale = max(left.scale, right.scale)
    for side in (left, right):
        fits(Number(side.node, scale, side.magnitude, side.present), 1, about)
    return both(Node(op=op, args=(left.at(scale), right.at(scale))), both(left.present, right.present))


Leaf = Callable[[Local, int], Number]
Truth = Callable[[Local, bool], Node]
Presence = Callable[[Local], Node]


@dataclass(frozen=True)
class Builder:
    """Builds circuits of expressions.

    leaf: the circuit of one owner's number with so many fraction bits.  truth: of one owner's condition, or of its
    negation (second argument true).  present: of one owner's value not being null.
    whole, integers: operators of whole numbers, and the circuits that they make.
    """

    leaf: Leaf
    truth: Truth
    present: Presence
    whole: frozenset[str] = frozenset()
    integers: Callable[[str, Number, Number], Number] = combine

    def number(self, expression: Expression, fraction: int) -> Number:
        """The circuit of a numeric expression whose real leaves have so many fraction bits."""
        if expression.type is ColumnType.BOOL and isinstance(expression, Apply):
            true, false = self.condition(expression, False), self.condition(expression, True)
            present = Node(op="or", args=(true, false)) if expression.nullable else ALWAYS
            return Number(Node(op="number", args=(true,)), 0, 1, present)
        if isinstance(expression, Local):
            return self.leaf(expression, fraction)
        if expression.operator == "case":
            return self._case(expression, fraction)
        parts = [self.number(argument, fraction) for argument in expression.arguments]
        if expression.operator == "neg":
            return Number(Node(op="neg", args=(parts[0].node,)), parts[0].scale, parts[0].magnitude, parts[0].present)
        if expression.operator in self.whole:
            number = self.integers(expression.operator, *parts)
        else:
            number = combine(expression.operator, *parts)
        fits(number, 1, expression.text)
        return number

    def _case(self, expression: Apply, fraction: int) -> Number:
        conditions = [self.condition(argument, False) for argument in expression.arguments[:-1:2]]
        values = [
            self.number(argument, fraction) for argument in (*expression.arguments[1::2], expression.arguments[-1])
        ]
        scale = max(value.scale for value in values)
        magnitude = max(value.magnitude for value in values)
        result, present = values[-1].at(scale), Node(op="number", args=(values[-1].present,))
        for condition, value in zip(reversed(conditions), reversed(values[:-1]), strict=True):
            result = Node(op="case", args=(condition, value.at(scale), result))
            there = Node(op="number", args=(value.present,))
            present = Node(op="case", args=(condition, there, present))
        known = Node(op="=", args=(present, Node(op="constant", value="1")))
        return Number(result, scale, magnitude, known if expression.nullable else ALWAYS)

    def condition(self, expression: Expression, negated: bool) -> Node:
        """The circuit that says whether a condition (or its negation) is true."""
        if isinstance(expression, Local):
            return self.truth(expression, negated)
        arguments = expression.arguments
        if expression.operator == "not":
            return self.condition(arguments[0], not negated)
        if expression.operator in ("and", "or"):
            op = expression.operator if not negated else {"and": "or", "or": "and"}[expression.operator]
            return Node(op=op, args=tuple(self.condition(argument, negated) for argument in arguments))
        if expression.operator == "is_null":
            value = arguments[0]
            if isinstance(value, Local):
                present = self.present(value)
            else:
                present = finest(lambda f: self.number(value, f), 1, expression.text).present
            return present if negated else Node(op="not", args=(present,))
        if expression.operator == "case":
            inner = finest(lambda f: self._case(expression, f), 1, expression.text)
            wanted = Node(op="constant", value="0" if negated else "1")
            return both(Node(op="=", args=(inner.node, wanted)), inner.present)
        op = _OPPOSITE[expression.operator] if negated else expression.operator
        if arguments[0].type is arguments[1].type is ColumnType.BOOL or ColumnType.REAL not in {
            argument.type for argument in arguments
        }:
            left, right = (self.number(argument, 0) for argument in arguments)
            return comparison(op, left, right, expression.text)

        def difference(fraction: int) -> Number:
            return combine("-", *(self.number(argument, fraction) for argument in arguments))

        scale = _leaf_fraction(difference, expression.text)
        left, right = (self.number(argument, scale) for argument in arguments)
        return comparison(op, left, right, expression.text)


def _leaf_fraction(build: Callable[[int], Number], about: str) -> int:
    for fraction in range(MAX_FRACTION, MIN_FRACTION, -1):
        try:
            fits(build(fraction), 1, about)
        except RangeError:
            continue
        return fraction
    fits(build(MIN_FRACTION), 1, about)
    return MIN_FRACTION


def work(circuit: Node, rows: int) -> list[Work]:
    """The operations that evaluating a circuit over so many rows takes, one after the other."""
    inner = [item for argument in circuit.args for item in work(argument, rows)]
    sizes = {"rows": rows, "columns": 1}
    own = {
        "*": ["multiply"],
        "number": ["inject"],
        "case": ["select"],
        "<": ["less_than"],
        ">": ["less_than"],
        "<=": ["less_than"],
        ">=": ["less_than"],
        "=": ["equal"],
        "<>": ["equal"],
        "and": ["logical_and"],
        "or": ["logical_and"],
        "&": ["bitwise"],
        "|": ["bitwise"],
        "xor": ["bitwise_xor"],
    }.get(circuit.op, [])
    if circuit.op in ("quotient", "rest"):
        return [*inner, Work("divide_or_null", {**sizes, "bits": circuit.scale, "truncated": 1})]
    if circuit.op == "shift_right":
        return [*inner, Work("shift_right", {**sizes, "bits": circuit.scale})]
    return [*inner, *(Work(name, sizes) for name in own)]


@dataclass(frozen=True)
class Evaluator:
    """Evaluates circuits over shared columns of equal length, at every party alike.

    bindings: the run's values of the parameters.
    """

    machine: Machine
    columns: Mapping[str, Shared]
    rows: int
    bindings: Mapping[str, Value]

    def number(self, circuit: Node) -> Shared:
        """Shares of a numeric circuit's values.  Cost: as `work` says.  Discloses: nothing."""
        machine = self.machine
        if circuit.op == "column":
            return self.columns[circuit.name]
        if circuit.op == "constant":
            return self._everywhere(int(circuit.value))
        if circuit.op == "parameter":
            return self._everywhere(self._bound(circuit))
        if circuit.op == "number":
            return machine.inject(self.condition(circuit.args[0]))
        if circuit.op == "case":
            bit = self.condition(circuit.args[0])
            return machine.select(bit, self.number(circuit.args[1]), self.number(circuit.args[2]))
        parts = [self.number(argument) for argument in circuit.args]
        if circuit.op == "shift":
            return machine.scale(parts[0], 1 << circuit.scale)
        if circuit.op in ("quotient", "rest"):
            found = divide_or_null(machine, parts[0], parts[1], "truncate", circuit.scale)
            return found[0] if circuit.op == "quotient" else found[1]
        if circuit.op in _BITWISE:
            return bitwise(machine, _BITWISE[circuit.op], parts[0], parts[1])
        if circuit.op == "shift_right":
            return shift_right(machine, parts[0], circuit.scale)
        if circuit.op == "times":
            return machine.scale(parts[0], int(circuit.value))
        if circuit.op == "neg":
            return machine.negate(parts[0])
        if circuit.op == "*":
            return machine.multiply(parts[0], parts[1])
        return machine.add(parts[0], parts[1]) if circuit.op == "+" else machine.subtract(parts[0], parts[1])

    def condition(self, circuit: Node) -> SharedBits:
        """Shares of a condition's bits.  Cost: as `work` says.  Discloses: nothing."""
        machine = self.machine
        if circuit.op == "always":
            return machine.constant_bits(np.ones(self.rows, np.uint64), 1)
        if circuit.op == "truth":
            return machine.parity(self.columns[circuit.name])
        if circuit.op in ("and", "or", "not"):
            bits = [self.condition(argument) for argument in circuit.args]
            if circuit.op == "not":
                return machine.logical_not(bits[0])
            join = machine.logical_and if circuit.op == "and" else machine.logical_or
            result = bits[0]
            for bit in bits[1:]:
                result = join(result, bit)
            return result
        left, right = (self.number(argument) for argument in circuit.args)
        if circuit.op in ("=", "<>"):
            same = machine.equal(left, right)
            return same if circuit.op == "=" else machine.logical_not(same)
        less = machine.less_than(left, right) if circuit.op in ("<", ">=") else machine.less_than(right, left)
        return less if circuit.op in ("<", ">") else machine.logical_not(less)

    def _everywhere(self, value: int) -> Shared:
        return self.machine.constant(np.full(self.rows, value, np.int64))

    def _bound(self, circuit: Node) -> int:
        value = self.bindings[circuit.name]
        if isinstance(value, str):
            return (datetime.date.fromisoformat(value) - EPOCH).days
        return round(value * (1 << circuit.scale))


def columns_of(circuits: Sequence[Node]) -> set[str]:
    """Names of the columns that circuits read."""
    found = {circuit.name for circuit in circuits if circuit.op in ("column", "truth")}
    for circuit in circuits:
        found |= columns_of(circuit.args)
    return found
