"""The interface for this node's own people: HTTP on the loopback, JSON, bearer tokens, one role per user."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any, TypeVar

from fastapi import Depends, FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from pydantic.json_schema import models_json_schema

from lingqu.engine.release import Release
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import BadInput, LingquError, Refused
from lingqu.kinds.parties import Role
from lingqu.kinds.schema import Asset
from lingqu.node import replies as r
from lingqu.node import views as v
from lingqu.node.errors import Unauthenticated, status
from lingqu.node.node import Node
from lingqu.node.store.models import ENDED
from lingqu.node.users import Identified
from lingqu.plan.plan import Plan

LOG = logging.getLogger("lingqu.node.api")
EVERYONE = frozenset(Role)
PUBLIC: frozenset[Role] = frozenset()
OWNER, MANAGER, ANALYST, AUDITOR = Role.OWNER, Role.MANAGER, Role.ANALYST, Role.AUDITOR
DELIVERY_SECONDS = 3.0
MAX_BODY = 2 << 20

RULES: dict[tuple[str, str], frozenset[Role]] = {
    ("GET", "/v1/health"): PUBLIC,
    ("GET", "/v1/openapi.json"): PUBLIC,
    ("POST", "/v1/login"): PUBLIC,
    ("POST", "/v1/users"): frozenset({OWNER, MANAGER}),
    ("GET", "/v1/node"): EVERYONE,
    ("POST", "/v1/invitations"): frozenset({MANAGER}),
    ("POST", "/v1/peers"): frozenset({MANAGER}),
    ("POST", "/v1/peers/{name}/confirm"): frozenset({MANAGER}),
    ("DELETE", "/v1/peers/{name}"): frozenset({MANAGER}),
    ("POST", "/v1/tables"): frozenset({MANAGER}),
    ("GET", "/v1/catalog"): EVERYONE,
    ("POST", "/v1/plans"): frozenset({ANALYST}),
    ("POST", "/v1/contracts"): frozenset({ANALYST}),
    ("GET", "/v1/contracts"): EVERYONE,
    ("GET", "/v1/contracts/{contract}"): EVERYONE,
    ("POST", "/v1/contracts/{contract}/approve"): frozenset({OWNER}),
    ("POST", "/v1/contracts/{contract}/reject"): frozenset({OWNER}),
    ("POST", "/v1/contracts/{contract}/revoke"): frozenset({OWNER}),
    ("GET", "/v1/supplies"): EVERYONE,
    ("POST", "/v1/jobs"): frozenset({ANALYST}),
    ("GET", "/v1/jobs"): EVERYONE,
    ("GET", "/v1/jobs/{job}"): EVERYONE,
    ("GET", "/v1/jobs/{job}/events"): EVERYONE,
    ("GET", "/v1/jobs/{job}/result"): frozenset({ANALYST}),
    ("GET", "/v1/jobs/{job}/rows"): frozenset({ANALYST}),
    ("GET", "/v1/jobs/{job}/plan"): frozenset({ANALYST}),
    ("POST", "/v1/jobs/{job}/cancel"): frozenset({ANALYST, OWNER}),
    ("GET", "/v1/ledger"): frozenset({AUDITOR, OWNER}),
    ("POST", "/v1/export"): frozenset({AUDITOR, OWNER}),
}
"""Who may do what; a route without a rule stops the node from starting."""


D = TypeVar("D", bound=Document)


def body(kind: type[D]) -> Callable[[Request], Awaitable[D]]:
    """A dependency that decodes the request's body strictly."""

    async def parse(request: Request) -> D:
        content = bytearray()
        async for chunk in request.stream():
            content += chunk
            if len(content) > MAX_BODY:
                raise BadInput(f"The request is longer than {MAX_BODY} bytes.", "Send a smaller one.")
        return kind.parse(bytes(content) or b"{}")

    return parse


