"""A channel that behaves like a slower network, for benchmarks on one machine."""

from __future__ import annotations

import struct
import threading
import time

from lingqu.kinds.channel import Buffer, Channel, Tag, Traffic
from lingqu.wire.frames import octets

_STAMP = struct.Struct("<d")


class ShapedChannel:
    """Delays each message by a latency and by its time on a link of limited bandwidth.

    latency_s: one way, seconds.  bytes_per_s: of each ordered pair of parties.
    All parties must be shaped and on one machine: each message is preceded by the moment of its arrival on the system's
    monotonic clock, and the receiver waits for that moment.  The counters leave those stamps out.
    """

    def __init__(self, channel: Channel, latency_s: float, bytes_per_s: float) -> None:
        self._channel = channel
        self._latency = latency_s
        self._rate = bytes_per_s
        self._free: dict[int, float] = {}
        self._pause = threading.Event()
        self._stamps_sent = 0
        self._stamps_received = 0

    @property
    def party(self) -> int:
        """This party's index."""
        return self._channel.party

    @property
    def parties(self) -> tuple[str, ...]:
        """The parties' names."""
        return self._channel.parties

    @property
    def traffic(self) -> Traffic:
        """What has passed, without the stamps."""
        inner = self._channel.traffic
        return Traffic(
            inner.sent - _STAMP.size * self._stamps_sent,
            inner.received - _STAMP.size * self._stamps_received,
            inner.messages - self._stamps_sent,
            inner.rounds,
        )

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        """Send; the link to that party is busy for as long as the bytes take."""
        now = time.monotonic()
        free = max(self._free.get(to, 0.0), now) + octets(data).nbytes / self._rate
        self._free[to] = free
        self._channel.send(to, _STAMP.pack(free + self._latency))
        self._stamps_sent += 1
        self._channel.send(to, data, tag)

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        """Receive, not before the message's moment of arrival."""
        arrival = self._arrival(sender)
        data = self._channel.receive(sender, size, tag)
        self._wait(arrival)
        return data

    def receive_document(self, sender: int, limit: int) -> bytes:
        """Receive, not before the message's moment of arrival."""
        arrival = self._arrival(sender)
        data = self._channel.receive_document(sender, limit)
        self._wait(arrival)
        return data

    def close(self) -> None:
        """Close the channel beneath."""
        self._pause.set()
        self._channel.close()

    def _arrival(self, sender: int) -> float:
        (arrival,) = _STAMP.unpack(self._channel.receive(sender, _STAMP.size))
        self._stamps_received += 1
        return float(arrival)

    def _wait(self, arrival: float) -> None:
        remaining = arrival - time.monotonic()
        if remaining > 0:
            self._pause.wait(remaining)
