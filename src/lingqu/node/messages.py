"""What nodes say to each other: one strict document a kind, each carried in a signed envelope for one recipient.

Evidence (assets, proposals, approvals, ...) is a token of its own inside the envelope: it stays verifiable in every
ledger, while the envelope's audience, id and time only serve the transport.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints

from lingqu.contract import Approval, Proposal, Rejection, Revocation
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import LingquError
from lingqu.kinds.parties import Digest, Instant, Party, PartyName, Purpose
from lingqu.kinds.programs import Value
from lingqu.kinds.receipts import Receipt
from lingqu.kinds.schema import Asset
from lingqu.node.errors import revived

JobId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Endpoint = Annotated[str, StringConstraints(pattern=r"^[^\s]{1,255}:\d{1,5}$")]
Portion = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Portions = Annotated[tuple[Portion, ...], Field(max_length=64)]
Text = Annotated[str, StringConstraints(max_length=4000)]
Evidence = Annotated[str, StringConstraints(max_length=3 << 20)]


class AssetPublished(Document):
    """A table that its owner registered.  token: the owner's signature over the Asset."""

    token: Evidence


class ContractOffered(Document):
    """A proposal.  token: the proposer's signature over the Proposal."""

    token: Evidence


class Decided(Document):
    """An approval, a rejection or a revocation.  token: the deciding party's signature."""

    contract: Digest
    token: Evidence


class PairConfirm(Document):
    """The sender's manager has compared the digits and confirmed them."""

    confirmed: Instant


class JobOffer(Document):
    """Take part in a run: everything a node needs to decide on its own."""

    job: JobId
    contract: Digest
    plan: Digest
    statement: Digest
    purpose: Purpose
    bindings: dict[str, Value]
    offered: Instant


class JobReady(Document):
    """The sender has admitted the job; its worker listens at the endpoint.

    prepared: portions of correlations that it holds for this run, where it computes.
    """

    job: JobId
    endpoint: Endpoint
    prepared: Portions = ()


class JobRefused(Document):
    """The sender will not take part, and which term forbids it."""

    job: JobId
    code: str
    term: str | None
    cause: Text
    cure: Text


class JobStart(Document):
    """Every party is ready.

    endpoints: the workers' addresses in compute order.  prepared: portions of correlations that all of them hold.
    """

    job: JobId
    endpoints: tuple[Endpoint, ...]
    prepared: Portions = ()


class JobEnded(Document):
    """The job ended at the sender before it was done everywhere.  party: who is to blame, where one is."""

    job: JobId
    state: Annotated[str, StringConstraints(pattern=r"^(failed|refused)$")]
    code: str
    cause: Text
    cure: Text
    term: str | None = None
    party: PartyName | None = None


class JobHealth(Document):
    """How is this job with you?"""

    job: JobId


class JobCondition(Document):
    """The answer: its state at the sender, or "unknown"."""

    job: JobId
    state: Annotated[str, StringConstraints(pattern=r"^(admitting|running|done|failed|refused|unknown)$")]
    cause: Text | None = None
    party: PartyName | None = None


class SuppliesHeld(Document):
    """What the sender holds of a contract's correlations; also the answer.

    plan: by which they are made.  room: bytes of correlations that the sender would still take.
    """

    contract: Digest
    plan: Digest
    held: Portions
    room: Annotated[int, Field(ge=0)]


class PrepareOffer(Document):
    """Make portions of correlations together, for runs of a contract in force.  endpoint: of the sender's worker."""

    preparation: JobId
    contract: Digest
    plan: Digest
    names: Annotated[Portions, Field(min_length=1)]
    endpoint: Endpoint


class PrepareReady(Document):
    """The sender's worker has begun; it listens at the endpoint."""

    preparation: JobId
    endpoint: Endpoint


class ReceiptNote(Document):
    """The sender's signed Receipt of a job."""

    token: Evidence


class CheckpointNote(Document):
    """A checkpoint of the sender's ledger.

    note: signed note.  proof: consistency proof from `since`, the size that the recipient cosigned last.
    """

    note: Text
    since: Annotated[int, Field(ge=0)]
    proof: tuple[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")], ...]


class Cosignature(Document):
    """The recipient's cosignature of a checkpoint."""

    note: Text


class LastSeen(Document):
    """The recipient last saw a checkpoint of this size: prove consistency from there."""

    size: Annotated[int, Field(ge=0)]


class Accepted(Document):
    """The message was taken."""


class Problem(Document):
    """The message was not taken, and why."""

    code: str
    cause: Text
    cure: Text
    term: str | None = None
    party: PartyName | None = None

    @classmethod
    def of(cls, error: LingquError, party: str) -> Problem:
        """Describe an error that arose at `party`."""
        return cls(
            code=error.code,
            cause=error.cause[:4000],
            cure=error.cure[:4000],
            term=error.term,
            party=error.party or party,
        )

    def error(self) -> LingquError:
        """The error again."""
        return revived(self.code, self.cause, self.cure, self.term, self.party)


Replied = (
    JobReady | JobRefused | JobCondition | SuppliesHeld | PrepareReady | Cosignature | LastSeen | Problem | Accepted
)


class Answer(Document):
    """What a message is answered with.  re: digest of the request's token, so that no answer serves another."""

    re: Digest
    body: (
        SuppliesHeld | PrepareReady | JobReady | JobRefused | JobCondition | Cosignature | LastSeen | Problem | Accepted
    )


InvitationId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class PairHello(Document):
    """Who invites?  Answered only for an open invitation."""

    invitation: InvitationId


class PairRequest(Document):
    """The joining side's half of an invitation.  certificate: PEM.  proof: that the sender knows its secret."""

    invitation: InvitationId
    party: Party
    certificate: Annotated[str, StringConstraints(max_length=8192)]
    proof: Annotated[str, StringConstraints(max_length=128)]


class PairAnswer(Document):
    """The inviting side's half; proof is empty in the answer to a hello."""

    party: Party
    certificate: Annotated[str, StringConstraints(max_length=8192)]
    proof: Annotated[str, StringConstraints(max_length=128)]


REQUESTS: Mapping[str, type[Document]] = {
    "asset-published": AssetPublished,
    "contract-offered": ContractOffered,
    "decided": Decided,
    "pair-confirm": PairConfirm,
    "job-offer": JobOffer,
    "job-start": JobStart,
    "job-ended": JobEnded,
    "job-health": JobHealth,
    "supplies-held": SuppliesHeld,
    "prepare-offer": PrepareOffer,
    "receipt-note": ReceiptNote,
    "checkpoint-note": CheckpointNote,
}
ANSWERS: Mapping[str, type[Document]] = {"answer": Answer}
EVIDENCE: Mapping[str, type[Document]] = {
    "asset": Asset,
    "proposal": Proposal,
    "approval": Approval,
    "rejection": Rejection,
    "revocation": Revocation,
    "receipt": Receipt,
}
_KINDS = {document: kind for kinds in (REQUESTS, ANSWERS, EVIDENCE) for kind, document in kinds.items()}


def kind_of(document: Document) -> str:
    """The name under which a document travels."""
    return _KINDS[type(document)]
