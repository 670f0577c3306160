"""A run's correlations, made ahead of it: what a plan takes, and the session in which two nodes' workers make it."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingqu.engine.execute import execute
from lingqu.engine.mechanism import machine_for, mechanism_of
from lingqu.kinds.channel import Channel, Traffic
from lingqu.kinds.errors import LingquError
from lingqu.kinds.mechanism import Cost
from lingqu.kinds.programs import Program, Value
from lingqu.plan.plan import Plan, Step
from lingqu.share.supplies import Supplier, Work

if TYPE_CHECKING:
    from lingqu.engine.worker import Pipe

NO_JOB = "0" * 32


def supplier(name: str) -> Supplier | None:
    """What makes a mechanism's correlations ahead (entry points `lingqu.supplies`); None where it needs none."""
    points = entry_points(group="lingqu.supplies", name=name)
    found: Supplier | None = next(iter(points)).load() if points else None
    return found


def work_of(plan: Plan) -> Work:
    """A plan's run on shapes alone: nothing is scanned, no gate is asked, nothing opens.

    Open places get values within their limits: what a run takes follows from sizes, which they do not change.
    """

    def work(machine: Any) -> object:
        return execute(plan, machine, _no_rows, _bound(plan.program), _no_figures, _no_gate, job=NO_JOB)

    return work


def made_ahead(plan: Plan) -> Cost:
    """What of a plan's estimates its nodes can make ahead of a run; nothing where the mechanism takes no correlations.

    All parties' bytes.  A plan that could not run here makes nothing, either.
    """
    try:
        source = supplier(mechanism_of(plan))
        return Cost() if source is None else source.making(work_of(plan))
    except LingquError:
        return Cost()


def machine_with(plan: Plan, channel: Channel, directory: str | None, names: tuple[str, ...]) -> Any:
    """The plan's machine, with the portions of correlations that the nodes have agreed to use."""
    source = supplier(mechanism_of(plan))
    if source is None or directory is None or not names:
        return machine_for(plan, channel)
    return source.connect(channel, Path(directory), names)


def make(pipe: Pipe, channel: Channel, names: tuple[str, ...]) -> None:
    """A preparing worker's whole part: the node is asked before each portion and told once it is there."""
    job = pipe.job
    source = supplier(mechanism_of(job.plan))
    assert source is not None
    assert job.supplies is not None

    def made(name: str, size: int) -> None:
        pipe.tell(step=name, state="made", bytes=size)

    source.make(channel, Path(job.supplies), work_of(job.plan), names, lambda name: pipe.gate(name, False), made)


def _bound(program: Program) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, parameter in program.parameters.items():
        value = parameter.lower if parameter.allowed is None else parameter.allowed[0]
        assert value is not None
        found[name] = value
    return found


def _no_rows(step: Step) -> dict[str, Any]:
    return {}


def _no_figures(step: Step, traffic: Traffic) -> None:
    return None


def _no_gate(step: str, reveal: bool) -> None:
    return None
