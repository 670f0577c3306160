"""Proofs of products when one party deviates: seen by both verifiers; and what verifiers see is uniform."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.share.ring_products import Alter, Words, bits, matmul, move, multiply, shares, words

from lingqu.kinds.channel import Buffer, Tag
from lingqu.kinds.errors import ProtocolViolation
from lingqu.share.rep3.malicious import ring, ring_argument
from lingqu.share.rep3.malicious.ring import RingProofs, joint_coin
from lingqu.share.rep3.session import Session

ERRORS: dict[str, list[tuple[int, int]]] = {
    "one": [(5, 1)],
    "minus one": [(0, 2**64 - 1)],
    "half": [(69, 2**63)],
    "halves": [(3, 2**63), (4, 2**63)],
    "cancel": [(1, 1), (2, 2**64 - 1)],
    "quarters": [(at, 2**62) for at in range(70)],
}


def verdicts(rep3: Any, work: Callable[[Session], None]) -> list[bool]:
    """Which parties end the session with a ProtocolViolation of their own."""

    def judged(machine: Any) -> bool:
        try:
            work(machine._session)
        except ProtocolViolation:
            return True
        return False

    results: list[bool] = rep3(judged).results
    return results


def altered(errors: list[tuple[int, int]]) -> Alter:
    def alter(row: Words) -> Words:
        added = np.zeros(len(row), np.uint64)
        for at, error in errors:
            added[at] = error
        return row + added

    return alter


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("prover", range(3))
def test_wrong_products_are_seen_by_both_verifiers(rep3: Any, prover: int, name: str) -> None:
    def work(session: Session) -> None:
        rng, proofs = np.random.default_rng(13), RingProofs(session)
        alter = altered(ERRORS[name]) if session.party == prover else None
        multiply(session, proofs, *shares(session, 14, words(rng, 70), words(rng, 70)), alter)
        proofs.check(joint_coin(session))

    for _ in range(5):
        assert verdicts(rep3, work) == [party != prover for party in range(3)]


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("prover", range(3))
def test_wrong_products_of_bits_are_seen_by_both_verifiers(rep3: Any, prover: int, name: str) -> None:
    def work(session: Session) -> None:
        proofs = RingProofs(session)
        bits(session, proofs, prover, 24, 70, altered(ERRORS[name]))
        proofs.check(joint_coin(session))

    for _ in range(5):
        assert verdicts(rep3, work) == [party != prover for party in range(3)]


@pytest.mark.parametrize("sizes", [(8, 3, 9), (12, 3, 12), (70, 3, 10), (10, 3, 70), (70, 3, 70)])
@pytest.mark.parametrize("error", [1, 2**63])
def test_wrong_matrix_products_are_seen(rep3: Any, sizes: tuple[int, int, int], error: int) -> None:
    def work(session: Session) -> None:
        rng, proofs = np.random.default_rng(15), RingProofs(session)
        x, y = shares(session, 16, words(rng, sizes[0] * sizes[1]), words(rng, sizes[1] * sizes[2]))
        matmul(session, proofs, x, y, sizes, alter=altered([(7, error)]) if session.party == 1 else None)
        proofs.check(joint_coin(session))

    for _ in range(5):
        assert verdicts(rep3, work) == [True, False, True]


@pytest.mark.parametrize("prover", range(3))
@pytest.mark.parametrize("step", [1, 2])
def test_wrong_moves_are_seen(rep3: Any, prover: int, step: int) -> None:
    def work(session: Session) -> None:
        proofs = RingProofs(session)
        move(session, proofs, prover, (prover + step) % 3, (40, 2), 17)
        claim: Any = proofs._claims[0]
        if session.party == (prover + 2) % 3:
            claim.summand[11] ^= np.uint64(2**63)
        proofs.check(joint_coin(session))

    for _ in range(5):
        assert verdicts(rep3, work) == [party != prover for party in range(3)]


MESSAGES = {
    "quotients": 0,
    "seed": 1,
    "coefficients": 2,
    "last coefficients": 4,
    "last seed": 5,
    "digest": 6,
    "to second": 8,
    "to first": 9,
}
"""Messages of one party in a check of 70 products, by their number."""


def sending(session: Session, number: int, change: Callable[[bytes], bytes]) -> None:
    """Alter one message of this party, counted from now on."""
    channel: Any = session.channel
    send, sent = channel.send, [0]

    def altered_send(to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        send(to, change(bytes(data)) if sent[0] == number else data, tag)
        sent[0] += 1

    channel.send = altered_send


def one_altered(rep3: Any, party: int, number: int, change: Callable[[bytes], bytes]) -> None:
    def work(machine: Any) -> None:
        session, rng = machine._session, np.random.default_rng(18)
        proofs = RingProofs(session)
        multiply(session, proofs, *shares(session, 19, words(rng, 70), words(rng, 70)))
        coin = joint_coin(session)
        if session.party == party:
            sending(session, number, change)
        proofs.check(coin)

    rep3(work)


def added_one(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("party", range(3))
def test_one_altered_message_is_seen(rep3: Any, party: int, name: str) -> None:
    for _ in range(5):
        with pytest.raises(ProtocolViolation):
            one_altered(rep3, party, MESSAGES[name], added_one)


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_of_another_length_are_seen(rep3: Any, name: str) -> None:
    for change in (lambda data: data[:-8], lambda data: data + bytes(8)):
        with pytest.raises(ProtocolViolation):
            one_altered(rep3, 2, MESSAGES[name], change)


@pytest.mark.parametrize(("name", "match"), [("quotients", "too large"), ("coefficients", "not below the prime")])
def test_numbers_out_of_range_are_seen(rep3: Any, name: str, match: str) -> None:
    with pytest.raises(ProtocolViolation, match=match):
        one_altered(rep3, 0, MESSAGES[name], lambda data: data[:-2] + b"\xff\x7f")


def test_a_quotient_that_hides_an_error_modulo_small_numbers_is_seen(
    rep3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The prover rounds C + 2^64 Q to the true sum: what is left is a subset's error modulo 2^64."""
    honest = ring._Check._quotients
    error = 2**63

    def quotients(check: Any) -> list[int]:
        picked = [int(check._weights[0][5]) >> j & 1 for j in range(48)]
        wrong = [quotient - (bit * error >> 64) for quotient, bit in zip(honest(check), picked, strict=True)]
        return wrong if check._session.party == 0 else honest(check)

    def work(session: Session) -> None:
        rng, proofs = np.random.default_rng(20), RingProofs(session)
        alter = altered([(5, error)]) if session.party == 0 else None
        multiply(session, proofs, *shares(session, 21, words(rng, 70), words(rng, 70)), alter)
        proofs.check(joint_coin(session))

    monkeypatch.setattr(ring._Check, "_quotients", quotients)
    for _ in range(20):
        assert verdicts(rep3, work) == [False, True, True]


