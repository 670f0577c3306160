"""Contracts at one node: proposed, approved on this node's own compilation, revoked, and the admission of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from lingqu.contract import (
    Approval,
    Proposal,
    Rejection,
    Request,
    Revocation,
    State,
    Terms,
    check_bindings,
    decide,
    signatories,
    state,
)
from lingqu.kinds import clock
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import BadInput, LingquError, Refused, Tampered
from lingqu.kinds.mechanism import Adversary, installed
from lingqu.kinds.parties import PartyName
from lingqu.kinds.programs import Program, Value
from lingqu.ledger import Approved, Proposed, Rejected, Revoked
from lingqu.node.catalogue import Catalogue
from lingqu.node.core import Core, require_parties
from lingqu.node.errors import Conflict, NotFound
from lingqu.node.journal import Journal
from lingqu.node.messages import ContractOffered, Decided, JobOffer, kind_of
from lingqu.node.outbox import Tell
from lingqu.node.store.models import Agreement, Decision, Refusal, Use, UseState
from lingqu.node.uses import recent
from lingqu.plan.explain import Weighed, weigh
from lingqu.plan.frontend import frontend
from lingqu.plan.plan import LOCAL, Plan, Setting
from lingqu.wire.jws import MAX_SKEW

PARTIES = (2, 3)
"""How many parties compute a run."""
Opinion = Approval | Rejection | Revocation


@dataclass(frozen=True)
class Arrangement:
    """What an asker may choose of a computation beside its program.

    parties: those that compute, in order; None: this node and its confirmed peers.  recipients: None: this node alone.
    adversary: what the mechanism must withstand.  latency, bandwidth: of the network, for the choice among mechanisms
    that fit, seconds and bytes a second; None: the reference network.
    """

    parties: Sequence[str] | None = None
    recipients: Sequence[str] | None = None
    adversary: Adversary = Adversary.SEMI_HONEST
    latency: float | None = None
    bandwidth: float | None = None


@dataclass(frozen=True)
class Standing:
    """A contract and everything signed about it, as this node has it."""

    terms: Terms
    approvals: tuple[Approval, ...]
    rejections: tuple[Rejection, ...]
    revocations: tuple[Revocation, ...]
    spent: int
    reserved: int
    refusals: tuple[Refusal, ...]
    recent: int

    @property
    def state(self) -> State:
        """Where it stands now."""
        used = self.spent + self.reserved
        return state(self.terms, self.approvals, self.revocations, used, clock.now(), self.rejections)

    @property
    def signed(self) -> list[PartyName]:
        """Who has signed, in compute order."""
        signed = signatories(self.terms, self.approvals)
        return [name for name in self.terms.names if name in signed]


class Contracts:
    """tell: queues a message for a peer.  on_revoked: called with a contract's id at once when it is revoked."""

    def __init__(self, core: Core, journal: Journal, catalogue: Catalogue, tell: Tell) -> None:
        self._core = core
        self._journal = journal
        self._catalogue = catalogue
        self._tell = tell
        self._registry = installed()
        self.on_revoked: Callable[[str], None] = lambda contract: None

    # Plans

    def plan(self, program: Program, minimum_group: int, wanted: Arrangement) -> Plan:
        """Compile a program for this node as a recipient; a refusal is noted in the ledger with its term."""
        return self._planned(program, minimum_group, wanted)[0]

    def explain(self, program: Program, minimum_group: int, wanted: Arrangement) -> tuple[Plan, tuple[Weighed, ...]]:
        """As `plan`, with the installed mechanisms beside the one that was chosen."""
        plan, setting, compiled = self._planned(program, minimum_group, wanted)
        return plan, weigh(plan, setting, compiled)

    def _planned(
        self, program: Program, minimum_group: int, wanted: Arrangement
    ) -> tuple[Plan, Setting, Callable[[Setting], Plan]]:
        """The plan, the setting in which its mechanism was chosen, and what compiles the program in another one."""
        try:
            assets = self._catalogue.assets()
            kind = frontend(program.kind)
            setting = Setting(
                self._parties(wanted.parties, kind.parties(program, assets, self._core.name)),
                self._core.name,
                minimum_group,
                wanted.adversary,
                tuple(name for name, declaration in self._registry.declarations.items() if kind.carries(declaration)),
                self._registry,
                self._copies(wanted.recipients),
                wanted.latency,
                wanted.bandwidth,
            )
            compiled = partial(kind.compile, program, assets)
            plan = compiled(setting)
            for name in plan.outside:
                self._known(name)
            # Compiled again with exactly the techniques that the terms will name, as every other node will.
            return compiled(replace(setting, techniques=techniques(plan))), setting, compiled
        except LingquError as error:
            self._refuse(error, "program")
            raise

    def recompile(self, terms: Terms) -> Plan:
        """This node's own plan of a contract: from its own catalogue, at the versions the contract names."""
        assets = self._catalogue.agreed(terms.assets)
        recipient, *copies = terms.recipients
        setting = Setting(
            terms.compute,
            recipient,
            terms.minimum_group,
            terms.adversary,
            terms.techniques,
            self._registry,
            tuple(copies),
        )
        return frontend(terms.program.kind).compile(terms.program, assets, setting)

    def _copies(self, recipients: Sequence[str] | None) -> tuple[str, ...]:
        """The recipients beside this node, which asks and so receives."""
        if recipients is None:
            return ()
        if self._core.name not in recipients:
            raise Refused(
                f"{self._core.name} asks, but is not among the recipients.",
                f"Name it too: {', '.join((self._core.name, *recipients))}.",
                term="recipients",
            )
        for name in recipients:
            self._known(name)
        return tuple(name for name in recipients if name != self._core.name)

    def _parties(self, named: Sequence[str] | None, told: tuple[str, ...] | None) -> tuple[str, ...]:
        """The compute parties: those that the asker names, or the program itself tells, or all confirmed ones."""
        if told is not None:
            if named is not None and set(named) != set(told):
                raise Refused(
                    f"Such a program is computed by {', '.join(told)}.", "Name these parties, or none.", term="parties"
                )
            named = told
        if named is None:
            named = sorted({self._core.name, *self._core.confirmed()})
            if len(named) not in PARTIES:
                raise BadInput(
                    f"{self._core.name} and its confirmed peers are {len(named)} parties; two or three compute a run.",
                    "Pair with another node." if len(named) < min(PARTIES) else "Name those that shall compute.",
                )
        for name in named:
            self._known(name)
        return tuple(named)

    def _known(self, name: str) -> None:
        if self._core.known_party(name) is None:
            raise BadInput(f"{name} is no confirmed peer of {self._core.name}.", "Pair with it, or name another.")

    # What parties say of contracts

    def propose(
        self,
        *,
        title: str,
        purpose: str,
        program: Program,
        minimum_group: int,
        uses: int,
        expires: str,
        wanted: Arrangement,
        daily: int | None = None,
    ) -> str:
        """Compile, sign and send a contract to its parties; its id."""
        plan = self.plan(program, minimum_group, wanted)
        try:
            terms = Terms(
                title=title,
                proposer=self._core.name,
                parties=tuple(party for name in plan.everyone if (party := self._core.known_party(name))),
                owners=tuple(sorted({asset.id.partition("/")[0] for asset in plan.assets})),
                assets=plan.assets,
                purpose=purpose,
                program=program,
                plan=plan.sha256(),
                statement=plan.statement,
                statement_digest=plan.statement.sha256(),
                techniques=techniques(plan),
                adversary=wanted.adversary,
                recipients=plan.recipients,
                outside=plan.outside,
                minimum_group=minimum_group,
                uses=uses,
                # A peer's clock may be behind this one's; the terms should hold there at once.
                not_before=clock.written(clock.read(clock.now()) - timedelta(seconds=MAX_SKEW)),
                expires=expires,
                daily=daily,
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the contract"
            raise BadInput(f"These are no terms: {place}: {first['msg']}.", "Correct that term.") from None
        self._keep(terms, self._core.sign(Proposal(terms=terms)))
        return terms.sha256()

    def receive(self, peer: str, token: str) -> None:
        """Keep a proposal; Refused when this node is no party or does not know one of the others.

        peer: the proposer, or another party that passes its proposal on, so that a decision never comes first.
        """
        signed = self._core.evidence(token, Proposal)
        proposal = signed.document
        assert isinstance(proposal, Proposal)
        terms = proposal.terms
        try:
            if terms.proposer != signed.issuer or not {peer, self._core.name} <= set(terms.names):
                raise Refused(
                    f"{peer} offers a contract that its proposer did not sign, or of which it or {self._core.name} "
                    "is no party.",
                    "A proposer signs for itself and sends to the parties.",
                    term="parties",
                )
            require_parties(self._core, terms.parties)
        except Refused as error:
            self._refuse(error, "parties", terms.sha256(), peer)
            raise
        self._keep(terms, token)

    def approve(self, contract: str) -> None:
        """Sign a contract, once this node's own compilation gives the very plan and statement of its terms."""
        standing = self.standing(contract)
        if standing.state is not State.PROPOSED or self._core.name in standing.signed:
            raise Conflict(
                f"Contract {contract} is {standing.state.value}"
                + (f" and signed by {self._core.name}." if self._core.name in standing.signed else "."),
                "Only a proposed contract waits for signatures.",
            )
        try:
            self._check_compilation(standing.terms)
        except LingquError as error:
            self._refuse(error, "plan", contract)
            raise
        self._say(
            Approval(
                contract=contract,
                statement=standing.terms.statement_digest,
                party=self._core.name,
                decided=clock.now(),
            )
        )

    def reject(self, contract: str, reason: str) -> None:
        """Say no to a proposed contract, for good."""
        standing = self.standing(contract)
        if standing.state is not State.PROPOSED:
            raise Conflict(f"Contract {contract} is {standing.state.value}.", "Revoke it instead.")
        self._say(Rejection(contract=contract, party=self._core.name, reason=reason, decided=clock.now()))

    def revoke(self, contract: str, reason: str) -> None:
        """Withdraw for good: nothing starts and nothing is revealed under the contract from this moment on."""
        standing = self.standing(contract)
        if standing.state in (State.REVOKED, State.REJECTED):
            raise Conflict(f"Contract {contract} is {standing.state.value} already.", "There is nothing to revoke.")
        self._say(Revocation(contract=contract, party=self._core.name, reason=reason, decided=clock.now()))
        self.on_revoked(contract)

    def decided(self, peer: str, message: Decided) -> None:
        """Keep a peer's approval, rejection or revocation."""
        for kind in (Approval, Rejection, Revocation):
            try:
                opinion = self._core.evidence(message.token, kind, peer).document
            except Tampered as error:
                mismatch = error
                continue
            assert isinstance(opinion, Approval | Rejection | Revocation)
            if opinion.party != peer or opinion.contract != message.contract:
                raise Tampered(f"{peer} decided for {opinion.party}.", "Ask its manager to check.", party=peer)
            if peer not in self.standing(opinion.contract).terms.names:
                raise Refused(f"{peer} is no party of that contract.", "Only parties decide.", term="parties")
            with self._core.store.write() as session:
                self._hold(session, opinion, message.token)
            self._journal.publish()
            if isinstance(opinion, Revocation):
                self.on_revoked(opinion.contract)
            return
        raise mismatch

    def refused_there(self, peer: str, message: Document, error: LingquError) -> None:
        """A peer did not take a proposal or decision: people should see it beside the contract."""
        contract = message.contract if isinstance(message, Decided) else None
        if isinstance(message, ContractOffered):
            proposal = self._core.evidence(message.token, Proposal).document
            assert isinstance(proposal, Proposal)
            contract = proposal.terms.sha256()
        if contract is not None:
            error.party = error.party or peer
            self._refuse(error, "parties", contract)

    # Views

    def standing(self, contract: str) -> Standing:
        """One contract; NotFound when this node has none of that id."""
        with self._core.store.read() as session:
            return self._standing(session, contract)

    def all(self) -> list[tuple[str, Standing]]:
        """Every contract, oldest first."""
        with self._core.store.read() as session:
            ids = session.scalars(select(Agreement.id).order_by(Agreement.created, Agreement.id)).all()
            return [(contract, self._standing(session, contract)) for contract in ids]

    def _standing(self, session: Session, contract: str, without: str | None = None) -> Standing:
        row = session.get(Agreement, contract)
        if row is None:
            raise NotFound(f"There is no contract {contract} here.", "Look at `lingqu contracts`.")
        said = session.scalars(select(Decision).where(Decision.contract == contract)).all()
        uses = session.scalars(select(Use).where(Use.contract == contract, Use.job != (without or ""))).all()
        refusals = session.scalars(select(Refusal).where(Refusal.contract == contract).order_by(Refusal.id)).all()
        return Standing(
            Terms.parse(row.terms),
            tuple(Approval.parse(item.document) for item in said if item.kind == "approval"),
            tuple(Rejection.parse(item.document) for item in said if item.kind == "rejection"),
            tuple(Revocation.parse(item.document) for item in said if item.kind == "revocation"),
            sum(use.state == UseState.SPENT for use in uses),
            sum(use.state == UseState.RESERVED for use in uses),
            tuple(refusals),
            recent(session, contract, without),
        )

    # Admission

    def offer(self, job: str, contract: str, purpose: str, bindings: Mapping[str, Value]) -> JobOffer:
        """What this node, as the one that asks, offers the others under a contract."""
        terms = self.standing(contract).terms
        return JobOffer(
            job=job,
            contract=contract,
            plan=terms.plan,
            statement=terms.statement_digest,
            purpose=purpose,
            bindings=dict(bindings),
            offered=clock.now(),
        )

    def admit(self, session: Session, offer: JobOffer, requester: str) -> tuple[Terms, Plan]:
        """Decide on a run by this node's own copy of the terms and its own plan; Refused names the term.

        session: the transaction in which the caller reserves the use, so that two runs cannot take the last one.
        """
        standing = self._standing(session, offer.contract, without=offer.job)
        terms = standing.terms
        for digest, own, term in (
            (offer.plan, terms.plan, "plan"),
            (offer.statement, terms.statement_digest, "statement"),
        ):
            if digest != own:
                raise Refused(
                    f"{requester} would run another {term} than the one that was signed.",
                    f"Run the {term} of the signed terms, unaltered.",
                    term=term,
                )
        plan = self.recompile(terms)
        self._decide(standing, offer, requester, plan)
        return terms, plan

    def recheck(self, session: Session, offer: JobOffer, requester: str, plan: Plan) -> None:
        """The same decision again while the run is under way: revocation and expiry stop its next step."""
        self._decide(self._standing(session, offer.contract, without=offer.job), offer, requester, plan)

    def _decide(self, standing: Standing, offer: JobOffer, requester: str, plan: Plan) -> None:
        require_parties(self._core, standing.terms.parties)  # one that was removed, or has a new key, did not sign this
        request = Request(
            contract=offer.contract,
            requester=requester,
            purpose=offer.purpose,
            program=plan.program,
            bindings=offer.bindings,
            plan=plan.sha256(),
            statement=plan.statement.sha256(),
            assets=plan.assets,
            parties=plan.everyone,
            outside=plan.outside,
            techniques=techniques(plan),
            adversary=self._withstood(plan),
            minimum_group=plan.minimum_group,
            recipients=plan.recipients,
            recent=standing.recent,
        )
        used = standing.spent + standing.reserved
        decide(
            standing.terms, standing.approvals, standing.revocations, used, request, clock.now(), standing.rejections
        )
        check_bindings(plan.program, offer.bindings)

    # Below

    def _withstood(self, plan: Plan) -> Adversary:
        """What the weakest mechanism of a plan withstands, by its own declaration."""
        threats = [self._registry.get(name).threat.adversary for name in techniques(plan)]
        return min(threats, key=list(Adversary).index)

    def _check_compilation(self, terms: Terms) -> None:
        plan = self.recompile(terms)
        for own, agreed, term in (
            (plan.statement.sha256(), terms.statement_digest, "statement"),
            (plan.sha256(), terms.plan, "plan"),
        ):
            if own != agreed:
                raise Refused(
                    f"{self._core.name} compiles the program to another {term} than the terms name.",
                    "Use the same version of lingqu at every node, and propose again.",
                    term=term,
                )

    def _keep(self, terms: Terms, token: str) -> None:
        contract = terms.sha256()
        with self._core.store.write() as session:
            if session.get(Agreement, contract) is None:
                session.add(Agreement(id=contract, terms=terms.canonical().decode(), token=token, created=clock.now()))
                self._journal.append(session, Proposed(contract=contract, proposer=terms.proposer, token=token))
                if terms.proposer == self._core.name:
                    for name in self._others(terms):
                        self._tell(session, name, ContractOffered(token=token))
        self._journal.publish()

    def _others(self, terms: Terms) -> list[PartyName]:
        return [name for name in terms.names if name != self._core.name]

    def _say(self, opinion: Opinion) -> None:
        """Sign, keep and send an opinion; the proposal goes before it to those who may not have it yet."""
        token = self._core.sign(opinion)
        with self._core.store.write() as session:
            row = session.get_one(Agreement, opinion.contract)
            terms = Terms.parse(row.terms)
            if not self._hold(session, opinion, token):
                raise Conflict(f"{self._core.name} has said so already.", "Look at `lingqu contracts`.")
            for name in self._others(terms):
                if terms.proposer not in (name, self._core.name):
                    self._tell(session, name, ContractOffered(token=row.token))
                self._tell(session, name, Decided(contract=opinion.contract, token=token))
        self._journal.publish()

    def _hold(self, session: Session, opinion: Opinion, token: str) -> bool:
        """Keep an opinion; False when that party's of this kind is here already: the first one counts."""
        kind = kind_of(opinion)
        if session.get(Decision, (opinion.contract, kind, opinion.party)) is not None:
            return False
        document = opinion.canonical().decode()
        session.add(Decision(contract=opinion.contract, kind=kind, party=opinion.party, document=document, token=token))
        stances = {"approval": Approved, "rejection": Rejected, "revocation": Revoked}
        stance = stances[kind](contract=opinion.contract, party=opinion.party, token=token)
        self._journal.append(session, stance)
        return True

    def _refuse(self, error: LingquError, fallback: str, contract: str | None = None, by: str | None = None) -> None:
        """Every refusal is on record, also one before there is a contract."""
        with self._core.store.write() as session:
            self._journal.refusal(session, error, fallback=fallback, contract=contract, requester=by)


def techniques(plan: Plan) -> tuple[str, ...]:
    """The mechanisms that a plan uses, sorted."""
    return tuple(sorted({step.mechanism for step in plan.steps} - {LOCAL}))
