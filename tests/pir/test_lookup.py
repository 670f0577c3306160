"""Lookups against a dictionary, versions and patches, and messages against the declaration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu import _core
from lingqu.kinds.channel import Channel
from lingqu.kinds.errors import BadInput
from lingqu.pir import DECLARATION, Answers, Client, Hint, Table, Terms, choose_layout, connect, key, records, serve
from lingqu.pir.plain import PlainTable

Run = Callable[..., Any]
TERMS = Terms(table="list", queries=100)
Pairs = dict[bytes, bytes | None]


def made(pairs: Pairs, **other: Any) -> Table:
    return Table.build(records(list(pairs), list(pairs.values())), **other)


def ask(both: Run, table: Table, keys: Sequence[bytes], hint: Hint | None = None, wraps: Any = (None, None)) -> Any:
    """One session with one batch: the answers and the hint, and the traffic."""

    def client(channel: Channel) -> tuple[Answers, Hint]:
        session = connect(channel, TERMS, hint)
        answers = session.lookup(keys)
        session.close()
        return answers, session.hint

    return both(client, lambda channel: serve(channel, table, TERMS), wraps)


def same(one: Answers, two: Answers) -> bool:
    return one.values == two.values and bool(np.array_equal(one.found, two.found))


KEYS = st.one_of(st.text(max_size=5).map(key), st.integers().map(key), st.binary(max_size=3).map(key))
VALUES = st.none() | st.binary(max_size=40) | st.just(bytes(1024)) | st.text(max_size=9).map(str.encode)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=12), st.lists(KEYS, max_size=4))
def test_agrees_with_a_dictionary(both: Run, pairs: Pairs, others: list[bytes]) -> None:
    keys = [*list(pairs)[:6], *others, *list(pairs)[:1]]
    answers, _ = ask(both, made(pairs), keys).results[0]
    assert same(answers, PlainTable(records(list(pairs), list(pairs.values()))).lookup(keys))


def test_every_record_of_a_larger_table_is_found(both: Run) -> None:
    pairs: Pairs = {key(i): b"%d" % (i * i) for i in range(3000)}
    keys = [key(i) for i in range(2950, 3050)]
    answers, _ = ask(both, made(pairs), keys).results[0]
    assert answers.found.tolist() == [True] * 50 + [False] * 50
    assert answers.values == tuple(pairs.get(one) for one in keys)


def test_keys_of_other_types_or_parts_differ() -> None:
    forms = [key("1"), key(1), key(b"1"), key("1", ""), key("", "1"), key("é"), key("e\u0301"), key(-1), key()]
    assert len(set(forms)) == len(forms)
    with pytest.raises(BadInput, match="65535"):
        key("x" * 70000)


def test_a_key_that_comes_twice_is_refused_by_its_rows() -> None:
    with pytest.raises(BadInput, match="Rows 1 and 3 have the same key"):
        records([key("a"), key("b"), None, key("b")], [b""] * 4)
    with pytest.raises(BadInput, match="row 0 has 1025 bytes"):
        records([key("a")], [bytes(1025)])
    with pytest.raises(BadInput, match="1 keys have 2 values"):
        records([key("a")], [b"", b""])
    with pytest.raises(BadInput, match="5 bytes"):
        Table.build(records([key("a")], [bytes(5)]), value=4)


def test_rows_without_a_key_are_left_out() -> None:
    assert len(records([None, key("a"), None], [b"1", None, b"3"])) == 1


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_a_patched_hint_reads_the_new_version(both: Run, data: st.DataObject) -> None:
    pairs: Pairs = {key(i): b"%d" % i for i in range(30)}
    table, twin = made(pairs, value=8), PlainTable(records(list(pairs), list(pairs.values())))
    _, hint = ask(both, table, []).results[0]
    known = list(pairs)
    for _ in range(data.draw(st.integers(1, 3))):
        changed = data.draw(st.dictionaries(st.integers(0, 60).map(key), st.none() | st.binary(max_size=8), max_size=5))
        there = [one for one in known if one not in changed]
        removed = data.draw(st.lists(st.sampled_from(there), max_size=3, unique=True))
        for one in (table, twin):
            one.update(records(list(changed), list(changed.values())), removed)
        known = [one for one in {*known, *changed} if one not in removed]
    keys = [key(i) for i in range(0, 61, 2)]
    run = ask(both, table, keys, hint)
    answers, followed = run.results[0]
    assert same(answers, twin.lookup(keys))
    assert (followed.about, len(table)) == (table.about, len(twin))
    assert run.traffic[1].sent < table.about.layout.hint_bytes
    fresh, _ = ask(both, table, keys).results[0]
    assert same(fresh, answers)


def test_a_full_column_makes_room_by_moving_records(both: Run) -> None:
    table = made({}, value=4)
    room = 2 * (table.about.layout.columns - 1) * table.about.layout.cells
    count = int(room * 0.93)
    twin: Pairs = {key(i): b"%d" % (i % 9000) for i in range(count)}
    table.update(records(list(twin), list(twin.values())))
    answers, _ = ask(both, table, [key(i) for i in range(count - 50, count + 1)]).results[0]
    assert answers.found.tolist() == [True] * 50 + [False]
    assert len(table) == count


def test_updates_that_do_not_fit_are_refused() -> None:
    table = made({key(1): b"one"})
    with pytest.raises(BadInput, match="same key"):
        table.update(records([key(1)], [b"1"]), [key(1)])
    with pytest.raises(BadInput, match="row 0 is not in the table"):
        table.update(records([], []), [key(2)])
    with pytest.raises(BadInput, match="4 bytes"):
        table.update(records([key(1)], [b"four"]))
    assert table.about.version == 0


def test_a_table_and_a_hint_are_kept_in_folders(both: Run, tmp_path: Path) -> None:
    made({key(i): b"%d" % i for i in range(50)}, folder=tmp_path / "table")
    table = Table.open(tmp_path / "table")
    _, hint = ask(both, table, [key(3)]).results[0]
    hint.save(tmp_path / "hint")
    table.update(records([key(3), key(99)], [b"x", None]), [key(4)])
    again = Table.open(tmp_path / "table")
    answers, _ = ask(both, again, [key(3), key(4), key(99)], Hint.load(tmp_path / "hint")).results[0]
    assert answers.found.tolist() == [True, False, True]
    assert answers.values == (b"x", None, None)
    assert (tmp_path / "table" / "key").stat().st_mode & 0o777 == 0o600
    (tmp_path / "table" / "changing").touch()
    with pytest.raises(BadInput, match="Prepare it again"):
        Table.open(tmp_path / "table")
    (tmp_path / "hint" / "hint-0.npy").write_bytes(b"")
    with pytest.raises(BadInput, match="Fetch the hint again"):
        Hint.load(tmp_path / "hint")
    with pytest.raises(BadInput, match="no hint"):
        Hint.load(tmp_path / "nowhere")


def test_a_table_prepared_anew_replaces_the_hint(both: Run) -> None:
    pairs: Pairs = {key(1): b"one"}
    _, hint = ask(both, made(pairs), []).results[0]
    answers, other = ask(both, made(pairs), [key(1)], hint).results[0]
    assert answers.values == (b"one",)
    assert other.about.table != hint.about.table


@pytest.mark.parametrize("count", [1, 16, 17, 40])
def test_traffic_is_as_declared_and_the_same_for_every_key(both: Run, count: int) -> None:
    table = made({key(i): b"%d" % i for i in range(200)}, value=3)
    sizes = {"rows": 200, "width": 3, "count": count}
    shapes = []
    for first in (0, 190, 5000):
        traffic = ask(both, table, [key(first + i) for i in range(count)]).traffic
        shapes.append([(t.sent, t.messages, t.rounds) for t in traffic])
    assert shapes[0] == shapes[1] == shapes[2]
    declared = DECLARATION.cost("hint", sizes) + DECLARATION.cost("lookup", sizes)
    assert sum(sent for sent, _, _ in shapes[0]) == declared.bytes
    assert max(rounds for _, _, rounds in shapes[0]) == declared.rounds


def test_connecting_and_refreshing_cost_what_is_declared(both: Run) -> None:
    table = made({key(i): b"%d" % i for i in range(200)}, value=3)
    sizes = {"rows": 200, "width": 3}
    first = ask(both, table, [])
    assert sum(t.sent for t in first.traffic) == DECLARATION.cost("hint", sizes).bytes
    hint = first.results[0][1]
    again = ask(both, table, [], hint)
    assert sum(t.sent for t in again.traffic) == DECLARATION.cost("connect", sizes).bytes
    patch = table.update(records([key(1), key(2)], [b"a", b"b"]))
    refreshed = ask(both, table, [], hint)
    declared = DECLARATION.cost("refresh", {**sizes, "size": len(patch.cells)})
    assert sum(t.sent for t in refreshed.traffic) == declared.bytes
    assert max(t.rounds for t in refreshed.traffic) == declared.rounds


def test_queries_and_blinded_elements_look_uniform(both: Run) -> None:
    """What the server sees of a key: words of the query, and the inner bytes of the blinded element."""
    seen: list[bytes] = []

    class Listening:
        def __init__(self, channel: Channel) -> None:
            self._channel = channel

        def __getattr__(self, name: str) -> Any:
            return getattr(self._channel, name)

        def send(self, to: int, data: Any, *tag: Any) -> None:
            seen.append(bytes(data))
            self._channel.send(to, data, *tag)

    ask(both, made({key(1): b"one"}), [key(1)] * 64, wraps=(Listening, None))
    points = np.frombuffer(seen[2], np.uint8).reshape(-1, 32)[:, 1:31]
    queries = np.frombuffer(b"".join(seen[3:7]), np.uint8)
    for drawn in (points, queries):
        counts = np.bincount(drawn.reshape(-1), minlength=256)
        expected = drawn.size / 256
        # The 1 - 1e-6 quantile of chi-square with 255 degrees of freedom is 377.
        assert float(((counts - expected) ** 2 / expected).sum()) < 377


def test_what_a_client_holds_opens_no_record_but_its_own(both: Run) -> None:
    """The whole encrypted table, and the key of one record, open that one cell."""
    table = made({key(i): b"%d" % i for i in range(100)}, value=3)
    layout = table.about.layout
    own = table.derive(records([key(7)], [None]).keys)
    cells = [
        half.reshape(layout.rows, layout.columns)[: -16 or None, :].T.reshape(-1, layout.width) for half in table.halves
    ]
    opened = [_core.pir_open(own, np.ascontiguousarray(part).reshape(-1), layout.width) for part in cells]
    assert [one[1] for one in opened if one] == [b"7"]
    everything = b"".join(half.tobytes() for half in table.halves)
    assert b"99" * 3 not in everything


def test_sessions_do_not_print_secrets(both: Run) -> None:
    table = made({key("secret"): b"hidden"})
    session: list[Client] = []

    def client(channel: Channel) -> None:
        session.append(connect(channel, TERMS))
        session[0].lookup([key("secret")])
        session[0].close()

    both(client, lambda channel: serve(channel, table, TERMS))
    text = repr((session, table, session[0].lookup([])))
    assert "secret" not in text
    assert "hidden" not in text


def test_answers_are_misread_with_a_chance_below_two_to_the_minus_forty() -> None:
    for count in (0, 1, 10**6, 10**7):
        layout = choose_layout(count, 256)
        assert layout.room >= count
        assert layout.failure() < -60
    with pytest.raises(BadInput, match="more than one table holds"):
        choose_layout(10**9, 256)
    with pytest.raises(BadInput):
        choose_layout(5, 1025)


def test_all_is_asked_and_said_before_anything_shows_which_keys_are_there(
    both: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the server's sight of a client's times does not depend on how many of its keys are in the table."""
    pairs: Pairs = {key(i): b"%d" % i for i in range(100)}
    orders, plain = [], Client._open
    for first in (0, 65, 100):  # all of 70 keys are there, half, none
        events: list[str] = []

        def opened(session: Client, *one: Any, events: list[str] = events) -> Any:
            events.append("open")
            return plain(session, *one)

        monkeypatch.setattr(Client, "_open", opened)

        class Watched:
            def __init__(self, channel: Channel, events: list[str] = events) -> None:
                self._channel, self._events = channel, events

            def __getattr__(self, name: str) -> Any:
                if name in ("send", "receive"):
                    self._events.append(name)
                return getattr(self._channel, name)

        def client(channel: Channel, first: int = first, events: list[str] = events) -> Answers:
            watched: Any = Watched(channel)
            session = connect(watched, TERMS)
            answers = session.lookup([key(i) for i in range(first, first + 70)], session.close)
            assert session.lookup([], lambda: events.append("nothing asked")).values == ()
            return answers

        answers = both(client, lambda channel: serve(channel, made(pairs), TERMS)).results[0]
        assert answers.found.tolist() == [i < 100 for i in range(first, first + 70)]
        orders.append(tuple(events))
    assert len(set(orders)) == 1
    assert orders[0][-71:] == ("open",) * 70 + ("nothing asked",)
    assert "open" not in orders[0][:-71]
