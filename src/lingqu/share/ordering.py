"""Order over any Machine: extremes by tournament, sorting by several keys, quantiles, distinct keys.

Values are integers or fixed point; both are ordered alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share import images
from lingqu.share.api import FRACTION_BITS, Column, Machine, Permutation, Shared, SharedBits
from lingqu.share.domain import image, within
from lingqu.share.integers import INTEGERS, round_shift

ONE = 1 << FRACTION_BITS
QUANTILE_LIMIT = 1 << 40


def _front(machine: Machine, x: Shared, axis: int, operation: str) -> Shared:
    """The axis brought to the front; BadInput when there is none or it is empty."""
    if not -x.ndim <= axis < x.ndim:
        raise BadInput(f"An array of {x.ndim} axes has no axis {axis}.", "Count axes from 0, or from the last with -1.")
    if x.shape[axis] == 0:
        raise BadInput("There is no extreme of an empty axis.", "Give at least one entry along the axis.")
    within(machine, x, *INTEGERS, operation)
    return x.moved(lambda p: np.moveaxis(p, axis, 0))


def _tournament(machine: Machine, entries: Shared, greatest: bool) -> Shared:
    """The winner over the first axis of (n, values, ...): compared by the first of the values, the others follow.

    The earlier entry wins a tie.
    """
    while len(entries) > 1:
        half = len(entries) // 2
        one, two = entries[: 2 * half : 2], entries[1 : 2 * half : 2]
        left, right = (one, two) if greatest else (two, one)
        later = machine.less_than(left[:, 0], right[:, 0])
        won = machine.select(later[:, None], two, one)
        entries = machine.concat([won, entries[2 * half :]])
    return entries[0]


def minimum_along(machine: Machine, x: Shared, axis: int = -1) -> Shared:
    """The least value along an axis, which disappears.

    x: |x| < 2**62.  Cost: a comparison and a selection a match, 9 rounds for each of ceil(log2(n)) levels.
    Discloses: nothing.  BadInput for an empty axis.
    """
    return _extreme(machine, _front(machine, x, axis, "minimum_along"), False)


def maximum_along(machine: Machine, x: Shared, axis: int = -1) -> Shared:
    """The greatest value along an axis; as minimum_along."""
    return _extreme(machine, _front(machine, x, axis, "maximum_along"), True)


@image(images.extreme)
def _extreme(machine: Machine, entries: Shared, greatest: bool) -> Shared:
    return _tournament(machine, entries[:, None], greatest)[0]


@image(images.place)
def _placed(machine: Machine, entries: Shared, greatest: bool) -> Shared:
    places = np.arange(len(entries)).reshape((-1,) + (1,) * (entries.ndim - 1))
    indices = machine.constant(np.broadcast_to(places, entries.shape))
    return _tournament(machine, machine.stack([entries, indices], 1), greatest)[1]


def argmin(machine: Machine, x: Shared, axis: int = -1) -> Shared:
    """Where along an axis the least value is first; as minimum_along, with one more product a match."""
    return _placed(machine, _front(machine, x, axis, "argmin"), False)


def argmax(machine: Machine, x: Shared, axis: int = -1) -> Shared:
    """Where along an axis the greatest value is first; as minimum_along, with one more product a match."""
    return _placed(machine, _front(machine, x, axis, "argmax"), True)


def prefix_sums(machine: Machine, x: Shared, axis: int = 0) -> Shared:
    """Running sums along an axis, in the ring.  Cost: none."""
    return machine.cumsum(x, axis)


@dataclass(frozen=True)
class SortKey:
    """values: one-dimensional.  bits: |values| < 2**(bits - 1), 2 to 63; fewer bits sort faster.

    present: shared 0 or 1 a row, 0 for a null.  Nulls come last (or first), whether ascending or descending, and among
    themselves count as equal.
    """

    values: Shared
    descending: bool = False
    present: Shared | None = None
    nulls_last: bool = True
    bits: int = 63


def key_bits(machine: Machine, key: SortKey) -> list[SharedBits]:
    """Words, the most significant first, whose unsigned order is the key's."""
    if not 2 <= key.bits <= 63 or key.values.ndim != 1:
        raise BadInput("A sort key is one-dimensional and has 2 to 63 bits.", "Give one value a row, and its width.")
    offset = 1 << (key.bits - 1)
    within(machine, key.values, 1 - offset, offset - 1, "sort_by")
    values = key.values if key.present is None else machine.multiply(key.values, key.present)
    words = machine.to_bits(machine.add(values, offset), key.bits)
    if key.descending:
        words = machine.logical_not(words)
    if key.present is None:
        return [words]
    known = machine.parity(key.present)
    return [machine.logical_not(known) if key.nulls_last else known, words]


