"""Words steered by bits: both ways of computing them give what the twin gives, and what each costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lingqu.share import Machine
from lingqu.share.outline import Outline, shaped, shaped_bits
from lingqu.share.plain import Plain
from lingqu.share.rep3.tally import Tally
from lingqu.share.steering import products_of_bits, spelled, spelled_power, steered, times
from lingqu.share.two.needs import TRIPLES
from lingqu.share.two.tally import TwoTally

Parties = Callable[..., Any]
WEIGHTS = np.array([[2, -1, 0], [7, 0, -(1 << 40)]], np.int64)
BITS = np.array([[0, 1, 1, 0, 1], [0, 0, 1, 1, 1], [1, 0, 1, 0, 1]], np.uint64)
X = np.array([0, 1, -1, (1 << 40) - 3, -(1 << 40)], np.int64)
EXPONENTS = (1, 2, 12)
SUMS = np.array([[4, 0, -1], [0, 0, 0]], np.int64)
FACTORS = np.array([[[1, 2], [1, 1], [-3, 1 << 20]], [[0, 1], [5, 0], [1, 1]]], np.int64)


def work(m: Machine) -> list[Any]:
    bits = m.input_bits(0, BITS if m.owns(0) else None, BITS.shape, 1)
    x = m.input(1, X if m.owns(1) else None, X.shape)
    flags = m.inject(bits)
    power = spelled_power(m, bits, EXPONENTS)
    found = [
        steered(m, bits, flags, WEIGHTS, x),
        power.times(m, x),
        times(m, m.stack([x, x]), spelled(m, bits, EXPONENTS, SUMS)[0]),
        spelled(m, bits, EXPONENTS, SUMS)[1],
        *products_of_bits(m, bits, FACTORS, SUMS),
        times(m, x, flags[0]),
    ]
    return [m.reveal(one) for one in found]


def test_steered_words_are_those_of_the_twin(parties: Parties) -> None:
    flags = BITS.astype(np.int64)
    shift = (BITS.astype(np.int64) * np.array(EXPONENTS)[:, None]).sum(axis=0)
    expected = [
        (WEIGHTS @ BITS.astype(np.int64)) * X,
        X << shift,
        np.stack([X << shift] * 2),
        SUMS @ flags,
        np.stack([np.where(BITS, one[:, 1:], one[:, :1]).prod(axis=0) for one in FACTORS]),
        SUMS @ flags,
        X * BITS[0].astype(np.int64),
    ]
    for found in (*parties(work).results, work(Plain())):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("tally", "triples"), [(TwoTally(), 0), (Tally(), None)])
def test_where_words_are_steered_no_product_is_taken(tally: Any, triples: int | None) -> None:
    outline = Outline(tally, 2 if triples is not None else 3)
    steered(outline, shaped_bits((3, 10)), shaped((3, 10)), WEIGHTS, shaped((10,)))
    if triples is not None:
        assert tally.demand[TRIPLES] == triples
        assert sum((tally.demand - Counter({TRIPLES: 0})).values()) == 2 * 30
    else:
        assert tally.cost.bytes == 3 * 8 * 20


def test_many_flags_for_one_row_are_cheaper_as_a_product() -> None:
    tally = TwoTally()
    steered(Outline(tally, 2), shaped_bits((7, 10)), shaped((7, 10)), np.ones((1, 7), np.int64), shaped((10,)))
    assert tally.demand[TRIPLES] == 10
