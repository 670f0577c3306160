"""An intersection of sets larger than memory: part by part, resumable at a part's boundary, by one worker or several.

Both parties agree on terms, numbers of rows and a salt that neither could choose (committed to before it is opened),
write their keys to disk part by part, and intersect one part after the other with fresh keys of the protocol each.
A part is done when what its messages gave lies on disk at both; after a crash both say which they have and do the
others.  A recipient compares when all parts are done and it has nothing more to say, so that nothing which the peer
sees waits for how many match; what it keeps until then has a size that does not depend on them either.
A salt serves one table at one version alone: beside it lies the table's fingerprint, and another table gets another.
Adversary and assumption: the protocol's.  Discloses: both numbers of rows, what the protocol discloses, and after a
crash which parts were done.
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
from lingqu.kinds.errors import BadInput, ProtocolViolation, Refused
from lingqu.kinds.mechanism import Cost
from lingqu.psi.agreement import LARGEST, Result, Terms
from lingqu.psi.heard import HeardPart, keep
from lingqu.psi.parts import PART, Parts, filled, parted
from lingqu.psi.protocols import exchange
from lingqu.psi.rr22 import MALICIOUS
from lingqu.psi.spill import Batches, Spill, durably, write_private

HELLO = 32 + 8 + 32 + 16
NONCE = 32
STATE = "session.json"
ONCE = (MALICIOUS,)
"""Protocols whose sessions begin anew after a crash: a malicious peer could bring other keys to a part's second run."""
Report = Callable[[int, int], None]


class State(Document):
    """What lies beside the parts.  salt: of the parts.  fingerprint: of this party's table.  subject: of the terms."""

    party: Annotated[int, Field(ge=0, le=1)]
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
    fingerprint: str
    subject: str
    terms: Terms
    rows: tuple[int, int]
    most: int


