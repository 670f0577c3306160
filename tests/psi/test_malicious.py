"""psi.rr22.malicious: agreement with sets, its declared messages, and parties that cheat where it is checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu import _core
from lingqu.kinds.channel import Buffer, Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation, Refused
from lingqu.kinds.mechanism import Adversary
from lingqu.ot import direct, vole
from lingqu.psi import RR22_MALICIOUS, Elements, Terms, choose, elements, intersect, rr22
from lingqu.psi.rr22 import MALICIOUS

Both = Callable[..., Any]


def terms(**other: Any) -> Terms:
    return Terms(protocol=MALICIOUS, forms=("exact/1",), **other)


def held(values: Any) -> Elements:
    return elements([list(values)], ["exact/1"]) if values else elements([np.zeros(0, np.int64)], ["exact/1"])


def run(both: Both, one: Any, two: Any, agreed: Terms, wrap: Any = None) -> Any:
    return both(lambda c: intersect(c, held(one), agreed), lambda c: intersect(c, held(two), agreed), wrap)


class Altering:
    """A channel whose messages pass through a function of their number, counted from zero."""

    def __init__(self, channel: Channel, alter: Callable[[int, bytes], bytes]) -> None:
        self._channel = channel
        self._alter = alter
        self._number = -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        self._number += 1
        self._channel.send(to, self._alter(self._number, bytes(data)), tag)


@settings(max_examples=6, deadline=None)
@given(st.sets(st.text(max_size=4), max_size=40), st.sets(st.text(max_size=4), max_size=40), st.sampled_from([0, 1]))
def test_agrees_with_sets(both: Both, one: set[str], two: set[str], recipient: int) -> None:
    sides = sorted(one), sorted(two)
    found = run(both, *sides, terms(recipients=(recipient,))).results
    assert {sides[recipient][i] for i in found[recipient].elements} == one & two
    assert found[1 - recipient].elements is found[1 - recipient].size is None


@pytest.mark.parametrize("sizes", [(0, 0), (0, 3), (3, 0), (300, 200)])
def test_traffic_depends_on_sizes_alone_and_is_as_declared(both: Both, sizes: tuple[int, int]) -> None:
    shapes = []
    for first in (0, 1000):
        traffic = run(both, range(sizes[0]), range(first, first + sizes[1]), terms()).traffic
        shapes.append([(t.sent, t.messages, t.rounds) for t in traffic])
    assert shapes[0] == shapes[1]
    declared = RR22_MALICIOUS.cost("intersect", {"left": sizes[0], "right": sizes[1], "recipients": 1})
    assert declared.bytes == sum(sent for sent, _, _ in shapes[0])
    assert declared.rounds == max(rounds for _, _, rounds in shapes[0])


def test_it_is_chosen_against_malicious_parties_and_tells_one() -> None:
    assert choose((1 << 20, 1 << 20), adversary=Adversary.MALICIOUS_ABORT).protocol == MALICIOUS
    with pytest.raises(BadInput, match="one recipient"):
        intersect(None, held(range(3)), terms(recipients=(0, 1)))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"psi\.rr22\.malicious tells one recipient") as raised:
        choose((1 << 20, 1 << 20), recipients=2, adversary=Adversary.MALICIOUS_ABORT)
    assert "one recipient" in raised.value.cure
    for sizes in ((10, 10), (1 << 20, 1 << 20)):
        chosen = choose(sizes, recipients=2)
        assert chosen.protocol != MALICIOUS
        assert "tells one recipient" in chosen.reason


# Messages of the holder of delta, the sender: terms, base elements, trees, promise, proof and promised value, tags.
@pytest.mark.parametrize(
    ("number", "why"),
    [(1, "canonical|identity|do not hold|one set of choices"), (2, "do not hold"), (3, "promised"), (4, "do not hold")],
)
@pytest.mark.parametrize("place", [0, 9])
def test_a_sender_that_alters_any_message_but_its_tags_ends_the_session(
    both: Both, number: int, why: str, place: int
) -> None:
    """A tree's message at place 0 reaches every leaf that the receiver computes, but where its path goes by."""

    def alter(at: int, data: bytes) -> bytes:
        if at != number:
            return data
        step = 16 * 300 if number == 2 else len(data)
        changed = bytearray(data)
        for start in range(place, len(data), step):
            changed[start] ^= 2
        return bytes(changed)

    with pytest.raises(ProtocolViolation, match=why):
        run(both, range(30), range(10, 60), terms(), lambda channel: Altering(channel, alter))


