"""How the rows of a query's tables enter and are joined: scans, inputs, alignments and joins, in order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from lingqu.plan.choose import Work
from lingqu.plan.draft import Draft
from lingqu.plan.inputs import AlignArguments, Aligned, number_bits
from lingqu.plan.plan import Setting
from lingqu.sql.joining import Asking, Joining, Planned
from lingqu.sql.owners import Owner, absent_word


@dataclass
class Entering:
    """What the joined rows carry so far: how many columns, and the bits of their keys by name."""

    owners: Mapping[str, Owner]
    joining: Joining
    setting: Setting
    used: Collection[str]
    columns: int = 0
    bits: dict[str, int] = field(default_factory=dict)

    def steps(self, draft: Draft) -> str:
        """Add the steps to a draft; returns the last one's id."""
        first = next(iter(self.owners.values()))
        planned = list(self.joining.planned)
        asking = planned[0].asking if planned else None
        scanned = () if asking is None else (asking.asker.place, asking.keeper.place)
        entered = {
            owner.place: owner.scanning(draft, owner.arguments(self.used))
            if owner.place in scanned
            else owner.sharing(draft, self.used)
            for owner in self.owners.values()
        }
        if asking is not None:
            last = self._aligned(draft, entered, planned.pop(0), asking)
        else:
            last = entered[first.place]
            self.columns, self.bits = self._shared(first), {key.name: key.width for key in first.keys}
        for join in planned:
            last = self._joined(draft, last, entered[join.right.place], join)
        return last

    def _shared(self, owner: Owner) -> int:
        """How many of an owner's columns are shared."""
        return sum(1 for column in owner.columns if column.name in self.used)

    def _absent(self) -> dict[str, int]:
        return {
            key.name: absent_word(key)
            for alias in sorted(self.joining.nullable)
            for key in self.owners[alias].keys
            if key.kind != "hashed"
        }

    def _numbers(self, owner: Owner) -> str | None:
        """The name of row numbers to carry for a table whose rows joins repeat."""
        return f"r{owner.place}" if any(owner is one for one in self.joining.repeated) else None

    # Alignment

    def _aligned(self, draft: Draft, entered: Mapping[int, str], join: Planned, asking: Asking) -> str:
        names = {join.left.place: join.arguments.left, join.right.place: join.arguments.right}
        sides, carried = [], []
        for owner in (asking.asker, asking.keeper):
            numbers, on = self._numbers(owner), names[owner.place]
            sides.append(Aligned(rows=owner.arguments(self.used), on=on, numbers=numbers))
            bits = {key.name: key.width for key in owner.keys if key.name != on}
            bits |= {} if numbers is None else {numbers: number_bits(owner.rows)}
            carried.append((self._shared(owner) + (numbers is not None), bits))
        (own, own_bits), (more, more_bits) = carried
        self.columns, self.bits = own + more, own_bits | more_bits
        absent = self._absent()
        arguments = AlignArguments(
            asker=sides[0],
            keeper=sides[1],
            outer=asking.outer,
            repeated=asking.repeated,
            absent={name: absent[name] for name in more_bits if name in absent},
        )
        sizes = {
            "asked": asking.asker.rows,
            "held": asking.keeper.rows,
            "asked_columns": own,
            "held_columns": more,
            "asked_bits": sum(own_bits.values()),
            "held_bits": sum(more_bits.values()),
            "outer": int(asking.outer),
            "repeated": int(asking.repeated),
            "asker": self.setting.parties.index(asking.asker.scan.asset.owner),
            "keeper": self.setting.parties.index(asking.keeper.scan.asset.owner),
        }
        return draft.shared(
            f"join{join.right.place}",
            "align",
            [entered[asking.asker.place], entered[asking.keeper.place]],
            arguments.arguments(),
            [Work("align", sizes)],
            reason=join.reason,
        )

    # Sorting

    def _joined(self, draft: Draft, last: str, shared: str, join: Planned) -> str:
        right, arguments = join.right, join.arguments
        more, new_bits = self._shared(right), {key.name: key.width for key in right.keys}
        numbered = {} if (name := self._numbers(right)) is None else {name: 1}
        first = next(iter(self.owners.values()))
        if join is self.joining.planned[0] and (name := self._numbers(first)) is not None:
            numbered = {name: 0} | numbered
        for name, side in numbered.items():
            (new_bits if side else self.bits)[name] = number_bits(right.rows if side else join.left_rows)
        self.columns += sum(1 for side in numbered.values() if not side)
        more += sum(numbered.values())
        self.bits.pop(arguments.left)
        new_bits.pop(arguments.right)
        sizes = join.sizes | {
            "columns": self.columns + more,
            "left_columns": self.columns,
            "left_bits": sum(self.bits.values()),
            "right_bits": sum(new_bits.values()),
        }
        self.columns += more
        self.bits |= new_bits
        absent = self._absent()
        return draft.shared(
            f"join{right.place}",
            "join",
            [last, shared],
            arguments.model_copy(
                update={"absent": {n: absent[n] for n in self.bits if n in absent}, "numbered": numbered}
            ).arguments(),
            [Work("join" if arguments.unique == "both" else "join_rows", sizes)],
            reason=join.reason,
        )
