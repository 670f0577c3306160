"""psi.ecdh against Python's sets, its published vectors, its declared messages, and hostile peers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lingqu import _core
from lingqu.kinds.channel import Buffer, Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation, Refused
from lingqu.psi import DECLARATION, Elements, Result, Terms, elements, intersect
from lingqu.psi.ecdh import CHUNK, NAME, POINT

Both = Callable[..., Any]
VECTORS = json.loads((Path(__file__).parent / "vectors" / "ristretto255.json").read_text())
GENERATOR = VECTORS["multiples"][0]
ORDER = 2**252 + 27742317777372353535851937790883648493
RANGE = 1 << 252
"""How many blinds there are."""


def terms(**other: Any) -> Terms:
    return Terms(protocol=NAME, forms=("exact/1",), **other)


def held(values: Any) -> Elements:
    return elements([list(values)], ["exact/1"]) if values else elements([np.zeros(0, np.int64)], ["exact/1"])


def run(both: Both, one: Any, two: Any, agreed: Terms, wrap: Any = None) -> Any:
    return both(lambda c: intersect(c, held(one), agreed), lambda c: intersect(c, held(two), agreed), wrap)


def key(scalar: str) -> _core.GroupKey:
    return _core.GroupKey(bytes.fromhex(scalar) + bytes(32))


def octets(text: str) -> Any:
    return np.frombuffer(bytes.fromhex(text), np.uint8)


def test_multiples_of_the_generator() -> None:
    for times, expected in enumerate(VECTORS["multiples"], 1):
        scalar = times.to_bytes(32, "little").hex()
        assert bytes(key(scalar).multiply(octets(GENERATOR))).hex() == expected


@pytest.mark.parametrize("bad", [*VECTORS["invalid"], "00" * 32])
def test_invalid_points_and_the_identity_are_refused(bad: str) -> None:
    one = (1).to_bytes(32, "little").hex()
    for place in (0, 7, 9):
        points = [GENERATOR] * 12
        points[place] = bad
        with pytest.raises(ValueError, match=f"element {place} "):
            key(one).multiply(octets("".join(points)))


@pytest.mark.parametrize("case", VECTORS["oprf"]["cases"])
def test_hashing_and_exponents_are_as_in_rfc_9497(case: dict[str, str]) -> None:
    data = octets(case["input"])
    tag = bytes.fromhex(VECTORS["oprf"]["tag"])
    blinded = key(case["blind"]).map(tag, data, np.array([0, len(data)]))
    assert bytes(blinded).hex() == case["blinded"]
    assert bytes(key(VECTORS["oprf"]["key"]).multiply(blinded)).hex() == case["evaluated"]


def scalar_of(blind: int) -> int:
    """What 252 bits stand for."""
    return (2 * blind + 1 - RANGE) % ORDER


def blind_of(scalar: int) -> bytes | None:
    """The bits that stand for a scalar; None for the one in 2^127 that has none, as small even ones."""
    odd = scalar % ORDER if scalar % ORDER % 2 else scalar % ORDER - ORDER
    return ((odd - 1 + RANGE) // 2).to_bytes(32, "little") if -RANGE < odd < RANGE else None


def multiplied(scalar: int, point: bytes) -> bytes:
    """A point times a scalar, by the general kernel; the scalar zero has no key."""
    if scalar % ORDER == 0:
        return bytes(32)
    return bytes(key((scalar % ORDER).to_bytes(32, "little").hex()).multiply(np.frombuffer(point, np.uint8)))


SCALARS = st.one_of(
    st.sampled_from([1, ORDER - 1, 3, ORDER - 3, 63, 65, (ORDER + 1) // 2, (ORDER - 1) // 2]),
    st.integers(0, ORDER - 1),
)
BLINDS = st.one_of(st.sampled_from([0, 1, RANGE - 1, RANGE // 2, RANGE // 2 - 1]), st.integers(0, RANGE - 1))


def test_published_multiples_of_the_generator_by_its_table() -> None:
    """2 (i G - j G) for the odd j that are near zero, either side of it."""
    multiples = [bytes(32), *(bytes.fromhex(one) for one in VECTORS["multiples"])]
    unblinding = _core.GroupUnblinding(bytes.fromhex(GENERATOR))
    checked = 0
    for i in range(1, len(multiples)):
        for j in range(-15, 16, 2):
            if 0 <= 2 * (i - j) < len(multiples):
                blind = blind_of(j)
                assert blind is not None
                found = unblinding.unblind(np.frombuffer(multiples[i], np.uint8), np.frombuffer(blind, np.uint8))
                assert bytes(found) == multiples[2 * (i - j)]
                checked += 1
    assert checked > 50


@settings(max_examples=60, deadline=None)
@given(SCALARS, SCALARS, st.lists(SCALARS, min_size=1, max_size=19))
def test_multiples_by_a_table_are_those_by_the_general_kernel(base: int, first: int, others: list[int]) -> None:
    """In every lane, of points that differ: 2 (s P - r P) = 2 (s - r) P."""
    assume(base)
    point = multiplied(base, bytes.fromhex(GENERATOR))
    pairs = [(first + i, blind_of(one)) for i, one in enumerate(others)]
    pairs = [(s, blind) for s, blind in pairs if s % ORDER and blind]
    answers = b"".join(multiplied(s, point) for s, _ in pairs)
    blinds = b"".join(blind for _, blind in pairs if blind)
    found = bytes(
        _core.GroupUnblinding(point).unblind(np.frombuffer(answers, np.uint8), np.frombuffer(blinds, np.uint8))
    )
    for i, (s, blind) in enumerate(pairs):
        assert blind is not None
        r = scalar_of(int.from_bytes(blind, "little"))
        assert found[32 * i : 32 * i + 32] == multiplied(2 * (s - r), point)


@settings(max_examples=40, deadline=None)
@given(st.lists(BLINDS, min_size=1, max_size=17), st.integers(1, ORDER - 1))
def test_blinds_hide_a_point_and_go_away(drawn: list[int], secret: int) -> None:
    data, offsets = octets("".join(f"{i:02x}" for i in range(len(drawn)))), np.arange(len(drawn) + 1)
    blinds = np.frombuffer(b"".join((one | 15 << 252).to_bytes(32, "little") for one in drawn), np.uint8)
    blinded = _core.GroupBlinding().blind(b"tag", data, offsets, blinds)
    holder = key(secret.to_bytes(32, "little").hex())
    found = _core.GroupUnblinding(holder.public()).unblind(holder.answer(blinded), blinds)
    assert bytes(found) == bytes(holder.map(b"tag", data, offsets))
    # What was hidden is 2 (H + r G): a blind of 2 r takes the second part away.
    hashed = bytes(key((4).to_bytes(32, "little").hex()).map(b"tag", data, offsets))
    opened = _core.GroupUnblinding(bytes.fromhex(GENERATOR))
    for i, one in enumerate(drawn):
        away = blind_of(2 * scalar_of(one))
        if away:
            shown = opened.unblind(blinded[32 * i : 32 * i + 32], np.frombuffer(away, np.uint8))
            assert bytes(shown) == hashed[32 * i : 32 * i + 32]


@pytest.mark.parametrize("bad", [*VECTORS["invalid"], "00" * 32])
def test_invalid_answers_and_keys_are_refused(bad: str) -> None:
    unblinding, blinds = _core.GroupUnblinding(bytes.fromhex(GENERATOR)), np.ones(12 * 32, np.uint8)
    for place in (0, 7, 9):
        points = [GENERATOR] * 12
        points[place] = bad
        with pytest.raises(ValueError, match=f"element {place} "):
            unblinding.unblind(octets("".join(points)), blinds)
        with pytest.raises(ValueError, match=f"element {place} "):
            key("01" * 32).answer(octets("".join(points)))
    with pytest.raises(ValueError, match="no point"):
        _core.GroupUnblinding(bytes.fromhex(bad))


def test_what_does_not_fit_is_refused() -> None:
    unblinding, one = _core.GroupUnblinding(bytes.fromhex(GENERATOR)), octets(GENERATOR)
    for answers, blinds in ((one, one[:31]), (one[:31], one), (one, np.zeros(64, np.uint8)), (one[:0], one)):
        with pytest.raises(ValueError, match=r"bytes|number"):
            unblinding.unblind(answers, blinds)
    for offsets in ([0, 33], [0, 1, 32], [1, 0], []):
        with pytest.raises(ValueError, match="offsets"):
            _core.GroupBlinding().blind(b"tag", one, np.array(offsets, np.int64), one)
    with pytest.raises(ValueError, match="offsets"):
        _core.GroupBlinding().blind(b"", one, np.array([0, 32]), one)


@settings(max_examples=25, deadline=None)
@given(st.sets(st.text(max_size=4), max_size=40), st.sets(st.text(max_size=4), max_size=40))
def test_agrees_with_sets(both: Both, one: set[str], two: set[str]) -> None:
    left, right = sorted(one), sorted(two)
    found = run(both, left, right, terms(recipients=(0, 1))).results
    for own, result in ((left, found[0]), (right, found[1])):
        assert result.size == len(one & two)
        assert {own[i] for i in result.elements} == one & two


EDGES = [(0, 0), (0, 3), (3, 0), (1, 1), (CHUNK + 1, 5), (9, CHUNK), (CHUNK, 2 * CHUNK + 1)]


@pytest.mark.parametrize("sizes", EDGES)
def test_sizes_at_the_edges_of_messages(both: Both, sizes: tuple[int, int]) -> None:
    one, two = range(sizes[0]), range(2, 2 + sizes[1])
    found = run(both, one, two, terms()).results
    assert found[0].elements.tolist() == [i for i in one if i in two]
    assert found[1].elements is found[1].size is None
    found = run(both, one, two, terms(recipients=(1,))).results
    assert found[1].elements.tolist() == [i for i, x in enumerate(two) if x in one]
    assert found[0].elements is found[0].size is None
    found = run(both, one, two, terms(recipients=(0, 1))).results
    assert found[0].elements.tolist() == [i for i in one if i in two]
    assert found[1].elements.tolist() == [i for i, x in enumerate(two) if x in one]
    found = run(both, one, two, terms(result=Result.SIZE, recipients=(0, 1))).results
    assert found[0].size == found[1].size == len(set(one) & set(two))


def test_the_size_alone(both: Both) -> None:
    found = run(both, range(100), range(90, 300), terms(result=Result.SIZE, recipients=(1,))).results
    assert (found[0].size, found[1].size) == (None, 10)
    assert found[0].elements is found[1].elements is None


@pytest.mark.parametrize("recipients", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("result", [Result.ELEMENTS, Result.SIZE])
@pytest.mark.parametrize("sizes", [(200, 300), (300, 203)])
def test_traffic_depends_on_sizes_alone(
    both: Both, recipients: tuple[int, ...], result: Result, sizes: tuple[int, int]
) -> None:
    shapes = []
    for first in (0, 1000):
        agreed = terms(recipients=recipients, result=result)
        traffic = run(both, range(sizes[0]), range(first, first + sizes[1]), agreed).traffic
        shapes.append([(t.sent, t.messages, t.rounds) for t in traffic])
    assert shapes[0] == shapes[1]
    mine, theirs = reversed(sizes) if recipients == (1,) else sizes
    operation = "intersection_size" if result is Result.SIZE else "intersect"
    declared = DECLARATION.cost(operation, {"left": mine, "right": theirs, "recipients": len(recipients)})
    assert declared.bytes == sum(sent for sent, _, _ in shapes[0])
    assert declared.rounds == max(rounds for _, _, rounds in shapes[0])


class Hostile:
    """A channel that alters the message of a number, counted from zero."""

    def __init__(self, channel: Channel, number: int, alter: Callable[[bytes], bytes]) -> None:
        self._channel = channel
        self._left = number
        self._alter = alter

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        changed = self._alter(bytes(data)) if self._left == 0 else data
        self._left -= 1
        self._channel.send(to, changed, tag)


def put(what: str, at: int = 0) -> Callable[[bytes], bytes]:
    new = bytes.fromhex(what)
    return lambda data: data[:at] + new + data[at + len(new) :]


def repeat_first(data: bytes) -> bytes:
    return data[:POINT] + data[:POINT] + data[2 * POINT :]


ASKS, HOLDS, COUNTS = {"recipients": (1,)}, {"recipients": (0,)}, {"result": Result.SIZE}
"""What the second party, the hostile one, does."""
POINTS = [
    (put("00" * 32), "no group element"),  # identity
    (put(VECTORS["invalid"][3], 64), "no group element"),  # not canonical
    (put(VECTORS["invalid"][12], 32), "no group element"),  # off the curve
    (put(VECTORS["invalid"][-1], 32), "no group element"),  # of low order
    (repeat_first, "twice"),
    (lambda data: data[:-POINT], "another message|bytes"),  # truncated
    (lambda data: 10 * data, "another message|bytes"),  # ten times what was announced
]


@pytest.mark.parametrize(
    ("role", "message"), [(ASKS, 1), (HOLDS, 3), (COUNTS, 1)], ids=["blinded elements", "answers", "commuting"]
)
@pytest.mark.parametrize(("alter", "why"), POINTS)
def test_hostile_points_end_the_session(
    both: Both, role: dict[str, Any], message: int, alter: Callable[[bytes], bytes], why: str
) -> None:
    with pytest.raises(ProtocolViolation, match=why):
        run(both, range(20), range(15), terms(**role), lambda channel: Hostile(channel, message, alter))


@pytest.mark.parametrize("place", [0, CHUNK])
@pytest.mark.parametrize(("role", "message"), [(ASKS, 1), (HOLDS, 4)])
def test_points_that_come_again_in_a_later_message_end_the_session(
    both: Both, role: dict[str, Any], message: int, place: int
) -> None:
    """A first message of points is sent in place of the second."""
    kept: list[bytes] = []

    class Repeating(Hostile):
        def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
            if self._left == 0:
                kept.append(bytes(data))
            again = kept[0] if self._left == -1 and len(kept[0]) == len(data) else data
            self._left -= 1
            self._channel.send(to, again, tag)

    with pytest.raises(ProtocolViolation, match="twice"):
        run(
            both,
            range(2 * CHUNK),
            range(place, place + 2 * CHUNK),
            terms(**role),
            lambda channel: Repeating(channel, message, bytes),
        )


@pytest.mark.parametrize("bad", [*VECTORS["invalid"], "00" * 32])
def test_a_key_that_is_no_group_element_ends_the_session(both: Both, bad: str) -> None:
    """The identity as a key would let its holder choose what the asker takes for tags of its elements."""
    with pytest.raises(ProtocolViolation, match="key that is no group element"):
        run(both, range(20), range(15), terms(), lambda channel: Hostile(channel, 1, put(bad)))


def test_another_key_than_was_used_matches_nothing(both: Both) -> None:
    """Blinds do not go away, so no value that the asker computes is one that the holder could have known."""
    other = put(VECTORS["multiples"][6])
    found = run(both, range(20), range(20), terms(), lambda channel: Hostile(channel, 1, other)).results
    assert found[0].size == 0


def test_answers_out_of_order_match_nothing(both: Both) -> None:
    """Every answer belongs to a blind of its own."""

    def turned(data: bytes) -> bytes:
        return data[POINT:] + data[:POINT]

    found = run(both, range(20), range(20), terms(), lambda channel: Hostile(channel, 3, turned)).results
    assert found[0].size == 0


@pytest.mark.parametrize(
    ("alter", "why"),
    [
        (lambda data: data[:-1] + bytes([data[-1] | 0x80]), "marked more"),
        (lambda data: data[:-1], "bytes"),
        (lambda data: 10 * data, "bytes"),
    ],
)
def test_hostile_marks_end_the_session(both: Both, alter: Callable[[bytes], bytes], why: str) -> None:
    """Party 1 has fewer elements, so it asks, and its last message says which of the other's 20 it has."""
    with pytest.raises(ProtocolViolation, match=why):
        run(both, range(20), range(15), terms(recipients=(0, 1)), lambda channel: Hostile(channel, 2, alter))


