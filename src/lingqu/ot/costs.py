"""What the transfers cost: the sizes of their messages, and when an extension comes, as functions of public counts."""

from __future__ import annotations

from lingqu._core import cot_sizes
from lingqu.kinds.mechanism import Cost

ANSWER_BYTES, FIRST_BYTES, TREE_BYTES, MOST_TREES, TREE_ROWS, RESERVED = cot_sizes()
POINT_BYTES = 32
POINTS_BYTES = 2 * 128 * POINT_BYTES
FIRST_ROWS = 1 << 18
GROWTH = 2


def trees_of(index: int) -> int:
    """Trees of extension `index` (from 0): room for 2**18 rows, then four times as many, up to the parameters' most."""
    rows = (FIRST_ROWS << GROWTH * min(index, 16)) + RESERVED
    return min(-(-rows // TREE_ROWS), MOST_TREES)


def rows_of(index: int) -> int:
    """Correlations that extension `index` offers, what the next one takes for itself left out."""
    return trees_of(index) * TREE_ROWS - RESERVED


def extensions(start: int, count: int) -> range:
    """The extensions that come when correlations start .. start + count - 1 of one direction are taken."""
    first, held = 0, 0
    while held < start:
        held += rows_of(first)
        first += 1
    last = first
    while held < start + count:
        held += rows_of(last)
        last += 1
    return range(first, last)


def setup_cost() -> Cost:
    """`connect`: both directions are made ready, with nothing to take yet."""
    return Cost(3, 2 * (POINT_BYTES + POINTS_BYTES + ANSWER_BYTES + FIRST_BYTES))


def one_way_cost() -> Cost:
    """`connect_sending` and `connect_receiving`."""
    return Cost(3, POINT_BYTES + POINTS_BYTES + ANSWER_BYTES + FIRST_BYTES)


def correlation_cost(count: int, start: int = 0) -> Cost:
    """Taking `count` correlations of one direction after `start` have been taken: 1 round where an extension comes."""
    coming = extensions(start, count)
    return Cost(min(len(coming), 1), sum(TREE_BYTES * trees_of(index) for index in coming))
