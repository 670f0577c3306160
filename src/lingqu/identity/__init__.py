"""Who is who: keys, certificates, pinned peers, invitations, TLS contexts."""

from lingqu.identity.certificates import Certificate
from lingqu.identity.keys import NodeKey, verify
from lingqu.identity.pairing import Invitation, Invitations, Side
from lingqu.identity.tls import check_peer, client_context, pairing_context, peer_fingerprint, server_context
from lingqu.identity.trust import Pinned, TrustStore

__all__ = [
    "Certificate",
    "Invitation",
    "Invitations",
    "NodeKey",
    "Pinned",
    "Side",
    "TrustStore",
    "check_peer",
    "client_context",
    "pairing_context",
    "peer_fingerprint",
    "server_context",
    "verify",
]
