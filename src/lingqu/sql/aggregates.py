"""What each aggregate of a query becomes: columns to be summed a group, and how the sums are read when opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lingqu.kinds.schema import ColumnType
from lingqu.plan.choose import Work
from lingqu.plan.inputs import BUDGET, InputKey
from lingqu.plan.logical import Aggregate, Expression, Local
from lingqu.share import wide
from lingqu.share.groups import quantile_unit
from lingqu.sql.circuit import ALWAYS, Node, Number, combine, finest, fits
from lingqu.sql.having import ONE, Ratio
from lingqu.sql.parse import Text
from lingqu.sql.steps import ROWS, Grouped, Mark, Wide
from lingqu.sql.values import Values

SPREAD = frozenset({"variance", "deviation"})
EXACT = frozenset({ColumnType.INT, ColumnType.DECIMAL, ColumnType.BOOL})
EXTREMES = frozenset({"min", "max"})


@dataclass(frozen=True)
class Summed:
    """What an aggregate became.

    column: its group column (for an average: the sum; for a variance: of the plain sum).  fraction: fraction bits.
    magnitude: of the group's value.  counted: group column with the number of non-null arguments; `ROWS` where there
    are no nulls.  divisor: what the value is divided by, beside 2**fraction.  wide: limbs of which it is made.
    """

    column: str
    fraction: int
    magnitude: float
    counted: str
    divisor: int = 1
    wide: Wide | None = None

    @property
    def bits(self) -> int:
        """Bits of the group's integer with its sign."""
        return Number(ONE.node, self.fraction, self.magnitude, ALWAYS).bits


