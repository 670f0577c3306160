"""Declared costs of what is written over Machine, for any protocol: its outline is run on shapes, and counted.

Sizes. rows and columns (1 where not given) of the operand.  Along an axis: rows entries, columns times over; softmax:
rows of columns entries.  power: exponent where it is an integer.  divide_whole: divisor.  sort_by, top_k, quantile:
bits of a key (63); keys, nullable (of them) and columns that move; quantile: thousandths (500).
join: left, right (rows), bits, columns (values of both sides); optional left_columns (else all count on the longer
side, which bounds the cost) and left_bits, right_bits (key bits that are carried along, not joined on).
group: rows, bits, columns (aggregates), groups (the bound); optional counts and extremes (how many of the columns
are counts, and minima or maxima) and present (distinct null flags).
join_rows: as join, and bound where no side is unique, unique (1 left, 2 right), kept (1 left, 2 right, 3 both).
align: asked and held (rows), asked_columns and held_columns (values), asked_bits and held_bits (of other keys), outer
and repeated (1 where so), asker and keeper (parties, 0 and 1).
compact: rows, columns, bits of keys.  distinct_marks, quantile_parts: rows, bits of the group's keys, value_bits,
present (1 where there are nulls); quantile_parts: numerator, denominator (1 and 2), discrete (1).
top_rows: as sort_by.  square_limbs, value_limbs: rows, bits, limbs.  scatter_digits: rows, limbs.
widen, wide_limbs: bits of the values, limbs.  wide_multiply: bits of both.  wide_digits, wide_less_than, wide_equal,
scatter: limbs (of sums and squares), each as full as it may be.  divide_exact, divide_or_null: bits of the dividend
(59), truncated (1 for the quotient towards zero).
matmul_stack: stack, rows, inner, columns.  norm: rows of columns entries.  convolve: rows (the batch), channels,
outputs, side (of square images), window (of square kernels), stride (1), same (1 where padded to the input's size).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from lingqu.kinds.disclosure import Reveals
from lingqu.kinds.mechanism import Cost, Operation, Sizes
from lingqu.share import (
    alignment,
    curves,
    division,
    functions,
    groups,
    integers,
    joins,
    linear,
    matches,
    ordering,
    quotient,
    relation,
    wide,
)
from lingqu.share.api import Machine, Shape, Shared, SharedBits
from lingqu.share.outline import Outline, Tally, shaped, shaped_bits

QUARTICS = "after ABY3: Mohassel, Rindal (CCS 2018), with quartics"
NORMALISED = "after Catrina, Saxena (FC 2010), with polynomials"
SCIENTIFIC = "after Aly, Smart (ACNS 2019)"
TOURNAMENT = "tournament of comparisons"
COMPARED = "{comparison}"
SORTED = "{sorting}"
CORRECTED = "truncation with its error compared"
CARRIED = "limbs of 30 bits, carried by truncation"
DIVIDED = "after Catrina, Saxena (FC 2010); the rest divided again until comparisons settle it"
EXPANDED = "after Krastnikov, Kerschbaum, Stebila (VLDB 2020), spread by prefix sums"
LINEAR = "one matrix product, reshared once"
INVARIANT = "after Granlund, Montgomery (PLDI 1994), with a correction"


Run = Callable[[Outline, Sizes], object]


@dataclass(frozen=True)
class Written:
    """An operation written over Machine: its name, its outline, and its source where the protocol gives none."""

    name: str
    run: Run
    source: str


@dataclass(frozen=True)
class Sources:
    """What a protocol follows where the outline alone does not say: comparison with products, sorting."""

    comparison: str
    sorting: str


def key_widths(bits: int) -> list[int]:
    """Words of a key of that many bits: the odd bits first, then full words."""
    return [bits % 64] * (bits % 64 > 0) + [64] * (bits // 64)


def operations(tally: Callable[[], Tally], parties: int, sources: Sources) -> tuple[Operation, ...]:
    """Every operation written over Machine, at the cost that a protocol's own operations have."""

    return tuple(_declared(written, tally, parties, written.source.format(**vars(sources))) for written in WRITTEN)


def _declared(
    written: Written, tally: Callable[[], Tally], parties: int, source: str, reveals: tuple[Reveals, ...] = ()
) -> Operation:
    def cost(sizes: Sizes) -> Cost:
        outline = Outline(tally(), parties)
        written.run(outline, sizes)
        return outline.tally.cost

    return Operation(written.name, cost, source, reveals)


def alignment_of(tally: Callable[[], Tally], parties: int, source: str, reveals: tuple[Reveals, ...]) -> Operation:
    """The operation "align" of a protocol that offers Machine.look_up."""
    return _declared(ALIGN, tally, parties, source, reveals)


