"""What every channel does alike: queues of whole messages, the receiver's checks, rounds and byte counts."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from lingqu.kinds.channel import Buffer, Tag, Traffic
from lingqu.kinds.errors import BadInput, LingquError, PartyLost
from lingqu.wire.frames import expect


class Message(NamedTuple):
    """A whole message: its tag, its depth in the chain of messages, and its bytes."""

    tag: int
    round: int
    data: bytearray


def again(error: LingquError) -> LingquError:
    """The same error afresh, so that several threads can raise it."""
    return type(error)(error.cause, error.cure, term=error.term, party=error.party)


class Mailbox:
    """Messages of one peer in order; after a failure, what came before it and then the failure for ever."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._queue: SimpleQueue[Message | LingquError] = SimpleQueue()

    def put(self, message: Message) -> None:
        """Add a message."""
        self._queue.put(message)

    def fail(self, error: LingquError) -> None:
        """End the mailbox: takers get the error once the messages before it are taken."""
        self._queue.put(error)

    def take(self, timeout: float) -> Message:
        """The next message; PartyLost after `timeout` seconds without one."""
        try:
            return self._opened(self._queue.get(timeout=timeout))
        except Empty:
            raise overdue(self.name, timeout) from None

    def peek(self) -> Message | None:
        """The next message if it is there; after a failure as `take`.  For the one thread that takes."""
        return None if self._queue.empty() else self._opened(self._queue.get())

    def _opened(self, item: Message | LingquError) -> Message:
        if isinstance(item, LingquError):
            self._queue.put(item)
            raise again(item)
        return item


class MailboxChannel(ABC):
    """The part of a channel that is the same in memory and over TLS; used by one thread at a time."""

    def __init__(self, party: int, parties: Sequence[str]) -> None:
        self._party = party
        self._parties = tuple(parties)
        self._traffic = Traffic()
        self._mailboxes = {index: Mailbox(name) for index, name in enumerate(self._parties) if index != party}
        self._failure: LingquError | None = None
        self._failing = threading.Lock()

    @property
    def party(self) -> int:
        """This party's index."""
        return self._party

    @property
    def parties(self) -> tuple[str, ...]:
        """The parties' names in the order of their indices."""
        return self._parties

    @property
    def traffic(self) -> Traffic:
        """What has passed so far: payload bytes, messages sent, and the longest chain of messages ending here."""
        return self._traffic

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        """Send one message; the caller may reuse `data` afterwards.  Raises the session's error once it has ended."""
        if self._failure is not None or to not in self._mailboxes:
            self._check(to)
        traffic = self._traffic
        self._deliver(to, int(tag), traffic.rounds + 1, data)
        traffic.sent += len(data) if isinstance(data, bytes) else memoryview(data).nbytes
        traffic.messages += 1

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        """Receive one message of exactly `size` bytes, which becomes the caller's."""
        return self._receive(sender, size, size, tag)

    def receive_document(self, sender: int, limit: int) -> bytes:
        """Receive one DOCUMENT message of at most `limit` bytes."""
        return bytes(self._receive(sender, 0, limit, Tag.DOCUMENT))

    @abstractmethod
    def close(self) -> None:
        """End the session; safe to call twice."""

    @abstractmethod
    def _deliver(self, to: int, tag: int, round_: int, data: Buffer) -> None:
        """Hand a message to the peer."""

    @abstractmethod
    def _take(self, sender: int) -> Message:
        """Wait for a peer's next message; raises the session's error."""

    @abstractmethod
    def _ended(self, error: LingquError) -> None:
        """Called once, when the session fails."""

    def _receive(self, sender: int, least: int, most: int, tag: Tag) -> bytearray:
        mailbox = self._mailboxes.get(sender)
        if mailbox is None:
            self._check(sender)
            raise AssertionError("unreachable")
        try:
            message = self._take(sender)
            expect(mailbox.name, message.tag, len(message.data), want_tag=tag, least=least, most=most)
        except LingquError as error:
            self._fail(error)
            raise
        traffic = self._traffic
        traffic.received += len(message.data)
        traffic.rounds = max(traffic.rounds, message.round)
        return message.data

    def _check(self, peer: int) -> None:
        if self._failure is not None:
            raise again(self._failure)
        if peer not in self._mailboxes:
            raise BadInput(
                f"Party {peer} is no peer of party {self._party} among {len(self._parties)}.", "Name another party."
            )

    def _fail(self, error: LingquError) -> None:
        """End the session for every peer; only the first failure counts."""
        with self._failing:
            if self._failure is not None:
                return
            self._failure = error
        for mailbox in self._mailboxes.values():
            mailbox.fail(error)
        self._ended(error)


def overdue(name: str, seconds: float) -> PartyLost:
    """The error of a live peer that does not send what is due."""
    return PartyLost(
        f"{name} has sent nothing for {seconds:g} s though its turn had come.",
        "See that node's log for what its worker was doing, then run the job again.",
        party=name,
    )


def closed() -> LingquError:
    """The error of a channel that its own side has closed."""
    return PartyLost("This side has closed the session.", "Open a new session.")
