"""Keys as people have them: values, tuples, columns, frames, files."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lingqu.kinds.errands import MOST_GIVEN, Given
from lingqu.kinds.errors import BadInput
from lingqu.kinds.schema import Asset, ColumnType
from lingqu.lookup.spec import LookupSpec
from lingqu.lookup.steps import key_type
from lingqu.psi import normalise


def given(keys: Any, spec: LookupSpec, asset: Asset) -> Given:
    """The keys of a run, checked.

    keys: one value or tuple a key, a mapping of columns by name, or a frame of pandas, polars or pyarrow with them.
    BadInput names the column and the place of a key that does not fit, never its value.
    """
    columns = _columns(keys, spec.keys)
    missing = [title for title in spec.keys if title not in columns]
    if missing:
        raise BadInput(f"The keys have no column {missing[0]!r}.", f"Give {', '.join(spec.keys)}.")
    cells: dict[str, tuple[str | int | None, ...]] = {}
    for title, form in zip(spec.keys, spec.forms, strict=True):
        column = asset.column(title)
        whole = column is not None and key_type(column.type) is ColumnType.INT
        cells[title] = tuple(_cell(cell, title, place, whole) for place, cell in enumerate(columns[title]))
        normalise(list(cells[title]), form)
    most = max(map(len, cells.values()))
    if most > min(spec.queries, MOST_GIVEN):
        raise BadInput(f"{most} keys are more than the {spec.queries} of a run.", "Ask in several runs.")
    return Given(columns=cells)


def read_keys(path: Path) -> Mapping[str, Sequence[Any]]:
    """The columns of a CSV or Parquet file; BadInput when it cannot be read."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    try:
        if path.suffix == ".parquet":
            table = pyarrow.parquet.read_table(path)
        else:
            header = path.read_text(encoding="utf-8-sig").partition("\n")[0]
            types = dict.fromkeys((name.strip().strip('"') for name in header.split(",")), pa.string())
            convert = pyarrow.csv.ConvertOptions(
                column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False
            )
            table = pyarrow.csv.read_csv(path, convert_options=convert)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise BadInput(f"{path} cannot be read as keys: {str(error).splitlines()[0]}", "Use CSV or Parquet.") from None
    columns: Mapping[str, Sequence[Any]] = table.to_pydict()
    return columns


def _columns(keys: Any, titles: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    for name, arguments in (("to_pydict", {}), ("to_dict", {"orient": "list"}), ("to_dict", {"as_series": False})):
        method = getattr(keys, name, None)
        if method is None:
            continue
        try:
            columns: Mapping[str, Sequence[Any]] = method(**arguments)
        except TypeError:  # the frame of another library
            continue
        return columns
    if isinstance(keys, Mapping):
        return {str(title): list(cells) for title, cells in keys.items()}
    if isinstance(keys, str) or not hasattr(keys, "__iter__"):
        raise BadInput("The keys are no list.", "Give a list of keys, columns by name, or a frame.")
    rows = [one if isinstance(one, tuple) else (one,) for one in keys]
    if any(len(row) != len(titles) for row in rows):
        raise BadInput(f"A key has {len(titles)} parts: {', '.join(titles)}.", "Give a tuple of them for each key.")
    return {title: [row[place] for row in rows] for place, title in enumerate(titles)}


def _cell(cell: Any, title: str, place: int, whole: bool) -> str | int | None:
    """A key's part as it is sent to the node: a whole number, or text; dates as YYYY-MM-DD."""
    if cell is None or cell != cell:  # pandas writes null as a number that is none
        return None
    if isinstance(cell, datetime.datetime):
        cell = cell.date()
    if isinstance(cell, datetime.date):
        cell = cell.isoformat()
    if not whole:
        return str(cell)
    try:
        number = int(cell)
    except (TypeError, ValueError):
        number = None
    if number is None or (number != cell and not isinstance(cell, str)):
        raise BadInput(f"Key {place + 1} of {title} is no whole number.", "Correct it.")
    return number
