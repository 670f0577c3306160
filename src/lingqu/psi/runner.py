"""How the platform intersects two registered tables: the scanned keys of each owner, part by part, to the recipients.

The plan's step "intersect" has `TableArguments`, which follow from the program and the catalogue alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, JsonValue

from lingqu.kinds.documents import Document
from lingqu.kinds.errands import Columns, Errand, Finding
from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.schema import ColumnType
from lingqu.psi.agreement import Result, Terms
from lingqu.psi.parts import PART
from lingqu.psi.session import open_session

BATCH = 1 << 16
FOUND = "found"
"""The finding's column of a result that is a number."""
KeyType = Literal[ColumnType.STRING, ColumnType.INT, ColumnType.DATE]


class Key(Document):
    """A scanned key column: its name, its type, and the scanned boolean that is true where it is null, or None."""

    value: str
    type: KeyType
    nulls: str | None = None


class Side(Document):
    """One party's table.  rows: as published.  shown: scanned columns of which a recipient gets the rows in both."""

    rows: Annotated[int, Field(ge=0)]
    keys: Annotated[tuple[Key, ...], Field(min_length=1)]
    shown: tuple[str, ...] = ()


class TableArguments(Document):
    """sides: in the order of the parties.  forms: the normal form of each key column.  most: rows in a part, about."""

    sides: tuple[Side, Side]
    forms: tuple[str, ...]
    result: Result
    most: Annotated[int, Field(ge=1)] = PART

    def arguments(self) -> dict[str, JsonValue]:
        """As a step's arguments."""
        return self.model_dump(mode="json")


def run(errand: Errand) -> Finding | None:
    """Intersect the two tables of a step's arguments; a recipient's rows, or the number of keys in both.

    Cost and disclosure: as the mechanism declares for the step's operation.  Memory: the scanned columns, and a part.
    Refused (term "set-size") when the peer brings another number of rows than published; BadInput for a key that is
    not in its form, which all parties hear, without the row.
    """
    arguments = TableArguments.parse(json.dumps(errand.arguments))
    party = errand.channel.party
    side, own = arguments.sides[party], errand.inputs[party]
    if own is None or any(columns is not None for place, columns in enumerate(errand.inputs) if place != party):
        raise Refused("Each party intersects its own table.", "Run the signed plan.", term="plan")
    rows = [one.rows for one in arguments.sides]
    terms = Terms(
        protocol=errand.mechanism,
        forms=arguments.forms,
        result=arguments.result,
        recipients=errand.recipients,
        largest=max(rows),
    )
    session = open_session(
        errand.channel,
        lambda: _batches(side, own),
        side.rows,
        terms,
        errand.folder / errand.operator,
        peer_rows=rows[1 - party],
        most=arguments.most,
    )
    errand.gate()
    session.run(errand.channel, report=errand.report, proceed=errand.proceed)
    found, size = session.rows(), session.size()
    session.discard()
    if size is not None:
        return Finding({FOUND: np.array([size], np.int64)})
    return None if found is None else Finding({name: _shown(own, name)[found] for name in side.shown})


def _shown(own: Columns, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    if name not in own:
        raise BadInput(f"The scan gave no column {name}.", "Run the signed plan.")
    return own[name]


def _batches(
    side: Side, own: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]
) -> Iterator[list[pa.Array]]:
    for start in range(0, side.rows, BATCH):
        yield [_array(key, own, slice(start, min(start + BATCH, side.rows))) for key in side.keys]


def _array(key: Key, own: Columns, rows: slice) -> pa.Array:
    """A batch of a key column as its form takes it."""
    values = own[key.value][rows]
    mask = None if key.nulls is None else own[key.nulls][rows].astype(np.bool_)
    if key.type is ColumnType.STRING:
        return pa.array(values, pa.large_string(), mask=mask)
    array = pa.array(values, pa.int64(), mask=mask)
    return array.cast(pa.int32()).cast(pa.date32()) if key.type is ColumnType.DATE else array
