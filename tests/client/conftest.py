"""A node made of the table of its local API, so that what speaks to one is tested without one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lingqu.contract import Terms
from lingqu.kinds.disclosure import Fact, Learned, Statement
from lingqu.kinds.documents import digest
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.parties import Party
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset, AssetUse, Column, ColumnProfile, ColumnType, Grade
from lingqu.node.remote import Home, Remote
from lingqu.plan.explain import explain_text
from lingqu.plan.plan import Output, Plan, Step, Told

NAMES = ("civil-affairs", "human-resources", "big-data")
TITLES = {"civil-affairs": "民政局", "human-resources": "人社局", "big-data": "大数据局"}
SQL = "SELECT education, COUNT(*) AS people FROM civil_affairs.residents GROUP BY education"
JOB = "0123456789abcdef" * 2

Reply = tuple[int, Any]
Handler = Callable[..., Reply]


def asset(owner: str = "civil-affairs", name: str = "residents") -> Asset:
    """A registered table with a text and a number column."""
    return Asset(
        id=f"{owner}/{name}",
        owner=owner,
        name=name,
        title="居民 residents",
        version=1,
        columns=(
            Column(name="person_id", type=ColumnType.STRING),
            Column(name="education", type=ColumnType.STRING),
            Column(name="age", type=ColumnType.INT),
        ),
        rows=41_523,
        profile={
            "person_id": ColumnProfile(unique=True),
            "education": ColumnProfile(categories=("Bachelors", "Masters"), complete=True),
            "age": ColumnProfile(lower=17.0, upper=90.0, mean=38.6, deviation=13.7),
        },
        grade=Grade.GENERAL,
        registered="2026-11-01T08:00:00Z",
    )


def statement() -> Statement:
    """What the fake node's only plan lets each party learn."""
    told = Learned(fact=Fact.RESULT_ROWS, about="rows of groups of at least 10 people", step="release")
    return Statement(
        learned={"big-data": (told,), "civil-affairs": (), "human-resources": ()},
        withheld=("who is in both tables", "the size of the intersection"),
    )


def plan(program: Program, minimum_group: int = 10) -> Plan:
    """A plan of two steps."""
    told = Told(party="big-data", fact=Fact.RESULT_ROWS, about="rows of groups of at least 10 people")
    return Plan(
        program=program,
        parties=NAMES,
        recipient="big-data",
        minimum_group=minimum_group,
        assets=(AssetUse(id="civil-affairs/residents", version=1, digest=asset().sha256(), columns=("education",)),),
        steps=(
            Step(id="scan", operator="scan", mechanism="local", parties=("civil-affairs",), reason="its own rows"),
            Step(
                id="release",
                operator="release",
                mechanism="share.rep3",
                parties=NAMES,
                inputs=("scan",),
                reason="the cheapest that fits",
                rounds=3,
                bytes=4800,
                reveals=(told,),
            ),
        ),
        statement=statement(),
        outputs=(
            Output(name="education", type=ColumnType.STRING, computed="group key"),
            Output(name="people", type=ColumnType.INT, computed="COUNT(*)"),
        ),
    )


def terms(program: Program, **changes: Any) -> Terms:
    """Terms over a program, valid until 2099."""
    parties = tuple(
        Party(name=n, title=TITLES[n], key="A" * 43, certificate=digest(n.encode()), address=f"{n}.example:7200")
        for n in NAMES
    )
    fields: dict[str, Any] = {
        "title": "Education",
        "proposer": "big-data",
        "parties": parties,
        "owners": ("civil-affairs",),
        "assets": plan(program).assets,
        "purpose": "labour statistics",
        "program": program,
        "plan": plan(program).sha256(),
        "statement": statement(),
        "statement_digest": statement().sha256(),
        "techniques": ("share.rep3",),
        "adversary": Adversary.SEMI_HONEST,
        "recipients": ("big-data",),
        "minimum_group": 10,
        "uses": 2,
        "not_before": "2026-01-01T00:00:00Z",
        "expires": "2099-01-01T00:00:00Z",
    }
    return Terms(**(fields | changes))


def job(state: str, contract: str, **changes: Any) -> dict[str, Any]:
    """A job as the API shows it."""
    done = "done" if state == "done" else "waiting"
    steps = [
        {"id": "scan", "operator": "scan", "state": "done", "rounds": 0, "bytes": 0, "seconds": 0.01},
        {"id": "release", "operator": "release", "state": done, "rounds": 3, "bytes": 1600, "seconds": 0.02},
    ]
    fields = {"id": JOB, "contract": contract, "state": state, "steps": steps, "error": None}
    return fields | {"started": "2026-11-01T08:00:00Z", "ended": None} | changes


