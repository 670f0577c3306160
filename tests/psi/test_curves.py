"""psi.ecdh on P-256 and SM2's curve: published vectors, agreement with sets, declared messages, hostile points."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu import _core
from lingqu.kinds.channel import Buffer, Channel, Tag
from lingqu.kinds.errors import ProtocolViolation
from lingqu.psi import ECDH_P256, ECDH_SM2, Elements, Result, Terms, elements, intersect

Both = Callable[..., Any]
VECTORS = json.loads((Path(__file__).parent / "vectors" / "p256.json").read_text())
WYCHEPROOF = json.loads((Path(__file__).parent / "vectors" / "wycheproof_p256.json").read_text())["tests"]
DECLARED = {"p256": ECDH_P256, "sm2": ECDH_SM2}
# Primes and constants of the curves (SEC 2, section 2.4.2; GB/T 32918.5, A.1), and a generator's x.
CURVES = {
    "p256": (2**256 - 2**224 + 2**192 + 2**96 - 1, 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B),
    "sm2": (2**256 - 2**224 - 2**96 + 2**64 - 1, 0x28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93),
}
# The groups' orders, from the same places.
ORDERS = {
    "p256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "sm2": 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123,
}
ONE = bytes(47) + b"\1" + bytes(16)


def octets(data: bytes) -> Any:
    return np.frombuffer(data, np.uint8)


def on_curve(curve: str, x: int) -> bool:
    prime, b = CURVES[curve]
    return pow(x**3 - 3 * x + b, (prime - 1) // 2, prime) == 1


@pytest.mark.parametrize("case", VECTORS["hash_to_curve"], ids=lambda case: case["message"][:8] or "empty")
def test_hashing_to_p256_is_as_in_rfc_9380(case: dict[str, str]) -> None:
    data = octets(case["message"].encode())
    offsets = np.array([0, len(data)])
    found = bytes(_core.CurveKey("p256", ONE).map(VECTORS["tag"].encode(), data, offsets))
    assert found[1:].hex() == case["x"]
    assert found[0] == 2 + int(case["y"], 16) % 2


@pytest.mark.parametrize("curve", list(CURVES))
def test_hashed_elements_are_different_points_of_the_curve(curve: str) -> None:
    data = octets(b"".join(number.to_bytes(2, "big") for number in range(200)))
    points = bytes(_core.CurveKey(curve, ONE).map(b"tag", data, np.arange(201, dtype=np.int64) * 2))
    xs = {int.from_bytes(points[start + 1 : start + 33], "big") for start in range(0, len(points), 33)}
    assert len(xs) == 200
    assert all(on_curve(curve, x) for x in xs)


def refused(key: _core.CurveKey, encoding: bytes) -> bool:
    """Alone, and as the second of two points whose bytes are otherwise whole."""
    try:
        key.multiply(octets(encoding))
    except ValueError:
        pass
    else:
        return False
    good = bytes(key.map(b"tag", octets(b"x"), np.array([0, 1])))
    with pytest.raises(ValueError, match=r"element 1|33 bytes"):
        key.multiply(octets(good + encoding))
    return True


def test_wycheproofs_invalid_points_are_refused() -> None:
    """As they are, and their x coordinates in our encoding wherever these belong to no point or are not reduced."""
    key, prime = _core.CurveKey("p256", ONE), CURVES["p256"][0]
    invalid = [case for case in WYCHEPROOF if case["result"] == "invalid" and case["public"]]
    assert [case["tcId"] for case in invalid] == [n for n in range(332, 356) if n != 348]
    for case in invalid:
        point = bytes.fromhex(case["public"])
        assert refused(key, point), case
        x = int.from_bytes(point[1:33], "big")
        if x >= prime or not on_curve("p256", x):
            assert all(refused(key, bytes([sign]) + point[1:33]) for sign in (2, 3)), case


def test_wycheproofs_empty_point_is_no_point() -> None:
    """Case 348. No bytes are no points here, so that a peer cannot pass them off as one."""
    assert [case["tcId"] for case in WYCHEPROOF if not case["public"]] == [348]
    assert not len(_core.CurveKey("p256", ONE).multiply(octets(b"")))


def test_wycheproofs_valid_points_are_multiplied_as_published() -> None:
    """Only compressed points are accepted: uncompressed bytes are refused, whole or cut to a point's length."""
    valid = [case for case in WYCHEPROOF if case["result"] != "invalid"]
    assert len(valid) == 331
    assert any(case["public"].startswith("03") for case in valid)
    for case in valid:
        point = bytes.fromhex(case["public"])
        key = _core.CurveKey("p256", bytes.fromhex(case["private"]).rjust(48, b"\0") + bytes(16))
        if point[0] == 4:
            assert refused(key, point), case
            assert refused(key, point[:33]), case
            point = bytes([2 + point[64] % 2]) + point[1:33]
        assert bytes(key.multiply(octets(point)))[1:].hex() == case["shared"], case


