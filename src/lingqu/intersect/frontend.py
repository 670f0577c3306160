"""From what is to be intersected to a plan: who scans which keys, by which protocol, and who learns what."""

from __future__ import annotations

from collections.abc import Mapping

from lingqu.intersect.spec import IntersectSpec, TableSpec
from lingqu.kinds.disclosure import Fact
from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.mechanism import Declaration
from lingqu.kinds.parties import PartyName
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset, Column, ColumnType
from lingqu.plan.choose import Work
from lingqu.plan.draft import Draft
from lingqu.plan.frontend import OperatorFn
from lingqu.plan.inputs import Projected, ScanArguments
from lingqu.plan.outputs import FoundArguments, FoundColumn
from lingqu.plan.plan import Output, Plan, Setting, Told
from lingqu.psi import Result, require_forms
from lingqu.psi.parts import parted
from lingqu.psi.runner import FOUND, Key, KeyType, Side, TableArguments
from lingqu.psi.tables import BOTH, ELEMENTS, SIZE

MANNER = "intersect their keys under the protocol"
_EMPTY = {
    ColumnType.BOOL: "FALSE",
    ColumnType.INT: "0",
    ColumnType.REAL: "0",
    ColumnType.STRING: "''",
    ColumnType.DATE: "DATE '1970-01-01'",
}


class IntersectFrontend:
    """The frontend of programs of kind "intersect", whose text is an IntersectSpec as JSON."""

    operators: Mapping[str, OperatorFn] = {}

    def carries(self, declaration: Declaration) -> bool:
        """Mechanisms that intersect tables, in one way or another."""
        return not declaration.ideal and not declaration.operations.keys().isdisjoint({ELEMENTS, BOTH, SIZE})

    def parties(self, program: Program, assets: Mapping[str, Asset], asker: PartyName) -> tuple[PartyName, ...] | None:
        """The two owners."""
        return tuple(_asset(assets, side.table).owner for side in IntersectSpec.parse(program.text).tables)

    def compile(self, program: Program, assets: Mapping[str, Asset], setting: Setting) -> Plan:
        """The plan of an intersection.

        BadInput: unknown table, column or form, a key of a type that is none, parameters (an intersection has none).
        Refused: recipients or parties that are not the two owners, a table larger than agreed (term "set-size"), no
        mechanism that fits (term "techniques").
        """
        if program.parameters:
            raise BadInput("An intersection has no open parameters.", "Write the values into the specification.")
        spec = IntersectSpec.parse(program.text)
        used = [_asset(assets, side.table) for side in spec.tables]
        _check(spec, used, setting)
        order = sorted((0, 1), key=lambda place: setting.parties.index(used[place].owner))
        return _Drafting(
            program, spec, [spec.tables[place] for place in order], [used[place] for place in order], setting
        ).plan()


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
        self.rows = (assets[0].rows, assets[1].rows)

    def plan(self) -> Plan:
        """Two scans, the intersection, the release."""
        draft = Draft(self.setting, MANNER)
        scans = [self._scan(draft, place) for place in (0, 1)]
        sized = self.spec.result == "size"
        arguments = TableArguments(
            sides=(self._side(0), self._side(1)),
            forms=self.spec.forms,
            result=Result(self.spec.result),
            most=self.spec.part,
        )
        receiver = min(self.setting.parties.index(name) for name in self.setting.recipients)
        sizes = {
            "left": self.rows[receiver],
            "right": self.rows[1 - receiver],
            "recipients": len(self.setting.recipients),
            "most": self.spec.part,
        }
        found = draft.shared(
            "intersect",
            "intersect",
            scans,
            arguments.arguments(),
            [Work(SIZE if sized else BOTH if len(self.setting.recipients) == 2 else ELEMENTS, sizes)],
            reason=self._reason(sized),
            reveals=self._told(),
        )
        released = FoundArguments(
            columns={name: self._columns(name) for name in self.setting.recipients}, counted=FOUND if sized else None
        )
        receivers = " and ".join(self.setting.recipients)
        least = f", if {self.setting.minimum_group} keys or more are in both" if sized else ", each its own rows"
        draft.shared("release", "release", [found], released.arguments(), [], reason=f"given to {receivers}{least}")
        columns = {side.table: self._read(place) for place, side in enumerate(self.sides)}
        used = {asset.id: asset for asset in self.assets}
        return draft.plan(self.program, used, columns, self._outputs(), self._withheld())

    def _scan(self, draft: Draft, place: int) -> str:
        side, asset = self.sides[place], self.assets[place]
        projections = []
        for name in self._read(place):
            column = _column(asset, name)
            label = _label(asset, name)
            projections.append(Projected(name=label, sql=_value(column)))
            if column.nullable:
                projections.append(Projected(name=f"{label}_null", sql=f"({_quoted(name)} IS NULL)"))
        return draft.local(
            f"scan{place}",
            "scan",
            asset.owner,
            ScanArguments(asset=side.table, projections=tuple(projections)).arguments(),
            "the owner reads its own keys; rows without a key take no part",
        )

    def _side(self, place: int) -> Side:
        side, asset = self.sides[place], self.assets[place]
        keys = []
        for name in side.keys:
            column = _column(asset, name)
            label = _label(asset, name)
            nulls = f"{label}_null" if column.nullable else None
            keys.append(Key(value=label, type=_key_type(column), nulls=nulls))
        shown = [] if self.spec.result == "size" else self._shown(place)
        return Side(rows=asset.rows, keys=tuple(keys), shown=tuple(shown))

    def _shown(self, place: int) -> list[str]:
        """The scanned columns of a recipient's result."""
        asset = self.assets[place]
        if asset.owner not in self.setting.recipients:
            return []
        names = []
        for name in self._read(place):
            names.append(_label(asset, name))
            if _column(asset, name).nullable:
                names.append(f"{names[-1]}_null")
        return names

    def _read(self, place: int) -> tuple[str, ...]:
        return (*self.sides[place].keys, *self.sides[place].columns)

    def _columns(self, recipient: PartyName) -> tuple[FoundColumn, ...]:
        if self.spec.result == "size":
            about = f"how many different keys are in both {self.sides[0].table} and {self.sides[1].table}"
            return (FoundColumn(title="size", type=ColumnType.INT, value=FOUND, about=about),)
        place = self.setting.parties.index(recipient)
        asset, other = self.assets[place], self.assets[1 - place]
        return tuple(
            FoundColumn(
                title=name,
                type=column.type,
                value=_label(asset, name),
                nulls=f"{_label(asset, name)}_null" if column.nullable else None,
                scale=column.scale,
                about=f"{name} of the rows of {asset.id} whose key is in {other.id} too",
            )
            for name in self._read(place)
            for column in [_column(asset, name)]
        )

    def _outputs(self) -> list[Output]:
        return [
            Output(name=column.title, type=column.type, computed=f"{recipient}: {column.about}")
            for recipient in self.setting.recipients
            for column in self._columns(recipient)
        ]

    def _keys(self) -> str:
        pairs = zip(self.sides[0].keys, self.sides[1].keys, self.spec.forms, strict=True)
        return ", ".join(f"{one} = {two} as {form}" for one, two, form in pairs)

    def _reason(self, sized: bool) -> str:
        parts = parted(self.rows, whole=sized, most=self.spec.part)
        first, second = parts.sizes
        much = "in one part" if parts.count == 1 else f"in {parts.count} parts by a hash of the key"
        return (
            f"{self._keys()}, {much}; {first} keys of {self.assets[0].id} and {second} of {self.assets[1].id} a part, "
            "random ones among them"
        )

    def _told(self) -> tuple[Told, ...]:
        told = []
        for name in self.setting.recipients:
            place = self.setting.parties.index(name)
            own, other = self.assets[place].id, self.assets[1 - place].id
            if self.spec.result == "size":
                least = self.setting.minimum_group
                about = f"how many different keys {own} and {other} have in common; its users see it from {least} on"
                told.append(Told(party=name, fact=Fact.INTERSECTION_SIZE, about=about))
            else:
                about = f"of every row of {own} whether {other} has its key too; no minimum group applies to rows"
                told.append(Told(party=name, fact=Fact.INTERSECTION, about=about))
        return tuple(told)

    def _withheld(self) -> list[str]:
        both = " and ".join(asset.id for asset in self.assets)
        others = [party for party in self.setting.parties if party not in self.setting.recipients]
        return [
            f"any value of {both} beside these keys, on the other side",
            "a key that the other side does not have",
            f"how many rows of {both} have no key, and how many repeat one",
            *(f"which keys are in both, or how many: {party} learns neither" for party in others),
            *(["which keys are in both"] if self.spec.result == "size" else []),
        ]