def takes(kind: type[Document]) -> dict[str, Any]:
    """What a route's description says of its body."""
    schema = {"$ref": f"#/components/schemas/{kind.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def build(node: Node) -> FastAPI:
    """The application over a node.  LingquError when a route has no rule, so that nothing is open by oversight."""
    app = FastAPI(
        title=f"Lingqu node {node.core.name}",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(_authorise(node))],
    )
    app.add_exception_handler(LingquError, _described)
    app.add_exception_handler(Exception, _unforeseen)
    _people(app, node)
    _neighbours(app, node)
    _tables(app, node)
    _agreements(app, node)
    _runs(app, node)
    _record(app, node)
    check_rules(app)
    return app


def check_rules(app: FastAPI) -> None:
    """Deny by default: every route must be in RULES."""
    for route in app.routes:
        methods = sorted(getattr(route, "methods", None) or {"ANY"})
        for method in methods:
            if not isinstance(route, APIRoute) or (method, route.path) not in RULES:
                raise LingquError(
                    f"The route {method} {getattr(route, 'path', route)} has no rule for who may use it.",
                    "Add one to RULES in lingqu.node.api.",
                )


def _authorise(node: Node) -> Callable[[Request], None]:
    def authorise(request: Request) -> None:
        allowed = RULES[request.method, request.scope["route"].path]
        if allowed is PUBLIC:
            return
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("The request carries no token.", "Log in: `lingqu login`.", term="token")
        who = node.users.identify(token)
        if who.role not in allowed:
            names = " or ".join(sorted(role.value for role in allowed))
            raise Refused(f"{who.name} is {who.role.value}; this takes {names}.", f"Act as {names}.", term="role")
        request.state.who = who

    return authorise


def _who(request: Request) -> Identified:
    who: Identified = request.state.who
    return who


Who = Annotated[Identified, Depends(_who)]


def _described(_request: Request, error: Exception) -> Response:
    assert isinstance(error, LingquError)
    return JSONResponse(error.document(), status_code=status(error))


def _unforeseen(request: Request, error: Exception) -> Response:
    LOG.error("%s %s", request.method, request.url.path, exc_info=error)
    failure = LingquError("The node failed unexpectedly.", "Look at node.log in its home.")
    return JSONResponse(failure.document(), status_code=500)


def _people(app: FastAPI, node: Node) -> None:
    @app.get("/v1/health")
    def health() -> r.HealthView:
        """Whether the node is up."""
        return v.health_out(node.core)

    @app.get("/v1/openapi.json")
    def openapi() -> dict[str, Any]:
        """This description."""
        return described(app)

    @app.post("/v1/login", openapi_extra=takes(v.LoginIn))
    def login(asked: Annotated[v.LoginIn, Depends(body(v.LoginIn))]) -> r.LoginView:
        """A token for a user and password."""
        given = node.users.login(asked.user, asked.password)
        return r.LoginView(token=given.token, role=given.role.value, expires=given.expires)

    @app.post("/v1/users", openapi_extra=takes(v.UserIn))
    def add_user(who: Who, asked: Annotated[v.UserIn, Depends(body(v.UserIn))]) -> r.UserView:
        """A new user of this node; owners, who sign for the organisation, are made by owners."""
        if asked.role is OWNER and who.role is not OWNER:
            raise Refused(f"{who.name} is {who.role.value}; only an owner makes owners.", "Ask an owner.", term="role")
        node.users.create(asked.name, asked.role, asked.password)
        return r.UserView(name=asked.name, role=asked.role.value)


