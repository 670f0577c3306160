"""Released results for people and as files: tables, what was withheld, model cards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import RenderableType
from rich.markdown import Markdown
from rich.text import Text

from lingqu.cli import show
from lingqu.kinds.errors import BadInput
from lingqu.node.replies import released_table, withheld_words

if TYPE_CHECKING:
    from lingqu.engine.release import Release
    from lingqu.ml import ModelRelease
    from lingqu.node.replies import JobView


def render(release: Release, model: ModelRelease | None, job: JobView) -> list[RenderableType]:
    """A result as people read it: the table or the model card, what was withheld, what it cost."""
    if model is not None:
        return [Markdown(_card(model)), Text(_cost(job), style="dim")]
    rows = released_table(release)
    figures = [name for name, kind in zip(rows.column_names, rows.schema.types, strict=True) if _is_number(kind)]
    table = show.grid(*(show.safe(name) for name in rows.column_names), right=map(show.safe, figures))
    for row in release.table():
        table.add_row(*map(_cell, row))
    return [table, Text(show.safe(withheld_words(release)), style="yellow"), Text(_cost(job), style="dim")]


def write(release: Release, model: ModelRelease | None, file: Path) -> None:
    """Write a result by the file's ending: .csv or .parquet a table, .md a model's card, .json everything."""
    kind = file.suffix.lower()
    if kind == ".json":
        file.write_bytes((model or release).canonical())
    elif kind == ".md" and model is not None:
        file.write_text(_card(model), encoding="utf-8")
    elif kind == ".csv" and model is None:
        from pyarrow import csv

        csv.write_csv(released_table(release), file)
    elif kind == ".parquet" and model is None:
        from pyarrow import parquet

        parquet.write_table(released_table(release), file)
    else:
        kinds = ".md or .json" if model is not None else ".csv, .parquet or .json"
        raise BadInput(f"This result is not written as {file.name!r}.", f"Name a file that ends in {kinds}.")


def _card(model: ModelRelease) -> str:
    from lingqu.ml import model_card

    return model_card(model).to_markdown()


def _is_number(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_integer(kind) or types.is_floating(kind))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.2f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return show.safe(str(value))


def _cost(job: JobView) -> str:
    rounds, sent = sum(step.rounds for step in job.steps), sum(step.bytes for step in job.steps)
    seconds = sum(step.seconds for step in job.steps)
    return f"Job {show.short(job.id)}: {rounds} rounds, {show.amount(sent)} sent by this party, {seconds:.1f} s."
