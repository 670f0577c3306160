"""Declared ranges of arrays and of JAX functions: what is accepted never overflows, and what may overflow is refused.

EXAMPLES=... runs more random programs (40).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.share import test_arrays, test_secure
from tests.share.test_functions import Rounding

import lingqu
from lingqu.kinds.errors import BadInput, RangeError
from lingqu.share import Machine, arrays
from lingqu.share.arrays import Range, SharedArray, bool_, check, float64, int64, namespace
from lingqu.share.plain import Plain
from lingqu.share.ranges import Ranges

Array = NDArray[Any]
EXAMPLES = int(os.environ.get("EXAMPLES", "40"))
TWINS = (Plain, Rounding)
"""Exact truncation, and truncation as low as a protocol's."""
REFUSED = {
    "divide negative": "A divisor of divide may be 0",
    "divide shared integers": "A divisor of divide_exact may be 0",
    "prod None False": "A result of multiply may reach",
    "prod (0, 1) True": "A result of multiply may reach",
    "gradient of max": "A divisor of divide may be 0",
}
"""Refused for what the operands could be between their least and their greatest, but for the last: that one entry at
least equals the greatest is not known."""


def real(*shape: int, most: float = 1.0, least: float | None = None) -> Range:
    return Range(shape, float64, -most if least is None else least, most)


def sampled(declared: Range, random: np.random.Generator) -> Array:
    """Values in a range, many of them at its ends."""
    low, high = (np.broadcast_to(end, declared.shape) for end in (declared.low, declared.high))
    place = np.clip(random.uniform(-0.3, 1.3, declared.shape), 0, 1)
    if declared.dtype.real:
        return np.asarray(np.clip(low + (high - low) * place, low, high))
    if declared.dtype == bool_:
        return np.where(place < 0.5, low, high)
    return np.where(place == 0, low, np.where(place == 1, high, random.integers(low, high + 1)))


def contained(found: Any, results: Any) -> None:
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(results), strict=True):
        inside(one, other.reveal())


def inside(found: Any, values: Array) -> None:
    if isinstance(found, Range):
        assert found.shape == values.shape
        assert bool(np.all((np.asarray(found.low) <= values) & (values <= np.asarray(found.high))))
    else:
        np.testing.assert_array_equal(np.asarray(found), values)


def sound(function: Callable[..., Any], checking: Callable[..., Any], declared: Sequence[Range], own: Any) -> None:
    """What a check finds holds for these values and for others in the ranges, on both twins."""
    found = checking(*declared)
    random = np.random.default_rng(3)
    for values in (own, *([sampled(one, random) for one in declared] for _ in range(2))):
        for twin in TWINS:
            m: Machine = twin()
            contained(found, function(*(arrays.share(m, 0, one) for one in values)))


def judged(name: str, function: Callable[..., Any], checking: Callable[..., Any], operands: Sequence[Array]) -> None:
    declared = [Range.of(one) for one in operands]
    if name in REFUSED:
        with pytest.raises(RangeError, match=REFUSED[name]):
            checking(*declared)
    else:
        sound(function, checking, declared, operands)


@pytest.mark.parametrize("name", test_arrays.CASES)
def test_ranges_of_array_functions_hold(name: str) -> None:
    function, operands, _ = test_arrays.CASES[name]

    def applied(*given: Any) -> Any:
        return function(namespace, *given)

    judged(name, applied, lambda *ranges: check(applied, *ranges), operands)


def test_ranges_hold_over_every_protocol(parties: Callable[..., Any]) -> None:
    cases = [test_arrays.CASES[name] for name in test_arrays.THREE if name not in REFUSED]
    results = parties(lambda m: [test_arrays.computed(m, *case[:2]) for case in cases]).results[0]
    for (function, operands, _), values in zip(cases, results, strict=True):
        found = check(lambda *given, f=function: f(namespace, *given), *map(Range.of, operands))
        inside(found, values)


@pytest.mark.parametrize("name", test_secure.CASES)
def test_ranges_of_jax_functions_hold(name: str) -> None:
    function, operands, _ = test_secure.CASES[name]
    secured = lingqu.secure(function)
    judged(name, secured, secured.check, operands)


