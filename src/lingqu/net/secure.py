"""One TLS connection over a socket, with the records kept in memory so that one system call moves many of them.

Python's SSLSocket makes two system calls for each 16 KiB record it reads and one for each it writes; an SSLObject over
memory buffers lets the socket move 256 KiB at a time, which measures about 1.6 times the throughput.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from lingqu.kinds.channel import Buffer

_CHUNK = 256 << 10


class TlsStream:
    """A TLS connection; after the handshake it is only written or only read, by one thread at a time."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, server_side: bool) -> None:
        self._socket = connection
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._received = memoryview(bytearray(_CHUNK))

    def fileno(self) -> int:
        """The socket's descriptor, for selectors."""
        return self._socket.fileno()

    def settimeout(self, timeout: float | None) -> None:
        """Seconds that each later call may block; None for ever."""
        self._socket.settimeout(timeout)

    def handshake(self) -> None:
        """Go on with the handshake; on a non-blocking socket BlockingIOError means: call again when it is readable.

        Raises ssl.SSLError when the other side's certificate or version is not accepted, after telling it so.
        """
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                if not self._fetch():
                    raise ConnectionResetError("the other side closed the connection") from None
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()
                raise
            else:
                return self._flush()

    def write(self, data: Buffer, wait: Callable[[], None] | None = None) -> None:
        """Send all the bytes, as `send_all` does."""
        if len(data) <= _CHUNK:
            self.tls.write(data)
            send_all(self._socket, self._outgoing.read(), wait)
            return
        with memoryview(data) as view:
            for start in range(0, len(view), _CHUNK):
                self.tls.write(view[start : start + _CHUNK])
                send_all(self._socket, self._outgoing.read(), wait)

    def read_some(self, view: memoryview, wait: bool = True) -> int:
        """Fill some of the view; 0 when the stream has ended.  Without `wait` BlockingIOError when nothing is there."""
        while True:
            if self._incoming.pending or self.tls.pending():
                with contextlib.suppress(ssl.SSLWantReadError):
                    return int(self.tls.read(len(view), view))
            if not self._fetch(wait):
                return 0

    def sever(self, how: int = socket.SHUT_RDWR) -> None:
        """End the connection and wake a thread that is blocked in it; safe from any thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(how)

    def close(self) -> None:
        """Give the socket back; nobody may be blocked in it."""
        self._socket.close()

    def _fetch(self, wait: bool = True) -> int:
        count = self._socket.recv_into(self._received, 0, 0 if wait else socket.MSG_DONTWAIT)
        self._incoming.write(self._received[:count])
        return count

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._socket.sendall(data)


def send_all(connection: socket.socket, data: Buffer, wait: Callable[[], None] | None) -> None:
    """Send all the bytes.  wait: called when none can be sent, and returns when some can; None blocks."""
    if wait is None:
        connection.sendall(data)
        return
    if (position := _sent(connection, data, wait)) < len(data):
        with memoryview(data) as view:
            while position < len(view):
                position += _sent(connection, view[position:], wait)


def _sent(connection: socket.socket, data: Buffer, wait: Callable[[], None]) -> int:
    """Send what the connection takes now; 0 after waiting."""
    try:
        return connection.send(data, socket.MSG_DONTWAIT)
    except BlockingIOError:
        wait()
        return 0


class Readable(Protocol):
    """A stream that is read."""

    def read_some(self, view: memoryview, wait: bool = True) -> int:
        """Fill some of the view; 0 when the stream has ended."""


def read_exactly(stream: Readable, view: memoryview) -> None:
    """Fill the whole view; EOFError when the stream ends before."""
    position, size = 0, len(view)
    while position < size:
        position += (count := stream.read_some(view[position:]))
        if count == 0:
            raise EOFError
