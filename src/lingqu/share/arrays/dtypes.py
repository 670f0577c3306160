"""Data types of shared arrays: bool, int64, and fixed point with a chosen number of fractional bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput, RangeError
from lingqu.share.api import FRACTION_BITS

LEAST_BITS, MOST_BITS = 8, 30
WHOLE_BITS = 61
"""A fixed-point value is below 2**61 in absolute value after scaling."""
FAR = 1 << 59
"""What a public infinity counts as, after scaling: comparisons and differences stay in range."""


@dataclass(frozen=True)
class DType:
    """A data type.  kind: "bool", "integral" or "real floating".  fraction_bits: of fixed point, else 0."""

    name: str
    kind: str
    fraction_bits: int = 0

    def __repr__(self) -> str:
        return self.name

    @property
    def real(self) -> bool:
        """Whether this is fixed point."""
        return self.kind == "real floating"


bool_ = DType("bool", "bool")
int64 = DType("int64", "integral")


def fixed(bits: int) -> DType:
    """Fixed point with 8 to 30 fractional bits f: |x| < 2**(61 - f), and products |x y| < 2**(62 - 2 f).

    BadInput for other numbers.  Real functions are computed with 20 fractional bits whatever f is.
    """
    if not LEAST_BITS <= bits <= MOST_BITS:
        raise BadInput(f"Fixed point has 8 to 30 fractional bits, not {bits}.", "Choose a number in between.")
    return DType("float64" if bits == FRACTION_BITS else f"fixed{bits}", "real floating", bits)


float64 = fixed(FRACTION_BITS)


def dtype_of(values: NDArray[Any]) -> DType:
    """The data type that public values of a NumPy type get; BadInput for complex numbers, texts and objects."""
    kinds = {"b": bool_, "i": int64, "u": int64, "f": float64}
    if values.dtype.kind not in kinds:
        raise BadInput(f"Shared arrays hold no {values.dtype}.", "Use booleans, integers up to 64 bits, or reals.")
    return kinds[values.dtype.kind]


def public_values(values: Any, dtype: DType | None = None) -> NDArray[Any]:
    """Public values as NumPy's bool, int64 or float64."""
    array = np.asarray(values)
    kind = (dtype or dtype_of(array)).kind
    return array.astype({"bool": np.bool_, "integral": np.int64, "real floating": np.float64}[kind])


def encoded(values: NDArray[Any], dtype: DType) -> NDArray[np.int64]:
    """Public values as ring elements of a data type; RangeError for what it cannot hold, infinities become 2**59."""
    if not dtype.real:
        return values.astype(np.int64)
    reals = values.astype(np.float64)
    if bool(np.any(np.isnan(reals))):
        raise RangeError("Fixed point has no NaN.", "Replace it before it meets shares.")
    finite = np.isfinite(reals)
    scaled = np.where(finite, reals, 0) * float(1 << dtype.fraction_bits)
    if bool(np.any(np.abs(scaled) >= float(1 << WHOLE_BITS))):
        raise RangeError(
            f"A real does not fit {dtype.fraction_bits} fractional bits: it must be below "
            f"2^{WHOLE_BITS - dtype.fraction_bits}.",
            "Rescale it, or choose fewer fractional bits.",
        )
    return np.where(finite, np.rint(scaled), np.sign(np.where(finite, 0, reals)) * FAR).astype(np.int64)


def promoted(*dtypes: DType) -> DType:
    """The type of a result: bool, then int64, then the fixed point with most fractional bits.

    Integers and reals mix as in NumPy; the standard leaves that open.
    """
    return max(dtypes, key=lambda one: ({"bool": 0, "integral": 1}.get(one.kind, 2), one.fraction_bits))


@dataclass(frozen=True)
class Integers:
    """What iinfo says."""

    bits: int = 64
    min: int = 1 - (1 << 62)
    max: int = (1 << 62) - 1
    dtype: DType = int64


@dataclass(frozen=True)
class Reals:
    """What finfo says: eps and smallest_normal are one unit in the last place."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


def iinfo(type: Any) -> Integers:
    """The range of integers that compare rightly: |x| < 2**62; additions and products wrap at 2**63."""
    return Integers()


def finfo(type: Any) -> Reals:
    """The range and the unit of a fixed-point type, or of an array's."""
    found = getattr(type, "dtype", type)
    if not isinstance(found, DType) or not found.real:
        raise BadInput(f"{found} is no fixed point.", "Ask for the limits of a real type.")
    unit = 2.0**-found.fraction_bits
    most = 2.0 ** (WHOLE_BITS - found.fraction_bits) - unit
    return Reals(64, unit, most, -most, unit, found)
