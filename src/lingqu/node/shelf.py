"""What one contract's correlations are at one node, and a session that makes some of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from lingqu.engine.supervisor import Worker
from lingqu.kinds.errors import BadInput, LingquError
from lingqu.node.core import Core
from lingqu.node.run import advertised
from lingqu.plan.plan import Plan
from lingqu.share.supplies import Supplier

LOG = logging.getLogger("lingqu.node.supplies")
FIRST_PAUSE = 1.0
"""Seconds until a contract is tried again whose making failed, doubled after each failure."""


@dataclass
class Shelf:
    """The correlations of one contract.  sizes: of each portion of one run, bytes on disk at most.

    sure: the peer holds the same, as far as this node knows.  cause: why they are not being made.
    """

    contract: str
    plan: Plan
    source: Supplier
    sizes: tuple[int, ...]
    folder: Path
    sure: bool = False
    cause: str = ""
    pause: float = FIRST_PAUSE
    rest_until: float = 0.0

    def held(self) -> dict[str, int]:
        """Bytes of each portion that is there."""
        return dict(self.source.held(self.folder))

    def runs(self, names: Iterable[str]) -> dict[str, list[str]]:
        """Names by run, in order."""
        found: dict[str, list[str]] = {}
        for name in sorted(names):
            place = self.source.place(name)
            if place is not None and place[2] == len(self.sizes):
                found.setdefault(place[0], []).append(name)
        return found

    def size(self, name: str) -> int:
        """Bytes on disk that a portion takes at most; BadInput for what is no name of one."""
        place = self.source.place(name)
        if place is None or place[2] != len(self.sizes):
            raise BadInput("These are no portions of this contract's runs.", "Use the same version of lingqu.")
        return self.sizes[place[1]]


class Owner(Protocol):
    """What a session asks of `supplies.Supplies`."""

    @property
    def core(self) -> Core:
        """This node."""

    def allow(self, making: Making, name: str) -> None:
        """May a portion be made?  Raises LingquError when not."""

    def made(self, making: Making) -> None:
        """The session's worker is gone."""


@dataclass
class Making:
    """A session under way, and what its worker speaks to."""

    owner: Owner
    shelf: Shelf
    peer: str
    names: tuple[str, ...]
    preparation: str
    endpoint: Future[str] = field(default_factory=Future)
    over: threading.Event = field(default_factory=threading.Event)
    worker: Worker | None = None
    error: LingquError | None = None
    paused: bool = False

    def ready(self, endpoint: str) -> None:
        """The worker listens."""
        self.endpoint.set_result(advertised(self.owner.core, endpoint))

    def progress(self, step: str, figures: Mapping[str, Any]) -> None:
        """A portion is there."""
        LOG.info("%s: portion %s made with %s, %s bytes", self.shelf.contract, step, self.peer, figures["bytes"])

    def gate(self, step: str, reveal: bool) -> None:
        """The worker asks whether it may make a portion."""
        self.owner.allow(self, step)

    def left(self) -> None:
        """A worker that makes correlations finds nothing out, and has nothing to do alone."""
        raise BadInput("This worker has no work of its own.", "Use the same version of lingqu.")

    def ended(self, figures: Mapping[str, Any], release: Path | None, error: LingquError | None) -> None:
        """The worker is gone."""
        if not self.endpoint.done():
            self.endpoint.set_exception(error or LingquError("The worker ended early.", "Look at its log."))
        self.error = error
        self.owner.made(self)
