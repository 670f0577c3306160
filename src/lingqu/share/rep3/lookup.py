"""A lookup with hidden hits among three parties: an asker, a keeper, and the third as helper.

Asker and keeper draw two fresh keys k and k' that the helper does not hold.  The keeper makes a store in which the tag
AES_k(y) of each of its keys has the row of y masked by words of AES_k' of that tag, and sends it to the helper; the
asker sends the helper its own keys' tags.  What the helper decodes and the asker's masks are then a sharing, between
those two, of the row where the key is kept, and of random words elsewhere.  One more message makes it a replicated one,
and the check words are compared with zero under shares.
Why nobody learns anything: tags and masks are pseudorandom to the helper, so every value of the store is, so the store
is uniform whatever its keys are; the tags are distinct random blocks; the helper's view has no other part.  Asker and
keeper receive nothing but shares masked by draws they lack.
Source: the server's place is that of Kamara et al. (FC 2014); shares in place of the intersection after Pinkas et al.
(EUROCRYPT 2019) and, among three, Mohassel, Rindal, Rosulek (CCS 2020); store: Bienstock et al. (USENIX Security 2023).
"""

from __future__ import annotations

import numpy as np

from lingqu._core import blocks_under, masks_under, okvs_columns, rows_decode
from lingqu.kinds.channel import Tag
from lingqu.share.api import Words
from lingqu.share.lookups import SEED_BYTES, Kept, Lookup, asked_keys, encoded, kept_rows
from lingqu.share.rep3.session import BINARY, Group, Parts, Session


def helper_of(lookup: Lookup) -> int:
    """The third party."""
    return 3 - lookup.asker - lookup.keeper


def _common(a: int, b: int) -> int:
    """The index of the key that two parties hold: k_j is held by j - 1 and j."""
    return b if (a + 1) % 3 == b else a


def look_up(s: Session, lookup: Lookup, asked: Words | None, kept: Kept | None) -> list[Parts]:
    """The pieces of the rows, as `Lookup.pieces` has them, each flat and by planes; check words are zero at a hit.

    Cost: 2 rounds; to the helper 8 bytes for every word of the store and 16 for every key asked for, then between
    asker and helper twice the pieces.  Discloses: nothing beyond the sizes.
    """
    helper = helper_of(lookup)
    planes = None
    if s.party == helper:
        planes = _help(s, lookup)
    else:
        drawn = s.draw(_common(lookup.asker, lookup.keeper), 4).tobytes()
        names, masks = drawn[:16], drawn[16:]
        if s.party == lookup.keeper:
            _keep(s, lookup, kept, names, masks)
        else:
            planes = _ask(s, lookup, asked, names, masks)
    return _between(s, _common(lookup.asker, helper), lookup, planes)


def _ask(s: Session, lookup: Lookup, asked: Words | None, names: bytes, masks: bytes) -> Words:
    """Send the helper the tags; the asker's part of the rows."""
    tags = blocks_under(names, asked_keys(lookup, asked))
    s.send(helper_of(lookup), tags, BINARY)
    planes = masks_under(masks, tags, lookup.width, False).reshape(lookup.width, lookup.asked)
    integers = planes[lookup.integers]
    np.negative(integers, out=integers)
    return planes


def _keep(s: Session, lookup: Lookup, kept: Kept | None, names: bytes, masks: bytes) -> None:
    """Send the helper the store."""
    keys, rows = kept_rows(lookup, kept)
    tags = blocks_under(names, keys)
    planes = masks_under(masks, tags, lookup.width, False).reshape(lookup.width, lookup.kept)
    own = planes[len(lookup.check_widths) :]
    own[: lookup.columns] += rows[: lookup.columns]
    own[lookup.columns :] ^= rows[lookup.columns :]
    seed, store = encoded(tags, planes.reshape(-1), lookup.width)
    helper = helper_of(lookup)
    s.channel.send(helper, seed, Tag.SEED)
    for plane in store.reshape(lookup.width, -1):
        s.send(helper, plane, BINARY)


def _help(s: Session, lookup: Lookup) -> Words:
    """Decode the asker's tags in the keeper's store: the helper's part of the rows."""
    columns = okvs_columns(lookup.kept)
    tags = s.receive(lookup.asker, 2 * lookup.asked, BINARY)
    seed = bytes(s.channel.receive(lookup.keeper, SEED_BYTES, Tag.SEED))
    store = np.empty((lookup.width, columns), np.uint64)
    for plane in store:
        plane[:] = s.receive(lookup.keeper, columns, BINARY)
    return rows_decode(seed, tags, store.reshape(-1), lookup.width).reshape(lookup.width, lookup.asked)


def _between(s: Session, index: int, lookup: Lookup, planes: Words | None) -> list[Parts]:
    """As Session.join_pair of every piece, all in one round.  planes: at the two holders of `index`."""
    pieces = [(p, Group(p.tag), (p.stop - p.start) * lookup.asked) for p in lookup.pieces]
    if planes is None:
        return [(s.draw(index + 1, count, p.width), s.draw(index + 2, count, p.width)) for p, _, count in pieces]
    first = s.party == index % 3
    other, peer = (index + 1, index - 1) if first else (index - 1, index)
    drawn, own = [], []
    for piece, group, count in pieces:
        drawn.append(s.draw(other, count, piece.width))
        words = planes[piece.start : piece.stop].reshape(-1) & np.uint64((1 << piece.width) - 1)
        own.append(group.minus(words, drawn[-1]))
        s.send(peer, own[-1], group, piece.width)
    joint = [
        group.plus(words, s.receive(peer, count, group, piece.width))
        for words, (piece, group, count) in zip(own, pieces, strict=True)
    ]
    return [(a, b) if first else (b, a) for a, b in zip(joint, drawn, strict=True)]
