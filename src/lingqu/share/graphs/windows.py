"""Products, convolutions and windows of networks, forward and backward: one product and one truncation each."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lingqu.share import linear
from lingqu.share.api import Machine, Shared
from lingqu.share.arrays import elementwise as e
from lingqu.share.arrays import linalg, order
from lingqu.share.arrays import manipulation as m
from lingqu.share.arrays.array import SharedArray, as_public
from lingqu.share.graphs.places import Places, added_at, numbered, picked
from lingqu.share.graphs.rules import Context, Params, Value, arrays, rule

PAIRWISE = 4
"""Windows up to this many entries are compared pair by pair at once."""


@rule("dot_general")
def _dot_general(context: Context, params: Params, x: Value, y: Value) -> SharedArray:
    summed, batch = params["dimension_numbers"]

    def kernel(machine: Machine, a: linear.Operand, b: linear.Operand) -> Shared:
        return linear.contract(machine, a, b, summed, batch)

    return linalg.product(x, y, np.matmul, kernel)


@rule("conv_general_dilated")
def _convolution(context: Context, params: Params, x: Value, kernel: Value) -> SharedArray:
    numbers = params["dimension_numbers"]
    how = linear.Convolution(
        strides=tuple(params["window_strides"]),
        padding=tuple((int(before), int(after)) for before, after in params["padding"]),
        input_dilation=tuple(params["lhs_dilation"]),
        kernel_dilation=tuple(params["rhs_dilation"]),
        groups=params["feature_group_count"],
        batch_groups=params["batch_group_count"],
    )

    def convolved(machine: Machine, a: linear.Operand, b: linear.Operand) -> Shared:
        left = linear.moved(a, lambda p: p.transpose(numbers.lhs_spec))
        right = linear.moved(b, lambda p: p.transpose(numbers.rhs_spec))
        found = linear.convolve(machine, left, right, how)
        return found.transpose([int(i) for i in np.argsort(numbers.out_spec)])

    return linalg.product(x, kernel, np.convolve, convolved)


# Windows over every axis


def views(x: NDArray[Any], params: Params, fill: Any) -> NDArray[Any]:
    """The entries of every window as a last axis."""
    window, strides = params["window_dimensions"], params["window_strides"]
    base = params.get("base_dilation") or (1,) * x.ndim
    spacing = params.get("window_dilation") or (1,) * x.ndim
    around = [(int(low), int(high), gap - 1) for (low, high), gap in zip(params["padding"], base, strict=True)]
    reach = tuple((k - 1) * d + 1 for k, d in zip(window, spacing, strict=True))
    found = sliding_window_view(linear.padded(x, around, fill), reach)
    found = found[tuple(slice(None, None, step) for step in (*strides, *spacing))]
    return found.reshape(*found.shape[: x.ndim], prod(window))


@rule("reduce_window_sum")
def _window_sum(context: Context, params: Params, x: SharedArray) -> SharedArray:
    return m.sum(x.moved(lambda p: views(p, params, p.dtype.type(0))), axis=-1)


def _windows(x: SharedArray, params: Params, fill: float) -> tuple[SharedArray, Places]:
    """The entries of every window with `fill` outside the array, and their numbers, -1 outside."""
    places = views(numbered(x.shape)[0], params, np.int32(-1))
    if not bool(np.any(places < 0)):
        return picked([x], places), places
    outside = as_public(np.full((), fill), x.dtype)
    return picked([x, outside], np.where(places < 0, x.size, places)), places


@rule("reduce_window_max")
def _window_max(context: Context, params: Params, x: SharedArray) -> SharedArray:
    return m.max(_windows(x, params, -np.inf)[0], axis=-1)


@rule("reduce_window_min")
def _window_min(context: Context, params: Params, x: SharedArray) -> SharedArray:
    return m.min(_windows(x, params, np.inf)[0], axis=-1)


@rule("select_and_scatter_add")
def _select_and_scatter_add(context: Context, params: Params, source: Value, x: Value) -> SharedArray:
    given, operand = arrays(source, x)
    greatest = params["select_prim"].name in {"ge", "gt"}
    seen, places = _windows(operand, params, -np.inf if greatest else np.inf)
    first = first_extreme(seen if greatest else e.negative(seen))
    spread = e.multiply(m.expand_dims(given, axis=-1), first)
    return m.reshape(added_at(spread, places, operand.size), operand.shape)


def first_extreme(x: SharedArray) -> SharedArray:
    """Ones and zeros: where along the last axis the greatest entry is first.

    Cost: up to 4 entries all pairs are compared at once, two levels of conjunctions and an injection; beyond that a
    tournament that carries the places, then a narrow equality test.
    """
    count = x.shape[-1]
    if count == 1:
        return as_public(np.ones(x.shape, np.bool_))
    if count > PAIRWISE:
        return e.equal(m.expand_dims(order.argmax(x, axis=-1), axis=-1), as_public(np.arange(count)))
    left, right = np.triu_indices(count, 1)
    beaten = e.less(m.take(x, left, axis=-1), m.take(x, right, axis=-1))
    pair = {(int(a), int(b)): i for i, (a, b) in enumerate(zip(left, right, strict=True))}
    columns = []
    for one in range(count):
        later = [e.logical_not(beaten[..., pair[one, other]]) for other in range(one + 1, count)]
        earlier = [beaten[..., pair[other, one]] for other in range(one)]
        columns.append(m.stack([*later, *earlier], axis=-1))
    return m.all(m.stack(columns, axis=-2), axis=-1)
