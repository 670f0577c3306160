"""Expressions: from syntax to types, bounds, and who can compute what.

What reads one owner's columns only becomes one DuckDB expression for that owner; the rest is computed on shares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlglot import exp

from lingqu.kinds.errors import LingquError, RangeError
from lingqu.kinds.programs import Parameter
from lingqu.kinds.schema import ColumnType
from lingqu.plan.inputs import BUDGET
from lingqu.plan.logical import Apply, Bounds, Expression, Local, Operator, tables
from lingqu.sql import exact, whole
from lingqu.sql.exact import type_of
from lingqu.sql.functions import EXTRACTED, FUNCTIONS, LONGEST, ROUNDED, days_of, division_bounds
from lingqu.sql.names import Scope
from lingqu.sql.times import as_time, days_or, shifted

_ARITHMETIC: dict[type[exp.Expr], Operator] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}
_COMPARISONS: dict[type[exp.Expr], Operator] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip
_DIVISIONS: dict[type[exp.Expr], str] = {exp.Div: "/", exp.IntDiv: "//", exp.Mod: "%"}
_KINDS = {ColumnType.INT: "number", ColumnType.REAL: "number", ColumnType.DECIMAL: "number"}
_EXACT = (ColumnType.INT, ColumnType.DECIMAL)
Sql = Callable[[Sequence[str]], str]


def quoted(name: str) -> str:
    """An identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


