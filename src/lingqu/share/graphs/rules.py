"""What each elementwise primitive and reduction of JAX does on shares.

A rule takes the step's parameters and its operands (shared arrays, or NumPy arrays where public; one is shared) and
returns one array or several.  Costs, domains and errors are those of the functions of `lingqu.share.arrays`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.share.api import Machine
from lingqu.share.arrays import elementwise as e
from lingqu.share.arrays import functions as f
from lingqu.share.arrays import manipulation as m
from lingqu.share.arrays import order
from lingqu.share.arrays.array import SharedArray, as_public, numbers
from lingqu.share.arrays.dtypes import DType, bool_, int64
from lingqu.share.division import divide_exact

Params = Mapping[str, Any]
Value = SharedArray | NDArray[Any]
"""Shares, or public values."""


@dataclass(frozen=True)
class Context:
    """The machine that computes, and the type of reals."""

    machine: Machine
    real: DType


Rule = Callable[..., Any]
"""(context, params, *operands)."""
R = TypeVar("R", bound=Rule)
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[R], R]:
    """Register a rule under primitives' names."""

    def registered(function: R) -> R:
        RULES.update(dict.fromkeys(names, function))
        return function

    return registered


def arrays(*values: Value) -> list[SharedArray]:
    """Operands as shared arrays, public ones as public values."""
    return [one if isinstance(one, SharedArray) else as_public(one) for one in values]


def _plain(name: str, function: Callable[..., SharedArray]) -> None:
    RULES[name] = lambda context, params, *operands: function(*arrays(*operands))


PLAIN: dict[str, Callable[..., SharedArray]] = {
    "add": e.add, "add_any": e.add, "sub": e.subtract, "mul": e.multiply, "neg": e.negative, "abs": e.abs,
    "sign": e.sign, "floor": e.floor, "ceil": e.ceil, "square": e.square, "exp": f.exp, "expm1": f.expm1,
    "log": f.log, "log1p": f.log1p, "sqrt": f.sqrt, "rsqrt": f.rsqrt, "tanh": f.tanh, "sinh": f.sinh, "cosh": f.cosh,
    "logistic": f.sigmoid, "erf": f.erf, "pow": f.pow, "and": f.bitwise_and, "or": f.bitwise_or,
    "xor": f.bitwise_xor, "not": f.bitwise_invert, "shift_left": f.bitwise_left_shift,
    "shift_right_arithmetic": f.bitwise_right_shift,
}  # fmt: skip
for _name, _function in PLAIN.items():
    _plain(_name, _function)


# Comparison.  A public infinity decides at once, and nothing differs from itself: shares have no NaN.


def _infinite(x: Value) -> float:
    """The infinity that public values all are, else 0."""
    if isinstance(x, SharedArray) or x.dtype.kind != "f" or not x.size:
        return 0.0
    first = float(x.reshape(-1)[0])
    return first if np.isinf(first) and bool(np.all(x == first)) else 0.0


def _everywhere(value: bool, *operands: Value) -> SharedArray:
    return as_public(np.full(np.broadcast_shapes(*(one.shape for one in operands)), value))


def _less(x: Value, y: Value) -> SharedArray:
    left, right = _infinite(x), _infinite(y)
    if left or right:
        return _everywhere(left < 0 or right > 0, x, y)
    return e.less(*arrays(x, y)) if x is not y else _everywhere(False, x, y)


def _equal(x: Value, y: Value) -> SharedArray:
    if x is y or _infinite(x) or _infinite(y):
        return _everywhere(x is y, x, y)
    return e.equal(*arrays(x, y))


def _negated(x: SharedArray) -> SharedArray:
    return e.logical_not(x)


RULES["copy"] = lambda context, params, x: arrays(x)[0]
RULES["lt"] = lambda context, params, x, y: _less(x, y)
RULES["gt"] = lambda context, params, x, y: _less(y, x)
RULES["ge"] = lambda context, params, x, y: _negated(_less(x, y))
RULES["le"] = lambda context, params, x, y: _negated(_less(y, x))
RULES["eq"] = lambda context, params, x, y: _equal(x, y)
RULES["ne"] = lambda context, params, x, y: _negated(_equal(x, y))
RULES["is_finite"] = lambda context, params, x: _everywhere(True, x)


@rule("max")
def _max(context: Context, params: Params, x: Value, y: Value) -> SharedArray:
    if _infinite(x) or _infinite(y):
        return _chosen(_less(x, y), *arrays(y, x))
    return e.maximum(*arrays(x, y))


@rule("min")
def _min(context: Context, params: Params, x: Value, y: Value) -> SharedArray:
    if _infinite(x) or _infinite(y):
        return _chosen(_less(x, y), *arrays(x, y))
    return e.minimum(*arrays(x, y))


def _chosen(condition: SharedArray, x: SharedArray, y: SharedArray) -> SharedArray:
    """x where the condition holds; the other side need not be in range where everybody knows that it does not count."""
    if condition.public and bool(np.all(condition.values == condition.values.reshape(-1)[:1])) and condition.size:
        side = x if bool(condition.values.reshape(-1)[0]) else y
        return m.broadcast_to(side, np.broadcast_shapes(condition.shape, x.shape, y.shape))
    return e.where(condition, x, y)


