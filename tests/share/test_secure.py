"""JAX functions on shares against JAX in the clear: every primitive with a rule, models forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from numpy.typing import NDArray

import lingqu
from lingqu.kinds.errors import BadInput
from lingqu.share import Machine, arrays
from lingqu.share.arrays import SharedArray
from lingqu.share.plain import Plain

Parties = Callable[..., Any]
Array = NDArray[Any]
Function = Callable[..., Any]
RANDOM = np.random.default_rng(7)
X, Y = RANDOM.normal(size=(4, 5)), RANDOM.normal(size=(4, 5)) + 3
N, J = RANDOM.integers(-50, 50, (4, 5)), RANDOM.integers(1, 50, (4, 5))
B = X > 0
POSITIVE = np.abs(X) + 0.1
IMAGES, KERNEL = RANDOM.normal(size=(2, 6, 6, 2)), RANDOM.normal(size=(3, 3, 2, 4)) / 3


def case(function: Function, *operands: Array, tolerance: float = 3e-5) -> tuple[Function, tuple[Array, ...], float]:
    return function, operands, tolerance


def gradient(function: Function) -> Function:
    """The gradient of a sum that weighs the entries differently."""

    def total(*operands: Any) -> Any:
        found = function(*operands)
        return jnp.sum(found * jnp.cos(jnp.arange(found.size, dtype=found.dtype)).reshape(found.shape))

    slopes: Function = jax.grad(total)
    return slopes


def pooled(kind: str, **how: Any) -> Function:
    window = {"window": (1, 2, 2, 1), "strides": (1, 2, 2, 1), "padding": "VALID", **how}
    start, combine = {"max": (-jnp.inf, lax.max), "min": (jnp.inf, lax.min), "sum": (0.0, lax.add)}[kind]
    return lambda x: lax.reduce_window(x, start, combine, window["window"], window["strides"], window["padding"])


def convolved(**how: Any) -> Function:
    given = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": ("NHWC", "HWIO", "NHWC"), **how}
    return lambda x, k: lax.conv_general_dilated(x, k, **given)


def scanned(x: Any) -> Any:
    def body(carry: Any, row: Any) -> Any:
        return carry * 0.5 + row, carry.sum()

    return lax.scan(body, jnp.zeros(x.shape[1]), x, reverse=True)


def powers(x: Any) -> Any:
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * x), (0, x))[1]


clipped: Any = jax.custom_vjp(lambda x: x * 1.0)
clipped.defvjp(lambda x: (x * 1.0, None), lambda _, g: (jnp.clip(g, -0.5, 0.5),))

UNARY: dict[str, Function] = {
    "neg": jnp.negative, "abs": jnp.abs, "sign": jnp.sign, "floor": jnp.floor, "ceil": jnp.ceil, "round": jnp.round,
    "round away": lambda x: lax.round(x), "square": jnp.square, "exp": jnp.exp, "exp2": jnp.exp2, "expm1": jnp.expm1,
    "tanh": jnp.tanh, "sinh": jnp.sinh, "cosh": jnp.cosh, "logistic": jax.nn.sigmoid, "erf": lax.erf, "erfc": lax.erfc,
    "relu": jax.nn.relu, "gelu": jax.nn.gelu, "exact gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "silu": jax.nn.silu, "softplus": jax.nn.softplus, "elu": jax.nn.elu, "softmax": jax.nn.softmax,
    "log_softmax": jax.nn.log_softmax, "logsumexp": lambda x: jax.nn.logsumexp(x, axis=0),
    "clip": lambda x: jnp.clip(x, -0.5, 0.7), "power 3": lambda x: x**3, "nan_to_num": jnp.nan_to_num,
    "isfinite": jnp.isfinite,
    "normalised": jax.nn.standardize,
}  # fmt: skip
CASES: dict[str, tuple[Function, tuple[Array, ...], float]] = {
    **{name: case(function, X) for name, function in UNARY.items()},
    **{
        f"gradient of {name}": case(gradient(UNARY[name]), X, tolerance=1e-4)
        for name in ("relu", "gelu", "exact gelu", "silu", "softplus", "softmax", "log_softmax", "tanh", "clip", "abs")
    },
    "log": case(lambda x: (jnp.log(x), jnp.log1p(x), jnp.log2(x)), POSITIVE),
    "roots": case(lambda x: (jnp.sqrt(x), lax.rsqrt(x), x**-2, x**0.75), POSITIVE, tolerance=2e-4),
    "gradient of roots": case(gradient(lambda x: jnp.sqrt(x) + x**1.5), POSITIVE, tolerance=1e-4),
    "shared power": case(jnp.power, POSITIVE, X),
    "arithmetic": case(lambda x, y: (x + y, x - y, x * y, x / y, jnp.maximum(x, y), jnp.minimum(x, y)), X, Y),
    "gradient of arithmetic": case(gradient(lambda x, y: x * y / (x * x + 1)), X, Y),
    "comparisons": case(lambda x, y: (x < y, x > y, x <= y, x >= y, x == y, x != y), N, J),
    "public comparisons": case(lambda x: (x < jnp.inf, x == -jnp.inf, x != x, x >= 0), X),
    "integers": case(lambda x, y: (x // y, x % y, lax.div(x, y), lax.rem(x, y), x * y, x + y), N, J),
    "bits": case(lambda x, y: (x & y, x | y, x ^ y, ~x, x << 2, x >> 1), N, J),
    "logic": case(lambda a, x: (a & (x > 3), a | (x > 3), a ^ (x > 3), ~a), B, Y),
    "real rest": case(lambda x: lax.rem(x, jnp.float32(0.7)), X),
    "where": case(lambda a, x, y: jnp.where(a, x, y), B, X, Y),
    "select_n": case(lambda i, x, y: lax.select_n(i, x, y, x + y), N % 3, X, Y),
    "casts": case(lambda x, n, b: (x.astype(int), n.astype(float), b.astype(float), n.astype(bool)), Y, N, B),
    "reductions": case(
        lambda x: (x.sum(), x.sum(0), x.mean(1), x.max(1), x.min(), x.prod(0), x.var(0), x.argmax(1), x.argmin()), X
    ),
    "logical reductions": case(lambda x: ((x > 0).all(0), (x > 0).any(1)), X),
    "gradient of max": case(gradient(lambda x: x.max(axis=1)), X),
    "gradient of prod": case(gradient(lambda x: x.prod(axis=1)), X),
    "running": case(
        lambda x: (jnp.cumsum(x, 0), jnp.cumprod(x, 1), lax.cummax(x, 0), lax.cummin(x, 1, reverse=True)), X
    ),
    "gradient of cumsum": case(gradient(lambda x: jnp.cumsum(x, axis=0)), X),
    "order": case(lambda x: (jnp.sort(x, 0), jnp.argsort(x, 1), *lax.top_k(x, 2)), X),
    "moved": case(
        lambda x: (x.T, x[::-1], x[1:3, ::2], x.reshape(2, 10), x[:, None], jnp.concatenate([x, x], 1), jnp.tile(x, 2)),
        X,
    ),
    "padded": case(lambda x: (lax.pad(x, jnp.float32(2), [(1, 0, 1), (-1, 2, 0)]), jnp.pad(x, 1, mode="edge")), X),
    "gathered": case(
        lambda x: (x[jnp.array([2, 0])], x[1, 3], jnp.take(x, jnp.array([9, 1]), axis=1, fill_value=2.0), jnp.diag(x)),
        X,
    ),
    "written": case(
        lambda x, y: (
            x.at[1].set(y[0]),
            x.at[:, jnp.array([0, 0])].add(y[:, :2]),
            lax.dynamic_update_slice(x, y[:2, :2], (1, 3)),
        ),
        X, Y,
    ),
    "gradient of gathered": case(gradient(lambda x: x[jnp.array([2, 0, 2])] ** 2), X),
    "sliced": case(lambda x: (lax.dynamic_slice(x, (1, 4), (2, 2)), *jnp.split(x, [2], axis=0)), X),
    "products": case(
        lambda x, y: (x @ y.T, jnp.einsum("ij,kj->ik", x, y), jnp.einsum("ij,ij->i", x, y), jnp.outer(x[0], y[0])), X, Y
    ),
    "gradient of products": case(gradient(lambda x, y: jnp.einsum("ij,kj->ik", x, y)), X, Y),
    "convolved": case(convolved(), IMAGES, KERNEL),
    "convolved in groups": case(convolved(feature_group_count=2, window_strides=(2, 1)), IMAGES, KERNEL[:, :, :1]),
    "convolved, dilated": case(
        convolved(rhs_dilation=(2, 1), lhs_dilation=(1, 2), padding=[(1, 2), (0, 1)]), IMAGES, KERNEL
    ),
    "gradient of convolved": case(gradient(convolved(window_strides=(2, 2))), IMAGES, KERNEL),
    "gradient of the kernel": case(
        lambda x, k: gradient(lambda a, b: convolved(window_strides=(2, 1))(b, a))(k, x), IMAGES, KERNEL
    ),
    "transposed convolution": case(lambda x, k: lax.conv_transpose(x, k, (2, 2), "SAME"), IMAGES, KERNEL),
    **{f"pooled {kind}": case(pooled(kind), IMAGES) for kind in ("max", "min", "sum")},
    "pooled, padded": case(pooled("max", window=(1, 3, 3, 1), padding="SAME"), IMAGES),
    "gradient of pooled": case(gradient(pooled("max")), IMAGES),
    "gradient of pooled min": case(gradient(pooled("min")), IMAGES),
    "gradient of pooled sum": case(gradient(pooled("sum")), IMAGES),
    "gradient of pooled, padded": case(gradient(pooled("max", window=(1, 3, 3, 1), padding="SAME")), IMAGES),
    "scan": case(scanned, X),
    "gradient of scan": case(gradient(lambda x: scanned(x)[0]), X),
    "while": case(powers, X),
    "fori_loop": case(lambda x: lax.fori_loop(0, 3, lambda i, c: c + i * x, x), X),
    "branches": case(lambda x: lax.cond(x[0, 0] > 0, lambda v: v * 2, lambda v: v - 1, x), X),
    "public branches": case(lambda x: lax.switch(2, [lambda v: v, lambda v: -v, lambda v: v * 3], x), X),
    "batched branches": case(lambda x: jax.vmap(lambda v: lax.cond(v[0] > 0, jnp.exp, jnp.negative, v))(x), X),
    "custom_vjp": case(gradient(clipped), X),
    "checkpoint": case(gradient(jax.checkpoint(lambda x: jnp.tanh(x) * x)), X),
    "hessian": case(lambda x: jax.hessian(lambda v: jnp.sum(v**3))(x[0]), X),
    "jvp": case(lambda x: jax.jvp(jnp.exp, (x,), (x,)), X),
}  # fmt: skip
THREE = [
    "log", "comparisons", "integers", "logic", "casts", "moved", "written", "order", "gradient of pooled", "branches",
    "scan", "gradient of log_softmax", "gathered",
]  # fmt: skip


def computed(m: Machine, function: Function, operands: tuple[Array, ...]) -> Any:
    shared = [arrays.share(m, i % m.parties, operand) for i, operand in enumerate(operands)]
    return jax.tree.map(lambda one: one.reveal(), lingqu.secure(function)(*shared))


def agrees(found: Any, expected: Any, tolerance: float) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        exact = np.asarray(other)
        assert one.shape == exact.shape
        assert one.dtype.kind == exact.dtype.kind
        np.testing.assert_allclose(one, exact, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_functions_equal_jax_s(name: str) -> None:
    function, operands, tolerance = CASES[name]
    agrees(computed(Plain(), function, operands), function(*map(jnp.asarray, operands)), tolerance)


def test_functions_equal_jax_s_over_every_protocol(parties: Parties) -> None:
    found = parties(lambda m: [computed(m, *CASES[name][:2]) for name in THREE]).results
    for name, one, other in zip(THREE, found[0], found[-1], strict=True):
        function, operands, tolerance = CASES[name]
        agrees(one, function(*map(jnp.asarray, operands)), tolerance)
        jax.tree.map(np.testing.assert_array_equal, one, other)


# Models, forward and backward


def linear_step(weights: Any, x: Any, y: Any) -> Any:
    return weights - 0.2 * jax.grad(lambda w: jnp.mean((x @ w - y) ** 2))(weights)


def logistic_training(weights: Any, x: Any, y: Any) -> Any:
    def loss(w: Any) -> Any:
        scores = x @ w
        return jnp.mean(jax.nn.softplus(scores) - y * scores) + 0.01 * jnp.sum(w**2)

    return lax.fori_loop(0, 4, lambda _, w: w - 0.5 * jax.grad(loss)(w), weights)


def perceptron_loss(parameters: Any, x: Any, labels: Any) -> Any:
    hidden = jax.nn.relu(x @ parameters["w1"] + parameters["b1"])
    hidden = jax.nn.gelu(hidden @ parameters["w2"])
    scores = jax.nn.log_softmax(hidden @ parameters["w3"])
    return -jnp.mean(jnp.sum(jax.nn.one_hot(labels, 3) * scores, axis=1))


def network_loss(parameters: Any, images: Any, labels: Any) -> Any:
    numbers = ("NHWC", "HWIO", "NHWC")
    hidden = lax.conv_general_dilated(images, parameters["k1"], (1, 1), "SAME", dimension_numbers=numbers)
    hidden = pooled("max")(jax.nn.relu(hidden))
    hidden = lax.conv_general_dilated(hidden, parameters["k2"], (1, 1), "VALID", dimension_numbers=numbers)
    hidden = jnp.tanh(hidden).reshape(hidden.shape[0], -1)
    scores = jax.nn.log_softmax(hidden @ parameters["w"] + parameters["b"])
    return -jnp.mean(jnp.sum(jax.nn.one_hot(labels, 3) * scores, axis=1))


def stepped(loss: Function) -> Function:
    """One step of gradient descent, jitted, with the loss."""

    def step(parameters: Any, x: Any, labels: Any) -> Any:
        value, slopes = jax.value_and_grad(loss)(parameters, x, labels)
        return value, jax.tree.map(lambda p, g: p - 0.1 * g, parameters, slopes)

    jitted: Function = jax.jit(step)
    return jitted


POINTS, LABELS = RANDOM.normal(size=(8, 4)), RANDOM.integers(0, 3, 8)
PERCEPTRON = {
    "w1": RANDOM.normal(size=(4, 5)) / 2,
    "b1": np.zeros(5),
    "w2": RANDOM.normal(size=(5, 4)) / 2,
    "w3": RANDOM.normal(size=(4, 3)) / 2,
}
NETWORK = {
    "k1": RANDOM.normal(size=(3, 3, 2, 3)) / 4,
    "k2": RANDOM.normal(size=(2, 2, 3, 2)) / 3,
    "w": RANDOM.normal(size=(8, 3)) / 3,
    "b": np.zeros(3),
}
MODELS: dict[str, tuple[Function, tuple[Any, ...]]] = {
    "linear regression": (linear_step, (np.zeros(4), POINTS, POINTS @ np.array([1.0, -2.0, 0.5, 0.0]))),
    "logistic regression": (logistic_training, (np.zeros(4), POINTS, (LABELS > 0).astype(float))),
    "perceptron": (stepped(perceptron_loss), (PERCEPTRON, POINTS, LABELS)),
    "convolutional network": (stepped(network_loss), (NETWORK, IMAGES, LABELS[:2])),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_train_as_in_jax(parties: Parties, name: str) -> None:
    function, operands = MODELS[name]
    secured = lingqu.secure(function)

    def work(m: Machine) -> Any:
        shared = [
            jax.tree.map(lambda one, i=i: arrays.share(m, i % m.parties, one), operand)
            for i, operand in enumerate(operands)
        ]
        return jax.tree.map(lambda one: one.reveal(), secured(*shared))

    expected = function(*jax.tree.map(jnp.asarray, operands))
    for found in [work(Plain()), *parties(work).results]:
        agrees(found, expected, 1e-4)


# What stays public, what is chosen, what is refused


def shared(values: Any) -> SharedArray:
    return arrays.share(Plain(), 0, np.asarray(values))


def test_public_arguments_stay_public() -> None:
    def scaled(x: Any, factor: Any, *, times: int = 1) -> Any:
        noise = jax.random.normal(jax.random.key(3), x.shape)
        return {"scaled": x * factor**times + noise * 0, "public": jnp.sin(factor)}

    found = lingqu.secure(scaled, static_argnames="times")(shared(X), 2.0, times=3)
    assert found["public"].public
    assert not found["scaled"].public
    np.testing.assert_allclose(found["scaled"].reveal(), X * 8, atol=1e-5)
    assert lingqu.secure(jnp.sin)(np.ones(2)).public


def test_static_arguments_and_nested_ones() -> None:
    def joined(pair: Any, axis: int) -> Any:
        return jnp.concatenate([pair["a"], pair["b"]], axis)

    stacked = lingqu.secure(static_argnums=1)(joined)
    machine = Plain()
    pair = {name: arrays.share(machine, 0, one) for name, one in (("a", X), ("b", Y))}
    found = stacked(pair, 1)
    np.testing.assert_allclose(found.reveal(), np.concatenate([X, Y], 1), atol=1e-6)
    with pytest.raises(BadInput, match="has no hash"):
        stacked(pair, [1])
    with pytest.raises(BadInput, match="A str is no array"):
        stacked("text", 1)


@pytest.mark.parametrize("bits", [12, 16, 24])
def test_fractional_bits_are_chosen(bits: int) -> None:
    machine = Plain()
    given = [arrays.share(machine, 0, one) for one in (X, N)]
    found = lingqu.secure(lambda x, n: x * x + n, fraction_bits=bits)(*given)
    assert found.dtype == arrays.fixed(bits)
    np.testing.assert_allclose(found.reveal(), X * X + N, atol=20 * 2.0**-bits + 1e-5)


def many(x: Any) -> Any:
    return x if x[0, 0] > 0 else -x


REFUSED: dict[str, tuple[Function, tuple[Any, ...], str]] = {
    "sin": (lambda x: jnp.sin(x), (X,), r"JAX's sin \(test_secure\.py:\d+\) is not available"),
    "cholesky": (jnp.linalg.cholesky, (X[:, :4],), "JAX's cholesky"),
    "a loop until shares say": (lambda x: lax.while_loop(lambda v: v < 9, jnp.exp, x), (X[0, 0],), "A while loop"),
    "a shared index": (lambda x, i: x[i], (X, N[0]), "shared index"),
    "a shared start": (lambda x, i: lax.dynamic_slice(x, (i, 0), (1, 1)), (X, N[0, 0]), "shared index"),
    "a branch in Python": (many, (X,), "looks at a value"),
    "a callback": (lambda x: jax.pure_callback(np.sin, x, x), (X,), "pure_callback"),
    "printing": (lambda x: (jax.debug.print("{}", x), x)[1], (X,), "debug_"),
    "complex": (lambda x: x.astype(complex), (X,), "complex"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_reveal_or_has_no_rule_is_refused(name: str) -> None:
    function, operands, words = REFUSED[name]
    machine = Plain()
    given = [arrays.share(machine, 0, np.asarray(one)) for one in operands]
    with pytest.raises(BadInput, match=words):
        lingqu.secure(function)(*given)


def test_an_unsupported_primitive_is_named_before_anything_is_sent(parties: Parties) -> None:
    def work(m: Machine, x: SharedArray) -> None:
        with pytest.raises(BadInput, match="JAX's sin"):
            lingqu.secure(lambda v: jnp.sin(jnp.exp(v)))(x)

    run = parties(work, lambda m: arrays.share(m, 0, X))
    assert run.bytes == 0


def test_an_equal_comparison_is_made_once(parties: Parties) -> None:
    """The gradient of relu asks again what relu itself has asked."""

    def both(x: Any) -> Any:
        return jax.value_and_grad(lambda v: jnp.sum(jax.nn.relu(v) * 2))(x)

    def compared(m: Machine, x: SharedArray) -> Any:
        zero = x < 0
        return zero, x.__array_namespace__().where(zero, x, 0.0)

    def prepare(m: Machine) -> SharedArray:
        return arrays.share(m, 0, X)

    once = parties(lambda m, x: compared(m, x), prepare).bytes
    found = parties(lambda m, x: lingqu.secure(both)(x), prepare)
    assert once < found.bytes < 1.5 * once


def test_a_function_is_traced_once_for_its_shapes() -> None:
    traced: list[tuple[int, ...]] = []

    def twice(x: Any) -> Any:
        traced.append(x.shape)
        return x * 2

    doubled = lingqu.secure(twice)
    for values in (X, X, Y, X[0]):
        doubled(shared(values))
    assert traced == [(4, 5), (5,)]


def test_traffic_depends_on_shapes_alone(parties: Parties) -> None:
    step = lingqu.secure(stepped(perceptron_loss))

    def shape(scale: float) -> Any:
        def prepare(m: Machine) -> Any:
            return [
                jax.tree.map(lambda one: arrays.share(m, 0, one * scale), PERCEPTRON),
                arrays.share(m, 1, POINTS * scale),
            ]

        return parties(lambda m, x: step(*x, LABELS), prepare).shape

    assert shape(1.0) == shape(0.0)
