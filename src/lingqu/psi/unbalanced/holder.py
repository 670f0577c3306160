"""The server of an unbalanced intersection: its long-lived key, its published set, and the changes since."""

from __future__ import annotations

import json
import os
import secrets
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.errors import BadInput, Refused
from lingqu.psi.elements import Elements
from lingqu.psi.unbalanced.published import Change, Published, Tags
from lingqu.psi.unbalanced.terms import ID, Shape

_CHUNK = 1 << 16
_KEY = "key"
_CHANGES = "changes"
_STATE = "holder.json"

Bytes = NDArray[np.uint8]


class Holder:
    """A server's set under its key.  published: the version that clients get.  changes: those since the first."""

    def __init__(self, secret: bytes, published: Published, changes: list[bytes]) -> None:
        self.published = published
        self.changes = changes
        self._secret = secret
        self._key = _core.GroupKey(secret)

    def __repr__(self) -> str:
        return f"Holder({self.published!r})"

    @classmethod
    def publish(cls, own: Elements, queries: int) -> Holder:
        """Tag a set for clients that may ask about `queries` elements a session.

        Work: one exponentiation an element.  Memory: 32 bytes an element.
        """
        secret, key = secrets.token_bytes(64), secrets.token_bytes(ID)
        shape = Shape.of(len(own), queries)
        holder = cls(secret, Published(key, 0, b"", shape, np.zeros(0, np.uint8), np.zeros(0, np.uint64)), [])
        parts = [holder.tags(own, start, start + _CHUNK) for start in range(0, len(own), _CHUNK)]
        empty = [Tags(np.zeros(0, np.uint32), np.zeros(0, np.uint64))]
        tags = Tags(*(np.concatenate([getattr(part, name) for part in empty + parts]) for name in ("bucket", "rest")))
        holder.published = Published.of(key, tags, shape)
        return holder

    def tags(self, own: Elements, start: int, stop: int) -> Tags:
        """The tags of some elements, in their order."""
        data, offsets = own.take(np.arange(start, min(stop, len(own)), dtype=np.int64))
        points = self._key.map(_core.oprf_tag(), data, offsets)
        return derive(self.published, data, offsets, points)

    def evaluate(self, blinded: Bytes) -> Bytes:
        """A client's elements under the key; ValueError when one is no group element."""
        return self._key.multiply(blinded)

    def update(self, added: Elements, removed: Elements, queries: int) -> None:
        """The next version.  BadInput when an element comes that is there, or goes that is not.

        Refused when the set has outgrown its tags, by more than half since it was published: publish it again.
        """
        change = Change(self.tags(added, 0, len(added)).sorted(), self.tags(removed, 0, len(removed)).sorted())
        if not self.published.shape.holds(len(self.published) + len(added) - len(removed), queries):
            raise Refused("The set has outgrown its tags.", "Publish it again.", term="set-size")
        encoded = change.encoded(self.published.shape)
        self.published.follow(change, encoded)
        self.changes.append(encoded)

    def save(self, folder: Path) -> None:
        """Keep it in a folder, with its secret key readable by this user alone."""
        self.published.save(folder)
        descriptor = os.open(folder / _KEY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._secret)
        (folder / _CHANGES).write_bytes(b"".join(self.changes))
        (folder / _STATE).write_text(json.dumps([len(change) for change in self.changes]), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Holder:
        """Read what `save` wrote; BadInput when it is not that."""
        try:
            ends = np.cumsum([0, *json.loads((folder / _STATE).read_text(encoding="utf-8"))]).tolist()
            data, secret = (folder / _CHANGES).read_bytes(), (folder / _KEY).read_bytes()
            return cls(secret, Published.load(folder), [data[start:stop] for start, stop in pairwise(ends)])
        except (OSError, ValueError, TypeError) as error:
            raise BadInput(f"{folder} holds no set to serve: {error}.", "Publish it again.") from None


def derive(published: Published, data: Bytes, offsets: NDArray[np.int64], points: Bytes) -> Tags:
    """The tags of elements from their points under the server's key."""
    outputs = _core.oprf_finalize(data, offsets, points)
    return Tags.of(_core.pir_derive(b"lingqu psi unbalanced tag 1" + published.key, outputs), published.shape)
