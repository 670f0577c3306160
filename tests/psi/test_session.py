"""Large sets part by part: against Python's sets, padded sizes, declared messages, hostile peers, shared work."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lingqu.kinds.channel import Buffer, Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation, Refused, TableChanged, Unavailable
from lingqu.psi import DECLARATION, RR22, RR22_MALICIOUS, Result, Terms, elements, intersect, join_session, open_session
from lingqu.psi.parts import bound, filled
from lingqu.psi.rr22 import MALICIOUS
from lingqu.psi.session import HELLO, ONCE, Session, opening_cost
from lingqu.psi.tables import BOTH, ELEMENTS, GATE, cost

Both = Callable[..., Any]
Keys = Sequence[str | None]
DECLARED = {one.name: one for one in (DECLARATION, RR22, RR22_MALICIOUS)}
NAMES = list(DECLARED)


def terms(name: str = NAMES[0], **more: Any) -> Terms:
    return Terms(protocol=name, forms=("exact/1",), **more)


def batches(keys: Keys, size: int = 64) -> Callable[[], Iterable[list[Any]]]:
    return lambda: ([list(keys[start : start + size])] for start in range(0, len(keys), size))


def opened(channel: Channel, keys: Keys, agreed: Terms, folder: Path, **more: Any) -> Session:
    return open_session(channel, batches(keys), len(keys), agreed, folder / str(channel.party), **more)


def whole(channel: Channel, keys: Keys, agreed: Terms, folder: Path, **more: Any) -> tuple[Any, Any]:
    session = opened(channel, keys, agreed, folder, **more)
    session.run(channel)
    found = session.rows()
    return (None if found is None else found.tolist(), session.size())


def expected(own: Keys, other: Keys) -> list[int]:
    there = set(other) - {None}
    return [row for row, key in enumerate(own) if key in there]


KEYS = st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "ä", "a\u0308", "李", "0", "-1"]), st.text(max_size=5)))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=KEYS, two=KEYS, most=st.integers(1, 9), recipients=st.sampled_from([(0,), (1,), (0, 1)]))
def test_rows_against_sets(
    both: Both,
    tmp_path_factory: pytest.TempPathFactory,
    one: Keys,
    two: Keys,
    most: int,
    recipients: tuple[int, ...],
) -> None:
    folder = tmp_path_factory.mktemp("sets")
    agreed = terms(recipients=recipients)
    found = both(
        lambda c: whole(c, one, agreed, folder, most=most), lambda c: whole(c, two, agreed, folder, most=most)
    ).results
    assert found[0] == (expected(one, two) if 0 in recipients else None, None)
    assert found[1] == (expected(two, one) if 1 in recipients else None, None)


FIRST = [f"k{i}" for i in range(300)] + [None, "k5"]
SECOND = [f"k{i}" for i in range(150, 550)]


@pytest.mark.parametrize(
    ("name", "recipients"),
    [
        (name, whom)
        for name in NAMES
        for whom in ((0,), (1,), (0, 1))
        if len(whom) == 1 or BOTH in DECLARED[name].operations
    ],
)
@pytest.mark.parametrize("most", [1000, 150])
def test_rounds_and_bytes_are_the_declared_ones(
    both: Both, tmp_path: Path, name: str, recipients: tuple[int, ...], most: int
) -> None:
    agreed = terms(name, recipients=recipients)
    done = both(
        lambda c: whole(c, FIRST, agreed, tmp_path, most=most), lambda c: whole(c, SECOND, agreed, tmp_path, most=most)
    )
    rows = (len(FIRST), len(SECOND)) if 0 in recipients else (len(SECOND), len(FIRST))
    sizes = {"left": rows[0], "right": rows[1], "recipients": len(recipients), "most": most}
    declared = DECLARED[name].cost(BOTH if len(recipients) == 2 else ELEMENTS, sizes)
    assert sum(one.sent for one in done.traffic) == declared.bytes
    assert max(one.rounds for one in done.traffic) == declared.rounds - GATE.rounds


def test_a_size_is_taken_in_one_part(both: Both, tmp_path: Path) -> None:
    agreed = terms(result=Result.SIZE)
    done = both(
        lambda c: whole(c, FIRST, agreed, tmp_path, most=10), lambda c: whole(c, SECOND, agreed, tmp_path, most=10)
    )
    assert done.results == [(None, 150), (None, None)]
    declared = cost(DECLARATION, "intersection_size", {"left": len(FIRST), "right": len(SECOND)})
    assert sum(one.sent for one in done.traffic) == declared.bytes


def test_messages_do_not_depend_on_what_the_tables_hold(both: Both, tmp_path: Path) -> None:
    """Same numbers of rows: all different keys, one key repeated, no key at all, who matches, all the same shape."""
    worlds: list[tuple[Keys, Keys]] = [
        ([f"a{i}" for i in range(90)], [f"a{i}" for i in range(200)]),
        (["a"] * 90, [f"b{i}" for i in range(200)]),
        ([None] * 90, ["a"] * 200),
    ]
    shapes = []
    for place, (one, two) in enumerate(worlds):
        folder = tmp_path / str(place)
        sizes: list[int] = []

        class Noting:
            def __init__(self, channel: Channel, sizes: list[int]) -> None:
                self._channel, self._sizes = channel, sizes

            def __getattr__(self, name: str) -> Any:
                return getattr(self._channel, name)

            def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
                self._sizes.append(memoryview(data).nbytes)
                self._channel.send(to, data, tag)

        done = both(
            lambda c, one=one, folder=folder: whole(c, one, terms(), folder, most=50),
            lambda c, two=two, folder=folder: whole(c, two, terms(), folder, most=50),
            lambda c, sizes=sizes: Noting(c, sizes),
        )
        shapes.append((sizes, [(t.sent, t.messages, t.rounds) for t in done.traffic]))
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize("count", [2, 3, 16, 1000])
@pytest.mark.parametrize("rows", [0, 1, 50, 10_000, 10_000_000])
def test_a_bound_holds_by_the_exact_distribution(rows: int, count: int) -> None:
    size = bound(rows, count)
    assert size <= rows
    if size < rows:  # Chernoff with the exact relative entropy, which is smaller than what the bound was derived by
        share, mean = size / rows, 1 / count
        distance = share * math.log(share / mean) + (1 - share) * math.log((1 - share) / (1 - mean))
        assert rows * distance >= math.log(2) * (41 + math.log2(count))
        assert size <= 1.2 * rows / count + 300


def test_padding_is_exact_and_overflow_ends_it() -> None:
    part = elements([["a", "b"]], ["exact/1"])
    assert len(filled(part, 5)) == 5
    one, two = filled(part, 9), filled(part, 9)
    texts = [{bytes(s.data[s.offsets[i] : s.offsets[i + 1]]) for i in range(9)} for s in (one, two)]
    assert len(texts[0]) == 9
    assert len(texts[0] & texts[1]) == 2
    with pytest.raises(Unavailable, match="larger than chance"):
        filled(part, 1)


def test_several_workers_take_ranges_over_channels_of_their_own(both: Both, tmp_path: Path) -> None:
    sessions = both(
        lambda c: opened(c, FIRST, terms(), tmp_path, most=40), lambda c: opened(c, SECOND, terms(), tmp_path, most=40)
    ).results
    count = sessions[0].parts.count
    assert count == 10
    documents = [session.document() for session in sessions]

    def elsewhere(channel: Channel) -> Any:
        """A worker on a machine of its own, which reads the table itself and sends its rows home."""
        party, parts = channel.party, range(6, count)
        keys = (FIRST, SECOND)[party]
        folder = tmp_path / "other" / str(party)
        session = join_session(party, documents[party], batches(keys), folder, parts)
        session.run(channel, parts)
        return {path.name: path for path in folder.glob("done-*")}

    both(lambda c: sessions[0].run(c, range(6)), lambda c: sessions[1].run(c, range(6)))
    moved = both(elsewhere, elsewhere).results[0]
    with pytest.raises(BadInput, match="Part 6 of 10 is not done"):
        sessions[0].rows()
    for name, path in moved.items():
        path.rename(tmp_path / "0" / name)
    assert sessions[0].rows().tolist() == expected(FIRST, SECOND)


def test_a_worker_that_joins_with_another_table_is_refused(both: Both, tmp_path: Path) -> None:
    session = both(
        lambda c: opened(c, FIRST, terms(), tmp_path), lambda c: opened(c, SECOND, terms(), tmp_path)
    ).results[0]
    other = ["z", *FIRST[1:]]
    with pytest.raises(BadInput, match="another table"):
        join_session(0, session.document(), batches(other), tmp_path / "other", range(1))


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


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ONCE])
@pytest.mark.parametrize("after", [1, 2, 3, 7, 14])
def test_what_was_done_is_not_done_again(both: Both, tmp_path: Path, name: str, after: int) -> None:
    agreed = terms(name)
    with pytest.raises(ProtocolViolation):
        both(
            lambda c: whole(c, FIRST, agreed, tmp_path, most=100),
            lambda c: whole(Breaks(c, after), SECOND, agreed, tmp_path, most=100),
        )
    before = [{path.name for path in (tmp_path / str(party)).glob("done-*")} for party in (0, 1)]
    reports: list[int] = []

    def again(channel: Channel, keys: Keys) -> Any:
        session = opened(channel, keys, agreed, tmp_path, most=100)
        if channel.party == 0:
            assert {f"done-{part:06d}" for part in session.done(range(4))} >= before[0] & before[1]
        session.run(channel, report=lambda done, total: reports.append(done) if channel.party == 0 else None)
        return session.rows()

    found = both(lambda c: again(c, FIRST), lambda c: again(c, SECOND)).results
    assert found[0].tolist() == expected(FIRST, SECOND)
    assert found[1] is None
    assert reports[0] == len(FIRST) * len(before[0] & before[1]) // 4


def test_against_malicious_parties_a_run_that_broke_off_begins_anew(both: Both, tmp_path: Path) -> None:
    """A peer that may repeat a part could bring other keys to it, and learn of more than its announced number."""
    agreed, salts = terms(MALICIOUS), []
    for after in (20, 1000):

        def run(channel: Channel, keys: Keys) -> Any:
            session = opened(channel, keys, agreed, tmp_path, most=100)
            assert session.done(range(4)) == []
            salts.append(session._state.salt)
            session.run(channel)
            return session.rows()

        def second(channel: Channel, after: int = after) -> Any:
            return run(Breaks(channel, after), SECOND)

        if after == 20:
            with pytest.raises(ProtocolViolation, match="broken off"):
                both(lambda c: run(c, FIRST), second)
            assert list((tmp_path / "0").glob("done-*"))
        else:
            assert both(lambda c: run(c, FIRST), second).results[0].tolist() == expected(FIRST, SECOND)
    assert len(set(salts)) == 2


def test_a_malicious_peer_that_asks_for_a_part_again_is_refused(both: Both, tmp_path: Path) -> None:
    sessions = both(
        lambda c: opened(c, FIRST, terms(MALICIOUS), tmp_path, most=100),
        lambda c: opened(c, SECOND, terms(MALICIOUS), tmp_path, most=100),
    ).results
    both(lambda c: sessions[0].run(c, range(2)), lambda c: sessions[1].run(c, range(2)))
    for path in (tmp_path / "1").glob("done-000001"):
        path.unlink()
    with pytest.raises(ProtocolViolation, match="again"):
        both(lambda c: sessions[0].run(c), lambda c: sessions[1].run(c))


def test_another_table_gets_another_salt_and_starts_over(both: Both, tmp_path: Path) -> None:
    salts = []
    for keys in (FIRST, ["changed", *FIRST[1:]], ["changed", *FIRST[1:]]):
        sessions = both(
            lambda c, keys=keys: opened(c, keys, terms(), tmp_path, most=100),
            lambda c: opened(c, SECOND, terms(), tmp_path, most=100),
        ).results
        assert sessions[0]._state.salt == sessions[1]._state.salt
        salts.append((sessions[0]._state.salt, len(sessions[0].done(range(4)))))
        both(lambda c, s=sessions[0]: s.run(c), lambda c, s=sessions[1]: s.run(c))
    assert salts[0][0] != salts[1][0] == salts[2][0]
    assert [done for _, done in salts] == [0, 0, 4]


@pytest.mark.parametrize("other", [{"forms": ("text/1",)}, {"recipients": (0, 1)}, {"largest": 401}])
def test_other_terms_are_refused(both: Both, tmp_path: Path, other: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolation, match="names other terms"):
        both(
            lambda c: opened(c, FIRST, terms(), tmp_path),
            lambda c: opened(c, SECOND, terms().model_copy(update=other), tmp_path),
        )


def test_more_rows_than_agreed_are_refused(both: Both, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="302 rows are more than the agreed 300") as caught:
        both(lambda c: opened(c, FIRST, terms(largest=300), tmp_path), lambda c: None)
    assert caught.value.term == "set-size"
    with pytest.raises(Refused, match="brings 400 rows, 399 are agreed") as caught:
        both(
            lambda c: opened(c, FIRST, terms(), tmp_path, peer_rows=399),
            lambda c: opened(c, SECOND, terms(), tmp_path),
        )
    assert caught.value.term == "set-size"


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
        (1, lambda data: data[:32] + b"\xff" * 8 + data[40:], "more than the agreed"),
        (1, lambda data: data[:40] + bytes(32) + data[72:], "committed"),
        (1, lambda data: data[:-1], "bytes"),
        (2, lambda data: bytes(32), "committed"),
        (2, lambda data: data + b"x", "bytes"),
        (3, lambda data: data + b"x", "bytes"),
    ],
)
def test_altered_messages_end_it(
    both: Both, tmp_path: Path, number: int, change: Callable[[bytes], bytes], error: str
) -> None:
    with pytest.raises((ProtocolViolation, Refused), match=error):
        both(
            lambda c: whole(c, FIRST, terms(), tmp_path),
            lambda c: whole(c, SECOND, terms(), tmp_path),
            lambda c: Altered(c, number, change),
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("more", [-1, 1, 3000])
def test_a_peer_that_brings_another_number_to_a_part_is_stopped(
    both: Both, tmp_path: Path, name: str, more: int
) -> None:
    """Ten times the announced data, or one element more: it cannot test more keys than its table has rows."""

    def dishonest(channel: Channel) -> None:
        held = opened(channel, SECOND, terms(name), tmp_path, most=100)
        size = held.parts.sizes[1]
        held._missing(channel, range(held.parts.count))
        own, _ = held._spill.read(0)
        agreed = terms(name).model_copy(update={"largest": size + 9000, "sizes": None})
        intersect(channel, filled(own, size + more), agreed)

    with pytest.raises((ProtocolViolation, Refused)):
        both(lambda c: whole(c, FIRST, terms(name), tmp_path, most=100), dishonest)


def test_values_that_have_no_form_and_wrong_counts_end_it_without_a_row(both: Both, tmp_path: Path) -> None:
    agreed = Terms(protocol=NAMES[0], forms=("phone/1",))
    keys = ["13800138000"] * 70 + ["no number"]
    with pytest.raises(BadInput) as caught:
        both(
            lambda c: opened(c, keys, agreed, tmp_path),
            lambda c: opened(c, ["13800138000"], agreed, tmp_path),
        )
    assert caught.value.cause == "Key column 1 has a value that is not in the form phone/1."
    with pytest.raises(TableChanged, match="has 302 rows, 303 were announced"):
        both(
            lambda c: open_session(c, batches(FIRST), 303, terms(), tmp_path / "0"),
            lambda c: opened(c, SECOND, terms(), tmp_path),
        )


def test_the_opening_costs_what_it_declares(both: Both, tmp_path: Path) -> None:
    done = both(lambda c: opened(c, FIRST, terms(), tmp_path), lambda c: opened(c, SECOND, terms(), tmp_path))
    assert [one.sent for one in done.traffic] == [HELLO + 32] * 2
    assert opening_cost(done.results[0].parts).bytes == 2 * (HELLO + 32 + 1)


def test_files_are_the_users_alone_and_go_when_discarded(both: Both, tmp_path: Path) -> None:
    sessions = both(
        lambda c: opened(c, FIRST, terms(), tmp_path, most=100),
        lambda c: opened(c, SECOND, terms(), tmp_path, most=100),
    ).results
    both(lambda c: sessions[0].run(c), lambda c: sessions[1].run(c))
    files = list((tmp_path / "0").iterdir())
    assert len(files) == 4 + 4 + 1
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert sessions[0]._state.salt not in repr(sessions[0]._state)
    sessions[0].discard()
    assert not list((tmp_path / "0").iterdir())
