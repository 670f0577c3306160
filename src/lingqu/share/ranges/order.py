"""What a machine of ranges knows of the order of entries, by their numbers: extremes, and groups that reach a bound.

An entry less its axis's greatest is at most 0, and one of them is 0.  So the exponentials that a softmax sums are at
most 1, and their sum is at least 1, which intervals alone do not show.  Only what was told last of an entry is known.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lingqu.share.api import Words
from lingqu.share.ranges.ends import UNKNOWN, Signed, alike

HOPS = 3
"""How many bounds of bounds are followed."""
ROOM = 1 << 10
"""What is at most so much below 0 counts as an increase, all but for that."""
Groups = NDArray[np.int64]
"""The group of each entry, 0 for none."""


class _ByNumber:
    """Something known of entries by their numbers; 0 where nothing is."""

    def __init__(self) -> None:
        self._of = np.zeros(1, np.int64)

    def __setitem__(self, numbers: Words, found: NDArray[np.int64]) -> None:
        there = (numbers != UNKNOWN) & (numbers > 0)
        if bool(np.any(there)):
            top = int(np.max(numbers[there])) + 1
            if top > len(self._of):
                self._of = np.concatenate([self._of, np.zeros(2 * top - len(self._of), np.int64)])
            self._of[numbers[there]] = np.broadcast_to(found, numbers.shape)[there]

    def __getitem__(self, numbers: Words) -> NDArray[np.int64]:
        there = numbers < len(self._of)
        return np.asarray(self._of[np.where(there, numbers, 0)])


class Order:
    """Extremes along an axis, and groups of entries of which at least one reaches a bound."""

    def __init__(self) -> None:
        self._above, self._slack = _ByNumber(), _ByNumber()  # a number that is no less, but for so much
        self._beneath = _ByNumber()  # the least entry's number
        self._members = _ByNumber()  # of a greatest entry: how many it is the greatest of
        self._group = _ByNumber()
        self._size, self._least = np.zeros(1, np.int64), np.zeros(1, np.int64)

    def extreme(self, entries: Words, found: Words, greatest: bool) -> None:
        """Numbers of entries along the first axis, and of their extremes."""
        known = np.broadcast_to(found, entries.shape).astype(np.int64)
        if greatest:
            self._above[entries], self._slack[entries] = known, np.zeros((), np.int64)
            self._members[found] = np.asarray(len(entries))
        else:
            self._beneath[entries] = known

    def raised(self, x: Words, by: Signed, found: Words) -> None:
        """Numbers of entries and of their sums with what is at least `by`; an extreme that is known stays known."""
        numbers = np.where(by >= -ROOM, np.where(self._above[x] == 0, x, UNKNOWN), UNKNOWN)
        self._above[numbers], self._slack[numbers] = found.astype(np.int64), np.maximum(-by, 0)

    def at_most(self, x: Words, y: Words) -> tuple[NDArray[np.bool_], Signed]:
        """Where an entry is known to be at most another and so much."""
        known, slack = alike(x, y) | self._least_of(x, y), np.zeros((), np.int64)
        here, far = x, np.zeros((), np.int64)
        for _ in range(HOPS):
            far = far + self._slack[here]
            here = self._above[here].astype(np.uint64)
            reached = ~known & (here == y) & (here > 0)
            known, slack = known | reached, np.where(reached, far, slack)
        return np.asarray(known), np.asarray(slack)

    def _least_of(self, x: Words, y: Words) -> NDArray[np.bool_]:
        return np.asarray((self._beneath[y] == x.astype(np.int64)) & (x > 0) & (x != UNKNOWN))

    def differences(self, x: Words, y: Words, found: Words) -> None:
        """Numbers of entries, and of their differences from others: of whole axes from their greatest, one is 0."""
        mine, its = np.broadcast_arrays(x, y)
        direct = (self._above[mine] == its.astype(np.int64)) & (self._members[its] > 0) & (self._slack[mine] == 0)
        keys = np.where(direct & (its != UNKNOWN), its.astype(np.int64), 0)
        self._told(keys, mine, found, lambda one: self._members[one.astype(np.uint64)], np.zeros_like)

    def risen(self, x: Words, found: Words, function: Callable[[Signed], Signed]) -> None:
        """Numbers of entries, and of what a function that does not fall makes of them."""
        if len(self._size) > 1:
            self._told(self._group[x], x, found, lambda one: self._size[one], lambda one: function(self._least[one]))

    def gain(self, numbers: Words, low: Signed) -> Signed:
        """By how much a sum over the last axis is at least above the sum of the entries' least values."""
        groups = self._group[numbers]
        first = groups[..., :1]
        sorted_numbers = np.sort(numbers, axis=-1)
        distinct = np.all(sorted_numbers[..., 1:] != sorted_numbers[..., :-1], axis=-1)
        whole = distinct & np.all(groups == first, axis=-1) & (self._size[first[..., 0]] == numbers.shape[-1])
        gains = np.maximum(self._least[first] - np.minimum(low, self._least[first]), 0)
        return np.where(whole & (first[..., 0] > 0), gains.min(axis=-1, initial=np.iinfo(np.int64).max), 0)

    @property
    def grouped(self) -> bool:
        """Whether there is any group."""
        return len(self._size) > 1

    def _told(
        self,
        keys: Groups,
        members: Words,
        found: Words,
        size: Callable[[Groups], Groups],
        least: Callable[[Groups], Signed],
    ) -> None:
        """New groups of what was found, one for each key whose members are all there, each once."""
        flat, entries, results = keys.reshape(-1), members.reshape(-1), found.reshape(-1)
        there = np.flatnonzero(flat)
        there = there[np.lexsort((entries[there], flat[there]))]
        if not len(there):
            return
        old, starts, counts = np.unique(flat[there], return_index=True, return_counts=True)
        again = np.concatenate([[False], (np.diff(flat[there]) == 0) & (entries[there][1:] == entries[there][:-1])])
        whole = (counts == size(old)) & ~np.logical_or.reduceat(again, starts)
        new = np.where(whole, len(self._size) + np.cumsum(whole) - 1, 0)
        self._group[results[there]] = np.repeat(new, counts)
        self._size = np.concatenate([self._size, counts[whole]])
        self._least = np.concatenate([self._least, least(old)[whole]])
