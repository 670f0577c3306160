"""Arithmetic on replicated shares: products, truncation, bits as integers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.outline import packed
from lingqu.share.rep3.session import Parts, Session, flat
from lingqu.share.rep3.turns import Steps, side_by_side

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
    parts = [(seat, (x[0][rows], x[1][rows])) for seat, rows in s.divided(len(x[0]), 1)]
    known = [np.ascontiguousarray(one[0] + one[1] if seat.party == 0 else _third(seat, one)) for seat, one in parts]
    return _after_one_another([_truncated(seat, own, bits) for (seat, _), own in zip(parts, known, strict=True)])


def truncate_sum(s: Session, own: Words, bits: int) -> Parts:
    """As `truncate` on the sum of one component each, masked by a share of zero; it need not be reshared first.

    Parties 1 and 2 tell each other theirs, in the round in which party 0 shares.  Cost: 2 rounds, 16 bytes more.
    """
    s = s.turned(0)
    if s.party != 0:
        s.send(3 - s.party, own)
        own = own + s.receive(3 - s.party, len(own))
    return side_by_side([_truncated(s, own, bits)])[0]


def _after_one_another(parts: Sequence[Steps[Parts]]) -> Parts:
    """Results of an operation's parts, which run side by side, as one."""
    found = side_by_side(parts)
    if len(found) == 1:
        return found[0]
    return np.concatenate([one for one, _ in found]), np.concatenate([two for _, two in found])


def _truncated(s: Session, known: Words, bits: int) -> Steps[Parts]:
    """known: a at party 0, b at parties 1 and 2."""
    count, size = len(known), packed(len(known), bits)
    if s.party == 0:
        first, second, message = _core.truncate_lead(known, bits, s.mine, s.next)
        s.send(1, message)
        return first, second
    if s.party == 1:
        yield
        drawn, part = _core.truncate_helper(s.receive(0, count + size), known, bits, s.mine)
        s.send(2, part, width=bits)
    else:
        drawn, part = _core.truncate_other(known, bits, s.next)
        s.send(1, part, width=bits)
        yield
    yield
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


def bits_as_integers(s: Session, bits: list[Parts]) -> Parts:
    """As `words_as_integers` of single bits, which lie packed until they are needed; the list is emptied."""
    count = len(bits[0][0])
    dense = [_core.pack(part, 1) for part in bits.pop()]
    s = s.turned(0)
    part = None if s.party == 0 else np.empty(count, np.uint64)
    for start in range(0, max(count, 1), CHUNK_ROWS):
        rows = slice(start, min(count, start + CHUNK_ROWS))
        first, second = (_core.unpack(half[start // 64 : -(-rows.stop // 64)], rows.stop - start, 1) for half in dense)
        terms = _terms(s, (first, second), 1)
        if part is not None and terms is not None:
            part[rows] = terms
    return s.join_pair(2, part, count)


def weigh(s: Session, bits: Parts, weights: NDArray[np.int64], count: int) -> Parts:
    """Sums of bits times public weights, flat; bits: flat, of shape (columns of the weights, count).

    As `words_as_integers`, with the weights in place of powers of two; the sums alone are joined.
    Cost: 2 rounds, 8 bytes a bit and 16 a sum.  Discloses: nothing.
    """
    columns = weights.shape[1]
    shaped = [part.reshape(columns, count) for part in bits]
    parts = s.divided(count, columns - len(weights))
    running = [_weighed(seat, (shaped[0][:, rows], shaped[1][:, rows]), weights) for seat, rows in parts]
    found = side_by_side(running)
    if len(found) == 1:
        return found[0]
    joined = [np.concatenate([part[i].reshape(len(weights), -1) for part in found], axis=1) for i in (0, 1)]
    return joined[0].reshape(-1), joined[1].reshape(-1)


def _weighed(s: Session, bits: Parts, weights: NDArray[np.int64]) -> Steps[Parts]:
    (many, columns), count = weights.shape, bits[0].shape[1]
    lead = None if s.party else flat(bits[0] ^ bits[1])
    if s.party == 1:
        yield  # others send before it waits for party 0
    half = _received_half(s, s.give(0, lead, columns * count))
    part = None
    if half is not None:
        d = _third(s, bits)
        terms, sums = half.reshape(columns, count) * (ONE - TWO * d), np.zeros((many, count), np.uint64)
        if s.party == 2:
            terms += d
        for row, column in zip(*np.nonzero(weights), strict=True):
            sums[row] += terms[column] * np.uint64(int(weights[row, column]) % (1 << 64))
        part = sums.reshape(-1)
    joining = s.joining(2, part, many * count)
    next(joining)
    if s.party == 2:
        yield
    yield
    return (yield from joining)


def steer(s: Session, bits: tuple[Words, Words], x: tuple[Words, Words]) -> Parts:
    """Bits times words, broadcast to the words' shape; flat.

    Party 0 knows c = b_0 ^ b_1 and x_0 + x_1, and shares c and c (x_0 + x_1); parties 1 and 2 know d = b_2 and x_2, so
    c x_2 is theirs to compute.  Then b x = c x (1 - 2 d) + d x is a sum of what these two know.
    Cost: 2 rounds, 8 bytes a bit and 24 a word.  Discloses: nothing.
    Source: after ABY3 section 5.4.1, with the helper's shares in place of oblivious transfer.
    """
    if bits[0].size != x[0].size:
        return side_by_side([_steered(s.turned(bits[0].size), bits, x)])[0]
    flags, words = (flat(bits[0]), flat(bits[1])), (flat(x[0]), flat(x[1]))
    parts = s.divided(len(words[0]), 1)
    return _after_one_another(
        [_steered(seat, (flags[0][at], flags[1][at]), (words[0][at], words[1][at])) for seat, at in parts]
    )


def _steered(s: Session, bits: Parts, x: Parts) -> Steps[Parts]:
    shape, flags, size = x[0].shape, bits[0].size, x[0].size
    if s.party == 1:
        yield  # others send before it waits for party 0
    known = None if s.party else bits[0] ^ bits[1]
    chosen = _received_half(s, s.give(0, None if known is None else flat(known), flags))
    product = None if known is None else flat(known * (x[0] + x[1]))
    words = _received_half(s, s.give(0, product, size))
    part = None
    if chosen is not None and words is not None:
        d, third = (bits[1], x[1]) if s.party == 1 else (bits[0], x[0])
        part = chosen.reshape(bits[0].shape) * third
        part += words.reshape(shape)
        part *= ONE - TWO * d
        part += (x[0] + x[1] if s.party == 1 else x[1]) * d
        part = flat(part)
    joining = s.joining(2, part, size)
    next(joining)
    if s.party == 2:
        yield
    yield
    return (yield from joining)


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
