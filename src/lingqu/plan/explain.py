"""A plan as people read it: steps, techniques, reasons, disclosures, estimated and measured costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lingqu.kinds.channel import Traffic
from lingqu.kinds.mechanism import Cost
from lingqu.plan import statement
from lingqu.plan.choose import seconds
from lingqu.plan.plan import Plan


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


def explain(plan: Plan, measured: Mapping[str, Measured] | None = None) -> list[Line]:
    """The steps in order with their estimates; measured: figures by step id, put beside them."""
    return [
        Line(
            step=step.id,
            operator=step.operator,
            technique=f"{step.mechanism} at {step.parties[0]}" if len(step.parties) == 1 else step.mechanism,
            reason=step.reason,
            disclosure="; ".join(f"{told.party}: {told.about}" for told in step.reveals) or "nothing",
            rounds=step.rounds,
            bytes=step.bytes,
            seconds=seconds(Cost(step.rounds, step.bytes)),
            measured=(measured or {}).get(step.id),
        )
        for step in plan.steps
    ]


def explain_text(plan: Plan, measured: Mapping[str, Measured] | None = None) -> str:
    """The explanation as text: a table of steps, their reasons, then the disclosure statement."""
    lines = [f"{'step':<16}{'technique':<32}{'rounds':>8}{'bytes':>14}{'seconds':>10}"]
    rows = explain(plan, measured)
    for row in rows:
        lines.append(f"{row.step:<16}{row.technique:<32}{row.rounds:>8}{row.bytes:>14}{row.seconds:>10.3f}")
        if row.measured is not None:
            figures = row.measured
            lines.append(f"{'':<16}{'measured':<32}{figures.rounds:>8}{figures.bytes:>14}{figures.seconds:>10.3f}")
        lines.append(f"    why: {row.reason}")
        lines.append(f"    discloses: {row.disclosure}")
    total = Cost(sum(row.rounds for row in rows), sum(row.bytes for row in rows))
    lines.append(f"{'total':<48}{total.rounds:>8}{total.bytes:>14}{seconds(total):>10.3f}")
    lines.append("Bytes are payload of all parties together; seconds assume 2 ms a round and 100 Mbit/s.")
    lines += ["", statement.text(plan.statement)]
    return "\n".join(lines)


def measured(traffic: Traffic, duration: float) -> Measured:
    """A step's figures from its traffic at one party and its duration in seconds."""
    return Measured(rounds=traffic.rounds, bytes=traffic.sent, seconds=duration)
