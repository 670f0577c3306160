"""Arithmetic on replicated shares: products, truncation, bits as integers."""

from __future__ import annotations

import numpy as np

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.rep3.session import Parts, Session

OFFSET = np.uint64(1 << 62)
TOP = np.uint64(63)
ONE = np.uint64(1)
TWO = np.uint64(2)
CHUNK_ROWS = 1 << 17


def multiply(s: Session, x: Parts, y: Parts) -> Parts:
    """x * y, flat.  Source: Araki et al. (CCS 2016) section 3.2."""
    return s.reshare(_core.multiply_shares(x, y, s.mine, s.next))


def sum_of_products(s: Session, x: Parts, y: Parts, terms: int) -> Parts:
    """The sum over the first of `terms` axes of x * y, flat, reshared once."""
    products = _core.multiply_shares(x, y, s.mine, s.next).reshape(terms, -1)
    return s.reshare(np.add.reduce(products, axis=0))


def matmul(s: Session, x: Parts, y: Parts, sizes: tuple[int, int, int], turned: bool) -> Parts:
    """x @ y, flat in row order (x by columns where turned); only the product is reshared."""
    return s.reshare(_core.matmul_shares(x, y, sizes, turned, s.mine, s.next))


def truncate(s: Session, x: Parts, bits: int) -> Parts:
    """floor(x / 2**bits) + e, e in {0, -1}, for |x| < 2**62.

    x + 2**62 is non-negative below 2**63. Party 0 knows a = x_0 + x_1, parties 1 and 2 know b = x_2. As the top bit of
    a + b is known to be 0, the sum wraps exactly when a or b has its top bit: w = msb(a) + msb(b) - msb(a) msb(b).
    Then (a >> bits) + (b >> bits) - w 2**(64-bits) loses at most the carry of the low bits.
    Cost: 2 rounds, 32 bytes an element.  Discloses: nothing.
    Source: share layout of ABY3 section 5.1; the known top bit after SIRNN (Rathee et al., S&P 2021).
    """
    count, shift, wrap = len(x[0]), np.uint64(bits), np.uint64(64 - bits)
    known: Words | None = None
    if s.party == 0:
        a = x[0] + x[1] + OFFSET
        known = np.concatenate([a >> shift, (a >> TOP) << wrap])
    part = _received_half(s, s.give(0, known, 2 * count))
    if part is not None:
        b = _third(s, x)
        top = b >> TOP
        part = part[:count] - part[count:] * (ONE - top)
        if s.party == 1:
            part -= OFFSET >> shift
        else:
            part += (b >> shift) - (top << wrap)
    return s.join_pair(2, part, count)


def _received_half(s: Session, given: Parts) -> Words | None:
    """The additive half that party 1 or 2 has of what party 0 gave."""
    return None if s.party == 0 else given[0] if s.party == 1 else given[1]


def _third(s: Session, x: Parts) -> Words:
    """Component x_2, at party 1 or 2."""
    return x[1] if s.party == 1 else x[0]


def words_as_integers(s: Session, bits: Parts, width: int) -> Parts:
    """XOR-shared words as integers; for width 1 a bit as 0 or 1.

    Party 0 knows c = b_0 ^ b_1, parties 1 and 2 know d = b_2; bit by bit b = d + c (1 - 2 d), a product of a shared c
    with a factor that both other parties know.
    Cost: 2 rounds, 8 width + 16 bytes an element.  Discloses: nothing.
    Source: after ABY3 section 5.4, with the helper's share in place of oblivious transfer.
    """
    count = len(bits[0])
    part = None if s.party == 0 else np.empty(count, np.uint64)
    for start in range(0, max(count, 1), CHUNK_ROWS):
        rows = slice(start, min(count, start + CHUNK_ROWS))
        terms = _terms(s, (bits[0][rows], bits[1][rows]), width)
        if part is not None and terms is not None:
            part[rows] = terms
    return s.join_pair(2, part, count)


def _terms(s: Session, bits: Parts, width: int) -> Words | None:
    """What party 1 or 2 adds to the integers of some rows; the chunks bound the memory, not the rounds."""
    count = len(bits[0])
    places = np.arange(width, dtype=np.uint64)[:, None]
    known = None if s.party else (((bits[0] ^ bits[1])[None, :] >> places) & ONE).reshape(-1)
    half = _received_half(s, s.give(0, known, width * count))
    if half is None:
        return None
    d = (_third(s, bits)[None, :] >> places) & ONE
    terms = half.reshape(width, count) * (ONE - TWO * d)
    if s.party == 2:
        terms += d
    weighed: Words = np.add.reduce(terms << places, axis=0) if width > 1 else terms[0]
    return weighed
