"""How a job ends at one node: one transaction for its row, its use, its result, its ledger entries and its receipt."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from lingqu.contract import Terms
from lingqu.engine.release import Release
from lingqu.engine.worker import ATTACHED
from lingqu.kinds import clock
from lingqu.kinds.errors import LingquError, PartyLost, Refused, Tampered
from lingqu.kinds.receipts import Outcome, Receipt, Supplies
from lingqu.ledger import Failed, ReceiptLogged, Released, Spent
from lingqu.node.core import Core
from lingqu.node.errors import Conflict, NotFound
from lingqu.node.journal import Journal
from lingqu.node.results import Results, clear
from lingqu.node.run import Run
from lingqu.node.store.models import ENDED, Account, Agreement, Job, JobState, Result, Use, UseState

TellReceipt = Callable[[Session, str, Sequence[str]], None]
LOG = logging.getLogger("lingqu.node.jobs")
OUTCOMES = {
    JobState.DONE: Outcome.RELEASED,
    JobState.REFUSED: Outcome.REFUSED,
    JobState.FAILED: Outcome.FAILED,
}


class Endings:
    """Writes the ends of this node's jobs, and keeps receipts."""

    def __init__(self, core: Core, journal: Journal) -> None:
        self._core = core
        self._journal = journal
        self.results = Results(core.home)
        self._owed: dict[str, tuple[Run, JobState, LingquError | None, TellReceipt]] = {}

    @property
    def name(self) -> str:
        """This party's name."""
        return self._core.name

    def spend(self, session: Session, job: str) -> None:
        """Commit a reserved use; Refused when it was freed.  A second time changes nothing."""
        use = session.get_one(Use, job)
        if use.state == UseState.FREED.value:
            raise Refused("The use of this job was freed.", "Start it again.", term="uses")
        if use.state == UseState.RESERVED.value:
            use.state = UseState.SPENT.value
            self._journal.append(session, Spent(job=job, contract=use.contract))

    def leave(self, run: Run, tell: TellReceipt) -> None:
        """What the others hear of the end of a run whose worker has said its last word: all that they will ever hear.

        tell: queues the receipt for them in the same transaction.  Raises LingquError where the disk takes no word.
        """
        with self._core.store.write() as session:
            row = session.get_one(Job, run.offer.job)
            self._journal.append(session, Released(job=row.id, contract=row.contract, recipient=self.name))
            steps = list(run.steps.values())
            tell(session, self._receipt(session, row, JobState.DONE, None, steps, None, run.supplies), run.others)

    def told_done(self, session: Session, job: str) -> bool:
        """Whether the others were told that a job ended well here; that stays so, whatever became of its result."""
        account = session.get(Account, (job, self.name))
        if account is None:
            return False
        receipt = self._core.evidence(account.token, Receipt, self.name).document
        return isinstance(receipt, Receipt) and receipt.outcome is Outcome.RELEASED

    def write(
        self, run: Run, state: JobState, error: LingquError | None, release: Path | None, tell: TellReceipt
    ) -> None:
        """The job's end in the store.  A failure ends the run even where the disk takes no word of it.

        tell: queues the receipt for the others in the same transaction, where they have none yet.
        """
        # Whoever writes to the store waits for others who do, and peers write: large results are read before.
        document = Release.parse(release.read_bytes()) if release is not None else None
        result = self._result(run, document) if document is not None else None
        try:
            if release is not None and document is not None and document.attached is not None:
                self.results.keep(run.offer.job, document.attached, release.with_name(ATTACHED))
            with self._core.store.write() as session:
                row = session.get_one(Job, run.offer.job)
                digest = self._release(session, row, result) if result is not None else None
                receipt = self.close(session, row, state, error, list(run.steps.values()), digest, run.supplies)
                if receipt is not None:
                    tell(session, receipt, run.others)
        except LingquError as failed:
            if state is JobState.DONE:
                self.results.drop(run.offer.job)
                raise
            self._owed[run.offer.job] = (run, state, error, tell)
            LOG.error("the end of job %s is not on record until there is room again: %s", run.offer.job, failed)

    def settle(self) -> None:
        """Write the ends that the disk did not take, so that their uses are free; what still fails stays owed."""
        for job in list(self._owed):
            if (owed := self._owed.pop(job, None)) is not None:
                run, state, error, tell = owed
                self.write(run, state, error, None, tell)

    def stopped(self) -> PartyLost:
        """Why jobs end that were under way when the node stopped."""
        return PartyLost("The node stopped while the job was under way.", "Start the job again.", party=self.name)

    def recover(self, tell: TellReceipt) -> Iterator[str]:
        """Close the jobs that a crash left open; their ids, one by one as each is closed."""
        error = self.stopped()
        with self._core.store.read() as session:
            left = session.scalars(select(Job).where(Job.state.not_in(ENDED))).all()
        for row in left:
            with self._core.store.write() as session:
                receipt = self.close(session, session.merge(row), JobState.FAILED, error, [])
                names = Terms.parse(session.get_one(Agreement, row.contract).terms).names
                if receipt is not None:
                    tell(session, receipt, [name for name in names if name != self.name])
            yield row.id

    def amend(self, row: Job) -> None:
        """Show a job as it ended, where its end is not on record yet.  row: no longer part of a session."""
        if (owed := self._owed.get(row.id)) is not None:
            _, state, error, _ = owed
            row.state, row.error = state.value, json.dumps(error.document()) if error else None

    def _result(self, run: Run, release: Release) -> Result:
        """What is stored of a result, with the plan that says what its numbers are; Tampered for another job's."""
        if release.job != run.offer.job or release.plan != run.offer.plan:
            raise Tampered("The worker's result is of another job.", "Look at its log.", party=self.name)
        document, made_by = release.canonical().decode(), run.plan.canonical().decode()
        return Result(job=release.job, document=document, plan=made_by, digest=release.sha256(), at=clock.now())

    def _release(self, session: Session, row: Job, result: Result) -> str:
        """Store the result, once."""
        digest = result.digest
        session.add(result)
        if not self.told_done(session, row.id):
            body = Released(job=row.id, contract=row.contract, recipient=self.name, result=digest)
            self._journal.append(session, body)
        return digest

    def close(
        self,
        session: Session,
        row: Job,
        state: JobState,
        error: LingquError | None,
        steps: list[dict[str, Any]],
        result: str | None = None,
        supplies: Mapping[str, Any] | None = None,
    ) -> str | None:
        """Write a job's end: its row, its use, its ledger entries, its receipt, which is returned.

        Where the others were told before that it ended well, its row alone, and None: they see how long a ledger is.
        """
        row.state, row.ended = state.value, clock.now()
        row.steps = json.dumps(steps) if steps else row.steps
        row.error = json.dumps(error.document()) if error else None
        if self.told_done(session, row.id):
            return None
        use = session.get(Use, row.id)
        if use is not None and use.state == UseState.RESERVED.value:
            use.state = UseState.FREED.value
        if error is not None:
            if state is JobState.REFUSED:
                self._journal.refusal(
                    session, error, fallback="job", job=row.id, contract=row.contract, requester=row.coordinator
                )
            else:
                party = error.party if error.party in self._core.pins or error.party == self.name else None
                body = Failed(job=row.id, contract=row.contract, party=party, cause=error.cause[:1000])
                self._journal.append(session, body)
        return self._receipt(session, row, state, error, steps, result, supplies)

    def _receipt(
        self,
        session: Session,
        row: Job,
        state: JobState,
        error: LingquError | None,
        steps: list[dict[str, Any]],
        result: str | None,
        supplies: Mapping[str, Any] | None,
    ) -> str:
        """This party's receipt, kept here."""
        receipt = Receipt(
            job=row.id,
            contract=row.contract,
            plan=row.plan,
            party=self.name,
            outcome=OUTCOMES[state],
            started=row.started or row.created,
            ended=row.ended or clock.now(),
            rounds=sum(step["rounds"] for step in steps),
            bytes=sum(step["bytes"] for step in steps),
            result=result,
            term=error.term if error else None,
            reason=error.cause if error else None,
            supplies=Supplies.model_validate(supplies) if supplies else None,
        )
        token = self._core.sign(receipt)
        self.keep_receipt(session, receipt, token)
        return token

    def keep_receipt(self, session: Session, receipt: Receipt, token: str) -> None:
        """Keep a party's receipt of a job, the first one that it gives."""
        if session.get(Account, (receipt.job, receipt.party)) is None:
            session.add(Account(job=receipt.job, party=receipt.party, token=token))
            body = ReceiptLogged(job=receipt.job, contract=receipt.contract, party=receipt.party, token=token)
            self._journal.append(session, body)

    def receive(self, peer: str, token: str) -> None:
        """Keep a peer's signed receipt; Tampered, NotFound or Refused for one that is none of its own jobs here."""
        receipt = self._core.evidence(token, Receipt, peer).document
        assert isinstance(receipt, Receipt)
        if receipt.party != peer:
            raise Tampered(f"{peer} sent a receipt of {receipt.party}.", "Ask its manager to check.", party=peer)
        with self._core.store.write() as session:
            row = session.get(Job, receipt.job)
            if row is None or row.contract != receipt.contract:
                raise NotFound(f"There was no job {receipt.job} under that contract here.", "Nothing is missing.")
            if peer not in Terms.parse(session.get_one(Agreement, row.contract).terms).names:
                raise Refused(f"{peer} is no party of that contract.", "Only parties give receipts.", term="parties")
            self.keep_receipt(session, receipt, token)

    def result(self, row: Job) -> Result:
        """What is stored of a job's result; Conflict where there is none."""
        with self._core.store.read() as session:
            found = session.get(Result, row.id)
        if found is None:
            raise Conflict(
                f"Job {row.id} is {row.state}; it has no result.", "Wait until it is done, or start it again."
            )
        return found

    def tidy(self) -> None:
        """Remove what a node that died left: files of a worker's result, and of rows whose result is not stored."""
        for folder in self._core.home.jobs.glob("*"):
            clear(folder)
        with self._core.store.read() as session:
            strays = [job for job in self.results.all() if session.get(Result, job) is None]
        for job in strays:
            self.results.drop(job)

    def used(self, job: str) -> Supplies | None:
        """What the correlations of a job that has ended took, by this party's own receipt."""
        with self._core.store.read() as session:
            account = session.get(Account, (job, self.name))
        if account is None:
            return None
        receipt = self._core.evidence(account.token, Receipt, self.name).document
        assert isinstance(receipt, Receipt)
        return receipt.supplies
