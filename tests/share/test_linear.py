"""Linear algebra on shares against NumPy, exact in the ring, on the plain twin and every protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.share import Machine, Shared, linear
from lingqu.share.linear import Convolution
from lingqu.share.plain import Plain

Parties = Callable[..., Any]
Array = NDArray[Any]


def integers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed + sum(shape)).integers(-9, 10, shape)


def held(machine: Machine, values: Array, owner: int = 0) -> Shared:
    owner %= machine.parties
    return machine.input(owner, values if machine.owns(owner) else None, values.shape)


def on_all(parties: Parties, work: Callable[[Machine], Any]) -> list[Any]:
    return [work(Plain()), *parties(work).results]


PRODUCTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "matrices": ((3, 4), (4, 5)),
    "a stack": ((2, 3, 4), (2, 4, 5)),
    "a stack and a matrix": ((2, 3, 4), (4, 5)),
    "a matrix and a stack": ((3, 4), (2, 4, 5)),
    "broadcast stacks": ((2, 1, 3, 4), (3, 4, 2)),
    "a vector and a stack": ((4,), (2, 4, 5)),
    "a stack and a vector": ((2, 3, 4), (4,)),
    "vectors": ((4,), (4,)),
    "nothing inside": ((2, 3, 0), (2, 0, 5)),
    "an empty stack": ((0, 3, 4), (0, 4, 5)),
    "outer": ((2, 3, 1), (2, 1, 5)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products(parties: Parties, name: str) -> None:
    x, y = integers(*PRODUCTS[name][0]), integers(*PRODUCTS[name][1], seed=1)

    def work(m: Machine) -> Any:
        a, b = held(m, x), held(m, y, 1)
        return [m.reveal(linear.matmul(m, *pair)) for pair in ((a, b), (x, b), (a, y))]

    for found in on_all(parties, work):
        for one in found:
            np.testing.assert_array_equal(one, x @ y)


EXPRESSIONS = {
    "bij,bjk->bik": ((2, 3, 4), (2, 4, 5)),
    "bij, bjk -> kb": ((2, 3, 4), (2, 4, 5)),
    "ij,k->kij": ((2, 3), (4,)),
    "ij,kj": ((2, 3), (4, 3)),
    "ij,ij->ij": ((2, 3), (2, 3)),
    "ij,ij->": ((2, 3), (2, 3)),
    "ijk,jl->il": ((2, 3, 4), (3, 5)),
}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_einsum(parties: Parties, expression: str) -> None:
    x, y = integers(*EXPRESSIONS[expression][0]), integers(*EXPRESSIONS[expression][1], seed=1)
    for found in on_all(parties, lambda m: m.reveal(linear.einsum(m, expression, held(m, x), held(m, y, 2)))):
        np.testing.assert_array_equal(found, np.einsum(expression, x, y))


@pytest.mark.parametrize("expression", ["ii,i->i", "ij->ji", "i...,i->i", "ij,jk->il", "ij,jk,kl->il", "i,j->i"])
def test_what_einsum_cannot_do_is_named(expression: str) -> None:
    m = Plain()
    with pytest.raises(BadInput, match="einsum cannot compute"):
        linear.einsum(m, expression, held(m, integers(2, 2)), held(m, integers(2, 2)))


def by_definition(x: Array, kernel: Array, how: Convolution) -> Array:
    """The convolution as nested sums."""
    space = len(how.strides)
    full = linear.spread(x, how.padding, how.input_dilation, 0)
    window = linear.spread(kernel, ((0, 0),) * space, how.kernel_dilation, 0)
    places = [(n - k) // s + 1 for n, k, s in zip(full.shape[2:], window.shape[2:], how.strides, strict=True)]
    outputs, depth = kernel.shape[:2]
    batch = x.shape[0] // how.batch_groups
    found = np.zeros((batch, outputs, *places), np.int64)
    for at in np.ndindex(*places):
        slices = tuple(slice(i * s, i * s + k) for i, s, k in zip(at, how.strides, window.shape[2:], strict=True))
        for o in range(outputs):
            group = o * how.groups // outputs
            rows = o * how.batch_groups // outputs * batch
            seen = full[(slice(rows, rows + batch), slice(group * depth, (group + 1) * depth), *slices)]
            found[(slice(None), o, *at)] = (seen * window[o]).reshape(batch, -1).sum(axis=1)
    return found


CONVOLUTIONS: dict[str, tuple[tuple[int, ...], tuple[int, ...], Convolution]] = {
    "plain": ((2, 3, 6, 5), (4, 3, 3, 2), Convolution((1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1))),
    "strides and padding": ((2, 3, 6, 5), (4, 3, 3, 2), Convolution((2, 1), ((1, 0), (2, 2)), (1, 1), (1, 1))),
    "groups": ((2, 4, 6, 5), (6, 2, 3, 2), Convolution((2, 1), ((1, 0), (-1, 2)), (2, 1), (1, 2), groups=2)),
    "batch groups": ((4, 3, 6, 5), (6, 3, 3, 2), Convolution((1, 1), ((1, 0), (1, 2)), (1, 2), (2, 1), batch_groups=2)),
    "one dimension": ((2, 3, 8), (6, 3, 3), Convolution((1,), ((1, 0),), (2,), (2,))),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(parties: Parties, name: str) -> None:
    shape, window, how = CONVOLUTIONS[name]
    x, kernel = integers(*shape), integers(*window, seed=1)
    expected = by_definition(x, kernel, how)

    def work(m: Machine) -> Any:
        pairs = ((held(m, x), held(m, kernel, 1)), (x, held(m, kernel)), (held(m, x), kernel))
        return [m.reveal(linear.convolve(m, one, other, how)) for one, other in pairs]

    for found in on_all(parties, work):
        for one in found:
            np.testing.assert_array_equal(one, expected)


@pytest.mark.parametrize(
    ("layout", "padding"), [("NHWC", "SAME"), ("NCHW", "VALID"), ("NWC", "SAME"), ("NCW", [(1, 0)])]
)
def test_real_convolutions(layout: str, padding: Any) -> None:
    m, random = Plain(), np.random.default_rng(0)
    space = len(layout) - 2
    x, kernel = random.normal(size=(2, 3, *(7, 6)[:space])), random.normal(size=(4, 3, *(3, 2)[:space]))
    pads = linear._padding(padding, x.shape[2:], kernel.shape[2:], (2,) * space)
    expected = by_definition(
        np.rint(x * 2**20).astype(np.int64),
        np.rint(kernel * 2**20).astype(np.int64),
        Convolution((2,) * space, pads, (1,) * space, (1,) * space),
    )
    if layout.endswith("C"):
        x, kernel = np.moveaxis(x, 1, -1), np.moveaxis(kernel, (0, 1), (-1, -2))
        expected = np.moveaxis(expected, 1, -1)
    real = m.input_real(0, x, x.shape)
    found = m.reveal_real(linear.convolve_real(m, real, kernel, 2, padding, layout))
    np.testing.assert_allclose(found, expected / 2.0**40, atol=2e-6)  # type: ignore[arg-type]


def test_the_rest(parties: Parties) -> None:
    x, y = integers(2, 3, 3), integers(3, seed=4)
    real = np.random.default_rng(1).normal(size=(3, 4))

    def work(m: Machine) -> Any:
        a = held(m, x)
        shared = m.input_real(0, real if m.owns(0) else None, real.shape)
        return [
            m.reveal(linear.dot(m, a, held(m, y))),
            m.reveal(linear.outer(m, held(m, y), held(m, y))),
            m.reveal(linear.trace(m, a, 1)),
            m.reveal(linear.moveaxis(a, 0, -1)),
            m.reveal(a.transpose((1, 0, 2))),
            m.reveal_real(linear.norm(m, shared)),
            m.reveal_real(linear.norm(m, shared, 1)),
        ]

    for found in on_all(parties, work):
        np.testing.assert_array_equal(found[0], np.dot(x, y))
        np.testing.assert_array_equal(found[1], np.outer(y, y))
        np.testing.assert_array_equal(found[2], np.trace(x, 1, 1, 2))
        np.testing.assert_array_equal(found[3], np.moveaxis(x, 0, -1))
        np.testing.assert_array_equal(found[4], x.transpose(1, 0, 2))
        np.testing.assert_allclose(found[5], np.linalg.norm(real), atol=1e-5)
        np.testing.assert_allclose(found[6], np.linalg.norm(real, axis=1), atol=1e-5)


def test_shapes_that_do_not_fit_are_refused() -> None:
    m = Plain()
    x, kernel = held(m, integers(2, 3, 4)), held(m, integers(4, 2, 3))
    how = Convolution((1,), ((0, 0),), (1,), (1,))
    calls: tuple[Callable[[], Any], ...] = (
        lambda: linear.matmul(m, x, kernel),
        lambda: m.matmul(x, held(m, integers(3, 4, 2))),
        lambda: m.matmul(x, held(m, integers(4))),
        lambda: linear.contract(m, x, kernel, ([0], [0])),
        lambda: linear.convolve(m, x, kernel, how),
        lambda: linear.convolve(m, x, held(m, integers(4, 3, 9)), how),
        lambda: linear.convolve_real(m, x, kernel, layout="CWN"),
        lambda: linear.convolve_real(m, x, kernel, padding="FULL", layout="NCW"),
    )
    for call in calls:
        with pytest.raises(BadInput):
            call()
