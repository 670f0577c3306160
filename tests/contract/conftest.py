"""A contract between two owners and an analyst, and a request that it allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lingqu.contract import Approval, Request, Terms
from lingqu.kinds.disclosure import Fact, Learned, Statement
from lingqu.kinds.documents import digest
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.parties import Party
from lingqu.kinds.programs import Parameter, Program
from lingqu.kinds.schema import AssetUse


def party(name: str, title: str) -> Party:
    return Party(name=name, title=title, key="A" * 43, certificate=digest(name.encode()), address="127.0.0.1:1")


def build_terms(**changes: Any) -> Terms:
    statement = changes.pop(
        "statement",
        Statement(
            learned={"big-data": (Learned(fact=Fact.RESULT_ROWS, about="groups of 10 rows or more", step="release"),)},
            withheld=("who is in both tables", "the size of the intersection"),
        ),
    )
    fields: dict[str, Any] = {
        "title": "Education and income",
        "proposer": "big-data",
        "parties": (
            party("big-data", "大数据局"),
            party("civil-affairs", "民政局"),
            party("human-resources", "人社局"),
        ),
        "owners": ("civil-affairs", "human-resources"),
        "assets": (
            AssetUse(id="civil-affairs/residents", version=1, digest=digest(b"r"), columns=("age", "person_id")),
            AssetUse(id="human-resources/employment", version=2, digest=digest(b"e"), columns=("hours", "person_id")),
        ),
        "purpose": "education statistics 2026",
        "program": Program(
            kind="sql",
            text="SELECT … WHERE age >= :youngest AND region = :region",
            parameters={
                "youngest": Parameter(lower=18, upper=65),
                "region": Parameter(allowed=("north", "south")),
            },
        ),
        "plan": digest(b"plan"),
        "statement": statement,
        "statement_digest": statement.sha256(),
        "techniques": ("local", "share.rep3"),
        "adversary": Adversary.SEMI_HONEST,
        "recipients": ("big-data",),
        "minimum_group": 10,
        "uses": 3,
        "not_before": "2026-01-01T00:00:00Z",
        "expires": "2027-01-01T00:00:00Z",
    }
    return Terms(**{**fields, **changes})


def build_request(terms: Terms, **changes: Any) -> Request:
    fields: dict[str, Any] = {
        "contract": terms.sha256(),
        "requester": "big-data",
        "purpose": terms.purpose,
        "program": terms.program,
        "bindings": {"youngest": 30, "region": "north"},
        "plan": terms.plan,
        "statement": terms.statement_digest,
        "assets": terms.assets,
        "parties": terms.names,
        "techniques": terms.techniques,
        "adversary": terms.adversary,
        "minimum_group": terms.minimum_group,
        "recipients": ("big-data",),
    }
    return Request(**{**fields, **changes})


@pytest.fixture(scope="session")
def make_terms() -> Callable[..., Terms]:
    return build_terms


@pytest.fixture(scope="session")
def make_request() -> Callable[..., Request]:
    return build_request


@pytest.fixture(scope="module")
def terms() -> Terms:
    return build_terms()


@pytest.fixture(scope="module")
def approvals(terms: Terms) -> list[Approval]:
    return [
        Approval(contract=terms.sha256(), statement=terms.statement_digest, party=name, decided="2026-01-02T00:00:00Z")
        for name in ("civil-affairs", "human-resources")
    ]
