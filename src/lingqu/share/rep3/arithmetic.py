"""Arithmetic on replicated shares: products, truncation, bits as integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.outline import packed
from lingqu.share.rep3.session import Parts, Session, flat

ONE = np.uint64(1)
TWO = np.uint64(2)
CHUNK_ROWS = 1 << 17


def multiply(s: Session, x: Parts, y: Parts) -> Parts:
    """x * y, flat.  Source: Araki et al. (CCS 2016) section 3.2."""
    return s.reshare(_core.multiply_shares(x, y, s.mine, s.next))


def sum_of_products(s: Session, x: Parts, y: Parts, terms: int) -> Parts:
    """The sum over the first of `terms` axes of x * y, flat, reshared once."""
    products = _core.multiply_shares(x, y, s.mine, s.next)
    return s.reshare(products if terms == 1 else np.add.reduce(products.reshape(terms, -1), axis=0))


def matmul(s: Session, pairs: Sequence[tuple[Parts, bool, Parts]], sizes: tuple[int, int, int]) -> Parts:
    """Products x @ y of a stack, flat in row order; (x, whether x lies by columns, y) of each.

    Only the products are reshared, all at once.
    """
    products = [_core.matmul_shares(x, y, sizes, turned, s.mine, s.next) for x, turned, y in pairs]
    return s.reshare(products[0] if len(products) == 1 else np.array(products, np.uint64).reshape(-1))


def truncate(s: Session, x: Parts, bits: int) -> Parts:
    """floor(x / 2**bits) + e, e in {0, -1}, for |x| < 2**62.

    x + 2**62 is non-negative below 2**63. Party 0 knows a = x_0 + x_1, parties 1 and 2 know b = x_2. As the top bit of
    a + b is known to be 0, the sum wraps exactly when a or b has its top bit: w = msb(b) + msb(a) (1 - msb(b)).
    Then (a >> bits) + (b >> bits) - w 2**(64-bits) loses at most the carry of the low bits. Party 0 shares a >> bits,
    and msb(a) in Z_2^bits, for no more of w reaches the result.
    Cost: 2 rounds, 8 + 3/8 bits bytes an element.  Discloses: nothing.
    Source: share layout of ABY3 section 5.1; the known top bit after SIRNN (Rathee et al., S&P 2021).
    """
    s = s.turned(len(x[0]))
    return _truncated(s, x[0] + x[1] if s.party == 0 else _third(s, x), bits)


def truncate_sum(s: Session, own: Words, bits: int) -> Parts:
    """As `truncate` on the sum of one component each, masked by a share of zero; it need not be reshared first.

    Parties 1 and 2 tell each other theirs, in the round in which party 0 shares.  Cost: 2 rounds, 16 bytes more.
    """
    s = s.turned(0)
    if s.party != 0:
        s.send(3 - s.party, own)
        own = own + s.receive(3 - s.party, len(own))
    return _truncated(s, own, bits)


def _truncated(s: Session, known: Words, bits: int) -> Parts:
    """known: a at party 0, b at parties 1 and 2."""
    count, size = len(known), packed(len(known), bits)
    if s.party == 0:
        first, second, message = _core.truncate_lead(known, bits, s.mine, s.next)
        s.send(1, message)
        return first, second
    if s.party == 1:
        drawn, part = _core.truncate_helper(s.receive(0, count + size), known, bits, s.mine)
    else:
        drawn, part = _core.truncate_other(known, bits, s.next)
    s.send(3 - s.party, part, width=bits)
    joint = _core.truncate_joint(known, part, s.receive(3 - s.party, size), bits)
    return (drawn, joint) if s.party == 1 else (joint, drawn)


def multiply_truncate(s: Session, x: Parts, y: Parts, bits: int) -> Parts:
    """x * y / 2**bits, truncated as `truncate` does: 2 rounds, 24 + 3/8 bits bytes an element."""
    return truncate_sum(s, _core.multiply_shares(x, y, s.mine, s.next), bits)


def matmul_truncate(s: Session, x: Parts, y: Parts, sizes: tuple[int, int, int], turned: bool, bits: int) -> Parts:
    """x @ y / 2**bits, truncated once."""
    return truncate_sum(s, _core.matmul_shares(x, y, sizes, turned, s.mine, s.next), bits)


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
    s = s.turned(count * (width - 1))
    part = None if s.party == 0 else np.empty(count, np.uint64)
    for start in range(0, max(count, 1), CHUNK_ROWS):
        rows = slice(start, min(count, start + CHUNK_ROWS))
        terms = _terms(s, (bits[0][rows], bits[1][rows]), width)
        if part is not None and terms is not None:
            part[rows] = terms
    return s.join_pair(2, part, count)


def weigh(s: Session, bits: Parts, weights: NDArray[np.int64], count: int) -> Parts:
    """Sums of bits times public weights, flat; bits: flat, of shape (columns of the weights, count).

    As `words_as_integers`, with the weights in place of powers of two; the sums alone are joined.
    Cost: 2 rounds, 8 bytes a bit and 16 a sum.  Discloses: nothing.
    """
    many = len(weights)
    s = s.turned(len(bits[0]) - many * count)
    half = _received_half(s, s.give(0, None if s.party else bits[0] ^ bits[1], len(bits[0])))
    part = None
    if half is not None:
        d = _third(s, bits)
        half = half * (ONE - TWO * d)
        if s.party == 2:
            half += d
        terms, sums = half.reshape(weights.shape[1], count), np.zeros((many, count), np.uint64)
        for row, column in zip(*np.nonzero(weights), strict=True):
            sums[row] += terms[column] * np.uint64(int(weights[row, column]) % (1 << 64))
        part = sums.reshape(-1)
    return s.join_pair(2, part, many * count)


def steer(s: Session, bits: tuple[Words, Words], x: tuple[Words, Words]) -> Parts:
    """Bits times words, broadcast to the words' shape; flat.

    Party 0 knows c = b_0 ^ b_1 and x_0 + x_1, and shares c and c (x_0 + x_1); parties 1 and 2 know d = b_2 and x_2, so
    c x_2 is theirs to compute.  Then b x = c x (1 - 2 d) + d x is a sum of what these two know.
    Cost: 2 rounds, 8 bytes a bit and 24 a word.  Discloses: nothing.
    Source: after ABY3 section 5.4.1, with the helper's shares in place of oblivious transfer.
    """
    shape, flags = x[0].shape, bits[0].size
    s = s.turned(flags)
    known = None if s.party else bits[0] ^ bits[1]
    chosen = _received_half(s, s.give(0, None if known is None else flat(known), flags))
    product = None if known is None else flat(known * (x[0] + x[1]))
    words = _received_half(s, s.give(0, product, x[0].size))
    if chosen is None or words is None:
        return s.join_pair(2, None, x[0].size)
    d, third = (bits[1], x[1]) if s.party == 1 else (bits[0], x[0])
    part = chosen.reshape(bits[0].shape) * third
    part += words.reshape(shape)
    part *= ONE - TWO * d
    part += (x[0] + x[1] if s.party == 1 else x[1]) * d
    return s.join_pair(2, flat(part), x[0].size)


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
