"""The plan: what is signed, run, explained and audited."""

from __future__ import annotations

import math
from collections.abc import Iterable
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

    parties: the compute parties in protocol order.  recipient: the party that learns the result; copies_to: others that
    learn it too.  Recipients and owners need not compute: they then send or receive shares as outside parties.
    minimum_group: rows that a released value must rest on.  adversary: what the mechanism must withstand.
    techniques: names of the mechanisms that may be used.  registry: what is installed.
    latency, bandwidth: of the network between the parties, seconds one way and bytes a second from all parties
    together; None takes the reference network.  They only weigh in the choice among mechanisms that fit.
    """

    parties: tuple[PartyName, ...]
    recipient: PartyName
    minimum_group: int
    adversary: Adversary
    techniques: tuple[str, ...]
    registry: Registry
    copies_to: tuple[PartyName, ...] = ()
    latency: float | None = None
    bandwidth: float | None = None

    def __post_init__(self) -> None:
        if self.minimum_group < 2:
            raise BadInput(f"A minimum group of {self.minimum_group} rows protects nobody.", "Ask for at least 2.")
        if len(set(self.parties)) != len(self.parties):
            raise BadInput("A compute party is named twice.", "Name each compute party once.")
        if len(set(self.recipients)) != len(self.recipients):
            raise BadInput("A recipient is named twice.", "Name each recipient once.")
        for name, value in (("latency", self.latency), ("bandwidth", self.bandwidth)):
            if value is not None and not (0 <= value < math.inf and (value > 0 or name == "latency")):
                raise BadInput(f"A {name} of {value} cannot be.", "Give seconds, or bytes a second above 0.")

    @property
    def recipients(self) -> tuple[PartyName, ...]:
        """All that learn the result."""
        return (self.recipient, *self.copies_to)

    def outside(self, owners: Iterable[PartyName]) -> tuple[PartyName, ...]:
        """Owners and recipients that do not compute, sorted."""
        return tuple(sorted({*owners, *self.recipients} - set(self.parties)))


class Told(Document):
    """This step lets this party learn this fact."""

    party: PartyName
    fact: Fact
    about: Annotated[str, StringConstraints(max_length=400)]


class Step(Document):
    """One node of the plan.

    operator: what is done ("scan", "input", "join", "group", "release", ...).  mechanism: "local", or a declared one.
    inputs: ids of earlier steps whose results it takes.  arguments: everything public that it needs, JSON-ready.
    reason: why this mechanism.  rounds, bytes: declared cost (payload of all parties), with the making of correlations
    where the mechanism has some.  reveals: who learns what.  effort: seconds of a processor core beside the messages,
    where the mechanism declares them.
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
    effort: Annotated[float, Field(ge=0)] = Field(default=0.0, exclude_if=lambda seconds: not seconds)


class Output(Document):
    """A result column (or a model's value): its name, its type, and how it is computed, in words."""

    name: str
    type: ColumnType
    computed: str


class Plan(Document):
    """A program compiled against the catalogue: equal inputs give equal bytes at every node.

    parties: compute parties in protocol order.  outside: owners and recipients that do not compute.
    recipient, copies_to: who learns the result.  adversary: what the mechanism had to withstand.
    assets: what is read, at which version, which columns.
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
    # Left out where they say nothing new, so that plans without them keep their digests.
    outside: tuple[PartyName, ...] = Field(default=(), exclude_if=lambda names: not names)
    copies_to: tuple[PartyName, ...] = Field(default=(), exclude_if=lambda names: not names)
    adversary: Adversary = Field(
        default=Adversary.SEMI_HONEST, exclude_if=lambda adversary: adversary is Adversary.SEMI_HONEST
    )

    @model_validator(mode="after")
    def _ordered(self) -> Plan:
        seen: set[str] = set()
        for step in self.steps:
            if step.id in seen or not seen.issuperset(step.inputs):
                raise ValueError(f"step {step.id} stands twice or before its inputs")
            if not set(self.everyone).issuperset(step.parties):
                raise ValueError(f"step {step.id} names a party that takes no part")
            seen.add(step.id)
        if not self.steps or self.steps[-1].operator != "release":
            raise ValueError("the last step is no release")
        if len(set(self.everyone)) != len(self.everyone) or len(set(self.recipients)) != len(self.recipients):
            raise ValueError("a party is named twice")
        if not set(self.everyone).issuperset(self.recipients):
            raise ValueError("a recipient takes no part")
        if any(step.operator == "release" for step in self.steps[:-1]):
            raise ValueError("a plan has one release, its last step")
        return self

    @property
    def everyone(self) -> tuple[PartyName, ...]:
        """All that take part, the compute parties first."""
        return (*self.parties, *self.outside)

    @property
    def recipients(self) -> tuple[PartyName, ...]:
        """All that learn the result."""
        return (self.recipient, *self.copies_to)

    def step(self, name: str) -> Step:
        """The step of that id; KeyError when there is none."""
        for step in self.steps:
            if step.id == name:
                return step
        raise KeyError(name)
