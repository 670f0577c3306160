"""What a peer can see of a recipient's times: its last word comes first, and comparing holds up nothing.

A peer may not know how many match, and comparing and writing take longer the more do.  So these tests look at order:
what a recipient says and takes, then what it compares; and they hold the comparison up, to see that nobody waits.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from lingqu import _core
from lingqu.kinds.channel import Buffer, Channel, Tag
from lingqu.kinds.errors import BadInput, PartyLost, TableChanged
from lingqu.net.memory import memory_channels
from lingqu.psi import (
    PROTOCOLS,
    Outcome,
    Result,
    Terms,
    elements,
    finish_files,
    intersect,
    intersect_files,
    open_session,
)
from lingqu.psi.heard import Heard
from lingqu.psi.many import NAME as MANY
from lingqu.psi.unbalanced import Holder, Published, UnbalancedTerms, serve
from lingqu.psi.unbalanced import session as unbalanced
from lingqu.psi.unbalanced.session import exchange

Both = Callable[..., Any]
TWO = [name for name in PROTOCOLS if name != MANY]
SHARED = (0, 40, 120)
"""How many of 120 keys the peer has too: none, some, all."""


def keys(first: int) -> list[str]:
    return [f"k{number}" for number in range(first, first + 120)]


class Watched:
    """A channel of which every event is written down."""

    def __init__(self, channel: Channel, events: list[str]) -> None:
        self._channel, self._events = channel, events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        self._events.append("send")
        self._channel.send(to, data, tag)

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        data = self._channel.receive(sender, size, tag)
        self._events.append("receive")
        return data

    def close(self) -> None:
        self._events.append("close")
        self._channel.close()


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of the recipient: what passes over its channel, and each time that tags meet."""
    seen: list[str] = []
    plain = _core.TagMeeting

    class Meeting:
        def __init__(self, tags: Any, width: int) -> None:
            self._meeting = plain(tags, width)

        def meet(self, tags: Any) -> Any:
            seen.append("compare")
            return self._meeting.meet(tags)

        def found(self) -> Any:
            return self._meeting.found()

    monkeypatch.setattr(_core, "TagMeeting", Meeting)
    return seen


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("receiver", [0, 1])
def test_the_time_of_the_last_message_does_not_depend_on_matches(
    both: Both, events: list[str], name: str, receiver: int
) -> None:
    """Of every protocol that tells one party: all that it says and takes, in one order, and then it compares."""
    agreed = Terms(protocol=name, forms=("exact/1",), recipients=(receiver,))

    def part(channel: Channel, first: int) -> Any:
        watched: Any = Watched(channel, events) if channel.party == receiver else channel
        return intersect(watched, elements([keys(first)], ["exact/1"]), agreed)

    orders = []
    for shared in SHARED:
        events.clear()
        found = both(lambda c: part(c, 0), lambda c, first=120 - shared: part(c, first)).results
        assert found[receiver].size == shared
        orders.append(tuple(events))
    assert len(set(orders)) == 1
    assert orders[0].index("compare") == len(orders[0]) - 1


@pytest.mark.parametrize("name", TWO)
def test_the_time_of_the_next_part_does_not_depend_on_matches(
    both: Both, tmp_path: Path, events: list[str], name: str
) -> None:
    """Nor that of the end: a session compares once the messages of all parts have passed."""
    agreed = Terms(protocol=name, forms=("exact/1",))
    orders, sizes = [], []
    for shared in SHARED:
        events.clear()
        folder = tmp_path / str(shared)

        def part(channel: Channel, folder: Path = folder, first: int = 120 - shared) -> Any:
            mine = [keys(0), keys(first)][channel.party]
            place = folder / str(channel.party)
            watched: Any = channel if channel.party else Watched(channel, events)
            session = open_session(watched, lambda: [[mine]], 120, agreed, place, most=40)
            session.run(watched)
            if not channel.party:
                sizes.append([path.stat().st_size for path in sorted(place.glob("done-*"))])
                events.append("over")
            return session.rows()

        found = both(part, part).results[0]
        assert found.tolist() == list(range(120 - shared, 120))
        orders.append(tuple(events))
    assert len(set(orders)) == 1
    over = orders[0].index("over")
    assert "compare" not in orders[0][:over]
    assert set(orders[0][over + 1 :]) == {"compare"}
    # What is kept between the parts has the size of the sets, but for how the salt parted this party's own rows.
    assert {len(each) for each in sizes} == {3}
    assert len({sum(each) for each in sizes}) == 1


