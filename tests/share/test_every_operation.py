"""Every declared operation by every protocol against the plain twin over edge values, and what each party sees of it.

EXAMPLES=... runs for another number of examples an operation and protocol (2).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.share.test_declaration import CASES
from tests.share.values import Values

from lingqu.share import Machine, Relation, Shared, SharedBits
from lingqu.share.api import Permutation
from lingqu.share.plain import Plain
from lingqu.share.wide import Wide

Parties = Any
EXAMPLES = int(os.environ.get("EXAMPLES", "2"))
UNITS = {
    "truncate": 1,
    "multiply_real": 2,
    "matmul_real": 2,
    "convolve": 2,
    "sigmoid": 4,
    "tanh": 4,
    "erf": 4,
    "gelu": 4,
    "softmax": 4,
    "exp": 4,
    "sqrt": 4,
    "norm": 1500,
    "inverse_sqrt": 4,
    "power": 1500,
    "log": 1,
    "reciprocal": 4,
    "divide": 4,
    "divide_signed": 4,
}
"""By how many units in the last place (2^-20) truncations, off by less than one or two each, part a protocol and the
twin; a norm is the root of a sum that is off by two, a power of 0.5 or 5 that of its products."""
RELATIVE = 2e-5
LIMBS = {"widen", "wide_multiply", "scatter", "scatter_digits", "square_limbs", "value_limbs", "wide_limbs"}
"""What stands for one integer in more ways than one: compared as that integer."""
LIMB = 30


def group_operands(rows: int, bits: int) -> Callable[[Values], Any]:
    """As the case's own, with null flags that are 0 or 1, which random values are not."""

    def operands(v: Values) -> Relation:
        values = {str(i): v.shared(rows, below=2 if i > 1 else 1 << 40) for i in range(4)}
        return Relation(values, {"g": v.key(rows, bits)} if bits else {}, v.shared(rows, below=2))

    return operands


def scatter_operands(v: Values) -> Wide:
    """Limbs of which the first serves as a count of rows, too."""
    return Wide(tuple(v.shared(4, 2, below=1 << 30) for _ in range(2)), (1 << 30,) * 2)


OPERANDS: dict[tuple[str, int], Callable[[Values], Any]] = {
    **{("group", i): group_operands(*sizes) for i, sizes in enumerate([(50, 6), (5, 70), (1, 3), (0, 3), (9, 0)])},
    ("scatter", 0): scatter_operands,
    ("scatter_digits", 0): lambda v: (v.shared(5, below=1 << 31), v.shared(5), [v.shared(5) for _ in range(3)]),
}
"""Operands inside the operation's domain, where a case's own, random, are not: costs do not depend on them."""
EVERY = [(name, place) for name, cases in CASES.items() for place in range(len(cases))]


