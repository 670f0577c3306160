"""Stored correlations: what both hold computes right, and nothing is ever used twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lingqu.kinds.channel import Buffer, Channel, Tag
from lingqu.kinds.errors import BadInput, LingquError, ProtocolViolation, Tampered, Unavailable
from lingqu.net.memory import memory_channels
from lingqu.share import Machine
from lingqu.share.two.needs import TRIPLES, Need, Piece, strings
from lingqu.share.two.store import LIST, NAME, SEGMENT, Store, connect_prepared, prepare

X = np.array([0, 1, -1, (1 << 61) - 1, 1 - (1 << 61), 12345])
Y = np.array([5, 1, -2, 1 << 30, 1 - (1 << 31), -777])


def both(work: Callable[[Channel], Any], channels: Any = None) -> list[Any]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, channels or memory_channels(["alpha", "beta"], timeout=30)))


def program(m: Machine) -> list[Any]:
    x = m.input(0, X if m.party == 0 else None, X.shape)
    y = m.input(1, Y if m.party == 1 else None, Y.shape)
    less = m.inject(m.less_than(x, y))
    moved: Any = m.shuffle([m.multiply(x, y)])[0]
    return [less, m.sum(moved)]


def supply(seed: int, words: int = 200) -> dict[Need, list[Piece]]:
    generator = np.random.default_rng(seed)
    triple = tuple(generator.integers(0, 1 << 63, words, dtype=np.uint64) for _ in range(3))
    bits = generator.integers(0, 2, (3, 7), dtype=np.uint64), np.arange(4, dtype=np.uint64).reshape(4, 1)
    return {TRIPLES: [triple, triple], strings(3): [bits]}


def same(one: Any, two: Any) -> bool:
    return list(one) == list(two) and all(
        len(a) == len(b) and np.array_equal(x, y) and x.dtype == y.dtype
        for need in one
        for a, b in zip(one[need], two[need], strict=True)
        for x, y in zip(a, b, strict=True)
    )


def test_what_was_made_ahead_is_used_and_then_gone(tmp_path: Path) -> None:
    def ahead(channel: Channel) -> bytes:
        with Store(tmp_path / str(channel.party)) as store:
            return prepare(channel, store, program)

    names = both(ahead)
    assert names[0] == names[1]

    def run(channel: Channel) -> Any:
        with Store(tmp_path / str(channel.party)) as store:
            machine = connect_prepared(channel, store)
            assert not store.names()
            before = machine.preparation.sent
            results = [machine.reveal(x) for x in program(machine)]
            return results, machine.preparation.sent - before

    for results, made in both(run):
        assert results[0].tolist() == (X < Y).tolist()
        assert int(results[1]) == int((X.astype(np.uint64) * Y.astype(np.uint64)).sum().astype(np.int64))
        assert made == 0
    for _, made in both(run):  # nothing is left: it is made again
        assert made > 0


OPEN: list[Store] = []


def open_at(folder: Path, party: int) -> Store:
    """A store that the test's end closes."""
    OPEN.append(Store(folder / str(party)))
    return OPEN[-1]


@pytest.fixture(autouse=True)
def _closed() -> Any:
    yield
    while OPEN:
        OPEN.pop().close()


def test_what_one_party_lacks_is_dropped_by_the_other(tmp_path: Path) -> None:
    stores = [open_at(tmp_path, party) for party in range(2)]
    both(lambda c: prepare(c, stores[c.party], program))
    stores[0].put(bytes(range(NAME)), supply(1))
    stores[1].drop(stores[1].names()[0])
    machines = both(lambda c: connect_prepared(c, stores[c.party]))
    assert [store.names() for store in stores] == [[], []]
    assert all(machine.give_up() == {} for machine in machines)