@rule("clamp")
def _clamp(context: Context, params: Params, low: Value, x: Value, high: Value) -> SharedArray:
    return _min(context, params, _max(context, params, x, low), high)


@rule("select_n")
def _select(context: Context, params: Params, which: Value, *cases: Value) -> SharedArray:
    (index,) = arrays(which)
    found = arrays(*cases)
    if index.dtype == bool_:
        return _chosen(index, found[1], found[0])
    result = found[0]
    for place, case in enumerate(found[1:], 1):
        result = _chosen(e.less(index, place), result, case)
    return result


# Arithmetic


@rule("div")
def _divide(context: Context, params: Params, x: Value, y: Value) -> SharedArray:
    left, right = arrays(x, y)
    if left.dtype.real or right.dtype.real:
        return e.divide(left, right)
    return _whole(context, left, right)[0]


@rule("rem")
def _rest(context: Context, params: Params, x: Value, y: Value) -> SharedArray:
    left, right = arrays(x, y)
    if left.dtype.real or right.dtype.real:
        return e.subtract(left, e.multiply(e.trunc(e.divide(left, right)), right))
    return _whole(context, left, right)[1]


def _whole(context: Context, x: SharedArray, y: SharedArray) -> tuple[SharedArray, SharedArray]:
    """Quotient towards zero and rest of integers."""
    left, right = (numbers(context.machine, one, int64) for one in (x, y))
    found = divide_exact(context.machine, left, right, "truncate")
    return SharedArray(context.machine, found[0], int64), SharedArray(context.machine, found[1], int64)


@rule("integer_pow")
def _integer_power(context: Context, params: Params, x: SharedArray) -> SharedArray:
    exponent = params["y"]
    return f.pow(x, exponent) if exponent >= 0 else f.pow(f.reciprocal(x), -exponent)


@rule("exp2")
def _exp2(context: Context, params: Params, x: SharedArray) -> SharedArray:
    return f.exp(e.multiply(x, float(np.log(2))))


@rule("erfc")
def _erfc(context: Context, params: Params, x: SharedArray) -> SharedArray:
    return e.subtract(1.0, f.erf(x))


@rule("round")
def _round(context: Context, params: Params, x: SharedArray) -> SharedArray:
    if int(params["rounding_method"]) == 1:
        return e.round(x)
    return e.multiply(e.sign(x), e.floor(e.add(e.abs(x), 0.5)))


@rule("convert_element_type")
def _convert(context: Context, params: Params, x: SharedArray) -> SharedArray:
    return e.cast(x, kind_of(params["new_dtype"], context.real))


def kind_of(dtype: Any, real: DType) -> DType:
    """The type of shares for one of JAX's; BadInput for complex numbers."""
    kind = np.dtype(dtype).kind
    if kind == "c":
        raise BadInput("Shares hold no complex numbers.", "Compute real and imaginary parts apart.")
    return bool_ if kind == "b" else int64 if kind in "iu" else real


# Reductions


def _reduction(function: Callable[..., SharedArray]) -> Rule:
    def reduced(context: Context, params: Params, x: SharedArray) -> SharedArray:
        return function(x, axis=tuple(params["axes"])) if params["axes"] else x

    return reduced


for _name, _function in {
    "reduce_sum": m.sum, "reduce_max": m.max, "reduce_min": m.min, "reduce_prod": m.prod, "reduce_and": m.all,
    "reduce_or": m.any,
}.items():  # fmt: skip
    RULES[_name] = _reduction(_function)
for _name, _function in {"argmax": order.argmax, "argmin": order.argmin}.items():
    RULES[_name] = lambda context, params, x, find=_function: find(x, axis=params["axes"][0])


def _running(function: Callable[..., SharedArray]) -> Rule:
    def run(context: Context, params: Params, x: SharedArray) -> SharedArray:
        axis = params["axis"]
        if not params["reverse"]:
            return function(x, axis=axis)
        return m.flip(function(m.flip(x, axis=axis), axis=axis), axis=axis)

    return run


def _scanned(combine: Callable[..., SharedArray]) -> Callable[..., SharedArray]:
    return lambda x, axis: m.scanned(x, axis, combine)


for _name, _function in {
    "cumsum": m.cumulative_sum, "cumprod": m.cumulative_prod, "cummax": _scanned(e.maximum),
    "cummin": _scanned(e.minimum),
}.items():  # fmt: skip
    RULES[_name] = _running(_function)


# Order


@rule("sort")
def _sort(context: Context, params: Params, *operands: Value) -> list[SharedArray]:
    columns = arrays(*operands)
    return order.sorted_rows(context.machine, columns[: params["num_keys"]], columns, params["dimension"])


@rule("top_k")
def _top_k(context: Context, params: Params, x: SharedArray) -> list[SharedArray]:
    axis = params.get("axis", x.ndim - 1) % x.ndim
    places = np.arange(x.shape[axis]).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    index = as_public(np.broadcast_to(places, x.shape))
    found = order.sorted_rows(context.machine, [x], [x, index], axis, descending=True)
    first = (slice(None),) * axis + (slice(params["k"]),)
    return [one[first] for one in found]
