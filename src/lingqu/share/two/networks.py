"""Permutations that one party knows, made ahead for shared rows to move by: networks of switches, a transfer each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.channel import Tag
from lingqu.share.api import Words
from lingqu.share.two.link import Link
from lingqu.share.two.needs import LANES, SWITCHES, Move, Need, Piece, Source


def make_order(link: Link, source: Source, need: Need) -> Piece:
    """One permutation and its tables: at the holder (order, excess of each table); at the other labels in and out.

    The holder's order is uniform.  For each switch of a network it gets, by a correlated transfer with its setting as
    the choice, what the permuted row exceeds the other party's label by.
    Cost: for each switch a bit from the holder, and `width` bits for each column from the other.
    Source: Mohassel, Sadeghian (EUROCRYPT 2013), section 3, with one word a switch and column, as labels' sums stay;
    Chase, Ghosh, Poburinnaya (ASIACRYPT 2020), section 4, for moving shared rows by it.
    """
    rows, holds = need.sizes[0], link.party == need.giver
    order = link.own.permutation(rows) if holds else np.zeros(0, np.uint32)
    first = [np.zeros(0, np.uint64) if holds else _labels(link, rows, move) for move in need.moves]
    last = [np.zeros(rows * move.columns, np.uint64) for move in need.moves] if holds else list(first)
    network = _core.switch_network(rows)
    for inverse in (False, True):
        chosen = [i for i, move in enumerate(need.moves) if move.inverse == inverse]
        if not chosen or rows < 2:
            continue
        settings = np.zeros(0, np.uint8)
        if holds:
            settings = _core.switch_route(np.argsort(order).astype(np.uint32) if inverse else order)
        for start in range(0, len(network) // 2, SWITCHES):
            pairs = network[2 * start : 2 * (start + SWITCHES)]
            part = settings[start : start + SWITCHES]
            passed = _pass(link, source, pairs, part, [(need.moves[i], last[i]) for i in chosen])
            for i, words in zip(chosen, passed, strict=True):
                last[i] = words
    if holds:
        return (order.astype(np.uint64).reshape(-1, 1), *(excess.reshape(-1, 1) for excess in last))
    return tuple(words.reshape(-1, 1) for pair in zip(first, last, strict=True) for words in pair)


def _labels(link: Link, rows: int, move: Move) -> Words:
    return link.own.words(rows * move.columns) & np.uint64((1 << move.width) - 1)


def _pass(
    link: Link,
    source: Source,
    pairs: NDArray[np.uint32],
    settings: NDArray[np.uint8],
    tables: Sequence[tuple[Move, Words]],
) -> list[Words]:
    """Some switches: the tables' labels, or what the rows exceed them by, after them.  2 rounds."""
    count, columns = len(pairs) // 2, sum(move.columns for move, _ in tables)
    holds = len(settings) > 0
    given = source.transfers(link.peer if holds else link.party, -(-count // LANES) * LANES)
    if given.delta is None:
        choices, keys = _core.words_received(given.rows, columns)
        link.send(settings.astype(np.uint64) ^ _core.unpack(choices, len(keys) // columns, 1)[:count], Tag.BITS, 1)
        zero = one = keys.reshape(-1, columns)[:count]
    else:
        zero, one = (x.reshape(-1, columns)[:count] for x in _core.words_sent(given.rows, given.delta, columns))
        flips = link.receive(count, Tag.BITS, 1)
    out, at = [], 0
    for move, words in tables:
        span, xor = slice(at, at + move.columns), move.tag is Tag.BITS
        mine = np.ascontiguousarray(zero[:, span]).reshape(-1)
        at += move.columns
        if given.delta is None:
            said = link.receive(count * move.columns, move.tag, move.width)
            out.append(_core.switch_settle(words, pairs, mine, settings, said, move.columns, xor))
        else:
            other = np.ascontiguousarray(one[:, span]).reshape(-1)
            said, passed = _core.switch_label(words, pairs, mine, other, flips, move.columns, xor)
            link.send(said, move.tag, move.width)
            out.append(passed)
    return out
