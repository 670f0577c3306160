"""The TLS mesh: what it carries, what it turns away, and how it ends."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest

from lingqu.identity import Certificate, NodeKey, client_context
from lingqu.kinds.channel import Tag
from lingqu.kinds.errors import BadInput, PartyLost, Tampered, Unavailable
from lingqu.net.stream import Limits, StreamChannel
from lingqu.net.tls import Listener, listen, split_address
from lingqu.wire.frames import BadTag, Control, ForeignSession, FrameEncoder, OutOfSequence, TooLong

NAMES = ("ant", "bee", "cat")
QUICK = Limits(heartbeat=0.1, silence=1.0, patience=20.0, farewell=1.0)


@dataclass
class Site:
    """One party's files and certificate."""

    key: Path
    path: Path
    certificate: Certificate

    @classmethod
    def make(cls, directory: Path, name: str) -> Site:
        """A new key and certificate under a directory."""
        key = NodeKey.generate()
        certificate = Certificate.issue(key, name, name)
        directory.mkdir(parents=True, exist_ok=True)
        site = cls(directory / f"{name}.pem", directory / f"{name}.crt", certificate)
        key.save(site.key)
        site.path.write_text(certificate.pem)
        return site

    def listen(self) -> Listener:
        """A listener on a free port of the loopback."""
        return listen("127.0.0.1", key=self.key, certificate=self.path)


@dataclass
class World:
    """Three sites, and the channels that a test opened between them."""

    sites: list[Site]
    channels: list[StreamChannel] = field(default_factory=list)
    session: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    @property
    def pinned(self) -> list[Certificate]:
        """Everyone's certificates in order."""
        return [site.certificate for site in self.sites]

    def mesh(
        self, limits: Limits = QUICK, disturb: Callable[[list[Listener]], None] | None = None
    ) -> list[StreamChannel]:
        """Connected channels of all parties; `disturb` runs once all listen and none has dialled."""
        listeners = [site.listen() for site in self.sites]
        endpoints = [listener.address for listener in listeners]
        if disturb is not None:
            disturb(listeners)
        with ThreadPoolExecutor() as pool:
            futures = [
                pool.submit(listener.mesh, self.session, party, NAMES, endpoints, self.pinned, 20.0, limits)
                for party, listener in enumerate(listeners)
            ]
            self.channels = [future.result() for future in futures]
        return self.channels


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> list[Site]:
    """The three parties' files, made once."""
    return [Site.make(tmp_path_factory.mktemp("sites"), name) for name in NAMES]


@pytest.fixture
def world(sites: list[Site]) -> Iterator[World]:
    """Three parties; their channels are closed in the end."""
    made = World(list(sites))
    yield made
    for channel in made.channels:
        channel.close()


T = TypeVar("T")


def together(*calls: Callable[[], T]) -> list[T]:
    """Run calls at the same time; their results in order, or the first error."""
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(60) for future in [pool.submit(call) for call in calls]]


def test_messages_of_every_length_arrive_between_all_pairs(world: World) -> None:
    channels = world.mesh()
    for size in (0, 1, 16_344, 16_345, 100_000, 4 << 20, (4 << 20) + 1, 9 << 20):
        data = os.urandom(size)
        for channel in channels:
            for peer in {0, 1, 2} - {channel.party}:
                channel.send(peer, data, Tag.BITS)
        for channel in channels:
            for peer in {0, 1, 2} - {channel.party}:
                assert channel.receive(peer, size, Tag.BITS) == data
    assert {channel.traffic.rounds for channel in channels} == {8}
    assert {(channel.traffic.sent, channel.traffic.messages) for channel in channels} == {
        (channels[0].traffic.sent, 16)
    }


def test_everyone_may_send_far_more_than_the_bound_before_receiving(world: World) -> None:
    channels = world.mesh(Limits(backlog=1 << 20, heartbeat=0.2))
    size, times = 5 << 20, 4

    def flood(channel: StreamChannel) -> bool:
        peers = sorted({0, 1, 2} - {channel.party})
        for _ in range(times):
            for peer in peers:
                channel.send(peer, bytes(size))
        return all(len(channel.receive(peer, size)) == size for _ in range(times) for peer in peers)

    assert all(together(*(lambda channel=channel: flood(channel) for channel in channels)))


