"""One party's side of a session: the channel, the pairwise keys, and the ways to share what one or two parties know.

Indices are modulo 3. A secret is x_0 + x_1 + x_2 (or the XOR); party i holds (x_i, x_{i+1}). Key k_j is held by the
parties j - 1 and j, those that hold x_j. Source: Araki et al. (CCS 2016); ABY3 (Mohassel, Rindal, CCS 2018) section 3.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lingqu._core import Prg, and_shares, choose_pairs, choose_rows, pack, unpack
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import BadInput, LingquError, ProtocolViolation
from lingqu.share.api import Shape, Words
from lingqu.share.rep3.turns import Steps, Turns

KEY_BYTES = 16
Parts = tuple[Words, Words]
Tables = tuple[Sequence[Words], Sequence[Words]]
"""Both components of matrices of rows of one length, which are counted through all of them."""


@dataclass(frozen=True)
class Group:
    """Z_2^64 under addition, or words under XOR: shares are masked the same way in both."""

    tag: Tag

    def plus(self, x: Words, y: Words) -> Words:
        """x + y in the group."""
        return np.add(x, y) if self.tag is Tag.ELEMENTS else np.bitwise_xor(x, y)

    def add_to(self, x: Words, y: Words) -> None:
        """x + y in the place of x."""
        (np.add if self.tag is Tag.ELEMENTS else np.bitwise_xor)(x, y, out=x)

    def take_from(self, x: Words, y: Words) -> None:
        """x - y in the place of x."""
        (np.subtract if self.tag is Tag.ELEMENTS else np.bitwise_xor)(x, y, out=x)

    def minus(self, x: Words, y: Words) -> Words:
        """x - y in the group."""
        return np.subtract(x, y) if self.tag is Tag.ELEMENTS else np.bitwise_xor(x, y)


ADDITIVE = Group(Tag.ELEMENTS)
BINARY = Group(Tag.BITS)


def flat(words: Words, shape: Shape | None = None) -> Words:
    """Words as one contiguous row, broadcast to a shape first."""
    full = words if shape is None or words.shape == shape else np.broadcast_to(words, shape)
    return np.ascontiguousarray(full).reshape(-1)


def flat_pair(parts: tuple[Words, ...], shape: Shape | None = None) -> Parts:
    """Both components as contiguous rows."""
    return flat(parts[0], shape), flat(parts[1], shape)


class Session:
    """A party's keys and channel. Both holders of a key draw from it in the same order, whatever the data."""

    def __init__(self, channel: Channel, mine: Prg, next_: Prg) -> None:
        self.channel = channel
        self.party = channel.party
        self.before = (self.party - 1) % 3
        self.after = (self.party + 1) % 3
        self.mine = mine
        self.next = next_
        self._turns = Turns()
        self._seats: tuple[Session, ...] = ()

    def __repr__(self) -> str:
        return f"Session(party={self.party})"

    def turned(self, more: int) -> Session:
        """This session with the parties numbered from the one on that is to send `more` words than the others.

        Shares stay as they are: a party holds its own component and the next one, whichever is called the first.
        """
        return self._seat(self._turns.take(more))

    def divided(self, count: int, more: int) -> list[tuple[Session, slice]]:
        """As `turned` for parts of `count` rows, in each of which number 0 sends `more` words a row more.

        Several parts have generators of their own, so they may run side by side.
        """
        parts = self._turns.divide(count, more)
        if len(parts) == 1:
            return [(self._seat(first), rows) for first, rows in parts]
        return [(Turned(self, first, _forked(self.mine), _forked(self.next)), rows) for first, rows in parts]

    def _seat(self, first: int) -> Session:
        if not self._seats:
            self._seats = self, *(Turned(self, shift, self.mine, self.next) for shift in (1, 2))
        return self._seats[first]

    def stream(self, index: int) -> Prg:
        """The generator under k_index, which this party must hold."""
        return self.mine if index % 3 == self.party else self.next

    def send(self, to: int, words: Words, group: Group = ADDITIVE, width: int = 64) -> None:
        """Send words; binary ones are packed to their width."""
        packed = words if width == 64 else pack(words, width)
        self.channel.send(to % 3, packed.data.cast("B") if packed.size else b"", group.tag)

    def receive(self, sender: int, count: int, group: Group = ADDITIVE, width: int = 64) -> Words:
        """Receive exactly `count` words."""
        size = -(-count * width // 64)
        words = np.frombuffer(self.channel.receive(sender % 3, 8 * size, group.tag), dtype="<u8").astype(
            np.uint64, copy=False
        )
        return words if width == 64 else unpack(words, count, width)

    def mask(self, index: int, words: Words, group: Group, width: int = 64, undo: bool = False) -> None:
        """Add what `draw` would give to words, in place; undo: take it away."""
        how: Literal["add", "subtract", "xor"] = "subtract" if undo else "add"
        self.stream(index).mask(words, width, how if group.tag is Tag.ELEMENTS else "xor")

    def draw(self, index: int, count: int, width: int = 64) -> Words:
        """Words under k_index, cut to a width."""
        words = self.stream(index).words(count)
        return words if width == 64 else words & np.uint64((1 << width) - 1)

    def reshare(self, component: Words, group: Group = ADDITIVE) -> Parts:
        """From one component each (masked by a share of zero) to replicated shares: 1 round, 24 bytes an element."""
        self.send(self.before, component, group)
        return component, self.receive(self.after, len(component), group)

    def conjunction(self, x: Parts, y: Parts) -> Parts:
        """x & y on dense bits, flat: 1 round, 24 bytes a machine word.  Source: Araki et al. (CCS 2016) section 3.1."""
        return self.reshare(and_shares(x, y, self.mine, self.next), BINARY)

    def choose(
        self, tables: Tables, length: int, choices: list[tuple[int, int, int]], unions: list[tuple[int, int]]
    ) -> Parts:
        """Choices (by, upper, lower) and unions of rows of `length` words, flat: 1 round, 24 bytes a result's word."""
        return self.reshare(choose_rows(tables, length, choices, unions, self.mine, self.next), BINARY)

    def choose_pairs(
        self, table: Words, bits: int, left: NDArray[np.uint32], right: NDArray[np.uint32]
    ) -> tuple[Parts, Parts]:
        """The first level of a comparison of rows of keys, and their highest bit where it is left over, both flat.

        table: keys of `bits` bits, as `interleave` gives them.  See `_core.choose_pairs`.
        Cost: 1 round, 24 bytes a word.
        """
        own, first, second = choose_pairs(table, bits, (left, right), self.mine, self.next)
        return self.reshare(own, BINARY), (first, second)

    def show_choices(
        self, tables: Tables, length: int, choices: list[tuple[int, int, int]], unions: list[tuple[int, int]]
    ) -> Words:
        """As `choose`, opened to all: 1 round, 48 bytes a word of a result."""
        own = choose_rows(tables, length, choices, unions, self.mine, self.next)
        for peer in (self.before, self.after):
            self.send(peer, own, BINARY)
        words: Words = own ^ self.receive(self.before, len(own), BINARY) ^ self.receive(self.after, len(own), BINARY)
        return words

    def summed(self, x: Parts, bits: int = 64) -> Parts:
        """The lowest bits of x_0 + x_1 as the XOR of components 0 and 1, component 2 being 0.

        1 round, bits / 8 bytes an element.
        """
        words = x[0] + x[1] if self.party == 0 else None
        if words is not None and bits < 64:
            words &= np.uint64((1 << bits) - 1)
        return self.give(0, words, len(x[0]), BINARY, bits)

    def refuse(self, error: ProtocolViolation) -> LingquError:
        """The error to raise where an opened value cannot be; a session that checks ends with it."""
        return error

    def zeroed(self, words: Words) -> Words:
        """Words plus this party's part of a fresh sharing of zero: free.  Araki et al. (CCS 2016) section 3.3."""
        return words + self.draw(self.party, len(words)) - self.draw(self.party + 1, len(words))

    def place(self, index: int, words: Words | None, count: int) -> Parts:
        """The sharing whose component `index` is what its two holders know, the others 0: free."""
        zero = np.zeros(count, np.uint64)
        first = words if index % 3 == self.party and words is not None else zero
        second = words if (index - 1) % 3 == self.party and words is not None else zero
        return first, second

    def give(self, owner: int, words: Words | None, count: int, group: Group = ADDITIVE, width: int = 64) -> Parts:
        """Share what one party knows: x_owner is drawn, x_{owner+1} sent, x_{owner+2} = 0. 1 round."""
        zero = np.zeros(count, np.uint64)
        if self.party == owner:
            assert words is not None
            mask = self.draw(owner, count, width)
            rest = group.minus(words, mask)
            self.send(owner + 1, rest, group, width)
            return mask, rest
        if self.party == (owner + 1) % 3:
            return self.receive(owner, count, group, width), zero
        return zero, self.draw(owner, count, width)

    def join_pair(self, index: int, part: Words | None, count: int, group: Group = ADDITIVE, width: int = 64) -> Parts:
        """Share the sum of what the two holders of `index` know: the others' components are drawn. 1 round.

        part: at the two holders; it becomes the result's, in place.
        """
        steps = self.joining(index, part, count, group, width)
        next(steps)
        try:
            next(steps)
        except StopIteration as end:
            joined: Parts = end.value
        return joined

    def joining(
        self, index: int, part: Words | None, count: int, group: Group = ADDITIVE, width: int = 64
    ) -> Steps[Parts]:
        """As `join_pair`, stopping before it waits for the other's message."""
        if self.party == (index + 1) % 3:
            yield
            return self.draw(index + 1, count, width), self.draw(index + 2, count, width)
        assert part is not None
        other = index + 1 if self.party == index % 3 else index - 1
        drawn = self.draw(other, count, width)
        group.take_from(part, drawn)
        peer = index - 1 if self.party == index % 3 else index
        self.send(peer, part, group, width)
        yield
        group.add_to(part, self.receive(peer, count, group, width))
        return (part, drawn) if self.party == index % 3 else (drawn, part)


def _forked(stream: Prg) -> Prg:
    """A generator under the next words of one; its holders fork alike."""
    return Prg(stream.words(KEY_BYTES // 8).astype("<u8").tobytes())


class Turned(Session):
    """A session in which the party `shift` is number 0."""

    def __init__(self, base: Session, shift: int, mine: Prg, next_: Prg) -> None:
        super().__init__(base.channel, mine, next_)
        self._shift = shift
        self.party = (base.party - shift) % 3
        self.before = (self.party - 1) % 3
        self.after = (self.party + 1) % 3

    def send(self, to: int, words: Words, group: Group = ADDITIVE, width: int = 64) -> None:
        """As Session.send."""
        super().send(to + self._shift, words, group, width)

    def receive(self, sender: int, count: int, group: Group = ADDITIVE, width: int = 64) -> Words:
        """As Session.receive."""
        return super().receive(sender + self._shift, count, group, width)


def connect(channel: Channel) -> Session:
    """Agree on fresh pairwise keys: party i draws k_i and sends it to party i - 1. 1 round, 48 bytes in all."""
    if len(channel.parties) != 3:
        raise BadInput(f"share.rep3 needs 3 compute parties, not {len(channel.parties)}.", "Name three parties.")
    own = os.urandom(KEY_BYTES)
    channel.send((channel.party - 1) % 3, own, Tag.SEED)
    theirs = bytes(channel.receive((channel.party + 1) % 3, KEY_BYTES, Tag.SEED))
    return Session(channel, Prg(own), Prg(theirs))