@pytest.mark.parametrize("factor", [0, 1])
@pytest.mark.parametrize("prover", range(3))
def test_a_prover_that_hides_a_factor_by_another_number_is_seen(
    rep3: Any, monkeypatch: pytest.MonkeyPatch, prover: int, factor: int
) -> None:
    """Of the random number that joins a factor in the last fold either verifier has its own part."""
    honest = ring_argument._hide
    cheats = threading.local()

    def hide(inner: list[int], own: tuple[Words, Words], masks: tuple[int, int], length: int) -> list[int]:
        wrong = getattr(cheats, "here", False)
        return honest(inner, own, (masks[0] + (wrong and factor == 0), masks[1] + (wrong and factor == 1)), length)

    def work(session: Session) -> None:
        cheats.here = session.party == prover
        rng, proofs = np.random.default_rng(24), RingProofs(session)
        multiply(session, proofs, *shares(session, 25, words(rng, 70), words(rng, 70)))
        proofs.check(joint_coin(session))

    monkeypatch.setattr(ring_argument, "_hide", hide)
    assert verdicts(rep3, work) == [party != prover for party in range(3)]


@pytest.mark.parametrize("component", [0, 1])
def test_a_proof_of_other_components_is_seen(rep3: Any, component: int) -> None:
    """A prover whose own product agrees with what it sent, for a component that one verifier does not have."""

    def work(session: Session) -> None:
        rng, proofs = np.random.default_rng(26), RingProofs(session)
        x, y = shares(session, 27, words(rng, 70), words(rng, 70))
        if session.party == 1:
            x[component][3] += np.uint64(1)
        multiply(session, proofs, x, y)
        proofs.check(joint_coin(session))

    # what it sends as a verifier is then wrong, too, so that another prover's proof fails at its other verifier
    found = verdicts(rep3, work)
    assert found[0] or found[2]


def test_another_coin_is_seen(rep3: Any) -> None:
    def work(session: Session) -> None:
        rng, proofs = np.random.default_rng(22), RingProofs(session)
        multiply(session, proofs, *shares(session, 23, words(rng, 70), words(rng, 70)))
        coin = joint_coin(session)
        proofs.check(coin[::-1] if session.party == 1 else coin)

    with pytest.raises(ProtocolViolation, match=r"other coins|not below the prime"):
        rep3(lambda machine: work(machine._session))


def test_opened_numbers_are_uniform(rep3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chi-square on 16 bins, false alarm 1e-7 for each of six numbers; all operands are 0."""
    opened: list[tuple[float, ...]] = []
    honest = ring_argument.Argument._open

    def noting(argument: Any, first: tuple[int, int], second: tuple[int, int]) -> None:
        v, prime = argument._vectors, argument._prime
        opened.append(tuple(value / prime for value in (*first, v.first_claim, *second, v.second_claim)))
        honest(argument, first, second)

    def work(machine: Any) -> None:
        session, zero = machine._session, np.zeros(40, np.uint64)
        proofs = RingProofs(session)
        for _ in range(40):
            proofs.product((zero, zero), (zero, zero), zero, (zero, zero))
            proofs.check(joint_coin(session))

    monkeypatch.setattr(ring_argument.Argument, "_open", noting)
    for _ in range(3):
        rep3(work)
    bins = (np.array(opened) * 16).astype(int)
    expected = len(bins) / 16
    for column in bins.T:
        counts = np.bincount(column, minlength=16)
        assert float(((counts - expected) ** 2 / expected).sum()) < 62.33
