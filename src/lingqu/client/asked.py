"""What is asked of the node: agreements, who takes part, and a program with its purpose."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from lingqu.client.answers import Explanation, Result
from lingqu.contract import State
from lingqu.kinds.errands import Given
from lingqu.kinds.errors import Refused, Unavailable
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.programs import Program, Value
from lingqu.node.remote import Progress, Remote, expiry
from lingqu.node.replies import ContractView, check_adversary

ENDED = frozenset({State.USED_UP, State.EXPIRED, State.REVOKED, State.REJECTED})


class Agreement:
    """A contract as this node sees it; `state` asks the node anew each time."""

    def __init__(self, remote: Remote, view: ContractView) -> None:
        self._remote = remote
        self.view = view

    @property
    def id(self) -> str:
        """The digest of its terms."""
        return self.view.id

    @property
    def state(self) -> str:
        """proposed, signed, in-force, used-up, expired, revoked or rejected, as of now."""
        self.view = self._remote.contract(self.id)
        return self.view.state

    @property
    def waiting(self) -> tuple[str, ...]:
        """Parties whose signature was missing when last asked."""
        return self.view.waiting

    def wait(self, timeout: float = 3600.0, every: float = 1.0) -> Agreement:
        """Wait until every party has signed.

        timeout, every: seconds.  Raises Refused when the contract ended instead, Unavailable when time ran out first.
        """
        ticking, until = threading.Event(), time.monotonic() + timeout
        while (state := self.state) not in (State.IN_FORCE, State.SIGNED):
            if state in ENDED:
                term = "signatures" if state == State.REJECTED else state.replace("-", "_")
                raise Refused(f"Contract {self.id} is {state}.", "Propose a new one.", term=term)
            if time.monotonic() >= until:
                raise Unavailable(
                    f"Contract {self.id} still waits for {', '.join(self.waiting)}.", "Ask them, then wait again."
                )
            ticking.wait(every)
        return self

    def __repr__(self) -> str:
        waiting = f", waiting for {', '.join(self.waiting)}" if self.view.state == State.PROPOSED else ""
        used = f"{self.view.spent} of {self.view.terms.uses} uses spent"
        return f"<Agreement {self.id} {self.view.terms.title!r}: {self.view.state}{waiting}, {used}>"


class Arranged:
    """Who computes, who receives, and against whom; None: as the node chooses."""

    def __init__(
        self,
        parties: Sequence[str] | None = None,
        recipients: Sequence[str] | None = None,
        adversary: str = Adversary.SEMI_HONEST,
    ) -> None:
        self.parties = tuple(parties) if parties is not None else None
        self.recipients = tuple(recipients) if recipients is not None else None
        self.adversary = Adversary.named(adversary)

    def fields(self) -> dict[str, Any]:
        """As requests carry it: what was chosen."""
        chosen: dict[str, Any] = {"parties": self.parties, "recipients": self.recipients}
        if self.adversary is not Adversary.SEMI_HONEST:
            chosen["adversary"] = self.adversary.value
        return chosen


class Asked:
    """A program with a purpose: what queries and trainings share."""

    def __init__(self, remote: Remote, program: Program, purpose: str, minimum_group: int, arranged: Arranged) -> None:
        self._remote = remote
        self.program = program
        self.purpose = purpose
        self.minimum_group = minimum_group
        self.arranged = arranged

    def explain(self) -> Explanation:
        """The plan: steps, technique and reason, estimated cost, and who will learn what.  Nothing runs."""
        return Explanation(self._remote.plan(self.program, self.minimum_group, **self.arranged.fields()))

    def propose(
        self, *, title: str, uses: int = 1, expires: str | timedelta | date = "30d", daily: int | None = None
    ) -> Agreement:
        """Sign a contract over this and send it to the other parties.

        uses: runs in all.  expires: "30d", "12h", a day, a datetime, or a timedelta from now.
        daily: the most runs within any 24 hours; as many as there are uses when not given.
        """
        view = self._remote.propose(
            self.program,
            title=title,
            purpose=self.purpose,
            minimum_group=self.minimum_group,
            uses=uses,
            expires=expiry(expires),
            daily=daily,
            **self.arranged.fields(),
        )
        return Agreement(self._remote, view)

    def result(
        self,
        contract: str | Agreement | None,
        bindings: Mapping[str, Value],
        progress: Progress | None,
        given: Given | None = None,
    ) -> Result:
        """Run it under a contract, wait for the release and return it.  given: for this organisation's node alone."""
        if contract is None:
            contract = self._remote.matching(self.program, self.purpose, self.arranged.adversary).id
        elif self.arranged.adversary is not Adversary.SEMI_HONEST:
            terms = self._remote.contract(contract if isinstance(contract, str) else contract.id).terms
            check_adversary(terms, self.arranged.adversary)
        named = contract if isinstance(contract, str) else contract.id
        started = self._remote.start(named, self.purpose, bindings, given)
        ended = self._remote.follow(started.id, progress).checked()
        return Result(self._remote, ended, self._remote.result(ended.id))
