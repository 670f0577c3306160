"""The equi-join of shared relations whose keys occur once on both sides; `matches` has all other joins."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share.api import Column, Machine, Permutation, Shared, SharedBits
from lingqu.share.relation import (
    Key,
    Relation,
    apply_first,
    as_bits,
    as_values,
    beside,
    drained,
    flags_of,
    parked,
    require_names,
    with_last,
)
from lingqu.share.sparing import sparing

CHUNK_ROWS = 1 << 17
"""Sorted rows whose destinations are found together, if there are no more; else half as many."""


def join(
    machine: Machine,
    left: Relation,
    right: Relation,
    on: Sequence[tuple[str, str]],
    keep: Collection[str] = (),
) -> Relation:
    """Equi-join with hidden matches: row k is the k-th match in the order of the keys, the rest is invalid.

    on: pairs of key names (left, right) with equal word widths; among the valid rows of a side a key occurs once.
    keep: key names of the left that the result keeps although they are joined on.
    Returns min(left.rows, right.rows) rows with the columns and other keys of both sides; valid is hidden.
    BadInput when names clash or widths differ.  Discloses: nothing beyond the shapes.
    Cost: a stable sort of left.rows + right.rows rows by the key's bits and one more, an equality test, three
    permutations.  Source: sort-merge join after Asharov et al. (CCS 2022); the payload moves once a side.
    """
    rows = min(left.rows, right.rows)
    left_keys, right_keys = joined_names(left, right, on, keep)
    if rows == 0:
        return _no_rows(left, right, left_keys, right_keys)
    with sparing(left.rows + right.rows):
        words = [
            machine.concat([a, b])
            for left_name, right_name in on
            for a, b in zip(left.keys[left_name], right.keys[right_name], strict=True)
        ]
        valid = left.valid, right.valid
        left, right = _without(left, left_keys), _without(right, right_keys)
        order, match, in_right = _matches(machine, words, *valid)
        del valid
        table: list[Column] = [_match_destinations(machine, match, in_right, order.rows)]
        table.append(flags_of(machine, match, order.rows))
        home, matched = machine.unapply(order, drained(table))
        del order
        to_left, to_right = as_values(home)[: left.rows], as_values(home)[left.rows :]
        flags = [as_bits(matched)[: left.rows]]
        columns_left, keys_left, found = _first(machine, to_left, left, left_keys, rows, flags)
        del home, matched, to_left, left
        columns_right, keys_right, _ = _first(machine, to_right, right, right_keys, rows, [])
        return Relation({**columns_left, **columns_right}, {**keys_left, **keys_right}, machine.inject(found[0]))


def _without(side: Relation, keys: Sequence[str]) -> Relation:
    """A side with the keys that the result has; the others are freed where nobody else holds them."""
    return Relation(side.columns, {name: side.keys[name] for name in keys}, side.valid)


def _matches(
    machine: Machine, words: list[SharedBits], left: Shared, right: Shared
) -> tuple[Permutation, SharedBits, SharedBits]:
    """The order of both sides' rows by the key, and planes in that order: matches with the next row, is a right row.

    words: of the key, the left side's rows before the right side's; emptied.  left, right: which rows are valid.
    """

    def valid() -> SharedBits:
        return machine.concat([machine.parity(left), machine.parity(right)])

    waiting = [parked(word) for word in words]
    order = machine.sort(chain([machine.logical_not(valid())], drained(words)))
    waiting += [parked(_in_right(machine, len(left), len(right))), parked(valid())]
    columns: list[Column] = [word.taken() for word in waiting]
    del waiting
    moved = machine.apply(order, drained(columns))
    known, in_right = as_bits(moved.pop()), as_bits(moved.pop())
    met, rows = machine.planes(in_right), len(known)
    # of both neighbours: whether the first is a valid left row, and the second a valid right one
    here, there = machine.planes(known[:-1]), machine.planes(known[1:])
    first, second = machine.planes(in_right[:-1]), machine.planes(in_right[1:])
    del known, in_right
    same = machine.planes(machine.equal_words([(as_bits(word)[:-1], as_bits(word)[1:]) for word in moved]))
    del moved
    both = machine.logical_and(machine.concat([here, there]), machine.concat([machine.logical_not(first), second]))
    match = machine.logical_and(same, machine.logical_and(both[:1], both[1:]))
    return order, with_last(machine, match, rows), met


def joined_names(
    left: Relation, right: Relation, on: Sequence[tuple[str, str]], keep: Collection[str]
) -> tuple[list[str], list[str]]:
    if not on:
        raise BadInput("A join needs a key.", "Name the columns to join on.")
    require_names(left.keys, [pair[0] for pair in on])
    require_names(right.keys, [pair[1] for pair in on])
    for left_name, right_name in on:
        if [word.width for word in left.keys[left_name]] != [word.width for word in right.keys[right_name]]:
            raise BadInput(f"The keys {left_name} and {right_name} differ in width.", "Encode both keys the same way.")
    left_keys = [name for name in left.keys if name in keep or name not in {pair[0] for pair in on}]
    right_keys = [name for name in right.keys if name not in {pair[1] for pair in on}]
    clashes = (set(left.columns) & set(right.columns)) | (set(left_keys) & set(right_keys))
    if clashes:
        raise BadInput(f"Both sides have {', '.join(sorted(clashes))}.", "Rename them on one side.")
    return left_keys, right_keys


def _no_rows(left: Relation, right: Relation, left_keys: Sequence[str], right_keys: Sequence[str]) -> Relation:
    """The join with an empty side."""
    keys = {name: left.keys[name] for name in left_keys} | {name: right.keys[name] for name in right_keys}
    return Relation(
        {name: column[:0] for name, column in {**left.columns, **right.columns}.items()},
        {name: tuple(word[:0] for word in key) for name, key in keys.items()},
        left.valid[:0],
    )


def _in_right(machine: Machine, left: int, right: int) -> SharedBits:
    side = np.zeros(left + right, np.uint64)
    side[left:] = 1
    return machine.constant_bits(side, 1)


def _match_destinations(machine: Machine, match: SharedBits, in_right: SharedBits, rows: int) -> Shared:
    """Where each sorted row goes within its own side: matched rows first, both sides in the same order.

    match, in_right: planes.  What follows from them is made of some rows at a time, which bounds the memory.
    Each side's destinations are a permutation, so opening them shuffled shows nothing.
    """
    pieces = [machine.inject(_some_flags(machine, match, some)) for some in _chunks(rows)]
    before = machine.cumsum(machine.concat(pieces) if len(pieces) > 1 else pieces[0])
    # copies: a part of an array keeps all of it
    every, found = machine.add(before[-1:], 0), list[Shared]()
    del pieces
    zero = machine.constant(np.zeros(1, np.int64))
    passed = machine.constant(np.zeros((2, 1), np.int64))
    for some in _chunks(rows):
        # how many matched before each of these rows, and before the row above it
        start = max(some.start - 2, 0)
        lead = [zero] * (2 - some.start + start)
        counts = machine.concat([*lead, before[start : some.stop]])
        here, above = counts[2:], counts[1:-1]
        matched, follows = machine.subtract(here, above), machine.subtract(above, counts[:-2])
        right = machine.inject(_some_flags(machine, in_right, some))
        left = machine.subtract(machine.add(machine.negate(right), 1), matched)
        only = machine.stack([left, machine.subtract(right, follows)])
        count = machine.add(machine.cumsum(only, axis=1), passed)
        passed = machine.add(count[:, -1:], 0)
        shift = machine.sum(machine.multiply(only, machine.subtract(machine.add(count, every), here)), axis=0)
        found.append(machine.add(machine.subtract(here, 1), shift))
        del counts, here, above, matched, follows, right, left, only, count, shift
    del before
    return machine.concat(found) if len(found) > 1 else found[0]


def _chunks(rows: int) -> list[slice]:
    """Some rows at a time, whose bits fill whole words of a plane."""
    size = CHUNK_ROWS if rows <= CHUNK_ROWS else CHUNK_ROWS // 2
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _some_flags(machine: Machine, plane: SharedBits, some: slice) -> SharedBits:
    return flags_of(machine, plane[:, some.start // 64 : -(-some.stop // 64)], some.stop - some.start)


def _first(
    machine: Machine,
    destinations: Shared,
    relation: Relation,
    keys: Sequence[str],
    rows: int,
    flags: list[SharedBits],
) -> tuple[dict[str, Shared], dict[str, Key], list[SharedBits]]:
    """The relation's columns, the named keys and flags of its rows, permuted, cut to the first rows."""
    columns = relation.columns
    words = [*flags, *(word for name in keys for word in relation.keys[name])]
    moving: list[Column] = [*([beside(machine, list(columns.values()))] if columns else []), *words]
    flags.clear()
    if not moving:
        return {}, {}, []
    count = len(words)
    del words
    moved = apply_first(machine, machine.permutation(destinations), drained(moving), rows)
    table = as_values(moved[0]) if columns else None
    every = [as_bits(word) for word in moved[len(moved) - count :]]
    cut: dict[str, Key] = {}
    for name in reversed(keys):
        cut[name] = tuple(every[len(every) - len(relation.keys[name]) :])
        del every[len(every) - len(relation.keys[name]) :]
    return (
        {name: table[:, i] for i, name in enumerate(columns)} if table is not None else {},
        {name: cut[name] for name in keys},
        every,
    )
