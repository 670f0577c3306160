"""How the coefficients of share.curves are obtained: fit them again and compare the errors.

Run: python benchmarks/fit_curves.py  (needs scipy).  On each interval a linear program finds the quartic with the least
greatest error at Chebyshev points; the highest coefficient is rounded to its fractional bits and the program solved
again for the rest, down to the constant.  Many quartics are nearly as good, so another solver gives other last digits;
what must agree is the error. Exit status 1 when a committed row is more than 2 % worse than the new one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.special import erf, ndtr

from lingqu.share.curves import ERF, GELU, INDEX_BITS, SIGMOID, Curve

Values = NDArray[np.float64]
BITS = (62, 42, 42, 22, 22)
"""Fractional bits of the powers 0 to 4."""
POINTS = 1000
SLACK = 1.02


def sigmoid_part(z: Values) -> Values:
    """sigmoid(z) - 1/2, and tanh(z / 2) / 2."""
    return np.asarray(np.tanh(z / 2) / 2)


def erf_part(z: Values) -> Values:
    """erf(x) / 2 of the scaled operand z = 4 x."""
    return np.asarray(erf(z / 4) / 2)


def gelu_part(z: Values) -> Values:
    """x Phi(-x) of the scaled operand z = 2 x."""
    return np.asarray(z / 2 * ndtr(-z / 2))


CURVES: tuple[tuple[str, Curve, Callable[[Values], Values]], ...] = (
    ("sigmoid, tanh", SIGMOID, sigmoid_part),
    ("erf", ERF, erf_part),
    ("gelu", GELU, gelu_part),
)


def least_error(powers: Values, wanted: Values) -> Values:
    """Coefficients that minimise the greatest absolute error: powers (points, n), wanted (points,)."""
    unit = float(np.abs(wanted).max())
    slack = np.ones((len(wanted), 1))
    bounds = np.block([[powers, -slack], [-powers, -slack]])
    solved = linprog(
        [0.0] * powers.shape[1] + [1.0],
        A_ub=bounds,
        b_ub=np.concatenate([wanted, -wanted]) / unit,
        bounds=(None, None),
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return np.asarray(solved.x[:-1]) * unit


def fitted(function: Callable[[Values], Values], low: int, high: int) -> list[int]:
    """A row of a curve: the coefficients around the middle of [low, high]."""
    middle, half = (low + high) / 2, (high - low) / 2
    t = np.cos(np.pi * np.arange(POINTS) / (POINTS - 1))
    rest = function(middle + half * t)
    row = []
    for power in (4, 3, 2, 1, 0):
        best = least_error(t[:, None] ** np.arange(power + 1), rest)[power]
        row.append(round(best / half**power * 2.0 ** BITS[power]))
        rest = rest - row[-1] / 2.0 ** BITS[power] * (half * t) ** power
    return row[::-1]


def error(function: Callable[[Values], Values], row: Sequence[int], low: int, high: int) -> float:
    """The greatest error of a row on its interval."""
    u = np.linspace(-(high - low) / 2, (high - low) / 2, 20001)
    found = sum(value / 2.0**bits * u**power for power, (value, bits) in enumerate(zip(row, BITS, strict=True)))
    return float(np.abs(found - function((low + high) / 2 + u)).max())


def main() -> int:
    """Print every interval's error, committed and fitted again; 1 when a committed one is worse."""
    worse = 0
    for name, curve, function in CURVES:
        ends = (*curve.knots, 1 << INDEX_BITS)
        for low, high, row in zip(ends[:-1], ends[1:], curve.rows, strict=True):
            ours, again = (error(function, each, low, high) for each in (row, fitted(function, low, high)))
            worse += ours > SLACK * again
            print(f"{name:14} [{low:2}, {high:2})  committed {ours:.3e}  fitted again {again:.3e}")
    return int(worse > 0)


if __name__ == "__main__":
    sys.exit(main())
