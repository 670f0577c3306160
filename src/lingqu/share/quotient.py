"""Division by a shared number of either sign and a wide range, over any Machine."""

from __future__ import annotations

import numpy as np

from lingqu.share.api import FRACTION_BITS, REAL_LIMIT, Machine, Shared
from lingqu.share.domain import image
from lingqu.share.images import quotient

WIDENED_BITS = 12
"""Both operands are raised by this, so that divisors from 2**-12 to 2**18 are in Machine.divide's domain."""


LEAST_DIVISOR = 1 << (FRACTION_BITS - WIDENED_BITS)
MOST_DIVISOR = 1 << (FRACTION_BITS + 30 - WIDENED_BITS)
DIVIDEND_LIMIT = REAL_LIMIT << (FRACTION_BITS - 2 - WIDENED_BITS)
DIVIDENDS = (1 - DIVIDEND_LIMIT, DIVIDEND_LIMIT - 1)
QUOTIENT = quotient(LEAST_DIVISOR, MOST_DIVISOR)


@image(QUOTIENT, DIVIDENDS)
def divide_signed(machine: Machine, x: Shared, y: Shared) -> Shared:
    """x / y for fixed point |x| < 2**27 and 2**-12 <= |y| <= 2**18.

    Relative error 2**-24 and 3 units in the last place.  A y of 0 gives RangeError in the plain twin and a
    meaningless value in a protocol.
    Cost: a comparison, two selections side by side, Machine.divide.  Discloses: nothing.
    """
    x, y = broadcast(x, y)
    both = machine.stack([x, y])
    both = machine.select(machine.less_than(y, 0)[None], machine.negate(both), both)
    return divide_positive(machine, both[0], both[1])


@image(QUOTIENT, DIVIDENDS)
def divide_positive(machine: Machine, x: Shared, y: Shared) -> Shared:
    """x / y as divide_signed, for y > 0.  Cost: that of Machine.divide.  Discloses: nothing."""
    raised = 1 << WIDENED_BITS
    return machine.divide(machine.scale(x, raised), machine.scale(y, raised))


def broadcast(x: Shared, y: Shared) -> tuple[Shared, Shared]:
    """Both operands in their common shape."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    return x.broadcast_to(shape), y.broadcast_to(shape)