def refused(cause: str, term: str) -> dict[str, Any]:
    """The body of a refusal."""
    return {"code": "refused", "cause": cause, "cure": "Propose a contract.", "term": term, "party": None}


class FakeNode:
    """Answers the routes of the table from memory; `asked` keeps every request, `drops` streams end early."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.contracts: dict[str, dict[str, Any]] = {}
        self.release: dict[str, Any] = {}
        self.rows = b""
        self.job = job("done", "sha256:" + "0" * 64)
        self.supplies: list[dict[str, Any]] = []
        self.outcome: dict[str, Any] | None = None
        self.drops = 0
        self.failure: Reply | None = None
        self.peers: list[dict[str, Any]] = []

    def contract(self, program: Program, state: str = "in-force", **changes: Any) -> str:
        """Put a contract into a state; its id."""
        made = terms(program, **changes)
        self.contracts[made.sha256()] = {
            "id": made.sha256(),
            "terms": made.model_dump(mode="json"),
            "state": state,
            "approvals": list(NAMES) if state != "proposed" else ["big-data"],
            "spent": 0,
            "reserved": 0,
            "refusals": [],
        }
        return made.sha256()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = httpx.URL(str(request.url)).path
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, path, body))
        if self.failure is not None:
            return httpx.Response(self.failure[0], json=self.failure[1])
        if path not in ("/v1/health", "/v1/login") and request.headers.get("authorization") != "Bearer secret":
            return httpx.Response(401, json=refused("Nobody knows this token.", "token") | {"code": "unauthenticated"})
        for method, pattern, handler in self.routes():
            found = re.fullmatch(pattern, path)
            if found and method == request.method:
                if pattern.endswith("/events"):
                    return httpx.Response(200, stream=_Stream(self))
                status, reply = handler(*found.groups(), *([body] if body is not None else []))
                return httpx.Response(status, **({"content": reply} if isinstance(reply, bytes) else {"json": reply}))
        return httpx.Response(404, json=refused(f"Nothing at {path}.", "") | {"code": "not-found", "term": None})

    def routes(self) -> list[tuple[str, str, Handler]]:
        """The table."""
        peer = {
            "name": "civil-affairs",
            "title": "民政局",
            "fingerprint": "sha256:" + "ab" * 32,
            "comparison": "204 517",
        }
        own = {"name": "big-data", "title": "大数据局", "fingerprint": "sha256:" + "cd" * 32, "version": "0.1.0"}
        return [
            ("GET", "/v1/health", lambda: (200, {"name": "big-data", "time": "2026-11-01T08:00:00Z"})),
            (
                "POST",
                "/v1/login",
                lambda b: (200, {"token": "fresh", "role": "analyst", "expires": "2027-01-01T00:00:00Z"}),
            ),
            ("POST", "/v1/users", lambda b: (200, {"name": b["name"], "role": b["role"]})),
            ("GET", "/v1/node", lambda: (200, own | {"address": "big-data.example:7200", "peers": self.peers})),
            ("POST", "/v1/invitations", lambda b: (200, {"code": "lingqu1:ABCD", "expires": "2026-11-01T08:15:00Z"})),
            ("POST", "/v1/peers", lambda b: (200, peer)),
            ("POST", "/v1/peers/(.+)/confirm", lambda name, b: (200, peer | {"state": "confirmed"})),
            ("DELETE", "/v1/peers/(.+)", lambda name: (200, {})),
            ("POST", "/v1/tables", lambda b: (200, asset(name=b["name"]).model_dump(mode="json"))),
            ("GET", "/v1/catalog", lambda: (200, {"assets": [asset().model_dump(mode="json")]})),
            ("POST", "/v1/plans", self._plan),
            ("POST", "/v1/contracts", self._propose),
            ("GET", "/v1/contracts", lambda: (200, {"contracts": list(self.contracts.values())})),
            ("GET", "/v1/contracts/([^/]+)", lambda c: (200, self.contracts[c])),
            ("POST", "/v1/contracts/([^/]+)/approve", lambda c, b: self._set(c, "in-force", NAMES)),
            ("POST", "/v1/contracts/([^/]+)/reject", lambda c, b: self._set(c, "rejected", ["big-data"])),
            ("POST", "/v1/contracts/([^/]+)/revoke", lambda c, b: self._set(c, "revoked", NAMES)),
            ("POST", "/v1/jobs", self._start),
            ("GET", "/v1/jobs", lambda: (200, {"jobs": [self.job]})),
            ("GET", "/v1/supplies", lambda: (200, {"supplies": self.supplies})),
            ("GET", "/v1/jobs/([^/]+)", lambda j: (200, self.job)),
            ("GET", "/v1/jobs/([^/]+)/events", lambda j: (200, b"")),
            ("GET", "/v1/jobs/([^/]+)/result", lambda j: (200, self.release)),
            ("GET", "/v1/jobs/([^/]+)/rows", lambda j: (200, self.rows)),
            ("GET", "/v1/jobs/([^/]+)/plan", lambda j: (200, self._plan_of(self.job).model_dump(mode="json"))),
            ("POST", "/v1/jobs/([^/]+)/cancel", lambda j, b: (200, self.job | {"state": "failed"})),
            ("GET", "/v1/ledger", lambda: (200, {"entries": [{"index": 0, "kind": "register", "at": "", "body": {}}]})),
            ("POST", "/v1/export", lambda b: (200, b"bundle")),
        ]

    def _plan(self, body: dict[str, Any]) -> Reply:
        if "SELECT *" in body["program"]["text"]:
            cause = "SELECT * would release rows.\n  SELECT * FROM t\n         ^"
            return 400, {"code": "bad-input", "cause": cause, "cure": "Name aggregates.", "term": None, "party": None}
        made = plan(Program.model_validate_json(json.dumps(body["program"])), body["minimum_group"])
        return 200, {
            "plan": made.model_dump(mode="json"),
            "explain": explain_text(made),
            "statement": made.statement.model_dump(mode="json"),
            "plan_digest": made.sha256(),
            "statement_digest": made.statement.sha256(),
        }

    def _plan_of(self, view: dict[str, Any]) -> Plan:
        return plan(Terms.model_validate_json(json.dumps(self.contracts[view["contract"]]["terms"])).program)

    def _propose(self, body: dict[str, Any]) -> Reply:
        program = Program.model_validate_json(json.dumps(body["program"]))
        limits = {name: body[name] for name in ("title", "purpose", "uses", "expires", "minimum_group")}
        return 200, self.contracts[self.contract(program, "proposed", **limits)]

    def _set(self, contract: str, state: str, approvals: Any) -> Reply:
        self.contracts[contract] |= {"state": state, "approvals": list(approvals)}
        return 200, self.contracts[contract]

    def _start(self, body: dict[str, Any]) -> Reply:
        if body["purpose"] != self.contracts[body["contract"]]["terms"]["purpose"]:
            return 403, refused("The stated purpose is not the agreed one.", "purpose")
        self.job = self.outcome or job("done", body["contract"], ended="2026-11-01T08:00:01Z")
        return 200, job("admitting", body["contract"])


class _Stream(httpx.SyncByteStream):
    """Server-sent events of a job, which break off as often as the node says."""

    def __init__(self, node: FakeNode) -> None:
        self._node = node

    def __iter__(self) -> Iterator[bytes]:
        running = self._node.job | {"state": "running"}
        yield b": keep-alive\n\nevent: job\ndata: " + json.dumps(running).encode() + b"\n\n"
        if self._node.drops > 0:
            self._node.drops -= 1
            raise httpx.ReadError("the connection broke")
        yield b"data: " + json.dumps(self._node.job).encode() + b"\n\n"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeNode:
    """A fake node that every `Remote.at` reaches."""
    node = FakeNode()

    def at(place: Home, user: str | None = None, **_: Any) -> Remote:
        token = place.token(user) if user else None
        return Remote(place.url, token, home=place.path, transport=httpx.MockTransport(node))

    monkeypatch.setattr(Remote, "at", at)
    return node


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A node's home as `lingqu init` leaves it, as far as clients read it."""
    (tmp_path / "config.toml").write_text('name = "big-data"\n[api]\nhost = "127.0.0.1"\nport = 7101\n')
    (tmp_path / "tokens").mkdir()
    for role in ("owner", "manager", "analyst", "auditor"):
        (tmp_path / "tokens" / f"{role}.token").write_text("secret\n")
    return tmp_path


@pytest.fixture
def remote(fake: FakeNode) -> Iterator[Remote]:
    """A connection to the fake node."""
    with Remote("http://127.0.0.1:7101", "secret", transport=httpx.MockTransport(fake)) as connection:
        yield connection
