"""psi.ecdh against Python's sets, its published vectors, its declared messages, and hostile peers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu import _core
from lingqu.kinds.channel import Buffer, Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation, Refused
from lingqu.psi import DECLARATION, Elements, Result, Terms, elements, intersect
from lingqu.psi.ecdh import CHUNK, NAME, POINT

Both = Callable[..., Any]
VECTORS = json.loads((Path(__file__).parent / "vectors" / "ristretto255.json").read_text())
GENERATOR = VECTORS["multiples"][0]


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


@settings(max_examples=25, deadline=None)
@given(st.sets(st.text(max_size=4), max_size=40), st.sets(st.text(max_size=4), max_size=40))
def test_agrees_with_sets(both: Both, one: set[str], two: set[str]) -> None:
    left, right = sorted(one), sorted(two)
    found = run(both, left, right, terms(recipients=(0, 1))).results
    for own, result in ((left, found[0]), (right, found[1])):
        assert result.size == len(one & two)
        assert {own[i] for i in result.elements} == one & two


@pytest.mark.parametrize("sizes", [(0, 0), (0, 3), (3, 0), (1, 1), (CHUNK + 1, 5), (9, CHUNK)])
def test_sizes_at_the_edges_of_messages(both: Both, sizes: tuple[int, int]) -> None:
    one, two = range(sizes[0]), range(2, 2 + sizes[1])
    found = run(both, one, two, terms()).results
    assert found[0].elements.tolist() == [i for i in one if i in two]
    assert found[1].elements is found[1].size is None


def test_the_size_alone(both: Both) -> None:
    found = run(both, range(100), range(90, 300), terms(result=Result.SIZE, recipients=(1,))).results
    assert (found[0].size, found[1].size) == (None, 10)
    assert found[0].elements is found[1].elements is None


@pytest.mark.parametrize("recipients", [(0,), (1,), (0, 1)])
def test_traffic_depends_on_sizes_alone(both: Both, recipients: tuple[int, ...]) -> None:
    shapes = []
    for two in (range(300), range(1000, 1300)):
        traffic = run(both, range(200), two, terms(recipients=recipients)).traffic
        shapes.append([(t.sent, t.messages, t.rounds) for t in traffic])
    assert shapes[0] == shapes[1]
    mine, theirs = (300, 200) if recipients == (1,) else (200, 300)
    sizes = {"left": mine, "right": theirs, "recipients": len(recipients)}
    for operation in ("intersect", "intersection_size"):
        declared = DECLARATION.cost(operation, sizes)
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


@pytest.mark.parametrize(
    ("alter", "why"),
    [
        (put("00" * 32), "no group element"),  # identity
        (put(VECTORS["invalid"][3], 64), "no group element"),  # not canonical
        (put(VECTORS["invalid"][12], 32), "no group element"),  # off the curve
        (put(VECTORS["invalid"][-1], 32), "no group element"),  # of low order
        (repeat_first, "twice"),
        (lambda data: data[:-POINT], "another message|bytes"),  # truncated
        (lambda data: 10 * data, "another message|bytes"),  # ten times what was announced
    ],
)
def test_hostile_points_end_the_session(both: Both, alter: Callable[[bytes], bytes], why: str) -> None:
    with pytest.raises(ProtocolViolation, match=why):
        run(both, range(20), range(15), terms(), lambda channel: Hostile(channel, 1, alter))


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


def test_messages_look_uniform(both: Both) -> None:
    """Bytes of points are those of field elements: the top bit and the lowest are 0; what lies between is uniform."""
    seen: list[bytes] = []
    lock = threading.Lock()

    class Listening(Hostile):
        def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
            with lock:
                seen.append(bytes(data))
            self._channel.send(to, data, tag)

    run(both, range(64), range(4096), terms(), lambda channel: Listening(channel, 0, bytes))
    points = np.frombuffer(b"".join(seen[1:2]), np.uint8).reshape(-1, POINT)[:, 1:31]
    counts = np.bincount(points.reshape(-1), minlength=256)
    expected = points.size / 256
    # The 1 - 1e-6 quantile of chi-square with 255 degrees of freedom is 377.
    assert float(((counts - expected) ** 2 / expected).sum()) < 377
