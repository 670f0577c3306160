"""The interpreter of plans: one party's part, step by step.  No processes, no files, no sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lingqu.engine.inputs import align_rows, share_rows
from lingqu.engine.meeting import Outside
from lingqu.engine.release import Layout, Release, release
from lingqu.kinds.channel import Traffic
from lingqu.kinds.errands import Scan
from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.programs import Value
from lingqu.plan.frontend import Context, OperatorFn, Sealed, frontend
from lingqu.plan.inputs import AlignArguments, InputArguments, check_bindings
from lingqu.plan.plan import Plan, Step
from lingqu.share import Machine

LocalRows = Callable[[Step], Mapping[str, npt.NDArray[Any]]]
Gate = Callable[[str, bool], None]


def execute(
    plan: Plan,
    machine: Machine,
    local: LocalRows,
    bindings: Mapping[str, Value],
    on_step: Callable[[Step, Traffic], None],
    gate: Gate,
    *,
    job: str,
    traffic: Callable[[], Traffic] | None = None,
    operators: Mapping[str, OperatorFn] | None = None,
    outside: Outside | None = None,
) -> Release | None:
    """Run a plan at one compute party; the Release at the recipients, None at the others.

    local: the scanned columns of one of this party's "scan" steps (the parameters in its SQL are the caller's to bind,
    with `plan.inputs.bound`).  bindings: values of the program's parameters.
    on_step: told each step when it ends, with the traffic it took.  traffic: this party's running counters.
    gate: asked (step id, False) before every step, and (step id, True) before values are opened; it raises to stop, and
    nothing is opened before every party's gate has let it pass.  job: the run's id, 32 hexadecimal digits, salt of
    hashed keys.  operators: None for the installed frontend's.  outside: how this party meets those that do not compute
    (their own part is `outside.take_part`); None where there are none, and in the plain twin.
    BadInput, Refused and RangeError as steps raise them.  Discloses: what the plan's statement says.
    """
    check_bindings(plan.program, bindings)
    check_job(job)
    known = frontend(plan.program.kind).operators if operators is None else operators
    everyone = all(machine.owns(place) for place in range(len(plan.everyone)))
    context = Context(plan, job, None if everyone else plan.parties[machine.party], bindings)
    results: dict[str, Any] = {}
    last_use = {name: step.id for step in plan.steps for name in step.inputs}
    before = counters(traffic)
    for step in plan.steps:
        gate(step.id, False)
        results[step.id] = _run(plan, machine, step, results, local, context, gate, known, outside)
        for name in step.inputs:
            if last_use[name] == step.id:
                results.pop(name, None)
        now = counters(traffic)
        on_step(step, spent(before, now))
        before = now
    found = results[plan.steps[-1].id]
    assert found is None or isinstance(found, Release)
    return found


def _run(
    plan: Plan,
    machine: Machine,
    step: Step,
    results: Mapping[str, Any],
    local: LocalRows,
    context: Context,
    gate: Gate,
    operators: Mapping[str, OperatorFn],
    outside: Outside | None,
) -> Any:
    inputs = [results[name] for name in step.inputs]
    if step.operator == "scan":
        return _scan(plan, machine, step, local)
    if step.operator == "input":
        arguments = InputArguments.parse(json.dumps(step.arguments))
        owner = plan.everyone.index(arguments.owner)
        entry = outside.door if outside is not None and owner >= len(plan.parties) else None
        return share_rows(machine, arguments, inputs[0], owner, context.job, entry)
    if step.operator == "align":
        aligned = AlignArguments.parse(json.dumps(step.arguments))
        owners = tuple(plan.everyone.index(side.rows.owner) for side in (aligned.asker, aligned.keeper))
        return align_rows(machine, aligned, (inputs[0], inputs[1]), (owners[0], owners[1]), context.job)
    if step.operator == "release":
        sealed = inputs[0]
        if not isinstance(sealed, Sealed):
            raise Refused("The plan releases what is not sealed for release.", "Run the signed plan.", term="plan")
        return _release(machine, plan, step, sealed, context, gate, outside)
    if step.operator not in operators:
        raise Refused(f"Nothing here runs the step {step.operator!r}.", "Install its frontend.", term="plan")
    return operators[step.operator](machine, step, inputs, context)


def _release(
    machine: Machine, plan: Plan, step: Step, sealed: Sealed, context: Context, gate: Gate, outside: Outside | None
) -> Release | None:
    """The release, behind this party's gate and those of all outside parties."""
    if outside is None:
        return release(machine, plan, step, sealed, job=context.job, gate=lambda: gate(step.id, True))
    meeting = outside

    def every_gate() -> None:
        gate(step.id, True)
        meeting.consent(Layout.of(sealed))

    return release(machine, plan, step, sealed, job=context.job, gate=every_gate, door=meeting.door)


def _scan(plan: Plan, machine: Machine, step: Step, local: LocalRows) -> Mapping[str, npt.NDArray[Any]] | None:
    """The scanned columns at their owner, None elsewhere."""
    if not machine.owns(plan.everyone.index(step.parties[0])):
        return None
    return whole(local(step))


def whole(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Columns in memory."""
    found = columns.whole() if isinstance(columns, Scan) else columns
    return {name: np.asarray(values) for name, values in found.items()}


def check_job(job: str) -> None:
    """BadInput for a job's id that is none."""
    try:
        fits = len(bytes.fromhex(job)) == 16
    except ValueError:
        fits = False
    if not fits:
        raise BadInput("A job's id has 32 hexadecimal digits.", "Use the id that the coordinator gave.")


def counters(traffic: Callable[[], Traffic] | None) -> Traffic:
    """A copy of the running counters; zeros where there are none."""
    if traffic is None:
        return Traffic()
    now = traffic()
    return Traffic(now.sent, now.received, now.messages, now.rounds)


def spent(before: Traffic, now: Traffic) -> Traffic:
    """What passed between two readings of the counters."""
    return Traffic(
        now.sent - before.sent,
        now.received - before.received,
        now.messages - before.messages,
        now.rounds - before.rounds,
    )
