"""The arguments of the step "release": how opened values become a result."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from lingqu.kinds.documents import Document
from lingqu.kinds.parties import PartyName
from lingqu.kinds.schema import ColumnType


class ReleasedKey(Document):
    """How an opened key value is read.

    name: of the sealed value.  kind "codes": place among `categories`; "number": value plus `offset`.
    absent: the word that stands for null.  scale: of a decimal, digits after the point.
    """

    name: str
    type: ColumnType
    kind: Literal["codes", "number"]
    categories: tuple[str, ...] = ()
    offset: int = 0
    absent: int
    scale: Annotated[int, Field(ge=0, le=38)] = 0


class ReleasedColumn(Document):
    """A result column.

    kind "key": the key named `value`.  "value": the sealed value, divided by 2**fraction and `divisor`; null where its
    guard failed.  "ratio": divided by the sealed value `by`, too, null where that is 0.  "variance" and "deviation":
    the sealed value, of three digits, divided by 2**(2 fraction), `by` and `by` less `less`, and its root; null where
    `by` is not above `less`.  scale: of a decimal, digits after the point.
    """

    title: str
    type: ColumnType
    kind: Literal["key", "value", "ratio", "variance", "deviation"]
    value: str
    by: str | None = None
    divisor: Annotated[int, Field(ge=1)] = 1
    less: Annotated[int, Field(ge=0, le=1)] = 0
    scale: Annotated[int, Field(ge=0, le=38)] = 0


class Order(Document):
    """column: place of the result column.  nulls_first: where nulls go."""

    column: Annotated[int, Field(ge=0)]
    descending: bool
    nulls_first: bool


class ReleaseArguments(Document):
    """kind "table": rows of keys and columns, ordered and cut after opening.  "model": the sealed values by name.

    top: rows beyond the limit were never opened.
    card: public facts of a model, put into the release beside its values.
    """

    kind: Literal["table", "model"] = "model"
    keys: tuple[ReleasedKey, ...] = ()
    columns: tuple[ReleasedColumn, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    top: bool = False
    card: dict[str, JsonValue] = Field(default_factory=dict)

    def arguments(self) -> dict[str, JsonValue]:
        """As a step's arguments."""
        return self.model_dump(mode="json")


class FoundColumn(Document):
    """A result column of what a mechanism's own run has found.

    value: the finding's column with its values; nulls: the one that is true where there is no value, or None.
    scale: of a decimal, digits after the point.  about: how it is computed, in words.
    """

    title: str
    type: ColumnType
    value: str
    about: str
    nulls: str | None = None
    scale: Annotated[int, Field(ge=0, le=38)] = 0


class FoundArguments(Document):
    """The arguments of a "release" of what a mechanism's own run has found.

    columns: of each recipient's result.  counted: the finding's column, one number, that must reach the plan's minimum
    group or is withheld; None: no such.
    """

    kind: Literal["found"] = "found"
    columns: dict[PartyName, tuple[FoundColumn, ...]]
    counted: str | None = None

    def arguments(self) -> dict[str, JsonValue]:
        """As a step's arguments."""
        return self.model_dump(mode="json")
