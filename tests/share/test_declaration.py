"""The declarations are true: measured rounds and bytes, the shape of the traffic, the look of the shares."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from tests.share.values import Values

from lingqu.kinds.errors import LingquError
from lingqu.kinds.mechanism import installed
from lingqu.share import (
    Aggregate,
    Machine,
    Relation,
    bitwise,
    compact,
    distinct_marks,
    divide_exact,
    divide_or_null,
    filter_rows,
    group,
    join,
    join_rows,
    linear,
    quantile_parts,
    shift_right,
    whole_power,
    wide,
)
from lingqu.share.curves import erf, gelu, tanh
from lingqu.share.functions import exp, inverse_sqrt, log, power, softmax, sqrt
from lingqu.share.groups import scatter, scatter_digits, square_limbs, value_limbs
from lingqu.share.integers import absolute, divide_whole, maximum, minimum, round_shift, sign
from lingqu.share.ordering import (
    SortKey,
    argmax,
    argmin,
    count_distinct,
    maximum_along,
    minimum_along,
    quantile,
    sort_by,
    top_k,
    top_rows,
)
from lingqu.share.plain import DECLARATION as PLAIN
from lingqu.share.quotient import divide_signed
from lingqu.share.rep3 import DECLARATION
from lingqu.share.two import DECLARATION as TWO
from lingqu.share.two import Two

Parties = Any
DECLARATIONS = {"rep3": DECLARATION, "two": TWO}
CHI_SQUARE_LIMIT = 377.1
"""The chi-square distribution with 255 degrees of freedom passes this with probability 1e-6."""


def two(v: Values, *shape: int, below: int = 1 << 40) -> tuple[Any, Any]:
    return v.shared(*shape, below=below), v.shared(*shape, below=below)


def joined(left: int, right: int) -> tuple[Any, Any, dict[str, int]]:
    sizes = {
        "left": left,
        "right": right,
        "bits": 70,
        "columns": 5,
        "left_columns": 3,
        "left_bits": 5,
        "right_bits": 66,
    }
    return (
        lambda v: (v.relation(left, 3, {"id": 70, "a": 5}, "l"), v.relation(right, 2, {"pid": 70, "b": 66}, "r")),
        lambda m, x: join(m, x[0], x[1], [("id", "pid")]),
        sizes,
    )


MANY = [
    Aggregate("n", "count"),
    Aggregate("k", "count", present="2"),
    Aggregate("s", "sum", "0"),
    Aggregate("t", "sum", "1", present="2"),
    Aggregate("low", "min", "0"),
    Aggregate("high", "max", "1", present="3"),
]


def grouped(rows: int, bits: int, bound: int) -> tuple[Any, Any, dict[str, int]]:
    sizes = {"rows": rows, "bits": bits, "groups": bound, "columns": 6, "counts": 2, "extremes": 2, "present": 2}
    names = ["g"] if bits else []
    return (
        lambda v: v.relation(rows, 4, {"g": bits} if bits else {}),
        lambda m, x: group(m, x, names, MANY, bound),
        sizes,
    )


REAL = 1 << 20


def unary(
    function: Callable[..., Any], below: int = 1 << 40, least: int = 0, **sizes: int
) -> tuple[Any, Any, dict[str, int]]:
    return lambda v: v.shared(7, 3, below=below, least=least), function, {"rows": 7, "columns": 3, **sizes}


def _weighed(rows: int, bits: int, sums: int) -> dict[str, int]:
    return {"rows": rows, "bits": bits, "sums": sums}


def sorted_columns(m: Machine, x: Any) -> Any:
    return m.apply(m.sort([x[0]]), [x[1]])


def quantiles(thousandths: int) -> tuple[Any, Any, dict[str, int]]:
    return (
        lambda v: (v.shared(12, below=99), v.shared(12, below=2)),
        lambda m, x: quantile(m, x[0], x[1], thousandths / 1000, bits=8),
        {"rows": 12, "bits": 8, "thousandths": thousandths},
    )


def distinct(rows: int) -> tuple[Any, Any, dict[str, int]]:
    return (
        lambda v: (v.key(rows, 70), v.shared(rows, below=2)),
        lambda m, x: count_distinct(m, *x),
        {"rows": rows, "bits": 70},
    )


def matched(left: int, right: int, **how: Any) -> tuple[Any, Any, dict[str, int]]:
    kind, unique, bound = how.get("kind", "inner"), how.get("unique", "none"), how.get("bound")
    sizes = {
        "left": left,
        "right": right,
        "bits": 70,
        "columns": 5,
        "left_columns": 3,
        "left_bits": 5,
        "right_bits": 66,
        "kept": ["inner", "left", "right", "full"].index(kind),
        "unique": ["none", "left", "right"].index(unique),
    }
    return (
        lambda v: (v.relation(left, 3, {"id": 70, "a": 5}, "l"), v.relation(right, 2, {"pid": 70, "b": 66}, "r")),
        lambda m, x: join_rows(m, x[0], x[1], [("id", "pid")], **how),
        sizes | ({} if bound is None else {"bound": bound}),
    )


def parts(function: Callable[..., Any], **sizes: int) -> tuple[Any, Any, dict[str, int]]:
    return (
        lambda v: Relation(
            {"x": v.shared(12, below=99), "p": v.shared(12, below=2)},
            {"g": v.key(12, 5), "v": v.key(12, 70)},
            v.shared(12, below=2),
        ),
        function,
        {"rows": 12, "bits": 5, "present": 1, **sizes},
    )


def wides(function: Callable[..., Any], limbs: int, bound: int = wide.ROOM) -> tuple[Any, Any, dict[str, int]]:
    return (
        lambda v: wide.Wide(tuple(v.shared(4, 2) for _ in range(limbs)), (bound,) * limbs),
        function,
        {"rows": 4, "columns": 2, "limbs": limbs},
    )


def divided(function: Callable[..., Any], rounding: str, bits: int) -> tuple[Any, Any, dict[str, int]]:
    return (
        lambda v: (v.shared(7, 3, below=1 << bits), v.shared(7, 3, below=99, least=1)),
        lambda m, x: function(m, x[0], x[1], rounding, bits),
        {"rows": 7, "columns": 3, "bits": bits, "truncated": int(rounding == "truncate")},
    )


def zero(x: Any) -> Any:
    return wide.Wide(x.limbs, (0,) * len(x.limbs))


CASES: dict[str, list[tuple[Callable[[Values], Any], Callable[[Machine, Any], Any], dict[str, int]]]] = {
    "input": [(lambda v: None, lambda m, _: Values(m, 1).shared(5, 3), {"rows": 5, "columns": 3})],
    "input_bits": [(lambda v: None, lambda m, _: Values(m, 1).bits(50, width=7), {"rows": 50, "bits": 7})],
    "reveal": [
        (lambda v: v.shared(9), lambda m, x: m.reveal(x), {"rows": 9}),
        (lambda v: v.shared(9), lambda m, x: m.reveal(x, 1), {"rows": 9, "recipients": 1}),
    ],
    "reveal_bits": [(lambda v: v.bits(70), lambda m, x: m.reveal_bits(x), {"rows": 70, "bits": 1})],
    "multiply": [(lambda v: two(v, 20, 2), lambda m, x: m.multiply(*x), {"rows": 20, "columns": 2})],
    "multiply_real": [(lambda v: two(v, 20, below=REAL), lambda m, x: m.multiply_real(*x), {"rows": 20})],
    "matmul": [
        (
            lambda v: (v.shared(7, 30), v.shared(30, 3)),
            lambda m, x: m.matmul(*x),
            {"rows": 7, "columns": 3, "inner": 30},
        )
    ],
    "matmul_real": [
        (
            lambda v: (v.shared(7, 30, below=REAL), v.shared(30, 3, below=REAL)),
            lambda m, x: m.matmul_real(*x),
            {"rows": 7, "columns": 3, "inner": 30},
        )
    ],
    "truncate": [(lambda v: v.shared(11), lambda m, x: m.truncate(x, 20), {"rows": 11})],
    "less_than": [
        (lambda v: two(v, 100), lambda m, x: m.less_than(*x), {"rows": 100}),
        (lambda v: two(v, 3, below=9), lambda m, x: m.less_than(x[0], x[1], bits=25), {"rows": 3, "bits": 25}),
    ],
    "equal": [(lambda v: two(v, 100), lambda m, x: m.equal(*x), {"rows": 100})],
    "equal_words": [
        (
            lambda v: [(v.bits(90, width=64), v.bits(90, width=64)), (v.bits(90, width=9), v.bits(90, width=9))],
            lambda m, x: m.equal_words(x),
            {"rows": 90, "bits": 73},
        )
    ],
    "logical_and": [
        (lambda v: (v.bits(30, width=5), v.bits(30, width=5)), lambda m, x: m.logical_and(*x), {"rows": 30, "bits": 5})
    ],
    "select": [(lambda v: (v.bits(30), *two(v, 30)), lambda m, x: m.select(*x), {"rows": 30})],
    "inject": [
        (lambda v: v.bits(30), lambda m, x: m.inject(x), {"rows": 30}),
        (lambda v: v.bits(300_000), lambda m, x: m.inject(x), {"rows": 300_000}),
    ],
    "weigh": [
        (lambda v: v.bits(3, 40), lambda m, x: m.weigh(x, np.array([[1, -2, 4], [5, 6, 1 << 62]])), _weighed(40, 3, 2)),
        (lambda v: v.bits(1, 2, 3), lambda m, x: m.weigh(x, np.array([[-1]])), _weighed(6, 1, 1)),
        (lambda v: v.bits(5, 0), lambda m, x: m.weigh(x, np.ones((2, 5), np.int64)), _weighed(0, 5, 2)),
        (lambda v: v.bits(0, 5), lambda m, x: m.weigh(x, np.ones((1, 0), np.int64)), _weighed(5, 0, 1)),
    ],
    "to_bits": [
        (lambda v: v.shared(100), lambda m, x: m.to_bits(x), {"rows": 100}),
        (lambda v: v.shared(70), lambda m, x: m.to_bits(x, 26, 20), {"rows": 70, "bits": 26, "low": 20}),
        (lambda v: v.shared(3), lambda m, x: m.to_bits(x, 2), {"rows": 3, "bits": 2}),
        (lambda v: v.shared(3), lambda m, x: m.to_bits(x, 64, 63), {"rows": 3, "bits": 64, "low": 63}),
    ],
    "to_shared": [(lambda v: v.bits(30, width=9), lambda m, x: m.to_shared(x), {"rows": 30, "bits": 9})],
    "shuffle": [(lambda v: v.shared(30, 4), lambda m, x: m.shuffle([x]), {"rows": 30, "columns": 4})],
    "sort": [
        (lambda v: [v.bits(90, width=7)], lambda m, x: m.sort(x), {"rows": 90, "bits": 7}),
        (lambda v: [v.bits(9, width=1), v.bits(9, width=3)], lambda m, x: m.sort(x), {"rows": 9, "bits": 4}),
        (lambda v: [v.bits(1, width=7)], lambda m, x: m.sort(x), {"rows": 1, "bits": 7}),
        (lambda v: [v.bits(300, width=7)], lambda m, x: m.sort(x), {"rows": 300, "bits": 7}),
        (lambda v: [v.bits(700, width=64)], lambda m, x: m.sort(x), {"rows": 700, "bits": 64}),
        (lambda v: [v.bits(2000, width=9), v.bits(2000, width=3)], lambda m, x: m.sort(x), {"rows": 2000, "bits": 12}),
    ],
    "apply": [
        (lambda v: (v.order(20), v.shared(20, 3)), lambda m, x: m.apply(x[0], [x[1]]), {"rows": 20, "columns": 3})
    ],
    "unapply": [
        (lambda v: (v.order(20), v.shared(20)), lambda m, x: m.unapply(x[0], [x[1]]), {"rows": 20, "columns": 1})
    ],
    "filter": [(lambda v: (v.relation(9, 1, {}), v.bits(9)), lambda m, x: filter_rows(m, *x), {"rows": 9})],
    "join": [joined(40, 25), joined(1, 1), joined(25, 40), joined(0, 3)],
    "group": [grouped(50, 6, 7), grouped(5, 70, 9), grouped(1, 3, 2), grouped(0, 3, 2), grouped(9, 0, 1)],
    "reciprocal": [(lambda v: v.shared(9, least=REAL), lambda m, x: m.reciprocal(x), {"rows": 9})],
    "divide": [(lambda v: (v.shared(9), v.shared(9, least=REAL)), lambda m, x: m.divide(*x), {"rows": 9})],
    "sigmoid": [(lambda v: v.shared(9, 2), lambda m, x: m.sigmoid(x), {"rows": 9, "columns": 2})],
    "tanh": [unary(tanh)],
    "erf": [unary(erf)],
    "gelu": [unary(gelu)],
    "exp": [unary(exp, below=20 * REAL)],
    "log": [unary(log, least=1)],
    "sqrt": [unary(sqrt)],
    "inverse_sqrt": [unary(inverse_sqrt, least=1)],
    "power": [
        unary(lambda m, x: power(m, x, 0.5), below=REAL, least=1),
        unary(lambda m, x: power(m, x, 5), below=REAL, exponent=5),
        unary(lambda m, x: power(m, x, 0), exponent=0),
    ],
    "softmax": [unary(softmax), (lambda v: v.shared(3, 1), softmax, {"rows": 3})],
    "round_shift": [unary(lambda m, x: round_shift(m, x, 20), bits=20)],
    "absolute": [unary(absolute)],
    "sign": [unary(sign)],
    "minimum": [(lambda v: two(v, 9, 3), lambda m, x: minimum(m, *x), {"rows": 9, "columns": 3})],
    "maximum": [(lambda v: two(v, 9, 3), lambda m, x: maximum(m, *x), {"rows": 9, "columns": 3})],
    "divide_whole": [
        unary(lambda m, x, d=d: divide_whole(m, x, d), divisor=d) for d in (1, 2, 7, 86_400, (1 << 31) - 1)
    ],
    "minimum_along": [unary(lambda m, x: minimum_along(m, x, 0))],
    "maximum_along": [(lambda v: v.shared(3, 9), maximum_along, {"rows": 9, "columns": 3})],
    "argmin": [unary(lambda m, x: argmin(m, x, 0))],
    "argmax": [(lambda v: v.shared(13), argmax, {"rows": 13})],
    "sort_columns": [
        (lambda v: (v.bits(90, width=7), v.shared(90, 3)), sorted_columns, {"rows": 90, "bits": 7, "columns": 3}),
        (lambda v: (v.bits(700, width=44), v.shared(700)), sorted_columns, {"rows": 700, "bits": 44, "columns": 1}),
    ],
    "sort_by": [
        (
            lambda v: (v.shared(12, below=99), v.shared(12, below=2), v.shared(12, 3)),
            lambda m, x: sort_by(m, [SortKey(x[0], present=x[1], bits=9), SortKey(x[0], True, bits=9)], [x[2]]),
            {"rows": 12, "columns": 3, "keys": 2, "nullable": 1, "bits": 9},
        )
    ],
    "top_k": [(lambda v: v.shared(12, below=99), lambda m, x: top_k(m, x, 3, bits=8), {"rows": 12, "bits": 8})],
    "quantile": [quantiles(500), quantiles(900)],
    "count_distinct": [distinct(20), distinct(1)],
    "join_rows": [
        matched(9, 7, unique="right"),
        matched(9, 7, kind="full", unique="left"),
        matched(9, 7, kind="left", bound=20),
        matched(9, 7, kind="full", bound=5),
        matched(0, 7, kind="full", bound=5),
        matched(9, 0, unique="right"),
    ],
    "compact": [
        (lambda v: v.relation(9, 2, {"k": 70}), lambda m, x: compact(m, x, 5), {"rows": 9, "columns": 2, "bits": 70})
    ],
    "distinct_marks": [parts(lambda m, x: distinct_marks(m, x, ["g"], "v", "p"), value_bits=70)],
    "quantile_parts": [
        parts(lambda m, x: quantile_parts(m, x, ["g"], "x", Fraction(1, 2), present="p", bits=8), value_bits=8),
        parts(
            lambda m, x: quantile_parts(m, x, ["g"], "x", Fraction(3, 10), kind="discrete", present="p", bits=9),
            value_bits=9,
            discrete=1,
            numerator=3,
            denominator=10,
        ),
    ],
    "divide_exact": [divided(divide_exact, "floor", 59), divided(divide_exact, "truncate", 20)],
    "divide_or_null": [divided(divide_or_null, "truncate", 40)],
    "whole_power": [unary(lambda m, x: whole_power(m, x, 5), below=99, exponent=5)],
    "bitwise": [(lambda v: two(v, 9, 3), lambda m, x: bitwise(m, "or", *x), {"rows": 9, "columns": 3})],
    "bitwise_xor": [(lambda v: two(v, 9, 3), lambda m, x: bitwise(m, "xor", *x), {"rows": 9, "columns": 3})],
    "shift_right": [unary(lambda m, x: shift_right(m, x, 9), bits=9)],
    "widen": [unary(lambda m, x: wide.widen(m, x, 1 << 64), bits=64)],
    "wide_limbs": [unary(lambda m, x: wide.carried(m, wide.widen(m, x, (1 << 61) - 1)), bits=61)],
    "wide_multiply": [
        unary(lambda m, x, most=(1 << b) - 1: wide.multiply(m, *(wide.widen(m, x, most) for _ in "xy")), bits=b)
        for b in (45, 62)
    ],
    "wide_digits": [wides(wide.digits, 2), wides(wide.digits, 4)],
    "wide_less_than": [wides(lambda m, x: wide.less_than(m, x, zero(x)), 3)],
    "wide_equal": [wides(lambda m, x: wide.equal(m, x, zero(x)), 3)],
    "scatter": [
        wides(lambda m, x: scatter(m, x.limbs[0], wide.Wide(x.limbs, (1 << 60,) * len(x.limbs)), x), 2),
    ],
    "scatter_digits": [
        (
            lambda v: (v.shared(5), v.shared(5), [v.shared(5) for _ in range(3)]),
            lambda m, x: scatter_digits(m, *x),
            {"rows": 5, "limbs": 3},
        )
    ],
    "square_limbs": [
        (
            lambda v: v.shared(5, below=99),
            lambda m, x: square_limbs(m, x, 40, 3),
            {"rows": 5, "bits": 40, "limbs": 3},
        )
    ],
    "value_limbs": [
        (lambda v: v.shared(5), lambda m, x: value_limbs(m, x, 63, 3), {"rows": 5, "bits": 63, "limbs": 3}),
    ],
    "top_rows": [
        (
            lambda v: (v.shared(12, below=99), v.shared(12, below=2), v.shared(12, 3)),
            lambda m, x: top_rows(
                m, m.parity(x[1]), [SortKey(x[0], present=x[1], bits=9), SortKey(x[0], True, bits=9)], [x[2]], 4
            ),
            {"rows": 12, "columns": 3, "keys": 2, "nullable": 1, "bits": 9},
        )
    ],
    "matmul_stack": [
        (
            lambda v: (v.shared(4, 3, 5), v.shared(4, 5, 2)),
            lambda m, x: linear.matmul(m, *x),
            {"stack": 4, "rows": 3, "inner": 5, "columns": 2},
        )
    ],
    "convolve": [
        (
            lambda v: (v.shared(2, 3, 5, 5, below=REAL), v.shared(4, 3, 3, 3, below=REAL)),
            lambda m, x: linear.convolve_real(m, x[0], x[1], 2, "SAME", "NCHW"),
            {"rows": 2, "channels": 3, "side": 5, "outputs": 4, "window": 3, "stride": 2, "same": 1},
        ),
        (
            lambda v: (v.shared(2, 1, 5, 5, below=REAL), v.shared(1, 1, 2, 2, below=REAL)),
            lambda m, x: linear.convolve_real(m, x[0], x[1], layout="NCHW"),
            {"rows": 2, "side": 5, "window": 2},
        ),
    ],
    "norm": [unary(lambda m, x: linear.norm(m, x, 1), below=REAL)],
    "divide_signed": [
        (
            lambda v: (v.shared(9, below=REAL), v.shared(9, below=2 * REAL, least=REAL)),
            lambda m, x: divide_signed(m, *x),
            {"rows": 9},
        )
    ],
}
EVERY = [(name, i) for name, cases in CASES.items() for i in range(len(cases))]


@pytest.mark.parametrize(("name", "case"), EVERY)
def test_cost_and_shape_are_as_declared(parties: Parties, name: str, case: int) -> None:
    prepare, work, sizes = CASES[name][case]

    def operands(m: Machine, seed: int | None) -> Any:
        value = prepare(Values(m, seed))
        if isinstance(m, Two):
            m.prepare(lambda outline: work(outline, value))
        return value

    runs = [parties(work, lambda m, seed=seed: operands(m, seed)) for seed in (None, 7)]
    declared = DECLARATIONS[parties.protocol].cost(name, sizes)
    assert (runs[0].rounds, runs[0].bytes) == (declared.rounds, declared.bytes)
    assert runs[0].shape == runs[1].shape


def test_every_operation_is_measured() -> None:
    for declaration in DECLARATIONS.values():
        outside = {name for name in declaration.operations if name.endswith("_outside")}  # measured in test_outside
        aligned = {"align"} & set(declaration.operations)  # measured in test_alignment
        assert set(CASES) | outside | aligned | {"connect"} == set(declaration.operations)
    assert set(CASES) <= set(PLAIN.operations)
    assert PLAIN.ideal
    assert not DECLARATION.ideal
    assert not TWO.ideal
    assert (DECLARATION.threat.parties, DECLARATION.threat.corruptions) == (3, 1)
    assert (TWO.threat.parties, TWO.threat.corruptions) == (2, 1)
    with pytest.raises(LingquError):
        DECLARATION.cost("multiply", {})


def test_declarations_are_installed() -> None:
    known = installed()
    assert known.get("share.rep3") is DECLARATION
    assert known.get("share.two") is TWO
    assert [d.name for d in known.candidates("join")] == ["share.rep3", "share.rep3.malicious", "share.two"]
    assert "share.rep3.malicious" not in [d.name for d in known.candidates("align")]


def uniform(data: bytes) -> bool:
    """Chi-square test of the bytes' distribution, with a false-alarm rate of 1e-6."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    expected = len(data) / 256
    return float(((counts - expected) ** 2 / expected).sum()) < CHI_SQUARE_LIMIT


@pytest.mark.parametrize("seed", [None, 3])
def test_messages_look_uniform(parties: Parties, seed: int | None) -> None:
    rows = 512

    def work(m: Machine, v: Any) -> None:
        x, y, bits, real = v
        m.multiply(x, y)
        m.truncate(x, 20)
        m.less_than(x, y)
        m.equal(x, y)
        m.to_bits(x)
        m.inject(bits)
        m.select(bits, x, y)
        m.shuffle([x, bits])
        m.sigmoid(real)
        Values(m, seed).shared(rows)

    def prepare(m: Machine) -> Any:
        v = Values(m, seed)
        return v.shared(rows), v.shared(rows), v.bits(rows), v.shared(rows, below=1 << 30)

    sent = parties(work, prepare).sent
    for party in range(parties.count):
        received = [m for m in sent if m.to == party]
        assert uniform(b"".join(m.data for m in received))
        for message in received:
            assert len(message.data) < 4096 or uniform(message.data)
