"""Plans whose mechanism runs its steps itself: one compute party's part, with the same gates and the same one exit."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.engine.execute import Gate, LocalRows, check_job, counters, spent
from lingqu.engine.release import Release, found
from lingqu.kinds.channel import Channel, Tag, Traffic
from lingqu.kinds.errands import Columns, Errand, Finding, Given, Held, Runner, Scan
from lingqu.kinds.errors import LingquError, Refused
from lingqu.kinds.programs import Value
from lingqu.plan.inputs import check_bindings
from lingqu.plan.plan import Plan, Step

Report = Callable[[Step, int, int], None]


def carry_out(
    plan: Plan,
    runner: Runner,
    channel: Channel,
    local: LocalRows,
    bindings: Mapping[str, Value],
    on_step: Callable[[Step, Traffic], None],
    gate: Gate,
    *,
    job: str,
    folder: Path,
    earlier: Path | None = None,
    report: Report = lambda step, done, total: None,
    given: Given | None = None,
    left: Callable[[], None] = lambda: None,
    beside: Path | None = None,
) -> Release | None:
    """Run such a plan at one compute party; the Release at the recipients, None at the others.

    channel: of the compute parties, who are all parties: outside ones are Refused.
    local, bindings, on_step, gate, job: as for `execute.execute`.  The mechanism asks the gate before the reveal in its
    errand, and what follows waits for every party's.  folder: of the contract; what errands leave there stays.
    earlier: of another contract over the same program between the same parties.
    report: told how many rows of how many a step has dealt with.  given: by this party, where it asked for the run.
    left: told at a recipient when its channel is closed, before it looks at what it has found: nothing that the others
    can see may wait for that.
    beside: the file for the rows of a large result; None: all of them are in the Release.
    """
    check_bindings(plan.program, bindings)
    check_job(job)
    if plan.outside:
        raise Refused(
            f"{', '.join(plan.outside)} would take part without computing.", "Only compute parties can.", term="parties"
        )
    name = plan.parties[channel.party]
    results: dict[str, Scan | Finding | None] = {}
    release: Release | None = None
    steps = _Steps(channel, on_step)
    with _own(folder) as place:
        for number, step in enumerate(plan.steps):
            gate(step.id, False)
            if step.operator == "scan":
                results[step.id] = _Scan(local, step) if step.parties == (name,) else None
            elif step.operator == "release":
                release = _released(plan, step, results[step.inputs[0]], name, job, gate, beside)
            else:
                last = name in plan.recipients and {one.operator for one in plan.steps[number + 1 :]} <= {"release"}
                farewell = partial(_farewell, steps, step, channel, left) if last else None
                errand = _Errand(plan, step, channel, gate, earlier, given, farewell)
                results[step.id] = errand.run(runner, [results[one] for one in step.inputs], bindings, place, report)
            steps.ended(step)
    return release


class _Steps:
    """Tells of every step once what traffic it took."""

    def __init__(self, channel: Channel, on_step: Callable[[Step, Traffic], None]) -> None:
        self._channel = channel
        self._on_step = on_step
        self._before = counters(lambda: channel.traffic)
        self._told: set[str] = set()

    def ended(self, step: Step) -> None:
        """A step has had all its traffic."""
        if step.id in self._told:
            return
        now = counters(lambda: self._channel.traffic)
        self._on_step(step, spent(self._before, now))
        self._before = now
        self._told.add(step.id)


def _farewell(steps: _Steps, step: Step, channel: Channel, left: Callable[[], None]) -> None:
    steps.ended(step)
    channel.close()
    left()


class _Errand:
    """One step that the mechanism runs, and whether it has asked the gate before the reveal.

    farewell: at a recipient, in the last step that has messages: the end of all talk with the others; None elsewhere.
    """

    def __init__(
        self,
        plan: Plan,
        step: Step,
        channel: Channel,
        gate: Gate,
        earlier: Path | None,
        given: Given | None,
        farewell: Callable[[], None] | None,
    ) -> None:
        self._plan = plan
        self._step = step
        self._channel = channel
        self._gate = gate
        self._earlier = earlier
        self._given = given
        self._farewell = farewell
        self._open = False

    def run(
        self, runner: Runner, inputs: list[Any], bindings: Mapping[str, Value], folder: Path, report: Report
    ) -> Finding | None:
        """Let the mechanism run it; LingquError when it went past the gate, or found something for the wrong party."""
        plan, step = self._plan, self._step
        finding = runner(
            Errand(
                mechanism=step.mechanism,
                operator=step.operator,
                arguments=step.arguments,
                channel=self._channel,
                inputs=inputs,
                recipients=tuple(plan.parties.index(name) for name in plan.recipients),
                bindings=bindings,
                gate=self.gate,
                proceed=lambda: self._gate(step.id, False),
                report=lambda done, total: report(step, done, total),
                folder=folder,
                leave=self.leave,
                earlier=self._earlier,
                given=self._given,
            )
        )
        self._opened()
        if (finding is not None) != (plan.parties[self._channel.party] in plan.recipients):
            raise LingquError(f"{step.mechanism} gave a result at the wrong party.", "Report this: it is faulty.")
        self.leave()  # what is left to do is to write the release
        return finding

    def leave(self) -> None:
        """The last word is said; a second time changes nothing.  LingquError when no gate was asked."""
        self._opened()
        farewell, self._farewell = self._farewell, None
        if farewell is not None:
            farewell()

    def _opened(self) -> None:
        if not self._open:
            mechanism = self._step.mechanism
            raise LingquError(f"{mechanism} asked no gate before its result.", "Report this: it is faulty.")

    def gate(self) -> None:
        """This party's gate, then every other's: each says that its own has let the run pass."""
        self._gate(self._step.id, True)
        others = [peer for peer in range(len(self._channel.parties)) if peer != self._channel.party]
        for peer in others:
            self._channel.send(peer, b"", Tag.DOCUMENT)
        for peer in others:
            self._channel.receive(peer, 0, Tag.DOCUMENT)
        self._open = True


class _Scan(Scan):
    """The columns of a scan, read when a step first looks at them: what was prepared before needs no rows."""

    def __init__(self, local: LocalRows, step: Step) -> None:
        self._local = local
        self._step = step

    @cached_property
    def _columns(self) -> Scan:
        found = self._local(self._step)
        return found if isinstance(found, Scan) else Held(found)

    @property
    def rows(self) -> int:
        """As the scan says."""
        return self._columns.rows

    def batches(self, names: Sequence[str]) -> Iterator[Columns]:
        """As the scan's."""
        return self._columns.batches(names)

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


def _released(
    plan: Plan, step: Step, finding: Any, name: str, job: str, gate: Gate, beside: Path | None
) -> Release | None:
    """The release at a recipient, behind this party's gate once more: a revocation counts until the end."""
    gate(step.id, True)
    if name not in plan.recipients:
        return None
    if not isinstance(finding, Finding):
        raise Refused("The plan releases what no run has found.", "Run the signed plan.", term="plan")
    return found(plan, step, finding, recipient=name, job=job, beside=beside)


@contextlib.contextmanager
def _own(folder: Path) -> Iterator[Path]:
    """The contract's folder, this process's alone; another one, which is kept for nobody, while a run is in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with tempfile.TemporaryDirectory(prefix="run-", dir=Path.cwd()) as other:
                yield Path(other)
            return
        yield folder
    finally:
        os.close(descriptor)