def test_a_sender_that_opens_another_value_than_promised_is_caught(both: Both) -> None:
    def alter(at: int, data: bytes) -> bytes:
        return data[:-1] + bytes([data[-1] ^ 1]) if at == 4 else data

    with pytest.raises(ProtocolViolation, match="promised"):
        run(both, range(30), range(10, 60), terms(), lambda channel: Altering(channel, alter))


def test_altered_tags_hide_elements_and_add_none(both: Both) -> None:
    def alter(at: int, data: bytes) -> bytes:
        return os.urandom(len(data)) if at == 5 else data

    found = run(both, range(30), range(10, 60), terms(), lambda channel: Altering(channel, alter)).results
    assert found[0].size == 0


# Messages of the receiver: terms, base element, answer, opening, store.
@pytest.mark.parametrize("place", [40, 40_000, -1, -2000])
def test_a_receiver_whose_transfers_fit_no_choices_is_caught(both: Both, place: int) -> None:
    """The answer's correction in front, and the hashes of the columns behind it."""

    def alter(at: int, data: bytes) -> bytes:
        changed = bytearray(data)
        if at == 2:
            changed[place] ^= 1
        return bytes(changed)

    with pytest.raises(ProtocolViolation, match="one set of choices"):
        run(both, range(50), range(30), terms(recipients=(1,)), lambda channel: Altering(channel, alter))


def test_a_receiver_that_sends_another_sum_gets_a_proof_that_does_not_fit(both: Both) -> None:
    def alter(at: int, data: bytes) -> bytes:
        return data[:-1] + bytes([data[-1] ^ 1]) if at == 3 else data

    with pytest.raises(ProtocolViolation, match="do not hold"):
        run(both, range(50), range(30), terms(recipients=(1,)), lambda channel: Altering(channel, alter))


def test_a_receiver_s_set_has_at_most_the_store_s_columns(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that fills every column of the agreed size's store learns of those elements, and no set holds more."""
    agreed, most = 1000, _core.okvs_columns(1000)
    assert most == 1000 + 70 + 256
    keys, values = _core.element_hashes(bytes(32), *_parts(held(range(most + 1))))
    assert _core.okvs_encode(bytes(16), keys, values, _core.okvs_columns(most + 1), bytes(16)) is not None
    with pytest.raises(ValueError, match="do not fit"):
        _core.okvs_encode(bytes(16), keys, values, most, bytes(16))

    def narrow(keys: Any, values: Any, columns: int) -> Any:
        """A store of the agreed size for elements that the receiver had not announced."""
        hashes = _core.element_hashes(bytes(32), *_parts(held(range(5000, 5000 + agreed))))
        seed = os.urandom(16)
        return seed, _core.okvs_encode(seed, *hashes, columns, os.urandom(16))

    monkeypatch.setattr(rr22, "encoded", narrow)
    found = run(both, range(agreed), range(agreed), terms()).results
    assert found[0].size == 0  # what the store does not hold has no tag that the receiver can know


def test_more_elements_than_agreed_are_refused(both: Both) -> None:
    with pytest.raises(Refused) as raised:
        run(both, range(3), range(12), terms(largest=11))
    assert raised.value.term == "set-size"


def test_checked_transfers_and_evaluations_correlate(both: Both) -> None:
    def give(channel: Channel) -> Any:
        delta, q = direct.send(channel, 500, True)
        given = vole.start_giving(channel, 2000, bytes(16), True)
        challenge = bytes(channel.receive(1, vole.CHALLENGE))
        channel.send(1, given.proof(challenge))
        return delta, q, given

    def take(channel: Channel) -> Any:
        t = direct.receive(channel, 500, True)
        taken = vole.start_taking(channel, 2000, bytes(16), True)
        channel.send(0, taken.challenge())
        vole.compare(channel, taken.expected(), bytes(channel.receive(0, vole.PROOF)))
        return t, taken

    (delta, q, given), (t, taken) = both(give, take).results
    chosen = (t[:, :1] & np.uint64(1)) * delta
    assert np.array_equal(q ^ chosen, t)
    low, high = (int(word) for word in given.delta)
    assert np.array_equal(_core.gf128_scale_add((low, high), taken.a, given.b), taken.c)
    for secret in (given, taken):
        assert str(int(secret.delta[0]) if secret is given else int(taken.a[0])) not in repr(secret)


def _parts(own: Elements) -> tuple[Any, Any]:
    return own.data, own.offsets
