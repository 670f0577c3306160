"""Large sets of three and more parties part by part: sets, declared messages, resuming, hostile peers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lingqu.kinds.channel import Buffer, Channel, Tag, Traffic
from lingqu.kinds.errors import BadInput, PartyLost, ProtocolViolation, TableChanged
from lingqu.net.memory import memory_channels
from lingqu.psi import Terms
from lingqu.psi.crowd import HELLO, NONCE, SEEN, Crowd, open_crowd, opening_cost
from lingqu.psi.many import NAME
from lingqu.psi.parts import bound, parted
from lingqu.psi.tables import GATE, MANY, MANY_TABLES

NAMES = ("alpha", "beta", "gamma", "delta")
Keys = Sequence[str | None]
Side = Callable[[Channel], Any]


def batches(keys: Keys, size: int = 64) -> Callable[[], Iterable[list[Any]]]:
    return lambda: ([list(keys[start : start + size])] for start in range(0, len(keys), size))


def terms(sets: Sequence[Keys], recipients: tuple[int, ...] = (0,), **more: Any) -> Terms:
    sizes = tuple(map(len, sets))
    named: dict[str, Any] = {"forms": ("exact/1",), "recipients": recipients, "sizes": sizes, "largest": max(sizes)}
    return Terms(protocol=NAME, **(named | more))


def together(sides: Sequence[Side]) -> tuple[list[Any], list[Traffic]]:
    """Every party in a thread of its own; raises the first failure that is not a peer's end."""
    channels = memory_channels(NAMES[: len(sides)], timeout=20)

    def serve(party: int) -> Any:
        try:
            return sides[party](channels[party])
        except BaseException as error:
            channels[party].close()
            return error

    with ThreadPoolExecutor(len(sides)) as pool:
        results = list(pool.map(serve, range(len(sides))))
    failures = [one for one in results if isinstance(one, BaseException)]
    if failures:
        raise ([error for error in failures if not isinstance(error, PartyLost)] or failures)[0]
    return results, [channel.traffic for channel in channels]


def opened(channel: Channel, keys: Keys, agreed: Terms, folder: Path, most: int) -> Crowd:
    return open_crowd(channel, batches(keys), agreed, folder / str(channel.party), most=most)


def rows(crowd: Crowd) -> list[int] | None:
    marked = crowd.marked()
    return None if marked is None else [int(row) for row in marked.nonzero()[0]]


def whole(keys: Keys, agreed: Terms, folder: Path, most: int = 100) -> Side:
    def run(channel: Channel) -> list[int] | None:
        crowd = opened(channel, keys, agreed, folder, most)
        crowd.run(channel)
        return rows(crowd)

    return run


def opening(keys: Keys, folder: Path) -> Side:
    return lambda channel: opened(channel, keys, terms(SETS), folder, 100)


def running(crowd: Crowd) -> Side:
    return lambda channel: crowd.run(channel)


def expected(own: Keys, sets: Sequence[Keys]) -> list[int]:
    common = functools.reduce(set.intersection, (set(one) for one in sets)) - {None}
    return [row for row, key in enumerate(own) if key in common]


KEYS = st.lists(
    st.one_of(st.none(), st.sampled_from(["", "a", "ä", "a\u0308", "李"]), st.text(max_size=2)), max_size=12
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets=st.lists(KEYS, min_size=3, max_size=4), most=st.integers(1, 9), leader=st.integers(0, 2) | st.none())
def test_rows_against_sets(
    tmp_path_factory: pytest.TempPathFactory, sets: list[Keys], most: int, leader: int | None
) -> None:
    recipients = tuple(range(len(sets))) if leader is None else (leader,)
    agreed, folder = terms(sets, recipients), tmp_path_factory.mktemp("sets")
    found, _ = together([whole(keys, agreed, folder, most) for keys in sets])
    for party, keys in enumerate(sets):
        assert found[party] == (expected(keys, sets) if party in recipients else None)


SETS: list[Keys] = [
    [f"k{i}" for i in range(300)] + [None, "k5"],
    [f"k{i}" for i in range(100, 500)],
    [f"k{i}" for i in range(0, 600, 3)],
]


