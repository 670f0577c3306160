"""Correlated and random transfers over a channel of two parties, in both directions, made in chunks as they are used.

The holder of delta (`Sending`) gets q, the other party (`Receiving`) bits b and t = q ^ b * delta. Both call the same
methods with the same sizes in the same order; what is taken is never handed out again. Semi-honest; the base transfers'
elements are validated. Source: Masny, Rindal (CCS 2019); Roy (CRYPTO 2022); Yang et al., Ferret (CCS 2020).
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from lingqu._core import (
    CotReceiver,
    CotRows,
    CotSender,
    ot_bytes_send,
    ot_choices,
    ot_keys_receive,
    ot_keys_send,
)
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation
from lingqu.ot.costs import (
    ANSWER_BYTES,
    FIRST_BYTES,
    POINT_BYTES,
    POINTS_BYTES,
    RESERVED,
    TREE_BYTES,
    rows_of,
    trees_of,
)

Words = npt.NDArray[np.uint64]
Bytes = npt.NDArray[np.uint8]
Span = tuple[CotRows, int, int]
"""Rows of one extension: from which on, and how many."""
T = TypeVar("T")

_CURE = "The session has ended; run the job again, and ask that party for its version of lingqu if this comes back."


def checked(channel: Channel, step: Callable[[], T]) -> T:
    """Run a step on the peer's bytes; what it refuses is the peer's ProtocolViolation."""
    try:
        return step()
    except ValueError as fault:
        name = channel.parties[1 - channel.party]
        raise ProtocolViolation(f"{name} sent {fault}.", _CURE, party=name) from None


@dataclass
class _Extent:
    """Rows of one extension, and how many of them have been taken."""

    rows: CotRows
    size: int
    taken: int = 0


class _Direction(ABC):
    """Rows of one direction in the order of their numbers, from extension after extension."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.peer = 1 - channel.party
        self.position = 0
        self._extents: list[_Extent] = []
        self._made = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(party={self.channel.party}, position={self.position})"

    @property
    def ready(self) -> int:
        """Correlations that can be taken without a message."""
        return sum(extent.size - extent.taken for extent in self._extents)

    def prepare(self, count: int) -> None:
        """Make at least `count` correlations ready; both parties call it alike.  Cost: costs.correlation_cost."""
        while self.ready < count:
            trees = trees_of(self._made, count - self.ready)
            self._extents.append(_Extent(self._extend(trees), rows_of(trees)))
            self._made += 1

    @abstractmethod
    def _extend(self, trees: int) -> CotRows:
        """Run one extension with the peer."""

    def spans(self, count: int) -> list[Span]:
        """The next `count` rows, which are then gone, as extensions and places in them: `_core` makes them of these."""
        if count < 0:
            raise BadInput(f"{count} correlations cannot be taken.", "Ask for 0 or more.")
        self.prepare(count)
        found, left = [], count
        while left:
            extent = self._extents[0]
            here = min(left, extent.size - extent.taken)
            found.append((extent.rows, RESERVED + extent.taken, here))
            extent.taken += here
            left -= here
            if extent.taken == extent.size:
                del self._extents[0]
        self.position += count
        return found

    def _rows(self, count: int) -> tuple[Words, int]:
        """The next `count` rows, (count, 2), and the number of the first."""
        first = self.position
        parts = [rows.words(start, here) for rows, start, here in self.spans(count)]
        rows = parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, np.uint64), *parts])
        return rows.reshape(count, 2), first


class Sending(_Direction):
    """The direction in which this party holds delta, (2,) words, lowest bit 1."""

    def __init__(self, channel: Channel, machine: CotSender) -> None:
        super().__init__(channel)
        self._machine = machine
        self._delta = machine.delta
        self.delta: Words = np.array(self._delta, np.uint64)

    def _extend(self, trees: int) -> CotRows:
        message, rows = self._machine.extend(trees, os.urandom(16))
        self.channel.send(self.peer, message, Tag.BLOCKS)
        return rows

    def take(self, count: int) -> tuple[Words, Words]:
        """delta (2,) and q (count, 2), lowest bits 0; the peer's `take` gets b and t = q ^ b * delta."""
        return self.delta, self._rows(count)[0]

    def keys(self, count: int, log: int = 1) -> Words:
        """Random 1-of-2**log transfers: all keys, (count, 2**log, 2).  log: 1 to 8; takes count * log correlations."""
        rows, first = self._rows(count * log)
        return ot_keys_send(rows.reshape(-1), self._delta, log, first).reshape(count, 1 << log, 2)

    def masks(self, count: int, log: int = 1) -> Bytes:
        """Random 1-of-2**log transfers of one byte: the keys' lowest bytes, (count, 2**log)."""
        rows, first = self._rows(count * log)
        return ot_bytes_send(rows.reshape(-1), self._delta, log, first).reshape(count, 1 << log)


