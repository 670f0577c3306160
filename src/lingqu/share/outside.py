"""Parties that do not compute: owners who share their rows to the compute parties, recipients who put shares together.

A mechanism that serves them has an entry point `lingqu.doorways` of its name, which loads a `Doorway`, and declares the
operations "input_outside", "input_bits_outside" and "reveal_outside".  All parties of a session stand in one channel,
the compute parties first; a machine sees those alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lingqu._core import Prg, pack, unpack
from lingqu.kinds.channel import Channel, Tag
from lingqu.share.api import Integers, Shape, Shared, SharedBits, Words


class Door(Protocol):
    """A compute party's side towards the outside parties; indices are the channel's."""

    def input(self, owner: int, values: Integers | None, shape: Shape) -> Shared:
        """Take an outside owner's integers.  values: None, since they are not known here.  Discloses: nothing."""

    def input_bits(self, owner: int, words: Integers | None, shape: Shape, width: int) -> SharedBits:
        """Take an outside owner's words of `width` bits."""

    def reveal(self, x: Shared, to: int) -> None:
        """Open integers to one outside recipient and to nobody else.  Discloses: the values, to it."""


class Outsider(Protocol):
    """An outside party's own side; it calls in the order in which the compute parties do."""

    def input(self, values: Integers, shape: Shape) -> None:
        """Share integers of exactly `shape` to the compute parties; each receives its components alone."""

    def input_bits(self, words: Integers, shape: Shape, width: int) -> None:
        """Share words of `width` bits; BadInput when a word has more."""

    def receive(self, shape: Shape) -> NDArray[np.int64]:
        """Put together what the compute parties open to this party."""


@dataclass(frozen=True)
class Doorway:
    """How a mechanism meets outside parties.

    door: of a compute party's machine and the channel of all.  outsider: of an outside party's channel; both agree on
    fresh keys first, so every compute party opens its door once and every outsider is made once a session.
    """

    door: Callable[[Any, Channel], Door]
    outsider: Callable[[Channel], Outsider]


def drawn(stream: Prg, count: int, width: int) -> Words:
    """Words of a width under a key."""
    words = stream.words(count)
    return words if width == 64 else words & np.uint64((1 << width) - 1)


def packed_bytes(words: Words, width: int) -> bytes | memoryview:
    """Words as they travel, packed to their width."""
    packed = np.ascontiguousarray(words) if width == 64 else pack(words, width)
    return packed.data.cast("B") if packed.size else b""


def received(channel: Channel, sender: int, count: int, tag: Tag, width: int) -> Words:
    """Exactly `count` words of a width from one sender; what is of another length is that sender's violation."""
    size = 8 * -(-count * width // 64)
    words = np.frombuffer(channel.receive(sender, size, tag), dtype="<u8").astype(np.uint64, copy=False)
    return words if width == 64 else unpack(words, count, width)