def sort_by(machine: Machine, keys: Sequence[SortKey], columns: Sequence[Column]) -> list[Column]:
    """The rows of all columns in the stable order of the keys, the most important first.

    columns: what moves; the keys' own values only if they are among them.  BadInput without keys or columns.
    Cost: the bits of every key, a radix sort of all their bits, one permutation.  Discloses: nothing.
    """
    return machine.apply(order_of(machine, keys), columns)


def order_of(machine: Machine, keys: Sequence[SortKey]) -> Permutation:
    """The permutation that sort_by applies."""
    if not keys:
        raise BadInput("There is no key to sort by.", "Name at least one key.")
    return machine.sort(iter([word for key in keys for word in key_bits(machine, key)]))


def top_rows(
    machine: Machine, keep: SharedBits, keys: Sequence[SortKey], columns: Sequence[Shared], rows: int
) -> list[Shared]:
    """The first `rows` rows of two-dimensional columns in the stable order of the keys, those to keep before others.

    keep: a bit a row.  rows: public, 0 to as many as there are; BadInput otherwise.
    Cost: as sort_by with one more bit.  Discloses: nothing: how many rows are to be kept stays hidden.
    """
    if not 0 <= rows <= len(keep):
        raise BadInput(f"There are no {rows} first rows of {len(keep)}.", "Ask for at most as many as there are.")
    words = [word for key in keys for word in key_bits(machine, key)]
    order = machine.sort([machine.logical_not(keep), *words])
    moved = _values(machine.apply(order, [machine.concat(list(columns), axis=1)])[0])
    ends = np.cumsum([column.shape[1] for column in columns])
    return [moved[:rows, end - column.shape[1] : end] for end, column in zip(ends.tolist(), columns, strict=True)]


def top_k(machine: Machine, x: Shared, k: int, bits: int = 63) -> tuple[Shared, Shared]:
    """(values, places) of the k greatest, the greatest first, the earlier first among equals.

    x: one-dimensional, |x| < 2**(bits - 1).  k: public, 1 to the number of rows; BadInput otherwise.
    Cost: a radix sort of `bits` bits.  Discloses: nothing.
    """
    if x.ndim != 1 or not 1 <= k <= len(x):
        raise BadInput(f"There are no {k} greatest of shape {x.shape}.", "Ask for 1 to as many as there are rows.")
    pairs = machine.stack([x, machine.constant(np.arange(len(x)))], 1)
    best = _values(sort_by(machine, [SortKey(x, descending=True, bits=bits)], [pairs])[0])[:k]
    return best[:, 0], best[:, 1]


def _values(column: Column) -> Shared:
    assert isinstance(column, Shared)
    return column


