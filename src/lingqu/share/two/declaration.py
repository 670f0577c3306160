"""What share.two declares: threat, and for every operation its cost, source and disclosure.

The cost of an operation is what it sends itself, with its correlations made ahead; rounds and bytes are exact.  Making
them is counted by `forecast.Forecast`, and `preparation_cost` has what a fresh session takes for a piece of work.
Sizes. rows and columns (1 where not given) of the operands; bits: width of words, of a comparison (64), or of all keys
together; inner: the shared dimension of a matrix product; recipients of an opening (2 or 1).
Sizes of what is written over Machine: see share/composed.py.
Operations whose names end in "_outside" are with a party that does not compute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from lingqu._core import cuckoo_bins
from lingqu.kinds.disclosure import Audience, Fact, Reveals
from lingqu.kinds.mechanism import Adversary, Cost, Declaration, Operation, Sizes, Threat
from lingqu.share import composed
from lingqu.share.api import FRACTION_BITS
from lingqu.share.outline import WORD, Outline, packed
from lingqu.share.two import forecast
from lingqu.share.two.needs import Demand
from lingqu.share.two.tally import TwoTally

BEAVER = "Beaver (CRYPTO 1991); triples after Cheetah: Huang et al. (USENIX Security 2022)"
CRYPTFLOW2 = "CrypTFlow2: Rathee et al. (CCS 2020)"
CHEETAH = "Cheetah: Huang et al. (USENIX Security 2022)"
SIRNN = "SIRNN: Rathee et al. (S&P 2021)"
SHUFFLE = "Mohassel, Sadeghian (EUROCRYPT 2013); Chase, Ghosh, Poburinnaya (ASIACRYPT 2020)"
RANKING = "after Hamada et al. (ICISC 2012); few bits: after Asharov et al. (CCS 2022)"
SORTING = "Asharov et al., Efficient Secure Three-Party Sorting (CCS 2022)"
LOOKUP = (
    "Pinkas, Schneider, Tkachenko, Yanai (EUROCRYPT 2019); Rindal, Schoppmann (EUROCRYPT 2021); "
    "Raghuraman, Rindal (CCS 2022); Chandran, Gupta, Shah (PETS 2022)"
)
TRANSFERS = "Ferret: Yang et al. (CCS 2020), from the room ot"

INPUT = Reveals(to=Audience.COMPUTE, fact=Fact.SHAPE, about="the number and width of the values shared")
OPENED = Reveals(to=Audience.RECIPIENT, fact=Fact.RESULT_ROWS, about="the opened values, to those they are opened to")


def _count(sizes: Sizes) -> int:
    return sizes["rows"] * sizes.get("columns", 1)


RUNS: dict[str, Callable[[TwoTally, Sizes], object]] = {
    written.name: lambda tally, sizes, written=written: written.run(Outline(tally, 2), sizes)  # type: ignore[misc]
    for written in (*composed.WRITTEN, composed.ALIGN)
}
"""What each operation counts, by name."""


def _operation(name: str, run: Callable[[TwoTally, Sizes], object], source: str, *reveals: Reveals) -> Operation:
    RUNS[name] = run

    def cost(sizes: Sizes) -> Cost:
        tally = TwoTally()
        run(tally, sizes)
        return tally.cost

    return Operation(name, cost, source, reveals)


OPERATIONS = (
    Operation("connect", lambda _: forecast.connected().cost, TRANSFERS),
    _operation("input", lambda t, z: t.give(WORD * _count(z)), "shares drawn under the pair's key", INPUT),
    _operation("input_bits", lambda t, z: t.give(WORD * _count(z)), "shares drawn under the pair's key", INPUT),
    _operation("reveal", lambda t, z: t.reveal(WORD * _count(z), z.get("recipients", 2)), "shares sent", OPENED),
    _operation(
        "reveal_bits",
        lambda t, z: t.reveal(WORD * packed(_count(z), z["bits"]), z.get("recipients", 2)),
        "shares sent",
        OPENED,
    ),
    _operation("input_outside", lambda t, z: t.enter(WORD * _count(z)), "one share drawn, one sent", INPUT),
    _operation(
        "input_bits_outside",
        lambda t, z: t.enter(WORD * packed(_count(z), z["bits"])),
        "one share drawn, one sent",
        INPUT,
    ),
    _operation("reveal_outside", lambda t, z: t.leave(WORD * _count(z)), "shares sent under a fresh mask", OPENED),
    _operation("multiply", lambda t, z: t.multiply(_count(z)), BEAVER),
    _operation("multiply_real", lambda t, z: t.multiply_real(_count(z)), f"{BEAVER}; {SIRNN}"),
    _operation("matmul", lambda t, z: t.matmul(z["rows"], z.get("inner", 1), z.get("columns", 1)), BEAVER),
    _operation(
        "matmul_real",
        lambda t, z: t.matmul_real(z["rows"], z.get("inner", 1), z.get("columns", 1)),
        f"{BEAVER}; {SIRNN}",
    ),
    _operation(
        "truncate",
        lambda t, z: t.truncate(_count(z), z.get("bits", FRACTION_BITS)),
        f"{SIRNN}; {CHEETAH}, section 4",
    ),
    _operation(
        "less_than",
        lambda t, z: t.less_than(_count(z), z.get("bits", 64)),
        f"{CRYPTFLOW2}, section 3.1; {CHEETAH}, section 4",
    ),
    _operation("equal", lambda t, z: t.is_zero(_count(z)), f"after {CRYPTFLOW2}, section 3.1"),
    _operation("equal_words", lambda t, z: t.all_ones(_count(z), z["bits"]), f"after {CRYPTFLOW2}, section 3.1"),
    _operation("logical_and", lambda t, z: t.bits_and(_count(z), z.get("bits", 1)), "Beaver (CRYPTO 1991)"),
    _operation("select", lambda t, z: t.select(_count(z), _count(z)), f"{CRYPTFLOW2}, section 3.4"),
    _operation("inject", lambda t, z: t.integers(_count(z)), f"{CRYPTFLOW2}, section 3.4"),
    _operation(
        "weigh", lambda t, z: t.weigh(_count(z), z["bits"], (z["bits"],) * z["sums"]), f"{CRYPTFLOW2}, section 3.4"
    ),
    _operation(
        "to_bits",
        lambda t, z: t.to_bits(_count(z), z.get("bits", 64), z.get("low", 0)),
        f"digits after {CRYPTFLOW2}; Sklansky (1960)",
    ),
    _operation("to_shared", lambda t, z: t.integers(_count(z), z["bits"]), f"{CRYPTFLOW2}, section 3.4"),
    _operation("shuffle", lambda t, z: t.shuffle(z["rows"], z["columns"]), SHUFFLE),
    _operation("sort", lambda t, z: t.sort(z["rows"], z["bits"]), RANKING),
    _operation("apply", lambda t, z: t.apply(z["rows"], z["columns"]), f"after {SORTING}"),
    _operation("unapply", lambda t, z: t.unapply(z["rows"], z["columns"]), f"after {SORTING}"),
    *composed.operations(TwoTally, 2, composed.Sources(f"{CRYPTFLOW2}, section 3.4", f"after {SORTING}")),
    composed.alignment_of(TwoTally, 2, LOOKUP, (INPUT,)),
)


def preparation(work: Sequence[tuple[str, Sizes, int]]) -> Cost:
    """What the correlations of some work take on a session that has made none yet."""
    demand: Demand = Counter()
    for name, sizes, times in work:
        tally = TwoTally()
        if name in RUNS:
            RUNS[name](tally, sizes)
        for need, units in tally.demand.items():
            demand[need] += units * times
    return forecast.preparation_cost(demand)


DECLARATION = Declaration(
    name="share.two",
    title="Additive secret sharing between two parties, without a dealer",
    source=f"{CRYPTFLOW2}; {CHEETAH}; {SIRNN}; {TRANSFERS}",
    threat=Threat(
        Adversary.SEMI_HONEST,
        2,
        1,
        "ristretto255, learning parity with noise, ring learning with errors, AES-128 as an ideal permutation, "
        "SHA-256 as a random oracle",
    ),
    operations={operation.name: operation for operation in OPERATIONS},
    preparation=preparation,
    aligned_rows=cuckoo_bins,
)


def preparation_cost(work: Callable[[Outline], object]) -> Cost:
    """What `Two.prepare(work)` sends on a session that has made no correlation yet: exact."""
    tally = TwoTally()
    work(Outline(tally, 2))
    return forecast.preparation_cost(tally.demand)
