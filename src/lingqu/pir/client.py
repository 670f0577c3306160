"""The client's side of a lookup session."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation
from lingqu.pir.hint import Hint
from lingqu.pir.layout import HALVES, MARK
from lingqu.pir.patches import hint_words
from lingqu.pir.records import Packed
from lingqu.pir.table import label
from lingqu.pir.terms import ABOUT, CHUNK, COUNT, GROUP, HELLO, ID, About, Follows, Terms, peer_of

POINT = 32
_AHEAD = 64
"""Queries that are prepared together: the public matrix is drawn once for them."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Answers:
    """found: whether the table has each key.  values: their values; None where it is null or the key absent."""

    found: NDArray[np.bool_]
    values: tuple[bytes | None, ...]

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Answers({len(self)})"


def connect(channel: Channel, terms: Terms, hint: Hint | None = None) -> Client:
    """Open a session with the server of a table.  hint: of an earlier session; it is brought up to date.

    ProtocolViolation when the server's messages are not what the terms allow.
    Discloses: to the server which version the client had; to the client the table's shape, and which of its cells
    changed since.
    """
    peer = peer_of(channel.parties, channel.party)
    held, version = (hint.about.table, hint.about.version) if hint else (bytes(ID), 0)
    channel.send(peer, HELLO.pack(terms.digest(), held, version), Tag.SEED)
    name = channel.parties[peer]
    about = About.decoded(channel.receive(peer, ABOUT, Tag.BLOCKS), name)
    if about.layout.value > terms.value or about.layout.hint_bytes > terms.hint:
        raise ProtocolViolation(f"{name} serves a larger table than agreed.", "Agree on its sizes.")
    return Client(channel, terms, _current(channel, about, terms, hint))


def _current(channel: Channel, about: About, terms: Terms, hint: Hint | None) -> Hint:
    """The hint of the server's version, from what it sends next."""
    peer = peer_of(channel.parties, channel.party)
    name = channel.parties[peer]
    if about.follows is Follows.HINT and about.size == about.layout.hint_bytes:
        return Hint(replace(about, follows=Follows.NOTHING, size=0), _received_hint(channel, peer, about))
    if hint is None or not _continues(hint.about, about):
        raise ProtocolViolation(f"{name} does not lead from this client's version to its own.", "Drop the hint.")
    if about.follows is Follows.PATCHES and about.size <= terms.hint:
        chunks = (min(CHUNK, about.size - start) for start in range(0, about.size, CHUNK))
        patches = b"".join(bytes(channel.receive(peer, size, Tag.BLOCKS)) for size in chunks)
        moved = Hint(hint.about, [words.copy() for words in hint.words])
        try:
            moved.follow(about, patches)
        except BadInput as error:
            raise ProtocolViolation(f"{name} sent patches that do not fit: {error}", "Drop the hint.") from None
        return moved
    if about.follows is Follows.NOTHING and (about.version, about.mark) == (hint.about.version, hint.about.mark):
        return hint
    raise ProtocolViolation(f"{name} describes another version than it leads to.", "Drop the hint.")


def _continues(old: About, new: About) -> bool:
    return (old.table, old.seed, old.layout) == (new.table, new.seed, new.layout) and old.version <= new.version


def _received_hint(channel: Channel, peer: int, about: About) -> list[NDArray[np.uint32]]:
    words, step = hint_words(about.layout), CHUNK // 2
    hints = []
    for _ in range(HALVES):
        hint = np.empty(words, np.uint32)
        for start in range(0, words, step):
            part = hint[start : start + step]
            part[:] = np.frombuffer(channel.receive(peer, 2 * len(part), Tag.BLOCKS), "<u2")
            part <<= np.uint32(16)
        hints.append(hint)
    return hints


