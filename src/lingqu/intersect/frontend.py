"""From what is to be intersected to a plan: who scans which keys, by which protocol, and who learns what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lingqu.intersect.spec import IntersectSpec, TableSpec
from lingqu.kinds.disclosure import Fact
from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.mechanism import Declaration
from lingqu.kinds.parties import PartyName
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset, ColumnType
from lingqu.plan import scanning
from lingqu.plan.choose import Work
from lingqu.plan.draft import Draft
from lingqu.plan.frontend import OperatorFn
from lingqu.plan.outputs import FoundArguments, FoundColumn
from lingqu.plan.plan import Output, Plan, Setting, Told
from lingqu.plan.scanning import check_size, column_of, key_of, scanned, table_of
from lingqu.psi import Result, require_forms
from lingqu.psi.agreement import MOST_ASKED
from lingqu.psi.parts import parted
from lingqu.psi.runner import FOUND, Side, TableArguments
from lingqu.psi.tables import BOTH, ELEMENTS, MANY_TABLES, PUBLISHED, SIZE

MANNER = "intersect their keys under the protocol"
NAMED = 200
"""Characters that the names of the other tables may take in a line of the statement."""


class IntersectFrontend:
    """The frontend of programs of kind "intersect", whose text is an IntersectSpec as JSON."""

    operators: Mapping[str, OperatorFn] = {}

    def carries(self, declaration: Declaration) -> bool:
        """Mechanisms that intersect tables, in one way or another."""
        offered = {ELEMENTS, BOTH, SIZE, MANY_TABLES, PUBLISHED}
        return not declaration.ideal and not declaration.operations.keys().isdisjoint(offered)

    def parties(self, program: Program, assets: Mapping[str, Asset], asker: PartyName) -> tuple[PartyName, ...] | None:
        """The owners."""
        return tuple(table_of(assets, side.table).owner for side in IntersectSpec.parse(program.text).tables)

    def compile(self, program: Program, assets: Mapping[str, Asset], setting: Setting) -> Plan:
        """The plan of an intersection.

        BadInput: unknown table, column or form, a key of a type that is none, parameters (an intersection has none).
        Refused: recipients or parties that are not the owners, a table larger than agreed (term "set-size"), no
        mechanism that fits, or not the one that the program names (term "techniques").
        """
        if program.parameters:
            raise BadInput("An intersection has no open parameters.", "Write the values into the specification.")
        spec = IntersectSpec.parse(program.text)
        used = [table_of(assets, side.table) for side in spec.tables]
        _check(spec, used, setting)
        order = sorted(range(len(used)), key=lambda place: setting.parties.index(used[place].owner))
        sides, owned = [spec.tables[place] for place in order], [used[place] for place in order]
        return _Drafting(program, spec, sides, owned, _named(spec, setting)).plan()


FRONTEND = IntersectFrontend()


class _Drafting:
    """One compilation.  sides, assets: in the order of the parties."""

    def __init__(
        self, program: Program, spec: IntersectSpec, sides: list[TableSpec], assets: list[Asset], setting: Setting
    ) -> None:
        self.program = program
        self.spec = spec
        self.sides = sides
        self.assets = assets
        self.setting = setting
        self.receivers = [place for place, asset in enumerate(assets) if asset.owner in setting.recipients]

    def plan(self) -> Plan:
        """A scan each, the intersection, the release."""
        draft = Draft(self.setting, MANNER)
        scans = [self._scan(draft, place) for place in range(len(self.sides))]
        sized = self.spec.result == "size"
        arguments = TableArguments(
            sides=tuple(self._side(place) for place in range(len(self.sides))),
            forms=self.spec.forms,
            result=Result(self.spec.result),
            most=self.spec.part,
        )
        found = draft.shared(
            "intersect",
            "intersect",
            scans,
            arguments.arguments(),
            [self._work(sized)],
            reason=self._reason(sized),
            reveals=self._told(),
        )
        released = FoundArguments(
            columns={name: self._columns(name) for name in self.setting.recipients}, counted=FOUND if sized else None
        )
        least = f", from {self.setting.minimum_group} on" if sized else ""
        receivers = " and ".join(self.setting.recipients)
        draft.shared("release", "release", [found], released.arguments(), [], reason=f"given to {receivers}{least}")
        columns = {side.table: self._read(place) for place, side in enumerate(self.sides)}
        used = {asset.id: asset for asset in self.assets}
        return draft.plan(self.program, used, columns, self._outputs(), self._withheld())

    def _work(self, sized: bool) -> Work:
        """The operation of this program, with its public sizes; who receives stands first."""
        first = self.receivers[0]
        rows = [self.assets[first].rows, *(asset.rows for place, asset in enumerate(self.assets) if place != first)]
        recipients = len(self.setting.recipients)
        if len(rows) > 2:
            others = {f"rows{place}": count for place, count in enumerate(rows[1:], 1)}
            sizes = {"parties": len(rows), "leader": rows[0], "recipients": recipients, "most": self.spec.part}
            return Work(MANY_TABLES, sizes | others)
        sizes = {"left": rows[0], "right": rows[1], "recipients": recipients, "most": self.spec.part}
        if self.spec.published:
            return Work(PUBLISHED, sizes)
        return Work(SIZE if sized else BOTH if recipients == 2 else ELEMENTS, sizes)

    def _scan(self, draft: Draft, place: int) -> str:
        asset = self.assets[place]
        return draft.local(
            f"scan{place}",
            "scan",
            asset.owner,
            scanning.scan(asset, self._read(place)).arguments(),
            "the owner reads its own keys; rows without a key take no part",
        )

    def _side(self, place: int) -> Side:
        asset = self.assets[place]
        keys = tuple(scanned(asset, name) for name in self.sides[place].keys)
        shown = [] if self.spec.result == "size" else self._shown(place)
        return Side(rows=asset.rows, keys=keys, shown=tuple(shown))

    def _shown(self, place: int) -> list[str]:
        """The scanned columns of a recipient's result."""
        asset = self.assets[place]
        if asset.owner not in self.setting.recipients:
            return []
        columns = [scanned(asset, name) for name in self._read(place)]
        return [name for column in columns for name in (column.value, column.nulls) if name is not None]

    def _read(self, place: int) -> tuple[str, ...]:
        return (*self.sides[place].keys, *self.sides[place].columns)

    def _columns(self, recipient: PartyName) -> tuple[FoundColumn, ...]:
        if self.spec.result == "size":
            about = f"how many different keys are in both {self.sides[0].table} and {self.sides[1].table}"
            return (FoundColumn(title="size", type=ColumnType.INT, value=FOUND, about=about),)
        place = self.setting.parties.index(recipient)
        asset = self.assets[place]
        return tuple(
            FoundColumn(
                title=name,
                type=column.type,
                value=column.value,
                nulls=column.nulls,
                scale=column_of(asset, name).scale,
                about=f"{name} of the rows of {asset.id} whose key is in {self._others(place)} too",
            )
            for name in self._read(place)
            for column in [scanned(asset, name)]
        )

    def _others(self, place: int) -> str:
        names = " and ".join(asset.id for other, asset in enumerate(self.assets) if other != place)
        return names if len(names) <= NAMED else f"the other {len(self.assets) - 1} tables"

    def _outputs(self) -> list[Output]:
        return [
            Output(name=column.title, type=column.type, computed=f"{recipient}: {column.about}")
            for recipient in self.setting.recipients
            for column in self._columns(recipient)
        ]

    def _keys(self) -> str:
        pairs = zip(zip(*(side.keys for side in self.sides), strict=True), self.spec.forms, strict=True)
        return ", ".join(f"{' = '.join(names)} as {form}" for names, form in pairs)

    def _reason(self, sized: bool) -> str:
        if len(self.assets) > 2:
            parts = parted(tuple(asset.rows for asset in self.assets), most=self.spec.part)
            much = "in one part" if parts.count == 1 else f"in {parts.count} parts by a hash of the key"
            sizes = zip(parts.sizes, self.assets, strict=True)
            brought = ", ".join(f"{size} keys of {asset.id}" for size, asset in sizes)
            return f"{self._keys()}, {much}; {brought} a part, random ones among them"
        first, second = self.assets
        if self.spec.published:
            client, owner = (first, second) if self.receivers == [0] else (second, first)
            return (
                f"{self._keys()}; {owner.rows} keys of {owner.id} are published once to {client.owner} as tags, random "
                f"ones among them, and kept for this contract; costs are those of the first run"
            )
        parts = parted((first.rows, second.rows), whole=sized, most=self.spec.part)
        much = "in one part" if parts.count == 1 else f"in {parts.count} parts by a hash of the key"
        return (
            f"{self._keys()}, {much}; {parts.sizes[0]} keys of {first.id} and {parts.sizes[1]} of {second.id} a part, "
            "random ones among them"
        )

    def _told(self) -> tuple[Told, ...]:
        told = []
        for name in self.setting.recipients:
            place = self.setting.parties.index(name)
            own, others = self.assets[place].id, self._others(place)
            if self.spec.result == "size":
                least = self.setting.minimum_group
                about = f"how many different keys {own} and {others} have in common; its users see it from {least} on"
                told.append(Told(party=name, fact=Fact.INTERSECTION_SIZE, about=about))
            else:
                has = f"{others} has" if len(self.assets) == 2 else f"all of {others} have"
                about = f"of every row of {own} whether {has} its key too; no minimum group applies to rows"
                told.append(Told(party=name, fact=Fact.INTERSECTION, about=about))
        return tuple(told)

    def _withheld(self) -> list[str]:
        every = " and ".join(asset.id for asset in self.assets)
        where = "in both" if len(self.assets) == 2 else "in all"
        others = [party for party in self.setting.parties if party not in self.setting.recipients]
        foreign = (
            "a key that the other side does not have"
            if len(self.assets) == 2
            else "a key that not all sides have, or which of the others have it"
        )
        return [
            f"any value of {every} beside these keys, on the other side",
            foreign,
            f"how many rows of {every} have no key, and how many repeat one",
            *(f"which keys are {where}, or how many: {party} learns neither" for party in others),
            *([f"which keys are {where}"] if self.spec.result == "size" else []),
        ]


