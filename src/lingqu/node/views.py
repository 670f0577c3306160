"""What the user interface takes, as strict documents, and how it fills what it gives (`replies`)."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Annotated

from pydantic import Field

from lingqu.engine.supplies import made_ahead
from lingqu.identity import Pinned
from lingqu.kinds import clock
from lingqu.kinds.documents import Document
from lingqu.kinds.errands import Given
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.parties import Digest, Instant, Purpose, Role
from lingqu.kinds.programs import Program, Value
from lingqu.kinds.receipts import Supplies
from lingqu.kinds.schema import Asset, Grade, TableName
from lingqu.ledger import Entry
from lingqu.node.contracts import Arrangement, Standing
from lingqu.node.core import Core
from lingqu.node.replies import (
    ContractView,
    HealthView,
    JobView,
    NodeView,
    PeerView,
    PlanView,
    RefusalView,
    StepView,
    SupplyView,
)
from lingqu.node.store.models import Job, Peer
from lingqu.plan.explain import Weighed, explain_text
from lingqu.plan.plan import Plan


class LoginIn(Document):
    user: str
    password: Annotated[str, Field(max_length=1000, repr=False)]


class UserIn(Document):
    name: str
    role: Role
    password: Annotated[str, Field(max_length=1000, repr=False)]


class InvitationIn(Document):
    minutes: int = 15


class JoinIn(Document):
    code: Annotated[str, Field(max_length=1000, repr=False)]


class ConfirmIn(Document):
    comparison: Annotated[str, Field(max_length=32)]


class TableIn(Document):
    name: TableName
    title: Annotated[str, Field(min_length=1, max_length=200)]
    source: Annotated[str, Field(max_length=4000, repr=False)]  # a database URL may hold a password
    grade: Grade = Grade.GENERAL
    key: tuple[str, ...] = ()
    types: dict[str, str] = Field(default_factory=dict)


class CatalogOut(Document):
    assets: tuple[Asset, ...]


class ArrangedIn(Document):
    """Who computes and who receives, against whom, and over which network; see `contracts.Arrangement`."""

    parties: tuple[str, ...] | None = None
    recipients: tuple[str, ...] | None = None
    adversary: Adversary = Adversary.SEMI_HONEST
    latency: float | None = None
    bandwidth: float | None = None

    @property
    def arrangement(self) -> Arrangement:
        """What the contracts take."""
        return Arrangement(self.parties, self.recipients, self.adversary, self.latency, self.bandwidth)


class PlanIn(ArrangedIn):
    program: Program
    minimum_group: int


class ContractIn(ArrangedIn):
    title: str
    purpose: str
    program: Program
    minimum_group: int
    uses: int
    daily: int | None = None
    expires: Instant


class ContractsOut(Document):
    contracts: tuple[ContractView, ...]


class ReasonIn(Document):
    reason: Annotated[str, Field(max_length=400)] = ""


class JobIn(Document):
    contract: Digest
    purpose: Purpose
    bindings: dict[str, Value] = Field(default_factory=dict)
    given: Given | None = None


class JobsOut(Document):
    jobs: tuple[JobView, ...]


class SuppliesOut(Document):
    supplies: tuple[SupplyView, ...]


class LedgerOut(Document):
    entries: tuple[Entry, ...]


class Empty(Document):
    """Nothing to say."""


def peer_out(pinned: Pinned, row: Peer) -> PeerView:
    """A peer as people see it."""
    party = pinned.party
    return PeerView(
        name=party.name,
        title=party.title,
        fingerprint=party.certificate,
        address=party.address,
        state=row.state.value,
        comparison=row.comparison,
    )


def node_out(core: Core, peers: list[tuple[Pinned, Peer]]) -> NodeView:
    """This node as people see it."""
    return NodeView(
        name=core.name,
        title=core.config.title,
        fingerprint=core.certificate.fingerprint,
        address=core.config.peer.address,
        version=version("lingqu"),
        peers=tuple(peer_out(pinned, row) for pinned, row in peers),
    )


def plan_out(plan: Plan, weighed: tuple[Weighed, ...], wanted: Arrangement) -> PlanView:
    """A plan with its explanation, and the mechanisms that it was chosen among."""
    ahead = made_ahead(plan)
    return PlanView(
        plan=plan,
        explain=explain_text(plan, None, weighed, wanted.latency, wanted.bandwidth),
        statement=plan.statement,
        plan_digest=plan.sha256(),
        statement_digest=plan.statement.sha256(),
        weighed=weighed,
        latency=wanted.latency,
        bandwidth=wanted.bandwidth,
        ahead_rounds=ahead.rounds,
        ahead_bytes=ahead.bytes,
    )


def contract_out(contract: str, standing: Standing) -> ContractView:
    """A contract as it stands now."""
    return ContractView(
        id=contract,
        terms=standing.terms,
        state=standing.state.value,
        approvals=tuple(standing.signed),
        spent=standing.spent,
        reserved=standing.reserved,
        refusals=tuple(
            RefusalView(party=row.party, term=row.term, cause=row.cause, at=row.at, job=row.job)
            for row in standing.refusals
        ),
    )


def job_out(row: Job, supplies: Supplies | None = None) -> JobView:
    """A job as it is now."""
    return JobView(
        id=row.id,
        contract=row.contract,
        coordinator=row.coordinator,
        state=row.state,
        steps=tuple(StepView(**step) for step in json.loads(row.steps)),
        error=json.loads(row.error) if row.error else None,
        created=row.created,
        started=row.started,
        ended=row.ended,
        supplies=supplies,
    )


def health_out(core: Core) -> HealthView:
    """The node is up."""
    return HealthView(name=core.name, time=clock.now())
