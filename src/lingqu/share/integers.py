"""Exact functions of integers (and of fixed point where the scale does not matter) over any Machine."""

from __future__ import annotations

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.share import images
from lingqu.share.api import INTEGER_LIMIT, Machine, Shared, SharedBits
from lingqu.share.domain import image, within
from lingqu.share.steering import set_bits

DIVISOR_LIMIT = 1 << 31
FACTOR_BITS = 30
"""Bits of a public divisor's scaled inverse."""
INTEGERS = (1 - INTEGER_LIMIT, INTEGER_LIMIT - 1)
"""The domain of comparisons."""
CHUNK_BITS = 31
"""Bits of the dividend that one step of a division looks at."""


def round_shift(machine: Machine, x: Shared, bits: int) -> Shared:
    """x / 2**bits rounded to nearest, ties up, exact: what truncate may have lost shows in the rest.

    x: integers, |x| < 2**62 - 2**(bits - 1).  bits: 1 to 61.
    Cost: a truncation, a comparison of bits + 2 bits, an injection.  Discloses: nothing.
    """
    half = 1 << (bits - 1)
    within(machine, x, half + 1 - INTEGER_LIMIT, INTEGER_LIMIT - half - 1, "round_shift")
    return _round_shift(machine, x, bits)


@image(images.exact(lambda x, bits: (x + (1 << (bits - 1))) >> bits))
def _round_shift(machine: Machine, x: Shared, bits: int) -> Shared:
    raised = machine.add(x, 1 << (bits - 1))
    low = machine.truncate(raised, bits)
    rest = machine.subtract(raised, machine.scale(low, 1 << bits))
    below = machine.inject(machine.less_than(rest, 1 << bits, bits=bits + 2))
    return machine.subtract(machine.add(low, 1), below)


def leading_place(machine: Machine, found: SharedBits) -> SharedBits:
    """The bits of the highest row that is set, lowest first, and last whether one is set.

    found: planes, 2**n rows.  Returns n + 1 rows.
    Cost: n rounds, 120 conjunctions an element for n = 6: a tree over pairs (found, place), of which the upper wins.
    """
    place = found[None][:0]
    while len(found) > 1:
        high = found[1::2]
        lower = machine.concat([found[None, ::2], place[:, ::2]])
        kept = machine.logical_and(machine.logical_not(high)[None], lower)
        found = machine.logical_xor(high, kept[0])
        place = machine.concat([machine.logical_xor(place[:, 1::2], kept[1:]), high[None]])
    return machine.concat([place[:, 0], found])


@image(images.absolute, INTEGERS)
def absolute(machine: Machine, x: Shared) -> Shared:
    """|x|, exact.  x: |x| < 2**62.  Cost: a comparison with 0, an injection, a product.  Discloses: nothing."""
    return machine.select(machine.less_than(x, 0), machine.negate(x), x)


@image(images.exact(np.sign), INTEGERS)
def sign(machine: Machine, x: Shared) -> Shared:
    """-1, 0 or 1 as an integer.  x: |x| < 2**62.  Cost: two comparisons and injections side by side."""
    both = machine.stack([x, machine.negate(x)])
    return machine.weigh(machine.less_than(both, 0), np.array([[-1, 1]], np.int64))[0]


@image(images.exact(np.minimum), INTEGERS, INTEGERS)
def minimum(machine: Machine, x: Shared, y: Shared) -> Shared:
    """The lesser of two, elementwise, broadcast.  |x|, |y| < 2**62.  Cost: a comparison and a selection."""
    return machine.select(machine.less_than(x, y), x, y)


@image(images.greater, INTEGERS, INTEGERS)
def maximum(machine: Machine, x: Shared, y: Shared) -> Shared:
    """The greater of two, elementwise, broadcast.  |x|, |y| < 2**62.  Cost: a comparison and a selection."""
    return machine.select(machine.less_than(x, y), y, x)


def divide_whole(machine: Machine, x: Shared, divisor: int) -> tuple[Shared, Shared]:
    """(floor(x / divisor), x mod divisor), exact, the remainder in [0, divisor).

    x: integers of any shape, |x| < 2**62.  divisor: public, 1 to 2**31 - 1; BadInput otherwise.
    Each step divides the leading 31 bits of what is left by a scaled inverse of the divisor and subtracts.  Which
    interval the rest is in follows from the errors' bounds, in public, and at the end a few narrow comparisons correct
    the quotient.
    Cost: steps of at most two truncations, then one row of comparisons, by the divisor alone: 9 to 16 rounds, 198 to
    394 bytes an element.  Discloses: nothing.
    Source: division by an invariant integer after Granlund, Montgomery (PLDI 1994), with a correction in
    place of a wide product.
    """
    if not 1 <= divisor < DIVISOR_LIMIT:
        raise BadInput(f"The divisor {divisor} is outside 1 to 2^31 - 1.", "Divide by a smaller number in two steps.")
    within(machine, x, *INTEGERS, "divide_whole")
    if divisor == 1:
        return x, machine.scale(x, 0)
    return _divide_whole(machine, x, divisor)


@image(images.divided)
def _divide_whole(machine: Machine, x: Shared, divisor: int) -> tuple[Shared, Shared]:
    scale = FACTOR_BITS - 1 + divisor.bit_length()
    inverse = (1 << scale) // divisor
    quotient, rest, low, high = machine.scale(x, 0), x, 1 - INTEGER_LIMIT, INTEGER_LIMIT - 1
    while True:
        shift = max(0, max(-low, high).bit_length() - CHUNK_BITS)
        most, least = _step_bounds(low, high, shift, (divisor, inverse, scale))
        if most - least >= high - low:
            break
        chunk = machine.truncate(rest, shift) if shift else rest
        part = machine.scale(chunk, inverse)
        if scale > shift:
            part = machine.truncate(part, scale - shift)
        quotient = machine.add(quotient, part)
        rest = machine.subtract(rest, machine.scale(part, divisor))
        low, high = least, most
    return _corrected(machine, quotient, rest, divisor, (low, high))


def _step_bounds(low: int, high: int, shift: int, by: tuple[int, int, int]) -> tuple[int, int]:
    """(greatest, least) rest after a step on a rest in [low, high].

    chunk = floor(rest / 2**shift) - {0, 1}; part = chunk inverse / 2**(scale - shift) - [0, 2).
    """
    divisor, inverse, scale = by
    lost = (1 << scale) - divisor * inverse  # 0 <= lost < divisor: what the inverse is short of
    ends = (low >> shift) - (1 if shift else 0), high >> shift
    missed = [(end * lost << shift) >> scale for end in ends]
    greatest = max(missed[1] + 1, 0) + 2 * divisor + ((2 << shift) if shift else 0)
    return greatest, min(missed[0], 0)


def _corrected(
    machine: Machine, quotient: Shared, rest: Shared, divisor: int, bounds: tuple[int, int]
) -> tuple[Shared, Shared]:
    """Bring the rest from its bounds into [0, divisor)."""
    first, last = bounds[0] // divisor, bounds[1] // divisor
    multiples = np.arange(first + 1, last + 1, dtype=np.int64) * divisor
    edges = multiples.reshape((-1,) + (1,) * rest.ndim)
    width = max(-bounds[0], bounds[1], int(np.abs(multiples).max(initial=1))).bit_length() + 2
    below = set_bits(machine, machine.less_than(rest[None], edges, bits=width))
    count = machine.add(machine.negate(below), last)
    return machine.add(quotient, count), machine.subtract(rest, machine.scale(count, divisor))
