"""SQL's steps on shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np

from lingqu.plan.frontend import Context, OperatorFn, Sealed
from lingqu.plan.plan import Step
from lingqu.share import (
    Aggregate,
    Machine,
    Relation,
    Shared,
    SharedBits,
    distinct_marks,
    filter_rows,
    group,
    join,
    join_rows,
    quantile_parts,
)
from lingqu.share.groups import scatter_digits, square_limbs, sum_digits, value_limbs
from lingqu.sql.circuit import Evaluator
from lingqu.sql.ranking import first_sealed
from lingqu.sql.steps import (
    ROWS,
    DeriveArguments,
    GroupArguments,
    HavingArguments,
    JoinArguments,
    MarkArguments,
    SealArguments,
)


def join_tables(machine: Machine, step: Step, inputs: Sequence[Any], context: Context) -> Relation:
    """ "join": rows of both sides whose hashed keys agree; which and how many stays hidden."""
    arguments = JoinArguments.of(step.arguments)
    left, right = (_numbered(machine, side, place, arguments.numbered) for place, side in enumerate(inputs))
    on = [(arguments.left, arguments.right)]
    if arguments.unique == "both":
        return join(machine, left, right, on)
    return join_rows(
        machine,
        left,
        right,
        on,
        kind=arguments.kind,
        unique=arguments.unique,
        bound=arguments.bound or None,
        absent={name: (word,) for name, word in arguments.absent.items()},
    ).rows


def _numbered(machine: Machine, side: Relation, place: int, numbered: Mapping[str, int]) -> Relation:
    """A relation with its row numbers as keys, so that copies of a row can be told from other rows.

    Beside each stands a column of ones under the name with a p, zero where an outer join leaves the side out.
    """
    width = max(side.rows.bit_length(), 1)
    names = [name for name, which in numbered.items() if which == place]
    words = machine.constant_bits(np.arange(side.rows, dtype=np.uint64), width)
    there = machine.constant(np.ones(side.rows, np.int64))
    return Relation(
        {**side.columns, **{f"{name}p": there for name in names}},
        {**side.keys, **dict.fromkeys(names, (words,))},
        side.valid,
    )


def derive(machine: Machine, step: Step, inputs: Sequence[Any], context: Context) -> Relation:
    """ "derive": columns computed across owners, and rows made invalid that fail a condition."""
    arguments = DeriveArguments.of(step.arguments)
    relation: Relation = inputs[0]
    evaluator = Evaluator(machine, relation.columns, relation.rows, context.bindings)
    if relation.rows == 0:
        return Relation(
            {**relation.columns, **dict.fromkeys(arguments.columns, relation.valid)}, relation.keys, relation.valid
        )
    derived = {name: evaluator.number(circuit) for name, circuit in arguments.columns.items()}
    result = Relation({**relation.columns, **derived}, relation.keys, relation.valid)
    for circuit in arguments.keep:
        result = filter_rows(machine, result, evaluator.condition(circuit))
    return result


def mark(machine: Machine, step: Step, inputs: Sequence[Any], context: Context) -> Relation:
    """ "mark": columns whose sums a group are distinct counts and quantiles."""
    arguments = MarkArguments.of(step.arguments)
    relation: Relation = inputs[0]
    found: dict[str, Shared] = {}
    for wanted in arguments.marks:
        if wanted.kind == "distinct":
            found[wanted.name] = distinct_marks(machine, relation, arguments.keys, wanted.source, wanted.present)
        elif wanted.limbs:
            make = square_limbs if wanted.kind == "squares" else value_limbs
            limbs = make(machine, relation.columns[wanted.source], wanted.bits, wanted.limbs)
            found |= zip(wanted.columns, limbs, strict=True)
        else:
            found[wanted.name] = quantile_parts(
                machine,
                relation,
                arguments.keys,
                wanted.source,
                Fraction(wanted.numerator, wanted.denominator),
                kind="discrete" if wanted.kind == "discrete" else "continuous",
                present=wanted.present,
                bits=wanted.bits,
            )
    return Relation({**relation.columns, **found}, relation.keys, relation.valid)


def group_rows(machine: Machine, step: Step, inputs: Sequence[Any], context: Context) -> Relation:
    """ "group": one row a group, with counts, sums and extremes; how many groups there are stays hidden."""
    arguments = GroupArguments.of(step.arguments)
    aggregates = [Aggregate(a.name, a.kind, a.column, a.present) for a in arguments.aggregates]
    return group(machine, inputs[0], arguments.keys, aggregates, arguments.bound)


def having(machine: Machine, step: Step, inputs: Sequence[Any], context: Context) -> Relation:
    """ "having": groups that fail the condition become invalid."""
    relation: Relation = inputs[0]
    evaluator = Evaluator(machine, relation.columns, relation.rows, context.bindings)
    return filter_rows(machine, relation, evaluator.condition(HavingArguments.of(step.arguments).condition))


def seal(machine: Machine, step: Step, inputs: Sequence[Any], context: Context) -> Sealed:
    """ "seal": hands keys and values, still shared, to the release; of the first rows only where LIMIT says so."""
    arguments = SealArguments.of(step.arguments)
    relation: Relation = inputs[0]
    values = {name: _number(machine, relation.keys[name]) for name in arguments.keys}
    values |= {name: relation.columns[column] for name, column in arguments.values.items()}
    for wide in arguments.wide:
        limbs = [relation.columns[limb] for limb in wide.limbs]
        if wide.total is None or wide.count is None:
            values[wide.name] = sum_digits(machine, limbs)
        else:
            values[wide.name] = scatter_digits(
                machine, relation.columns[wide.count], relation.columns[wide.total], limbs
            )
    sealed = Sealed(
        values=values,
        count=relation.columns[ROWS],
        valid=relation.valid,
        fractions=arguments.fractions,
        guards={name: relation.columns[column] for name, column in arguments.guards.items()},
    )
    if not arguments.top or arguments.top >= relation.rows:
        return sealed
    return first_sealed(machine, sealed, arguments.order, arguments.top, context.plan.minimum_group)


def _number(machine: Machine, words: tuple[SharedBits, ...]) -> Shared:
    """A group key as a non-negative integer; group keys are one word."""
    return machine.to_shared(words[0])


OPERATORS: Mapping[str, OperatorFn] = MappingProxyType(
    {"join": join_tables, "derive": derive, "mark": mark, "group": group_rows, "having": having, "seal": seal}
)
