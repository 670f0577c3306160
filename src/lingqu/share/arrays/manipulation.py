"""Creation, manipulation and reduction of the array API standard, on shares."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share import ordering
from lingqu.share.api import Machine, Shape, Shared, SharedBits
from lingqu.share.arrays import elementwise as e
from lingqu.share.arrays.array import SharedArray, as_public, public_index, shares
from lingqu.share.arrays.dtypes import DType, bool_, dtype_of, float64, int64, promoted
from lingqu.share.arrays.functions import sqrt

Axis = int | tuple[int, ...] | None

# Creation: public values, which become constants where they meet shares


def asarray(
    obj: Any, /, *, dtype: DType | None = None, device: str | None = None, copy: bool | None = None
) -> SharedArray:
    """A shared array as it is, or public values as an array."""
    if isinstance(obj, SharedArray):
        kept = obj if dtype is None else e.cast(obj, dtype)
        return kept.moved(np.copy) if copy else kept
    return as_public(obj, dtype)


def _filled(values: Any, dtype: DType | None, default: DType = float64) -> SharedArray:
    return as_public(values, dtype or default)


def zeros(shape: Any, *, dtype: DType | None = None, device: str | None = None) -> SharedArray:
    """Public zeros."""
    return _filled(np.zeros(shape), dtype)


def ones(shape: Any, *, dtype: DType | None = None, device: str | None = None) -> SharedArray:
    """Public ones."""
    return _filled(np.ones(shape), dtype)


empty = zeros


def full(shape: Any, fill_value: Any, *, dtype: DType | None = None, device: str | None = None) -> SharedArray:
    """One public value throughout."""
    values = np.full(shape, fill_value)
    return _filled(values, dtype, dtype_of(values))


def zeros_like(x: SharedArray, /, *, dtype: DType | None = None, device: str | None = None) -> SharedArray:
    """Public zeros of x's shape and type."""
    return zeros(x.shape, dtype=dtype or x.dtype)


def ones_like(x: SharedArray, /, *, dtype: DType | None = None, device: str | None = None) -> SharedArray:
    """Public ones of x's shape and type."""
    return ones(x.shape, dtype=dtype or x.dtype)


empty_like = zeros_like


def full_like(
    x: SharedArray, /, fill_value: Any, *, dtype: DType | None = None, device: str | None = None
) -> SharedArray:
    """One public value throughout, of x's shape and type."""
    return full(x.shape, fill_value, dtype=dtype or x.dtype)


def arange(
    start: Any, /, stop: Any = None, step: Any = 1, *, dtype: DType | None = None, device: str | None = None
) -> SharedArray:
    """Public numbers from start, or 0, up to stop."""
    values = np.arange(start) if stop is None else np.arange(start, stop, step)
    return _filled(values, dtype, dtype_of(values))


def linspace(
    start: Any,
    stop: Any,
    /,
    num: int,
    *,
    dtype: DType | None = None,
    device: str | None = None,
    endpoint: bool = True,
) -> SharedArray:
    """Public reals at equal distances."""
    return _filled(np.linspace(start, stop, num, endpoint=endpoint), dtype)


def eye(
    n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: DType | None = None, device: str | None = None
) -> SharedArray:
    """Public ones on a diagonal."""
    return _filled(np.eye(n_rows, n_cols, k), dtype)


def meshgrid(*arrays: SharedArray, indexing: str = "xy") -> list[SharedArray]:
    """Grids of coordinates."""
    order = "xy" if indexing == "xy" else "ij"
    shape = np.meshgrid(*(np.arange(one.size) for one in arrays), indexing=order)  # type: ignore[call-overload]
    return [one.moved(lambda p, at=at: p[at]) for one, at in zip(arrays, shape, strict=True)]


def tril(x: SharedArray, /, *, k: int = 0) -> SharedArray:
    """Zero above a diagonal."""
    return x.moved(lambda p: np.tril(p, k))


def triu(x: SharedArray, /, *, k: int = 0) -> SharedArray:
    """Zero below a diagonal."""
    return x.moved(lambda p: np.triu(p, k))


