"""Whether a kernel's time depends on the secrets it works on, after Reparaz, Balasch, Verbauwhede, "Dude, is my code
constant time?" (DATE 2017).

A kernel runs many times on inputs of two classes in random order: one fixed extreme, or fresh random words; for the
answers of an intersection, sets that have all of the answering party's elements, or none.  Both are
copied into the same memory before the clock starts, so that caches see the same addresses.  Welch's t compares the two
classes' times, once as measured and once for every threshold that cuts off the slowest runs (interrupts).  |t| stays
below 5 when the classes' times have one distribution.  A busy machine widens both classes alike; it can hide a leak,
but hardly fakes one, and a kernel is called leaky only when six measurements in a row say so.

    python -m pytest tests/timing          (100,000 measurements a kernel; MEASUREMENTS=... for another number)
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from lingqu import _core
from lingqu.psi import elements

MEASUREMENTS = int(os.environ.get("MEASUREMENTS", "100000"))
LIMIT = 5.0
TRIES = 6
KEPT = (1.0, 0.99, 0.95, 0.9, 0.75, 0.5)
"""Shares of the runs, the fastest, that are compared."""
POOL = 64
WORDS = 256

Words = NDArray[np.uint64]
Kernel = Callable[[list[Words]], object]


@dataclass(frozen=True)
class Case:
    """A kernel and how many arrays of secret words it takes; `fixed` is the word of the fixed class.

    made: both classes' inputs instead, POOL of them of `arrays` arrays of words each.
    """

    run: Kernel
    arrays: int
    fixed: int = 0
    width: int = 64
    made: Callable[[], tuple[Words, Words]] | None = None


def _mine() -> _core.Prg:
    return _core.Prg(bytes(16))


def _compare(a: list[Words]) -> object:
    """The comparison's own steps at one party: planes of both components, and the first level of carries."""
    first, second = _core.to_planes(a[0], 64), _core.to_planes(a[1], 64)
    return _core.and_shares((first, second), (second, first), MINE, NEXT)


def _select(a: list[Words]) -> object:
    """y + bit (x - y): one product of shares."""
    return _core.multiply_shares((a[0], a[1]), (a[2], a[3]), MINE, NEXT)