class Client:
    """A session under way.  hint: of the table's version; keep it for the next session."""

    def __init__(self, channel: Channel, terms: Terms, hint: Hint) -> None:
        self.hint = hint
        self._channel = channel
        self._peer = peer_of(channel.parties, channel.party)
        self._name = channel.parties[self._peer]
        self._left = terms.queries
        self._ready: list[tuple[_core.PirQueries, int]] = []

    def __repr__(self) -> str:
        return f"Client({self.hint!r})"

    def prepare(self, count: int) -> None:
        """Make ahead what so many queries need whatever they ask; no messages.  270 KB each for a million records."""
        while len(self._ready) < count:
            batch = min(_AHEAD, count - len(self._ready))
            about = self.hint.about
            seeds = about.seed, secrets.token_bytes(16)
            queries = _core.PirQueries(*seeds, about.layout.columns, self.hint.words, batch)
            self._ready += [(queries, index) for index in range(batch)]

    def lookup(self, keys: Sequence[bytes], said: Callable[[], None] = lambda: None) -> Answers:
        """The values of keys, or their absence.  Every key is one query, whether it repeats or not.

        said: called when all has been asked and answered, before it shows which keys are there: nothing that the
        server sees waits for that, if what is said after it is said here.
        Cost: 4 rounds for up to 32 keys, 2 more for 32 more; bytes as declared.
        ProtocolViolation when the server answers from another version of its
        table, or otherwise sends what it should not.  BadInput when the terms do not allow so many queries.
        Discloses: to the server the number of keys.
        """
        if len(keys) > self._left:
            raise BadInput(f"{len(keys)} keys are more than the {self._left} left.", "Ask for fewer, or agree on more.")
        if not keys:
            said()
            return Answers(np.zeros(0, bool), ())
        self._left -= len(keys)
        self._channel.send(self._peer, COUNT.pack(len(keys)), Tag.SEED)
        derived = self._derive(Packed.of(keys))
        self.prepare(len(keys))
        taken, self._ready = self._ready[: len(keys)], self._ready[len(keys) :]
        columns = _core.pir_columns(derived, self.hint.about.layout.columns).reshape(-1, HALVES)
        groups = [slice(start, start + GROUP) for start in range(0, len(keys), GROUP)]
        read: list[Bytes] = []
        self._ask(taken[groups[0]], columns[groups[0]])
        for number, group in enumerate(groups):
            if number + 1 < len(groups):
                self._ask(taken[groups[number + 1]], columns[groups[number + 1]])
            read += self._read(taken[group])
        said()
        opened = [self._open(*one) for one in zip(derived.reshape(-1, 64), read, strict=True)]
        return Answers(np.array([one is not None for one in opened]), tuple(one[1] if one else None for one in opened))

    def close(self) -> None:
        """Tell the server that nothing more is asked."""
        self._channel.send(self._peer, COUNT.pack(0), Tag.SEED)

    def _derive(self, keys: Packed) -> Bytes:
        randomness = np.frombuffer(secrets.token_bytes(64 * len(keys)), np.uint8)
        blinding = _core.Blinding(keys.data, keys.offsets, randomness)
        self._channel.send(self._peer, blinding.message().data.cast("B"), Tag.BLOCKS)
        evaluated = np.frombuffer(self._channel.receive(self._peer, POINT * len(keys), Tag.BLOCKS), np.uint8)
        try:
            points = blinding.unblind(evaluated)
        except ValueError as error:
            raise ProtocolViolation(
                f"{self._name} sent what is no group element: {error}.", "Check its software."
            ) from None
        outputs = _core.oprf_finalize(keys.data, keys.offsets, points)
        return _core.pir_derive(label(self.hint.about.table), outputs)

    def _ask(self, queries: Sequence[tuple[_core.PirQueries, int]], columns: NDArray[np.uint32]) -> None:
        words = [made.query(index, tuple(pair)) for (made, index), pair in zip(queries, columns.tolist(), strict=True)]
        joined = np.concatenate([query.reshape(HALVES, -1)[half] for half in range(HALVES) for query in words])
        self._channel.send(self._peer, joined.astype("<u4", copy=False).data.cast("B"), Tag.BLOCKS)

    def _read(self, queries: Sequence[tuple[_core.PirQueries, int]]) -> list[Bytes]:
        """The cells of each query's columns, which are not opened yet."""
        layout, mark = self.hint.about.layout, np.frombuffer(self.hint.about.mark, np.uint8)
        size = 2 * layout.rows * len(queries)
        halves = [np.frombuffer(self._channel.receive(self._peer, size, Tag.BLOCKS), "<u2") for _ in range(HALVES)]
        rows = np.concatenate([half.reshape(len(queries), -1) for half in halves], axis=1)
        cells = []
        for (made, index), answer in zip(queries, rows, strict=True):
            read = made.decode(index, answer).reshape(HALVES, -1)
            if not np.array_equal(read[:, -MARK:], np.stack([mark] * HALVES)):
                raise ProtocolViolation(
                    f"{self._name} answered from another version of its table.",
                    "Connect again: the hint is brought up to date.",
                )
            cells.append(np.ascontiguousarray(read[:, :-MARK]).reshape(-1))
        return cells

    def _open(self, derived: Bytes, cells: Bytes) -> tuple[int, bytes | None] | None:
        try:
            return _core.pir_open(derived, cells, self.hint.about.layout.width)
        except ValueError as error:
            raise ProtocolViolation(
                f"{self._name} serves what is no record: {error}.", "Report it to the owner."
            ) from None
