"""The node's ledger: entries written in the transaction of what they tell of, checkpoints cosigned by the peers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from lingqu.kinds import clock
from lingqu.kinds.errors import LingquError, Tampered, Unavailable
from lingqu.ledger import Body, CheckpointSeen, Entry, Log, Paired, RefusedRun, export, open_checkpoint
from lingqu.ledger.checkpoint import parse_checkpoint
from lingqu.node.core import Core
from lingqu.node.messages import CheckpointNote, Cosignature, LastSeen
from lingqu.node.store.models import LedgerEntry, Note, Refusal, Witnessed

LOG = logging.getLogger("lingqu.node.journal")
GATHER_SECONDS = 0.2  # events this close together share a checkpoint
RETRY_SECONDS = 15.0


class SqlEntries:
    """`ledger.EntryStore` over the session that the journal is working in."""

    def __init__(self) -> None:
        self.session: Session | None = None

    @property
    def _now(self) -> Session:
        assert self.session is not None  # only the journal calls the log, inside a transaction
        return self.session

    def size(self) -> int:
        """The number of entries."""
        return self._now.scalar(select(func.count()).select_from(LedgerEntry)) or 0

    def append(self, index: int, data: bytes) -> None:
        """Store the entry that comes next."""
        if index != self.size():
            raise Unavailable(f"The log has {self.size()} entries, not {index}.", "Run one node on one database.")
        self._now.add(LedgerEntry(index=index, entry=data.decode()))
        self._now.flush()

    def read(self, start: int, stop: int) -> list[bytes]:
        """The entries with start <= index < stop."""
        wanted = select(LedgerEntry.entry).where(LedgerEntry.index >= start, LedgerEntry.index < stop)
        return [entry.encode() for entry in self._now.scalars(wanted.order_by(LedgerEntry.index))]

    def keep(self, origin: str, size: int, note: str) -> None:
        """Store a checkpoint."""
        self._now.merge(Note(origin=origin, size=size, note=note))
        self._now.flush()

    def kept(self, origin: str | None = None) -> list[str]:
        """The checkpoints of one origin, or of all."""
        wanted = select(Note.note).order_by(Note.origin, Note.size)
        return list(self._now.scalars(wanted if origin is None else wanted.where(Note.origin == origin)))


class Journal:
    """The log of this node.  Every use of it happens inside a write transaction, which serialises them.

    A transaction that fails takes its entries back, and the log is read again from the store before its next use.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._entries = SqlEntries()
        self._log: Log | None = None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._witnesses: threading.Thread | None = None

    def append(self, session: Session, body: Body) -> None:
        """Write an entry within the caller's transaction."""
        self._opened(session).append(body)

    def refusal(
        self,
        session: Session,
        error: LingquError,
        *,
        fallback: str,
        contract: str | None = None,
        job: str | None = None,
        requester: str | None = None,
        token: str | None = None,
    ) -> None:
        """Write a refusal, for people and into the ledger.  fallback: the term where the error names none."""
        term = error.term or fallback
        self.append(
            session,
            RefusedRun(
                job=job, contract=contract, requester=requester, term=term, cause=error.cause[:1000], token=token
            ),
        )
        session.add(
            Refusal(
                contract=contract,
                job=job,
                party=error.party or self._core.name,
                term=term,
                cause=error.cause,
                at=clock.now(),
            )
        )

    def entries(self, after: int) -> list[Entry]:
        """Entries from an index on."""
        with self._core.store.write() as session:
            return self._opened(session).entries(after)

    def export(self) -> bytes:
        """The history as a bundle that `lingqu verify` checks offline."""
        with self._core.store.write() as session:
            log = self._opened(session)
            paired = (entry.content() for entry in log.entries() if entry.kind == Paired.kind)
            return export(log, {body.party: body.key for body in paired if isinstance(body, Paired)})

    def witness(self, peer: str, message: CheckpointNote) -> Cosignature | LastSeen:
        """Cosign a peer's checkpoint, once it continues the last one that this node saw; Tampered for a fork."""
        key = self._core.pins[peer].party.key
        if open_checkpoint(message.note, key).party != peer:
            raise Tampered(f"{peer} sent another party's checkpoint.", "Ask its manager.", party=peer)
        with self._core.store.write() as session:
            log = self._opened(session)
            seen = log.last_seen(peer)
            if (seen.size if seen else 0) != message.since:
                return LastSeen(size=seen.size if seen else 0)
            line = log.witness(message.note, key, [bytes.fromhex(node) for node in message.proof])
            if seen is None or seen != open_checkpoint(message.note, key):
                log.append(CheckpointSeen(party=peer, note=message.note))
            return Cosignature(note=line)

    # Checkpoints of one's own

    def start(self, send: Callable[[str, CheckpointNote], Cosignature | LastSeen]) -> None:
        """Begin asking peers for cosignatures.  send: delivers a note and returns the answer."""
        self._witnesses = threading.Thread(target=self._serve, args=(send,), name="witnesses", daemon=True)
        self._witnesses.start()

    def publish(self) -> None:
        """Something of weight was written: make a checkpoint and ask every confirmed peer to cosign it."""
        self._wake.set()

    def close(self) -> None:
        """Stop asking."""
        self._closing.set()
        self._wake.set()
        if self._witnesses is not None:
            self._witnesses.join(5.0)

    def _serve(self, send: Callable[[str, CheckpointNote], Cosignature | LastSeen]) -> None:
        behind = True
        while not self._closing.is_set():
            self._wake.wait(RETRY_SECONDS if behind else None)
            if self._closing.wait(GATHER_SECONDS):
                return
            fresh = self._wake.is_set()
            self._wake.clear()
            try:
                behind = self._round(send, fresh)
            except LingquError as error:
                LOG.warning("no checkpoint: %s", error)
                behind = True
            except Exception:  # the thread must outlive what nobody foresaw
                LOG.exception("no checkpoint")
                behind = True

    def _round(self, send: Callable[[str, CheckpointNote], Cosignature | LastSeen], fresh: bool) -> bool:
        """Bring every peer up to the present checkpoint; whether one stays behind."""
        behind = False
        with self._core.store.write() as session:
            log = self._opened(session)
            own = log.store.kept(log.origin)
            if not fresh and not own:
                return False
            note = log.checkpoint() if fresh else own[-1]
            seen = {name: (row.size if (row := session.get(Witnessed, name)) else 0) for name in self._core.confirmed()}
        for name, since in seen.items():
            try:
                self._ask(send, name, note, since)
            except LingquError as error:
                behind = True
                LOG.info("%s does not cosign: %s", name, error.cause)
        return behind

    def _ask(
        self, send: Callable[[str, CheckpointNote], Cosignature | LastSeen], name: str, note: str, since: int
    ) -> None:
        size = parse_checkpoint(note)[0].size
        if since >= size:
            return
        answer = send(name, self._note(note, since, size))
        if isinstance(answer, LastSeen):  # its answer was lost, or it was set up anew
            if answer.size > size:
                raise Tampered(f"{name} says it saw {answer.size} entries.", "Compare both ledgers.", party=name)
            answer = send(name, self._note(note, answer.size, size))
        if isinstance(answer, LastSeen):
            raise Unavailable(f"{name} is busy with another checkpoint.", "It is tried again.", party=name)
        with self._core.store.write() as session:
            self._opened(session).cosigned(size, answer.note, {name: self._core.pins[name].party.key})
            session.merge(Witnessed(party=name, size=size))

    def _note(self, note: str, since: int, size: int) -> CheckpointNote:
        with self._core.store.write() as session:
            proof = self._opened(session).consistency(since, size) if 0 < since < size else []
        return CheckpointNote(note=note, since=since, proof=tuple(node.hex() for node in proof))

    def _opened(self, session: Session) -> Log:
        """The log, working in this session; forgotten when its transaction fails."""
        self._entries.session = session
        session.info.setdefault("undo", []).append(self._forget)
        if self._log is None:
            self._log = Log(self._entries, self._core.name, self._core.key)
        return self._log

    def _forget(self) -> None:
        self._log = None