def test_a_batch_comes_back_once_and_as_it_was(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        kept = {bytes([i]) * NAME: supply(i, words) for i, words in ((1, 0), (2, 5), (3, SEGMENT // 16))}
        for name, pieces in kept.items():
            store.put(name, pieces)
        with pytest.raises(BadInput):
            store.put(bytes([1]) * NAME, supply(1))
    with Store(tmp_path) as store:
        assert store.names() == sorted(kept)
        for name, pieces in kept.items():
            assert same(store.take(name), pieces)
            with pytest.raises(BadInput):
                store.take(name)
        assert store.names() == []


def test_files_are_encrypted_private_and_bounded(tmp_path: Path) -> None:
    name = bytes([7]) * NAME
    with Store(tmp_path, most=20_000) as store:
        pieces = supply(1)
        store.put(name, pieces)
        path = tmp_path / f"{name.hex()}.batch"
        assert path.stat().st_mode & 0o077 == 0
        assert (tmp_path / "key").stat().st_mode & 0o077 == 0
        assert tmp_path.stat().st_mode & 0o077 == 0
        data = path.read_bytes()
        assert pieces[TRIPLES][0][0][:4].tobytes() not in data
        assert b"triples" not in data
        with pytest.raises(BadInput, match="bytes"):
            store.put(bytes([8]) * NAME, supply(2))
        assert "batches=1" in repr(store)
        with pytest.raises(Unavailable):
            Store(tmp_path)


@pytest.mark.parametrize("how", ["flip", "cut", "longer", "renamed", "other key", "no segment"])
def test_changed_files_are_refused(tmp_path: Path, how: str) -> None:
    name, other = bytes([7]) * NAME, bytes([9]) * NAME
    with Store(tmp_path) as store:
        store.put(name, supply(1))
    path = tmp_path / f"{name.hex()}.batch"
    data = path.read_bytes()
    if how == "flip":
        path.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    elif how == "cut":
        path.write_bytes(data[:-40])
    elif how == "longer":
        path.write_bytes(data + data[-40:])
    elif how == "no segment":
        path.write_bytes(data[:22])
    elif how == "renamed":
        path.rename(tmp_path / f"{other.hex()}.batch")
    else:
        (tmp_path / "key").write_bytes(bytes(32))
    with Store(tmp_path) as store, pytest.raises(Tampered):
        store.take(other if how == "renamed" else name)


class Lying:
    """A channel whose party names batches as it likes."""

    def __init__(self, inner: Channel, said: bytes) -> None:
        self._inner = inner
        self._said = said

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        self._inner.send(to, self._said if len(data) == LIST else data, tag)


@pytest.mark.parametrize(
    "said",
    [
        b"\2" * NAME + b"\1" * NAME + bytes(LIST - 2 * NAME),
        b"\1" * (2 * NAME) + bytes(LIST - 2 * NAME),
        bytes(NAME) + b"\1" * NAME + bytes(LIST - 2 * NAME),
        b"\1" * NAME,
    ],
    ids=["out of order", "twice", "after a gap", "short"],
)
def test_a_list_out_of_form_ends_the_session(tmp_path: Path, said: bytes) -> None:
    alpha, beta = memory_channels(["alpha", "beta"], timeout=10)
    errors: list[LingquError | None] = [None, None]

    def run(channel: Any) -> None:
        try:
            connect_prepared(channel, open_at(tmp_path, channel.party))
        except LingquError as error:
            errors[channel.party] = error
            channel.close()

    both(run, [alpha, Lying(beta, said)])
    assert isinstance(errors[0], ProtocolViolation)


CHILD = """
import sys
from pathlib import Path
from lingqu.share.two.store import Store
with Store(Path(sys.argv[1])) as store:
    print("open", flush=True)
    for name in store.names():
        store.take(name)
        print(name.hex(), flush=True)
"""


def test_a_killed_process_never_gives_a_batch_again(tmp_path: Path) -> None:
    """Processes take batches until they are killed, at moments that chance chooses; what one has named is gone."""
    chance = random.Random(3)
    names = {bytes([i]) * NAME for i in range(1, 41)}
    with Store(tmp_path) as store:
        for name in names:
            store.put(name, supply(1, 2000))
    used: list[str] = []
    for _ in range(12):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        said = "".join(child.stdout.readline() for _ in range(chance.randrange(4)))
        os.kill(child.pid, signal.SIGKILL)
        said += child.communicate(timeout=30)[0]
        used += [line for line in said.splitlines() if len(line) == 2 * NAME]
        with Store(tmp_path) as store:
            left = {name.hex() for name in store.names()}
        assert not left & set(used)
        if not left:
            break
    assert used
    assert len(set(used)) == len(used)