@pytest.mark.parametrize("name", test_secure.MODELS)
def test_models_are_accepted(name: str) -> None:
    """A step of training or several, forward and backward, for the ranges of its data."""
    function, operands = test_secure.MODELS[name]
    found = lingqu.secure(function).check(*jax.tree.map(Range.of, operands))
    m = Plain()
    shared = jax.tree.map(lambda one: arrays.share(m, 0, np.asarray(one)), operands)
    contained(found, lingqu.secure(function)(*shared))


# Random programs


@dataclass(frozen=True)
class Step:
    """A function of the namespace on values that are there, by their numbers."""

    name: str
    operands: tuple[int, ...]


UNARY = ["negative", "abs", "sign", "square", "sigmoid", "tanh", "exp", "sqrt", "floor", "log1p", "reciprocal"]
BINARY = ["add", "subtract", "multiply", "maximum", "minimum", "divide", "matmul", "floor_divide", "remainder"]
ALONG = ["sum", "mean", "max", "min", "cumulative_sum", "sort", "var", "prod", "argmax"]
OWN: dict[str, Callable[..., Any]] = {
    **{name: lambda x, name=name: getattr(namespace, name)(x, axis=0) + x for name in ALONG},
    "chosen": lambda x, y: namespace.where(x < y, x, y - x),
    "scaled": lambda x: x * 0.37 - 12.5,
    "softmax": lambda x: (p := namespace.exp(x - namespace.max(x, axis=0))) / namespace.sum(p, axis=0),
    "moved": lambda x: namespace.roll(x, 1, axis=0) + namespace.tril(x),
    "norm": lambda x: namespace.linalg.vector_norm(x, axis=0) + x,
    "masked": lambda x, y: (x > y) * x,
}
MAGNITUDES = [0.5, 1.0, 8.0, 300.0, 2.0**16, 2.0**30, 2.0**40]


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[Range], list[Step]]:
    declared = []
    for _ in range(2):
        whole = draw(st.booleans())
        ends = sorted(draw(st.floats(-1, 1)) * draw(st.sampled_from(MAGNITUDES)) for _ in range(2))
        low, high = (round(end) for end in ends) if whole else ends
        declared.append(Range((3, 3), int64 if whole else float64, low, high))
    steps = []
    for count in range(draw(st.integers(1, 5))):
        name = draw(st.sampled_from([*UNARY, *BINARY, *OWN]))
        operands = 2 if name in (*BINARY, "chosen", "masked") else 1
        steps.append(Step(name, tuple(draw(st.integers(0, count + 1)) for _ in range(operands))))
    return declared, steps


def executed(steps: Sequence[Step], *given: SharedArray) -> list[SharedArray]:
    values = list(given)
    for step in steps:
        function = OWN[step.name] if step.name in OWN else getattr(namespace, step.name)
        values.append(function(*(values[i] for i in step.operands)))
    return values


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(programs(), st.integers(0, 1 << 30))
def test_random_programs_that_are_accepted_never_overflow(program: tuple[list[Range], list[Step]], seed: int) -> None:
    declared, steps = program
    try:
        found = check(lambda *given: executed(steps, *given), *declared)
    except RangeError:
        return
    random = np.random.default_rng(seed)
    for twin in TWINS:
        m: Machine = twin()
        given = [arrays.share(m, 0, sampled(one, random), declared=one) for one in declared]
        contained(found, executed(steps, *given))


# What is refused, and how


def scores(x: Any, weights: Any) -> Any:
    return x @ weights


def refused(run: Callable[[], Any]) -> str:
    with pytest.raises(RangeError) as caught:
        run()
    return caught.value.cause


def test_errors_name_the_operation_and_the_line() -> None:
    cause = refused(lambda: check(scores, real(5, 3, most=1400.0), real(3, most=1400.0)))
    assert cause.startswith("An operand of truncate may reach 2^62.5, and must stay below 2^62, in matmul at ")
    line = scores.__code__.co_firstlineno + 1
    assert cause.endswith(f"test_range_arrays.py:{line}.")
    assert "outside its domain" in (found := refused(lambda: check(lambda x: namespace.exp(x) + 1, real(2, most=30.0))))
    assert " of exp may be from " in found
    assert ", in exp at " in found
    check(scores, real(5, 3, most=30.0), real(3, most=30.0))


