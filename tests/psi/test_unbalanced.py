"""psi.unbalanced against Python's sets, its versions, its declared messages, and hostile ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.kinds.channel import Buffer, Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation, Refused
from lingqu.psi import Elements, elements
from lingqu.psi.unbalanced import DECLARATION, Holder, Published, UnbalancedTerms, intersect, serve
from lingqu.psi.unbalanced.published import Change, Tags, decode_changes
from lingqu.psi.unbalanced.terms import POINTS, Shape

Both = Callable[..., Any]
TERMS = UnbalancedTerms(forms=("exact/1",), queries=1000, largest=100_000)
INVALID: list[str] = json.loads((Path(__file__).parent / "vectors" / "ristretto255.json").read_text())["invalid"]


def held(values: Iterable[Any]) -> Elements:
    values = list(values)
    return elements([values], ["exact/1"]) if values else elements([np.zeros(0, np.int64)], ["exact/1"])


def published(values: Iterable[Any]) -> Holder:
    return Holder.publish(held(values), TERMS.queries)


def ask(both: Both, own: Iterable[Any], holder: Holder, known: Published | None = None, wrap: Any = None) -> Any:
    """The client is the first party; `wrap` is around the server's channel."""
    return both(lambda c: intersect(c, held(own), TERMS, known), lambda c: serve(c, holder, TERMS), wrap)


@settings(max_examples=25, deadline=None)
@given(st.sets(st.text(max_size=4), max_size=40), st.sets(st.text(max_size=4), max_size=40))
def test_agrees_with_sets(both: Both, one: set[str], two: set[str]) -> None:
    own = sorted(one)
    found = ask(both, own, published(two)).results[0].intersection
    assert found.size == len(one & two)
    assert {own[i] for i in found.elements} == one & two


@pytest.mark.parametrize("sizes", [(0, 0), (0, 5), (5, 0), (1000, 1), (1, 3000), (1000, 20000)])
def test_sizes_at_the_edges(both: Both, sizes: tuple[int, int]) -> None:
    one, two = range(sizes[0]), range(3, 3 + sizes[1])
    found = ask(both, one, published(two)).results
    assert found[0].intersection.elements.tolist() == [i for i in one if i in two]
    assert found[1] == sizes[0]


def test_elements_travel_in_several_messages(both: Both) -> None:
    terms = TERMS.model_copy(update={"queries": 2 * POINTS})
    holder = Holder.publish(held(range(0, 30, 3)), terms.queries)
    own = held(range(POINTS + 1))
    found = both(lambda c: intersect(c, own, terms), lambda c: serve(c, holder, terms)).results[0]
    assert found.intersection.elements.tolist() == list(range(0, 30, 3))


@settings(max_examples=15, deadline=None)
@given(
    st.sets(st.integers(0, 60)),
    st.lists(st.tuples(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60))), max_size=3),
)
def test_changes_lead_to_the_new_version(both: Both, first: set[int], steps: list[tuple[set[int], set[int]]]) -> None:
    holder, now = Holder.publish(held(sorted(first) + list(range(100, 160))), TERMS.queries), set(first)
    known = ask(both, [1], holder).results[0].published
    old = known.encoded()
    for come, go in steps:
        added, removed = come - now, go & now - come
        holder.update(held(sorted(added)), held(sorted(removed)), TERMS.queries)
        now = now - removed | added
    run = ask(both, range(61), holder, known)
    assert set(run.results[0].intersection.elements.tolist()) == now
    assert run.results[0].published.encoded() == holder.published.encoded()
    assert known.encoded() == old
    assert run.traffic[1].sent <= 81 + 32 * 61 + sum(len(change) for change in holder.changes)


def test_changes_that_do_not_fit_are_refused() -> None:
    holder = published(range(10))
    for come, go in (([3], []), ([], [11])):
        with pytest.raises(BadInput, match="does not fit"):
            holder.update(held(come), held(go), TERMS.queries)
    with pytest.raises(Refused, match="outgrown") as raised:
        holder.update(held(range(100, 10_000)), held([]), TERMS.queries)
    assert raised.value.term == "set-size"
    assert holder.published.version == 0


