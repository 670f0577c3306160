"""From a logical query to the steps of a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lingqu.kinds.disclosure import Fact
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset, ColumnType
from lingqu.plan.choose import Work, opening
from lingqu.plan.draft import Draft
from lingqu.plan.inputs import InputKey, key_width
from lingqu.plan.logical import Aggregate, Expression, Local, Query, conjuncts, joins, scans
from lingqu.plan.outputs import Order, ReleaseArguments, ReleasedColumn, ReleasedKey
from lingqu.plan.plan import Output, Plan, Setting, Told
from lingqu.sql.circuit import ALWAYS, Builder, Node, Number, columns_of, finest, work
from lingqu.sql.having import Ratio, condition
from lingqu.sql.owners import Owner
from lingqu.sql.parse import Text
from lingqu.sql.steps import (
    ROWS,
    DeriveArguments,
    GroupArguments,
    Grouped,
    HavingArguments,
    JoinArguments,
    SealArguments,
)

LONGEST = 300


@dataclass(frozen=True)
class Summed:
    """What an aggregate became.

    column: its group column (for an average: the sum).  fraction: fraction bits.  magnitude: of the group's value.
    counted: group column with the number of non-null arguments; `ROWS` where there are no nulls.
    """

    column: str
    fraction: int
    magnitude: float
    counted: str


@dataclass
class Lowering:
    """The state of one compilation."""

    query: Query
    program: Program
    setting: Setting
    text: Text
    owners: dict[str, Owner] = field(default_factory=dict)
    derived: dict[str, Node] = field(default_factory=dict)
    keep: list[Node] = field(default_factory=list)
    grouped: dict[str, Grouped] = field(default_factory=dict)
    summed: dict[str, Summed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.owners = {scan.alias: Owner(scan, place, self.text) for place, scan in enumerate(scans(self.query.source))}
        self.builder = Builder(self._leaf, lambda value, negated: self._owner(value).truth(value, negated))
        self.grouped[ROWS] = Grouped(name=ROWS, kind="count")

    @property
    def rows(self) -> int:
        """Public number of rows after all joins, at least 1."""
        return max(1, min(owner.rows for owner in self.owners.values()))

    def plan(self, assets: Mapping[str, Asset]) -> Plan:
        """The finished plan; BadInput, Refused and RangeError as the compiler documents them."""
        for predicate in conjuncts(self.query.source):
            self._condition(predicate)
        self._join_keys()
        keys = [(self._owner(value).group_key(name, value), value) for name, value in self.query.keys]
        bound = min(self.rows, math.prod(count for (_, count), _ in keys)) if keys else 1
        for aggregate in self.query.aggregates:
            self.summed[aggregate.name] = self._aggregate(aggregate)
        having = None
        if self.query.having is not None:
            having = condition(self.query.having, False, self._ratio)
        draft = Draft(self.setting)
        last = self._grouping(draft, self._rows(draft), [key for (key, _), _ in keys], max(bound, 1))
        if having is not None:
            last = draft.shared(
                "having",
                "having",
                [last],
                HavingArguments(condition=having).arguments(),
                [*work(having, bound), Work("filter", {"rows": bound})],
                reason="groups that fail HAVING are never opened",
            )
        self._release(draft, last, [(key, value) for (key, _), value in keys], max(bound, 1))
        read: dict[str, set[str]] = {}
        for owner in self.owners.values():
            read.setdefault(owner.scan.asset.id, set()).update(owner.read)
        columns = {name: sorted(found) for name, found in read.items()}
        return draft.plan(self.program, assets, columns, self._outputs(), self._withheld())

    # Values of rows

    def _owner(self, value: Local) -> Owner:
        """The owner that computes a value; constants are anybody's."""
        return self.owners[value.table] if value.table is not None else next(iter(self.owners.values()))

    def _leaf(self, value: Local, fraction: int) -> Number:
        if value.table is not None or value.bounds is None:
            return self._owner(value).number(value, fraction)
        scale = fraction if value.type is ColumnType.REAL else 0
        if value.parameter is not None:
            node = Node(op="parameter", name=value.parameter, scale=scale)
        else:
            assert isinstance(value.constant, bool | int | float)
            node = Node(op="constant", value=str(round(value.constant * (1 << scale))))
        return Number(node, scale, value.bounds.magnitude, ALWAYS)

    def _condition(self, predicate: Expression) -> None:
        """A conjunct of WHERE: hidden at its owner where one can compute it, on shares otherwise."""
        if isinstance(predicate, Local):
            self._owner(predicate).require(predicate)
        else:
            self.keep.append(self.builder.condition(predicate, False))

    def _column(self, node: Node) -> str:
        """The name of the relation's column that holds a number, or the 0/1 of a condition."""
        if node.op in ("column", "truth"):
            return node.name
        for name, known in self.derived.items():
            if known == node:
                return name
        name = f"d{len(self.derived)}"
        self.derived[name] = node
        return name

    def _flag(self, present: Node) -> str | None:
        """The 0/1 column of a condition; None where it always holds."""
        if present == ALWAYS:
            return None
        return self._column(present if present.op == "truth" else Node(op="number", args=(present,)))

    # Joins

    def _join_keys(self) -> None:
        for join in joins(self.query.source):
            right = self.owners[join.right.alias]
            sides = {str(left.table) for left, _ in join.on}
            if len(sides) > 1:
                raise self.text.error(
                    join.on[0][0].offset,
                    f"The key of the join with {right.scan.alias} has parts in {', '.join(sorted(sides))}.",
                    "Let all parts on one side of a join key come from one table.",
                )
            left = self.owners[sides.pop()]
            width = key_width(left.rows, right.rows)
            left.join_key(f"j{right.place}l", [pair[0] for pair in join.on], width)
            right.join_key(f"j{right.place}r", [pair[1] for pair in join.on], width)

    def _rows(self, draft: Draft) -> str:
        """Scans, inputs, joins, and what is derived across owners; returns the last step."""
        circuits = [*self.derived.values(), *self.keep]
        used = columns_of(circuits)
        for grouped in self.grouped.values():
            used |= {name for name in (grouped.column, grouped.present) if name is not None}
        inputs = {alias: owner.steps(draft, used) for alias, owner in self.owners.items()}
        first = next(iter(self.owners.values()))
        last, rows = inputs[first.scan.alias], first.rows
        columns = sum(1 for column in first.columns if column.name in used)
        bits = {key.name: key.width for key in first.keys}
        for join in joins(self.query.source):
            right = self.owners[join.right.alias]
            key = right.keys[[k.name for k in right.keys].index(f"j{right.place}r")]
            more = sum(1 for column in right.columns if column.name in used)
            new_bits = {k.name: k.width for k in right.keys if k is not key}
            bits.pop(f"j{right.place}l")
            reason = f"matches of {key.about} stay hidden; false matches below 2^-40 by {key.width}-bit salted hashes"
            sizes = {
                "left": rows,
                "right": right.rows,
                "columns": columns + more,
                "left_columns": columns,
                "bits": key.width,
                "left_bits": sum(bits.values()),
                "right_bits": sum(new_bits.values()),
            }
            columns += more
            bits |= new_bits
            last = draft.shared(
                f"join{right.place}",
                "join",
                [last, inputs[join.right.alias]],
                JoinArguments(left=f"j{right.place}l", right=f"j{right.place}r").arguments(),
                [Work("join", sizes)],
                reason=reason,
            )
            rows = min(rows, right.rows)
        if not circuits:
            return last
        effort = [item for circuit in circuits for item in work(circuit, rows)]
        effort += [Work("filter", {"rows": rows}) for _ in self.keep]
        arguments = DeriveArguments(columns=self.derived, keep=tuple(self.keep)).arguments()
        return draft.shared("derive", "derive", [last], arguments, effort, reason="conditions and values across owners")

    # Groups

    def _aggregate(self, aggregate: Aggregate) -> Summed:
        argument = aggregate.argument
        if argument is None:
            return Summed(ROWS, 0, self.rows, ROWS)
        if aggregate.function == "count":
            counted = self._counted(self._present(argument))
            return Summed(counted, 0, self.rows, counted)
        many = self.rows if aggregate.function in ("sum", "avg") else 1
        number = finest(lambda fraction: self.builder.number(argument, fraction), many, argument.text)
        kind = aggregate.function if aggregate.function in ("min", "max") else "sum"
        column, present = self._column(number.node), self._flag(number.present)
        self.grouped[aggregate.name] = Grouped.model_validate(
            {"name": aggregate.name, "kind": kind, "column": column, "present": present}
        )
        return Summed(aggregate.name, number.scale, number.magnitude * many, self._counted(number.present))

    def _present(self, argument: Expression) -> Node:
        if isinstance(argument, Local):
            return self._owner(argument).present(argument)
        return finest(lambda fraction: self.builder.number(argument, fraction), 1, argument.text).present

    def _counted(self, present: Node) -> str:
        """The group column that counts the rows where a condition holds."""
        flag = self._flag(present)
        if flag is None:
            return ROWS
        name = f"n_{flag}"
        self.grouped[name] = Grouped(name=name, kind="count", present=flag)
        return name

    def _ratio(self, name: str) -> Ratio:
        """An aggregate in HAVING; one over fewer non-null values than the minimum group counts as null."""
        summed = self.summed[name]
        function = next(a.function for a in self.query.aggregates if a.name == name)
        value = Node(op="column", name=summed.column)
        present = ALWAYS
        if summed.counted != ROWS and function != "count":
            enough = Node(op="constant", value=str(self.setting.minimum_group))
            present = Node(op=">=", args=(Node(op="column", name=summed.counted), enough))
        over = Number(value, summed.fraction, summed.magnitude, present)
        if function != "avg":
            return Ratio(over)
        return Ratio(over, Number(Node(op="column", name=summed.counted), 0, self.rows, ALWAYS))

    def _grouping(self, draft: Draft, last: str, keys: Sequence[InputKey], bound: int) -> str:
        arguments = GroupArguments(
            keys=tuple(key.name for key in keys), aggregates=tuple(self.grouped.values()), bound=bound
        )
        extremes = sum(1 for grouped in self.grouped.values() if grouped.kind in ("min", "max"))
        sizes = {
            "rows": self.rows,
            "columns": len(self.grouped),
            "counts": sum(1 for grouped in self.grouped.values() if grouped.kind == "count"),
            "extremes": extremes,
            "present": len({grouped.present for grouped in self.grouped.values()} - {None}),
            "bits": sum(key.width for key in keys),
            "groups": bound,
        }
        about = ", ".join(key.about for key in keys) or "all rows"
        return draft.shared(
            "group", "group", [last], arguments.arguments(), [Work("group", sizes)], reason=_cut(f"groups by {about}")
        )

    # Release

    def _release(self, draft: Draft, last: str, keys: Sequence[tuple[InputKey, Local]], bound: int) -> None:
        columns, values, guards = self._columns()
        fractions = {name: s.fraction for name, s in self.summed.items() if name in values and s.fraction}
        sealed = draft.shared(
            "seal",
            "seal",
            [last],
            SealArguments(
                keys=tuple(key.name for key, _ in keys), values=values, guards=guards, fractions=fractions
            ).arguments(),
            [Work("to_shared", {"rows": bound, "columns": 1, "bits": key.width}) for key, _ in keys],
            reason="values wait under shares for the release",
        )
        width, flags = len(values) + len(keys), 1 + len(guards)
        order = tuple(
            Order(
                column=[shown.name for shown in self.query.shown].index(name), descending=down, nulls_first=nulls_first
            )
            for name, down, nulls_first in self.query.order
        )
        draft.shared(
            "release",
            "release",
            [sealed],
            ReleaseArguments(
                kind="table",
                keys=tuple(_released(key, value) for key, value in keys),
                columns=tuple(columns),
                order=order,
                limit=self.query.limit,
            ).arguments(),
            [
                Work("less_than", {"rows": bound * flags, "columns": 1}),
                Work("logical_and", {"rows": bound * flags, "bits": 1}),
                *([Work("logical_and", {"rows": bound * len(guards), "bits": 1})] if guards else []),
                Work("inject", {"rows": bound * flags}),
                Work("multiply", {"rows": bound, "columns": width}),
                *([Work("shuffle", {"rows": bound, "columns": width + flags})] if bound > 1 else []),
                *opening(self.setting, bound, width + flags),
            ],
            reason=f"groups of fewer than {self.setting.minimum_group} rows are zeroed under the protocol, then opened",
            reveals=self._told(keys),
        )

    def _columns(self) -> tuple[list[ReleasedColumn], dict[str, str], dict[str, str]]:
        """The result columns; group columns by the name under which they are sealed; counts that guard them."""
        values: dict[str, str] = {}
        guards: dict[str, str] = {}
        columns: list[ReleasedColumn] = []
        for shown in self.query.shown:
            if shown.name not in self.summed:
                columns.append(ReleasedColumn(title=shown.title, type=shown.type, kind="key", value=shown.name))
                continue
            summed = self.summed[shown.name]
            function = next(a.function for a in self.query.aggregates if a.name == shown.name)
            values[shown.name] = summed.column
            by = None
            if function != "count" and summed.counted != ROWS:
                guards[shown.name] = summed.counted
            if function == "avg":
                by = f"{shown.name}n"
                values[by] = summed.counted
                guards |= {by: summed.counted} if summed.counted != ROWS else {}
            kind = "ratio" if by else "value"
            columns.append(
                ReleasedColumn.model_validate(
                    {"title": shown.title, "type": shown.type, "kind": kind, "value": shown.name, "by": by}
                )
            )
        return columns, values, guards

    def _told(self, keys: Sequence[tuple[InputKey, Local]]) -> list[Told]:
        least = self.setting.minimum_group
        by = ", ".join(key.about for key, _ in keys)
        what = ", ".join(shown.text for shown in self.query.shown)
        having = " that meets HAVING" if self.query.having is not None else ""
        where = f"every group of {by}{having} with at least {least} rows" if keys else f"all rows, if at least {least}"
        lines = [_cut(f"the result rows: {what}; for {where}")]
        names = {a.name: a for a in self.query.aggregates}
        lines += [
            _cut(f"{names[shown.name].text} opens as its sum and its count")
            for shown in self.query.shown
            if shown.name in names and names[shown.name].function == "avg"
        ]
        if self.query.limit is not None:
            lines.append(f"also the result rows that LIMIT {self.query.limit} leaves out: it is applied after opening")
        if keys:
            lines.append("which groups are missing from the result, but not whether they are small or absent")
        return [
            Told(party=party, fact=Fact.RESULT_ROWS, about=line) for party in self.setting.recipients for line in lines
        ]

    def _outputs(self) -> list[Output]:
        names = {a.name: a for a in self.query.aggregates}
        return [
            Output(
                name=shown.title,
                type=shown.type,
                computed=(
                    f"{shown.text}, as sum divided by count"
                    if shown.name in names and names[shown.name].function == "avg"
                    else shown.text
                    if shown.name in names
                    else f"group key {shown.text}"
                ),
            )
            for shown in self.query.shown
        ]

    def _withheld(self) -> list[str]:
        assets = list(dict.fromkeys(owner.scan.asset.id for owner in self.owners.values()))
        exceptions = []
        if any(aggregate.function in ("min", "max") for aggregate in self.query.aggregates):
            exceptions.append("the MIN and MAX in the result rows")
        # SUM(CASE WHEN id = '...' THEN pay ELSE 0 END) is one person's pay, however large its group is.
        if any(not _plain(aggregate.argument) for aggregate in self.query.aggregates):
            exceptions.append("what the expressions inside its aggregates single out")
        but = f", but for {' and '.join(exceptions)}" if exceptions else ""
        lines = [f"any row or single value of {asset}{but}" for asset in assets]
        if len(assets) > 1:
            both = " and ".join(assets)
            lines += [f"who is in both {both}", f"how many are in both {both}, beyond the counts in the result rows"]
        if any(owner.valid for owner in self.owners.values()) or self.keep:
            lines.append("which rows meet the conditions")
        lines.append(f"anything of groups with fewer than {self.setting.minimum_group} rows")
        lines.append(f"sums, averages and extremes over fewer than {self.setting.minimum_group} non-null values")
        return lines


def _released(key: InputKey, value: Local) -> ReleasedKey:
    absent = len(key.categories) if key.kind == "codes" else (1 << key.width) - 1
    return ReleasedKey.model_validate(
        {
            "name": key.name,
            "type": value.type,
            "kind": key.kind,
            "categories": key.categories,
            "offset": key.offset,
            "absent": absent if value.nullable else -1,
        }
    )


def _plain(argument: Expression | None) -> bool:
    """Whether an aggregate's argument is every row, or a column as it is."""
    return argument is None or (
        isinstance(argument, Local) and argument.text in {f"{argument.table}.{column}" for column in argument.columns}
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
