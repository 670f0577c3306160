"""The accuracy of every real function over its whole declared domain, against mpmath, computed by share.rep3.

`make accuracy` measures with many points and writes the table into docs/rooms/share.md; a test does it with few.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from lingqu.net.memory import memory_channels
from lingqu.share import Machine, Shared, erf, exp, gelu, inverse_sqrt, log, power, sigmoid, softmax, sqrt, tanh
from lingqu.share.rep3 import connect

PAGE = Path(__file__).parents[1] / "docs" / "rooms" / "share.md"
START, END = "<!-- accuracy -->\n\n", "\n\n<!-- end of accuracy -->"
HEAD = "| function | domain | error allowed | points | largest error / allowed | there |\n|---|---|---|---:|---:|---|\n"
FULL = 20_000
ONE = 1 << 20
UNIT = 2.0**-20
FAR = (1 << 60) - 1
LARGE = (1 << 61) - 1
ENTRIES = 10
"""Entries of a row of softmax."""
Integers = NDArray[np.int64]
Curve = Callable[[Machine, Shared], Shared]


@dataclass(frozen=True)
class Function:
    """A real function of one operand, or of a row of them.

    curve: over shares of shape (points, operands).  exact: by mpmath.  low, high: the ends of the domain, as integers
    of 2**-20, of each operand.  core: where it changes most.  allowed, words: the largest error at a true value.
    """

    name: str
    curve: Curve
    exact: Callable[..., Any]
    domain: str
    low: tuple[int, ...]
    high: tuple[int, ...]
    core: tuple[int, int]
    allowed: Callable[[float], float]
    words: str

    def points(self, count: int, seed: int) -> Integers:
        """Operands, a row a point: the ends, both sides of every power of two, the core densely, every magnitude."""
        return np.stack([self._operand(place, count, seed + place) for place in range(len(self.low))], axis=1)

    def _operand(self, place: int, count: int, seed: int) -> Integers:
        low, high = self.low[place], self.high[place]
        random = np.random.default_rng(seed)
        magnitudes = np.exp2(random.uniform(0, 61, count)).astype(np.int64) * random.choice([-1, 1], count)
        core = random.integers(self.core[0], self.core[1] + 1, count)
        powers = np.array([s * ((1 << k) + d) for k in range(61) for d in (-1, 0, 1) for s in (1, -1)], np.int64)
        inside = [part[(part >= low) & (part <= high)] for part in (magnitudes, core, powers)]
        both = np.concatenate([inside[0], inside[1]])
        chosen = both[random.permutation(len(both))[: max(count - len(inside[2]) - 2, count // 2)]]
        points = np.concatenate([np.array([low, high], np.int64), inside[2], chosen])
        if len(self.low) == 1:
            return points
        return random.permutation(np.resize(points, count))


def _relative(true: float) -> float:
    return max(2e-5 * abs(true), UNIT)


def _absolute(bound: float) -> Callable[[float], float]:
    return lambda true: bound


def _logistic(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def _column(function: Curve) -> Curve:
    return lambda machine, x: function(machine, x[:, 0])


def _curve(name: str, function: Curve, exact: Callable[[Any], Any], bound: float, core: int) -> Function:
    domain = f"abs(x) < 2^40, densely to {core}"
    words = f"{bound:g} absolute"
    ends = (-core * ONE, core * ONE)
    return Function(name, _column(function), exact, domain, (-FAR,), (FAR,), ends, _absolute(bound), words)


def _power(exponent: float, highest: int) -> Function:
    def allowed(true: float) -> float:
        return (6e-6 + abs(exponent) * 1e-6) * abs(true) + 0.6 * UNIT

    to = f"{highest / ONE:.6g}" if highest < LARGE else "2^41"
    return Function(
        f"power {exponent:g}",
        _column(lambda machine, x: power(machine, x, exponent)),
        lambda x: x**exponent,
        f"2^-20 to {to}",
        (1,),
        (highest,),
        (ONE // 8, 8 * ONE),
        allowed,
        f"{6e-6 + abs(exponent) * 1e-6:g} relative and 0.6 units",
    )


def _softmax(*row: Any) -> list[Any]:
    highest = max(row)
    powers = [mpmath.exp(x - highest) for x in row]
    return [value / mpmath.fsum(powers) for value in powers]


RELATIVE = "2e-5 relative or a unit"
POSITIVE = "2^-20 to 2^41"
FUNCTIONS: tuple[Function, ...] = (
    _curve("sigmoid", sigmoid, _logistic, 1e-5, 18),
    _curve("tanh", tanh, mpmath.tanh, 1e-5, 9),
    _curve("erf", erf, mpmath.erf, 1e-5, 5),
    _curve("GELU", gelu, lambda x: x * mpmath.ncdf(x), 1e-5, 9),
    Function(
        "exp", _column(exp), mpmath.exp, "-2^40 to 27", (-FAR,), (27 * ONE,), (-16 * ONE, 27 * ONE), _relative, RELATIVE
    ),
    Function("log", _column(log), mpmath.log, POSITIVE, (1,), (LARGE,), (1, 4 * ONE), _relative, RELATIVE),
    Function("square root", _column(sqrt), mpmath.sqrt, POSITIVE, (1,), (LARGE,), (1, 4 * ONE), _relative, RELATIVE),
    Function(
        "inverse square root",
        _column(inverse_sqrt),
        lambda x: 1 / mpmath.sqrt(x),
        POSITIVE,
        (1,),
        (LARGE,),
        (1, 4 * ONE),
        _relative,
        RELATIVE,
    ),
    Function(
        "reciprocal",
        _column(lambda machine, x: machine.reciprocal(x)),
        lambda x: 1 / x,
        "1 to 2^30",
        (ONE,),
        (ONE << 30,),
        (ONE, 64 * ONE),
        _relative,
        RELATIVE,
    ),
    Function(
        "division",
        lambda machine, x: machine.divide(x[:, 0], x[:, 1]),
        lambda x, y: x / y,
        "abs(x) < 2^39 by 1 to 2^30",
        (-(FAR >> 1), ONE),
        (FAR >> 1, ONE << 30),
        (ONE, 64 * ONE),
        lambda true: abs(true) * 2.0**-24 + 3 * UNIT,
        "2^-24 relative and three units",
    ),
    _power(0.5, LARGE),
    _power(1 / 3, LARGE),
    _power(2.5, 47_000 * ONE),
    _power(-1.5, LARGE),
    Function(
        f"softmax of {ENTRIES}",
        softmax,
        _softmax,
        "abs(x) < 2^39",
        (-(FAR >> 1),) * ENTRIES,
        (FAR >> 1,) * ENTRIES,
        (-8 * ONE, 8 * ONE),
        _absolute(1.2e-5),
        "1.2e-05 absolute",
    ),
)


def measure(functions: Sequence[Function], count: int) -> list[tuple[Function, int, float, tuple[float, ...]]]:
    """(function, points, the largest error by what is allowed, the operands there), by three parties in threads."""
    points = [function.points(count, 7 + place) for place, function in enumerate(functions)]
    found = _run(functions, points)
    rows = []
    for function, operands, values in zip(functions, points, found, strict=True):
        worst, where = 0.0, operands[0]
        for operand, value in zip(operands, values.reshape(len(operands), -1), strict=True):
            true = function.exact(*(mpmath.mpf(int(x)) / ONE for x in operand))
            for one, wanted in zip(value.tolist(), true if isinstance(true, list) else [true], strict=True):
                error = float(abs(mpmath.mpf(one) - wanted)) / function.allowed(float(wanted))
                if error > worst:
                    worst, where = error, operand
        rows.append((function, len(operands), worst, tuple(int(x) / ONE for x in where)))
    return rows


def _run(functions: Sequence[Function], points: Sequence[Integers]) -> list[NDArray[np.float64]]:
    channels = memory_channels(("alpha", "beta", "gamma"))
    results: list[list[NDArray[np.float64]]] = [[], [], []]
    errors: list[BaseException] = []

    def party(place: int) -> None:
        try:
            machine = connect(channels[place])
            for function, operands in zip(functions, points, strict=True):
                shared = machine.input(0, operands if machine.owns(0) else None, operands.shape)
                opened = machine.reveal_real(function.curve(machine, shared))
                assert opened is not None
                results[place].append(np.asarray(opened))
        except BaseException as error:
            errors.append(error)
        finally:
            channels[place].close()

    threads = [threading.Thread(target=partial(party, place)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results[0]


def fixed(function: Function) -> str:
    """What a row of the table says before it is measured."""
    return f"| {function.name} | {function.domain} | {function.words} |"


def table(rows: Sequence[tuple[Function, int, float, tuple[float, ...]]]) -> str:
    """The table of the documentation."""
    lines = []
    for function, count, worst, where in rows:
        shown = f"{where[0]:.6g}" if len(where) == 1 else f"{where[0]:.4g} / {where[1]:.4g}"
        shown = "a row" if len(where) > 2 else shown
        lines.append(f"{fixed(function)} {count:,} | {worst:.2f} | {shown} |")
    return HEAD + "\n".join(lines)


def main() -> None:
    """Measure, print, and write the table into the page; exit 1 where an error is larger than allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=FULL)
    parser.add_argument("--write", action="store_true", help="replace the table in docs/rooms/share.md")
    arguments = parser.parse_args()
    rows = measure(FUNCTIONS, arguments.points)
    text = table(rows)
    print(text)
    if arguments.write:
        before, rest = PAGE.read_text("utf-8").split(START)
        PAGE.write_text(before + START + text + END + rest.split(END)[1], "utf-8")
    if any(worst > 1 for _, _, worst, _ in rows):
        raise SystemExit("A function is less accurate than it says.")


if __name__ == "__main__":
    main()