# Manipulation.  Cost: none.


def astype(x: SharedArray, dtype: DType, /, *, copy: bool = True, device: str | None = None) -> SharedArray:
    """Another data type; see elementwise.cast."""
    return e.cast(x, dtype)


def broadcast_to(x: SharedArray, /, shape: Shape) -> SharedArray:
    """Repeated to a larger shape."""
    return x if x.shape == shape else x.moved(lambda p: np.broadcast_to(p, shape))


def broadcast_arrays(*arrays: SharedArray) -> list[SharedArray]:
    """Every array in the common shape."""
    shape = np.broadcast_shapes(*(one.shape for one in arrays))
    return [broadcast_to(one, shape) for one in arrays]


def _joined(
    arrays: Sequence[SharedArray], join: Callable[[Machine, list[Any]], Any], exact: Callable[..., Any]
) -> SharedArray:
    given = e.arrays_of(*arrays)
    machine, dtype = e.machine_of(*given), e.result_of(*given)
    if machine is None:
        return as_public(exact([one.values for one in given]), promoted(*(one.dtype for one in given)))
    return SharedArray(machine, join(machine, [shares(machine, one, dtype) for one in given]), dtype)


def concat(arrays: Sequence[SharedArray], /, *, axis: int | None = 0) -> SharedArray:
    """Joined along an axis."""
    if axis is None:
        return concat([reshape(one, (-1,)) for one in arrays])
    return _joined(arrays, lambda m, parts: m.concat(parts, axis), lambda values: np.concatenate(values, axis))


def stack(arrays: Sequence[SharedArray], /, *, axis: int = 0) -> SharedArray:
    """Joined along a new axis."""
    return _joined(arrays, lambda m, parts: m.stack(parts, axis), lambda values: np.stack(values, axis))


def unstack(x: SharedArray, /, *, axis: int = 0) -> tuple[SharedArray, ...]:
    """The parts along an axis."""
    return tuple(moveaxis(x, axis, 0))


def expand_dims(x: SharedArray, /, *, axis: int | tuple[int, ...] = 0) -> SharedArray:
    """A new axis of length 1."""
    return x.moved(lambda p: np.expand_dims(p, axis))


def squeeze(x: SharedArray, /, axis: int | tuple[int, ...]) -> SharedArray:
    """Without axes of length 1."""
    return x.moved(lambda p: np.squeeze(p, axis))


def flip(x: SharedArray, /, *, axis: Axis = None) -> SharedArray:
    """Reversed along axes."""
    return x.moved(lambda p: np.flip(p, axis))


def moveaxis(x: SharedArray, source: Any, destination: Any, /) -> SharedArray:
    """Axes moved to new places."""
    return x.moved(lambda p: np.moveaxis(p, source, destination))


def permute_dims(x: SharedArray, /, axes: tuple[int, ...]) -> SharedArray:
    """Axes in another order."""
    return x.moved(lambda p: np.transpose(p, axes))


def reshape(x: SharedArray, /, shape: Shape, *, copy: bool | None = None) -> SharedArray:
    """The same entries in another shape."""
    return x.moved(lambda p: np.reshape(p, shape))


def roll(x: SharedArray, /, shift: Any, *, axis: Axis = None) -> SharedArray:
    """Moved along axes, around the end."""
    return x.moved(lambda p: np.roll(p, shift, axis))


def repeat(x: SharedArray, repeats: Any, /, *, axis: int | None = None) -> SharedArray:
    """Every entry a public number of times."""
    times = public_index(repeats)
    return x.moved(lambda p: np.repeat(p, times, axis))


def tile(x: SharedArray, repetitions: tuple[int, ...], /) -> SharedArray:
    """The whole array, several times."""
    return x.moved(lambda p: np.tile(p, repetitions))


def take(x: SharedArray, indices: Any, /, *, axis: int | None = None) -> SharedArray:
    """Entries at public places."""
    places = public_index(indices)
    return x.moved(lambda p: np.take(p, places, axis))


