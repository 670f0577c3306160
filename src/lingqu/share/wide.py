"""Integers beyond 64 bits over any Machine: limbs of 30 bits in the ring, whose carries are brought up when needed.

A limb may hold more than 30 bits; every limb has a public bound, and only what would leave the ring is carried first.
Values stay below 2**126 in absolute value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import RangeError
from lingqu.share.api import INTEGER_LIMIT, Machine, Shape, Shared, SharedBits
from lingqu.share.domain import Bounding, image, within
from lingqu.share.steering import set_bits

LIMB_BITS = 30
LIMB = 1 << LIMB_BITS
NEAR = LIMB + 16
"""What a limb is bounded by after its carries were brought up."""
ROOM = INTEGER_LIMIT - 2 * LIMB
"""The greatest bound of a limb that can still be carried."""
WIDE_LIMIT = 1 << 126
"""Wide integers are below this in absolute value."""
DIGITS = (60, 30)
"""Bits of the two low digits of an opened value; the third, signed, has the rest."""


@dataclass(frozen=True)
class Wide:
    """Shared integers as sum of limb i times 2**(30 i).

    limbs: the least first, of one shape.  bounds: no limb is greater in absolute value; public.
    """

    limbs: tuple[Shared, ...]
    bounds: tuple[int, ...]

    @property
    def shape(self) -> Shape:
        """The shape of the array."""
        return self.limbs[0].shape

    @property
    def magnitude(self) -> int:
        """What follows from the limbs' bounds for the value; an operand's own range may be narrower."""
        return sum(bound << (LIMB_BITS * i) for i, bound in enumerate(self.bounds))

    def __repr__(self) -> str:
        return f"Wide(shape={self.shape})"


def widen(machine: Machine, x: Shared, bound: int = INTEGER_LIMIT - 1) -> Wide:
    """Shared integers as wide ones.

    x: |x| <= bound; a bound of 2**62 or more takes every int64.
    Cost: none below 2**62; otherwise the bits of x, two of them injected.  Discloses: nothing.
    """
    if bound < INTEGER_LIMIT:
        within(machine, x, -bound, bound, "widen")
        if bound <= ROOM:
            return Wide((x,), (bound,))
        low, high = _split(machine, x.reshape(1, *x.shape))
        return Wide((low[0], high[0]), (LIMB, (bound >> LIMB_BITS) + 2))
    return Wide(_both_limbs(machine, x), (2 * LIMB, 1 << 34))


def _limbs_of_any(machine: Bounding, x: Shared) -> tuple[Shared, Shared]:
    zero = np.zeros(x.shape, np.int64)
    return machine.between(zero, 2 * LIMB), machine.between(zero - (1 << 34), 1 << 34)


@image(_limbs_of_any)
def _both_limbs(machine: Machine, x: Shared) -> tuple[Shared, Shared]:
    """Every int64 as two limbs: its upper two bits are taken off before the others are split."""
    bits = machine.to_bits(x, low=62)
    top = machine.stack([machine.bit(bits, 0), machine.bit(bits, 1)])
    fourths = machine.weigh(top, np.array([[1, -2]], np.int64))[0]
    rest = machine.subtract(x, machine.scale(fourths, 1 << 62))
    low, high = _split(machine, machine.subtract(rest, LIMB).reshape(1, *x.shape))
    return machine.add(low[0], LIMB), machine.add(high[0], machine.scale(fourths, 1 << 32))


def _limb_and_carry(machine: Bounding, limbs: Shared) -> tuple[Shared, Shared]:
    machine.require(limbs, LIMB - INTEGER_LIMIT, INTEGER_LIMIT - 1 - LIMB, "a carry")
    low, high = machine.ends(limbs)
    carries = ((low + LIMB) >> LIMB_BITS) - 1, (high + LIMB) >> LIMB_BITS
    return machine.between(np.full(limbs.shape, -LIMB), LIMB), machine.between(*carries)


@image(_limb_and_carry)
def _split(machine: Machine, limbs: Shared) -> tuple[Shared, Shared]:
    """(low, high) with limb = low + high 2**30 and |low| <= 2**30, whatever the truncation is short of."""
    high = machine.truncate(machine.add(limbs, LIMB), LIMB_BITS)
    return machine.subtract(limbs, machine.scale(high, LIMB)), high


def carried(machine: Machine, x: Wide, *, top: bool = False) -> Wide:
    """The same values with limbs of at most `NEAR`; the top limb keeps what it has, unless `top` splits it too.

    Cost: at most three truncations of all limbs at once.  Discloses: nothing.
    """
    limbs, bounds = list(x.limbs), list(x.bounds)
    while True:
        last = len(limbs) - (0 if top else 1)
        heavy = [i for i in range(last) if bounds[i] > NEAR]
        if not heavy:
            return Wide(tuple(limbs), tuple(bounds))
        if len(limbs) == heavy[-1] + 1:
            limbs.append(machine.scale(limbs[0], 0))
            bounds.append(0)
        low, high = _split(machine, machine.stack([limbs[i] for i in heavy]))
        carries = {i: (bounds[i] >> LIMB_BITS) + 2 for i in heavy}
        for place, i in enumerate(heavy):
            limbs[i], bounds[i] = low[place], LIMB
        for place, i in enumerate(heavy):
            limbs[i + 1], bounds[i + 1] = machine.add(limbs[i + 1], high[place]), bounds[i + 1] + carries[i]


def add(machine: Machine, x: Wide, y: Wide) -> Wide:
    """x + y, broadcast.  Cost: none, but for carries where a limb's bound grows too large."""
    if any(a + b > ROOM for a, b in zip(x.bounds, y.bounds, strict=False)):
        x, y = carried(machine, x), carried(machine, y)
    count = max(len(x.limbs), len(y.limbs))
    shape = np.broadcast_shapes(x.shape, y.shape)
    limbs, bounds = [], []
    for i in range(count):
        both = [wide.limbs[i] for wide in (x, y) if i < len(wide.limbs)]
        limbs.append(machine.add(both[0], both[1]) if len(both) == 2 else both[0].broadcast_to(shape))
        bounds.append(sum(wide.bounds[i] for wide in (x, y) if i < len(wide.bounds)))
    return Wide(tuple(limbs), tuple(bounds))


