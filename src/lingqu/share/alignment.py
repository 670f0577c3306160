"""Joins of two owners' tables by a lookup with hidden hits: no sort, and nobody learns who matched.

One owner asks, the other keeps: every row of the asker's stays at a place that the asker alone knows, and beside it
come shares of the keeper's row with the same key, or zeros.  The keeper's keys occur once, the asker's may repeat.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.share import checks
from lingqu.share.api import C, Column, Integers, Machine, Shared, SharedBits, Words
from lingqu.share.lookups import Kept, Lookup, spread_words
from lingqu.share.relation import Key, Relation, as_bits, as_values, differences, running_xor


@dataclass(frozen=True)
class Side:
    """One table as all parties know it.

    owner: a party that computes.  rows: how many.  columns: names of its integers.  keys: names of its other keys, with
    the widths of their words.
    """

    owner: int
    rows: int
    columns: Sequence[str] = ()
    keys: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def widths(self) -> tuple[int, ...]:
        """Of all words, key by key."""
        return tuple(width for widths in self.keys.values() for width in widths)


@dataclass(frozen=True)
class Rows:
    """What the owner alone knows of its side.

    match: the key to match on, two words a row.  table: integers of shape (rows, columns).  words: of the other keys,
    in the order of `Side.widths`.  valid: rows that may match; None for all.
    """

    match: Words = field(repr=False)
    table: Integers = field(repr=False)
    words: Sequence[Words] = field(default=(), repr=False)
    valid: NDArray[np.bool_] | None = field(default=None, repr=False)

    def hidden_keys(self) -> Words:
        """The keys to match on, fresh random ones in place of those of rows that may not match."""
        keys = np.ascontiguousarray(self.match, dtype=np.uint64).copy()
        if self.valid is not None:
            keys[~self.valid] = random_keys(int((~self.valid).sum()))
        return keys


def random_keys(count: int) -> Words:
    """Keys that nobody has, but for a chance of 2^-128 each."""
    return np.frombuffer(secrets.token_bytes(16 * count), np.uint64).reshape(count, 2)


@dataclass(frozen=True)
class Aligned:
    """rows: the joined relation.  met: shared 0 or 1 a row: whether the keeper's side is there."""

    rows: Relation
    met: Shared


def align(
    machine: Machine,
    asker: Side,
    keeper: Side,
    asks: Rows | None,
    keeps: Rows | None,
    *,
    outer: bool = False,
    repeated: bool = False,
    absent: Mapping[str, Sequence[int]] | None = None,
) -> Aligned:
    """The asker's rows with the keeper's row of the same key beside each, zeros where there is none.

    asks, keeps: at the machine that owns them.  outer: the asker's valid rows all stay, otherwise only those that
    matched are valid.  repeated: the asker's keys may repeat; the result then has as many rows as the asker, otherwise
    machine.slots of them.  absent: words that the keeper's keys have in rows without a match (0 if not named).
    Where a row of the asker's stands is its secret, so results must not depend on the order.
    BadInput at the owner where a key repeats that must not, for names that clash, and where a side is nobody's here.
    Cost: a lookup, and one product a column; with `repeated` also one permutation of the rows, or two where the machine
    has more slots than keys.  Discloses: nothing beyond the sizes.
    """
    if set(asker.columns) & set(keeper.columns) or set(asker.keys) & set(keeper.keys):
        raise BadInput("Both sides have columns of one name.", "Rename them on one side.")
    sizes = Lookup(asker.owner, keeper.owner, asker.rows, keeper.rows, len(keeper.columns), keeper.widths)
    asking = None if asks is None else _Asking(asks, repeated)
    kept = None if keeps is None else Kept(keeps.hidden_keys(), keeps.table, keeps.words)
    found = machine.look_up(sizes, None if asking is None else asking.keys, kept)
    table = machine.concat([found.met.reshape(-1, 1), found.table], axis=1)
    rows, places, dense = machine.slots(asker.rows), found.places, found.dense
    if repeated:
        table, dense = _spread(machine, table, dense, asker, asking, places)
        rows, places = asker.rows, None if asking is None else asking.stands
    met = table[:, 0]
    columns, keys, valid = _own(machine, asker, asks, places, rows, outer)
    columns |= {name: table[:, 1 + i] for i, name in enumerate(keeper.columns)}
    keys |= _kept_keys(machine, keeper, dense, met, absent or {})
    return Aligned(Relation(columns, keys, met if valid is None else valid), met)


