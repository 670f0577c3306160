"""Pairing: invitation, join, comparison, confirmation on both sides; only then is a peer trusted for more."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable

from sqlalchemy import delete

from lingqu.identity import Certificate, Invitation, Invitations, Pinned, Side, pairing_context
from lingqu.kinds import clock
from lingqu.kinds.errors import BadInput, Refused, Tampered
from lingqu.kinds.parties import Instant, Party
from lingqu.ledger import Paired, Unpaired
from lingqu.node.core import Core
from lingqu.node.errors import Conflict, NotFound
from lingqu.node.journal import Journal
from lingqu.node.messages import PairAnswer, PairConfirm, PairHello, PairRequest
from lingqu.node.outbox import Tell
from lingqu.node.store.models import Outgoing, Peer, PeerState
from lingqu.node.transport import MESSAGE_SECONDS, exchange


class Peers:
    """The other nodes.

    pinned: called with the certificate of a peer that may connect from now on.
    confirmed: called with the name of a peer once both sides have confirmed.  removed: with that of one forgotten.
    tell: queues a message for a peer.
    """

    def __init__(self, core: Core, journal: Journal, tell: Tell) -> None:
        self._core = core
        self._journal = journal
        self._tell = tell
        self._invitations = Invitations()
        self._open: set[str] = set()
        self._lock = threading.Lock()
        self.on_pinned: Callable[[Certificate], None] = lambda certificate: None
        self.on_confirmed: Callable[[str], None] = lambda name: None
        self.on_removed: Callable[[str], None] = lambda name: None

    def all(self) -> list[tuple[Pinned, Peer]]:
        """Every peer, pending ones too, by name."""
        with self._core.store.read() as session:
            found = [(pinned, session.get(Peer, name)) for name, pinned in sorted(self._core.pins.items())]
        return [(pinned, row) for pinned, row in found if row is not None]

    def get(self, name: str) -> tuple[Pinned, Peer]:
        """One peer; NotFound for strangers."""
        for pinned, row in self.all():
            if row.name == name:
                return pinned, row
        raise NotFound(f"{name} is no peer of this node.", "Invite it or join it first.")

    def invite(self, minutes: int) -> tuple[Invitation, Instant]:
        """A code for another node's manager, and when it expires; good for one use."""
        address, fingerprint = self._core.party.address, self._core.certificate.fingerprint
        invitation, expires = self._invitations.issue(address, fingerprint, minutes=minutes)
        with self._lock:
            self._open.add(invitation.id)
        return invitation, expires

    def join(self, code: str) -> tuple[Pinned, Peer]:
        """Use another node's invitation; the peer is pending until both managers confirm.

        BadInput for a mistyped code, PartyLost when the inviter is away, Tampered when it is not who the code names.
        """
        invitation = Invitation.parse(code)
        if invitation.fingerprint == self._core.certificate.fingerprint:
            raise BadInput("This is this node's own invitation.", "Enter it at the other node.")
        me = self._core.party
        inviter = PairAnswer.parse(_post(invitation, PairHello(invitation=invitation.id)))
        if inviter.party.certificate != invitation.fingerprint:
            raise Tampered("The inviter names another certificate than the code.", "Ask for a new invitation.")
        proof = invitation.proof(Side.JOINER, inviter.party, me)
        request = PairRequest(invitation=invitation.id, party=me, certificate=self._core.certificate.pem, proof=proof)
        self._check_new(inviter.party, inviter.certificate)
        answer = PairAnswer.parse(_post(invitation, request))
        invitation.check(answer.proof, Side.INVITER, inviter.party, me)
        return self._pin(inviter.party, inviter.certificate, invitation.comparison(inviter.party, me))

    def hello(self, request: PairHello) -> PairAnswer | None:
        """Answer a joiner that knows an open invitation; None otherwise."""
        with self._lock:
            known = request.invitation in self._open
        return PairAnswer(party=self._core.party, certificate=self._core.certificate.pem, proof="") if known else None

    def redeem(self, request: PairRequest) -> PairAnswer:
        """The inviter's part: check the joiner's proof, pin its certificate, prove ourselves."""
        me = self._core.party
        with self._lock:
            self._open.discard(request.invitation)
        invitation = self._invitations.redeem(request.invitation, request.proof, me, request.party)
        self._check_new(request.party, request.certificate)
        self._pin(request.party, request.certificate, invitation.comparison(me, request.party))
        proof = invitation.proof(Side.INVITER, me, request.party)
        return PairAnswer(party=me, certificate=self._core.certificate.pem, proof=proof)

    def confirm(self, name: str, comparison: str) -> tuple[Pinned, Peer]:
        """This node's manager has compared the digits; Refused when they differ."""
        _, row = self.get(name)
        said, shown = (text.replace("-", "").replace(" ", "") for text in (comparison, row.comparison))
        if not hmac.compare_digest(said.encode(), shown.encode()):
            raise Refused(
                f"The digits differ from those that {self._core.name} shows for {name}.",
                "Remove the peer and pair again with a new invitation; somebody may have replaced the code.",
                term="comparison",
                party=name,
            )
        self._mark(name, here=True)
        return self.get(name)

    def confirmed_there(self, name: str) -> None:
        """The peer's manager has compared the digits."""
        self._mark(name, there=True)

    def remove(self, name: str) -> None:
        """Forget a peer: its certificate opens nothing here any more."""
        pinned, _ = self.get(name)
        self._core.pins.pop(name, None)
        self._core.trust.remove(name)
        with self._core.store.write() as session:
            session.execute(delete(Outgoing).where(Outgoing.peer == name))
            session.execute(delete(Peer).where(Peer.name == name))
            self._journal.append(session, Unpaired(party=name, certificate=pinned.party.certificate))
        self.on_removed(name)

    def _check_new(self, party: Party, certificate: str) -> None:
        if party.name == self._core.name:
            raise Conflict(f"Both nodes are called {party.name}.", "Set one of them up under another name.")
        known = self._core.pins.get(party.name)
        if known is not None and known.certificate.pem != Certificate.parse(certificate).pem:
            raise Conflict(
                f"{party.name} is pinned here with another certificate.", "Remove that peer first, then pair again."
            )

    def _pin(self, party: Party, certificate: str, comparison: str) -> tuple[Pinned, Peer]:
        pinned = self._core.trust.add(party, certificate)
        with self._core.store.write() as session:
            row = session.get(Peer, party.name)
            if row is None:
                row = Peer(name=party.name, comparison=comparison, here=False, there=False, created=clock.now())
                session.add(row)
            row.comparison, row.here, row.there = comparison, False, False
        self._core.pins[party.name] = pinned
        self.on_pinned(pinned.certificate)
        return pinned, row

    def _mark(self, name: str, *, here: bool = False, there: bool = False) -> None:
        with self._core.store.write() as session:
            row = session.get(Peer, name)
            if row is None:
                raise NotFound(f"{name} is no peer of this node.", "Pair again.")
            before = row.state
            row.here, row.there = row.here or here, row.there or there
            if here:  # before anything that a confirmation lets flow: the peer refuses that until it knows of this one
                self._tell(session, name, PairConfirm(confirmed=clock.now()))
            fresh = row.state is PeerState.CONFIRMED and before is not PeerState.CONFIRMED
            if fresh:
                party = self._core.pins[name].party
                self._journal.append(session, Paired(party=name, key=party.key, certificate=party.certificate))
        if fresh:
            self.on_confirmed(name)


def _post(invitation: Invitation, request: PairHello | PairRequest) -> bytes:
    status, body = exchange(
        invitation.address,
        pairing_context(),
        invitation.fingerprint,
        "/peer/pair",
        request.canonical(),
        MESSAGE_SECONDS,
        "the inviter",
    )
    if status != 200:
        raise Refused(
            f"The node at {invitation.address} does not know this invitation.",
            "It may be used up or expired, or that node was restarted: ask for a new one.",
            term="invitation",
        )
    return body
