"""Errands: steps that a mechanism carries out itself over a channel, instead of operations on shares.

A mechanism names the function that runs its errands among the entry points `lingqu.runners`, by its declared name.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue, model_validator

from lingqu.kinds.channel import Channel
from lingqu.kinds.documents import Document
from lingqu.kinds.programs import Value
from lingqu.kinds.schema import ColumnName, ColumnType

Columns = Mapping[str, NDArray[np.generic]]
"""Columns by name, all of one length."""
BATCH = 1 << 16


class Scan(Mapping[str, NDArray[np.generic]]):
    """Columns of a table: `batches` gives some rows at a time; a column that is looked at by its name is held whole."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many."""

    @abstractmethod
    def batches(self, names: Sequence[str]) -> Iterator[Columns]:
        """Some columns in the order of their rows, at most `BATCH` rows at a time, from the first row on every time."""

    def whole(self) -> Columns:
        """All columns, in memory."""
        return {name: self[name] for name in self}

    def __contains__(self, name: object) -> bool:
        """Whether there is such a column, without reading it."""
        return any(name == known for known in self)


class Held(Scan):
    """Columns that are in memory."""

    def __init__(self, columns: Columns) -> None:
        self._columns = {name: np.asarray(values) for name, values in columns.items()}

    @property
    def rows(self) -> int:
        """Of the first column; they are of one length."""
        return len(next(iter(self._columns.values()), ()))

    def batches(self, names: Sequence[str]) -> Iterator[Columns]:
        """Slices."""
        for start in range(0, self.rows, BATCH):
            yield {name: self._columns[name][start : start + BATCH] for name in names}

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class Scanned(Document):
    """A column as an owner's scan gives it.  title: its name in the table.  value: the scanned column with its values.

    nulls: the scanned boolean that is true where it is null, or None.
    """

    title: str
    value: str
    type: ColumnType
    nulls: str | None = None


MOST_GIVEN = 4096


class Given(Document):
    """What the party that asks gives one run for itself alone, by column; it never leaves that party in the clear."""

    columns: dict[ColumnName, Annotated[tuple[str | int | None, ...], Field(max_length=MOST_GIVEN)]] = Field(
        min_length=1, max_length=16, repr=False
    )

    @model_validator(mode="after")
    def _even(self) -> Given:
        if len({len(cells) for cells in self.columns.values()}) > 1:
            raise ValueError("the columns differ in length")
        return self


@dataclass(frozen=True)
class Errand:
    """One step of a signed plan, as the mechanism that the plan names for it meets it at one compute party.

    mechanism, operator, arguments: the step's; all of them are public and signed.  channel: of the compute parties.
    inputs: what the step's inputs gave here, in order: scanned columns where this party owns the table, None elsewhere.
    recipients: the indices of the parties that learn the result.  bindings: values of the program's parameters, public.
    gate: to be asked once, after checks and before anything that lets any party learn something of a result; it returns
    when every compute party's own gate has let the run pass, and raises to stop.  Its cost, 1 round without a byte, is
    part of the declared one.
    proceed: to be asked between the parts of a long errand; raises to stop, as after a revocation.
    report: told how many rows of how many are done.
    leave: called once by a recipient that has said its last word to the others and can do the rest alone, before it
    looks at what it has found: its channel is closed, and to the others the run has ended.  What it does from then on
    takes as long as it takes, and shows to nobody.
    folder: this party's own, for this contract alone: what an errand leaves there is there at the next run, and removed
    once the contract has ended.
    earlier: the folder of another contract over the same program between the same parties, to read alone, or None.
    given: what this party gave the run for itself, where it asked and gave something.
    """

    mechanism: str
    operator: str
    arguments: Mapping[str, JsonValue]
    channel: Channel
    inputs: Sequence[Scan | None]
    recipients: tuple[int, ...]
    bindings: Mapping[str, Value]
    gate: Callable[[], None]
    proceed: Callable[[], None]
    report: Callable[[int, int], None]
    folder: Path
    leave: Callable[[], None] = lambda: None
    earlier: Path | None = None
    given: Given | None = None

    def __repr__(self) -> str:
        return f"Errand({self.mechanism}, {self.operator})"


@dataclass(frozen=True)
class Finding:
    """What a recipient has learnt: columns, from which the release takes what the plan names.

    columns: where they may be more than memory holds, a `Scan`.
    """

    columns: Columns

    def __repr__(self) -> str:
        return f"Finding({', '.join(self.columns)})"


Runner = Callable[[Errand], Finding | None]
"""Carries out an errand; gives the finding at its recipients, None elsewhere."""
