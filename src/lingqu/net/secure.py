"""One TLS connection over a socket, with the records kept in memory so that one system call moves many of them.

Python's SSLSocket makes two system calls for each 16 KiB record it reads and one for each it writes; an SSLObject over
memory buffers lets the socket move 256 KiB at a time, which measures about 1.6 times the throughput.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time

from lingqu.kinds.channel import Buffer

_CHUNK = 256 << 10


class TlsStream:
    """A TLS connection; after the handshake one thread writes or one thread reads, never both.

    heard: when bytes last came, `time.monotonic()`.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, server_side: bool) -> None:
        self.heard = time.monotonic()
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

    def write(self, data: Buffer) -> None:
        """Send all the bytes."""
        view = memoryview(data)
        for start in range(0, len(view), _CHUNK):
            self.tls.write(view[start : start + _CHUNK])
            self._flush()

    def read_some(self, view: memoryview) -> int:
        """Fill some of the view; the number of bytes, 0 when the stream has ended."""
        while True:
            try:
                return int(self.tls.read(len(view), view))
            except ssl.SSLWantReadError:
                if not self._fetch():
                    return 0

    def read(self, view: memoryview) -> None:
        """Fill the whole view; EOFError when the stream ends before."""
        position, size = 0, len(view)
        while position < size:
            position += (count := self.read_some(view[position:]))
            if count == 0:
                raise EOFError

    def writable(self) -> bool:
        """Whether a small write would not block."""
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLOUT)
        return any(event & select.POLLOUT for _, event in poll.poll(0))

    def sever(self, how: int = socket.SHUT_RDWR) -> None:
        """End the connection and wake a thread that is blocked in it; safe from any thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(how)

    def close(self) -> None:
        """Give the socket back; nobody may be blocked in it."""
        self._socket.close()

    def _fetch(self) -> int:
        count = self._socket.recv_into(self._received)
        self._incoming.write(self._received[:count])
        self.heard = time.monotonic()
        return count

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._socket.sendall(data)
