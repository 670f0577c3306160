"""How the platform intersects registered tables: the scanned keys of each owner, part by part, to the recipients.

The plan's step "intersect" has `TableArguments`, which follow from the program and the catalogue alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from lingqu.kinds.documents import Document
from lingqu.kinds.errands import Columns, Errand, Finding, Scanned
from lingqu.kinds.errors import BadInput, Refused
from lingqu.psi.agreement import Result, Terms
from lingqu.psi.elements import Elements
from lingqu.psi.keys import key_array
from lingqu.psi.parts import PART, filled
from lingqu.psi.protocols import exchange
from lingqu.psi.session import open_session
from lingqu.psi.spill import column_elements

BATCH = 1 << 16
FOUND = "found"
"""The finding's column of a result that is a number."""


class Side(Document):
    """One party's table.  rows: as published.  shown: scanned columns of which a recipient gets the rows in both."""

    rows: Annotated[int, Field(ge=0)]
    keys: Annotated[tuple[Scanned, ...], Field(min_length=1)]
    shown: tuple[str, ...] = ()


class TableArguments(Document):
    """sides: in the order of the parties.  forms: the normal form of each key column.  most: rows in a part, about."""

    sides: Annotated[tuple[Side, ...], Field(min_length=2)]
    forms: tuple[str, ...]
    result: Result
    most: Annotated[int, Field(ge=1)] = PART

    def arguments(self) -> dict[str, JsonValue]:
        """As a step's arguments."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class Part:
    """One party's part of a step: the arguments, its own side, and what its scan gave."""

    arguments: TableArguments
    side: Side
    scan: Columns

    @classmethod
    def of(cls, errand: Errand) -> Part:
        """Refused (term "plan") where another party's table is here, or its own is not."""
        arguments = TableArguments.parse(json.dumps(errand.arguments))
        party = errand.channel.party
        own = errand.inputs[party]
        if own is None or any(columns is not None for place, columns in enumerate(errand.inputs) if place != party):
            raise Refused("Each party intersects its own table.", "Run the signed plan.", term="plan")
        return cls(arguments, arguments.sides[party], own)

    @property
    def rows(self) -> tuple[int, ...]:
        """Of every party's table, as published."""
        return tuple(side.rows for side in self.arguments.sides)

    def batches(self) -> Iterator[list[pa.Array]]:
        """The key columns, some rows at a time."""
        for start in range(0, self.side.rows, BATCH):
            yield self._keys(slice(start, min(start + BATCH, self.side.rows)))

    def elements(self) -> Elements:
        """All keys at once; BadInput for one that is not in its form, without the row."""
        return column_elements(self._keys(slice(self.side.rows)), self.arguments.forms)

    def found(self, rows: NDArray[np.int64]) -> Finding:
        """A recipient's rows that are in the result."""
        missing = [name for name in self.side.shown if name not in self.scan]
        if missing:
            raise BadInput(f"The scan gave no column {missing[0]}.", "Run the signed plan.")
        return Finding({name: self.scan[name][rows] for name in self.side.shown})

    def _keys(self, rows: slice) -> list[pa.Array]:
        return [key_array(key, self.scan, rows) for key in self.side.keys]


def run(errand: Errand) -> Finding | None:
    """Intersect the two tables of a step's arguments; a recipient's rows, or the number of keys in both.

    Cost and disclosure: as the mechanism declares for the step's operation.  Memory: the scanned columns, and a part.
    Refused (term "set-size") when the peer brings another number of rows than published; BadInput for a key that is
    not in its form, which all parties hear, without the row.
    """
    part = Part.of(errand)
    rows, party = part.rows, errand.channel.party
    terms = Terms(
        protocol=errand.mechanism,
        forms=part.arguments.forms,
        result=part.arguments.result,
        recipients=errand.recipients,
        largest=max(rows),
    )
    session = open_session(
        errand.channel,
        part.batches,
        part.side.rows,
        terms,
        errand.folder / errand.operator,
        peer_rows=rows[1 - party],
        most=part.arguments.most,
    )
    errand.gate()
    session.run(errand.channel, report=errand.report, proceed=errand.proceed)
    errand.leave()
    found, size = session.rows(), session.size()
    session.discard()
    if size is not None:
        return Finding({FOUND: np.array([size], np.int64)})
    return None if found is None else part.found(found)


def run_many(errand: Errand) -> Finding | None:
    """Intersect the tables of three or more owners; a recipient's rows whose key all of them have.

    Every set is filled with random elements to its table's number of rows.  Cost and disclosure: as the mechanism
    declares.  Memory: the scanned columns and their keys, and at the leader a store of each other's size.
    ProtocolViolation for a party that brings another number of elements than published; BadInput as for `run`.
    """
    part = Part.of(errand)
    terms = Terms(
        protocol=errand.mechanism,
        forms=part.arguments.forms,
        recipients=errand.recipients,
        largest=max(part.rows),
        sizes=part.rows,
    )
    own = part.elements()
    errand.gate()
    heard = exchange(errand.channel, filled(own, part.side.rows), terms)
    errand.report(part.side.rows, part.side.rows)
    if heard is None:
        return None
    errand.leave()
    found = heard.compare()
    return part.found(own.rows_of(found[found < len(own)]))
