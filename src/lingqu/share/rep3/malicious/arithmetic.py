"""Bits as integers, and exact truncation, as share.rep3 makes them, with every message claimed by its one sender.

Party 0 knows what it shares from x_0 and x_1; of these party 2, its first verifier, knows the one and party 1, its
second, the other.  So a product of what each of them knows, shared by party 0, is a claim like any other.  Parties 1
and 2 then multiply their parts by what both know from x_2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.share.api import Words
from lingqu.share.rep3.malicious.ring_claims import Reading, bit, whole
from lingqu.share.rep3.malicious.session import Checked, Halves, component
from lingqu.share.rep3.session import Parts, flat, flat_pair

ONE = np.uint64(1)
CHUNK_BITS = 1 << 22
"""Bits that become integers at a time."""
SIGN = 63
OFFSET = 1 << 62
"""What is added so that a truncated value is not negative."""


def chunk_rows(width: int) -> int:
    """Words of a width that become integers at a time."""
    return max(1, CHUNK_BITS // width)


Components = list[Words | None]
"""x_0, x_1 and x_2, None where not held."""


def _read(words: Words | None) -> list[Reading] | None:
    return None if words is None else [whole(words)]


def _times_known(
    s: Checked, halves: Halves, known: list[Reading] | None, count: int, width: int = 64, kept: int = 2
) -> tuple[Halves, Halves]:
    """h_0 and h_1 times what parties 1 and 2 know, as many terms as there are a result summed.  1 round.

    width: how many bits of the results, the uppermost, may be other than 0.  kept: see Checked.share_dot.
    Returns components 0 and 2 of the products with h_0, 1 and 2 of those with h_1.
    """
    two = s.share_dot(2, known, _read(halves[0]), count, width, kept)
    one = s.share_dot(1, _read(halves[1]), known, count, width, kept)
    return (two[1], two[0]), one


def _exclusive(bits: Halves, product: Halves) -> Halves:
    """Shares of b_0 ^ b_1 as an integer: a bit less twice a share of the product of both."""
    one, two = (
        None if bit is None or part is None else bit - (part << ONE) for bit, part in zip(bits, product, strict=True)
    )
    return one, two


def _held(s: Checked, components: Components) -> Parts:
    first, second = components[s.party], components[s.after]
    assert first is not None
    assert second is not None
    return first, second


def words_as_integers(s: Checked, bits: Parts, width: int) -> Parts:
    """XOR-shared words as integers; for width 1 a bit as 0 or 1.

    Party 0 shares p = b_0 b_1 bit by bit, so b_0 ^ b_1 is h_0 + h_1 with h_i = b_i - 2 p_i.  With d = b_2 a bit is
    d + (h_0 + h_1) (1 - 2 d); parties 1 and 2 share the terms with h_1 and with h_0.
    Cost: 2 rounds a chunk of rows, 8 width + 16 bytes an element; the proof has one pair of factors a bit and party.
    Source: after ABY3 section 5.4, with the helper's share in place of oblivious transfer.
    """
    count, rows = len(bits[0]), chunk_rows(width)
    chunks = [slice(start, min(count, start + rows)) for start in range(0, max(count, 1), rows)]
    found = [_words_as_integers(s, (bits[0][part], bits[1][part]), width) for part in chunks]
    if len(found) == 1:
        return found[0]
    first, second = (np.concatenate([part[i] for part in found]) for i in (0, 1))
    return first, second


def _words_as_integers(s: Checked, bits: Parts, width: int) -> Parts:
    count, places = len(bits[0]), np.arange(width, dtype=np.uint64)[:, None]

    def spread(index: int) -> Words | None:
        words = component(s, bits, index)
        return None if words is None else ((words[None, :] >> places) & ONE).reshape(-1)

    b_0, b_1, b_2 = (spread(index) for index in range(3))
    product = s.share_dot(0, _read(b_0), _read(b_1), width * count)
    halves = _exclusive((b_0, b_1), product)
    factor = None if b_2 is None else ((ONE - (b_2 << ONE)).reshape(width, count) << places).reshape(-1)
    (found_0, first), (found_1, second) = _times_known(s, halves, _read(factor), count)
    words, found_2 = component(s, bits, 2), None
    if words is not None:
        assert first is not None
        assert second is not None
        found_2 = first + second
        found_2 += words & np.uint64((1 << width) - 1)
    return _held(s, [found_0, found_1, found_2])


def weigh(s: Checked, bits: Parts, weights: NDArray[np.int64], count: int) -> Parts:
    """Sums of bits times public weights, flat; bits: flat, of shape (columns of the weights, count).

    As `words_as_integers`, with the weights in place of powers of two.
    Cost: 2 rounds a chunk of elements, 8 bytes a bit and 16 a sum; the proof has one pair of factors a bit of party 0,
    and one a bit and sum in which it counts of each other party.
    """
    rows = chunk_rows(max(weights.shape[1], 1))
    shaped = [part.reshape(weights.shape[1], count) for part in bits]
    chunks = [slice(start, min(count, start + rows)) for start in range(0, max(count, 1), rows)]
    found = [_weigh(s, (shaped[0][:, part], shaped[1][:, part]), weights) for part in chunks]
    first, second = (np.concatenate([part[i] for part in found], axis=1) for i in (0, 1))
    return flat(first), flat(second)


def _weigh(s: Checked, bits: Parts, weights: NDArray[np.int64]) -> Parts:
    (many, columns), count = weights.shape, bits[0].shape[1]
    b_0, b_1, b_2 = (component(s, flat_pair(bits), index) for index in range(3))
    halves = _exclusive((b_0, b_1), s.share_dot(0, _read(b_0), _read(b_1), columns * count))
    first, second = np.empty((many, count), np.uint64), np.empty((many, count), np.uint64)
    for row in range(many):
        used = np.flatnonzero(weights[row])
        factors = weights[row, used].astype(np.uint64)[:, None]

        def counted(words: Words | None, used: NDArray[np.intp] = used) -> Words | None:
            return None if words is None else words.reshape(columns, count)[used]

        d, (one, two) = counted(b_2), (counted(half) for half in halves)
        known = None if d is None else flat((ONE - (d << ONE)) * factors)
        flats = one if one is None else flat(one), two if two is None else flat(two)
        (found_0, by_0), (found_1, by_1) = _times_known(s, flats, _read(known), count)
        found_2 = None
        if d is not None:
            assert by_0 is not None
            assert by_1 is not None
            found_2 = by_0 + by_1
            found_2 += np.add.reduce(d * factors, axis=0)
        first[row], second[row] = _held(s, [found_0, found_1, found_2])
    return first, second


def truncate(s: Checked, x: Parts, bits: int) -> Parts:
    """floor(x / 2**bits) + e, e in {0, -1}, for |x| < 2**62.

    As `share.rep3` does it: x + 2**62 = a + b - 2**64 w with a = x_0 + 2**62 + x_1 modulo 2**64 and b = x_2, and with
    the top bits A and B of both w = B + A - A B.  Party 0 shares the carries c of a's sum, and so its bits.  Then
    a >> bits is the sum of the summands' quotients and c_bits - 2**(64-bits) c_64; the products that make integers of
    these bits and of A are shared by party 0.  What is claimed of bits is read from the words that they stand in.
    Cost: 2 rounds, 16 + 3/8 bits bytes an element; the proof has a word and three pairs of factors of party 0's and
    one pair of each other's an element.
    Source: share layout of ABY3 section 5.1; the known top bit after SIRNN (Rathee et al., S&P 2021).
    """
    count, turn = len(x[0]), 64 - bits
    x_0, x_1, b = (component(s, x, index) for index in range(3))
    x_0 = None if x_0 is None else x_0 + np.uint64(OFFSET)
    (c_0, c_1), (u_0, u_1) = s.carries((x_0, x_1), count)
    low = None if c_0 is None else [bit(c_0, bits - 1), bit(c_0, SIGN)]
    high = None if c_1 is None else [bit(c_1, bits - 1, -2), bit(c_1, SIGN, 2 << turn)]
    added = s.share_dot(0, low, high, count, kept=0)
    top_0 = None if u_0 is None else [bit(u_0, SIGN, 1 << turn)]
    top = s.share_dot(0, top_0, None if u_1 is None else [bit(u_1, SIGN)], count, bits, kept=0)
    # shares of A, times 2**(64-bits)
    h_0, h_1 = (
        None if u is None or part is None else _core.top_part(u, part, bits)
        for u, part in zip((u_0, u_1), top, strict=True)
    )
    (by_0, first), (by_1, second) = _times_known(s, (h_0, h_1), None if b is None else [bit(b, SIGN)], count, bits, 1)
    parts = zip((x_0, x_1), (c_0, c_1), added, (h_0, h_1), (by_0, by_1), strict=True)
    found: Components = [_summand(*part, bits) for part in parts]
    found.append(
        None if b is None or first is None or second is None else _core.truncated_known(b, first, second, bits, OFFSET)
    )
    return _held(s, found)


def _summand(
    x: Words | None, carries: Words | None, added: Words | None, top: Words | None, by: Words | None, bits: int
) -> Words | None:
    """One of a's summands' component of the quotient, at the parties that hold it."""
    if x is None or carries is None or added is None or top is None or by is None:
        return None
    return _core.truncated_summand(x, carries, added, top, by, bits)
