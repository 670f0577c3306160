"""Stored correlations: what both hold computes right, and nothing is ever used twice."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
from collections import Counter
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
from lingqu.share.outline import Outline
from lingqu.share.two import forecast, supplies
from lingqu.share.two.needs import TRIPLES, Need, Piece, strings
from lingqu.share.two.store import NAME, SEGMENT, Store, sizes
from lingqu.share.two.supplies import LIST, SUPPLIER, connect_prepared, prepare, slices
from lingqu.share.two.tally import TwoTally

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
    def ahead(channel: Channel) -> tuple[list[bytes], int]:
        names = prepare(channel, Store(tmp_path / str(channel.party)), program)
        return names, channel.traffic.sent

    made_ahead = both(ahead)
    assert made_ahead[0][0] == made_ahead[1][0]

    def run(channel: Channel) -> Any:
        store = Store(tmp_path / str(channel.party))
        machine = connect_prepared(channel, store)
        assert not store.names()
        results = [machine.reveal(x) for x in program(machine)]
        return results, machine.preparation.sent, machine.ahead.sent

    for (_, sent), (results, made, ahead_sent) in zip(made_ahead, both(run), strict=True):
        assert results[0].tolist() == (X < Y).tolist()
        assert int(results[1]) == int((X.astype(np.uint64) * Y.astype(np.uint64)).sum().astype(np.int64))
        assert made == 0
        assert ahead_sent == sent  # what making took is known where it is used
    for _, made, ahead_sent in both(run):  # nothing is left: it is made again
        assert made > 0
        assert ahead_sent == 0


def test_what_one_party_lacks_is_dropped_by_the_other(tmp_path: Path) -> None:
    stores = [Store(tmp_path / str(party)) for party in range(2)]
    both(lambda c: prepare(c, stores[c.party], program))
    stores[0].put(bytes(range(NAME)), supply(1))
    stores[1].drop(stores[1].names()[:1])
    machines = both(lambda c: connect_prepared(c, stores[c.party]))
    assert [store.names() for store in stores] == [[], []]
    assert all(machine.give_up() == {} for machine in machines)


@pytest.mark.parametrize("most", [1, 1_000, 4_000, 1 << 30])
def test_portions_are_the_whole_demand_in_order_and_no_larger(most: int) -> None:
    tally = TwoTally()
    program(Outline(tally, 2))
    found = slices(program, most)
    whole: Counter[Need] = Counter()
    for portion in found:
        least = max(8 * need.words * (64 if need.kind == "scaled" else 1) for need in portion)
        assert sum(8 * need.words * units for need, units in portion.items()) <= max(most, least)
        whole.update(portion)
    assert whole == tally.demand
    assert (len(found) == 1) == (most == 1 << 30)
    order = [need for portion in found for need in portion]
    assert order[0].kind == "lookups"  # the comparison comes first


def test_portions_take_what_is_forecast_and_serve_one_by_one(tmp_path: Path, monkeypatch: Any) -> None:
    """Small portions, the last of which one party never stored: those before it are used, the rest is made."""
    monkeypatch.setattr(supplies, "PORTION", 1_500)
    said: list[list[str]] = [[], []]
    count = len(SUPPLIER.portions(program))
    assert count > 3
    names = SUPPLIER.names(count)

    def ahead(channel: Channel) -> int:
        mine = said[channel.party]
        folder = tmp_path / str(channel.party)
        SUPPLIER.make(channel, folder, program, names, mine.append, lambda name, size: mine.append(str(size)))
        return channel.traffic.sent

    sent = both(ahead)
    expected = forecast.connected()
    for portion in slices(program):
        expected.fill(portion)
    assert sum(sent) == expected.cost.bytes
    assert said[0][::2] == said[1][::2] == names
    held = SUPPLIER.held(tmp_path / "0")
    assert list(held) == names
    assert [int(size) for size in said[0][1::2]] == list(held.values())
    assert all(size <= most for size, most in zip(held.values(), SUPPLIER.portions(program), strict=True))
    SUPPLIER.drop(tmp_path / "1", names[-1:])

    def run(channel: Channel) -> Any:
        folder = tmp_path / str(channel.party)
        machine = SUPPLIER.connect(channel, folder, names)
        assert not SUPPLIER.held(folder)
        assert machine.ahead.sent == 0  # nothing is read before it is needed
        results = [machine.reveal(x) for x in program(machine)]
        return results, SUPPLIER.account(machine)

    for results, account in both(run):
        assert results[0].tolist() == (X < Y).tolist()
        assert account.ahead.sent > 0
        assert account.online.sent > 0


def test_names_of_portions_say_their_run_and_place() -> None:
    first, second = SUPPLIER.names(3), SUPPLIER.names(3)
    assert first == sorted(first)
    assert not set(first) & set(second)
    assert SUPPLIER.names(3, first[0][:16]) == first
    assert [SUPPLIER.place(name) for name in first] == [(first[0][:16], place, 3) for place in range(3)]
    for wrong in ("", "ab", first[0].upper(), first[0] + "00", first[0][:16] + "00000003" + "00000003", "x" * 32):
        assert SUPPLIER.place(wrong) is None


def test_names_of_another_run_are_refused(tmp_path: Path) -> None:
    def ahead(channel: Channel) -> None:
        with pytest.raises(BadInput):
            SUPPLIER.make(channel, tmp_path, program, SUPPLIER.names(40), print, print)

    both(ahead)


def test_a_batch_comes_back_once_and_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path)
    kept = {bytes([i]) * NAME: supply(i, words) for i, words in ((1, 0), (2, 5), (3, SEGMENT // 16))}
    for name, pieces in kept.items():
        assert store.put(name, pieces) == sizes(tmp_path)[name]
    with pytest.raises(BadInput):
        store.put(bytes([1]) * NAME, supply(1))
    store = Store(tmp_path)
    assert store.names() == sorted(kept)
    for name, pieces in kept.items():
        batch = store.take(name)
        assert name not in store.names()
        assert same(batch.load()[0], pieces)
        with pytest.raises(BadInput):
            store.take(name)
        with pytest.raises(ValueError, match="closed"):
            batch.load()
    assert store.names() == []


def test_files_are_encrypted_private_and_bounded(tmp_path: Path) -> None:
    name = bytes([7]) * NAME
    store = Store(tmp_path, most=20_000)
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
    store.drop([name])
    store.put(name, pieces)
    assert path.read_bytes()[100:] != data[100:]  # one name twice is not one key twice


def test_processes_take_turns(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("lingqu.share.two.store.LOCK_SECONDS", 0.1)
    store = Store(tmp_path)
    handle = os.open(tmp_path / "lock", os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(Unavailable, match="holds this store"):
        store.put(bytes([8]) * NAME, supply(2))
    os.close(handle)
    store.put(bytes([8]) * NAME, supply(2))


def test_a_full_disk_gets_its_room_back(tmp_path: Path) -> None:
    """The file size limit of a child stands for a full disk: nothing half written is left behind."""
    child = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert child.stdout == "refused\n"
    assert not [path for path in tmp_path.iterdir() if path.suffix in (".new", ".batch")]


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from lingqu.share.two.needs import TRIPLES
from lingqu.share.two.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    store.put(bytes(16), {TRIPLES: [(np.zeros(100_000, np.uint64),) * 3]})
except OSError:
    print("refused")
"""