class Session:
    """One party's side of one intersection; made by `open_session`, `join_session` or `resume_session`.

    folder: this party's alone.
    """

    def __init__(self, party: int, state: State, spill: Spill, folder: Path) -> None:
        self._party = party
        self._state = state
        self._spill = spill
        self._folder = folder
        self.parts = _parts(state.terms, state.rows, state.most)

    def __repr__(self) -> str:
        return f"Session({self.parts.count} parts, {len(self.done(range(self.parts.count)))} done)"

    def done(self, parts: range) -> list[int]:
        """Those of some parts whose messages have all been exchanged, by what lies on this party's disk."""
        return [part for part in parts if self._result(part).exists()]

    def run(
        self,
        channel: Channel,
        parts: range | None = None,
        *,
        report: Report = lambda done, total: None,
        proceed: Callable[[], None] = lambda: None,
    ) -> None:
        """Exchange the messages of the parts of a range that are not done at both parties; both call it with the same.

        When it returns, this party has said all that it says.  Close the channel, or go on with what takes as long
        whatever matches, before `rows` or `size` are asked for: they compare, and a peer may see when it is over.
        parts: None for all.  Several workers or machines can take a range each, over a channel of their own.
        report: told this party's rows that are done, of all in the range.  proceed: asked before each part.
        Cost: a message of a bit a part each way, then the protocol's cost for every part.  Memory: one part's.
        Disk at a recipient, until `discard`: two tags and 4 bytes an element of a part, and 12 bytes a row.
        """
        mine = range(self.parts.count) if parts is None else parts
        missing = self._missing(channel, mine)
        total = self._state.rows[self._party] * len(mine) // self.parts.count
        finished = total * (len(mine) - len(missing)) // max(len(mine), 1)
        report(finished, total)
        for number, part in enumerate(missing, 1):
            proceed()
            self._intersect(channel, part)
            report(finished + (total - finished) * number // len(missing), total)

    def rows(self) -> NDArray[np.int64] | None:
        """This party's rows whose key both have, in order, once all parts are done; None where it may not know.

        Needs no peer.  Memory: one part's, and the rows.  BadInput when a part is missing.
        """
        marked = self.marked()
        return None if marked is None else np.flatnonzero(marked)

    def marked(self) -> NDArray[np.bool_] | None:
        """As `rows`, for every row of this party whether it is one of them: a byte each."""
        if self._state.terms.result is Result.SIZE or self._party not in self._state.terms.recipients:
            return None
        marked = np.zeros(self._state.rows[self._party], bool)
        for part in range(self.parts.count):
            marked[self._heard(part).rows(self.parts.sizes[self._party])] = True
        return marked

    def size(self) -> int | None:
        """How many keys both have, for a result of that kind; None at a party that may not know.  Needs no peer."""
        if self._state.terms.result is not Result.SIZE or self._party not in self._state.terms.recipients:
            return None
        return sum(len(self._heard(part).heard.compare()) for part in range(self.parts.count))

    def discard(self) -> None:
        """Remove everything of this session from the disk."""
        for path in self._folder.glob("part-*"):
            path.unlink(missing_ok=True)
        for path in self._folder.glob("done-*"):
            path.unlink(missing_ok=True)
        (self._folder / STATE).unlink(missing_ok=True)

    @property
    def fingerprint(self) -> str:
        """Of the table that was read; for this party alone."""
        return self._state.fingerprint

    def document(self) -> bytes:
        """What another worker of this party needs to join (`join_session`); keep it as secret as the table's keys."""
        return self._state.canonical()

    def _missing(self, channel: Channel, parts: range) -> list[int]:
        """Those not done at both: every party says which it has."""
        have = np.zeros(len(parts), np.uint8)
        have[[part - parts.start for part in self.done(parts)]] = 1
        peer, size = 1 - channel.party, -(-len(parts) // 8)
        channel.send(peer, np.packbits(have).data.cast("B"), Tag.BLOCKS)
        theirs = np.unpackbits(np.frombuffer(channel.receive(peer, size, Tag.BLOCKS), np.uint8), count=len(parts))
        if self._state.terms.protocol in ONCE and bool(np.any(have & (1 - theirs))):
            name = channel.parties[peer]
            raise ProtocolViolation(f"{name} asks for a part again.", "Start a new session.", party=name)
        return [part for part, done in zip(parts, have & theirs, strict=True) if not done]

    def _intersect(self, channel: Channel, part: int) -> None:
        terms = self._state.terms
        own, place = self._spill.read(part)
        sizes = self.parts.sizes
        agreed = terms.model_copy(update={"largest": max(sizes), "sizes": sizes})
        heard = exchange(channel, filled(own, sizes[self._party]), agreed)
        keep(self._result(part), heard, own, place)

    def _heard(self, part: int) -> HeardPart:
        return HeardPart.read(self._result(part), part, self.parts)

    def _result(self, part: int) -> Path:
        return self._folder / f"done-{part:06d}"


def open_session(
    channel: Channel,
    batches: Batches,
    rows: int,
    terms: Terms,
    folder: Path,
    *,
    peer_rows: int | None = None,
    most: int = PART,
) -> Session:
    """Agree with the peer and write this party's parts to disk; both call it alike, one worker for all.

    rows: of the table that `batches` reads.  peer_rows: how many the peer must bring; None: as many as it says, up to
    terms.largest.  most: rows of the larger side in a part.  folder: where an earlier run of the same may lie, with
    what it had done; what lies there of another table or other terms is removed first.
    Refused (term "set-size") for more rows than agreed, ProtocolViolation for a peer that names other terms, BadInput
    for a value outside its form, TableChanged for another number of rows than announced.
    Cost: `opening_cost`.  Memory: one batch.  Work: one pass over the table, two after a crash in other data.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if rows > terms.largest:
        raise Refused(f"{rows} rows are more than the agreed {terms.largest}.", "Agree on more.", term="set-size")
    subject = _subject(terms, most)
    earlier = None if terms.protocol in ONCE else _resumable(channel.party, batches, rows, subject.hex(), folder)
    salt, both, again = _agreed(channel, terms, rows, peer_rows, subject, earlier)
    if earlier is not None and again:
        return earlier
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    parts = _parts(terms, both, most)
    spill = Spill(folder, parts.count, range(parts.count))
    known = spill.write(batches, terms.forms, salt, rows)
    state = State(
        party=channel.party,
        salt=salt.hex(),
        fingerprint=known,
        subject=subject.hex(),
        terms=terms,
        rows=both,
        most=most,
    )
    durably(folder / STATE, lambda path: write_private(path, state.canonical()))
    return Session(channel.party, state, spill, folder)


def resume_session(folder: Path, terms: Terms, *, most: int = PART) -> Session:
    """A recipient's session whose messages were all exchanged before it broke off: it needs no peer for its rows.

    terms, most: as in the call that broke off.  BadInput where nothing of them lies in the folder, or not every part.
    What lies there is of the table as it was then: compare `Session.fingerprint` with the present one.
    """
    try:
        state = State.parse((folder / STATE).read_bytes())
    except FileNotFoundError:
        raise BadInput(f"There is no session in {folder}.", "Open one with the peer.") from None
    if state.subject != _subject(terms, most).hex():
        raise BadInput(f"The session in {folder} is of other terms.", "Name those of the call that broke off.")
    count = _parts(state.terms, state.rows, state.most).count
    session = Session(state.party, state, Spill(folder, count, range(count)), folder)
    if len(session.done(range(count))) < count:
        raise BadInput("Not every part has been exchanged.", "Go on with the peer: both call again.")
    return session


def join_session(party: int, document: bytes, batches: Batches, folder: Path, parts: range) -> Session:
    """A further worker of a party that has opened a session, with a disk of its own; it writes its own parts there.

    document: `Session.document()`.  parts: those that this worker will run.  TableChanged when its table is another.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = State.parse(document)
    spill = Spill(folder, _parts(state.terms, state.rows, state.most).count, parts)
    known = spill.write(batches, state.terms.forms, bytes.fromhex(state.salt), state.rows[party])
    _same(known, state)
    return Session(party, state, spill, folder)


def opening_cost(parts: Parts) -> Cost:
    """Rounds and bytes of `open_session`, and of the message by which `Session.run` of all parts begins."""
    return Cost(3, 2 * (HELLO + NONCE + -(-parts.count // 8)))


def _subject(terms: Terms, most: int) -> bytes:
    return hashlib.sha256(b"lingqu psi session 1" + terms.canonical() + most.to_bytes(8, "little")).digest()


def _parts(terms: Terms, rows: tuple[int, int], most: int) -> Parts:
    # The number of matches in each part of a set is more than their number in all: such a result has one part.
    return parted(rows, whole=terms.result is Result.SIZE, most=most)


def _resumable(party: int, batches: Batches, rows: int, subject: str, folder: Path) -> Session | None:
    """What an earlier run left, if it was of the same terms and this very table, with its parts written again."""
    try:
        state = State.parse((folder / STATE).read_bytes())
    except (FileNotFoundError, BadInput):
        return None
    if state.subject != subject or state.rows[party] != rows:
        return None
    count = _parts(state.terms, state.rows, state.most).count
    spill = Spill(folder, count, range(count))
    known = spill.write(batches, state.terms.forms, bytes.fromhex(state.salt), rows)
    return Session(party, state, spill, folder) if hmac.compare_digest(known, state.fingerprint) else None


def _agreed(
    channel: Channel, terms: Terms, rows: int, peer_rows: int | None, subject: bytes, earlier: Session | None
) -> tuple[bytes, tuple[int, int], bool]:
    """The salt, both numbers of rows, and whether both go on with the earlier session."""
    peer = 1 - channel.party
    name = channel.parties[peer]
    offered = secrets.token_bytes(16) if earlier is None else _token(earlier)
    nonce = secrets.token_bytes(NONCE)
    own = subject + rows.to_bytes(8, "little") + _commitment(channel.party, nonce) + offered
    channel.send(peer, own, Tag.BLOCKS)
    theirs = bytes(channel.receive(peer, HELLO, Tag.BLOCKS))
    if not hmac.compare_digest(theirs[:32], subject):
        raise ProtocolViolation(
            f"{name} names other terms for the intersection.", "Agree on protocol, forms, result and recipients."
        )
    other = int.from_bytes(theirs[32:40], "little")
    if other > min(terms.largest, LARGEST):
        raise Refused(
            f"{name} brings {other} rows, more than the agreed {terms.largest}.", "Agree on more.", term="set-size"
        )
    if peer_rows is not None and other != peer_rows:
        raise Refused(f"{name} brings {other} rows, {peer_rows} are agreed.", "Agree again.", term="set-size")
    channel.send(peer, nonce, Tag.BLOCKS)
    opened = bytes(channel.receive(peer, NONCE, Tag.BLOCKS))
    if not hmac.compare_digest(_commitment(peer, opened), theirs[40:72]):
        raise ProtocolViolation(f"{name} opened something else than it had committed to.", "Check its software.")
    first, second = (nonce, opened) if channel.party == 0 else (opened, nonce)
    salt = hashlib.sha256(b"lingqu psi parts 1" + subject + first + second).digest()
    both = (rows, other) if channel.party == 0 else (other, rows)
    return salt, both, earlier is not None and hmac.compare_digest(theirs[72:], offered)


def _token(session: Session) -> bytes:
    """What tells a peer that had the same session that this is it; random to everyone else."""
    return hashlib.sha256(b"lingqu psi again 1" + bytes.fromhex(session._state.salt)).digest()[:16]


def _commitment(party: int, nonce: bytes) -> bytes:
    return hashlib.sha256(b"lingqu psi nonce 1" + bytes([party]) + nonce).digest()


def _same(known: str, state: State) -> None:
    if not hmac.compare_digest(known, state.fingerprint):
        raise BadInput("This is another table than the session was opened over.", "Read the same one.")
