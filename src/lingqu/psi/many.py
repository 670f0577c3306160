"""psi.many: which elements all of three or more parties have, from programmed pseudorandom functions and zero sharing.

Every two parties share a key, and the sum over its peers of F_key(x) is a party's share of x: the shares of all parties
sum to zero.  Each party programs an oblivious pseudorandom function towards one of them, the leader, so that the leader
reads the party's share of x where the party has x, and something random where it has not.  The leader's sum, its own
share included, is zero exactly for what all have.
Source: Kolesnikov, Matania, Pinkas, Rosulek, Trieu (CCS 2017), section 5 and figure 8, with conditional zero sharing;
the function is psi.rr22's (Raghuraman, Rindal, CCS 2022), programmed by a key-value store of Bienstock et al. (2023).
Adversary: semi-honest in the augmented model, any number short of all: who colludes may choose its sets, so a coalition
with the leader learns which of the leader's elements all others have.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Buffer, Channel, Tag, Traffic
from lingqu.kinds.errors import BadInput, ProtocolViolation, Refused
from lingqu.kinds.mechanism import Cost
from lingqu.ot import vole
from lingqu.psi.agreement import Result, Terms
from lingqu.psi.elements import Elements
from lingqu.psi.heard import Heard
from lingqu.psi.rr22 import BLOCK, CHUNK, SEED, Hashes, encoded

NAME = "psi.many"
HELLO = 32 + 8 + 24
COUNT = 8
LEAST, MOST = 3, 16

Words = NDArray[np.uint64]


class Pair:
    """The channel between this party and one other, as a channel of two; who has the lower index is party 0."""

    def __init__(self, channel: Channel, peer: int) -> None:
        self._channel = channel
        self._both = tuple(sorted((channel.party, peer)))

    @property
    def party(self) -> int:
        """This party's index among the two."""
        return self._both.index(self._channel.party)

    @property
    def parties(self) -> tuple[str, ...]:
        """Both names."""
        return tuple(self._channel.parties[place] for place in self._both)

    @property
    def traffic(self) -> Traffic:
        """Of the channel beneath, all parties together."""
        return self._channel.traffic

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        """As a channel's."""
        self._channel.send(self._both[to], data, tag)

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        """As a channel's."""
        return self._channel.receive(self._both[sender], size, tag)

    def receive_document(self, sender: int, limit: int) -> bytes:
        """As a channel's."""
        return self._channel.receive_document(self._both[sender], limit)

    def close(self) -> None:
        """As a channel's."""
        self._channel.close()


@dataclass(frozen=True)
class _Meeting:
    """What all agreed on.  keys: shared with each peer, by its index; nobody else knows them."""

    sizes: tuple[int, ...]
    salt: bytes
    keys: dict[int, bytes]

    def __repr__(self) -> str:
        return f"_Meeting(sizes={self.sizes})"


def exchange(channel: Channel, own: Elements, terms: Terms) -> Heard | None:
    """All messages of an intersection of this party's set with all others'; all call it with the same terms.

    What a recipient is left with tells what all have; None at a party that learns nothing.
    terms.recipients: one party, the leader, or all, and then party 0 leads.  Cost: `cost`.  Memory and work: those of
    psi.rr22 for each pair with the leader.
    Discloses: every size to all; to recipients which of their elements all have.
    BadInput for other recipients or numbers of parties, Refused (term "set-size") for more elements than agreed.
    """
    every = range(len(channel.parties))
    if not LEAST <= len(every) <= MOST or terms.result is not Result.ELEMENTS:
        raise BadInput(
            f"psi.many gives {LEAST} to {MOST} parties the elements that all have.",
            "Take psi.rr22 or psi.ecdh for two.",
        )
    told = set(terms.recipients)
    if told != set(every) and (len(told) != 1 or not told <= set(every)):
        raise BadInput("One party learns the result, or all do.", "Name one recipient or all parties.")
    meeting = _meet(channel, terms, len(own))
    leader = min(terms.recipients)
    hashes = _core.sorted_hashes(meeting.salt, own.data, own.offsets)
    keys, _, which = hashes
    share = np.zeros_like(keys)
    for key in meeting.keys.values():
        share ^= _core.blocks_under(key, keys)
    if channel.party != leader:
        _program(Pair(channel, leader), meeting, channel.party, leader, hashes, share)
        return _told(channel, hashes, leader) if channel.party in terms.recipients else None
    total = _read(channel, hashes, meeting, share)
    found = np.asarray(~total.reshape(-1, 2).any(axis=1))
    if len(terms.recipients) > 1:
        _tell(channel, keys.reshape(-1, 2)[found])
    return Heard.marked(which, found)


