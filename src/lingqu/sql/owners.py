"""What each owner contributes: the expressions its database computes, and the columns and keys it shares."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from lingqu.kinds.errors import RangeError
from lingqu.kinds.schema import ColumnType
from lingqu.plan.choose import entering
from lingqu.plan.draft import Draft
from lingqu.plan.inputs import BUDGET, InputArguments, InputColumn, InputKey, Projected, ScanArguments, key_width
from lingqu.plan.logical import Local, Scan
from lingqu.sql.circuit import ALWAYS, Node, Number
from lingqu.sql.parse import Text

_DEFAULT = {
    ColumnType.INT: "0",
    ColumnType.REAL: "0",
    ColumnType.STRING: "''",
    ColumnType.DATE: "DATE '1970-01-01'",
    ColumnType.BOOL: "FALSE",
}
_NUMBERED = (ColumnType.TIMESTAMP, ColumnType.DECIMAL)
WORD = 64


@dataclass
class Owner:
    """One table of the query, and what is asked of its owner so far.

    place: its position in the query.  text: the query's, to show places of errors.  valid: conditions a row must meet.
    scanned: SQL by the scanned column's name.
    """

    scan: Scan
    place: int
    text: Text
    valid: list[str] = field(default_factory=list)
    scanned: dict[str, str] = field(default_factory=dict)
    columns: list[InputColumn] = field(default_factory=list)
    keys: list[InputKey] = field(default_factory=list)
    read: set[str] = field(default_factory=set)

    @property
    def rows(self) -> int:
        """Public row count of the table."""
        return self.scan.asset.rows

    def project(self, sql: str) -> str:
        """The name of a scanned column for an expression that is never null; equal expressions are scanned once."""
        for name, known in self.scanned.items():
            if known == sql:
                return name
        name = f"t{self.place}s{len(self.scanned)}"
        self.scanned[name] = sql
        return name

    def require(self, condition: Local) -> None:
        """Rows count only where the condition is true."""
        self.read |= condition.columns
        self.valid.append(f"COALESCE({condition.sql}, FALSE)")

    def bit(self, sql: str, about: str) -> str:
        """The name of a shared 0/1 column."""
        return self._share(self.project(sql), "bit", 0, 0, 1, None, about)

    def truth(self, condition: Local, negated: bool) -> Node:
        """The circuit of a condition over this table, or of its negation, being true."""
        self.read |= condition.columns
        sql = f"(NOT {condition.sql})" if negated else condition.sql
        return Node(op="truth", name=self.bit(f"COALESCE({sql}, FALSE)", condition.text))

    def present(self, value: Local) -> Node:
        """The circuit of a value not being null."""
        if not value.nullable:
            return ALWAYS
        self.read |= value.columns
        return Node(op="truth", name=self.bit(f"({value.sql} IS NOT NULL)", value.text))

    def number(self, value: Local, fraction: int) -> Number:
        """The circuit of a number, reals with so many fraction bits; BadInput when it has no published bounds."""
        if value.bounds is None:
            raise self.text.error(
                value.offset,
                f"{value.text} has no bounds that follow from the published profile.",
                "Bounds are published of a column with at least 10 values; of an expression they follow for + - * "
                "and for division by a constant.",
            )
        bounds, about = value.bounds, value.text
        if bounds.magnitude >= 1 << BUDGET:
            raise self.text.error(
                value.offset,
                f"{about} reaches {bounds.magnitude:g} by its published bounds and exceeds {BUDGET} bits.",
                "Compute in a larger unit, or register values inside narrower bounds.",
                RangeError,
            )
        self.read |= value.columns
        nulls = self.project(f"({value.sql} IS NULL)") if value.nullable else None
        scale = 0
        if value.type is ColumnType.BOOL:
            name = self.bit(f"COALESCE({value.sql}, FALSE)", about)
        elif value.type is ColumnType.REAL:
            source = self.project(f"COALESCE(CAST({value.sql} AS DOUBLE), 0)")
            name = self._share(source, "fixed", fraction, bounds.lower, bounds.upper, nulls, about)
            scale = fraction
        else:
            source = self.project(_whole(value))
            name = self._share(source, "integer", 0, bounds.lower, bounds.upper, nulls, about)
        return Number(Node(op="column", name=name), scale, bounds.magnitude, self.present(value))

    def _share(
        self, source: str, kind: str, fraction: int, lower: float, upper: float, nulls: str | None, about: str
    ) -> str:
        for known in self.columns:
            if (known.source, known.kind, known.fraction) == (source, kind, fraction):
                return known.name
        name = f"t{self.place}c{len(self.columns)}"
        self.columns.append(
            InputColumn.model_validate(
                {
                    "name": name,
                    "source": source,
                    "kind": kind,
                    "fraction": fraction,
                    "lower": float(lower),
                    "upper": float(upper),
                    "nulls": nulls,
                    "about": about,
                }
            )
        )
        return name

    def join_key(self, name: str, values: Sequence[Local], width: int, most: int, *, drop: bool) -> None:
        """Share a hashed key of which no value occurs more than `most` times, which the owner checks.

        drop: rows whose key is null do not count; otherwise they stay and match nothing.
        """
        present = " AND ".join(f"({value.sql} IS NOT NULL)" for value in values if value.nullable)
        if present and drop:
            self.valid.append(present)
        self.read |= {column for value in values for column in value.columns}
        self._hashed(name, values, width, most)

    def _hashed(self, name: str, values: Sequence[Local], width: int, most: int) -> None:
        present = " AND ".join(f"({value.sql} IS NOT NULL)" for value in values if value.nullable)
        self.keys.append(
            InputKey(
                name=name,
                kind="hashed",
                sources=tuple(
                    self.project(
                        _whole(value) if value.type in _NUMBERED else f"COALESCE({value.sql}, {_DEFAULT[value.type]})"
                    )
                    for value in values
                ),
                types=tuple(value.type for value in values),
                width=width,
                present=self.project(f"({present})") if present else None,
                most=most,
                about=", ".join(value.text for value in values),
            )
        )

    def group_key(self, name: str, value: Local) -> tuple[InputKey, int]:
        """Share a group key; returns it and how many different values it can take, null included.

        BadInput for texts without complete published categories, for reals and for what has no bounds.
        """
        extra = int(value.nullable)
        self.read |= value.columns
        present = self.project(f"({value.sql} IS NOT NULL)") if value.nullable else None
        if value.type is ColumnType.STRING:
            if value.categories is None:
                raise self.text.error(
                    value.offset,
                    f"{value.text} cannot be a group key: its owner publishes no complete list of its categories.",
                    "Group by a column with at most 256 categories that at least 10 rows share each, or by a number "
                    "or date.",
                )
            count = len(value.categories)
            key = InputKey(
                name=name,
                kind="codes",
                sources=(self.project(f"COALESCE({value.sql}, '')"),),
                types=(value.type,),
                width=max((count + extra - 1).bit_length(), 1),
                categories=value.categories,
                present=present,
                about=value.text,
            )
        elif value.type is ColumnType.REAL or value.bounds is None:
            why = "it is a real number" if value.type is ColumnType.REAL else "it has no published bounds"
            raise self.text.error(
                value.offset,
                f"{value.text} cannot be a group key: {why}.",
                "Group by a whole number, steps of one such as column // 10, a date or a category.",
            )
        else:
            offset = int(value.bounds.lower)
            count = int(value.bounds.upper) - offset + 1
            key = InputKey(
                name=name,
                kind="number",
                sources=(self.project(_whole(value)),),
                types=(value.type,),
                width=self._width(value, count + extra),
                offset=offset,
                values=count,
                present=present,
                about=value.text,
            )
        self.keys.append(key)
        return key, count + extra

    def value_key(self, name: str, value: Local) -> InputKey:
        """Share a value as a key that is equal where it is: as a group key where it can be one, else hashed."""
        if value.type is ColumnType.REAL:
            raise self.text.error(
                value.offset,
                f"Different values of {value.text}, a real number, cannot be counted.",
                "Count whole numbers, dates, texts or decimals.",
            )
        numbered = value.type is not ColumnType.STRING and value.bounds is not None
        if numbered or value.categories is not None:
            return self.group_key(name, value)[0]
        self.read |= value.columns
        self._hashed(name, [value], key_width(max(self.rows, 1), max(self.rows, 1)), 0)
        return self.keys[-1]

    def _width(self, value: Local, count: int) -> int:
        width = max((count - 1).bit_length(), 1)
        if width >= BUDGET:
            raise self.text.error(
                value.offset,
                f"The group key {value.text} spans {count} values by its published bounds.",
                "Group by coarser steps, for example column // 10.",
                RangeError,
            )
        return width

    def arguments(self, used: Collection[str]) -> InputArguments:
        """What this owner brings, with those columns that are used."""
        columns = tuple(column for column in self.columns if column.name in used)
        valid = self.project("(" + " AND ".join(dict.fromkeys(self.valid)) + ")") if self.valid else None
        return InputArguments(
            owner=self.scan.asset.owner, rows=self.rows, valid=valid, columns=columns, keys=tuple(self.keys)
        )

    def scanning(self, draft: Draft, arguments: InputArguments) -> str:
        """Add this owner's scan to a draft; returns its id."""
        needed = {arguments.valid, *(name for c in arguments.columns for name in (c.source, c.nulls))}
        needed |= {name for key in arguments.keys for name in (*key.sources, key.present)}
        return draft.local(
            f"scan{self.place}",
            "scan",
            self.scan.asset.owner,
            ScanArguments(
                asset=self.scan.asset.id,
                projections=tuple(
                    Projected(name=name, sql=sql) for name, sql in self.scanned.items() if name in needed
                ),
            ).arguments(),
            "the owner computes on its own rows; every row is kept, so the size says nothing",
        )

    def sharing(self, draft: Draft, used: Collection[str]) -> str:
        """Add this owner's scan and input to a draft, with those columns that are used; returns the input's id."""
        arguments = self.arguments(used)
        scan = self.scanning(draft, arguments)
        width = len(arguments.columns) + int(arguments.valid is not None)
        owner = self.scan.asset.owner
        work = entering(draft.setting, owner, self.rows, width, [key.width for key in self.keys])
        return draft.shared(
            f"input{self.place}", "input", [scan], arguments.arguments(), work, reason="the owner shares its columns"
        )


def absent_word(key: InputKey) -> int:
    """The word of a group key that stands for null, or for a table without a row."""
    return len(key.categories) if key.kind == "codes" else (1 << key.width) - 1


def _whole(value: Local) -> str:
    """SQL of a value as a 64-bit integer, 0 for null: days, microseconds of timestamps, 0 and 1 of booleans."""
    if value.type is ColumnType.DATE:
        return f"COALESCE(CAST({value.sql} AS DATE) - DATE '1970-01-01', 0)"
    if value.type is ColumnType.TIMESTAMP:
        return f"COALESCE(epoch_us({value.sql}), 0)"
    return f"COALESCE(CAST({value.sql} AS BIGINT), 0)"
