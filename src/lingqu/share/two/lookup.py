"""A lookup with hidden hits between two parties: circuit PSI with the keeper's rows as payload.

The asker puts its keys into a cuckoo table, a bin each, and the rest of the bins stay empty.  An oblivious pseudorandom
function gives it t = F(x, i) for every key x that the i-th hash put into its bin, and the keeper all three of every key
of its own.  The keeper draws a random row for each bin, adds its own row of y to that of each of y's three bins, masks
the sums by words that t(y, i) expands to, and sends a store that has them under (y, i).  What the asker decodes for a
bin and the keeper's random row are a sharing of the row where the key is kept, and of random words elsewhere; the
check words of a bin are then compared under shares.
Why nobody learns anything: the keeper receives an encoding that the function's masks make uniform.  For the asker every
value of the store is masked by a t that it lacks, or, for the one (x, i) of a bin that it has, by the bin's random row,
which is used for no other of its bins; so the store is uniform whatever its keys are, and so is all that it decodes.
Source: Pinkas, Schneider, Tkachenko, Yanai (EUROCRYPT 2019) for the whole; the function from silent linear evaluation
and a store after Rindal, Schoppmann (EUROCRYPT 2021) and Raghuraman, Rindal (CCS 2022); payload as Chandran, Gupta,
Shah (PETS 2022) attach it.  Semi-honest, one of two; the assumptions of `lingqu.ot`, and SHA-256 as a random oracle.
"""

from __future__ import annotations

import os
import secrets
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from lingqu._core import (
    Prg,
    cuckoo_bins,
    cuckoo_places,
    cuckoo_table,
    element_hashes,
    few_answer_bytes,
    gf128_scale_add,
    masks_under,
    okvs_columns,
    rows_decode,
    rr22_tags,
    vole_sizes,
)
from lingqu.kinds.channel import Tag
from lingqu.kinds.errors import Unavailable
from lingqu.ot import costs, vole
from lingqu.share.api import Words
from lingqu.share.lookups import SEED_BYTES, Kept, Lookup, asked_keys, encoded, kept_rows
from lingqu.share.outline import WORD
from lingqu.share.two.session import Session

SALT_BYTES = 32
HASHES = 3
BLOCK = 16
CHUNK = 1 << 16
"""Blocks a message: the peer works on one while the next is on its way."""
EXPANSION = b"lingqu lookups 1"
"""The public key under which outputs of the function expand to masks."""
_CODE = b"lingqu lookups c"
_ATTEMPTS = 20
Places = NDArray[np.int64]


def look_up(s: Session, lookup: Lookup, asked: Words | None, kept: Kept | None) -> tuple[list[Words], Places | None]:
    """This party's share of the pieces of the rows, flat and by planes of bins, and at the asker the bin of every key.

    Cost: `messages`.  Discloses: nothing beyond the sizes.
    """
    bins = cuckoo_bins(lookup.asked)
    places: Places | None = None
    if s.party == lookup.asker:
        planes, places = _ask(s, lookup, asked_keys(lookup, asked), bins)
    else:
        planes = _keep(s, lookup, kept, bins)
    cut = [planes[p.start : p.stop].reshape(-1) & np.uint64((1 << p.width) - 1) for p in lookup.pieces]
    return cut, places


