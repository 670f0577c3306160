"""Released results for people and as files: tables, what was withheld, model cards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from lingqu.cli import show
from lingqu.kinds.errors import BadInput
from lingqu.node.replies import released_table, withheld_words
from lingqu.node.rows import Rows

if TYPE_CHECKING:
    import pyarrow as pa

    from lingqu.engine.release import Release
    from lingqu.ml import ModelRelease
    from lingqu.node.replies import JobView


SHOWN_ROWS = 20
"""Of a large result, whose rows are no part of its document."""


def render(release: Release, rows: Rows, model: ModelRelease | None, job: JobView) -> list[RenderableType]:
    """A result as people read it: the table or the model card, what was withheld, what it cost."""
    if model is not None:
        return [Markdown(_card(model)), Text(_cost(job), style="dim")]
    if release.attached is not None:
        return _large(rows, job)
    return _small(release, job)


def _large(rows: Rows, job: JobView) -> list[RenderableType]:
    head = rows.head(SHOWN_ROWS)
    below = f"… {len(rows) - head.num_rows:,} more rows; write them with --output FILE.csv or FILE.parquet."
    return [_grid(head, [tuple(row.values()) for row in head.to_pylist()]), Text(below), Text(_cost(job), style="dim")]


def _small(release: Release, job: JobView) -> list[RenderableType]:
    words = show.safe(withheld_words(release))
    table = _grid(released_table(release), list(release.table()))
    return [table, *([Text(words, style="yellow")] if words else []), Text(_cost(job), style="dim")]


def _grid(rows: pa.Table, shown: Sequence[Sequence[Any]]) -> Table:
    figures = [name for name, kind in zip(rows.column_names, rows.schema.types, strict=True) if _is_number(kind)]
    table = show.grid(*(show.safe(name) for name in rows.column_names), right=map(show.safe, figures))
    decimals = [_decimals(column) for column in zip(*shown, strict=True)]
    for row in shown:
        table.add_row(*map(_cell, row, decimals))
    return table


def write(release: Release, rows: Rows, model: ModelRelease | None, file: Path) -> None:
    """Write a result by the file's ending: .csv or .parquet a table, .md a model's card, .json everything.

    BadInput for a large table in .json, whose rows are no part of its document.
    """
    kind = file.suffix.lower()
    if kind == ".json" and release.attached is None:
        file.write_bytes((model or release).canonical())
    elif kind == ".md" and model is not None:
        file.write_text(_card(model), encoding="utf-8")
    elif kind in (".csv", ".parquet") and model is None:
        rows.write(file)
    else:
        tables = ".csv, .parquet or .json" if release.attached is None else ".csv or .parquet"
        kinds = ".md or .json" if model is not None else tables
        raise BadInput(f"This result is not written as {file.name!r}.", f"Name a file that ends in {kinds}.")


def _card(model: ModelRelease) -> str:
    from lingqu.ml import model_card

    return model_card(model).to_markdown()


def _is_number(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(kind) or types.is_floating(kind))


def _decimals(column: Sequence[Any]) -> int:
    """Decimal places of a column's reals: one number for all of them, six digits in the largest."""
    largest = max((abs(value) for value in column if isinstance(value, float)), default=0.0)
    return min(6, max(2, 6 - len(f"{largest:.0f}")))


def _cell(value: Any, decimals: int) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.{decimals}f}" if not value or abs(value) >= 10**-decimals else f"{value:.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return show.safe(str(value))


def _cost(job: JobView) -> str:
    rounds, sent = sum(step.rounds for step in job.steps), sum(step.bytes for step in job.steps)
    seconds = sum(step.seconds for step in job.steps)
    return (
        f"Contract {show.short(job.contract)}, job {show.short(job.id)}: {rounds} rounds, {show.amount(sent)} sent by "
        f"this party, {seconds:.1f} s."
    )