@pytest.mark.parametrize("most", [1000, 100])
@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("told", ["one", "all"])
def test_rounds_and_bytes_are_the_declared_ones(tmp_path: Path, most: int, count: int, told: str) -> None:
    """Where all are told as many bytes less as fewer keys than those of the smallest table are in every one."""
    sets: list[Keys] = [*SETS, SETS[0]][:count]
    recipients = (0,) if told == "one" else tuple(range(count))
    found, traffic = together([whole(keys, terms(sets, recipients), tmp_path, most) for keys in sets])
    assert found[0] == expected(sets[0], sets)
    sizes = {"parties": count, "leader": len(sets[0]), "recipients": len(recipients), "most": most}
    others = {f"rows{place}": len(keys) for place, keys in enumerate(sets) if place}
    declared = MANY.cost(MANY_TABLES, sizes | others)
    common = len(functools.reduce(set.intersection, (set(one) for one in sets)) - {None})
    less = 16 * (count - 1) * (min(map(len, sets)) - common) if told == "all" else 0
    assert sum(one.sent for one in traffic) == declared.bytes - less
    assert max(one.rounds for one in traffic) == declared.rounds - GATE.rounds


def test_messages_do_not_depend_on_what_the_tables_hold(tmp_path: Path) -> None:
    """Same numbers of rows: repeated keys, no keys, what two of three share alone: all the same shape."""
    worlds: list[list[Keys]] = [
        [[f"a{i}" for i in range(90)], [f"b{i}" for i in range(200)], [f"c{i}" for i in range(50)]],
        [["a"] * 90, [f"b{i}" for i in range(200)], [f"b{i}" for i in range(50)]],
        [[None] * 90, ["a"] * 200, ["a"] * 50],
        [[f"a{i}" for i in range(90)], [f"a{i}" for i in range(200)], [f"a{i}" for i in range(50)]],
    ]
    shapes = []
    for place, sets in enumerate(worlds):
        _, traffic = together([whole(keys, terms(sets), tmp_path / str(place), 40) for keys in sets])
        shapes.append([(one.sent, one.messages, one.rounds) for one in traffic])
    assert shapes[0] == shapes[1] == shapes[2] == shapes[3]


def test_bounds_hold_for_all_parties_together() -> None:
    """A chance below 2^-40 over all of them: with more parties each is padded more, two as before."""
    sizes = [bound(1 << 20, 8, parties) for parties in (2, 3, 4, 16)]
    assert sizes == sorted(sizes)
    assert bound(1 << 20, 8) == sizes[0]
    assert sizes[0] < sizes[1] <= sizes[2] < sizes[3]
    assert parted((1 << 20, 5, 1 << 20), most=1 << 17).sizes[1] == 5


class Breaks:
    """A channel that fails after so many messages."""

    def __init__(self, channel: Channel, after: int) -> None:
        self._channel, self._left = channel, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        if not self._left:
            raise ProtocolViolation("broken off", "none")
        self._left -= 1
        self._channel.send(to, data, tag)


@pytest.mark.parametrize("victim", [0, 1, 2])
@pytest.mark.parametrize("after", [1, 5, 20, 30])
def test_what_was_done_is_not_done_again(tmp_path: Path, victim: int, after: int) -> None:
    agreed = terms(SETS)
    sides = [whole(keys, agreed, tmp_path) for keys in SETS]
    broken = sides[victim]
    with pytest.raises((ProtocolViolation, PartyLost)):
        together([*sides[:victim], lambda c: broken(Breaks(c, after)), *sides[victim + 1 :]])
    before = [{path.name for path in (tmp_path / str(party)).glob("done-*")} for party in range(3)]
    common = before[0] & before[1] & before[2]
    reports: list[int] = []

    def again(keys: Keys) -> Side:
        def run(channel: Channel) -> Any:
            crowd = opened(channel, keys, agreed, tmp_path, 100)
            assert {f"done-{part:06d}" for part in crowd.done()} >= common
            crowd.run(channel, report=lambda done, total: reports.append(done) if channel.party == 0 else None)
            return rows(crowd)

        return run

    found, traffic = together([again(keys) for keys in SETS])
    assert found == [expected(SETS[0], SETS), None, None]
    assert reports[0] == len(SETS[0]) * len(common) // 4
    sizes = {"parties": 3, "leader": 302, "rows1": 400, "rows2": 200, "recipients": 1, "most": 100}
    opening = opening_cost(3, parted((302, 400, 200), most=100)).bytes
    each = (MANY.cost(MANY_TABLES, sizes).bytes - opening) // 4
    assert sum(one.sent for one in traffic) == opening + each * (4 - len(common))


