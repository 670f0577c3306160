"""Linear algebra over any Machine: contractions, einsum, convolutions, each with one matrix product's traffic.

Everything but the product is local.  Operands are shares or public integers (at least one is shared); `bits` takes
fractional bits off the product (0: none), as fixed point needs: the range and error are those of Machine.truncate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.share import images
from lingqu.share.api import FRACTION_BITS, Machine, Shape, Shared, ring
from lingqu.share.domain import image
from lingqu.share.functions import sqrt

Operand = Shared | NDArray[Any]
Axes = Sequence[int]


def moved(x: Operand, rearrange: Callable[[Any], Any]) -> Operand:
    """An operand rearranged by a public rule."""
    return x.moved(rearrange) if isinstance(x, Shared) else np.asarray(rearrange(x))


def _finished(machine: Machine, x: Shared, bits: int) -> Shared:
    return machine.truncate(x, bits) if bits else x


def _stacked_product(machine: Machine, x: Operand, y: Operand) -> Shared:
    """x @ y for stacks with equal leading axes."""
    if x.shape[-1] == 1 and isinstance(x, Shared) and isinstance(y, Shared):
        return machine.multiply(x, y)
    if isinstance(x, Shared):
        return machine.matmul(x, y) if isinstance(y, Shared) else machine.matmul_public(x, y)
    turned = _stacked_product(machine, moved(y, _turned), _turned(x))
    return turned.moved(_turned)


def _turned(x: NDArray[Any]) -> NDArray[Any]:
    return np.swapaxes(x, -1, -2)


def contract(
    machine: Machine,
    x: Operand,
    y: Operand,
    summed: tuple[Axes, Axes],
    batch: tuple[Axes, Axes] = ((), ()),
    bits: int = 0,
) -> Shared:
    """Sum products over pairs of axes, for every index of the batch axes.

    summed, batch: (axes of x, axes of y), pairwise of equal length.  Returns the batch axes, then x's other axes, then
    y's.  BadInput when lengths differ.
    Cost: one product of the size of the result, and its truncation.  Discloses: nothing.
    """
    x_sum, y_sum = [i % x.ndim for i in summed[0]], [i % y.ndim for i in summed[1]]
    x_batch, y_batch = [i % x.ndim for i in batch[0]], [i % y.ndim for i in batch[1]]
    pairs = [*zip(x_sum, y_sum, strict=True), *zip(x_batch, y_batch, strict=True)]
    if any(x.shape[i] != y.shape[j] for i, j in pairs):
        raise BadInput(
            f"Axes {x_sum + x_batch} of {x.shape} do not match {y_sum + y_batch} of {y.shape}.", "Check the shapes."
        )
    x_free = [i for i in range(x.ndim) if i not in x_sum + x_batch]
    y_free = [i for i in range(y.ndim) if i not in y_sum + y_batch]
    lead = tuple(x.shape[i] for i in x_batch)
    rows, columns = tuple(x.shape[i] for i in x_free), tuple(y.shape[i] for i in y_free)
    inner = prod(x.shape[i] for i in x_sum)
    stack = (prod(lead),) if lead else ()
    left = moved(x, lambda p: p.transpose(x_batch + x_free + x_sum).reshape(*stack, prod(rows), inner))
    right = moved(y, lambda p: p.transpose(y_batch + y_sum + y_free).reshape(*stack, inner, prod(columns)))
    product = _stacked_product(machine, left, right).reshape(*lead, *rows, *columns)
    return _finished(machine, product, bits)


def matmul(machine: Machine, x: Operand, y: Operand, bits: int = 0) -> Shared:
    """x @ y as numpy's matmul: vectors, matrices, stacks.  Cost: as contract.  BadInput when they do not fit."""
    if x.ndim == 0 or y.ndim == 0 or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise BadInput(
            f"Arrays of shapes {x.shape} and {y.shape} have no product.", "Give (..., m, k) and (..., k, n)."
        )
    if x.ndim <= 2 and y.ndim <= 2:
        return contract(machine, x, y, ([-1], [-2 if y.ndim > 1 else 0]), bits=bits)
    left = moved(x, lambda p: p[None]) if x.ndim == 1 else x
    right = moved(y, lambda p: p[:, None]) if y.ndim == 1 else y
    if right.ndim == 2:  # a stack times one matrix is one tall product
        product = contract(machine, left, right, ([-1], [0]))
    else:
        lead = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
        left = moved(left, lambda p: np.broadcast_to(p, (*lead, *p.shape[-2:])))
        right = moved(right, lambda p: np.broadcast_to(p, (*lead, *p.shape[-2:])))
        product = _stacked_product(machine, left, right)
    product = product.moved(lambda p: p[..., 0, :]) if x.ndim == 1 else product
    product = product.moved(lambda p: p[..., 0]) if y.ndim == 1 else product
    return _finished(machine, product, bits)


