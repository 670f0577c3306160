"""Parties, purposes and rights."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import StringConstraints

from lingqu.kinds.documents import Document

PartyName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,30}[a-z0-9]$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Purpose = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Instant = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class Role(StrEnum):
    """What a node's user may do; ownership, management and use are separate rights."""

    OWNER = "owner"  # approve and revoke contracts over the node's assets
    MANAGER = "manager"  # register tables, pair nodes, keep users
    ANALYST = "analyst"  # propose contracts, run them, fetch results
    AUDITOR = "auditor"  # read the ledger, export and verify it


class Party(Document):
    """An organisation as the others know it.

    name: stable identifier.  title: what people call it.  key: Ed25519 public key, base64url without padding.
    certificate: SHA-256 of its TLS certificate (DER).  address: host:port of its peer interface.
    """

    name: PartyName
    title: str
    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
    certificate: Digest
    address: str
