"""The HTTP client of a node's local user API: what the command line and the Python client both speak through."""

from __future__ import annotations

import json
import re
import ssl
import threading
import tomllib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlsplit

import httpx

from lingqu.contract import State
from lingqu.kinds import clock
from lingqu.kinds.errands import Given
from lingqu.kinds.errors import BadInput, Refused, Tampered, Unavailable
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.programs import Program, Value
from lingqu.kinds.schema import Asset
from lingqu.node.replies import (
    AnyView,
    ContractView,
    HealthView,
    InvitationView,
    JobView,
    LoginView,
    NodeView,
    PeerView,
    PlanView,
    SupplyView,
    UserView,
    check_adversary,
    decoded,
    event_data,
    parsed,
    refusal,
    unreadable,
    why_none,
)
from lingqu.plan.plan import Plan

if TYPE_CHECKING:
    from lingqu.engine.release import Release
    from lingqu.ml import ModelRelease

DEFAULT_TIMEOUT = 60.0
RECONNECTS = 6


Progress = Callable[[JobView], None]


@dataclass(frozen=True)
class Home:
    """A node of this machine, as its home directory tells the programs that talk to it.

    It reads two settings and a token, and loads none of what a running node needs (that is `config.Home`).
    """

    path: Path

    @cached_property
    def _api(self) -> dict[str, Any]:
        file = self.path / "config.toml"
        try:
            found = tomllib.loads(file.read_text(encoding="utf-8")).get("api")
        except FileNotFoundError:
            raise Unavailable(
                f"{self.path} holds no node: {file.name} is missing.",
                f"Make one with `lingqu init --name NAME --home {self.path}`, or point --home or LINGQU_HOME at yours.",
            ) from None
        except OSError as error:
            raise Unavailable(
                f"{file} cannot be read: {error.strerror}.", "Run this as the user who owns the node."
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"{file} is no TOML: {error}.", "Correct that line.") from None
        if not isinstance(found, dict) or not isinstance(found.get("port"), int):
            raise BadInput(f"{file} names no port for the API.", "Add `port = 7401` under [api].")
        return found

    @property
    def url(self) -> str:
        """The node's local API: http://host:port, https where its configuration names a certificate."""
        host = str(self._api.get("host", "127.0.0.1"))
        scheme = "https" if self._api.get("tls_certificate") else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._api['port']}"

    @property
    def authority(self) -> Path | None:
        """The certificate that the API must show, where it speaks TLS."""
        file = self._api.get("tls_certificate")
        return self.path / str(file) if file else None

    def tokens(self) -> tuple[str, ...]:
        """The names of the users whose token this home keeps."""
        return tuple(sorted(file.stem for file in (self.path / "tokens").glob("*.token")))

    def token(self, user: str) -> str:
        """The token of a user of this node; Refused when this account may not read it or there is none."""
        _ = self._api  # a home without a node is the first thing to say
        file = self.path / "tokens" / f"{user}.token"
        try:
            return file.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            known = ", ".join(self.tokens()) or "none"
            raise Refused(
                f"There is no readable token of {user!r} in {self.path / 'tokens'} (there: {known}).",
                "Choose one of those with --as, log in with `lingqu login`, or run this as the user who owns the node.",
                term="token",
            ) from None


