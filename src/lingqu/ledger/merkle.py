"""Merkle trees as RFC 6962 and RFC 9162 define them: roots, inclusion and consistency proofs."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence

from lingqu.kinds.errors import Tampered

EMPTY_ROOT = hashlib.sha256(b"").digest()
_CURE = "Do not trust this history; ask its party for an explanation."


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data).  Source: RFC 9162, section 2.1.1."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right).  Source: RFC 9162, section 2.1.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing tree over leaf hashes, which keeps the hash of every perfect subtree.

    Cost: one leaf takes O(1) hashes amortised, a root or a proof O(log² n).
    """

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    def __len__(self) -> int:
        return len(self._levels[0])

    @property
    def leaves(self) -> Sequence[bytes]:
        """The leaf hashes."""
        return tuple(self._levels[0])

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash."""
        self._levels[0].append(leaf)
        for height, level in enumerate(self._levels):
            if len(level) % 2:
                return
            if height + 1 == len(self._levels):
                self._levels.append([])
            self._levels[height + 1].append(node_hash(level[-2], level[-1]))

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` leaves, all by default.  Source: RFC 9162, section 2.1.1."""
        size = len(self) if size is None else size
        self._check(0 <= size <= len(self))
        return self._hash(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """The proof that leaf `index` is in the first `size` leaves.  Source: RFC 9162, section 2.1.3.1."""
        size = len(self) if size is None else size
        self._check(0 <= index < size <= len(self))
        proof, start, stop = [], 0, size
        while stop - start > 1:
            middle = start + _split(stop - start)
            if index < middle:
                proof.append(self._hash(middle, stop))
                stop = middle
            else:
                proof.append(self._hash(start, middle))
                start = middle
        return proof[::-1]

    def consistency(self, first: int, second: int | None = None) -> list[bytes]:
        """The proof that the first `first` leaves begin the first `second`.  Source: RFC 9162, section 2.1.4.1."""
        second = len(self) if second is None else second
        self._check(0 <= first <= second <= len(self))
        if first in (0, second):
            return []
        proof, start, stop, whole = [], 0, second, True
        while first != stop:
            middle = start + _split(stop - start)
            if first <= middle:
                proof.append(self._hash(middle, stop))
                stop = middle
            else:
                proof.append(self._hash(start, middle))
                start, whole = middle, False
        return ([] if whole else [self._hash(start, stop)]) + proof[::-1]

    def _hash(self, start: int, stop: int) -> bytes:
        """The hash over leaves start to stop - 1, where start is a multiple of the perfect subtree's size."""
        size = stop - start
        if size & (size - 1) == 0:
            height = size.bit_length() - 1
            return self._levels[height][start >> height]
        middle = start + _split(size)
        return node_hash(self._hash(start, middle), self._hash(middle, stop))

    def _check(self, fits: bool) -> None:
        if not fits:
            raise Tampered(f"The log has {len(self)} entries, fewer than were asked about.", _CURE)


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Tampered unless the proof shows the leaf hash at that index.  Source: RFC 9162, section 2.1.3.2."""
    if not 0 <= index < size:
        raise Tampered(f"Entry {index} cannot be in a log of {size} entries.", _CURE)
    place, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise Tampered(f"The inclusion proof of entry {index} is too long.", _CURE)
        if place % 2 or place == last:
            found = node_hash(sibling, found)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        place, last = place >> 1, last >> 1
    if last or not hmac.compare_digest(found, root):
        raise Tampered(f"Entry {index} is not in the log of {size} entries.", _CURE)


def check_consistency(first: int, second: int, old: bytes, new: bytes, proof: Sequence[bytes]) -> None:
    """Tampered unless the log of `first` entries begins that of `second`.  Source: RFC 9162, section 2.1.4.2."""
    fault = Tampered(f"The log of {second} entries does not continue that of {first} entries.", _CURE)
    if not 0 <= first <= second:
        raise fault
    if first in (0, second):
        expected = EMPTY_ROOT if first == 0 else new
        if proof or not hmac.compare_digest(old, expected):
            raise fault
        return
    path = [old, *proof] if first & (first - 1) == 0 else list(proof)
    if not path:
        raise fault
    place, last = first - 1, second - 1
    while place % 2:
        place, last = place >> 1, last >> 1
    was = now = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise fault
        if place % 2 or place == last:
            was, now = node_hash(sibling, was), node_hash(sibling, now)
            while place % 2 == 0 and place:
                place, last = place >> 1, last >> 1
        else:
            now = node_hash(now, sibling)
        place, last = place >> 1, last >> 1
    if last or not (hmac.compare_digest(was, old) and hmac.compare_digest(now, new)):
        raise fault


def _split(size: int) -> int:
    """The largest power of two below size."""
    return int(1 << ((size - 1).bit_length() - 1))
