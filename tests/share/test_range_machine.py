"""The machine of ranges: whatever lies in declared ranges, the twin's values lie in those found, and none overflows."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.share.test_declaration import CASES
from tests.share.test_every_operation import OPERANDS, Edges
from tests.share.values import Values

from lingqu.kinds.errors import RangeError
from lingqu.share import Shared, SharedBits
from lingqu.share.plain import Plain
from lingqu.share.ranges import Ranges

EXAMPLES = int(os.environ.get("EXAMPLES", "5"))
EVERY = [(name, place) for name, cases in CASES.items() for place in range(len(cases))]
REFUSED = {
    ("multiply", 0): "multiply may reach 2^80",
    ("matmul", 0): "matmul may reach 2^84.9",
    ("matmul_stack", 0): "matmul may reach 2^82.3",
    ("wide_digits", 1): "may reach 2^126",
    ("scatter_digits", 0): "may reach 2^126",
}
"""Cases whose operands, made up to count messages, do leave the range: what says so."""


UNIQUE = {"join", "join_rows"}
"""Where a key occurs once, as it does among many random ones, not among edges."""


class Declared(Values):
    """The operands' ranges in place of operands."""

    def shared(self, *shape: int, below: int = 1 << 40, least: int = 0) -> Any:
        return self.m.between(np.full(shape, least), least + below - 1)  # type: ignore[attr-defined]

    def order(self, rows: int) -> Any:
        return self.m.permutation(self.m.constant(np.arange(rows)))


def operands(name: str, place: int) -> Callable[[Values], Any]:
    return OPERANDS.get((name, place), CASES[name][place][0])


def pairs(m: Ranges, found: Any, ideal: Any) -> list[tuple[Any, Any]]:
    """Every handle of what an operation returns on ranges, beside the twin's of the same place."""
    if isinstance(found, Shared | SharedBits):
        return [(found, ideal)]
    if isinstance(found, dict):
        return [pair for name in found for pair in pairs(m, found[name], ideal[name])]
    if isinstance(found, tuple | list):
        return [pair for one, other in zip(found, ideal, strict=True) for pair in pairs(m, one, other)]
    if hasattr(found, "__dataclass_fields__"):
        return [p for f in found.__dataclass_fields__ for p in pairs(m, getattr(found, f), getattr(ideal, f))]
    if hasattr(found, "destinations"):
        return [(found.destinations, ideal.destinations)]
    return []


def contained(m: Ranges, found: Any, ideal: Any) -> None:
    """The twin's values are inside the ranges, and its bits what is known of them."""
    for one, other in pairs(m, found, ideal):
        assert one.shape == other.shape
        if isinstance(one, Shared):
            low, high = m.ends(one)
            value = other.parts[0].view(np.int64)
            assert bool(np.all((low <= value) & (value <= high)))
        else:
            must, may = one.parts
            assert bool(np.all((must & ~other.parts[0] == 0) & (other.parts[0] & ~may == 0)))


@pytest.mark.parametrize(("name", "place"), EVERY)
def test_every_operation_has_ranges_that_hold_its_values(name: str, place: int) -> None:
    work = CASES[name][place][1]
    m = Ranges()
    if (name, place) in REFUSED:
        with pytest.raises(RangeError, match=REFUSED[name, place].replace("^", r"\^")):
            work(m, operands(name, place)(Declared(m, None)))
        return
    found = work(m, operands(name, place)(Declared(m, None)))
    for seed in range(EXAMPLES):
        for kind in (Values,) if name in UNIQUE else (Values, Edges):
            twin = Plain()
            contained(m, found, work(twin, operands(name, place)(kind(twin, seed))))
