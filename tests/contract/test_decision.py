"""Every term refuses alone and by name; no order of events brings a contract into force that should not be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.contract import Approval, Rejection, Request, Revocation, State, Terms, check_bindings, decide, state
from lingqu.kinds.documents import digest
from lingqu.kinds.errors import Refused
from lingqu.kinds.mechanism import Adversary
from lingqu.kinds.programs import Parameter, Program
from lingqu.kinds.schema import AssetUse

NOW = "2026-06-01T00:00:00Z"
OTHER = digest(b"other")
RESIDENTS = AssetUse(id="civil-affairs/residents", version=1, digest=digest(b"r"), columns=("age", "person_id"))


def revoked(terms: Terms, name: str, contract: str | None = None) -> Revocation:
    return Revocation(contract=contract or terms.sha256(), party=name, reason="", decided=NOW)


def test_the_agreed_run_is_allowed(
    terms: Terms, approvals: list[Approval], make_request: Callable[..., Request]
) -> None:
    assert state(terms, approvals, [], 0, NOW) is State.IN_FORCE
    decide(terms, approvals, [], 0, make_request(terms), NOW)
    decide(terms, approvals, [], 2, make_request(terms, assets=(RESIDENTS,), minimum_group=11), NOW)
    decide(terms, approvals, [], 0, make_request(terms, adversary=Adversary.MALICIOUS_ABORT), NOW)


@pytest.mark.parametrize(
    ("change", "term"),
    [
        ({"contract": OTHER}, "contract"),
        ({"purpose": "marketing"}, "purpose"),
        ({"program": Program(kind="sql", text="SELECT * FROM residents")}, "program"),
        ({"bindings": {"youngest": 30}}, "program"),
        ({"bindings": {"youngest": 30, "region": "north", "more": 1}}, "program"),
        ({"bindings": {"youngest": 17, "region": "north"}}, "program"),
        ({"bindings": {"youngest": True, "region": "north"}}, "program"),
        ({"bindings": {"youngest": 30, "region": "west"}}, "program"),
        ({"plan": OTHER}, "plan"),
        ({"statement": OTHER}, "statement"),
        ({"parties": ("civil-affairs", "big-data", "human-resources")}, "parties"),
        ({"parties": ("big-data", "civil-affairs", "stranger")}, "parties"),
        ({"requester": "civil-affairs"}, "recipients"),
        ({"recipients": ("civil-affairs",)}, "recipients"),
        ({"recipients": ("big-data", "civil-affairs")}, "recipients"),
        ({"outside": ("big-data",)}, "parties"),
        ({"techniques": ("local", "share.plain")}, "techniques"),
        ({"minimum_group": 9}, "minimum_group"),
        ({"assets": (RESIDENTS.model_copy(update={"id": "civil-affairs/graves"}),)}, "assets"),
        ({"assets": (RESIDENTS.model_copy(update={"version": 2}),)}, "assets"),
        ({"assets": (RESIDENTS.model_copy(update={"digest": OTHER}),)}, "assets"),
        ({"assets": (RESIDENTS.model_copy(update={"columns": ("age", "name")}),)}, "assets"),
    ],
)
def test_one_deviation_is_refused_by_its_term(
    terms: Terms, approvals: list[Approval], make_request: Callable[..., Request], change: dict[str, Any], term: str
) -> None:
    with pytest.raises(Refused) as refused:
        decide(terms, approvals, [], 0, make_request(terms, **change), NOW)
    assert refused.value.term == term
    assert refused.value.cause
    assert refused.value.cure


def test_runs_of_a_day_are_counted_where_the_terms_limit_them(
    make_terms: Callable[..., Terms], make_request: Callable[..., Request]
) -> None:
    free, limited = make_terms(), make_terms(daily=2)
    assert "daily" not in free.model_dump(mode="json")
    assert free.sha256() != limited.sha256()
    for terms, recent, allowed in ((free, 99, True), (limited, 1, True), (limited, 2, False)):
        signed = [
            Approval(contract=terms.sha256(), statement=terms.statement_digest, party=name, decided=NOW)
            for name in terms.names
        ]
        if allowed:
            decide(terms, signed, [], 0, make_request(terms, recent=recent), NOW)
            continue
        with pytest.raises(Refused) as refused:
            decide(terms, signed, [], 0, make_request(terms, recent=recent), NOW)
        assert refused.value.term == "daily"


def test_weaker_security_is_refused(make_terms: Callable[..., Terms], make_request: Callable[..., Request]) -> None:
    strict = make_terms(adversary=Adversary.MALICIOUS_ABORT)
    signed = [
        Approval(contract=strict.sha256(), statement=strict.statement_digest, party=name, decided=NOW)
        for name in strict.owners
    ]
    with pytest.raises(Refused) as refused:
        decide(strict, signed, [], 0, make_request(strict, adversary=Adversary.SEMI_HONEST), NOW)
    assert refused.value.term == "adversary"


def test_of_two_recipients_either_asks_and_both_receive(
    make_terms: Callable[..., Terms], make_request: Callable[..., Request]
) -> None:
    shared = make_terms(recipients=("big-data", "civil-affairs"))
    signed = [
        Approval(contract=shared.sha256(), statement=shared.statement_digest, party=name, decided=NOW)
        for name in shared.owners
    ]
    decide(
        shared,
        signed,
        [],
        0,
        make_request(shared, requester="civil-affairs", recipients=("civil-affairs", "big-data")),
        NOW,
    )
    with pytest.raises(Refused) as refused:
        decide(shared, signed, [], 0, make_request(shared, requester="civil-affairs"), NOW)
    assert refused.value.term == "recipients"


def test_standing_is_refused_by_its_term(
    terms: Terms, approvals: list[Approval], make_request: Callable[..., Request]
) -> None:
    request = make_request(terms)
    rejection = Rejection(contract=terms.sha256(), party="civil-affairs", reason="no", decided=NOW)
    other_statement = approvals[1].model_copy(update={"statement": OTHER})
    other_contract = approvals[1].model_copy(update={"contract": OTHER})
    cases: list[tuple[str, State, dict[str, Any]]] = [
        ("signatures", State.PROPOSED, {"approvals": []}),
        ("signatures", State.PROPOSED, {"approvals": approvals[:1]}),
        ("signatures", State.PROPOSED, {"approvals": [approvals[0], other_statement]}),
        ("signatures", State.PROPOSED, {"approvals": [approvals[0], other_contract]}),
        ("signatures", State.REJECTED, {"rejections": [rejection]}),
        ("revoked", State.REVOKED, {"revocations": [revoked(terms, "human-resources")]}),
        ("revoked", State.REVOKED, {"revocations": [revoked(terms, "big-data")]}),
        ("uses", State.USED_UP, {"spent": 3}),
        ("expires", State.EXPIRED, {"now": "2027-01-01T00:00:00Z"}),
        ("not_before", State.SIGNED, {"now": "2025-12-31T23:59:59Z"}),
    ]
    for term, expected, change in cases:
        given_: dict[str, Any] = {"approvals": approvals, "revocations": [], "spent": 0, "now": NOW, **change}
        assert state(terms, **given_) is expected
        with pytest.raises(Refused) as refused:
            decide(terms, request=request, **given_)
        assert refused.value.term == term


def test_missing_signers_are_named(
    terms: Terms, approvals: list[Approval], make_request: Callable[..., Request]
) -> None:
    with pytest.raises(Refused, match="human-resources"):
        decide(terms, approvals[:1], [], 0, make_request(terms), NOW)


def test_strangers_count_for_nothing(terms: Terms, approvals: list[Approval]) -> None:
    stranger = approvals[1].model_copy(update={"party": "stranger"})
    assert state(terms, [approvals[0], stranger], [], 0, NOW) is State.PROPOSED
    foreign = [revoked(terms, "stranger"), revoked(terms, "civil-affairs", contract=OTHER)]
    assert state(terms, approvals, foreign, 0, NOW) is State.IN_FORCE


def test_last_second_and_first_second(terms: Terms, approvals: list[Approval]) -> None:
    assert state(terms, approvals, [], 0, "2026-01-01T00:00:00Z") is State.IN_FORCE
    assert state(terms, approvals, [], 0, "2026-12-31T23:59:59Z") is State.IN_FORCE


MOMENTS = ("2025-12-31T00:00:00Z", NOW, "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z", "2030-01-01T00:00:00Z")
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(("approve", "reject", "revoke", "spend")),
        st.sampled_from(("big-data", "civil-affairs", "human-resources", "stranger")),
        st.booleans(),  # whether the document is about this contract
    ),
    max_size=8,
)


@settings(max_examples=50)
@given(events=EVENTS, now=st.sampled_from(MOMENTS))
def test_no_order_of_events_opens_a_lock(
    terms: Terms, make_request: Callable[..., Request], events: list[tuple[str, str, bool]], now: str
) -> None:
    contract, request = terms.sha256(), make_request(terms)
    approvals: list[Approval] = []
    revocations: list[Revocation] = []
    rejections: list[Rejection] = []
    spent, over = 0, False
    for kind, name, ours in events:
        about = contract if ours else OTHER
        if kind == "approve":
            approvals.append(Approval(contract=about, statement=terms.statement_digest, party=name, decided=NOW))
        elif kind == "reject":
            rejections.append(Rejection(contract=about, party=name, reason="", decided=NOW))
        elif kind == "revoke":
            revocations.append(Revocation(contract=about, party=name, reason="", decided=NOW))
        else:
            spent += 1
        found = state(terms, approvals, revocations, spent, now, rejections)
        signed = {a.party for a in approvals if a.contract == contract} >= {"civil-affairs", "human-resources"}
        against = [(d.contract, d.party) for d in revocations] + [(d.contract, d.party) for d in rejections]
        stopped = any(about == contract and name != "stranger" for about, name in against)
        in_time = terms.not_before <= now < terms.expires
        assert (found is State.IN_FORCE) == (signed and not stopped and in_time and spent < terms.uses)
        backwards = state(terms, approvals[::-1], revocations[::-1], spent, now, rejections[::-1])
        assert backwards is found
        over = over or found in (State.REVOKED, State.REJECTED)
        assert not over or found in (State.REVOKED, State.REJECTED)
        if found is State.IN_FORCE:
            decide(terms, approvals, revocations, spent, request, now, rejections)
        else:
            with pytest.raises(Refused):
                decide(terms, approvals, revocations, spent, request, now, rejections)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "30", True, 65.5, -1])
def test_numbers_outside_their_limits_are_not_bound(value: bool | float | str) -> None:
    program = Program(kind="sql", text=":n", parameters={"n": Parameter(lower=0, upper=65)})
    check_bindings(program, {"n": 65})
    check_bindings(program, {"n": 0.5})
    with pytest.raises(Refused, match="outside the signed limits"):
        check_bindings(program, {"n": value})