@pytest.mark.parametrize("recipients", [(0,), (0, 1)])
def test_the_peer_is_done_and_hears_the_end_while_the_comparison_is_held_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipients: tuple[int, ...]
) -> None:
    """The comparison waits for the peer's end, not the peer for the comparison; where both are told, so do the rows."""
    agreed = Terms(protocol="psi.rr22", forms=("exact/1",), recipients=recipients)
    for name, first in (("0", 0), ("1", 80)):
        parquet.write_table(pa.table({"id": keys(first)}), tmp_path / f"{name}.parquet")
    go, main = threading.Event(), Heard.compare
    held: set[str] = set()

    def waits(heard: Heard) -> Any:
        if threading.current_thread().name == "recipient":
            held.add("recipient")
            assert go.wait(60)
        return main(heard)

    monkeypatch.setattr(Heard, "compare", waits)
    channels = memory_channels(("alpha", "beta"), timeout=20)

    def part(party: int) -> Outcome:
        threading.current_thread().name = "peer" if party else "recipient"
        source, output = str(tmp_path / f"{party}.parquet"), tmp_path / f"{party}.csv"
        return intersect_files(channels[party], source, ["id"], agreed, tmp_path / str(party), output, most=40)

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(part, party) for party in (0, 1)]
        try:
            told = running[1].result(60)
            with pytest.raises(PartyLost):  # all that a peer can still do is to listen, and the line is closed
                channels[1].receive(0, 1)
            assert not running[0].done()
        finally:
            go.set()
        assert running[0].result(60) == Outcome(40, None)
    assert told == Outcome(40 if 1 in recipients else None, None)
    assert held == {"recipient"}
    assert csv.read_csv(tmp_path / "0.csv").column("id").to_pylist() == keys(80)[:40]