def take_along_axis(x: SharedArray, indices: Any, /, *, axis: int = -1) -> SharedArray:
    """Entries at public places along an axis."""
    places = public_index(indices)
    return x.moved(lambda p: np.take_along_axis(p, places, axis))


# Reduction


def gathered(x: SharedArray, axis: Axis) -> SharedArray:
    """The axes to reduce, as one last axis."""
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    last = tuple(range(-len(axes), 0))
    kept = tuple(n for i, n in enumerate(x.shape) if i not in {a % builtins.max(x.ndim, 1) for a in axes})
    count = x.size // builtins.max(1, int(np.prod(kept))) if x.size else int(np.prod([x.shape[a] for a in axes]))
    return x.moved(lambda p: np.moveaxis(p, axes, last).reshape(*kept, count))


def restored(found: SharedArray, x: SharedArray, axis: Axis, keepdims: bool) -> SharedArray:
    """The reduced axes again with length 1, where they are kept."""
    if not keepdims:
        return found
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    gone = {a % x.ndim for a in axes} if x.ndim else set()
    return reshape(found, tuple(1 if i in gone else n for i, n in enumerate(x.shape)))


def _reduced(
    x: SharedArray,
    axis: Axis,
    keepdims: bool,
    exact: Callable[..., Any],
    on_shares: Callable[[Machine, SharedArray], Shared | SharedBits],
    dtype: DType | None = None,
) -> SharedArray:
    machine = x.machine
    if machine is None:
        return e.by_numpy(lambda v: exact(v, axis=axis, keepdims=keepdims), x)
    found = on_shares(machine, gathered(x, axis))
    return restored(SharedArray(machine, found, dtype or x.dtype), x, axis, keepdims)


def sum(x: SharedArray, /, *, axis: Axis = None, dtype: DType | None = None, keepdims: bool = False) -> SharedArray:
    """The sum.  Cost: none; an injection for booleans."""
    x = e.cast(x, dtype or (int64 if x.dtype == bool_ else x.dtype))
    return _reduced(x, axis, keepdims, np.sum, lambda m, y: m.sum(y.handle, y.ndim - 1))


