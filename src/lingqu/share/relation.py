"""Relations over shares, and what joins and groupings of them have in common, written over any Machine.

Which rows are valid stays hidden, so every output has a public number of rows that follows from public sizes alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, cast

import numpy as np

from lingqu import _core
from lingqu.kinds.errors import BadInput
from lingqu.share.api import Column, Machine, Permutation, Shared, SharedBits
from lingqu.share.domain import image
from lingqu.share.images import spread_down
from lingqu.share.sparing import MOST_ROWS
from lingqu.share.steering import moved

Key = tuple[SharedBits, ...]
H = TypeVar("H", bound=Column)


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


def filter_rows(machine: Machine, relation: Relation, keep: SharedBits | Shared) -> Relation:
    """Make the rows invalid where `keep` is 0.

    keep: a bit or a shared 0 or 1 a row.  Cost: one multiplication, or one selection by bits.  Discloses: nothing.
    """
    valid = relation.valid
    kept = moved(machine, keep, valid) if isinstance(keep, SharedBits) else machine.multiply(valid, keep)
    return Relation(relation.columns, relation.keys, kept)


def beside(machine: Machine, columns: Sequence[Shared]) -> Shared:
    """Columns side by side; a single one is not copied."""
    return columns[0].reshape(-1, 1) if len(columns) == 1 else machine.stack(columns, 1)


def drained(columns: list[H]) -> Iterator[H]:
    """A list's columns, which it then holds no more: what nobody else holds is freed when it moves."""
    while columns:
        yield columns.pop(0)


class Cutting(Protocol):
    """A machine that moves columns without writing down rows that nobody wants."""

    def apply_first(self, permutation: Permutation, columns: Iterable[Column], rows: int) -> list[Column]:
        """The first rows of what Machine.apply gives."""


def apply_first(machine: Machine, order: Permutation, columns: Iterable[Column], rows: int) -> list[Column]:
    """The first rows of columns in another order.  Cost: as Machine.apply."""
    # by its attribute: a machine that counts what another one does has all methods of that one
    if hasattr(machine, "apply_first"):
        return cast(Cutting, machine).apply_first(order, columns, rows)
    return [head(column, rows) for column in machine.apply(order, columns)]


@dataclass(frozen=True)
class Parked:
    """Words of bits that lie without gaps while nobody needs them, if they are many.

    words: as they are, or their bits packed into words of 64.
    """

    words: SharedBits
    rows: int

    def taken(self) -> SharedBits:
        """The words as they were."""
        words, rows = self.words, self.rows
        if len(words) == rows:
            return words
        return words.like(tuple(_core.unpack(part, rows, words.width) for part in words.parts))


def parked(words: SharedBits) -> Parked:
    """Words put aside; of a machine that only counts they stay."""
    rows = len(words)
    if rows < MOST_ROWS or words.ndim != 1 or not all(part.flags.c_contiguous for part in words.parts):
        return Parked(words, rows)
    return Parked(words.like(tuple(_core.pack(part, words.width) for part in words.parts)), rows)


def head(column: Column, rows: int) -> Column:
    """The first rows, which do not keep the others in memory."""
    return column if len(column) == rows else column.like(tuple(part[:rows].copy() for part in column.parts))


def require_names(known: Mapping[str, object], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in known]
    if missing:
        raise BadInput(f"There is no {', '.join(missing)} here.", f"Known: {', '.join(known) or 'none'}.")


def as_bits(column: Column) -> SharedBits:
    assert isinstance(column, SharedBits)
    return column


def as_values(column: Column) -> Shared:
    assert isinstance(column, Shared)
    return column


def compact(machine: Machine, relation: Relation, bound: int) -> Relation:
    """The valid rows first, in their order, cut to the first `bound` rows.

    bound: public; valid rows beyond it are lost, so let it be at least as many as can be valid.  BadInput below 0.
    Cost: a one-bit sort and a permutation of everything.  Discloses: nothing: how many are valid stays hidden.
    """
    if bound < 0:
        raise BadInput(f"A relation of {bound} rows does not exist.", "Give a bound of at least 0.")
    rows = min(bound, relation.rows)
    if relation.rows < 2:
        return first_rows(relation, rows)
    order = machine.sort([machine.logical_not(machine.parity(relation.valid))])
    return first_rows(permuted(machine, order, relation), rows)


