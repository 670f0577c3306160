"""Errors that name their cause and the cure, and survive a trip over the wire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class LingquError(Exception):
    """Base of every error a user can meet.

    cause: what happened, with the name, place or number that shows it; never a secret or a row's value.
    cure: what the reader can do about it.
    term: the contract term that refused, where one did.  party: the party concerned, where one is.
    """

    code: ClassVar[str] = "error"

    def __init__(self, cause: str, cure: str, *, term: str | None = None, party: str | None = None) -> None:
        super().__init__(cause, cure)
        self.cause = cause
        self.cure = cure
        self.term = term
        self.party = party

    def __str__(self) -> str:
        where = f" [term: {self.term}]" if self.term else ""
        return f"{self.cause}{where} {self.cure}".strip()

    def document(self) -> dict[str, str | None]:
        """The error as JSON-ready fields: code, cause, cure, term, party."""
        return {
            "code": self.code,
            "cause": self.cause,
            "cure": self.cure,
            "term": self.term,
            "party": self.party,
        }


class BadInput(LingquError):
    """The user's input cannot be used: a wrong column, a broken file, an unsupported query."""

    code = "bad-input"


class TableChanged(BadInput):
    """The data is not what was registered, so the contract is about other data."""

    code = "table-changed"


class Refused(LingquError):
    """A contract term, a signature or a right is missing; `term` names it."""

    code = "refused"


class ProtocolViolation(LingquError):
    """A peer sent bytes that the protocol does not allow; the session ends."""

    code = "protocol-violation"


class PartyLost(LingquError):
    """A party crashed, left or stopped answering; `party` names it."""

    code = "party-lost"


class RangeError(LingquError, ArithmeticError):
    """A value does not fit the ring or the fixed-point range; found before any wrong number can arise."""

    code = "out-of-range"


class Unavailable(LingquError):
    """The machine cannot do it now: disk full, port in use, database away, clock skewed."""

    code = "unavailable"


class Tampered(LingquError):
    """A signature, digest or proof does not hold."""

    code = "tampered"


def revived(document: Mapping[str, Any]) -> LingquError:
    """The error that `LingquError.document()` described, of its own class where this process knows that."""
    kinds: list[type[LingquError]] = [LingquError]
    for kind in kinds:
        if kind.code == document["code"]:
            break
        kinds.extend(kind.__subclasses__())
    else:
        kind = LingquError
    return kind(document["cause"], document["cure"], term=document["term"], party=document["party"])
