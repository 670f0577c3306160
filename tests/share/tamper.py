"""Runs in which one party's messages are altered on their way, and what the honest parties then see.

`python -m tests.share.tamper RUNS SEED` makes many of them and fails on the first wrong result that is accepted.
"""

from __future__ import annotations

import queue
import random
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.channel import Buffer, Tag, Traffic
from lingqu.kinds.errors import LingquError, PartyLost, ProtocolViolation
from lingqu.share import Machine, Shared, SharedBits
from lingqu.share.plain import Plain
from lingqu.share.rep3.malicious import MaliciousRep3, connect

WAIT = 20.0
NAMES = ("alpha", "beta", "gamma")
Message = tuple[Tag, bytes] | None
Alteration = Callable[[bytearray, random.Random], bytes]


def _words(data: bytearray) -> NDArray[np.uint64]:
    return np.frombuffer(bytes(data[: len(data) // 8 * 8]), "<u8").astype(np.uint64)


def _added(amount: int) -> Alteration:
    def alter(data: bytearray, chance: random.Random) -> bytes:
        words = _words(data)
        if len(words):
            at = chance.randrange(len(words))
            words[at : at + 1] += np.uint64(amount)
        return words.tobytes() + bytes(data[8 * len(words) :])

    return alter


def _flipped(data: bytearray, chance: random.Random) -> bytes:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _swapped(data: bytearray, chance: random.Random) -> bytes:
    i, j = chance.randrange(len(data)), chance.randrange(len(data))
    data[i], data[j] = data[j], data[i]
    return bytes(data)


ALTERATIONS: dict[str, Alteration] = {
    "flip": _flipped,
    "add 1": _added(1),
    "add 2^63": _added(1 << 63),
    "truncate": lambda data, chance: bytes(data[: chance.randrange(len(data))]),
    "swap": _swapped,
    "zeros": lambda data, _: bytes(len(data)),
    "ones": lambda data, _: b"\xff" * len(data),
    "random": lambda data, chance: chance.randbytes(len(data)),
    "lengthen": lambda data, _: bytes(data) + bytes(8),
}


@dataclass
class Altered:
    """Which message of which party is altered, counted from the end of the inputs, and how."""

    party: int
    number: int
    how: str
    seed: int


class Wire:
    """A channel in memory that alters one message; what a party closes reaches the others as its loss."""

    def __init__(self, party: int, queues: dict[tuple[int, int], queue.Queue[Message]]) -> None:
        self.party = party
        self.parties = NAMES
        self.traffic = Traffic()
        self.altered: Altered | None = None
        self.sent = 0
        self._queues = queues

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        content, change = bytes(data), self.altered
        if change is not None:
            if self.sent == change.number and content:
                content = ALTERATIONS[change.how](bytearray(content), random.Random(change.seed))
            self.sent += 1
        self._queues[self.party, to].put((tag, content))

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        message = self._queues[sender, self.party].get(timeout=WAIT)
        if message is None:
            self._queues[sender, self.party].put(None)
            raise PartyLost(f"{NAMES[sender]} has left.", "See its error.", party=NAMES[sender])
        if message[0] is not tag or len(message[1]) != size:
            raise ProtocolViolation(f"{NAMES[sender]} sent another message than expected.", "Check its software.")
        return bytearray(message[1])

    def receive_document(self, sender: int, limit: int) -> bytes:
        raise ProtocolViolation("Nobody sends documents here.", "Send shares.")

    def close(self) -> None:
        for peer in range(3):
            if peer != self.party:
                self._queues[self.party, peer].put(None)


Prepare = Callable[[Machine], Any]
Work = Callable[[Any, Any], list[Any]]


@dataclass
class Outcome:
    """Each party's result or error, and how many messages it sent."""

    results: list[Any] = field(default_factory=lambda: [None] * 3)
    errors: list[BaseException | None] = field(default_factory=lambda: [None] * 3)
    sent: list[int] = field(default_factory=lambda: [0] * 3)


def terminal(machine: MaliciousRep3, error: BaseException) -> None:
    """After an error nothing more is opened: every later method that sends raises the same error."""
    for _ in range(2):
        try:
            machine.reveal(machine.constant(np.arange(3)))
        except LingquError as again:
            if again is not error:
                raise AssertionError("another error than the first") from again
        else:
            raise AssertionError("a value was opened after the session had failed")


def run(
    prepare: Prepare,
    work: Work,
    altered: Altered | None = None,
    connects: dict[int, Callable[[Any], MaliciousRep3]] | None = None,
) -> Outcome:
    """Inputs, then the work, with one message of the work altered.  connects: parties that run other software."""
    queues: dict[tuple[int, int], queue.Queue[Message]] = {
        (a, b): queue.Queue() for a in range(3) for b in range(3) if a != b
    }
    wires = [Wire(party, queues) for party in range(3)]
    outcome = Outcome()

    def serve(party: int) -> None:
        wire = wires[party]
        machine = None
        try:
            machine = (connects or {}).get(party, connect)(wire)
            value = prepare(machine)
            wire.altered = altered if altered and altered.party == party else Altered(party, -1, "flip", 0)
            outcome.results[party] = work(machine, value)
        except BaseException as error:
            outcome.errors[party] = error
            if machine is not None and isinstance(error, ProtocolViolation | PartyLost):
                try:
                    terminal(machine, error)
                except AssertionError as wrong:
                    outcome.errors[party] = wrong
            wire.close()
        outcome.sent[party] = wire.sent

    threads = [threading.Thread(target=serve, args=(party,), daemon=True) for party in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * WAIT)
    return outcome


# What is run: every operation of a Machine, on values that the parties input


def shared(m: Machine, owner: int, values: Any) -> Shared:
    array = np.asarray(values, np.int64)
    return m.input(owner, array if m.owns(owner) else None, array.shape)


def bits(m: Machine, owner: int, values: Any, width: int) -> SharedBits:
    array = np.asarray(values, np.int64)
    return m.input_bits(owner, array if m.owns(owner) else None, array.shape, width)


def _values(m: Machine) -> dict[str, Any]:
    return {
        "x": shared(m, 0, [5, -7, 1 << 40, 0, -(1 << 50), 3]),
        "y": shared(m, 1, [5, 9, -3, 0, 1 << 11, -1]),
        "a": shared(m, 2, [[1, 2], [3, 4], [-5, 6]]),
        "p": bits(m, 0, [5, 1, 0, 7, 5, 2], 3),
        "q": bits(m, 1, [4, 1, 6, 7, 5, 3], 3),
        "f": bits(m, 2, [1, 0, 0, 1, 1, 0], 1),
        "order": shared(m, 1, [3, 1, 0, 5, 4, 2]),
    }


OPERATIONS: dict[str, Work] = {
    "reveal": lambda m, v: [m.reveal(v["x"]), m.reveal_bits(v["p"])],
    "reveal to one": lambda m, v: [m.reveal(v["x"], 0), m.reveal(v["y"], 1), m.reveal_bits(v["p"], 2)],
    "multiply": lambda m, v: [m.reveal(m.multiply(v["x"], v["y"]))],
    "matmul": lambda m, v: [m.reveal(m.matmul(v["a"], v["a"].transpose()))],
    "multiply_real": lambda m, v: [m.reveal(m.multiply_real(v["y"], v["y"]))],
    "matmul_real": lambda m, v: [m.reveal(m.matmul_real(v["a"], v["a"].transpose()))],
    "truncate": lambda m, v: [m.reveal(m.truncate(v["x"], 3))],
    "less_than": lambda m, v: [m.reveal_bits(m.less_than(v["x"], v["y"]))],
    "equal": lambda m, v: [m.reveal_bits(m.equal(v["x"], v["y"]))],
    "equal_words": lambda m, v: [m.reveal_bits(m.equal_words([(v["p"], v["q"])]))],
    "logical_and": lambda m, v: [m.reveal_bits(m.logical_and(v["p"], v["q"]))],
    "logical_or": lambda m, v: [m.reveal_bits(m.logical_or(v["p"], v["q"]))],
    "select": lambda m, v: [m.reveal(m.select(v["f"], v["x"], v["y"]))],
    "to_bits": lambda m, v: [m.reveal_bits(m.to_bits(v["x"]))],
    "to_shared": lambda m, v: [m.reveal(m.to_shared(v["p"]))],
    "inject": lambda m, v: [m.reveal(m.inject(v["f"]))],
    "weigh": lambda m, v: [m.reveal(m.weigh(m.stack([v["f"], v["f"]]), np.array([[3, -1], [0, 5]], np.int64)))],
    "shuffle": lambda m, v: [_sorted(m, m.shuffle([v["x"], v["p"]]))],
    "sort": lambda m, v: [m.reveal(m.apply(m.sort([v["p"]]), [v["x"]])[0])],
    "apply": lambda m, v: [m.reveal(m.apply(m.permutation(v["order"]), [v["x"]])[0])],
    "unapply": lambda m, v: [m.reveal(m.unapply(m.permutation(v["order"]), [v["x"]])[0])],
    "reciprocal": lambda m, v: [m.reveal(m.reciprocal(m.add(m.scale(m.inject(v["f"]), 1 << 20), 1 << 20)))],
}
SLACK = {"multiply_real": 1, "matmul_real": 1, "truncate": 1, "reciprocal": 16}


def _sorted(m: Machine, columns: list[Any]) -> Any:
    """A shuffle's rows as a set: integers and bits stay side by side."""
    integers, words = m.reveal(columns[0]), m.reveal_bits(columns[1])
    if integers is None or words is None:
        return None
    return np.array(sorted(zip(integers.tolist(), words.tolist(), strict=True)))


def ideal(name: str) -> list[Any]:
    """What the operation gives in the clear."""
    machine = Plain()
    return OPERATIONS[name](machine, _values(machine))


def accepted(found: list[Any], expected: list[Any], slack: int) -> bool:
    """Whether opened values are right; None stands where a party receives nothing."""
    return all(
        one is None or bool(np.all(np.abs(np.asarray(one, object) - np.asarray(other, object)) <= slack))
        for one, other in zip(found, expected, strict=True)
    )


def messages(name: str) -> list[int]:
    """How many messages each party sends in an honest run; AssertionError when that gives something wrong."""
    outcome = run(_values, OPERATIONS[name])
    assert outcome.errors == [None] * 3, outcome.errors
    for result in outcome.results:
        assert accepted(result, ideal(name), SLACK.get(name, 0)), (name, result)
    return outcome.sent


def attempt(name: str, change: Altered) -> bool:
    """Alter one message; whether an honest party ended the run.  AssertionError when one accepts a wrong result."""
    outcome = run(_values, OPERATIONS[name], change)
    ended = False
    for party in set(range(3)) - {change.party}:
        error = outcome.errors[party]
        assert error is None or isinstance(error, ProtocolViolation | PartyLost), (name, change, error)
        ended |= error is not None
        if error is None:
            assert accepted(outcome.results[party], ideal(name), SLACK.get(name, 0)), (name, change)
    return ended


def attempts(runs: int, seed: int) -> tuple[int, dict[str, int]]:
    """Random alterations over all operations; how many ended a run, and runs by operation."""
    chance = random.Random(seed)
    counts = {name: messages(name) for name in OPERATIONS}
    ended, made = 0, dict.fromkeys(OPERATIONS, 0)
    for number in range(runs):
        name = list(OPERATIONS)[number % len(OPERATIONS)]
        party = chance.randrange(3)
        change = Altered(
            party,
            chance.randrange(max(counts[name][party], 1)),
            chance.choice(list(ALTERATIONS)),
            chance.randrange(1 << 30),
        )
        ended += attempt(name, change)
        made[name] += 1
    return ended, made


def main() -> None:
    """Print how many of the runs were ended by an honest party; all others had right results."""
    runs, seed = (int(argument) for argument in (*sys.argv[1:], "10000", "1")[:2])
    ended, made = attempts(runs, seed)
    print(f"{runs} runs with one altered message: {ended} ended, {runs - ended} gave right results, 0 wrong ones.")
    print(", ".join(f"{name} {count}" for name, count in made.items()))


if __name__ == "__main__":
    main()
