"""Who this node is: its home, key, certificate and store, and what it signs and verifies with them."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from lingqu.identity import Certificate, NodeKey, Pinned, TrustStore
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import Refused, Tampered
from lingqu.kinds.parties import Party, PartyName
from lingqu.node.config import Config, Home
from lingqu.node.messages import EVIDENCE, kind_of
from lingqu.node.store import Store
from lingqu.node.store.models import Peer
from lingqu.wire import jws


@dataclass
class Core:
    """One node's identity and memory, shared by its parts."""

    home: Home
    config: Config
    store: Store
    key: NodeKey
    certificate: Certificate
    trust: TrustStore
    pins: dict[str, Pinned]
    _recording: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, home: Home) -> Core:
        """Load a home directory and bring its database up to date; BadInput or Unavailable name what is wrong."""
        config = home.config()
        if config.record:
            Path(config.record).mkdir(mode=0o700, parents=True, exist_ok=True)
        store = home.store(config)
        store.migrate()
        certificate = Certificate.load(home.certificate)
        trust = TrustStore(home.peers)
        pins = {pinned.party.name: pinned for pinned in trust.all()}
        return cls(home, config, store, NodeKey.load(home.key), certificate, trust, pins)

    @property
    def name(self) -> PartyName:
        """This party's name."""
        return self.config.name

    @property
    def party(self) -> Party:
        """This party as the others know it."""
        return Party(
            name=self.config.name,
            title=self.config.title,
            key=self.key.public,
            certificate=self.certificate.fingerprint,
            address=self.config.peer.address,
        )

    def confirmed(self) -> tuple[PartyName, ...]:
        """The peers whom both managers have confirmed, by name."""
        with self.store.read() as session:
            rows = session.scalars(select(Peer).where(Peer.here, Peer.there).order_by(Peer.name))
            return tuple(row.name for row in rows if row.name in self.pins)

    def known_party(self, name: str) -> Party | None:
        """This party, or a confirmed peer."""
        if name == self.name:
            return self.party
        return self.pins[name].party if name in self.confirmed() else None

    def key_of(self, name: str) -> str | None:
        """The public key of this party or of a confirmed peer."""
        party = self.known_party(name)
        return party.key if party else None

    def sign(self, document: Document, to: str | None = None) -> str:
        """A token over a document; `to` names the one recipient of a message, None makes evidence for everyone."""
        return jws.sign(document, self.key, issuer=self.name, kind=kind_of(document), to=to)

    def evidence(self, token: str, kind: type[Document], issuer: str | None = None) -> jws.Signed:
        """Verify a piece of evidence; Tampered when its signature, kind or issuer is not as it should be."""
        signed = jws.open_signed(token, {kind_name: k for kind_name, k in EVIDENCE.items() if k is kind}, self.key_of)
        if signed.audience is not None or (issuer is not None and signed.issuer != issuer):
            raise Tampered(
                f"A signed {signed.kind} comes from {signed.issuer}, not from {issuer}.",
                "Ask the sender's manager to check their node.",
                party=signed.issuer,
            )
        return signed

    def record(self, direction: str, peer: str, token: str) -> None:
        """Append a control message to the recording that a test asked for."""
        if self.config.record:
            line = json.dumps({"direction": direction, "peer": peer, "token": token})
            path = Path(self.config.record) / f"{self.name}.control.jsonl"
            with self._recording, open(path, "a", encoding="utf-8", opener=_private) as file:
                file.write(line + "\n")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def require_parties(core: Core, parties: Iterable[Party]) -> None:
    """Refused unless every party is this one or a confirmed peer, with exactly the key and certificate pinned here."""
    for party in parties:
        known = core.known_party(party.name)
        if known is None or (known.key, known.certificate) != (party.key, party.certificate):
            raise Refused(
                f"{party.name} is no confirmed peer of {core.name}, or has another key there.",
                f"Pair {core.name} with {party.name} first.",
                term="parties",
                party=party.name,
            )