def _named(spec: IntersectSpec, setting: Setting) -> Setting:
    """The setting in which the program's own mechanism, where it names one, is all there is."""
    if spec.mechanism is None:
        return setting
    if spec.mechanism not in setting.techniques:
        raise Refused(
            f"The program names {spec.mechanism}, which is not among {', '.join(sorted(setting.techniques))}.",
            "Name one of them, or none.",
            term="techniques",
        )
    return replace(setting, techniques=(spec.mechanism,))


def _check(spec: IntersectSpec, used: list[Asset], setting: Setting) -> None:
    owners = [asset.owner for asset in used]
    for place, owner in enumerate(owners):
        if owner in owners[:place]:
            which = "Both" if len(owners) == 2 else "Two"
            raise BadInput(f"{which} tables are {owner}'s.", "Intersect them in its own database.")
    if set(setting.parties) != set(owners):
        raise Refused(f"An intersection is computed by {' and '.join(owners)}.", "Name these parties.", term="parties")
    _check_recipients(spec, owners, setting)
    require_forms(spec.forms)
    for side, asset in zip(spec.tables, used, strict=True):
        _check_side(side, asset, asset.owner in setting.recipients)
        if spec.published and asset.owner in setting.recipients:
            check_size(asset, MOST_ASKED)


def _check_recipients(spec: IntersectSpec, owners: list[str], setting: Setting) -> None:
    for name in setting.recipients:
        if name not in owners:
            owned = "neither table" if len(owners) == 2 else "none of the tables"
            raise Refused(
                f"{name} owns {owned} and cannot receive their intersection.",
                "Let an owner ask, or ask in SQL for numbers over the join.",
                term="recipients",
            )
    count = len(setting.recipients)
    if spec.published and count > 1:
        raise Refused("A table is published to one recipient.", "Name one.", term="recipients")
    if len(owners) > 2 and count not in (1, len(owners)):
        raise Refused(
            f"Of {len(owners)} owners one learns the intersection, or all do.", "Name one, or all.", term="recipients"
        )


def _check_side(side: TableSpec, asset: Asset, receives: bool) -> None:
    for name in side.keys:
        key_of(asset, name)
    for name in side.columns:
        column_of(asset, name)
    if side.columns and not receives:
        raise BadInput(f"{asset.owner} receives nothing, so it gets no columns of {asset.id}.", "Name none of them.")
    check_size(asset, side.largest)
