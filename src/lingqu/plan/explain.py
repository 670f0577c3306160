"""A plan as people read it: steps, techniques, reasons, disclosures, estimated and measured costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lingqu.kinds.channel import Traffic
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import Refused
from lingqu.kinds.mechanism import Cost, Registry
from lingqu.plan import statement
from lingqu.plan.choose import BANDWIDTH, LATENCY, seconds
from lingqu.plan.plan import LOCAL, Plan, Setting


@dataclass(frozen=True)
class Measured:
    """What a step cost in one run: rounds, bytes sent by this party, seconds on its clock."""

    rounds: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Line:
    """One step of an explained plan.  disclosure: who learns what by it, or "nothing"."""

    step: str
    operator: str
    technique: str
    reason: str
    disclosure: str
    rounds: int
    bytes: int
    seconds: float
    measured: Measured | None = None


def explain(
    plan: Plan,
    measured: Mapping[str, Measured] | None = None,
    latency: float | None = None,
    bandwidth: float | None = None,
) -> list[Line]:
    """The steps in order with their estimates; measured: figures by step id, put beside them.

    latency, bandwidth: of the network that the seconds assume; None: the reference network.
    """
    return [
        Line(
            step=step.id,
            operator=step.operator,
            technique=f"{step.mechanism} at {step.parties[0]}" if len(step.parties) == 1 else step.mechanism,
            reason=step.reason,
            disclosure="; ".join(f"{told.party}: {told.about}" for told in step.reveals) or "nothing",
            rounds=step.rounds,
            bytes=step.bytes,
            seconds=seconds(Cost(step.rounds, step.bytes), latency, bandwidth) + step.effort,
            measured=(measured or {}).get(step.id),
        )
        for step in plan.steps
    ]


class Weighed(Document):
    """One installed mechanism as the planner saw it for a program.

    rounds, bytes, seconds: the whole program's estimate with it; None where it does not fit, and `why` says why.
    why: of one that fits, its threat model.
    """

    mechanism: str
    chosen: bool
    rounds: int | None
    bytes: int | None
    seconds: float | None
    why: str


def weigh(plan: Plan, setting: Setting, compiled: Callable[[Setting], Plan]) -> tuple[Weighed, ...]:
    """Every mechanism that the setting allows beside the one that the plan uses, the chosen one first.

    compiled: the program's plan in a setting; it raises Refused where no mechanism fits.  Cost: one compilation each.
    """
    used = {step.mechanism for step in plan.steps} - {LOCAL}
    found = []
    for name, declaration in setting.registry.declarations.items():
        if name not in setting.techniques:
            continue
        try:
            alone = plan if name in used else compiled(_alone(setting, name))
        except Refused as refusal:
            why = refusal.cause.removeprefix("No mechanism fits. ").removeprefix(f"{name}: ").removesuffix(".")
            found.append(Weighed(mechanism=name, chosen=False, rounds=None, bytes=None, seconds=None, why=why))
            continue
        total = Cost(sum(step.rounds for step in alone.steps), sum(step.bytes for step in alone.steps))
        effort = sum(step.effort for step in alone.steps)
        found.append(
            Weighed(
                mechanism=name,
                chosen=name in used,
                rounds=total.rounds,
                bytes=total.bytes,
                seconds=round(seconds(total, setting.latency, setting.bandwidth) + effort, 3),
                why=str(declaration.threat),
            )
        )
    return tuple(sorted(found, key=lambda one: (not one.chosen, one.seconds is None, one.seconds or 0, one.mechanism)))


def _alone(setting: Setting, name: str) -> Setting:
    return replace(setting, techniques=(name,), registry=Registry({name: setting.registry.get(name)}))


def weighed_text(weighed: Sequence[Weighed]) -> str:
    """The mechanisms as people read them, one a line."""
    lines = []
    for one in weighed:
        head = "chosen" if one.chosen else "fits too" if one.seconds is not None else "does not fit"
        cost = f"{one.rounds} rounds, {one.bytes:,} bytes, {one.seconds:.1f} s; " if one.seconds is not None else ""
        lines.append(f"{one.mechanism} ({head}): {cost}{one.why}")
    return "\n".join(lines)


def network(latency: float | None, bandwidth: float | None) -> str:
    """The network that estimates assume, in words.  latency: seconds.  bandwidth: bytes a second."""
    wait = (LATENCY if latency is None else latency) * 1e3
    width = (BANDWIDTH if bandwidth is None else bandwidth) * 8e-6
    return f"{wait:g} ms a round and {width:g} Mbit/s"


def explain_text(
    plan: Plan,
    measured: Mapping[str, Measured] | None = None,
    weighed: Sequence[Weighed] = (),
    latency: float | None = None,
    bandwidth: float | None = None,
) -> str:
    """The explanation as text: a table of steps, their reasons, the mechanisms weighed, the disclosure statement."""
    lines = [f"{'step':<16}{'technique':<32}{'rounds':>8}{'bytes':>14}{'seconds':>10}"]
    rows = explain(plan, measured, latency, bandwidth)
    for row in rows:
        lines.append(f"{row.step:<16}{row.technique:<32}{row.rounds:>8}{row.bytes:>14}{row.seconds:>10.3f}")
        if row.measured is not None:
            figures = row.measured
            lines.append(f"{'':<16}{'measured':<32}{figures.rounds:>8}{figures.bytes:>14}{figures.seconds:>10.3f}")
        lines.append(f"    why: {row.reason}")
        lines.append(f"    discloses: {row.disclosure}")
    total = Cost(sum(row.rounds for row in rows), sum(row.bytes for row in rows))
    whole_time = sum(row.seconds for row in rows)
    lines.append(f"{'total':<48}{total.rounds:>8}{total.bytes:>14}{whole_time:>10.3f}")
    lines.append(f"Bytes are payload of all parties together; seconds assume {network(latency, bandwidth)}.")
    if weighed:
        lines += ["", "Mechanisms:", *(f"  - {line}" for line in weighed_text(weighed).splitlines())]
    lines += ["", statement.text(plan.statement)]
    return "\n".join(lines)


def measured(traffic: Traffic, duration: float) -> Measured:
    """A step's figures from its traffic at one party and its duration in seconds."""
    return Measured(rounds=traffic.rounds, bytes=traffic.sent, seconds=duration)
