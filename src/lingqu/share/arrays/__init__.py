"""Shared arrays with the interface of the Python array API standard."""

from lingqu.share.arrays.array import SharedArray, share, wrap
from lingqu.share.arrays.dtypes import DType, bool_, fixed, float64, int64
from lingqu.share.arrays.ranges import Range, check
from lingqu.share.arrays.trial import on_arrays, opened

__all__ = [
    "DType",
    "Range",
    "SharedArray",
    "bool_",
    "check",
    "fixed",
    "float64",
    "int64",
    "on_arrays",
    "opened",
    "share",
    "wrap",
]
