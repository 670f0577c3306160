"""Relations over shares: filter, oblivious equi-join and grouping, written over any Machine.

Which rows are valid stays hidden, so every output has a public number of rows that follows from public sizes alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share.api import INTEGER_LIMIT, Column, Machine, Shared, SharedBits

EMPTY = INTEGER_LIMIT - 1
"""What a minimum over nothing gives; a maximum gives its negative. A count of the same column tells."""

_MATCHED = ""
"""Name of the match flag while it moves with the left columns; no column has it."""

Key = tuple[SharedBits, ...]


@dataclass(frozen=True)
class Relation:
    """Rows as shared columns.

    columns: values by name, one-dimensional.  keys: join and group keys by name, as words with the most significant
    first.  valid: shared 0 or 1 a row; an invalid row is not there, whatever its columns hold.
    """

    columns: Mapping[str, Shared]
    keys: Mapping[str, Key]
    valid: Shared

    def __post_init__(self) -> None:
        every = [*self.columns.values(), *(word for key in self.keys.values() for word in key)]
        if any(column.shape != self.valid.shape for column in every) or self.valid.ndim != 1:
            raise BadInput("The columns of a relation differ in length.", "Give every column one value a row.")

    @property
    def rows(self) -> int:
        """Public number of rows, invalid ones included."""
        return len(self.valid)


@dataclass(frozen=True)
class Aggregate:
    """name: the column of the result.  kind: what to compute.  column: of what; a count of rows needs none.

    present: a column of shared 0 or 1; rows where it is 0 are nulls and do not count.
    """

    name: str
    kind: Literal["count", "sum", "min", "max"]
    column: str | None = None
    present: str | None = None


def filter_rows(machine: Machine, relation: Relation, keep: SharedBits | Shared) -> Relation:
    """Make the rows invalid where `keep` is 0.

    keep: a bit or a shared 0 or 1 a row.  Cost: one multiplication (and one injection of a bit).  Discloses: nothing.
    """
    flag = machine.inject(keep) if isinstance(keep, SharedBits) else keep
    return Relation(relation.columns, relation.keys, machine.multiply(relation.valid, flag))


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
    left_keys, right_keys = _joined_names(left, right, on, keep)
    if rows == 0:
        return _no_rows(left, right, left_keys, right_keys)
    words = [
        machine.concat([a, b])
        for left_name, right_name in on
        for a, b in zip(left.keys[left_name], right.keys[right_name], strict=True)
    ]
    side = np.concatenate([np.zeros(left.rows, np.uint64), np.ones(right.rows, np.uint64)])
    valid = machine.concat([left.valid, right.valid])
    valid_bit = machine.parity(valid)
    order = machine.sort([machine.logical_not(valid_bit), *words])
    is_right = machine.constant_bits(side, 1)
    *sorted_words, in_right, sorted_valid = machine.apply(order, [*words, is_right, valid_bit])
    sorted_bits = [_bits(word) for word in sorted_words]
    match = _adjacent_matches(machine, sorted_bits, _bits(in_right), _bits(sorted_valid))
    flags = machine.inject(machine.stack([match, _bits(in_right)], 1))
    matched = flags[:, 0]
    destinations = _match_destinations(machine, matched, flags[:, 1])
    home = _values(machine.unapply(order, [machine.stack([destinations, matched], 1)])[0])
    side_left, side_right = home[: left.rows], home[left.rows :]
    columns_left, keys_left = _first(machine, side_left[:, 0], left, left_keys, rows, {_MATCHED: side_left[:, 1]})
    columns_right, keys_right = _first(machine, side_right[:, 0], right, right_keys, rows, {})
    matches = columns_left.pop(_MATCHED)
    return Relation({**columns_left, **columns_right}, {**keys_left, **keys_right}, matches)


def _require(known: Mapping[str, object], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in known]
    if missing:
        raise BadInput(f"There is no {', '.join(missing)} here.", f"Known: {', '.join(known) or 'none'}.")


def _joined_names(
    left: Relation, right: Relation, on: Sequence[tuple[str, str]], keep: Collection[str]
) -> tuple[list[str], list[str]]:
    if not on:
        raise BadInput("A join needs a key.", "Name the columns to join on.")
    _require(left.keys, [pair[0] for pair in on])
    _require(right.keys, [pair[1] for pair in on])
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
    left_flag = machine.add(machine.negate(right_flag), 1)
    only_left = machine.subtract(left_flag, matched)
    only_right = machine.subtract(right_flag, follows)
    count = machine.cumsum(machine.stack([matched, only_left, only_right], 1))
    total = count[-1:, :1].broadcast_to((len(matched), 2))
    matched_before = count[:, :1].broadcast_to((len(matched), 2))
    late = machine.subtract(machine.add(count[:, 1:], total), matched_before)
    shift = machine.multiply(machine.stack([only_left, only_right], 1), late)
    return machine.add(machine.subtract(count[:, 0], 1), machine.sum(shift, axis=1))


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
    moving: list[Column] = [*([machine.stack(list(columns.values()), 1)] if columns else []), *words]
    if not moving:
        return {}, {}
    moved = machine.apply(machine.permutation(destinations), moving)
    table = _values(moved[0])[:rows] if columns else None
    found = iter(moved[len(moving) - len(words) :])
    cut: dict[str, Key] = {name: tuple(_bits(next(found))[:rows] for _ in relation.keys[name]) for name in keys}
    return ({name: table[:, i] for i, name in enumerate(columns)} if table is not None else {}), cut


def _bits(column: Column) -> SharedBits:
    assert isinstance(column, SharedBits)
    return column


def _values(column: Column) -> Shared:
    assert isinstance(column, Shared)
    return column


def group(
    machine: Machine, relation: Relation, keys: Sequence[str], aggregates: Sequence[Aggregate], bound: int
) -> Relation:
    """Group by key columns and aggregate; group k of the result is the k-th in the order of the keys.

    bound: at least the number of groups; more groups are cut off.  No keys: one group, valid even of no rows.
    Returns min(bound, rows) rows (at least one) with the keys, one column an aggregate and the hidden valid flag; where
    it is 0 every aggregate is 0.  Sums wrap in the ring; minima and maxima need |x| < 2**62 - 1 and give
    `EMPTY` or -`EMPTY` for a group with nothing to compare.  Discloses: nothing beyond the shapes.
    Cost: a sort by the keys' bits and one more, an equality test, a one-bit sort, two permutations; minima and maxima
    add ceil(log2(rows)) comparisons.  Source: after Asharov et al. (CCS 2022).
    """
    if bound < 1:
        raise BadInput(f"A grouping into {bound} groups is empty.", "Give a bound of at least 1.")
    _require(relation.keys, keys)
    _require(relation.columns, [name for a in aggregates for name in (a.column, a.present) if name is not None])
    if relation.rows == 0:
        relation = _one_invalid_row(machine, relation)
    sums, extremes = _prepare(machine, relation, aggregates)
    if not keys:
        return _single_group(machine, sums, extremes, aggregates)
    order_words = [word for name in keys for word in relation.keys[name]]
    valid_bit = machine.parity(relation.valid)
    order = machine.sort([machine.logical_not(valid_bit), *order_words])
    tables = [*sums, *extremes]
    moved = machine.apply(order, [valid_bit, *order_words, *([machine.stack(tables, 1)] if tables else [])])
    valid, words = _bits(moved[0]), [_bits(word) for word in moved[1 : len(order_words) + 1]]
    table = _values(moved[-1]) if tables else None
    follows = _same_group(machine, words, valid)
    last = machine.logical_and(valid, machine.logical_not(machine.concat([follows[1:], follows[:1]])))
    columns = _running(machine, table, follows, len(sums))
    front = machine.sort([machine.logical_not(last)])
    flag = machine.inject(last)
    ends, *end_words = machine.apply(front, [machine.stack([flag, *columns], 1), *words])
    count = min(bound, relation.rows)
    result = _differences(machine, _values(ends)[:count], len(sums))
    found = iter(end_words)
    cut: dict[str, Key] = {name: tuple(_bits(next(found))[:count] for _ in relation.keys[name]) for name in keys}
    return _named(machine, result, cut, aggregates)


def _one_invalid_row(machine: Machine, relation: Relation) -> Relation:
    zero = machine.constant(np.zeros(1, np.int64))
    return Relation(
        dict.fromkeys(relation.columns, zero),
        {
            name: tuple(machine.constant_bits(np.zeros(1, np.uint64), word.width) for word in key)
            for name, key in relation.keys.items()
        },
        zero,
    )


def _prepare(
    machine: Machine, relation: Relation, aggregates: Sequence[Aggregate]
) -> tuple[list[Shared], list[Shared]]:
    """Columns to be summed, and columns whose minimum is sought (negated for maxima), neutral where a row is absent."""
    for aggregate in aggregates:
        if (aggregate.column is None) != (aggregate.kind == "count"):
            raise BadInput(f"The aggregate {aggregate.name} misnames its column.", "A count has none, the others one.")
    named = sorted({a.present for a in aggregates if a.present is not None})
    weight: dict[str | None, Shared] = {None: relation.valid}
    if named:
        flags = machine.stack([relation.columns[name] for name in named], 1)
        present = machine.multiply(flags, relation.valid.reshape(-1, 1))
        weight |= {name: present[:, i] for i, name in enumerate(named)}
    weighed = [a for a in aggregates if a.kind != "count"]
    products: dict[str, Shared] = {}
    if weighed:
        values = [_offset(machine, relation, a) for a in weighed]
        table = machine.multiply(machine.stack(values, 1), machine.stack([weight[a.present] for a in weighed], 1))
        products = {a.name: table[:, i] for i, a in enumerate(weighed)}
    sums = [
        products[a.name] if a.kind == "sum" else weight[a.present] for a in aggregates if a.kind in ("sum", "count")
    ]
    extremes = [machine.add(products[a.name], EMPTY) for a in aggregates if a.kind in ("min", "max")]
    return sums, extremes


def _offset(machine: Machine, relation: Relation, aggregate: Aggregate) -> Shared:
    column = relation.columns[aggregate.column or ""]
    if aggregate.kind == "sum":
        return column
    return machine.subtract(machine.negate(column) if aggregate.kind == "max" else column, EMPTY)


def _same_group(machine: Machine, words: list[SharedBits], valid: SharedBits) -> SharedBits:
    """A bit a row: it is valid and continues the group of the row before."""
    one = machine.constant_bits(np.ones(len(valid) - 1, np.uint64), 1)
    same = machine.equal_words([*((word[1:], word[:-1]) for word in words), (valid[1:], one)])
    return machine.concat([machine.constant_bits(np.zeros(1, np.uint64), 1), same])


def _running(machine: Machine, table: Shared | None, follows: SharedBits, sums: int) -> list[Shared]:
    """Prefix sums of the first columns, segmented running minima of the others."""
    if table is None:
        return []
    totals = machine.cumsum(table[:, :sums])
    lowest = table[:, sums:]
    if lowest.shape[1]:
        lowest = _segmented_minimum(machine, lowest, follows)
    return [*(totals[:, i] for i in range(sums)), *(lowest[:, i] for i in range(lowest.shape[1]))]


def _segmented_minimum(machine: Machine, values: Shared, follows: SharedBits) -> Shared:
    """Running minimum since the group began, by recursive doubling (Hillis, Steele 1986)."""
    rows, columns = values.shape
    step = 1
    while step < rows:
        before, here = values[:-step], values[step:]
        linked = follows[step:].reshape(-1, 1).broadcast_to((rows - step, columns))
        lower = machine.logical_and(machine.less_than(before, here), linked)
        values = machine.concat([values[:step], machine.select(lower, before, here)])
        follows = machine.concat([follows[:step], machine.logical_and(follows[step:], follows[:-step])])
        step *= 2
    return values


def _differences(machine: Machine, ends: Shared, sums: int) -> Shared:
    """Turn running totals at group ends into totals a group, and zero what is no group; column 0 is the valid flag."""
    rows = len(ends)
    totals = ends[:, 1 : sums + 1]
    earlier = machine.concat([machine.constant(np.zeros((1, sums), np.int64)), totals[:-1]])
    each = machine.concat([machine.subtract(totals, earlier), ends[:, sums + 1 :]], axis=1)
    if not each.shape[1]:
        return ends
    masked = machine.multiply(each, ends[:, :1].broadcast_to((rows, each.shape[1])))
    return machine.concat([ends[:, :1], masked], axis=1)


def _single_group(
    machine: Machine, sums: list[Shared], extremes: list[Shared], aggregates: Sequence[Aggregate]
) -> Relation:
    parts = [machine.constant(np.ones((1, 1), np.int64))]
    if sums:
        parts.append(machine.sum(machine.stack(sums, 1), axis=0).reshape(1, -1))
    if extremes:
        lowest = machine.stack(extremes, 1)
        while len(lowest) > 1:
            half = len(lowest) // 2
            one, two, odd = lowest[:half], lowest[half : 2 * half], lowest[2 * half :]
            lowest = machine.concat([machine.select(machine.less_than(one, two), one, two), odd])
        parts.append(lowest)
    return _named(machine, machine.concat(parts, axis=1), {}, aggregates)


def _named(machine: Machine, result: Shared, keys: Mapping[str, Key], aggregates: Sequence[Aggregate]) -> Relation:
    """Columns by the aggregates' names: flag first, then sums and counts, then minima and negated maxima."""
    names = [a for a in aggregates if a.kind in ("sum", "count")] + [a for a in aggregates if a.kind in ("min", "max")]
    found = {
        a.name: machine.negate(result[:, i + 1]) if a.kind == "max" else result[:, i + 1] for i, a in enumerate(names)
    }
    return Relation({a.name: found[a.name] for a in aggregates}, keys, result[:, 0])
