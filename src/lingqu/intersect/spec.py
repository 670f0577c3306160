"""What is asked to be intersected: the text of a program of kind "intersect"."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from lingqu.kinds.documents import Document
from lingqu.kinds.schema import ColumnName
from lingqu.psi import PART

AssetId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,30}[a-z0-9]/[\w-]{1,64}$")]


class TableSpec(Document):
    """One organisation's table.

    keys: its key columns, in the order of the forms.  columns: what its owner, where it is a recipient, gets of its own
    rows beside the keys.  largest: the most rows that the table may have; None: as many as it has.
    """

    table: AssetId
    keys: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=16)]
    columns: tuple[ColumnName, ...] = ()
    largest: Annotated[int, Field(ge=0)] | None = None


class IntersectSpec(Document):
    """forms: the normal form of each key column, with its version (`lingqu.psi.forms`).

    result "elements": a recipient gets its own rows whose key is in both tables; "size": the number of keys in both.
    part: rows of the larger table in a part, about: memory, and what a crash costs.
    Who the recipients are stands in the contract.
    """

    tables: tuple[TableSpec, TableSpec]
    forms: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)]
    result: Literal["elements", "size"] = "elements"
    part: Annotated[int, Field(ge=16, le=1 << 24)] = PART

    @model_validator(mode="after")
    def _consistent(self) -> IntersectSpec:
        first, second = self.tables
        if first.table == second.table:
            raise ValueError("a table is intersected with itself")
        if not len(first.keys) == len(second.keys) == len(self.forms):
            raise ValueError("both tables need as many key columns as there are forms")
        for side in self.tables:
            shown = (*side.keys, *side.columns)
            if len(set(shown)) != len(shown):
                raise ValueError(f"{side.table}: a column is named twice")
        if self.result == "size" and (first.columns or second.columns):
            raise ValueError("a size has no columns")
        return self
