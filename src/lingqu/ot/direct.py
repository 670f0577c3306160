"""As many correlated transfers as a start needs, straight from the base transfers, and linear evaluations of them.

For a session that takes one run of linear evaluations and then ends: a round less than `connect_sending` of
`correlations` and its first extension.  `safe` holds against malicious
parties, with abort (`lingqu-core`, ot/direct.rs).
Source: Masny, Rindal (CCS 2019) for the base transfers; Roy, SoftSpokenOT (CRYPTO 2022).
"""

from __future__ import annotations

import os

import numpy as np

from lingqu._core import FewReceiver, FewSender, few_answer_bytes
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.mechanism import Cost
from lingqu.ot.correlations import Words, checked, one_session
from lingqu.ot.costs import POINT_BYTES, POINTS_BYTES


def send(channel: Channel, count: int, safe: bool = False) -> tuple[Words, Words]:
    """delta, (2,) words, its lowest bit 1; and q, (count, 2), lowest bits 0.  The peer calls `receive`.

    safe: hold against a malicious peer.  ProtocolViolation for elements that are none, and transfers that do not fit
    one set of choices: such a peer guesses bits of delta, and is caught unless all are right.
    Cost: `cost`.  Discloses: nothing.
    """
    peer, label = 1 - channel.party, one_session(channel, channel.party)
    machine = FewSender(os.urandom(32), label)
    channel.send(peer, machine.base_message(), Tag.BLOCKS)
    point = bytes(channel.receive(peer, POINT_BYTES, Tag.BLOCKS))
    answer = bytes(channel.receive(peer, few_answer_bytes(count, safe), Tag.BLOCKS))
    rows = checked(channel, lambda: machine.rows(point, answer, count, safe))
    return np.array(machine.delta, np.uint64), rows.reshape(count, 2)


def receive(channel: Channel, count: int, safe: bool = False) -> Words:
    """t, (count, 2) words, q + b delta with the choice b as its lowest bit."""
    peer = 1 - channel.party
    machine = FewReceiver(os.urandom(32), one_session(channel, peer))
    channel.send(peer, machine.base_message(), Tag.BLOCKS)
    points = bytes(channel.receive(peer, POINTS_BYTES, Tag.BLOCKS))
    answer, rows = checked(channel, lambda: machine.rows(points, count, safe))
    channel.send(peer, answer, Tag.BLOCKS)
    return rows.reshape(count, 2)


def cost(count: int, safe: bool = False) -> Cost:
    """Of both directions together."""
    return Cost(2, POINT_BYTES + POINTS_BYTES + few_answer_bytes(count, safe))
