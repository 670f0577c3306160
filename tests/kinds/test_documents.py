"""Strict decoding, and the canonical bytes that are hashed and signed."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lingqu.kinds.disclosure import Fact, Learned, Statement
from lingqu.kinds.documents import MAX_DOCUMENT, canonical, digest
from lingqu.kinds.errors import BadInput
from lingqu.kinds.parties import Party

PARTY = Party(
    name="civil-affairs",
    title="民政局",
    key="A" * 43,
    certificate="sha256:" + "0" * 64,
    address="127.0.0.1:7401",
)

# Whole floats from 2**53 on read back as integers that are not safe: without a field of type float they are refused.
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-(2.0**53) + 1, 2.0**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_a_document_survives_its_own_bytes() -> None:
    assert Party.parse(PARTY.canonical()) == PARTY
    assert PARTY.sha256() == digest(PARTY.canonical())


@given(JSON_VALUES)
@settings(max_examples=50, deadline=None)
def test_canonical_bytes_do_not_depend_on_order_or_spelling(value: Any) -> None:
    once = canonical(value)
    assert canonical(json.loads(once)) == once
    assert canonical(json.loads(json.dumps(value, indent=2, ensure_ascii=True))) == once


def test_canonical_bytes_are_those_of_rfc_8785() -> None:
    # The example of RFC 8785, section 3.2.2 and 3.2.3.
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": '€$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(value) == expected.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**53, -(2**53), "\ud800", {"a": object()}])
def test_what_json_cannot_hold_exactly_is_refused(value: object) -> None:
    with pytest.raises(BadInput, match="canonical"):
        canonical(value)


def fields(**changes: object) -> bytes:
    return json.dumps({**PARTY.model_dump(), **changes}).encode()


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (fields(extra=1), "extra"),
        (fields(title=7), "title"),
        (fields(name="Upper"), "name"),
        (fields(name="a" * 33), "name"),
        (fields(key="A" * 42), "key"),
        (fields(certificate="sha256:" + "g" * 64), "certificate"),
        (b'{"name": "x"', "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[]", "Party"),
        (b"[" * 100_000, "JSON"),
        (fields().replace(b'"name"', b'"name": "other-party", "name"', 1), "JSON"),
    ],
)
def test_what_does_not_fit_is_named(data: bytes, place: str) -> None:
    with pytest.raises(BadInput, match=place):
        Party.parse(data)


def test_a_document_that_is_too_long_is_not_even_decoded() -> None:
    with pytest.raises(BadInput, match="longer than"):
        Party.parse(b" " * (MAX_DOCUMENT + 1))


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_a_document_or_bad_input(data: bytes) -> None:
    with pytest.raises(BadInput):
        Party.parse(data)


def test_documents_do_not_change() -> None:
    with pytest.raises(ValidationError):
        PARTY.title = "another"  # type: ignore[misc]


def test_a_statements_digest_changes_with_every_line() -> None:
    line = Learned(fact=Fact.ROW_COUNT, about="rows of civil-affairs/residents", step="s1")
    one = Statement(learned={"big-data": (line,)}, withheld=("who is in both tables",))
    other = Statement(learned={"big-data": ()}, withheld=("who is in both tables",))
    assert one.sha256() != other.sha256()
    assert Statement.parse(one.canonical()) == one