def dot(machine: Machine, x: Operand, y: Operand, bits: int = 0) -> Shared:
    """As numpy's dot: the last axis of x with the last but one (or only one) of y.  Cost: as contract."""
    return contract(machine, x, y, ([-1], [-2 if y.ndim > 1 else 0]), bits=bits)


def outer(machine: Machine, x: Operand, y: Operand, bits: int = 0) -> Shared:
    """Every product of an entry of x with one of y, both flattened.  Cost: as contract."""
    return contract(machine, moved(x, np.ravel), moved(y, np.ravel), ((), ()), bits=bits)


def trace(machine: Machine, x: Shared, offset: int = 0) -> Shared:
    """The sum of the diagonal of the last two axes.  Cost: none."""
    diagonal = x.moved(lambda p: np.diagonal(p, offset, -2, -1))
    return machine.sum(diagonal, diagonal.ndim - 1)


def moveaxis(x: Shared, source: int | Axes, destination: int | Axes) -> Shared:
    """Axes moved to new places, as numpy's moveaxis.  Cost: none."""
    return x.moved(lambda p: np.moveaxis(p, source, destination))


@image(images.norm)
def norm(machine: Machine, x: Shared, axis: int | None = None) -> Shared:
    """The Euclidean norm of fixed point along an axis, or of all entries.

    x: the sum of squares stays below 2**22 (a product's range).  Cost: a product and truncation of the size of the
    result, then a square root.  Error: that of sqrt on a sum that is low by less than 2**-19.  Discloses: nothing.
    """
    flat = x.reshape(-1) if axis is None else moveaxis(x, axis, -1)
    lead = list(range(flat.ndim - 1))
    squares = contract(machine, flat, flat, ([-1], [-1]), (lead, lead), FRACTION_BITS)
    return sqrt(machine, squares)


# Einsum


def einsum(machine: Machine, subscripts: str, x: Operand, y: Operand, bits: int = 0) -> Shared:
    """Einstein's sum over two operands, e.g. "bij,bjk->bik".

    Letters that one operand has alone and the result has not are summed beforehand; letters of both that the result
    has are batch axes.  BadInput, naming the expression, for what is no transpose, reshape, batched product and sum:
    a letter twice in one operand, an ellipsis, a letter in the result alone.
    Cost: as contract.  Discloses: nothing.
    """
    left, right, result = _letters(subscripts, x.ndim, y.ndim)
    x, left = _without_lone(machine, x, left, set(right) | set(result))
    y, right = _without_lone(machine, y, right, set(left) | set(result))
    both = [letter for letter in left if letter in right]
    batch = [letter for letter in both if letter in result]
    summed = [letter for letter in both if letter not in result]
    product = contract(
        machine,
        x,
        y,
        ([left.index(i) for i in summed], [right.index(i) for i in summed]),
        ([left.index(i) for i in batch], [right.index(i) for i in batch]),
        bits,
    )
    order = batch + [i for i in left if i not in both] + [i for i in right if i not in both]
    return product.transpose([order.index(i) for i in result])


def _letters(subscripts: str, first: int, second: int) -> tuple[list[str], list[str], list[str]]:
    """The letters of both operands and of the result."""
    operands, arrow, result = subscripts.replace(" ", "").partition("->")
    left, comma, right = operands.partition(",")
    if not arrow:
        once = [i for i in left + right if (left + right).count(i) == 1]
        result = "".join(sorted(once))
    plain = bool(comma) and all(part.isalpha() or not part for part in (left, right, result))
    distinct = all(len(set(part)) == len(part) for part in (left, right, result))
    if not (plain and distinct and set(result) <= set(left + right)) or (len(left), len(right)) != (first, second):
        raise BadInput(
            f"einsum cannot compute {subscripts!r} of arrays of {first} and {second} axes on shares.",
            "Name each axis by one letter, once in an operand, two operands; sum or take diagonals apart.",
        )
    return list(left), list(right), list(result)


