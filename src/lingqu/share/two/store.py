"""Correlations kept between sessions: made ahead, encrypted on disk, bounded in size, used once.

A batch is what one filling of a stock made; both parties hold it under the same name.  A batch is removed from the
disk, durably, before anything of it is read: a crash can waste a batch and never repeat one.  A session begins by
naming what each party holds; what only one of them has is worthless and removed.
Encryption: AES-256-GCM in segments, under a key of the file (HKDF-SHA256 of the store's key, the batch's name and the
file's own salt); a segment's name and place are authenticated, so that batches cannot be cut, joined or renamed.
Out of scope: who restores an old copy of the directory (a snapshot) brings used batches back; the peer's list drops
them unless its copy is as old.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Annotated, BinaryIO

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import Field

from lingqu.kinds.channel import Tag
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import BadInput, LingquError, Tampered, Unavailable
from lingqu.share.api import Words
from lingqu.share.supplies import Preparation
from lingqu.share.two.needs import MOST_BYTES, Move, Need, Piece

NAME = 16
MOST_BATCHES = 64
SEGMENT = 16 << 20
SALT = 32
LOCK_SECONDS = 60.0
_MAGIC = b"lingqu correlations 2\n"
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
    sent: Whole
    rounds: Whole
    microseconds: Whole


class Batch:
    """A batch that is gone from the disk, and which only this process can still read, once."""

    def __init__(self, file: BinaryIO, key: bytes, name: bytes) -> None:
        self._file = file
        self._key = key
        self._name = name

    def __repr__(self) -> str:
        return f"Batch({self._name.hex()})"

    def load(self) -> tuple[Pieces, Preparation]:
        """The contents, and what making them took; Tampered when the file is not what was put."""
        with self._file as file:
            data = file.read()
        salt, at, whole, number, last = data[len(_MAGIC) :][:SALT], len(_MAGIC) + SALT, bytearray(), 0, False
        if not data.startswith(_MAGIC):
            raise _changed()
        cipher = _cipher(self._key, self._name, salt)
        while not last:
            length = int.from_bytes(data[at : at + 4], "little")
            sealed = memoryview(data)[at + 4 : at + 4 + length]
            at += 4 + length
            last = at >= len(data)
            if not _TAG <= length <= SEGMENT + _TAG or len(sealed) != length:
                raise _changed()
            try:
                whole += cipher.decrypt(_nonce(number), sealed, _bound(self._name, number, last))
            except InvalidTag:
                raise _changed() from None
            number += 1
        return _restored(whole)


class Store:
    """A directory of batches; processes that share it take turns, and none gets what another has taken.

    directory: made if it is not there, for this user alone.  The key is made with it, from the operating system.
    most: bytes that all batches together may take.
    """

    def __init__(self, directory: Path, most: int = MOST_BYTES) -> None:
        self._directory = directory
        self._most = most
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._turn():
            self._key = self._load_key()

    def __repr__(self) -> str:
        return f"Store(batches={len(self.names())})"

    def names(self) -> list[bytes]:
        """The batches that are there, in the order of their names."""
        return list(sizes(self._directory))

    @property
    def size(self) -> int:
        """Bytes that the batches take."""
        return sum(sizes(self._directory).values())

    def put(self, name: bytes, pieces: Pieces, took: Preparation | None = None) -> int:
        """Keep a batch under a fresh name; it is there, durably, or not at all.  Returns its bytes on disk.

        took: what making it took.  BadInput when the store would hold more than it may, or has the name.
        """
        head, arrays = _described(pieces, took or Preparation())
        salt = secrets.token_bytes(SALT)
        cipher = _cipher(self._key, name, salt)
        with self._turn():
            for left in self._directory.glob("*.new"):  # of a process that was killed
                left.unlink()
            size = len(_MAGIC) + SALT + len(head) + sum(array.nbytes for array in arrays)
            if len(self.names()) >= MOST_BATCHES or self.size + size > self._most:
                raise BadInput(
                    f"The store would pass {MOST_BATCHES} batches or {self._most} bytes.",
                    "Use what is there, or keep less.",
                )
            if self._path(name).exists():
                raise BadInput("The store has a batch of this name.", "Name each batch by fresh randomness.")
            temporary = self._directory / f"{secrets.token_hex(8)}.new"
            try:
                with open(temporary, "xb", opener=_private) as file:
                    file.write(_MAGIC + salt)
                    for number, (segment, last) in enumerate(_segments(head, arrays)):
                        sealed = cipher.encrypt(_nonce(number), segment, _bound(name, number, last))
                        file.write(len(sealed).to_bytes(4, "little") + sealed)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.rename(self._path(name))
            except OSError:
                temporary.unlink(missing_ok=True)  # a full disk gets its room back
                raise
            settle(self._directory)
            return self._path(name).stat().st_size

    def take(self, name: bytes) -> Batch:
        """A batch to read from, which is gone from the disk, durably, before this returns.

        BadInput when there is none of this name.
        """
        with self._turn():
            try:
                file = self._path(name).open("rb")
                self._path(name).unlink()
            except FileNotFoundError:
                raise BadInput("The store has no batch of this name.", "Take one of those it names.") from None
            settle(self._directory)
        return Batch(file, self._key, name)

    def drop(self, names: Sequence[bytes]) -> None:
        """Remove batches that cannot be used."""
        remove(self._directory, names)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Alone among the processes that use this store; Unavailable when another holds it for a minute."""
        handle = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline, pause = time.monotonic() + LOCK_SECONDS, threading.Event()
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if time.monotonic() > deadline:
                    raise Unavailable(
                        "Another process holds this store of correlations.", "End it, or give each process its own."
                    )
                pause.wait(0.02)
            yield
        finally:
            os.close(handle)

    def _path(self, name: bytes) -> Path:
        return _path(self._directory, name)

    def _load_key(self) -> bytes:
        path = self._directory / _KEY
        if not path.exists():
            temporary = self._directory / f"{secrets.token_hex(8)}.new"
            with open(temporary, "xb", opener=_private) as file:
                file.write(secrets.token_bytes(32))
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
            settle(self._directory)
        key = path.read_bytes()
        if len(key) != 32 or path.stat().st_mode & 0o077:
            raise BadInput("The store's key is damaged or open to other users.", _CURE)
        return key