class Receiving(_Direction):
    """The direction in which this party holds choice bits, uniform and its own secret."""

    def __init__(self, channel: Channel, machine: CotReceiver) -> None:
        super().__init__(channel)
        self._machine = machine

    def _extend(self, trees: int) -> CotRows:
        message = bytes(self.channel.receive(self.peer, TREE_BYTES * trees, Tag.BLOCKS))
        return checked(self.channel, lambda: self._machine.extend(trees, message))

    def take(self, count: int) -> tuple[Bytes, Words]:
        """Bits b (count,), 0 or 1, and t (count, 2) = q ^ b * delta."""
        rows, _ = self._rows(count)
        return (rows[:, 0] & np.uint64(1)).astype(np.uint8), rows

    def keys(self, count: int, log: int = 1) -> tuple[Bytes, Words]:
        """Random 1-of-2**log transfers: choices (count,) below 2**log, and the keys of those choices, (count, 2)."""
        rows, first = self._rows(count * log)
        flat = rows.reshape(-1)
        return ot_choices(flat, log), ot_keys_receive(flat, log, first).reshape(count, 2)

    def masks(self, count: int, log: int = 1) -> tuple[Bytes, Bytes]:
        """Random 1-of-2**log transfers of one byte: choices (count,), and the chosen keys' lowest bytes (count,)."""
        choices, keys = self.keys(count, log)
        return choices, keys[:, 0].astype(np.uint8)


@dataclass
class Correlations:
    """Both directions of one session: this party's `sending` is the peer's `receiving`."""

    sending: Sending
    receiving: Receiving


def _label(channel: Channel, sender: int) -> bytes:
    names = "\0".join((*channel.parties, str(sender))).encode()
    return hashlib.sha256(b"lingqu oblivious transfer\0" + names).digest()


def connect(channel: Channel) -> Correlations:
    """Run the base transfers and the first, small iteration of both directions.

    channel: of exactly two parties, private and authenticated.  Cost: costs.setup_cost().  Discloses: nothing.
    """
    _check(channel)
    peer = 1 - channel.party
    sender = CotSender(os.urandom(32), _label(channel, channel.party))
    receiver = CotReceiver(os.urandom(32), _label(channel, peer))
    channel.send(peer, sender.base_message(), Tag.BLOCKS)
    channel.send(peer, receiver.base_message(), Tag.BLOCKS)
    points = bytes(channel.receive(peer, POINTS_BYTES, Tag.BLOCKS))
    point = bytes(channel.receive(peer, POINT_BYTES, Tag.BLOCKS))
    channel.send(peer, checked(channel, lambda: receiver.setup(points)), Tag.BLOCKS)
    _first(channel, sender, point)
    _begin(channel, receiver)
    return Correlations(Sending(channel, sender), Receiving(channel, receiver))


def connect_sending(channel: Channel) -> Sending:
    """As `connect`, for the direction alone in which this party holds delta; the peer calls `connect_receiving`."""
    _check(channel)
    sender = CotSender(os.urandom(32), _label(channel, channel.party))
    channel.send(1 - channel.party, sender.base_message(), Tag.BLOCKS)
    _first(channel, sender, bytes(channel.receive(1 - channel.party, POINT_BYTES, Tag.BLOCKS)))
    return Sending(channel, sender)


def connect_receiving(channel: Channel) -> Receiving:
    """The other side of `connect_sending`.  Cost: costs.one_way_cost().  Discloses: nothing."""
    _check(channel)
    peer = 1 - channel.party
    receiver = CotReceiver(os.urandom(32), _label(channel, peer))
    channel.send(peer, receiver.base_message(), Tag.BLOCKS)
    points = bytes(channel.receive(peer, POINTS_BYTES, Tag.BLOCKS))
    channel.send(peer, checked(channel, lambda: receiver.setup(points)), Tag.BLOCKS)
    _begin(channel, receiver)
    return Receiving(channel, receiver)


def one_session(channel: Channel, sender: int) -> bytes:
    """The label of a session of two parties; BadInput for other numbers of parties."""
    _check(channel)
    return _label(channel, sender)


def _check(channel: Channel) -> None:
    if len(channel.parties) != 2:
        raise BadInput(f"Oblivious transfer needs 2 parties, not {len(channel.parties)}.", "Name two parties.")


def _first(channel: Channel, sender: CotSender, point: bytes) -> None:
    answer = bytes(channel.receive(1 - channel.party, ANSWER_BYTES, Tag.BLOCKS))
    first = checked(channel, lambda: sender.setup(point, answer, os.urandom(16)))
    channel.send(1 - channel.party, first, Tag.BLOCKS)


def _begin(channel: Channel, receiver: CotReceiver) -> None:
    first = bytes(channel.receive(1 - channel.party, FIRST_BYTES, Tag.BLOCKS))
    checked(channel, lambda: receiver.begin(first))
