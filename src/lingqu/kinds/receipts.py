"""Receipts: what a party says, signed, of its part in a run."""

from __future__ import annotations

from enum import StrEnum

from lingqu.kinds.documents import Document
from lingqu.kinds.parties import Digest, Instant, PartyName


class Outcome(StrEnum):
    RELEASED = "released"
    REFUSED = "refused"
    FAILED = "failed"


class Receipt(Document):
    """One party's account of one run.

    rounds, bytes: measured at this party.  result: digest of the released result, at the recipient only.
    term: the contract term that refused, where one did.
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
