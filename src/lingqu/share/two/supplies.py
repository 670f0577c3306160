"""A run's correlations in portions: made ahead in sessions of their own, kept in a store, used by a later session.

A portion is a slice of the run's demand in the order in which the run takes it, of at most about PORTION bytes, so that
making and using them takes little memory, and what a crash wastes is little.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation
from lingqu.kinds.mechanism import Cost
from lingqu.share.outline import Outline
from lingqu.share.supplies import Account, Preparation, Work
from lingqu.share.two import forecast
from lingqu.share.two.machine import Two, connect
from lingqu.share.two.needs import LANES, MOST_BYTES, TRIPLES, Demand, Need, batches, size_of
from lingqu.share.two.store import MOST_BATCHES, NAME, Store, remove, sizes
from lingqu.share.two.tally import TwoTally

LIST = NAME * MOST_BATCHES
"""Bytes of the list that each party sends: names in order, then zeros."""
PORTION = 64 << 20
"""Bytes of one portion in memory, a single correlation larger than that apart."""
OVERHEAD = 1 << 20
"""Bytes on disk beyond the correlations themselves: their description, the segments' tags."""
_RUN, _PLACE = 8, 4


class _InOrder(Counter[Need]):
    """A demand that remembers the order in which it grew."""

    def __init__(self) -> None:
        super().__init__()
        self.grown: list[tuple[Need, int]] = []

    def __setitem__(self, need: Need, units: int) -> None:
        self.grown.append((need, units - self.get(need, 0)))
        super().__setitem__(need, units)


