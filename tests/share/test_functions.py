"""Functions over a machine against mpmath, over their whole domains; exact ones against Python's integers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput, RangeError
from lingqu.share import Machine, Shared, reals
from lingqu.share.curves import erf, gelu, sigmoid, tanh
from lingqu.share.functions import exp, inverse_sqrt, log, power, softmax, sqrt
from lingqu.share.integers import absolute, divide_whole, maximum, minimum, round_shift, sign
from lingqu.share.plain import Plain

Parties = Callable[..., Any]
Function = Callable[[Machine, Shared], Shared]
ONE = 1 << 20
UNIT = 2.0**-20
LIMIT = 1 << 62
FAR = (1 << 60) - 1
POINTS = 6000


class Rounding(Plain):
    """The twin with the carries that Rep3's truncation loses, drawn as uniform shares would make them, and with the
    reciprocal's own steps in place of its ideal."""

    def __init__(self) -> None:
        super().__init__()
        self.random = np.random.default_rng(11)

    def truncate(self, x: Shared, bits: int) -> Shared:
        low = (x.parts[0] & np.uint64((1 << bits) - 1)).astype(np.float64)
        lost = self.random.random(low.shape) >= (low + 1) / 2.0**bits
        return self.subtract(super().truncate(x, bits), lost.astype(np.int64))

    def reciprocal(self, x: Shared, fraction_bits: int = 20) -> Shared:
        return reals.reciprocal(self, x, fraction_bits)


