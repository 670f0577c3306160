"""The equi-join of shared relations whose keys occur once on both sides; `matches` has all other joins."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share.api import Column, Machine, Permutation, Shared, SharedBits
from lingqu.share.relation import Key, Relation, as_bits, as_values, beside, drained, head, require_names

_MATCHED = ""
"""Name of the match flag while it moves with the left columns; no column has it."""


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
    order, match, in_right = _matches(machine, left, right, on)
    bits = machine.stack([match, in_right])
    del match, in_right
    flags = machine.inject(bits)
    del bits
    # the destinations first, then whether the row matched
    found = machine.concat([_match_destinations(machine, flags[0], flags[1])[None], flags[:1]])
    del flags
    table: list[Column] = [found.transpose()]
    del found
    home = as_values(machine.unapply(order, drained(table))[0])
    del order
    side_left, side_right = home[: left.rows], home[left.rows :]
    columns_left, keys_left = _first(machine, side_left[:, 0], left, left_keys, rows, {_MATCHED: side_left[:, 1]})
    del side_left
    columns_right, keys_right = _first(machine, side_right[:, 0], right, right_keys, rows, {})
    matches = columns_left.pop(_MATCHED)
    return Relation({**columns_left, **columns_right}, {**keys_left, **keys_right}, matches)


def _matches(
    machine: Machine, left: Relation, right: Relation, on: Sequence[tuple[str, str]]
) -> tuple[Permutation, SharedBits, SharedBits]:
    """The order of both sides' rows by the key, and bits in that order: matches with the next row, is a right row."""
    words = [
        machine.concat([a, b])
        for left_name, right_name in on
        for a, b in zip(left.keys[left_name], right.keys[right_name], strict=True)
    ]
    valid = machine.concat([machine.parity(left.valid), machine.parity(right.valid)])
    order = machine.sort(iter([machine.logical_not(valid), *words]))
    side = np.concatenate([np.zeros(left.rows, np.uint64), np.ones(right.rows, np.uint64)])
    columns: list[Column] = [*words, machine.constant_bits(side, 1), valid]
    del words, valid, side
    moved = machine.apply(order, drained(columns))
    *words, in_right, valid = [as_bits(word) for word in moved]
    return order, _adjacent_matches(machine, words, in_right, valid), in_right


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


def _adjacent_matches(machine: Machine, words: list[SharedBits], in_right: SharedBits, valid: SharedBits) -> SharedBits:
    """A bit a row: it is a valid left row and the next one is a valid right row with the same key."""
    one = machine.constant_bits(np.ones(len(valid) - 1, np.uint64), 1)
    zero = machine.constant_bits(np.zeros(len(valid) - 1, np.uint64), 1)
    flags = [(in_right[:-1], zero), (in_right[1:], one), (valid[:-1], one), (valid[1:], one)]
    match = machine.equal_words([*((word[:-1], word[1:]) for word in words), *flags])
    return machine.concat([match, machine.constant_bits(np.zeros(1, np.uint64), 1)])


def _match_destinations(machine: Machine, matched: Shared, right_flag: Shared) -> Shared:
    """Where each sorted row goes within its own side: matched rows first, both sides in the same order.

    Each side's destinations are a permutation, so opening them shuffled shows nothing.
    """
    follows = machine.concat([machine.constant(np.zeros(1, np.int64)), matched[:-1]])
    only_left = machine.subtract(machine.add(machine.negate(right_flag), 1), matched)
    only = machine.stack([only_left, machine.subtract(right_flag, follows)])
    del only_left, follows
    before = machine.cumsum(matched)
    late = machine.subtract(machine.add(machine.cumsum(only, axis=1), before[-1:]), before)
    shift = machine.sum(machine.multiply(only, late), axis=0)
    return machine.add(machine.subtract(before, 1), shift)


def _first(
    machine: Machine,
    destinations: Shared,
    relation: Relation,
    keys: Sequence[str],
    rows: int,
    extra: Mapping[str, Shared],
) -> tuple[dict[str, Shared], dict[str, Key]]:
    """The relation's columns, extra ones and the named keys, permuted, cut to the first rows."""
    columns = {**extra, **relation.columns}
    words = [word for name in keys for word in relation.keys[name]]
    moving: list[Column] = [*([beside(machine, list(columns.values()))] if columns else []), *words]
    if not moving:
        return {}, {}
    count = len(moving)
    moved = machine.apply(machine.permutation(destinations), drained(moving))
    table = as_values(head(moved[0], rows)) if columns else None
    found = iter(moved[count - len(words) :])
    cut: dict[str, Key] = {name: tuple(as_bits(head(next(found), rows)) for _ in relation.keys[name]) for name in keys}
    return ({name: table[:, i] for i, name in enumerate(columns)} if table is not None else {}), cut
