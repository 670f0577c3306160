"""Where compute parties meet parties that do not compute: their consent before the reveal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lingqu.engine.release import Layout
from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import ProtocolViolation
from lingqu.share.outside import Door

MAX_LAYOUT = 1 << 20


@dataclass(frozen=True)
class Outside:
    """A compute party's side.

    door: the mechanism's.  channel: of all parties.  places: indices of the outside parties.
    """

    door: Door
    channel: Channel
    places: Sequence[int]

    def consent(self, layout: Layout) -> None:
        """Say that this party's own gate let the result pass, and wait until every outside party's gate did.

        Cost: 2 rounds, the layout to each outside party.  Discloses: the layout, which the plan fixes.
        """
        data = layout.canonical()
        for place in self.places:
            self.channel.send(place, data, Tag.DOCUMENT)
        for place in self.places:
            self.channel.receive(place, 0, Tag.DOCUMENT)


def await_consent(channel: Channel, count: int) -> Layout:
    """At an outside party: wait until every compute party has passed its gate, and learn what will be opened.

    count: of compute parties.  ProtocolViolation when they do not tell the same.
    """
    told = [channel.receive_document(party, MAX_LAYOUT) for party in range(count)]
    if len(set(told)) != 1:
        raise ProtocolViolation(
            "The compute parties would open different things.", "Run the job again; report it if it happens twice."
        )
    return Layout.parse(told[0])


def give_consent(channel: Channel, count: int) -> None:
    """At an outside party: its own gate has let the result pass."""
    for party in range(count):
        channel.send(party, b"", Tag.DOCUMENT)
