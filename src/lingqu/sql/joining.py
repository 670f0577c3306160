"""How many rows joins can have, from how often keys repeat, and which kind of join each is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lingqu.kinds.errors import RangeError
from lingqu.plan.choose import Aligning
from lingqu.plan.inputs import ALIGNED_BITS, key_width
from lingqu.plan.logical import Join, Local, scans
from lingqu.sql.owners import Owner
from lingqu.sql.parse import Text
from lingqu.sql.steps import JoinArguments

MAX_JOINED = 1 << 26
"""More rows than this after a join are refused before the run."""


@dataclass(frozen=True)
class Asking:
    """A join done by alignment: whose rows stay, and whose are looked up.  outer, repeated: as in AlignArguments."""

    asker: Owner
    keeper: Owner
    outer: bool
    repeated: bool


@dataclass(frozen=True)
class Planned:
    """One join as it will be done.

    left_rows, rows: public rows of its left input and of its result.  most: how often a key may occur on the two sides.
    asking: None where shared rows are sorted.  why: the reason for that choice.
    """

    join: Join
    left: Owner
    right: Owner
    left_rows: int
    rows: int
    width: int
    arguments: JoinArguments
    most: tuple[int, int]
    asking: Asking | None
    why: str

    @property
    def reason(self) -> str:
        """What the join does and how, for the plan's reader."""
        kept = {"inner": "", "left": "left rows stay, ", "right": "right rows stay, ", "full": "all rows stay, "}
        often = ", ".join(f"{most} times" if most > 1 else "once" for most in self.most)
        about = self.right.keys[[key.name for key in self.right.keys].index(self.arguments.right)].about
        repeats = f" (keys occur at most {often})" if self.arguments.unique != "both" else ""
        how = "by sorting shared rows" if self.asking is None else "by alignment"
        safe = f"; false matches below 2^-40 by {self.width}-bit salted hashes"
        return f"{kept[self.arguments.kind]}matches of {about} stay hidden{repeats}, {how}: {self.why}{safe}"

    @property
    def sizes(self) -> dict[str, int]:
        """The public sizes of the step, but for what moves with the rows."""
        sizes = {"left": self.left_rows, "right": self.right.rows, "bits": self.width}
        if self.arguments.unique == "both":
            return sizes
        kept = {"inner": 0, "left": 1, "right": 2, "full": 3}[self.arguments.kind]
        return sizes | (
            {"unique": 1 if self.arguments.unique == "left" else 2, "kept": kept}
            if self.arguments.unique != "none"
            else {"bound": self.arguments.bound, "kept": kept}
        )


