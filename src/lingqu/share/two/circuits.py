"""Circuits of two parties on planes: row p of a plane matrix holds bit p of all words, 64 words' bits in one.

Two tools: lookups of two private 4-bit digits in a public table, and products of shared bits with shared strings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Tag
from lingqu.share.api import Words
from lingqu.share.bitplanes import sklansky
from lingqu.share.two.link import flat
from lingqu.share.two.needs import CHOICES, DIGIT, Demand, lookups, strings
from lingqu.share.two.session import Session

Entry = Callable[[int, int], int]
"""The entry that the digits of party 0 and of party 1 make."""
CARRY_BITS = 7
"""Bits of an entry of `added`: carries out of 1 to 4 places, and whether 2 to 4 places pass a carry on."""


def compared(x: int, y: int) -> int:
    """Bit 0: x > y.  Bit 1: x == y."""
    return (x > y) | (x == y) << 1


def same(x: int, y: int) -> int:
    """x == y."""
    return int(x == y)


def added(x: int, y: int) -> int:
    """Bits 0 to 3: the carry out of the lowest 1 to 4 places of x + y.  Bits 4 to 6: all of 2 to 4 places differ."""
    carries = sum(int((x % (2 << i)) + (y % (2 << i)) >= 2 << i) << i for i in range(4))
    return carries | sum(int((x ^ y) % (2 << i) == (2 << i) - 1) << (3 + i) for i in range(1, 4))


@cache
def _table(entry: Entry, giver: int) -> bytes:
    """The entries by the giver's digit first, then the other's."""
    every = range(CHOICES)
    return bytes(entry(x, v) if giver == 0 else entry(v, x) for x in every for v in every)


def halves(lanes: int) -> tuple[int, int]:
    """Lanes that party 0 and party 1 answer."""
    return lanes - lanes // 2, lanes // 2


def lookup(s: Session, digits: Words, entry: Entry, bits: int) -> Words:
    """Shares of entry(digit of party 0, digit of party 1): planes (bits, lanes).

    digits: this party's own, planes (4, lanes).  Each party answers half of the lanes, which splits the work.
    Cost: 2 rounds, 4 + 16 bits' words a lane.  Discloses: nothing.
    Source: CrypTFlow2 (Rathee et al., CCS 2020), section 3.1; its 1-of-16 transfers from four of 1 of 2: Naor, Pinkas
    (J. Cryptology 18, 2005), section 3.1.
    """
    lanes = digits.shape[1]
    first, _ = halves(lanes)
    spans = slice(0, first), slice(first, lanes)
    s.expect({lookups(giver, bits): size for giver, size in enumerate(halves(lanes))})
    pieces = [s.take(lookups(giver, bits), size) for giver, size in enumerate(halves(lanes))]
    (masks,), (keys, choices) = pieces[s.party], pieces[s.peer]
    asked, answered = digits[:, spans[s.peer]], digits[:, spans[s.party]]
    s.send(asked ^ choices, Tag.BITS)
    shift = s.receive(answered.size, Tag.BITS)
    share = s.own.words(bits * answered.shape[1])
    said = _core.lookup_answers(flat(masks), shift, flat(answered), share, _table(entry, s.party), bits)
    s.send(said, Tag.BITS)
    said = s.receive(CHOICES * bits * asked.shape[1], Tag.BITS)
    read = _core.lookup_read(said, flat(asked), flat(keys), bits)
    out = np.empty((bits, lanes), np.uint64)
    out[:, spans[s.party]] = share.reshape(bits, -1)
    out[:, spans[s.peer]] = read.reshape(bits, -1)
    return out


def products(s: Session, pairs: Sequence[tuple[Words, Words]]) -> list[Words]:
    """Each flag's plane and its string's planes multiplied, for pairs of flags (m, lanes) and strings (m, k, lanes).

    Cost: 1 round, 1 + k bits a flag and party.  Discloses: nothing.
    Source: Beaver (CRYPTO 1991), with correlated transfers in both directions for the triples
    (Gilboa, CRYPTO 1999; Asharov et al., CCS 2013).
    """
    held = []
    demand: Demand = Counter()
    for _, texts in pairs:
        demand[strings(texts.shape[1])] += texts.shape[0] * texts.shape[2]
    s.expect(demand)
    # All pieces before any message: making one may send messages of its own.
    pieces = [s.take(strings(texts.shape[1]), texts.shape[0] * texts.shape[2]) for _, texts in pairs]
    for (flags, texts), (a, b, c) in zip(pairs, pieces, strict=True):
        count, width, lanes = texts.shape
        own = np.empty((1 + width, count * lanes), np.uint64)
        np.bitwise_xor(flags.reshape(-1), a, out=own[0])
        np.bitwise_xor(np.moveaxis(texts, 1, 0).reshape(width, -1), b, out=own[1:])
        s.send(own, Tag.BITS)
        held.append((texts.shape, own, a, b, c))
    return [_product(s, *one) for one in held]


def _product(s: Session, shape: tuple[int, ...], own: Words, a: Words, b: Words, c: Words) -> Words:
    count, width, lanes = shape
    own ^= s.receive(own.size, Tag.BITS).reshape(own.shape)
    e, f = own[0], own[1:]
    product = c ^ (e & b) ^ (a & f)
    if s.party == 0:
        product ^= e & f
    return np.moveaxis(product.reshape(width, count, lanes), 0, 1)


def each_with(s: Session, flags: Words, texts: Words) -> Words:
    """One pair of `products`."""
    return products(s, [(flags, texts)])[0]


def conjunction(s: Session, x: Words, y: Words) -> Words:
    """x & y on dense bits, flat: 1 round, 16 bytes a machine word and party."""
    return each_with(s, x.reshape(1, -1), y.reshape(1, 1, -1)).reshape(-1)


def conjunction_words(s: Session, x: Words, y: Words, width: int) -> Words:
    """x & y on words of a width, packed on the way."""
    if width == 64:
        return conjunction(s, x, y)
    both = conjunction(s, _core.pack(x, width), _core.pack(y, width))
    return _core.unpack(both, len(x), width)


def conjunction_beside(s: Session, one: Words, many: Words, width: int) -> Words:
    """Words (k, n), each anded with the word (n,) it stands below: 1 round, 1 + k bits a bit of `one` and party.

    What two transfers make for a bit serves all k that it meets.
    """
    count = many.shape[-1]
    flags = _core.pack(flat(one), width).reshape(1, -1)
    texts = np.stack([_core.pack(flat(row), width) for row in many])
    both = each_with(s, flags, texts[None])[0]
    return np.stack([_core.unpack(np.ascontiguousarray(row), count, width) for row in both])


def planes_of(x: Words, width: int) -> Words:
    """Words turned into planes (width, lanes)."""
    return _core.to_planes(x, width).reshape(width, -(-len(x) // 64))


def as_digits(planes: Words) -> Words:
    """Planes as planes of digits (4, digits * lanes), the lowest digit first, filled up with zeros."""
    count, lanes = planes.shape
    digits = -(-count // DIGIT)
    filled = np.zeros((digits * DIGIT, lanes), np.uint64)
    filled[:count] = planes
    return np.ascontiguousarray(np.moveaxis(filled.reshape(digits, DIGIT, lanes), 1, 0)).reshape(DIGIT, digits * lanes)


def all_same(s: Session, planes: Words) -> Words:
    """A dense bit an element: whether both parties' planes agree.

    Digits are compared by lookups; that all agree is again an equality, of one party's bits with the other's flipped.
    Cost: 2 rounds for each level of a tree of fan-out 4.
    Source: after CrypTFlow2 (Rathee et al., CCS 2020), section 3.1.
    """
    lanes = planes.shape[1]
    while True:
        found = lookup(s, as_digits(planes), same, 1).reshape(-(-len(planes) // DIGIT), lanes)
        if len(found) == 1:
            return np.asarray(found[0])
        planes = ~found if s.party == 0 else found


def greater(s: Session, planes: Words) -> Words:
    """A dense bit an element: party 0's number is greater than party 1's, by planes, the lowest first.

    Cost: 2 rounds for the digits, 1 for each level of a binary tree.
    Source: the millionaires' protocol of CrypTFlow2 (Rathee et al., CCS 2020), section 3.1; Cheetah (USENIX Security
    2022), section 4.
    """
    lanes, digits = planes.shape[1], -(-len(planes) // DIGIT)
    first, second = halves(digits * lanes)
    whole = max(digits - 2, 0) * lanes  # the last product alone need not tell whether all digits are equal
    s.expect({lookups(0, 2): first, lookups(1, 2): second, strings(2): whole, strings(1): lanes if digits > 1 else 0})
    found = lookup(s, as_digits(planes), compared, 2)
    more, equal = found.reshape(2, digits, lanes)
    while len(more) > 1:
        pairs = len(more) // 2
        low = more[: 2 * pairs : 2, None]
        if len(more) > 2:
            low = np.concatenate([low, equal[: 2 * pairs : 2, None]], axis=1)
        both = each_with(s, equal[1 : 2 * pairs : 2], low)
        more = np.concatenate([more[1 : 2 * pairs : 2] ^ both[:, 0], more[2 * pairs :]])
        if len(more) > 1:
            equal = np.concatenate([both[:, 1], equal[2 * pairs :]])
    return np.asarray(more[0])


def sign(s: Session, x: Words, bits: int) -> Words:
    """A dense bit an element: x < 0, for -2**(bits-1) <= x < 2**(bits-1).

    The top of `bits` bits of x_0 + x_1: the lower ones carry when those of x_0 are greater than those of -1 - x_1.
    """
    planes = planes_of(x, bits)
    low = planes[:-1] if s.party == 0 else ~planes[:-1]
    return np.asarray(np.bitwise_xor(planes[-1], greater(s, low)))


def is_zero(s: Session, x: Words) -> Words:
    """A dense bit an element: x_0 == -x_1."""
    return all_same(s, planes_of(x if s.party == 0 else np.negative(x), 64))


def levels(positions: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp], int]]:
    """A prefix network's levels: positions updated, from where, and how many, the first ones, pass a carry on."""
    found = []
    for level in range(max(positions - 1, 0).bit_length()):
        to, origin = sklansky(level, positions)
        later = to >= 2 << level
        order = np.argsort(~later, kind="stable")
        found.append((to[order], origin[order], int(later.sum())))
    return found