def test_marks_are_of_the_holder_s_order_alone(both: Both) -> None:
    """The asker marks tags; of elements that both have all, of others none, in whatever order they were sent."""
    seen: list[bytes] = []
    shared = run(
        both,
        range(1000),
        range(990, 1500),
        terms(recipients=(0, 1)),
        lambda channel: Hostile(channel, 2, lambda data: seen.append(data) or data),  # type: ignore[func-returns-value]
    ).results
    assert [one.size for one in shared] == [10, 10]
    assert sum(int(byte).bit_count() for byte in seen[0]) == 10
    assert len(seen[0]) == 125


def test_replayed_agreement_does_not_repeat_the_salt(both: Both) -> None:
    seen: list[bytes] = []

    def listen(channel: Channel) -> Channel:
        return Hostile(channel, 1, lambda data: seen.append(data) or data)  # type: ignore[func-returns-value]

    for _ in range(2):
        run(both, range(5), range(5), terms(), listen)
    assert seen[0] != seen[1]


def test_the_peer_s_randomness_cannot_be_mirrored() -> None:
    class Mirror:
        party, parties = 0, ("alpha", "beta")

        def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
            self.sent = bytes(data)

        def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
            return bytearray(self.sent)

    with pytest.raises(ProtocolViolation, match="own randomness"):
        intersect(Mirror(), held(range(3)), terms())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "other",
    [{"recipients": (1,)}, {"result": Result.SIZE}, {"largest": 77}],
    ids=["recipients", "result", "cap"],
)
def test_other_terms_are_refused(both: Both, other: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolation, match="other terms"):
        both(lambda c: intersect(c, held(range(3)), terms()), lambda c: intersect(c, held(range(3)), terms(**other)))


