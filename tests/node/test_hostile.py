"""Peers that hang, leave, meddle or come late, and what a stranger finds on the disk or in the log."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from tests.node.cluster import BIG, CIVIL, HUMAN, Bureau, Trio, make_home, refusal

from lingqu.identity import pairing_context
from lingqu.kinds import clock
from lingqu.kinds.errors import BadInput, LingquError, PartyLost, Refused
from lingqu.kinds.parties import Role
from lingqu.kinds.receipts import Outcome, Receipt
from lingqu.node import messages as m
from lingqu.node.core import Core
from lingqu.node.node import Node
from lingqu.node.store import Store
from lingqu.node.store.models import Result, Witnessed
from lingqu.node.transport import Exchanges, Transport, exchange
from lingqu.plan.plan import Plan


def pair(inviter: Bureau, joiner: Bureau) -> None:
    """Both sides confirm, the inviter last."""
    code = inviter.call("manager", "POST", "/v1/invitations", {})["code"]
    digits = {"comparison": joiner.call("manager", "POST", "/v1/peers", {"code": code})["comparison"]}
    joiner.call("manager", "POST", f"/v1/peers/{inviter.name}/confirm", digits)
    inviter.call("manager", "POST", f"/v1/peers/{joiner.name}/confirm", digits)


@contextmanager
def hanging(node: Bureau) -> Iterator[None]:
    """A node whose machine has stopped without closing a connection."""
    assert node.process is not None
    stopped = [node.process.pid, *node.workers()]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def reserved(trio: Trio, contract: str) -> dict[str, int]:
    return {
        name: node.call("owner", "GET", f"/v1/contracts/{contract}")["reserved"] for name, node in trio.nodes.items()
    }


def test_tables_registered_before_the_pairing_can_be_agreed_on(tmp_path: Path) -> None:
    nodes = Trio(tmp_path)
    try:
        nodes.start()
        nodes.register()
        nodes.pair()
        contract = nodes.agree()
        assert nodes.big.call("analyst", "GET", f"/v1/contracts/{contract}")["state"] == "in-force"
    finally:
        nodes.close()


def test_an_approval_arrives_where_the_proposal_has_not(trio: Trio) -> None:
    trio.human.stop()
    contract = trio.propose()
    trio.civil.call("owner", "POST", f"/v1/contracts/{contract}/approve", {})
    trio.big.stop()
    trio.human.start()  # it hears of the contract from civil affairs alone
    pause = threading.Event()
    known: set[str] = set()
    for _ in range(200):
        views = trio.human.call("owner", "GET", "/v1/contracts")["contracts"]
        known = {name for view in views if view["id"] == contract for name in view["approvals"]}
        if known == {BIG, CIVIL}:
            break
        pause.wait(0.1)
    trio.big.start()
    assert known == {BIG, CIVIL}
    trio.human.call("owner", "POST", f"/v1/contracts/{contract}/approve", {})
    assert trio.human.call("owner", "GET", f"/v1/contracts/{contract}")["state"] == "in-force"


def test_a_peer_that_hangs_while_it_is_asked_ends_the_job_at_the_others(trio: Trio) -> None:
    contract = trio.agree(uses=3)
    with hanging(trio.human):
        job = trio.run(contract)
        for node in (trio.big, trio.civil):
            view = trio.ended(job, node, within=25)
            assert (view["state"], view["error"]["party"]) == ("failed", HUMAN)
    for _ in range(100):
        if not any(reserved(trio, contract).values()):
            break
        threading.Event().wait(0.1)
    assert reserved(trio, contract) == {CIVIL: 0, HUMAN: 0, BIG: 0}
    again = trio.run(contract)
    assert trio.ended(again)["state"] == "done"


def test_a_peer_that_hangs_while_it_runs_ends_the_job_at_the_others(trio: Trio) -> None:
    contract = trio.agree(uses=3)
    job = trio.run(contract)
    pause = threading.Event()
    for _ in range(200):
        if trio.big.call("analyst", "GET", f"/v1/jobs/{job}")["state"] != "admitting":
            break
        pause.wait(0.02)
    with hanging(trio.civil):
        ends = [trio.ended(job, node, within=25) for node in (trio.big, trio.human)]
    assert {view["state"] for view in ends} <= {"done", "failed"}
    assert {view["error"]["party"] for view in ends if view["error"]} <= {CIVIL}


def test_a_node_stops_at_once_while_a_peer_hangs(trio: Trio) -> None:
    contract = trio.agree()
    assert trio.big.process is not None
    with hanging(trio.human):
        trio.run(contract)
        threading.Event().wait(0.5)  # the offer is under way
        trio.big.process.send_signal(signal.SIGTERM)
        try:
            trio.big.process.wait(15)  # it takes about two seconds; without an end of its own, forty
        finally:
            trio.big.kill()
    trio.big.start()


def test_a_party_that_was_removed_takes_part_in_nothing(trio: Trio) -> None:
    contract = trio.agree()
    trio.civil.call("manager", "DELETE", f"/v1/peers/{HUMAN}")
    trio.human.call("manager", "DELETE", f"/v1/peers/{CIVIL}")
    try:
        view = trio.ended(trio.run(contract))
        assert (view["state"], view["error"]["term"]) == ("refused", "parties")
        assert reserved(trio, contract) == {CIVIL: 0, HUMAN: 0, BIG: 0}
    finally:
        pair(trio.civil, trio.human)
    assert trio.ended(trio.run(contract))["state"] == "done"


def test_receipts_and_health_are_for_parties_of_the_contract(trio: Trio, tmp_path: Path) -> None:
    outsider = Bureau(tmp_path, "outsider")
    outsider.start()
    core = Core.open(outsider.home)
    try:
        pair(trio.civil, outsider)
        job = trio.run(trio.agree())
        view = trio.ended(job)
        assert view["state"] == "done"
        core = Core.open(outsider.home)
        at = clock.now()
        offer = trio.big.call("analyst", "GET", f"/v1/contracts/{view['contract']}")["terms"]
        receipt = Receipt(
            job=job,
            contract=view["contract"],
            plan=offer["plan"],
            party="outsider",
            outcome=Outcome.REFUSED,
            started=at,
            ended=at,
            rounds=0,
            bytes=0,
        )
        transport = Transport(core)
        with pytest.raises(Refused) as caught:
            transport.send(CIVIL, m.ReceiptNote(token=core.sign(receipt)))
        assert caught.value.term == "parties"
        condition = transport.send(CIVIL, m.JobHealth(job=job))
        assert isinstance(condition, m.JobCondition)
        assert condition.state == "unknown"
        with pytest.raises(LingquError):
            transport.send(CIVIL, m.Decided(contract=view["contract"], token=core.sign(receipt)))
    finally:
        core.store.close()
        outsider.close()
        trio.civil.call("manager", "DELETE", "/v1/peers/outsider")


def test_two_runs_cannot_take_the_last_use(trio: Trio) -> None:
    contract = trio.agree(uses=1)
    outcomes: list[str] = []

    def ask() -> None:
        try:
            outcomes.append(trio.ended(trio.run(contract))["state"])
        except LingquError as error:
            outcomes.append(str(error.term))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "uses", "uses"]


def test_an_approval_that_is_given_twice_at_once_is_one(trio: Trio) -> None:
    contract = trio.propose()
    said: list[str] = []

    def approve() -> None:
        try:
            trio.civil.call("owner", "POST", f"/v1/contracts/{contract}/approve", {})
            said.append("yes")
        except LingquError as error:
            said.append(error.code)

    threads = [threading.Thread(target=approve) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["conflict", "conflict", "yes"]


def test_managers_make_no_owners(trio: Trio) -> None:
    wanted = {"name": "usurper", "role": "owner", "password": "a long password"}
    assert refusal(trio.civil, "manager", "POST", "/v1/users", wanted).term == "role"
    assert trio.civil.call("owner", "POST", "/v1/users", wanted)["role"] == "owner"


def test_a_recording_node_says_so_loudly(trio: Trio) -> None:
    assert "RECORDING" in trio.big.home.log.read_text()
    assert trio.big.process is not None


def test_homes_and_databases_are_for_their_user_alone(tmp_path: Path) -> None:
    place = tmp_path / "our-node"
    place.mkdir(mode=0o755)
    place.chmod(0o755)
    home = make_home(tmp_path, "our-node", (Role.OWNER,))
    node = Node(home)
    node.start()
    node.close()
    assert place.stat().st_mode & 0o077 == 0
    for path in place.rglob("*"):
        private = path.is_dir() or path.name in ("node.crt", "node.lock")
        assert private or path.stat().st_mode & 0o077 == 0, path


def test_no_error_of_the_database_shows_what_is_stored(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'a.db'}")
    store.migrate()
    with pytest.raises(IntegrityError) as caught, store.write() as session:
        session.add(Result(job="none", document="s3cret rows", digest="d", at=clock.now()))
    assert "s3cret" not in str(caught.value)
    store.close()
    for url in ("postgresql://u:s3cret@host:port/db", "s3cret", "postgresql+nosuch://u:s3cret@h/d"):
        with pytest.raises(BadInput) as refused:
            Store(url)
        assert "s3cret" not in str(refused.value)


def test_what_is_decided_is_queued_or_neither(tmp_path: Path) -> None:
    home = make_home(tmp_path, "our-node", ())
    node = Node(home)
    try:
        with suppress(OSError), node.core.store.write() as session:
            session.add(Witnessed(party="peer-node", size=1))
            node.outbox.put(session, "peer-node", m.PairConfirm(confirmed=clock.now()))
            raise OSError("the disk is full")
        with node.core.store.read() as session:
            assert session.scalars(select(Witnessed)).all() == []
        assert not node.outbox._send_next("peer-node")
    finally:
        node.close()


def test_an_exchange_ends_at_its_deadline_however_slowly_bytes_come() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            while not stop.wait(0.1):
                try:
                    connection.send(b"\x16")
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    try:
        with pytest.raises(PartyLost):
            exchange(address, pairing_context(), "sha256:" + "0" * 64, "/", b"", 1.0, "peer")
    finally:
        stop.set()
        thread.join()
        listener.close()


def test_exchanges_end_by_what_they_are_about_and_all_at_the_end() -> None:
    exchanges = Exchanges()
    ours, theirs = socket.socketpair()
    with ours, theirs, exchanges.during(ours, 60, "job"):
        exchanges.break_off("another job")
        theirs.send(b"x")
        assert ours.recv(1) == b"x"
        exchanges.break_off("job")
        assert ours.recv(1) == b""
    exchanges.close()
    ours, theirs = socket.socketpair()
    with ours, theirs, exchanges.during(ours, 60, None):
        assert ours.recv(1) == b""


def test_a_stranger_sends_no_more_than_a_pairing_takes(trio: Trio) -> None:
    address = trio.civil.home.config().peer.address
    fingerprint = trio.civil.call("manager", "GET", "/v1/node")["fingerprint"]
    status, body = exchange(
        address, pairing_context(), fingerprint, "/peer/pair", secrets.token_bytes(70_000), 10, CIVIL
    )
    assert (status, body) == (413, b"")


def test_requests_of_people_are_bounded(trio: Trio) -> None:
    too_long = {"user": "x" * (3 << 20), "password": "x"}
    assert refusal(trio.civil, "", "POST", "/v1/login", too_long).code == "bad-input"


def test_the_plan_of_a_result_stays_with_it(trio: Trio) -> None:
    contract = trio.agree(uses=1)
    job = trio.run(contract)
    assert trio.ended(job)["state"] == "done"
    release = trio.big.call("analyst", "GET", f"/v1/jobs/{job}/result")
    trio.register()  # again: the next versions of both tables
    plan = trio.big.call("analyst", "GET", f"/v1/jobs/{job}/plan")
    assert Plan.parse(json.dumps(plan)).sha256() == release["plan"]
    made = {"name": "second", "role": "analyst", "password": "a long password"}
    trio.big.call("owner", "POST", "/v1/users", made)
    token = trio.big.call("", "POST", "/v1/login", {"user": "second", "password": "a long password"})["token"]
    (trio.big.home.tokens / "second.token").write_text(token)
    for what in ("result", "plan"):
        assert refusal(trio.big, "second", "GET", f"/v1/jobs/{job}/{what}").term == "recipients"
    owner = refusal(trio.big, "owner", "GET", f"/v1/jobs/{job}/result")
    assert owner.term == "role"


def test_what_does_not_fit_is_the_users_fault_and_not_the_nodes(trio: Trio) -> None:
    source = str(trio.root / "residents.csv")
    for name in ("../t", "", "a/b", "x" * 65):
        table = {"name": name, "title": "t", "source": source}
        assert refusal(trio.civil, "manager", "POST", "/v1/tables", table).code == "bad-input"
    contract = trio.agree()
    for purpose in ("", " ", "x" * 201):
        job = {"contract": contract, "purpose": purpose}
        assert refusal(trio.big, "analyst", "POST", "/v1/jobs", job).code == "bad-input"