def _neighbours(app: FastAPI, node: Node) -> None:
    @app.get("/v1/node")
    def self() -> r.NodeView:
        """This node and its peers."""
        return v.node_out(node.core, node.peers.all())

    @app.post("/v1/invitations", openapi_extra=takes(v.InvitationIn))
    def invite(asked: Annotated[v.InvitationIn, Depends(body(v.InvitationIn))]) -> r.InvitationView:
        """A code for another node's manager."""
        invitation, expires = node.peers.invite(asked.minutes)
        return r.InvitationView(code=invitation.code, expires=expires)

    @app.post("/v1/peers", openapi_extra=takes(v.JoinIn))
    def join(asked: Annotated[v.JoinIn, Depends(body(v.JoinIn))]) -> r.PeerView:
        """Use another node's code."""
        return v.peer_out(*node.peers.join(asked.code))

    @app.post("/v1/peers/{name}/confirm", openapi_extra=takes(v.ConfirmIn))
    def confirm(name: str, asked: Annotated[v.ConfirmIn, Depends(body(v.ConfirmIn))]) -> r.PeerView:
        """Both managers see the same digits."""
        found = node.peers.confirm(name, asked.comparison)
        node.outbox.drain(DELIVERY_SECONDS)
        return v.peer_out(*found)

    @app.delete("/v1/peers/{name}")
    def remove(name: str) -> v.Empty:
        """Forget a peer."""
        node.peers.remove(name)
        return v.Empty()


def _tables(app: FastAPI, node: Node) -> None:
    @app.post("/v1/tables", openapi_extra=takes(v.TableIn))
    def register(asked: Annotated[v.TableIn, Depends(body(v.TableIn))]) -> Asset:
        """Register a table and publish what identifies nobody."""
        asset = node.catalogue.register(
            name=asked.name,
            title=asked.title,
            source=asked.source,
            grade=asked.grade,
            key=asked.key,
            types=node.catalogue.checked_types(asked.types),
        )
        node.journal.publish()
        node.outbox.drain(DELIVERY_SECONDS)
        return asset

    @app.get("/v1/catalog")
    def catalog() -> v.CatalogOut:
        """Own and peers' tables."""
        return v.CatalogOut(assets=tuple(node.catalogue.assets().values()))

    @app.post("/v1/plans", openapi_extra=takes(v.PlanIn))
    def plan(asked: Annotated[v.PlanIn, Depends(body(v.PlanIn))]) -> r.PlanView:
        """What a program would do, cost and disclose."""
        wanted = asked.arrangement
        return v.plan_out(*node.contracts.explain(asked.program, asked.minimum_group, wanted), wanted)


def _agreements(app: FastAPI, node: Node) -> None:
    def view(contract: str) -> r.ContractView:
        node.outbox.drain(DELIVERY_SECONDS)
        return v.contract_out(contract, node.contracts.standing(contract))

    @app.post("/v1/contracts", openapi_extra=takes(v.ContractIn))
    def propose(asked: Annotated[v.ContractIn, Depends(body(v.ContractIn))]) -> r.ContractView:
        """Sign a contract and send it to its parties."""
        return view(
            node.contracts.propose(
                title=asked.title,
                purpose=asked.purpose,
                program=asked.program,
                minimum_group=asked.minimum_group,
                uses=asked.uses,
                expires=asked.expires,
                wanted=asked.arrangement,
                daily=asked.daily,
            )
        )

    @app.get("/v1/contracts")
    def contracts() -> v.ContractsOut:
        """Every contract of this node."""
        return v.ContractsOut(contracts=tuple(v.contract_out(*found) for found in node.contracts.all()))

    @app.get("/v1/contracts/{contract}")
    def contract_of(contract: str) -> r.ContractView:
        """One contract."""
        return v.contract_out(contract, node.contracts.standing(contract))

    @app.post("/v1/contracts/{contract}/approve", openapi_extra=takes(v.Empty))
    def approve(contract: str) -> r.ContractView:
        """Sign it, after this node's own compilation agrees."""
        node.contracts.approve(contract)
        node.jobs.supplies.changed(contract)
        return view(contract)

    @app.post("/v1/contracts/{contract}/reject", openapi_extra=takes(v.ReasonIn))
    def reject(contract: str, asked: Annotated[v.ReasonIn, Depends(body(v.ReasonIn))]) -> r.ContractView:
        """Say no for good."""
        node.contracts.reject(contract, asked.reason)
        return view(contract)

    @app.post("/v1/contracts/{contract}/revoke", openapi_extra=takes(v.ReasonIn))
    def revoke(contract: str, asked: Annotated[v.ReasonIn, Depends(body(v.ReasonIn))]) -> r.ContractView:
        """Withdraw: it stops running jobs before their result opens."""
        node.contracts.revoke(contract, asked.reason)
        return view(contract)


