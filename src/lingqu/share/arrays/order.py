"""Searching, sorting and sets of the array API standard, on shares: whatever has a public size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share import ordering
from lingqu.share.api import Machine, Shared
from lingqu.share.arrays import elementwise as e
from lingqu.share.arrays import manipulation as m
from lingqu.share.arrays.array import Operand, SharedArray, as_public, numbers
from lingqu.share.arrays.dtypes import bool_, int64


def _placed(
    x: SharedArray, axis: int | None, keepdims: bool, exact: Callable[..., Any], find: Callable[..., Shared]
) -> SharedArray:
    machine = x.machine
    if machine is None:
        return e.by_numpy(lambda v: exact(v, axis=axis, keepdims=keepdims), x)
    found = find(machine, m.gathered(_ordered(x), axis).handle)
    return m.restored(SharedArray(machine, found, int64), x, axis, keepdims)


def _ordered(x: SharedArray) -> SharedArray:
    return e.cast(x, int64) if x.dtype == bool_ else x


def argmax(x: SharedArray, /, *, axis: int | None = None, keepdims: bool = False) -> SharedArray:
    """Where the greatest is first, as a shared integer.  Cost: a tournament."""
    return _placed(x, axis, keepdims, np.argmax, ordering.argmax)


def argmin(x: SharedArray, /, *, axis: int | None = None, keepdims: bool = False) -> SharedArray:
    """Where the least is first, as a shared integer.  Cost: a tournament."""
    return _placed(x, axis, keepdims, np.argmin, ordering.argmin)


def sorted_rows(
    machine: Machine, keys: Sequence[SharedArray], columns: Sequence[SharedArray], axis: int, descending: bool = False
) -> list[SharedArray]:
    """Columns in the stable order of keys along an axis, all rows in one sort.

    Cost: a radix sort of the keys' bits and the rows' number, of as many elements as an array has.
    """
    shape = np.moveaxis(np.empty(columns[0].shape, np.bool_), axis, -1).shape
    rows = int(np.prod(shape[:-1]))

    def flat(x: SharedArray) -> Shared:
        ordered = m.moveaxis(_ordered(x), axis, -1)
        return numbers(machine, ordered, ordered.dtype).reshape(-1)

    places = np.repeat(np.arange(rows), shape[-1])
    order = [ordering.SortKey(machine.constant(places), bits=rows.bit_length() + 1)] if rows > 1 else []
    order += [ordering.SortKey(flat(key), descending) for key in keys]
    moved = ordering.sort_by(machine, order, [flat(column) for column in columns])
    found = []
    for x, handle in zip(columns, moved, strict=True):
        whole = SharedArray(machine, handle.reshape(*shape), _ordered(x).dtype)
        found.append(e.cast(m.moveaxis(whole, -1, axis), x.dtype))
    return found


def sort(x: SharedArray, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> SharedArray:
    """Sorted along an axis, stable.  Cost: a radix sort of 63 bits; |x| < 2**62 after scaling."""
    machine = x.machine
    if machine is not None:
        return sorted_rows(machine, [x], [x], axis, descending)[0]
    return e.by_numpy(lambda v: np.flip(np.sort(v, axis), axis) if descending else np.sort(v, axis), x)


def argsort(x: SharedArray, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> SharedArray:
    """The places of the sorted entries, as shared integers.  Cost: as sort."""
    machine = x.machine
    count = x.shape[axis]
    if machine is None:
        return e.by_numpy(lambda v: np.argsort(-v if descending else v, axis, stable=True), x)
    places = np.arange(count).reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    return sorted_rows(machine, [x], [as_public(np.broadcast_to(places, x.shape))], axis, descending)[0]


def searchsorted(
    x1: SharedArray, x2: Operand, /, *, side: str = "left", sorter: SharedArray | None = None
) -> SharedArray:
    """Where x2 belongs among the sorted x1, as shared integers: compares every pair.  BadInput for a sorter."""
    if sorter is not None:
        raise BadInput("A shared sorter cannot index.", "Sort x1 first.")
    x, y = e.arrays_of(x1, x2)
    if e.machine_of(x, y) is None:
        return e.by_numpy(lambda a, b: np.searchsorted(a, b, side="left" if side == "left" else "right"), x, y)
    beside = m.expand_dims(y, axis=-1)
    return m.sum(e.less(x, beside) if side == "left" else e.less_equal(x, beside), axis=-1)


def isin(x: Operand, values: Operand, /, *, invert: bool = False) -> SharedArray:
    """Whether each entry is among some values: compares every pair."""
    one, other = e.arrays_of(x, values)
    found = m.any(e.equal(m.expand_dims(one, axis=-1), m.reshape(other, (-1,))), axis=-1)
    return e.logical_not(found) if invert else found


def _of_hidden_size(x: SharedArray, exact: Callable[..., Any], name: str, instead: str) -> Any:
    if not x.public:
        _refuse(name, instead)
    found = exact(x.values)
    return tuple(as_public(one) for one in found) if isinstance(found, tuple) else as_public(found)


def _refuse(name: str, instead: str) -> NoReturn:
    raise BadInput(f"{name} of shares has a size that would reveal values.", instead)


def nonzero(x: SharedArray, /) -> Any:
    """Of public values only: BadInput for shares."""
    return _of_hidden_size(x, np.nonzero, "nonzero", "Multiply by the mask x != 0, or count with count_nonzero.")


SETS = "Sort and compare neighbours; count_distinct and group of lingqu.share keep a public bound."


def unique_values(x: SharedArray, /) -> Any:
    """Of public values only: BadInput for shares."""
    return _of_hidden_size(x, np.unique_values, "unique_values", SETS)


def unique_counts(x: SharedArray, /) -> Any:
    """Of public values only: BadInput for shares."""
    return _of_hidden_size(x, np.unique_counts, "unique_counts", SETS)


def unique_inverse(x: SharedArray, /) -> Any:
    """Of public values only: BadInput for shares."""
    return _of_hidden_size(x, np.unique_inverse, "unique_inverse", SETS)


def unique_all(x: SharedArray, /) -> Any:
    """Of public values only: BadInput for shares."""
    return _of_hidden_size(x, np.unique_all, "unique_all", SETS)
