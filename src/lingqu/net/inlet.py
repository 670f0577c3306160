"""One peer's inward connection: bytes become messages, whoever reads them, in as few system calls as possible."""

from __future__ import annotations

import time

from lingqu.net.mailbox import Message
from lingqu.net.secure import Readable
from lingqu.wire.frames import HEADER, MAX_FRAME, Control, ForgedSender, FrameDecoder, Header

_BUFFER = 64 << 10
_ZEROS = memoryview(bytes(MAX_FRAME))


class Inlet:
    """Reads one connection; used by one thread at a time, which need not be always the same.

    heard: when bytes last came, `time.monotonic()`.  dry: whether the last read found less than it looked for.
    partial: bytes of the message that has begun.
    A small message and its header come with one read; a large one is read into its own memory.
    """

    def __init__(self, source: Readable, decoder: FrameDecoder) -> None:
        self.heard = time.monotonic()
        self.dry = True
        self._source = source
        self._decoder = decoder
        self._buffer = memoryview(bytearray(_BUFFER))
        self._start = self._end = 0  # bytes of the buffer that came and were not used yet
        self._header: Header | None = None  # of the frame whose payload is coming
        self._data = bytearray()  # of the message that has begun
        self._filled = 0

    @property
    def partial(self) -> int:
        return len(self._data)

    def next(self, wait: bool) -> Message | None:
        """The next message, or a goodbye.  Without `wait` at most a frame is read, and None says that more must come.

        Raises EOFError at the end of the stream, ProtocolViolation for what no frame may be.
        """
        self.dry = False
        if self._start == self._end and self._header is None:
            self._start = self._end = 0
        while True:
            if (header := self._header) is None and (header := self._begun(wait)) is None:
                return None
            if self._filled < len(self._data) and not self._fill(wait):
                return None
            self._header = None
            if not header.more:
                data, self._data, self._filled = self._data, bytearray(), 0
                return Message(header.tag, header.round, data)
            if not wait:
                return None

    def _begun(self, wait: bool) -> Header | None:
        """The header of the next frame but heartbeats, with room made for its payload."""
        while True:
            while (start := self._start) + HEADER.size > self._end:
                if not self._more(wait):
                    return None
            self._start = start + HEADER.size
            header = self._decoder.header(self._buffer[start : self._start])
            if header.tag == Control.HEARTBEAT:
                continue
            if header.tag == Control.HELLO:
                raise ForgedSender(
                    f"{self._decoder.name} greets twice.", "Run the job again.", party=self._decoder.name
                )
            end = self._start + header.length
            if end <= self._end and not self._data:
                self._data = bytearray(self._buffer[self._start : end])
                self._start, self._filled = end, header.length
            else:
                self._data += _ZEROS[: header.length]
            self._header = header
            return header

    def _fill(self, wait: bool) -> bool:
        """Bring the payload that is due; False when it is not all there and shall not be waited for."""
        with memoryview(self._data) as whole:
            while (due := len(whole) - self._filled) > 0:
                if count := min(self._end - self._start, due):
                    whole[self._filled : self._filled + count] = self._buffer[self._start : self._start + count]
                    self._start += count
                elif due < _BUFFER:
                    if not self._more(wait):
                        return False
                    continue
                else:
                    with whole[self._filled :] as part:
                        count = self._read(part, wait)
                    if not count:
                        return False
                self._filled += count
        return True

    def _more(self, wait: bool) -> bool:
        """More bytes for the buffer, behind those that are left."""
        if self._start:
            left = bytes(self._buffer[self._start : self._end])
            self._start, self._end = 0, len(left)
            self._buffer[: self._end] = left
        count = self._read(self._buffer[self._end :] if self._end else self._buffer, wait)
        self._end += count
        return count > 0

    def _read(self, view: memoryview, wait: bool) -> int:
        try:
            count = self._source.read_some(view, wait)
        except BlockingIOError:
            self.dry = True
            return 0
        if count == 0:
            raise EOFError
        self.heard = time.monotonic()
        return count
