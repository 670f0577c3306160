"""A set as its server publishes it: sorted tags, compressed by buckets, and the changes between its versions."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.psi.unbalanced.terms import Shape

_HEAD = struct.Struct("<II")
_TAGS = "tags"
_ABOUT = "published.json"

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Tags:
    """Tags in order: bucket first, then rest."""

    bucket: NDArray[np.uint32]
    rest: Words

    @classmethod
    def of(cls, derived: NDArray[np.uint8], shape: Shape) -> Tags:
        """From 64 pseudorandom bytes an element, in the elements' order."""
        words = derived.reshape(-1, 64)[:, :16].copy().view("<u8")
        bucket = (words[:, 0] >> np.uint64(36)).astype(np.uint32) >> np.uint32(28 - shape.buckets)
        return cls(bucket, words[:, 1] & np.uint64((1 << 8 * shape.rest) - 1))

    def __len__(self) -> int:
        return len(self.bucket)

    def sorted(self) -> Tags:
        order = np.lexsort((self.rest, self.bucket))
        return Tags(self.bucket[order], self.rest[order])

    def rising(self) -> bool:
        """Whether they are in order and none comes twice."""
        same = self.bucket[1:] == self.bucket[:-1]
        up = (self.bucket[1:] > self.bucket[:-1]) | (same & (self.rest[1:] > self.rest[:-1]))
        return bool(up.all())


@dataclass(frozen=True)
class Change:
    """From one version to the next: tags that come and tags that go, each in order."""

    added: Tags
    removed: Tags

    def encoded(self, shape: Shape) -> bytes:
        pieces = [_HEAD.pack(len(self.added), len(self.removed))]
        for tags in (self.added, self.removed):
            pieces += [tags.bucket.astype("<u4").tobytes(), _cut(tags.rest, shape.rest)]
        return b"".join(pieces)


def _cut(rest: Words, width: int) -> bytes:
    return np.ascontiguousarray(rest.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width]).tobytes()


