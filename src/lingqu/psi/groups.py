"""The groups of psi.ecdh, and calls of their kernels that run side by side.

psi.ecdh        ristretto255 (RFC 9496), hashing RFC 9380's ristretto255_XMD:SHA-512_R255MAP_RO_
psi.ecdh.p256   P-256, hashing RFC 9380's P256_XMD:SHA-256_SSWU_RO_
psi.ecdh.sm2    SM2's curve (GB/T 32918.5); the same with SM3 and Z = -9, which is ours and no registered suite
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lingqu import _core

NAME = "psi.ecdh"
P256 = "psi.ecdh.p256"
SM2 = "psi.ecdh.sm2"
POINT = 32
COMPRESSED = 33
MOST_THREADS = 8
"""The most threads of one party, however many processors it may use."""
Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]


class Secret(Protocol):
    """One secret scalar k of a group with generator G; H is the hash to the group."""

    def map(self, tag: bytes, data: Bytes, offsets: Offsets) -> Bytes:
        """k H(x) of every element."""

    def multiply(self, points: Bytes) -> Bytes:
        """Each encoded point times k; ValueError naming the first that is no element, or the identity."""

    def public(self) -> bytes:
        """A known multiple of k G: what the blinds are taken away with."""

    def answer(self, points: Bytes) -> Bytes:
        """Each blinded point times that multiple of k which `Unblinding` expects; ValueError as of `multiply`."""


class Blinding(Protocol):
    """Hides elements' points behind r G, with an r of its own each: a uniform point, whatever the element."""

    def blind(self, tag: bytes, data: Bytes, offsets: Offsets, blinds: Bytes) -> Bytes:
        """H(x) + r G of every element, up to a known factor."""


class Unblinding(Protocol):
    """Takes the blinds away: `unblind` of `answer` of `blind` is `map`."""

    def unblind(self, answers: Bytes, blinds: Bytes) -> Bytes:
        """k H(x) of every element; ValueError naming the first answer that is no element, or the identity."""


@dataclass(frozen=True)
class Group:
    """point, blind: bytes of an encoded element and of a blind.  domain: of the hash.

    secret: a scalar from 64 uniform bytes.  unblinding: from what the holder of a scalar published; ValueError when
    that is no element, or the identity.
    """

    point: int
    blind: int
    domain: bytes
    secret: Callable[[bytes], Secret]
    blinding: Callable[[], Blinding]
    unblinding: Callable[[bytes], Unblinding]


def _curve(name: str, domain: bytes) -> Group:
    return Group(
        COMPRESSED,
        48,
        domain,
        partial(_core.CurveKey, name),
        partial(_core.CurveBlinding, name),
        partial(_core.CurveUnblinding, name),
    )


GROUPS = {
    NAME: Group(
        POINT,
        32,
        b"lingqu-psi-ecdh-v1-ristretto255_XMD:SHA-512_R255MAP_RO_-",
        _core.GroupKey,
        _core.GroupBlinding,
        _core.GroupUnblinding,
    ),
    P256: _curve("p256", b"lingqu-psi-ecdh-v1-P256_XMD:SHA-256_SSWU_RO_-"),
    SM2: _curve("sm2", b"lingqu-psi-ecdh-v1-SM2_XMD:SM3_SSWU_RO_-"),
}


def processors() -> int:
    """How many processors this process may use, `MOST_THREADS` at most."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(usable, MOST_THREADS)


def in_order(calls: Iterable[Callable[[], Bytes]]) -> Iterator[Bytes]:
    """The results of calls in their order; as many run at once as there are processors, and a few wait.

    The calls are drawn, and the results given out, in the caller's thread: `calls` may receive what a call is about.
    """
    threads = processors()
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Bytes]] = deque()
        for call in calls:
            waiting.append(pool.submit(call))
            while waiting and (waiting[0].done() or len(waiting) > 2 * threads):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
