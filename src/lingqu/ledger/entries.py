"""What a ledger's entries say: names, digests and signed tokens, never a data value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, StringConstraints, model_validator

from lingqu.kinds import clock
from lingqu.kinds.documents import Document, canonical
from lingqu.kinds.parties import Digest, Instant, PartyName

Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$")]
Job = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Sentence = Annotated[str, StringConstraints(max_length=1000)]


class Body(Document):
    """What one entry says.

    kind: the entry's kind.  title: one such event, as the summary counts it.  signs: the kind of the JWS token that
    `token` must hold, where there is one, signed by the party that `author` gives.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    signs: ClassVar[str | None] = None

    token: Token | None = None

    @property
    def author(self) -> str | None:
        """The party that must have signed the token, where the body names it."""
        return None


class Registered(Body):
    """The own party registered a table; digest: of the Asset document."""

    kind = "register"
    title = "registration"
    signs = "asset"

    asset: str
    version: Annotated[int, Field(ge=1)]
    digest: Digest

    @property
    def author(self) -> str | None:
        """The owner."""
        return self.asset.partition("/")[0]


class Paired(Body):
    """The own party pinned a peer: its name, key and certificate."""

    kind = "pair"
    title = "pairing"

    party: PartyName
    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
    certificate: Digest


class Unpaired(Body):
    """The own party removed a peer."""

    kind = "unpair"
    title = "removal of a peer"

    party: PartyName
    certificate: Digest


class Proposed(Body):
    """A contract was proposed; token: the Proposal, whose terms have the digest `contract`."""

    kind = "propose"
    title = "proposal"
    signs = "proposal"

    contract: Digest
    proposer: PartyName
    token: Token

    @property
    def author(self) -> str | None:
        """The proposer."""
        return self.proposer


class Stance(Body):
    """A party took a stand on a contract; token: its Approval, Rejection or Revocation."""

    contract: Digest
    party: PartyName
    token: Token

    @property
    def author(self) -> str | None:
        """The party that took the stand."""
        return self.party


class Approved(Stance):
    """A party approved a contract."""

    kind = "approve"
    title = "approval"
    signs = "approval"


class Rejected(Stance):
    """A party rejected a contract."""

    kind = "reject"
    title = "rejection"
    signs = "rejection"


class Revoked(Stance):
    """A party revoked a contract."""

    kind = "revoke"
    title = "revocation"
    signs = "revocation"


class RunStarted(Body):
    """The own party takes part in a run; token: the requester's offer."""

    kind = "run"
    title = "run"
    signs = "job-offer"

    job: Job
    contract: Digest
    plan: Digest
    requester: PartyName

    @property
    def author(self) -> str | None:
        """The requester, who signed the offer."""
        return self.requester


class Spent(Body):
    """The own party let the run pass the gate before the reveal, which spends one use."""

    kind = "spend"
    title = "use"

    job: Job
    contract: Digest


class Released(Body):
    """A result was released to the recipient; result: the digest of the Release document.

    None where the recipient had yet to find its result out from what it had received: this entry and the peers' sight
    of it may not wait for that, whose time could tell of the result.
    """

    kind = "release"
    title = "release"

    job: Job
    contract: Digest
    recipient: PartyName
    result: Digest | None = None


class RefusedRun(Body):
    """The own party refused; term: which term forbade it.  token: what was asked, where it was signed."""

    kind = "refuse"
    title = "refusal"
    signs = "job-offer"

    job: Job | None = None
    contract: Digest | None = None
    requester: PartyName | None = None
    term: str | None = None
    cause: Sentence

    @property
    def author(self) -> str | None:
        """Who asked."""
        return self.requester


class Failed(Body):
    """A run failed; party: whose failure it was, where that is known."""

    kind = "fail"
    title = "failure"

    job: Job
    contract: Digest
    party: PartyName | None = None
    cause: Sentence


class ReceiptLogged(Body):
    """A party's receipt of a run; token: its Receipt."""

    kind = "receipt"
    title = "receipt"
    signs = "receipt"

    job: Job
    contract: Digest
    party: PartyName
    token: Token

    @property
    def author(self) -> str | None:
        """The party whose receipt it is."""
        return self.party


class CheckpointSeen(Body):
    """A peer's checkpoint that the own party cosigned; note: the checkpoint as the peer signed it."""

    kind = "checkpoint-seen"
    title = "checkpoint of a peer"

    party: PartyName
    note: Annotated[str, StringConstraints(max_length=64_000)]


BODIES: Mapping[str, type[Body]] = {
    body.kind: body
    for body in (
        Registered,
        Paired,
        Unpaired,
        Proposed,
        Approved,
        Rejected,
        Revoked,
        RunStarted,
        Spent,
        Released,
        RefusedRun,
        Failed,
        ReceiptLogged,
        CheckpointSeen,
    )
}


class Entry(Document):
    """One entry; its canonical bytes are the leaf's data.  body: the fields of the Body of that kind."""

    index: Annotated[int, Field(ge=0)]
    kind: str
    at: Instant
    body: dict[str, Any]

    @model_validator(mode="after")
    def _known(self) -> Self:
        clock.read(self.at)
        if self.kind not in BODIES:
            raise ValueError(f"there is no entry of kind {self.kind!r}")
        if self.content().model_dump(mode="json") != self.body:
            raise ValueError(f"the body is not that of an entry of kind {self.kind!r}")
        return self

    @classmethod
    def of(cls, index: int, body: Body, at: Instant) -> Entry:
        """The entry that holds this body."""
        return cls(index=index, kind=body.kind, at=at, body=body.model_dump(mode="json"))

    def content(self) -> Body:
        """The body as the document of its kind."""
        return BODIES[self.kind].model_validate_json(canonical(self.body))
