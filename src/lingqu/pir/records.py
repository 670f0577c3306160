"""Keys and values of a lookup table: keys as bytes that are equal exactly when the keys are, values up to 1 KiB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.errors import BadInput
from lingqu.pir.layout import LARGEST_VALUE

LONGEST_KEY = (1 << 16) - 1

Part = str | int | bytes


def key(*parts: Part) -> bytes:
    """One key of one or several parts.  Text, whole numbers and bytes differ, whatever they look like.

    BadInput when it is longer than 65,535 bytes.
    """
    pieces = []
    for part in parts:
        kind, body = (
            (b"b", part)
            if isinstance(part, bytes)
            else (b"t", part.encode())
            if isinstance(part, str)
            else (b"i", b"%d" % part)
        )
        pieces.append(kind + len(body).to_bytes(4, "little") + body)
    joined = b"".join(pieces)
    if len(joined) > LONGEST_KEY:
        raise BadInput(f"A key has {len(joined)} bytes.", f"Use keys of at most {LONGEST_KEY} bytes.")
    return joined


@dataclass(frozen=True)
class Packed:
    """Byte strings one after the other: string i is data[offsets[i]:offsets[i + 1]]."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, strings: Sequence[bytes]) -> Packed:
        lengths = np.fromiter((len(string) for string in strings), np.int64, len(strings))
        offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
        return cls(np.frombuffer(b"".join(strings), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, number: int) -> bytes:
        return self.data[self.offsets[number] : self.offsets[number + 1]].tobytes()

    def part(self, start: int, stop: int) -> Packed:
        offsets = self.offsets[start : stop + 1]
        return Packed(self.data[offsets[0] : offsets[-1]], offsets - offsets[0])


@dataclass(frozen=True)
class Records:
    """The records of a table.  null: whose value is null, which is not the same as absent."""

    keys: Packed
    values: Packed
    null: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"Records({len(self)})"

    def value(self, number: int) -> bytes | None:
        return None if self.null[number] else self.values[number]

    @property
    def longest(self) -> int:
        return int(np.diff(self.values.offsets).max(initial=0))


def records(keys: Sequence[bytes | None], values: Sequence[bytes | None]) -> Records:
    """The records of rows; a row whose key is null can never be asked for and is left out.

    BadInput when a key comes twice, naming its rows, or a value has more than 1 KiB.
    """
    if len(keys) != len(values):
        raise BadInput(f"{len(keys)} keys have {len(values)} values.", "Give one value a key.")
    kept = [row for row, one in enumerate(keys) if one is not None]
    own = Packed.of([one for one in keys if one is not None])
    _check_distinct(own, kept)
    bodies = [values[row] or b"" for row in kept]
    for row, body in zip(kept, bodies, strict=True):
        if len(body) > LARGEST_VALUE:
            raise BadInput(
                f"The value in row {row} has {len(body)} bytes.", f"Keep values within {LARGEST_VALUE} bytes."
            )
    null = np.fromiter((values[row] is None for row in kept), bool, len(kept))
    return Records(own, Packed.of(bodies), null)


def _check_distinct(keys: Packed, rows: Sequence[int]) -> None:
    """BadInput when two keys are equal, by a digest that only finds them."""
    digests = _core.element_digests(bytes(32), keys.data, keys.offsets).reshape(-1, 2)
    order = np.lexsort((digests[:, 1], digests[:, 0]))
    repeated = np.flatnonzero((digests[order[1:]] == digests[order[:-1]]).all(axis=1))
    if len(repeated):
        one, two = sorted(rows[int(i)] for i in order[repeated[0] : repeated[0] + 2])
        raise BadInput(
            f"Rows {one} and {two} have the same key.", "Give every key once: a lookup has one answer for each key."
        )