class Edges(Values):
    """Operands of edge values: the least, the greatest, the middle, and some in between."""

    def array(self, *shape: int, below: int = 1 << 40) -> NDArray[np.int64]:
        assert self.random is not None
        edges = np.array(sorted({0, min(1, below - 1), below // 2, below - 1}), np.int64)
        chosen = self.random.choice(edges, shape)
        return np.where(self.random.random(shape) < 0.7, chosen, self.random.integers(0, below, shape))


def destinations(m: Machine, order: Permutation) -> Shared:
    """Where each row goes."""
    places = m.unapply(order, [m.constant(np.arange(order.rows))])[0]
    assert isinstance(places, Shared)
    return places


def opened(m: Machine, found: Any) -> Any:
    """Whatever an operation returns, with every share in it opened to all."""
    if isinstance(found, Shared):
        return m.reveal(found)
    if isinstance(found, SharedBits):
        return m.reveal_bits(found)
    if isinstance(found, Permutation):
        return m.reveal(destinations(m, found))
    if isinstance(found, Relation):
        return [opened(m, found.valid), opened(m, found.columns), opened(m, found.keys)]
    if isinstance(found, Wide):
        return [opened(m, limb) for limb in found.limbs]
    if isinstance(found, dict):
        return {name: opened(m, value) for name, value in found.items()}
    if isinstance(found, tuple | list):
        return [opened(m, value) for value in found]
    if hasattr(found, "__dataclass_fields__"):
        return [opened(m, getattr(found, name)) for name in found.__dataclass_fields__]
    return found


def number(limbs: list[Any]) -> NDArray[Any]:
    """The integers that limbs of 30 bits stand for, whatever they carry."""
    whole: NDArray[Any] = np.zeros(np.shape(limbs[0]), object)
    for place, limb in enumerate(limbs):
        whole = whole + (np.asarray(limb).astype(object) << (LIMB * place))
    return whole


def compare(name: str, found: Any, ideal: Any) -> None:
    """The same, or as near as this operation's truncations come; values that only others learn are passed over."""
    if name == "shuffle":
        found, ideal = ([np.sort(table, axis=0) for table in tables] for tables in (found, ideal))
    if name in LIMBS:
        assert (number(found) == number(ideal)).all()
    elif name in UNITS:
        np.testing.assert_allclose(found, ideal, rtol=RELATIVE, atol=UNITS[name])
    elif found is not None:
        np.testing.assert_equal(found, ideal)


@pytest.fixture(scope="module", params=["rep3", "two", "checked_parties"])
def protocol(request: pytest.FixtureRequest) -> Parties:
    found: Parties = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize(("name", "case"), EVERY)
def test_results_are_the_twin_s_over_edge_values(protocol: Parties, name: str, case: int) -> None:
    prepare, work, _ = CASES[name][case]
    operands: Callable[[Values], Any] = OPERANDS.get((name, case), prepare)

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.integers(0, 1 << 32))
    def check(seed: int) -> None:
        def both(m: Machine) -> Any:
            return opened(m, work(m, operands(Edges(m, seed))))

        ideal = both(Plain(protocol.count))
        for found in protocol(both).results:
            compare(name, found, ideal)

    check()


VIEW_LIMIT = 415.0
"""The chi-square distribution with 255 degrees of freedom passes this with probability 1e-9: with the operations,
protocols and parties below, all together raise a false alarm once in a million runs."""
SEEN = 1 << 14
"""Bytes of a party's view that are compared at least, where the operation sends any, within MOST_RUNS."""
MOST_RUNS = 6
OPENINGS = {"reveal", "reveal_bits"}
"""What these show is the result itself."""


def views(protocol: Parties, name: str, values: type[Values], seeds: range) -> tuple[list[bytes], list[Any]]:
    """Everything that each party received in runs over values of these seeds (None: zeros), and the traffic's shape."""
    prepare, work, _ = CASES[name][0]
    operands: Callable[[Values], Any] = OPERANDS.get((name, 0), prepare)
    received = [bytearray() for _ in range(protocol.count)]
    shapes = []
    for seed in seeds:
        ran = protocol(work, lambda m, seed=seed: operands(values(m, None if values is Values else seed)))
        shapes.append(ran.shape)
        for message in ran.sent:
            received[message.to] += message.data
        if min(map(len, received)) >= SEEN:
            break
    return [bytes(view) for view in received], shapes


def distance(one: bytes, other: bytes) -> float:
    """Of two samples of bytes, equally many: chi-square, 255 degrees of freedom where both are of one distribution."""
    a, b = (np.bincount(np.frombuffer(data, np.uint8), minlength=256).astype(float) for data in (one, other))
    return float(((a - b) ** 2 / np.maximum(a + b, 1)).sum())


@pytest.mark.parametrize("name", sorted(set(CASES) - OPENINGS))
def test_what_a_party_sees_is_what_a_simulator_makes_of_sizes(protocol: Parties, name: str) -> None:
    """The simulator knows sizes alone and runs the protocol on zeros; a view over edge values looks the same.

    So does the shape of the traffic: who sends what to whom, in which order, how many bytes.
    """
    real, shapes = views(protocol, name, Edges, range(MOST_RUNS))
    simulated, expected = views(protocol, name, Values, range(MOST_RUNS))
    assert shapes == expected
    for one, other in zip(real, simulated, strict=True):
        assert len(one) == len(other)
        assert distance(one, other) < VIEW_LIMIT


def test_a_view_that_shows_values_is_told_from_a_simulated_one(protocol: Parties) -> None:
    """Opening to everybody is such a view."""

    def view(values: type[Values]) -> bytes:
        shown = b""
        for seed in range(MOST_RUNS):
            given = None if values is Values else seed
            ran = protocol(lambda m, x: m.reveal(x), lambda m, given=given: values(m, given).shared(500))
            shown += ran.results[0].tobytes()
        return shown

    assert distance(view(Edges), view(Values)) > VIEW_LIMIT
