"""Grouping of shared relations: aggregates a group, and columns whose sums a group are quantiles or distinct counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import Literal

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share import wide
from lingqu.share.api import INTEGER_LIMIT, Column, Machine, Shared, SharedBits
from lingqu.share.domain import Bounding, image
from lingqu.share.ordering import SortKey, key_bits
from lingqu.share.relation import (
    Key,
    Parked,
    Relation,
    apply_first,
    as_bits,
    as_values,
    beside,
    copy_down,
    drained,
    flags_of,
    parked,
    require_names,
    same_as_next,
    same_group,
)
from lingqu.share.sparing import sparing

EMPTY = INTEGER_LIMIT - 1
"""What a minimum over nothing gives; a maximum gives its negative. A count of the same column tells."""


@dataclass(frozen=True)
class Aggregate:
    """name: the column of the result.  kind: what to compute.  column: of what; a count of rows needs none.

    present: a column of shared 0 or 1; rows where it is 0 are nulls and do not count.
    """

    name: str
    kind: Literal["count", "sum", "min", "max"]
    column: str | None = None
    present: str | None = None


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
    require_names(relation.keys, keys)
    require_names(relation.columns, [name for a in aggregates for name in (a.column, a.present) if name is not None])
    if relation.rows == 0:
        relation = _one_invalid_row(machine, relation)
    with sparing(relation.rows):
        sums, extremes = _prepare(machine, relation, aggregates)
        if not keys:
            return _single_group(machine, sums, extremes, aggregates)
        summed, tables = len(sums), [*sums, *extremes]
        del sums, extremes
        names = [(name, len(relation.keys[name])) for name in keys]
        words, valid = [word for name in keys for word in relation.keys[name]], relation.valid
        count = min(bound, relation.rows)
        del relation  # whose keys are freed where nobody else holds them
        ends = _ends_first(machine, *_ends(machine, valid, words, tables, summed), len(valid), count)
        return _totals(machine, ends, summed, names, aggregates)


def _ends_first(
    machine: Machine, last: SharedBits, waiting: list[Parked], running: list[Shared], rows: int, count: int
) -> list[Column]:
    """The bit, the keys and the running columns of the groups' last rows, before what is no such row.

    running: a table, or none; the list is emptied.
    """
    front = machine.sort(iter([flags_of(machine, machine.logical_not(last), rows)]))
    moving: list[Column] = [flags_of(machine, last, rows), *(words.taken() for words in waiting)]
    moving += running
    running.clear()
    return apply_first(machine, front, drained(moving), count)


def _totals(
    machine: Machine, ends: list[Column], sums: int, names: list[tuple[str, int]], aggregates: Sequence[Aggregate]
) -> Relation:
    """The result, from the last row of each group; names: of the keys, and how many words each has."""
    table = [as_values(ends.pop())] if isinstance(ends[-1], Shared) else []
    flag, *found = [as_bits(column) for column in ends]
    result = _differences(machine, machine.concat([machine.inject(flag).reshape(-1, 1), *table], axis=1), sums)
    each = iter(found)
    cut: dict[str, Key] = {name: tuple(next(each) for _ in range(length)) for name, length in names}
    return _named(machine, result, cut, aggregates)


def _ends(
    machine: Machine, valid: Shared, words: list[SharedBits], tables: list[Shared], sums: int
) -> tuple[SharedBits, list[Parked], list[Shared]]:
    """The plane of bits for the last rows of groups, keys, and a table of running columns, in the order of the keys.

    words: of the keys.  tables: columns, of which the first `sums` are summed and minima of the others are sought.
    Both lists are emptied.
    """
    order = machine.sort(chain([machine.logical_not(machine.parity(valid))], words))
    columns: list[Column] = [machine.parity(valid), *words, *([beside(machine, tables)] if tables else [])]
    tables.clear()
    words.clear()
    del valid
    moved = machine.apply(order, drained(columns))
    del order
    table = as_values(moved.pop()) if isinstance(moved[-1], Shared) else None
    known = as_bits(moved.pop(0))
    words = [as_bits(word) for word in moved]
    del moved
    follows = None
    if table is not None and table.shape[1] > sums:
        follows = same_group(machine, words, known)
        ended = machine.logical_not(machine.planes(machine.concat([follows[1:], follows[:1]])))
    else:
        ended = machine.logical_not(same_as_next(machine, [*words, known]))
    last = machine.logical_and(machine.planes(known), ended)
    waiting = [parked(words.pop(0)) for _ in range(len(words))]
    del known
    return last, waiting, _running(machine, table, follows, sums)


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
        table = machine.multiply(beside(machine, values), beside(machine, [weight[a.present] for a in weighed]))
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


def _running(machine: Machine, table: Shared | None, follows: SharedBits | None, sums: int) -> list[Shared]:
    """Prefix sums of the first columns, segmented running minima of the others, for which bits say who follows."""
    if table is None:
        return []
    totals = machine.cumsum(table[:, :sums])
    if follows is None:
        return [totals]
    return [machine.concat([totals, _segmented_minimum(machine, table[:, sums:], follows)], 1)]


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


def distinct_rows(machine: Machine, relation: Relation, keys: Sequence[str], bound: int) -> Relation:
    """Every combination of keys of the valid rows once, in the order of the keys; how many there are stays hidden.

    As group without aggregates: `bound` rows at most, the columns are gone.
    """
    return group(machine, relation, keys, [], bound)


def distinct_marks(
    machine: Machine, relation: Relation, keys: Sequence[str], counted: str, present: str | None = None
) -> Shared:
    """Shared 0 or 1 a row whose sum over a group of `keys` is how many different values the key `counted` has in it.

    present: a 0/1 column; rows where it is 0 are nulls and do not count.
    Cost: a sort by the bits of all these keys and one more, an equality test, a permutation, an injection and the way
    back.  Discloses: nothing.
    """
    require_names(relation.keys, [*keys, counted])
    counting = _counting(machine, relation, present)
    if relation.rows < 2:
        return counting
    known = machine.parity(counting)
    words = [word for name in (*keys, counted) for word in relation.keys[name]]
    order = machine.sort([machine.logical_not(known), *words])
    moved = [as_bits(word) for word in machine.apply(order, [known, *words])]
    first = machine.logical_and(moved[0], machine.logical_not(same_group(machine, moved[1:], moved[0])))
    return as_values(machine.unapply(order, [machine.inject(first)])[0])


def _counting(machine: Machine, relation: Relation, present: str | None) -> Shared:
    """1 for valid rows that are not null."""
    if present is None:
        return relation.valid
    require_names(relation.columns, [present])
    return machine.multiply(relation.valid, relation.columns[present])


def quantile_parts(
    machine: Machine,
    relation: Relation,
    keys: Sequence[str],
    column: str,
    fraction: Fraction,
    *,
    kind: Literal["continuous", "discrete"] = "continuous",
    present: str | None = None,
    bits: int = 63,
) -> Shared:
    """Shared integers a row whose sum over a group of `keys` is its quantile times `quantile_unit`, exactly.

    column: |values| < 2**(bits - 1), and times the unit below 2**62.  fraction: 0 to 1 with a denominator up to 1000;
    BadInput otherwise.  kind: "continuous" interpolates between neighbours (as PERCENTILE_CONT), "discrete" is the
    least value that at least that share of the group does not exceed (as PERCENTILE_DISC).  present: as in Aggregate.
    Cost: a sort by the keys' bits, the column's and one more, five permutations, three narrow comparisons, three
    products.  Discloses: nothing.
    """
    if not 0 <= fraction <= 1 or fraction.denominator > 1000:
        raise BadInput(f"A quantile of {fraction} cannot be taken.", "Use 0 to 1 with a denominator up to 1000.")
    require_names(relation.keys, keys)
    require_names(relation.columns, [column])
    counting = _counting(machine, relation, present)
    values = machine.multiply(relation.columns[column], counting)
    if relation.rows < 2:
        return machine.scale(values, quantile_unit(fraction, kind))
    known = machine.parity(counting)
    words = [word for name in keys for word in relation.keys[name]]
    order = machine.sort([machine.logical_not(known), *words, *key_bits(machine, SortKey(values, bits=bits))])
    moved = machine.apply(order, [known, *words, values])
    sorted_words, sorted_known = [as_bits(word) for word in moved[1:-1]], as_bits(moved[0])
    place, size = _place_and_size(machine, same_group(machine, sorted_words, sorted_known))
    weight = _weights(machine, place, size, fraction, kind)
    return as_values(machine.unapply(order, [machine.multiply(weight, as_values(moved[-1]))])[0])


def quantile_unit(fraction: Fraction, kind: Literal["continuous", "discrete"] = "continuous") -> int:
    """What sums of quantile_parts are to be divided by."""
    return fraction.denominator if kind == "continuous" else 1


def _places_and_sizes(machine: Bounding, follows: SharedBits) -> tuple[Shared, Shared]:
    rows = np.arange(len(follows), dtype=np.int64)
    return machine.between(np.zeros_like(rows), rows), machine.between(np.ones_like(rows), len(rows))


@image(_places_and_sizes)
def _place_and_size(machine: Machine, follows: SharedBits) -> tuple[Shared, Shared]:
    """A row's place in its group, from 0, and the group's size."""
    places = np.arange(len(follows), dtype=np.int64)
    starts = machine.logical_not(follows)
    ends = machine.logical_not(machine.concat([follows[1:], machine.constant_bits(np.zeros(1, np.uint64), 1)]))
    flags = machine.inject(machine.stack([starts, ends[::-1]]))
    marked = machine.scale(flags, np.stack([places, places[::-1]]))
    first = copy_down(machine, starts, marked[0].reshape(-1, 1))[0][:, 0]
    last = copy_down(machine, ends[::-1], marked[1].reshape(-1, 1))[0][::-1, 0]
    place = machine.add(machine.negate(first), places)
    return place, machine.add(machine.subtract(last, first), 1)


def _parts_of_unit(
    machine: Bounding, place: Shared, size: Shared, fraction: Fraction, kind: Literal["continuous", "discrete"]
) -> Shared:
    return machine.between(np.zeros(place.shape, np.int64), quantile_unit(fraction, kind))


@image(_parts_of_unit)
def _weights(
    machine: Machine, place: Shared, size: Shared, fraction: Fraction, kind: Literal["continuous", "discrete"]
) -> Shared:
    """What each row's value weighs in the quantile of its group, in units of quantile_unit."""
    part, unit = fraction.numerator, fraction.denominator
    bits = (len(place) * 2 * unit).bit_length() + 3
    if kind == "discrete":
        reached = machine.scale(size, part) if part else machine.add(machine.scale(size, 0), 1)
        left = machine.subtract(reached, machine.scale(place, unit))
        edges = np.array([[1], [unit + 1]], np.int64)
        below = machine.less_than(left[None].broadcast_to((2, len(place))), edges, bits=bits)
        return machine.weigh(below, np.array([[-1, 1]], np.int64))[0]
    left = machine.subtract(machine.scale(machine.subtract(size, 1), part), machine.scale(place, unit))
    edges = np.array([[1 - unit], [0], [unit]], np.int64)
    below = machine.less_than(left[None].broadcast_to((3, len(place))), edges, bits=bits)
    sides = machine.weigh(below, np.array([[-1, 1, 0], [0, -1, 1]], np.int64))
    heights = machine.stack([machine.add(left, unit), machine.add(machine.negate(left), unit)])
    return machine.sum(machine.multiply(sides, heights), axis=0)


