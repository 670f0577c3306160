"""What the transfers cost: the sizes of their messages, and when an extension comes, as functions of public counts."""

from __future__ import annotations

from lingqu._core import cot_sizes
from lingqu.kinds.mechanism import Cost

ANSWER_BYTES, FIRST_BYTES, TREE_BYTES, MOST_TREES, TREE_ROWS, RESERVED = cot_sizes()
POINT_BYTES = 32
POINTS_BYTES = 2 * 128 * POINT_BYTES
FIRST_ROWS = 1 << 18
GROWTH = 2


def trees_of(index: int, missing: int = 0) -> int:
    """Trees of extension `index` (from 0): room for 2**18 rows, then four times as many.

    It is for all rows that are missing where those are more, and never more than the parameters' most.
    """
    rows = max(FIRST_ROWS << GROWTH * min(index, 16), missing) + RESERVED
    return min(-(-rows // TREE_ROWS), MOST_TREES)


def rows_of(trees: int) -> int:
    """Correlations that an extension by so many trees offers, what the next one takes for itself left out."""
    return trees * TREE_ROWS - RESERVED


def extensions(index: int, missing: int) -> list[int]:
    """The trees of the extensions, from number `index` on, that come when so many correlations are missing."""
    found: list[int] = []
    while missing > 0:
        found.append(trees_of(index + len(found), missing))
        missing -= rows_of(found[-1])
    return found


def setup_cost() -> Cost:
    """`connect`: both directions are made ready, with nothing to take yet."""
    return Cost(3, 2 * (POINT_BYTES + POINTS_BYTES + ANSWER_BYTES + FIRST_BYTES))


def one_way_cost() -> Cost:
    """`connect_sending` and `connect_receiving`."""
    return Cost(3, POINT_BYTES + POINTS_BYTES + ANSWER_BYTES + FIRST_BYTES)


def correlation_cost(count: int) -> Cost:
    """Taking the first `count` correlations of one direction together: 1 round if there are any."""
    coming = extensions(0, count)
    return Cost(min(len(coming), 1), TREE_BYTES * sum(coming))
