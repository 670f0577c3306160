"""The errors of a node's interfaces, and the HTTP status of every error."""

from __future__ import annotations

from lingqu.kinds.errors import (
    BadInput,
    LingquError,
    PartyLost,
    ProtocolViolation,
    RangeError,
    Refused,
    TableChanged,
    Tampered,
    Unavailable,
)


class NotFound(BadInput):
    """There is nothing of that name here."""

    code = "not-found"


class Conflict(BadInput):
    """It exists already, or its state does not allow this."""

    code = "conflict"


class Unauthenticated(Refused):
    """Nobody knows who asks."""

    code = "unauthenticated"


CLASSES: tuple[tuple[type[LingquError], int], ...] = (
    (NotFound, 404),
    (Conflict, 409),
    (TableChanged, 409),
    (Unauthenticated, 401),
    (Refused, 403),
    (BadInput, 400),
    (RangeError, 400),
    (Tampered, 403),
    (ProtocolViolation, 502),
    (PartyLost, 503),
    (Unavailable, 503),
)


def status(error: LingquError) -> int:
    """The HTTP status for an error; 500 for what no user can cause."""
    return next((number for kind, number in CLASSES if isinstance(error, kind)), 500)


def revived(code: str, cause: str, cure: str, term: str | None, party: str | None) -> LingquError:
    """The error that a peer or worker described, of its own class where this version knows it."""
    kind = next((kind for kind, _ in CLASSES if kind.code == code), LingquError)
    return kind(cause, cure, term=term, party=party)