def test_parts_were_done_before_some_of_the_breaks(tmp_path: Path) -> None:
    """So that the test above is not about nothing."""
    agreed = terms(SETS)
    sides = [whole(keys, agreed, tmp_path) for keys in SETS]
    with pytest.raises((ProtocolViolation, PartyLost)):
        together([sides[0], lambda c: sides[1](Breaks(c, 30)), sides[2]])
    assert all(list((tmp_path / str(party)).glob("done-*")) for party in range(3))


def test_another_table_gets_another_salt_and_starts_over(tmp_path: Path) -> None:
    salts = []
    other: list[Keys] = [["changed", *SETS[0][1:]], *SETS[1:]]
    for sets in (SETS, other, other):
        crowds, _ = together([opening(keys, tmp_path) for keys in sets])
        assert len({crowd._state.salt for crowd in crowds}) == 1
        salts.append((crowds[0]._state.salt, len(crowds[0].done())))
        together([running(crowd) for crowd in crowds])
    assert salts[0][0] != salts[1][0] == salts[2][0]
    assert [done for _, done in salts] == [0, 0, 4]


class Altered:
    """A channel whose n-th message is another one."""

    def __init__(self, channel: Channel, number: int, change: Callable[[bytes], bytes]) -> None:
        self._channel, self._number, self._change = channel, number, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        self._number -= 1
        self._channel.send(to, self._change(bytes(data)) if self._number == 0 else data, tag)


@pytest.mark.parametrize(
    ("number", "change", "error"),
    [
        (1, lambda data: bytes(32) + data[32:], "names other terms"),
        (1, lambda data: data[:32] + bytes(32) + data[64:], "saw another beginning|committed"),
        (2, lambda data: data[:64] + bytes(16), "saw another beginning"),
        (1, lambda data: data[:-1], "bytes"),
        (3, lambda data: bytes(32) + data[32:], "committed"),
        (4, lambda data: data[:32] + bytes(32), "saw another beginning"),
        (4, lambda data: data + b"x", "bytes"),
        (5, lambda data: data + b"x", "bytes"),
    ],
)
def test_altered_messages_end_it(tmp_path: Path, number: int, change: Callable[[bytes], bytes], error: str) -> None:
    sides = [whole(keys, terms(SETS), tmp_path) for keys in SETS]
    with pytest.raises(ProtocolViolation, match=error):
        together([sides[0], lambda c: sides[1](Altered(c, number, change)), sides[2]])


@pytest.mark.parametrize("other", [{"forms": ("text/1",)}, {"recipients": (0, 1, 2)}, {"sizes": (302, 400, 199)}])
def test_other_terms_are_refused(tmp_path: Path, other: dict[str, Any]) -> None:
    agreed = terms(SETS)
    named = [agreed, agreed, agreed.model_copy(update=other)]
    with pytest.raises((ProtocolViolation, TableChanged), match=r"names other terms|were announced"):
        together([whole(keys, one, tmp_path) for keys, one in zip(SETS, named, strict=True)])


def test_wrong_counts_and_values_without_form_end_it(tmp_path: Path) -> None:
    with pytest.raises(TableChanged, match="has 301 rows, 302 were announced"):
        together([whole(keys, terms(SETS), tmp_path) for keys in (SETS[0][1:], *SETS[1:])])
    with pytest.raises(BadInput, match=r"^Key column 1 has a value that is not in the form phone/1\."):
        together([whole(keys, terms(SETS, forms=("phone/1",)), tmp_path) for keys in SETS])
    with pytest.raises(BadInput, match="Not every party's number of rows"):
        together([whole(keys, terms(SETS, sizes=None), tmp_path) for keys in SETS])


def test_files_are_the_users_alone_and_go_when_discarded(tmp_path: Path) -> None:
    crowds, traffic = together([opening(keys, tmp_path) for keys in SETS])
    assert [one.sent for one in traffic] == [2 * (HELLO + NONCE + SEEN)] * 3
    with pytest.raises(BadInput, match="Part 0 of 4 is not done"):
        crowds[0].marked()
    together([running(crowd) for crowd in crowds])
    files = list((tmp_path / "0").iterdir())
    assert len(files) == 4 + 4 + 1
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert crowds[0]._state.salt not in repr(crowds[0]._state)
    crowds[0].discard()
    assert not list((tmp_path / "0").iterdir())
