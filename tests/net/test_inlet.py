"""An inlet gives the same messages however the bytes arrive and whoever reads them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.kinds.channel import Tag
from lingqu.net.inlet import Inlet
from lingqu.net.mailbox import Message
from lingqu.wire.frames import Control, ForgedSender, FrameDecoder, FrameEncoder

SESSION = bytes(range(16))


class Pieces:
    """A stream whose bytes come in pieces of given sizes, with nothing there after each when nobody waits."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.data = data
        self.sizes = sizes
        self.calls = 0

    def read_some(self, view: memoryview, wait: bool = True) -> int:
        """As Readable.read_some."""
        self.calls += 1
        if not wait and self.calls % 2:
            raise BlockingIOError
        count = min(self.sizes[self.calls % len(self.sizes)], len(view), len(self.data))
        view[:count], self.data = self.data[:count], self.data[count:]
        return count


def framed(*messages: tuple[int, bytes]) -> bytes:
    """Messages (tag, payload) as they travel, the n-th of round n."""
    encoder, parts = FrameEncoder(SESSION, 1, 0), []
    for i, (tag, data) in enumerate(messages):
        round_ = 0 if tag >= Control.HELLO else i + 1
        parts += [part for pair in encoder.frames(tag, round_, data) for part in pair]
    return b"".join(parts)


def taken(inlet: Inlet, count: int, wait: bool) -> list[Message]:
    """So many messages; without waiting the inlet is asked again when it had none."""
    found: list[Message] = []
    while len(found) < count:
        if (message := inlet.next(wait)) is not None:
            found.append(message)
    return found


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.sampled_from([0, 1, 40, 16_344, 65_536, 70_000, (4 << 20) + 5]), min_size=1, max_size=4),
    st.lists(st.sampled_from([1, 39, 40, 41, 1 << 16, 1 << 20, 1 << 23]), min_size=1, max_size=4),
    st.booleans(),
)
def test_messages_do_not_depend_on_how_their_bytes_arrive(lengths: list[int], sizes: list[int], wait: bool) -> None:
    sizes = [max(size, sum(lengths) // 200) for size in sizes]  # so that few calls bring them
    sent = [(int(Tag.BITS), bytes([7 * i % 251]) * length) for i, length in enumerate(lengths)]
    heartbeat = (int(Control.HEARTBEAT), b"")
    data = framed(*(one for message in sent for one in (heartbeat, message)))
    inlet = Inlet(Pieces(data, sizes), FrameDecoder(SESSION, 1, 0))
    found = taken(inlet, len(sent), wait)
    assert [(message.tag, bytes(message.data)) for message in found] == sent
    assert [message.round for message in found] == [2 * i + 2 for i in range(len(sent))]
    assert inlet.partial == 0
    with pytest.raises(EOFError):
        inlet.next(True)


def test_a_small_message_comes_with_its_header_in_one_read() -> None:
    stream = Pieces(framed((int(Tag.BITS), bytes(8)), (int(Tag.BITS), bytes(8))), [1 << 20])
    inlet = Inlet(stream, FrameDecoder(SESSION, 1, 0))
    assert len(taken(inlet, 2, wait=True)) == 2
    assert stream.calls == 1


def test_a_second_greeting_is_refused() -> None:
    inlet = Inlet(Pieces(framed((int(Control.HELLO), b"")), [100]), FrameDecoder(SESSION, 1, 0, name="bee"))
    with pytest.raises(ForgedSender, match="bee greets twice"):
        inlet.next(True)
