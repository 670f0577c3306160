"""Programs run on shares: public steps by JAX first, the others by their rules, loops and branches by their bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput, LingquError
from lingqu.share.arrays import elementwise as e
from lingqu.share.arrays import manipulation as m
from lingqu.share.arrays.array import SharedArray
from lingqu.share.graphs import places, windows
from lingqu.share.graphs.lower import Known, Plan, Program, Step, bound
from lingqu.share.graphs.rules import RULES, Context, Value, arrays

__all__ = ["places", "run", "windows"]  # both register their rules


def public(value: Any) -> NDArray[Any]:
    """A public value as NumPy has it; formats of JAX's own become float32."""
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def run(context: Context, program: Program, values: Sequence[Value]) -> list[Value]:
    """The outputs of a program.  values: shares, or public values, one for each input."""
    plan = program.plan(tuple(isinstance(one, SharedArray) for one in values), RULES)
    slots: dict[int, Value] = dict(enumerate(values))
    if plan.wanted:
        found = plan.compute(*(slots[one] for one in plan.given))
        slots.update(zip(plan.wanted, map(public, found), strict=True))
    last = _last_reads(plan)
    for number, step in enumerate(plan.steps):
        given = [public(one.value) if isinstance(one, Known) else slots[one] for one in step.inputs]
        slots.update(zip(step.outputs, stepped(context, step, given), strict=True))
        for one in last.get(number, ()):
            del slots[one]
    return [public(one.value) if isinstance(one, Known) else slots[one] for one in program.outputs]


def _last_reads(plan: Plan) -> dict[int, list[int]]:
    """After which step no later one reads a slot, so that memory is given back."""
    last: dict[int, int] = {}
    for number, step in enumerate(plan.steps):
        last.update({one: number for one in (*step.inputs, *step.outputs) if isinstance(one, int)})
    found: dict[int, list[int]] = {}
    for slot, number in last.items():
        if slot not in plan.program.outputs:
            found.setdefault(number, []).append(slot)
    return found


def stepped(context: Context, step: Step, given: Sequence[Value]) -> list[Value]:
    """One step; its errors name the primitive and where the function calls it."""
    if step.name in NESTED:
        return NESTED[step.name](context, step, given)
    if step.primitive is not None and not any(isinstance(one, SharedArray) for one in given):
        return [public(one) for one in bound(step, given)]
    try:
        found = RULES[step.name](context, step.params, *given)
    except LingquError as error:
        error.add_note(f"in JAX's {step.name} {step.place}".rstrip())
        raise
    several = found if isinstance(found, list) else [found]
    return [_settled(one, shape) for one, shape in zip(several, step.shapes, strict=True)]


def _settled(x: SharedArray, shape: tuple[int, ...]) -> Value:
    whole = x if x.shape == shape else m.broadcast_to(x, shape)
    return whole.values if whole.public else whole


def _scan(context: Context, step: Step, given: Sequence[Value]) -> list[Value]:
    """The body a public number of times."""
    consts, carried = step.params["num_consts"], step.params["num_carry"]
    carry, rows = list(given[consts : consts + carried]), given[consts + carried :]
    length = step.params["length"]
    stacked: list[list[Value]] = [[] for _ in step.outputs[carried:]]
    turns = range(length)
    for turn in reversed(turns) if step.params["reverse"] else turns:
        found = run(context, step.bodies[0], [*given[:consts], *carry, *(row[turn] for row in rows)])
        carry = found[:carried]
        for one, value in zip(stacked, found[carried:], strict=True):
            one.append(value)
    ordered = [one[::-1] if step.params["reverse"] else one for one in stacked]
    shapes = step.shapes[carried:]
    return [*carry, *(_stack(one, shape) for one, shape in zip(ordered, shapes, strict=True))]


def _stack(values: list[Value], shape: tuple[int, ...]) -> Value:
    if not values:
        return np.zeros(shape, np.float32)
    if any(isinstance(one, SharedArray) for one in values):
        return m.stack(arrays(*values))
    return np.stack([one for one in values if isinstance(one, np.ndarray | np.generic)])


def _while(context: Context, step: Step, given: Sequence[Value]) -> list[Value]:
    """The body as long as a public condition holds."""
    tested, consts = step.params["cond_nconsts"], step.params["body_nconsts"]
    first, second, carry = given[:tested], given[tested : tested + consts], list(given[tested + consts :])
    while True:
        (goes_on,) = run(context, step.bodies[0], [*first, *carry])
        if isinstance(goes_on, SharedArray):
            raise BadInput("A while loop's condition is shared.", "Loop a public number of times.")
        if not bool(goes_on):
            return carry
        carry = run(context, step.bodies[1], [*second, *carry])


def _branches(context: Context, step: Step, given: Sequence[Value]) -> list[Value]:
    """One branch by a public index; all of them, of which each entry of the result is chosen, by a shared one."""
    index, operands = given[0], given[1:]
    if not isinstance(index, SharedArray):
        return run(context, step.bodies[int(np.clip(index, 0, len(step.bodies) - 1))], operands)
    found = [arrays(*run(context, body, operands)) for body in step.bodies]
    result = found[0]
    for number, branch in enumerate(found[1:], 1):
        earlier = e.less(index, number)
        result = [e.where(earlier, one, other) for one, other in zip(result, branch, strict=True)]
    return list(result)


NESTED = {"scan": _scan, "while": _while, "cond": _branches}
