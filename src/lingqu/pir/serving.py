"""The server's side of a lookup session."""

from __future__ import annotations

import hmac
from dataclasses import replace

import numpy as np

from lingqu.kinds.channel import Channel, Tag
from lingqu.kinds.errors import ProtocolViolation, Refused
from lingqu.pir.layout import HALVES
from lingqu.pir.table import Table
from lingqu.pir.terms import CHUNK, COUNT, GROUP, HELLO, About, Follows, Spend, Terms, peer_of

POINT = 32


def _free(count: int) -> None:
    """Nothing counts beyond the terms."""


def serve(channel: Channel, table: Table, terms: Terms, spend: Spend = _free, threads: int = 1) -> int:
    """Answer one client until it has asked enough; returns how many queries it made.

    spend: asked before each batch, so that a contract can count and cap uses.
    Cost: see the declaration.  Work: one exponentiation a query, and one pass over the table for up to 16 queries.
    Discloses: to the server how many queries there are and which version the client had; to the client the values of
    the keys it asks for, or their absence.  ProtocolViolation when the client names other terms, sends what is no
    group element or of another size; Refused when it asks more than the terms allow.
    """
    serving = Serving(channel, table, terms, spend, threads)
    serving.open()
    return serving.answer()


class Serving:
    """The server's side in two parts: `open` brings the client to the table's version, `answer` answers it."""

    def __init__(self, channel: Channel, table: Table, terms: Terms, spend: Spend = _free, threads: int = 1) -> None:
        self.channel = channel
        self.peer = peer_of(channel.parties, channel.party)
        self.name = channel.parties[self.peer]
        self.table = table
        self.terms = terms
        self.spend = spend
        self.threads = threads

    def open(self) -> None:
        """Check the terms, and send what leads from the client's version to the table's; nothing of any record."""
        digest, held, version = HELLO.unpack(self.channel.receive(self.peer, HELLO.size, Tag.SEED))
        if not hmac.compare_digest(digest, self.terms.digest()):
            raise ProtocolViolation(f"{self.name} names other terms for the lookup.", "Agree on table and limits.")
        self._bring_up(held, version)

    def answer(self) -> int:
        """Answer batches until the client leaves; how many queries there were."""
        asked = 0
        while True:
            (count,) = COUNT.unpack(self.channel.receive(self.peer, COUNT.size, Tag.SEED))
            if count == 0:
                return asked
            asked += count
            if asked > self.terms.queries:
                raise Refused(
                    f"{self.name} asks for {asked} keys, more than the agreed {self.terms.queries}.",
                    "Ask for fewer, or agree on more.",
                    term="queries",
                )
            self.spend(count)
            self._answer(count)

    def _bring_up(self, held: bytes, version: int) -> None:
        """Describe the table, and send what leads from the client's version to it."""
        about = self.table.about
        if about.layout.value > self.terms.value:
            raise Refused(
                f"The table's values have up to {about.layout.value} bytes.", "Agree on longer values.", term="value"
            )
        if about.layout.hint_bytes > self.terms.hint:
            raise Refused(f"The hint has {about.layout.hint_bytes} bytes.", "Agree on a larger one.", term="hint")
        patches = b"".join(self.table.patches[version:])
        if held == about.table and version == about.version:
            self._send_about(about, Follows.NOTHING, 0)
        elif held == about.table and version < about.version and len(patches) < about.layout.hint_bytes:
            self._send_about(about, Follows.PATCHES, len(patches))
            self._send_chunks(memoryview(patches))
        else:
            self._send_about(about, Follows.HINT, about.layout.hint_bytes)
            step = CHUNK // 2
            for hint in self.table.hints:
                for start in range(0, len(hint), step):
                    rounded = (hint[start : start + step] + np.uint32(1 << 15)) >> np.uint32(16)
                    self.channel.send(self.peer, rounded.astype("<u2").data.cast("B"), Tag.BLOCKS)

    def _send_about(self, about: About, follows: Follows, size: int) -> None:
        self.channel.send(self.peer, replace(about, follows=follows, size=size).encoded(), Tag.BLOCKS)

    def _send_chunks(self, data: memoryview) -> None:
        for start in range(0, len(data), CHUNK):
            self.channel.send(self.peer, data[start : start + CHUNK], Tag.BLOCKS)

    def _answer(self, count: int) -> None:
        blinded = np.frombuffer(self.channel.receive(self.peer, POINT * count, Tag.BLOCKS), np.uint8)
        try:
            evaluated = self.table.evaluate(blinded)
        except ValueError as error:
            raise ProtocolViolation(
                f"{self.name} sent what is no group element: {error}.", "Check its software."
            ) from None
        self.channel.send(self.peer, evaluated.data.cast("B"), Tag.BLOCKS)
        layout = self.table.about.layout
        for start in range(0, count, GROUP):
            queries = min(GROUP, count - start)
            words = np.frombuffer(self.channel.receive(self.peer, layout.query_bytes * queries, Tag.BLOCKS), "<u4")
            for half, asked in enumerate(words.reshape(HALVES, -1)):
                answer = self.table.answer(half, asked, self.threads)
                self.channel.send(self.peer, answer.astype("<u2", copy=False).data.cast("B"), Tag.BLOCKS)
