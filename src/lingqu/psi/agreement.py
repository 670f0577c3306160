"""What two parties agree on before an intersection: protocol, forms, result, sizes; and the session's salt."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lingqu import _core
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import BadInput, ProtocolViolation, Refused

LARGEST = 1 << 27
MOST_ASKED = 1 << 20
"""The most elements that a client of a published set may ask about in one session."""
MESSAGE = 64
_NONCE = 24


class Result(StrEnum):
    """What comes out: the elements both have, or their number."""

    ELEMENTS = "elements"
    SIZE = "size"


class Terms(Document):
    """What both parties must name alike.  recipients: the indices of the parties that learn the result.

    largest: the most elements that a peer may bring; both sides' caps are agreed on.  sizes: how many each party brings
    exactly, where that is public beforehand.
    """

    protocol: str
    forms: Annotated[tuple[str, ...], Field(min_length=1)]
    result: Result = Result.ELEMENTS
    recipients: tuple[int, ...] = (0,)
    largest: Annotated[int, Field(ge=0, le=LARGEST)] = LARGEST
    sizes: tuple[int, ...] | None = Field(default=None, exclude_if=lambda sizes: sizes is None)


@dataclass(frozen=True)
class Agreement:
    """Terms that both named, both sizes by party, and a salt that neither could choose alone."""

    terms: Terms
    sizes: tuple[int, int]
    salt: bytes


def tag_bytes(sizes: tuple[int, int]) -> int:
    """Bytes of a tag, so that tags of different elements agree with a chance below 2^-40 over all pairs."""
    return -(-(40 + sum(max(size - 1, 0).bit_length() for size in sizes)) // 8)


def random_order(count: int) -> NDArray[np.int64]:
    """A fresh random order."""
    return _core.Prg(secrets.token_bytes(16)).permutation(count).astype(np.int64)


def agree(channel: Channel, terms: Terms, size: int) -> Agreement:
    """Exchange terms and sizes.  1 round, 64 bytes each way.

    Refused (term "set-size") when the peer brings more than `terms.largest`; ProtocolViolation when it names other
    terms.  Discloses: the number of elements of either side, to the other.
    """
    if len(channel.parties) != 2 or not terms.recipients or set(terms.recipients) - {0, 1}:
        raise BadInput("An intersection has two parties, and one or both learn it.", "Name recipients 0, 1 or both.")
    if size > terms.largest:
        raise Refused(f"{size} elements are more than the agreed {terms.largest}.", "Agree on more.", term="set-size")
    digest = hashlib.sha256(b"lingqu psi terms 1" + terms.canonical()).digest()
    own = digest + size.to_bytes(8, "little") + secrets.token_bytes(_NONCE)
    peer = 1 - channel.party
    channel.send(peer, own, Tag.SEED)
    theirs = bytes(channel.receive(peer, MESSAGE, Tag.SEED))
    name = channel.parties[peer]
    if not hmac.compare_digest(theirs[:32], digest):
        raise ProtocolViolation(
            f"{name} names other terms for the intersection.", "Agree on protocol, forms, result and recipients."
        )
    if hmac.compare_digest(theirs[-_NONCE:], own[-_NONCE:]):
        raise ProtocolViolation(f"{name} sent this party's own randomness back.", "Check its software.")
    other = int.from_bytes(theirs[32:40], "little")
    if other > terms.largest:
        raise Refused(
            f"{name} brings {other} elements, more than the agreed {terms.largest}.", "Agree on more.", term="set-size"
        )
    both = (own, theirs) if channel.party == 0 else (theirs, own)
    sizes = (size, other) if channel.party == 0 else (other, size)
    if terms.sizes is not None and sizes != terms.sizes:
        raise ProtocolViolation(
            f"{name} brings {other} elements, {terms.sizes[peer]} are agreed.", "Check its software."
        )
    return Agreement(terms, sizes, hashlib.sha256(b"lingqu psi salt 1" + both[0] + both[1]).digest())