def key(curve: str, scalar: int) -> _core.CurveKey:
    return _core.CurveKey(curve, (scalar % ORDERS[curve]).to_bytes(48, "big") + bytes(16))


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([*CURVES]), st.integers(1, 2**256), st.lists(st.integers(0, 2**384 - 1), min_size=1, max_size=4))
def test_multiples_by_a_table_are_those_by_the_general_kernel(curve: str, s: int, blinds: list[int]) -> None:
    """s P - r P = (s - r) P, with scalars 0, 1, -1 and others for r, and P a multiple of the generator."""
    order = ORDERS[curve]
    s = s % (order - 1) + 1
    blinds = [r for r in (*blinds, 0, 1, order - 1, order + 1, 2**384 - 1) if (s - r) % order]
    point = key(curve, 77).public()
    answers = np.tile(key(curve, s).multiply(octets(point)), len(blinds))
    found = _core.CurveUnblinding(curve, point).unblind(
        answers, octets(b"".join(r.to_bytes(48, "big") for r in blinds))
    )
    assert bytes(found) == b"".join(bytes(key(curve, s - r).multiply(octets(point))) for r in blinds)


@pytest.mark.parametrize("curve", list(CURVES))
def test_blinds_hide_a_point_and_go_away(curve: str) -> None:
    data, offsets = octets(b"abcdefgh"), np.arange(9, dtype=np.int64)
    drawn = [0, 1, ORDERS[curve] - 1, 2**384 - 1, *range(5, 9)]
    blinds = octets(b"".join(one.to_bytes(48, "big") for one in drawn))
    holder, plain = key(curve, 12345), bytes(_core.CurveKey(curve, ONE).map(b"tag", data, offsets))
    blinded = _core.CurveBlinding(curve).blind(b"tag", data, offsets, blinds)
    hidden = {bytes(blinded[start : start + 33]) for start in range(0, len(blinded), 33)}
    assert len(hidden) == 8
    assert hidden & {plain[start : start + 33] for start in range(0, len(plain), 33)} == {plain[:33]}  # of the blind 0
    found = _core.CurveUnblinding(curve, holder.public()).unblind(holder.answer(blinded), blinds)
    assert bytes(found) == bytes(holder.map(b"tag", data, offsets))
    with pytest.raises(ValueError, match="offsets"):
        _core.CurveBlinding(curve).blind(b"tag", data, offsets, blinds[48:])
    with pytest.raises(ValueError, match="number"):
        _core.CurveUnblinding(curve, holder.public()).unblind(blinded, blinds[48:])
    with pytest.raises(ValueError, match="48 bytes"):
        _core.CurveUnblinding(curve, holder.public()).unblind(blinded, blinds[1:])


def terms(curve: str, **other: Any) -> Terms:
    return Terms(protocol=f"psi.ecdh.{curve}", forms=("exact/1",), **other)


