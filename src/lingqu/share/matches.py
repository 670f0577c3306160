"""Equi-joins of shared relations where keys repeat or rows without a match stay, over any Machine.

A public number of rows comes out, whatever matches; which of them are there is hidden.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share.api import Column, Machine, Permutation, Shared, SharedBits
from lingqu.share.joins import joined_names
from lingqu.share.relation import (
    Key,
    Relation,
    as_bits,
    as_values,
    compact,
    copy_down,
    differences,
    running_xor,
    same_group,
)
from lingqu.share.steering import moved

Kind = Literal["inner", "left", "right", "full"]
Unique = Literal["left", "right", "none"]


@dataclass(frozen=True)
class Joined:
    """What a join gives.

    rows: the joined relation; columns of a side that is not there hold zeros.
    left, right: shared 0 or 1 a row: whether that side is there.  exceeded: one shared 0 or 1: more rows matched than
    the bound has room for, and the last of them are lost; None where that cannot be.
    """

    rows: Relation
    left: Shared
    right: Shared
    exceeded: Shared | None = None


def join_rows(
    machine: Machine,
    left: Relation,
    right: Relation,
    on: Sequence[tuple[str, str]],
    *,
    kind: Kind = "inner",
    unique: Unique = "none",
    bound: int | None = None,
    keep: Collection[str] = (),
    absent: Mapping[str, Sequence[int]] | None = None,
) -> Joined:
    """Equi-join with hidden matches.

    on: pairs of key names (left, right) with equal word widths.  kind: whose rows stay without a match.
    unique: the side whose valid rows have a key once; the result then has as many rows as the other side.
    bound: without a unique side, the public number of rows that matches may have; what to do with `exceeded` is the
    caller's: an owner that checks how often a key repeats makes it impossible.
    A kept side that is unique (or, without a unique side, a kept right one) adds its own number of rows.
    keep: key names of the left that the result keeps although joined on.  absent: words of other keys where their side
    is not there (0 if not named).  BadInput for names and widths that do not fit, or a missing bound.
    Cost: with a unique side a sort of all rows by the key's bits and one more, a one-bit sort, four permutations;
    without one also sorts of all rows and the bound by the bound's bits.  Discloses: nothing beyond the shapes.
    Source: expansion after Krastnikov, Kerschbaum, Stebila (VLDB 2020), spread by prefix sums as Araki et al. (CCS
    2021) do.
    """
    left_keys, right_keys = joined_names(left, right, on, keep)
    places = dict(absent or {})
    left, right = _masked(machine, left, places), _masked(machine, right, places)
    sides = _Side(left, [a for a, _ in on], left_keys), _Side(right, [b for _, b in on], right_keys)
    if unique == "right":
        joined = _looked_up(machine, sides[0], sides[1], kind in ("left", "full"), kind in ("right", "full"))
    elif unique == "left":
        swapped = _looked_up(machine, sides[1], sides[0], kind in ("right", "full"), kind in ("left", "full"))
        joined = Joined(swapped.rows, swapped.right, swapped.left)
    elif bound is None or bound < 1:
        raise BadInput("A join of keys that repeat on both sides needs a bound.", "Say how many rows it may have.")
    else:
        joined = _expanded(machine, sides[0], sides[1], kind, bound)
    return Joined(_masked(machine, joined.rows, places), joined.left, joined.right, joined.exceeded)


def _masked(machine: Machine, relation: Relation, absent: Mapping[str, Sequence[int]]) -> Relation:
    """Keys with their words for absence at zero, so that zeros mean absence; the same again undoes it."""
    keys = {
        name: tuple(
            machine.logical_xor(
                word, machine.constant_bits(np.full(word.shape, absent[name][i], np.uint64), word.width)
            )
            for i, word in enumerate(key)
        )
        if name in absent
        else key
        for name, key in relation.keys.items()
    }
    return Relation(relation.columns, keys, relation.valid)


@dataclass(frozen=True)
class _Side:
    """A relation, the keys it is joined on, and the keys that go into the result."""

    relation: Relation
    on: Sequence[str]
    kept: Sequence[str]

    @property
    def key(self) -> list[SharedBits]:
        return [word for name in self.on for word in self.relation.keys[name]]

    @property
    def carried(self) -> list[SharedBits]:
        return [word for name in self.kept for word in self.relation.keys[name]]

    @property
    def rows(self) -> int:
        return self.relation.rows

    def table(self, machine: Machine, *first: Shared) -> Shared:
        """First columns, then the relation's own."""
        return machine.stack([*first, *self.relation.columns.values()], 1)

    def named(self, table: Shared, words: Sequence[SharedBits]) -> tuple[dict[str, Shared], dict[str, Key]]:
        """Columns and keys by name from a table of the relation's columns and its carried words."""
        found = iter(words)
        keys: dict[str, Key] = {name: tuple(next(found) for _ in self.relation.keys[name]) for name in self.kept}
        return {name: table[:, i] for i, name in enumerate(self.relation.columns)}, keys


