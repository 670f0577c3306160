"""Bits as integers, and exact truncation, from products and conjunctions that are proved."""

from __future__ import annotations

import numpy as np

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.rep3.circuits import and_planes
from lingqu.share.rep3.malicious.circuits import cut, majority, without, xor
from lingqu.share.rep3.malicious.session import Checked
from lingqu.share.rep3.session import Parts, Session

ONE = np.uint64(1)
TWO = np.uint64(2)
CHUNK_BITS = 1 << 22
"""Bits that become integers at a time."""


def chunk_rows(width: int) -> int:
    """Words of a width that become integers at a time."""
    return max(1, CHUNK_BITS // width)


def plus_constant(s: Session, x: Parts, constant: int) -> Parts:
    """x + a public constant, by component x_0."""
    word = np.uint64(constant % (1 << 64))
    return (x[0] + word if s.party == 0 else x[0]), (x[1] + word if s.party == 2 else x[1])


def _exclusive(s: Checked, x: Parts, y: Parts) -> Parts:
    """x + y - 2 x y."""
    product = s.multiply(x, y)
    return x[0] + y[0] - TWO * product[0], x[1] + y[1] - TWO * product[1]


def words_as_integers(s: Checked, bits: Parts, width: int) -> Parts:
    """XOR-shared words as integers; for width 1 a bit as 0 or 1.

    A bit is b_0 ^ b_1 ^ b_2, each known to two parties and so an integer without a message; two products join them.
    Cost: 2 rounds a chunk of rows, 48 width bytes an element.
    """
    count, rows = len(bits[0]), chunk_rows(width)
    chunks = [slice(start, min(count, start + rows)) for start in range(0, max(count, 1), rows)]
    found = [_words_as_integers(s, (bits[0][part], bits[1][part]), width) for part in chunks]
    first, second = (np.concatenate([part[i] for part in found]) for i in (0, 1))
    return first, second


def _words_as_integers(s: Checked, bits: Parts, width: int) -> Parts:
    places = np.arange(width, dtype=np.uint64)[:, None]
    every = tuple(((part[None, :] >> places) & ONE).reshape(-1) for part in bits)
    x = every[0], every[1]
    joined = _exclusive(s, without(s, x, 1, 2), without(s, x, 0, 2))
    joined = _exclusive(s, joined, without(s, x, 0, 1))
    if width == 1:
        return joined
    first, second = (np.add.reduce(part.reshape(width, -1) << places, axis=0) for part in joined)
    return first, second


def truncate(s: Checked, x: Parts, bits: int) -> Parts:
    """floor(x / 2**bits) + e, e in {0, -1}, for |x| < 2**62.

    With X = x + 2**62 below 2**63 and X + 2**64 w the sum of the components, floor(X / 2**bits) is the sum of the
    components' quotients, plus the carry of their remainders, less w 2**(64-bits).  With S and M as in `circuits`, the
    top of X being 0, w = M_63 + (S_63 or M_62).  The majority of the remainders' top bits is their carry or one less.
    Cost: 4 rounds; conjunctions of 4 bits and 6 products an element.
    Source: after ABY3 section 5.1 for the local quotients; the known top bit after SIRNN (Rathee et al., S&P 2021).
    """
    count = len(x[0])
    x = plus_constant(s, x, 1 << 62)
    sums = tuple(np.stack([_core.pack(part >> np.uint64(at), 1) for at in (63, 62, bits - 1)]) for part in x)
    most = majority(s, (sums[0], sums[1]))
    top, below = cut((sums[0], sums[1]), slice(0, 1)), cut(most, slice(1, 2))
    wraps = xor(top, below, and_planes(s, top, below))
    first, second = (
        np.concatenate([_core.unpack(row, count, 1) for row in (most[i][0], wraps[i][0], most[i][2])]) for i in (0, 1)
    )
    flags = words_as_integers(s, (first, second), 1)
    quotients = tuple(_quotient(part, flag.reshape(3, -1), bits) for part, flag in zip(x, flags, strict=True))
    return plus_constant(s, (quotients[0], quotients[1]), -(1 << (62 - bits)))


def _quotient(part: Words, flags: Words, bits: int) -> Words:
    wraps, more, carry = flags
    quotient: Words = (part >> np.uint64(bits)) + carry - ((wraps + more) << np.uint64(64 - bits))
    return quotient