def negate(machine: Machine, x: Wide) -> Wide:
    """-x.  Cost: none."""
    return Wide(tuple(machine.negate(limb) for limb in x.limbs), x.bounds)


def subtract(machine: Machine, x: Wide, y: Wide) -> Wide:
    """x - y, as add."""
    return add(machine, x, negate(machine, y))


def constant(machine: Machine, value: int, shape: Shape) -> Wide:
    """A public integer everywhere; RangeError from 2**126 on.  Cost: none."""
    if abs(value) >= WIDE_LIMIT:
        raise RangeError(f"A constant of {value.bit_length()} bits does not fit 126.", "Scale it down.")
    digits: list[int] = []
    rest = abs(value)
    while rest or not digits:
        digits.append(rest % LIMB)
        rest //= LIMB
    sign = -1 if value < 0 else 1
    return Wide(tuple(machine.constant(np.full(shape, sign * digit, np.int64)) for digit in digits), tuple(digits))


def scale(machine: Machine, x: Wide, factor: int) -> Wide:
    """x times a public integer; RangeError from 2**126 on.  Cost: none, but for carries."""
    if not factor:
        return Wide(tuple(machine.scale(limb, 0) for limb in x.limbs[:1]), (0,))
    result: Wide | None = None
    sign, rest, place = (-1 if factor < 0 else 1), abs(factor), 0
    while rest:
        digit, rest = sign * (rest % LIMB), rest // LIMB
        if digit:
            if any(bound * abs(digit) > ROOM for bound in x.bounds):
                x = carried(machine, x, top=True)
            limbs = [machine.scale(limb, digit) for limb in x.limbs]
            zero = [machine.scale(x.limbs[0], 0)] * place
            part = Wide((*zero, *limbs), (*[0] * place, *(bound * abs(digit) for bound in x.bounds)))
            result = part if result is None else add(machine, result, part)
        place += 1
    assert result is not None
    return result