def _meet(channel: Channel, terms: Terms, size: int) -> _Meeting:
    """Exchange terms, sizes and randomness with everyone, then a key with each.  2 rounds."""
    if size > terms.largest:
        raise Refused(f"{size} elements are more than the agreed {terms.largest}.", "Agree on more.", term="set-size")
    others = [peer for peer in range(len(channel.parties)) if peer != channel.party]
    names = "\0".join(channel.parties).encode()
    subject = hashlib.sha256(b"lingqu psi many 1" + names + b"\0" + terms.canonical()).digest()
    hellos = {channel.party: subject + size.to_bytes(8, "little") + secrets.token_bytes(24)}
    for peer in others:
        channel.send(peer, hellos[channel.party], Tag.SEED)
    for peer in others:
        hellos[peer] = bytes(channel.receive(peer, HELLO, Tag.SEED))
        name, other = channel.parties[peer], int.from_bytes(hellos[peer][32:40], "little")
        if not hmac.compare_digest(hellos[peer][:32], subject):
            raise ProtocolViolation(
                f"{name} names other terms for the intersection.", "Agree on parties, forms and recipients.", party=name
            )
        if other > terms.largest:
            raise Refused(
                f"{name} brings {other} elements, more than the agreed {terms.largest}.",
                "Agree on more.",
                term="set-size",
            )
    every = b"".join(hellos[party] for party in range(len(channel.parties)))
    sizes = tuple(int.from_bytes(hellos[party][32:40], "little") for party in range(len(channel.parties)))
    for party, (brought, agreed) in enumerate(zip(sizes, terms.sizes or sizes, strict=True)):
        if brought != agreed:
            name = channel.parties[party]
            raise ProtocolViolation(
                f"{name} brings {brought} elements, {agreed} are agreed.", "Check its software.", party=name
            )
    digest = hashlib.sha256(b"lingqu psi many salt 1" + every).digest()
    return _Meeting(sizes, digest, _shared_keys(channel, others, digest))


def _shared_keys(channel: Channel, others: list[int], digest: bytes) -> dict[int, bytes]:
    """A key with each peer, drawn by the lower index; both show that they saw the same hellos."""
    keys = {}
    for peer in others:
        if channel.party < peer:
            keys[peer] = secrets.token_bytes(SEED)
        channel.send(peer, digest + keys.get(peer, b""), Tag.SEED)
    for peer in others:
        drawn = bytes(channel.receive(peer, len(digest) + (SEED if peer < channel.party else 0), Tag.SEED))
        if not hmac.compare_digest(drawn[: len(digest)], digest):
            name = channel.parties[peer]
            raise ProtocolViolation(f"{name} saw other sizes or randomness.", "End the session.", party=name)
        keys.setdefault(peer, drawn[len(digest) :])
    return keys


def _code(meeting: _Meeting, party: int) -> bytes:
    return hashlib.sha256(b"lingqu psi many code" + bytes([party]) + meeting.salt).digest()[:16]


def _send(pair: Pair, words: Words) -> None:
    for start in range(0, len(words), 2 * CHUNK):
        pair.send(1 - pair.party, words[start : start + 2 * CHUNK].data.cast("B"), Tag.BLOCKS)


def _receive(pair: Pair, columns: int) -> Words:
    words = np.empty(2 * columns, np.uint64)
    for start in range(0, len(words), 2 * CHUNK):
        part = words[start : start + 2 * CHUNK]
        part[:] = np.frombuffer(pair.receive(1 - pair.party, 8 * len(part), Tag.BLOCKS), np.uint64)
    return words


