"""What a node makes of peers' messages: pairing, signatures, audiences, replays, clocks, and whose word counts."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.node.cluster import make_home

from lingqu.identity import Certificate, Invitation, NodeKey, Pinned, Side
from lingqu.kinds import clock
from lingqu.kinds.documents import Document, digest
from lingqu.kinds.errors import LingquError, Refused
from lingqu.kinds.parties import Party
from lingqu.kinds.schema import Grade
from lingqu.ledger import verify
from lingqu.node import messages as m
from lingqu.node.errors import Conflict
from lingqu.node.node import Node
from lingqu.node.store.models import Outgoing
from lingqu.wire import jws

STRANGER = "stranger"


class Peer:
    """A peer played by the test: its key, and what it sends to a node in this process."""

    def __init__(self, node: Node, name: str = "peer-node") -> None:
        self.node, self.name = node, name
        self.key = NodeKey.generate()
        self.certificate = Certificate.issue(self.key, name, name)
        self.party = Party(
            name=name,
            title=name,
            key=self.key.public,
            certificate=self.certificate.fingerprint,
            address="127.0.0.1:1",
        )
        self.pinned = Pinned(self.party, self.certificate)

    def join(self) -> Invitation:
        """Use an invitation of the node."""
        invitation, _ = self.node.peers.invite(15)
        me = self.node.core.party
        answer = self.node.peers.redeem(self.request(invitation))
        invitation.check(answer.proof, Side.INVITER, me, self.party)
        return invitation

    def request(self, invitation: Invitation) -> m.PairRequest:
        proof = invitation.proof(Side.JOINER, self.node.core.party, self.party)
        return m.PairRequest(invitation=invitation.id, party=self.party, certificate=self.certificate.pem, proof=proof)

    def confirm(self) -> None:
        """Both sides confirm."""
        _, row = self.node.peers.get(self.name)
        self.node.peers.confirm(self.name, row.comparison)
        assert isinstance(self.send(m.PairConfirm(confirmed=clock.now())), m.Accepted)

    def token(self, document: Document, *, to: str | None = None, now: str | None = None, issuer: str = "") -> str:
        kind = m.kind_of(document)
        return jws.sign(
            document, self.key, issuer=issuer or self.name, kind=kind, to=to or self.node.core.name, now=now
        )

    def send(self, document: Document, token: str | None = None) -> Document:
        """The body of the node's answer, its envelope checked."""
        token = token or self.token(document)
        answer = jws.open_signed(
            self.node.peer_api.message(self.pinned, token), m.ANSWERS, {"our-node": self.node.core.key.public}.get
        )
        assert isinstance(answer.document, m.Answer)
        assert (answer.audience, answer.document.re) == (self.name, digest(token.encode()))
        return answer.document.body

    def problem(self, document: Document, token: str | None = None) -> LingquError:
        body = self.send(document, token)
        assert isinstance(body, m.Problem), body
        return body.error()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    opened = Node(make_home(tmp_path, "our-node", ()))
    yield opened
    opened.close()


def test_a_node_runs_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    home = make_home(tmp_path, "our-node", (), store=postgres_url)
    for _ in range(2):  # the second start finds what the first one wrote
        node = Node(home)
        peer = Peer(node, f"peer-{secrets.token_hex(3)}")
        peer.join()
        peer.confirm()
        node.journal.publish()
        assert [entry.index for entry in node.journal.entries(0)] == list(range(len(node.core.confirmed())))
        assert verify([node.journal.export()], None).ok
        node.close()
    assert len(node.core.pins) == 2


@pytest.fixture
def peer(node: Node) -> Peer:
    found = Peer(node)
    found.join()
    return found


def health() -> m.JobHealth:
    return m.JobHealth(job="0" * 32)


def test_a_pending_peer_may_only_confirm(node: Node, peer: Peer) -> None:
    assert peer.problem(health()).term == "pairing"
    assert node.core.confirmed() == ()
    with pytest.raises(Refused) as differs:
        node.peers.confirm(peer.name, "000-000x")
    assert differs.value.term == "comparison"
    peer.confirm()
    assert node.core.confirmed() == (peer.name,)
    assert isinstance(peer.send(health()), m.JobCondition)


def test_an_invitation_serves_once_and_only_who_knows_it(node: Node) -> None:
    first, second = Peer(node), Peer(node, "second-node")
    invitation = first.join()
    with pytest.raises(Refused) as used:
        node.peers.redeem(second.request(invitation))
    assert used.value.term == "invitation"
    assert node.peers.hello(m.PairHello(invitation=invitation.id)) is None
    guess = m.PairHello(invitation="0" * 32)
    assert node.peer_api._pair(guess.canonical()) is None
    assert node.peer_api._pair(b"\xff not a document") is None