def test_foreign_elements_match_with_a_chance_below_two_to_the_minus_forty() -> None:
    for size in (0, 1, 2, 1000, 10**6, 10**7, 10**8):
        for queries in (0, 1, 1000, 1 << 20):
            shape = Shape.of(size, queries)
            assert shape.holds(size, queries)
            assert shape.holds(size + size // 2, queries)
            bits = shape.buckets + 8 * shape.rest
            assert max(queries, 1) * max(size, 1) * 2.0**-bits <= 2.0**-40
    assert not Shape(0, 4).holds(1, 1)


def test_the_published_set_and_the_holder_are_kept(both: Both, tmp_path: Path) -> None:
    holder = published(range(100))
    known = ask(both, [1], holder).results[0].published
    holder.update(held([500]), held([1]), TERMS.queries)
    holder.save(tmp_path / "server")
    known.save(tmp_path / "client")
    assert (tmp_path / "server" / "key").stat().st_mode & 0o777 == 0o600
    again = ask(both, [1, 2, 500], Holder.load(tmp_path / "server"), Published.load(tmp_path / "client"))
    assert again.results[0].intersection.elements.tolist() == [1, 2]
    (tmp_path / "client" / "tags").write_bytes(b"")
    with pytest.raises(BadInput, match="Fetch the set again"):
        Published.load(tmp_path / "client")
    with pytest.raises(BadInput, match="Publish it again"):
        Holder.load(tmp_path / "nowhere")


def test_traffic_depends_on_sizes_alone_and_is_as_declared(both: Both) -> None:
    holder = published(range(3000))
    sizes = {"left": 200, "right": 3000, "count": TERMS.queries, "size": 2}
    runs = [ask(both, range(first, first + 200), holder) for first in (0, 2900, 5000)]
    shapes = [[(t.sent, t.messages, t.rounds) for t in run.traffic] for run in runs]
    assert shapes[0] == shapes[1] == shapes[2]
    known = runs[0].results[0].published
    again = ask(both, range(200), holder, known)
    holder.update(held([9000]), held([3]), TERMS.queries)
    refreshed = ask(both, range(200), holder, known)
    for run, operation in ((runs[0], "published"), (again, "known"), (refreshed, "refreshed")):
        declared = DECLARATION.cost(f"intersect_{operation}", sizes)
        assert sum(t.sent for t in run.traffic) == declared.bytes
        assert max(t.rounds for t in run.traffic) == declared.rounds


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


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("alter", [lambda d: d[:-1], lambda d: d + b"\0"], ids=["short", "long"])
def test_a_server_s_messages_of_another_size_end_the_session(
    both: Both, number: int, alter: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(ProtocolViolation):
        ask(both, [1, 2], published(range(9)), wrap=lambda c: Hostile(c, number, alter))


@pytest.mark.parametrize(("number", "alter"), [(0, lambda d: d[:-1]), (1, lambda d: d[:-1]), (1, lambda d: d + b"\0")])
def test_a_client_s_messages_of_another_size_end_the_session(
    both: Both, number: int, alter: Callable[[bytes], bytes]
) -> None:
    def client(channel: Channel) -> Any:
        return intersect(Hostile(channel, number, alter), held([1, 2]), TERMS)

    with pytest.raises(ProtocolViolation):
        both(client, lambda channel: serve(channel, published(range(9)), TERMS))


@pytest.mark.parametrize("bad", [*INVALID, "00" * 32])
def test_what_is_no_group_element_ends_the_session(both: Both, bad: str) -> None:
    def alter(data: bytes) -> bytes:
        return data[:32] + bytes.fromhex(bad)

    holder = published(range(9))
    with pytest.raises(ProtocolViolation, match="no group element"):
        ask(both, [1, 2], holder, wrap=lambda c: Hostile(c, 2, alter))
    with pytest.raises(ProtocolViolation, match="no group element"):
        both(lambda c: intersect(Hostile(c, 1, alter), held([1, 2]), TERMS), lambda c: serve(c, holder, TERMS))


def test_a_set_of_another_count_ends_the_session(both: Both) -> None:
    def alter(data: bytes) -> bytes:
        return bytes([data[0] + 1]) + data[1:]

    with pytest.raises(ProtocolViolation, match="leads to no version"):
        ask(both, [1], published(range(9)), wrap=lambda c: Hostile(c, 1, alter))


def test_sets_are_decoded_strictly() -> None:
    shape = Shape(1, 7)

    def decoded(counts: list[int], rests: list[int], size: int = 3) -> Published:
        data = bytes(counts) + b"".join(rest.to_bytes(7, "little") for rest in rests)
        return Published.decoded(bytes(16), 0, bytes(32), shape, size, data)

    assert len(decoded([2, 1], [5, 6, 5])) == 3
    for counts, rests in (
        ([2, 1], [6, 5, 5]),
        ([2, 1], [5, 5, 6]),
        ([1, 1], [5, 6, 5]),
        ([2, 1], [5, 6]),
        ([3], [5, 6, 7]),
    ):
        with pytest.raises(BadInput, match="Fetch the set again"):
            decoded(counts, rests)


def test_a_server_that_serves_another_version_is_found_out(both: Both) -> None:
    holder = published(range(9))
    known = ask(both, [1], holder).results[0].published
    holder.update(held([77]), held([]), TERMS.queries)

    def digest(data: bytes) -> bytes:
        return data[:24] + bytes(32) + data[56:]

    with pytest.raises(ProtocolViolation, match="another version"):
        ask(both, [1], holder, known, lambda c: Hostile(c, 0, digest))

    def longer(data: bytes) -> bytes:
        return data[:-8] + (1 << 50).to_bytes(8, "little")

    with pytest.raises(ProtocolViolation, match="more than a set has"):
        ask(both, [1], holder, known, lambda c: Hostile(c, 0, longer))


def test_changes_are_decoded_strictly() -> None:
    shape = Shape(3, 7)

    def encoded(bucket: list[int], rest: list[int]) -> bytes:
        tags = Tags(np.array(bucket, np.uint32), np.array(rest, np.uint64))
        return Change(tags, Tags(tags.bucket[:0], tags.rest[:0])).encoded(shape)

    assert len(list(decode_changes(encoded([1, 1], [3, 4]) * 2, shape))) == 2
    for data in (encoded([8], [0]), encoded([2, 1], [0, 0]), encoded([1, 1], [4, 4]), encoded([1], [1])[:-1], b"abc"):
        with pytest.raises(BadInput):
            list(decode_changes(data, shape))


def test_more_is_asked_than_agreed(both: Both) -> None:
    with pytest.raises(BadInput, match="more than the agreed 1000"):
        ask(both, range(1001), published([]))

    def more(data: bytes) -> bytes:
        return data[:-8] + (1001).to_bytes(8, "little")

    with pytest.raises(Refused) as raised:
        both(lambda c: intersect(Hostile(c, 0, more), held([1]), TERMS), lambda c: serve(c, published([]), TERMS))
    assert raised.value.term == "set-size"


def test_uses_are_spent_before_anything_is_evaluated(both: Both) -> None:
    def spend(count: int) -> None:
        raise Refused(f"{count} uses are too many.", "Agree anew.", term="uses")

    with pytest.raises(Refused) as raised:
        both(lambda c: intersect(c, held([1]), TERMS), lambda c: serve(c, published([1]), TERMS, spend))
    assert raised.value.term == "uses"


def test_larger_sets_and_other_terms_are_refused(both: Both) -> None:
    small = TERMS.model_copy(update={"largest": 5})
    with pytest.raises(Refused):
        both(lambda c: intersect(c, held([1]), small), lambda c: serve(c, published(range(9)), small))
    with pytest.raises(ProtocolViolation, match="other terms"):
        both(lambda c: intersect(c, held([1]), small), lambda c: serve(c, published(range(9)), TERMS))
