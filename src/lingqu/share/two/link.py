"""What passes between the two parties: whole words, or words packed to their width."""

from __future__ import annotations

import os

import numpy as np

from lingqu._core import Prg, pack, unpack
from lingqu.kinds.channel import Channel, Tag
from lingqu.share.api import Shape, Words

KEY_BYTES = 16


def flat(words: Words, shape: Shape | None = None) -> Words:
    """Words as one contiguous row, broadcast to a shape first."""
    full = words if shape is None or words.shape == shape else np.broadcast_to(words, shape)
    return np.ascontiguousarray(full).reshape(-1)


class Link:
    """A party's channel to the other, and its own randomness."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.party = channel.party
        self.peer = 1 - channel.party
        self.own = Prg(os.urandom(KEY_BYTES))

    def send(self, words: Words, tag: Tag, width: int = 64) -> None:
        """Send words, packed to their width."""
        packed = np.ascontiguousarray(words).reshape(-1) if width == 64 else pack(words, width)
        self.channel.send(self.peer, packed.data.cast("B") if packed.size else b"", tag)

    def receive(self, count: int, tag: Tag, width: int = 64) -> Words:
        """Receive exactly `count` words."""
        size = 8 * -(-count * width // 64)
        words = np.frombuffer(self.channel.receive(self.peer, size, tag), dtype="<u8").astype(np.uint64, copy=False)
        return words if width == 64 else unpack(words, count, width)

    def exchange(self, words: Words, tag: Tag) -> Words:
        """Send words and receive as many, in one shape: 1 round."""
        self.send(words, tag)
        return self.receive(words.size, tag).reshape(words.shape)
