"""Joins by lookup: equal to pandas' joins, costs as declared, and transcripts that say nothing of who matched."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.share.test_declaration import DECLARATIONS, uniform

from lingqu._core import cuckoo_bins
from lingqu.kinds.errors import BadInput
from lingqu.share import Aligned, Machine, Rows, Side, align
from lingqu.share.composed import key_widths
from lingqu.share.lookups import Kept, Lookup
from lingqu.share.two.machine import Two

NOTHING = 9
EXTREMES = [-(2**63), -1, 0, 1, 2**63 - 1]


def keys_of(texts: list[str]) -> NDArray[np.uint64]:
    """Texts as keys of two words."""
    digests = b"".join(hashlib.sha256(text.encode()).digest()[:16] for text in texts)
    return np.frombuffer(digests, np.uint64).reshape(len(texts), 2)


def side(owner: int, rows: int, name: str) -> Side:
    return Side(owner, rows, [f"{name}x", f"{name}y"], {f"{name}g": (5,), f"{name}h": (64, 3)})


def own(keys: list[str], valid: list[bool], seed: int) -> Rows:
    random = np.random.default_rng(seed)
    count = len(keys)
    table = random.choice(np.asarray(EXTREMES), (count, 2))
    words = [
        random.integers(0, 1 << width, count, dtype=np.uint64)
        if width < 64
        else random.integers(0, 2**64, count, np.uint64)
        for width in (5, 64, 3)
    ]
    return Rows(keys_of(keys), table, words, np.asarray(valid, np.bool_))


def frame(keys: list[str], rows: Rows, name: str) -> pd.DataFrame:
    """The owner's valid rows, as pandas sees them."""
    found = {"key": keys, f"{name}x": rows.table[:, 0], f"{name}y": rows.table[:, 1]}
    found |= {f"{name}g": rows.words[0], f"{name}h": rows.words[1], f"{name}i": rows.words[2]}
    return pd.DataFrame(found, dtype=object)[np.asarray(rows.valid)]


def opened(m: Machine, aligned: Aligned) -> list[tuple[Any, ...]]:
    """The valid rows of a result, sorted."""
    relation = aligned.rows
    values = [m.reveal(relation.columns[name]) for name in ("ax", "ay", "bx", "by")]
    words = [m.reveal_bits(word) for name in ("ag", "ah", "bg", "bh") for word in relation.keys[name]]
    valid, met = m.reveal(relation.valid), m.reveal(aligned.met)
    columns = [np.asarray(column).tolist() for column in (*values, *words, met)]
    assert all(value in (0, 1) for value in np.asarray(valid).tolist())
    return sorted(
        row for row, there in zip(zip(*columns, strict=True), np.asarray(valid).tolist(), strict=True) if there
    )


def expected(left: pd.DataFrame, right: pd.DataFrame, outer: bool) -> list[tuple[Any, ...]]:
    """pandas' join with zeros, and the word for absence, where there is no match."""
    merged = left.merge(right, on="key", how="left" if outer else "inner", indicator=True)
    met = merged.pop("_merge") == "both"
    wanted = merged[["ax", "ay", "bx", "by", "ag", "ah", "ai", "bg", "bh", "bi"]].astype(object)
    wanted.loc[~met, ["bx", "by", "bh", "bi"]] = 0
    wanted.loc[~met, "bg"] = NOTHING
    rows = zip(*(wanted[name].tolist() for name in wanted), met.astype(int).tolist(), strict=True)
    return sorted(tuple(int(value) for value in row) for row in rows)


def joined(asks: Rows, keeps: Rows, asker: int, keeper: int, outer: bool, repeated: bool) -> Any:
    def work(m: Machine) -> Any:
        sides = side(asker, len(asks.match), "a"), side(keeper, len(keeps.match), "b")
        given = asks if m.owns(asker) else None, keeps if m.owns(keeper) else None
        how = {"outer": outer, "repeated": repeated, "absent": {"bg": (NOTHING,)}}
        return opened(m, align(m, *sides, *given, **how))  # type: ignore[arg-type]

    return work


def check(
    parties: Any,
    ask: list[tuple[str, bool]],
    keep: list[tuple[str, bool]],
    roles: tuple[int, int],
    outer: bool,
    repeated: bool,
) -> None:
    texts = [text for text, _ in ask], [text for text, _ in keep]
    asks, keeps = own(texts[0], [v for _, v in ask], 1), own(texts[1], [v for _, v in keep], 2)
    work = joined(asks, keeps, *roles, outer, repeated)
    wanted = expected(frame(texts[0], asks, "a"), frame(texts[1], keeps, "b"), outer)
    assert work(parties.twin()) == wanted
    assert all(result == wanted for result in parties(work).results)