def to_bits(s: Session, x: Words, bits: int = 64) -> Words:
    """The lowest bits of x_0 + x_1 as words: digits by lookup, carries between them by Sklansky's network (1960), and
    into each digit's bits by one product.  7 rounds for 64 bits.
    """
    planes, count = planes_of(x, bits), -(-bits // DIGIT)
    lanes = planes.shape[1]
    digits = as_digits(planes)
    found = lookup(s, digits, added, CARRY_BITS).reshape(CARRY_BITS, count, lanes)
    planes = np.moveaxis(digits.reshape(DIGIT, count, lanes), 0, 1).reshape(DIGIT * count, lanes)
    carry, passes = found[3, :-1].copy(), found[6, :-1].copy()
    for to, origin, later in levels(count - 1):
        first, last = to[:later], to[later:]
        both = np.stack([carry[origin[:later]], passes[origin[:later]]], axis=1)
        pairs = [(passes[first], both), (passes[last], carry[origin[later:]][:, None])]
        found_pairs = products(s, [pair for pair in pairs if len(pair[0])])
        if later:
            carry[first] ^= found_pairs[0][:, 0]
            passes[first] = found_pairs[0][:, 1]
        if len(last):
            carry[last] ^= found_pairs[-1][:, 0]
    result = planes.reshape(count, DIGIT, lanes).copy()
    result[:, 1:] ^= np.moveaxis(found[:3], 0, 1)
    if count > 1:
        within = np.stack([planes[DIGIT::DIGIT], found[4, 1:], found[5, 1:]], axis=1)
        inner = each_with(s, carry, within)
        result[1:, 0] ^= carry
        result[1:, 1:] ^= inner
    return _core.from_planes(np.ascontiguousarray(result.reshape(DIGIT * count, lanes)[:bits]).reshape(-1), len(x))
