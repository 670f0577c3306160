"""What is asked to be intersected: the text of a program of kind "intersect"."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lingqu.contract.terms import Technique
from lingqu.kinds.documents import Document
from lingqu.kinds.schema import AssetId, ColumnName
from lingqu.psi import PART

MOST_TABLES = 16


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
    """tables: of as many organisations.  forms: the normal form of each key, with its version (`lingqu.psi.forms`).

    result "elements": a recipient gets its own rows whose key is in all tables; "size": the number of keys in both.
    part: rows of the larger table in a part, about: memory, and what a crash costs.
    published: of two tables, the one whose owner receives nothing is published once to the other as tags, which both
    keep for the contract: for a few keys against very many.  mechanism: the one that must run it; None: the planner
    chooses.
    Who the recipients are stands in the contract.
    """

    tables: Annotated[tuple[TableSpec, ...], Field(min_length=2, max_length=MOST_TABLES)]
    forms: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)]
    result: Literal["elements", "size"] = "elements"
    part: Annotated[int, Field(ge=16, le=1 << 24)] = PART
    published: bool = Field(default=False, exclude_if=lambda published: not published)
    mechanism: Technique | None = Field(default=None, exclude_if=lambda name: name is None)

    @model_validator(mode="after")
    def _consistent(self) -> IntersectSpec:
        if len({side.table for side in self.tables}) != len(self.tables):
            raise ValueError("a table is intersected with itself")
        if any(len(side.keys) != len(self.forms) for side in self.tables):
            raise ValueError("all tables need as many key columns as there are forms")
        for side in self.tables:
            shown = (*side.keys, *side.columns)
            if len(set(shown)) != len(shown):
                raise ValueError(f"{side.table}: a column is named twice")
        if self.result == "size" and any(side.columns for side in self.tables):
            raise ValueError("a size has no columns")
        if len(self.tables) > 2 and (self.result == "size" or self.published):
            raise ValueError("of more than two tables there are elements alone, and none is published")
        if self.published and self.result == "size":
            raise ValueError("against a published table there are elements alone")
        return self
