"""Correlations made ahead of a run, kept between sessions and used once: what a mechanism offers to whoever runs plans.

A mechanism that works with correlations has an entry point `lingqu.supplies` of its name, which loads a `Supplier`.
One run's correlations are made in portions, in the order in which the run uses them; both parties hold a portion under
one name, which is public and says of which run and which place it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lingqu.kinds.channel import Channel
from lingqu.kinds.mechanism import Cost
from lingqu.share.outline import Outline

Work = Callable[[Outline], object]
"""A run without values: what it takes follows from public shapes."""


@dataclass
class Preparation:
    """What making correlations took so far: bytes sent, longest chain of messages, seconds."""

    sent: int = 0
    rounds: int = 0
    seconds: float = 0.0

    def add(self, other: Preparation) -> None:
        """Count what another took, too."""
        self.sent += other.sent
        self.rounds += other.rounds
        self.seconds += other.seconds

    def since(self, before: Preparation) -> Preparation:
        """What was added after `before`."""
        return Preparation(self.sent - before.sent, self.rounds - before.rounds, self.seconds - before.seconds)


@dataclass(frozen=True)
class Account:
    """Of one session.  ahead: what making the portions took that it has used.  online: what it made itself."""

    ahead: Preparation
    online: Preparation


class Supplier(Protocol):
    """How a mechanism makes, keeps and uses correlations.  directory: of one contract's portions, at this party."""

    def portions(self, work: Work) -> Sequence[int]:
        """Bytes on disk that each portion of one run takes at most, in order; both parties come to the same."""

    def making(self, work: Work) -> Cost:
        """What making one run's correlations takes, of all that the run takes."""

    def names(self, count: int, run: str | None = None) -> list[str]:
        """Names of the portions of one run, in order: of a fresh run, or of one whose name `place` gave."""

    def place(self, name: str) -> tuple[str, int, int] | None:
        """Of a name: its run, its place in it, and how many portions the run has; None when it is no name."""

    def held(self, directory: Path) -> Mapping[str, int]:
        """Bytes of each portion that is there, by name in order."""

    def drop(self, directory: Path, names: Sequence[str]) -> None:
        """Remove portions that cannot be used, durably."""

    def make(
        self,
        channel: Channel,
        directory: Path,
        work: Work,
        names: Sequence[str],
        before: Callable[[str], None],
        made: Callable[[str, int], None],
    ) -> None:
        """Make these portions and keep them; a session of its own.

        before: called with each name before it is made, raises to stop.  made: called with name and bytes on disk once
        a portion is there.  BadInput for names of another run's form, Unavailable when the disk takes no more.
        Discloses: nothing.
        """

    def connect(self, channel: Channel, directory: Path, names: Sequence[str]) -> Any:
        """A machine that uses these portions, as far as both parties hold them, before it makes any itself.

        Each is gone from the disk, durably, before the first of them is read.  Discloses: which names are held.
        """

    def account(self, machine: Any) -> Account:
        """What the machine has used and made so far."""
