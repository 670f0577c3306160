"""Time as documents write it."""

from __future__ import annotations

from datetime import UTC, datetime

from lingqu.kinds.parties import Instant


def now() -> Instant:
    """The present, UTC, to the second."""
    return written(datetime.now(UTC))


def written(moment: datetime) -> Instant:
    """A moment as documents write it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(instant: Instant) -> datetime:
    """The moment that a document's instant names."""
    return datetime.strptime(instant, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
