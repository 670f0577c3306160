"""The state of a contract and the decision on a run: pure functions of verified documents, deny by default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NoReturn

from lingqu.contract.terms import Approval, Rejection, Revocation, Terms
from lingqu.kinds import clock
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import Refused
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.parties import Digest, Instant, PartyName, Purpose
from lingqu.kinds.programs import Program, Value
from lingqu.kinds.schema import AssetUse


class State(StrEnum):
    """Where a contract stands; the last four are final."""

    PROPOSED = "proposed"  # a signature is missing
    SIGNED = "signed"  # every party has signed, its time has not come
    IN_FORCE = "in-force"
    USED_UP = "used-up"
    EXPIRED = "expired"
    REVOKED = "revoked"
    REJECTED = "rejected"


class Request(Document):
    """One run as a node is asked to take part in it, with what the node itself compiled from the program.

    plan, statement: digests of what this node compiled, never those that the requester claims.
    assets, parties (all that take part), outside (those that do not compute), techniques, minimum_group, recipients:
    what that plan uses.  adversary: what the weakest of its techniques withstands.
    recent: runs of the last 24 hours that spent a use or hold one, this one left out, as the node counts them.
    """

    contract: Digest
    requester: PartyName
    purpose: Purpose
    program: Program
    bindings: dict[str, Value]
    plan: Digest
    statement: Digest
    assets: tuple[AssetUse, ...]
    parties: tuple[PartyName, ...]
    techniques: tuple[str, ...]
    adversary: Adversary
    minimum_group: int
    recipients: tuple[PartyName, ...]
    outside: tuple[PartyName, ...] = ()
    recent: int = 0


def signatories(terms: Terms, approvals: Iterable[Approval]) -> frozenset[PartyName]:
    """The parties who have signed: the proposer, and those whose approval names these terms and this statement."""
    contract = terms.sha256()
    signed = {terms.proposer}
    for approval in approvals:
        if approval.contract == contract and approval.statement == terms.statement_digest:
            signed.add(approval.party)
    return frozenset(signed & set(terms.names))


def state(
    terms: Terms,
    approvals: Iterable[Approval],
    revocations: Iterable[Revocation],
    spent: int,
    now: Instant,
    rejections: Iterable[Rejection] = (),
) -> State:
    """Where the contract stands.

    approvals, revocations, rejections: documents whose signatures were verified; those of strangers or of other
    contracts count for nothing.  spent: uses that are gone, with those reserved by runs under way.
    The order of documents does not matter.  A revocation counts from the moment a node has it, whatever its date.
    """
    contract = terms.sha256()
    if _named(terms, contract, revocations):
        return State.REVOKED
    if _named(terms, contract, rejections):
        return State.REJECTED
    moment = clock.read(now)
    if moment >= clock.read(terms.expires):
        return State.EXPIRED
    if signatories(terms, approvals) != set(terms.names):
        return State.PROPOSED
    if spent >= terms.uses:
        return State.USED_UP
    return State.SIGNED if moment < clock.read(terms.not_before) else State.IN_FORCE


def decide(
    terms: Terms,
    approvals: Iterable[Approval],
    revocations: Iterable[Revocation],
    spent: int,
    request: Request,
    now: Instant,
    rejections: Iterable[Rejection] = (),
) -> None:
    """Return when this run is allowed; otherwise raise Refused whose `term` names the term that forbids it.

    Terms named: contract, signatures, revoked, not_before, expires, uses, daily, purpose, program, plan, statement,
    parties, recipients, assets, techniques, adversary, minimum_group.  Arguments as for `state`.
    """
    if request.contract != terms.sha256():
        _refuse("contract", "The request names another contract.", "Ask under the contract that these terms make.")
    _standing(terms, tuple(approvals), tuple(revocations), tuple(rejections), spent, now)
    if terms.daily is not None and request.recent >= terms.daily:
        _refuse("daily", f"All {terms.daily} runs of a day are spent or reserved.", "Run it again later.")
    _people(terms, request)
    _work(terms, request)
    _limits(terms, request)


def check_bindings(program: Program, bindings: Mapping[str, Value]) -> None:
    """Check that every parameter is bound within its signed limits and nothing else is bound; Refused "program"."""
    missing = sorted(set(program.parameters) - set(bindings))
    if missing:
        _refuse("program", f"The parameter {missing[0]} is not bound.", "Give it a value within the signed limits.")
    extra = sorted(set(bindings) - set(program.parameters))
    if extra:
        _refuse("program", f"The program has no parameter {extra[0]!r}.", "Bind only the parameters that were signed.")
    for name, parameter in sorted(program.parameters.items()):
        if not parameter.admits(bindings[name]):
            _refuse("program", f"The value bound to {name} is outside the signed limits.", "Choose a value within.")


def _standing(
    terms: Terms,
    approvals: tuple[Approval, ...],
    revocations: tuple[Revocation, ...],
    rejections: tuple[Rejection, ...],
    spent: int,
    now: Instant,
) -> None:
    """Refuse unless the contract is in force."""
    contract = terms.sha256()
    match state(terms, approvals, revocations, spent, now, rejections):
        case State.IN_FORCE:
            return
        case State.REVOKED:
            who = ", ".join(_named(terms, contract, revocations))
            _refuse("revoked", f"The contract was revoked by {who}.", "Propose a new contract.")
        case State.REJECTED:
            who = ", ".join(_named(terms, contract, rejections))
            _refuse("signatures", f"The contract was rejected by {who}.", "Propose a new contract.")
        case State.EXPIRED:
            _refuse("expires", f"The contract expired at {terms.expires}.", "Propose a new contract.")
        case State.PROPOSED:
            missing = [name for name in terms.names if name not in signatories(terms, approvals)]
            _refuse("signatures", f"Not signed yet by {', '.join(missing)}.", "Wait for every party's approval.")
        case State.USED_UP:
            _refuse("uses", f"All {terms.uses} agreed uses are spent or reserved.", "Propose a new contract.")
        case State.SIGNED:
            _refuse("not_before", f"The contract begins at {terms.not_before}.", "Run it after that moment.")


def _people(terms: Terms, request: Request) -> None:
    """Refuse another purpose, other parties, another asker or other recipients."""
    if request.purpose != terms.purpose:
        _refuse(
            "purpose",
            f"The stated purpose {request.purpose!r} is not the agreed one, {terms.purpose!r}.",
            "State the agreed purpose, or propose a contract for the new one.",
        )
    if request.parties != terms.names:
        _refuse("parties", "The run has other parties than agreed.", f"Agreed: {', '.join(terms.names)}.")
    if request.outside != terms.outside:
        _refuse("parties", "Others would compute than agreed.", f"Agreed: {', '.join(terms.compute)} compute.")
    for name in (request.requester, *request.recipients):
        if name not in terms.recipients:
            _refuse("recipients", f"{name} may not receive results.", f"Agreed: {', '.join(terms.recipients)}.")
    missing = [name for name in terms.recipients if name not in request.recipients]
    if missing:
        _refuse("recipients", f"{missing[0]} would not receive the result.", "Run the plan that was signed.")


def _work(terms: Terms, request: Request) -> None:
    """Refuse another program, other bindings, another plan, another statement or other assets."""
    if request.program.sha256() != terms.program.sha256():
        _refuse("program", "The program is not the agreed one.", "Run the agreed program, or propose a new contract.")
    check_bindings(terms.program, request.bindings)
    agreed = {asset.id: asset for asset in terms.assets}
    for asset in request.assets:
        known = agreed.get(asset.id)
        if known is None:
            _refuse("assets", f"{asset.id} is not among the agreed assets.", "Propose a contract that names it.")
        if (asset.version, asset.digest) != (known.version, known.digest):
            _refuse(
                "assets",
                f"{asset.id} was registered again: version {known.version} is agreed, version {asset.version} is here.",
                "Propose a contract over the present version.",
            )
        extra = sorted(set(asset.columns) - set(known.columns))
        if extra:
            _refuse("assets", f"Column {extra[0]} of {asset.id} is not agreed.", "Propose a contract that names it.")
    if request.statement != terms.statement_digest:
        _refuse("statement", "The disclosure statement is not the signed one.", "Run the plan that was signed.")
    if request.plan != terms.plan:
        _refuse("plan", "The plan is not the signed one.", "Run the plan that was signed, unaltered.")


def _limits(terms: Terms, request: Request) -> None:
    """Refuse techniques that were not agreed, weaker security, or smaller groups."""
    extra = sorted(set(request.techniques) - set(terms.techniques))
    if extra:
        _refuse("techniques", f"The technique {extra[0]} is not agreed.", f"Agreed: {', '.join(terms.techniques)}.")
    if not request.adversary.withstands(terms.adversary):
        _refuse(
            "adversary",
            f"The run withstands only {request.adversary.value} parties.",
            f"Agreed: {terms.adversary.value}.",
        )
    if request.minimum_group < terms.minimum_group:
        _refuse(
            "minimum_group",
            f"Groups of {request.minimum_group} rows would be released.",
            f"Agreed: groups of {terms.minimum_group} rows or more.",
        )


def _named(terms: Terms, contract: Digest, documents: Iterable[Revocation | Rejection]) -> list[PartyName]:
    """The parties of these terms that issued one of the documents against this contract."""
    issuers = {document.party for document in documents if document.contract == contract}
    return [name for name in terms.names if name in issuers]


def _refuse(term: str, cause: str, cure: str) -> NoReturn:
    raise Refused(cause, cure, term=term)
