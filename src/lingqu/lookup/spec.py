"""What may be looked up: the text of a program of kind "lookup"."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from lingqu.kinds.documents import Document
from lingqu.kinds.schema import AssetId, ColumnName

MOST_QUERIES = 4096


class LookupSpec(Document):
    """A table that the asking organisation may look into by key.

    keys: the key columns, which identify a row.  forms: the normal form of each, with its version
    (`lingqu.psi.forms`).  columns: what the row of a key gives; none: only whether there is one.
    queries: keys of one run; every run makes that many queries, so that their number says nothing.  width: the most
    bytes that a row's columns take as JSON.  largest: the most rows the table may have; None: as many as it has.
    """

    table: AssetId
    keys: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=16)]
    forms: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)]
    columns: tuple[ColumnName, ...] = ()
    queries: Annotated[int, Field(ge=1, le=MOST_QUERIES)] = 16
    width: Annotated[int, Field(ge=2, le=1024)] = 256
    largest: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> LookupSpec:
        if len(self.keys) != len(self.forms):
            raise ValueError("there are as many forms as key columns")
        shown = (*self.keys, *self.columns)
        if len(set(shown)) != len(shown):
            raise ValueError("a column is named twice")
        return self
