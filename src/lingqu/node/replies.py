"""What a node's local API replies, as typed views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from lingqu.contract import State, Terms
from lingqu.kinds.disclosure import Statement
from lingqu.kinds.errors import LingquError, Refused
from lingqu.kinds.programs import Program
from lingqu.node.errors import revived
from lingqu.plan.plan import Plan

ENDED = frozenset({"done", "failed", "refused"})


class View(BaseModel):
    """A reply of the node: immutable, typed; fields that a newer node adds are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class LoginView(View):
    """A new token of a user; `repr` hides it."""

    token: str
    role: str
    expires: str

    def __repr__(self) -> str:
        return f"LoginView(role={self.role!r}, expires={self.expires!r}, token=<hidden>)"


class UserView(View):
    name: str
    role: str


class PeerView(View):
    """Another organisation's node.  comparison: the digits that both sides compare before confirming."""

    name: str
    title: str
    fingerprint: str
    address: str = ""
    state: str = "pending"
    comparison: str | None = None


class NodeView(View):
    name: str
    title: str
    fingerprint: str
    address: str
    version: str
    peers: tuple[PeerView, ...] = ()


class InvitationView(View):
    """An invitation's code, good for one use until it expires; `repr` hides it."""

    code: str
    expires: str

    def __repr__(self) -> str:
        return f"InvitationView(expires={self.expires!r}, code=<hidden>)"


class PlanView(View):
    """A compiled program.  explain: the plan as text.  Digests are what a contract over it will carry."""

    plan: Plan
    explain: str
    statement: Statement
    plan_digest: str
    statement_digest: str


class ContractView(View):
    """A contract as a node sees it now.

    approvals: parties whose signature the node holds.  spent, reserved: uses.  refusals: parties that rejected.
    """

    id: str
    terms: Terms
    state: str
    approvals: tuple[str, ...] = ()
    spent: int = 0
    reserved: int = 0
    refusals: tuple[Any, ...] = ()

    @property
    def waiting(self) -> tuple[str, ...]:
        """Parties whose signature is missing."""
        return tuple(name for name in self.terms.names if name not in self.approvals)

    def covers(self, program: Program) -> bool:
        """Whether this contract is over that program; a template without limits named is known by its text."""
        signed = self.terms.program
        if signed.kind != program.kind or signed.text.strip() != program.text.strip():
            return False
        return not program.parameters or signed.parameters == program.parameters


class StepView(View):
    """One step of a job with its measured traffic and time; zeros until it ends."""

    id: str
    operator: str
    state: str
    rounds: int = 0
    bytes: int = 0
    seconds: float = 0.0


class JobView(View):
    id: str
    contract: str
    state: str
    steps: tuple[StepView, ...] = ()
    error: dict[str, Any] | None = None
    started: str | None = None
    ended: str | None = None

    @property
    def over(self) -> bool:
        """Whether the job has ended, one way or another."""
        return self.state in ENDED

    def checked(self) -> Self:
        """The job itself when it is done; otherwise its error is raised."""
        if self.state == "done":
            return self
        if self.error:
            raise rebuilt(self.error)
        raise LingquError(f"Job {self.id} ended as {self.state}.", "Look at `lingqu jobs`, then start it again.")


class HealthView(View):
    name: str
    time: str


def rebuilt(document: Mapping[str, Any]) -> LingquError:
    """The error that a node described with `LingquError.document()`; unknown codes give the base class."""
    return revived(
        str(document.get("code")),
        str(document.get("cause") or "The node gave no cause."),
        str(document.get("cure") or ""),
        document.get("term"),
        document.get("party"),
    )


_TERM_OF_STATE = {
    State.SIGNED: "not_before",
    State.USED_UP: "uses",
    State.EXPIRED: "expires",
    State.REVOKED: "revoked",
    State.REJECTED: "signatures",
}


def why_none(fitting: Sequence[ContractView], same: Sequence[ContractView]) -> Refused:
    """Why none of the contracts over this program lets it run now: the nearest one's term."""
    for view in fitting:
        if view.state == State.PROPOSED:
            return Refused(
                f"Contract {view.id} covers this but waits for the signature of {', '.join(view.waiting)}.",
                "Ask their owner to read and approve it: `lingqu approve`.",
                term="signatures",
                party=view.waiting[0] if view.waiting else None,
            )
    propose = "Propose a new one: `lingqu propose`, or `.propose(...)` in Python."
    for state, term in _TERM_OF_STATE.items():
        for view in fitting:
            if view.state == state:
                said = state.value.replace("-", " ")
                return Refused(f"Contract {view.id}, which covers this, is {said}.", propose, term=term)
    purposes = sorted({view.terms.purpose for view in same if view.state == State.IN_FORCE})
    if purposes:
        return Refused(
            f"The contract over this program is for another purpose: {'; '.join(purposes)}.", propose, term="purpose"
        )
    return Refused("No contract in force covers this program.", propose, term="signatures")
