"""The arguments of SQL's own steps, as they stand in a signed plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, JsonValue

from lingqu.kinds.documents import Document
from lingqu.sql.circuit import Node

ROWS = "rows"
"""The group column that counts a group's rows."""


class Arguments(Document):
    """Public arguments of a step."""

    def arguments(self) -> dict[str, JsonValue]:
        """As a step's arguments; defaults are left out."""
        dumped: dict[str, JsonValue] = self.model_dump(mode="json", exclude_defaults=True)
        return dumped

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Self:
        """From a step's arguments; BadInput where a field does not fit."""
        return cls.parse(json.dumps(arguments))


class JoinArguments(Arguments):
    """left, right: names of the hashed keys that must agree."""

    left: str
    right: str


class DeriveArguments(Arguments):
    """columns: new columns by name.  keep: conditions that a row must meet."""

    columns: dict[str, Node] = Field(default_factory=dict)
    keep: tuple[Node, ...] = ()


class Grouped(Arguments):
    """As `share.groups.Aggregate`."""

    name: str
    kind: Literal["count", "sum", "min", "max"]
    column: str | None = None
    present: str | None = None


class GroupArguments(Arguments):
    """keys: names of group keys.  bound: public upper bound of the number of groups."""

    keys: tuple[str, ...]
    aggregates: tuple[Grouped, ...]
    bound: Annotated[int, Field(ge=1)]


class HavingArguments(Arguments):
    """condition: over the group's columns."""

    condition: Node


class SealArguments(Arguments):
    """keys: group keys to release.  values: column by released name.  guards: counting column by released name."""

    keys: tuple[str, ...]
    values: dict[str, str]
    guards: dict[str, str] = Field(default_factory=dict)
    fractions: dict[str, int] = Field(default_factory=dict)
