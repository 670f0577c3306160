"""Checkpoints: a log's size and root as a signed note, and the cosignatures of those who watch it.

Formats: C2SP signed-note, tlog-checkpoint and tlog-cosignature (cosignature/v1), Ed25519.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lingqu.kinds import clock
from lingqu.kinds.errors import Tampered
from lingqu.kinds.parties import Instant
from lingqu.ledger.merkle import check_consistency
from lingqu.wire.jws import Signer, decode, verify_signature

PREFIX = "lingqu/"
NOTE, COSIGNATURE = b"\x01", b"\x04"  # signature types of C2SP signed-note
MAX_NOTE = 64_000
_CURE = "Do not trust this checkpoint; ask its party for an explanation."


@dataclass(frozen=True)
class Checkpoint:
    """A log's state: origin (`lingqu/` and the party's name), number of entries, Merkle root."""

    origin: str
    size: int
    root: bytes

    @property
    def party(self) -> str:
        """The name of the party whose log it is."""
        return self.origin.removeprefix(PREFIX)

    @property
    def text(self) -> str:
        """The note's text, which is signed.  Source: C2SP tlog-checkpoint."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True)
class SignatureLine:
    """One signature line of a note: the key's name and ID, and the signature."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True)
class Cosignature:
    """A party's word that it saw this checkpoint, consistent with all it saw before, at that time."""

    party: str
    at: Instant


def origin_of(party: str) -> str:
    """The origin line and key name of a party's log."""
    return PREFIX + party


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    """SHA-256(name || newline || type || key)[:4].  Source: C2SP signed-note, section Signatures."""
    return hashlib.sha256(name.encode() + b"\n" + kind + public).digest()[:4]


def parse_note(note: str) -> tuple[str, list[SignatureLine]]:
    """The text and the signature lines of a signed note, nothing verified; Tampered when its form is wrong."""
    if len(note) > MAX_NOTE or any(mark < " " and mark != "\n" for mark in note):
        raise Tampered("A note is too long or contains control characters.", _CURE)
    text, blank, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not blank or len(lines) < 2 or lines.pop():
        raise Tampered("A note has no signature lines, or an unfinished one.", _CURE)
    signatures = []
    for line in lines:
        dash, name, encoded = parts if len(parts := line.split(" ")) == 3 else ("", "", "")
        data = _decoded(encoded)
        if dash != "—" or not name or "+" in name or len(data) < 5:
            raise Tampered("A note has a malformed signature line.", _CURE)
        signatures.append(SignatureLine(name, data[:4], data[4:]))
    return text + "\n", signatures


def parse_checkpoint(note: str) -> tuple[Checkpoint, list[SignatureLine]]:
    """A checkpoint without extension lines and its signature lines, nothing verified; Tampered for a wrong form."""
    text, signatures = parse_note(note)
    lines = text.split("\n")
    if len(lines) != 4 or not lines[1].isascii() or not lines[1].isdigit() or len(lines[1]) > 18:
        raise Tampered("A note is no checkpoint.", _CURE)
    checkpoint = Checkpoint(lines[0], int(lines[1]), _decoded(lines[2]))
    if len(checkpoint.root) != 32 or checkpoint.text != text or not checkpoint.origin.startswith(PREFIX):
        raise Tampered("A note is no checkpoint.", _CURE)
    return checkpoint, signatures


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer) -> str:
    """The checkpoint as a note signed by its log."""
    public = decode(signer.public)
    line = SignatureLine(
        checkpoint.origin, key_id(checkpoint.origin, NOTE, public), signer.sign(checkpoint.text.encode())
    )
    return f"{checkpoint.text}\n{line}"


def open_checkpoint(note: str, key: str) -> Checkpoint:
    """The checkpoint, once the signature of its log holds; key: the party's Ed25519 key, base64url.

    Raises Tampered when the form is wrong or the log's own signature is missing or does not hold.
    """
    checkpoint, signatures = parse_checkpoint(note)
    expected = key_id(checkpoint.origin, NOTE, decode(key))
    own = [line for line in signatures if (line.name, line.key_id) == (checkpoint.origin, expected)]
    if len(own) != 1:
        raise Tampered(f"The checkpoint of {checkpoint.party} does not carry its signature.", _CURE)
    verify_signature(key, own[0].signature, checkpoint.text.encode(), checkpoint.party)
    return checkpoint