def _without_lone(machine: Machine, x: Operand, letters: list[str], others: set[str]) -> tuple[Operand, list[str]]:
    """Sum axes that nothing else names, in the ring."""
    lone = tuple(i for i, letter in enumerate(letters) if letter not in others)
    for axis in reversed(lone):
        x = machine.sum(x, axis) if isinstance(x, Shared) else x.sum(axis=axis, dtype=x.dtype)
    return x, [i for i in letters if i in others]


# Convolution


@dataclass(frozen=True)
class Convolution:
    """How a kernel moves over its input; spatial axes in order.

    strides: of the kernel.  padding: (before, after) of zeros (or, negative, of entries cut off) around the input
    after its dilation.  input_dilation: 1 + zeros between entries; kernel_dilation likewise.  groups: channels and
    outputs in that many separate parts.  batch_groups: the batch and the outputs likewise (a convolution's gradient).
    """

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    input_dilation: tuple[int, ...]
    kernel_dilation: tuple[int, ...]
    groups: int = 1
    batch_groups: int = 1


def convolve(machine: Machine, x: Operand, kernel: Operand, how: Convolution, bits: int = 0) -> Shared:
    """The sum of products of a kernel with every window (the correlation that networks call convolution).

    x: (batch, channels, *space).  kernel: (outputs, channels / groups, *window).
    Returns (batch / batch_groups, outputs, *places).  BadInput when the shapes do not fit.
    Windows are copied out of the components (locally: memory of the window's size times the input's), so that one
    matrix product does the rest.  Cost: one product of the size of the result, and its truncation.  Discloses: nothing.
    """
    outputs, depth, *window = kernel.shape
    parts = how.groups * how.batch_groups
    fits = x.ndim == kernel.ndim == len(how.strides) + 2 and x.shape[1] == depth * how.groups
    if not fits or outputs % parts or x.shape[0] % how.batch_groups or 1 not in (how.groups, how.batch_groups):
        raise BadInput(f"A kernel of shape {kernel.shape} does not fit {x.shape}.", "Check channels and groups.")
    columns = moved(x, lambda p: _windows(p, tuple(window), how))
    batch, places = columns.shape[2], columns.shape[3 : 3 + len(window)]
    columns = moved(columns, lambda p: _columns(p, len(window)))
    weights = moved(kernel, lambda p: p.reshape(parts, outputs // parts, -1).transpose(0, 2, 1))
    if parts == 1:
        columns, weights = moved(columns, lambda p: p[0]), moved(weights, lambda p: p[0])
    product = _stacked_product(machine, columns, weights).reshape(parts, batch, prod(places), outputs // parts)
    turned = product.moved(lambda p: p.transpose(1, 0, 3, 2)).reshape(batch, outputs, *places)
    return _finished(machine, turned, bits)


def _windows(x: NDArray[Any], window: Shape, how: Convolution) -> NDArray[Any]:
    """(part, channels of a part, batch, *places, *window): views of the padded input."""
    padded = spread(x, how.padding, how.input_dilation, x.dtype.type(0))
    reach = tuple((k - 1) * d + 1 for k, d in zip(window, how.kernel_dilation, strict=True))
    if any(size < need for size, need in zip(padded.shape[2:], reach, strict=True)):
        raise BadInput(f"A window of {reach} does not fit an input of {padded.shape[2:]}.", "Pad the input.")
    views = sliding_window_view(padded, reach, axis=tuple(range(2, x.ndim)))
    steps = [slice(None, None, step) for step in (*how.strides, *how.kernel_dilation)]
    views = views[(slice(None), slice(None), *steps)]
    batch, channels, *rest = views.shape
    if how.batch_groups > 1:
        split = views.reshape(how.batch_groups, batch // how.batch_groups, channels, *rest)
        return np.moveaxis(split, 2, 1)
    return np.moveaxis(views, 0, 1).reshape(how.groups, channels // how.groups, batch, *rest)


def _columns(views: NDArray[Any], space: int) -> NDArray[Any]:
    """(part, batch and places, channels and window)."""
    parts, depth, batch = views.shape[:3]
    order = [0, 2, *range(3, 3 + space), 1, *range(3 + space, 3 + 2 * space)]
    inner = depth * prod(views.shape[3 + space :])
    return views.transpose(order).reshape(parts, batch * prod(views.shape[3 : 3 + space]), inner)


def spread(x: NDArray[Any], padding: Sequence[tuple[int, int]], dilation: Sequence[int], fill: Any) -> NDArray[Any]:
    """Spatial axes (from axis 2) with `fill` between entries and around them; negative padding cuts off."""
    return padded(x, [(0, 0, 0)] * 2 + [(*p, d - 1) for p, d in zip(padding, dilation, strict=True)], fill)


def padded(x: NDArray[Any], configuration: Sequence[tuple[int, int, int]], fill: Any) -> NDArray[Any]:
    """Every axis padded by (before, after, between), as XLA's Pad."""
    if all(entry == (0, 0, 0) for entry in configuration):
        return x
    inside = tuple(
        max(0, n + max(0, n - 1) * between) for n, (_, _, between) in zip(x.shape, configuration, strict=True)
    )
    full = np.full(inside, fill, x.dtype)
    full[tuple(slice(None, None, between + 1) for _, _, between in configuration)] = x
    around = [(max(0, before), max(0, after)) for before, after, _ in configuration]
    full = np.pad(full, around, constant_values=fill)
    cut = [
        slice(max(0, -before), n - max(0, -after))
        for n, (before, after, _) in zip(full.shape, configuration, strict=True)
    ]
    return full[tuple(cut)]


def convolve_real(
    machine: Machine,
    x: Operand,
    kernel: Operand,
    strides: int | Sequence[int] = 1,
    padding: str | Sequence[tuple[int, int]] = "VALID",
    layout: str = "NHWC",
    groups: int = 1,
) -> Shared:
    """A convolution of fixed point in one or two dimensions.

    layout: "NHWC" (kernel HWIO) or "NCHW" (kernel OIHW); with one dimension "NWC" or "NCW".
    padding: "VALID", "SAME", or (before, after) of each spatial axis.  Every entry of the result stays below 2**22.
    Cost: as convolve.  Discloses: nothing.  BadInput for other layouts or shapes that do not fit.
    """
    if layout not in {"NHWC", "NCHW", "NWC", "NCW"} or x.ndim != len(layout) or kernel.ndim != len(layout):
        raise BadInput(
            f"No convolution of shapes {x.shape}, {kernel.shape} as {layout}.", "Use NHWC, NCHW, NWC or NCW."
        )
    if layout.endswith("C"):
        x = moved(x, lambda p: np.moveaxis(p, -1, 1))
        kernel = moved(kernel, lambda p: np.moveaxis(p, (-1, -2), (0, 1)))
    count = x.ndim - 2
    steps = (strides,) * count if isinstance(strides, int) else tuple(strides)
    how = Convolution(
        steps, _padding(padding, x.shape[2:], kernel.shape[2:], steps), (1,) * count, (1,) * count, groups
    )
    result = convolve(machine, _encoded(x), _encoded(kernel), how, FRACTION_BITS)
    return moveaxis(result, 1, -1) if layout.endswith("C") else result


def _encoded(x: Operand) -> Operand:
    return x if isinstance(x, Shared) else ring(np.rint(x * float(1 << FRACTION_BITS)).astype(np.int64))


def _padding(
    padding: str | Sequence[tuple[int, int]], space: Shape, window: Shape, strides: Shape
) -> tuple[tuple[int, int], ...]:
    if not isinstance(padding, str):
        return tuple((before, after) for before, after in padding)
    if padding not in {"VALID", "SAME"}:
        raise BadInput(f"There is no padding {padding!r}.", "Use VALID, SAME or pairs of numbers.")
    lacking = [max(0, (-(-n // s) - 1) * s + k - n) for n, k, s in zip(space, window, strides, strict=True)]
    return tuple((n // 2, n - n // 2) if padding == "SAME" else (0, 0) for n in lacking)
