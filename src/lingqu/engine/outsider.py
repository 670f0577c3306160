"""The part of a party that does not compute: rows go out as shares, gates are asked, a result comes in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from lingqu.engine.execute import Gate, LocalRows, check_job, counters, spent, whole
from lingqu.engine.inputs import give_rows
from lingqu.engine.meeting import await_consent, give_consent
from lingqu.engine.release import Release, released
from lingqu.kinds.channel import Channel, Traffic
from lingqu.kinds.programs import Value
from lingqu.plan.inputs import InputArguments, check_bindings
from lingqu.plan.plan import Plan, Step
from lingqu.share.outside import Outsider


def take_part(
    plan: Plan,
    outsider: Outsider,
    channel: Channel,
    local: LocalRows,
    bindings: Mapping[str, Value],
    on_step: Callable[[Step, Traffic], None],
    gate: Gate,
    *,
    job: str,
) -> Release | None:
    """Run an outside party's steps of a plan: its scans and inputs, and the release, at which its consent is needed.

    channel: of all parties.  The other arguments as for `execute.execute`.  Returns the Release at a recipient.
    The gates are asked before each of these steps, and once more when every compute party has passed its own and waits.
    BadInput, Refused and RangeError as for the owner's part of an input.
    """
    check_bindings(plan.program, bindings)
    check_job(job)
    name = plan.everyone[channel.party]
    scanned: dict[str, Mapping[str, npt.NDArray[Any]]] = {}
    found: Release | None = None
    before = counters(lambda: channel.traffic)
    for step in plan.steps:
        if name not in step.parties:
            continue
        gate(step.id, False)
        if step.operator == "scan":
            scanned[step.id] = whole(local(step))
        elif step.operator == "input":
            give_rows(outsider, InputArguments.parse(json.dumps(step.arguments)), scanned[step.inputs[0]], job)
        elif step.operator == "release":
            layout = await_consent(channel, len(plan.parties))
            gate(step.id, True)
            give_consent(channel, len(plan.parties))
            if name in plan.recipients:
                opened = layout.read(outsider.receive(layout.shape))
                found = released(plan, step, layout, opened, recipient=name, job=job)
        now = counters(lambda: channel.traffic)
        on_step(step, spent(before, now))
        before = now
    return found
