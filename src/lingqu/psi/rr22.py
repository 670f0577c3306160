"""psi.rr22: intersection by an oblivious pseudorandom function from a key-value store and silent linear evaluation.

The receiver holds a and c, the sender delta and b, with c = a delta + b.  The receiver encodes its set as a store p
with Decode(p, y) = H(y) and sends a + p.  The sender's store b + delta (a + p) = c + delta p gives for any x the value
Decode(c, x) + delta Decode(p, x), from which it subtracts delta H(x): for a y of the receiver's set that leaves
Decode(c, y), which the receiver knows; for all others it is hidden by delta.  Tags are hashes of these values.
Source: Raghuraman, Rindal (CCS 2022), section 4; store: Bienstock et al. (USENIX Security 2023).
Adversary: semi-honest, one of two.  Assumption: LPN with regular noise, CDH for base transfers, hashes random oracles.
"""

from __future__ import annotations

import hashlib
import secrets

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import BadInput, Unavailable
from lingqu.kinds.mechanism import Cost
from lingqu.ot import costs, vole
from lingqu.ot.correlations import connect_receiving, connect_sending
from lingqu.psi.agreement import MESSAGE, Agreement, Result, Terms, agree, random_order, tag_bytes
from lingqu.psi.ecdh import Intersection
from lingqu.psi.elements import Elements

NAME = "psi.rr22"
SEED = 16
BLOCK = 16
CHUNK = 1 << 16
"""Blocks, or tags, a message: the peer works on one while the next is on its way."""
_ATTEMPTS = 20

Words = NDArray[np.uint64]
Bytes = NDArray[np.uint8]


def intersect(channel: Channel, own: Elements, terms: Terms) -> Intersection:
    """Intersect this party's set with its peer's; both call it with the same terms.

    The first recipient is the receiver.  Cost: `cost`.  Work: linear in both sizes.
    Memory: about 120 bytes an element of the own set and 60 of the peer's, and 80 MB for the correlations.
    Discloses: both sizes to both; to recipients which of their elements the peer has too.  BadInput when the terms ask
    for the number alone: this protocol tells the receiver more, take psi.ecdh.
    """
    if terms.result is Result.SIZE:
        raise BadInput("psi.rr22 tells the receiver which elements are shared.", "Use psi.ecdh for their number alone.")
    agreement = agree(channel, terms, len(own))
    if channel.party == min(terms.recipients):
        return _receive(channel, own, agreement)
    return _send(channel, own, agreement)


def _code(agreement: Agreement) -> bytes:
    return hashlib.sha256(b"lingqu psi evaluation code" + agreement.salt).digest()[:16]


def _receive(channel: Channel, own: Elements, agreement: Agreement) -> Intersection:
    peer, count = 1 - channel.party, agreement.sizes[1 - channel.party]
    width = tag_bytes(agreement.sizes)
    transfers = connect_receiving(channel)
    keys, values = _core.element_hashes(agreement.salt, own.data, own.offsets)
    columns = _core.okvs_columns(len(own))
    seed, store = _encoded(keys, values, columns)
    a, c = vole.take(transfers, columns, _code(agreement))
    channel.send(peer, seed, Tag.SEED)
    np.bitwise_xor(a, store, out=a)
    for start in range(0, 2 * columns, 2 * CHUNK):
        channel.send(peer, a[start : start + 2 * CHUNK].data.cast("B"), Tag.BLOCKS)
    del a, store
    mine = _core.rr22_tags((seed, agreement.salt, width), keys, values, c, None)
    del c, keys, values
    theirs = np.empty(count * width, np.uint8)
    for start in range(0, count, CHUNK):
        part = theirs[start * width : (start + CHUNK) * width]
        part[:] = np.frombuffer(channel.receive(peer, len(part), Tag.BLOCKS), np.uint8)
    found, matched = _core.shared_tags(mine, theirs, width)
    if peer in agreement.terms.recipients and count:
        channel.send(peer, np.packbits(matched, bitorder="little").data.cast("B"), Tag.BLOCKS)
    return Intersection(int(found.sum()), np.flatnonzero(found))


def _encoded(keys: Words, values: Words, columns: int) -> tuple[bytes, Words]:
    """A seed under which the store can be solved, and the store; a seed fails with probability below 2^-40."""
    for _ in range(_ATTEMPTS):
        seed = secrets.token_bytes(SEED)
        store = _core.okvs_encode(seed, keys, values, columns, secrets.token_bytes(16))
        if store is not None:
            return seed, store
    raise Unavailable("No store holds these elements.", "Run it again; if it comes back, report it.")


def _send(channel: Channel, own: Elements, agreement: Agreement) -> Intersection:
    peer, count = 1 - channel.party, agreement.sizes[1 - channel.party]
    width = tag_bytes(agreement.sizes)
    transfers = connect_sending(channel)
    columns = _core.okvs_columns(count)
    store = vole.give(transfers, columns, _code(agreement))
    low, high = (int(word) for word in transfers.delta)
    order = random_order(len(own))
    keys, values = _core.element_hashes(agreement.salt, own.data, own.offsets)
    seed = bytes(channel.receive(peer, SEED, Tag.SEED))
    for start in range(0, 2 * columns, 2 * CHUNK):
        part = store[start : start + 2 * CHUNK]
        sent = np.frombuffer(channel.receive(peer, 8 * len(part), Tag.BLOCKS), np.uint64)
        part[:] = _core.gf128_scale_add((low, high), sent, part)
    tags = _core.rr22_tags((seed, agreement.salt, width), keys, values, store, (low, high))
    del store, keys, values
    shuffled = tags.reshape(-1, width)[order].reshape(-1)
    for start in range(0, len(own), CHUNK):
        channel.send(peer, shuffled[start * width : (start + CHUNK) * width].data.cast("B"), Tag.BLOCKS)
    if channel.party not in agreement.terms.recipients:
        return Intersection(None, None)
    if not len(own):
        return Intersection(0, np.zeros(0, np.int64))
    marks = np.frombuffer(channel.receive(peer, -(-len(own) // 8), Tag.BLOCKS), np.uint8)
    matched = np.unpackbits(marks, count=len(own), bitorder="little").astype(bool)
    return Intersection(int(matched.sum()), np.sort(order[matched]))


def cost(receiver: int, sender: int, recipients: int = 1) -> Cost:
    """Rounds and bytes for sets of these sizes; with two recipients the sender gets a bit an element."""
    columns = _core.okvs_columns(receiver)
    both = recipients == 2 and sender > 0
    size = 2 * MESSAGE + costs.one_way_cost().bytes + vole.cost(columns).bytes
    size += SEED + BLOCK * columns + tag_bytes((receiver, sender)) * sender + (-(-sender // 8) if both else 0)
    return Cost(5 + (sender > 0) + both, size)
