"""Vector oblivious linear evaluation over GF(2^128): one party holds delta and b, the other a and c = a delta + b.

Made of correlated transfers and one message (`lingqu-core`, ot/vole.rs).  Semi-honest.
Source: Gilboa (CRYPTO 1999); Weng, Yang, Katz, Wang, "Wolverine" (S&P 2021), section 5.
"""

from __future__ import annotations

import os

from lingqu._core import vole_receive, vole_send, vole_sizes
from lingqu.kinds.channel import Tag
from lingqu.kinds.mechanism import Cost
from lingqu.ot.correlations import Receiving, Sending, Words, checked
from lingqu.ot.costs import correlation_cost


def give(sending: Sending, count: int, code: bytes) -> Words:
    """b, `count` blocks of two words, at the holder of delta.  code: 16 public bytes, fresh, the same at both parties.

    Cost: `cost(count)`.  Discloses: nothing.
    """
    transfers, _ = vole_sizes(count)
    delta, rows = sending.take(transfers)
    low, high = (int(word) for word in delta)
    message, b = vole_send(rows.reshape(-1), (low, high), count, code, os.urandom(16))
    sending.channel.send(sending.peer, message, Tag.BLOCKS)
    return b


def take(receiving: Receiving, count: int, code: bytes) -> tuple[Words, Words]:
    """a, uniform and this party's secret, and c = a delta + b: `count` blocks of two words each."""
    transfers, size = vole_sizes(count)
    _, rows = receiving.take(transfers)
    message = bytes(receiving.channel.receive(receiving.peer, size, Tag.BLOCKS))
    return checked(receiving.channel, lambda: vole_receive(rows.reshape(-1), count, code, message))


def cost(count: int) -> Cost:
    """Of `count` correlations with transfers that are made for them: messages of one party, sent together."""
    transfers, size = vole_sizes(count)
    return Cost(1, size + correlation_cost(transfers).bytes)