def _zeros(machine: Machine, rows: int, columns: int) -> Shared:
    return machine.constant(np.zeros((rows, columns), np.int64))


def _zero_words(machine: Machine, rows: int, words: Sequence[SharedBits]) -> list[SharedBits]:
    return [machine.constant_bits(np.zeros(rows, np.uint64), word.width) for word in words]


@dataclass(frozen=True)
class _Merged:
    """Both sides in the order of the key, the first side's rows before the second's.

    order: to that order.  follows: a bit a row: same key as the row before.  table, words: as they were given, moved.
    """

    order: Permutation
    follows: SharedBits
    table: Shared
    words: list[SharedBits]


def _merge(machine: Machine, first: _Side, second: _Side, table: Shared, words: Sequence[SharedBits]) -> _Merged:
    keys = [machine.concat([a, b]) for a, b in zip(first.key, second.key, strict=True)]
    valid = machine.parity(machine.concat([first.relation.valid, second.relation.valid]))
    order = machine.sort([machine.logical_not(valid), *keys])
    moved = machine.apply(order, [valid, *keys, table, *words])
    known, sorted_keys = as_bits(moved[0]), [as_bits(word) for word in moved[1 : 1 + len(keys)]]
    follows = same_group(machine, sorted_keys, known)
    rest = moved[1 + len(keys) :]
    return _Merged(order, follows, as_values(rest[0]), [as_bits(word) for word in rest[1:]])


def _next(machine: Machine, follows: SharedBits) -> SharedBits:
    """A bit a row: the next row has the same key."""
    return machine.concat([follows[1:], machine.constant_bits(np.zeros(1, np.uint64), 1)])


def _looked_up(machine: Machine, many: _Side, one: _Side, keep_many: bool, keep_one: bool) -> Joined:
    """Each row of `many` with the row of `one` that has its key; rows of `one` that stay come after them."""
    width = 1 + len(one.relation.columns)
    if one.rows and many.rows:
        flag = one.relation.valid
        table = machine.concat([one.table(machine, flag), _zeros(machine, many.rows, width)])
        pads = _zero_words(machine, many.rows, one.carried)
        words = [machine.concat([word, pad]) for word, pad in zip(one.carried, pads, strict=True)]
        merged = _merge(machine, one, many, table, words)
        spread, found = copy_down(machine, machine.logical_not(merged.follows), merged.table, merged.words)
        if keep_one:
            spread = machine.concat([spread, machine.inject(_next(machine, merged.follows)).reshape(-1, 1)], axis=1)
        home = machine.unapply(merged.order, [spread, *found])
        values, carried = as_values(home[0])[one.rows :], [as_bits(word)[one.rows :] for word in home[1:]]
        met = as_values(home[0])[: one.rows, -1] if keep_one else None
    else:
        values, carried = _zeros(machine, many.rows, width), _zero_words(machine, many.rows, one.carried)
        met = machine.scale(one.relation.valid, 0)
    columns, keys = one.named(values[:, 1:width], carried)
    mine = {name: many.relation.keys[name] for name in many.kept}
    matched = values[:, 0]
    there = machine.constant(np.ones(many.rows, np.int64))
    valid = many.relation.valid if keep_many else matched
    rows = Relation({**many.relation.columns, **columns}, {**mine, **keys}, valid)
    if not keep_one or met is None:
        return Joined(rows, there, matched)
    return _with_rest(machine, Joined(rows, there, matched), one, machine.subtract(one.relation.valid, met))