@dataclass(frozen=True)
class Case:
    """A function, what it is by mpmath, where it is sampled, and its bound; 0 for 2e-5 relative or a unit."""

    function: Function
    exact: Callable[[Any], Any]
    low: int
    high: int
    absolute: float = 0
    logarithmic: bool = False
    more: tuple[int, ...] = ()

    def points(self, count: int) -> NDArray[np.int64]:
        """Integers of the domain: its ends, special ones, and many between."""
        random = np.random.default_rng(5)
        if self.logarithmic:
            between = np.exp2(random.uniform(np.log2(self.low), np.log2(self.high), count)).astype(np.int64)
        else:
            between = random.integers(self.low, self.high, count)
        near = np.clip(random.integers(-2 * ONE, 2 * ONE, count // 4), self.low, self.high)
        chosen = np.concatenate([between, near, np.array([self.low, self.high, *self.more], np.int64)])
        return np.asarray(np.clip(chosen, self.low, self.high), np.int64)


def logistic(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


EDGES = (*(s * (k * ONE + d) for s in (1, -1) for k in (0, 1, 2, 4, 8, 16) for d in (-1, 0, 1)), FAR, -FAR)
POWERS = tuple(v + d for place in range(2, 60, 3) for v in [1 << place] for d in (-1, 0, 1))
CASES = {
    "sigmoid": Case(sigmoid, logistic, -18 * ONE, 18 * ONE, 5e-6),
    "sigmoid far": Case(sigmoid, logistic, -FAR, FAR, 5e-6, more=EDGES),
    "tanh": Case(tanh, mpmath.tanh, -9 * ONE, 9 * ONE, 8e-6),
    "tanh far": Case(tanh, mpmath.tanh, -FAR, FAR, 8e-6, more=EDGES),
    "erf": Case(erf, mpmath.erf, -5 * ONE, 5 * ONE, 7e-6),
    "erf far": Case(erf, mpmath.erf, -FAR, FAR, 7e-6, more=EDGES),
    "gelu": Case(gelu, lambda x: x * mpmath.ncdf(x), -9 * ONE, 9 * ONE, 7e-6),
    "gelu far": Case(gelu, lambda x: x * mpmath.ncdf(x), -FAR, FAR, 7e-6, more=EDGES),
    "exp": Case(exp, mpmath.exp, -16 * ONE, 27 * ONE, more=(-FAR, -15 * ONE)),
    "exp far": Case(exp, mpmath.exp, -FAR, 0),
    "log": Case(log, mpmath.log, 1, (1 << 61) - 1, logarithmic=True, more=POWERS),
    "sqrt": Case(sqrt, mpmath.sqrt, 1, (1 << 61) - 1, logarithmic=True, more=POWERS),
    "inverse_sqrt": Case(inverse_sqrt, lambda x: 1 / mpmath.sqrt(x), 1, (1 << 61) - 1, logarithmic=True, more=POWERS),
    "reciprocal": Case(lambda m, x: m.reciprocal(x), lambda x: 1 / x, ONE, ONE << 30, logarithmic=True, more=POWERS),
}


def within_bound(case: Case, points: NDArray[np.int64], found: NDArray[np.float64]) -> None:
    """Every error in units of the bound, in mpmath's precision."""
    for point, value in zip(points.tolist(), found.tolist(), strict=True):
        true = case.exact(mpmath.mpf(point) / ONE)
        bound = case.absolute or max(2e-5 * abs(true), UNIT)
        assert abs(mpmath.mpf(value) - true) <= bound, (point / ONE, value, float(true))


@pytest.mark.parametrize("machine", [Plain, Rounding])
@pytest.mark.parametrize("name", CASES)
def test_accuracy(name: str, machine: type[Plain]) -> None:
    case, m = CASES[name], machine()
    points = case.points(POINTS if machine is Rounding else POINTS // 4)
    found = m.reveal_real(case.function(m, m.input(0, points, points.shape)))
    assert found is not None
    within_bound(case, points, found)


@pytest.mark.parametrize("name", CASES)
def test_accuracy_of_the_protocol(parties: Parties, name: str) -> None:
    case = CASES[name]
    points = case.points(240)
    run = parties(lambda m: m.reveal_real(case.function(m, m.input(1, points if m.owns(1) else None, points.shape))))
    within_bound(case, points, run.results[0])
    assert np.array_equal(run.results[0], run.results[-1])


def test_root_of_zero_and_shapes() -> None:
    m = Plain()
    assert m.reveal(sqrt(m, m.constant(np.zeros((2, 3), np.int64)))).tolist() == [[0] * 3] * 2  # type: ignore[union-attr]
    assert exp(m, m.constant(0)).shape == ()
    assert log(m, m.constant(np.ones((2, 0), np.int64))).shape == (2, 0)


OUTSIDE: dict[str, tuple[Function, list[int]]] = {
    "sigmoid": (sigmoid, [FAR + 1, -FAR - 1]),
    "tanh": (tanh, [FAR + 1]),
    "erf": (erf, [-FAR - 1]),
    "gelu": (gelu, [FAR + 1]),
    "exp": (exp, [27 * ONE + 1, -FAR - 1]),
    "log": (log, [0, -1, 1 << 61]),
    "sqrt": (sqrt, [-1, 1 << 61]),
    "inverse_sqrt": (inverse_sqrt, [0, 1 << 61]),
    "power": (lambda m, x: power(m, x, 0.5), [0, -ONE]),
    "power too large": (lambda m, x: power(m, x, 2.5), [ONE << 20]),
    "softmax": (lambda m, x: softmax(m, x.reshape(-1, 1)), [1 << 59]),
    "divide_whole": (lambda m, x: divide_whole(m, x, 3)[0], [LIMIT, -LIMIT]),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_is_outside_a_domain_is_refused(name: str) -> None:
    function, values = OUTSIDE[name]
    m = Plain()
    for value in values:
        with pytest.raises(RangeError):
            function(m, m.constant(np.array([value])))


def test_arguments_are_checked() -> None:
    m = Plain()
    x = m.constant(np.array([ONE]))
    for call in (
        lambda: power(m, x, -1),
        lambda: power(m, x, 65),
        lambda: power(m, x, 17.0),
        lambda: power(m, x, float("nan")),
        lambda: softmax(m, m.constant(ONE)),
        lambda: divide_whole(m, x, 0),
        lambda: divide_whole(m, x, 1 << 31),
    ):
        with pytest.raises(BadInput):
            call()


@pytest.mark.parametrize("exponent", [0.5, 1 / 3, -1.0, -2.5, 16.0, -16.0])
def test_real_powers(parties: Parties, exponent: float) -> None:
    greatest = 26.9 / abs(exponent)
    x = np.rint(np.exp(np.random.default_rng(2).uniform(max(-13, -greatest), min(28, greatest), 400)) * ONE)
    x = x.astype(np.int64)
    m = Rounding()
    found = [m.reveal_real(power(m, m.input(0, x, x.shape), exponent))]
    found += parties(
        lambda m: m.reveal_real(power(m, m.input(0, x if m.owns(0) else None, x.shape), exponent))
    ).results[:1]
    for values in found:
        assert values is not None
        for point, value in zip(x.tolist(), values.tolist(), strict=True):
            true = (mpmath.mpf(point) / ONE) ** exponent
            assert abs(value - true) <= (6e-6 + abs(exponent) * 1e-6) * true + 0.6 * UNIT


def test_integer_powers() -> None:
    m = Plain()
    x = np.array([-3, 0, 1, 2, 5]) * ONE
    for exponent in (0, 1, 2, 3, 7):
        found = m.reveal(power(m, m.input(0, x, x.shape), exponent))
        assert found is not None
        assert (found == (x // ONE) ** exponent * ONE).all()


@pytest.mark.parametrize("entries", [1, 2, 10, 33])
def test_softmax(parties: Parties, entries: int) -> None:
    random = np.random.default_rng(entries)
    x = np.concatenate([random.normal(size=(60, entries)) * size for size in (1, 10, 1e6)])
    x[0], x[1, 0], x[1, -1] = 0, -(2.0**38), 2.0**38
    m = Rounding()
    found = [m.reveal_real(softmax(m, m.input_real(0, x, x.shape)))]
    found += parties(lambda m: m.reveal_real(softmax(m, m.input_real(0, x if m.owns(0) else None, x.shape)))).results
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    for values in found:
        assert values is not None
        np.testing.assert_allclose(values, powers / powers.sum(axis=1, keepdims=True), rtol=0, atol=1.2e-5)


@pytest.mark.parametrize("low", [-1e6, -23.0, -21.4, -15.3])
def test_many_low_entries_weigh_nothing_in_softmax(low: float) -> None:
    x = np.full((1, 1 << 16), low)
    x[0, 0] = 0
    m = Rounding()
    found = m.reveal_real(softmax(m, m.input_real(0, x, x.shape)))
    assert found is not None
    powers = np.exp(x)
    np.testing.assert_allclose(found, powers / powers.sum(), rtol=0, atol=1.2e-5 + x.size * 2.0**-31)


DIVISORS = [1, 2, 3, 4, 7, 10, 1000, 86_400, (1 << 20) - 1, 1 << 20, 1_234_567_891, 1 << 30, (1 << 31) - 1]


def dividends(divisor: int) -> NDArray[np.int64]:
    random = np.random.default_rng(divisor)
    edges = random.integers(-4, 5, 60) * divisor + random.integers(-1, 2, 60)
    wide = random.integers(1 - LIMIT, LIMIT, 400)
    whole = wide // divisor * divisor
    return np.concatenate([wide, whole[np.abs(whole) < LIMIT], edges, [0, 1, -1, LIMIT - 1, 1 - LIMIT]])


@pytest.mark.parametrize("divisor", DIVISORS)
def test_division_is_exact(parties: Parties, divisor: int) -> None:
    x = dividends(divisor)

    def work(m: Machine) -> Any:
        quotient, rest = divide_whole(m, m.input(0, x if m.owns(0) else None, x.shape), divisor)
        return m.reveal(quotient), m.reveal(rest)

    for quotient, rest in [work(Plain()), work(Rounding()), *parties(work).results]:
        assert (quotient == x // divisor).all()
        assert (rest == x % divisor).all()


def test_whole_functions_agree_with_numpy(parties: Parties) -> None:
    random = np.random.default_rng(4)
    x = np.concatenate([random.integers(1 - LIMIT // 2, LIMIT // 2, 50), [0, 1, -1, LIMIT // 2 - 1, 1 - LIMIT // 2]])
    y = random.permutation(x)

    def work(m: Machine) -> list[Any]:
        a = m.input(0, x if m.owns(0) else None, x.shape)
        b = m.input(1, y if m.owns(1) else None, y.shape)
        every = (absolute(m, a), sign(m, a), minimum(m, a, b), maximum(m, a, b), round_shift(m, a, 20))
        return [m.reveal(each) for each in every]

    expected = [np.abs(x), np.sign(x), np.minimum(x, y), np.maximum(x, y), (x + (1 << 19)) >> 20]
    for found in [work(Plain()), work(Rounding()), *parties(work).results]:
        for one, true in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, true)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 130])
def test_planes_and_back(parties: Parties, count: int) -> None:
    x = np.random.default_rng(count).integers(0, 1 << 7, count).astype(np.uint64)

    def work(m: Machine) -> Any:
        words = m.input_bits(0, x if m.owns(0) else None, (count,), 7)
        return m.reveal_bits(m.from_planes(m.planes(words), (count,)))

    expected = x >> np.arange(7, dtype=np.uint64)[:, None] & np.uint64(1)
    for found in [work(Plain()), parties(work).results[0]]:
        np.testing.assert_array_equal(found, expected)