def scatter(machine: Machine, count: Shared, total: wide.Wide, squares: wide.Wide) -> wide.Wide:
    """count times the sum of squares less the square of the sum: the variance times count**2, exact.

    Divided by count (count - 1) it is the sample's variance.  count: below 2**31.
    Cost: carries and two wide products.  Discloses: nothing.
    """
    members = wide.widen(machine, count, (1 << 31) - 1)
    return wide.subtract(machine, wide.multiply(machine, squares, members), wide.multiply(machine, total, total))


def square_limbs(machine: Machine, x: Shared, bits: int, limbs: int) -> tuple[Shared, ...]:
    """The squares of integers in limbs, so many that sums over the rows stay inside the ring.

    x: |x| <= 2**(bits - 1).  limbs: as `wide.limbs_needed` of the squares and the number of rows.
    Cost: carries and one product of all pairs of limbs.  Discloses: nothing.
    """
    value = wide.widen(machine, x, 1 << (bits - 1))
    squares = wide.carried(machine, wide.multiply(machine, value, value))
    return wide.folded(machine, squares, limbs)


def scatter_digits(machine: Machine, count: Shared, total: Shared, squares: Sequence[Shared]) -> Shared:
    """`scatter` of a group's count, its sum, and its sums of `square_limbs`, as digits that may be opened.

    total: |total| < 2**61.  Returns shape (*shape, 3).  Cost: as `scatter` and `wide.digits`.  Discloses: nothing.
    """
    summed = wide.Wide(tuple(squares), (wide.ROOM,) * len(squares))
    return wide.digits(machine, scatter(machine, count, wide.Wide((total,), (1 << 61,)), summed))


def value_limbs(machine: Machine, x: Shared, bits: int, limbs: int) -> tuple[Shared, ...]:
    """Integers in limbs, so many that sums over the rows stay inside the ring.

    x, limbs: as in `square_limbs`.  Cost: carries.  Discloses: nothing.
    """
    return wide.folded(machine, wide.carried(machine, wide.widen(machine, x, 1 << (bits - 1)), top=True), limbs)


def sum_digits(machine: Machine, limbs: Sequence[Shared]) -> Shared:
    """A group's sums of `value_limbs` as digits that may be opened: shape (*shape, 3).  Cost: as `wide.digits`."""
    return wide.digits(machine, wide.Wide(tuple(limbs), (wide.ROOM,) * len(limbs)))