def test_a_client_of_a_published_set_has_heard_all_before_it_compares(
    both: Both, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    points, plain = 40, Published.find
    terms = UnbalancedTerms(forms=("exact/1",), queries=1000, largest=100_000)
    monkeypatch.setattr(unbalanced, "POINTS", points)

    def find(published: Published, tags: Any) -> Any:
        events.append("compare")
        return plain(published, tags)

    monkeypatch.setattr(Published, "find", find)
    asked = elements([list(range(2 * points + 1))], ["exact/1"])
    orders = []
    for first in (0, points, 4 * points):
        events.clear()
        holder = Holder.publish(elements([list(range(first, first + 3 * points))], ["exact/1"]), terms.queries)

        def client(channel: Channel) -> Any:
            watched: Any = Watched(channel, events)
            derived = exchange(watched, asked, terms)
            events.append("over")
            return derived.found().size

        found = both(client, lambda channel, holder=holder: serve(channel, holder, terms)).results[0]
        assert found == max(0, 2 * points + 1 - first)
        orders.append(tuple(events))
    assert len(set(orders)) == 1
    assert orders[0][orders[0].index("over") :] == ("over", "compare", "compare", "compare")
    assert "compare" not in orders[0][: orders[0].index("over")]


def test_what_is_left_to_compare_is_written_whole(tmp_path: Path) -> None:
    tags, other = np.arange(80, dtype=np.uint8), np.arange(40, 120, dtype=np.uint8)
    mine, order = _core.sorted_tags(tags, 8)
    heard = Heard(order, 8, mine, _core.sorted_tags(other, 8)[0])
    marked = Heard.marked(np.array([2, 0, 1], np.uint32), np.array([True, False, True]))
    for one, found in ((heard, [5, 6, 7, 8, 9]), (marked, [1, 2]), (Heard.marked(order[:0], np.zeros(0, bool)), [])):
        with open(tmp_path / "heard", "wb") as file:
            one.write(file)
        with open(tmp_path / "heard", "rb") as file:
            again = Heard.read(file)
        assert again.compare().tolist() == one.compare().tolist() == found
    assert repr(heard) == "Heard(10 tags of 8 bytes)"


def test_marks_of_both_recipients_are_kept_in_one_size(both: Both, tmp_path: Path) -> None:
    """What a key is worth in rows is this party's alone to know, though both know which keys match."""
    agreed = Terms(protocol="psi.rr22", forms=("exact/1",), recipients=(0, 1))
    sizes = []
    for shared in SHARED:

        def part(channel: Channel, shared: int = shared) -> Any:
            mine = keys(0) if channel.party == 0 else keys(120 - shared)
            place = tmp_path / f"{shared}-{channel.party}"
            session = open_session(channel, lambda: [[mine]], 120, agreed, place)
            session.run(channel)
            return (place / "done-000000").stat().st_size

        sizes.append(tuple(both(part, part).results))
    assert len(set(sizes)) == 1


PARTY = """
import json, os, signal, sys
from pathlib import Path
from lingqu.net.loopback import LoopbackListener
from lingqu.psi import Terms, intersect_files
from lingqu.psi.heard import Heard
job = json.loads(sys.argv[1])
if job["party"] == job["victim"]:
    Heard.compare = lambda heard: os.kill(os.getpid(), signal.SIGKILL)
listener = LoopbackListener()
print(listener.address, flush=True)
endpoints = json.loads(sys.stdin.readline())
channel = listener.mesh(bytes.fromhex(job["session"]), job["party"], ("alpha", "beta"), endpoints)
outcome = intersect_files(channel, job["source"], ["id"], Terms.parse(json.dumps(job["terms"])), Path(job["folder"]),
                          Path(job["output"]), columns=["age"], most=100)
print(json.dumps({"rows": outcome.rows, "size": outcome.size}), flush=True)
"""


@pytest.mark.parametrize(
    ("protocol", "more"),
    [
        ("psi.rr22", {}),
        ("psi.rr22.malicious", {}),
        ("psi.rr22", {"recipients": (0, 1)}),
        ("psi.ecdh", {}),
        ("psi.ecdh", {"result": Result.SIZE}),
    ],
)
def test_a_recipient_killed_between_its_last_word_and_its_comparison_goes_on_alone(
    tmp_path: Path, protocol: str, more: dict[str, Any]
) -> None:
    """kill -9; to the peer it is over, which keeps nothing; the rows are those of Python's sets all the same."""
    agreed = Terms(protocol=protocol, forms=("exact/1",), **more)
    ages = [number % 90 for number in range(200)]
    tables = [[f"k{number}" for number in range(first, first + 200)] for first in (0, 130)]
    for party, held in enumerate(tables):
        parquet.write_table(pa.table({"id": held, "age": ages}), tmp_path / f"{party}.parquet")
    session = secrets.token_hex(16)
    running = []
    for party in (0, 1):
        job = {
            "party": party,
            "victim": 0,
            "session": session,
            "source": str(tmp_path / f"{party}.parquet"),
            "folder": str(tmp_path / str(party)),
            "output": str(tmp_path / f"{party}.csv"),
            "terms": json.loads(agreed.canonical()),
        }
        command = [sys.executable, "-c", PARTY, json.dumps(job)]
        running.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    try:
        lines = [process.stdout.readline().strip() for process in running if process.stdout]
        for process in running:
            assert process.stdin is not None
            process.stdin.write(json.dumps(lines) + "\n")
            process.stdin.flush()
        told, _ = running[1].communicate(timeout=60)
        assert running[0].wait(60) == -9
    finally:
        for process in running:
            process.kill()
            process.communicate()
    assert json.loads(told) == {"rows": 70 if 1 in agreed.recipients else None, "size": None}
    assert not list((tmp_path / "1").iterdir())
    mine, out, place = str(tmp_path / "0.parquet"), tmp_path / "0.csv", tmp_path / "0"
    assert not out.exists()
    with pytest.raises(BadInput, match="other terms"):
        finish_files(mine, ["id"], agreed.model_copy(update={"largest": 999}), place, out, most=100)
    if agreed.result is Result.ELEMENTS:
        with pytest.raises(TableChanged):
            finish_files(str(tmp_path / "1.parquet"), ["id"], agreed, place, out, columns=["age"], most=100)
        assert not out.exists()
    outcome = finish_files(mine, ["id"], agreed, place, out, columns=["age"], most=100)
    if agreed.result is Result.SIZE:
        assert outcome == Outcome(None, 70)
    else:
        assert outcome == Outcome(70, None)
        found = csv.read_csv(out)
        assert (found.column("id").to_pylist(), found.column("age").to_pylist()) == (tables[0][130:], ages[130:])
    assert not list(place.iterdir())
    with pytest.raises(BadInput, match="no session"):
        finish_files(mine, ["id"], agreed, place, out, most=100)


def test_nobody_finishes_alone_what_was_not_exchanged(both: Both, tmp_path: Path) -> None:
    parquet.write_table(pa.table({"id": keys(0)}), tmp_path / "0.parquet")
    agreed = Terms(protocol="psi.rr22", forms=("exact/1",))

    def part(channel: Channel) -> None:
        session = open_session(channel, lambda: [[keys(0)]], 120, agreed, tmp_path / str(channel.party), most=40)
        session.run(channel, range(2))

    both(part, part)
    with pytest.raises(BadInput, match="Not every part"):
        finish_files(str(tmp_path / "0.parquet"), ["id"], agreed, tmp_path / "0", most=40)
