"""A party's channel over TLS streams that are already set up: frames, back-pressure, heartbeats, orderly ends.

Each ordered pair of parties has a connection of its own, so every TLS object is written by one side and read by the
other only: OpenSSL forbids two threads in one TLS object, and this needs no lock between reading and writing.
The caller's thread writes, and reads where it waits, so a message wakes nobody but the thread that wants it; one more
thread, the keeper, reads what the caller leaves, sends heartbeats and notices silence.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Protocol

from lingqu.kinds.channel import Buffer
from lingqu.kinds.errors import LingquError, PartyLost, ProtocolViolation, Unavailable
from lingqu.net.inlet import Inlet
from lingqu.net.mailbox import MailboxChannel, Message, closed, overdue
from lingqu.wire.frames import HEADER, Control, ForgedSender, FrameDecoder, FrameEncoder, check_size, octets

_RECORD = 16_384 - HEADER.size  # up to here header and payload share one TLS record
_STUCK = 0.05  # seconds after which a thread looks again at what does not wake it
_MOMENT = 0.005  # seconds for which the keeper leaves what has come to a caller that is about
_TURN = 64  # frames of one peer that are read in a row


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
    """A connection that is only written or only read, by one thread at a time; a TlsStream, but in benchmarks."""

    def fileno(self) -> int:
        """The socket's descriptor."""

    def settimeout(self, timeout: float | None) -> None:
        """Seconds that each later call may block; None for ever."""

    def write(self, data: Buffer, wait: Callable[[], None] | None = None) -> None:
        """Send all the bytes; `wait` is called when none can be sent, and returns when some can.  None blocks."""

    def read_some(self, view: memoryview, wait: bool = True) -> int:
        """Fill some of the view; 0 when the stream has ended.  Without `wait` BlockingIOError when nothing is there."""

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
    """Everything of one peer.  The encoder and `write` belong to `lock`, the inlet to `reading`, the counts to `space`.

    held, unread: bytes and messages in the mailbox.  awaited, stuck: since when the caller waits for the peer to send,
    or to read; 0 when it does not.
    """

    def __init__(self, name: str, outgoing: Half, incoming: Half, waits: Callable[[_Link], None]) -> None:
        self.name = name
        self.writer = outgoing.connection
        self.encoder = outgoing.encoder
        self.reader = incoming.connection
        self.inlet = Inlet(incoming.connection, incoming.decoder)
        self.lock = threading.Lock()
        self.reading = threading.Lock()
        self.space = threading.Lock()
        self.held = self.unread = 0
        self.paused = self.ended = False
        self.wrote = time.monotonic()
        self.awaited = self.stuck = 0.0
        self._wait = partial(waits, self)

    def write(self, tag: int, round_: int, data: Buffer, wait: Callable[[], None] | None = None) -> None:
        """Write one message; the caller holds `lock`."""
        view = octets(data)
        if len(view) <= _RECORD:
            check_size(tag, len(view))
            self.writer.write(self.encoder.header(tag, round_, len(view)) + view, wait)
        else:
            for header, part in self.encoder.frames(tag, round_, view):
                self.writer.write(header, wait)
                self.writer.write(part, wait)
        self.wrote = time.monotonic()

    def send(self, tag: int, round_: int, data: Buffer) -> None:
        """Write one message of the caller's, who reads what comes while the peer takes no more."""
        with self.lock:
            self.write(tag, round_, data, self._wait)

    def full(self, bound: int) -> bool:
        """Whether as much is unread as the bound allows; a message is always taken, however long."""
        return self.unread > 0 and self.held + self.inlet.partial > bound

    def beat(self) -> None:
        """Write a heartbeat if that cannot block; a peer that has gone is the reader's business."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            if ready(self.writer, select.POLLOUT, 0):
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
    """A channel over established connections; `Listener.mesh` makes it.  Used by one thread, closed by any.

    Who waits in `receive` reads that peer's connection itself, and who waits in `send` reads all; a keeper's thread
    reads what nobody takes, says heartbeats and notices silence.
    """

    def __init__(
        self, party: int, parties: Sequence[str], halves: Mapping[int, tuple[Half, Half]], limits: Limits
    ) -> None:
        super().__init__(party, parties)
        self._limits = limits
        self._closing = threading.Event()
        self._verdict: tuple[Reason, int] | None = None  # a peer's, to be passed on as it is
        self._close_lock = threading.Lock()
        self._calls = 0  # the caller's sends and receives so far, by which the keeper sees whether it is about
        self._links = {peer: _Link(self._parties[peer], *pair, self._while_stuck) for peer, pair in halves.items()}
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)
        self._keeper.start()

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
        if self._keeper is not threading.current_thread():
            self._keeper.join()
        for link in self._links.values():
            with link.lock:
                link.writer.close()
            with link.reading:
                link.reader.close()

    def _deliver(self, to: int, tag: int, round_: int, data: Buffer) -> None:
        link = self._links[to]
        self._calls += 1
        try:
            link.send(tag, round_, data)
        except OSError:
            self._learn(link)
            self._fail(_gone(link.name, "has left the session or crashed"))
            self._check(to)
        finally:
            self._calls += 1

    def _take(self, sender: int) -> Message:
        link, mailbox = self._links[sender], self._mailboxes[sender]
        self._calls += 1
        try:
            if (message := mailbox.peek()) is None:
                with link.reading:
                    # it may have come while another thread was reading
                    while (message := mailbox.peek()) is None:
                        link.awaited = time.monotonic()
                        if (message := self._read(sender, link, wait=True)) is not None:
                            return message
            with link.space:
                link.held -= len(message.data)
                link.unread -= 1
            return message
        finally:
            link.awaited = 0.0
            self._calls += 1

    def _read(self, peer: int, link: _Link, wait: bool) -> Message | None:
        """The next message of a connection; who calls holds `reading`.  Its end and its faults go to the mailbox."""
        try:
            message = link.inlet.next(wait)
            if message is not None and message.tag == Control.GOODBYE:
                self._hear_goodbye(peer, link, message.data)
                return None
        except LingquError as fault:
            link.ended = True
            self._fail(fault)
        except (OSError, EOFError):
            link.ended = True
            if not self._closing.is_set():
                self._fail(_gone(link.name, "crashed or was cut off: its connection ended without a goodbye"))
        else:
            return message
        return None

    def _draw(self, peer: int, link: _Link, bound: int) -> None:
        """Put what has come, up to the bound, into the mailbox; without waiting, for bytes or for another reader."""
        if not link.reading.acquire(blocking=False):
            return
        try:
            for _ in range(_TURN):
                if link.ended or link.full(bound):
                    return
                if (message := self._read(peer, link, wait=False)) is not None:
                    with link.space:
                        link.unread += 1
                        link.held += len(message.data)
                    self._mailboxes[peer].put(message)
                elif link.inlet.dry:
                    return
        finally:
            link.reading.release()

    def _while_stuck(self, link: _Link) -> None:
        """Wait until a peer takes more; what all of them send meanwhile is taken, so that nobody waits for ever."""
        link.stuck = time.monotonic()
        try:
            while not ready(link.writer, select.POLLOUT, 0):
                for peer, other in self._links.items():
                    self._draw(peer, other, self._limits.ceiling)
                    if other.full(self._limits.ceiling):
                        self._fail(_overrun(other.name, self._limits.ceiling))
                poller = select.poll()
                poller.register(link.writer.fileno(), select.POLLOUT)
                for other in self._links.values():
                    if not other.ended:
                        poller.register(other.reader.fileno(), select.POLLIN)
                poller.poll(_STUCK * 1e3)
        finally:
            link.stuck = 0.0

    def _learn(self, link: _Link) -> None:
        """After a failed write, read why: a goodbye, or another party's loss; a second at most."""
        until = time.monotonic() + 1.0
        peer = self._parties.index(link.name)
        while self._failure is None and not link.ended and time.monotonic() < until:
            self._draw(peer, link, self._limits.ceiling)
            if not link.ended:
                ready(link.reader, select.POLLIN, _STUCK)

    def _ended(self, error: LingquError) -> None:
        if self._closing.is_set():
            return
        reason, blamed = self._verdict or self._judge(error)
        for link in self._links.values():
            link.goodbye(reason, blamed, 0.0 if link.name == error.party else _STUCK)
            link.reader.sever(socket.SHUT_RD)  # wakes the caller

    def _judge(self, error: LingquError) -> tuple[Reason, int]:
        """What to tell the others of a failure that this party found."""
        reason = Reason.LOST if isinstance(error, PartyLost) else Reason.OTHER
        reason = Reason.VIOLATION if isinstance(error, ProtocolViolation) else reason
        return reason, self._parties.index(error.party) if error.party in self._parties else self._party

    def _hear_goodbye(self, peer: int, link: _Link, data: bytearray) -> None:
        link.ended = True
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

    def _keep(self) -> None:
        """Read what the caller leaves, and watch; the keeper's thread.

        A caller that goes from message to message finds most of them itself, so what has come is left to it for a
        moment, lest both wake for each.
        """
        seen, read, tick = -1, 0.0, min(self._limits.heartbeat, self._limits.silence) / 4
        watched = time.monotonic()
        while not self._closing.is_set():
            if (now := time.monotonic()) - watched >= tick:
                self._watch(now, now - watched > tick + self._limits.heartbeat)
                watched = now
            bound = self._limits.backlog
            open_ = {peer: link for peer, link in self._links.items() if not link.ended}
            for link in open_.values():
                self._pause(link, link.full(bound))
            poller = select.poll()
            for link in open_.values():
                if not link.paused:
                    poller.register(link.reader.fileno(), select.POLLIN)
            if self._failure is not None or not open_:
                self._closing.wait(tick)
            elif not poller.poll(1e3 * (_STUCK if any(link.paused for link in open_.values()) else tick)):
                continue
            elif self._calls != seen and now - read < _STUCK:
                seen = self._calls
                self._closing.wait(_MOMENT)
            else:
                read = now
                for peer, link in open_.items():
                    self._draw(peer, link, bound)
                if any(link.awaited for link in open_.values()):  # whose bytes are the caller's
                    self._closing.wait(_MOMENT)

    def _pause(self, link: _Link, paused: bool) -> None:
        """Note whether the keeper leaves a peer's bytes where they are; its silence does not count until it goes on."""
        if link.paused and not paused:
            link.inlet.heard = time.monotonic()
        link.paused = paused

    def _watch(self, now: float, stalled: bool) -> None:
        """Heartbeats and silence.  stalled: this process slept, so its peers are not to blame."""
        for link in self._links.values():
            if stalled:
                link.inlet.heard = now
            if not link.ended and self._failure is None:
                self._watch_link(link, now)

    def _watch_link(self, link: _Link, now: float) -> None:
        limits = self._limits
        if now - link.wrote >= limits.heartbeat:
            link.beat()
        if not link.paused and now - link.inlet.heard > limits.silence:
            error = _gone(link.name, f"has been silent for {limits.silence:g} s")
        elif (since := link.stuck) and now - since > limits.patience:
            error = _gone(link.name, f"has not read for {limits.patience:g} s")
        elif (since := link.awaited) and now - since > limits.patience:
            error = overdue(link.name, limits.patience)
        else:
            return
        self._fail(error)


def ready(stream: Stream, event: int, seconds: float) -> bool:
    """Whether a stream's socket is ready for an event of `select.poll`, at once or within some seconds."""
    poller = select.poll()
    poller.register(stream.fileno(), event)
    return bool(poller.poll(seconds * 1e3))


def _gone(name: str, what: str) -> PartyLost:
    return PartyLost(f"{name} {what}.", f"See the log of {name}'s node, then run the job again.", party=name)


def _overrun(name: str, ceiling: int) -> Unavailable:
    return Unavailable(
        f"{name} has sent {ceiling >> 20} MiB that this party cannot receive while it is itself held up in a send.",
        "Send smaller parts and receive between them.",
        party=name,
    )