def _choose(a: list[Words]) -> object:
    """A level of the tree that finds the first difference of two keys: four nodes of two rows each."""
    return _core.choose_rows(([a[0]], [a[1]]), WORDS // 8, [(1, 5, 4), (3, 7, 6)], [(3, 2)], MINE, NEXT)


def _pairs(a: list[Words]) -> object:
    """Planes of chosen pairs of rows; which pairs is public."""
    return _core.pair_planes(a[0], 60, (EARLIER, LATER))


def _answers(a: list[Words]) -> object:
    """Two parties' comparison: the answers to 64 lookups a word by a secret digit."""
    return _core.lookup_answers(a[0], a[1][:LOOKED], a[2][:LOOKED], a[3][: LOOKED // 2], bytes(range(256)), 2)


def _answering(curve: str, points: int) -> Case:
    """psi.ecdh's answer to a peer's points: those of this party's own elements at all times, or of others."""

    def secret(byte: int) -> _core.GroupKey | _core.CurveKey:
        uniform = bytes([byte] * 64)
        return _core.CurveKey(curve, uniform) if curve else _core.GroupKey(uniform)

    own, peer = secret(1), secret(2)
    size = points * (33 if curve else 32)

    def sent(start: int) -> Words:
        """The peer's points for some elements, with zeros up to a whole word."""
        held = elements([list(range(start, start + points))], ["exact/1"])
        encoded = peer.map(b"domain", held.data, held.offsets).tobytes()
        return np.frombuffer(encoded + bytes(-size % 8), np.uint64)

    def made() -> tuple[Words, Words]:
        none = [sent(points * i) for i in range(1, POOL + 1)]
        return np.stack(none)[:, None], np.stack([sent(0)] * POOL)[:, None]

    return Case(lambda a: own.multiply(a[0].view(np.uint8)[:size]), 1, made=made)


BLINDED = 8


def _blind(a: list[Words]) -> object:
    """psi.ecdh's first message: elements and their blinds are secret; the elements' length is not."""
    data = a[1].view(np.uint8)[: 8 * BLINDED]
    return _core.GroupBlinding().blind(b"domain", data, ENDS, a[0].view(np.uint8)[: 32 * BLINDED])


def _unblind(a: list[Words]) -> object:
    """Blinds taken away from a peer's answers, which the peer knows."""
    return UNBLINDING.unblind(ANSWERS, a[0].view(np.uint8)[: 32 * BLINDED])


class Sender:
    """psi.rr22's sender from the receiver's masked store to its tags; all its elements are the receiver's, or none."""

    def __init__(self) -> None:
        self.keyed = (bytes(range(16)), 8)
        self.delta = (0x0123456789ABCDEF, 0xFEDCBA9876543210)
        self.columns = _core.okvs_columns(LOOKED)
        self.own = self.hashes(0)

    @staticmethod
    def hashes(start: int) -> tuple[Words, Words]:
        """Of elements from a number on."""
        held = elements([list(range(start, start + LOOKED))], ["exact/1"])
        return _core.element_hashes(bytes(32), held.data, held.offsets)

    def store(self, start: int) -> Words:
        store = _core.okvs_encode(self.keyed[0], *self.hashes(start), self.columns, random.randbytes(16))
        assert store is not None
        return store

    def made(self) -> tuple[Words, Words]:
        """a + p, with p the receiver's store, and b."""
        draw = np.random.default_rng(random.SystemRandom().getrandbits(64))
        shape = (POOL, 2, 2 * self.columns)
        none, all_of_them = (draw.integers(0, 1 << 64, shape, np.uint64, endpoint=False) for _ in range(2))
        for i in range(POOL):
            none[i, 0] ^= self.store(LOOKED * (i + 1))
            all_of_them[i, 0] ^= self.store(0)
        return none, all_of_them

    def answer(self, a: list[Words]) -> NDArray[np.uint8]:
        store = _core.gf128_scale_add(self.delta, a[0], a[1])
        return _core.rr22_tags(self.keyed, self.own, store, self.delta)


MINE, NEXT = _mine(), _mine()
LOOKED = WORDS // 8
EARLIER, LATER = (np.arange(i, WORDS // 2 - 1 + i, dtype=np.uint32) for i in (0, 1))
SIZES = (16, 16, 16)
LOOKUP_COLUMNS, LOOKUP_ROWS = 2 * WORDS, 4
TABLE = np.arange(LOOKUP_COLUMNS * LOOKUP_ROWS, dtype=np.uint64).astype(np.uint8)
HINT = _core.pir_hint(bytes(16), 0, TABLE, LOOKUP_COLUMNS, 1)
ASKED = _core.PirQueries(bytes(16), bytes(16), LOOKUP_COLUMNS, [HINT] * 64, 1)
SENDER = Sender()
ENDS = np.arange(0, 8 * BLINDED + 1, 8, dtype=np.int64)
HOLDER = _core.GroupKey(bytes([3] * 64))
UNBLINDING = _core.GroupUnblinding(HOLDER.public())
ANSWERS = HOLDER.map(b"domain", np.arange(8 * BLINDED, dtype=np.uint8), ENDS)
CASES: dict[str, Case] = {
    "and_shares": Case(lambda a: _core.and_shares((a[0], a[1]), (a[2], a[3]), MINE, NEXT), 4),
    "and_shares of ones": Case(lambda a: _core.and_shares((a[0], a[1]), (a[2], a[3]), MINE, NEXT), 4, (1 << 64) - 1),
    "multiply_shares": Case(_select, 4),
    "multiply_shares of the least": Case(_select, 4, 1 << 63),
    "selection": Case(_select, 4, 1),
    "comparison": Case(_compare, 2),
    "comparison of minus one": Case(_compare, 2, (1 << 64) - 1),
    "choices": Case(_choose, 2),
    "choices of ones": Case(_choose, 2, (1 << 64) - 1),
    "pairs": Case(_pairs, 1),
    "to_planes": Case(lambda a: _core.to_planes(a[0], 64), 1),
    "from_planes": Case(lambda a: _core.from_planes(a[0], WORDS), 1),
    "pack": Case(lambda a: _core.pack(a[0], 3), 1, width=3),
    "unpack": Case(lambda a: _core.unpack(a[0], 64 * WORDS, 1), 1),
    "lookup answers": Case(_answers, 4),
    "lookup answers of ones": Case(_answers, 4, (1 << 64) - 1),
    "lookup reading": Case(lambda a: _core.lookup_read(a[0], a[1][:LOOKED], a[2][: LOOKED // 2], 2), 3),
    "keys of transfers, sender": Case(lambda a: _core.words_sent([a[0]], (1, 2)), 1),
    "keys of transfers, receiver": Case(lambda a: _core.words_received([a[0]]), 1),
    "keys of lookups, sender": Case(lambda a: _core.lookups_sent([a[0], a[1]], (1, 2), 2), 2),
    "keys of lookups, receiver": Case(lambda a: _core.lookups_received([a[0], a[1]], 2), 2),
    "matmul": Case(lambda a: _core.matmul(a[0], a[1], SIZES, False), 2),
    "lookup, answer": Case(lambda a: _core.pir_answer(TABLE, LOOKUP_COLUMNS, a[0].view(np.uint32), 1), 1),
    "lookup, decoding": Case(lambda a: ASKED.decode(0, a[0].view(np.uint16)[: 64 * LOOKUP_ROWS]), 1),
    "intersection, answer by ecdh": _answering("", 8),
    "intersection, answer by ecdh on P-256": _answering("p256", 1),
    "intersection, blinding": Case(_blind, 2),
    "intersection, blinding by ones": Case(_blind, 2, (1 << 64) - 1),
    "intersection, unblinding": Case(_unblind, 1),
    "intersection, unblinding of ones": Case(_unblind, 1, (1 << 64) - 1),
    "intersection, answer by rr22": Case(SENDER.answer, 2, made=SENDER.made),
    "generator": Case(lambda a: _core.Prg(a[0][:2].tobytes()).words(WORDS), 1),
}


def _drawn(case: Case, draw: np.random.Generator) -> tuple[Words, Words]:
    mask = np.uint64((1 << case.width) - 1)
    shape = (POOL, case.arrays, WORDS)
    return (
        np.full(shape, np.uint64(case.fixed) & mask, np.uint64),
        draw.integers(0, 1 << 64, shape, np.uint64, endpoint=False) & mask,
    )


def times(case: Case, count: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which class every run took its input from, and its nanoseconds."""
    draw = np.random.default_rng(random.SystemRandom().getrandbits(64))
    pools = case.made() if case.made else _drawn(case, draw)
    # both classes lie in one array, mixed: where an input was read from must not tell its class to the caches
    places = draw.permutation(sum(map(len, pools)))
    mixed = np.empty((len(places), *pools[0].shape[1:]), np.uint64)
    mixed[places] = np.concatenate(pools)
    starts = (0, len(pools[0]))
    # and the operands begin at another place of their pages in every try, so that one unlucky layout does not decide
    begins = draw.integers(0, 512, case.arrays)
    memory = [np.empty(mixed.shape[2] + 512, np.uint64)[begin : begin + mixed.shape[2]] for begin in begins]
    classes = draw.integers(0, 2, count).astype(bool)
    picks = draw.integers(0, POOL, count)
    taken = np.empty(count)
    clock = time.perf_counter_ns
    for i in range(count):
        source = mixed[places[starts[int(classes[i])] + picks[i]]]
        for target, words in zip(memory, source, strict=True):
            target[:] = words
        begun = clock()
        case.run(memory)
        taken[i] = clock() - begun
    return classes, taken


def welch(one: NDArray[np.float64], two: NDArray[np.float64]) -> float:
    """Welch's t of two samples; infinite when the cut left only one class."""
    if min(len(one), len(two)) < 2:
        return float("inf")
    spread = one.var(ddof=1) / len(one) + two.var(ddof=1) / len(two)
    return float((one.mean() - two.mean()) / np.sqrt(spread)) if spread else 0.0


def greatest_t(classes: NDArray[np.bool_], taken: NDArray[np.float64]) -> float:
    """The greatest |t| over the thresholds; what is cut off is decided over both classes together."""
    found = []
    for kept in KEPT:
        fast = taken <= np.quantile(taken, kept)
        found.append(abs(welch(taken[fast & classes], taken[fast & ~classes])))
    return max(found)


@pytest.mark.parametrize("name", CASES)
def test_time_does_not_depend_on_secrets(name: str) -> None:
    times(CASES[name], 500)
    found = []
    for _ in range(TRIES):
        found.append(greatest_t(*times(CASES[name], MEASUREMENTS)))
        if found[-1] < LIMIT:
            return
    raise AssertionError(f"{name}: |t| = {', '.join(f'{t:.1f}' for t in found)}, each time above {LIMIT}")


def test_a_kernel_that_leaks_is_found() -> None:
    def leaky(a: list[Words]) -> object:
        return [word for word in a[0] if word]

    assert greatest_t(*times(Case(leaky, 1), 2000)) > LIMIT


@pytest.mark.parametrize(("start", "shared"), [(0, LOOKED), (LOOKED // 2, LOOKED // 2), (LOOKED, 0)])
def test_the_sender_compared_is_the_protocols(start: int, shared: int) -> None:
    """The receiver's tags come of c = a delta + b; as many of them are the sender's as elements are."""
    a, b = np.random.default_rng(1).integers(0, 1 << 64, (2, 2 * SENDER.columns), np.uint64, endpoint=False)
    theirs = SENDER.answer([a ^ SENDER.store(start), b])
    c = _core.gf128_scale_add(SENDER.delta, a, b)
    mine = _core.rr22_tags(SENDER.keyed, SENDER.hashes(start), c, None)
    meeting = _core.TagMeeting(mine, 8)
    assert int(meeting.meet(_core.sorted_tags(theirs, 8)[0]).sum()) == int(meeting.found().sum()) == shared