def test_errors_name_the_primitive() -> None:
    secured = lingqu.secure(lambda x: jnp.sum(jnp.exp(x) * x))
    cause = refused(lambda: secured.check(real(4, most=30.0)))
    assert ", in JAX's exp test_range_arrays.py:" in cause
    assert "in JAX's mul " in refused(lambda: lingqu.secure(lambda x: x * x).check(real(4, most=1e7)))
    found = secured.check(real(4))
    assert (found.shape, found.dtype) == ((), float64)
    assert -11 < found.low < -2.7
    assert 10.8 < found.high < 11


def test_nested_arguments_and_public_ones() -> None:
    def layer(parameters: Any, x: Any) -> Any:
        return {"out": [jax.nn.relu(x @ parameters["w"] + parameters["b"])]}

    weights = np.full((3, 2), 0.5)
    found = lingqu.secure(layer).check({"w": weights, "b": real(2)}, real(4, 3))["out"][0]
    assert float(np.min(found.low)) == 0
    assert float(np.max(found.high)) == pytest.approx(2.5)
    both = check(lambda p: (p["x"] + p["y"][0], 7), {"x": real(2), "y": [np.ones(2)]})
    assert (both[0].low.tolist(), both[0].high.tolist(), both[1]) == ([0, 0], [2, 2], 7)


def test_both_sides_of_a_comparison_are_checked() -> None:
    far = Range((2,), int64, 0, (1 << 62) + 1)
    near = Range((2,), int64, 0, 3)
    for function in (namespace.maximum, namespace.minimum, namespace.less):
        for operands in ((far, near), (near, far)):
            with pytest.raises(RangeError):
                check(function, *operands)


def test_a_range_says_what_its_values_are() -> None:
    for low, high in ((2.0, 1.0), (np.nan, 1.0), (0.0, np.inf), (np.zeros(3), 1.0), ("a", "b")):
        with pytest.raises(BadInput):
            Range((2,), float64, low, high)
    declared = Range((2,), float64, [0.0, -1.0], 1.0)
    m = Plain()
    assert arrays.share(m, 0, np.array([0.0, -1.0]), declared=declared).shape == (2,)
    for values in ([-0.5, 0.0], [0.0, np.nan]):
        with pytest.raises(RangeError, match="outside its declared range"):
            arrays.share(m, 0, np.array(values), declared=declared)
    for wrong in (np.zeros(3), np.zeros(2, np.int64)):
        with pytest.raises(BadInput):
            declared.require(wrong)
    whole = Range.of(np.array([3, -2]))
    assert (whole.shape, whole.dtype, whole.low, whole.high) == ((2,), int64, -2, 3)
    assert Range.of(np.zeros((0, 2))).shape == (0, 2)
    flags = check(lambda x: (x > 2, x > 0), Range((1,), float64, 1.0, 2.0))
    assert [(one.dtype, one.low.tolist(), one.high.tolist()) for one in flags] == [
        (bool_, [False], [False]),
        (bool_, [True], [True]),
    ]


def test_a_machine_of_ranges_opens_nothing() -> None:
    m = Ranges()
    x = m.input(0, None, (2,))
    assert m.ends(x)[1].tolist() == [(1 << 63) - 1] * 2
    assert [m.reveal(x), m.reveal_real(x), m.reveal_bits(m.input_bits(0, None, (2,), 3))] == [None] * 3
    with pytest.raises(RangeError, match="A result of add may reach"):
        m.add(m.input(0, None, (2,)), 1)
    with pytest.raises(RangeError, match="An operand of truncate may reach"):
        m.truncate(x, 3)
    m.truncate(m.add(m.input_real(0, None, (2,)), 1), 3)
    with pytest.raises(RangeError, match="select"):
        m.select(x, x, x)