def _with_rest(machine: Machine, joined: Joined, side: _Side, valid: Shared) -> Joined:
    """The joined rows, and below them the rows of a side (the right one) that met nothing."""
    columns = {
        name: machine.concat([column, side.relation.columns.get(name, machine.constant(np.zeros(side.rows, np.int64)))])
        for name, column in joined.rows.columns.items()
    }
    keys: dict[str, Key] = {}
    for name, key in joined.rows.keys.items():
        own = side.relation.keys[name] if name in side.kept else _zero_words(machine, side.rows, key)
        keys[name] = tuple(machine.concat([a, b]) for a, b in zip(key, own, strict=True))
    there, missing = (machine.constant(np.full(side.rows, value, np.int64)) for value in (1, 0))
    return Joined(
        Relation(columns, keys, machine.concat([joined.rows.valid, valid])),
        machine.concat([joined.left, missing]),
        machine.concat([joined.right, there]),
        joined.exceeded,
    )


def _expanded(machine: Machine, left: _Side, right: _Side, kind: Kind, bound: int) -> Joined:
    """Every pair of rows with one key, in `bound` slots: left rows are repeated, then each slot looks up its right."""
    keep_left, keep_right = kind in ("left", "full"), kind in ("right", "full")
    if not left.rows or not right.rows:
        return _one_side(machine, left, right, keep_left, keep_right, bound)
    counted = _counted(machine, left, right, keep_left)
    slots, words, total = _slots(machine, counted, bound)
    place = machine.constant(np.arange(bound, dtype=np.int64))
    there = machine.less_than(place, total.reshape(1).broadcast_to((bound,)))
    filled = machine.inject(there)
    wanted = machine.subtract(machine.add(slots[:, 1], place), slots[:, 0])
    columns, keys = left.named(slots[:, 3:], words)
    paired = machine.multiply(filled, slots[:, 2]) if keep_left else filled
    numbers = machine.subtract(as_values(machine.unapply(counted.order, [counted.rank])[0])[left.rows :], 1)
    bits = right.rows.bit_length()
    asked = Relation({"": filled, **columns}, {**keys, _NUMBER: _low_bits(machine, wanted, bits)}, paired)
    told = Relation(
        right.relation.columns,
        {**right.relation.keys, _NUMBER: _low_bits(machine, numbers, bits)},
        right.relation.valid,
    )
    found = _looked_up(machine, _Side(asked, [_NUMBER], left.kept), _Side(told, [_NUMBER], right.kept), True, False)
    named = dict(found.rows.columns)
    filled = named.pop("")
    joined = Joined(
        Relation(named, found.rows.keys, filled if keep_left else found.right),
        machine.constant(np.ones(bound, np.int64)),
        found.right,
        machine.inject(machine.less_than(machine.constant(bound), total)),
    )
    if not keep_right:
        return joined
    starts = machine.logical_not(counted.follows)
    first = moved(machine, starts, counted.left).reshape(-1, 1)
    met, _ = copy_down(machine, starts, first)
    home = as_values(machine.unapply(counted.order, [met])[0])[left.rows :, 0]
    alone = machine.subtract(right.relation.valid, machine.multiply(home, right.relation.valid))
    return _with_rest(machine, joined, right, alone)


_NUMBER = "#"
"""Name of the key by which slots find their right rows; no key has it."""


def _low_bits(machine: Machine, x: Shared, bits: int) -> Key:
    """The lowest bits as single words, the most significant first."""
    words = machine.to_bits(x)
    return tuple(machine.bit(words, place) for place in reversed(range(bits)))


def _one_side(machine: Machine, left: _Side, right: _Side, keep_left: bool, keep_right: bool, bound: int) -> Joined:
    """A join with an empty side: rows that stay, up to the bound, and otherwise rows of which none is there."""
    rows = min(bound, left.rows)
    exceeded = machine.constant(0)
    if keep_left and left.rows > bound:
        kept = machine.sum(left.relation.valid)
        exceeded = machine.inject(machine.less_than(machine.constant(bound), kept))
        left = _Side(compact(machine, left.relation, bound), left.on, left.kept)
    values, words = _zeros(machine, rows, len(right.relation.columns)), _zero_words(machine, rows, right.carried)
    columns, keys = right.named(values, words)
    nothing, there = (machine.constant(np.full(rows, value, np.int64)) for value in (0, 1))
    mine = {name: column[:rows] for name, column in left.relation.columns.items()}
    mine_keys = {name: tuple(word[:rows] for word in left.relation.keys[name]) for name in left.kept}
    valid = left.relation.valid[:rows] if keep_left else nothing
    joined = Joined(Relation({**mine, **columns}, {**mine_keys, **keys}, valid), there, nothing, exceeded)
    return _with_rest(machine, joined, right, right.relation.valid) if keep_right else joined