class Binder:
    """Binds expressions over a scope's columns and a program's parameters."""

    def __init__(self, scope: Scope, parameters: Mapping[str, Parameter]) -> None:
        self.scope = scope
        self.parameters = parameters

    def error(self, node: exp.Expr, cause: str, cure: str) -> LingquError:
        """A BadInput that shows the place."""
        return self.scope.place.error(node, cause, cure)

    def bind(self, node: exp.Expr) -> Expression:
        """The typed expression; BadInput shows what is unknown, mistyped or not supported."""
        if isinstance(node, exp.Paren):
            return self.bind(node.this)
        if isinstance(node, exp.Column):
            return self._column(node)
        if isinstance(node, exp.Literal | exp.Boolean | exp.Null):
            return self._literal(node)
        if isinstance(node, exp.Placeholder | exp.Parameter):
            return self._parameter(node)
        if type(node) in _ARITHMETIC:
            return self._arithmetic(node)
        if type(node) in _DIVISIONS:
            return self._division(node)
        if type(node) in whole.BITWISE or isinstance(node, (exp.BitwiseNot, *whole.SHIFTS)):
            return whole.bits(self, node)
        if isinstance(node, exp.Neg):
            return self._negative(node)
        if type(node) in _COMPARISONS:
            left, right = self.alike(node, self.bind(node.this), self.bind(node.expression))
            return self._comparison(node, _COMPARISONS[type(node)], left, right)
        if isinstance(node, exp.And | exp.Or | exp.Not):
            return self._logic(node)
        if isinstance(node, exp.Between):
            return self._between(node)
        if isinstance(node, exp.In):
            return self._in(node)
        if isinstance(node, exp.Is):
            return self._is_null(node)
        if isinstance(node, exp.Case | exp.If):
            return self._case(node)
        return self._function(node)

    def predicate(self, node: exp.Expr) -> Expression:
        """A boolean expression; BadInput for any other type."""
        bound = self.bind(node)
        if bound.type is not ColumnType.BOOL:
            raise self.error(
                node, f"A condition is needed here, not a value of type {bound.type.value}.", "Compare it: ... = value."
            )
        return bound

    # Leaves

    def _column(self, node: exp.Column) -> Local:
        scan, column = self.scope.column(node)
        profile = scan.asset.profile[column.name]
        name = quoted(column.name)
        sql = {
            ColumnType.INT: f"CAST({name} AS BIGINT)",
            ColumnType.REAL: f"CAST({name} AS DOUBLE)",
            ColumnType.STRING: f"CAST({name} AS VARCHAR)",
            ColumnType.DATE: f"CAST({name} AS DATE)",
            ColumnType.BOOL: f"CAST({name} AS BOOLEAN)",
            ColumnType.TIMESTAMP: f"CAST({name} AS TIMESTAMP)",
            ColumnType.DECIMAL: f"CAST(CAST({name} AS DECIMAL({exact.DIGITS}, {column.scale})) * {10**column.scale}"
            " AS BIGINT)",
        }[column.type]
        bounds = None
        if column.type is ColumnType.BOOL:
            bounds = Bounds(0, 1)
        elif column.type is not ColumnType.STRING:
            known = profile.lower is not None and profile.upper is not None
            nothing = scan.asset.rows == 0 or profile.nulls == 1
            bounds = Bounds(profile.lower or 0, profile.upper or 0) if known else Bounds(0, 0) if nothing else None
            if column.type is ColumnType.DECIMAL and bounds is not None:
                bounds = exact.decimal_bounds(bounds.lower, bounds.upper, column.scale)
        return Local(
            table=scan.alias,
            sql=sql,
            type=column.type,
            nullable=column.nullable or profile.nulls > 0 or scan.alias in self.scope.outer,
            bounds=bounds,
            columns=frozenset({column.name}),
            text=f"{scan.alias}.{column.name}",
            categories=profile.categories if profile.complete else None,
            repeats=1 if profile.unique else profile.repeats,
            offset=self.scope.place.offset(node),
            tens=column.scale,
        )

    def _literal(self, node: exp.Literal | exp.Boolean | exp.Null) -> Local:
        if isinstance(node, exp.Null):
            raise self.error(node, "NULL as a value is not supported.", "Use IS NULL or IS NOT NULL.")
        if isinstance(node, exp.Boolean):
            return exact.constant(bool(node.this), node.sql())
        if node.is_string:
            return exact.constant(str(node.this), node.sql("duckdb"))
        text = str(node.this)
        value = int(text) if text.isdigit() else float(text)
        if not math.isfinite(value) or abs(value) >= 1 << BUDGET:
            raise self.error(node, f"The number {text} is outside the range of 62 bits.", "Use a smaller one.")
        return exact.constant(value, text)

    def _parameter(self, node: exp.Placeholder | exp.Parameter) -> Local:
        name = node.name
        if name not in self.parameters:
            known = ", ".join(f":{known}" for known in sorted(self.parameters)) or "none"
            raise self.error(node, f"The parameter :{name} is not declared.", f"Declared parameters: {known}.")
        parameter = self.parameters[name]
        if parameter.allowed is None:
            values: tuple[bool | int | float | str, ...] = (parameter.lower or 0, parameter.upper or 0)
        else:
            values = parameter.allowed
        kinds = {type_of(value) for value in values}
        if kinds == {ColumnType.INT, ColumnType.REAL}:
            kinds = {ColumnType.REAL}
        if len(kinds) != 1:
            raise self.error(node, f"The values of :{name} have several types.", "Allow values of one type.")
        kind = kinds.pop()
        numbers = [float(value) for value in values if not isinstance(value, str)]
        cast = {ColumnType.INT: f"CAST(${name} AS BIGINT)", ColumnType.REAL: f"CAST(${name} AS DOUBLE)"}
        return Local(
            table=None,
            sql=cast.get(kind, f"${name}"),
            type=kind,
            nullable=False,
            bounds=Bounds(min(numbers), max(numbers)) if numbers else None,
            columns=frozenset(),
            text=f":{name}",
            parameter=name,
        )

    # Combinations

    def make(
        self,
        node: exp.Expr,
        operator: Operator | None,
        arguments: Sequence[Expression],
        sql: Sql,
        kind: ColumnType,
        bounds: Bounds | None,
        nullable: bool | None = None,
        strict: bool = True,
    ) -> Expression:
        """An expression of one owner where all arguments are; otherwise one on shares, if an operator is given.

        strict: null where all its columns are.  What is not is computed on shares where an outer join may leave its
        table out, because its owner does not know those rows.
        """
        null = any(argument.nullable for argument in arguments) if nullable is None else nullable
        text = node.sql("duckdb")
        together = frozenset[str]().union(*(tables(argument) for argument in arguments))
        local = [argument for argument in arguments if isinstance(argument, Local)]
        if kind in _EXACT and bounds is not None and bounds.magnitude >= 1 << BUDGET:
            raise self.scope.place.error(
                node,
                f"{text} reaches {bounds.magnitude:g} by the published bounds, which exceeds {BUDGET} bits.",
                "Compute in a larger unit, or with smaller factors.",
                RangeError,
            )
        missing = not strict and bool(together & self.scope.outer)
        if len(local) == len(arguments) and len(together) <= 1 and not missing:
            return Local(
                table=next(iter(together), None),
                sql=sql([argument.sql for argument in local]),
                type=kind,
                nullable=null,
                bounds=bounds,
                columns=frozenset().union(*(argument.columns for argument in local)),
                text=text,
                offset=self.scope.place.offset(node),
            )
        if operator is None or kind is ColumnType.STRING:
            owners = ", ".join(sorted(together))
            if missing:
                raise self.error(
                    node,
                    f"{text} can be other than null where an outer join leaves {owners} out.",
                    "Use IS NULL or CASE WHEN ... IS NULL THEN ... ELSE ... END for such rows.",
                )
            raise self.error(
                node,
                f"{text} needs columns of several tables ({owners}) and is computed within one table only.",
                "Across tables + - * // % & | << >>, comparisons of numbers or dates, AND, OR, NOT and CASE work.",
            )
        return Apply(operator, tuple(arguments), kind, null, bounds, text)

    def _numeric(self, node: exp.Expr, value: Expression) -> Expression:
        if value.type not in _KINDS:
            raise self.error(
                node,
                f"{value.text} has the type {value.type.value}, a number is needed.",
                "Use CASE WHEN ... THEN 1 ELSE 0 END to count conditions.",
            )
        return value

    def bounded(self, node: exp.Expr, values: Sequence[Expression]) -> None:
        """BadInput for whole numbers without bounds: a result beyond 64 bits would end the run on some rows only."""
        for value in values:
            if value.type in (*_EXACT, ColumnType.DATE) and value.bounds is None:
                raise self.error(
                    node,
                    f"{value.text} has no published bounds, so nobody knows whether the result fits 64 bits.",
                    "Bounds are published of columns with at least 10 values.",
                )

    def _arithmetic(self, node: exp.Expr) -> Expression:
        operator = _ARITHMETIC[type(node)]
        left, right = self.bind(node.this), days_or(self, node.expression)
        if operator != "*" and left.type is ColumnType.DATE:
            return shifted(self, node, operator, left, right)
        sides = [self._numeric(node.this, left), self._numeric(node.expression, right)]
        left, right = self._alike_numbers(node, sides, aligned=operator != "*")
        kind = self._common(node, [left, right])
        if kind in _EXACT:
            self.bounded(node, [left, right])
        bounds = None
        if left.bounds is not None and right.bounds is not None:
            other = -right.bounds if operator == "-" else right.bounds
            bounds = left.bounds * other if operator == "*" else left.bounds + other
        made = self.make(node, operator, [left, right], lambda s: f"({s[0]} {operator} {s[1]})", kind, bounds)
        tens = left.tens + right.tens if operator == "*" else left.tens
        return replace(made, tens=tens if kind is ColumnType.DECIMAL else 0)

    def _alike_numbers(self, node: exp.Expr, values: Sequence[Expression], *, aligned: bool = True) -> list[Expression]:
        """Numbers of one kind; BadInput where an exact one of several owners meets a real."""
        found = exact.alike(values, aligned=aligned)
        if found is None:
            raise self.error(
                node,
                "A decimal that several owners make together meets a real number.",
                "Register the real numbers as decimals, or compute within one table.",
            )
        return found

    def _division(self, node: exp.Expr) -> Expression:
        operator = _DIVISIONS[type(node)]
        sides = [self._numeric(side, self.bind(side)) for side in (node.this, node.expression)]
        if operator != "/" and any(side.type is ColumnType.DECIMAL for side in sides):
            raise self.error(node, f"{operator} takes whole numbers or reals.", "Use /, or register whole units.")
        left, right = self._alike_numbers(node, [self._real(side) for side in sides])
        exactly = operator != "/" and left.type is right.type is ColumnType.INT
        divisor = right.constant if isinstance(right, Local) else None
        if exactly:
            self.bounded(node, [left, right])
        bounds = division_bounds(operator, left.bounds, divisor, whole=exactly)
        made = self.make(
            node,
            ("//" if operator == "//" else "%") if exactly else None,
            [left, right],
            lambda s: f"({s[0]} {operator} NULLIF({s[1]}, 0))",
            ColumnType.INT if exactly else ColumnType.REAL,
            bounds,
            nullable=True if not divisor else left.nullable,
        )
        return whole.divided(self, node, made)

    def _negative(self, node: exp.Neg) -> Expression:
        value = self._numeric(node.this, self.bind(node.this))
        if isinstance(value, Local) and isinstance(value.constant, int | float):
            return exact.constant(-value.constant, f"-{value.text}")
        self.bounded(node, [value])
        bounds = None if value.bounds is None else -value.bounds
        made = self.make(node, "neg", [value], lambda s: f"(-{s[0]})", value.type, bounds)
        return replace(made, tens=value.tens)

    def _real(self, value: Expression) -> Expression:
        """A decimal as a real where one owner can; as it was where not."""
        return exact.real(value) or value

    def alike(self, node: exp.Expr, left: Expression, right: Expression) -> tuple[Expression, Expression]:
        """Both sides of a comparison in one kind; a text constant beside a date is read as a date."""
        left, right = as_time(self, node, left, right.type), as_time(self, node, right, left.type)
        kinds = [_KINDS.get(side.type, side.type.value) for side in (left, right)]
        if kinds[0] != kinds[1]:
            raise self.error(
                node,
                f"{left.text} ({left.type.value}) and {right.text} ({right.type.value}) cannot be compared.",
                "Compare values of one type.",
            )
        left, right = self._alike_numbers(node, [left, right])
        return left, right

    def _comparison(self, node: exp.Expr, operator: Operator, left: Expression, right: Expression) -> Expression:
        if left.type is ColumnType.STRING and len(tables(left) | tables(right)) > 1:
            raise self.error(
                node,
                "Texts of different tables cannot be compared here.",
                "Match texts across owners in JOIN ... ON, or compare numbers or dates.",
            )
        return self.make(
            node, operator, [left, right], lambda s: f"({s[0]} {operator} {s[1]})", ColumnType.BOOL, Bounds(0, 1)
        )

    def _logic(self, node: exp.Expr) -> Expression:
        if isinstance(node, exp.Not):
            inner = self.predicate(node.this)
            return self.make(node, "not", [inner], lambda s: f"(NOT {s[0]})", ColumnType.BOOL, Bounds(0, 1))
        operator: Operator = "and" if isinstance(node, exp.And) else "or"
        sides = [self.predicate(node.this), self.predicate(node.expression)]
        word = operator.upper()
        return self.make(
            node,
            operator,
            sides,
            lambda s: f"({s[0]} {word} {s[1]})",
            ColumnType.BOOL,
            Bounds(0, 1),
            strict=not any(_is_constant(side) for side in sides),
        )

    def _joined(self, node: exp.Expr, operator: Operator, parts: Sequence[Expression]) -> Expression:
        result = parts[0]
        word = operator.upper()
        for part in parts[1:]:
            result = self.make(
                node,
                operator,
                [result, part],
                lambda s: f"({s[0]} {word} {s[1]})",
                ColumnType.BOOL,
                Bounds(0, 1),
                strict=not any(_is_constant(side) for side in (result, part)),
            )
        return result

    def _between(self, node: exp.Between) -> Expression:
        value = self.bind(node.this)
        sides: list[Expression] = []
        for name, operator in (("low", ">="), ("high", "<=")):
            left, right = self.alike(node, value, self.bind(node.args[name]))
            sides.append(self._comparison(node, ">=" if operator == ">=" else "<=", left, right))
        return self._joined(node, "and", sides)

    def _in(self, node: exp.In) -> Expression:
        if not node.expressions:
            raise self.error(node, "IN needs a list of values.", "Write x IN (1, 2, 3).")
        value = self.bind(node.this)
        sides = [
            self._comparison(node, "=", *self.alike(node, value, self.bind(option))) for option in node.expressions
        ]
        return self._joined(node, "or", sides)

    def _is_null(self, node: exp.Is) -> Expression:
        if not isinstance(node.expression, exp.Null):
            raise self.error(node, "IS works with NULL only.", "Write the condition itself, or NOT (condition).")
        value = self.bind(node.this)
        return self.make(
            node,
            "is_null",
            [value],
            lambda s: f"({s[0]} IS NULL)",
            ColumnType.BOOL,
            Bounds(0, 1),
            nullable=False,
            strict=False,
        )

    def _case(self, node: exp.Expr) -> Expression:
        branches = [node] if isinstance(node, exp.If) else list(node.args["ifs"])
        default = node.args.get("false") if isinstance(node, exp.If) else node.args.get("default")
        if node.this is not None and not isinstance(node, exp.If):
            raise self.error(node, "CASE value WHEN ... is not supported.", "Write CASE WHEN value = ... THEN ... END.")
        if default is None or isinstance(default, exp.Null):
            raise self.error(node, "CASE without a value in ELSE is not supported.", "Add ELSE 0 (or another value).")
        arguments: list[Expression] = []
        for branch in branches:
            arguments += [self.predicate(branch.this), self.bind(branch.args["true"])]
        arguments.append(self.bind(default))
        values = self._alike_numbers(node, [*arguments[1:-1:2], arguments[-1]])
        arguments[1:-1:2], arguments[-1] = values[:-1], values[-1]
        kind = self._common(node, values)
        bounds = values[0].bounds
        for value in values[1:]:
            bounds = None if bounds is None or value.bounds is None else bounds.hull(value.bounds)
        made = self.make(
            node,
            "case",
            arguments,
            _case_sql,
            kind,
            bounds,
            nullable=any(value.nullable for value in values),
            strict=False,
        )
        return replace(made, tens=values[0].tens)

    def _common(self, node: exp.Expr, values: Sequence[Expression]) -> ColumnType:
        kinds = {value.type for value in values}
        if kinds == {ColumnType.INT, ColumnType.REAL}:
            return ColumnType.REAL
        if kinds == {ColumnType.INT, ColumnType.DECIMAL}:
            return ColumnType.DECIMAL
        if len(kinds) != 1:
            names = ", ".join(sorted(kind.value for kind in kinds))
            raise self.error(node, f"The values have different types ({names}).", "Give all of them one type.")
        return kinds.pop()

    def _function(self, node: exp.Expr) -> Expression:
        if isinstance(node, exp.Extract) and node.name.upper() in EXTRACTED:
            return self._function(EXTRACTED[node.name.upper()](this=node.expression))
        known = FUNCTIONS.get(type(node))
        if isinstance(node, exp.Cast) and node.to.this is exp.DType.DATE:
            value = self.bind(node.this)
            if value.type is ColumnType.TIMESTAMP:
                bounds = days_of(value)
                return self.make(node, None, [value], lambda s: f"CAST({s[0]} AS DATE)", ColumnType.DATE, bounds)
        if known is None:
            names = ", ".join(sorted({name for function in FUNCTIONS.values() if (name := function.name)}))
            what = node.name if isinstance(node, exp.Anonymous) else node.key.upper()
            raise self.error(node, f"{what} is not supported here.", f"Functions that work: {names}.")
        extra = [key for key, value in node.args.items() if value and key not in known.keys and key != "negate"]
        if any(isinstance(node.args[key], exp.Expr | list) for key in extra):
            raise self.error(node, f"{known.name} takes fewer arguments here.", f"It takes {len(known.keys)} at most.")
        arguments = [self.bind(argument) for argument in known.arguments(node)]
        if known.name in ROUNDED:
            arguments = [self._real(argument) for argument in arguments]
        arguments = self._alike_numbers(node, arguments)
        allowed = known.takes
        for argument in arguments[: 1 if known.positions else None]:
            if allowed is not None and argument.type not in allowed:
                wanted = " or ".join(sorted(kind.value for kind in allowed))
                raise self.error(
                    node, f"{known.name} takes the type {wanted}, not {argument.type.value}.", "Correct it."
                )
        if known.name == "ABS":
            self.bounded(node, arguments)
        for argument in arguments[1:] if known.positions else []:
            if argument.type is not ColumnType.INT or argument.bounds is None or argument.bounds.magnitude >= LONGEST:
                raise self.error(
                    node,
                    f"{argument.text} is no place in a text.",
                    f"{known.name} takes whole numbers whose bounds stay below {LONGEST}.",
                )
        kind = known.result or self._common(node, arguments)
        nullable = all(a.nullable for a in arguments) if known.name == "COALESCE" else None
        strict = known.name not in ("COALESCE", "GREATEST", "LEAST")
        result = self.make(
            node, None, arguments, known.sql, kind, known.bounds(arguments), nullable=nullable, strict=strict
        )
        if kind is ColumnType.DECIMAL:
            result = replace(result, tens=arguments[0].tens)
        if node.args.get("negate"):
            return self.make(node, "not", [result], lambda s: f"(NOT {s[0]})", ColumnType.BOOL, Bounds(0, 1))
        return result


def _is_constant(value: Expression) -> bool:
    return isinstance(value, Local) and value.table is None


def _case_sql(parts: Sequence[str]) -> str:
    branches = " ".join(f"WHEN {parts[i]} THEN {parts[i + 1]}" for i in range(0, len(parts) - 1, 2))
    return f"(CASE {branches} ELSE {parts[-1]} END)"
