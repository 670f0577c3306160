"""The interface for other nodes: HTTPS with mutual TLS 1.3, one endpoint for messages and one for pairing.

Who shows no pinned certificate reaches nothing but pairing, and that only with an open invitation.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import h11
from sqlalchemy import delete, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from lingqu.identity import Pinned, peer_fingerprint
from lingqu.kinds import clock
from lingqu.kinds.documents import Document, digest
from lingqu.kinds.errors import LingquError, Refused, Tampered
from lingqu.node import messages as m
from lingqu.node.catalogue import Catalogue
from lingqu.node.contracts import Contracts
from lingqu.node.core import Core
from lingqu.node.jobs import Jobs
from lingqu.node.journal import Journal
from lingqu.node.peers import Peers
from lingqu.node.store.models import Seen
from lingqu.node.transport import MAX_BODY
from lingqu.wire import jws

LOG = logging.getLogger("lingqu.node.peer")
MAX_PAIRING = 64 << 10  # bytes that a stranger may send
PATIENCE_SECONDS = 20.0  # from the connection to the whole of its first request, and for each later one
MAX_REQUESTS = 512  # connections at once
_NOTHING = 404


class PinningProtocol(H11Protocol):
    """HTTP/1.1 that tells the application which certificate the TLS connection itself was opened with."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the peer certificate's fingerprint from the connection."""
        super().connection_made(transport)
        connection = transport.get_extra_info("ssl_object")
        shown = peer_fingerprint(connection) if connection is not None else None
        self.app_state = {**self.app_state, "fingerprint": shown}
        self._impatience = self.loop.call_later(PATIENCE_SECONDS, self._dismiss)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer with the connection."""
        self._impatience.cancel()
        super().connection_lost(exc)

    def _dismiss(self) -> None:
        """Close a connection that has not asked anything; the reading of a request has a limit of its own."""
        if self.conn.their_state is h11.IDLE:
            self.transport.close()


class PeerApi:
    """The ASGI application.  heard: called with the name of a peer that was heard of."""

    def __init__(
        self,
        core: Core,
        journal: Journal,
        peers: Peers,
        catalogue: Catalogue,
        contracts: Contracts,
        jobs: Jobs,
        heard: Callable[[str], None],
    ) -> None:
        self._core, self._peers, self._heard = core, peers, heard
        self._contracts, self._jobs = contracts, jobs
        # One a peer: none fills another's.
        self._replays: defaultdict[str, jws.Replay] = defaultdict(lambda: jws.Replay(here=core.name))
        self._remember()
        self._handlers: dict[type[Document], Callable[[str, Any, str], Document | None]] = {
            m.PairConfirm: lambda peer, _message, _token: peers.confirmed_there(peer),
            m.AssetPublished: lambda peer, message, _token: catalogue.receive(peer, message.token),
            m.ContractOffered: lambda peer, message, _token: contracts.receive(peer, message.token),
            m.Decided: lambda peer, message, _token: self._decided(peer, message),
            m.JobOffer: jobs.offered,
            m.JobStart: lambda peer, message, _token: jobs.begin(peer, message),
            m.JobEnded: lambda peer, message, _token: jobs.ended(peer, message),
            m.JobHealth: lambda peer, message, _token: jobs.condition(peer, message),
            m.SuppliesHeld: lambda peer, message, _token: jobs.supplies.compare(peer, message),
            m.PrepareOffer: lambda peer, message, _token: jobs.supplies.offered(peer, message),
            m.ReceiptNote: lambda peer, message, _token: jobs.receipt(peer, message),
            m.CheckpointNote: lambda peer, message, _token: journal.witness(peer, message),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is not allowed gets 404 without a body."""
        response = Response(status_code=_NOTHING)
        if scope["type"] == "http" and scope["method"] == "POST":
            with suppress(ClientDisconnect):
                response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        fingerprint = request.scope["state"].get("fingerprint")
        peer = next((pin for pin in list(self._core.pins.values()) if pin.party.certificate == fingerprint), None)
        handle: Callable[[bytes], bytes | None]
        limit = MAX_BODY if peer is not None else MAX_PAIRING
        if request.url.path == "/peer/pair":
            handle = self._pair
        elif request.url.path == "/peer/messages" and peer is not None:
            pinned = peer

            def handle(body: bytes) -> bytes:
                return self.message(pinned, body.decode("ascii", "replace")).encode()

        else:
            return Response(status_code=_NOTHING)
        body = bytearray()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > limit:
                        return Response(status_code=413, headers={"Connection": "close"})
        except TimeoutError:
            return Response(status_code=408, headers={"Connection": "close"})
        answer = await run_in_threadpool(handle, bytes(body))
        return Response(status_code=_NOTHING) if answer is None else Response(answer, media_type="application/jose")

    def _pair(self, body: bytes) -> bytes | None:
        """Only who knows an open invitation gets an answer at all."""
        try:
            try:
                answer = self._peers.hello(m.PairHello.parse(body))
            except LingquError:
                answer = self._peers.redeem(m.PairRequest.parse(body))
        except LingquError as error:
            LOG.info("a pairing was refused: %s", error.cause)
            return None
        return answer.canonical() if answer else None

    def message(self, peer: Pinned, token: str) -> str:
        """Take one signed message of a peer whose certificate the connection has shown; the signed answer."""
        name = peer.party.name
        self._core.record("received", name, token)
        try:
            body = self._take(name, jws.open_signed(token, m.REQUESTS, {name: peer.party.key}.get))
        except LingquError as error:
            body = m.Problem.of(error, self._core.name)
        except Exception:
            LOG.exception("a message of %s", name)
            failure = LingquError(f"{self._core.name} failed unexpectedly.", "Ask its manager to look at its log.")
            body = m.Problem.of(failure, self._core.name)
        answer = self._core.sign(m.Answer(re=digest(token.encode()), body=body), to=name)
        self._core.record("sent", name, answer)
        return answer

    def _take(self, name: str, signed: jws.Signed) -> Any:
        if signed.audience != self._core.name:
            raise Tampered(f"This message of {name} is for {signed.audience}.", "Ask its manager.", party=name)
        self._replays[name].admit(signed.id, signed.issued, party=name)
        if not isinstance(signed.document, m.JobHealth):  # which changes nothing and comes every two seconds
            with self._core.store.write() as session:
                iat = int(clock.read(signed.issued).timestamp())
                session.execute(delete(Seen).where(Seen.iat < _oldest()))
                session.add(Seen(jti=signed.id, issuer=name, iat=iat))
        if not isinstance(signed.document, m.PairConfirm) and name not in self._core.confirmed():
            raise Refused(
                f"The pairing of {self._core.name} and {name} is not confirmed on both sides.",
                "Compare the digits and confirm on both sides.",
                term="pairing",
                party=name,
            )
        answer = self._handlers[type(signed.document)](name, signed.document, signed.token)
        self._heard(name)
        return answer if answer is not None else m.Accepted()

    def _decided(self, peer: str, message: m.Decided) -> None:
        """A peer's decision may bring a contract into force, whose correlations can then be made ahead."""
        self._contracts.decided(peer, message)
        self._jobs.supplies.changed(message.contract)

    def _remember(self) -> None:
        """Take over the replay window of an earlier run of this node."""
        now = clock.read(clock.now())
        with self._core.store.write() as session:
            session.execute(delete(Seen).where(Seen.iat < _oldest()))
            rows = session.scalars(select(Seen).order_by(Seen.iat)).all()
        for row in rows:
            with suppress(LingquError):
                issued = clock.written(now + timedelta(seconds=row.iat - now.timestamp()))
                self._replays[row.issuer].admit(row.jti, issued, party=row.issuer)


def _oldest() -> int:
    """Messages issued before this, in seconds since 1970, are refused for their time alone."""
    return int((clock.read(clock.now()) - timedelta(seconds=2 * jws.MAX_SKEW)).timestamp())
