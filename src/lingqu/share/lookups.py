"""A lookup with hidden hits: one party's keys, known to it, looked up among another's, known to that one.

What each protocol does is its machine's `look_up`; `alignment` makes joins of it.  Here are its public sizes, what the
two owners bring, and how rows lie as planes of words: checks first, then integers, then words of bits side by side.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lingqu._core import rows_encode
from lingqu.kinds.channel import Tag
from lingqu.kinds.errors import BadInput, Unavailable
from lingqu.kinds.mechanism import log2_ceil
from lingqu.share import checks
from lingqu.share.api import Integers, Shared, SharedBits, Words, ring
from lingqu.share.places import places_of

STATISTICAL = 40
"""A false hit anywhere has probability below two to the minus this."""
SEED_BYTES = 16
_ATTEMPTS = 20


@dataclass(frozen=True)
class Piece:
    """Planes of words that are shared alike: `start` to `stop` of a row, of `width` bits, additive or XOR by tag."""

    start: int
    stop: int
    width: int
    tag: Tag = Tag.BITS


@dataclass(frozen=True)
class Lookup:
    """What all parties know.

    asker, keeper: two different parties.  asked, kept: their numbers of keys.  columns: integers that a kept key has.
    widths: of the words of bits that it has.
    """

    asker: int
    keeper: int
    asked: int
    kept: int
    columns: int = 0
    widths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.asker == self.keeper:
            raise BadInput(f"Party {self.asker} would look up its own keys.", "Look them up before anything is shared.")

    @property
    def check_widths(self) -> tuple[int, ...]:
        """Bits of the words that agree at a hit: every slot has one test, and there are at most 2 asked + 512."""
        bits = STATISTICAL + log2_ceil(2 * self.asked + 512)
        return (bits,) if bits <= 64 else (64, bits - 64)

    @property
    def dense(self) -> int:
        """Words that hold the words of bits of a row side by side."""
        return places_of(self.widths)[1] if self.widths else 0

    @property
    def dense_width(self) -> int:
        """Bits of the fullest of them."""
        return places_of(self.widths)[2]

    @property
    def width(self) -> int:
        """Words of a row in all."""
        return len(self.check_widths) + self.columns + self.dense

    @property
    def integers(self) -> slice:
        """The planes of integers."""
        return slice(len(self.check_widths), len(self.check_widths) + self.columns)

    @property
    def pieces(self) -> list[Piece]:
        """The checks, the integers, the dense words; what there is none of is left out."""
        found = [Piece(place, place + 1, width) for place, width in enumerate(self.check_widths)]
        if self.columns:
            found.append(Piece(self.integers.start, self.integers.stop, 64, Tag.ELEMENTS))
        if self.dense:
            found.append(Piece(self.integers.stop, self.width, self.dense_width))
        return found


@dataclass(frozen=True)
class Kept:
    """What the keeper brings: `keys` of shape (kept, 2), distinct; `table` (kept, columns); `words`, a column each."""

    keys: Words = field(repr=False)
    table: Integers = field(repr=False)
    words: Sequence[Words] = field(default=(), repr=False)


@dataclass(frozen=True)
class Found:
    """Shares of what was looked up, one row a slot; a machine has as many slots as its `slots` says.

    met: 0 or 1: the slot's key is kept.  table: (slots, columns), dense: (slots, words): the row where it is, zeros
    elsewhere.  places: at the asker the slot of every key, None at the others.
    """

    met: Shared
    table: Shared
    dense: SharedBits | None
    places: NDArray[np.int64] | None = field(repr=False)


def asked_keys(lookup: Lookup, keys: Words | None) -> Words:
    """The asker's keys, flat, two words each; BadInput when one repeats: who decodes them would see that."""
    flat = np.ascontiguousarray(checks.owned(keys, (lookup.asked, 2)), dtype=np.uint64).reshape(-1)
    if repeats(flat):
        raise BadInput("A key is asked for twice.", "Ask for each once, and repeat what is found.")
    return flat


