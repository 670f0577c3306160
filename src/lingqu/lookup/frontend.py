"""From what may be looked up to a plan: what the owner scans, what the lookup costs, who learns what."""

from __future__ import annotations

from collections.abc import Mapping

from lingqu.kinds.disclosure import Fact
from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.mechanism import Declaration
from lingqu.kinds.parties import PartyName
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset, ColumnType
from lingqu.lookup.spec import LookupSpec
from lingqu.lookup.steps import ASK, FOUND, LookupArguments, key_type
from lingqu.plan import scanning
from lingqu.plan.choose import Work
from lingqu.plan.draft import Draft
from lingqu.plan.frontend import OperatorFn
from lingqu.plan.outputs import FoundArguments, FoundColumn
from lingqu.plan.plan import Output, Plan, Setting, Told
from lingqu.plan.scanning import check_size, column_of, key_of, table_of
from lingqu.psi import require_forms

MANNER = "look keys up under the protocol"


class LookupFrontend:
    """The frontend of programs of kind "lookup", whose text is a LookupSpec as JSON."""

    operators: Mapping[str, OperatorFn] = {}

    def carries(self, declaration: Declaration) -> bool:
        """Mechanisms that let one party look up keys in another's table."""
        return not declaration.ideal and ASK in declaration.operations

    def parties(self, program: Program, assets: Mapping[str, Asset], asker: PartyName) -> tuple[PartyName, ...] | None:
        """Who asks, and the table's owner.  BadInput when they are one."""
        owner = table_of(assets, LookupSpec.parse(program.text).table).owner
        if owner == asker:
            raise BadInput(f"The table is {owner}'s own.", "Look it up in its own database.")
        return asker, owner

    def compile(self, program: Program, assets: Mapping[str, Asset], setting: Setting) -> Plan:
        """The plan of a lookup.

        BadInput: unknown table, column or form, keys that do not identify a row, parameters (a lookup has none).
        Refused: other parties or recipients than who asks and the owner, a table larger than agreed (term "set-size"),
        no mechanism that fits (term "techniques").
        """
        if program.parameters:
            raise BadInput("A lookup has no open parameters.", "Keys are given to each run.")
        spec = LookupSpec.parse(program.text)
        asset = table_of(assets, spec.table)
        _check(spec, asset, setting)
        return _Drafting(program, spec, asset, setting).plan()


FRONTEND = LookupFrontend()


class _Drafting:
    """One compilation."""

    def __init__(self, program: Program, spec: LookupSpec, asset: Asset, setting: Setting) -> None:
        self.program = program
        self.spec = spec
        self.asset = asset
        self.setting = setting
        self.asker = setting.recipient

    def plan(self) -> Plan:
        """The owner's scan, the lookup, the release."""
        spec, asset = self.spec, self.asset
        draft = Draft(self.setting, MANNER)
        scan = draft.local(
            "scan",
            "scan",
            asset.owner,
            scanning.scan(asset, (*spec.keys, *spec.columns)).arguments(),
            "the owner prepares its table once for this contract; rows without a key are left out",
        )
        arguments = LookupArguments(
            table=asset.id,
            asker=self.setting.parties.index(self.asker),
            rows=asset.rows,
            keys=tuple(scanning.scanned(asset, name) for name in spec.keys),
            forms=spec.forms,
            columns=tuple(scanning.scanned(asset, name) for name in spec.columns),
            queries=spec.queries,
            width=spec.width,
        )
        sizes = {"rows": asset.rows, "width": spec.width, "count": spec.queries}
        keys = ", ".join(f"{name} as {form}" for name, form in zip(spec.keys, spec.forms, strict=True))
        found = draft.shared(
            "lookup",
            "lookup",
            [scan],
            arguments.arguments(),
            [Work(ASK, sizes)],
            reason=f"{spec.queries} queries by {keys}, however many keys are asked; costs are those of the first run",
            reveals=[Told(party=self.asker, fact=Fact.RESULT_ROWS, about=self._about())],
        )
        released = FoundArguments(columns={self.asker: self._columns()})
        draft.shared("release", "release", [found], released.arguments(), [], reason=f"given to {self.asker}")
        columns = {asset.id: (*spec.keys, *spec.columns)}
        return draft.plan(self.program, {asset.id: asset}, columns, self._outputs(), self._withheld())

    def _about(self) -> str:
        what = ", ".join(self.spec.columns)
        return (
            f"for up to {self.spec.queries} keys of its choice a run, whether {self.asset.id} has each"
            + (f", and then {what} of its row" if what else "")
            + "; no minimum group applies to rows"
        )

    def _columns(self) -> tuple[FoundColumn, ...]:
        table = self.asset.id
        keys = [
            FoundColumn(
                title=name,
                type=key_type(column_of(self.asset, name).type),
                value=f"key{place}",
                nulls=f"key{place}_null",
                about=f"{name} as it was asked",
            )
            for place, name in enumerate(self.spec.keys)
        ]
        found = FoundColumn(title=FOUND, type=ColumnType.BOOL, value=FOUND, about=f"whether {table} has the key")
        values = [
            FoundColumn(
                title=name,
                type=column.type,
                value=f"value{place}",
                nulls=f"value{place}_null",
                scale=column.scale,
                about=f"{name} of the key's row in {table}",
            )
            for place, name in enumerate(self.spec.columns)
            for column in [column_of(self.asset, name)]
        ]
        return (*keys, found, *values)

    def _outputs(self) -> list[Output]:
        return [Output(name=one.title, type=one.type, computed=one.about) for one in self._columns()]

    def _withheld(self) -> list[str]:
        owner, table = self.asset.owner, self.asset.id
        return [
            f"which keys are asked, and whether {table} has them: {owner} learns neither, nor how many of the queries "
            "ask for something",
            f"any row of {table} whose key is not asked",
        ]


def _check(spec: LookupSpec, asset: Asset, setting: Setting) -> None:
    asker = setting.recipient
    if setting.recipients != (asker,) or asker == asset.owner:
        raise Refused(
            "What is looked up goes to the organisation that asks, and to it alone.", "Name it.", term="recipients"
        )
    if set(setting.parties) != {asker, asset.owner}:
        raise Refused(
            f"A lookup is computed by {asker} and {asset.owner}.", "Name these parties, or none.", term="parties"
        )
    require_forms(spec.forms)
    for name, form in zip(spec.keys, spec.forms, strict=True):
        if key_of(asset, name).type is ColumnType.DATE and form != "date/1":
            raise BadInput(f"{name} is a date, and {form} the form of none.", "Use date/1.")
    for name in spec.columns:
        column_of(asset, name)
    if FOUND in (*spec.keys, *spec.columns):
        raise BadInput(f"A column is called {FOUND}, as one of the result's.", "Register it under another name.")
    single = len(spec.keys) == 1 and asset.profile[spec.keys[0]].unique
    if not single and set(asset.key) != set(spec.keys):
        raise BadInput(
            f"{', '.join(spec.keys)} may have several rows in {asset.id}.",
            "Look up by columns that identify a row: the table's key, or a column without repeats.",
        )
    check_size(asset, spec.largest)
