"""How the platform intersects registered tables: the scanned keys of each owner, part by part, to the recipients.

The plan's step "intersect" has `TableArguments`, which follow from the program and the catalogue alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from lingqu.kinds.documents import Document
from lingqu.kinds.errands import Columns, Errand, Finding, Scan, Scanned
from lingqu.kinds.errors import BadInput, Refused
from lingqu.psi.agreement import Result, Terms
from lingqu.psi.crowd import open_crowd
from lingqu.psi.elements import Elements
from lingqu.psi.keys import key_array
from lingqu.psi.parts import PART
from lingqu.psi.session import open_session
from lingqu.psi.spill import column_elements

FOUND = "found"
"""The finding's column of a result that is a number."""


class Chosen(Scan):
    """Some columns of some rows of a scan.  marked: of every row, whether it is one of them."""

    def __init__(self, scan: Scan, names: Sequence[str], marked: NDArray[np.bool_]) -> None:
        self._scan = scan
        self._names = tuple(names)
        self._marked = marked

    @property
    def rows(self) -> int:
        """Of the chosen ones."""
        return int(np.count_nonzero(self._marked))

    def batches(self, names: Sequence[str]) -> Iterator[Columns]:
        """Memory: a batch of the scan."""
        first = 0
        for columns in self._scan.batches(names):
            count = len(columns[names[0]])
            marked = self._marked[first : first + count]
            yield {name: values[marked] for name, values in columns.items()}
            first += count

    def whole(self) -> Columns:
        """All of them, in memory."""
        parts = list(self.batches(self._names))
        if not parts:
            return {name: np.zeros(0, np.int64) for name in self._names}
        return {name: np.concatenate([part[name] for part in parts]) for name in self._names}

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        return self.whole()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


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
    scan: Scan

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
        """The key columns, some rows at a time, from the first row on at every call."""
        names = [name for key in self.side.keys for name in (key.value, key.nulls) if name is not None]
        for columns in self.scan.batches(list(dict.fromkeys(names))):
            yield [key_array(key, columns) for key in self.side.keys]

    def elements(self) -> Elements:
        """All keys at once; BadInput for one that is not in its form, without the row."""
        parts = list(self.batches())
        if not parts:
            return column_elements([pa.array([], pa.large_string()) for _ in self.side.keys], self.arguments.forms)
        return column_elements([pa.concat_arrays(column) for column in zip(*parts, strict=True)], self.arguments.forms)

    def found(self, marked: NDArray[np.bool_]) -> Finding:
        """A recipient's rows that are in the result.  marked: of every row, whether it is one of them."""
        missing = [name for name in self.side.shown if name not in self.scan]
        if missing:
            raise BadInput(f"The scan gave no column {missing[0]}.", "Run the signed plan.")
        return Finding(Chosen(self.scan, self.side.shown, marked))


def run(errand: Errand) -> Finding | None:
    """Intersect the two tables of a step's arguments; a recipient's rows, or the number of keys in both.

    Cost and disclosure: as the mechanism declares for the step's operation.  Memory: a part, some batches of the table,
    and a byte a row; a result of kind "size" has one part.
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
    found, size = session.marked(), session.size()
    session.discard()
    if size is not None:
        return Finding({FOUND: np.array([size], np.int64)})
    return None if found is None else part.found(found)


def run_many(errand: Errand) -> Finding | None:
    """Intersect the tables of three or more owners; a recipient's rows whose key all of them have.

    Part by part, and each part of a set is filled with random elements.  Cost and disclosure: as the mechanism
    declares.  Memory: a part, at the leader with a store of each other's size, some batches of the table, a byte a row.
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
    crowd = open_crowd(errand.channel, part.batches, terms, errand.folder / errand.operator, most=part.arguments.most)
    errand.gate()
    crowd.run(errand.channel, report=errand.report, proceed=errand.proceed)
    errand.leave()
    found = crowd.marked()
    crowd.discard()
    return None if found is None else part.found(found)