def test_what_cannot_be_taken_is_an_error_and_no_deadlock(world: World) -> None:
    channels = world.mesh(Limits(backlog=1 << 20, ceiling=12 << 20, heartbeat=0.2, farewell=0.5))

    def flood(channel: StreamChannel) -> bool:
        peer = (channel.party + 1) % 2
        try:
            while True:
                channel.send(peer, bytes(5 << 20))
        except Unavailable:
            return True
        except PartyLost:
            return False

    assert any(together(*(lambda channel=channel: flood(channel) for channel in channels[:2])))


def test_a_slow_reader_holds_its_sender_up_and_memory_stays_bounded(world: World) -> None:
    a, b, _ = world.mesh(Limits(backlog=4 << 20, heartbeat=0.2, silence=5.0))
    size, times = 1 << 20, 64
    sent = threading.Semaphore(0)

    def send() -> None:
        for _ in range(times):
            a.send(1, bytes(size))
            sent.release()

    tracemalloc.start()
    thread = threading.Thread(target=send)
    thread.start()
    while sent.acquire(timeout=0.5):  # until the sender has been held up for a while
        pass
    assert thread.is_alive()
    for _ in range(times):
        assert len(b.receive(0, size)) == size
    thread.join()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 24 << 20


def test_an_orderly_end_delivers_what_was_sent_and_names_who_left(world: World) -> None:
    a, b, c = world.mesh()
    a.send(1, b"last words")
    a.close()
    a.close()
    c.send(1, bytes(8))
    assert b.receive(0, 10) == b"last words"
    assert b.receive(2, 8) == bytes(8)
    with pytest.raises(PartyLost, match="ant has left") as lost:
        b.receive(0, 8)
    assert lost.value.party == "ant"
    with pytest.raises(PartyLost, match="closed"):
        a.send(1, b"")


def test_sending_to_a_party_that_left_names_it(world: World) -> None:
    a, b, _ = world.mesh()
    a.close()

    def send() -> None:
        for _ in range(1000):
            b.send(0, bytes(100_000))

    with pytest.raises(PartyLost) as lost:
        send()
    assert lost.value.party == "ant"


def test_closing_wakes_the_own_thread(world: World) -> None:
    a, _, _ = world.mesh()
    timer = threading.Timer(0.2, a.close)
    timer.start()
    with pytest.raises(PartyLost, match="closed"):
        a.receive(1, 8)
    timer.join()


def test_a_live_peer_that_does_not_send_what_is_due_is_named(world: World) -> None:
    a, b, _ = world.mesh(Limits(heartbeat=0.05, silence=5.0, patience=0.4, farewell=1.0))
    with pytest.raises(PartyLost, match=r"bee has sent nothing for 0\.4 s") as lost:
        a.receive(1, 8)
    assert lost.value.party == "bee"
    with pytest.raises(PartyLost, match="it lost"):
        b.receive(2, 8)


def test_messages_that_came_before_and_while_one_waits_keep_their_order(world: World) -> None:
    a, b, c = world.mesh()
    for i in range(200):
        a.send(1, bytes([i]))
    c.send(0, b"go")  # by when the keeper may have taken some of them
    assert a.receive(2, 2) == b"go"

    def rest() -> None:
        for i in range(200, 256):
            a.send(1, bytes([i]))

    timer = threading.Timer(0.1, rest)
    timer.start()
    assert b"".join(b.receive(0, 1) for _ in range(256)) == bytes(range(256))
    timer.join()


def test_idle_parties_stay_together_by_heartbeats(world: World) -> None:
    a, b, _ = world.mesh(Limits(heartbeat=0.05, silence=0.6))
    timer = threading.Timer(1.5, b.send, (0, bytes(8)))
    timer.start()
    assert a.receive(1, 8) == bytes(8)
    timer.join()


@pytest.mark.parametrize(("size", "tag", "fault"), [(16, Tag.BITS, BadTag), (8, Tag.ELEMENTS, TooLong)])
def test_an_unexpected_message_ends_the_session_for_all(
    world: World, size: int, tag: Tag, fault: type[Exception]
) -> None:
    a, b, c = world.mesh()
    a.send(1, bytes(16))
    with pytest.raises(fault):
        b.receive(0, size, tag)
    with pytest.raises(PartyLost) as lost:
        c.receive(0, 8)
    assert lost.value.party == "ant"
    assert "bytes that the protocol does not allow from" in lost.value.cause