def mean(x: SharedArray, /, *, axis: Axis = None, keepdims: bool = False) -> SharedArray:
    """The mean; the sum stays in range.  Cost: a truncation of the result."""
    total = sum(x, axis=axis, keepdims=keepdims)
    return e.divide(total, float(x.size // builtins.max(1, total.size)))


def var(x: SharedArray, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> SharedArray:
    """The variance; squares of differences from the mean below 2**22.  Cost: a product an entry."""
    difference = e.subtract(x, mean(x, axis=axis, keepdims=True))
    total = sum(e.square(difference), axis=axis, keepdims=keepdims)
    return e.divide(total, x.size // builtins.max(1, total.size) - float(correction))


def std(x: SharedArray, /, *, axis: Axis = None, correction: float = 0.0, keepdims: bool = False) -> SharedArray:
    """The square root of the variance."""
    return sqrt(var(x, axis=axis, correction=correction, keepdims=keepdims))


def prod(x: SharedArray, /, *, axis: Axis = None, dtype: DType | None = None, keepdims: bool = False) -> SharedArray:
    """The product, as a tree.  Cost: a product and truncation a level."""
    x = e.cast(x, dtype or (int64 if x.dtype == bool_ else x.dtype))
    if x.public:
        return e.by_numpy(lambda v: np.prod(v, axis=axis, keepdims=keepdims), x)
    flat = moveaxis(gathered(x, axis), -1, 0)
    if len(flat) == 0:
        return restored(ones(flat.shape[1:], dtype=x.dtype), x, axis, keepdims)
    return restored(_tree(flat, e.multiply), x, axis, keepdims)


def _tree(x: SharedArray, combine: Callable[[SharedArray, SharedArray], SharedArray]) -> SharedArray:
    """The first axis combined pair by pair."""
    while len(x) > 1:
        half = len(x) // 2
        both = combine(x[:half], x[half : 2 * half])
        x = concat([both, x[2 * half :]]) if len(x) % 2 else both
    return x[0]


def max(x: SharedArray, /, *, axis: Axis = None, keepdims: bool = False) -> SharedArray:
    """The greatest.  Cost: a tournament.  BadInput for an empty axis."""
    return _reduced(x, axis, keepdims, np.max, lambda m, y: ordering.maximum_along(m, y.handle))


def min(x: SharedArray, /, *, axis: Axis = None, keepdims: bool = False) -> SharedArray:
    """The least.  Cost: a tournament.  BadInput for an empty axis."""
    return _reduced(x, axis, keepdims, np.min, lambda m, y: ordering.minimum_along(m, y.handle))


def all(x: SharedArray, /, *, axis: Axis = None, keepdims: bool = False) -> SharedArray:
    """Whether all hold (or are not 0).  Cost: a conjunction a level of a tree."""
    x = e.cast(x, bool_)
    if x.public or x.size == 0:
        values = x.values if x.public else np.ones(x.shape, np.bool_)
        return as_public(np.all(values, axis=axis, keepdims=keepdims))
    flat = moveaxis(gathered(x, axis), -1, 0)
    return restored(_tree(flat, e.logical_and), x, axis, keepdims)


def any(x: SharedArray, /, *, axis: Axis = None, keepdims: bool = False) -> SharedArray:
    """Whether one holds (or is not 0).  Cost: as all."""
    return e.logical_not(all(e.logical_not(e.cast(x, bool_)), axis=axis, keepdims=keepdims))


def count_nonzero(x: SharedArray, /, *, axis: Axis = None, keepdims: bool = False) -> SharedArray:
    """How many are not 0, as a shared integer.  Cost: an equality test and an injection."""
    return sum(e.cast(x, bool_), axis=axis, keepdims=keepdims)


def _running(x: SharedArray, axis: int | None, initial: bool, first: Any) -> tuple[int, SharedArray]:
    if axis is None and x.ndim != 1:
        raise BadInput(f"Of {x.ndim} axes one must be named.", "Give axis=.")
    place = 0 if axis is None else axis % x.ndim
    start = full((*x.shape[:place], 1, *x.shape[place + 1 :]), first, dtype=x.dtype)
    return place, concat([start, x], axis=place) if initial else x


def cumulative_sum(
    x: SharedArray, /, *, axis: int | None = None, dtype: DType | None = None, include_initial: bool = False
) -> SharedArray:
    """Running sums.  Cost: none."""
    x = e.cast(x, dtype or (int64 if x.dtype == bool_ else x.dtype))
    place, x = _running(x, axis, include_initial, 0)
    machine = x.machine
    if machine is None:
        return e.by_numpy(lambda v: np.cumsum(v, place), x)
    return x.like(machine.cumsum(x.handle, place))


def cumulative_prod(
    x: SharedArray, /, *, axis: int | None = None, dtype: DType | None = None, include_initial: bool = False
) -> SharedArray:
    """Running products.  Cost: a product an entry for each of ceil(log2(n)) levels."""
    x = e.cast(x, dtype or (int64 if x.dtype == bool_ else x.dtype))
    place, x = _running(x, axis, include_initial, 1)
    return scanned(x, place, e.multiply)


def scanned(x: SharedArray, axis: int, combine: Callable[[SharedArray, SharedArray], SharedArray]) -> SharedArray:
    """Every prefix along an axis combined: ceil(log2(n)) levels."""
    found, step = moveaxis(x, axis, 0), 1
    while step < x.shape[axis]:
        found = concat([found[:step], combine(found[:-step], found[step:])])
        step *= 2
    return moveaxis(found, 0, axis)


def diff(
    x: SharedArray,
    /,
    *,
    axis: int = -1,
    n: int = 1,
    prepend: SharedArray | None = None,
    append: SharedArray | None = None,
) -> SharedArray:
    """Differences of neighbours.  Cost: none."""
    found = concat([one for one in (prepend, x, append) if one is not None], axis=axis)
    for _ in range(n):
        last = moveaxis(found, axis, -1)
        found = moveaxis(e.subtract(last[..., 1:], last[..., :-1]), -1, axis)
    return found
