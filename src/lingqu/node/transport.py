"""Messages to other nodes: one signed request over mutual TLS 1.3, one signed answer."""

from __future__ import annotations

import http.client
import ssl

from lingqu.identity import check_peer, client_context
from lingqu.kinds.documents import Document, digest
from lingqu.kinds.errors import LingquError, PartyLost, Tampered
from lingqu.node.core import Core
from lingqu.node.messages import ANSWERS, Answer, Problem
from lingqu.wire import jws

MAX_BODY = 8 << 20
MESSAGE_SECONDS = 10.0


class Transport:
    """Speaks to peers.  Nothing is cached but TLS contexts, so a peer that comes back is simply reached again."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._contexts: dict[str, ssl.SSLContext] = {}

    def send(self, peer: str, document: Document, timeout: float = MESSAGE_SECONDS) -> Document:
        """Send a message and return the verified answer.

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
        status, body = exchange(
            address, context, certificate.fingerprint, "/peer/messages", token.encode(), timeout, peer
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
    address: str, context: ssl.SSLContext, fingerprint: str, path: str, body: bytes, timeout: float, peer: str
) -> tuple[int, bytes]:
    """POST bytes to exactly the node with that certificate; status and body.

    The certificate is compared before a byte of the request leaves.  PartyLost names the peer and what failed.
    """
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPSConnection(host.strip("[]"), int(port), timeout=timeout, context=context)
    try:
        connection.connect()
        check_peer(connection.sock, fingerprint)
        connection.request("POST", path, body, {"Content-Type": "application/jose"})
        response = connection.getresponse()
        data = response.read(MAX_BODY + 1)
        if len(data) > MAX_BODY:
            raise Tampered(f"The answer of {peer} is longer than {MAX_BODY} bytes.", "Ask its manager.", party=peer)
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
