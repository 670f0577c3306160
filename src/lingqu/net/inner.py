"""The channel of the compute parties alone, within one that outside parties share."""

from __future__ import annotations

from lingqu.kinds.channel import Buffer, Channel, Tag, Traffic
from lingqu.kinds.errors import BadInput


class InnerChannel:
    """A view of the first `count` parties of a channel; it sends to and receives from nobody else.

    Traffic is the whole channel's.  Closing the view closes the channel.
    """

    def __init__(self, channel: Channel, count: int) -> None:
        if not channel.party < count <= len(channel.parties):
            raise BadInput(
                f"Party {channel.party} is none of the first {count} of {len(channel.parties)}.", "Correct the count."
            )
        self._channel = channel
        self._count = count

    @property
    def party(self) -> int:
        """This party's index, the same as in the whole channel."""
        return self._channel.party

    @property
    def parties(self) -> tuple[str, ...]:
        """The names of the compute parties."""
        return self._channel.parties[: self._count]

    @property
    def traffic(self) -> Traffic:
        """What has passed over the whole channel."""
        return self._channel.traffic

    def send(self, to: int, data: Buffer, tag: Tag = Tag.ELEMENTS) -> None:
        """As Channel.send."""
        self._channel.send(self._inside(to), data, tag)

    def receive(self, sender: int, size: int, tag: Tag = Tag.ELEMENTS) -> bytearray:
        """As Channel.receive."""
        return self._channel.receive(self._inside(sender), size, tag)

    def receive_document(self, sender: int, limit: int) -> bytes:
        """As Channel.receive_document."""
        return self._channel.receive_document(self._inside(sender), limit)

    def close(self) -> None:
        """As Channel.close."""
        self._channel.close()

    def _inside(self, party: int) -> int:
        if not 0 <= party < self._count:
            raise BadInput(f"Party {party} does not compute.", "Meet outside parties through the mechanism's door.")
        return party
