"""Channels between threads of one process, for tests and the ideal twin."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from lingqu.kinds.channel import Buffer
from lingqu.kinds.errors import BadInput, LingquError, PartyLost
from lingqu.net.mailbox import MailboxChannel, Message, closed
from lingqu.wire.frames import SESSION_BYTES, check_size, octets


def memory_channels(names: Sequence[str], session: bytes | None = None, timeout: float = 60) -> list[MemoryChannel]:
    """One channel for each named party; each is used by a thread of its own.

    session: 16 bytes, random when None.  timeout: how long `receive` waits, seconds.
    A message is copied once; queues are unbounded, so parties may also take turns in one thread.
    Closing one party's channel gives the others PartyLost when they wait for it.
    """
    session = secrets.token_bytes(SESSION_BYTES) if session is None else session
    if len(session) != SESSION_BYTES:
        raise BadInput(f"A session's name of {len(session)} bytes is not {SESSION_BYTES} bytes.", "Use random bytes.")
    if len(set(names)) != len(names) or len(names) < 2:
        raise BadInput("A session needs at least two parties of different names.", "Name each party once.")
    channels = [MemoryChannel(party, names, timeout) for party in range(len(names))]
    for channel in channels:
        channel.peers = channels
    return channels


class MemoryChannel(MailboxChannel):
    """One party's end of a session in memory; `memory_channels` makes them."""

    def __init__(self, party: int, parties: Sequence[str], timeout: float) -> None:
        super().__init__(party, parties)
        self._timeout = timeout
        self.peers: list[MemoryChannel] = []
        self._closed = False

    def close(self) -> None:
        """End the session; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self._fail(closed())

    def _deliver(self, to: int, tag: int, round_: int, data: Buffer) -> None:
        view = octets(data)
        check_size(tag, len(view))
        self.peers[to].accept(self._party, Message(tag, round_, bytearray(view)))

    def accept(self, sender: int, message: Message) -> None:
        """Take a peer's message."""
        self._mailboxes[sender].put(message)

    def lose(self, sender: int, error: LingquError) -> None:
        """Learn that a peer has ended the session."""
        self._mailboxes[sender].fail(error)

    def _take(self, sender: int) -> Message:
        return self._mailboxes[sender].take(self._timeout)

    def _ended(self, error: LingquError) -> None:
        name = self._parties[self._party]
        gone = PartyLost(f"{name} has left the session.", f"See why {name} stopped, then run it again.", party=name)
        for peer in self.peers:
            if peer is not self:
                peer.lose(self._party, gone)
