"""What the client gives back: explanations and released results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lingqu.kinds.disclosure import Statement
from lingqu.kinds.errors import BadInput
from lingqu.kinds.programs import Value
from lingqu.node.remote import Remote
from lingqu.node.replies import JobView, PlanView, withheld_words
from lingqu.node.rows import Rows
from lingqu.plan.explain import Line, Measured, Weighed, explain, explain_text
from lingqu.plan.plan import Plan

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from lingqu.engine.release import Release
    from lingqu.ml import ModelRelease

SHOWN_ROWS = 20


class Explanation:
    """A plan before it runs: `.text` to read, `.statement` of who learns what, `.lines` with a cost a step.

    >>> print(query.explain())  # doctest: +SKIP
    """

    def __init__(self, view: PlanView) -> None:
        self.view = view

    @property
    def plan(self) -> Plan:
        """The plan that a contract over this would carry."""
        return self.view.plan

    @property
    def text(self) -> str:
        """Steps, techniques, reasons, disclosures and estimated costs, as the node wrote them."""
        return self.view.explain

    @property
    def statement(self) -> Statement:
        """What each party will learn, and what nobody does."""
        return self.view.statement

    @property
    def lines(self) -> list[Line]:
        """One entry a step: technique, reason, disclosure, rounds, bytes, seconds."""
        return explain(self.plan, None, self.view.latency, self.view.bandwidth)

    @property
    def mechanisms(self) -> tuple[Weighed, ...]:
        """The installed mechanisms, the chosen one first: what each would cost, or why it does not fit."""
        return self.view.weighed

    def beside(self, result: Result) -> str:
        """The text with a run's measured figures under the estimates."""
        measured = {s.id: Measured(s.rounds, s.bytes, s.seconds) for s in result.receipt.steps}
        return explain_text(self.plan, measured, self.view.weighed, self.view.latency, self.view.bandwidth)

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        head = ("step", "technique", "why", "discloses", "rounds", "bytes", "seconds")
        rows = []
        for line in self.lines:
            figures = (str(line.rounds), f"{line.bytes:,}", f"{line.seconds:.3f}")
            rows.append((line.step, line.technique, line.reason, line.disclosure, *figures))
        learned = [
            (party, "; ".join(fact.about for fact in facts) or "nothing")
            for party, facts in self.statement.learned.items()
        ]
        learned.append(("nobody", "; ".join(self.statement.withheld)))
        return html_table(head, rows) + html_table(("party", "learns"), learned)


class Result:
    """A released result: a table of groups, or a model.

    receipt: the job, with the figures measured for each step.  release: the document as the node keeps it.
    """

    def __init__(self, remote: Remote, job: JobView, release: Release) -> None:
        self._remote = remote
        self.receipt = job
        self.release = release

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.release.columns)

    @property
    def withheld(self) -> tuple[tuple[Value | None, ...], ...]:
        """Keys of possible groups that are not in the result: too small, or absent; which of the two nobody knows."""
        return self.release.withheld

    @property
    def note(self) -> str:
        """What was not released and why, in words; empty where everything was."""
        return withheld_words(self.release)

    @cached_property
    def model(self) -> ModelRelease:
        """The trained model; BadInput when this is a table, or when the model was withheld."""
        return self._remote.model(self.receipt, self.release)

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self._remote, self.release)

    def to_arrow(self) -> pa.Table:
        """The rows as a pyarrow Table: int64, float64, string, bool and date32 columns.

        All of them are in memory then; `write` needs none for a large result.
        """
        return self._rows.table()

    def write(self, file: str | Path) -> None:
        """Write the rows to a .csv or .parquet file, which is there whole or not at all.

        A large result, such as an intersection of millions of rows, is streamed from the node; its bytes are checked
        against the digest that the ledger holds.  BadInput for another kind of file, or when this is a model.
        """
        self._rows.write(Path(file))

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame; BadInput naming the extra when pandas is not installed."""
        _require("pandas")
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_polars(self) -> pl.DataFrame:
        """The rows as a Polars DataFrame; BadInput naming the extra when Polars is not installed."""
        _require("polars")
        import polars

        frame = polars.from_arrow(self.to_arrow())
        assert isinstance(frame, polars.DataFrame)
        return frame

    def __len__(self) -> int:
        return self.release.count

    def _cells(self) -> tuple[tuple[str, ...], list[list[str]]]:
        table = self._rows.head(SHOWN_ROWS)
        shown = table.to_pylist()
        return tuple(table.column_names), [[_cell(row[name]) for name in table.column_names] for row in shown]

    def _below(self) -> str:
        more = len(self) - SHOWN_ROWS
        return (f"… {more} more rows\n" if more > 0 else "") + self.note

    def __repr__(self) -> str:
        if self.release.kind == "model":
            return f"<Result of job {self.receipt.id}: a model; see .model>"
        head, rows = self._cells()
        widths = [max(len(line[place]) for line in [head, *rows]) for place in range(len(head))]
        rule = ["-" * width for width in widths]
        lines = ["  ".join(map(str.ljust, line, widths)) for line in [head, rule, *rows]]
        return "\n".join([*lines, self._below()]).rstrip()

    def _repr_html_(self) -> str:
        if self.release.kind == "model":
            return f"<p>{escape(repr(self))}</p>"
        head, rows = self._cells()
        return html_table(head, rows) + f"<p>{escape(self._below())}</p>"


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table for notebooks; every cell is escaped."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _require(package: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise BadInput(f"{package} is not installed.", f"Install it: pip install 'lingqu[{package}]'")
