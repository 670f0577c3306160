"""What a node's local API replies, as typed views: the node fills them, its clients read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from lingqu.contract import State, Terms
from lingqu.kinds.disclosure import Statement
from lingqu.kinds.errors import BadInput, LingquError, Refused, Unavailable
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.programs import Program
from lingqu.kinds.receipts import Supplies
from lingqu.kinds.schema import ColumnType
from lingqu.node.errors import revived
from lingqu.plan.explain import Weighed
from lingqu.plan.plan import Plan

if TYPE_CHECKING:
    import pyarrow as pa

    from lingqu.engine.release import Release

AnyView = TypeVar("AnyView", bound=BaseModel)
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
    """A compiled program.  explain: the plan as text.  Digests are what a contract over it will carry.

    weighed: the installed mechanisms, why each fits or does not, and what it would cost.  latency, bandwidth: of the
    network that estimates assume, where the asker named one.  ahead_rounds, ahead_bytes: of the estimates, what nodes
    can make before a run, in bytes of all parties.
    """

    plan: Plan
    explain: str
    statement: Statement
    plan_digest: str
    statement_digest: str
    weighed: tuple[Weighed, ...] = ()
    latency: float | None = None
    bandwidth: float | None = None
    ahead_rounds: int = 0
    ahead_bytes: int = 0


class RefusalView(View):
    """A run or a signature that a node refused.  term: the contract term that forbade it."""

    party: str
    term: str
    cause: str
    at: str
    job: str | None = None


class ContractView(View):
    """A contract as a node sees it now.

    approvals: parties whose signature the node holds.  spent, reserved: uses.  refusals: what nodes refused under it.
    """

    id: str
    terms: Terms
    state: str
    approvals: tuple[str, ...] = ()
    spent: int = 0
    reserved: int = 0
    refusals: tuple[RefusalView, ...] = ()

    @property
    def waiting(self) -> tuple[str, ...]:
        """Parties whose signature is missing."""
        return tuple(name for name in self.terms.names if name not in self.approvals)

    def covers(self, program: Program) -> bool:
        """Whether this contract is over that program; a template without limits named is known by its text."""
        signed = self.terms.program
        if signed.kind != program.kind or _normal(signed) != _normal(program):
            return False
        return not program.parameters or signed.parameters == program.parameters


def _normal(program: Program) -> str:
    """A program's text without what makes no difference: margins, and the spelling of a training's JSON."""
    if program.kind != "train":
        return program.text.strip()
    from lingqu.ml import TrainSpec

    return TrainSpec.parse(program.text).canonical().decode()


class StepView(View):
    """One step of a job with its measured traffic and time; zeros until it ends.

    rows, of: how many rows of all a long step has dealt with; zeros where it does not say.
    """

    id: str
    operator: str
    state: str
    rounds: int = 0
    bytes: int = 0
    seconds: float = 0.0
    rows: int = 0
    of: int = 0


class JobView(View):
    """One run of a contract.  coordinator: the party that asked.  error: `LingquError.document()` when it failed.

    supplies: what its correlations took at this node, ahead and on line; None where it takes none, and in lists.
    """

    id: str
    contract: str
    coordinator: str = ""
    state: str
    steps: tuple[StepView, ...] = ()
    error: dict[str, Any] | None = None
    created: str | None = None
    started: str | None = None
    ended: str | None = None
    supplies: Supplies | None = None

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


class SupplyView(View):
    """Correlations made ahead for one contract.

    state: "ready", "making", "waiting" or "off".  runs: whole runs held of those wanted.  portions, bytes: of what is
    held and of what is wanted, at most.  cause: why it waits.
    """

    contract: str
    title: str
    mechanism: str
    state: str
    runs: int
    wanted: int
    portions: int
    portions_wanted: int
    bytes: int
    bytes_wanted: int
    cause: str = ""


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


_ARROW = {
    ColumnType.BOOL: "bool",
    ColumnType.INT: "int64",
    ColumnType.REAL: "float64",
    ColumnType.STRING: "string",
    ColumnType.DATE: "date32",
    ColumnType.TIMESTAMP: "timestamp[us]",
}


def released_table(release: Release) -> pa.Table:
    """The rows of a released result as a pyarrow Table; BadInput when it is a model."""
    import pyarrow as pa

    if release.kind != "table":
        raise BadInput("This result is a model, no table.", "Read its model card.")
    rows = release.table()
    fields = []
    for place, column in enumerate(release.columns):
        if column.type is ColumnType.DECIMAL:
            scales = [-int(row[place].as_tuple().exponent) for row in rows if row[place] is not None]
            fields.append((column.name, pa.decimal128(38, max(scales, default=0))))
        else:
            fields.append((column.name, pa.type_for_alias(_ARROW[column.type])))
    arrays = [pa.array([row[place] for row in rows], type=kind) for place, (_, kind) in enumerate(fields)]
    return pa.Table.from_arrays(arrays, names=[name for name, _ in fields])


NAMED = 20
"""Withheld groups that are named in words; the release lists all."""


def withheld_words(release: Release) -> str:
    """What was not released and why, in words; empty where everything was."""
    if not release.withheld:
        return release.note
    keys = [", ".join("(none)" if cell is None else str(cell) for cell in row) for row in release.withheld]
    more = f"; and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    having = " and HAVING is met" if "HAVING" in release.note else ""
    least = release.minimum_group
    return (
        f"Not shown: {'; '.join(keys[:NAMED])}{more}. A group is shown only where at least {least} rows stand behind "
        f"it{having}; which of these are small and which are empty, nobody learns."
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


def check_adversary(terms: Terms, asked: Adversary) -> None:
    """Refused (term "adversary") when a contract promises less than is asked for."""
    if not terms.adversary.withstands(asked):
        raise Refused(
            f"The contract withstands {terms.adversary.value} parties only; {asked.value} is asked for.",
            "Propose one against that adversary.",
            term="adversary",
        )


def event_data(lines: Iterable[str]) -> Iterator[str]:
    """The data of each server-sent event (WHATWG HTML, section 9.2.6); comments and other fields are passed over."""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield "\n".join(data)
            data = []
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))


def decoded(response: httpx.Response) -> Any:
    """The JSON of a reply; LingquError when it is none."""
    try:
        return response.json()
    except ValueError:
        raise unreadable(response.request.url.path) from None


def parsed(kind: type[AnyView], data: bytes | str, path: str) -> AnyView:
    """A view or document from JSON; LingquError names the field that does not fit."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise unreadable(path, ".".join(str(part) for part in first["loc"])) from None


def unreadable(path: str, place: str = "") -> LingquError:
    """The error for a reply that is not as the table of the API says."""
    where = f" ({place})" if place else ""
    return LingquError(
        f"The node's reply to {path} is not one that this version reads{where}.",
        "Use the same version of lingqu as the node; `lingqu --version` and `lingqu node` tell both.",
    )


def refusal(response: httpx.Response) -> LingquError:
    """The error that a reply without success describes, or the nearest one that its status tells."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if isinstance(document, dict) and "code" in document and "cause" in document:
        return rebuilt(document)
    status = response.status_code
    if status in (401, 403):
        return Refused(
            "The node does not know this token, or it has expired.", "Log in again: `lingqu login`.", term="token"
        )
    if status == 404:
        return BadInput(f"The node has no {response.request.url.path}.", "Check the id or the name.")
    if status >= 500:
        return Unavailable(f"The node failed with status {status}.", "Look at the node's log.")
    return LingquError(f"The node answered with status {status}.", "Use the same version of lingqu as the node.")
