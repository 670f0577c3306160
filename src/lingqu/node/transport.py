"""Messages to other nodes: one signed request over mutual TLS 1.3, one signed answer."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lingqu.identity import check_peer, client_context
from lingqu.kinds.documents import Document, digest
from lingqu.kinds.errors import LingquError, PartyLost, Tampered
from lingqu.node.core import Core
from lingqu.node.messages import ANSWERS, Answer, Problem
from lingqu.wire import jws

MAX_BODY = 8 << 20
MESSAGE_SECONDS = 10.0
CONNECT_SECONDS = 4.0


class Exchanges:
    """The exchanges under way, each broken off at its deadline, or together by what they are about."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[socket.socket, str | None] = {}
        self._over = False

    @contextmanager
    def during(self, connection: socket.socket, seconds: float, about: str | None) -> Iterator[None]:
        """Break the connection off after so many seconds in all, however slowly the other side keeps it alive."""
        with self._lock:
            self._live[connection] = about
        timer = threading.Timer(0.0 if self._over else seconds, _break, (connection,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                del self._live[connection]

    def break_off(self, about: str) -> None:
        """End the exchanges about this, as a job that is over."""
        with self._lock:
            for connection in [found for found, what in self._live.items() if what == about]:
                _break(connection)

    def close(self) -> None:
        """End all of them, and those that begin later as well."""
        with self._lock:
            self._over = True
            for connection in self._live:
                _break(connection)


def _break(connection: socket.socket) -> None:
    with suppress(OSError):  # it ended by itself
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not TLS's own, which would wait for the thread inside


class Transport:
    """Speaks to peers.  Nothing is cached but TLS contexts, so a peer that comes back is simply reached again."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._exchanges = Exchanges()

    def break_off(self, about: str) -> None:
        """End the exchanges about a job that is over; who waits for them gets PartyLost."""
        self._exchanges.break_off(about)

    def close(self) -> None:
        """End every exchange, so that nobody waits for a peer that hangs."""
        self._exchanges.close()

    def send(
        self, peer: str, document: Document, timeout: float = MESSAGE_SECONDS, about: str | None = None
    ) -> Document:
        """Send a message and return the verified answer.  about: a job, with which `break_off` ends it.

        Raises the peer's own error when it answers with one, PartyLost when it is away or too slow (seconds),
        Tampered when the answer is not the peer's answer to this very message.
        """
        pinned = self._core.pins.get(peer)
        if pinned is None:
            raise PartyLost(f"{peer} is no peer of {self._core.name}.", f"Pair with {peer} first.", party=peer)
        certificate = pinned.certificate
        context = self._contexts.get(certificate.fingerprint)
        if context is None:
            context = client_context(self._core.home.key, self._core.home.certificate, [certificate])
            self._contexts[certificate.fingerprint] = context
        token = self._core.sign(document, to=peer)
        self._core.record("sent", peer, token)
        address = pinned.party.address
        fingerprint, exchanges = certificate.fingerprint, self._exchanges
        status, body = exchange(
            address, context, fingerprint, "/peer/messages", token.encode(), timeout, peer, exchanges, about
        )
        if status != 200:
            raise PartyLost(
                f"{peer} does not take messages from {self._core.name} (status {status}).",
                f"Ask {peer}'s manager whether the pairing still stands.",
                party=peer,
            )
        answer = jws.open_signed(body.decode("ascii", "replace"), ANSWERS, {peer: certificate.public}.get)
        self._core.record("received", peer, answer.token)
        assert isinstance(answer.document, Answer)
        if answer.audience != self._core.name or answer.document.re != digest(token.encode()):
            raise Tampered(
                f"{peer} answered another message than the one sent.", "Ask its manager to check.", party=peer
            )
        if isinstance(answer.document.body, Problem):
            raise answer.document.body.error()
        return answer.document.body


def exchange(
    address: str,
    context: ssl.SSLContext,
    fingerprint: str,
    path: str,
    body: bytes,
    timeout: float,
    peer: str,
    exchanges: Exchanges | None = None,
    about: str | None = None,
) -> tuple[int, bytes]:
    """POST bytes to exactly the node with that certificate; status and body.  timeout: seconds for all of it.

    The certificate is compared before a byte of the request leaves.  PartyLost names the peer and what failed.
    """
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=min(timeout, CONNECT_SECONDS))
    try:
        connection.connect()
        connection.sock.settimeout(timeout)
        connection.sock = secured = context.wrap_socket(connection.sock, do_handshake_on_connect=False)
        with (exchanges or Exchanges()).during(secured, timeout, about):
            secured.do_handshake()
            check_peer(secured, fingerprint)
            connection.request("POST", path, body, {"Content-Type": "application/jose"})
            response = connection.getresponse()
            data = response.read(MAX_BODY + 1)
        if len(data) > MAX_BODY:
            raise Tampered(f"The answer of {peer} is longer than {MAX_BODY} bytes.", "Ask its manager.", party=peer)
        if response.length:  # the connection ended before the answer did
            raise http.client.IncompleteRead(b"", response.length)
        return response.status, data
    except LingquError:
        raise
    except ssl.SSLCertVerificationError:
        raise Tampered(
            f"The node at {address} shows a certificate that is not {peer}'s.",
            "Check the address; if that node was set up anew, remove the peer and pair again.",
            party=peer,
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise PartyLost(
            f"{peer} cannot be reached at {address}: {type(error).__name__}: {error}.",
            "Check that its node runs and that its address and firewall are right.",
            party=peer,
        ) from None
    finally:
        connection.close()
