"""Vector oblivious linear evaluation over GF(2^128): one party holds delta and b, the other a and c = a delta + b.

Made of correlated transfers and one message (`lingqu-core`, ot/vole.rs), and checked afterwards where a peer may be
malicious.  Source: Gilboa (CRYPTO 1999); Raghuraman, Rindal, Tanguy (CRYPTO 2023); Weng, Yang, Katz, Wang, "Wolverine"
(S&P 2021), section 5, and for the check its figure 7.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from dataclasses import dataclass

import numpy as np

from lingqu._core import gf128_inner, gf128_scale_add, vole_hold, vole_receive, vole_send, vole_sizes
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import ProtocolViolation
from lingqu.kinds.mechanism import Cost
from lingqu.ot import direct
from lingqu.ot.correlations import Receiving, Sending, Words, checked
from lingqu.ot.costs import correlation_cost

CHALLENGE = 32
"""Bytes of the receiver's challenge: a seed, and the masked sum of its a."""
PROOF = 32
_ALTERED = "linear evaluations that do not hold"


def give(sending: Sending, count: int, code: bytes) -> Words:
    """b, `count` blocks of two words, at the holder of delta.  code: 16 public bytes, fresh, the same at both parties.

    Cost: `cost(count)`.  Discloses: nothing.
    """
    transfers, _ = vole_sizes(count)
    delta, rows = sending.take(transfers)
    return _give(sending.channel, delta, rows, count, code)


def take(receiving: Receiving, count: int, code: bytes) -> tuple[Words, Words]:
    """a, uniform and this party's secret, and c = a delta + b: `count` blocks of two words each."""
    transfers, _ = vole_sizes(count)
    return _take(receiving.channel, receiving.take(transfers)[1], count, code)


def cost(count: int) -> Cost:
    """Of `count` correlations with transfers that are made for them: messages of one party, sent together."""
    transfers, size = vole_sizes(count)
    return Cost(1, size + correlation_cost(transfers).bytes)


def _give(channel: Channel, delta: Words, rows: Words, count: int, code: bytes) -> Words:
    low, high = (int(word) for word in delta)
    message, b = vole_send(rows.reshape(-1), (low, high), count, code, os.urandom(16))
    channel.send(1 - channel.party, message, Tag.BLOCKS)
    return b


def _take(channel: Channel, rows: Words, count: int, code: bytes) -> tuple[Words, Words]:
    a = vole_hold(rows.reshape(-1), count, code)  # while the peer works on its message
    message = bytes(channel.receive(1 - channel.party, vole_sizes(count)[1], Tag.BLOCKS))
    return a, checked(channel, lambda: vole_receive(rows.reshape(-1), count, code, message))


@dataclass
class Given:
    """One run at the holder of delta, (2,) words: b, and where the run is to be checked the b of its mask."""

    delta: Words
    b: Words
    mask: Words | None

    def __repr__(self) -> str:
        return f"Given({len(self.b) // 2})"

    def proof(self, challenge: bytes) -> bytes:
        """What the peer compares with its own: the hash of the sum of all b, and delta times the peer's sum."""
        assert self.mask is not None
        low, high = (int(word) for word in self.delta)
        total = np.array(gf128_inner(challenge[:16], self.b), np.uint64) ^ self.mask
        return _hash(gf128_scale_add((low, high), np.frombuffer(challenge[16:], np.uint64), total))


@dataclass
class Taken:
    """One run at the other party: a and c, and where the run is to be checked those of its mask."""

    a: Words
    c: Words
    mask: tuple[Words, Words] | None
    _seed: bytes = b""

    def __repr__(self) -> str:
        return f"Taken({len(self.c) // 2})"

    def challenge(self) -> bytes:
        """A random seed, and the sum of all a that it weighs, masked: after the peer's message, while a is whole."""
        assert self.mask is not None
        self._seed = os.urandom(16)
        total = np.array(gf128_inner(self._seed, self.a), np.uint64) ^ self.mask[0]
        return self._seed + total.tobytes()

    def hide(self, values: Words) -> Words:
        """a plus values of as many blocks, in a's place: a masks one message, and is then gone."""
        hidden, self.a = self.a, np.zeros(0, np.uint64)
        return np.bitwise_xor(hidden, values, out=hidden)

    def expected(self) -> bytes:
        """The proof of a peer whose correlations hold."""
        assert self.mask is not None
        return _hash(np.array(gf128_inner(self._seed, self.c), np.uint64) ^ self.mask[1])


def _hash(total: Words) -> bytes:
    return hashlib.sha256(b"lingqu linear evaluation check" + total.tobytes()).digest()


def compare(channel: Channel, expected: bytes, proof: bytes) -> None:
    """ProtocolViolation unless the peer's proof is the one expected; compared in constant time."""
    if not hmac.compare_digest(expected, proof):
        name = channel.parties[1 - channel.party]
        raise ProtocolViolation(
            f"{name} sent {_ALTERED}.", "Its software alters the protocol; end the contract.", party=name
        )


def start_giving(channel: Channel, count: int, code: bytes, safe: bool = False) -> Given:
    """The base transfers and `count` correlations at the holder of delta; the peer calls `start_taking`.

    safe: one more correlation masks a check.  The holder answers the peer's `challenge` with its `proof`.
    Cost: `start_cost`.  Discloses: nothing.
    """
    made = count + safe
    delta, rows = direct.send(channel, vole_sizes(made)[0], safe)
    b = _give(channel, delta, rows, made, code)
    return Given(delta, b[: 2 * count], b[2 * count :].copy() if safe else None)


def start_taking(channel: Channel, count: int, code: bytes, safe: bool = False) -> Taken:
    """The other side of `start_giving`.  safe: until the peer's proof has been compared, c may be wrong."""
    made = count + safe
    a, c = _take(channel, direct.receive(channel, vole_sizes(made)[0], safe), made, code)
    mask = (a[2 * count :].copy(), c[2 * count :].copy()) if safe else None
    return Taken(a[: 2 * count], c[: 2 * count], mask)


def start_cost(count: int, safe: bool = False) -> Cost:
    """Of `start_giving` and `start_taking`, without challenge and proof."""
    transfers, size = vole_sizes(count + safe)
    first = direct.cost(transfers, safe)
    return Cost(first.rounds + 1, first.bytes + size)
