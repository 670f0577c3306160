"""The namespace that `x.__array_namespace__()` gives: the functions of the array API standard on shared arrays."""

from __future__ import annotations

from math import e, pi
from typing import Any, NoReturn

from lingqu.kinds.errors import BadInput
from lingqu.share.arrays import linalg
from lingqu.share.arrays.dtypes import DType, finfo, float64, iinfo, int64, promoted
from lingqu.share.arrays.dtypes import bool_ as bool
from lingqu.share.arrays.elementwise import (
    abs,
    add,
    ceil,
    clip,
    divide,
    equal,
    floor,
    floor_divide,
    greater,
    greater_equal,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    not_equal,
    positive,
    remainder,
    round,
    sign,
    square,
    subtract,
    trunc,
    where,
)
from lingqu.share.arrays.functions import (
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    copysign,
    cosh,
    erf,
    exp,
    expm1,
    hypot,
    isfinite,
    isinf,
    isnan,
    log,
    log1p,
    log2,
    log10,
    logaddexp,
    pow,
    reciprocal,
    rsqrt,
    sigmoid,
    signbit,
    sinh,
    sqrt,
    tanh,
)
from lingqu.share.arrays.linalg import matmul, matrix_transpose, tensordot, vecdot
from lingqu.share.arrays.manipulation import (
    all,
    any,
    arange,
    asarray,
    astype,
    broadcast_arrays,
    broadcast_to,
    concat,
    count_nonzero,
    cumulative_prod,
    cumulative_sum,
    diff,
    empty,
    empty_like,
    expand_dims,
    eye,
    flip,
    full,
    full_like,
    linspace,
    max,
    mean,
    meshgrid,
    min,
    moveaxis,
    ones,
    ones_like,
    permute_dims,
    prod,
    repeat,
    reshape,
    roll,
    squeeze,
    stack,
    std,
    sum,
    take,
    take_along_axis,
    tile,
    tril,
    triu,
    unstack,
    var,
    zeros,
    zeros_like,
)
from lingqu.share.arrays.order import (
    argmax,
    argmin,
    argsort,
    isin,
    nonzero,
    searchsorted,
    sort,
    unique_all,
    unique_counts,
    unique_inverse,
    unique_values,
)

__all__ = [
    "abs",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "asarray",
    "astype",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "bool",
    "broadcast_arrays",
    "broadcast_to",
    "can_cast",
    "ceil",
    "clip",
    "concat",
    "copysign",
    "cosh",
    "count_nonzero",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "divide",
    "e",
    "empty",
    "empty_like",
    "equal",
    "erf",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "finfo",
    "flip",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "from_dlpack",
    "full",
    "full_like",
    "greater",
    "greater_equal",
    "hypot",
    "iinfo",
    "inf",
    "int32",
    "int64",
    "isdtype",
    "isfinite",
    "isin",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "linalg",
    "linspace",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "meshgrid",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "nan",
    "negative",
    "newaxis",
    "nonzero",
    "not_equal",
    "ones",
    "ones_like",
    "permute_dims",
    "pi",
    "positive",
    "pow",
    "prod",
    "reciprocal",
    "remainder",
    "repeat",
    "reshape",
    "result_type",
    "roll",
    "round",
    "rsqrt",
    "searchsorted",
    "sigmoid",
    "sign",
    "signbit",
    "sinh",
    "sort",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "take",
    "take_along_axis",
    "tanh",
    "tensordot",
    "tile",
    "tril",
    "triu",
    "trunc",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "unstack",
    "var",
    "vecdot",
    "where",
    "zeros",
    "zeros_like",
]
__array_api_version__ = "2024.12"
float32 = float64
"""Every real is the fixed point with 20 fractional bits unless `lingqu.share.arrays.fixed` says otherwise."""
int32 = int64
inf = float("inf")
nan = float("nan")
newaxis = None
UNAVAILABLE = {
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "sin", "tan", "nextafter", "complex64",
    "complex128", "conj", "imag", "real", "fft",
}  # fmt: skip
KINDS = {"bool": {"bool"}, "integral": {"integral", "signed integer", "numeric"}}
KINDS["real floating"] = {"real floating", "numeric"}


def __getattr__(name: str) -> NoReturn:
    """What this namespace has not."""
    if name in UNAVAILABLE:
        raise AttributeError(f"{name} is not available on shares: no protocol here computes it.")
    raise AttributeError(f"The array API on shares has no {name}.")


def isdtype(dtype: DType, kind: Any) -> Any:
    """Whether a type is of a kind, one of several kinds, or equal to a type."""
    if isinstance(kind, tuple):
        return any_of(isdtype(dtype, one) for one in kind)
    return kind in KINDS[dtype.kind] if isinstance(kind, str) else dtype == kind


def any_of(found: Any) -> Any:
    """Whether one of several holds, in public."""
    return next((True for one in found if one), False)


def can_cast(from_: Any, to: DType, /) -> Any:
    """Whether a type's values all fit another one by promotion."""
    return promoted(getattr(from_, "dtype", from_), to) == to


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The promoted type of arrays, types and Python numbers."""
    known = [getattr(one, "dtype", one) for one in arrays_and_dtypes if not isinstance(one, int | float)]
    plain = [float64 if isinstance(one, float) else int64 for one in arrays_and_dtypes if type(one) in (int, float)]
    reals = [one for one in known if one.real]
    return promoted(*known, *(one for one in plain if not reals))


def from_dlpack(x: Any, /, **_: Any) -> NoReturn:
    """BadInput: shares have no memory that another library could read."""
    raise BadInput("Shares cannot be taken from another library.", "Share the values with lingqu.share.arrays.share.")


class Info:
    """What the standard's inspection says."""

    def capabilities(self) -> dict[str, Any]:
        """No boolean indexing by shares, no shapes that depend on data."""
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 64}

    def default_device(self) -> str:
        """The only device."""
        return "cpu"

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        """The types of what is created without one."""
        return {"real floating": float64, "integral": int64, "indexing": int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        """The types there are, those of a kind where one is given."""
        known = {"bool": bool, "int64": int64, "float64": float64}
        return {name: one for name, one in known.items() if kind is None or isdtype(one, kind)}

    def devices(self) -> list[str]:
        """All devices."""
        return ["cpu"]


def __array_namespace_info__() -> Info:  # noqa: N807 - the standard's name
    """The standard's inspection."""
    return Info()
