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

from lingqu.kinds.channel import Channel
from lingqu.share.api import Integers, Shape, Shared, SharedBits


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
