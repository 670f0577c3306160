"""From a logical query to the steps of a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset
from lingqu.plan.choose import Work, aligning
from lingqu.plan.draft import Draft
from lingqu.plan.inputs import InputKey
from lingqu.plan.logical import Query, conjuncts, joins, scans
from lingqu.plan.plan import Plan, Setting
from lingqu.sql.aggregates import Aggregates
from lingqu.sql.circuit import Node, columns_of, work
from lingqu.sql.entering import Entering
from lingqu.sql.having import condition
from lingqu.sql.joining import Joining, lacking
from lingqu.sql.owners import Owner
from lingqu.sql.parse import Text
from lingqu.sql.releasing import Releasing, cut
from lingqu.sql.steps import DeriveArguments, GroupArguments, HavingArguments, MarkArguments
from lingqu.sql.values import Values


@dataclass
class Lowering:
    """The state of one compilation."""

    query: Query
    program: Program
    setting: Setting
    text: Text
    owners: dict[str, Owner] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.owners = {scan.alias: Owner(scan, place, self.text) for place, scan in enumerate(scans(self.query.source))}
        found = joins(self.query.source)
        first = next(iter(self.owners.values()))
        self.joining = Joining(
            self.owners, self.text, first.rows, partial(aligning, self.setting), nullable=lacking(found)
        )
        self.joining.plan(found)
        self.values = Values(self.owners, self.joining, self.text)
        self.aggregates = Aggregates(self.values, self.text, self.setting.minimum_group)

    def plan(self, assets: Mapping[str, Asset]) -> Plan:
        """The finished plan; BadInput, Refused and RangeError as the compiler documents them."""
        for predicate in conjuncts(self.query.source):
            self.values.condition(predicate)
        keys = [(self.values.owner(value).group_key(name, value), value) for name, value in self.query.keys]
        bound = min(self.values.rows, math.prod(count for (_, count), _ in keys)) if keys else 1
        for aggregate in self.query.aggregates:
            self.aggregates.add(aggregate)
        having = self._having()
        draft = Draft(self.setting)
        last = self._grouping(draft, self._rows(draft), [key for (key, _), _ in keys], max(bound, 1))
        if having is not None:
            last = draft.shared(
                "having",
                "having",
                [last],
                HavingArguments(condition=having).arguments(),
                [*work(having, bound), Work("filter", {"rows": bound})],
                reason="groups that fail HAVING, or rest on too few different rows of a table, are never opened",
            )
        shared = [(key, value) for (key, _), value in keys]
        releasing = Releasing(self.query, self.setting, self.aggregates, shared, max(bound, 1))
        releasing.steps(draft, last)
        read: dict[str, set[str]] = {}
        for owner in self.owners.values():
            read.setdefault(owner.scan.asset.id, set()).update(owner.read)
        columns = {name: sorted(found) for name, found in read.items()}
        return draft.plan(self.program, assets, columns, releasing.outputs(), self._withheld())

    def _having(self) -> Node | None:
        """HAVING, and that enough different rows of every table stand behind a group whose rows joins repeat."""
        parts = [] if self.query.having is None else [condition(self.query.having, False, self.aggregates.ratio)]
        least = Node(op="constant", value=str(self.setting.minimum_group))
        for owner in self.joining.repeated:
            name = f"r{owner.place}"
            self.aggregates.rows_of(name, name)
            parts.append(Node(op=">=", args=(Node(op="column", name=name), least)))
        return None if not parts else parts[0] if len(parts) == 1 else Node(op="and", args=tuple(parts))

    # Joins

    def _rows(self, draft: Draft) -> str:
        """Scans, inputs, joins, and what is derived across owners; returns the last step."""
        circuits = [*self.values.derived.values(), *self.values.keep]
        used = columns_of(circuits) | self.aggregates.columns()
        last = Entering(self.owners, self.joining, self.setting, used).steps(draft)
        if not circuits:
            return last
        effort = [item for circuit in circuits for item in work(circuit, self.values.rows)]
        effort += [Work("filter", {"rows": self.values.rows}) for _ in self.values.keep]
        arguments = DeriveArguments(columns=self.values.derived, keep=tuple(self.values.keep)).arguments()
        return draft.shared("derive", "derive", [last], arguments, effort, reason="conditions and values across owners")

    # Groups

    def _marking(self, draft: Draft, last: str, keys: Sequence[InputKey]) -> str:
        marks = self.aggregates.marks
        if not marks:
            return last
        widths = {key.name: key.width for owner in self.owners.values() for key in owner.keys}
        widths |= {f"r{owner.place}": max(owner.rows.bit_length(), 1) for owner in self.owners.values()}
        arguments = MarkArguments(keys=tuple(key.name for key in keys), marks=tuple(marks)).arguments()
        why = "different values, quantiles and squares, as columns to be summed a group"
        return draft.shared("mark", "mark", [last], arguments, self.aggregates.marking(widths, keys), reason=why)

    def _grouping(self, draft: Draft, last: str, keys: Sequence[InputKey], bound: int) -> str:
        last = self._marking(draft, last, keys)
        grouped = tuple(self.aggregates.grouped.values())
        arguments = GroupArguments(keys=tuple(key.name for key in keys), aggregates=grouped, bound=bound)
        effort = self.aggregates.grouping(sum(key.width for key in keys), bound)
        about = ", ".join(key.about for key in keys) or "all rows"
        return draft.shared("group", "group", [last], arguments.arguments(), [effort], reason=cut(f"groups by {about}"))

    def _withheld(self) -> list[str]:
        assets = list(dict.fromkeys(owner.scan.asset.id for owner in self.owners.values()))
        exceptions = self.aggregates.singled_out()
        but = f", but for {' and '.join(exceptions)}" if exceptions else ""
        lines = [f"any row or single value of {asset}{but}" for asset in assets]
        if len(assets) > 1:
            both = " and ".join(assets)
            lines += [f"who is in both {both}", f"how many are in both {both}, beyond the counts in the result rows"]
        if any(owner.valid for owner in self.owners.values()) or self.values.keep:
            lines.append("which rows meet the conditions")
        for owner in self.joining.repeated:
            many = f"fewer than {self.setting.minimum_group} different rows of {owner.scan.asset.id}"
            lines.append(f"anything of groups that rest on {many}, however often the join repeats them")
        lines.append(f"anything of groups with fewer than {self.setting.minimum_group} rows")
        lines.append(f"other aggregates over fewer than {self.setting.minimum_group} non-null values")
        return lines