def total(machine: Machine, x: Wide, axis: int | None = None) -> Wide:
    """The sum over an axis, or over all: exact for up to 2**31 rows.

    Cost: none where the limbs' bounds leave room for the rows, else their carries.  RangeError for more rows.
    """
    rows = int(np.prod(x.shape)) if axis is None else x.shape[axis]
    if any(bound * rows > ROOM for bound in x.bounds):
        x = carried(machine, x, top=True)
    if any(bound * rows > ROOM for bound in x.bounds):
        raise RangeError(f"A sum of {rows} rows is too long for one step.", "Sum parts of the rows, and add them.")
    return Wide(tuple(machine.sum(limb, axis) for limb in x.limbs), tuple(bound * rows for bound in x.bounds))


def multiply(machine: Machine, x: Wide, y: Wide) -> Wide:
    """x * y, exact, broadcast: 64 bits times 64 bits in nine products of limbs.

    |x * y| < 2**126 is the caller's promise; RangeError where the limbs' products do not fit the ring.
    Cost: the operands' carries, and one multiplication of all pairs of limbs.  Discloses: nothing.
    """
    x, y = carried(machine, x, top=True), carried(machine, y, top=True)
    shape = np.broadcast_shapes(x.shape, y.shape)
    pairs = [(i, j) for i in range(len(x.limbs)) for j in range(len(y.limbs))]
    products = machine.multiply(
        machine.stack([x.limbs[i].broadcast_to(shape) for i, _ in pairs]),
        machine.stack([y.limbs[j].broadcast_to(shape) for _, j in pairs]),
    )
    count = len(x.limbs) + len(y.limbs) - 1
    limbs: list[Shared | None] = [None] * count
    bounds = [0] * count
    for place, (i, j) in enumerate(pairs):
        known = limbs[i + j]
        limbs[i + j] = products[place] if known is None else machine.add(known, products[place])
        bounds[i + j] += x.bounds[i] * y.bounds[j]
    if max(bounds) > ROOM:
        raise RangeError("A product of such wide integers does not fit its limbs.", "Narrow one of them first.")
    return Wide(tuple(limb for limb in limbs if limb is not None), tuple(bounds))


def narrow(machine: Machine, x: Wide, bound: int) -> Shared:
    """Wide integers with |x| <= bound < 2**62 as shared ones.

    The bound is the caller's promise, from a range analysis; RangeError for a larger one.  Cost: none.
    """
    if bound >= INTEGER_LIMIT:
        raise RangeError("Only integers below 2^62 are narrow.", "Keep them wide.")
    return folded(machine, x, 1)[0]


def _folded_range(machine: Bounding, x: Wide, count: int) -> tuple[Shared, ...]:
    """The last limb by Python's integers, as what is added on the way may leave the ring; RangeError from 2**62 on."""
    limbs = [*x.limbs[:count], *[machine.between(np.zeros(x.shape, np.int64), 0)] * (count - len(x.limbs))]
    above = [[end.astype(object) for end in machine.ends(limb)] for limb in (limbs[-1], *x.limbs[count:])]
    ends = [sum((one[i] << (LIMB_BITS * place) for place, one in enumerate(above)), start=0) for i in (0, 1)]
    if any(abs(int(end)) >= INTEGER_LIMIT for side in ends for end in np.asarray(side, object).reshape(-1)):
        raise RangeError("The last limb of a wide integer may reach 2^62.", "Keep more limbs.")
    return (*limbs[:-1], machine.between(*(np.asarray(side, object).astype(np.int64) for side in ends)))


@image(_folded_range)
def folded(machine: Machine, x: Wide, count: int) -> tuple[Shared, ...]:
    """The first limbs, the last of which takes all above it: exact where that stays below 2**62.  Cost: none."""
    limbs = list(x.limbs[:count]) + [machine.scale(x.limbs[0], 0)] * (count - len(x.limbs))
    for i, limb in enumerate(x.limbs[count:], start=1):
        if LIMB_BITS * i < 64:
            limbs[-1] = machine.add(limbs[-1], machine.scale(limb, 1 << (LIMB_BITS * i)))
    return tuple(limbs)


def limbs_needed(magnitude: int, rows: int) -> int:
    """How many limbs of values up to a magnitude can be summed over so many rows inside the ring; RangeError: none."""
    for count in range(1, 5):
        top = (magnitude >> (LIMB_BITS * (count - 1))) + 4
        if (count == 1 or NEAR * rows <= ROOM) and top * rows <= ROOM and magnitude * rows < WIDE_LIMIT:
            return count
    raise RangeError(f"A sum of {rows} values up to {float(magnitude):g} exceeds 126 bits.", "Use a larger unit.")


