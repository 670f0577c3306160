"""What both sides of a lookup name alike, and the fixed messages that open a session."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from lingqu.kinds.channel import Buffer
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import BadInput, LingquError, ProtocolViolation
from lingqu.pir.layout import LARGEST_VALUE, Layout

NAME = "pir.keyword"
MOST_QUERIES = 1 << 20
ID = 16
HELLO = struct.Struct("<32s16sQ")
COUNT = struct.Struct("<Q")
GROUP = 16
"""Queries that travel together, so that one pass over the table answers them."""
CHUNK = 1 << 20
"""Bytes of a hint or of patches a message."""
_ABOUT = struct.Struct("<16sQ16s16sIHHBQ")
ABOUT = _ABOUT.size

Spend = Callable[[int], None]
"""Asked before so many queries are answered; raises Refused when they may not be."""


class Terms(Document):
    """table: the name of what is asked.  queries: the most of one session.  value, hint: the most bytes of each."""

    table: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    queries: Annotated[int, Field(ge=0, le=MOST_QUERIES)]
    value: Annotated[int, Field(ge=0, le=LARGEST_VALUE)] = LARGEST_VALUE
    hint: Annotated[int, Field(ge=0)] = 1 << 30

    def digest(self) -> bytes:
        return hashlib.sha256(b"lingqu pir terms 1" + self.canonical()).digest()


class Follows(IntEnum):
    """What the server sends behind its description."""

    NOTHING = 0
    PATCHES = 1
    HINT = 2


@dataclass(frozen=True)
class About:
    """A version of a prepared table, as clients know it.

    table: drawn when it was prepared.  mark: drawn for each version, and part of every answer.  seed: of the public
    matrix.  follows, size: what the server sends next, and its bytes.
    """

    table: bytes
    version: int
    mark: bytes
    seed: bytes
    layout: Layout
    follows: Follows = Follows.NOTHING
    size: int = 0

    def encoded(self) -> bytes:
        shape = self.layout
        return _ABOUT.pack(
            self.table,
            self.version,
            self.mark,
            self.seed,
            shape.columns,
            shape.cells,
            shape.value,
            self.follows,
            self.size,
        )

    @classmethod
    def decoded(cls, data: Buffer, name: str) -> About:
        """ProtocolViolation, naming the peer, when it describes no table."""
        table, version, mark, seed, columns, cells, value, follows, size = _ABOUT.unpack(data)
        try:
            return cls(table, version, mark, seed, Layout(columns, cells, value), Follows(follows), size)
        except (LingquError, ValueError) as error:
            raise ProtocolViolation(f"{name} describes no table: {error}.", "Check its software.") from None


def peer_of(parties: tuple[str, ...], party: int) -> int:
    """The other of two parties; BadInput when there are not two."""
    if len(parties) != 2:
        raise BadInput("A lookup has two parties.", "Connect one client and one server.")
    return 1 - party
