"""What share.rep3 declares: threat, and for every operation its cost, source and disclosure.

Sizes. rows and columns (1 where not given) of the operands; bits: width of words, of a comparison (64), or of all keys
together; inner: the shared dimension of a matrix product; recipients of an opening (3 or 1).
Sizes of what is written over Machine: see share/composed.py.
Operations whose names end in "_outside" are with a party that does not compute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lingqu.kinds.disclosure import Audience, Fact, Reveals
from lingqu.kinds.mechanism import Adversary, Cost, Declaration, Operation, Sizes, Threat
from lingqu.share import composed
from lingqu.share.api import FRACTION_BITS
from lingqu.share.outline import WORD, packed
from lingqu.share.rep3.tally import Tally

ARAKI_2016 = "Araki, Furukawa, Lindell, Nof, Ohara (CCS 2016)"
ARAKI_2021 = "Araki et al., Secure Graph Analysis at Scale (CCS 2021)"
ABY3 = "ABY3: Mohassel, Rindal (CCS 2018)"
SORTING = "Asharov et al., Efficient Secure Three-Party Sorting (CCS 2022)"
RANKING = "after Hamada et al. (ICISC 2012)"

INPUT = Reveals(to=Audience.COMPUTE, fact=Fact.SHAPE, about="the number and width of the values shared")
OPENED = Reveals(to=Audience.RECIPIENT, fact=Fact.RESULT_ROWS, about="the opened values, to those they are opened to")


def _count(sizes: Sizes) -> int:
    return sizes["rows"] * sizes.get("columns", 1)


def _matrices(sizes: Sizes) -> tuple[int, int, int]:
    return sizes["rows"], sizes.get("inner", 1), sizes.get("columns", 1)


@dataclass(frozen=True)
class Counted:
    """An operation that a tally counts from its sizes."""

    name: str
    run: Callable[[Tally, Sizes], object]
    source: str
    reveals: tuple[Reveals, ...]

    def operation(self, tally: Callable[[], Tally], proofs: str = "") -> Operation:
        """At the cost that a protocol's tally finds.  proofs: a source to add."""

        def cost(sizes: Sizes) -> Cost:
            counted = tally()
            self.run(counted, sizes)
            return counted.cost

        return Operation(self.name, cost, self.source + proofs, self.reveals)


def _operation(name: str, run: Callable[[Tally, Sizes], object], source: str, *reveals: Reveals) -> Counted:
    return Counted(name, run, source, reveals)


COUNTED = (
    _operation("connect", lambda t, _: t.wave((0, 2, 16), (1, 0, 16), (2, 1, 16)), f"{ARAKI_2016}, section 3.3"),
    _operation("input", lambda t, z: t.give(WORD * _count(z)), f"{ARAKI_2016}, section 3.1", INPUT),
    _operation(
        "input_bits", lambda t, z: t.give(WORD * packed(_count(z), z["bits"])), f"{ARAKI_2016}, section 3.1", INPUT
    ),
    _operation(
        "reveal", lambda t, z: t.reveal(WORD * _count(z), z.get("recipients", 3)), f"{ARAKI_2016}, section 3.1", OPENED
    ),
    _operation(
        "reveal_bits",
        lambda t, z: t.reveal(WORD * packed(_count(z), z["bits"]), z.get("recipients", 3)),
        f"{ARAKI_2016}, section 3.1",
        OPENED,
    ),
    _operation("input_outside", lambda t, z: t.enter(WORD * _count(z)), f"{ARAKI_2016}, section 3.1", INPUT),
    _operation(
        "input_bits_outside",
        lambda t, z: t.enter(WORD * packed(_count(z), z["bits"])),
        f"{ARAKI_2016}, section 3.1",
        INPUT,
    ),
    _operation("reveal_outside", lambda t, z: t.leave(WORD * _count(z)), f"{ARAKI_2016}, section 3.3", OPENED),
    _operation("multiply", lambda t, z: t.multiply(_count(z)), f"{ARAKI_2016}, section 3.2"),
    _operation("multiply_real", lambda t, z: t.multiply_real(_count(z)), f"{ABY3}, section 5.1"),
    _operation("matmul", lambda t, z: t.matmul(*_matrices(z)), f"{ABY3}, section 5.1"),
    _operation("matmul_real", lambda t, z: t.matmul_real(*_matrices(z)), f"{ABY3}, section 5.1"),
    _operation(
        "truncate",
        lambda t, z: t.truncate(_count(z), z.get("bits", FRACTION_BITS)),
        f"{ABY3}, section 5.1; Rathee et al., SIRNN (S&P 2021)",
    ),
    _operation("less_than", lambda t, z: t.less_than(_count(z), z.get("bits", 64)), f"{ABY3}, section 5.3"),
    _operation("equal", lambda t, z: t.is_zero(_count(z)), f"{ABY3}, section 5.3"),
    _operation("equal_words", lambda t, z: t.all_ones(_count(z), z["bits"]), f"{ARAKI_2016}, section 3.1"),
    _operation("logical_and", lambda t, z: t.bits_and(_count(z), z.get("bits", 1)), f"{ARAKI_2016}, section 3.1"),
    _operation("select", lambda t, z: t.select(_count(z), _count(z)), f"{ABY3}, section 5.4"),
    _operation("inject", lambda t, z: t.integers(_count(z)), f"{ABY3}, section 5.4"),
    _operation("weigh", lambda t, z: t.weigh(_count(z), z["bits"], (z["bits"],) * z["sums"]), f"{ABY3}, section 5.4"),
    _operation(
        "to_bits", lambda t, z: t.to_bits(_count(z), z.get("bits", 64), z.get("low", 0)), f"{ABY3}, section 5.3"
    ),
    _operation("to_shared", lambda t, z: t.integers(_count(z), z["bits"]), f"{ABY3}, section 5.4"),
    _operation("shuffle", lambda t, z: t.shuffle(z["rows"], z["columns"]), ARAKI_2021),
    _operation("sort", lambda t, z: t.sort(z["rows"], z["bits"]), f"{RANKING}; few bits: after {SORTING}"),
    _operation("apply", lambda t, z: t.apply(z["rows"], z["columns"]), f"after {SORTING}"),
    _operation("unapply", lambda t, z: t.unapply(z["rows"], z["columns"]), f"after {SORTING}"),
)
SOURCES = composed.Sources(f"{ABY3}, section 5.4", f"after {SORTING}")
LOOKUP = (
    "server-aided after Kamara et al. (FC 2014), shares as the result after Pinkas et al. (EUROCRYPT 2019); "
    "Mohassel, Rindal, Rosulek (CCS 2020)"
)
OPERATIONS = (
    *(counted.operation(Tally) for counted in COUNTED),
    *composed.operations(Tally, 3, SOURCES),
    composed.alignment_of(Tally, 3, LOOKUP, (INPUT,)),
)

DECLARATION = Declaration(
    name="share.rep3",
    title="Replicated secret sharing among three parties",
    source=f"{ARAKI_2016}; {ABY3}; {SORTING}",
    threat=Threat(
        Adversary.SEMI_HONEST, 3, 1, "honest majority, private pairwise channels, AES-128 as a pseudorandom function"
    ),
    operations={operation.name: operation for operation in OPERATIONS},
    aligned_rows=lambda asked: asked,
)