def permuted(machine: Machine, order: Permutation, relation: Relation) -> Relation:
    """The relation with its rows in another order.  Cost: one permutation of everything."""
    table = machine.stack([relation.valid, *relation.columns.values()], 1)
    words = [word for key in relation.keys.values() for word in key]
    moved = machine.apply(order, [table, *words])
    values, found = as_values(moved[0]), iter(moved[1:])
    return Relation(
        {name: values[:, 1 + i] for i, name in enumerate(relation.columns)},
        {name: tuple(as_bits(next(found)) for _ in key) for name, key in relation.keys.items()},
        values[:, 0],
    )


def first_rows(relation: Relation, rows: int) -> Relation:
    """The first rows of a relation.  Cost: none."""
    return Relation(
        {name: column[:rows] for name, column in relation.columns.items()},
        {name: tuple(word[:rows] for word in key) for name, key in relation.keys.items()},
        relation.valid[:rows],
    )


def same_group(machine: Machine, words: Sequence[SharedBits], valid: SharedBits) -> SharedBits:
    """A bit a row of sorted rows: it is valid and has the key of the row before, which is valid then too."""
    if len(valid) < 2:
        return machine.constant_bits(np.zeros(len(valid), np.uint64), 1)
    one = machine.constant_bits(np.ones(len(valid) - 1, np.uint64), 1)
    same = machine.equal_words([*((word[1:], word[:-1]) for word in words), (valid[1:], one)])
    return machine.concat([machine.constant_bits(np.zeros(1, np.uint64), 1), same])


def same_as_next(machine: Machine, words: Sequence[SharedBits]) -> SharedBits:
    """The plane (Machine.planes) of bits that the next row has the same words; 0 for the last row."""
    rows = len(words[0])
    if rows < 2:
        return machine.constant_bits(np.zeros((1, rows), np.uint64), 64)
    same = machine.planes(machine.equal_words([(word[1:], word[:-1]) for word in words]))
    return with_last(machine, same, rows)


def with_last(machine: Machine, plane: SharedBits, rows: int) -> SharedBits:
    """A plane of bits for all rows but the last, which gets a 0."""
    if (rows - 1) % 64:
        return plane
    return machine.concat([plane, machine.constant_bits(np.zeros((1, 1), np.uint64), 64)], axis=1)


def flags_of(machine: Machine, plane: SharedBits, rows: int) -> SharedBits:
    """A bit a row from their plane, in which they take an eighth of a byte a row and component."""
    return machine.from_planes(plane, (rows,))[0]


@image(spread_down)
def copy_down(
    machine: Machine, marks: SharedBits, table: Shared, words: Sequence[SharedBits] = ()
) -> tuple[Shared, list[SharedBits]]:
    """Every row gets the values of the last marked row at or before it, zeros where there is none.

    marks: a bit a row.  table: integers (rows, columns), words: one entry a row; both zero in rows that are not marked.
    Marked rows are brought together, each takes the difference to the one before, and running sums spread it.
    Cost: a one-bit sort, a permutation and its inverse.  Discloses: nothing.
    Source: propagation by prefix sums after Araki et al., Secure Graph Analysis at Scale (CCS 2021).
    """
    if len(table) < 2:
        return table, list(words)
    order = machine.sort([marks])
    moved = machine.apply(order, [table, *words])
    steps: list[Column] = [differences(machine, as_values(moved[0]))]
    for word in moved[1:]:
        bits = as_bits(word)
        steps.append(machine.concat([bits[:1], machine.logical_xor(bits[1:], bits[:-1])]))
    home = machine.unapply(order, steps)
    return machine.cumsum(as_values(home[0])), [running_xor(machine, as_bits(word)) for word in home[1:]]


def differences(machine: Machine, table: Shared) -> Shared:
    """Each row less the one before.  Cost: none."""
    return machine.concat([table[:1], machine.subtract(table[1:], table[:-1])])


def running_xor(machine: Machine, words: SharedBits) -> SharedBits:
    """The exclusive or of all words up to each.  Cost: none."""
    step = 1
    while step < len(words):
        words = machine.concat([words[:step], machine.logical_xor(words[step:], words[:-step])])
        step *= 2
    return words
