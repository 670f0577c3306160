"""Jobs at one node: admission, the worker, the gate, the end, and what is written down of each.

A job's state only moves forward: admitting → running → done | failed | refused.  Its use of the contract moves
reserved → spent at the gate before the reveal, or reserved → freed at an end before it.
"""

from __future__ import annotations

import json
import logging
import secrets
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from lingqu.engine.release import Release
from lingqu.engine.supervisor import Supervisor
from lingqu.engine.worker import JobLine
from lingqu.kinds import clock
from lingqu.kinds.errands import Given
from lingqu.kinds.errors import LingquError, PartyLost, Refused, Unavailable
from lingqu.kinds.programs import Value
from lingqu.kinds.receipts import Supplies as Used
from lingqu.ledger import RunStarted
from lingqu.node import messages as m
from lingqu.node.catalogue import Catalogue
from lingqu.node.contracts import Contracts
from lingqu.node.coordination import Coordination
from lingqu.node.core import Core
from lingqu.node.endings import Endings
from lingqu.node.errors import Conflict, NotFound, revived
from lingqu.node.given import drop, keep
from lingqu.node.journal import Journal
from lingqu.node.kept import Kept
from lingqu.node.outbox import Tell
from lingqu.node.results import clear
from lingqu.node.run import Run, worker_line
from lingqu.node.store.models import ENDED, Job, JobState, Result, Use, UseState
from lingqu.node.supplies import Supplies
from lingqu.node.transport import Transport
from lingqu.plan.plan import Plan

LOG = logging.getLogger("lingqu.node.jobs")
READY_SECONDS = 30.0
VIEW_SECONDS = 2.0
WORD_SECONDS = 3.0  # how long a lost party may take to say why it left


