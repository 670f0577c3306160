"""The arguments of the steps "scan", "input" and "align", by which owners' rows enter a computation.

A scan computes expressions in the owner's database over every row of the table, in order: nothing is dropped, so its
size says nothing.  An input shares the scanned columns: values as ring elements, keys as words, a hidden validity bit.
An alignment joins two owners' scanned rows by keys that stay at their owners.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from lingqu.kinds.documents import Document
from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.mechanism import log2_ceil
from lingqu.kinds.programs import Program, Value
from lingqu.kinds.schema import ColumnType

BUDGET = 62
"""Every value and every intermediate sum stays below 2**62 in magnitude."""
MAX_FRACTION = 30
MIN_FRACTION = 4


class Projected(Document):
    """name: of the scanned column.  sql: DuckDB expression over the asset's columns; `$name` stands for a parameter.

    The expression is never null: what may be is wrapped in COALESCE, with its nulls projected beside it.
    """

    name: str
    sql: str


class ScanArguments(Document):
    """asset: id of the table.  projections: columns to compute, all rows kept in order."""

    asset: str
    projections: tuple[Projected, ...]

    def arguments(self) -> dict[str, JsonValue]:
        """As a step's arguments."""
        return self.model_dump(mode="json")


class InputColumn(Document):
    """A column of values to share.

    name: of the relation's column.  source: of the scanned column.  kind: "integer" (ring elements), "fixed" (value
    times 2**fraction, rounded), "bit" (0 or 1).  lower, upper: published bounds; the owner checks each value against
    them and raises RangeError outside, except where the scanned boolean `nulls` is true.  about: the user's words.
    """

    name: str
    source: str
    kind: Literal["integer", "fixed", "bit"]
    fraction: Annotated[int, Field(ge=0, le=MAX_FRACTION)] = 0
    lower: float | None = None
    upper: float | None = None
    nulls: str | None = None
    about: str


class InputKey(Document):
    """Key words to share.

    kind "hashed": BLAKE2b over the typed values of `sources`, salted with the job's id, truncated to `width` bits (for
    joins).  "codes": place of the single source among `categories`; absent values get the code len(categories).
    "number": the single source minus `offset`, below `values` or RangeError; absent values get the code 2**width - 1.
    present: scanned boolean, true where the key is not null; None when it never is.  Absent hashed keys become random
    words, so that they match nothing.  most: the owner checks that no present key occurs more often; BadInput if one
    does; 0: no check.
    """

    name: str
    kind: Literal["hashed", "codes", "number"]
    sources: tuple[str, ...]
    types: tuple[ColumnType, ...]
    width: Annotated[int, Field(ge=1, le=128)]
    categories: tuple[str, ...] = ()
    offset: int = 0
    values: int = 0
    present: str | None = None
    most: Annotated[int, Field(ge=0)] = 0
    about: str


class InputArguments(Document):
    """owner: who shares.  rows: how many.  valid: scanned boolean, false for rows that must not count; None: all count.

    The result is a `share.relation.Relation` with these columns and keys.
    """

    owner: str
    rows: int
    valid: str | None = None
    columns: tuple[InputColumn, ...] = ()
    keys: tuple[InputKey, ...] = ()

    def arguments(self) -> dict[str, JsonValue]:
        """As a step's arguments."""
        return self.model_dump(mode="json")


class Aligned(Document):
    """One owner's side of an alignment.

    rows: what it brings.  on: the name of the hashed key, of ALIGNED_BITS, that must agree.  numbers: a key to make of
    its row numbers, with a column of ones under the name with a p; None for none.
    """

    rows: InputArguments
    on: str
    numbers: str | None = None


class AlignArguments(Document):
    """asker: whose rows stay apart, with the keeper's row of the same key beside each; the keeper's keys occur once.

    outer: the asker's rows without a match stay.  repeated: the asker's keys may repeat.
    absent: words that the keeper's other keys have in rows without a match.
    """

    asker: Aligned
    keeper: Aligned
    outer: bool = False
    repeated: bool = False
    absent: dict[str, int] = Field(default_factory=dict)

    def arguments(self) -> dict[str, JsonValue]:
        """As a step's arguments."""
        return self.model_dump(mode="json")


ALIGNED_BITS = 128
"""Bits of the hashed key of an alignment: what its owners hash and look up, whatever the number of rows."""


def number_bits(rows: int) -> int:
    """Bits of a key that numbers rows."""
    return max(rows.bit_length(), 1)


def key_width(left: int, right: int) -> int:
    """Bits of a hashed join key so that any false match has probability below 2**-40; even, 64 to 128."""
    width = min(128, max(64, 40 + log2_ceil(max(left * right, 1))))
    return width + width % 2


def literal(value: Value) -> str:
    """A bound parameter as a DuckDB literal."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return f"({value})"
    if isinstance(value, float):
        return f"CAST({value!r} AS DOUBLE)"
    return "'" + unicodedata.normalize("NFC", value).replace("'", "''") + "'"


_PLACES = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$([a-z_][a-z0-9_]*)""")


def bound(sql: str, bindings: Mapping[str, Value]) -> str:
    """A projection with its parameters written as literals; text and identifiers in quotes stay as they are.

    BadInput for a parameter that has no value.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return match.group(0)
        if name not in bindings:
            raise BadInput(f"The parameter :{name} has no value.", f"Give it one: {name}=...")
        return literal(bindings[name])

    return _PLACES.sub(replaced, sql)


def check_bindings(program: Program, bindings: Mapping[str, Value]) -> None:
    """BadInput for a parameter that is missing or unknown; Refused (term "program") for a value outside its limits."""
    declared = ", ".join(sorted(program.parameters)) or "none"
    for name in sorted(set(program.parameters) | set(bindings)):
        if name not in program.parameters:
            raise BadInput(f"The program has no parameter {name}.", f"Its parameters: {declared}.")
        if name not in bindings:
            raise BadInput(f"The parameter {name} has no value.", f"Give it one: {name}=...")
        parameter = program.parameters[name]
        whole = isinstance(parameter.lower, int) and isinstance(parameter.upper, int)
        if not parameter.admits(bindings[name]) or (whole and not isinstance(bindings[name], int)):
            limits = parameter.allowed or f"{parameter.lower} to {parameter.upper}{' (whole numbers)' if whole else ''}"
            raise Refused(
                f"The value of {name} is outside what the owners signed.", f"Allowed: {limits}.", term="program"
            )