def _shape(sizes: Sizes) -> Shape:
    return (sizes["rows"], sizes.get("columns", 1))


def _unary(name: str, function: Callable[[Outline, Shared], Shared], source: str) -> Written:
    return Written(name, lambda m, z: function(m, shaped(_shape(z))), source)


def _binary(name: str, function: Callable[[Outline, Shared, Shared], Shared], source: str) -> Written:
    return Written(name, lambda m, z: function(m, shaped(_shape(z)), shaped(_shape(z))), source)


def _along(name: str, function: Callable[[Outline, Shared, int], Shared]) -> Written:
    return Written(name, lambda m, z: function(m, shaped(_shape(z)), 0), TOURNAMENT)


def _power(machine: Outline, sizes: Sizes) -> Shared:
    return functions.power(machine, shaped(_shape(sizes)), sizes.get("exponent", 0.5))


def _sort_by(machine: Outline, sizes: Sizes) -> object:
    column, bits = shaped((sizes["rows"],)), sizes.get("bits", 63)
    nullable = sizes.get("nullable", 0)
    keys = [ordering.SortKey(column, present=column if i < nullable else None, bits=bits) for i in range(sizes["keys"])]
    return ordering.sort_by(machine, keys, [shaped(_shape(sizes))])


def _sort_columns(machine: Outline, sizes: Sizes) -> object:
    return machine.apply(machine.sort([shaped_bits((sizes["rows"],), sizes["bits"])]), [shaped(_shape(sizes))])


def _quantile(machine: Outline, sizes: Sizes) -> Shared:
    column, fraction = shaped((sizes["rows"],)), sizes.get("thousandths", 500) / 1000
    return ordering.quantile(machine, column, column, fraction, bits=sizes.get("bits", 63))


def _key(rows: int, bits: int) -> tuple[SharedBits, ...]:
    return tuple(shaped_bits((rows,), width) for width in key_widths(bits))


def _count_distinct(machine: Outline, sizes: Sizes) -> Shared:
    return ordering.count_distinct(machine, _key(sizes["rows"], sizes["bits"]), shaped((sizes["rows"],)))


def _filter(machine: Outline, sizes: Sizes) -> object:
    rows = (sizes["rows"],)
    return relation.filter_rows(machine, relation.Relation({}, {}, shaped(rows)), shaped_bits(rows))


def _side(rows: int, columns: int, bits: int, carried: int, name: str) -> relation.Relation:
    values = {f"{name}{i}": shaped((rows,)) for i in range(columns)}
    keys = {f"{name} key": _key(rows, bits), f"{name} carried": _key(rows, carried)}
    return relation.Relation(values, keys, shaped((rows,)))


def _join(machine: Outline, sizes: Sizes) -> object:
    left, right, bits = sizes["left"], sizes["right"], sizes["bits"]
    columns = sizes.get("left_columns", sizes["columns"] if left >= right else 0)
    sides = (
        _side(left, columns, bits, sizes.get("left_bits", 0), "left"),
        _side(right, sizes["columns"] - columns, bits, sizes.get("right_bits", 0), "right"),
    )
    return joins.join(machine, *sides, [("left key", "right key")])


def _group(machine: Outline, sizes: Sizes) -> object:
    rows, counts, extremes = sizes["rows"], sizes.get("counts", 0), sizes.get("extremes", 0)
    flags = sizes.get("present", 0)
    values = {f"{i}": shaped((rows,)) for i in range(max(flags, 1))}
    keys = {"key": _key(rows, sizes["bits"])} if sizes["bits"] else {}
    aggregates = [
        groups.Aggregate(
            f"{i}",
            "count" if i < counts else "min" if i < counts + extremes else "sum",
            None if i < counts else "0",
            f"{i}" if i < flags else None,
        )
        for i in range(sizes["columns"])
    ]
    whole = relation.Relation(values, keys, shaped((rows,)))
    return groups.group(machine, whole, list(keys), aggregates, sizes["groups"])


def _join_rows(machine: Machine, sizes: Sizes) -> object:
    left, right, bits = sizes["left"], sizes["right"], sizes["bits"]
    columns = sizes.get("left_columns", sizes["columns"] if left >= right else 0)
    sides = (
        _side(left, columns, bits, sizes.get("left_bits", 0), "left"),
        _side(right, sizes["columns"] - columns, bits, sizes.get("right_bits", 0), "right"),
    )
    kinds: tuple[matches.Kind, ...] = ("inner", "left", "right", "full")
    uniques: tuple[matches.Unique, ...] = ("none", "left", "right")
    kind, unique = kinds[sizes.get("kept", 0)], uniques[sizes.get("unique", 0 if "bound" in sizes else 2)]
    pairs = [("left key", "right key")]
    return matches.join_rows(machine, *sides, pairs, kind=kind, unique=unique, bound=sizes.get("bound"))