def sizes(directory: Path) -> dict[bytes, int]:
    """Bytes of each batch of a store, in the order of names; nothing where there is no store."""
    found = {}
    for path in directory.glob("*.batch"):
        with contextlib.suppress(ValueError, FileNotFoundError):
            if len(name := bytes.fromhex(path.stem)) == NAME:
                found[name] = path.stat().st_size
    return dict(sorted(found.items()))


def remove(directory: Path, names: Sequence[bytes]) -> None:
    """Remove batches of a store, durably; what is not there is passed over."""
    for name in names:
        _path(directory, name).unlink(missing_ok=True)
    if names:
        settle(directory)


def settle(directory: Path) -> None:
    """What was renamed or removed stays so, whatever happens to the machine."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _path(directory: Path, name: bytes) -> Path:
    return directory / f"{name.hex()}.batch"


def _cipher(key: bytes, name: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, salt, b"lingqu batch of correlations" + name).derive(key))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _nonce(number: int) -> bytes:
    """Of a segment; the key is of this batch alone."""
    return number.to_bytes(12, "little")


def _bound(name: bytes, number: int, last: bool) -> bytes:
    return _MAGIC + name + number.to_bytes(8, "little") + bytes((last,))


def _changed() -> LingquError:
    return Tampered("A stored batch of correlations is not what was stored.", "It is gone now: run the work again.")


def _described(pieces: Pieces, took: Preparation) -> tuple[bytes, list[Words]]:
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
    head = _Contents(
        needs=tuple(kept), sent=took.sent, rounds=took.rounds, microseconds=round(took.seconds * 1e6)
    ).canonical()
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


def _restored(data: bytearray) -> tuple[Pieces, Preparation]:
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
    return pieces, Preparation(contents.sent, contents.rounds, contents.microseconds / 1e6)