class Jobs:
    """Every job that this node takes part in.  tell: queues a message that must arrive."""

    def __init__(
        self,
        core: Core,
        journal: Journal,
        catalogue: Catalogue,
        contracts: Contracts,
        transport: Transport,
        tell: Tell,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._core = core
        self._journal = journal
        self._catalogue = catalogue
        self._contracts = contracts
        self._tell = tell
        self._kept = Kept(core.home, contracts)
        self._endings = Endings(core, journal)
        self._supervisor = supervisor or Supervisor()
        self._runs: dict[str, Run] = {}
        self._changed = threading.Condition()
        self._version = 0
        self._closing = threading.Event()
        self._coordination = Coordination(core, transport, self)
        self.supplies = Supplies(core, contracts, transport, self._supervisor, lambda: self._busy() > 0)
        contracts.on_revoked = self.revoked

    @property
    def name(self) -> str:
        """This party's name."""
        return self._core.name

    @property
    def core(self) -> Core:
        """This node."""
        return self._core

    # The analyst's side

    def start(self, user: str, contract: str, purpose: str, bindings: Mapping[str, Value], given: Given | None) -> Job:
        """Ask for a run under a contract; Refused names the term when this node itself will not have it."""
        offer = self._contracts.offer(secrets.token_hex(16), contract, purpose, bindings)
        run = self._admit(offer, self.name, user=user)
        run.given = given
        self._coordination.lead(run)
        return self.job(offer.job)

    def cancel(self, job: str, user: str) -> Job:
        """Stop a job at every party; a job that has ended stays as it is."""
        run = self._runs.get(job)
        if run is not None:
            error = Refused(f"The job was cancelled by {user} at {self.name}.", "Start it again.", term="cancelled")
            self.finish(run, JobState.REFUSED, error)
        return self.job(job)

    def result(self, job: str, user: str) -> Release:
        """The released result, for the analyst who asked, or any of a further recipient; Refused for everyone else."""
        return Release.parse(self._result(job, user).document)

    def rows(self, job: str, user: str) -> Path:
        """The file with the rows of a large result; refused as `result` is."""
        if self.result(job, user).attached is None:
            raise Conflict(f"The rows of job {job} stand in its result.", "Read that.")
        return self._endings.results.found(job)

    def plan(self, job: str, user: str) -> Plan:
        """The plan by which that result was computed, whatever was registered since."""
        found = self._result(job, user)
        if found.plan is None:
            raise Conflict(f"Job {job} was run by a version that kept no plans.", "Run the job again.")
        return Plan.parse(found.plan)

    def _result(self, job: str, user: str) -> Result:
        row = self.job(job)
        terms = self._contracts.standing(row.contract).terms
        # A job that another recipient asked for belongs to no one user of this one: its analysts may read it.
        if row.user not in (None, user) or self.name not in terms.recipients:
            raise Refused(
                "This result belongs to another analyst.", "Ask under a contract of your own.", term="recipients"
            )
        return self._endings.result(row)

    # The other parties' side

    def offered(self, peer: str, offer: m.JobOffer, token: str) -> m.JobReady | m.JobRefused:
        """A peer asks this node to take part: decide, reserve, start a worker.  The same offer twice gives the same."""
        try:
            run = self._between(offer.job)
            if run is None:
                run = self._admit(offer, peer, token=token)
                self.spawn(run)
                self._coordination.watch(run, peer)
            elif run.offer != offer or run.coordinator != peer:
                raise Conflict(f"Job {offer.job} was offered differently before.", "Start a new job.")
            return m.JobReady(job=offer.job, endpoint=self.endpoint(run), prepared=self.prepared(run))
        except LingquError as error:
            return m.JobRefused(job=offer.job, code=error.code, term=error.term, cause=error.cause, cure=error.cure)

    def begin(self, peer: str, start: m.JobStart) -> None:
        """Every party is ready: the worker may connect to the others."""
        run = self._between(start.job)
        if run is None or run.coordinator != peer:
            raise NotFound(f"Job {start.job} is not under way at {self.name}.", "Start a new job.")
        if len(start.endpoints) != len(run.plan.everyone):
            raise Refused(
                f"Job {start.job} starts with {len(start.endpoints)} endpoints.", "One a party.", term="parties"
            )
        self.go(run, start.endpoints, start.prepared)

    def ended(self, peer: str, message: m.JobEnded) -> None:
        """A peer says that its part of the job ended badly."""
        run = self._between(message.job)
        if run is None or peer not in run.plan.everyone:
            return
        error = revived(message.code, message.cause, message.cure, message.term, message.party or peer)
        self.finish(run, JobState(message.state), error, told=peer)

    def condition(self, peer: str, message: m.JobHealth) -> m.JobCondition:
        """How a job is at this node, for a party of it."""
        with self._core.store.read() as session:
            row = session.get(Job, message.job)
            done = row is not None and self._endings.told_done(session, row.id)
        if row is None or peer not in self._contracts.standing(row.contract).terms.names:
            return m.JobCondition(job=message.job, state="unknown")
        if done:
            return m.JobCondition(job=message.job, state=JobState.DONE.value)
        run = self._runs.get(message.job)
        error = json.loads(row.error) if row.error else {}
        return m.JobCondition(
            job=message.job,
            state=run.state.value if run else row.state,
            cause=error.get("cause"),
            party=error.get("party"),
        )

    def receipt(self, peer: str, note: m.ReceiptNote) -> None:
        """Keep a peer's signed receipt."""
        self._endings.receive(peer, note.token)
        self._journal.publish()

    # Views

    def job(self, job: str) -> Job:
        """One job, with the present state of its steps; NotFound when there is none."""
        with self._core.store.read() as session:
            row = session.get(Job, job)
        if row is None:
            raise NotFound(f"There is no job {job} here.", "Look at `lingqu jobs`.")
        return self._live(row)

    def used(self, job: str) -> Used | None:
        """What a job's correlations took at this party, ahead and on line; None where it took none."""
        run = self._runs.get(job)
        if run is not None:
            return Used.model_validate(run.supplies) if run.supplies else None
        return self._endings.used(job)

    def all(self) -> list[Job]:
        """Every job, oldest first."""
        with self._core.store.read() as session:
            rows = session.scalars(select(Job).order_by(Job.created, Job.id)).all()
        return [self._live(row) for row in rows]

    def watch(self, job: str) -> Iterator[Job]:
        """The job's views as they change, the last one being its end."""
        seen = -1
        while not self._closing.is_set():
            with self._changed:
                if seen == self._version:
                    self._changed.wait(VIEW_SECONDS)
                seen = self._version
            row = self.job(job)
            yield row
            if row.state in ENDED:
                return

    def changed(self) -> None:
        """Wake everyone who watches."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    # Start and stop of the node

    def recover(self) -> None:
        """Close what a crash left open: running jobs have failed, reserved uses are free, spent ones stay spent."""
        for job in self._endings.recover(self._tell_receipt):
            shutil.rmtree(self._core.home.job(job), ignore_errors=True)
        self._kept.forget()
        self._endings.tidy()

    def stop_watching(self) -> None:
        """End every stream of views, so that the server can stop."""
        self._closing.set()
        self.changed()

    def end(self) -> None:
        """End every run, tell the others, and break off every talk with them; nothing starts any more."""
        self.stop_watching()
        for run in list(self._runs.values()):
            self.finish(run, JobState.FAILED, self._endings.stopped())
        self.supplies.close()
        self._coordination.close()

    def close(self) -> None:
        """End every run and its worker."""
        self.end()
        self._supervisor.close()

    def revoked(self, contract: str) -> None:
        """A contract was revoked: its runs end now."""
        for run in list(self._runs.values()):
            if run.offer.contract == contract:
                error = Refused("The contract was revoked while the job ran.", "Propose a new one.", term="revoked")
                self.finish(run, JobState.REFUSED, error)
        self.supplies.changed(contract)
        self._kept.drop(contract)

    def removed(self, peer: str) -> None:
        """A peer was removed: the runs that it is a party of end now."""
        for run in list(self._runs.values()):
            if peer in run.plan.everyone:
                error = Refused(f"{self.name} removed {peer} while the job ran.", "Pair again.", term="parties")
                self.finish(run, JobState.REFUSED, error)

    # The run

    def _between(self, job: str) -> Run | None:
        """A run as the other parties know it: none once its worker has said its last word to them."""
        run = self._runs.get(job)
        return None if run is None or run.quiet.is_set() else run

    def _busy(self) -> int:
        return sum(not run.quiet.is_set() for run in list(self._runs.values()))

    def _admit(self, offer: m.JobOffer, coordinator: str, *, user: str | None = None, token: str | None = None) -> Run:
        self._endings.settle()
        run: Run | None = None
        try:
            with self._core.store.write() as session:
                if session.get(Job, offer.job) is not None:
                    raise Conflict(f"Job {offer.job} has ended at {self.name}.", "Start a new job.")
                if self._closing.is_set():
                    raise Unavailable(f"{self.name} is stopping.", "Wait until it is up again.", party=self.name)
                if self._busy() >= self._core.config.jobs.limit:
                    raise Unavailable(f"{self.name} runs all jobs that it may.", "Wait for one.", party=self.name)
                terms, plan = self._contracts.admit(session, offer, coordinator)
                run = Run(self, offer, coordinator, terms, plan)
                session.add(
                    Job(
                        id=offer.job,
                        contract=offer.contract,
                        plan=offer.plan,
                        coordinator=coordinator,
                        user=user,
                        offer=offer.canonical().decode(),
                        state=JobState.ADMITTING.value,
                        steps=json.dumps(list(run.steps.values())),
                        created=run.begun,
                    )
                )
                session.flush()
                session.add(Use(job=offer.job, contract=offer.contract, state=UseState.RESERVED.value))
                body = RunStarted(
                    job=offer.job, contract=offer.contract, plan=offer.plan, requester=coordinator, token=token
                )
                self._journal.append(session, body)
                self._runs[offer.job] = run
        except LingquError as error:
            if run is not None:
                self._runs.pop(offer.job, None)
            if error.party is None and isinstance(error, Refused):
                error.party = self.name
            with self._core.store.write() as session:
                self._journal.refusal(
                    session,
                    error,
                    fallback="job",
                    job=offer.job,
                    contract=offer.contract,
                    requester=coordinator,
                    token=token,
                )
            self._journal.publish()
            raise
        self.supplies.pause()  # a job comes first
        self.changed()
        return run

    def spawn(self, run: Run) -> None:
        """Start the run's worker; whatever prevents it ends the run."""
        try:
            worker = self._supervisor.spawn(self._line(run), run)
        except LingquError as error:
            self.finish(run, JobState.FAILED, error)
            raise
        except Exception as unforeseen:
            LOG.exception("job %s", run.offer.job)
            failure = LingquError(f"{self.name} could not start its worker.", "Look at its log.", party=self.name)
            self.finish(run, JobState.FAILED, failure)
            raise failure from unforeseen
        with run.lock:
            run.worker = worker
            if run.over.is_set():  # revoked or cancelled meanwhile
                worker.kill()

    def _line(self, run: Run) -> JobLine:
        return worker_line(
            self._core,
            run.plan,
            run.plan.everyone,
            run.offer.job,
            self._core.home.job(run.offer.job),
            tables=self._catalogue.local(run.plan.assets),
            bindings=run.offer.bindings,
            kept=str(self._core.home.kept_of(run.offer.contract)),
            earlier=self._kept.earlier(run.offer.contract),
            given=keep(self._core.home.job(run.offer.job), run.given),
            record=self._core.config.record or None,
            supplies=str(self.supplies.folder(run.offer.contract)),
        )

    def endpoint(self, run: Run) -> str:
        """Where the run's worker listens, as the others reach it; PartyLost when it does not start."""
        try:
            return run.endpoint.result(READY_SECONDS)
        except FutureTimeout:
            error = PartyLost(
                f"The worker of {self.name} did not start within {READY_SECONDS:g} s.",
                "Look at its log; the machine may be overloaded.",
                party=self.name,
            )
            self.finish(run, JobState.FAILED, error)
            raise error from None

    def prepared(self, run: Run) -> tuple[str, ...]:
        """Portions of correlations that this party, where it computes, keeps for the run."""
        return self.supplies.reserve(run.offer.job, run.offer.contract) if self.name in run.plan.parties else ()

    def go(self, run: Run, endpoints: tuple[str, ...], prepared: tuple[str, ...]) -> None:
        """Every party is ready: the worker may connect to the others, and use the portions that all of them hold."""
        with run.lock:
            if run.state is not JobState.ADMITTING or run.over.is_set():
                return
            run.state = JobState.RUNNING
            with self._core.store.write() as session:
                row = session.get_one(Job, run.offer.job)
                row.state, row.started = JobState.RUNNING.value, clock.now()
            assert run.worker is not None
            run.worker.start(endpoints, self.supplies.agree(run.offer.job, prepared))
        if run.coordinator != self.name:
            for name in run.others:
                if name != run.coordinator:
                    self._coordination.watch(run, name)
        self.changed()

    def gate(self, run: Run, reveal: bool) -> None:
        """May this worker go on?  Before the reveal the use is committed, durably, and only then the answer is yes."""
        with run.lock:
            if run.over.is_set():
                raise Refused("The job has ended.", "Start it again.", term="job")
            with self._core.store.write() as session:
                self._contracts.recheck(session, run.offer, run.coordinator, run.plan)
                if reveal:
                    self._endings.spend(session, run.offer.job)

    def worker_left(self, run: Run) -> None:
        """The worker goes to look at what it found: to the others, who may not see how long that takes, it is over."""
        with run.lock:
            if run.over.is_set():
                raise Refused("The job has ended.", "Start it again.", term="job")
            self._endings.leave(run, self._tell_receipt)
            run.quiet.set()
        self._parted(run)

    def worker_ended(self, run: Run, release: Path | None, error: LingquError | None) -> None:
        """The worker is gone: the job is done, or has failed and everyone hears of it."""
        if isinstance(error, PartyLost) and error.party in run.others:
            run.over.wait(WORD_SECONDS)  # its own account, which is on its way, says more than that it is gone
        if error is None and (release is not None) == (self.name in run.plan.recipients):
            try:
                self.finish(run, JobState.DONE, None, release=release)
                return
            except LingquError as refused:
                error = refused
            except OSError as failed:
                error = Unavailable(f"The result could not be read: {failed.strerror}.", "Look at the disk.")
            except SQLAlchemyError as failed:
                LOG.exception("job %s", run.offer.job)
                error = LingquError(f"The result could not be stored: {type(failed).__name__}.", "Look at the log.")
        if error is None:
            error = LingquError("A worker gave a result at the wrong party.", "Look at its log.", party=self.name)
        self.finish(run, JobState.REFUSED if isinstance(error, Refused) else JobState.FAILED, error)
        clear(self._core.home.job(run.offer.job))

    def finish(
        self,
        run: Run,
        state: JobState,
        error: LingquError | None,
        *,
        release: Path | None = None,
        told: str | None = None,
    ) -> None:
        """The one way a run ends; the first end counts."""
        with run.lock:
            if run.over.is_set():
                return
            self._endings.write(run, state, error, release, self._tell_receipt)
            run.state = state
            quiet = run.quiet.is_set()
            run.quiet.set()
            run.over.set()
            self._runs.pop(run.offer.job, None)
            worker = run.worker
        drop(self._core.home.job(run.offer.job))
        if error is not None:
            LOG.warning("job %s %s: %s", run.offer.job, state.value, error)
            if worker is not None:
                worker.kill()
            if not quiet:
                self._coordination.announce(run, state, error, told)
        else:
            shutil.rmtree(self._core.home.job(run.offer.job), ignore_errors=True)
        if not quiet:
            self._parted(run)
        self.changed()

    def _parted(self, run: Run) -> None:
        self.supplies.release(run.offer.job, run.offer.contract)
        self._journal.publish()

    def _tell_receipt(self, session: Session, receipt: str, others: Sequence[str]) -> None:
        for name in others:
            self._tell(session, name, m.ReceiptNote(token=receipt))

    def _live(self, row: Job) -> Job:
        self._endings.amend(row)
        run = self._runs.get(row.id)
        if run is not None:
            with run.lock:
                row.steps = json.dumps(list(run.steps.values()))
        return row
