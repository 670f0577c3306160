"""Live progress of a job: a table that repaints on a terminal, a line per finished step elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from lingqu.cli import show

if TYPE_CHECKING:
    from lingqu.node.replies import JobView


class Progress:
    """Shows each state of a job as it arrives; use as a context manager."""

    def __init__(self, console: Console, job: JobView) -> None:
        self._console = console
        self._told: set[tuple[str, str]] = set()
        self._live = Live(console=console, transient=True, refresh_per_second=8) if console.is_terminal else None
        self._job = job

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        self.update(self._job)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def update(self, job: JobView) -> None:
        """Show a newer state."""
        if self._live is not None:
            done = sum(step.state == "done" for step in job.steps)
            head = Text(f"Job {show.short(job.id)}: {job.state}, {done} of {len(job.steps)} steps")
            self._live.update(Group(head, show.steps(job)))
            return
        if job.state == "admitting":
            self._tell("job", job.state, f"Job {show.short(job.id)}: asking every party")
        for step in job.steps:
            if step.state == "done":
                figures = f"{step.rounds} rounds, {show.amount(step.bytes)}, {step.seconds:.2f} s"
                self._tell(step.id, step.state, f"  {step.id} ({step.operator}): {figures}")
            elif step.of:
                self._tell(step.id, str(step.rows), f"  {step.id} ({step.operator}): {step.rows:,} of {step.of:,} rows")

    def close(self) -> None:
        """Leave the screen as the answer should find it; safe to call twice."""
        if self._live is not None:
            self._live.stop()

    def _tell(self, step: str, state: str, line: str) -> None:
        if (step, state) not in self._told:
            self._told.add((step, state))
            self._console.print(line, soft_wrap=True)
