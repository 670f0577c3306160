"""Arrays from a peer's bytes: exact count, exact type, nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lingqu.kinds.channel import Buffer
from lingqu.wire.frames import TooLong, WrongSize, octets

Words = npt.NDArray[np.uint64]


def decode_words(data: Buffer, count: int) -> Words:
    """`count` little-endian 64-bit words as uint64, shape (count,), without copying.

    Writable when `data` is.  Raises WrongSize or TooLong when the bytes are not exactly 8 * count.
    """
    size = len(octets(data))
    if size != 8 * count:
        fault = TooLong if size > 8 * count else WrongSize
        raise fault(f"{size} bytes are not {count} words of 8 bytes.", "Ask the sender for its version of lingqu.")
    return np.frombuffer(data, dtype="<u8").astype(np.uint64, copy=False)


def encode_words(words: Words) -> memoryview:
    """The little-endian bytes of a uint64 array of any shape, C order, without copying where it is contiguous."""
    return octets(np.ascontiguousarray(words).astype("<u8", copy=False).data)