def _digits_range(machine: Bounding, x: Wide) -> Shared:
    """The two low digits are what they can be; the rest is what the limbs leave of 90 bits."""
    ends = [[end.astype(object) for end in machine.ends(limb)] for limb in x.limbs]
    both = [sum((one[i] << (LIMB_BITS * place) for place, one in enumerate(ends)), start=0) for i in (0, 1)]
    if any(abs(int(end)) >= WIDE_LIMIT for side in both for end in np.asarray(side, object).reshape(-1)):
        raise RangeError("A wide integer may reach 2^126.", "Declare narrower ranges, or scale the values down.")
    rest = [np.asarray(np.asarray(side, object) >> sum(DIGITS), object).astype(np.int64) for side in both]
    lower = [np.zeros(x.shape, np.int64), np.zeros(x.shape, np.int64)]
    upper = [np.full(x.shape, (1 << bits) - 1, np.int64) for bits in DIGITS]
    return machine.between(np.stack([*lower, rest[0]], axis=-1), np.stack([*upper, rest[1]], axis=-1))


@image(_digits_range)
def digits(machine: Machine, x: Wide) -> Shared:
    """The value's own digits, which say nothing of how it was computed: the form in which it may be opened.

    x: |x| < 2**126.  Returns shape (*shape, 3): digits of 60 and 30 bits, and the rest, signed; `integer` reads them.
    Cost: the carries, and two rows of three comparisons.  Discloses: nothing.
    """
    x = carried(machine, x)
    while len(x.limbs) < 4:
        x = carried(machine, Wide((*x.limbs, machine.scale(x.limbs[0], 0)), (*x.bounds, 0)))
    one, two, three, rest = folded(machine, x, 4)
    low = machine.add(one, machine.scale(two, LIMB))
    carry = _floors(machine, low, DIGITS[0])
    middle = machine.add(three, carry)
    above = _floors(machine, middle, DIGITS[1])
    return machine.stack(
        [
            machine.subtract(low, machine.scale(carry, 1 << DIGITS[0])),
            machine.subtract(middle, machine.scale(above, 1 << DIGITS[1])),
            machine.add(rest, above),
        ],
        axis=low.ndim,
    )


def _floors(machine: Machine, x: Shared, bits: int) -> Shared:
    """floor(x / 2**bits) for |x| < 2**(bits + 1): three comparisons at once."""
    edges = np.array([-1 << bits, 0, 1 << bits], np.int64).reshape((3,) + (1,) * x.ndim)
    below = set_bits(machine, machine.less_than(x[None], edges, bits=bits + 3))
    return machine.add(machine.negate(below), 1)


def integer(opened: Sequence[int] | NDArray[np.int64]) -> int:
    """The integer that three opened digits make."""
    low, middle, high = (int(digit) for digit in opened)
    return (high << sum(DIGITS)) + (middle << DIGITS[0]) + low


def reveal(machine: Machine, x: Wide, to: int | None = None) -> NDArray[Any] | None:
    """Open wide integers to one party, or to all, as Python integers in an object array; None where not received.

    Cost: `digits`, and an opening of three words each.  Discloses: the values.
    """
    opened = machine.reveal(digits(machine, x), to)
    if opened is None:
        return None
    found = np.empty(x.shape, dtype=object)
    found.reshape(-1)[:] = [integer(row) for row in opened.reshape(-1, 3)]
    return found


def negative(machine: Machine, x: Wide) -> SharedBits:
    """x < 0.  Cost: `digits`, and a comparison.  Discloses: nothing."""
    return machine.less_than(digits(machine, x)[..., 2], 0)


def less_than(machine: Machine, x: Wide, y: Wide) -> SharedBits:
    """x < y, |x - y| < 2**126.  Cost: as negative.  Discloses: nothing."""
    return negative(machine, subtract(machine, x, y))


def equal(machine: Machine, x: Wide, y: Wide) -> SharedBits:
    """x == y, |x - y| < 2**126.  Cost: `digits`, an equality test, two conjunctions.  Discloses: nothing."""
    same = machine.equal(digits(machine, subtract(machine, x, y)), 0)
    return machine.logical_and(machine.logical_and(same[..., 0], same[..., 1]), same[..., 2])
