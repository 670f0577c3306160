"""What both sides of an unbalanced intersection name alike, and the fixed messages that open a session."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from pydantic import Field

from lingqu.kinds.channel import Buffer
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import ProtocolViolation
from lingqu.psi.agreement import MOST_ASKED

NAME = "psi.unbalanced"
LARGEST = 1 << 28
STATISTICAL = 40
ID = 16
CHUNK = 1 << 20
"""Bytes of tags a message."""
POINTS = 1 << 13
"""Elements a message."""
HELLO = struct.Struct("<32s16sQQ")
_ABOUT = struct.Struct("<16sQ32sQBBBQ")
ABOUT = _ABOUT.size

Spend = Callable[[int], None]
"""Asked before so many elements are evaluated; raises Refused when they may not be."""


class UnbalancedTerms(Document):
    """forms: of the key's columns.  queries: the most elements a client may ask about in one session.

    largest: the most elements that the server's set may have.
    """

    forms: Annotated[tuple[str, ...], Field(min_length=1)]
    queries: Annotated[int, Field(ge=0, le=MOST_ASKED)]
    largest: Annotated[int, Field(ge=0, le=LARGEST)] = LARGEST

    def digest(self) -> bytes:
        return hashlib.sha256(b"lingqu psi unbalanced terms 1" + self.canonical()).digest()


@dataclass(frozen=True)
class Shape:
    """How tags stand: `buckets` of their bits name a bucket, `rest` bytes tell them apart there."""

    buckets: int
    rest: int

    @classmethod
    def of(cls, size: int, queries: int) -> Shape:
        """For a set that may grow by half: a foreign element is taken for one of it with a chance below 2^-40, over all
        queries of a session."""
        buckets = min(max(size.bit_length() - 1, 0), 28)
        bits = STATISTICAL + max(queries - 1, 0).bit_length() + max(size + size // 2 - 1, 0).bit_length() - buckets
        return cls(buckets, -(-bits // 8))

    def holds(self, size: int, queries: int) -> bool:
        """Whether tags of this shape are long enough for such a set and so many queries."""
        return (
            0 <= self.buckets <= 28
            and 1 <= self.rest <= 8
            and self.buckets + 8 * self.rest
            >= STATISTICAL + max(queries - 1, 0).bit_length() + max(size - 1, 0).bit_length()
        )

    def encoded_bytes(self, size: int) -> int:
        """Bytes of a published set: a byte a bucket, and the rest of every tag."""
        return (1 << self.buckets) + size * self.rest

    @property
    def change_bytes(self) -> int:
        """Bytes of a tag that comes or goes."""
        return 4 + self.rest


class Follows(IntEnum):
    """What the server sends behind its description."""

    NOTHING = 0
    CHANGES = 1
    SET = 2


@dataclass(frozen=True)
class About:
    """A version of a published set: which server key made it, how it came about, how many elements it has.

    follows, trailing: what the server sends next, and its bytes.
    """

    key: bytes
    version: int
    digest: bytes
    size: int
    shape: Shape
    follows: Follows = Follows.NOTHING
    trailing: int = 0

    def encoded(self) -> bytes:
        shape = self.shape
        return _ABOUT.pack(
            self.key, self.version, self.digest, self.size, shape.buckets, shape.rest, self.follows, self.trailing
        )

    @classmethod
    def decoded(cls, data: Buffer, name: str, terms: UnbalancedTerms) -> About:
        """ProtocolViolation, naming the peer, when it describes no set that the terms allow."""
        key, version, digest, size, buckets, rest, follows, count = _ABOUT.unpack(data)
        shape = Shape(buckets, rest)
        if size > terms.largest or not shape.holds(size, terms.queries) or follows not in list(Follows):
            raise ProtocolViolation(f"{name} publishes a set that the terms do not allow.", "Agree on its size.")
        return cls(key, version, digest, size, shape, Follows(follows), count)
