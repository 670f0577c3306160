"""Setting up a session: mutual TLS 1.3 between every two parties, with exactly the pinned certificates.

Party i dials every j < i, twice: one connection for each direction.  A connection is admitted when its certificate is
pinned for a party, and the greeting in it names that party, this session and the same list of parties.  Anything else
is closed without an answer, and never delays the right peers: connections that are not yet admitted share one thread
that never blocks, and have five seconds each.
"""

from __future__ import annotations

import hashlib
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from lingqu.identity import Certificate, check_peer, client_context, peer_fingerprint, server_context
from lingqu.kinds.documents import canonical
from lingqu.kinds.errors import BadInput, LingquError, PartyLost, ProtocolViolation, Tampered, Unavailable
from lingqu.net.secure import TlsStream, read_exactly
from lingqu.net.stream import Half, Limits, StreamChannel
from lingqu.wire.frames import HEADER, SESSION_BYTES, BadTag, Control, ForeignSession, FrameDecoder, FrameEncoder

OUTWARD, INWARD = 0, 1  # the dialler writes, or the dialler reads
_GREETING = HEADER.size + 33
_HALF_OPEN = 64
_ADMISSION = 5.0
_RETRY = 0.05


def listen(host: str, port: int = 0, *, key: Path, certificate: Path) -> Listener:
    """Listen for the peers of one session.

    port: 0 takes a free one.  key, certificate: this party's PEM files.  Raises Unavailable when the port is in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"Port {port} of {host} cannot be listened on: {error.strerror}.",
            "Stop the program that uses it, or configure another port or port range.",
        ) from None
    listener.setblocking(False)
    return Listener(listener, key, certificate)


def split_address(address: str) -> tuple[str, int]:
    """host:port or [host]:port as a pair; BadInput when it is neither."""
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise BadInput(f"{address!r} is no host:port.", "Write it as bureau.example:7443.")
    return host, int(port)


@dataclass(frozen=True)
class Roster:
    """Who takes part in a session: what both ends of a greeting must agree on."""

    session: bytes
    party: int
    names: tuple[str, ...]
    pinned: tuple[Certificate, ...]

    def __post_init__(self) -> None:
        if len(self.session) != SESSION_BYTES:
            raise BadInput(f"A session's name of {len(self.session)} bytes is not 16 bytes.", "Use 16 random bytes.")
        prints = {certificate.fingerprint for certificate in self.pinned}
        if not 2 <= len(set(self.names)) == len(self.names) == len(prints) == len(self.pinned) <= 255:
            raise BadInput("A session needs 2 to 255 parties, each with its own name and certificate.", "Correct it.")
        if not 0 <= self.party < len(self.names):
            raise BadInput(f"There is no party {self.party} among {len(self.names)}.", "Correct the index.")

    def digest(self) -> bytes:
        """32 bytes that bind the session to its parties, their order and their certificates."""
        return hashlib.sha256(
            canonical([self.session.hex(), *self.names, *(each.fingerprint for each in self.pinned)])
        ).digest()

    def half(self, connection: TlsStream, peer: int) -> Half:
        """A connection's frame counters, from this party's side."""
        return Half(
            connection,
            FrameEncoder(self.session, self.party, peer),
            FrameDecoder(self.session, peer, self.party, name=self.names[peer]),
        )


class Listener:
    """A bound port that waits for the peers of one session; `listen` makes it."""

    def __init__(self, listener: socket.socket, key: Path, certificate: Path) -> None:
        self._socket = listener
        self._key = key
        self._certificate = certificate

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def address(self) -> str:
        """host:port as bound."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """Stop listening; safe to call twice."""
        self._socket.close()

    def mesh(
        self,
        session: bytes,
        party: int,
        names: Sequence[str],
        endpoints: Sequence[str],
        pinned: Sequence[Certificate],
        timeout: float = 30.0,
        limits: Limits | None = None,
    ) -> StreamChannel:
        """Connect this party with every other one, then stop listening.

        session: 16 bytes, the same everywhere.  party: own index.  names, endpoints, pinned: of all parties in order;
        the own endpoint and those of later parties are not dialled.  timeout: for the whole set-up, seconds.
        Raises PartyLost naming the parties that did not come, Tampered when an endpoint shows another certificate.
        """
        roster = Roster(session, party, tuple(names), tuple(pinned))
        if len(endpoints) != len(roster.names):
            raise BadInput(f"{len(endpoints)} endpoints for {len(roster.names)} parties.", "Give one for each.")
        if Certificate.load(self._certificate).fingerprint != roster.pinned[party].fingerprint:
            raise BadInput("The session pins another certificate for this node than it has.", "Pair the nodes again.")
        deadline = time.monotonic() + timeout
        others = [certificate for index, certificate in enumerate(roster.pinned) if index != party]
        reception = Reception(self._socket, server_context(self._key, self._certificate, others), roster, deadline)
        dialler = Dialler(client_context(self._key, self._certificate, others), roster, deadline)
        thread = threading.Thread(target=reception.run, name="reception", daemon=True)
        thread.start()
        halves: dict[tuple[int, int], Half] = {}
        try:
            for peer in range(party):
                for direction in (OUTWARD, INWARD):
                    halves[peer, direction] = dialler.dial(peer, endpoints[peer], direction)
            halves |= reception.wait(deadline)
        except BaseException:
            for half in halves.values():
                half.connection.close()
            reception.stop.set()
            thread.join()
            reception.discard()
            raise
        finally:
            reception.stop.set()
            thread.join()
            self.close()
        pairs = {peer: (halves[peer, OUTWARD], halves[peer, INWARD]) for peer, _ in halves}
        return StreamChannel(party, roster.names, pairs, limits or Limits())


@dataclass
class Dialler:
    """The side that opens connections."""

    context: ssl.SSLContext
    roster: Roster
    deadline: float

    def dial(self, peer: int, address: str, direction: int) -> Half:
        """One admitted connection; tries again until the deadline, for the peer may not be up yet."""
        host, port = split_address(address)
        pause = threading.Event()
        while True:
            try:
                return self._dial(peer, host, port, direction)
            except ssl.SSLCertVerificationError:
                name = self.roster.names[peer]
                raise Tampered(
                    f"{address} does not show the certificate that is pinned for {name}.",
                    "Check the address; if that party has a new key, pair with it again.",
                    party=name,
                ) from None
            except (OSError, EOFError) as error:
                last = getattr(error, "strerror", None) or str(error) or "it closed the connection"
            if time.monotonic() + _RETRY > self.deadline:
                raise _missing([self.roster.names[peer]], f"{address}: {last}")
            pause.wait(_RETRY)

    def _dial(self, peer: int, host: str, port: int, direction: int) -> Half:
        remaining = max(self.deadline - time.monotonic(), 0.01)
        timer: threading.Timer | None = None
        raw = socket.create_connection((host, port), timeout=remaining)
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = TlsStream(raw, self.context, server_side=False)
            timer = threading.Timer(remaining, connection.sever)  # however slowly the other side drips
            timer.daemon = True
            timer.start()
            connection.handshake()
            check_peer(connection.tls, self.roster.pinned[peer].fingerprint)
            half = self.roster.half(connection, peer)
            greeting = bytes((direction,)) + self.roster.digest()
            connection.write(half.encoder.header(Control.HELLO, 0, len(greeting)) + greeting)
            head = bytearray(HEADER.size)
            read_exactly(connection, memoryview(head))
            answer = half.decoder.header(head)
            if answer.tag == Control.GOODBYE:
                name = self.roster.names[peer]
                raise ForeignSession(
                    f"{name} takes part in another session, or in this one with other parties.",
                    "Start the job again.",
                    party=name,
                )
            if answer.tag != Control.HELLO or answer.length:
                raise BadTag("The answer to a greeting is none.", "Start the job again.", party=self.roster.names[peer])
            connection.settimeout(None)
        except BaseException:
            raw.close()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return half


@dataclass
class _HalfOpen:
    """A connection that has not been admitted yet."""

    connection: TlsStream
    deadline: float
    shaken: bool = False
    data: bytearray = field(default_factory=bytearray)

    @property
    def missing(self) -> int:
        """Bytes of the greeting still to come."""
        return _GREETING - len(self.data)

    def take(self) -> None:
        """Read some of the greeting; EOFError when the stream ends."""
        part = bytearray(self.missing)
        if not (count := self.connection.read_some(memoryview(part))):
            raise EOFError
        self.data += part[:count]


class Reception:
    """The side that admits connections: one thread, non-blocking, at most 64 half-open connections of 5 s each."""

    def __init__(self, listener: socket.socket, context: ssl.SSLContext, roster: Roster, deadline: float) -> None:
        self.stop = threading.Event()
        self._listener = listener
        self._context = context
        self._roster = roster
        self._deadline = deadline
        self._digest = roster.digest()
        self._half_open: dict[int, _HalfOpen] = {}
        self._admitted: dict[tuple[int, int], Half] = {}
        later = range(roster.party + 1, len(roster.names))
        self._awaited = {(peer, direction) for peer in later for direction in (OUTWARD, INWARD)}
        self._complete = threading.Event()
        self._indices = {certificate.fingerprint: index for index, certificate in enumerate(roster.pinned)}

    def wait(self, deadline: float) -> dict[tuple[int, int], Half]:
        """The admitted connections once all have come; PartyLost naming those that have not."""
        if not self._complete.wait(max(deadline - time.monotonic(), 0.0)):
            missing = {peer for peer, _ in self._awaited - set(self._admitted)}
            raise _missing([self._roster.names[peer] for peer in sorted(missing)], "they did not connect in time")
        return self._admitted

    def discard(self) -> None:
        """Close what was admitted; the thread must have ended."""
        for half in self._admitted.values():
            half.connection.close()

    def run(self) -> None:
        """Admit connections until all have come or `stop` is set."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while self._awaited - set(self._admitted) and not self.stop.is_set():
                for key, _ in selector.select(_RETRY):
                    if key.fileobj is self._listener:
                        self._accept(selector)
                    elif key.fd in self._half_open:
                        self._advance(selector, key.fd)
                now = time.monotonic()
                for descriptor in [fd for fd, half in self._half_open.items() if half.deadline < now]:
                    self._drop(selector, descriptor)
            for descriptor in list(self._half_open):
                self._drop(selector, descriptor)
        self._complete.set()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        try:
            raw, _ = self._listener.accept()
        except OSError:
            return  # it left again before it was accepted
        try:
            raw.setblocking(False)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = TlsStream(raw, self._context, server_side=True)
        except OSError:
            raw.close()
            return
        if len(self._half_open) >= _HALF_OPEN:
            self._drop(selector, next(iter(self._half_open)))
        self._half_open[connection.fileno()] = _HalfOpen(connection, time.monotonic() + _ADMISSION)
        selector.register(connection, selectors.EVENT_READ)

    def _advance(self, selector: selectors.BaseSelector, descriptor: int) -> None:
        half_open = self._half_open[descriptor]
        try:
            if not half_open.shaken:
                half_open.connection.handshake()
                half_open.shaken = True
            while half_open.missing:
                half_open.take()
            self._admit(half_open)
        except BlockingIOError:
            return  # the rest has not come yet
        except (OSError, EOFError, LingquError, ValueError):
            self._drop(selector, descriptor)  # a stranger learns nothing, not even why
        else:
            selector.unregister(half_open.connection)
            del self._half_open[descriptor]

    def _admit(self, half_open: _HalfOpen) -> None:
        connection = half_open.connection
        peer = self._indices.get(peer_fingerprint(connection.tls) or "", -1)
        if peer <= self._roster.party:
            raise ProtocolViolation("No later party has this certificate.", "")
        half = self._roster.half(connection, peer)
        direction, digest = half_open.data[HEADER.size], bytes(half_open.data[HEADER.size + 1 :])
        if direction not in (OUTWARD, INWARD):
            raise ProtocolViolation("There is no such direction.", "")
        try:
            header = half.decoder.header(bytes(half_open.data[: HEADER.size]))
            if header.tag != Control.HELLO or header.length != 33 or digest != self._digest:
                raise ForeignSession("The greeting is for another session.", "")
        except ForeignSession:  # it is that party, so it may know that it came to the wrong session
            connection.write(half.encoder.header(Control.GOODBYE, 0, 0))
            raise
        connection.write(half.encoder.header(Control.HELLO, 0, 0))
        connection.settimeout(None)
        # the dialler's outward connection is this party's inward one
        slot = (peer, INWARD if direction == OUTWARD else OUTWARD)
        if (earlier := self._admitted.pop(slot, None)) is not None:
            earlier.connection.close()
        self._admitted[slot] = half

    def _drop(self, selector: selectors.BaseSelector, descriptor: int) -> None:
        half_open = self._half_open.pop(descriptor)
        selector.unregister(half_open.connection)
        half_open.connection.close()


def _missing(names: Sequence[str], why: str) -> PartyLost:
    return PartyLost(
        f"The session did not come about: {', '.join(names)} could not be reached ({why}).",
        "Check that the node runs and that its address and firewall let the others in.",
        party=names[0] if names else None,
    )
