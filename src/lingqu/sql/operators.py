"""SQL's steps on shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lingqu.plan.frontend import Context, OperatorFn, Sealed
from lingqu.plan.plan import Step
from lingqu.share import Aggregate, Machine, Relation, Shared, SharedBits, filter_rows, group, join
from lingqu.sql.circuit import Evaluator
from lingqu.sql.steps import ROWS, DeriveArguments, GroupArguments, HavingArguments, JoinArguments, SealArguments


def join_rows(machine: Machine, step: Step, inputs: Sequence[Any], context: Context) -> Relation:
    """ "join": rows of both sides whose hashed keys agree; which and how many stays hidden."""
    arguments = JoinArguments.of(step.arguments)
    return join(machine, inputs[0], inputs[1], [(arguments.left, arguments.right)])


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
    """ "seal": hands keys and values, still shared, to the release."""
    arguments = SealArguments.of(step.arguments)
    relation: Relation = inputs[0]
    keys = {name: _number(machine, relation.keys[name]) for name in arguments.keys}
    return Sealed(
        values={**keys, **{name: relation.columns[column] for name, column in arguments.values.items()}},
        count=relation.columns[ROWS],
        valid=relation.valid,
        fractions=arguments.fractions,
        guards={name: relation.columns[column] for name, column in arguments.guards.items()},
    )


def _number(machine: Machine, words: tuple[SharedBits, ...]) -> Shared:
    """A group key as a non-negative integer; group keys are one word."""
    return machine.to_shared(words[0])


OPERATORS: Mapping[str, OperatorFn] = MappingProxyType(
    {"join": join_rows, "derive": derive, "group": group_rows, "having": having, "seal": seal}
)
