"""Kinds of correlated randomness, how much of each an operation takes, and where it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, Protocol

from lingqu import _core
from lingqu.kinds.channel import Tag
from lingqu.share.api import Words
from lingqu.share.two.layout import SLOTS

LANES = 64
"""Elements that one word of planes holds."""
DIGIT = 4
"""Bits of a digit that a lookup takes."""
CHOICES = 1 << DIGIT
SWITCHES = 1 << 18
"""Switches passed at a time."""
MOST_BYTES = 2 << 30
"""What a stock holds at most."""


Rows = tuple[_core.CotRows, int, int] | Words
"""Rows of an extension from a place on and how many, or blocks of two words."""


@dataclass(frozen=True)
class Transfers:
    """Correlated transfers t = q + c Delta, 128 bits each: `_core` makes of them what operations take.

    rows: q at the sender; t at the receiver, whose lowest bits are the choices c.
    delta: at the sender, low word first, else None.
    """

    rows: Sequence[Rows]
    delta: tuple[int, int] | None


class Source(Protocol):
    """Where correlations come from: two parties alone, over their channel, both calling the same in the same order."""

    def prepare(self, counts: tuple[int, int]) -> None:
        """So many transfers from party 0 and from party 1 will be taken: make what is missing side by side."""

    def transfers(self, sender: int, count: int) -> Transfers:
        """`count` fresh correlated transfers from party `sender` to the other; 64 divides count."""

    def triples(self, count: int) -> tuple[Words, Words, Words]:
        """Additive shares of random a, b and of a b, modulo 2^64."""

    def matrix_triple(self, rows: int, inner: int, columns: int) -> tuple[Words, Words, Words]:
        """Additive shares of random matrices a, b and of a @ b, flat in row order."""


@dataclass(frozen=True)
class Move:
    """How a table moves: its group, columns and width, and whether the permutation is undone."""

    tag: Tag
    columns: int
    width: int
    inverse: bool = False


@dataclass(frozen=True)
class Need:
    """One kind of correlation.

    strings: width bits; the unit is 64 of them.  scaled: giver has the words; the unit is one.  lookups: giver answers,
    with entries of width bits; the unit is 64.  triples: the unit is one.  matrices: by sizes; the unit is one.
    orders: of sizes[0] rows, the giver's secret permutation with what moves by it; the unit is one.
    """

    kind: Literal["strings", "scaled", "lookups", "triples", "matrices", "orders"]
    width: int = 0
    giver: int = 0
    sizes: tuple[int, int, int] = (0, 0, 0)
    moves: tuple[Move, ...] = ()

    @property
    def words(self) -> int:
        """Words that a unit takes at most at one party."""
        whole = {
            "strings": 1 + 2 * self.width,
            "scaled": 2,
            "lookups": CHOICES * self.width,
            "triples": 3,
            "matrices": 0,
            "orders": 2 * self.sizes[0] * sum(move.columns for move in self.moves),
        }
        if self.kind == "orders":
            return whole[self.kind]
        m, k, n = self.sizes
        return whole[self.kind] + m * k + k * n + m * n

    def transfers(self, units: int) -> tuple[int, int]:
        """Correlated transfers that so many units take, sent by party 0 and by party 1."""
        if self.kind == "strings":
            return LANES * units, LANES * units
        if self.kind == "orders":
            switches = -(-_core.switch_count(self.sizes[0]) // LANES) * LANES
            count = units * switches * len({move.inverse for move in self.moves})
            return (count, 0) if self.giver == 1 else (0, count)
        count = -(-units // LANES) * LANES if self.kind == "scaled" else DIGIT * LANES * units
        if self.kind not in ("scaled", "lookups"):
            return 0, 0
        return (count, 0) if self.giver == 0 else (0, count)


def orders(holder: int, rows: int, moves: Sequence[Move]) -> Need:
    """A permutation that its holder knows, and what tables need to move by it; see networks.py."""
    return Need("orders", giver=holder, sizes=(rows, 0, 0), moves=tuple(moves))


Demand = Counter[Need]
"""How many units of each kind."""
Piece = tuple[Words, ...]


def strings(width: int) -> Need:
    """64 random bits a, 64 strings b of a width, and a b: shares of (a, b, a b), planes of (), (width,), (width,)."""
    return Need("strings", width)


def scaled(giver: int) -> Need:
    """The giver's random word w, the other's random bit c: additive shares of c w, beside w at the giver, c there."""
    return Need("scaled", giver=giver)


def lookups(giver: int, width: int) -> Need:
    """Keys of 64 lookups: masks (16, width) at the giver; masks (width) and choices (4) at the other, planes."""
    return Need("lookups", width, giver)


TRIPLES = Need("triples")


def matrices(rows: int, inner: int, columns: int) -> Need:
    """A matrix triple."""
    return Need("matrices", sizes=(rows, inner, columns))


def size_of(demand: Mapping[Need, int]) -> int:
    """Bytes that a demand takes in one party's memory at most."""
    return sum(8 * need.words * units for need, units in demand.items())


def transfers_of(demand: Mapping[Need, int]) -> tuple[int, int]:
    """Correlated transfers that a demand takes, sent by party 0 and by party 1."""
    each = [need.transfers(units) for need, units in demand.items()]
    return sum(a for a, _ in each), sum(b for _, b in each)


def products_of(demand: Mapping[Need, int]) -> int:
    """Ring products in triples and matrix triples that a demand takes."""
    return sum(units * (prod(need.sizes) or need.kind == "triples") for need, units in demand.items())


def batches(units: int) -> int:
    """Triples made for so many: whole batches of the lattice, since the rest of one costs nothing."""
    return -(-units // SLOTS) * SLOTS
