"""Invitations: how two nodes that share one pasted line come to trust each other's certificates.

The inviter prints a code with its address, its certificate's fingerprint and a secret.  The joiner connects, accepts
only that fingerprint, and shows its own certificate with a proof that it knows the secret; the inviter answers with the
other proof.  Both people then compare six digits before the pin counts, which finds out a code that was replaced.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from threading import Lock

from lingqu.kinds import clock
from lingqu.kinds.documents import canonical
from lingqu.kinds.errors import BadInput, Refused, Tampered
from lingqu.kinds.parties import Instant, Party

PREFIX = "lingqu1:"
SECRET_BYTES = 16
MINUTES = 15
_CHECK_BYTES = 4
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]{1,200}):[0-9]{1,5}\Z")


class Side(StrEnum):
    """Which of the two parties speaks."""

    INVITER = "inviter"
    JOINER = "joiner"


@dataclass(frozen=True)
class Invitation:
    """address: host:port of the inviter's peer interface.  fingerprint: its certificate's.  secret: 128 random bits."""

    address: str
    fingerprint: str
    secret: bytes = field(repr=False)

    @classmethod
    def issue(cls, address: str, fingerprint: str) -> Invitation:
        """A fresh invitation to an address whose certificate has that fingerprint."""
        if not _ADDRESS.match(address):
            raise BadInput(f"{address!r} is no host:port.", "Write it as bureau.example:7443.")
        return cls(address, fingerprint, secrets.token_bytes(SECRET_BYTES))

    @property
    def id(self) -> str:
        """What the joiner calls it by without giving the secret away, 32 hexadecimal digits."""
        return hmac.new(self.secret, b"lingqu invitation id", hashlib.sha256).hexdigest()[:32]

    @property
    def code(self) -> str:
        """One line for a person to paste: prefix and base32 in groups of five, with a checksum."""
        body = bytes.fromhex(self.fingerprint.removeprefix("sha256:")) + self.secret + self.address.encode()
        text = base64.b32encode(body + _checksum(body)).decode().rstrip("=").lower()
        return PREFIX + "-".join(text[start : start + 5] for start in range(0, len(text), 5))

    @classmethod
    def parse(cls, code: str) -> Invitation:
        """Read a pasted code, forgiving spaces, line breaks, dashes and case; BadInput names what is wrong with it."""
        text = re.sub(r"[\s-]+", "", code).lower()
        if not text.startswith(PREFIX):
            raise BadInput(f"An invitation begins with {PREFIX}", "Paste the whole line that `lingqu invite` printed.")
        if len(text) > 600:
            raise BadInput("This invitation is too long.", "Paste only the line that `lingqu invite` printed.")
        text = text.removeprefix(PREFIX).upper()
        try:
            data = base64.b32decode(text + "=" * (-len(text) % 8))
        except (binascii.Error, ValueError):
            raise BadInput(
                "The invitation holds characters that no invitation has, or lacks some.", "Paste the whole line again."
            ) from None
        body, checksum = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
        if len(body) <= 32 + SECRET_BYTES or not hmac.compare_digest(checksum, _checksum(body)):
            raise BadInput("The invitation's checksum is wrong: a part is missing or mistyped.", "Paste it again.")
        address = body[32 + SECRET_BYTES :].decode("ascii", "replace")
        if not _ADDRESS.match(address):
            raise BadInput("The invitation's address is no host:port.", "Ask for another invitation.")
        return cls(address, "sha256:" + body[:32].hex(), body[32 : 32 + SECRET_BYTES])

    def proof(self, side: Side, inviter: Party, joiner: Party) -> str:
        """One side's proof that it knows the secret, bound to both parties' certificates, keys, names and addresses.

        64 hexadecimal digits: HMAC-SHA256(secret, side and transcript).
        """
        transcript = canonical({"inviter": inviter.model_dump(), "joiner": joiner.model_dump(), "side": side.value})
        return hmac.new(self.secret, b"lingqu pairing proof\0" + transcript, hashlib.sha256).hexdigest()

    def check(self, proof: str, side: Side, inviter: Party, joiner: Party) -> None:
        """Check the other side's proof; Tampered when it does not hold."""
        if not hmac.compare_digest(proof.encode(), self.proof(side, inviter, joiner).encode()):
            raise Tampered(
                f"The {side.value}'s proof does not hold: it does not know this invitation or was altered on the way.",
                "Make a new invitation and send it by a channel that you trust.",
            )

    def comparison(self, inviter: Party, joiner: Party) -> str:
        """Six digits, as 123-456, that both people read to each other; equal only when both see the same certificates.

        Cost: one scrypt of 32 MiB, about 0.1 s, so that certificates with wanted digits cannot be found by trying
        within the invitation's life.
        """
        salt = f"lingqu comparison {inviter.certificate} {joiner.certificate}".encode()
        value = hashlib.scrypt(self.secret, salt=salt, n=1 << 15, r=8, p=1, maxmem=64 << 20, dklen=8)
        number = int.from_bytes(value, "big") % 1_000_000
        return f"{number // 1000:03d}-{number % 1000:03d}"


class Invitations:
    """The inviter's open invitations, in memory only: a restart of the node ends them."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Invitation, Instant]] = {}
        self._lock = Lock()

    def issue(
        self, address: str, fingerprint: str, *, minutes: int = MINUTES, now: Instant | None = None
    ) -> tuple[Invitation, Instant]:
        """A new invitation and the moment it expires.  minutes: 1 to 1440."""
        if not 1 <= minutes <= 1440:
            raise BadInput(f"An invitation cannot last {minutes} minutes.", "Choose 1 to 1440 minutes.")
        invitation = Invitation.issue(address, fingerprint)
        expires = clock.written(clock.read(now or clock.now()) + timedelta(minutes=minutes))
        with self._lock:
            self._open[invitation.id] = (invitation, expires)
        return invitation, expires

    def redeem(self, id: str, proof: str, inviter: Party, joiner: Party, *, now: Instant | None = None) -> Invitation:
        """Use an invitation up; Refused when it is unknown, used or expired, Tampered when the proof is wrong.

        A wrong proof uses it up too, so that nobody can try twice.
        """
        with self._lock:
            found = self._open.pop(id, None)
        if found is None:
            raise Refused("This invitation is unknown or used up.", "Ask for a new one.", term="invitation")
        invitation, expires = found
        if (now or clock.now()) > expires:
            raise Refused(f"This invitation expired at {expires}.", "Ask for a new one.", term="invitation")
        invitation.check(proof, Side.JOINER, inviter, joiner)
        return invitation


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(b"lingqu invitation\0" + body).digest()[:_CHECK_BYTES]
