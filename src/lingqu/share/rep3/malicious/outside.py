"""Owners and recipients that do not compute, where one of the three compute parties may deviate.

An owner's keys and its sent component each go to two parties, which compare digests before they compute on them: an
owner that gives them different shares, or a party that claims so, ends the session.  A recipient gets every component
from one of its holders and its digest from the other, after everything before is proved: an altered component is found.
"""

from __future__ import annotations

from hashlib import sha256
from math import prod

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.channel import Tag
from lingqu.kinds.errors import ProtocolViolation
from lingqu.share.api import Shape, Shared, Words
from lingqu.share.outside import Doorway, packed_bytes, received
from lingqu.share.rep3.malicious.machine import MaliciousRep3
from lingqu.share.rep3.malicious.session import DIGEST_BYTES
from lingqu.share.rep3.outside import PARTIES, SENT, Rep3Door, Rep3Outsider, holders
from lingqu.share.rep3.session import ADDITIVE, Group, flat


class CheckedOutsider(Rep3Outsider):
    """The outside party's side."""

    def receive(self, shape: Shape) -> NDArray[np.int64]:
        """As Outsider.receive; ProtocolViolation where two compute parties disagree on a component."""
        count, components, digests = prod(shape), [], []
        for party in range(PARTIES):
            components.append(received(self.channel, party, count, ADDITIVE.tag, 64))
            digests.append(bytes(self.channel.receive(party, DIGEST_BYTES, Tag.SEED)))
        for party in range(PARTIES):
            if digests[party] != _digest(components[(party + 1) % PARTIES], 64):
                names = ", ".join(self.channel.parties[:PARTIES])
                raise ProtocolViolation(
                    f"Of {names}, two opened different shares of the result to this party; it is not put together.",
                    "Find out which of them runs altered software before any of them runs again.",
                )
        total = components[0] + components[1] + components[2]
        return total.view(np.int64).reshape(shape)


class CheckedDoor(Rep3Door):
    """A compute party's side; machine: a MaliciousRep3."""

    machine: MaliciousRep3

    def _other(self, component: int) -> int:
        """Who else holds a component."""
        return next(party for party in holders(component) if party != self.machine.party)

    def _key(self, owner: int, component: int) -> bytes:
        """The owner's key, which the component's other holder has too."""
        key = super()._key(owner, component)
        self.machine.agree(self._other(component), key)
        return key

    def _sent(self, owner: int, count: int, group: Group, width: int) -> Words:
        """The component that the owner sends, which its other holder has too.  1 round more, two digests."""
        words = super()._sent(owner, count, group, width)
        self.machine.agree(self._other(SENT), packed_bytes(words, width))
        return words

    def reveal(self, x: Shared, to: int) -> None:
        """As Door.reveal, once all is proved.  Cost: 1 round, 24 bytes an element and 96 of all parties; the proofs."""
        self.machine.settle()
        first, second = (flat(part) for part in x.parts)
        self.channel.send(to, packed_bytes(first, 64), Tag.ELEMENTS)
        self.channel.send(to, _digest(second, 64), Tag.SEED)


def _digest(words: Words, width: int) -> bytes:
    return sha256(packed_bytes(words, width)).digest()


DOORWAY = Doorway(CheckedDoor, CheckedOutsider)