@dataclass
class Joining:
    """The joins of a query in order, and what they do to the tables.

    copies: how often a row of a table can occur in the joined rows.  nullable: tables that rows may lack.
    aligning: whether two owners' tables can be aligned.
    """

    owners: Mapping[str, Owner]
    text: Text
    rows: int
    aligning: Callable[[str, str], Aligning]
    copies: dict[str, int] = field(default_factory=dict)
    nullable: set[str] = field(default_factory=set)
    planned: list[Planned] = field(default_factory=list)

    def plan(self, found: Sequence[Join]) -> None:
        """Plan the joins, and have the owners share their keys; BadInput or RangeError where one cannot be done."""
        for join in found:
            self._join(join)

    def _join(self, join: Join) -> None:
        right = self.owners[join.right.alias]
        sides = {str(left.table) for left, _ in join.on}
        if len(sides) > 1:
            raise self.text.error(
                join.on[0][0].offset,
                f"The key of the join with {right.scan.alias} has parts in {', '.join(sorted(sides))}.",
                "Let all parts on one side of a join key come from one table.",
            )
        left = self.owners[sides.pop()]
        if not self.copies:
            self.copies[next(iter(self.owners))] = 1
        own = _repeats(left, [pair[0] for pair in join.on])
        theirs = _repeats(right, [pair[1] for pair in join.on])
        lacking = left.scan.alias in self.nullable
        ours = self.rows if lacking else min(own * self.copies[left.scan.alias], self.rows)
        before, width = self.rows, key_width(max(self.rows, left.rows), right.rows)
        names = f"j{right.place}l", f"j{right.place}r"
        keep_left, keep_right = join.kind in ("left", "full"), join.kind in ("right", "full")
        unique, bound = "none", 0
        if ours <= 1 and theirs <= 1 and join.kind == "inner":
            unique, rows = "both", min(before, right.rows)
        elif theirs <= 1:
            unique, rows = "right", before + (right.rows if keep_right else 0)
        elif ours <= 1 and not lacking:
            unique, rows = "left", right.rows + (before if keep_left else 0)
        else:
            bound = max(1, min(before * theirs, right.rows * ours + (before if keep_left else 0)))
            rows = bound + (right.rows if keep_right else 0)
        if rows > MAX_JOINED:
            raise self.text.error(
                join.on[0][0].offset,
                f"The join with {right.scan.alias} can have {rows} rows, by how often its keys repeat.",
                f"At most {MAX_JOINED} can be joined: join on a key, or register tables with fewer rows a key.",
                RangeError,
            )
        asking, rows, why = self._asked(join, left, right, (own, theirs), rows)
        if asking is not None:
            ours, width = own, ALIGNED_BITS
        self.rows = rows
        self.copies = {alias: count * max(theirs, 1) for alias, count in self.copies.items()}
        self.copies[right.scan.alias] = max(ours, 1)
        left.join_key(names[0], [pair[0] for pair in join.on], width, own, drop=not keep_left)
        right.join_key(names[1], [pair[1] for pair in join.on], width, theirs, drop=not keep_right)
        arguments = JoinArguments.model_validate(
            {"left": names[0], "right": names[1], "kind": join.kind, "unique": unique, "bound": bound}
        )
        self.planned.append(Planned(join, left, right, before, rows, width, arguments, (ours, theirs), asking, why))

    def _asked(
        self, join: Join, left: Owner, right: Owner, most: tuple[int, int], rows: int
    ) -> tuple[Asking | None, int, str]:
        """The join by alignment where that is possible, how many rows it then has, and why it is so."""
        if self.planned:
            return None, rows, "the left side is joined already, so nobody knows its keys"
        possible = self.aligning(left.scan.asset.owner, right.scan.asset.owner)
        if possible.rows is None:
            return None, rows, possible.why
        choices = []
        if most[1] == 1 and join.kind in ("inner", "left"):
            choices.append((left, right, most[0]))
        if most[0] == 1 and join.kind in ("inner", "right"):
            choices.append((right, left, most[1]))
        if not choices:
            return None, rows, "both sides' rows stay or repeat their keys"
        asker, keeper, repeats = min(choices, key=lambda choice: choice[0].rows)
        found = possible.rows(asker.rows) if repeats == 1 else asker.rows
        return Asking(asker, keeper, join.kind != "inner", repeats > 1), found, possible.why

    @property
    def repeated(self) -> list[Owner]:
        """Tables whose rows can occur more than once in the joined rows."""
        return [self.owners[alias] for alias, count in self.copies.items() if count > 1]


def _repeats(owner: Owner, values: Sequence[Local]) -> int:
    """How often one key can occur among a table's rows; a table without rows counts as having one."""
    asset = owner.scan.asset
    named = {column for value in values for column in value.columns}
    if asset.key and set(asset.key) <= named:
        return 1
    known = [value.repeats for value in values if value.repeats is not None]
    return max(1, min([asset.rows, *known]))


def lacking(found: Sequence[Join]) -> set[str]:
    """Aliases of the tables that a row can lack: those on the other side of what an outer join keeps."""
    missing: set[str] = set()
    for join in found:
        if join.kind in ("left", "full"):
            missing.add(join.right.alias)
        if join.kind in ("right", "full"):
            missing |= {scan.alias for scan in scans(join.left)}
    return missing