def _check(spec: IntersectSpec, used: list[Asset], setting: Setting) -> None:
    owners = [asset.owner for asset in used]
    if len(set(owners)) == 1:
        raise BadInput(f"Both tables are {owners[0]}'s.", "Intersect them in its own database.")
    if set(setting.parties) != set(owners):
        raise Refused(f"An intersection is computed by {' and '.join(owners)}.", "Name these parties.", term="parties")
    for name in setting.recipients:
        if name not in owners:
            raise Refused(
                f"{name} owns neither table and cannot receive their intersection.",
                "Let an owner ask, or ask in SQL for numbers over the join.",
                term="recipients",
            )
    require_forms(spec.forms)
    for side, asset in zip(spec.tables, used, strict=True):
        _check_side(side, asset, asset.owner in setting.recipients)


def _check_side(side: TableSpec, asset: Asset, receives: bool) -> None:
    for name in side.keys:
        _key_type(_column(asset, name))
    for name in side.columns:
        _column(asset, name)
    if side.columns and not receives:
        raise BadInput(f"{asset.owner} receives nothing, so it gets no columns of {asset.id}.", "Name none of them.")
    if side.largest is not None and asset.rows > side.largest:
        raise Refused(
            f"{asset.id} has {asset.rows} rows, {side.largest} are the most that is asked for.",
            "Agree on more, or register a smaller table.",
            term="set-size",
        )


def _asset(assets: Mapping[str, Asset], table: str) -> Asset:
    if table not in assets:
        raise BadInput(f"There is no table {table!r}.", f"Known: {', '.join(sorted(assets)) or 'none'}.")
    return assets[table]


def _column(asset: Asset, name: str) -> Column:
    column = asset.column(name)
    if column is None:
        raise BadInput(f"{asset.id} has no column {name!r}.", f"It has {', '.join(c.name for c in asset.columns)}.")
    return column


def _key_type(column: Column) -> KeyType:
    kind = column.type
    if kind is ColumnType.STRING or kind is ColumnType.INT or kind is ColumnType.DATE:
        return kind
    raise BadInput(f"{column.name} is {kind.value}, which is no key.", "Use texts, whole numbers or dates as keys.")


def _label(asset: Asset, name: str) -> str:
    return f"c{[column.name for column in asset.columns].index(name)}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _value(column: Column) -> str:
    """A column as a scan gives it, null nowhere: decimals and timestamps as whole numbers."""
    name = _quoted(column.name)
    if column.type is ColumnType.TIMESTAMP:
        return f"COALESCE(epoch_us({name}), 0)"
    if column.type is ColumnType.DECIMAL:
        return f"COALESCE(CAST({name} * {10**column.scale} AS BIGINT), 0)"
    return f"COALESCE({name}, {_EMPTY[column.type]})"
