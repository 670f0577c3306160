"""A party's log: entries in a store, their Merkle tree in memory, checkpoints signed by the party."""

from __future__ import annotations

from collections.abc import Mapping
from threading import RLock
from typing import Protocol

from lingqu.kinds import clock
from lingqu.kinds.errors import Tampered, Unavailable
from lingqu.kinds.parties import Instant
from lingqu.ledger import checkpoint as notes
from lingqu.ledger.checkpoint import Checkpoint
from lingqu.ledger.entries import Body, Entry
from lingqu.ledger.merkle import Tree, leaf_hash
from lingqu.wire.jws import Signer


class EntryStore(Protocol):
    """Where entries and checkpoints rest; what it returned from `append` and `keep` must survive a crash."""

    def size(self) -> int:
        """The number of entries."""

    def append(self, index: int, data: bytes) -> None:
        """Store the entry that comes next; Unavailable when `index` is not the number of entries."""

    def read(self, start: int, stop: int) -> list[bytes]:
        """The entries with start <= index < stop, in order."""

    def keep(self, origin: str, size: int, note: str) -> None:
        """Store a checkpoint, in place of an earlier one of the same origin and size."""

    def kept(self, origin: str | None = None) -> list[str]:
        """The checkpoints of one origin, or of all, ordered by origin and size."""


class MemoryStore:
    """A store that forgets everything with its process; for tests and for verification."""

    def __init__(self) -> None:
        self._entries: list[bytes] = []
        self._notes: dict[tuple[str, int], str] = {}

    def size(self) -> int:
        """The number of entries."""
        return len(self._entries)

    def append(self, index: int, data: bytes) -> None:
        """Store the entry that comes next."""
        if index != len(self._entries):
            raise Unavailable(f"The log has {len(self._entries)} entries, not {index}.", "Read it again, then retry.")
        self._entries.append(data)

    def read(self, start: int, stop: int) -> list[bytes]:
        """The entries with start <= index < stop."""
        return self._entries[start:stop]

    def keep(self, origin: str, size: int, note: str) -> None:
        """Store a checkpoint."""
        self._notes[origin, size] = note

    def kept(self, origin: str | None = None) -> list[str]:
        """The checkpoints of one origin, or of all."""
        return [note for (name, _), note in sorted(self._notes.items()) if origin in (None, name)]


class Log:
    """One party's append-only log.  Safe to use from several threads; one process writes.

    Opening it reads every entry once and checks that each stands at its index, and that the tree continues the last
    checkpoint that the party signed; Tampered otherwise.
    """

    def __init__(self, store: EntryStore, party: str, signer: Signer) -> None:
        self.store, self.party, self.signer = store, party, signer
        self._lock = RLock()
        self._tree = Tree()
        for index, data in enumerate(store.read(0, store.size())):
            if Entry.parse(data).index != index:
                raise Tampered(f"Entry {index} of the ledger stands elsewhere.", "Restore the ledger from a backup.")
            self._tree.append(leaf_hash(data))
        for note in store.kept(self.origin):
            seen = notes.open_checkpoint(note, signer.public)
            if seen.size > len(self._tree) or self._tree.root(seen.size) != seen.root:
                raise Tampered(
                    f"The ledger does not continue its own checkpoint of {seen.size} entries.",
                    "Restore the ledger from a backup.",
                )

    @property
    def origin(self) -> str:
        """The log's name in checkpoints."""
        return notes.origin_of(self.party)

    def __len__(self) -> int:
        with self._lock:
            return len(self._tree)

    def append(self, body: Body, at: Instant | None = None) -> Entry:
        """Store one entry durably and return it."""
        with self._lock:
            entry = Entry.of(len(self._tree), body, at or clock.now())
            data = entry.canonical()
            self.store.append(entry.index, data)
            self._tree.append(leaf_hash(data))
            return entry

    def entries(self, start: int = 0, stop: int | None = None) -> list[Entry]:
        """The entries with start <= index < stop."""
        return [Entry.parse(data) for data in self.store.read(start, len(self) if stop is None else stop)]

    def root(self, size: int | None = None) -> bytes:
        """The Merkle root of the first `size` entries."""
        with self._lock:
            return self._tree.root(size)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """The proof that an entry is among the first `size`."""
        with self._lock:
            return self._tree.inclusion(index, size)

    def consistency(self, first: int, second: int | None = None) -> list[bytes]:
        """The proof that the first `first` entries begin the first `second`, for a peer that saw the former."""
        with self._lock:
            return self._tree.consistency(first, second)

    def checkpoint(self) -> str:
        """The present state as a signed note, stored; with the cosignatures it has if it was made before."""
        with self._lock:
            state = Checkpoint(self.origin, len(self._tree), self._tree.root())
            for note in self.store.kept(self.origin):
                if notes.parse_checkpoint(note)[0] == state:
                    return note
            note = notes.sign_checkpoint(state, self.signer)
            self.store.keep(self.origin, state.size, note)
            return note

    def cosigned(self, size: int, cosignature: str, keys: Mapping[str, str]) -> str:
        """Add a peer's cosignature line to the checkpoint of that size; Tampered when it does not hold."""
        with self._lock:
            for note in self.store.kept(self.origin):
                if notes.parse_checkpoint(note)[0].size == size:
                    more = notes.attach(note, cosignature, keys)
                    self.store.keep(self.origin, size, more)
                    return more
        raise Tampered(f"There is no checkpoint of {size} entries to cosign.", "Ask for the present checkpoint.")

    def last_seen(self, party: str) -> Checkpoint | None:
        """The last checkpoint of a peer that this party cosigned."""
        with self._lock:
            found = self.store.kept(notes.origin_of(party))
            return notes.parse_checkpoint(found[-1])[0] if found else None

    def witness(self, note: str, key: str, proof: list[bytes], at: Instant | None = None) -> str:
        """Cosign a peer's checkpoint once it continues the last one seen; remembers it and returns the line.

        key: the peer's key.  proof: consistency from `last_seen(peer)`.  Tampered for a bad signature or a fork.
        """
        with self._lock:
            previous = self.last_seen(notes.parse_checkpoint(note)[0].party)
            seen, line = notes.witness(
                note,
                key=key,
                previous=previous,
                proof=proof,
                party=self.party,
                signer=self.signer,
                at=at or clock.now(),
            )
            self.store.keep(seen.origin, seen.size, note)
            return line
