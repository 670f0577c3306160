"""Terms are consistent or they are not terms; a person can read every one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from lingqu.contract import Proposal, Terms, render
from lingqu.kinds.disclosure import Fact, Learned, Statement
from lingqu.kinds.documents import digest
from lingqu.kinds.errors import BadInput
from lingqu.kinds.schema import AssetUse

STRANGER = Statement(learned={"stranger": (Learned(fact=Fact.MODEL, about="x", step="y"),)}, withheld=())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"proposer": "stranger"}, "among the parties"),
        ({"recipients": ("stranger",)}, "among the parties"),
        ({"recipients": ()}, "at least 1"),
        ({"recipients": ("big-data", "big-data")}, "recipients: one is named twice"),
        ({"owners": ("civil-affairs",)}, "owners must be exactly"),
        ({"assets": (AssetUse(id="big-data/x", version=1, digest=digest(b""), columns=("a",)),)}, "owners must be"),
        ({"statement_digest": digest(b"other")}, "statement_digest"),
        ({"statement": STRANGER}, "among the parties"),
        ({"expires": "2026-01-01T00:00:00Z"}, "later than not_before"),
        ({"expires": "2026-13-01T00:00:00Z"}, "does not match format"),
        ({"minimum_group": 1}, "greater than or equal to 2"),
        ({"uses": 0}, "greater than or equal to 1"),
        ({"techniques": ()}, "at least 1"),
        ({"number": "2"}, "Input should be '1'"),
    ],
)
def test_inconsistent_terms_are_no_terms(make_terms: Callable[..., Terms], change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        make_terms(**change)


def test_terms_survive_the_wire(terms: Terms) -> None:
    parsed = Proposal.parse(Proposal(terms=terms).canonical())
    assert parsed.terms == terms
    assert parsed.terms.sha256() == terms.sha256()


def test_altered_terms_are_another_contract(terms: Terms) -> None:
    altered = terms.canonical().replace(b'"uses":3', b'"uses":4')
    assert Terms.parse(altered).sha256() != terms.sha256()
    with pytest.raises(BadInput, match="Extra"):
        Terms.parse(terms.canonical().replace(b'{"adversary"', b'{"aa":1,"adversary"'))


def test_every_term_can_be_read(terms: Terms) -> None:
    text = "\n".join(f"{label}: {line}" for label, line in render(terms))
    for expected in (
        terms.sha256(),
        "education statistics 2026",
        "大数据局 (big-data)",
        "civil-affairs/residents, version 1: age, person_id",
        "human-resources/employment, version 2",
        terms.program.text,
        "from 18 to 65",
        "one of north, south",
        "What big-data learns: result-rows: groups of 10 rows or more (step release)",
        "What civil-affairs learns: nothing",
        "the size of the intersection",
        "10 rows",
        "3 runs",
        "from 2026-01-01T00:00:00Z until 2027-01-01T00:00:00Z",
        "share.rep3",
        "semi-honest",
        terms.plan,
        terms.statement_digest,
    ):
        assert expected in text


def test_a_title_cannot_forge_a_line(make_terms: Callable[..., Terms]) -> None:
    lines = dict(render(make_terms(title="ok\nUses: 0\x1b[2K\u202e")))
    assert lines["Title"] == "ok Uses: 0 [2K"