def repeats(keys: Words) -> bool:
    """Whether two blocks of two words are equal."""
    low = np.sort(keys[::2])
    if not bool((low[1:] == low[:-1]).any()):
        return False
    order = np.lexsort([keys[::2], keys[1::2]])
    blocks = keys.reshape(-1, 2)[order]
    return bool((blocks[1:] == blocks[:-1]).all(axis=1).any())


def kept_rows(lookup: Lookup, kept: Kept | None) -> tuple[Words, Words]:
    """The keeper's keys, flat, and its rows' planes but for the checks; BadInput when a key repeats."""
    if kept is None:
        raise BadInput("The keeper gave no rows.", "Pass them at the machine that owns them.")
    keys = np.ascontiguousarray(checks.owned(kept.keys, (lookup.kept, 2)), dtype=np.uint64).reshape(-1)
    if repeats(keys):
        raise BadInput("A key is kept twice.", "Keep one row a key.")
    table = ring(checks.owned(kept.table, (lookup.kept, lookup.columns)))
    if len(kept.words) != len(lookup.widths):
        raise BadInput(f"There are {len(kept.words)} words a row, not {len(lookup.widths)}.", "Agree on them.")
    planes = np.zeros((lookup.columns + lookup.dense, lookup.kept), np.uint64)
    planes[: lookup.columns] = table.T
    for words, place in zip(kept.words, places_of(lookup.widths)[0], strict=True):
        own = checks.words(checks.owned(words, (lookup.kept,)), place.width)
        planes[lookup.columns + place.word] |= own << np.uint64(place.shift)
    return keys, planes


def encoded(tags: Words, values: Words, width: int) -> tuple[bytes, Words]:
    """A public seed and the store in which every tag has its row; free columns are random.

    A seed fails with probability below 2^-40 where no tag repeats.
    """
    for _ in range(_ATTEMPTS):
        seed = secrets.token_bytes(SEED_BYTES)
        store = rows_encode(seed, tags, values, width, secrets.token_bytes(16))
        if store is not None:
            return seed, store
    raise Unavailable("No store holds these rows.", "Run it again; if it comes back, report it.")


def by_rows(
    lookup: Lookup, slots: int, pieces: Sequence[Sequence[Words]]
) -> tuple[list[SharedBits], Shared, SharedBits | None]:
    """Check words, table and dense words from the components of every piece, flat and by planes of slots."""

    def turned(parts: Sequence[Words], planes: int) -> tuple[Words, ...]:
        return tuple(part.reshape(planes, slots).T for part in parts)

    checked = len(lookup.check_widths)
    tests = [SharedBits(tuple(parts), p.width) for parts, p in zip(pieces, lookup.pieces, strict=True)][:checked]
    rest = list(pieces[checked:])
    nothing = tuple(np.zeros((slots, 0), np.uint64) for _ in pieces[0])
    table = Shared(turned(rest.pop(0), lookup.columns) if lookup.columns else nothing)
    return tests, table, SharedBits(turned(rest[0], lookup.dense), lookup.dense_width) if rest else None


def flags_of(hit: SharedBits, like: SharedBits) -> SharedBits:
    """A bit a row as words of ones or zeros, of another's shape and width.  Cost: none."""
    ones = np.uint64((1 << like.width) - 1)
    return SharedBits(tuple(part.reshape(-1, 1) * ones for part in hit.parts), like.width).broadcast_to(like.shape)


def spread_words(dense: SharedBits, widths: Sequence[int]) -> list[SharedBits]:
    """The words of bits of every row out of those that hold them side by side.  Cost: none."""
    return [
        SharedBits(
            tuple((part[:, p.word] >> np.uint64(p.shift)) & np.uint64((1 << p.width) - 1) for part in dense.parts),
            p.width,
        )
        for p in places_of(widths)[0]
    ]
