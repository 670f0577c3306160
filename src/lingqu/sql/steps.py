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
    """left, right: names of the hashed keys that must agree.

    kind: whose rows stay without a match.  unique: the sides whose valid rows have a key once.  bound: without any, the
    rows that matches have room for.  absent: words of other keys where their side is not there.
    numbered: keys to make of row numbers, by name: of the left (0) or right (1) input.
    """

    left: str
    right: str
    kind: Literal["inner", "left", "right", "full"] = "inner"
    unique: Literal["both", "left", "right", "none"] = "both"
    bound: Annotated[int, Field(ge=0)] = 0
    absent: dict[str, int] = Field(default_factory=dict)
    numbered: dict[str, int] = Field(default_factory=dict)


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


class Mark(Arguments):
    """A column whose sum over a group is a statistic of it.

    name: of the column.  kind "distinct": how many values the key `source` has; "continuous" and "discrete": the
    quantile numerator / denominator of the column `source`, |values| <= 2**(bits - 1), as
    `share.groups.quantile_parts`; "squares": its squares in so many limbs, each a column of its own; "limbs": itself
    in limbs.  present: 0/1 column, 0 for nulls.
    """

    name: str
    kind: Literal["distinct", "continuous", "discrete", "squares", "limbs"]
    source: str
    present: str | None = None
    numerator: int = 0
    denominator: int = 1
    bits: Annotated[int, Field(ge=2, le=63)] = 63
    limbs: Annotated[int, Field(ge=0, le=4)] = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that it adds."""
        return tuple(f"{self.name}{i}" for i in range(self.limbs)) if self.limbs else (self.name,)


class Wide(Arguments):
    """A value of three digits that is made of a group's columns.

    name: under which it is sealed.  limbs: sums of limbs.  total, count: of a variance's values, whose squares' the
    limbs are (`share.groups.scatter_digits`); None: the sum of the limbs itself.
    """

    name: str
    limbs: tuple[str, ...]
    total: str | None = None
    count: str | None = None


class Ranked(Arguments):
    """One column that decides which rows LIMIT keeps.

    value: sealed name.  absent: of a key, the word that stands for null (-1: none).  bits: |values| < 2**(bits - 1).
    """

    value: str
    descending: bool = False
    nulls_last: bool = True
    absent: int = -1
    bits: Annotated[int, Field(ge=2, le=63)] = 63


class MarkArguments(Arguments):
    """keys: of the groups.  marks: columns to add."""

    keys: tuple[str, ...]
    marks: tuple[Mark, ...]


class HavingArguments(Arguments):
    """condition: over the group's columns."""

    condition: Node


class SealArguments(Arguments):
    """keys: group keys to release.  values: column by released name.  guards: counting column by released name.

    wide: values of several digits.  top: rows to keep, the first by `order` among those with enough rows; 0: all.
    """

    keys: tuple[str, ...]
    values: dict[str, str]
    guards: dict[str, str] = Field(default_factory=dict)
    fractions: dict[str, int] = Field(default_factory=dict)
    wide: tuple[Wide, ...] = ()
    order: tuple[Ranked, ...] = ()
    top: Annotated[int, Field(ge=0)] = 0