def _runs(app: FastAPI, node: Node) -> None:
    @app.post("/v1/jobs", openapi_extra=takes(v.JobIn))
    def start(who: Who, asked: Annotated[v.JobIn, Depends(body(v.JobIn))]) -> r.JobView:
        """One run of a contract."""
        return v.job_out(node.jobs.start(who.name, asked.contract, asked.purpose, asked.bindings, asked.given))

    @app.get("/v1/jobs")
    def jobs() -> v.JobsOut:
        """Every job that this node took part in."""
        return v.JobsOut(jobs=tuple(v.job_out(row) for row in node.jobs.all()))

    @app.get("/v1/jobs/{job}")
    def job_of(job: str) -> r.JobView:
        """One job."""
        return v.job_out(node.jobs.job(job), node.jobs.used(job))

    @app.get("/v1/jobs/{job}/events", response_class=StreamingResponse)
    def events(job: str) -> Response:
        """Server-sent events: the job's views until its end."""
        first = v.job_out(node.jobs.job(job), node.jobs.used(job))

        def stream() -> Iterator[bytes]:
            yield b"data: " + first.model_dump_json().encode() + b"\n\n"
            if first.state in ENDED:
                return
            for row in node.jobs.watch(job):
                yield b"data: " + v.job_out(row, node.jobs.used(job)).model_dump_json().encode() + b"\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    @app.get("/v1/jobs/{job}/result")
    def result(who: Who, job: str) -> Release:
        """The released result, for the analyst who asked."""
        return node.jobs.result(job, who.name)

    @app.get("/v1/jobs/{job}/rows", response_class=FileResponse)
    def rows(who: Who, job: str) -> Response:
        """The rows of a large released result, Parquet, for the analyst who asked."""
        headers = {"Cache-Control": "no-store"}
        return FileResponse(node.jobs.rows(job, who.name), media_type="application/vnd.apache.parquet", headers=headers)

    @app.get("/v1/jobs/{job}/plan")
    def plan_of(who: Who, job: str) -> Plan:
        """The plan by which the result was computed, for the analyst who asked."""
        return node.jobs.plan(job, who.name)

    @app.post("/v1/jobs/{job}/cancel", openapi_extra=takes(v.Empty))
    def cancel(who: Who, job: str) -> r.JobView:
        """Stop a job at every party."""
        return v.job_out(node.jobs.cancel(job, who.name))


def _record(app: FastAPI, node: Node) -> None:
    @app.get("/v1/supplies")
    def supplies() -> v.SuppliesOut:
        """Correlations made ahead, by contract."""
        return v.SuppliesOut(supplies=node.jobs.supplies.all())

    @app.get("/v1/ledger")
    def ledger(after: int = 0) -> v.LedgerOut:
        """Entries from an index on."""
        return v.LedgerOut(entries=tuple(node.journal.entries(max(0, after))))

    @app.post("/v1/export", response_class=Response)
    def export() -> Response:
        """The history as a bundle for an auditor."""
        return Response(node.journal.export(), media_type="application/octet-stream")


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the request bodies that are decoded by the documents themselves."""
    document = get_openapi(title=app.title, version="1", routes=app.routes)
    inputs = [kind for name, kind in vars(v).items() if name.endswith("In") and isinstance(kind, type)]
    _, found = models_json_schema(
        [(kind, "validation") for kind in [*inputs, v.Empty]], ref_template="#/components/schemas/{model}"
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in found.get("$defs", {}).items():
        schemas.setdefault(name, schema)
    return document
