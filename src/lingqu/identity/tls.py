"""TLS contexts: version 1.3 only, and no authority but the pinned certificates."""

from __future__ import annotations

import hmac
import ssl
from collections.abc import Iterable
from pathlib import Path

from lingqu.identity.certificates import Certificate
from lingqu.kinds.documents import digest
from lingqu.kinds.errors import Tampered, Unavailable


def server_context(
    key_path: Path, certificate_path: Path, pinned: Iterable[Certificate], require_client: bool = True
) -> ssl.SSLContext:
    """The accepting side: TLS 1.3, its own certificate, and only pinned clients.

    require_client: without it a client may show no certificate at all (pairing); a certificate that is not pinned
    fails the handshake in both cases.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, key_path, certificate_path, pinned)
    context.verify_mode = ssl.CERT_REQUIRED if require_client else ssl.CERT_OPTIONAL
    context.num_tickets = 0  # no resumption: every connection shows its certificate
    return context


def client_context(
    key_path: Path | None, certificate_path: Path | None, pinned: Iterable[Certificate]
) -> ssl.SSLContext:
    """The dialling side: TLS 1.3, only pinned servers; with its own certificate when the paths are given."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, key_path, certificate_path, pinned)


def pairing_context() -> ssl.SSLContext:
    """For the joiner of an invitation alone: it has no pin yet, and must call `check_peer` before it sends a byte."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    # The certificate to expect is known by its fingerprint alone until it has been seen: `check_peer` compares it.
    context.verify_mode = ssl.CERT_NONE
    return context


def check_peer(connection: ssl.SSLSocket | ssl.SSLObject, fingerprint: str) -> None:
    """Check after the handshake that the peer showed exactly that certificate; Tampered otherwise."""
    shown = peer_fingerprint(connection)
    if shown is None or not hmac.compare_digest(shown, fingerprint):
        raise Tampered(
            f"The other side shows the certificate {shown or 'none'} and not {fingerprint}.",
            "Check the address; if that party has a new key, pair with it again.",
        )


def peer_fingerprint(connection: ssl.SSLSocket | ssl.SSLObject) -> str | None:
    """The fingerprint of the certificate that the peer showed, or None when it showed none."""
    der = connection.getpeercert(binary_form=True)
    return digest(der) if der else None


def _context(
    protocol: int, key_path: Path | None, certificate_path: Path | None, pinned: Iterable[Certificate]
) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the fingerprint says who it is, not a DNS name
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_TICKET
    if key_path is not None and certificate_path is not None:
        try:
            context.load_cert_chain(certificate_path, key_path, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            raise Unavailable(
                f"The key {key_path} and the certificate {certificate_path} cannot be used: {error.strerror or error}.",
                "Restore both files from the same copy.",
            ) from None
    for certificate in pinned:
        context.load_verify_locations(cadata=certificate.der)
    return context


def _no_password() -> str:
    return ""
