"""Channels over plain TCP on the loopback: what a protocol costs without TLS.  For benchmarks only.

Whoever may read the loopback of this machine reads every message, so no node uses this; other addresses are refused.
A connection is admitted when it shows the session's random name.  Frames, queues and endings are those of `stream`.
"""

from __future__ import annotations

import contextlib
import hmac
import socket
import time
from collections.abc import Callable, Sequence

from lingqu.kinds.channel import Buffer
from lingqu.kinds.errors import BadInput, LingquError, PartyLost, Unavailable
from lingqu.net.secure import read_exactly, send_all
from lingqu.net.stream import Half, Limits, StreamChannel
from lingqu.wire.frames import SESSION_BYTES, FrameDecoder, FrameEncoder

LOOPBACK = "127.0.0.1"
_GREETING = SESSION_BYTES + 2
_STRANGER_SECONDS = 5.0


class PlainStream:
    """A TCP connection with the methods of a TlsStream."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection

    def settimeout(self, timeout: float | None) -> None:
        """Seconds that each later call may block; None for ever."""
        self._socket.settimeout(timeout)

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def write(self, data: Buffer, wait: Callable[[], None] | None = None) -> None:
        """Send all the bytes, as `net.secure.send_all` does."""
        send_all(self._socket, data, wait)

    def read_some(self, view: memoryview, wait: bool = True) -> int:
        """Fill some of the view; 0 when the stream has ended.  Without `wait` BlockingIOError when nothing is there."""
        return self._socket.recv_into(view, 0, 0 if wait else socket.MSG_DONTWAIT)

    def sever(self, how: int = socket.SHUT_RDWR) -> None:
        """End the connection and wake a thread that is blocked in it; safe from any thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(how)

    def close(self) -> None:
        """Give the socket back; nobody may be blocked in it."""
        self._socket.close()


class LoopbackListener:
    """A port of the loopback that waits for the other parties of one session on this machine."""

    def __init__(self) -> None:
        try:
            self._socket = socket.create_server((LOOPBACK, 0))
        except OSError as error:
            raise Unavailable(f"The loopback has no free port: {error.strerror}.", "Close some programs.") from None

    @property
    def address(self) -> str:
        """host:port as bound."""
        return f"{LOOPBACK}:{self._socket.getsockname()[1]}"

    def mesh(
        self, session: bytes, party: int, names: Sequence[str], endpoints: Sequence[str], timeout: float = 30.0
    ) -> StreamChannel:
        """Connect this party with every other one, then stop listening: as Listener.mesh, without any protection.

        session: 16 random bytes, the same everywhere and known to the parties only.  endpoints: on the loopback.
        timeout: for the whole set-up, seconds.  Raises PartyLost naming the parties that did not come.
        """
        deadline = time.monotonic() + timeout
        found: dict[tuple[int, int], PlainStream] = {}
        try:
            if any(endpoint.rpartition(":")[0] != LOOPBACK for endpoint in endpoints):
                raise BadInput("Without TLS all parties are on this machine.", f"Use {LOOPBACK}, or a mesh of TLS.")
            for peer in range(party):
                for direction in (0, 1):
                    found[peer, direction] = _dial(endpoints[peer], session + bytes((party, direction)), deadline)
            awaited = {(peer, direction) for peer in range(party + 1, len(names)) for direction in (0, 1)}
            while missing := awaited - set(found):
                stream = self._accept(deadline, names[min(missing)[0]])
                slot = _slot(stream, session)
                if slot in missing:
                    found[slot] = stream
                else:
                    stream.close()
        except (OSError, LingquError) as error:
            for stream in found.values():
                stream.close()
            if isinstance(error, LingquError):
                raise
            raise PartyLost(f"The session did not come about: {error}.", "Start it again.") from None
        finally:
            self._socket.close()

        def half(peer: int, direction: int) -> Half:
            decoder = FrameDecoder(session, peer, party, name=names[peer])
            return Half(found[peer, direction], FrameEncoder(session, party, peer), decoder)

        halves = {peer: (half(peer, 0), half(peer, 1)) for peer in range(len(names)) if peer != party}
        return StreamChannel(party, tuple(names), halves, Limits())

    def _accept(self, deadline: float, name: str) -> PlainStream:
        self._socket.settimeout(max(deadline - time.monotonic(), 0.01))
        try:
            connection, _ = self._socket.accept()
        except TimeoutError:
            cause = f"The session did not come about: {name} did not connect in time."
            raise PartyLost(cause, "Start it again.", party=name) from None
        return PlainStream(connection)


def _slot(stream: PlainStream, session: bytes) -> tuple[int, int]:
    """(peer, direction) of an accepted connection as this side sees it; (-1, 0) for a stranger."""
    greeting = bytearray(_GREETING)
    try:
        stream.settimeout(_STRANGER_SECONDS)
        read_exactly(stream, memoryview(greeting))
        stream.settimeout(None)
    except (OSError, EOFError):
        return -1, 0
    if not hmac.compare_digest(greeting[:SESSION_BYTES], session):
        return -1, 0
    peer, direction = greeting[SESSION_BYTES:]
    return peer, 1 - direction  # the dialler's outward connection is this party's inward one


def _dial(endpoint: str, greeting: bytes, deadline: float) -> PlainStream:
    """One connection to a party that listens already."""
    port = int(endpoint.rpartition(":")[2])
    connection = socket.create_connection((LOOPBACK, port), timeout=max(deadline - time.monotonic(), 0.01))
    stream = PlainStream(connection)
    try:
        stream.write(greeting)
    except OSError:
        stream.close()
        raise
    stream.settimeout(None)
    return stream
