"""One node, put together from its parts."""

from __future__ import annotations

import fcntl
import ssl
from pathlib import Path
from typing import IO

from lingqu.engine.supervisor import Supervisor
from lingqu.identity import Certificate, server_context
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import ProtocolViolation, Unavailable
from lingqu.node.catalogue import Catalogue
from lingqu.node.config import Home
from lingqu.node.contracts import Contracts
from lingqu.node.core import Core
from lingqu.node.jobs import Jobs
from lingqu.node.journal import Journal
from lingqu.node.messages import CheckpointNote, Cosignature, LastSeen
from lingqu.node.outbox import Outbox
from lingqu.node.peer_api import PeerApi
from lingqu.node.peers import Peers
from lingqu.node.transport import Transport
from lingqu.node.users import Users


class Node:
    """Everything of one node but its two listening ports, which `serve` adds."""

    def __init__(self, home: Home, supervisor: Supervisor | None = None) -> None:
        self._lock = _locked(home.path)
        self.core = Core.open(home)
        self.users = Users(self.core.store)
        self.journal = Journal(self.core)
        self.transport = Transport(self.core)
        self.outbox = Outbox(self.core, self.transport)
        self.peers = Peers(self.core, self.journal, self.outbox.put)
        self.catalogue = Catalogue(self.core, self.journal, self.outbox.put)
        self.contracts = Contracts(self.core, self.journal, self.catalogue, self.outbox.put)
        self.jobs = Jobs(
            self.core, self.journal, self.catalogue, self.contracts, self.transport, self.outbox.put, supervisor
        )
        self.peer_api = PeerApi(
            self.core, self.journal, self.peers, self.catalogue, self.contracts, self.jobs, self.outbox.awake
        )
        pinned = [pin.certificate for pin in self.core.pins.values()]
        self.tls = server_context(home.key, home.certificate, pinned, require_client=False)
        self.peers.on_pinned = self._admit
        self.peers.on_confirmed = self._greet
        self.peers.on_removed = self.jobs.removed
        self.outbox.on_refused = self.contracts.refused_there

    def start(self) -> None:
        """Close what a crash left open, then begin to send."""
        self.jobs.recover()
        for peer in self.core.confirmed():
            self.catalogue.publish_to(peer)  # a crash may have come between a confirmation and its greeting
        self.outbox.start()
        self.journal.start(self._ask_cosignature)
        self.journal.publish()
        self.jobs.supplies.start()

    def end(self) -> None:
        """End every job and every exchange with a peer, so that nobody waits for them any more."""
        self.jobs.end()

    def close(self) -> None:
        """End every job, stop every thread, close the store."""
        self.jobs.close()
        self.outbox.close()
        self.journal.close()
        self.core.store.close()
        self._lock.close()

    def _admit(self, certificate: Certificate) -> None:
        """New connections may show this certificate from now on; one that was removed is refused by name later."""
        try:
            self.tls.load_verify_locations(cadata=certificate.der)
        except ssl.SSLError:
            return  # it is there already

    def _greet(self, peer: str) -> None:
        self.catalogue.publish_to(peer)
        self.journal.publish()

    def _ask_cosignature(self, peer: str, note: CheckpointNote) -> Cosignature | LastSeen:
        answer: Document = self.transport.send(peer, note)
        if not isinstance(answer, Cosignature | LastSeen):
            raise ProtocolViolation(
                f"{peer} answered a checkpoint with something else.", "Ask its manager.", party=peer
            )
        return answer


def _locked(home: Path) -> IO[bytes]:
    """Hold the home for this process; Unavailable when another node runs on it."""
    try:
        file = (home / "node.lock").open("wb")
    except OSError as error:
        raise Unavailable(f"{home} cannot be used: {error.strerror}.", "Run `lingqu init` first.") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise Unavailable(f"A node runs on {home} already.", "Stop it first, or use another home.") from None
    return file