class _Asking:
    """The asker's own plan: which key it asks for in which place, and where what is found goes."""

    def __init__(self, rows: Rows, repeated: bool) -> None:
        keys = rows.hidden_keys()
        self.keys = keys
        if not repeated:
            return
        # Equal keys stand together; the first of each group is asked for, the rest of the lookup is filled up.
        self.order = np.lexsort([keys[:, 0], keys[:, 1]])
        inner = keys[self.order]
        self.first = np.flatnonzero(np.concatenate([[True], (inner[1:] != inner[:-1]).any(axis=1)])[: len(keys)])
        self.keys = np.concatenate([inner[self.first], random_keys(len(keys) - len(self.first))])

    @property
    def stands(self) -> NDArray[np.int64]:
        """The place of every own row once what was found is spread over the groups."""
        places = np.empty(len(self.order), np.int64)
        places[self.order] = np.arange(len(self.order))
        return places

    def moves(self, places: NDArray[np.int64], slots: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Destinations of the slots that bring them into the order of the groups, and then of the steps between these.

        There is a slot more than the lookup has, which holds zeros.
        """
        count = len(self.first)
        gather = _completed(places[:count], np.arange(count), slots + 1)
        # The step after the last group leads back to zero, so it goes where no row of a group follows.
        sources, targets = np.arange(count + 1), np.append(self.first, len(self.order))
        return gather, _completed(sources, targets, slots + 1)


def _completed(sources: NDArray[np.int64], targets: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """A permutation that brings these sources to these targets, and the rest to what is left, in order."""
    destinations = np.full(size, -1, np.int64)
    destinations[sources] = targets
    taken = np.zeros(size, np.bool_)
    taken[targets] = True
    destinations[destinations < 0] = np.flatnonzero(~taken)
    return destinations


def _spread(
    machine: Machine,
    table: Shared,
    dense: SharedBits | None,
    asker: Side,
    asking: _Asking | None,
    places: NDArray[np.int64] | None,
) -> tuple[Shared, SharedBits | None]:
    """What was found for a key, at every row of its group, which stand together in the asker's order.

    Slots come into the order of the groups, each takes the difference to the one before, and running sums spread it.
    Cost: one permutation that the asker knows, or two.  Source: as relation.copy_down.
    """
    slots = len(table)
    if not slots:
        return table, dense
    moving: list[Column] = [_longer(machine, table), *([] if dense is None else [_longer(machine, dense)])]
    gather, spread = (None, None) if asking is None or places is None else asking.moves(places, slots)
    shape = (slots + 1,)
    if slots != asker.rows:
        moving = machine.apply(machine.permutation(machine.input(asker.owner, gather, shape)), moving)
    steps: list[Column] = [differences(machine, as_values(moving[0]))]
    for column in moving[1:]:
        words = as_bits(column)
        steps.append(machine.concat([words[:1], machine.logical_xor(words[1:], words[:-1])]))
    moved = machine.apply(machine.permutation(machine.input(asker.owner, spread, shape)), steps)
    rest = [running_xor(machine, as_bits(column)[: asker.rows]) for column in moved[1:]]
    return machine.cumsum(as_values(moved[0])[: asker.rows]), rest[0] if rest else None


def _longer(machine: Machine, column: C) -> C:
    """With one more row, of zeros."""
    return machine.concat([column, column[:1].moved(np.zeros_like)])


def _own(
    machine: Machine, side: Side, rows: Rows | None, places: NDArray[np.int64] | None, count: int, outer: bool
) -> tuple[dict[str, Shared], dict[str, Key], Shared | None]:
    """The asker's columns and other keys, shared where its rows stand, and with `outer` which rows are valid."""
    width = len(side.columns) + int(outer)
    columns: dict[str, Shared] = {}
    valid: Shared | None = None
    if width:
        values = None
        if rows is not None and places is not None:
            own = np.asarray(checks.owned(rows.table, (side.rows, len(side.columns))))
            there = np.ones(side.rows, np.int64) if rows.valid is None else rows.valid.astype(np.int64)
            values = np.zeros((count, width), np.int64)
            values[places] = np.column_stack([own, there]) if outer else own
        table = machine.input(side.owner, values, (count, width))
        columns = {name: table[:, i] for i, name in enumerate(side.columns)}
        valid = table[:, width - 1] if outer else None
    words: list[SharedBits] = []
    for i, bits in enumerate(side.widths):
        placed = None
        if rows is not None and places is not None:
            placed = np.zeros(count, np.uint64)
            placed[places] = rows.words[i]
        words.append(machine.input_bits(side.owner, placed, (count,), bits))
    return columns, _by_key(side, words), valid


def _by_key(side: Side, words: Sequence[SharedBits]) -> dict[str, Key]:
    left = iter(words)
    return {name: tuple(next(left) for _ in widths) for name, widths in side.keys.items()}


def _kept_keys(
    machine: Machine, keeper: Side, dense: SharedBits | None, met: Shared, absent: Mapping[str, Sequence[int]]
) -> dict[str, Key]:
    """The keeper's keys, with the words for absence where there is no match: zeros plus word times (1 - met)."""
    keys = _by_key(keeper, [] if dense is None else spread_words(dense, keeper.widths))
    flag = machine.logical_not(machine.parity(met))
    for name, marks in absent.items():
        if name in keys:
            keys[name] = tuple(
                machine.logical_xor(word, SharedBits(tuple(part * np.uint64(mark) for part in flag.parts), word.width))
                for word, mark in zip(keys[name], marks, strict=True)
            )
    return keys