def _hashed(salt: bytes, keys: Words) -> tuple[Words, Words]:
    """Blocks of (key, 0), (key, 1), (key, 2), ...: where they stand in stores and tables, and what they encode to."""
    data = np.empty((len(keys) // 2, HASHES, BLOCK + 1), np.uint8)
    data[:, :, :BLOCK] = keys.view(np.uint8).reshape(-1, 1, BLOCK)
    data[:, :, BLOCK] = np.arange(HASHES)
    offsets = np.arange(0, data.size + 1, BLOCK + 1)
    return element_hashes(salt, data.reshape(-1), offsets)


def _ask(s: Session, lookup: Lookup, keys: Words, bins: int) -> tuple[Words, Places]:
    salt, blocks, values, table = _placed(keys, bins)
    s.channel.send(s.peer, salt, Tag.SEED)
    taken = table >= 0
    entries = table[taken]
    blocks, values = (np.ascontiguousarray(words.reshape(-1, 2)[entries]).reshape(-1) for words in (blocks, values))
    outputs = _evaluated(s, blocks, values)
    seed = bytes(s.channel.receive(s.peer, SEED_BYTES, Tag.SEED))
    columns = okvs_columns(HASHES * lookup.kept)
    store = np.empty((lookup.width, columns), np.uint64)
    for plane in store:
        plane[:] = s.receive(columns, Tag.BITS)
    found = rows_decode(seed, blocks, store.reshape(-1), lookup.width).reshape(lookup.width, -1)
    del store
    masks = masks_under(EXPANSION, outputs, lookup.width, True).reshape(lookup.width, -1)
    found[lookup.integers] -= masks[lookup.integers]
    for rest in (slice(0, lookup.integers.start), slice(lookup.integers.stop, lookup.width)):
        found[rest] ^= masks[rest]
    planes = Prg(os.urandom(16)).words(lookup.width * bins).reshape(lookup.width, bins)
    planes[:, taken] = found
    places = np.empty(lookup.asked, np.int64)
    places[entries // HASHES] = np.flatnonzero(taken)
    return planes, places


def _placed(keys: Words, bins: int) -> tuple[bytes, Words, Words, Places]:
    """A salt under which the keys have a cuckoo table, their hashes, and the table.

    One salt fails with probability below 2^-40, so that its choice tells nothing of the keys.
    """
    for _ in range(_ATTEMPTS):
        salt = secrets.token_bytes(SALT_BYTES)
        blocks, values = _hashed(salt, keys)
        table = cuckoo_table(np.ascontiguousarray(blocks[::2]), bins, os.urandom(16))
        if table is not None:
            return salt, blocks, values, table
    raise Unavailable("No table holds these keys.", "Run it again; if it comes back, report it.")


def _evaluated(s: Session, blocks: Words, values: Words) -> Words:
    """The function at the asker's entries, two words each."""
    columns = okvs_columns(len(blocks) // 2)
    with ThreadPoolExecutor(1) as other:
        encoding = other.submit(encoded, blocks, np.concatenate([values[::2], values[1::2]]), 2)
        taken = vole.start_taking(s.channel, columns, _CODE)
        seed, store = encoding.result()
    hidden = taken.hide(np.ascontiguousarray(store.reshape(2, columns).T).reshape(-1))
    s.channel.send(s.peer, seed, Tag.SEED)
    for start in range(0, 2 * columns, 2 * CHUNK):
        s.channel.send(s.peer, hidden[start : start + 2 * CHUNK].data.cast("B"), Tag.BLOCKS)
    return rr22_tags((seed, BLOCK), (blocks, values), taken.c, None).view(np.uint64)


def _keep(s: Session, lookup: Lookup, kept: Kept | None, bins: int) -> Words:
    keys, rows = kept_rows(lookup, kept)
    salt = bytes(s.channel.receive(s.peer, SALT_BYTES, Tag.SEED))
    blocks, values = _hashed(salt, keys)
    columns = okvs_columns(lookup.asked)
    given = vole.start_giving(s.channel, columns, _CODE)
    store, (low, high) = given.b, (int(word) for word in given.delta)
    seed = bytes(s.channel.receive(s.peer, SEED_BYTES, Tag.SEED))
    for start in range(0, 2 * columns, 2 * CHUNK):
        part = store[start : start + 2 * CHUNK]
        sent = np.frombuffer(s.channel.receive(s.peer, 8 * len(part), Tag.BLOCKS), np.uint64)
        part[:] = gf128_scale_add((low, high), sent, part)
    outputs = rr22_tags((seed, BLOCK), (blocks, values), store, (low, high)).view(np.uint64)
    del store, given, values
    planes = Prg(os.urandom(16)).words(lookup.width * bins).reshape(lookup.width, bins)
    hints = masks_under(EXPANSION, outputs, lookup.width, True).reshape(lookup.width, -1)
    places = cuckoo_places(np.ascontiguousarray(blocks[::2]), bins)
    for place in range(lookup.width):
        of_bins = planes[place][places]
        if place < lookup.integers.start:
            hints[place] ^= of_bins
        elif place < lookup.integers.stop:
            hints[place] += of_bins + np.repeat(rows[place - lookup.integers.start], HASHES)
        else:
            hints[place] ^= of_bins ^ np.repeat(rows[place - lookup.integers.start], HASHES)
    seed, hidden = encoded(blocks, hints.reshape(-1), lookup.width)
    s.channel.send(s.peer, seed, Tag.SEED)
    for plane in hidden.reshape(lookup.width, -1):
        s.send(plane, Tag.BITS)
    integers = planes[lookup.integers]
    np.negative(integers, out=integers)
    return planes


def messages(lookup: Lookup) -> list[tuple[int, int]]:
    """(sender, bytes) of what is sent in each round, which waits for the one before."""
    asker, keeper = lookup.asker, lookup.keeper
    columns = okvs_columns(lookup.asked)
    transfers, size = vole_sizes(columns)
    return [
        (asker, SALT_BYTES + costs.POINT_BYTES),
        (keeper, costs.POINTS_BYTES),
        (asker, few_answer_bytes(transfers, False)),
        (keeper, size),
        (asker, SEED_BYTES + BLOCK * columns),
        (keeper, SEED_BYTES + WORD * lookup.width * okvs_columns(HASHES * lookup.kept)),
    ]