def test_a_replayed_frame_on_the_wire_ends_the_session(world: World) -> None:
    a, b, _ = world.mesh()
    link = a._links[1]
    header, part = next(link.encoder.frames(Tag.ELEMENTS, 1, bytes(8)))
    link.writer.write(header + bytes(part))
    link.writer.write(header + bytes(part))
    assert b.receive(0, 8) == bytes(8)
    with pytest.raises(OutOfSequence):
        b.receive(0, 8)


# Party 2 in a process of its own: says that it is there, then waits; losing the others is expected.
CHILD = """
import contextlib, sys
from pathlib import Path
from lingqu.identity import Certificate
from lingqu.kinds.errors import PartyLost
from lingqu.net.stream import Limits
from lingqu.net.tls import listen
names = ("ant", "bee", "cat")
directory = Path(sys.argv[1])
listener = listen("127.0.0.1", key=directory / "cat.pem", certificate=directory / "cat.crt")
pinned = [Certificate.load(directory / f"{name}.crt") for name in names]
with contextlib.suppress(PartyLost):
    limits = Limits(heartbeat=0.1, silence=1.0, patience=20.0)
    channel = listener.mesh(bytes.fromhex(sys.argv[2]), 2, names, [*sys.argv[3:], ""], pinned, limits=limits)
    channel.send(0, b"up")
    channel.receive(0, 8)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_killed_or_frozen_party_is_named_by_everyone(tmp_path: Path, how: signal.Signals) -> None:
    sites = [Site.make(tmp_path, name) for name in NAMES]
    listeners = [site.listen() for site in sites[:2]]
    endpoints = [*(listener.address for listener in listeners), ""]
    session, pinned = secrets.token_bytes(16), [site.certificate for site in sites]
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), session.hex(), *endpoints[:2]])
    try:
        a, b = together(
            lambda: listeners[0].mesh(session, 0, NAMES, endpoints, pinned, 30, QUICK),
            lambda: listeners[1].mesh(session, 1, NAMES, endpoints, pinned, 30, QUICK),
        )
        assert a.receive(2, 2) == b"up"
        process.send_signal(how)
        for channel, waits_for in ((a, 1), (b, 2)):  # also a party that waits for another one
            with pytest.raises(PartyLost) as lost:
                channel.receive(waits_for, 8)
            assert lost.value.party == "cat"
        a.close()
        b.close()
    finally:
        process.kill()
        process.wait()


def refused(context: ssl.SSLContext, address: str, greeting: bytes) -> bytes:
    """What a dialler gets for a greeting: nothing, and the end of the connection."""
    with socket.create_connection(split_address(address), timeout=10) as raw:
        try:
            with context.wrap_socket(raw) as connection:
                connection.sendall(greeting)
                return connection.recv(100)
        except OSError:
            return b""


def greet(session: bytes, sender: int, direction: int = 0) -> bytes:
    """A greeting with a wrong list of parties."""
    return FrameEncoder(session, sender, 0).header(Control.HELLO, 0, 33) + bytes((direction,)) + bytes(32)


def test_strangers_get_nothing_and_do_not_disturb_the_right_peers(world: World, tmp_path: Path) -> None:
    stranger = Site.make(tmp_path, "dog")
    results: list[bytes] = []
    threads: list[threading.Thread] = []
    open_connections: list[socket.socket] = []

    def dial(context: ssl.SSLContext, address: str, greeting: bytes) -> None:
        threads.append(threading.Thread(target=lambda: results.append(refused(context, address, greeting))))

    def disturb(listeners: list[Listener]) -> None:
        address = listeners[0].address
        half_open = (socket.create_connection(split_address(address)) for _ in range(70))  # more than are kept
        open_connections.extend(half_open)
        open_connections[-1].sendall(b"\x16\x03\x01")  # the beginning of a TLS record, and then nothing
        garbage = socket.create_connection(split_address(address))
        garbage.sendall(b"GET / HTTP/1.1\r\n\r\n" + os.urandom(5000))
        open_connections.append(garbage)
        pinned, session = world.pinned, world.session
        unknown = client_context(stranger.key, stranger.path, pinned)
        anonymous = client_context(None, None, pinned)
        old = client_context(world.sites[1].key, world.sites[1].path, pinned)
        old.minimum_version = ssl.TLSVersion.TLSv1_2
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        own = client_context(world.sites[0].key, world.sites[0].path, pinned)
        for context, sender in ((unknown, 1), (anonymous, 1), (old, 1), (own, 1)):
            dial(context, address, greet(session, sender))
        wrong = client_context(world.sites[2].key, world.sites[2].path, pinned)
        dial(wrong, address, greet(session, 1))  # the certificate of one party, the name of another
        dial(wrong, address, os.urandom(73))
        for thread in threads:
            thread.start()

    a, b, _ = world.mesh(disturb=disturb)
    a.send(1, b"hello")
    assert b.receive(0, 5) == b"hello"
    for thread in threads:
        thread.join(20)
    for connection in open_connections:
        connection.close()
    assert results == [b""] * len(threads)


def test_the_right_party_of_another_session_is_told_so(sites: list[Site]) -> None:
    listeners = [site.listen() for site in sites[:2]]
    endpoints, pinned = [listener.address for listener in listeners], [site.certificate for site in sites[:2]]

    def zero() -> str:
        with pytest.raises(PartyLost) as lost:
            listeners[0].mesh(bytes(16), 0, NAMES[:2], endpoints, pinned, 2.0)
        return str(lost.value.party)

    def one() -> str:
        with pytest.raises(ForeignSession) as foreign:
            listeners[1].mesh(bytes(15) + b"1", 1, NAMES[:2], endpoints, pinned, 2.0)
        return str(foreign.value.party)

    assert together(zero, one) == ["bee", "ant"]


def test_a_server_with_another_certificate_is_refused(sites: list[Site], tmp_path: Path) -> None:
    impostor = Site.make(tmp_path, "ant")
    listeners = [impostor.listen(), sites[1].listen()]
    endpoints = [listener.address for listener in listeners]
    own = [impostor.certificate, sites[1].certificate]
    right = [site.certificate for site in sites[:2]]

    def zero() -> None:
        with pytest.raises(PartyLost):
            listeners[0].mesh(bytes(16), 0, NAMES[:2], endpoints, own, 1.5)

    def one() -> None:
        with pytest.raises(Tampered) as tampered:
            listeners[1].mesh(bytes(16), 1, NAMES[:2], endpoints, right, 5.0)
        assert tampered.value.party == "ant"

    together(zero, one)


def test_a_party_that_never_comes_is_named(sites: list[Site]) -> None:
    pinned = [site.certificate for site in sites]
    with pytest.raises(PartyLost) as lost:
        sites[0].listen().mesh(bytes(16), 0, NAMES, ["127.0.0.1:1"] * 3, pinned, 0.3)
    assert "bee, cat" in lost.value.cause
    with pytest.raises(PartyLost) as lost:
        sites[1].listen().mesh(bytes(16), 1, NAMES, ["127.0.0.1:1"] * 3, pinned, 0.3)
    assert lost.value.party == "ant"


def test_set_up_mistakes_are_named(sites: list[Site]) -> None:
    pinned = [site.certificate for site in sites]
    with sites[0].listen() as listener:
        port = split_address(listener.address)[1]
        with pytest.raises(Unavailable, match=f"Port {port}"):
            listen("127.0.0.1", port, key=sites[0].key, certificate=sites[0].path)
        with pytest.raises(BadInput, match="16 bytes"):
            listener.mesh(b"", 0, NAMES, [""] * 3, pinned)
        with pytest.raises(BadInput, match="own name"):
            listener.mesh(bytes(16), 0, NAMES, [""] * 3, pinned[:2])
        with pytest.raises(BadInput, match="no party 3"):
            listener.mesh(bytes(16), 3, NAMES, [""] * 3, pinned)
        with pytest.raises(BadInput, match="endpoints"):
            listener.mesh(bytes(16), 0, NAMES, [""], pinned)
        with pytest.raises(BadInput, match="another certificate"):
            listener.mesh(bytes(16), 1, NAMES, [""] * 3, pinned)
    for address in ("", "host", "host:", "host:70000", ":1", "host:-1"):
        with pytest.raises(BadInput):
            split_address(address)
    assert split_address("[::1]:7443") == ("::1", 7443)
