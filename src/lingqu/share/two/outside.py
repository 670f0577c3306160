"""Owners and recipients that do not compute, for shares between two parties.

An owner draws x_0 under a key that party 0 has and sends x_1 to party 1.  A recipient gets both shares under a fresh
mask of the pair, so it sees two random numbers that sum to the values and nothing else.  Source: additive sharing;
Araki et al. (CCS 2016) section 3.3 for the fresh sharing of zero, here between two.
"""

from __future__ import annotations

import os
from math import prod

import numpy as np
from numpy.typing import NDArray

from lingqu._core import Prg
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import BadInput
from lingqu.share import checks
from lingqu.share.api import Integers, Shape, Shared, SharedBits, Words, ring
from lingqu.share.outside import Doorway, drawn, packed_bytes, received
from lingqu.share.two.link import KEY_BYTES, flat
from lingqu.share.two.machine import Two

PARTIES = 2
DRAWS, TAKES = 0, 1
"""The party that draws its share under the owner's key, and the one that is sent its own."""


class TwoOutsider:
    """The outside party's side."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        key = os.urandom(KEY_BYTES)
        channel.send(DRAWS, key, Tag.SEED)
        self._stream = Prg(key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(party={self.channel.party})"

    def input(self, values: Integers, shape: Shape) -> None:
        """As Outsider.input.  Cost: 1 round, 8 bytes an element."""
        words = flat(ring(checks.owned(values, shape)))
        self.channel.send(TAKES, packed_bytes(words - drawn(self._stream, len(words), 64), 64), Tag.ELEMENTS)

    def input_bits(self, words: Integers, shape: Shape, width: int) -> None:
        """As Outsider.input_bits.  Cost: 1 round, the packed words."""
        own = flat(checks.words(checks.owned(words, shape), width))
        self.channel.send(TAKES, packed_bytes(own ^ drawn(self._stream, len(own), width), width), Tag.BITS)

    def receive(self, shape: Shape) -> NDArray[np.int64]:
        """As Outsider.receive."""
        total = np.zeros(prod(shape), np.uint64)
        for party in range(PARTIES):
            total += received(self.channel, party, len(total), Tag.ELEMENTS, 64)
        return total.view(np.int64).reshape(shape)


class TwoDoor:
    """A compute party's side."""

    def __init__(self, machine: Two, channel: Channel) -> None:
        self.machine = machine
        self.channel = channel
        self._streams: dict[int, Prg] = {}
        if machine.party == DRAWS:
            for owner in range(PARTIES, len(channel.parties)):
                self._streams[owner] = Prg(bytes(channel.receive(owner, KEY_BYTES, Tag.SEED)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(party={self.machine.party})"

    def _take(self, owner: int, shape: Shape, tag: Tag, width: int) -> Words:
        if not PARTIES <= owner < len(self.channel.parties):
            raise BadInput(f"Party {owner} is no outside party here.", "Name one beyond the compute parties.")
        count = prod(shape)
        if self.machine.party == DRAWS:
            return drawn(self._streams[owner], count, width).reshape(shape)
        return received(self.channel, owner, count, tag, width).reshape(shape)

    def input(self, owner: int, values: Integers | None, shape: Shape) -> Shared:
        """As Door.input."""
        return Shared((self._take(owner, shape, Tag.ELEMENTS, 64),))

    def input_bits(self, owner: int, words: Integers | None, shape: Shape, width: int) -> SharedBits:
        """As Door.input_bits."""
        return SharedBits((self._take(owner, shape, Tag.BITS, width),), width)

    def reveal(self, x: Shared, to: int) -> None:
        """As Door.reveal.  Cost: 1 round, 16 bytes an element of both parties together."""
        self.channel.send(to, packed_bytes(self.machine.masked(flat(x.parts[0])), 64), Tag.ELEMENTS)


DOORWAY = Doorway(TwoDoor, TwoOutsider)
