"""Primitives that move entries without looking at them: local, for any shares.

Those with simple shapes are NumPy's own; the others are computed by JAX on the entries' numbers, which says where each
entry of the result comes from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jax import lax
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.share.arrays import elementwise as e
from lingqu.share.arrays import manipulation as m
from lingqu.share.arrays.array import SharedArray, as_public
from lingqu.share.graphs.rules import RULES, Context, Params, Value, arrays, rule

Places = NDArray[np.int32]
RULES["transpose"] = lambda context, params, x: m.permute_dims(x, params["permutation"])
RULES["squeeze"] = lambda context, params, x: m.squeeze(x, tuple(params["dimensions"]))
RULES["expand_dims"] = lambda context, params, x: m.expand_dims(x, axis=tuple(params["dimensions"]))
RULES["tile"] = lambda context, params, x: m.tile(x, params["reps"])
RULES["rev"] = lambda context, params, x: m.flip(x, axis=tuple(params["dimensions"]))


@rule("reshape")
def _reshape(context: Context, params: Params, x: SharedArray) -> SharedArray:
    order = params.get("dimensions")
    return m.reshape(x if order is None else m.permute_dims(x, order), params["new_sizes"])


@rule("broadcast_in_dim")
def _broadcast(context: Context, params: Params, x: SharedArray, *_: Value) -> SharedArray:
    shape, kept = tuple(params["shape"]), params["broadcast_dimensions"]
    inserted = [1] * len(shape)
    for axis, length in zip(kept, x.shape, strict=True):
        inserted[int(axis)] = length
    return m.broadcast_to(m.reshape(x, tuple(inserted)), shape)


@rule("slice")
def _slice(context: Context, params: Params, x: SharedArray) -> SharedArray:
    starts, limits = params["start_indices"], params["limit_indices"]
    strides = params["strides"] or (1,) * len(starts)
    return x[tuple(slice(int(a), int(b), int(c)) for a, b, c in zip(starts, limits, strides, strict=True))]


@rule("concatenate")
def _concatenate(context: Context, params: Params, *operands: Value) -> SharedArray:
    return m.concat(arrays(*operands), axis=params["dimension"])


@rule("split")
def _split(context: Context, params: Params, x: SharedArray) -> list[SharedArray]:
    ends = np.cumsum(params["sizes"])
    lead = (slice(None),) * params["axis"]
    return [x[(*lead, slice(int(end - n), int(end)))] for end, n in zip(ends, params["sizes"], strict=True)]


def numbered(*shapes: tuple[int, ...]) -> list[Places]:
    """The entries of several arrays, numbered one after the other."""
    found, first = [], 0
    for shape in shapes:
        count = int(np.prod(shape))
        found.append(np.arange(first, first + count, dtype=np.int32).reshape(shape))
        first += count
    return found


def public_places(name: str, *indices: Value) -> list[NDArray[Any]]:
    """Indices that everybody knows; BadInput for shares."""
    if any(isinstance(one, SharedArray) for one in indices):
        raise BadInput(
            f"JAX's {name} has a shared index, which would reveal itself.",
            "Index by public places; for a shared index multiply by jax.nn.one_hot(index, n).",
        )
    return [np.asarray(one) for one in indices]


def picked(operands: list[SharedArray], places: Places) -> SharedArray:
    """Entries of several arrays by their numbers."""
    flat = m.concat([m.reshape(one, (-1,)) for one in operands]) if len(operands) > 1 else m.reshape(operands[0], (-1,))
    return m.take(flat, np.asarray(places)) if places.ndim == 1 else flat.moved(lambda p: p[np.asarray(places)])


@rule("pad")
def _pad(context: Context, params: Params, x: Value, fill: Value) -> SharedArray:
    both = arrays(x, fill)
    numbers = numbered(x.shape, ())
    return picked(both, np.asarray(lax.pad(*numbers, [tuple(map(int, one)) for one in params["padding_config"]])))


@rule("dynamic_slice")
def _dynamic_slice(context: Context, params: Params, x: SharedArray, *starts: Value) -> SharedArray:
    first = public_places("dynamic_slice", *starts)
    sizes = params["slice_sizes"]
    low = [max(0, min(int(a), n - k)) for a, n, k in zip(first, x.shape, sizes, strict=True)]
    return x[tuple(slice(a, a + k) for a, k in zip(low, sizes, strict=True))]


@rule("dynamic_update_slice")
def _dynamic_update(context: Context, params: Params, x: Value, update: Value, *starts: Value) -> SharedArray:
    first = public_places("dynamic_update_slice", *starts)
    numbers = numbered(x.shape, update.shape)
    return picked(arrays(x, update), np.asarray(lax.dynamic_update_slice(*numbers, first)))


def _gathered(shape: tuple[int, ...], places: NDArray[Any], params: Params) -> Places:
    """Where each entry that a gather picks stands, -1 where there is none."""
    kept = {name: params[name] for name in ("dimension_numbers", "slice_sizes", "mode")}
    (numbers,) = numbered(shape)
    return np.asarray(lax.gather(numbers, places, **kept, fill_value=-1))


@rule("gather")
def _gather(context: Context, params: Params, x: Value, indices: Value) -> SharedArray:
    (places,) = public_places("gather", indices)
    fill = params.get("fill_value")
    found = _gathered(x.shape, places, params)
    if not bool(np.any(found < 0)):
        return picked(arrays(x), found)
    otherwise = np.asarray(np.nan) if fill is None else np.asarray(fill)
    return picked(arrays(x, otherwise), np.where(found < 0, int(np.prod(x.shape)), found))


def _scattered_to(x: Value, places: NDArray[Any], update: Value, params: Params) -> Places:
    """Where each entry of an update goes, -1 where nowhere: by the gather that reads what the scatter writes."""
    to = params["dimension_numbers"]
    numbers = lax.GatherDimensionNumbers(
        offset_dims=to.update_window_dims,
        collapsed_slice_dims=to.inserted_window_dims,
        start_index_map=to.scatter_dims_to_operand_dims,
        operand_batching_dims=to.operand_batching_dims,
        start_indices_batching_dims=to.scatter_indices_batching_dims,
    )
    window = [update.shape[i] for i in to.update_window_dims]
    gone = {*to.inserted_window_dims, *to.operand_batching_dims}
    sizes = tuple(1 if axis in gone else window.pop(0) for axis in range(x.ndim))
    return _gathered(x.shape, places, {"dimension_numbers": numbers, "slice_sizes": sizes, "mode": params["mode"]})


def added_at(x: SharedArray, places: Places, count: int) -> SharedArray:
    """Entries summed into `count` numbered places; those at -1 are left out.

    Neighbours of one place are added pair by pair, until every place has one entry.  Cost: none.
    """
    flat = places.reshape(-1)
    order = np.argsort(flat, stable=True)[np.count_nonzero(flat < 0) :]
    to, found = flat[order], m.take(m.reshape(x, (-1,)), order)
    while bool(np.any(to[1:] == to[:-1])):
        starts = np.flatnonzero(np.concatenate([[True], to[1:] != to[:-1]]))
        rank = np.arange(len(to)) - np.repeat(starts, np.diff(np.append(starts, len(to))))
        first = np.flatnonzero(rank % 2 == 0)
        paired = np.append(rank, 0)[first + 1] % 2 == 1
        alone, both = first[~paired], first[paired]
        sums = e.add(m.take(found, both), m.take(found, both + 1))
        found, to = m.concat([m.take(found, alone), sums]), to[np.concatenate([alone, both])]
        order = np.argsort(to, stable=True)
        found, to = m.take(found, order), to[order]
    whole = m.concat([e.cast(as_public(np.zeros(1)), x.dtype), found])
    at = np.zeros(count, np.int64)
    at[to] = np.arange(1, len(to) + 1)
    return m.take(whole, at)


@rule("scatter-add", "scatter_add")
def _scatter_add(context: Context, params: Params, x: Value, indices: Value, update: Value) -> SharedArray:
    (places,) = public_places("scatter-add", indices)
    operand, change = arrays(x, update)
    to = _scattered_to(x, places, update, params)
    sums = m.reshape(added_at(change, to, int(np.prod(x.shape))), x.shape)
    return RULES["add"](context, params, operand, sums)  # type: ignore[no-any-return]


@rule("scatter")
def _scatter(context: Context, params: Params, x: Value, indices: Value, update: Value) -> SharedArray:
    (places,) = public_places("scatter", indices)
    to = _scattered_to(x, places, update, params).reshape(-1)
    source, new = (one.reshape(-1) for one in numbered(x.shape, update.shape))
    source = source.copy()
    source[to[to >= 0]] = new[to >= 0]
    return picked(arrays(x, update), source.reshape(x.shape))
