"""What the published profile proves about a training run before it starts: that every number fits, and the step size.

Notation: N rows of the joined table at most, d encoded columns, x a row with a leading 1, n <= N training rows,
J(w) = sum of log losses + l2/2 |w'|^2 with w' = w without the intercept,
H = X'X/4 + l2 I' >= the Hessian of J anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from lingqu.kinds.documents import Document
from lingqu.kinds.errors import RangeError
from lingqu.kinds.mechanism import log2_ceil
from lingqu.ml.spec import Encoded, TrainSpec, agreed

FRACTION = 20
"""Fraction bits of weights, scores and probabilities: the machine's fixed point."""
HESSIAN = 30
"""Fraction bits of H / 2**shift."""
INVERSE = 14
"""Fraction bits of its inverse, whose entries reach 2**13."""
RESIDUAL = 26
"""Fraction bits of 2I - HP and of the gradient / 2**shift."""
LARGEST_INVERSE = 12
"""The inverse is damped so that its norm stays below 2**(LARGEST_INVERSE + 1)."""
BUDGET = 61
SLACK = 1.25
"""For the rounding of shares and the error of the sigmoid."""
FEWEST = 15
MOMENTUM_LIMIT = 3
"""In quarters."""
MOMENTUM_BITS = 22
"""Fraction bits that weights carry beyond FRACTION while a step and its momentum are added up."""


class Schedule(Document):
    """The public numbers of a training run.

    rows: N.  fraction: fraction bits of the encoded columns.  shift: sums over rows are scaled by 2**-shift.
    start: 1 / start is the first approximation of the inverse, start >= the largest eigenvalue of H / 2**shift.
    doublings: Newton-Schulz steps.  momentum: quarters, one an iteration.  score, weight: proved bounds of magnitudes.
    """

    rows: int
    fraction: Annotated[int, Field(ge=1, le=30)]
    shift: int
    start: int
    doublings: int
    momentum: tuple[int, ...]
    l2: float
    score: float
    weight: float


def schedule(spec: TrainSpec, encoding: Sequence[Encoded], rows: int) -> Schedule:
    """The run's public numbers; RangeError names the column or setting that does not fit 64 bits.

    Every iterate's energy J(w_k) + |w_k - w_(k-1)|^2 / 2, in the norm of P^-1 >= H, falls by at least
    (1 - b^2)/2 |w_(k+1) - w_k|^2 a step where b is the largest momentum (Chambolle, Dossal 2015), and starts at
    J(0) <= N ln 2. The steps' norms, hence weights and scores, are bounded by it, whatever the rows hold.
    """
    shift = log2_ceil(max(rows, 1))
    squares = _squares(encoding, rows)
    largest = max(1, math.ceil((rows + math.fsum(squares.values())) / 4 / 2**shift + spec.l2 / 2**shift))
    momentum = tuple(min(MOMENTUM_LIMIT, 4 * k // (k + 3)) for k in range(spec.iterations))
    loss = agreed(max(rows, 1) * math.log(2))
    path = SLACK * (math.sqrt(2 * spec.iterations * loss / (1 - (MOMENTUM_LIMIT / 4) ** 2)) + math.sqrt(2 * loss))
    penalised = path / math.sqrt(spec.l2)
    norm = math.sqrt(1 + math.fsum(_largest_square(encoding).values()))
    weight = 2 * path + norm * penalised
    score = weight + norm * penalised
    wanted = {
        "the scores": score,
        "the penalty's gradient": spec.l2 * penalised,
        **{f"column {e.column!r}'s gradient": rows * e.bound for e in encoding},
    }
    fraction = FRACTION
    for what, magnitude in wanted.items():
        fraction = min(fraction, _fraction(what, magnitude, 1))
    for (_, column), total in squares.items():
        fraction = min(fraction, _fraction(f"column {column!r}'s sum of squares", total, 2))
    _fraction("a weight", weight * 2.0 ** (MOMENTUM_BITS - FEWEST), 1)
    damping = min(2.0**LARGEST_INVERSE, 4 * 2**shift / spec.l2)
    return Schedule(
        rows=rows,
        fraction=fraction,
        shift=shift,
        start=largest,
        doublings=max(1, _log2_ceil(largest * damping)),
        momentum=momentum,
        l2=spec.l2,
        score=score,
        weight=weight,
    )


def _fraction(what: str, magnitude: float, powers: int) -> int:
    """Fraction bits that encoded columns may have; powers: 1 where they meet FRACTION bits of weights, 2 squared."""
    room = BUDGET - _log2_ceil(max(magnitude, 1.0)) - (FRACTION if powers == 1 else 0)
    bits = room // powers
    if bits < FEWEST:
        raise RangeError(
            f"{what} may reach {magnitude:.3g} by the published bounds; of 64 bits that leaves {bits} for fractions, "
            f"{FEWEST} are needed.",
            "Ask for fewer iterations or a larger penalty, use log1p on heavy tails, or register narrower bounds.",
        )
    return bits


def _log2_ceil(value: float) -> int:
    """ceil(log2(value)) without a logarithm, so that powers of two are exact everywhere."""
    mantissa, exponent = math.frexp(value)
    return exponent - (mantissa == 0.5)


def _squares(encoding: Sequence[Encoded], rows: int) -> dict[tuple[str, str], float]:
    """Bound of the sum of squares of all columns made of one feature, over the joined rows."""
    return {
        (e.table, e.column): min(e.squares, rows * e.bound**2) if e.kind == "number" else float(rows) for e in encoding
    }


def _largest_square(encoding: Sequence[Encoded]) -> dict[tuple[str, str], float]:
    """Bound of the square of all columns made of one feature, in one row: of its categories one at most is 1."""
    return {(e.table, e.column): e.bound**2 for e in encoding}
