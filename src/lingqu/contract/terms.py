"""The terms of a contract, and the documents by which parties take a stand on them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from lingqu.kinds import clock
from lingqu.kinds.disclosure import Statement
from lingqu.kinds.documents import Document
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.parties import Digest, Instant, Party, PartyName, Purpose
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import AssetUse

MAX_USES = 1_000_000

Technique = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]
Reason = Annotated[str, StringConstraints(max_length=400)]


class Terms(Document):
    """What the parties sign; the digest of these terms is the contract's identifier.

    parties: all who sign: the compute parties in compute order, then outside: who owns data or receives results without
    computing.  owners: those whose assets are used.  recipients: who may ask; every run's result goes to all of them.
    plan, statement_digest: what was compiled from the program; nothing else may run.  adversary: the weakest
    behaviour the techniques must withstand.  minimum_group: smallest group of rows whose result is released.
    uses: runs in all.  daily: the most within any 24 hours; None: as many as there are uses.
    In force from not_before until just before expires.
    """

    number: Literal["1"] = "1"
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    proposer: PartyName
    parties: Annotated[tuple[Party, ...], Field(min_length=2, max_length=16)]
    owners: Annotated[tuple[PartyName, ...], Field(min_length=1)]
    assets: Annotated[tuple[AssetUse, ...], Field(min_length=1, max_length=64)]
    purpose: Purpose
    program: Program
    plan: Digest
    statement: Statement
    statement_digest: Digest
    techniques: Annotated[tuple[Technique, ...], Field(min_length=1)]
    adversary: Adversary
    recipients: Annotated[tuple[PartyName, ...], Field(min_length=1)]
    minimum_group: Annotated[int, Field(ge=2)]
    uses: Annotated[int, Field(ge=1, le=MAX_USES)]
    not_before: Instant
    expires: Instant
    outside: tuple[PartyName, ...] = Field(default=(), exclude_if=lambda names: not names)
    daily: Annotated[int, Field(ge=1, le=MAX_USES)] | None = Field(default=None, exclude_if=lambda runs: runs is None)

    @model_validator(mode="after")
    def _consistent(self) -> Terms:
        names = self.names
        for label, values in {
            "parties": names,
            "owners": self.owners,
            "assets": tuple(asset.id for asset in self.assets),
            "techniques": self.techniques,
            "recipients": self.recipients,
        }.items():
            if len(set(values)) != len(values):
                raise ValueError(f"{label}: one is named twice")
        if not {self.proposer, *self.owners, *self.recipients, *self.statement.learned} <= set(names):
            raise ValueError("proposer, owners, recipients and those who learn must be among the parties")
        if {asset.id.partition("/")[0] for asset in self.assets} != set(self.owners):
            raise ValueError("owners must be exactly the owners of the assets")
        if self.outside and (self.outside != names[-len(self.outside) :] or len(self.compute) < 2):
            raise ValueError("outside parties must stand last among the parties, after two compute parties or more")
        if self.statement.sha256() != self.statement_digest:
            raise ValueError("statement_digest is not the statement's digest")
        if clock.read(self.not_before) >= clock.read(self.expires):
            raise ValueError("expires must be later than not_before")
        return self

    @property
    def names(self) -> tuple[PartyName, ...]:
        """The parties' names in compute order."""
        return tuple(party.name for party in self.parties)

    @property
    def compute(self) -> tuple[PartyName, ...]:
        """The names of those that compute, in order."""
        return self.names[: len(self.names) - len(self.outside)]

    def party(self, name: str) -> Party | None:
        """The party of that name, or None."""
        return next((party for party in self.parties if party.name == name), None)


class Proposal(Document):
    """The proposer offers the terms; signing a proposal is the proposer's signature under them."""

    terms: Terms


class Approval(Document):
    """A party agrees to the terms and to the statement of who learns what."""

    contract: Digest
    statement: Digest
    party: PartyName
    decided: Instant


class Rejection(Document):
    """A party will not agree; the contract can never come into force, a new proposal can."""

    contract: Digest
    party: PartyName
    reason: Reason
    decided: Instant


class Revocation(Document):
    """A party withdraws for good; nothing starts and nothing is revealed under the contract afterwards."""

    contract: Digest
    party: PartyName
    reason: Reason
    decided: Instant
