"""The plan: what is signed, run, explained and audited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints, model_validator

from lingqu.kinds.disclosure import Fact, Statement
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import BadInput
from lingqu.kinds.mechanism import Adversary, Registry
from lingqu.kinds.parties import PartyName
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import AssetUse, ColumnType

StepId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
LOCAL = "local"
"""The mechanism of a step that one owner computes on its own rows, sending nothing."""


@dataclass(frozen=True)
class Setting:
    """Who computes, who receives, and what the contract allows.

    parties: the compute parties in protocol order.  recipient: the party that learns the result.
    minimum_group: rows that a released value must rest on.  adversary: what the mechanism must withstand.
    techniques: names of the mechanisms that may be used.  registry: what is installed.
    """

    parties: tuple[PartyName, ...]
    recipient: PartyName
    minimum_group: int
    adversary: Adversary
    techniques: tuple[str, ...]
    registry: Registry

    def __post_init__(self) -> None:
        if self.minimum_group < 2:
            raise BadInput(f"A minimum group of {self.minimum_group} rows protects nobody.", "Ask for at least 2.")
        if len(set(self.parties)) != len(self.parties):
            raise BadInput("A compute party is named twice.", "Name each compute party once.")
        if self.recipient not in self.parties:
            raise BadInput(
                f"The recipient {self.recipient} is none of the compute parties {', '.join(self.parties)}.",
                "Let the recipient's node take part as a compute party.",
            )


class Told(Document):
    """This step lets this party learn this fact."""

    party: PartyName
    fact: Fact
    about: Annotated[str, StringConstraints(max_length=400)]


class Step(Document):
    """One node of the plan.

    operator: what is done ("scan", "input", "join", "group", "release", ...).  mechanism: "local", or a declared one.
    inputs: ids of earlier steps whose results it takes.  arguments: everything public that it needs, JSON-ready.
    reason: why this mechanism.  rounds, bytes: declared cost (payload of all parties).  reveals: who learns what.
    """

    id: StepId
    operator: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
    mechanism: str
    parties: tuple[PartyName, ...]
    inputs: tuple[StepId, ...] = ()
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    reason: str
    rounds: Annotated[int, Field(ge=0)] = 0
    bytes: Annotated[int, Field(ge=0)] = 0
    reveals: tuple[Told, ...] = ()


class Output(Document):
    """A result column (or a model's value): its name, its type, and how it is computed, in words."""

    name: str
    type: ColumnType
    computed: str


class Plan(Document):
    """A program compiled against the catalogue: equal inputs give equal bytes at every node.

    parties: compute parties in protocol order.  assets: what is read, at which version, which columns.
    steps: in an order in which they can run; the last one releases.  statement: composed from the steps' reveals.
    `sha256()` is the plan's digest.
    """

    version: Literal[1] = 1
    program: Program
    parties: tuple[PartyName, ...]
    recipient: PartyName
    minimum_group: Annotated[int, Field(ge=2)]
    assets: tuple[AssetUse, ...]
    steps: tuple[Step, ...]
    statement: Statement
    outputs: tuple[Output, ...]

    @model_validator(mode="after")
    def _ordered(self) -> Plan:
        seen: set[str] = set()
        for step in self.steps:
            if step.id in seen or not seen.issuperset(step.inputs):
                raise ValueError(f"step {step.id} stands twice or before its inputs")
            if not set(self.parties).issuperset(step.parties):
                raise ValueError(f"step {step.id} names a party that does not compute")
            seen.add(step.id)
        if not self.steps or self.steps[-1].operator != "release":
            raise ValueError("the last step is no release")
        if self.recipient not in self.parties:
            raise ValueError("the recipient does not compute")
        if any(step.operator == "release" for step in self.steps[:-1]):
            raise ValueError("a plan has one release, its last step")
        return self

    def step(self, name: str) -> Step:
        """The step of that id; KeyError when there is none."""
        for step in self.steps:
            if step.id == name:
                return step
        raise KeyError(name)