class Remote:
    """One user's connection to one node.

    url: the node's local API.  token: of a user; only `health` and `login` work without.  home: named in cures.
    authority: file of the certificate that an https node must show; the system's authorities where none is given.
    transport: where the requests go instead of the network, for tests.
    Every method raises the LingquError that the node described, or Unavailable when no node answers.

    >>> Remote.at(Home(Path.home() / ".lingqu"), "analyst").catalog()  # doctest: +SKIP
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        home: Path | None = None,
        authority: Path | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.home = home
        self.pause_seconds = 0.05
        _check_address(self.url)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            trust = ssl.create_default_context(cafile=authority) if authority else True
            self._http = httpx.Client(
                base_url=self.url, headers=headers, timeout=timeout, transport=transport, verify=trust, trust_env=False
            )
        except OSError as error:
            raise Unavailable(f"{authority} cannot be read: {error.strerror}.", "Check api.tls_certificate.") from None

    @classmethod
    def at(cls, node: Home, user: str | None = None, *, timeout: float = DEFAULT_TIMEOUT) -> Self:
        """A connection as one of the users whose token the home directory keeps; as nobody without a user."""
        token = node.token(user) if user else None
        return cls(node.url, token, home=node.path, authority=node.authority, timeout=timeout)

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; safe to call twice."""
        self._http.close()

    # Users and peers

    def login(self, user: str, password: str) -> LoginView:
        """A new token for a user."""
        return self._view(LoginView, "POST", "/v1/login", {"user": user, "password": password})

    def add_user(self, name: str, role: str, password: str) -> UserView:
        """Make a user of the node (owner, manager)."""
        return self._view(UserView, "POST", "/v1/users", {"name": name, "role": role, "password": password})

    def health(self) -> HealthView:
        """The node's name and time; needs no token."""
        return self._view(HealthView, "GET", "/v1/health")

    def node(self) -> NodeView:
        """The node and the peers it knows."""
        return self._view(NodeView, "GET", "/v1/node")

    def invite(self, minutes: int = 15) -> InvitationView:
        """A code that pairs one other node with this one (manager)."""
        return self._view(InvitationView, "POST", "/v1/invitations", {"minutes": minutes})

    def join(self, code: str) -> PeerView:
        """Pair with the node that gave the code (manager); pending until both sides confirm."""
        return self._view(PeerView, "POST", "/v1/peers", {"code": code})

    def confirm(self, name: str, comparison: str) -> PeerView:
        """Say that the digits shown on both sides are the same (manager)."""
        return self._view(PeerView, "POST", f"/v1/peers/{_part(name)}/confirm", {"comparison": comparison})

    def remove_peer(self, name: str) -> None:
        """Forget a peer (manager)."""
        self._request("DELETE", f"/v1/peers/{_part(name)}")

    # Tables and plans

    def register(
        self,
        name: str,
        source: str,
        *,
        title: str,
        grade: str = "general",
        key: Sequence[str] = (),
        types: Mapping[str, str] | None = None,
    ) -> Asset:
        """Register a table, or its next version, and publish its profile to the confirmed peers (manager)."""
        body = {
            "name": name,
            "title": title,
            "source": source,
            "grade": grade,
            "key": list(key),
            "types": dict(types or {}),
        }
        return self._view(Asset, "POST", "/v1/tables", body)

    def catalog(self) -> tuple[Asset, ...]:
        """Every table that this node and its peers publish."""
        return self._views(Asset, "/v1/catalog", "assets")

    def plan(
        self, program: Program, minimum_group: int = 10, parties: Sequence[str] | None = None, **arranged: Any
    ) -> PlanView:
        """Compile a program without running it (analyst).

        parties: those that compute.  arranged: recipients, adversary, latency, bandwidth, as `contracts.Arrangement`.
        """
        body = {"program": _json(program), "minimum_group": minimum_group} | _given(parties=parties, **arranged)
        return self._view(PlanView, "POST", "/v1/plans", body)

    # Contracts

    def propose(
        self,
        program: Program,
        *,
        title: str,
        purpose: str,
        minimum_group: int,
        uses: int,
        expires: str,
        parties: Sequence[str] | None = None,
        **arranged: Any,
    ) -> ContractView:
        """Sign a contract over a program and send it to its parties (analyst); parties, arranged: as `plan`."""
        body = {
            "title": title,
            "purpose": purpose,
            "program": _json(program),
            "minimum_group": minimum_group,
            "uses": uses,
            "expires": expires,
        }
        return self._view(ContractView, "POST", "/v1/contracts", body | _given(parties=parties, **arranged))

    def contracts(self) -> tuple[ContractView, ...]:
        """Every contract that this node is a party of."""
        return self._views(ContractView, "/v1/contracts", "contracts")

    def contract(self, contract: str) -> ContractView:
        """One contract by its id."""
        return self._view(ContractView, "GET", f"/v1/contracts/{_part(contract)}")

    def approve(self, contract: str) -> ContractView:
        """Sign a contract for this node's organisation (owner)."""
        return self._view(ContractView, "POST", f"/v1/contracts/{_part(contract)}/approve", {})

    def reject(self, contract: str, reason: str | None = None) -> ContractView:
        """Say no to a proposed contract (owner)."""
        return self._view(ContractView, "POST", f"/v1/contracts/{_part(contract)}/reject", _given(reason=reason))

    def revoke(self, contract: str, reason: str | None = None) -> ContractView:
        """Take back a signature; it stops running jobs before their result opens (owner)."""
        return self._view(ContractView, "POST", f"/v1/contracts/{_part(contract)}/revoke", _given(reason=reason))

    def matching(self, program: Program, purpose: str, adversary: Adversary = Adversary.SEMI_HONEST) -> ContractView:
        """The contract in force that covers this program and purpose and this adversary, the one that expires last.

        A template's contract matches by its text: the bindings are checked against its limits by every node.
        Raises Refused with the nearest contract's term: purpose, adversary, uses, expires, revoked; "signatures" where
        none is.
        """
        same = [view for view in self.contracts() if view.covers(program)]
        fitting = [view for view in same if view.terms.purpose == purpose.strip()]
        valid = [view for view in fitting if view.state == State.IN_FORCE]
        strong = [view for view in valid if view.terms.adversary.withstands(adversary)]
        if strong:
            return max(strong, key=lambda view: view.terms.expires)
        for view in valid:
            check_adversary(view.terms, adversary)
        raise why_none(fitting, same)

    # Jobs and results

    def start(
        self,
        contract: str,
        purpose: str,
        bindings: Mapping[str, Value] | None = None,
        given: Given | None = None,
    ) -> JobView:
        """Ask for one run of a contract (analyst).  given: what stays at this node, such as the keys of a lookup."""
        body: dict[str, Any] = {"contract": contract, "purpose": purpose, "bindings": dict(bindings or {})}
        if given is not None:
            body["given"] = given.model_dump(mode="json")
        return self._view(JobView, "POST", "/v1/jobs", body)

    def jobs(self) -> tuple[JobView, ...]:
        """Every job that this node took part in."""
        return self._views(JobView, "/v1/jobs", "jobs")

    def job(self, job: str) -> JobView:
        """One job by its id."""
        return self._view(JobView, "GET", f"/v1/jobs/{_part(job)}")

    def cancel(self, job: str) -> JobView:
        """Stop a running job at every party (analyst, owner)."""
        return self._view(JobView, "POST", f"/v1/jobs/{_part(job)}/cancel", {})

    def follow(self, job: str, progress: Progress | None = None) -> JobView:
        """Wait until a job ends, and return its last state; `progress` gets every state on the way.

        A dropped stream is opened again; Unavailable after several in a row with no news between them.
        """
        pause, failures = threading.Event(), 0
        while True:
            try:
                for view in self._events(job):
                    failures = 0
                    if progress is not None:
                        progress(view)
                    if view.over:
                        return view
            except httpx.TransportError as error:
                if failures >= RECONNECTS:
                    raise self._away(error) from None
            failures += 1
            if failures > RECONNECTS:
                raise self._away(None)
            pause.wait(self.pause_seconds * 2**failures)

    def supplies(self) -> tuple[SupplyView, ...]:
        """Correlations that the node has made ahead, for each contract that takes such."""
        return self._views(SupplyView, "/v1/supplies", "supplies")

    def result(self, job: str) -> Release:
        """The released result of a job that this user asked for (analyst of the recipient)."""
        from lingqu.engine.release import Release

        return self._view(Release, "GET", f"/v1/jobs/{_part(job)}/result")

    def rows(self, job: str) -> Generator[bytes]:
        """The file with the rows of a large result, some bytes at a time (analyst); see `rows.Rows`."""
        try:
            with self._http.stream("GET", f"/v1/jobs/{_part(job)}/rows") as response:
                if not response.is_success:
                    response.read()
                    raise refusal(response)
                yield from response.iter_bytes()
        except httpx.TransportError as error:
            raise self._away(error) from None

    def model(self, job: JobView, release: Release) -> ModelRelease:
        """The trained model in a job's result, with all that its card tells.

        BadInput when the model was withheld, or when the result is a table.
        """
        from lingqu.ml import model_release

        if release.kind != "model":
            raise BadInput("This result holds a table, no model.", "Use .to_arrow(), .to_pandas() or .to_polars().")
        terms = self.contract(job.contract).terms
        plan = self._view(Plan, "GET", f"/v1/jobs/{_part(job.id)}/plan")
        if plan.sha256() != release.plan:
            raise Tampered("The node's plan is not the one that the result names.", "Compare with another party's.")
        return model_release(
            plan, release.values, released=job.ended or clock.now(), contract=job.contract, purpose=terms.purpose
        )

    # The record

    def ledger(self, after: int = 0) -> tuple[dict[str, Any], ...]:
        """Entries of the node's ledger from an index on (auditor, owner)."""
        reply = decoded(self._request("GET", "/v1/ledger", params={"after": after}))
        entries = reply.get("entries") if isinstance(reply, dict) else reply
        if not isinstance(entries, list):
            raise unreadable("/v1/ledger")
        return tuple(entries)

    def export(self) -> bytes:
        """The node's history as a bundle that `lingqu verify` checks offline (auditor, owner)."""
        return self._request("POST", "/v1/export", body={}).content

    # How it is sent

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        try:
            response = self._http.request(method, path, json=body, params=params)
        except httpx.TransportError as error:
            raise self._away(error) from None
        if not response.is_success:
            raise refusal(response)
        return response

    def _view(self, kind: type[AnyView], method: str, path: str, body: Mapping[str, Any] | None = None) -> AnyView:
        return parsed(kind, self._request(method, path, body).content, path)

    def _views(self, kind: type[AnyView], path: str, name: str) -> tuple[AnyView, ...]:
        reply = decoded(self._request("GET", path))
        items = reply.get(name) if isinstance(reply, dict) else reply
        if not isinstance(items, list):
            raise unreadable(path)
        return tuple(parsed(kind, json.dumps(item), path) for item in items)

    def _events(self, job: str) -> Iterator[JobView]:
        path = f"/v1/jobs/{_part(job)}/events"
        with self._http.stream("GET", path, headers={"Accept": "text/event-stream"}) as response:
            if not response.is_success:
                response.read()
                raise refusal(response)
            for data in event_data(response.iter_lines()):
                yield parsed(JobView, data, path)

    def _away(self, error: httpx.TransportError | None) -> Unavailable:
        if isinstance(error, httpx.TimeoutException) and not isinstance(error, httpx.ConnectTimeout):
            return Unavailable(
                f"The node at {self.url} did not answer in time.", "It may be busy: look at `lingqu jobs`, then retry."
            )
        home = f" --home {self.home}" if self.home else ""
        return Unavailable(f"No node answers at {self.url}.", f"Start it with `lingqu serve{home}`, then retry.")


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        fits = False
    if not fits:
        raise BadInput(f"{url!r} is no address of a node.", "Write it as http://127.0.0.1:7401.")


def _part(text: str) -> str:
    return quote(text, safe="")


def _json(program: Program) -> dict[str, Any]:
    return program.model_dump(mode="json")


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def expiry(when: str | timedelta | date) -> str:
    """A contract's last moment as documents write it.

    when: "30d" or "12h" from now, a day ("2027-01-31", its beginning in UTC), an instant, or Python's own kinds;
    a datetime without a zone is local time.  BadInput for anything else.
    """
    if isinstance(when, str):
        if found := re.fullmatch(r"(\d{1,5})([dh])", when.strip()):
            number = int(found[1])
            when = timedelta(days=number) if found[2] == "d" else timedelta(hours=number)
        else:
            try:
                when = (
                    datetime.fromisoformat(when.strip()) if len(when.strip()) > 10 else date.fromisoformat(when.strip())
                )
            except ValueError:
                raise BadInput(f"{when!r} is no end of a contract.", "Write 30d, 12h, or 2027-01-31.") from None
    if isinstance(when, timedelta):
        return clock.written(datetime.now(UTC) + when)
    if not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day, tzinfo=UTC)
    return clock.written(when)
