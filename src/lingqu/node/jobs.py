"""Jobs at one node: admission, the worker, the gate, the end, and what is written down of each.

A job's state only moves forward: admitting → running → done | failed | refused.  Its use of the contract moves
reserved → spent at the gate before the reveal, or reserved → freed at an end before it.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from lingqu.contract import Terms
from lingqu.engine.release import Release
from lingqu.engine.supervisor import Supervisor, Worker
from lingqu.engine.worker import JobLine
from lingqu.kinds import clock
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import LingquError, PartyLost, Refused, Tampered, Unavailable
from lingqu.kinds.programs import Value
from lingqu.kinds.receipts import Outcome, Receipt
from lingqu.ledger import Failed, ReceiptLogged, Released, RunStarted, Spent
from lingqu.node.catalogue import Catalogue
from lingqu.node.contracts import Contracts
from lingqu.node.core import Core
from lingqu.node.errors import Conflict, NotFound, revived
from lingqu.node.journal import Journal
from lingqu.node.messages import (
    JobCondition,
    JobEnded,
    JobHealth,
    JobOffer,
    JobReady,
    JobRefused,
    JobStart,
    ReceiptNote,
)
from lingqu.node.store.models import ENDED, Account, Job, JobState, Result, Use, UseState
from lingqu.node.transport import Transport
from lingqu.plan.plan import Plan

LOG = logging.getLogger("lingqu.node.jobs")
OFFER_SECONDS = 40.0
READY_SECONDS = 30.0
POLL_SECONDS = 2.0
POLL_LIMIT = 4.0
_STOPPED = "The node stopped while the job was under way."


class Run:
    """A job that is under way at this node; also what its worker speaks to."""

    def __init__(self, jobs: Jobs, offer: JobOffer, coordinator: str, terms: Terms, plan: Plan) -> None:
        self._jobs = jobs
        self.offer = offer
        self.coordinator = coordinator
        self.terms = terms
        self.plan = plan
        self.lock = threading.RLock()
        self.over = threading.Event()
        self.worker: Worker | None = None
        self.endpoint: Future[str] = Future()
        self.begun = clock.now()
        self.state = JobState.ADMITTING
        self.steps: dict[str, dict[str, Any]] = {
            step.id: {
                "id": step.id,
                "operator": step.operator,
                "state": "waiting",
                "rounds": 0,
                "bytes": 0,
                "seconds": 0.0,
            }
            for step in plan.steps
        }

    @property
    def others(self) -> list[str]:
        """The other parties."""
        return [name for name in self.plan.parties if name != self._jobs.name]

    def ready(self, endpoint: str) -> None:
        """The worker listens."""
        self.endpoint.set_result(self._jobs.advertised(endpoint))

    def progress(self, step: str, figures: Mapping[str, Any]) -> None:
        """A step moved on."""
        with self.lock:
            known = self.steps.get(step)
            if known is not None:
                known.update({key: figures[key] for key in ("state", "rounds", "bytes", "seconds") if key in figures})
        self._jobs.changed()

    def gate(self, step: str, reveal: bool) -> None:
        """The worker asks whether it may take a step, or reveal."""
        self._jobs.gate(self, reveal)
        if not reveal:
            self.progress(step, {"state": "running"})

    def ended(self, figures: Mapping[str, Any], release: Path | None, error: LingquError | None) -> None:
        """The worker is gone."""
        if not self.endpoint.done():
            self.endpoint.set_exception(error or LingquError("The worker ended early.", "Look at its log."))
        self._jobs.worker_ended(self, release, error)


class Jobs:
    """Every job that this node takes part in.  tell: queues a message that must arrive."""

    def __init__(
        self,
        core: Core,
        journal: Journal,
        catalogue: Catalogue,
        contracts: Contracts,
        transport: Transport,
        tell: Callable[[str, Document], None],
        supervisor: Supervisor | None = None,
    ) -> None:
        self._core = core
        self._journal = journal
        self._catalogue = catalogue
        self._contracts = contracts
        self._transport = transport
        self._tell = tell
        self._supervisor = supervisor or Supervisor()
        self._runs: dict[str, Run] = {}
        self._changed = threading.Condition()
        self._version = 0
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=8 * core.config.jobs.limit, thread_name_prefix="jobs")
        contracts.on_revoked = self.revoked

    @property
    def name(self) -> str:
        """This party's name."""
        return self._core.name

    # The analyst's side

    def start(self, user: str, contract: str, purpose: str, bindings: Mapping[str, Value]) -> Job:
        """Ask for a run under a contract; Refused names the term when this node itself will not have it."""
        offer = self._contracts.offer(secrets.token_hex(16), contract, purpose, bindings)
        run = self._admit(offer, self.name, user=user)
        self._pool.submit(self._coordinate, run)
        return self.job(offer.job)

    def cancel(self, job: str, user: str) -> Job:
        """Stop a job at every party; a job that has ended stays as it is."""
        run = self._run(job)
        if run is not None:
            error = Refused(f"The job was cancelled by {user} at {self.name}.", "Start it again.", term="cancelled")
            self._finish(run, JobState.REFUSED, error)
        return self.job(job)

    def result(self, job: str, user: str) -> Release:
        """The released result, for the analyst who asked; Refused for everyone else."""
        row = self.job(job)
        if row.user != user:
            raise Refused(
                "This result belongs to another analyst.", "Ask under a contract of your own.", term="recipients"
            )
        with self._core.store.read() as session:
            found = session.get(Result, job)
        if found is None:
            raise Conflict(f"Job {job} is {row.state}; it has no result.", "Wait until it is done, or start it again.")
        return Release.parse(found.document)

    # The other parties' side

    def offered(self, peer: str, offer: JobOffer, token: str) -> JobReady | JobRefused:
        """A peer asks this node to take part: decide, reserve, start a worker.  The same offer twice gives the same."""
        try:
            run = self._run(offer.job)
            if run is None:
                run = self._admit(offer, peer, token=token)
                self._spawn(run)
                self._pool.submit(self._watch, run, peer)
            elif run.offer != offer or run.coordinator != peer:
                raise Conflict(f"Job {offer.job} was offered differently before.", "Start a new job.")
            return JobReady(job=offer.job, endpoint=self._endpoint(run))
        except LingquError as error:
            return JobRefused(job=offer.job, code=error.code, term=error.term, cause=error.cause, cure=error.cure)

    def begin(self, peer: str, start: JobStart) -> None:
        """Every party is ready: the worker may connect to the others."""
        run = self._run(start.job)
        if run is None or run.coordinator != peer:
            raise NotFound(f"Job {start.job} is not under way at {self.name}.", "Start a new job.")
        if len(start.endpoints) != len(run.plan.parties):
            raise Refused(
                f"Job {start.job} starts with {len(start.endpoints)} endpoints.", "One a party.", term="parties"
            )
        self._go(run, start.endpoints)

    def ended(self, peer: str, message: JobEnded) -> None:
        """A peer says that its part of the job ended badly."""
        run = self._run(message.job)
        if run is None or peer not in run.plan.parties:
            return
        error = revived(message.code, message.cause, message.cure, message.term, message.party or peer)
        self._finish(run, JobState(message.state), error, told=peer)

    def condition(self, peer: str, message: JobHealth) -> JobCondition:
        """How a job is at this node, for a party of it."""
        with self._core.store.read() as session:
            row = session.get(Job, message.job)
        if row is None or peer not in self._contracts.standing(row.contract).terms.names:
            return JobCondition(job=message.job, state="unknown")
        run = self._run(message.job)
        error = json.loads(row.error) if row.error else {}
        return JobCondition(
            job=message.job,
            state=run.state.value if run else row.state,
            cause=error.get("cause"),
            party=error.get("party"),
        )

    def receipt(self, peer: str, note: ReceiptNote) -> None:
        """Keep a peer's signed receipt."""
        receipt = self._core.evidence(note.token, Receipt, peer).document
        assert isinstance(receipt, Receipt)
        if receipt.party != peer:
            raise Tampered(f"{peer} sent a receipt of {receipt.party}.", "Ask its manager to check.", party=peer)
        with self._core.store.write() as session:
            row = session.get(Job, receipt.job)
            if row is None or row.contract != receipt.contract:
                raise NotFound(f"There was no job {receipt.job} under that contract here.", "Nothing is missing.")
            self._keep_receipt(session, receipt, note.token)
        self._journal.publish()

    # Views

    def job(self, job: str) -> Job:
        """One job, with the present state of its steps; NotFound when there is none."""
        with self._core.store.read() as session:
            row = session.get(Job, job)
        if row is None:
            raise NotFound(f"There is no job {job} here.", "Look at `lingqu jobs`.")
        return self._live(row)

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
                    self._changed.wait(POLL_SECONDS)
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
        with self._core.store.read() as session:
            left = session.scalars(select(Job).where(Job.state.not_in(ENDED))).all()
        for row in left:
            error = PartyLost(_STOPPED, "Start the job again.", party=self.name)
            with self._core.store.write() as session:
                receipt = self._close(session, session.merge(row), JobState.FAILED, error, [])
            for name in self._contracts.standing(row.contract).terms.names:
                if name != self.name:
                    self._tell(name, ReceiptNote(token=receipt))
            shutil.rmtree(self._directory(row.id), ignore_errors=True)

    def stop_watching(self) -> None:
        """End every stream of views, so that the server can stop."""
        self._closing.set()
        self.changed()

    def close(self) -> None:
        """End every run and its worker."""
        self.stop_watching()
        for run in list(self._runs.values()):
            self._finish(run, JobState.FAILED, PartyLost(_STOPPED, "Start the job again.", party=self.name))
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._supervisor.close()

    def revoked(self, contract: str) -> None:
        """A contract was revoked: its runs end now."""
        for run in list(self._runs.values()):
            if run.offer.contract == contract:
                error = Refused("The contract was revoked while the job ran.", "Propose a new one.", term="revoked")
                self._finish(run, JobState.REFUSED, error)

    # The run

    def _admit(self, offer: JobOffer, coordinator: str, *, user: str | None = None, token: str | None = None) -> Run:
        try:
            with self._core.store.write() as session:
                if session.get(Job, offer.job) is not None:
                    raise Conflict(f"Job {offer.job} has ended at {self.name}.", "Start a new job.")
                if len(self._runs) >= self._core.config.jobs.limit:
                    raise Unavailable(
                        f"{self.name} runs {len(self._runs)} jobs already.", "Wait until one ends.", party=self.name
                    )
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
        self.changed()
        return run

    def _spawn(self, run: Run) -> None:
        parties, config = run.plan.parties, self._core.config
        own = self._core.certificate.pem
        line = JobLine(
            job=run.offer.job,
            plan=run.plan,
            party=parties.index(self.name),
            certificates=tuple(own if name == self.name else self._core.pins[name].certificate.pem for name in parties),
            key=str(self._core.home.key),
            certificate=str(self._core.home.certificate),
            tables=self._catalogue.local(run.plan.assets),
            bindings=run.offer.bindings,
            host=config.stream.host,
            first=config.stream.first,
            last=config.stream.last,
            timeout=config.jobs.timeout,
            directory=str(self._directory(run.offer.job)),
            record=config.record or None,
        )
        try:
            worker = self._supervisor.spawn(line, run)
        except LingquError as error:
            self._finish(run, JobState.FAILED, error)
            raise
        with run.lock:
            run.worker = worker
            if run.over.is_set():  # revoked or cancelled meanwhile
                worker.kill()

    def _endpoint(self, run: Run) -> str:
        try:
            return run.endpoint.result(READY_SECONDS)
        except FutureTimeout:
            error = PartyLost(
                f"The worker of {self.name} did not start within {READY_SECONDS:g} s.",
                "Look at its log; the machine may be overloaded.",
                party=self.name,
            )
            self._finish(run, JobState.FAILED, error)
            raise error from None

    def _coordinate(self, run: Run) -> None:
        """Ask every party, then start all workers at once."""
        try:
            answers = {name: self._pool.submit(self._ask, run, name) for name in run.others}
            self._spawn(run)
            endpoints = {self.name: self._endpoint(run)} | {name: task.result() for name, task in answers.items()}
            ordered = tuple(endpoints[name] for name in run.plan.parties)
            start = JobStart(job=run.offer.job, endpoints=ordered)
            for name in run.others:
                self._pool.submit(self._watch, run, name)
            for task in [self._pool.submit(self._transport.send, name, start) for name in run.others]:
                task.result()
            self._go(run, ordered)
        except Refused as error:
            self._finish(run, JobState.REFUSED, error)
        except LingquError as error:
            self._finish(run, JobState.FAILED, error)
        except Exception:
            LOG.exception("job %s", run.offer.job)
            self._finish(run, JobState.FAILED, LingquError("The node failed unexpectedly.", "Look at its log."))

    def _ask(self, run: Run, name: str) -> str:
        answer = self._transport.send(name, run.offer, OFFER_SECONDS)
        if isinstance(answer, JobReady):
            return answer.endpoint
        if isinstance(answer, JobRefused):
            raise revived(answer.code, answer.cause, answer.cure, answer.term, name)
        raise Tampered(f"{name} answered a job offer with something else.", "Ask its manager.", party=name)

    def _go(self, run: Run, endpoints: tuple[str, ...]) -> None:
        with run.lock:
            if run.state is not JobState.ADMITTING or run.over.is_set():
                return
            run.state = JobState.RUNNING
            with self._core.store.write() as session:
                row = session.get_one(Job, run.offer.job)
                row.state, row.started = JobState.RUNNING.value, clock.now()
            assert run.worker is not None
            run.worker.start(endpoints)
        if run.coordinator != self.name:
            for name in run.others:
                if name != run.coordinator:
                    self._pool.submit(self._watch, run, name)
        self.changed()

    def _watch(self, run: Run, peer: str) -> None:
        """Ask a peer how the job is until it ends; a peer that is gone ends it."""
        misses = 0
        while not run.over.wait(POLL_SECONDS if misses == 0 else POLL_SECONDS / 4):
            try:
                answer = self._transport.send(peer, JobHealth(job=run.offer.job), POLL_LIMIT)
            except PartyLost as error:
                misses += 1
                if misses > 1:
                    lost = PartyLost(f"{peer} was lost while the job ran: {error.cause}", "Run it again.", party=peer)
                    self._finish(run, JobState.FAILED, lost)
                continue
            except LingquError as error:
                self._finish(run, JobState.FAILED, error)
                return
            misses = 0
            assert isinstance(answer, JobCondition)
            if answer.state in ("failed", "refused", "unknown"):
                cause = f"The job ended at {peer}: {answer.cause or 'it does not know it any more'}"
                self._finish(run, JobState.FAILED, PartyLost(cause, "Run it again.", party=answer.party or peer))

    def gate(self, run: Run, reveal: bool) -> None:
        """May this worker go on?  Before the reveal the use is committed, durably, and only then the answer is yes."""
        with run.lock:
            if run.over.is_set():
                raise Refused("The job has ended.", "Start it again.", term="job")
            with self._core.store.write() as session:
                self._contracts.recheck(session, run.offer, run.coordinator, run.plan)
                if reveal:
                    use = session.get_one(Use, run.offer.job)
                    if use.state == UseState.FREED.value:
                        raise Refused("The use of this job was freed.", "Start it again.", term="uses")
                    if use.state == UseState.RESERVED.value:
                        use.state = UseState.SPENT.value
                        self._journal.append(session, Spent(job=run.offer.job, contract=run.offer.contract))

    def worker_ended(self, run: Run, release: Path | None, error: LingquError | None) -> None:
        """The worker is gone: the job is done, or has failed and everyone hears of it."""
        if error is None and (release is not None) == (run.plan.recipient == self.name):
            try:
                self._finish(run, JobState.DONE, None, release=release)
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
        self._finish(run, JobState.REFUSED if isinstance(error, Refused) else JobState.FAILED, error)
        self._directory(run.offer.job).joinpath("release.json").unlink(missing_ok=True)

    def _finish(
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
            receipt = self._write_end(run, state, error, release)
            run.state = state
            run.over.set()
            self._runs.pop(run.offer.job, None)
            worker = run.worker
        if error is not None:
            LOG.warning("job %s %s: %s", run.offer.job, state.value, error)
            if worker is not None:
                worker.kill()
            self._announce(run, state, error, told)
        if receipt is not None:
            for name in run.others:
                self._tell(name, ReceiptNote(token=receipt))
        if error is None:
            shutil.rmtree(self._directory(run.offer.job), ignore_errors=True)
        self._journal.publish()
        self.changed()

    def _write_end(self, run: Run, state: JobState, error: LingquError | None, release: Path | None) -> str | None:
        """The job's end in the store; the receipt.  A failure ends the run even where the disk takes no word of it."""
        try:
            with self._core.store.write() as session:
                row = session.get_one(Job, run.offer.job)
                digest = self._release(session, row, release) if release is not None else None
                return self._close(session, row, state, error, list(run.steps.values()), digest)
        except LingquError as failed:
            if state is JobState.DONE:
                raise
            LOG.error("the end of job %s is not on record until the node starts again: %s", run.offer.job, failed)
            return None

    def _announce(self, run: Run, state: JobState, error: LingquError, told: str | None) -> None:
        """Tell the peers at once; who cannot be reached will find out by asking."""
        message = JobEnded(
            job=run.offer.job,
            state=state.value,
            code=error.code,
            cause=error.cause[:4000],
            cure=error.cure[:4000],
            term=error.term,
            party=error.party or self.name,
        )
        for name in run.others:
            if name != told:
                threading.Thread(target=self._tell_once, args=(name, message), name="job-ended", daemon=True).start()

    def _tell_once(self, name: str, message: JobEnded) -> None:
        try:
            self._transport.send(name, message, POLL_LIMIT)
        except LingquError as error:
            LOG.info("%s does not hear that job %s ended: %s", name, message.job, error.cause)

    def _release(self, session: Session, row: Job, path: Path) -> str:
        """Store the result, once."""
        release = Release.parse(path.read_bytes())
        if release.job != row.id or release.plan != row.plan:
            raise Tampered("The worker's result is of another job.", "Look at its log.", party=self.name)
        digest = release.sha256()
        document = release.canonical().decode()
        session.add(Result(job=row.id, document=document, digest=digest, at=clock.now()))
        body = Released(job=row.id, contract=row.contract, recipient=self.name, result=digest)
        self._journal.append(session, body)
        return digest

    def _close(
        self,
        session: Session,
        row: Job,
        state: JobState,
        error: LingquError | None,
        steps: list[dict[str, Any]],
        result: str | None = None,
    ) -> str:
        """Write a job's end: its row, its use, its ledger entries, its receipt, which is returned."""
        row.state, row.ended = state.value, clock.now()
        row.steps = json.dumps(steps) if steps else row.steps
        row.error = json.dumps(error.document()) if error else None
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
        outcomes = {JobState.DONE: Outcome.RELEASED, JobState.REFUSED: Outcome.REFUSED, JobState.FAILED: Outcome.FAILED}
        receipt = Receipt(
            job=row.id,
            contract=row.contract,
            plan=row.plan,
            party=self.name,
            outcome=outcomes[state],
            started=row.started or row.created,
            ended=row.ended,
            rounds=sum(step["rounds"] for step in steps),
            bytes=sum(step["bytes"] for step in steps),
            result=result,
            term=error.term if error else None,
            reason=error.cause if error else None,
        )
        token = self._core.sign(receipt)
        self._keep_receipt(session, receipt, token)
        return token

    def _keep_receipt(self, session: Session, receipt: Receipt, token: str) -> None:
        if session.get(Account, (receipt.job, receipt.party)) is None:
            session.add(Account(job=receipt.job, party=receipt.party, token=token))
            body = ReceiptLogged(job=receipt.job, contract=receipt.contract, party=receipt.party, token=token)
            self._journal.append(session, body)

    def advertised(self, endpoint: str) -> str:
        """A worker's endpoint as the other parties reach it."""
        address = self._core.config.stream.address
        return f"{address}:{endpoint.rpartition(':')[2]}" if address else endpoint

    def _run(self, job: str) -> Run | None:
        return self._runs.get(job)

    def _live(self, row: Job) -> Job:
        run = self._run(row.id)
        if run is not None:
            with run.lock:
                row.steps = json.dumps(list(run.steps.values()))
        return row

    def _directory(self, job: str) -> Path:
        return Path(os.path.join(self._core.home.jobs, job))
