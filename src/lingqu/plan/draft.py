"""Steps before a mechanism is chosen, and how a plan is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import JsonValue

from lingqu.kinds.disclosure import Audience, Fact
from lingqu.kinds.mechanism import Cost, Declaration
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset, AssetUse
from lingqu.plan.choose import Work, choose, cost, effort, preparation
from lingqu.plan.plan import LOCAL, Output, Plan, Setting, Step, Told
from lingqu.plan.statement import compose


@dataclass
class _Line:
    step: Step
    work: Sequence[Work] | None


@dataclass
class Draft:
    """Collects steps in order; `plan` chooses one mechanism for all shared steps and composes the statement.

    One mechanism for the whole plan: shares of one mechanism mean nothing to another.
    manner: what the compute parties do with the rows, for the condition in the statement.
    """

    setting: Setting
    manner: str = "compute on shares"
    lines: list[_Line] = field(default_factory=list)

    def local(self, name: str, operator: str, owner: str, arguments: dict[str, JsonValue], reason: str) -> str:
        """Add a step that one owner does alone, whether it computes or not; returns its id."""
        step = Step(id=name, operator=operator, mechanism=LOCAL, parties=(owner,), arguments=arguments, reason=reason)
        self.lines.append(_Line(step, None))
        return name

    def shared(
        self,
        name: str,
        operator: str,
        inputs: Sequence[str],
        arguments: dict[str, JsonValue],
        work: Sequence[Work],
        *,
        reason: str = "",
        reveals: Sequence[Told] = (),
    ) -> str:
        """Add a step that all compute parties do under a mechanism; returns its id.

        An "input" of an owner that does not compute, and the "release", are steps of outside parties too.
        work: the operations it uses with their public sizes; their declared costs and disclosures become the step's.
        reason: what the step is for, put before the reason of the choice.  reveals: what this step tells beyond those.
        """
        step = Step(
            id=name,
            operator=operator,
            mechanism="",
            parties=(*self.setting.parties, *self._with(operator, arguments)),
            inputs=tuple(inputs),
            arguments=arguments,
            reason=reason,
            reveals=tuple(reveals),
        )
        self.lines.append(_Line(step, tuple(work)))
        return name

    def plan(
        self,
        program: Program,
        assets: Mapping[str, Asset],
        columns: Mapping[str, Sequence[str]],
        outputs: Sequence[Output],
        withheld: Sequence[str],
    ) -> Plan:
        """The finished plan.  assets: by id, those read.  columns: asset id → columns read.  withheld: said to owners.

        Refused (term "techniques") when no mechanism fits all shared steps.
        """
        work = [item for line in self.lines for item in line.work or ()]
        declaration, why = choose(self.setting, work)
        owners = tuple(dict.fromkeys(assets[name].owner for name in sorted(columns)))
        prepared = self._prepared(declaration)
        steps = tuple(
            self._finished(line, declaration, why, owners, extra)
            for line, extra in zip(self.lines, prepared, strict=True)
        )
        outside = self.setting.outside(owners)
        if outside:  # every party's consent is needed for the release, and of some their ear
            steps = tuple(
                step.model_copy(update={"parties": (*step.parties, *outside)}) if step.operator == "release" else step
                for step in steps
            )
        return Plan(
            program=program,
            parties=self.setting.parties,
            recipient=self.setting.recipient,
            minimum_group=self.setting.minimum_group,
            assets=tuple(asset_use(assets[name], columns[name]) for name in sorted(columns)),
            steps=steps,
            statement=compose(
                steps,
                self.setting,
                declaration.threat.among(len(self.setting.parties)),
                [assets[name] for name in sorted(columns)],
                withheld,
                self.manner,
            ),
            outputs=tuple(outputs),
            outside=outside,
            copies_to=self.setting.copies_to,
            adversary=self.setting.adversary,
        )

    def _with(self, operator: str, arguments: Mapping[str, JsonValue]) -> tuple[str, ...]:
        """The outside parties of a shared step."""
        return tuple({str(arguments["owner"])} - set(self.setting.parties)) if operator == "input" else ()

    def _prepared(self, declaration: Declaration) -> list[Cost]:
        """What each step adds to the preparation of those before it, since one session makes all correlations."""
        done, added = Cost(), []
        so_far: list[Work] = []
        for line in self.lines:
            so_far += line.work or ()
            now = preparation(declaration, so_far) if line.work else done
            added.append(Cost(max(now.rounds - done.rounds, 0), max(now.bytes - done.bytes, 0)))
            done = now
        return added

    def _finished(
        self, line: _Line, declaration: Declaration, why: str, owners: tuple[str, ...], prepared: Cost
    ) -> Step:
        if line.work is None:
            return line.step
        total = cost(declaration, line.work) + prepared
        audiences = {
            Audience.COMPUTE: self.setting.parties,
            Audience.OWNER: owners,
            Audience.RECIPIENT: self.setting.recipients,
        }
        declared = dict.fromkeys(
            Told(party=party, fact=reveals.fact, about=reveals.about)
            for item in line.work
            for reveals in declaration.operations[item.operation].reveals
            for party in audiences[reveals.to]
            # What a reveal tells its recipient is said by the step itself, in the words of the result.
            if not (reveals.to is Audience.RECIPIENT and reveals.fact is Fact.RESULT_ROWS)
        )
        return line.step.model_copy(
            update={
                "mechanism": declaration.name,
                "reason": f"{line.step.reason}; {why}" if line.step.reason else why,
                "rounds": total.rounds,
                "bytes": total.bytes,
                "effort": round(effort(declaration, line.work), 3),
                "reveals": (*declared, *line.step.reveals),
            }
        )


def asset_use(asset: Asset, columns: Sequence[str]) -> AssetUse:
    """An asset as plans name it; columns in the asset's own order."""
    return AssetUse(
        id=asset.id,
        version=asset.version,
        digest=asset.sha256(),
        columns=tuple(column.name for column in asset.columns if column.name in set(columns)),
    )
