"""Proofs of products: honest ones pass over edge values and shapes, and cost what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.share.ring_products import bits, dot, matmul, move, multiply, shares, words

from lingqu.kinds.errors import BadInput
from lingqu.share.rep3.malicious.ring import RingProofs, count_check, joint_coin, matmul_lengths, product_lengths
from lingqu.share.rep3.tally import Tally

EDGES = np.array([0, 1, 2**64 - 1, 2**63, 2**63 - 1, 2**63 + 1, 2**32, 3], np.uint64)


def test_edge_values(rep3: Any) -> None:
    left, right = (np.ascontiguousarray(grid).reshape(-1) for grid in np.meshgrid(EDGES, EDGES))

    def work(machine: Any) -> None:
        session = machine._session
        proofs = RingProofs(session)
        x, y = shares(session, 1, left, right)
        multiply(session, proofs, x, y)
        zero = np.zeros(len(left), np.uint64)
        for one in (left, zero, zero + np.uint64(2**64 - 1), zero + np.uint64(2**63)):
            multiply(session, proofs, (one, one), (right, right))
        proofs.check(joint_coin(session))
        assert proofs.pending == 0

    rep3(work)


@pytest.mark.parametrize("count", [0, 1, 2, 31, 32, 33, 64, 65, 1000, 5000])
def test_sizes(rep3: Any, count: int) -> None:
    def work(machine: Any) -> None:
        session, rng = machine._session, np.random.default_rng(count)
        proofs = RingProofs(session)
        x, y = shares(session, 2, words(rng, count), words(rng, count))
        multiply(session, proofs, x, y)
        assert proofs.pending == 7 * count
        proofs.check(joint_coin(session))

    rep3(work)


@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mixtures(rep3: Any, data: st.DataObject) -> None:
    number = st.integers(0, 60)
    claims: list[tuple[str, Any]] = data.draw(
        st.lists(
            st.one_of(
                st.tuples(st.just("product"), number),
                st.tuples(st.just("dot"), st.tuples(number, number, st.booleans())),
                st.tuples(st.just("matmul"), st.tuples(number, number, number, st.booleans())),
                st.tuples(st.just("bits"), st.tuples(st.integers(0, 2), number)),
                st.tuples(st.just("move"), st.tuples(st.integers(0, 2), st.integers(1, 2), number, st.integers(0, 3))),
            ),
            max_size=5,
        )
    )

    def work(machine: Any) -> None:
        session, rng = machine._session, np.random.default_rng(len(claims))
        proofs = RingProofs(session)
        for kind, sizes in claims:
            if kind == "product":
                multiply(session, proofs, *shares(session, 3, words(rng, sizes), words(rng, sizes)))
            elif kind == "dot":
                count = sizes[0] * sizes[1] if sizes[1] else 0
                x, y = shares(session, 4, words(rng, count), words(rng, count))
                if sizes[1]:
                    dot(session, proofs, x, y, sizes[1], sizes[2])
            elif kind == "matmul":
                rows, inner, columns, turned = sizes
                x, y = shares(session, 5, words(rng, rows * inner), words(rng, inner * columns))
                matmul(session, proofs, x, y, (rows, inner, columns), turned)
            elif kind == "bits":
                bits(session, proofs, sizes[0], 13, sizes[1])
            else:
                move(session, proofs, sizes[0], (sizes[0] + sizes[1]) % 3, sizes[2:], 6)
        proofs.check(joint_coin(session))

    rep3(work)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (10, 4, 11), (11, 4, 11), (48, 5, 49), (49, 7, 48), (100, 70, 130), (60, 0, 70), (0, 3, 60)]
)
def test_matrices(rep3: Any, sizes: tuple[int, int, int], turned: bool) -> None:
    def work(machine: Any) -> None:
        session, rng = machine._session, np.random.default_rng(7)
        proofs = RingProofs(session)
        x, y = shares(session, 8, words(rng, sizes[0] * sizes[1]), words(rng, sizes[1] * sizes[2]))
        matmul(session, proofs, x, y, sizes, turned)
        proofs.check(joint_coin(session))

    rep3(work)


@pytest.mark.parametrize("count", [1, 40, 3000])
def test_cost_is_what_is_declared(rep3: Any, count: int) -> None:
    sizes = (50, 3, 20)

    def prepare(machine: Any) -> tuple[RingProofs, bytes]:
        session, rng = machine._session, np.random.default_rng(9)
        proofs = RingProofs(session)
        multiply(session, proofs, *shares(session, 10, words(rng, count), words(rng, count)))
        matmul(session, proofs, *shares(session, 11, words(rng, 150), words(rng, 60)), sizes)
        return proofs, joint_coin(session)

    def work(machine: Any, prepared: tuple[RingProofs, bytes]) -> Tally:
        tally = Tally()
        prepared[0].count(tally)
        prepared[0].check(prepared[1])
        return tally

    run = rep3(work, prepare)
    declared = Tally()
    count_check(declared, [[*product_lengths(count), *matmul_lengths(sizes)]] * 3)
    assert declared.cost == run.results[0].cost
    assert (declared.cost.rounds, declared.cost.bytes) == (run.rounds, run.bytes)


def test_nothing_pending_costs_nothing(rep3: Any) -> None:
    run = rep3(lambda machine, _: RingProofs(machine._session).check(b""), lambda machine: None)
    assert (run.rounds, run.bytes) == (0, 0)


def test_traffic_does_not_depend_on_values(rep3: Any) -> None:
    def transcript(value: int) -> Any:
        def work(machine: Any) -> None:
            session, row = machine._session, np.full(300, value, np.uint64)
            proofs = RingProofs(session)
            multiply(session, proofs, *shares(session, 12, row, row))
            proofs.check(joint_coin(session))

        return rep3(work).shape

    assert transcript(0) == transcript(2**64 - 1)


def test_operands_are_checked(rep3: Any) -> None:
    def work(machine: Any) -> None:
        proofs, one, two = RingProofs(machine._session), np.zeros(1, np.uint64), np.zeros(2, np.uint64)
        with pytest.raises(BadInput, match="differ in length"):
            proofs.product((one, one), (one, two), one, (one, one))
        with pytest.raises(BadInput, match="two masks"):
            proofs.product((one, one), (one, one), one, (one, two))
        with pytest.raises(BadInput, match="left matrix"):
            proofs.matmul((one, one), (one, one), one, (one, one), (2, 1, 1))
        with pytest.raises(BadInput, match="divide"):
            proofs.dot((one, one), (one, one), two, (two, two))

    rep3(work)
