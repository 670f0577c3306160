"""The arguments of the step "lookup", all of them public: what the owner scans, and what the asker gets of a row."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from lingqu.kinds.documents import Document
from lingqu.kinds.errands import Scanned
from lingqu.kinds.schema import ColumnType

FOUND = "found"
"""The finding's and the result's column that says whether the table has a key."""
ASK = "lookup_table"
"""The operation that a mechanism must offer."""


class LookupArguments(Document):
    """asker: the place of who asks among the parties.  rows: of the table, as published.

    keys, columns: as scanned.  forms, queries, width: as in the specification.
    """

    table: str
    asker: Annotated[int, Field(ge=0, le=1)]
    rows: Annotated[int, Field(ge=0)]
    keys: tuple[Scanned, ...]
    forms: tuple[str, ...]
    columns: tuple[Scanned, ...]
    queries: int
    width: int

    def arguments(self) -> dict[str, JsonValue]:
        """As a step's arguments."""
        return self.model_dump(mode="json")


def key_type(kind: ColumnType) -> ColumnType:
    """The type in which an asker gives keys and gets them back: dates as texts."""
    return ColumnType.INT if kind is ColumnType.INT else ColumnType.STRING
