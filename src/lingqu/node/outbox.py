"""Messages that must arrive: kept in the store, sent in order to each peer, tried again until they have."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from lingqu.kinds.documents import Document
from lingqu.kinds.errors import LingquError, PartyLost, Unavailable
from lingqu.node.core import Core
from lingqu.node.messages import REQUESTS, kind_of
from lingqu.node.store.models import Outgoing
from lingqu.node.transport import Transport

LOG = logging.getLogger("lingqu.node.outbox")
FIRST_PAUSE = 0.5  # seconds, doubled after each failure
LONGEST_PAUSE = 15.0
Tell = Callable[[Session, str, Document], None]
"""Queues a message for a peer in the caller's transaction, so that what was decided is also sent, whatever crashes."""


class Outbox:
    """One lane a peer: first in, first out.  A peer that is away holds up only its own lane.
    A message that a peer refuses for good is dropped, since sending it again cannot help; on_refused is told of it.
    """

    def __init__(self, core: Core, transport: Transport) -> None:
        self._core = core
        self._transport = transport
        self._changed = threading.Condition()
        self._lanes: dict[str, _Lane] = {}
        self._closing = False
        self.on_refused: Callable[[str, Document, LingquError], None] = lambda peer, document, error: None

    def start(self) -> None:
        """Take up what an earlier run of the node left."""
        with self._core.store.read() as session:
            waiting = session.scalars(select(Outgoing.peer).distinct()).all()
        for peer in waiting:
            self._lane(peer).wake()

    def put(self, session: Session, peer: str, document: Document) -> None:
        """Queue a message in the transaction of what it tells of; one that waits already is not queued twice."""
        known = select(Outgoing.id).where(Outgoing.peer == peer, Outgoing.digest == document.sha256())
        if session.scalar(known) is None:
            content = document.canonical().decode()
            row = Outgoing(peer=peer, kind=kind_of(document), content=content, digest=document.sha256())
            session.add(row)
            session.flush()
        session.info.setdefault("done", []).append(lambda: self._lane(peer).wake())

    def drain(self, timeout: float) -> None:
        """Wait until every peer that answers has everything, at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while any(lane.busy for lane in self._lanes.values()):
                if not self._changed.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    return

    def awake(self, peer: str) -> None:
        """The peer was heard of: try at once."""
        with self._changed:
            lane = self._lanes.get(peer)
        if lane is not None:
            lane.wake()

    def close(self) -> None:
        """Stop sending; what waits stays in the store."""
        with self._changed:
            self._closing = True
            lanes = list(self._lanes.values())
        for lane in lanes:
            lane.close()

    def _lane(self, peer: str) -> _Lane:
        with self._changed:
            lane = self._lanes.get(peer)
            if lane is None:
                lane = self._lanes[peer] = _Lane(peer, self._send_next, self._changed)
                if not self._closing:
                    lane.start()
            return lane

    def _send_next(self, peer: str) -> bool:
        """Send the oldest message of a lane; False when none waits.  PartyLost or Unavailable: try later."""
        with self._core.store.read() as session:
            row = session.scalars(select(Outgoing).where(Outgoing.peer == peer).order_by(Outgoing.id).limit(1)).first()
        if row is None:
            return False
        document = REQUESTS[row.kind].parse(row.content)
        try:
            self._transport.send(peer, document)
        except (PartyLost, Unavailable):
            raise
        except LingquError as error:
            LOG.warning("%s does not accept a %s: %s", peer, row.kind, error)
            self.on_refused(peer, document, error)
        with self._core.store.write() as session:
            session.execute(delete(Outgoing).where(Outgoing.id == row.id))
        return True


class _Lane(threading.Thread):
    def __init__(self, peer: str, send_next: Callable[[str], bool], changed: threading.Condition) -> None:
        super().__init__(name=f"outbox-{peer}", daemon=True)
        self._peer = peer
        self._send_next = send_next
        self._changed = changed
        self._woken = threading.Event()
        self._closing = threading.Event()
        self.busy = False  # something may wait and the peer is not known to be away

    def wake(self) -> None:
        with self._changed:
            self.busy = True
            self._woken.set()

    def close(self) -> None:
        self._closing.set()
        self._woken.set()
        if self.is_alive():
            self.join(2.0)

    def run(self) -> None:
        pause: float | None = None
        failures = 0
        while not self._closing.is_set():
            self._woken.wait(pause)
            self._woken.clear()
            pause = None
            try:
                while not self._closing.is_set() and self._send_next(self._peer):
                    failures = 0
            except LingquError as error:
                pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**failures)
                failures += 1
                LOG.info("%s waits for messages: %s", self._peer, error.cause)
            with self._changed:
                self.busy = self._woken.is_set()
                self._changed.notify_all()
