"""Linear algebra of the array API standard, on shares: what needs no pivot and no iteration to a hidden end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.share import linear
from lingqu.share.api import Machine, Shared
from lingqu.share.arrays import elementwise as e
from lingqu.share.arrays import manipulation as m
from lingqu.share.arrays.array import Operand, SharedArray, numbers
from lingqu.share.arrays.dtypes import bool_, int64
from lingqu.share.arrays.functions import sqrt

Kernel = Callable[[Machine, linear.Operand, linear.Operand], Shared]
ABSENT = (
    "cholesky", "det", "eig", "eigh", "eigvals", "eigvalsh", "inv", "lstsq", "matrix_rank", "pinv", "qr", "slogdet",
    "solve", "svd", "svdvals",
)  # fmt: skip


def __getattr__(name: str) -> NoReturn:
    """What this module has not, with the way out where the standard has it."""
    if name in ABSENT:
        raise AttributeError(
            f"linalg.{name} is not available on shares: its steps depend on values. "
            "Iterate a public number of times instead, as power iteration and gradient descent do."
        )
    raise AttributeError(f"There is no linalg.{name}.")


def _operand(machine: Machine, x: SharedArray) -> tuple[linear.Operand, int]:
    """What a product takes, and its fractional bits."""
    if x.public:
        factors: tuple[NDArray[np.int64], int] = e.factors(x.values)
        return factors
    return numbers(machine, x, int64 if x.dtype == bool_ else x.dtype), x.dtype.fraction_bits


def product(x1: Operand, x2: Operand, exact: Callable[..., Any], kernel: Kernel) -> SharedArray:
    """A bilinear function with one product and one truncation: every entry in a product's range."""
    x, y = e.arrays_of(x1, x2)
    machine = e.machine_of(x, y)
    if machine is None:
        return e.by_numpy(exact, x, y)
    dtype = e.numeric(e.result_of(x, y))
    (left, one), (right, other) = _operand(machine, x), _operand(machine, y)
    found = kernel(machine, left, right)
    excess = one + other - dtype.fraction_bits
    if excess < 0:
        found = machine.scale(found, 1 << -excess)
    return SharedArray(machine, e.rounded(machine, found, excess) if excess > 0 else found, dtype)


def matmul(x1: Operand, x2: Operand, /) -> SharedArray:
    """The matrix product, of vectors, matrices or stacks.

    Sums stay in a product's range: below 2**22 with 20 fractional bits.  Cost: one product and one truncation of the
    size of the result; only a truncation where one side is public.
    """
    return product(x1, x2, np.matmul, linear.matmul)


def tensordot(x1: Operand, x2: Operand, /, *, axes: Any = 2) -> SharedArray:
    """Sums of products over pairs of axes.  Cost: as matmul."""
    x, y = e.arrays_of(x1, x2)
    count = axes if isinstance(axes, int) else 0
    summed = (range(x.ndim - count, x.ndim), range(count)) if isinstance(axes, int) else axes
    if isinstance(axes, int) and not 0 <= axes <= min(x.ndim, y.ndim):
        raise BadInput(f"There are no {axes} axes to sum over.", "Sum over axes that both arrays have.")
    pairs = list(summed[0]), list(summed[1])
    return product(
        x, y, lambda a, b: np.tensordot(a, b, pairs), lambda machine, a, b: linear.contract(machine, a, b, pairs)
    )


def vecdot(x1: Operand, x2: Operand, /, *, axis: int = -1) -> SharedArray:
    """Sums of products of vectors along an axis.  Cost: as matmul."""
    x, y = e.arrays_of(x1, x2)
    x, y = m.broadcast_arrays(x, y)

    def kernel(machine: Machine, a: linear.Operand, b: linear.Operand) -> Shared:
        lead = [i for i in range(a.ndim) if i != axis % a.ndim]
        return linear.contract(machine, a, b, ([axis], [axis]), (lead, lead))

    return product(x, y, lambda a, b: np.sum(a * b, axis), kernel)


def outer(x1: Operand, x2: Operand, /) -> SharedArray:
    """Every product of two vectors' entries."""
    x, y = e.arrays_of(x1, x2)
    return e.multiply(m.expand_dims(x, axis=-1), y)


def cross(x1: Operand, x2: Operand, /, *, axis: int = -1) -> SharedArray:
    """The vector product in three dimensions."""
    x, y = (m.moveaxis(one, axis, 0) for one in m.broadcast_arrays(*e.arrays_of(x1, x2)))
    if len(x) != 3:
        raise BadInput(f"A vector product has 3 entries, not {len(x)}.", "Name the axis of length 3.")
    first, second = [1, 2, 0], [2, 0, 1]
    found = e.subtract(e.multiply(x[first], y[second]), e.multiply(x[second], y[first]))
    return m.moveaxis(found, 0, axis)


def matrix_transpose(x: SharedArray, /) -> SharedArray:
    """The last two axes exchanged.  BadInput for fewer axes."""
    if x.ndim < 2:
        raise BadInput(f"An array of {x.ndim} axes is no matrix.", "Give at least two axes.")
    return x.moved(lambda p: np.swapaxes(p, -1, -2))


def diagonal(x: SharedArray, /, *, offset: int = 0) -> SharedArray:
    """The diagonal of the last two axes.  Cost: none."""
    return x.moved(lambda p: np.diagonal(p, offset, -2, -1))


def trace(x: SharedArray, /, *, offset: int = 0, dtype: Any = None) -> SharedArray:
    """The sum of the diagonal.  Cost: none."""
    return m.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def vector_norm(x: SharedArray, /, *, axis: Any = None, keepdims: bool = False, ord: float = 2) -> SharedArray:
    """The norm of order 1, 2 or infinity; of order 2 the sum of squares stays below 2**22."""
    if ord == 2:
        flat = m.gathered(x, axis)
        return m.restored(sqrt(vecdot(flat, flat)), x, axis, keepdims)
    if ord == 1:
        return m.sum(e.abs(x), axis=axis, keepdims=keepdims)
    if ord == np.inf:
        return m.max(e.abs(x), axis=axis, keepdims=keepdims)
    raise BadInput(f"The norm of order {ord} is not available on shares.", "Use order 1, 2 or inf.")


def matrix_norm(x: SharedArray, /, *, keepdims: bool = False, ord: Any = "fro") -> SharedArray:
    """The Frobenius norm; BadInput for others."""
    if ord != "fro":
        raise BadInput(f"The matrix norm {ord!r} is not available on shares.", "Use the Frobenius norm.")
    return vector_norm(x, axis=(-2, -1), keepdims=keepdims)


def matrix_power(x: SharedArray, n: int, /) -> SharedArray:
    """x multiplied with itself by repeated squaring; BadInput for a power below, which needs an inverse."""
    if n < 0:
        raise BadInput(f"The matrix power {n} needs an inverse.", "Give a power from 0.")
    if n == 0:
        return m.broadcast_to(m.eye(x.shape[-1], dtype=x.dtype), x.shape)
    result = x
    for bit in bin(n)[3:]:
        result = matmul(result, result)
        result = matmul(result, x) if bit == "1" else result
    return result
