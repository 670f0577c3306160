"""Ring arithmetic of two parties: products by triples, bits times words by transfers, truncation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lingqu import _core
from lingqu.kinds.channel import Tag
from lingqu.share.api import Words
from lingqu.share.two.needs import TRIPLES, matrices, scaled
from lingqu.share.two.session import Session

OFFSET = np.uint64(1 << 62)
TOP = np.uint64(63)
ONE = np.uint64(1)
TWO = np.uint64(2)
Sizes = tuple[int, int, int]


def multiply(s: Session, x: Words, y: Words) -> Words:
    """x * y, flat: 1 round, 16 bytes an element and party.  Source: Beaver (CRYPTO 1991)."""
    a, b, c = s.take(TRIPLES, len(x))
    own = np.concatenate([x - a, y - b])
    opened = own + s.exchange(own, Tag.ELEMENTS)
    e, f = opened[: len(x)], opened[len(x) :]
    product: Words = c + e * b + a * f
    return np.add(product, e * f) if s.party == 0 else product


def matmul(s: Session, pairs: Sequence[tuple[Words, Words]], sizes: Sizes) -> Words:
    """x @ y for pairs of matrices of the same sizes, each flat in row order: 1 round for all.

    Cost: 8 bytes an entry of both operands and party.  Discloses: nothing.  Source: Beaver (CRYPTO 1991).
    """
    if not pairs:
        return np.zeros(0, np.uint64)
    triples = s.take(matrices(*sizes), len(pairs))
    own = [np.concatenate([x - a, y - b]) for (x, y), a, b in zip(pairs, triples[0].T, triples[1].T, strict=True)]
    opened = np.concatenate(own)
    opened += s.exchange(opened, Tag.ELEMENTS)
    each = zip(opened.reshape(len(pairs), -1), *(part.T for part in triples), strict=True)
    return np.concatenate([_matrix_product(s, both, triple, sizes) for both, *triple in each])


def _matrix_product(s: Session, opened: Words, triple: Sequence[Words], sizes: Sizes) -> Words:
    """e @ (b + f) + a @ f + c at party 0, e @ b + a @ f + c at party 1."""
    a, b, c = (np.ascontiguousarray(part) for part in triple)
    e, f = opened[: len(a)], opened[len(a) :]
    right = b + f if s.party == 0 else b
    return c + _core.matmul(e, right, sizes, False) + _core.matmul(a, f, sizes, False)


def bit_products(s: Session, givers: tuple[int, ...], flags: Words, values: Words, width: int = 64) -> list[Words]:
    """For each giver the product of its values and of the other's flags, shared modulo 2^width: 1 round.

    flags: 0 or 1, this party's where it is not the giver.  values: this party's where it is.
    Cost: for each giver a bit and `width` bits an element.  Discloses: nothing.
    Source: correlated transfer after Asharov et al. (CCS 2013), random transfers turned to chosen ones (Beaver 1995):
    for flag = c + e and value = w + f, flag value = c w (1 - 2 e) + e w + flag f.
    """
    count = len(flags)
    s.expect({scaled(giver): count for giver in givers})
    pieces = [s.take(scaled(giver), count) for giver in givers]
    for giver, (first, _) in zip(givers, pieces, strict=True):
        if giver == s.party:
            s.send(values - first, Tag.ELEMENTS, width)
        else:
            s.send(flags ^ first, Tag.BITS, 1)
    shares = []
    for giver, (first, product) in zip(givers, pieces, strict=True):
        if giver == s.party:
            e = s.receive(count, Tag.BITS, 1)
            shares.append(product * (ONE - TWO * e) + e * first)
        else:
            f = s.receive(count, Tag.ELEMENTS, width)
            shares.append(product * (ONE - TWO * (flags ^ first)) + flags * f)
    return shares


def choose(s: Session, flags: Words, x: Words) -> Words:
    """b x for a shared bit b and a shared x, flat: 1 round, 8 bytes and a bit an element and party.

    b x = b_0 x_0 + b_1 x_1 + b_1 (1 - 2 b_0) x_0 + b_0 (1 - 2 b_1) x_1.
    Source: the multiplexer of CrypTFlow2 (Rathee et al., CCS 2020), section 3.4.
    """
    own = flags * x
    first, second = bit_products(s, (0, 1), flags, x - TWO * own)
    return own + first + second


def words_as_integers(s: Session, words: Words, width: int) -> Words:
    """XOR-shared words as integers: b = b_0 + b_1 - 2 b_0 b_1 for every bit.  1 round.

    Cost: 8 bytes from party 0 and a bit from party 1, for every bit of an element.
    Source: CrypTFlow2 (Rathee et al., CCS 2020), section 3.4 (B2A).
    """
    places = np.arange(width, dtype=np.uint64)[:, None]
    bits = ((words[None, :] >> places) & ONE).reshape(-1)
    (both,) = bit_products(s, (0,), bits, bits)
    if width > 1:
        both = np.add.reduce(both.reshape(width, -1) << places, axis=0)
    return words - TWO * both


def truncate(s: Session, x: Words, bits: int) -> Words:
    """floor(x / 2**bits) + e, e in {0, -1}, for |x| < 2**62: 1 round, bits + 1 bits an element.

    x + 2**62 = a + b is non-negative below 2**63, so its shares wrap exactly when one has its top bit:
    w = msb(a) + msb(b) - msb(a) msb(b), needed modulo 2**bits.  Then (a >> bits) + (b >> bits) - w 2**(64-bits) loses
    at most the carry of the low bits.
    Source: SIRNN (Rathee et al., S&P 2021), truncation with a known top bit; Cheetah (USENIX Security 2022), section 4.
    """
    shift, wrap = np.uint64(bits), np.uint64(64 - bits)
    own = x + OFFSET if s.party == 0 else x
    top = own >> TOP
    (both,) = bit_products(s, (0,), top, top, bits)
    result = (own >> shift) - ((top - both) << wrap)
    return result - (OFFSET >> shift) if s.party == 0 else result
