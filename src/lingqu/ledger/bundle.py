"""A bundle: one node's whole history in one file, for a verifier without network.

A bundle is lines of canonical JSON: a head (party, keys, leaf hashes), the entries, the own checkpoints with their
cosignatures, the peers' checkpoints seen, and the exporting party's signature over all lines before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from lingqu.kinds import clock
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import LingquError
from lingqu.kinds.parties import Instant, PartyName
from lingqu.ledger.entries import Entry
from lingqu.ledger.log import Log
from lingqu.ledger.merkle import leaf_hash
from lingqu.wire.jws import decode, encode

Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
Hash = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]


class Head(Document):
    """The first line.  keys: parties' Ed25519 keys as the exporter knows them.  leaves: every entry's leaf hash."""

    format: Literal["lingqu-bundle/1"] = "lingqu-bundle/1"
    party: PartyName
    exported: Instant
    keys: dict[PartyName, Key]
    leaves: tuple[Hash, ...]

    @model_validator(mode="after")
    def _dated(self) -> Self:
        clock.read(self.exported)
        return self


class Note(Document):
    """A line with a checkpoint: the exporter's own, or a peer's that it saw."""

    own: bool
    note: Annotated[str, Field(max_length=64_000)]


class Seal(Document):
    """The last line: the exporter's Ed25519 signature over all lines before it, base64url."""

    signature: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{86}$")]


@dataclass
class Bundle:
    """A bundle as read; faults: what could not be read, with its line, as sentences."""

    head: Head
    entries: dict[int, Entry] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    sealed: bytes = b""
    signature: bytes | None = None


def export(log: Log, keys: Mapping[str, str], at: Instant | None = None) -> bytes:
    """The log's whole history with its checkpoints, those of peers it saw, and the parties' public keys.

    keys: Ed25519 keys (base64url) by party, of every party whose signature stands in the log; the own is added.
    The same log exported at the same moment gives the same bytes.  Signs a checkpoint of the present state.
    Discloses: what the entries hold, to whoever reads the bundle: names, digests and signed documents, no data.
    """
    log.checkpoint()
    entries = log.entries()
    head = Head(
        party=log.party,
        exported=at or clock.now(),
        keys={**keys, log.party: log.signer.public},
        leaves=tuple(encode(leaf_hash(entry.canonical())) for entry in entries),
    )
    notes = [Note(own=True, note=note) for note in log.store.kept(log.origin)]
    notes += [Note(own=False, note=note) for note in log.store.kept() if note not in {own.note for own in notes}]
    body = b"".join(document.canonical() + b"\n" for document in [head, *entries, *notes])
    return body + Seal(signature=encode(log.signer.sign(body))).canonical() + b"\n"


def read(data: bytes) -> Bundle | str:
    """The bundle, or a sentence that says why it is none; what can be read is read, the rest stands in its faults."""
    lines = data.split(b"\n")
    ending = lines.pop()
    try:
        head = Head.parse(lines[0] if lines else b"")
    except LingquError as error:
        return f"line 1 is no head of a bundle: {error.cause}"
    if head.canonical() != lines[0]:
        return "line 1, the head, is not in canonical form"
    bundle = Bundle(head)
    if ending or len(lines) < 2:
        bundle.faults.append("the last line is not complete")
    for number, line in enumerate(lines[1:], 2):
        _read_line(bundle, number, line, last=number == len(lines))
    bundle.sealed = data[: len(data) - len(lines[-1]) - 1 - len(ending)]
    return bundle


def _read_line(bundle: Bundle, number: int, line: bytes, *, last: bool) -> None:
    """Read one line after the head into the bundle."""
    kind: type[Document] = Seal if last else Note if line.startswith(b'{"note":') else Entry
    try:
        document = kind.parse(line)
        if document.canonical() != line:
            raise ValueError
    except (LingquError, ValueError) as error:
        cause = error.cause if isinstance(error, LingquError) else "it is not in canonical form"
        bundle.faults.append(f"line {number}{_place(bundle, number)} cannot be read: {cause}")
        return
    if isinstance(document, Seal):
        bundle.signature = decode(document.signature) if _decodes(document.signature) else None
    elif isinstance(document, Note):
        (bundle.own if document.own else bundle.seen).append(document.note)
    elif isinstance(document, Entry):
        bundle.order.append(document.index)
        bundle.entries.setdefault(document.index, document)


def _place(bundle: Bundle, number: int) -> str:
    return f" (entry {number - 2})" if number - 2 < len(bundle.head.leaves) else ""


def _decodes(text: str) -> bool:
    try:
        decode(text)
    except LingquError:
        return False
    return True