@dataclass(frozen=True)
class _Counted:
    """The merged rows with what each left row needs to be repeated.

    times: how many slots a row fills (0 for right rows).  rights: valid right rows before its key.  met: 1 where the
    key has right rows.  rank: valid right rows up to the row.  left: 1 for valid left rows.  table, words: left's.
    """

    order: Permutation
    follows: SharedBits
    left: Shared
    rank: Shared
    times: Shared
    rights: Shared
    met: Shared
    table: Shared
    words: list[SharedBits]


def _counted(machine: Machine, left: _Side, right: _Side, keep_left: bool) -> _Counted:
    width = len(left.relation.columns)
    none = machine.constant(np.zeros(right.rows, np.int64))
    pads = _zero_words(machine, right.rows, left.carried)
    flags = machine.stack(
        [
            machine.concat([left.relation.valid, none]),
            machine.concat([machine.constant(np.zeros(left.rows, np.int64)), right.relation.valid]),
        ],
        1,
    )
    columns = machine.concat([left.table(machine), _zeros(machine, right.rows, width)]) if width else None
    table = flags if columns is None else machine.concat([flags, columns], axis=1)
    words = [machine.concat([word, pad]) for word, pad in zip(left.carried, pads, strict=True)]
    merged = _merge(machine, left, right, table, words)
    is_left, rank = merged.table[:, 0], machine.cumsum(merged.table[:, 1])
    ends = machine.logical_not(_next(machine, merged.follows))
    at_ends = moved(machine, ends, rank)[::-1].reshape(-1, 1)
    after = copy_down(machine, ends[::-1], at_ends)[0][::-1, 0]
    times = machine.multiply(is_left, machine.subtract(after, rank))
    met = is_left
    if keep_left:
        lonely = moved(machine, machine.equal(times, 0), is_left)
        times, met = machine.add(times, lonely), machine.subtract(is_left, lonely)
    return _Counted(merged.order, merged.follows, is_left, rank, times, rank, met, merged.table[:, 2:], merged.words)


def _slots(machine: Machine, counted: _Counted, bound: int) -> tuple[Shared, list[SharedBits], Shared]:
    """(first slot, rights before, met, left's columns) and left's words in every slot, and how many slots are filled.

    Rows are sorted before the slot at which they begin; the last row before a slot is the one that it repeats.
    """
    rows = len(counted.times)
    ends = machine.cumsum(counted.times)
    begins = machine.subtract(ends, counted.times)
    capped = machine.less_than(begins, bound)
    whole = machine.constant(np.full(rows, bound, np.int64))
    bits = machine.to_bits(machine.select(capped, begins, whole))
    slots = np.arange(bound, dtype=np.uint64)
    keys = [
        machine.concat([machine.bit(bits, place), machine.constant_bits(slots >> np.uint64(place) & np.uint64(1), 1)])
        for place in reversed(range(bound.bit_length()))
    ]
    table = machine.concat([machine.stack([begins, counted.rights, counted.met], 1), counted.table], axis=1)
    width = table.shape[1]
    steps = machine.concat([differences(machine, table), _zeros(machine, bound, width)])
    pads = _zero_words(machine, bound, counted.words)
    words = [
        machine.concat([word[:1], machine.logical_xor(word[1:], word[:-1]), pad])
        for word, pad in zip(counted.words, pads, strict=True)
    ]
    order = machine.sort(keys)
    moved: list[Column] = machine.apply(order, [steps, *words])
    spread: list[Column] = [machine.cumsum(as_values(moved[0]))]
    spread += [running_xor(machine, as_bits(word)) for word in moved[1:]]
    home = machine.unapply(order, spread)
    found = as_values(home[0])[rows:]
    return found, [as_bits(word)[rows:] for word in home[1:]], ends[-1]
