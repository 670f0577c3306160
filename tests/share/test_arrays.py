"""Shared arrays: every function of the namespace against NumPy, whole programs unchanged, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput, RangeError
from lingqu.share import Machine, arrays
from lingqu.share.arrays import SharedArray, namespace
from lingqu.share.plain import Plain

Parties = Callable[..., Any]
Array = NDArray[Any]
Function = Callable[..., Any]
RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(4, 5)), RANDOM.normal(size=(4, 5)) + 3
N, J = RANDOM.integers(-50, 50, (4, 5)), RANDOM.integers(-50, 50, (4, 5))
B, C = X > 0, Y > 3
HALVES = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 1.2, -1.7, 3.0])
POSITIVE = np.abs(Y) + 0.01


def named(name: str) -> Function:
    return lambda xp, *operands: getattr(xp, name)(*operands)


def case(
    function: str | Function, *operands: Array, tolerance: float = 2e-5
) -> tuple[Function, tuple[Array, ...], float]:
    return named(function) if isinstance(function, str) else function, operands, tolerance


def assigned(xp: Any, x: Any) -> Any:
    x = xp.asarray(x, copy=True)
    x[1:3, 0] = 7.0
    x[0, ...] = x[3, ...]
    return x


BINARY = ["add", "subtract", "multiply", "maximum", "minimum"]
BINARY += ["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"]
UNARY = ["negative", "abs", "sign", "floor", "ceil", "trunc", "round", "exp", "expm1", "tanh", "sinh", "cosh", "square"]
UNARY += ["positive", "isnan", "isinf", "isfinite", "signbit"]
CASES: dict[str, tuple[Function, tuple[Array, ...], float]] = {
    **{name: case(name, X, Y) for name in [*BINARY, "divide", "hypot", "logaddexp", "copysign"]},
    **{f"{name} integers": case(name, N, J) for name in BINARY},
    **{f"{name} equal entries": case(name, N, N) for name in ("less", "less_equal", "equal")},
    **{name: case(name, X) for name in UNARY},
    **{f"{name} ties": case(name, HALVES) for name in ("round", "floor", "ceil", "trunc")},
    **{name: case(name, POSITIVE) for name in ("log", "log1p", "log2", "log10", "sqrt", "reciprocal")},
    **{name: case(name, N, J) for name in ("bitwise_and", "bitwise_or", "bitwise_xor")},
    **{f"{name} bool": case(name, B, C) for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "equal", "not_equal")},
    **{name: case(name, B, C) for name in ("logical_and", "logical_or", "logical_xor")},
    "logical_and public": case(lambda xp, b: xp.logical_or(xp.asarray(C), b) ^ xp.asarray(C) & b, B),
    "invert": case(lambda xp, x: ~x, N),
    "invert bool": case(lambda xp, x: ~x, B),
    "divide negative": case(lambda xp, x, y: x / (y - 3.0), X, np.sign(X) * POSITIVE + 3),
    "divide integers": case(lambda xp, x: x / 8, N),
    "divide a number": case(lambda xp, x: 1.5 / x, POSITIVE),
    **{f"floor_divide {n}": case(lambda xp, x, n=n: x // n, N) for n in (7, -7, 1)},
    **{f"remainder {n}": case(lambda xp, x, n=n: x % n, N) for n in (7, -7, 1)},
    "floor_divide real": case(lambda xp, x: x // 0.7, X),
    "divide shared integers": case(lambda xp, x, y: x // y + 100 * (x % y), N, J + (J == 0)),
    "divide by public integers": case(lambda xp, x: x // xp.asarray([7, -3, 5, 1, 2]), N),
    "remainder real": case(lambda xp, x: x % 0.7, X),
    "shifts": case(lambda xp, x: (x >> 2) + (x << 3), N),
    **{f"power {n}": case(lambda xp, x, n=n: x**n, Y) for n in (0, 1, 2, 3, -2, 0.5)},
    "power of a number": case(lambda xp, x: 2.0**x, X),
    "power of shares": case(lambda xp, x, y: x**y, POSITIVE, X),
    "small factor": case(lambda xp, x: x * 0.001, X, tolerance=2e-6),
    "numbers": case(lambda xp, x: 3 * x + 1 - x / 4, X),
    "integers and reals": case(lambda xp, x, y: x * y + 2.5 * x, N, X),
    "booleans and reals": case(lambda xp, b, x: b * x, B, X),
    "where": case(lambda xp, b, x, y: xp.where(b, x, y), B, X, Y),
    "where zero": case(lambda xp, b, x: xp.where(b, x, 0.0), B, X),
    "where both public": case(lambda xp, b: xp.where(b, xp.asarray(2.5), xp.asarray(-1.0)), B),
    "where public": case(lambda xp, x, y: xp.where(xp.asarray(np.arange(5) > 2), x, y), X, Y),
    "where booleans": case(lambda xp, a, b, c: xp.where(a, b, c), B, C, B),
    "where public booleans": case(lambda xp, b, c: xp.where(xp.asarray(np.arange(5) > 2), b, c), B, C),
    **{
        f"{name} {axis} {keep}": case(
            lambda xp, x, name=name, axis=axis, keep=keep: getattr(xp, name)(x, axis=axis, keepdims=keep),
            X,
            tolerance=1e-4,
        )
        for name in ("sum", "mean", "var", "std", "prod", "max", "min")
        for axis, keep in ((None, False), (0, True), (-1, False), ((0, 1), True))
    },
    **{
        f"{name} {axis}": case(lambda xp, x, name=name, axis=axis: getattr(xp, name)(x, axis=axis), B)
        for name in ("all", "any", "count_nonzero", "sum")
        for axis in (None, 0, 1)
    },
    "correction": case(lambda xp, x: xp.var(x, axis=0, correction=1), X),
    "cumulative_sum": case(lambda xp, x: xp.cumulative_sum(x, axis=1), X),
    "cumulative_sum initial": case(lambda xp, x: xp.cumulative_sum(x, axis=1, include_initial=True), X),
    "cumulative_prod": case(lambda xp, x: xp.cumulative_prod(x, axis=0), X),
    "diff": case(lambda xp, x: xp.diff(x, axis=0, n=2), X),
    "matmul": case(lambda xp, x, y: x @ y.T, X, Y),
    "matmul integers": case(lambda xp, x, y: x @ y.T, N, J),
    "matmul public": case(lambda xp, x: x @ xp.asarray(Y.T), X),
    "matmul public left": case(lambda xp, x: xp.asarray(Y.T) @ x, X),
    "matmul mixed": case(lambda xp, x, y: x @ y.T, N, X, tolerance=1e-4),
    "tensordot": case(lambda xp, x, y: xp.tensordot(x, y, axes=2), X, Y),
    "tensordot axes": case(lambda xp, x, y: xp.tensordot(x, y, axes=((0,), (0,))), X, Y),
    "vecdot": case("vecdot", X, Y),
    "linalg.trace": case(lambda xp, x: xp.linalg.trace(x), X),
    "linalg.norms": case(lambda xp, x: xp.linalg.vector_norm(x, axis=1) + xp.linalg.matrix_norm(x), X),
    "linalg.vector_norm 1": case(lambda xp, x: xp.linalg.vector_norm(x, ord=1, axis=0), X),
    "linalg.vector_norm inf": case(lambda xp, x: xp.linalg.vector_norm(x, ord=np.inf, keepdims=True), X),
    "linalg.diagonal": case(lambda xp, x: xp.linalg.diagonal(x, offset=1), X),
    "linalg.outer": case(lambda xp, x: xp.linalg.outer(x[0, :], x[1, :]), X),
    "linalg.cross": case(lambda xp, x: xp.linalg.cross(x[0, :3], x[1, :3]), X),
    "linalg.matrix_power": case(lambda xp, x: xp.linalg.matrix_power(x[:, :4], 3), X, tolerance=1e-4),
    "concat": case(lambda xp, x: xp.concat([x, x[:2, :], xp.ones((1, 5))]), X),
    "concat all": case(lambda xp, x: xp.concat([x, x], axis=None), N),
    "stack": case(lambda xp, x: xp.stack([x, x], axis=1), B),
    "reshape": case(lambda xp, x: xp.reshape(x, (5, -1)), N),
    "permute_dims": case(lambda xp, x: xp.permute_dims(x, (1, 0)), X),
    "moveaxis": case(lambda xp, x: xp.moveaxis(x, 0, 1), X),
    "roll, flip": case(lambda xp, x: xp.roll(xp.flip(x), 2, axis=1), X),
    "tile, repeat": case(lambda xp, x: xp.tile(xp.repeat(x, 2, axis=0), (2, 1)), X),
    "expand_dims, squeeze": case(lambda xp, x: xp.squeeze(xp.expand_dims(x, axis=1), axis=1), X),
    "index": case(lambda xp, x: x[1:3, ::2][..., None], X),
    "take": case(lambda xp, x: xp.take(x, xp.asarray([2, 0]), axis=0), X),
    "take_along_axis": case(lambda xp, x: xp.take_along_axis(x, xp.asarray([[2], [0], [1], [4]]), axis=1), X),
    "broadcast": case(lambda xp, x: xp.broadcast_to(x[0, :], (3, 5)) + xp.broadcast_arrays(x[0, :], x)[0][0, :], X),
    "triangles": case(lambda xp, x: xp.tril(x, k=1) - xp.triu(x), X),
    "unstack": case(lambda xp, x: xp.unstack(x)[1], X),
    "meshgrid": case(lambda xp, x: xp.meshgrid(x, x)[1], X[0]),
    **{
        f"{name} {axis}": case(lambda xp, x, name=name, axis=axis: getattr(xp, name)(x, axis=axis), X)
        for name in ("argmax", "argmin")
        for axis in (None, 0, 1)
    },
    "sort": case(lambda xp, x: xp.sort(x, axis=0), X),
    "sort booleans": case(lambda xp, x: xp.sort(x), B),
    "argsort": case(lambda xp, x: xp.argsort(x), X),
    "searchsorted": case(lambda xp, x, y: xp.searchsorted(xp.sort(x), y), X[0], X[1]),
    "clip": case(lambda xp, x: xp.clip(x, -0.5, 0.5), X),
    "assign": case(assigned, X),
    "astype int": case(lambda xp, x: xp.astype(x, xp.int64), HALVES),
    "astype bool": case(lambda xp, x: xp.astype(x, xp.bool), N),
    "astype real": case(lambda xp, x: xp.astype(x, xp.float64), N),
    "created": case(
        lambda xp, x: x + xp.zeros_like(x) + xp.full((5,), 2.0) + xp.arange(5) + xp.linspace(0, 1, 5) + xp.eye(4, 5), X
    ),
}
THREE = [name for i, name in enumerate(CASES) if i % 4 == 0]


def computed(m: Machine, function: Function, operands: tuple[Array, ...]) -> Any:
    shared = [arrays.share(m, i % 3, operand) for i, operand in enumerate(operands)]
    return function(array_namespace(shared[0]), *shared).reveal()


def agrees(found: Array, expected: Any, tolerance: float) -> None:
    exact = np.asarray(expected)
    assert found.shape == exact.shape
    assert found.dtype == exact.dtype
    np.testing.assert_allclose(found, exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_functions_equal_numpy_s(name: str) -> None:
    function, operands, tolerance = CASES[name]
    agrees(computed(Plain(), function, operands), function(np, *operands), tolerance)


def test_functions_equal_numpy_s_on_every_protocol(parties: Parties) -> None:
    found = parties(lambda m: [computed(m, *CASES[name][:2]) for name in THREE]).results
    for name, one, other in zip(THREE, found[0], found[-1], strict=True):
        function, operands, tolerance = CASES[name]
        agrees(one, function(np, *operands), tolerance)
        np.testing.assert_array_equal(one, other)


# Programs written against array_namespace(x), on NumPy and on shares unchanged


def standardise(x: Any) -> Any:
    xp = array_namespace(x)
    return (x - xp.mean(x, axis=0)) / xp.std(x, axis=0)


def polynomial(x: Any) -> Any:
    return 0.5 * x**3 - 2 * x**2 + x - 0.25


def k_means_step(x: Any, centres: Any) -> Any:
    xp = array_namespace(x, centres)
    distances = xp.sum((x[:, None, :] - centres[None, :, :]) ** 2, axis=2)
    nearest = xp.argmin(distances, axis=1)
    members = xp.astype(nearest[:, None] == xp.arange(centres.shape[0]), x.dtype)
    return (members.T @ x) / xp.maximum(xp.sum(members, axis=0), xp.asarray(1.0))[:, None]


def regression(x: Any, y: Any) -> Any:
    xp = array_namespace(x, y)
    weights = xp.zeros((x.shape[1],), dtype=x.dtype)
    for _ in range(10):
        weights = weights - 0.3 * (x.T @ (x @ weights - y)) / x.shape[0]
    return weights


def first_component(x: Any) -> Any:
    xp = array_namespace(x)
    covariance = x.T @ x / x.shape[0]
    direction = xp.ones((x.shape[1],), dtype=x.dtype)
    for _ in range(6):
        direction = covariance @ direction
        direction = direction / xp.linalg.vector_norm(direction)
    return direction


def softmax_classifier(x: Any, labels: Any) -> Any:
    xp = array_namespace(x, labels)
    targets = xp.astype(labels[:, None] == xp.arange(3), x.dtype)
    weights = xp.zeros((x.shape[1], 3), dtype=x.dtype)
    for _ in range(3):
        scores = x @ weights
        powers = xp.exp(scores - xp.max(scores, axis=1, keepdims=True))
        guessed = powers / xp.sum(powers, axis=1, keepdims=True)
        weights = weights - 0.5 * (x.T @ (guessed - targets)) / x.shape[0]
    return weights


LABELS = RANDOM.integers(0, 3, 12)
POINTS = RANDOM.normal(size=(12, 3))
PROGRAMS: dict[str, tuple[Function, tuple[Array, ...]]] = {
    "standardise": (standardise, (POINTS * 3 + 1,)),
    "polynomial": (polynomial, (POINTS,)),
    "k-means": (k_means_step, (POINTS, POINTS[:3])),
    "regression": (regression, (POINTS, POINTS @ np.array([1.0, -2.0, 0.5]))),
    "first component": (first_component, (POINTS * np.array([3.0, 1.0, 0.5]),)),
    "softmax classifier": (softmax_classifier, (POINTS, LABELS)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_run_unchanged(parties: Parties, name: str) -> None:
    function, operands = PROGRAMS[name]

    def work(m: Machine) -> Any:
        return function(*(arrays.share(m, i % 3, one) for i, one in enumerate(operands))).reveal()

    for found in [work(Plain()), *parties(work).results]:
        np.testing.assert_allclose(found, function(*operands), rtol=1e-4, atol=1e-4)


# What reveals, or cannot be done, says so


def shared(values: Any) -> SharedArray:
    return arrays.share(Plain(), 0, np.asarray(values))


REFUSED: dict[str, Callable[[], Any]] = {
    "a truth value": lambda: bool(shared(True)),
    "a Python number": lambda: float(shared(1.5)),
    "a Python number, int": lambda: int(shared(1)),
    "an index": lambda: [1, 2][shared(1)],
    "a NumPy array": lambda: np.asarray(shared(X)),
    "public places": lambda: shared(X)[shared(B)],
    "public places, integer": lambda: shared(X)[shared(1)],
    "public places, assignment": lambda: shared(X).__setitem__(shared(1), 0.0),
    "size that would reveal": lambda: namespace.nonzero(shared(N)),
    "size that would reveal, unique": lambda: namespace.unique_values(shared(N)),
    "2\\^31 - 1": lambda: shared([1, 2]) // 0,
    "divisor is 0": lambda: shared(X) / 0.0,
    "of type bool": lambda: namespace.where(shared(N), 1, 2),
    "takes booleans": lambda: namespace.logical_and(shared(N), shared(B)),
    "exponents": lambda: shared([1.0, 2.0]) ** np.array([1.0, 2.0]),
    "different sessions": lambda: shared(X) + shared(Y),
    "hold no complex": lambda: shared(X) + np.array(1j),
    "another library": lambda: namespace.from_dlpack(np.zeros(2)),
    "not held on": lambda: shared(X).to_device("gpu"),
    "no version": lambda: shared(X).__array_namespace__(api_version="1999.12"),
    "8 to 30": lambda: arrays.fixed(31),
    "is not available": lambda: namespace.linalg.vector_norm(shared(X), ord=3),
    "are not known": lambda: arrays.share(Plain(), 0, None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_reveal_or_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=name.partition(",")[0]):
        REFUSED[name]()


def test_what_is_not_there_is_named() -> None:
    for name in ("sin", "nextafter", "nonsense"):
        assert not hasattr(namespace, name)
    with pytest.raises(AttributeError, match="depend on values"):
        _ = namespace.linalg.svd
    with pytest.raises(TypeError, match="real numbers"):
        shared(X) + "text"
    with pytest.raises(RangeError, match="2\\^41"):
        shared([1e300])
    with pytest.raises(RangeError, match="NaN"):
        shared(X) + np.nan


def test_public_values_stay_public_and_exact() -> None:
    x = namespace.asarray([1.0, 2.0, 4.0])
    assert x.public
    assert float(x[1]) == 2.0
    assert bool(namespace.all(x > 0))
    assert [1, 2, 3][namespace.asarray(1)] == 2
    assert np.asarray(namespace.exp(x)).tolist() == np.exp([1.0, 2.0, 4.0]).tolist()
    assert namespace.unique_values(namespace.asarray([3, 1, 3])).values.tolist() == [1, 3]
    assert "public" in repr(x)
    mixed = shared(X[0, :3]) + x
    assert not mixed.public
    assert "shape=(3,)" in repr(mixed)
    assert np.array([1.0, 1.0, 1.0]) - shared(X[0, :3]) is not None


@pytest.mark.parametrize("bits", [8, 12, 16, 24, 28, 30])
def test_other_fractional_bits(parties: Parties, bits: int) -> None:
    values = np.array([-0.9, -0.5, 0.25, 0.7, 1.1])
    unit = 2.0**-bits

    def work(m: Machine) -> Any:
        x = arrays.share(m, 0, values, dtype=arrays.fixed(bits))
        assert x.dtype == (x * 2.0).dtype == (x @ x).dtype == namespace.exp(x).dtype == arrays.fixed(bits)
        return [
            one.reveal()
            for one in (x + 0.5, x * x, x * 0.3, x @ x, namespace.exp(x), x.astype(arrays.float64), x > 0.5, x / 3)
        ]

    for found in [work(Plain()), parties(work).results[1]]:
        slack = max(4 * unit, 1e-6)
        exact = [
            values + 0.5,
            values**2,
            values * 0.3,
            values @ values,
            np.exp(values),
            values,
            values > 0.5,
            values / 3,
        ]
        for one, other in zip(found, exact, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5 if other is exact[4] and bits > 16 else slack * 2)


def test_the_namespace_describes_itself() -> None:
    x = shared(X)
    info = namespace.__array_namespace_info__()
    assert array_namespace(x) is namespace
    assert info.default_dtypes()["real floating"] == arrays.float64 == x.dtype
    assert info.dtypes(kind="integral") == {"int64": arrays.int64}
    assert not info.capabilities()["boolean indexing"]
    assert (info.default_device(), info.devices()) == ("cpu", ["cpu"])
    assert namespace.isdtype(x.dtype, ("bool", "real floating"))
    assert not namespace.isdtype(x.dtype, "integral")
    assert namespace.result_type(arrays.int64, 1.0) == arrays.float64
    assert namespace.can_cast(arrays.bool_, arrays.int64)
    assert namespace.finfo(x).eps == 2.0**-20
    assert namespace.iinfo(arrays.int64).max == (1 << 62) - 1
    assert all(hasattr(namespace, name) for name in namespace.__all__)


def test_handles_are_wrapped() -> None:
    m = Plain()
    flags = m.constant_bits(np.array([1, 0], np.uint64), 1)
    assert arrays.wrap(m, flags).reveal().tolist() == [True, False]  # type: ignore[union-attr]
    assert arrays.wrap(m, m.constant(np.array([1, 0])), arrays.bool_).reveal().tolist() == [True, False]  # type: ignore[union-attr]
    assert arrays.wrap(m, m.constant(np.array([3]))).dtype == arrays.int64
    with pytest.raises(BadInput):
        arrays.wrap(m, flags, arrays.int64)