def held(values: Any) -> Elements:
    return elements([list(values)], ["exact/1"]) if values else elements([np.zeros(0, np.int64)], ["exact/1"])


def run(both: Both, one: Any, two: Any, agreed: Terms, wrap: Any = None) -> Any:
    return both(lambda c: intersect(c, held(one), agreed), lambda c: intersect(c, held(two), agreed), wrap)


@settings(max_examples=6, deadline=None)
@given(st.sets(st.text(max_size=3), max_size=20), st.sets(st.text(max_size=3), max_size=20), st.sampled_from([*CURVES]))
def test_agrees_with_sets(both: Both, one: set[str], two: set[str], curve: str) -> None:
    left, right = sorted(one), sorted(two)
    found = run(both, left, right, terms(curve, recipients=(0, 1))).results
    for own, result in ((left, found[0]), (right, found[1])):
        assert {own[i] for i in result.elements} == one & two
    found = run(both, left, right, terms(curve, result=Result.SIZE)).results
    assert found[0].size == len(one & two)


@pytest.mark.parametrize("curve", list(CURVES))
@pytest.mark.parametrize("recipients", [(0,), (0, 1)])
@pytest.mark.parametrize("result", [Result.ELEMENTS, Result.SIZE])
def test_traffic_is_as_declared(both: Both, curve: str, recipients: tuple[int, ...], result: Result) -> None:
    shapes = []
    for two in (range(60), range(1000, 1060)):
        traffic = run(both, range(50), two, terms(curve, recipients=recipients, result=result)).traffic
        shapes.append([(t.sent, t.messages, t.rounds) for t in traffic])
    assert shapes[0] == shapes[1]
    operation = "intersection_size" if result is Result.SIZE else "intersect"
    declared = DECLARED[curve].cost(operation, {"left": 50, "right": 60, "recipients": len(recipients)})
    assert declared.bytes == sum(sent for sent, _, _ in shapes[0])
    assert declared.rounds == max(rounds for _, _, rounds in shapes[0])


class Hostile:
    """A channel whose message of a number, counted from zero, is altered."""

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


def first(point: bytes) -> Callable[[bytes], bytes]:
    return lambda data: point + data[len(point) :]


@pytest.mark.parametrize("curve", list(CURVES))
@pytest.mark.parametrize(
    ("role", "message"),
    [({"recipients": (1,)}, 1), ({}, 3), ({}, 1), ({"result": Result.SIZE}, 1)],
    ids=["blinded elements", "answers", "key", "commuting"],
)
@pytest.mark.parametrize("what", ["off the curve", "identity", "not canonical", "hybrid", "twice", "short", "tenfold"])
def test_hostile_points_end_the_session(both: Both, curve: str, what: str, role: dict[str, Any], message: int) -> None:
    """The groups have prime order, so there are no elements of low or mixed order to send."""
    prime = CURVES[curve][0]
    off = next(x for x in range(5, 99) if not on_curve(curve, x))
    on = next(x for x in range(5, 99) if on_curve(curve, x))
    alter = {
        "off the curve": first(b"\2" + off.to_bytes(32, "big")),
        "identity": first(bytes(33)),
        "not canonical": first(b"\2" + (prime + on).to_bytes(32, "big")),
        "hybrid": first(b"\6" + on.to_bytes(32, "big")),
        "twice": lambda data: data[:33] + data[:33] + data[66:],
        "short": lambda data: data[:-33],
        "tenfold": lambda data: 10 * data,
    }[what]
    with pytest.raises(ProtocolViolation):
        run(both, range(20), range(15), terms(curve, **role), lambda channel: Hostile(channel, message, alter))
    if what == "not canonical":
        # The same number, reduced, is a point: it is the encoding that is refused.
        key = _core.CurveKey(curve, ONE)
        assert bytes(key.multiply(octets(b"\2" + on.to_bytes(32, "big"))))[1:] == on.to_bytes(32, "big")