def _widened(data: bytes, width: int) -> Words:
    padded = np.zeros((len(data) // width, 8), np.uint8)
    padded[:, :width] = np.frombuffer(data, np.uint8).reshape(-1, width)
    return padded.view("<u8").reshape(-1).astype(np.uint64, copy=False)


def decode_changes(data: bytes, shape: Shape) -> Iterator[tuple[Change, bytes]]:
    """The changes that stand one after the other, each with its bytes; BadInput when they do not fit the shape."""
    at = 0
    while at < len(data):
        begun = at
        if len(data) - at < _HEAD.size:
            raise BadInput("A change ends early.", "Fetch the set again.")
        counts = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if len(data) - at < sum(counts) * shape.change_bytes:
            raise BadInput("A change ends early.", "Fetch the set again.")
        parts = []
        for count in counts:
            bucket = np.frombuffer(data, "<u4", count, at).astype(np.uint32)
            rest = _widened(data[at + 4 * count : at + shape.change_bytes * count], shape.rest)
            tags = Tags(bucket, rest)
            if not tags.rising() or (bucket >> np.uint32(shape.buckets)).any():
                raise BadInput("A change holds tags out of order.", "Fetch the set again.")
            parts.append(tags)
            at += shape.change_bytes * count
        yield Change(*parts), data[begun:at]


@dataclass
class Published:
    """One version of a published set.  It holds nothing secret: without the server's key a tag says nothing.

    key: names the server's secret key.  counts: tags of every bucket.  rests: the tags' other bytes, in order.
    """

    key: bytes
    version: int
    digest: bytes
    shape: Shape
    counts: NDArray[np.uint8]
    rests: Words

    def __len__(self) -> int:
        return len(self.rests)

    def __repr__(self) -> str:
        return f"Published(version {self.version}, {len(self)} elements)"

    @classmethod
    def of(cls, key: bytes, tags: Tags, shape: Shape) -> Published:
        """The first version of a set; BadInput when two tags are equal or a bucket overflows."""
        tags = tags.sorted()
        counts = np.bincount(tags.bucket, minlength=1 << shape.buckets)
        if not tags.rising() or counts.max(initial=0) > 255:
            raise BadInput("Two elements have one tag.", "Publish the set again, under a fresh key.")
        made = cls(key, 0, b"", shape, counts.astype(np.uint8), tags.rest)
        made.digest = hashlib.sha256(b"lingqu psi published 1" + key + made.encoded()).digest()
        return made

    def encoded(self) -> bytes:
        return self.counts.tobytes() + _cut(self.rests, self.shape.rest)

    @classmethod
    def decoded(cls, key: bytes, version: int, digest: bytes, shape: Shape, size: int, data: bytes) -> Published:
        """BadInput when the bytes are no set of that size and shape."""
        counts = np.frombuffer(data, np.uint8, 1 << shape.buckets).copy()
        if len(data) != shape.encoded_bytes(size) or int(counts.sum(dtype=np.int64)) != size:
            raise BadInput("A published set has another size than it says.", "Fetch the set again.")
        made = cls(key, version, digest, shape, counts, _widened(data[len(counts) :], shape.rest))
        if not Tags(made._buckets(), made.rests).rising():
            raise BadInput("A published set is out of order.", "Fetch the set again.")
        return made

    def find(self, tags: Tags) -> NDArray[np.bool_]:
        """Which tags are in the set."""
        starts = self._starts()
        found = np.zeros(len(tags), bool)
        for number, (bucket, rest) in enumerate(zip(tags.bucket.tolist(), tags.rest, strict=True)):
            found[number] = bool((self.rests[starts[bucket] : starts[bucket + 1]] == rest).any())
        return found

    def follow(self, change: Change, encoded: bytes) -> None:
        """Go to the next version; BadInput when a tag that goes is not there, or one that comes is."""
        if self.find(change.added).any() or not self.find(change.removed).all():
            raise BadInput("A change does not fit the set.", "Fetch the set again.")
        gone = self._places(change.removed)
        counts = self.counts.astype(np.int64)
        counts -= np.bincount(change.removed.bucket, minlength=len(counts))
        self.rests = np.delete(self.rests, gone)
        self.counts = counts.astype(np.uint8)
        into = self._places(change.added)
        counts += np.bincount(change.added.bucket, minlength=len(counts))
        if counts.max(initial=0) > 255:
            raise BadInput("A bucket overflows.", "Publish the set again.")
        self.rests = np.insert(self.rests, into, change.added.rest)
        self.counts = counts.astype(np.uint8)
        self.digest = hashlib.sha256(self.digest + encoded).digest()
        self.version += 1

    def save(self, folder: Path) -> None:
        """Write it to a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _TAGS).write_bytes(self.encoded())
        about = {
            "key": self.key.hex(),
            "version": self.version,
            "digest": self.digest.hex(),
            "shape": [self.shape.buckets, self.shape.rest],
            "size": len(self),
        }
        (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Published:
        """Read what `save` wrote; BadInput when it is not that."""
        try:
            about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
            shape = Shape(*(int(one) for one in about["shape"]))
            if not shape.holds(int(about["size"]), 0):
                raise ValueError("its tags are too short")
            key, digest = bytes.fromhex(about["key"]), bytes.fromhex(about["digest"])
            data = (folder / _TAGS).read_bytes()
            return cls.decoded(key, int(about["version"]), digest, shape, int(about["size"]), data)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{folder} holds no published set: {error}.", "Fetch the set again.") from None

    def _starts(self) -> NDArray[np.int64]:
        return np.concatenate((np.zeros(1, np.int64), np.cumsum(self.counts, dtype=np.int64)))

    def _buckets(self) -> NDArray[np.uint32]:
        return np.repeat(np.arange(len(self.counts), dtype=np.uint32), self.counts)

    def _places(self, tags: Tags) -> NDArray[np.int64]:
        """Where each tag stands, or would."""
        starts = self._starts()
        within = (
            starts[bucket] + np.searchsorted(self.rests[starts[bucket] : starts[bucket + 1]], rest)
            for bucket, rest in zip(tags.bucket.tolist(), tags.rest, strict=True)
        )
        return np.fromiter(within, np.int64, len(tags))
