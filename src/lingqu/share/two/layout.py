"""How a product of matrices is cut into ciphertexts, and what it costs: functions of public sizes alone.

Source: Cheetah (Huang et al., USENIX Security 2022), section 3.1; docs/protocols/lattice-products.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from lingqu._core import lattice_bytes, lattice_parameters, matrix_layout
from lingqu.kinds.mechanism import Cost

_TRIPLES, _MATRICES = lattice_parameters()
SLOTS = _TRIPLES[0]
"""Elementwise products in one exchange."""
DEGREE = _MATRICES[0]
TRIPLE_KEY, TRIPLE_REQUEST, TRIPLE_ANSWER, MATRIX_KEY = lattice_bytes()
MOST_DEEP = 256
"""Ciphertexts in one request, which bounds the memory of an exchange (52 MB, and 134 MB unpacked)."""
WINDOW = 3
"""Answers that a party sends ahead of those it reads."""

Sizes = tuple[int, int, int, int, int, int]

# Nanoseconds, for choosing among layouts only: a byte, a ciphertext made and read, an answer, a product of two.
_BYTE, _REQUEST, _ANSWER, _PRODUCT = 8, 1_000_000, 700_000, 9_000


class Verb(IntEnum):
    """What a party does next: send a request, read one, send an answer, read one."""

    ASK = 0
    TAKE = 1
    ANSWER = 2
    FINISH = 3


@dataclass(frozen=True)
class Step:
    """One message of one exchange; a request has several answers, one for each group of columns."""

    verb: Verb
    exchange: int
    group: int = 0


def steps(asked: int, answered: int, groups: int) -> Iterator[Step]:
    """A party's messages in order: `asked` requests of its own beside `answered` ones of the peer.

    The next request goes out before the last answers of this exchange are read, answers WINDOW ahead, so that both
    parties work at once and hold little. What one sends in some order, the other reads in that order.
    """
    if asked:
        yield Step(Verb.ASK, 0)
    for exchange in range(max(asked, answered)):
        if exchange < answered:
            yield Step(Verb.TAKE, exchange)
        for group in range(groups + WINDOW):
            if exchange < answered and group < groups:
                yield Step(Verb.ANSWER, exchange, group)
            if exchange + 1 < asked and group == groups:
                yield Step(Verb.ASK, exchange + 1)
            if exchange < asked and group >= WINDOW:
                yield Step(Verb.FINISH, exchange, group - WINDOW)


def measured(
    sides: tuple[Iterator[Step], Iterator[Step]], size: Callable[[Step], int], depths: list[int] | None = None
) -> Cost:
    """The cost of two parties that follow their steps.

    depths: the length of the longest chain of messages that has come to each of them, which is brought up to date.
    """
    total = 0
    depths = [0, 0] if depths is None else depths
    pending: list[deque[int]] = [deque(), deque()]
    waiting = [next(side, None) for side in sides]
    while any(waiting):
        for party, side in enumerate(sides):
            while (step := waiting[party]) is not None:
                if step.verb in (Verb.ASK, Verb.ANSWER):
                    total += size(step)
                    pending[party].append(depths[party] + 1)
                elif pending[1 - party]:
                    depths[party] = max(depths[party], pending[1 - party].popleft())
                else:
                    break
                waiting[party] = next(side, None)
    return Cost(max(depths), total)


@dataclass(frozen=True)
class Layout:
    """A product of m x k by k x n, or its transpose when `turned`, in blocks of run x deep by deep x wide.

    The left matrix (the right one turned, when `turned`) is encrypted; rows, inner, columns are those after turning.
    """

    rows: int
    inner: int
    columns: int
    turned: bool
    run: int
    deep: int
    wide: int

    @property
    def exchanges(self) -> list[tuple[range, range]]:
        """The rows and the part of the inner dimension of each exchange."""
        part = self.deep * MOST_DEEP
        return [
            (range(row, min(row + self.run, self.rows)), range(at, min(at + part, self.inner)))
            for at in range(0, self.inner, part)
            for row in range(0, self.rows, self.run)
        ]

    def sizes(self, rows: range, inner: range) -> Sizes:
        """The sizes of one exchange, as the kernels take them."""
        return len(rows), len(inner), self.columns, self.run, self.deep, self.wide

    @property
    def groups(self) -> int:
        """Answers to one request."""
        return len(matrix_layout(self.sizes(*self.exchanges[0]))[1])

    def cost(self, depths: list[int] | None = None) -> Cost:
        """What one product costs, both cross terms; depths: as in `measured`."""
        layouts = [matrix_layout(self.sizes(*exchange)) for exchange in self.exchanges]

        def size(step: Step) -> int:
            request, answers = layouts[step.exchange]
            return request if step.verb is Verb.ASK else answers[step.group][2]

        count, groups = len(layouts), self.groups
        return measured((steps(count, count, groups), steps(count, count, groups)), size, depths)


@lru_cache(maxsize=1024)
def choose(m: int, k: int, n: int) -> Layout:
    """The layout that is estimated to take the least time; both parties come to the same one."""
    best: tuple[int, Layout] | None = None
    for turned, rows, columns in ((False, m, n), (True, n, m)):
        run = 8
        while run <= DEGREE:
            deep = 1
            while run * deep <= DEGREE:
                layout = Layout(rows, k, columns, turned, run, deep, DEGREE // (run * deep))
                time = _estimate(layout)
                if best is None or time < best[0]:
                    best = time, layout
                deep *= 2
            run *= 2
    assert best is not None
    return best[1]


def _estimate(layout: Layout) -> int:
    blocks = -(-layout.rows // layout.run)
    ciphertexts = -(-layout.inner // layout.deep)
    answers = -(-layout.columns // layout.wide)
    parts = -(-ciphertexts // MOST_DEEP)
    request = blocks * ciphertexts * (_REQUEST + _BYTE * 25 * DEGREE)
    answer = blocks * answers * parts * (_ANSWER + _BYTE * 10 * DEGREE) + _BYTE * 2 * layout.rows * layout.columns
    return request + answer + blocks * ciphertexts * answers * _PRODUCT
