"""Sums of three summands by conjunctions alone, each of them proved.

Component x_i is known to two parties, so all three are XOR-shared words without a message: X_i stands in component
i, the others are 0.  Their XOR has the components' own planes, and a carry-save step leaves two summands,
x_0 + x_1 + x_2 = S + 2 M, S the XOR and M the majority: one conjunction a bit.
Source: Mohassel, Rindal, ABY3 (CCS 2018), section 5.3, in its version against malicious parties.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lingqu import _core
from lingqu.share.bitplanes import sklansky
from lingqu.share.rep3.circuits import Planes, all_ones, and_planes, by_chunks, complement, planes_of
from lingqu.share.rep3.session import Parts, Session


def without(s: Session, x: Planes, *indices: int) -> Planes:
    """The sharing with some components 0."""
    first, second = (
        np.zeros_like(part) if index % 3 in indices else part for index, part in ((s.party, x[0]), (s.party + 1, x[1]))
    )
    return first, second


def xor(x: Planes, *others: Planes) -> Planes:
    """Exclusive or."""
    first, second = x
    for other in others:
        first, second = first ^ other[0], second ^ other[1]
    return first, second


def cut(x: Planes, rows: slice) -> Planes:
    """Some of the planes."""
    return x[0][rows], x[1][rows]


def joined(*parts: Planes) -> Planes:
    """All their planes, one after the other."""
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def majority(s: Session, x: Planes) -> Planes:
    """The majority of the three components: ((X_0 ^ X_1) & (X_0 ^ X_2)) ^ X_0.  1 round."""
    return xor(and_planes(s, without(s, x, 2), without(s, x, 1)), without(s, x, 1, 2))


@dataclass(frozen=True)
class _Carries:
    """Nodes (chooses, value), the lowest first: where a node does not choose, the value of those below it counts.

    In a position where both summands' bits are equal they are the carry out of it, else the carry from below passes.
    The lowest node is the carry out of position 0, where 2 M has no bit.
    """

    chooses: Planes
    values: Planes

    def halved(self, s: Session) -> _Carries:
        """Neighbours combined, an odd one at the top as it is: 1 round."""
        by, values, count = self.chooses, self.values, len(self.values[0])
        lower, upper, odd = slice(0, count // 2 * 2, 2), slice(1, None, 2), slice(count // 2 * 2, None)
        by_lower, by_upper = cut(by, lower), cut(by, upper)
        chosen, either = _chosen(
            s, by_upper, xor(cut(values, upper), cut(values, lower)), _rest(by_upper), _rest(by_lower)
        )
        return _Carries(
            joined(cut(by_lower, slice(1)), either, cut(by, odd)),
            joined(xor(chosen, cut(values, lower)), cut(values, odd)),
        )

    def spread(self, s: Session) -> Planes:
        """Every node's value after those below it: ceil(log2(nodes)) rounds.  Source: Sklansky (1960)."""
        by, values = (tuple(part.copy() for part in planes) for planes in (self.chooses, self.values))
        for level in range((len(values[0]) - 1).bit_length()):
            to, origin = sklansky(level, len(values[0]))
            later = to >= 2 << level
            upper, lower = ((by[0][rows[later]], by[1][rows[later]]) for rows in (to, origin))
            differ = values[0][to] ^ values[0][origin], values[1][to] ^ values[1][origin]
            chosen, either = _chosen(s, (by[0][to], by[1][to]), differ, upper, lower)
            for i in (0, 1):
                values[i][to] = chosen[i] ^ values[i][origin]
                by[i][to[later]] = either[i]
        return values[0], values[1]


def _rest(x: Planes) -> Planes:
    return cut(x, slice(1, None))


def _chosen(s: Session, by: Planes, differ: Planes, upper: Planes, lower: Planes) -> tuple[Planes, Planes]:
    """by & differ and upper | lower, plane by plane: 1 round."""
    both = and_planes(s, joined(by, upper), joined(differ, lower))
    count = len(by[0])
    return cut(both, slice(count)), xor(cut(both, slice(count, None)), upper, lower)


def _carries(s: Session, sums: Planes, most: Planes) -> _Carries:
    """The carries out of all positions but the last, not yet combined."""
    inner = cut(sums, slice(1, -1))
    equal = complement(s, xor(inner, cut(most, slice(0, -1))))
    zero = np.zeros_like(sums[0][:1]), np.zeros_like(sums[1][:1])
    return _Carries(joined(zero, equal), joined(zero, inner))


def sign(s: Session, x: Parts, bits: int) -> Parts:
    """A dense bit an element: x < 0, for -2**(bits-1) <= x < 2**(bits-1).

    Cost: 1 + ceil(log2(bits - 1)) rounds a chunk of rows.
    """
    return by_chunks(x, lambda part: _sign(s, planes_of(part, bits)))


def _sign(s: Session, sums: Planes) -> Parts:
    """The top plane of S + 2 M."""
    most = majority(s, cut(sums, slice(0, -1)))
    carries = _carries(s, sums, most)
    while len(carries.values[0]) > 1:
        carries = carries.halved(s)
    top = tuple(sums[i][-1] ^ most[i][-1] ^ carries.values[i][0] for i in (0, 1))
    return top[0], top[1]


def is_zero(s: Session, x: Parts) -> Parts:
    """A dense bit an element: x == 0.  8 rounds a chunk of rows.

    A + B == 0 exactly if A ^ B == 2 (A | B), here with A = S and B = 2 M.
    """
    return by_chunks(x, lambda part: _is_zero(s, planes_of(part, 64)))


def _is_zero(s: Session, sums: Planes) -> Parts:
    most = majority(s, cut(sums, slice(0, -1)))
    upper, lower = cut(sums, slice(1, -1)), cut(most, slice(0, -1))
    either = xor(and_planes(s, upper, lower), upper, lower)
    shifted = joined((np.zeros_like(sums[0][:1]), np.zeros_like(sums[1][:1])), cut(sums, slice(1)), either)
    return all_ones(s, complement(s, xor(_doubled_in(sums, most), shifted)))


def _doubled_in(sums: Planes, most: Planes) -> Planes:
    """S ^ 2 M."""
    return joined(cut(sums, slice(1)), xor(_rest(sums), most))


def to_bits(s: Session, x: Parts) -> Parts:
    """All 64 bits of x_0 + x_1 + x_2 as words: 7 rounds a chunk of rows."""
    return by_chunks(x, lambda part: _to_bits(s, part))


def _to_bits(s: Session, x: Parts) -> Parts:
    sums = planes_of(x, 64)
    most = majority(s, cut(sums, slice(0, -1)))
    whole = _doubled_in(sums, most)
    carried = xor(_rest(whole), _carries(s, sums, most).spread(s))
    first, second = (_core.from_planes(part.reshape(-1), len(x[0])) for part in joined(cut(whole, slice(1)), carried))
    return first, second