def _read(channel: Channel, hashes: Hashes, meeting: _Meeting, share: Words) -> Words:
    """At the leader: the sum of what every party programmed for each of its elements, and of its own share."""
    keys, values, which = hashes
    columns = _core.okvs_columns(len(which))
    seed, store = encoded(keys, values, columns)
    total = share.copy()
    for peer in sorted(meeting.keys):
        pair = Pair(channel, peer)
        taken = vole.start_taking(pair, columns, _code(meeting, peer))
        pair.send(1 - pair.party, seed, Tag.SEED)
        _send(pair, taken.hide(store))
        total ^= _core.rr22_tags((seed, BLOCK), (keys, values), taken.c, None).view(np.uint64)
        del taken
        other = bytes(pair.receive(1 - pair.party, SEED, Tag.SEED))
        total ^= _core.okvs_decode(other, keys, _receive(pair, _core.okvs_columns(meeting.sizes[peer])))
    return total


def _program(pair: Pair, meeting: _Meeting, party: int, leader: int, hashes: Hashes, share: Words) -> None:
    """At the others: this party's share of each of its elements, under the function that the leader can evaluate."""
    keys, values, which = hashes
    columns = _core.okvs_columns(meeting.sizes[leader])
    given = vole.start_giving(pair, columns, _code(meeting, party))
    low, high = (int(word) for word in given.delta)
    seed = bytes(pair.receive(1 - pair.party, SEED, Tag.SEED))
    store = _core.gf128_scale_add((low, high), _receive(pair, columns), given.b)
    masks = _core.rr22_tags((seed, BLOCK), (keys, values), store, (low, high)).view(np.uint64)
    del store, given
    own, programmed = encoded(keys, masks ^ share, _core.okvs_columns(len(which)))
    pair.send(1 - pair.party, own, Tag.SEED)
    _send(pair, programmed)


def _tell(channel: Channel, found: Words) -> None:
    """The digests of what all have, to everyone, in an order that depends on them alone."""
    message = np.ascontiguousarray(found)
    for peer in range(len(channel.parties)):
        if peer != channel.party:
            channel.send(peer, len(found).to_bytes(COUNT, "little"), Tag.BLOCKS)
            channel.send(peer, message.data.cast("B") if len(found) else b"", Tag.BLOCKS)


def _told(channel: Channel, hashes: Hashes, leader: int) -> Heard:
    """This party's elements among the digests; ProtocolViolation for digests that it has not."""
    keys, _, which = hashes
    name = channel.parties[leader]
    count = int.from_bytes(channel.receive(leader, COUNT, Tag.BLOCKS), "little")
    if count > len(which):
        raise ProtocolViolation(f"{name} finds more elements than this party has.", "Check its software.", party=name)
    received = np.frombuffer(channel.receive(leader, BLOCK * count, Tag.BLOCKS), np.uint8)
    meeting = _core.TagMeeting(keys.view(np.uint8), BLOCK)
    known = meeting.meet(_core.sorted_tags(received, BLOCK)[0])
    found = meeting.found()
    if not known.all() or int(found.sum()) != count:
        raise ProtocolViolation(f"{name} finds elements that this party has not.", "Check its software.", party=name)
    return Heard.marked(which, found)


def cost(sizes: tuple[int, ...], leader: int, found: int | None = None) -> Cost:
    """Of all parties together.  found: how many elements all have, where all are told; None for the leader alone."""
    parties = len(sizes)
    pairs = parties * (parties - 1) // 2
    total = 2 * pairs * (HELLO + 32) + pairs * SEED
    columns = _core.okvs_columns(sizes[leader])
    first = vole.start_cost(columns)
    for party, size in enumerate(sizes):
        if party != leader:
            total += first.bytes + 2 * SEED + BLOCK * (columns + _core.okvs_columns(size))
    if found is not None:
        total += (parties - 1) * (COUNT + BLOCK * found)
    # A party's base elements are on their way while the leader is still busy with the party before.
    return Cost(3 + (first.rounds + 1) * (parties - 1) + (found is not None), total)
