"""An intersection of three or more parties' sets larger than memory: part by part, resumable at a part's boundary.

As `session` for two: all agree on terms and on a salt that none could choose (each commits to its share of it before
any is opened), write their keys to disk part by part, and intersect one part after the other by psi.many with fresh
keys each.  A part is done when all that its rows follow from lies on disk at every party; after a crash all say which
they have and do the others.  Recipients gather their rows when nothing is left to say.
Adversary and assumption: psi.many's.  Discloses: the number of every table's rows, what psi.many discloses, and after
a crash which parts were done.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import BadInput, ProtocolViolation
from lingqu.kinds.mechanism import Cost
from lingqu.psi import many
from lingqu.psi.agreement import Terms
from lingqu.psi.heard import HeardPart, keep
from lingqu.psi.parts import PART, Parts, filled, parted
from lingqu.psi.spill import Batches, Spill, durably, write_private

HELLO = 32 + 32 + 16
NONCE = 32
SEEN = 32
STATE = "session.json"


class State(Document):
    """What lies beside the parts.  salt: of the parts.  fingerprint: of this party's table.  subject: of the terms."""

    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
    fingerprint: str
    subject: str


class Crowd:
    """One party's side; made by `open_crowd`.  folder: this party's alone.  parts: as all have agreed on."""

    def __init__(self, party: int, terms: Terms, state: State, folder: Path, parts: Parts) -> None:
        self._party = party
        self._terms = terms
        self._state = state
        self._folder = folder
        self.parts = parts
        self._spill = Spill(folder, parts.count, range(parts.count))

    def __repr__(self) -> str:
        return f"Crowd({self.parts.count} parts, {len(self.done())} done)"

    def done(self) -> list[int]:
        """The parts whose result lies on this party's disk."""
        return [part for part in range(self.parts.count) if self._result(part).exists()]

    def run(
        self,
        channel: Channel,
        *,
        report: Callable[[int, int], None] = lambda done, total: None,
        proceed: Callable[[], None] = lambda: None,
    ) -> None:
        """Intersect the parts that are not done at every party; all call it.

        report: told this party's rows that are done, of all.  proceed: asked before each part.
        Cost: a message of a bit a part to every party, then psi.many's cost for every part.  Memory: one part's.
        """
        missing = self._missing(channel)
        total = (self._terms.sizes or ())[self._party]
        finished = total * (self.parts.count - len(missing)) // self.parts.count
        report(finished, total)
        for number, part in enumerate(missing, 1):
            proceed()
            self._intersect(channel, part)
            report(finished + (total - finished) * number // len(missing), total)

    def marked(self) -> NDArray[np.bool_] | None:
        """Of every row of this party whether all have its key, a byte each; None where it may not know.

        Needs no peer.  BadInput when a part is not done.
        """
        if self._party not in self._terms.recipients:
            return None
        marked = np.zeros((self._terms.sizes or ())[self._party], bool)
        for part in range(self.parts.count):
            kept = HeardPart.read(self._result(part), part, self.parts)
            marked[kept.rows(self.parts.sizes[self._party])] = True
        return marked

    def discard(self) -> None:
        """Remove everything of this session from the disk."""
        _clear(self._folder)

    def _missing(self, channel: Channel) -> list[int]:
        """Those not done at every party: each says which it has."""
        common = np.zeros(self.parts.count, np.uint8)
        common[self.done()] = 1
        said, size = np.packbits(common).data.cast("B"), -(-self.parts.count // 8)
        others = _others(channel)
        for peer in others:
            channel.send(peer, said, Tag.BLOCKS)
        for peer in others:
            theirs = np.frombuffer(channel.receive(peer, size, Tag.BLOCKS), np.uint8)
            common &= np.unpackbits(theirs, count=self.parts.count)
        return [int(part) for part in np.flatnonzero(common == 0)]

    def _intersect(self, channel: Channel, part: int) -> None:
        own, place = self._spill.read(part)
        sizes = self.parts.sizes
        agreed = self._terms.model_copy(update={"largest": max(sizes), "sizes": sizes})
        keep(self._result(part), many.exchange(channel, filled(own, sizes[self._party]), agreed), own, place)

    def _result(self, part: int) -> Path:
        return self._folder / f"done-{part:06d}"


def open_crowd(channel: Channel, batches: Batches, terms: Terms, folder: Path, *, most: int = PART) -> Crowd:
    """Agree with all peers and write this party's parts to disk; all call it alike.

    terms.sizes: the rows of every party's table.  most: rows of the largest in a part.  folder: where an earlier run of
    the same may lie, with what it had done; what lies there of another table or other terms is removed first.
    ProtocolViolation for a peer that names other terms or opened another commitment, BadInput for a value outside its
    form, TableChanged for another number of rows than agreed.
    Cost: `opening_cost`.  Memory: one batch.  Work: one pass over the table, two after a crash in other data.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sizes = terms.sizes
    if sizes is None or len(sizes) != len(channel.parties):
        raise BadInput("Not every party's number of rows is agreed on.", "Name them all in terms.sizes.")
    parts, own = parted(sizes, most=most), sizes[channel.party]
    names = "\0".join(channel.parties).encode()
    agreed = names + b"\0" + terms.canonical() + most.to_bytes(8, "little")
    subject = hashlib.sha256(b"lingqu psi many session 1" + agreed).digest()
    spill = Spill(folder, parts.count, range(parts.count))
    earlier = _resumable(batches, own, terms, subject.hex(), spill, folder)
    salt, again = _agreed(channel, subject, earlier)
    if earlier is None or not again:
        _clear(folder)
        known = spill.write(batches, terms.forms, salt, own)
        earlier = State(salt=salt.hex(), fingerprint=known, subject=subject.hex())
        written = earlier.canonical()
        durably(folder / STATE, lambda path: write_private(path, written))
    return Crowd(channel.party, terms, earlier, folder, parts)


def opening_cost(parties: int, parts: Parts) -> Cost:
    """Rounds and bytes of `open_crowd`, and of the messages by which `Crowd.run` begins, of all parties together."""
    return Cost(3, parties * (parties - 1) * (HELLO + NONCE + SEEN + -(-parts.count // 8)))


def _resumable(batches: Batches, rows: int, terms: Terms, subject: str, spill: Spill, folder: Path) -> State | None:
    """What an earlier run left, if it was of the same terms and this very table, with its parts written again."""
    try:
        state = State.parse((folder / STATE).read_bytes())
    except (FileNotFoundError, BadInput):
        return None
    if state.subject != subject:
        return None
    known = spill.write(batches, terms.forms, bytes.fromhex(state.salt), rows)
    return state if hmac.compare_digest(known, state.fingerprint) else None


def _agreed(channel: Channel, subject: bytes, earlier: State | None) -> tuple[bytes, bool]:
    """The salt, and whether all go on with the earlier session.  2 rounds."""
    others = _others(channel)
    token, nonce = _token(earlier), secrets.token_bytes(NONCE)
    hellos = {channel.party: subject + _commitment(channel.party, nonce) + token}
    for peer in others:
        channel.send(peer, hellos[channel.party], Tag.BLOCKS)
    for peer in others:
        hellos[peer] = bytes(channel.receive(peer, HELLO, Tag.BLOCKS))
        if not hmac.compare_digest(hellos[peer][:32], subject):
            name = channel.parties[peer]
            raise ProtocolViolation(
                f"{name} names other terms for the intersection.", "Agree on tables, forms and recipients.", party=name
            )
    every = range(len(channel.parties))
    seen = hashlib.sha256(b"lingqu psi many hellos 1" + b"".join(hellos[party] for party in every)).digest()
    nonces = {channel.party: nonce}
    for peer in others:
        channel.send(peer, nonce + seen, Tag.BLOCKS)
    for peer in others:
        opened = bytes(channel.receive(peer, NONCE + SEEN, Tag.BLOCKS))
        nonces[peer], name = opened[:NONCE], channel.parties[peer]
        if not hmac.compare_digest(opened[NONCE:], seen):
            raise ProtocolViolation(f"{name} saw another beginning.", "End the session.", party=name)
        if not hmac.compare_digest(_commitment(peer, nonces[peer]), hellos[peer][32:64]):
            raise ProtocolViolation(
                f"{name} opened something else than it had committed to.", "Check its software.", party=name
            )
    salt = hashlib.sha256(b"lingqu psi many parts 1" + subject + b"".join(nonces[party] for party in every)).digest()
    return salt, all(hmac.compare_digest(hellos[peer][64:], token) for peer in others)


def _token(state: State | None) -> bytes:
    """What tells peers that had the same session that this is it; random to everyone else."""
    if state is None:
        return secrets.token_bytes(16)
    return hashlib.sha256(b"lingqu psi many again 1" + bytes.fromhex(state.salt)).digest()[:16]


def _commitment(party: int, nonce: bytes) -> bytes:
    return hashlib.sha256(b"lingqu psi many nonce 1" + bytes([party]) + nonce).digest()


def _others(channel: Channel) -> list[int]:
    return [peer for peer in range(len(channel.parties)) if peer != channel.party]


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