def cosignatures(note: str, keys: Mapping[str, str]) -> list[Cosignature]:
    """The cosignatures of parties whose keys are given, verified; others are passed over, as C2SP asks.

    keys: Ed25519 keys (base64url) by party name.  Raises Tampered when one of a known key does not hold.
    """
    checkpoint, signatures = parse_checkpoint(note)
    found = []
    for line in signatures:
        party = line.name.removeprefix(PREFIX)
        key = keys.get(party)
        if key is None or line.name != origin_of(party) or line.key_id != key_id(line.name, COSIGNATURE, decode(key)):
            continue
        if len(line.signature) != 72:
            raise Tampered(f"The cosignature of {party} has a wrong length.", _CURE, party=party)
        seconds = int.from_bytes(line.signature[:8], "big")
        verify_signature(key, line.signature[8:], _cosigned(checkpoint, seconds), party)
        found.append(Cosignature(party, _instant(seconds)))
    return found


def witness(
    note: str, *, key: str, previous: Checkpoint | None, proof: Sequence[bytes], party: str, signer: Signer, at: Instant
) -> tuple[Checkpoint, str]:
    """Cosign a peer's checkpoint, once it continues the last one seen.

    key: the peer's key.  previous: the last checkpoint of that peer that this party saw.  proof: consistency between
    the two.  party, signer, at: who cosigns, and when.
    Returns the checkpoint, to remember as the next `previous`, and the cosignature line, to give to the peer.
    Raises Tampered when the signature does not hold, the log shrank, or it was rewritten (a fork).
    Source: C2SP tlog-cosignature; RFC 9162, section 2.1.4.
    """
    checkpoint = open_checkpoint(note, key)
    if previous is not None:
        if previous.origin != checkpoint.origin or checkpoint.size < previous.size:
            raise Tampered(
                f"The log of {checkpoint.party} had {previous.size} entries and shows {checkpoint.size} now.",
                _CURE,
                party=checkpoint.party,
            )
        try:
            check_consistency(previous.size, checkpoint.size, previous.root, checkpoint.root, proof)
        except Tampered as error:
            raise Tampered(
                f"Fork: {checkpoint.party} rewrote its history. {error.cause}", _CURE, party=checkpoint.party
            ) from None
    seconds = int(clock.read(at).timestamp())
    name = origin_of(party)
    signature = seconds.to_bytes(8, "big") + signer.sign(_cosigned(checkpoint, seconds))
    return checkpoint, str(SignatureLine(name, key_id(name, COSIGNATURE, decode(signer.public)), signature))


def attach(note: str, cosignature: str, keys: Mapping[str, str]) -> str:
    """The note with one more cosignature line, once that holds; the same party's earlier one is replaced.

    Raises Tampered when the line is malformed, of an unknown party, or does not hold.
    """
    checkpoint, signatures = parse_checkpoint(note)
    added = parse_checkpoint(f"{checkpoint.text}\n{cosignature}")[1]
    if len(added) != 1 or not cosignatures(f"{checkpoint.text}\n{cosignature}", keys):
        raise Tampered("A cosignature is not by a party that is known here.", _CURE)
    kept = [line for line in signatures if (line.name, line.key_id) != (added[0].name, added[0].key_id)]
    return checkpoint.text + "\n" + "".join(str(line) for line in [*kept, added[0]])


def _cosigned(checkpoint: Checkpoint, seconds: int) -> bytes:
    """The message of a cosignature.  Source: C2SP tlog-cosignature, section Ed25519 signed message."""
    return f"cosignature/v1\ntime {seconds}\n{checkpoint.text}".encode()


def _instant(seconds: int) -> Instant:
    if seconds > 253402300799:  # the last second that an Instant can name
        raise Tampered("A cosignature is dated beyond the year 9999.", _CURE)
    return clock.written(datetime.fromtimestamp(seconds, UTC))


def _decoded(text: str) -> bytes:
    """Standard base64, in its one canonical spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Tampered("A note contains something that is not base64.", _CURE) from None
    if base64.b64encode(data).decode() != text:
        raise Tampered("A note contains base64 with stray bits.", _CURE)
    return data
