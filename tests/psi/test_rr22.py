"""psi.rr22 against Python's sets, its declared messages, altered ones, and the choice between protocols."""

from __future__ import annotations

import threading
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
from lingqu.ot import vole
from lingqu.ot.correlations import connect_receiving, connect_sending
from lingqu.psi import RR22, Elements, Line, Result, Terms, choose, elements, intersect
from lingqu.psi.rr22 import CHUNK, MALICIOUS, NAME

Both = Callable[..., Any]


def terms(**other: Any) -> Terms:
    return Terms(protocol=NAME, forms=("exact/1",), **other)


def held(values: Any) -> Elements:
    return elements([list(values)], ["exact/1"]) if values else elements([np.zeros(0, np.int64)], ["exact/1"])


def run(both: Both, one: Any, two: Any, agreed: Terms, wrap: Any = None) -> Any:
    return both(lambda c: intersect(c, held(one), agreed), lambda c: intersect(c, held(two), agreed), wrap)


def product(a: int, b: int) -> int:
    found = 0
    for i in range(128):
        found ^= (b >> i & 1) * (a << i)
    for i in range(254, 127, -1):
        found ^= (found >> i & 1) * (0x87 << (i - 128) | 1 << i)
    return found


def test_linear_evaluations_correlate(both: Both) -> None:
    def give(channel: Channel) -> Any:
        sending = connect_sending(channel)
        return sending.delta, vole.give(sending, 3000, bytes(16))

    sent, (a, c) = both(give, lambda channel: vole.take(connect_receiving(channel), 3000, bytes(16))).results
    delta, b = sent
    joined = [[int(low) | int(high) << 64 for low, high in x.reshape(-1, 2)[:20]] for x in (a, b, c)]
    scalar = int(delta[0]) | int(delta[1]) << 64
    assert all(product(x, scalar) ^ y == z for x, y, z in zip(*joined, strict=True))
    low, high = (int(word) for word in delta)
    assert np.array_equal(_core.gf128_scale_add((low, high), a, b), c)
    counts = np.bincount(a.view(np.uint8), minlength=256)
    # The 1 - 1e-6 quantile of chi-square with 255 degrees of freedom is 377.
    assert float(((counts - counts.mean()) ** 2 / counts.mean()).sum()) < 377


@settings(max_examples=6, deadline=None)
@given(st.sets(st.text(max_size=4), max_size=40), st.sets(st.text(max_size=4), max_size=40))
def test_agrees_with_sets(both: Both, one: set[str], two: set[str]) -> None:
    left, right = sorted(one), sorted(two)
    found = run(both, left, right, terms(recipients=(0, 1))).results
    for own, result in ((left, found[0]), (right, found[1])):
        assert result.size == len(one & two)
        assert {own[i] for i in result.elements} == one & two


@pytest.mark.parametrize("sizes", [(0, 0), (0, 3), (3, 0), (CHUNK + 1, 5), (9, CHUNK + 1)])
def test_sizes_at_the_edges_of_messages(both: Both, sizes: tuple[int, int]) -> None:
    one, two = range(sizes[0]), range(2, 2 + sizes[1])
    found = run(both, one, two, terms(recipients=(1,))).results
    assert found[1].elements.tolist() == [i for i, x in enumerate(two) if x in one]
    assert found[0].elements is found[0].size is None


@pytest.mark.parametrize("recipients", [(0,), (1,), (0, 1)])
def test_traffic_depends_on_sizes_alone(both: Both, recipients: tuple[int, ...]) -> None:
    shapes = []
    for two in (range(300), range(1000, 1300)):
        traffic = run(both, range(200), two, terms(recipients=recipients)).traffic
        shapes.append([(t.sent, t.messages, t.rounds) for t in traffic])
    assert shapes[0] == shapes[1]
    mine, theirs = (300, 200) if recipients == (1,) else (200, 300)
    declared = RR22.cost("intersect", {"left": mine, "right": theirs, "recipients": len(recipients)})
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


@pytest.mark.parametrize("receiver", [0, 1])
@pytest.mark.parametrize("number", range(1, 4))
@pytest.mark.parametrize("alter", [lambda data: data[:-1], lambda data: data + data[:1]], ids=["short", "long"])
def test_messages_of_another_length_end_the_session(
    both: Both, receiver: int, number: int, alter: Callable[[bytes], bytes]
) -> None:
    """Party 1's messages, as the receiver or as the sender."""
    with pytest.raises(ProtocolViolation):
        run(both, range(20), range(15), terms(recipients=(receiver,)), lambda c: Hostile(c, number, alter))


def test_an_altered_store_or_tag_matches_nothing_new(both: Both) -> None:
    """Bytes of the right length are any set of that size: what comes out is at most the true intersection."""
    for number in (4, 5):
        found = run(both, range(40), range(20, 60), terms(), lambda c, n=number: Hostile(c, n, lambda d: bytes(len(d))))
        assert set(found.results[0].elements.tolist()) <= set(range(20, 40))


def test_the_number_alone_is_refused(both: Both) -> None:
    with pytest.raises(BadInput, match=r"psi\.ecdh"):
        run(both, range(3), range(3), terms(result=Result.SIZE))


def test_more_elements_than_agreed_are_refused(both: Both) -> None:
    with pytest.raises(Refused) as raised:
        run(both, range(3), range(12), terms(largest=11))
    assert raised.value.term == "set-size"


@pytest.mark.parametrize("receiver", [0, 1])
def test_messages_look_uniform(both: Both, receiver: int) -> None:
    """The masked store of the receiver, and the tags of the sender."""
    seen: list[bytes] = []
    lock = threading.Lock()

    class Listening(Hostile):
        def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
            with lock:
                seen.append(bytes(data))
            self._channel.send(to, data, tag)

    run(both, range(4096), range(4096), terms(recipients=(receiver,)), lambda channel: Listening(channel, 0, bytes))
    longest = np.frombuffer(max(seen, key=len) if receiver else seen[-1], np.uint8)
    assert len(longest) >= 4096 * 8
    counts = np.bincount(longest, minlength=256)
    assert float(((counts - counts.mean()) ** 2 / counts.mean()).sum()) < 377


def test_the_quicker_protocol_is_chosen() -> None:
    near, far = Line(), Line(bytes_per_second=12.5e6, round_trip=0.02)
    assert choose((1000, 1000), near).protocol == "psi.ecdh"
    assert choose((1 << 20, 1 << 20), near).protocol == NAME
    assert choose((1 << 20, 1 << 20), far).protocol == NAME
    assert choose((1 << 20, 1 << 20), near, result=Result.SIZE).protocol == "psi.ecdh"
    assert choose((1000, 1000), far).protocol == "psi.ecdh"
    assert choose((10_000, 10_000), far).protocol == "psi.ecdh"  # as measured on such a line
    assert choose((100_000, 100_000), far).protocol == NAME  # as well
    chosen = choose((5000, 5000), far)
    assert "psi.rr22" in chosen.reason
    assert choose((10, 10), adversary=Adversary.MALICIOUS_ABORT).protocol == MALICIOUS
    with pytest.raises(BadInput, match="semi-honest"):
        choose((10, 10), result=Result.SIZE, adversary=Adversary.MALICIOUS_ABORT)


def test_unknown_protocols_are_named() -> None:
    with pytest.raises(BadInput, match=r"psi\.other"):
        intersect(None, held(range(3)), Terms(protocol="psi.other", forms=("exact/1",)))  # type: ignore[arg-type]
