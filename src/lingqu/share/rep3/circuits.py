"""Bit circuits on planes: row p of a plane matrix holds bit p of all words, 64 words' bits in one machine word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.rep3.session import BINARY, Parts, Session, flat_pair

Planes = tuple[Words, Words]
"""Two components, each of shape (planes, ceil(n / 64))."""
ALL = np.uint64((1 << 64) - 1)


def conjunction(s: Session, x: Parts, y: Parts) -> Parts:
    """x & y on dense bits, flat: 1 round, 24 bytes a machine word.  Source: Araki et al. (CCS 2016) section 3.1."""
    return s.reshare(_core.and_shares(x, y, s.mine, s.next), BINARY)


def conjunction_words(s: Session, x: Parts, y: Parts, width: int) -> Parts:
    """x & y on words of a width, packed on the way."""
    if width == 64:
        return conjunction(s, x, y)
    left = _core.pack(x[0], width), _core.pack(x[1], width)
    right = _core.pack(y[0], width), _core.pack(y[1], width)
    both = conjunction(s, left, right)
    count = len(x[0])
    return _core.unpack(both[0], count, width), _core.unpack(both[1], count, width)


def complement(s: Session, x: Planes, mask: np.uint64 = ALL) -> Planes:
    """Flip the bits of the mask, by component x_0 alone."""
    first = x[0] ^ mask if s.party == 0 else x[0]
    second = x[1] ^ mask if s.party == 2 else x[1]
    return first, second


def planes_of(x: Parts, width: int) -> Planes:
    """Words turned into planes."""
    first, second = (_core.to_planes(part, width).reshape(width, -1) for part in x)
    return first, second


def _and_planes(s: Session, x: Planes, y: Planes) -> Planes:
    shape = x[0].shape
    first, second = conjunction(s, flat_pair(x), flat_pair(y))
    return first.reshape(shape), second.reshape(shape)


def all_ones(s: Session, x: Planes) -> Parts:
    """The conjunction of all planes as a tree: ceil(log2(planes)) rounds."""
    while len(x[0]) > 1:
        half = len(x[0]) // 2
        low, high, odd = (tuple(part[i] for part in x) for i in _thirds(half))
        both = _and_planes(s, (low[0], low[1]), (high[0], high[1]))
        x = np.concatenate([both[0], odd[0]]), np.concatenate([both[1], odd[1]])
    return x[0][0], x[1][0]


def _thirds(half: int) -> tuple[slice, slice, slice]:
    return slice(half), slice(half, 2 * half), slice(2 * half, None)


def equal_words(s: Session, pairs: Sequence[tuple[Parts, int]]) -> Parts:
    """A dense bit an element: whether the given differences (words, width) are all zero."""
    every = [planes_of(difference, width) for difference, width in pairs]
    stacked = np.concatenate([x[0] for x in every]), np.concatenate([x[1] for x in every])
    return all_ones(s, complement(s, stacked))


def _summands(s: Session, x: Parts) -> tuple[Parts, Parts]:
    """x_0 + x_1, shared by party 0, and x_2, which parties 1 and 2 know: both as XOR-shared words. 1 round."""
    count = len(x[0])
    high = s.give(0, x[0] + x[1] if s.party == 0 else None, count, BINARY)
    third = None if s.party == 0 else x[1] if s.party == 1 else x[0]
    return high, s.place(2, third, count)


def is_zero(s: Session, x: Parts) -> Parts:
    """A dense bit an element: x == 0, as x_0 + x_1 == -x_2. 7 rounds."""
    count = len(x[0])
    high = s.give(0, x[0] + x[1] if s.party == 0 else None, count, BINARY)
    third = None if s.party == 0 else np.negative(x[1] if s.party == 1 else x[0])
    low = s.place(2, third, count)
    return equal_words(s, [((high[0] ^ low[0], high[1] ^ low[1]), 64)])


def sign(s: Session, x: Parts, bits: int) -> Parts:
    """A dense bit an element: x < 0, for -2**(bits-1) <= x < 2**(bits-1).

    The top of `bits` bits of the sum (x_0 + x_1) + x_2, with a tree of (generate, propagate) pairs for its carry.
    Cost: 2 + ceil(log2(bits - 1)) rounds.  Source: ABY3 section 5.3, with the most significant bit's carry only.
    """
    one, two = (planes_of(part, bits) for part in _summands(s, x))
    propagate = one[0] ^ two[0], one[1] ^ two[1]
    generate = _and_planes(s, (one[0][:-1], one[1][:-1]), (two[0][:-1], two[1][:-1]))
    top = propagate[0][-1], propagate[1][-1]
    carry = _carry(s, generate, (propagate[0][:-1], propagate[1][:-1]))
    return top[0] ^ carry[0], top[1] ^ carry[1]


def _carry(s: Session, generate: Planes, propagate: Planes) -> Parts:
    """The carry out of the last plane: neighbours combine until one is left. The lowest needs no propagate."""
    while (count := len(generate[0])) > 1:
        pairs = count // 2
        joined = []
        for g, p in zip(generate, propagate, strict=True):
            upper = p[1 : 2 * pairs : 2]
            joined.append(
                (np.concatenate([upper, upper[1:]]), np.concatenate([g[: 2 * pairs : 2], p[2 : 2 * pairs : 2]]))
            )
        both = _and_planes(s, (joined[0][0], joined[1][0]), (joined[0][1], joined[1][1]))
        new_generate, new_propagate = [], []
        for g, p, product in zip(generate, propagate, both, strict=True):
            new_generate.append(np.concatenate([g[1 : 2 * pairs : 2] ^ product[:pairs], g[2 * pairs :]]))
            new_propagate.append(np.concatenate([p[:1], product[pairs:], p[2 * pairs :]]))
        generate = new_generate[0], new_generate[1]
        propagate = new_propagate[0], new_propagate[1]
    return generate[0][0], generate[1][0]


def sklansky(level: int, positions: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which positions a level of Sklansky's prefix network updates, and from which positions."""
    every = np.arange(positions)
    to = every[(every >> level) & 1 == 1]
    return to, (to >> level << level) - 1


def to_bits(s: Session, x: Parts) -> Parts:
    """All 64 bits of x_0 + x_1 + x_2 as words: 8 rounds.

    Source: ABY3 section 5.3; the prefix network is Sklansky's (1960), which has fewer products than Kogge and Stone's
    at the same depth, and fan-out is free here.
    """
    count = len(x[0])
    one, two = (planes_of(part, 64) for part in _summands(s, x))
    half = one[0] ^ two[0], one[1] ^ two[1]
    generate = _and_planes(s, (one[0][:-1], one[1][:-1]), (two[0][:-1], two[1][:-1]))
    propagate = half[0][:-1].copy(), half[1][:-1].copy()
    for level in range(6):
        to, origin = sklansky(level, 63)
        later = to >= 2 << level
        left, right = [], []
        for g, p in zip(generate, propagate, strict=True):
            left.append(np.concatenate([p[to], p[to[later]]]))
            right.append(np.concatenate([g[origin], p[origin[later]]]))
        both = _and_planes(s, (left[0], left[1]), (right[0], right[1]))
        for g, p, product in zip(generate, propagate, both, strict=True):
            g[to] ^= product[: len(to)]
            p[to[later]] = product[len(to) :]
    first, second = (
        _core.from_planes(np.concatenate([h[:1], h[1:] ^ g]).reshape(-1), count)
        for h, g in zip(half, generate, strict=True)
    )
    return first, second
