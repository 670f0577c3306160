"""What goes between the parties of a run: asking them, starting together, watching them, telling them of the end."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from lingqu.kinds.errors import LingquError, PartyLost, ProtocolViolation, Refused, Tampered
from lingqu.node import messages as m
from lingqu.node.core import Core
from lingqu.node.errors import revived
from lingqu.node.run import Run
from lingqu.node.store.models import JobState
from lingqu.node.transport import Transport

LOG = logging.getLogger("lingqu.node.jobs")
OFFER_SECONDS = 40.0
# A peer that hangs is given up after 1.5 + 3.5 + 0.4 + 3.5 seconds; one that is gone, after 2.
POLL_SECONDS = 1.5
POLL_LIMIT = 3.5
FAREWELL_SECONDS = 1.0


class Local(Protocol):
    """What coordination asks of `jobs.Jobs`: this party's own part of a run."""

    def spawn(self, run: Run) -> None:
        """Start the run's worker."""

    def endpoint(self, run: Run) -> str:
        """Where its worker listens, as the others reach it."""

    def prepared(self, run: Run) -> tuple[str, ...]:
        """Portions of correlations that this party keeps for the run."""

    def go(self, run: Run, endpoints: tuple[str, ...], prepared: tuple[str, ...]) -> None:
        """Let the worker connect to the others, and use these portions."""

    def finish(self, run: Run, state: JobState, error: LingquError | None, *, told: str | None = None) -> None:
        """End the run; the first end counts."""


def _common(held: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Portions that every compute party holds, in order."""
    first, *others = held
    return tuple(name for name in first if all(name in other for other in others))


class Coordination:
    """Talks to the other parties of runs, each talk on a thread of its own."""

    def __init__(self, core: Core, transport: Transport, local: Local) -> None:
        self._core = core
        self._transport = transport
        self._local = local
        self._pool = ThreadPoolExecutor(max_workers=8 * core.config.jobs.limit, thread_name_prefix="jobs")
        self._farewells: set[threading.Thread] = set()

    def lead(self, run: Run) -> None:
        """This node asked for the run: ask every party, then start all workers at once."""
        self._pool.submit(self._lead, run)

    def watch(self, run: Run, peer: str) -> None:
        """Ask a peer how the job is until it ends between them; a peer that is gone or hangs ends it."""
        self._pool.submit(self._watch, run, peer)

    def announce(self, run: Run, state: JobState, error: LingquError, told: str | None) -> None:
        """Tell the peers at once how the run ended; who cannot be reached will find out by asking."""
        self._transport.break_off(run.offer.job)
        message = m.JobEnded(
            job=run.offer.job,
            state=state.value,
            code=error.code,
            cause=error.cause[:4000],
            cure=error.cure[:4000],
            term=error.term,
            party=error.party or self._core.name,
        )
        for name in run.others:
            if name != told:
                thread = threading.Thread(target=self._tell_once, args=(name, message), name="job-ended", daemon=True)
                self._farewells.add(thread)
                thread.start()

    def close(self) -> None:
        """Stop talking: give the last words a moment, then break off what is under way."""
        deadline = time.monotonic() + FAREWELL_SECONDS
        for thread in list(self._farewells):
            thread.join(max(0.0, deadline - time.monotonic()))
        self._transport.close()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _lead(self, run: Run) -> None:
        try:
            answers = {name: self._pool.submit(self._ask, run, name) for name in run.others}
            for name in run.others:  # from now on: a party may hang while it is asked
                self.watch(run, name)
            self._local.spawn(run)
            own = self._local.endpoint(run)
            ready = {name: task.result() for name, task in answers.items()}
            ready[self._core.name] = m.JobReady(job=run.offer.job, endpoint=own, prepared=self._local.prepared(run))
            ordered = tuple(ready[name].endpoint for name in run.plan.everyone)
            prepared = _common([ready[name].prepared for name in run.plan.parties])
            start = m.JobStart(job=run.offer.job, endpoints=ordered, prepared=prepared)
            for task in [self._pool.submit(self._send, run, name, start) for name in run.others]:
                task.result()
            self._local.go(run, ordered, prepared)
        except Refused as error:
            self._local.finish(run, JobState.REFUSED, error)
        except LingquError as error:
            self._local.finish(run, JobState.FAILED, error)
        except Exception:
            LOG.exception("job %s", run.offer.job)
            self._local.finish(run, JobState.FAILED, LingquError("The node failed unexpectedly.", "Look at its log."))

    def _ask(self, run: Run, name: str) -> m.JobReady:
        answer = self._transport.send(name, run.offer, OFFER_SECONDS, about=run.offer.job)
        if isinstance(answer, m.JobReady):
            return answer
        if isinstance(answer, m.JobRefused):
            raise revived(answer.code, answer.cause, answer.cure, answer.term, name)
        raise Tampered(f"{name} answered a job offer with something else.", "Ask its manager.", party=name)

    def _send(self, run: Run, name: str, start: m.JobStart) -> None:
        self._transport.send(name, start, about=run.offer.job)

    def _watch(self, run: Run, peer: str) -> None:
        misses = 0
        while not run.quiet.wait(POLL_SECONDS if misses == 0 else POLL_SECONDS / 4):
            try:
                condition = self._condition(run, peer)
            except PartyLost as error:
                misses += 1
                if misses > 1:
                    lost = PartyLost(f"{peer} was lost while the job ran: {error.cause}", "Run it again.", party=peer)
                    self._local.finish(run, JobState.FAILED, lost)
                continue
            except LingquError as error:
                self._local.finish(run, JobState.FAILED, error)
                return
            misses = 0
            asking = run.coordinator == self._core.name and run.state is JobState.ADMITTING
            if condition.state in ("failed", "refused") or (condition.state == "unknown" and not asking):
                cause = f"The job ended at {peer}: {condition.cause or 'it does not know it any more'}"
                lost = PartyLost(cause, "Run it again.", party=condition.party or peer)
                self._local.finish(run, JobState.FAILED, lost)

    def _condition(self, run: Run, peer: str) -> m.JobCondition:
        answer = self._transport.send(peer, m.JobHealth(job=run.offer.job), POLL_LIMIT)
        if isinstance(answer, m.JobCondition):
            return answer
        raise ProtocolViolation(
            f"{peer} answered a question for a job with something else.", "Ask its manager.", party=peer
        )

    def _tell_once(self, name: str, message: m.JobEnded) -> None:
        try:
            self._transport.send(name, message, POLL_LIMIT)
        except LingquError as error:
            LOG.info("%s does not hear that job %s ended: %s", name, message.job, error.cause)
        finally:
            self._farewells.discard(threading.current_thread())