def slices(work: Work, most: int | None = None) -> list[Demand]:
    """A run's demand in order, cut so that each slice takes at most `most` bytes (PORTION), or is a single unit."""
    most = PORTION if most is None else most
    tally = TwoTally()
    tally.demand = grown = _InOrder()
    work(Outline(tally, 2))
    found: list[Demand] = []
    room = 0
    for need, units in grown.grown:
        unit = max(8 * need.words, 1)
        least = LANES if need.kind == "scaled" else 1  # their transfers are made by the 64
        left = units
        while left:
            if room < least * unit:
                found.append(Counter())
                room = max(most, least * unit)
            part = min(left, room // unit // least * least)
            found[-1][need] += part
            left -= part
            room -= part * unit
    return found


def _bytes(demand: Demand) -> int:
    """On disk at most; triples are made in whole batches."""
    rounded = {need: batches(units) if need == TRIPLES else units for need, units in demand.items()}
    return size_of(rounded) + OVERHEAD


def place_of(name: bytes) -> tuple[bytes, int, int]:
    """A name's run, its place in it, and how many portions that run has."""
    return name[:_RUN], int.from_bytes(name[_RUN : _RUN + _PLACE], "big"), int.from_bytes(name[_RUN + _PLACE :], "big")


def names_of(run: bytes, count: int) -> list[bytes]:
    """The names of a run's portions, in order."""
    return [run + place.to_bytes(_PLACE, "big") + count.to_bytes(_PLACE, "big") for place in range(count)]


def prepare(channel: Channel, store: Store, work: Work) -> list[bytes]:
    """Make the correlations that `work` takes and keep them; the names of their portions.

    A session of its own, meant to run while nothing else does; both parties call it alike.
    Cost: `connect`, and `forecast.Forecast.fill` of each of `slices(work)`.  Discloses: nothing.
    """
    machine, clock = connect(channel), _Clock(channel)
    portions = slices(work)
    names = names_of(machine.name()[:_RUN], len(portions))
    for name, portion in zip(names, portions, strict=True):
        _keep(machine, store, name, portion, clock)
    return names


class _Clock:
    """What a session's channel and time took since it was last asked."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._last = Preparation()
        self._start = perf_counter()

    def since(self) -> Preparation:
        """Since the last call."""
        traffic = self._channel.traffic
        now = Preparation(traffic.sent, traffic.rounds, perf_counter() - self._start)
        found, self._last = now.since(self._last), now
        return found


def _keep(machine: Two, store: Store, name: bytes, portion: Demand, clock: _Clock) -> int:
    machine.fill(portion)
    return store.put(name, machine.give_up(), clock.since())


def connect_prepared(channel: Channel, store: Store, names: Sequence[bytes] | None = None) -> Two:
    """As `connect`, with the portions that both parties hold; what lacks is made.

    names: those to use, for which the peer names the same; None: all.
    A portion leaves the disk before the session begins and is read once something is missing.
    Cost: 1 round and 2 * LIST bytes beside `connect`'s.  Discloses: to the peer, the names of the portions held.
    ProtocolViolation when the peer's list is not in order.
    """
    own = [name for name in store.names() if names is None or name in names][:MOST_BATCHES]
    peer = 1 - channel.party
    channel.send(peer, b"".join(own).ljust(LIST, b"\0"), Tag.BLOCKS)
    theirs = _names(channel, bytes(channel.receive(peer, LIST, Tag.BLOCKS)))
    store.drop([name for name in own if name not in theirs])
    taken = [store.take(name) for name in own if name in theirs]
    machine = connect(channel)
    for batch in taken:
        machine.take_up(batch.load)
    return machine


def _names(channel: Channel, data: bytes) -> list[bytes]:
    names = [data[at : at + NAME] for at in range(0, LIST, NAME)]
    held = [name for name in names if any(name)]
    if held != sorted(set(held)) or names[: len(held)] != held:
        party = channel.parties[1 - channel.party]
        raise ProtocolViolation(f"{party} sent a list of batches out of order.", "Check its software.", party=party)
    return held


class TwoSupplier:
    """As share.supplies.Supplier."""

    def portions(self, work: Work) -> Sequence[int]:
        """As Supplier.portions; no more than a store holds, the rest of a longer run is made on line."""
        return [_bytes(portion) for portion in slices(work)[:MOST_BATCHES]]

    def making(self, work: Work) -> Cost:
        """As Supplier.making: in a session that has made none, exact."""
        tally = TwoTally()
        work(Outline(tally, 2))
        return forecast.preparation_cost(tally.demand)

    def names(self, count: int, run: str | None = None) -> list[str]:
        """As Supplier.names."""
        start = secrets.token_bytes(_RUN) if run is None else bytes.fromhex(run)
        return [name.hex() for name in names_of(start, count)]

    def place(self, name: str) -> tuple[str, int, int] | None:
        """As Supplier.place."""
        try:
            data = bytes.fromhex(name)
        except ValueError:
            return None
        if len(data) != NAME or name != data.hex():
            return None
        run, place, count = place_of(data)
        return (run.hex(), place, count) if place < count else None

    def held(self, directory: Path) -> Mapping[str, int]:
        """As Supplier.held."""
        return {name.hex(): size for name, size in sizes(directory).items()}

    def drop(self, directory: Path, names: Sequence[str]) -> None:
        """As Supplier.drop."""
        remove(directory, [bytes.fromhex(name) for name in names])

    def make(
        self,
        channel: Channel,
        directory: Path,
        work: Work,
        names: Sequence[str],
        before: Callable[[str], None],
        made: Callable[[str, int], None],
    ) -> None:
        """As Supplier.make.  Cost: as `prepare`."""
        portions = slices(work)[:MOST_BATCHES]
        places = [self.place(name) for name in names]
        if any(place is None or place[2] != len(portions) for place in places):
            raise BadInput("These are no names of the run's portions.", "Use the same version of lingqu at both nodes.")
        store = Store(directory, MOST_BATCHES * MOST_BYTES)
        clock = _Clock(channel)
        machine = connect(channel)
        for name, place in zip(names, places, strict=True):
            assert place is not None
            before(name)
            made(name, _keep(machine, store, bytes.fromhex(name), portions[place[1]], clock))

    def connect(self, channel: Channel, directory: Path, names: Sequence[str]) -> Two:
        """As Supplier.connect; see `connect_prepared`."""
        return connect_prepared(channel, Store(directory), [bytes.fromhex(name) for name in names])

    def account(self, machine: Two) -> Account:
        """As Supplier.account."""
        return Account(replace(machine.ahead), replace(machine.preparation))


SUPPLIER = TwoSupplier()
