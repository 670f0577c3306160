"""Which party is number 0 in an operation in which that one sends more than the others, so that all send as much."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TypeVar

PATIENCE = 1 << 16
"""Words that a party sends more than another before their parts change."""
DIVIDED = 1 << 18
"""Words that a party would send more than another in one operation from which on its rows are divided."""
TOGETHER = 64
"""Rows of a part are a multiple of this, so that those of any width fill whole words."""
T = TypeVar("T")
Steps = Generator[None, None, T]
"""One party's side of an operation: it stops after the messages of a round, before it waits for others'."""


class Turns:
    """How many words each party has sent more than another.

    Number 0 stays the same while messages are small: a change may cost a round.  Longer ones are divided by rows.
    """

    def __init__(self) -> None:
        self._sent = [0, 0, 0]
        self._first = 0

    def take(self, more: int) -> int:
        """The party to send that many words more than the others."""
        if self._sent[self._first] - min(self._sent) >= PATIENCE:
            self._first = self._sent.index(min(self._sent))
        self._sent[self._first] += more
        return self._first

    def divide(self, count: int, more: int) -> list[tuple[int, slice]]:
        """Parts of `count` rows and who is number 0 in each, where it sends `more` words a row more than the others.

        From DIVIDED words on, those that have sent least get as many rows as make them level.
        """
        if count * more < DIVIDED:
            return [(self.take(count * more), slice(0, count))]
        order = sorted(range(3), key=lambda party: self._sent[party])
        sizes = self._levelled([self._sent[party] for party in order], count, more)
        parts, start = [], 0
        for party, size in zip(order, sizes, strict=True):
            if size:
                parts.append((party, slice(start, start + size)))
                self._sent[party] += size * more
                start += size
        self._first = order[0]
        return parts

    @staticmethod
    def _levelled(sent: list[int], count: int, more: int) -> list[int]:
        """Rows for parties that have sent so much, the least first; the first takes what does not come out even."""
        level = next(
            level for size in (3, 2, 1) if (level := (count * more + sum(sent[:size])) // size) >= sent[size - 1]
        )
        rows = [max(level - words, 0) // more // TOGETHER * TOGETHER for words in sent[1:]]
        return [count - sum(rows), *rows]


def side_by_side(running: Sequence[Steps[T]]) -> list[T]:
    """What the parts of an operation give: all send what belongs to a round before any waits for the next."""
    found: dict[int, T] = {}
    while len(found) < len(running):
        for i, steps in enumerate(running):
            if i not in found:
                try:
                    next(steps)
                except StopIteration as end:
                    found[i] = end.value
    return [found[i] for i in range(len(running))]
