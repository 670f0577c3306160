"""What the demo says and checks: a console, a progress line, and the checks point by point."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from lingqu.kinds.errors import Refused
from lingqu.node.remote import Progress as Following
from lingqu.node.remote import Remote
from lingqu.node.replies import JobView
from scenarios.census import questions

LOCKS = "The locks hold"
POINTS = (
    "{nodes} nodes, {nodes} processes",
    "Paired by invitation, mutual TLS 1.3",
    "Tables registered; the catalogue shows no row",
    "Two questions with a purpose",
    "Plans, and who will learn what",
    "Both owners sign; before that nothing runs",
    "The answers, released to the analyst only",
    LOCKS,
    "The history proves itself offline",
)


class Story:
    """What the demo has shown so far: a console, a progress line, and the checks."""

    def __init__(self, console: Console, nodes: int = 3) -> None:
        number = {2: "two", 3: "three"}[nodes]
        self.points = tuple(point.format(nodes=number).capitalize() if "{" in point else point for point in POINTS)
        self.console = console
        self.checks: list[tuple[int, str, bool]] = []
        self.kept: list[Table] = []
        self.point = 0
        self.progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24), TimeElapsedColumn(), console=console
        )
        self._task = self.progress.add_task("starting", total=len(self.points))

    def begin(self) -> None:
        """Open the next point of the story."""
        self.point += 1
        self.progress.update(self._task, completed=self.point - 1, description=self.points[self.point - 1])
        self.console.print(f"\n[bold cyan]{self.point}  {self.points[self.point - 1]}[/]")

    def doing(self, what: str) -> None:
        """Say beside the bar what is under way."""
        self.progress.update(self._task, description=what)

    def say(self, *parts: Any, sep: str = " ") -> None:
        self.console.print(*parts, sep=sep)

    def keep(self, table: Table) -> None:
        """Show a table that belongs into the picture too."""
        self.kept.append(table)
        self.say(table)

    def check(self, what: str, holds: bool) -> None:
        """Record and show whether something holds."""
        self.checks.append((self.point, what, holds))
        self.console.print(marked(what, holds))

    def refused(self, what: str, term: str, act: Callable[[], object]) -> None:
        """Check that an act is refused under exactly this term."""
        try:
            act()
        except Refused as refusal:
            said = f"{refusal.party}: " if refusal.party else ""
            self.check(f"{what}: refused, term [{refusal.term}]. {said}{refusal.cause}", refusal.term == term)
        else:
            self.check(f"{what}: was not refused", False)

    def follow(self, what: str) -> Following:
        """A progress callback for a job."""

        def update(view: JobView) -> None:
            ended = sum(step.state == "done" for step in view.steps)
            running = next((step.operator for step in view.steps if step.state != "done"), "release")
            self.doing(f"{what}: {running} ({ended} of {len(view.steps)} steps)")

        return update

    def picture(self, file: Path) -> None:
        """Write the answers, the locks and the nine points as one SVG that loads nothing from elsewhere."""
        console = Console(record=True, file=io.StringIO(), width=104, highlight=False)
        for table in self.kept:
            table.box = box.SIMPLE_HEAD  # upright lines need a font whose widths the viewer knows
        *answers, points = self.kept
        console.print(*answers, sep="\n")
        console.print("[bold]The locks[/]")
        for point, what, holds in self.checks:
            if self.points[point - 1] == LOCKS:
                named = re.sub(r"(?<=\])\. .*", "", what, flags=re.DOTALL)  # the term, without the sentence after it
                console.print(marked(named, holds), no_wrap=True, overflow="ellipsis")
        console.print("", points)
        svg = console.export_svg(title="make demo")
        file.write_text(re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")

    def finish(self) -> bool:
        """Show the checks point by point; True when all hold."""
        self.progress.update(self._task, completed=len(self.points), description="done")
        table = Table("point", "what the demo showed", "checks", title="The nine points", title_justify="left")
        for number, name in enumerate(self.points, 1):
            held = [ok for point, _, ok in self.checks if point == number]
            mark = "[green]hold[/]" if held and all(held) else "[bold red]FAIL[/]"
            table.add_row(str(number), name, f"{sum(held)} of {len(held)} {mark}")
        self.keep(table)
        return {point for point, _, _ in self.checks} == set(range(1, len(self.points) + 1)) and all(
            ok for _, _, ok in self.checks
        )


def marked(what: str, holds: bool) -> Text:
    """A check as a line."""
    return Text("  ✓ " if holds else "  ✗ ", style="green" if holds else "bold red") + Text(what, style="default")


def finished(
    analyst: Remote, contract: str, purpose: str = questions.PURPOSE, progress: Following | None = None
) -> Any:
    """Run a contract to its end and return the released result; refusals and failures are raised."""
    job = analyst.follow(analyst.start(contract, purpose).id, progress).checked()
    return analyst.result(job.id)
