"""Owners and recipients that do not compute, for replicated shares among three.

An owner draws x_0 and x_1 under two keys and sends x_2; each key and x_2 go to the two parties that hold the component.
A recipient gets each party's component masked by a fresh sharing of zero, so it sees random numbers that sum to the
values and nothing else.  Source: Araki et al. (CCS 2016) sections 3.1 and 3.3, with the dealer outside.
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
from lingqu.share.rep3.machine import Rep3
from lingqu.share.rep3.session import ADDITIVE, BINARY, KEY_BYTES, Group, Parts, flat

PARTIES = 3
SENT = 2
"""The component that is sent; the others are drawn."""


def holders(component: int) -> tuple[int, int]:
    """The two parties that hold a component."""
    return (component - 1) % PARTIES, component


class Rep3Outsider:
    """The outside party's side."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.streams: list[Prg] = []
        for component in range(SENT):
            key = os.urandom(KEY_BYTES)
            for holder in holders(component):
                channel.send(holder, key, Tag.SEED)
            self.streams.append(Prg(key))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(party={self.channel.party})"

    def _give(self, words: Words, group: Group, width: int) -> None:
        for stream in self.streams:
            words = group.minus(words, drawn(stream, len(words), width))
        data = packed_bytes(words, width)
        for holder in holders(SENT):
            self.channel.send(holder, data, group.tag)

    def input(self, values: Integers, shape: Shape) -> None:
        """As Outsider.input.  Cost: 1 round, 16 bytes an element."""
        self._give(flat(ring(checks.owned(values, shape))), ADDITIVE, 64)

    def input_bits(self, words: Integers, shape: Shape, width: int) -> None:
        """As Outsider.input_bits.  Cost: 1 round, twice the packed words."""
        self._give(flat(checks.words(checks.owned(words, shape), width)), BINARY, width)

    def receive(self, shape: Shape) -> NDArray[np.int64]:
        """As Outsider.receive."""
        total = np.zeros(prod(shape), np.uint64)
        for party in range(PARTIES):
            total += received(self.channel, party, len(total), ADDITIVE.tag, 64)
        return total.view(np.int64).reshape(shape)


class Rep3Door:
    """A compute party's side."""

    def __init__(self, machine: Rep3, channel: Channel) -> None:
        self.machine = machine
        self.channel = channel
        self.held = (machine.party, (machine.party + 1) % PARTIES)
        self.streams: dict[tuple[int, int], Prg] = {}
        for owner in range(PARTIES, len(channel.parties)):
            for component in sorted(set(self.held) - {SENT}):
                self.streams[owner, component] = Prg(self._key(owner, component))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(party={self.machine.party})"

    def _key(self, owner: int, component: int) -> bytes:
        """The owner's key for a drawn component."""
        return bytes(self.channel.receive(owner, KEY_BYTES, Tag.SEED))

    def _sent(self, owner: int, count: int, group: Group, width: int) -> Words:
        """The component that the owner sends."""
        return received(self.channel, owner, count, group.tag, width)

    def _take(self, owner: int, shape: Shape, group: Group, width: int) -> Parts:
        if not PARTIES <= owner < len(self.channel.parties):
            raise BadInput(f"Party {owner} is no outside party here.", "Name one beyond the compute parties.")
        count = prod(shape)
        first, second = (
            self._sent(owner, count, group, width)
            if component == SENT
            else drawn(self.streams[owner, component], count, width)
            for component in self.held
        )
        return first.reshape(shape), second.reshape(shape)

    def input(self, owner: int, values: Integers | None, shape: Shape) -> Shared:
        """As Door.input."""
        return Shared(self._take(owner, shape, ADDITIVE, 64))

    def input_bits(self, owner: int, words: Integers | None, shape: Shape, width: int) -> SharedBits:
        """As Door.input_bits."""
        return SharedBits(self._take(owner, shape, BINARY, width), width)

    def reveal(self, x: Shared, to: int) -> None:
        """As Door.reveal.  Cost: 1 round, 24 bytes an element of all parties together."""
        own = flat(x.parts[0])
        self.channel.send(to, packed_bytes(self.machine.zeroed(own), 64), Tag.ELEMENTS)


DOORWAY = Doorway(Rep3Door, Rep3Outsider)
