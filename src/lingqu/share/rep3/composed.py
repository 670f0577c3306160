"""Declared costs of what is written over Machine: its outline is run on shapes, and counted."""

from __future__ import annotations

from collections.abc import Callable

from lingqu.kinds.mechanism import Cost, Operation, Sizes
from lingqu.share import curves, functions, integers, ordering
from lingqu.share.api import Shape, Shared
from lingqu.share.rep3.outline import Outline, shaped, shaped_bits
from lingqu.share.rep3.tally import key_widths

QUARTICS = "after ABY3: Mohassel, Rindal (CCS 2018), with quartics"
NORMALISED = "after Catrina, Saxena (FC 2010), with polynomials"
SCIENTIFIC = "after Aly, Smart (ACNS 2019)"
TOURNAMENT = "tournament of comparisons"
SORTED = "after Asharov et al., Efficient Secure Three-Party Sorting (CCS 2022)"
INVARIANT = "after Granlund, Montgomery (PLDI 1994), with a correction"


def _shape(sizes: Sizes) -> Shape:
    return (sizes["rows"], sizes.get("columns", 1))


def _composed(name: str, run: Callable[[Outline, Sizes], object], source: str) -> Operation:
    def cost(sizes: Sizes) -> Cost:
        outline = Outline()
        run(outline, sizes)
        return outline.tally.cost

    return Operation(name, cost, source, ())


def _unary(name: str, function: Callable[[Outline, Shared], Shared], source: str) -> Operation:
    return _composed(name, lambda m, z: function(m, shaped(_shape(z))), source)


def _binary(name: str, function: Callable[[Outline, Shared, Shared], Shared], source: str) -> Operation:
    return _composed(name, lambda m, z: function(m, shaped(_shape(z)), shaped(_shape(z))), source)


def _along(name: str, function: Callable[[Outline, Shared, int], Shared]) -> Operation:
    return _composed(name, lambda m, z: function(m, shaped(_shape(z)), 0), TOURNAMENT)


def _power(machine: Outline, sizes: Sizes) -> Shared:
    return functions.power(machine, shaped(_shape(sizes)), sizes.get("exponent", 0.5))


def _sort_by(machine: Outline, sizes: Sizes) -> object:
    column, bits = shaped((sizes["rows"],)), sizes.get("bits", 63)
    nullable = sizes.get("nullable", 0)
    keys = [ordering.SortKey(column, present=column if i < nullable else None, bits=bits) for i in range(sizes["keys"])]
    return ordering.sort_by(machine, keys, [shaped(_shape(sizes))])


def _quantile(machine: Outline, sizes: Sizes) -> Shared:
    column, fraction = shaped((sizes["rows"],)), sizes.get("thousandths", 500) / 1000
    return ordering.quantile(machine, column, column, fraction, bits=sizes.get("bits", 63))


def _count_distinct(machine: Outline, sizes: Sizes) -> Shared:
    rows = (sizes["rows"],)
    words = [shaped_bits(rows, width) for width in key_widths(sizes["bits"])]
    return ordering.count_distinct(machine, words, shaped(rows))


COMPOSED = (
    _unary("reciprocal", lambda m, x: m.reciprocal(x), "Catrina, Saxena (FC 2010); Newton's iteration"),
    _binary("divide", lambda m, x, y: m.divide(x, y), "Catrina, Saxena (FC 2010); Newton's iteration"),
    _unary("sigmoid", curves.sigmoid, QUARTICS),
    _unary("tanh", curves.tanh, QUARTICS),
    _unary("erf", curves.erf, QUARTICS),
    _unary("gelu", curves.gelu, QUARTICS),
    _unary("exp", functions.exp, SCIENTIFIC),
    _unary("log", functions.log, NORMALISED),
    _unary("sqrt", functions.sqrt, NORMALISED),
    _unary("inverse_sqrt", functions.inverse_sqrt, NORMALISED),
    _composed("power", _power, f"{SCIENTIFIC}; repeated squaring"),
    _composed("softmax", lambda m, z: functions.softmax(m, shaped(_shape(z))), SCIENTIFIC),
    _composed(
        "round_shift",
        lambda m, z: integers.round_shift(m, shaped(_shape(z)), z["bits"]),
        "truncation with its error compared",
    ),
    _unary("absolute", integers.absolute, "ABY3: Mohassel, Rindal (CCS 2018), section 5.4"),
    _unary("sign", integers.sign, "ABY3: Mohassel, Rindal (CCS 2018), section 5.4"),
    _binary("minimum", integers.minimum, "ABY3: Mohassel, Rindal (CCS 2018), section 5.4"),
    _binary("maximum", integers.maximum, "ABY3: Mohassel, Rindal (CCS 2018), section 5.4"),
    _composed("divide_whole", lambda m, z: integers.divide_whole(m, shaped(_shape(z)), z["divisor"]), INVARIANT),
    _along("minimum_along", ordering.minimum_along),
    _along("maximum_along", ordering.maximum_along),
    _along("argmin", ordering.argmin),
    _along("argmax", ordering.argmax),
    _composed("sort_by", _sort_by, SORTED),
    _composed("top_k", lambda m, z: ordering.top_k(m, shaped((z["rows"],)), 1, z.get("bits", 63)), SORTED),
    _composed("quantile", _quantile, SORTED),
    _composed("count_distinct", _count_distinct, SORTED),
)
