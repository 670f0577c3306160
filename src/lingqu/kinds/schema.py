"""What is known of a table without seeing a row of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from lingqu.kinds.documents import Document
from lingqu.kinds.parties import Digest, Instant, PartyName

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
AssetId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,30}[a-z0-9]/[\w-]{1,64}$")]
TableName = Annotated[str, StringConstraints(pattern=r"^[\w-]{1,64}$")]


class ColumnType(StrEnum):
    BOOL = "bool"
    INT = "int"  # 64-bit signed
    REAL = "real"  # fixed point under protocols, double in the clear
    STRING = "string"
    DATE = "date"  # days since 1970-01-01 under protocols
    TIMESTAMP = "timestamp"  # without time zone; microseconds since 1970-01-01 under protocols
    DECIMAL = "decimal"  # exact: whole numbers of 10**-scale under protocols, at most 18 digits in a column


class Grade(StrEnum):
    """Data grades of GB/T 43697."""

    GENERAL = "general"  # 一般
    IMPORTANT = "important"  # 重要
    CORE = "core"  # 核心


class Column(Document):
    """scale: digits after the point of a decimal column."""

    name: ColumnName
    type: ColumnType
    nullable: bool = False
    scale: Annotated[int, Field(ge=0, le=18)] = Field(default=0, exclude_if=lambda scale: not scale)


class ColumnProfile(Document):
    """Published facts of one column, none of which identifies anyone.

    lower, upper: bounds of the values, rounded outward; None for strings or an empty column.
    mean, deviation: rounded to four significant digits; numbers only.
    categories: sorted values that at least `catalog.CATEGORY_FLOOR` rows share; None where too many.
    complete: whether every non-null value is one of the categories.
    unique: no value occurs twice.  repeats: no value occurs more often, rounded up to a power of two; None: unknown.
    nulls: share of nulls, rounded to two digits.
    """

    lower: float | None = None
    upper: float | None = None
    mean: float | None = None
    deviation: float | None = None
    categories: tuple[str, ...] | None = None
    complete: bool = False
    unique: bool = False
    repeats: Annotated[int, Field(ge=1)] | None = Field(default=None, exclude_if=lambda repeats: repeats is None)
    nulls: float = 0.0


class Asset(Document):
    """A registered table: what the catalogue publishes of it.

    id: "owner/name".  version: counts registrations of the same name.  rows: exact row count, public.
    key: columns that the owner checked to identify a row together; empty where it named none.
    """

    id: str
    owner: PartyName
    name: TableName
    title: str
    version: Annotated[int, Field(ge=1)]
    columns: tuple[Column, ...]
    rows: Annotated[int, Field(ge=0)]
    profile: dict[ColumnName, ColumnProfile]
    grade: Grade
    registered: Instant
    key: tuple[ColumnName, ...] = Field(default=(), exclude_if=lambda names: not names)

    @model_validator(mode="after")
    def _consistent(self) -> Asset:
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names) or set(self.profile) != set(names):
            raise ValueError("columns and profile differ")
        if not set(self.key) <= set(names):
            raise ValueError("the key is not among the columns")
        if self.id != f"{self.owner}/{self.name}":
            raise ValueError("id is not owner/name")
        return self

    def column(self, name: str) -> Column | None:
        """The column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)


class AssetUse(Document):
    """An asset as a contract or plan names it: which version, which columns."""

    id: str
    version: int
    digest: Digest
    columns: tuple[ColumnName, ...]