def _align(machine: Machine, sizes: Sizes) -> object:
    asker, keeper = (
        alignment.Side(
            sizes.get(role, place),
            sizes[name],
            [f"{name}{i}" for i in range(sizes[f"{name}_columns"])],
            {f"{name} key": key_widths(sizes.get(f"{name}_bits", 0))},
        )
        for place, (role, name) in enumerate((("asker", "asked"), ("keeper", "held")))
    )
    outer, repeated = (bool(sizes.get(name, 0)) for name in ("outer", "repeated"))
    return alignment.align(machine, asker, keeper, None, None, outer=outer, repeated=repeated)


def _compact(machine: Machine, sizes: Sizes) -> object:
    whole = _side(sizes["rows"], sizes.get("columns", 1), sizes.get("bits", 0), 0, "")
    return relation.compact(machine, whole, sizes["rows"])


def _grouped(sizes: Sizes) -> tuple[relation.Relation, list[str], str | None]:
    """Rows with a group key, a value as a key and as a column, and its null flag."""
    rows = sizes["rows"]
    keys = {"group": _key(rows, sizes["bits"])} if sizes["bits"] else {}
    values = {"value": shaped((rows,)), "present": shaped((rows,))}
    whole = relation.Relation(values, {**keys, "value": _key(rows, sizes["value_bits"])}, shaped((rows,)))
    return whole, list(keys), "present" if sizes.get("present") else None


def _distinct_marks(machine: Machine, sizes: Sizes) -> object:
    whole, keys, present = _grouped(sizes)
    return groups.distinct_marks(machine, whole, keys, "value", present)


def _quantile_parts(machine: Machine, sizes: Sizes) -> object:
    whole, keys, present = _grouped({**sizes, "value_bits": 1})
    return groups.quantile_parts(
        machine,
        whole,
        keys,
        "value",
        Fraction(sizes.get("numerator", 1), sizes.get("denominator", 2)),
        kind="discrete" if sizes.get("discrete") else "continuous",
        present=present,
        bits=sizes["value_bits"],
    )


def _widened(machine: Machine, sizes: Sizes) -> wide.Wide:
    bits = sizes["bits"]
    return wide.widen(machine, shaped(_shape(sizes)), (1 << bits) - (bits < 64))


def _limbed(sizes: Sizes) -> wide.Wide:
    """Sums as a grouping leaves them: every limb as full as it may be."""
    count = sizes["limbs"]
    return wide.Wide(tuple(shaped(_shape(sizes)) for _ in range(count)), (wide.ROOM,) * count)


def _nothing(x: wide.Wide) -> wide.Wide:
    """Limbs that add nothing to the bounds of a difference."""
    return wide.Wide(x.limbs, (0,) * len(x.limbs))


def _scatter(machine: Machine, sizes: Sizes) -> object:
    full = _limbed(sizes)
    total = wide.Wide(full.limbs, (1 << 60,) * len(full.limbs))
    return groups.scatter(machine, shaped(_shape(sizes)), total, full)


def _scatter_digits(machine: Machine, sizes: Sizes) -> object:
    one = shaped((sizes["rows"],))
    return groups.scatter_digits(machine, one, one, [one] * sizes["limbs"])


def _square_limbs(machine: Machine, sizes: Sizes) -> object:
    return groups.square_limbs(machine, shaped((sizes["rows"],)), sizes["bits"], sizes["limbs"])


def _value_limbs(machine: Machine, sizes: Sizes) -> object:
    return groups.value_limbs(machine, shaped((sizes["rows"],)), sizes["bits"], sizes["limbs"])


def _top_rows(machine: Machine, sizes: Sizes) -> object:
    rows = (sizes["rows"],)
    widths = [sizes.get("bits", 63)] * sizes["keys"]
    nullable = sizes.get("nullable", 0)
    column = shaped(rows)
    keys = [ordering.SortKey(column, present=column if i < nullable else None, bits=b) for i, b in enumerate(widths)]
    return ordering.top_rows(machine, shaped_bits(rows), keys, [shaped(_shape(sizes))], 0)


def _divided(
    function: Callable[[Machine, Shared, Shared, division.Rounding, int], object], machine: Machine, sizes: Sizes
) -> object:
    x = shaped(_shape(sizes))
    rounding: division.Rounding = "truncate" if sizes.get("truncated") else "floor"
    return function(machine, x, x, rounding, sizes.get("bits", division.DIVIDEND_BITS))


