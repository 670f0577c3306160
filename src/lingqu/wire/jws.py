"""Signed documents: compact JWS (RFC 7515) with EdDSA (RFC 8037) over canonical JSON, read strictly."""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Literal, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field, StringConstraints

from lingqu.kinds import clock
from lingqu.kinds.documents import MAX_DOCUMENT, Document
from lingqu.kinds.errors import BadInput, Tampered, Unavailable
from lingqu.kinds.parties import Instant, PartyName

MAX_TOKEN = 2 * MAX_DOCUMENT
MAX_SKEW = 120  # seconds
_PART = re.compile(r"[A-Za-z0-9_-]+\Z")
_CURE = "Ask its author to send the original again."


class Signer(Protocol):
    """Who can sign: `identity.NodeKey` does."""

    @property
    def public(self) -> str:
        """The Ed25519 public key, base64url, 43 characters."""

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature, 64 bytes."""


class Header(Document):
    """The protected header; a field beyond these (crit, jwk, jku, x5c, ...) makes the token invalid."""

    alg: Literal["EdDSA"]
    typ: Literal["lingqu+json"]
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    iss: PartyName
    aud: PartyName | None = None
    iat: Annotated[int, Field(ge=0, le=253402300799)]
    jti: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


@dataclass(frozen=True)
class Signed:
    """A token whose signature holds.  audience: None when it is for everyone.  issued: as its author's clock says."""

    issuer: str
    kind: str
    audience: str | None
    issued: Instant
    id: str
    document: Document
    token: str


def sign(document: Document, key: Signer, *, issuer: str, kind: str, to: str | None, now: Instant | None = None) -> str:
    """A compact JWS of the document's canonical bytes.

    issuer: the signing party's name.  kind: what the document is, as "approval".  to: the party it is for, or None.
    """
    issued = int(clock.read(now or clock.now()).timestamp())
    header = Header(
        alg="EdDSA", typ="lingqu+json", kind=kind, iss=issuer, aud=to, iat=issued, jti=secrets.token_hex(16)
    )
    signing_input = f"{encode(header.canonical())}.{encode(document.canonical())}"
    return f"{signing_input}.{encode(key.sign(signing_input.encode()))}"


def open_signed(token: str, kinds: Mapping[str, type[Document]], keys: Callable[[str], str | None]) -> Signed:
    """Check a token and decode its document.

    kinds: the kinds accepted here and their types.  keys: an issuer's public key, or None when it is unknown.
    Raises Tampered when form, header, key, signature or canonical form do not hold; BadInput when the signed document
    is not of its kind.  The caller checks the audience, and `Replay` whether it is fresh.
    """
    header, payload = verify_compact(token, keys)
    if header.kind not in kinds:
        raise Tampered(f"{header.iss} signed a {header.kind!r}, which is not expected here.", _CURE, party=header.iss)
    document = kinds[header.kind].parse(payload)
    if document.canonical() != payload:
        raise Tampered(f"The {header.kind} that {header.iss} signed is not in canonical form.", _CURE, party=header.iss)
    issued = clock.written(datetime.fromtimestamp(header.iat, UTC))
    return Signed(header.iss, header.kind, header.aud, issued, header.jti, document, token)


def verify_compact(token: str, keys: Callable[[str], str | None]) -> tuple[Header, bytes]:
    """The checked header and the signed bytes of a token; Tampered when anything does not hold."""
    if len(token) > MAX_TOKEN:
        raise Tampered(f"A token of {len(token)} characters is too long.", _CURE)
    parts = token.split(".")
    if len(parts) != 3:
        raise Tampered("This is no compact JWS of three parts.", _CURE)
    head, payload, signature = (decode(part) for part in parts)
    try:
        header = Header.parse(head)
    except BadInput as error:
        raise Tampered(f"The token's header is not allowed: {error.cause}", _CURE) from None
    if header.canonical() != head:
        raise Tampered("The token's header is not in canonical form.", _CURE)
    public = keys(header.iss)
    if public is None:
        raise Tampered(f"The signer {header.iss} is unknown here.", "Pair with that party first.", party=header.iss)
    verify_signature(public, signature, token.rsplit(".", 1)[0].encode(), header.iss)
    return header, payload


def verify_signature(public: str, signature: bytes, data: bytes, issuer: str) -> None:
    """Check one Ed25519 signature; Tampered naming the issuer otherwise."""
    try:
        Ed25519PublicKey.from_public_bytes(decode(public)).verify(signature, data)
    except (InvalidSignature, ValueError):
        raise Tampered(f"The signature of {issuer} does not hold.", _CURE, party=issuer) from None


def encode(data: bytes) -> str:
    """Base64url without padding, RFC 7515 section 2."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Exactly what `encode` writes; Tampered for any other spelling of the same bytes."""
    try:
        if not _PART.match(text):
            raise ValueError
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error):
        raise Tampered("A part of the token is no base64url.", _CURE) from None
    if encode(data) != text:
        raise Tampered("A part of the token is base64url with stray bits.", _CURE)
    return data


class Replay:
    """Admits each token once, within the clock skew that it tolerates; in memory, bounded.

    capacity: how many tokens it remembers; each is forgotten once its time alone would refuse it.
    here: whose clock the others' are compared with, for the error, which a peer may read.
    """

    def __init__(self, capacity: int = 100_000, here: str = "this node") -> None:
        self._here = here
        self._capacity = capacity
        self._seen: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def admit(self, id: str, issued: Instant, now: Instant | None = None, *, party: str | None = None) -> None:
        """Raises Tampered for a token seen before, Unavailable for one whose time is more than 120 s off.

        id, issued: as in `Signed`.  party: whose it is, for the error.
        """
        moment = int(clock.read(now or clock.now()).timestamp())
        skew = int(clock.read(issued).timestamp()) - moment
        if abs(skew) > MAX_SKEW:
            side = "ahead of" if skew > 0 else "behind"
            raise Unavailable(
                f"The clock of {party or 'the peer'} is {abs(skew)} s {side} that of {self._here} (at most "
                f"{MAX_SKEW} s is allowed), or its message was held up that long.",
                "Enable NTP on both machines, then try again.",
                party=party,
            )
        with self._lock:
            while self._seen and next(iter(self._seen.values())) < moment - 2 * MAX_SKEW:
                self._seen.popitem(last=False)
            if id in self._seen:
                raise Tampered(
                    f"A message of {party or 'the peer'} came a second time.", "Send a new one.", party=party
                )
            if len(self._seen) >= self._capacity:
                raise Unavailable("Too many messages came in four minutes.", "Wait some minutes.", party=party)
            self._seen[id] = moment
