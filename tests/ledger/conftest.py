"""Three parties that agree on a contract, run it once, and cosign each other's ledgers."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lingqu.contract import Approval, Proposal, Terms
from lingqu.identity import NodeKey
from lingqu.kinds.disclosure import Fact, Learned, Statement
from lingqu.kinds.documents import Document, digest
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.parties import Party
from lingqu.kinds.programs import Program
from lingqu.kinds.receipts import Outcome, Receipt
from lingqu.kinds.schema import AssetUse
from lingqu.ledger import (
    Approved,
    Body,
    Log,
    MemoryStore,
    Paired,
    Proposed,
    ReceiptLogged,
    RefusedRun,
    Registered,
    Released,
    RunStarted,
    Spent,
    export,
)
from lingqu.wire.jws import sign

NAMES = ("big-data", "civil-affairs", "human-resources")
NOW, LATER = "2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z"
RESULT = digest(b"result")
JOB = "0" * 31 + "1"


class JobOffer(Document):
    job: str
    contract: str
    plan: str
    requester: str


@dataclass
class World:
    """keys, logs: of each party.  terms: the contract's.  The methods tell the story."""

    keys: dict[str, NodeKey]
    logs: dict[str, Log]
    terms: Terms

    @property
    def public(self) -> dict[str, str]:
        return {name: key.public for name, key in self.keys.items()}

    def token(self, document: Document, by: str, kind: str, at: str = NOW) -> str:
        return sign(document, self.keys[by], issuer=by, kind=kind, to=None, now=at)

    def tell(self, body: Body, *names: str) -> None:
        for name in names or NAMES:
            self.logs[name].append(body, NOW)

    def agree(self) -> None:
        contract = self.terms.sha256()
        proposal = self.token(Proposal(terms=self.terms), "big-data", "proposal")
        self.tell(Proposed(contract=contract, proposer="big-data", token=proposal))
        for name in NAMES[1:]:
            self.tell(self.approved(name))

    def approved(self, name: str, statement: str | None = None) -> Approved:
        contract = self.terms.sha256()
        document = Approval(
            contract=contract, statement=statement or self.terms.statement_digest, party=name, decided=NOW
        )
        return Approved(contract=contract, party=name, token=self.token(document, name, "approval"))

    def started(self, job: str = JOB, plan: str | None = None) -> RunStarted:
        contract, plan = self.terms.sha256(), plan or self.terms.plan
        offer = JobOffer(job=job, contract=contract, plan=plan, requester="big-data")
        token = self.token(offer, "big-data", "job-offer")
        return RunStarted(job=job, contract=contract, plan=plan, requester="big-data", token=token)

    def receipt(self, name: str, outcome: Outcome = Outcome.RELEASED, job: str = JOB, rounds: int = 7) -> ReceiptLogged:
        contract = self.terms.sha256()
        document = Receipt(
            job=job, contract=contract, plan=self.terms.plan, party=name, outcome=outcome, started=NOW, ended=NOW,
            rounds=rounds, bytes=10, result=RESULT if name == "big-data" else None,
        )  # fmt: skip
        return ReceiptLogged(job=job, contract=contract, party=name, token=self.token(document, name, "receipt"))

    def run(self) -> None:
        contract = self.terms.sha256()
        self.tell(self.started())
        self.tell(Spent(job=JOB, contract=contract))
        self.tell(Released(job=JOB, contract=contract, recipient="big-data", result=RESULT), "big-data")
        for name in NAMES:
            self.tell(self.receipt(name))
        self.tell(
            RefusedRun(contract=contract, requester="big-data", term="purpose", cause="Another purpose."),
            "civil-affairs",
        )

    def cosign(self, *names: str) -> None:
        """Every named party's checkpoint is cosigned by the others."""
        for name in names or NAMES:
            log = self.logs[name]
            note = log.checkpoint()
            for peer in NAMES:
                if peer != name:
                    seen = self.logs[peer].last_seen(name)
                    proof = log.consistency(seen.size) if seen else []
                    line = self.logs[peer].witness(note, self.public[name], proof, NOW)
                    log.cosigned(len(log), line, self.public)

    def bundle(self, name: str) -> bytes:
        return export(self.logs[name], self.public, LATER)


def build() -> World:
    keys = {name: NodeKey.generate() for name in NAMES}
    logs = {name: Log(MemoryStore(), name, keys[name]) for name in NAMES}
    learned = Learned(fact=Fact.RESULT_ROWS, about="groups of 10 rows or more", step="release")
    statement = Statement(learned={"big-data": (learned,)}, withheld=())
    terms = Terms(
        title="Education and income",
        proposer="big-data",
        parties=tuple(
            Party(name=name, title=name, key=keys[name].public, certificate=digest(name.encode()), address="a:1")
            for name in NAMES
        ),
        owners=("civil-affairs",),
        assets=(AssetUse(id="civil-affairs/people", version=1, digest=digest(b"people"), columns=("age",)),),
        purpose="statistics",
        program=Program(kind="sql", text="SELECT count(*) FROM people"),
        plan=digest(b"plan"),
        statement=statement,
        statement_digest=statement.sha256(),
        techniques=("share.rep3",),
        adversary=Adversary.SEMI_HONEST,
        recipients=("big-data",),
        minimum_group=10,
        uses=1,
        not_before="2026-01-01T00:00:00Z",
        expires="2027-01-01T00:00:00Z",
    )
    world = World(keys, logs, terms)
    for name in NAMES:
        for peer in NAMES:
            if peer != name:
                world.tell(Paired(party=peer, key=keys[peer].public, certificate=digest(peer.encode())), name)
    world.tell(Registered(asset="civil-affairs/people", version=1, digest=digest(b"people")), "civil-affairs")
    return world


@pytest.fixture
def world() -> World:
    """Paired parties, nothing agreed yet."""
    return build()


@pytest.fixture(scope="module")
def told() -> World:
    """The whole story: agreed, run once, cosigned."""
    world = build()
    world.agree()
    world.cosign()
    world.run()
    world.cosign()
    return world