def _wide(run: Callable[[Machine, wide.Wide], object]) -> Run:
    return lambda machine, sizes: run(machine, _limbed(sizes))


def _matmul_stack(machine: Machine, sizes: Sizes) -> Shared:
    left = shaped((sizes["stack"], sizes["rows"], sizes["inner"]))
    return linear.matmul(machine, left, shaped((sizes["stack"], sizes["inner"], sizes["columns"])))


def _convolve(machine: Machine, sizes: Sizes) -> Shared:
    side, window, channels = sizes["side"], sizes["window"], sizes.get("channels", 1)
    x = shaped((sizes["rows"], channels, side, side))
    kernel = shaped((sizes.get("outputs", 1), channels, window, window))
    padding = "SAME" if sizes.get("same") else "VALID"
    return linear.convolve_real(machine, x, kernel, sizes.get("stride", 1), padding, "NCHW")


ALIGN = Written("align", _align, "")
"""Of protocols that offer lookups; the others join by sorting."""
WRITTEN = (
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
    Written("power", _power, f"{SCIENTIFIC}; repeated squaring"),
    Written("softmax", lambda m, z: functions.softmax(m, shaped(_shape(z))), SCIENTIFIC),
    Written(
        "round_shift",
        lambda m, z: integers.round_shift(m, shaped(_shape(z)), z["bits"]),
        CORRECTED,
    ),
    _unary("absolute", integers.absolute, COMPARED),
    _unary("sign", integers.sign, COMPARED),
    _binary("minimum", integers.minimum, COMPARED),
    _binary("maximum", integers.maximum, COMPARED),
    Written("divide_whole", lambda m, z: integers.divide_whole(m, shaped(_shape(z)), z["divisor"]), INVARIANT),
    _along("minimum_along", ordering.minimum_along),
    _along("maximum_along", ordering.maximum_along),
    _along("argmin", ordering.argmin),
    _along("argmax", ordering.argmax),
    Written("sort_columns", _sort_columns, SORTED),
    Written("sort_by", _sort_by, SORTED),
    Written("top_k", lambda m, z: ordering.top_k(m, shaped((z["rows"],)), 1, z.get("bits", 63)), SORTED),
    Written("quantile", _quantile, SORTED),
    Written("count_distinct", _count_distinct, SORTED),
    Written("filter", _filter, COMPARED),
    Written("join", _join, SORTED),
    Written("group", _group, SORTED),
    Written("join_rows", _join_rows, EXPANDED),
    Written("compact", _compact, SORTED),
    Written("distinct_marks", _distinct_marks, SORTED),
    Written("quantile_parts", _quantile_parts, SORTED),
    Written("divide_exact", lambda m, z: _divided(division.divide_exact, m, z), DIVIDED),
    Written("divide_or_null", lambda m, z: _divided(division.divide_or_null, m, z), DIVIDED),
    Written("whole_power", lambda m, z: division.whole_power(m, shaped(_shape(z)), z["exponent"]), "repeated squaring"),
    _binary("bitwise", lambda m, x, y: division.bitwise(m, "and", x, y), COMPARED),
    _binary("bitwise_xor", lambda m, x, y: division.bitwise(m, "xor", x, y), COMPARED),
    Written("shift_right", lambda m, z: division.shift_right(m, shaped(_shape(z)), z["bits"]), CORRECTED),
    Written("widen", _widened, CARRIED),
    Written("wide_limbs", lambda m, z: wide.carried(m, _widened(m, z)), CARRIED),
    Written("wide_multiply", lambda m, z: wide.multiply(m, _widened(m, z), _widened(m, z)), CARRIED),
    Written("wide_digits", _wide(wide.digits), CARRIED),
    Written(
        "wide_less_than", _wide(lambda m, x: wide.less_than(m, x, wide.Wide(x.limbs, (0,) * len(x.limbs)))), CARRIED
    ),
    Written("wide_equal", _wide(lambda m, x: wide.equal(m, x, wide.Wide(x.limbs, (0,) * len(x.limbs)))), CARRIED),
    Written("scatter", _scatter, CARRIED),
    Written("scatter_digits", _scatter_digits, CARRIED),
    Written("square_limbs", _square_limbs, CARRIED),
    Written("value_limbs", _value_limbs, CARRIED),
    Written("top_rows", _top_rows, SORTED),
    Written("matmul_stack", _matmul_stack, LINEAR),
    Written("convolve", _convolve, LINEAR),
    Written("norm", lambda m, z: linear.norm(m, shaped(_shape(z)), 1), f"{LINEAR}; {NORMALISED}"),
    _binary("divide_signed", quotient.divide_signed, "Catrina, Saxena (FC 2010); Newton's iteration"),
)
