"""Correlations kept between sessions: made ahead, encrypted on disk, bounded in size, used once.

A batch is what one run of `prepare` made; both parties hold it under the same random name.  A batch is removed from
the disk, durably, before anything of it is used: a crash can waste a batch and never repeat one.  A session begins by
naming what each party holds; what only one of them has is worthless and removed.
Encryption: AES-256-GCM in segments, under a key of the batch (HKDF-SHA256 of the store's key and the batch's name);
a segment's name and place are authenticated, so that batches cannot be cut, joined or renamed.
Out of scope: who restores an old copy of the directory (a snapshot) brings used batches back; the peer's list drops
them unless its copy is as old.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import Field

from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import BadInput, LingquError, ProtocolViolation, Tampered, Unavailable
from lingqu.share.api import Words
from lingqu.share.outline import Outline
from lingqu.share.two.machine import Two, connect
from lingqu.share.two.needs import MOST_BYTES, Move, Need, Piece

NAME = 16
MOST_BATCHES = 64
LIST = NAME * MOST_BATCHES
"""Bytes of the list that each party sends: names in order, then zeros."""
SEGMENT = 16 << 20
_MAGIC = b"lingqu correlations 1\n"
_KEY = "key"
_TAG = 16
_CURE = "Remove the store; it only holds supplies."

Pieces = Mapping[Need, list[Piece]]
Whole = Annotated[int, Field(ge=0, le=1 << 40)]


Shape = tuple[Whole, ...]


class _Kept(Document):
    """One need and the shapes of its pieces' arrays."""

    kind: str
    width: Whole
    giver: Whole
    sizes: tuple[Whole, Whole, Whole]
    moves: tuple[tuple[Whole, Whole, Whole, bool], ...]
    pieces: tuple[tuple[Shape, ...], ...]


class _Contents(Document):
    """What a batch holds, in the order of its bytes."""

    needs: tuple[_Kept, ...]


class Store:
    """A directory of batches that one process at a time has open; use it as a context.

    directory: made if it is not there, for this user alone.  The key is made with it, from the operating system.
    most: bytes that all batches together may take.  Unavailable when another process has it open.
    """

    def __init__(self, directory: Path, most: int = MOST_BYTES) -> None:
        self._directory = directory
        self._most = most
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise Unavailable(
                "Another process has this store of correlations open.", "Wait for it, or give each process its own."
            ) from None
        for left in directory.glob("*.new"):
            left.unlink()
        self._key = self._load_key()

    def __repr__(self) -> str:
        return f"Store(batches={len(self.names())})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes open it; safe to call twice."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def names(self) -> list[bytes]:
        """The batches that are there, in the order of their names."""
        found = []
        for path in self._directory.glob("*.batch"):
            with contextlib.suppress(ValueError):
                found.append(bytes.fromhex(path.stem))
        return sorted(name for name in found if len(name) == NAME)

    @property
    def size(self) -> int:
        """Bytes that the batches take."""
        return sum(self._path(name).stat().st_size for name in self.names())

    def put(self, name: bytes, pieces: Pieces) -> None:
        """Keep a batch under a fresh name; it is there, durably, or not at all.

        BadInput when the store would hold more than it may, or has the name.
        """
        head, arrays = _described(pieces)
        size = len(_MAGIC) + len(head) + sum(array.nbytes for array in arrays)
        if len(self.names()) >= MOST_BATCHES or self.size + size > self._most:
            raise BadInput(
                f"The store would pass {MOST_BATCHES} batches or {self._most} bytes.",
                "Use what is there, or keep less.",
            )
        if self._path(name).exists():
            raise BadInput("The store has a batch of this name.", "Name each batch by fresh randomness.")
        temporary = self._directory / f"{secrets.token_hex(8)}.new"
        with open(temporary, "xb", opener=_private) as file:
            file.write(_MAGIC)
            for number, (segment, last) in enumerate(_segments(head, arrays)):
                sealed = self._cipher(name).encrypt(_nonce(number), segment, _bound(name, number, last))
                file.write(len(sealed).to_bytes(4, "little") + sealed)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(self._path(name))
        self._settle()

    def take(self, name: bytes) -> Pieces:
        """The contents of a batch, which is gone from the disk before this returns.

        Tampered when the file is not what was put, BadInput when there is none of this name.
        """
        path = self._path(name)
        try:
            data = path.read_bytes()
            path.unlink()
        except FileNotFoundError:
            raise BadInput("The store has no batch of this name.", "Take one of those it names.") from None
        self._settle()
        return _restored(self._opened(name, data))

    def drop(self, name: bytes) -> None:
        """Remove a batch that cannot be used."""
        self._path(name).unlink(missing_ok=True)
        self._settle()

    def _opened(self, name: bytes, data: bytes) -> bytearray:
        whole, at, number, last = bytearray(), len(_MAGIC), 0, False
        if not data.startswith(_MAGIC):
            raise _changed()
        while not last:
            length = int.from_bytes(data[at : at + 4], "little")
            sealed = data[at + 4 : at + 4 + length]
            at += 4 + length
            last = at >= len(data)
            if not _TAG <= length <= SEGMENT + _TAG or len(sealed) != length:
                raise _changed()
            try:
                whole += self._cipher(name).decrypt(_nonce(number), sealed, _bound(name, number, last))
            except InvalidTag:
                raise _changed() from None
            number += 1
        return whole

    def _cipher(self, name: bytes) -> AESGCM:
        return AESGCM(HKDF(SHA256(), 32, name, b"lingqu batch of correlations").derive(self._key))

    def _path(self, name: bytes) -> Path:
        return self._directory / f"{name.hex()}.batch"

    def _settle(self) -> None:
        """What was renamed or removed stays so, whatever happens to the machine."""
        handle = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def _load_key(self) -> bytes:
        path = self._directory / _KEY
        if not path.exists():
            temporary = self._directory / f"{secrets.token_hex(8)}.new"
            with open(temporary, "xb", opener=_private) as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
            self._settle()
        key = path.read_bytes()
        if len(key) != 32 or path.stat().st_mode & 0o077:
            raise BadInput("The store's key is damaged or open to other users.", _CURE)
        return key


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _nonce(number: int) -> bytes:
    """Of a segment; the key is of this batch alone."""
    return number.to_bytes(12, "little")