@pytest.mark.parametrize("how", ["flip", "cut", "longer", "renamed", "other key", "no segment", "other salt"])
def test_changed_files_are_refused(tmp_path: Path, how: str) -> None:
    name, other = bytes([7]) * NAME, bytes([9]) * NAME
    Store(tmp_path).put(name, supply(1))
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
    elif how == "other salt":
        path.write_bytes(data[:30] + bytes([data[30] ^ 1]) + data[31:])
    elif how == "renamed":
        path.rename(tmp_path / f"{other.hex()}.batch")
    else:
        (tmp_path / "key").write_bytes(bytes(32))
    batch = Store(tmp_path).take(other if how == "renamed" else name)
    with pytest.raises(Tampered):
        batch.load()


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
            connect_prepared(channel, Store(tmp_path / str(channel.party)))
        except LingquError as error:
            errors[channel.party] = error
            channel.close()

    both(run, [alpha, Lying(beta, said)])
    assert isinstance(errors[0], ProtocolViolation)


CHILD = """
import sys
from pathlib import Path
from lingqu.share.two.store import Store
store = Store(Path(sys.argv[1]))
print("open", flush=True)
for name in store.names():
    store.take(name)
    print(name.hex(), flush=True)
"""


def test_a_killed_process_never_gives_a_batch_again(tmp_path: Path) -> None:
    """Processes take batches until they are killed, at moments that chance chooses; what one has named is gone."""
    chance = random.Random(3)
    names = {bytes([i]) * NAME for i in range(1, 41)}
    for name in names:
        Store(tmp_path).put(name, supply(1, 2000))
    used: list[str] = []
    for _ in range(12):
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        said = "".join(child.stdout.readline() for _ in range(chance.randrange(4)))
        os.kill(child.pid, signal.SIGKILL)
        said += child.communicate(timeout=30)[0]
        used += [line for line in said.splitlines() if len(line) == 2 * NAME]
        left = {name.hex() for name in Store(tmp_path).names()}
        assert not left & set(used)
        if not left:
            break
    assert used
    assert len(set(used)) == len(used)
