"""psi.rr22: intersection by an oblivious pseudorandom function from a key-value store and silent linear evaluation.

The receiver holds a and c, the sender delta and b, with c = a delta + b.  The receiver encodes its set as a store p
with Decode(p, y) = H(y) and sends a + p.  The sender's store b + delta (a + p) = c + delta p gives for any x the value
Decode(c, x) + delta Decode(p, x), from which it subtracts delta H(x): for a y of the receiver's set that leaves
Decode(c, y), which the receiver knows; for all others it is hidden by delta.  Tags are hashes of these values, and come
in an order that depends on them alone.
Source: Raghuraman, Rindal (CCS 2022), section 4; store: Bienstock et al. (USENIX Security 2023).
Adversary: semi-honest, one of two.  Assumption: LPN with regular noise, CDH for base transfers, hashes random oracles.

psi.rr22.malicious is the same against a malicious party, with abort: checked transfers and linear evaluations, tags of
32 bytes from a random oracle that takes the whole digest of the element, and a value that both draw after the store is
fixed (Rindal, Schoppmann, EUROCRYPT 2021, section 4; Raghuraman, Rindal, section 4).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import BadInput, ProtocolViolation, Unavailable
from lingqu.kinds.mechanism import Cost
from lingqu.ot import vole
from lingqu.psi.agreement import MESSAGE, Agreement, Result, Terms, agree, tag_bytes
from lingqu.psi.elements import Elements
from lingqu.psi.heard import Heard

NAME = "psi.rr22"
MALICIOUS = "psi.rr22.malicious"
SEED = 16
BLOCK = 16
COMMITMENT = 32
ORACLE_TAG = 32
CHUNK = 1 << 16
"""Blocks, or tags, a message: the peer works on one while the next is on its way."""
_ATTEMPTS = 20

Words = NDArray[np.uint64]
Bytes = NDArray[np.uint8]
Hashes = tuple[Words, Words, NDArray[np.uint32]]
"""Keys, values, and which element each pair is of."""


def exchange(channel: Channel, own: Elements, terms: Terms) -> Heard | None:
    """All messages of an intersection with the peer's set; both call it with the same terms.

    What a recipient is left with is compared afterwards, so that the peer sees nothing that waits for it; None at a
    party that learns nothing.  Where both are recipients, the receiver has compared before it sends its marks.
    The first recipient is the receiver.  Cost: `cost`.  Work: linear in both sizes.
    Memory: about 120 bytes an element of the own set and 70 of the peer's, and 40 MB for the correlations.
    Discloses: both sizes to both; to recipients which of their elements the peer has too.  BadInput when the terms ask
    for the number alone: this protocol tells the receiver more, take psi.ecdh.
    """
    if terms.result is Result.SIZE:
        raise BadInput("psi.rr22 tells the receiver which elements are shared.", "Use psi.ecdh for their number alone.")
    safe = terms.protocol == MALICIOUS
    if safe and len(terms.recipients) == 2:
        raise BadInput(
            "psi.rr22.malicious tells one party: nothing binds a malicious receiver to the marks that it sends on.",
            "Name one recipient, or run it once in each direction.",
        )
    agreement = agree(channel, terms, len(own))
    if channel.party == min(terms.recipients):
        return _receive(channel, own, agreement, safe)
    return _send(channel, own, agreement, safe)


def _code(agreement: Agreement) -> bytes:
    return hashlib.sha256(b"lingqu psi evaluation code" + agreement.salt).digest()[:16]


def _width(sizes: tuple[int, int], safe: bool) -> int:
    return ORACLE_TAG if safe else tag_bytes(sizes)


def _receive(channel: Channel, own: Elements, agreement: Agreement, safe: bool) -> Heard:
    peer, count = 1 - channel.party, agreement.sizes[1 - channel.party]
    width = _width(agreement.sizes, safe)
    columns = _core.okvs_columns(len(own))
    with ThreadPoolExecutor(1) as other:
        encoding = other.submit(_prepared, own, agreement.salt, columns)
        taken = vole.start_taking(channel, columns, _code(agreement), safe)
        promised = bytes(channel.receive(peer, COMMITMENT, Tag.SEED)) if safe else b""
        (keys, values, which), seed, store = encoding.result()
    del encoding
    drawn = secrets.token_bytes(BLOCK) if safe else b""
    channel.send(peer, seed + (drawn + taken.challenge() if safe else b""), Tag.SEED)
    hidden = taken.hide(store)
    del store
    for start in range(0, 2 * columns, 2 * CHUNK):
        channel.send(peer, hidden[start : start + 2 * CHUNK].data.cast("B"), Tag.BLOCKS)
    del hidden
    if safe:
        expected = taken.expected()
        answer = bytes(channel.receive(peer, vole.PROOF + BLOCK, Tag.SEED))
        vole.compare(channel, expected, answer[: vole.PROOF])
        drawn = _joint(channel, drawn, answer[vole.PROOF :], promised)
    tags = _core.rr22_tags((seed, width), (keys, values), taken.c, None, drawn or None)
    del taken, keys, values
    theirs = np.empty(count * width, np.uint8)
    for start in range(0, len(theirs), CHUNK * width):  # all of them before any is compared: the peer sees this pace
        part = theirs[start : start + CHUNK * width]
        part[:] = np.frombuffer(channel.receive(peer, len(part), Tag.BLOCKS), np.uint8)
    if peer not in agreement.terms.recipients:
        return Heard(which, width, tags, theirs)
    meeting = _core.TagMeeting(tags, width)
    matched = meeting.meet(theirs)
    if count:
        channel.send(peer, np.packbits(matched, bitorder="little").data.cast("B"), Tag.BLOCKS)
    return Heard.marked(which, meeting.found())


def _prepared(own: Elements, salt: bytes, columns: int) -> tuple[Hashes, bytes, Words]:
    keys, values, which = _core.sorted_hashes(salt, own.data, own.offsets)
    return (keys, values, which), *encoded(keys, values, columns)


def encoded(keys: Words, values: Words, columns: int) -> tuple[bytes, Words]:
    """A seed under which the store can be solved, and the store; a seed fails with probability below 2^-40."""
    for _ in range(_ATTEMPTS):
        seed = secrets.token_bytes(SEED)
        store = _core.okvs_encode(seed, keys, values, columns, secrets.token_bytes(16))
        if store is not None:
            return seed, store
    raise Unavailable("No store holds these elements.", "Run it again; if it comes back, report it.")


def _promise(value: bytes) -> bytes:
    return hashlib.sha256(b"lingqu psi oracle promise" + value).digest()


def _joint(channel: Channel, own: bytes, theirs: bytes, promised: bytes) -> bytes:
    """What both drew, once the sender shows what it had promised before the store came."""
    if not hmac.compare_digest(_promise(theirs), promised):
        name = channel.parties[1 - channel.party]
        raise ProtocolViolation(f"{name} shows another value than it promised.", "Check its software.", party=name)
    return (np.frombuffer(own, np.uint8) ^ np.frombuffer(theirs, np.uint8)).tobytes()


def _send(channel: Channel, own: Elements, agreement: Agreement, safe: bool) -> Heard | None:
    peer, count = 1 - channel.party, agreement.sizes[1 - channel.party]
    width = _width(agreement.sizes, safe)
    columns = _core.okvs_columns(count)
    given = vole.start_giving(channel, columns, _code(agreement), safe)
    low, high = (int(word) for word in given.delta)
    promised = secrets.token_bytes(BLOCK)
    if safe:
        channel.send(peer, _promise(promised), Tag.SEED)
    keys, values, which = _core.sorted_hashes(agreement.salt, own.data, own.offsets)
    opening = bytes(channel.receive(peer, SEED + (BLOCK + vole.CHALLENGE if safe else 0), Tag.SEED))
    seed, drawn = opening[:SEED], opening[SEED : SEED + BLOCK]
    proof = given.proof(opening[SEED + BLOCK :]) if safe else b""
    store = given.b
    for start in range(0, 2 * columns, 2 * CHUNK):
        part = store[start : start + 2 * CHUNK]
        sent = np.frombuffer(channel.receive(peer, 8 * len(part), Tag.BLOCKS), np.uint64)
        part[:] = _core.gf128_scale_add((low, high), sent, part)
    if safe:
        channel.send(peer, proof + promised, Tag.SEED)
        drawn = (np.frombuffer(drawn, np.uint8) ^ np.frombuffer(promised, np.uint8)).tobytes()
    tags = _core.rr22_tags((seed, width), (keys, values), store, (low, high), drawn or None)
    del store, given, keys, values
    tags, order = _core.sorted_tags(tags, width)
    for start in range(0, len(own), CHUNK):
        channel.send(peer, tags[start * width : (start + CHUNK) * width].data.cast("B"), Tag.BLOCKS)
    if channel.party not in agreement.terms.recipients:
        return None
    if not len(own):
        return Heard.marked(which, np.zeros(0, bool))
    marks = np.frombuffer(channel.receive(peer, -(-len(own) // 8), Tag.BLOCKS), np.uint8)
    matched = np.unpackbits(marks, count=len(own), bitorder="little").astype(bool)
    return Heard.marked(which[order], matched)


def cost(receiver: int, sender: int, recipients: int = 1, safe: bool = False) -> Cost:
    """Rounds and bytes for sets of these sizes; with two recipients the sender gets a bit an element."""
    columns = _core.okvs_columns(receiver)
    both = recipients == 2 and sender > 0
    size = 2 * MESSAGE + vole.start_cost(columns, safe).bytes
    size += SEED + BLOCK * columns + _width((receiver, sender), safe) * sender + (-(-sender // 8) if both else 0)
    if safe:
        size += COMMITMENT + BLOCK + vole.CHALLENGE + vole.PROOF + BLOCK
    return Cost(5 + (safe or sender > 0) + both, size)
