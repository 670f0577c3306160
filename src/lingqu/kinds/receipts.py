"""Receipts: what a party says, signed, of its part in a run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from lingqu.kinds.documents import Document
from lingqu.kinds.parties import Digest, Instant, PartyName


class Outcome(StrEnum):
    RELEASED = "released"
    REFUSED = "refused"
    FAILED = "failed"


Amount = Annotated[int, Field(ge=0)]


class Made(Document):
    """What making correlated randomness took at one party: rounds, bytes it sent, milliseconds on its clock."""

    rounds: Amount
    bytes: Amount
    milliseconds: Amount


class Supplies(Document):
    """Correlated randomness that a run used.

    ahead: of sessions before the run, which made what it took from the disk.  online: of the run itself, and within its
    own figures, the time of reading from the disk included.
    """

    ahead: Made
    online: Made


class Receipt(Document):
    """One party's account of one run.

    rounds, bytes: measured at this party.  result: digest of the released result, at the recipient only, and None where
    the receipt had to be given before the result was found out, as its time could have told of it.
    term: the contract term that refused, where one did.  supplies: None where the mechanism takes none.
    """

    job: str
    contract: Digest
    plan: Digest
    party: PartyName
    outcome: Outcome
    started: Instant
    ended: Instant
    rounds: int
    bytes: int
    result: Digest | None = None
    term: str | None = None
    reason: str | None = None
    supplies: Supplies | None = Field(default=None, exclude_if=lambda supplies: supplies is None)
