"""A party's channel over TLS streams that are already set up: frames, back-pressure, heartbeats, orderly ends.

Each ordered pair of parties has a connection of its own, so every TLS object is written by one side and read by the
other only: OpenSSL forbids two threads in one TLS object, and this needs no lock between reading and writing.
The caller's thread writes; a thread for each peer reads; one more thread sends heartbeats and notices silence.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from lingqu.kinds.channel import Buffer
from lingqu.kinds.errors import LingquError, PartyLost, ProtocolViolation, Unavailable
from lingqu.net.mailbox import MailboxChannel, Message, closed
from lingqu.wire.frames import HEADER, MAX_FRAME, Control, ForgedSender, FrameDecoder, FrameEncoder, Header

_RECORD = 16_384 - HEADER.size  # up to here header and payload share one TLS record
_ZEROS = memoryview(bytes(MAX_FRAME))
_STUCK = 0.05  # seconds in one write after which a sender counts as held up


@dataclass(frozen=True)
class Limits:
    """Times in seconds and sizes in bytes that a channel keeps.

    heartbeat: pause after which an idle sender says that it lives.  silence: when a peer counts as lost.
    patience: how long a live peer may take to send what is due, or to read what was sent.
    backlog: unread bytes of one peer after which its sender is held up; one message may be longer than this.
    ceiling: unread bytes of one peer that are taken while this party itself is held up in a send; beyond it the
    session ends with Unavailable.  farewell: how long `close` waits for a held-up peer.
    """

    heartbeat: float = 2.0
    silence: float = 7.5
    patience: float = 600.0
    backlog: int = 64 << 20
    ceiling: int = 2 << 30
    farewell: float = 5.0


class Reason(IntEnum):
    """Why a goodbye is said; all but NORMAL name the party that caused it."""

    NORMAL = 0
    LOST = 1
    VIOLATION = 2
    OTHER = 3


class Stream(Protocol):
    """A connection that one thread writes or one thread reads: a TlsStream; a PlainStream in benchmarks.

    heard: when bytes last came, `time.monotonic()`.
    """

    heard: float

    def settimeout(self, timeout: float | None) -> None:
        """Seconds that each later call may block; None for ever."""

    def write(self, data: Buffer) -> None:
        """Send all the bytes."""

    def read(self, view: memoryview) -> None:
        """Fill the whole view; EOFError when the stream ends before."""

    def writable(self) -> bool:
        """Whether a small write would not block."""

    def sever(self, how: int = socket.SHUT_RDWR) -> None:
        """End the connection and wake a thread that is blocked in it; safe from any thread."""

    def close(self) -> None:
        """Give the socket back; nobody may be blocked in it."""


@dataclass
class Half:
    """One direction of a pair: an admitted connection with the frame counters that its greeting has begun."""

    connection: Stream
    encoder: FrameEncoder
    decoder: FrameDecoder


class _Link:
    """Everything of one peer.  `held`, `unread` and `paused` belong to `space`, the encoder and `write` to `lock`."""

    def __init__(self, name: str, outgoing: Half, incoming: Half) -> None:
        self.name = name
        self.writer = outgoing.connection
        self.encoder = outgoing.encoder
        self.reader = incoming.connection
        self.decoder = incoming.decoder
        self.lock = threading.Lock()
        self.space = threading.Condition(threading.Lock())
        self.held = 0
        self.unread = 0
        self.paused = False
        self.wrote = time.monotonic()
        self.sending_since = 0.0
        self.ended = threading.Event()

    def write(self, tag: int, round_: int, data: Buffer) -> None:
        """Write one message; the caller holds `lock`."""
        for header, part in self.encoder.frames(tag, round_, data):
            if len(part) <= _RECORD:
                self.writer.write(header + part)
            else:
                self.writer.write(header)
                self.writer.write(part)
            if self.sending_since:
                self.sending_since = time.monotonic()
        self.wrote = time.monotonic()

    def beat(self) -> None:
        """Write a heartbeat if that cannot block; a peer that has gone is the reader's business."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            if self.writer.writable():
                self.write(Control.HEARTBEAT, 0, b"")
        except OSError:
            self.wrote = time.monotonic()
        finally:
            self.lock.release()

    def goodbye(self, reason: Reason, blamed: int, timeout: float) -> None:
        """Say why this side ends, and end the outward stream; a write that is under way for `timeout` s is cut off."""
        if self.lock.acquire(timeout=timeout):
            try:
                self.writer.settimeout(timeout)
                with contextlib.suppress(OSError):  # a peer that has gone needs no goodbye
                    self.write(Control.GOODBYE, 0, bytes((reason, blamed)))
            finally:
                self.lock.release()
        self.writer.sever(socket.SHUT_WR)


