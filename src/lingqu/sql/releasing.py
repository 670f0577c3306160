"""What of a query's groups is sealed and opened, and what that tells whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lingqu.kinds.disclosure import Fact
from lingqu.kinds.schema import ColumnType
from lingqu.plan.choose import Work, opening
from lingqu.plan.draft import Draft
from lingqu.plan.inputs import InputKey
from lingqu.plan.logical import Local, Query
from lingqu.plan.outputs import Order, ReleaseArguments, ReleasedColumn, ReleasedKey
from lingqu.plan.plan import Output, Setting, Told
from lingqu.sql.aggregates import EXTREMES, SPREAD, Aggregates, opened
from lingqu.sql.owners import absent_word
from lingqu.sql.ranking import ranking_work
from lingqu.sql.steps import ROWS, Ranked, SealArguments, Wide

LONGEST = 300
DIGITS = 3
"""Columns of a value that is sealed as digits."""


@dataclass
class Releasing:
    """The end of one query.  keys: group keys as shared.  bound: rows of the groups."""

    query: Query
    setting: Setting
    aggregates: Aggregates
    keys: Sequence[tuple[InputKey, Local]]
    bound: int
    columns: list[ReleasedColumn] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    guards: dict[str, str] = field(default_factory=dict)
    wide: list[Wide] = field(default_factory=list)

    def __post_init__(self) -> None:
        for shown in self.query.shown:
            if shown.name in self.aggregates.summed:
                self._value(shown.name, shown.title, shown.type, shown.tens)
            else:
                self.columns.append(
                    ReleasedColumn(title=shown.title, type=shown.type, kind="key", value=shown.name, scale=shown.tens)
                )
        order = self._ranked()
        limit = self.query.limit
        self.top = limit if limit is not None and order is not None and 0 < limit < self.bound else 0
        self.order = order if self.top and order is not None else ()

    def _value(self, name: str, title: str, kind: ColumnType, tens: int) -> None:
        """A result column of an aggregate, what is sealed for it, and the counts that guard it."""
        summed, aggregate = self.aggregates.summed[name], self.aggregates.functions[name]
        if summed.wide is not None:
            self.wide.append(summed.wide)
            kind = ColumnType.DECIMAL if kind is ColumnType.INT else kind  # beyond 64 bits
        else:
            self.values[name] = summed.column
        guarded = aggregate.function != "count" and summed.counted != ROWS
        if guarded:
            self.guards[name] = summed.counted
        by, form = None, "value"
        if aggregate.function == "avg" or aggregate.function in SPREAD:
            by, form = f"{name}n", "ratio" if aggregate.function == "avg" else aggregate.function
            self.values[by] = summed.counted
            if guarded:
                self.guards[by] = summed.counted
        fields = {"title": title, "type": kind, "kind": form, "value": name, "by": by, "divisor": summed.divisor}
        less = int(aggregate.function in SPREAD and not aggregate.whole)
        self.columns.append(ReleasedColumn.model_validate(fields | {"less": less, "scale": tens}))

    def _ranked(self) -> tuple[Ranked, ...] | None:
        """The order as values on shares; None where it needs values that exist only after opening."""
        keys = {key.name: (key, value) for key, value in self.keys}
        found = []
        for name, descending, nulls_first in self.query.order:
            entry: dict[str, object] = {"value": name, "descending": descending, "nulls_last": not nulls_first}
            if name in keys:
                key, value = keys[name]
                if list(key.categories) != sorted(key.categories):
                    return None
                entry |= {"absent": absent_word(key) if value.nullable else -1, "bits": key.width + 1}
            else:
                function = self.aggregates.functions[name].function
                if function == "avg" or self.aggregates.summed[name].wide is not None:
                    return None
                entry["bits"] = 63 if function in EXTREMES else self.aggregates.summed[name].bits
            found.append(Ranked.model_validate(entry))
        return tuple(found)

    def steps(self, draft: Draft, last: str) -> None:
        """Add the steps "seal" and "release" to a draft."""
        names = {*self.values, *(made.name for made in self.wide)}
        fractions = {n: s.fraction for n, s in self.aggregates.summed.items() if n in names and s.fraction}
        width = len(self.values) + len(self.keys) + DIGITS * len(self.wide)
        digits = [
            Work(
                "wide_digits" if made.total is None else "scatter_digits",
                {"rows": self.bound, "limbs": len(made.limbs)},
            )
            for made in self.wide
        ]
        ranking = ranking_work(self.order, self.bound, list(self.guards), width) if self.top else []
        sealed = draft.shared(
            "seal",
            "seal",
            [last],
            SealArguments(
                keys=tuple(key.name for key, _ in self.keys),
                values=self.values,
                guards=self.guards,
                fractions=fractions,
                wide=tuple(self.wide),
                order=self.order,
                top=self.top,
            ).arguments(),
            [
                *(Work("to_shared", {"rows": self.bound, "columns": 1, "bits": key.width}) for key, _ in self.keys),
                *digits,
                *ranking,
            ],
            reason="values wait under shares for the release",
        )
        places = [shown.name for shown in self.query.shown]
        arguments = ReleaseArguments(
            kind="table",
            keys=tuple(_released(key, value) for key, value in self.keys),
            columns=tuple(self.columns),
            order=tuple(
                Order(column=places.index(name), descending=down, nulls_first=first)
                for name, down, first in self.query.order
            ),
            limit=self.query.limit,
            top=bool(self.top),
        ).arguments()
        why = f"groups of fewer than {self.setting.minimum_group} rows are zeroed under the protocol, then opened"
        draft.shared("release", "release", [sealed], arguments, self._opening(width), reason=why, reveals=self._told())

    def _opening(self, width: int) -> list[Work]:
        rows, flags = self.top or self.bound, 1 + len(self.guards)
        return [
            Work("less_than", {"rows": rows * flags, "columns": 1}),
            Work("logical_and", {"rows": rows * flags, "bits": 1}),
            *([Work("logical_and", {"rows": rows * len(self.guards), "bits": 1})] if self.guards else []),
            Work("inject", {"rows": rows * flags}),
            Work("multiply", {"rows": rows, "columns": width}),
            *([Work("shuffle", {"rows": rows, "columns": width + flags})] if rows > 1 else []),
            *opening(self.setting, rows, width + flags),
        ]

    def _told(self) -> list[Told]:
        least, limit = self.setting.minimum_group, self.query.limit
        by = ", ".join(key.about for key, _ in self.keys)
        what = ", ".join(shown.text for shown in self.query.shown)
        having = " that meets HAVING" if self.query.having is not None else ""
        where = f"every group of {by}{having} with at least {least} rows"
        if not self.keys:
            where = f"all rows, if at least {least}"
        if self.top:
            where = f"the first {limit} in the order of the query of {where}"
        lines = [cut(f"the result rows: {what}; for {where}")]
        functions = self.aggregates.functions
        lines += [
            cut(f"{functions[shown.name].text} opens as {opened(functions[shown.name])}")
            for shown in self.query.shown
            if shown.name in functions and opened(functions[shown.name])
        ]
        if limit is not None and not self.top and limit < self.bound:
            lines.append(f"also the result rows that LIMIT {limit} leaves out: it is applied after opening")
        if self.keys and not self.top:
            lines.append("which groups are missing from the result, but not whether they are small or absent")
        return [
            Told(party=party, fact=Fact.RESULT_ROWS, about=line) for party in self.setting.recipients for line in lines
        ]

    def outputs(self) -> list[Output]:
        """The result columns as the plan tells them."""
        found = []
        for shown, column in zip(self.query.shown, self.columns, strict=True):
            aggregate = self.aggregates.functions.get(shown.name)
            if aggregate is None:
                computed = f"group key {shown.text}"
            else:
                computed = f"{shown.text}, as sum divided by count" if aggregate.function == "avg" else shown.text
            found.append(Output(name=shown.title, type=column.type, computed=computed))
        return found


def _released(key: InputKey, value: Local) -> ReleasedKey:
    return ReleasedKey.model_validate(
        {
            "name": key.name,
            "type": value.type,
            "kind": key.kind,
            "categories": key.categories,
            "offset": key.offset,
            "absent": absent_word(key) if value.nullable else -1,
            "scale": value.tens,
        }
    )


def cut(text: str) -> str:
    """A text of at most LONGEST characters."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
