"""How large sets are parted: by a hash of the key under a salt of the session, every part padded to a public size.

Equal keys fall into parts of one number, so the parts' intersections are the sets' intersection.  How many different
keys a part holds would tell of the keys; so each is filled up with random elements, which match nothing, to a size
that the numbers of rows alone decide and that is exceeded with a chance below 2^-40 over all parts of both sides.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import Unavailable
from lingqu.psi.elements import Elements

PART = 1 << 19
"""Rows of the larger side in a part, about: memory and lost work stay small, a protocol's fixed cost does, too."""
_FILLER = b"\xff\xff\xff\xff"  # no element begins so: it would be a key column of 4 GiB
_RANDOM = 32


@dataclass(frozen=True)
class Parts:
    """count: of parts.  sizes: elements that each party brings to each of them, in the order of the parties."""

    count: int
    sizes: tuple[int, ...]


def parted(rows: tuple[int, ...], *, whole: bool = False, most: int = PART) -> Parts:
    """The parts of two or more tables, by their public numbers of rows alone.

    whole: one part whatever the size, for results that parts would tell more of.  most: rows of the larger in a part.
    """
    count = 1 if whole else max(1, -(-max(rows) // most))
    return Parts(count, tuple(bound(one, count, len(rows)) for one in rows))


def bound(rows: int, count: int, parties: int = 2) -> int:
    """A size that no part of up to `rows` keys exceeds, but with a chance below 2^-40 / parties over all `count` parts.

    Bernstein's inequality for the number of keys in one part, in whole numbers, so that all nodes compute alike.
    """
    if count == 1:
        return rows
    mean = -(-rows // count)
    # Ten times an upper bound of ln(2^40 parties count), as ln 2 < 0.7.
    nats = 7 * (40 + (parties - 1).bit_length() + count.bit_length())
    above = (nats + isqrt(nats * nats + 180 * nats * mean) + 1) // 30 + 1
    return min(rows, mean + above)


def fillers(elements: Elements) -> NDArray[np.bool_]:
    """Which elements are random ones that `filled` put there."""
    starts = elements.offsets[:-1]
    front = np.frombuffer(_FILLER, np.uint8)
    long = np.diff(elements.offsets) == len(front) + _RANDOM
    found = np.zeros(len(elements), bool)
    places = starts[long, None] + np.arange(len(front))
    found[long] = (elements.data[places] == front).all(axis=1)
    return found


def filled(part: Elements, size: int) -> Elements:
    """A part's elements and behind them random ones, `size` in all.  Unavailable when there are more than that."""
    missing = size - len(part)
    if missing < 0:
        raise Unavailable(
            "A part of the set is larger than chance allows.", "Run it again; if it comes back, report it."
        )
    random = np.frombuffer(secrets.token_bytes(_RANDOM * missing), np.uint8).reshape(missing, _RANDOM)
    front = np.broadcast_to(np.frombuffer(_FILLER, np.uint8), (missing, len(_FILLER)))
    width = len(_FILLER) + _RANDOM
    data = np.concatenate([part.data, np.concatenate([front, random], axis=1).reshape(-1)])
    offsets = np.concatenate([part.offsets, part.offsets[-1] + width * np.arange(1, missing + 1)])
    return Elements(data, offsets, part.element_of)