def test_a_name_is_pinned_to_one_certificate(node: Node, peer: Peer) -> None:
    usurper = Peer(node, peer.name)
    invitation, _ = node.peers.invite(15)
    with pytest.raises(Conflict, match="another certificate"):
        node.peers.redeem(usurper.request(invitation))
    assert node.core.pins[peer.name].party == peer.party


def test_the_clock_is_compared_and_the_skew_named(peer: Peer) -> None:
    peer.confirm()
    for seconds in (-1000, 1000):
        shifted = clock.written(clock.read(clock.now()) + timedelta(seconds=seconds))
        error = peer.problem(health(), peer.token(health(), now=shifted))
        assert error.code == "unavailable"
        assert "NTP" in error.cure


def test_a_message_counts_once_even_after_a_restart(tmp_path: Path) -> None:
    home = make_home(tmp_path, "our-node", ())
    first = Node(home)
    peer = Peer(first)
    peer.join()
    message = m.PairConfirm(confirmed=clock.now())
    token = peer.token(message)
    assert isinstance(peer.send(message, token), m.Accepted)
    assert "second time" in peer.problem(message, token).cause
    first.close()
    peer.node = Node(home)
    assert "second time" in peer.problem(message, token).cause
    peer.node.close()


def test_forged_envelopes_are_refused(node: Node, peer: Peer) -> None:
    peer.confirm()
    other = Peer(node, peer.name)  # the same name, another key
    for token in (
        other.token(health()),
        peer.token(health(), issuer="our-node"),
        peer.token(health(), to="third-node"),
        peer.token(health())[:-3] + "AAA",
        "garbage",
    ):
        assert peer.problem(health(), token).code == "tampered"


def test_evidence_counts_only_from_its_owner(node: Node, peer: Peer, tmp_path: Path) -> None:
    peer.confirm()
    (tmp_path / "t.csv").write_text("id\n1\n2\n")
    source = str(tmp_path / "t.csv")
    own = node.catalogue.register(name="t", title="t", source=source, grade=Grade.GENERAL)
    foreign = jws.sign(own, peer.key, issuer=peer.name, kind="asset", to=None)
    assert "published a table of our-node" in peer.problem(m.AssetPublished(token=foreign)).cause
    theirs = own.model_copy(update={"owner": peer.name, "id": f"{peer.name}/t"})
    addressed = jws.sign(theirs, peer.key, issuer=peer.name, kind="asset", to="our-node")
    assert peer.problem(m.AssetPublished(token=addressed)).code == "tampered"
    for _ in range(2):  # the same again changes nothing
        token = jws.sign(theirs, peer.key, issuer=peer.name, kind="asset", to=None)
        assert isinstance(peer.send(m.AssetPublished(token=token)), m.Accepted)
    changed = jws.sign(theirs.model_copy(update={"rows": 3}), peer.key, issuer=peer.name, kind="asset", to=None)
    assert "two tables" in peer.problem(m.AssetPublished(token=changed)).cause
    assert set(node.catalogue.assets()) == {"our-node/t", f"{peer.name}/t"}


def test_a_removed_peer_is_a_stranger_again(node: Node, peer: Peer) -> None:
    peer.confirm()
    node.peers.remove(peer.name)
    assert node.core.pins == {}
    assert node.core.known_party(peer.name) is None
    assert [entry.kind for entry in node.journal.entries(0)] == ["pair", "unpair"]


@pytest.mark.parametrize("first", ["we", "they"])
def test_tables_registered_before_the_pairing_follow_the_confirmation(
    node: Node, peer: Peer, tmp_path: Path, first: str
) -> None:
    (tmp_path / "t.csv").write_text("id\n1\n2\n")
    node.catalogue.register(name="t", title="t", source=str(tmp_path / "t.csv"), grade=Grade.GENERAL)
    if first == "they":
        peer.send(m.PairConfirm(confirmed=clock.now()))
    peer.confirm()
    with node.core.store.read() as session:
        waiting = session.scalars(select(Outgoing.kind).where(Outgoing.peer == peer.name).order_by(Outgoing.id)).all()
    assert waiting[:2] == ["pair-confirm", "asset-published"]


def test_messages_and_answers_have_one_kind_each() -> None:
    kinds = [*m.REQUESTS, *m.ANSWERS, *m.EVIDENCE]
    assert len(set(kinds)) == len(kinds)
    for name, kind in {**m.REQUESTS, **m.EVIDENCE}.items():
        assert m._KINDS[kind] == name