def test_more_elements_than_agreed_are_refused(both: Both) -> None:
    with pytest.raises(Refused) as raised:
        run(both, range(3), range(12), terms(largest=11))
    assert raised.value.term == "set-size"


def test_a_peer_that_lies_about_its_own_size_is_refused(both: Both) -> None:
    def lie(data: bytes) -> bytes:
        return data[:32] + (1 << 40).to_bytes(8, "little") + data[40:]

    with pytest.raises(Refused):
        run(both, range(3), range(3), terms(), lambda channel: Hostile(channel, 0, lie))


def test_three_parties_and_no_recipient_are_bad_input() -> None:
    class Three:
        party, parties = 0, ("alpha", "beta", "gamma")

    with pytest.raises(BadInput):
        intersect(Three(), held(range(3)), terms())  # type: ignore[arg-type]


@pytest.mark.parametrize("role", [ASKS, COUNTS])
def test_messages_look_uniform(both: Both, role: dict[str, Any]) -> None:
    """Bytes of points are those of field elements: the top bit and the lowest are 0; what lies between is uniform."""
    seen: list[bytes] = []
    lock = threading.Lock()

    class Listening(Hostile):
        def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
            with lock:
                seen.append(bytes(data))
            self._channel.send(to, data, tag)

    run(both, range(64), range(4096), terms(**role), lambda channel: Listening(channel, 0, bytes))
    points = np.frombuffer(b"".join(seen[1:9]), np.uint8).reshape(-1, POINT)[:, 1:31]
    counts = np.bincount(points.reshape(-1), minlength=256)
    expected = points.size / 256
    # The 1 - 1e-6 quantile of chi-square with 255 degrees of freedom is 377.
    assert float(((counts - expected) ** 2 / expected).sum()) < 377