@dataclass
class Aggregates:
    """The aggregates of one query.

    grouped: columns of the groups by name.  marks: columns that must be made before grouping.  minimum: of rows.
    """

    values: Values
    text: Text
    minimum: int
    grouped: dict[str, Grouped] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    summed: dict[str, Summed] = field(default_factory=dict)
    functions: dict[str, Aggregate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.grouped[ROWS] = Grouped(name=ROWS, kind="count")

    def add(self, aggregate: Aggregate) -> None:
        """Take in an aggregate; RangeError where its value does not fit by the published bounds."""
        self.functions[aggregate.name] = aggregate
        self.summed[aggregate.name] = self._summed(aggregate)

    def _summed(self, aggregate: Aggregate) -> Summed:
        argument, rows = aggregate.argument, self.values.rows
        if argument is None:
            return Summed(ROWS, 0, rows, ROWS)
        if aggregate.function == "count":
            counted = self._counted(self.values.present(argument))
            return Summed(counted, 0, rows, counted)
        if aggregate.function == "distinct":
            return self._distinct(aggregate.name, argument)
        if aggregate.function == "quantile":
            return self._quantile(aggregate, argument)
        many = 1 if aggregate.function in EXTREMES else rows
        tens = 10**argument.tens
        number = self._number(argument, 1 if argument.type in EXACT else many)
        if not number.magnitude * many < 2.0 ** (BUDGET - 1) and aggregate.function not in SPREAD:
            return self._wide(aggregate.name, number, tens)
        fits(number, many, argument.text)
        kind = aggregate.function if aggregate.function in EXTREMES else "sum"
        column, present = self.values.column(number.node), self.values.flag(number.present)
        self.grouped[aggregate.name] = Grouped.model_validate(
            {"name": aggregate.name, "kind": kind, "column": column, "present": present}
        )
        counted = self._counted(number.present)
        total = Summed(aggregate.name, number.scale, number.magnitude * many, counted, divisor=tens)
        if aggregate.function not in SPREAD:
            return total
        return self._scatter(aggregate.name, number, column, present, total)

    def _number(self, argument: Expression, many: int) -> Number:
        return finest(lambda fraction: self.values.builder.number(argument, fraction), many, argument.text)

    def _counted(self, present: Node) -> str:
        """The group column that counts the rows where a condition holds."""
        flag = self.values.flag(present)
        if flag is None:
            return ROWS
        name = f"n_{flag}"
        self.grouped[name] = Grouped(name=name, kind="count", present=flag)
        return name

    def _marked(self, mark: Mark) -> None:
        self.marks.append(mark)
        self.grouped[mark.name] = Grouped(name=mark.name, kind="sum", column=mark.name)

    def _distinct(self, name: str, argument: Expression) -> Summed:
        """A count of different values: a mark a row, summed."""
        if not isinstance(argument, Local) or argument.table is None:
            raise self.text.error(
                0, f"COUNT(DISTINCT {argument.text}) spans several tables.", "Count values of one table's columns."
            )
        key = self.values.owner(argument).value_key(f"{name}v", argument)
        present = self.values.present(argument)
        self._marked(Mark(name=name, kind="distinct", source=key.name, present=self.values.flag(present)))
        return Summed(name, 0, self.values.rows, self._counted(present))

    def _quantile(self, aggregate: Aggregate, argument: Expression) -> Summed:
        """A quantile: each row's part of it, summed."""
        kind = "discrete" if aggregate.discrete else "continuous"
        unit = quantile_unit(aggregate.fraction, "discrete" if aggregate.discrete else "continuous")
        number = self._number(argument, unit)
        self._marked(
            Mark.model_validate(
                {
                    "name": aggregate.name,
                    "kind": kind,
                    "source": self.values.column(number.node),
                    "present": self.values.flag(number.present),
                    "numerator": aggregate.fraction.numerator,
                    "denominator": aggregate.fraction.denominator,
                    "bits": number.bits,
                }
            )
        )
        counted, by = self._counted(number.present), unit * 10**argument.tens
        return Summed(aggregate.name, number.scale, number.magnitude * unit, counted, divisor=by)

    def _wide(self, name: str, number: Number, divisor: int) -> Summed:
        """An exact sum beyond 62 bits, in limbs."""
        bits, present = number.bits, self.values.flag(number.present)
        count = wide.limbs_needed(1 << (bits - 1), self.values.rows)
        mark = Mark(name=f"{name}l", kind="limbs", source=self.values.column(number.node), bits=bits, limbs=count)
        self.marks.append(mark)
        for limb in mark.columns:
            self.grouped[limb] = Grouped(name=limb, kind="sum", column=limb, present=present)
        made = Wide(name=name, limbs=mark.columns)
        magnitude = number.magnitude * self.values.rows
        return Summed(name, 0, magnitude, self._counted(number.present), divisor=divisor, wide=made)

    def _scatter(self, name: str, number: Number, column: str, present: str | None, total: Summed) -> Summed:
        """A variance: the sum of squares in limbs beside the sum; both and the count make it, exactly."""
        bits = number.bits
        count = wide.limbs_needed(1 << (2 * bits - 2), self.values.rows)
        mark = Mark(name=f"{name}q", kind="squares", source=column, bits=bits, limbs=count)
        self.marks.append(mark)
        for limb in mark.columns:
            self.grouped[limb] = Grouped(name=limb, kind="sum", column=limb, present=present)
        made = Wide(name=name, limbs=mark.columns, total=name, count=total.counted)
        return replace(total, wide=made)

    def rows_of(self, name: str, place: str) -> None:
        """How many different rows of a table a group has, as a column of the groups: `place` names its row numbers."""
        self._marked(Mark(name=name, kind="distinct", source=place, present=f"{place}p"))

    def ratio(self, name: str) -> Ratio:
        """An aggregate in HAVING; one over fewer non-null values than the minimum group counts as null."""
        summed, function = self.summed[name], self.functions[name].function
        if summed.wide is not None:
            raise self.text.error(
                0, f"{self.functions[name].text} cannot be compared in HAVING.", "Compare it after the release."
            )
        value = Node(op="column", name=summed.column)
        present = ALWAYS
        if summed.counted != ROWS and function != "count":
            enough = Node(op="constant", value=str(self.minimum))
            present = Node(op=">=", args=(Node(op="column", name=summed.counted), enough))
        over = Number(value, summed.fraction, summed.magnitude, present)
        by = Number(Node(op="constant", value=str(summed.divisor)), 0, summed.divisor, ALWAYS)
        if function == "avg":
            count = Number(Node(op="column", name=summed.counted), 0, self.values.rows, ALWAYS)
            return Ratio(over, combine("*", count, by) if summed.divisor > 1 else count)
        return Ratio(over, by) if summed.divisor > 1 else Ratio(over)

    def columns(self) -> set[str]:
        """Columns of rows that the groups and marks read."""
        found = {name for grouped in self.grouped.values() for name in (grouped.column, grouped.present) if name}
        return found | {name for mark in self.marks for name in (mark.source, mark.present) if name}

    def marking(self, widths: dict[str, int], keys: Sequence[InputKey]) -> list[Work]:
        """The operations that making the marks takes.  widths: bits of keys by name."""
        effort = []
        for mark in self.marks:
            sizes = {"rows": self.values.rows, "bits": sum(key.width for key in keys)}
            if mark.limbs:
                name = "square_limbs" if mark.kind == "squares" else "value_limbs"
                effort.append(Work(name, {"rows": self.values.rows, "bits": mark.bits, "limbs": mark.limbs}))
                continue
            sizes["value_bits"] = widths[mark.source] if mark.kind == "distinct" else mark.bits
            sizes["present"] = int(mark.present is not None)
            if mark.kind == "distinct":
                effort.append(Work("distinct_marks", sizes))
            else:
                shape = {"discrete": int(mark.kind == "discrete")}
                part = {"numerator": mark.numerator, "denominator": mark.denominator}
                effort.append(Work("quantile_parts", sizes | shape | part))
        return effort

    def grouping(self, bits: int, bound: int) -> Work:
        """The operation that the grouping takes."""
        kinds = [grouped.kind for grouped in self.grouped.values()]
        return Work(
            "group",
            {
                "rows": self.values.rows,
                "columns": len(kinds),
                "counts": kinds.count("count"),
                "extremes": kinds.count("min") + kinds.count("max"),
                "present": len({grouped.present for grouped in self.grouped.values()} - {None}),
                "bits": bits,
                "groups": bound,
            },
        )

    def singled_out(self) -> list[str]:
        """Which aggregates show values of single rows, in words."""
        found = []
        kinds = {aggregate.function for aggregate in self.functions.values()}
        if kinds & EXTREMES:
            found.append("the MIN and MAX in the result rows")
        if "quantile" in kinds:
            found.append("the medians and quantiles in the result rows")
        # SUM(CASE WHEN id = '...' THEN pay ELSE 0 END) is one person's pay, however large its group is.
        if any(not _plain(aggregate.argument) for aggregate in self.functions.values()):
            found.append("what the expressions inside its aggregates single out")
        return found


def opened(aggregate: Aggregate) -> str:
    """What is opened to compute an aggregate, in words; empty where it is its value."""
    if aggregate.function == "avg":
        return "its sum and its count"
    if aggregate.function in SPREAD:
        return "its count, and the count times the sum of squares less the square of the sum"
    return ""


def _plain(argument: Expression | None) -> bool:
    """Whether an aggregate's argument is every row, or a column as it is."""
    return argument is None or (
        isinstance(argument, Local) and argument.text in {f"{argument.table}.{column}" for column in argument.columns}
    )


def sealed_type(aggregate: Aggregate, kind: ColumnType) -> ColumnType:
    """The type of an aggregate's result, from its argument's."""
    if aggregate.function in ("count", "distinct"):
        return ColumnType.INT
    if aggregate.function == "sum" and kind is ColumnType.BOOL:
        return ColumnType.INT
    if aggregate.function == "avg" or aggregate.function in SPREAD:
        return ColumnType.REAL
    if aggregate.function == "quantile" and not aggregate.discrete:
        return ColumnType.REAL
    return kind