TEXTS = st.sampled_from(["", "a", "张三", "é", "é", "\U0001f980", *"bcdefgh"])
MARKED = st.tuples(TEXTS, st.booleans())
ROLES = [(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (0, 2)]


@settings(max_examples=10, deadline=None)
@given(
    st.lists(MARKED, max_size=12),
    st.lists(MARKED, max_size=12, unique_by=lambda pair: pair[0]),
    st.sampled_from(ROLES),
    st.booleans(),
)
@example([], [], (0, 1), True)
@example([("a", True)] * 12, [("a", True)], (2, 0), False)
@example([("a", True), ("b", True)], [("b", True), ("a", True)], (1, 0), True)
@example([("a", False)], [("a", True)], (1, 2), True)
@example([("a", True)], [], (0, 1), True)
def test_joins_equal_pandas(
    parties: Any, ask: list[tuple[str, bool]], keep: list[tuple[str, bool]], roles: tuple[int, int], outer: bool
) -> None:
    if max(roles) >= parties.count:
        roles = (0, 1) if roles[0] < roles[1] else (1, 0)
    check(parties, ask, keep, roles, outer, repeated=True)
    once = {text: (text, valid) for text, valid in ask}
    check(parties, list(once.values()), keep, roles, outer, repeated=False)


@pytest.mark.parametrize("shared", [0, 300, 700])
def test_larger_tables(parties: Any, shared: int) -> None:
    ask = [(str(i), i % 7 != 0) for i in range(700)]
    keep = [(str(i), i % 5 != 0) for i in range(700 - shared, 1900 - shared)]
    check(parties, ask, keep, (1, 0), outer=False, repeated=False)
    check(parties, [(str(i // 9), True) for i in range(700)], keep, (0, 1), outer=True, repeated=True)


def run(parties: Any, matches: int, seed: int, how: dict[str, bool], roles: tuple[int, int] = (0, 1)) -> Any:
    """A session in which so many of 40 rows match 30; the transcript from before the lookup to its result."""
    texts = [str(i) for i in range(40)]
    if how["repeated"]:
        texts = [str(i // (1 + seed)) for i in range(40)]
    asks = own(texts, [True] * 40, seed)
    keeps = own([str(i) if i < matches else f"{i} {seed}" for i in range(30)], [True] * 30, seed + 1)
    sides = side(roles[0], 40, "a"), side(roles[1], 30, "b")

    def work(m: Machine) -> Any:
        given = asks if m.owns(roles[0]) else None, keeps if m.owns(roles[1]) else None
        align(m, *sides, *given, outer=how["outer"], repeated=how["repeated"])
        return None

    return parties(work)


HOW = [{"outer": outer, "repeated": repeated} for outer in (False, True) for repeated in (False, True)]
SIZES = [
    {"asked": 40, "held": 30, "asked_columns": 2, "held_columns": 3, "asked_bits": 5, "held_bits": 70},
    {"asked": 40, "held": 30, "asked_columns": 0, "held_columns": 0},
    {"asked": 30, "held": 700, "asked_columns": 1, "held_columns": 0, "held_bits": 9},
    {"asked": 0, "held": 3, "asked_columns": 1, "held_columns": 1, "asked_bits": 3},
    {"asked": 3, "held": 0, "asked_columns": 1, "held_columns": 1, "asked_bits": 3},
    {"asked": 1, "held": 1, "asked_columns": 1, "held_columns": 1},
]


def rows_of(side: Side, seed: int) -> Rows:
    keys = keys_of([f"{i} {seed}" for i in range(side.rows)])
    words = [np.full(side.rows, seed & 1, np.uint64) for _ in side.widths]
    return Rows(keys, np.full((side.rows, len(side.columns)), seed), words)


@pytest.mark.parametrize(("place", "how"), list(enumerate(HOW)))
@pytest.mark.parametrize("sizes", SIZES)
def test_costs_are_as_declared(parties: Any, sizes: dict[str, int], place: int, how: dict[str, bool]) -> None:
    roles = ROLES[(place + SIZES.index(sizes)) % (6 if parties.count == 3 else 2)]
    sides = [
        Side(owner, sizes[name], [f"{name}{i}" for i in range(sizes[f"{name}_columns"])], {f"{name}k": widths})
        for owner, name in zip(roles, ("asked", "held"), strict=True)
        for widths in [key_widths(sizes.get(f"{name}_bits", 0))]
    ]

    def work(m: Machine, given: Sequence[Rows | None]) -> None:
        align(m, sides[0], sides[1], given[0], given[1], outer=how["outer"], repeated=how["repeated"])

    def prepare(m: Machine, seed: int) -> list[Rows | None]:
        if isinstance(m, Two):
            m.prepare(lambda outline: work(outline, (None, None)))
        return [rows_of(s, seed) if m.owns(s.owner) else None for s in sides]

    runs = [parties(work, lambda m, seed=seed: prepare(m, seed)) for seed in (0, 1)]
    asked = {**sizes, "asker": roles[0], "keeper": roles[1], **{name: int(value) for name, value in how.items()}}
    declared = DECLARATIONS[parties.protocol].cost("align", asked)
    assert (runs[0].rounds, runs[0].bytes) == (declared.rounds, declared.bytes)
    assert runs[0].shape == runs[1].shape


@pytest.mark.parametrize(("place", "how"), list(enumerate(HOW)))
def test_transcripts_do_not_depend_on_who_matched(parties: Any, place: int, how: dict[str, bool]) -> None:
    roles = ROLES[place % (6 if parties.count == 3 else 2)]
    shapes = [run(parties, matches, seed, how, roles).shape for matches, seed in ((0, 1), (12, 0), (30, 2))]
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize("matches", [0, 1500, 3000])
def test_every_view_looks_uniform(parties: Any, matches: int) -> None:
    """Whatever a party receives: tags, store, shares.  Zeros as values, so that nothing else makes it look so."""
    keys = [keys_of([str(i) for i in range(3000)]), keys_of([str(i + 3000 - matches) for i in range(3000)])]
    rows = [Rows(key, np.zeros((3000, 2), np.int64), [np.zeros(3000, np.uint64)] * 3) for key in keys]
    sides = side(0, 3000, "a"), side(1, 3000, "b")

    def work(m: Machine) -> None:
        align(m, *sides, *(own if m.owns(place) else None for place, own in enumerate(rows)), outer=True)

    sent = parties(work).sent
    for party in range(parties.count):
        for message in (m for m in sent if m.to == party):
            assert len(message.data) < 4096 or uniform(message.data)


def test_the_keepers_rows_are_refused_where_they_repeat(parties: Any) -> None:
    with pytest.raises(BadInput, match="kept twice"):
        check(parties, [("a", True)], [("b", True), ("b", True)], (0, 1), False, False)
    with pytest.raises(BadInput, match="asked for twice"):
        check(parties, [("a", True)] * 2, [("b", True)], (0, 1), False, False)


def test_sides_must_be_two_that_compute(parties: Any) -> None:
    twin = parties.twin()
    asks, keeps = own(["a"], [True], 1), own(["b"], [True], 2)
    with pytest.raises(BadInput, match="its own keys"):
        align(twin, side(1, 1, "a"), side(1, 1, "b"), asks, keeps)
    with pytest.raises(BadInput, match="compute here"):
        align(twin, side(1, 1, "a"), side(7, 1, "b"), asks, keeps)
    with pytest.raises(BadInput, match="one name"):
        align(twin, side(1, 1, "a"), side(0, 1, "a"), asks, keeps)
    with pytest.raises(BadInput, match="compute here"):
        parties(joined(asks, keeps, 0, 7, False, False))


def test_malicious_parties_join_by_sorting(checked_parties: Any) -> None:
    asks, keeps = own(["a"], [True], 1), own(["b"], [True], 2)
    with pytest.raises(BadInput, match="offers no lookups"):
        checked_parties(joined(asks, keeps, 0, 1, False, False))


def test_rows_do_not_print() -> None:
    rows = own([secrets.token_hex(8)], [True], 1)
    kept = Kept(rows.match, rows.table, rows.words)
    assert (repr(rows), repr(kept)) == ("Rows()", "Kept()")


def test_false_hits_are_as_rare_as_said() -> None:
    """Every slot has one test: their number by the chance of one stays below 2^-40."""
    for asked in (0, 1, 100, 1 << 20, 1 << 23, 1 << 26):
        for slots in (asked, cuckoo_bins(asked)):
            assert slots * 2.0 ** -sum(Lookup(0, 1, asked, 5).check_widths) <= 2**-40
    assert Lookup(0, 1, 1 << 20, 5).check_widths == (62,)
    assert Lookup(0, 1, 1 << 23, 5).check_widths == (64, 1)