class StreamChannel(MailboxChannel):
    """A channel over established connections; `Listener.mesh` makes it.  Used by one thread, closed by any."""

    def __init__(
        self, party: int, parties: Sequence[str], halves: Mapping[int, tuple[Half, Half]], limits: Limits
    ) -> None:
        super().__init__(party, parties, limits.patience)
        self._limits = limits
        self._closing = threading.Event()
        self._verdict: tuple[Reason, int] | None = None  # a peer's, to be passed on as it is
        self._close_lock = threading.Lock()
        self._links = {peer: _Link(self._parties[peer], *pair) for peer, pair in halves.items()}
        self._threads = [
            threading.Thread(target=self._read, args=(peer,), name=f"read {link.name}", daemon=True)
            for peer, link in self._links.items()
        ]
        self._threads.append(threading.Thread(target=self._watch, name="heartbeat", daemon=True))
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Say goodbye, end every thread and connection; safe to call twice and from another thread."""
        with self._close_lock:
            if self._closing.is_set():
                return
            if self._failure is None:
                for link in self._links.values():
                    link.goodbye(Reason.NORMAL, self._party, self._limits.farewell)
            self._closing.set()
        self._fail(closed())
        for link in self._links.values():
            link.reader.sever()
            link.writer.sever()
            with link.space:
                link.space.notify_all()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        for link in self._links.values():
            with link.lock:
                link.writer.close()
            link.reader.close()

    def _deliver(self, to: int, tag: int, round_: int, data: Buffer) -> None:
        link = self._links[to]
        with link.lock:
            link.sending_since = time.monotonic()
            try:
                link.write(tag, round_, data)
            except OSError:
                lost = True
            else:
                lost = False
            finally:
                link.sending_since = 0.0
        if lost:
            if self._failure is None:
                link.ended.wait(1.0)  # the reader may know why: a goodbye, or another party's loss
            self._fail(_gone(link.name, "has left the session or crashed"))
            self._check(to)

    def _taken(self, sender: int, message: Message) -> None:
        link = self._links[sender]
        with link.space:
            link.held -= len(message.data)
            link.unread -= 1
            if link.paused:
                link.space.notify_all()

    def _ended(self, error: LingquError) -> None:
        if self._closing.is_set():
            return
        reason, blamed = self._verdict or self._judge(error)
        for link in self._links.values():
            link.goodbye(reason, blamed, 0.0 if link.name == error.party else _STUCK)
            with link.space:
                link.space.notify_all()

    def _judge(self, error: LingquError) -> tuple[Reason, int]:
        """What to tell the others of a failure that this party found."""
        reason = Reason.LOST if isinstance(error, PartyLost) else Reason.OTHER
        reason = Reason.VIOLATION if isinstance(error, ProtocolViolation) else reason
        return reason, self._parties.index(error.party) if error.party in self._parties else self._party

    def _read(self, peer: int) -> None:
        link = self._links[peer]
        try:
            self._read_messages(peer, link)
        except LingquError as fault:
            self._fail(fault)
        except (OSError, EOFError):
            if not self._closing.is_set():
                self._fail(_gone(link.name, "crashed or was cut off: its connection ended without a goodbye"))
        finally:
            link.ended.set()

    def _read_messages(self, peer: int, link: _Link) -> None:
        head = bytearray(HEADER.size)
        data = bytearray()
        with memoryview(head) as head_view:
            while True:
                link.reader.read(head_view)
                header = link.decoder.header(head)
                if header.tag == Control.GOODBYE:
                    return self._hear_goodbye(peer, link, header)
                if header.control:
                    if header.tag != Control.HEARTBEAT:
                        raise ForgedSender(f"{link.name} greets twice.", "Run the job again.", party=link.name)
                    continue
                self._admit(link, header.length)
                start = len(data)
                data += _ZEROS[: header.length]
                with memoryview(data) as whole, whole[start:] as part:
                    link.reader.read(part)
                if not header.more:
                    with link.space:
                        link.unread += 1
                    self._mailboxes[peer].put(Message(header.tag, header.round, data))
                    data = bytearray()

    def _hear_goodbye(self, peer: int, link: _Link, header: Header) -> None:
        data = bytearray(header.length)
        link.reader.read(memoryview(data))
        if len(data) != 2 or data[0] not in list(Reason) or data[1] >= len(self._parties):
            raise ForgedSender(f"{link.name} says a malformed goodbye.", "Run the job again.", party=link.name)
        reason, blamed = Reason(data[0]), data[1]
        if reason is Reason.NORMAL:
            self._mailboxes[peer].fail(_gone(link.name, "has left the session"))
            return
        if self._failure is None:
            self._verdict = reason, blamed
        cause = {Reason.LOST: "it lost", Reason.VIOLATION: "of bytes that the protocol does not allow from"}
        about = "itself" if blamed == peer else self._parties[blamed]
        why = f"ended the session because {cause.get(reason, 'of an error at')} {about}"
        party = link.name if blamed == self._party else self._parties[blamed]
        self._fail(PartyLost(f"{link.name} {why}.", f"See the log of {party}, then run the job again.", party=party))

    def _admit(self, link: _Link, length: int) -> None:
        """Wait while the peer's unread bytes are at the bound, unless this party itself is held up in a send."""
        limits = self._limits
        with link.space:
            link.paused = True
            while self._over_backlog(link, length) and self._failure is None and not self._held_up():
                link.space.wait(_STUCK)
            link.paused = False
            link.reader.heard = time.monotonic()
            link.held += length
            overrun = link.unread > 0 and link.held > limits.ceiling
        if overrun:
            raise _overrun(link.name, limits.ceiling)

    def _over_backlog(self, link: _Link, length: int) -> bool:
        """Whether more would exceed the bound; the message that the caller may be waiting for is always taken."""
        return link.unread > 0 and link.held + length > self._limits.backlog

    def _held_up(self) -> bool:
        now = time.monotonic()
        return any((since := link.sending_since) and now - since > _STUCK for link in self._links.values())

    def _watch(self) -> None:
        tick = min(self._limits.heartbeat, self._limits.silence) / 4
        before = time.monotonic()
        while not self._closing.wait(tick):
            now = time.monotonic()
            stalled = now - before > tick + self._limits.heartbeat  # this process slept: its peers are not to blame
            before = now
            for link in self._links.values():
                if stalled:
                    link.reader.heard = now
                if not link.ended.is_set():
                    self._watch_link(link, now)

    def _watch_link(self, link: _Link, now: float) -> None:
        limits = self._limits
        if now - link.wrote >= limits.heartbeat:
            link.beat()
        if not link.paused and now - link.reader.heard > limits.silence:
            error = _gone(link.name, f"has been silent for {limits.silence:g} s")
        elif (since := link.sending_since) and now - since > limits.patience:
            error = _gone(link.name, f"has not read for {limits.patience:g} s")
        else:
            return
        self._fail(error)
        link.reader.sever()


def _gone(name: str, what: str) -> PartyLost:
    return PartyLost(f"{name} {what}.", f"See the log of {name}'s node, then run the job again.", party=name)


def _overrun(name: str, ceiling: int) -> Unavailable:
    return Unavailable(
        f"{name} has sent {ceiling >> 20} MiB that this party cannot receive while it is itself held up in a send.",
        "Send smaller parts and receive between them.",
        party=name,
    )
