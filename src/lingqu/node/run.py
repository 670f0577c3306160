"""A job under way at one node: what its worker speaks to, and what people see of its steps."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from lingqu.contract import Terms
from lingqu.engine.supervisor import Worker
from lingqu.engine.worker import JobLine
from lingqu.kinds import clock
from lingqu.kinds.errands import Given
from lingqu.kinds.errors import LingquError
from lingqu.node.core import Core
from lingqu.node.messages import JobOffer
from lingqu.node.store.models import JobState
from lingqu.plan.plan import Plan

SHOWN = ("state", "rounds", "bytes", "seconds", "rows", "of")
"""What people see of a step as it moves on."""


def worker_line(core: Core, plan: Plan, names: Sequence[str], job: str, directory: Path, **more: Any) -> JobLine:
    """What a worker of this node is told for a session of these parties.  more: further fields of the line."""
    own, stream = core.certificate.pem, core.config.stream
    return JobLine(
        job=job,
        plan=plan,
        party=names.index(core.name),
        certificates=tuple(own if name == core.name else core.pins[name].certificate.pem for name in names),
        key=str(core.home.key),
        certificate=str(core.home.certificate),
        host=stream.host,
        first=stream.first,
        last=stream.last,
        timeout=core.config.jobs.timeout,
        directory=str(directory),
        **more,
    )


def advertised(core: Core, endpoint: str) -> str:
    """A worker's endpoint as the other parties reach it."""
    address = core.config.stream.address
    return f"{address}:{endpoint.rpartition(':')[2]}" if address else endpoint


class Owner(Protocol):
    """What a run asks of `jobs.Jobs`."""

    @property
    def name(self) -> str:
        """This party's name."""

    @property
    def core(self) -> Core:
        """This node."""

    def changed(self) -> None:
        """Wake everyone who watches."""

    def gate(self, run: Run, reveal: bool) -> None:
        """May this run go on?  Raises LingquError when not."""

    def worker_left(self, run: Run) -> None:
        """The run's worker has said its last word to the other parties.  Raises LingquError to stop it."""

    def worker_ended(self, run: Run, release: Path | None, error: LingquError | None) -> None:
        """The run's worker is gone."""


class Run:
    """A job that is under way at this node; also what its worker speaks to.

    given: what this node's user gave the run, for this node's worker alone.  over: it has ended.
    quiet: to the other parties it has ended, and none of them hears or sees anything of it any more.
    """

    def __init__(self, jobs: Owner, offer: JobOffer, coordinator: str, terms: Terms, plan: Plan) -> None:
        self._jobs = jobs
        self.offer = offer
        self.coordinator = coordinator
        self.terms = terms
        self.plan = plan
        self.lock = threading.RLock()
        self.over = threading.Event()
        self.quiet = threading.Event()
        self.worker: Worker | None = None
        self.given: Given | None = None
        self.endpoint: Future[str] = Future()
        self.begun = clock.now()
        self.state = JobState.ADMITTING
        self.supplies: Mapping[str, Any] | None = None
        self.steps: dict[str, dict[str, Any]] = {
            step.id: {
                "id": step.id,
                "operator": step.operator,
                "state": "waiting" if {jobs.name} & {*plan.parties, *step.parties} else "elsewhere",
                "rounds": 0,
                "bytes": 0,
                "seconds": 0.0,
            }
            for step in plan.steps
        }

    @property
    def others(self) -> list[str]:
        """The other parties."""
        return [name for name in self.plan.everyone if name != self._jobs.name]

    def ready(self, endpoint: str) -> None:
        """The worker listens."""
        self.endpoint.set_result(advertised(self._jobs.core, endpoint))

    def progress(self, step: str, figures: Mapping[str, Any]) -> None:
        """A step moved on."""
        with self.lock:
            self.supplies = figures.get("supplies", self.supplies)
            known = self.steps.get(step)
            if known is not None:
                known.update({key: figures[key] for key in SHOWN if key in figures})
        self._jobs.changed()

    def gate(self, step: str, reveal: bool) -> None:
        """The worker asks whether it may take a step, or reveal."""
        self._jobs.gate(self, reveal)
        if not reveal:
            self.progress(step, {"state": "running"})

    def left(self) -> None:
        """The worker has said its last word to the other parties, and works on alone."""
        self._jobs.worker_left(self)

    def ended(self, figures: Mapping[str, Any], release: Path | None, error: LingquError | None) -> None:
        """The worker is gone."""
        if not self.endpoint.done():
            self.endpoint.set_exception(error or LingquError("The worker ended early.", "Look at its log."))
        self._jobs.worker_ended(self, release, error)