def quantile(
    machine: Machine,
    x: Shared,
    valid: Shared,
    fraction: float,
    interpolation: Literal["lower", "linear"] = "linear",
    bits: int = 63,
) -> Shared:
    """The quantile of the valid rows, as numpy's of the same name; 0 when no row is valid.

    x: one-dimensional, |x| < 2**(bits - 1); with "linear" also |x| < 2**40 as an integer (2**20 in fixed point), and
    the result is rounded to nearest, off by 2**-20 of the gap between neighbours besides unless the denominator is a
    power of two.  valid: shared 0 or 1 a row; how many are valid stays hidden.
    fraction: 0 to 1, a fraction with a denominator up to 1000 (within 1e-9).  BadInput for other arguments.
    Cost: a radix sort of bits + 1 bits, a narrow comparison a row, a few products.  Discloses: nothing.
    """
    rows, share = len(valid), Fraction(fraction if 0 <= fraction <= 1 else -1).limit_denominator(1000)
    if x.shape != (rows,) or not 1 <= rows < 1 << 30 or share < 0 or abs(share - fraction) > 1e-9:
        raise BadInput(
            "A quantile needs rows, a valid flag each, and a fraction from 0 to 1 with a denominator up to 1000.",
            "Check the arguments.",
        )
    if interpolation == "linear":
        within(machine, x, 1 - QUANTILE_LIMIT, QUANTILE_LIMIT - 1, "quantile")
    offset = 1 << (bits - 1)
    within(machine, x, 1 - offset, offset - 1, "quantile")
    return _quantile(machine, x, valid, share, interpolation, bits)


@image(images.hull_with_zero)
def _quantile(
    machine: Machine, x: Shared, valid: Shared, share: Fraction, interpolation: Literal["lower", "linear"], bits: int
) -> Shared:
    rows = len(valid)
    key = SortKey(x, present=valid, bits=bits)
    ordered = _values(sort_by(machine, [key], [machine.multiply(x, valid)])[0])
    place = machine.scale(machine.subtract(machine.sum(valid), 1), share.numerator)
    edges = np.arange(rows, dtype=np.int64) * share.denominator
    width = (rows * share.denominator).bit_length() + 2
    late = machine.inject(machine.less_than(place.reshape(1).broadcast_to((rows,)), edges, bits=width))
    reached = machine.add(machine.negate(late), 1)
    here = machine.subtract(reached, machine.concat([reached[1:], machine.scale(reached[:1], 0)]))
    if interpolation == "lower":
        return machine.sum(machine.multiply(here, ordered))
    following = machine.concat([ordered[1:], ordered[-1:]])
    both = machine.sum(machine.multiply(here[None], machine.stack([ordered, following])), axis=1)
    last = machine.subtract(machine.sum(reached), 1)
    part = machine.subtract(place, machine.scale(last, share.denominator))
    gap = machine.subtract(both[1], both[0])
    return machine.add(
        both[0], round_shift(machine, machine.multiply(_fraction(machine, part, share), gap), FRACTION_BITS)
    )


def _fraction(machine: Machine, part: Shared, share: Fraction) -> Shared:
    """part / denominator with 20 fractional bits, exact for a power of two."""
    if ONE % share.denominator == 0:
        return machine.scale(part, ONE // share.denominator)
    return round_shift(machine, machine.scale(part, (1 << 40) // share.denominator + 1), 40 - FRACTION_BITS)


def median(machine: Machine, x: Shared, valid: Shared, bits: int = 63) -> Shared:
    """The middle of the valid rows, or the mean of the two middle ones; as quantile."""
    return quantile(machine, x, valid, 0.5, "linear", bits)


def count_distinct(machine: Machine, words: Sequence[SharedBits], valid: Shared) -> Shared:
    """How many distinct keys the valid rows have, as one shared integer.

    words: the key's words, the most significant first.  valid: shared 0 or 1 a row.
    Cost: a sort by the key's bits and one more, one permutation, an equality test of neighbours.  Discloses: nothing.
    """
    if not words or any(word.shape != valid.shape for word in words) or valid.ndim != 1:
        raise BadInput("A key has words of one entry a row.", "Give at least one word, and a flag a row.")
    known = machine.parity(valid)
    if len(valid) < 2:
        return machine.sum(machine.inject(known))
    order = machine.sort([machine.logical_not(known), *words])
    moved = [_bits(column) for column in machine.apply(order, [known, *words])]
    same = machine.equal_words([(word[1:], word[:-1]) for word in moved[1:]])
    fresh = machine.logical_and(moved[0][1:], machine.logical_not(same))
    return machine.sum(machine.inject(machine.concat([moved[0][:1], fresh])))


def _bits(column: Column) -> SharedBits:
    assert isinstance(column, SharedBits)
    return column
