"""Rows as records: keys in their normal forms, values as JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lingqu.kinds.errands import Columns, Given, Scanned
from lingqu.kinds.errors import BadInput, ProtocolViolation
from lingqu.kinds.schema import ColumnType
from lingqu.lookup.steps import LookupArguments, key_type
from lingqu.pir import Records, key, records
from lingqu.psi import normalise
from lingqu.psi.keys import key_array

Cells = Sequence[str | int | None]
_JSON: dict[ColumnType, type | tuple[type, ...]] = {
    ColumnType.BOOL: bool,
    ColumnType.REAL: (int, float),
    ColumnType.STRING: str,
}
_ARRAYS: dict[ColumnType, Any] = {ColumnType.BOOL: np.bool_, ColumnType.REAL: np.float64, ColumnType.STRING: object}


def owned(arguments: LookupArguments, scanned: Columns) -> Records:
    """The owner's records.  BadInput when two rows have one key, or a row's columns are longer than agreed."""
    parts = [key_array(column, scanned) for column in arguments.keys]
    keys = _joined(parts, arguments.forms)
    values = [_cells(column, scanned) for column in arguments.columns]
    bodies = [
        json.dumps(cells, ensure_ascii=False, separators=(",", ":")).encode()
        for cells in (zip(*values, strict=True) if values else [()] * len(keys))
    ]
    longest = max(map(len, bodies), default=0)
    if longest > arguments.width:
        raise BadInput(
            f"The columns of a row of {arguments.table} take more than the agreed {arguments.width} bytes.",
            "Agree on a greater width, or on fewer columns.",
        )
    try:
        return records(keys, bodies)
    except BadInput:  # which names rows, and every party reads what ends a run
        raise BadInput(
            f"Two rows of {arguments.table} have one key in the agreed forms.",
            "Make them one, or agree on other forms.",
        ) from None


def asked(arguments: LookupArguments, given: Given) -> tuple[list[Cells], list[bytes | None]]:
    """The columns that the asker gave, in the keys' order, and the keys; None where a part is null.

    BadInput when other columns were given, too many keys, a cell of another type, or one that is not in its form.
    """
    titles = [column.title for column in arguments.keys]
    if set(given.columns) != set(titles):
        raise BadInput(f"Keys of {', '.join(sorted(given.columns))} were given.", f"Give {', '.join(titles)}.")
    columns = [list(given.columns[title]) for title in titles]
    if len(columns[0]) > arguments.queries:
        raise BadInput(
            f"{len(columns[0])} keys were given, a run has {arguments.queries} queries.", "Ask in several runs."
        )
    parts = []
    for column, cells in zip(arguments.keys, columns, strict=True):
        wanted = int if key_type(column.type) is ColumnType.INT else str
        if any(cell is not None and type(cell) is not wanted for cell in cells):
            raise BadInput(f"A key of {column.title} is not of its type.", f"Give it as {wanted.__name__}, or null.")
        parts.append(pa.array(cells, pa.int64() if wanted is int else pa.large_string()))
    return list(columns), _joined(parts, arguments.forms)


def read(arguments: LookupArguments, bodies: Sequence[bytes | None], owner: str) -> Mapping[str, NDArray[Any]]:
    """The finding's value columns; ProtocolViolation when the owner serves what is no row of its table."""
    rows = [None if body is None else _decoded(arguments, body, owner) for body in bodies]
    found: dict[str, NDArray[Any]] = {}
    for place, column in enumerate(arguments.columns):
        cells = [None if row is None else row[place] for row in rows]
        kind = _ARRAYS.get(column.type, np.int64)
        filler = "" if kind is object else 0
        found[f"value{place}"] = np.array([filler if cell is None else cell for cell in cells], kind)
        found[f"value{place}_null"] = np.array([cell is None for cell in cells], bool)
    return found


def _decoded(arguments: LookupArguments, body: bytes, owner: str) -> list[Any]:
    try:
        cells = json.loads(body)
        fits = isinstance(cells, list) and len(cells) == len(arguments.columns)
        fits = fits and all(
            cell is None or _fits(column, cell) for column, cell in zip(arguments.columns, cells, strict=True)
        )
    except (ValueError, RecursionError):
        fits = False
    if not fits:
        raise ProtocolViolation(f"{owner} serves what is no row of {arguments.table}.", "Report it to the owner.")
    return list(cells)


def _fits(column: Scanned, cell: Any) -> bool:
    if isinstance(cell, bool) != (column.type is ColumnType.BOOL):
        return False
    if isinstance(cell, int) and not -(2**63) <= cell < 2**63:
        return False
    return isinstance(cell, _JSON.get(column.type, int))


def _joined(parts: Sequence[pa.Array], forms: Sequence[str]) -> list[bytes | None]:
    """One key a row of all its parts in their forms; None where one is null."""
    try:
        normal = [normalise(part, form).to_pylist() for part, form in zip(parts, forms, strict=True)]
    except BadInput:  # which names a row, and every party reads what ends a run
        raise BadInput(
            f"A key is not in its form: {', '.join(forms)}.", "Correct it, or agree on other forms."
        ) from None
    return [None if None in row else key(*row) for row in zip(*normal, strict=True)]


def _cells(column: Scanned, scanned: Columns) -> list[Any]:
    values: list[Any] = scanned[column.value].tolist()
    if column.nulls is None:
        return values
    return [None if gone else cell for cell, gone in zip(values, scanned[column.nulls].tolist(), strict=True)]