def _bound(name: bytes, number: int, last: bool) -> bytes:
    return _MAGIC + name + number.to_bytes(8, "little") + bytes((last,))


def _changed() -> LingquError:
    return Tampered("A stored batch of correlations is not what was stored.", _CURE)


def _described(pieces: Pieces) -> tuple[bytes, list[Words]]:
    """The contents' description behind its length, and the arrays in order."""
    kept, arrays = [], []
    for need, held in pieces.items():
        described = []
        for piece in held:
            described.append(tuple(part.shape for part in piece))
            arrays += [np.ascontiguousarray(part, "<u8") for part in piece]
        moves = tuple((int(move.tag), move.columns, move.width, move.inverse) for move in need.moves)
        kept.append(
            _Kept(
                kind=need.kind,
                width=need.width,
                giver=need.giver,
                sizes=need.sizes,
                moves=moves,
                pieces=tuple(described),
            )
        )
    head = _Contents(needs=tuple(kept)).canonical()
    return len(head).to_bytes(8, "little") + head, arrays


def _segments(head: bytes, arrays: list[Words]) -> Iterator[tuple[bytes, bool]]:
    """The bytes in segments, and whether each is the last; no segment but the last is shorter."""
    held = bytearray(head)
    for array in arrays:
        view = array.reshape(-1).view(np.uint8)
        for start in range(0, len(view), SEGMENT):
            held += view[start : start + SEGMENT].tobytes()
            while len(held) > SEGMENT:
                yield bytes(held[:SEGMENT]), False
                del held[:SEGMENT]
    yield bytes(held), True


def _restored(data: bytearray) -> Pieces:
    size = int.from_bytes(data[:8], "little")
    contents = _Contents.parse(bytes(data[8 : 8 + size]))
    at, pieces = 8 + size, {}
    for kept in contents.needs:
        moves = tuple(Move(Tag(tag), columns, width, inverse) for tag, columns, width, inverse in kept.moves)
        need = Need(kept.kind, kept.width, kept.giver, kept.sizes, moves)  # type: ignore[arg-type]
        held: list[Piece] = []
        for described in kept.pieces:
            parts = []
            for shape in described:
                count = prod(shape)
                parts.append(np.frombuffer(data, "<u8", count, at).astype(np.uint64).reshape(shape))
                at += 8 * count
            held.append(tuple(parts))
        pieces[need] = held
    if at != len(data):
        raise _changed()
    return pieces


def prepare(channel: Channel, store: Store, work: Callable[[Outline], object]) -> bytes:
    """Make the correlations that `work` takes and keep them; the name of the batch.

    A session of its own, meant to run while nothing else does; both parties call it alike.
    Cost: as `Two.prepare` on a fresh session.  Discloses: nothing.
    """
    machine = connect(channel)
    machine.prepare(work)
    name = machine.name()
    store.put(name, machine.give_up())
    return name


def connect_prepared(channel: Channel, store: Store, batches: int = MOST_BATCHES) -> Two:
    """As `connect`, with the correlations of at most so many batches that both parties hold; what lacks is made.

    Cost: 1 round and 2 * LIST bytes beside `connect`'s.  Discloses: to the peer, the names of the batches held.
    ProtocolViolation when the peer's list is not in order.
    """
    own = store.names()[:MOST_BATCHES]
    peer = 1 - channel.party
    channel.send(peer, b"".join(own).ljust(LIST, b"\0"), Tag.BLOCKS)
    theirs = _names(channel, bytes(channel.receive(peer, LIST, Tag.BLOCKS)))
    for name in own:
        if name not in theirs:
            store.drop(name)
    shared = sorted(set(own) & set(theirs))[:batches]
    taken = [store.take(name) for name in shared]
    machine = connect(channel)
    for pieces in taken:
        machine.take_up(pieces)
    return machine


def _names(channel: Channel, data: bytes) -> list[bytes]:
    names = [data[at : at + NAME] for at in range(0, LIST, NAME)]
    held = [name for name in names if any(name)]
    if held != sorted(set(held)) or names[: len(held)] != held:
        party = channel.parties[1 - channel.party]
        raise ProtocolViolation(f"{party} sent a list of batches out of order.", "Check its software.", party=party)
    return held
