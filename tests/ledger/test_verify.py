"""An honest history verifies; anything flipped, dropped, reordered, forged, forked or told in two ways does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.identity import NodeKey
from lingqu.kinds.documents import canonical, digest
from lingqu.kinds.errors import BadInput
from lingqu.kinds.receipts import Outcome
from lingqu.ledger import (
    Approved,
    Entry,
    Log,
    MemoryStore,
    Registered,
    Released,
    Revoked,
    RunStarted,
    Spent,
    attach,
    export,
    sign_checkpoint,
    verify,
    witness,
)
from lingqu.ledger.bundle import Seal
from lingqu.ledger.checkpoint import Checkpoint, SignatureLine, key_id, parse_checkpoint
from lingqu.ledger.merkle import leaf_hash
from lingqu.wire.jws import decode, encode

World = Any  # tests/ledger/conftest.py
NAMES = ("big-data", "civil-affairs", "human-resources")
NOW, LATER = "2026-06-01T00:00:00Z", "2026-06-02T00:00:00Z"
JOB = "0" * 31 + "1"
OTHER = digest(b"other")


def resealed(data: bytes, key: NodeKey, change: Callable[[list[Any]], None]) -> bytes:
    """The bundle after its own party changed it and sealed it again: what a dishonest exporter can do."""
    lines = [json.loads(line) for line in data.splitlines()[:-1]]
    change(lines)
    body = b"".join(canonical(line) + b"\n" for line in lines)
    return body + Seal(signature=encode(key.sign(body))).canonical() + b"\n"


def failures(world: World, *bundles: bytes) -> str:
    report = verify(bundles, world.public)
    assert not report.ok
    return "\n".join(report.failures)


def test_honest_histories_verify(told: World) -> None:
    for name in NAMES:
        report = verify([told.bundle(name)], told.public)
        assert report.ok, report.failures
        assert verify([told.bundle(name)]).ok
    report = verify([told.bundle(name) for name in NAMES], told.public)
    assert report.ok, report.failures
    text = str(report)
    assert "✓ civil-affairs: entry 5 (approve) — signature of human-resources holds" in text
    assert "✓ civil-affairs: 12 entries, as its signed checkpoint says" in text
    assert "✓ civil-affairs: big-data has cosigned the first 12 entries" in text
    assert "The accounts of big-data, civil-affairs, human-resources agree on every contract and job." in text
    assert text.splitlines()[-1] == (
        "Everything holds: 1 registration, 6 pairings, 1 proposal, 2 approvals, 1 run, 1 use, 1 release, 1 refusal, "
        "3 receipts, 1 agreement."
    )
    assert told.bundle("big-data") == told.bundle("big-data")


@settings(max_examples=40, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), trusted=st.booleans())
def test_a_flipped_bit_anywhere_fails(told: World, place: float, bit: int, trusted: bool) -> None:
    data = bytearray(told.bundle("civil-affairs"))
    data[int(place * len(data))] ^= 1 << bit
    report = verify([bytes(data)], told.public if trusted else None)
    assert not report.ok
    assert all(text for text in report.failures)


def test_a_flipped_byte_in_every_line_fails_and_names_the_entry(told: World) -> None:
    data = told.bundle("civil-affairs")
    entries = len(told.logs["civil-affairs"])
    start = 0
    for number, line in enumerate(data.splitlines(keepends=True)):
        flipped = bytearray(data)
        at = start + line.find(b'"at":"2026') + 6 if 0 < number <= entries else start + len(line) // 2
        flipped[at] ^= 1
        said = failures(told, bytes(flipped))
        if 0 < number <= entries:
            assert f"entry {number - 1}" in said
        start += len(line)


@settings(max_examples=30, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), st.just(b"\n"), st.just(b'{"a":1}\n')))
def test_any_bytes_are_a_finding_and_no_crash(data: bytes) -> None:
    assert not verify([data]).ok


def test_no_bundle_is_no_proof() -> None:
    assert not verify([]).ok


def test_a_truncated_or_extended_bundle_fails(told: World) -> None:
    data = told.bundle("big-data")
    for changed in (data[:-1], data[: len(data) // 2], data + b"\n", data + b"x", b"\n" + data, data * 2):
        failures(told, changed)


def test_a_bundle_of_another_key_fails(told: World) -> None:
    keys = {**told.public, "civil-affairs": NodeKey.generate().public}
    report = verify([told.bundle("civil-affairs")], keys)
    assert any("altered after civil-affairs exported it" in text for text in report.failures)
    missing = {name: key for name, key in told.public.items() if name != "civil-affairs"}
    assert any("no key is known" in text for text in verify([told.bundle("civil-affairs")], missing).failures)


def test_what_a_dishonest_exporter_changes_is_named(told: World) -> None:
    name, key = "civil-affairs", told.keys["civil-affairs"]
    data, size = told.bundle(name), len(told.logs[name])

    def drop(lines: list[Any]) -> None:
        del lines[4]

    def drop_with_leaf(lines: list[Any]) -> None:
        del lines[4]
        del lines[0]["leaves"][3]

    def drop_and_renumber(lines: list[Any]) -> None:
        drop_with_leaf(lines)
        for index, line in enumerate(lines[1:size]):
            line["index"] = index
        lines[0]["leaves"] = [encode(leaf_hash(canonical(line))) for line in lines[1:size]]

    def reorder(lines: list[Any]) -> None:
        lines[4], lines[5] = lines[5], lines[4]

    def swap_checkpoints(lines: list[Any]) -> None:
        own = [place for place, line in enumerate(lines) if line.get("own")]
        lines[own[0]], lines[own[1]] = lines[own[1]], lines[own[0]]

    def no_checkpoint(lines: list[Any]) -> None:
        lines[:] = [line for line in lines if not line.get("own")]

    def redate(lines: list[Any]) -> None:
        lines[4]["at"] = "2026-05-01T00:00:00Z"

    def cut(lines: list[Any]) -> None:
        del lines[size]
        lines[0]["leaves"].pop()

    for change, says in {
        drop: "entry 4 stands where entry 3 belongs",
        drop_with_leaf: "entry 3 (approve) is not what",
        drop_and_renumber: f"the entries are not those of its checkpoint of {size} entries",
        reorder: "entry 4 stands where entry 3 belongs",
        swap_checkpoints: "are out of order",
        no_checkpoint: "no checkpoint covers all",
        redate: "entry 3 (propose) is not what the ledger's leaf hash says",
        cut: f"the entries are not those of its checkpoint of {size} entries",
    }.items():
        said = failures(told, resealed(data, key, change))
        if says == "entry 3 (approve) is not what":
            says = "entries were dropped or reordered"
        assert says in said, (change.__name__, said)


def test_a_forged_cosignature_fails(told: World) -> None:
    name, key, forger = "civil-affairs", told.keys["civil-affairs"], NodeKey.generate()

    def forge(lines: list[Any]) -> None:
        line = next(line for line in reversed(lines) if line.get("own"))
        state, signatures = parse_checkpoint(line["note"])
        public = decode(told.public["big-data"])
        fake = SignatureLine("lingqu/big-data", key_id("lingqu/big-data", b"\x04", public), bytes(72))
        line["note"] = f"{state.text}\n{signatures[0]}{fake}"

    def stranger(lines: list[Any]) -> None:
        line = next(line for line in reversed(lines) if line.get("own"))
        _, extra = witness(
            line["note"], key=key.public, previous=None, proof=[], party="stranger", signer=forger, at=NOW
        )
        line["note"] = attach(line["note"], extra, {"stranger": forger.public})

    assert "signature of big-data does not hold" in failures(told, resealed(told.bundle(name), key, forge))
    assert "1 cosignatures of unknown parties" in failures(told, resealed(told.bundle(name), key, stranger))


def rewritten(world: World, name: str, change: Callable[[list[Entry]], list[Any]]) -> bytes:
    """The whole history of a party anew, with fresh checkpoints, as if it had never been cosigned."""
    log = Log(MemoryStore(), name, world.keys[name])
    for body in change(world.logs[name].entries()):
        log.append(body.content() if isinstance(body, Entry) else body, NOW)
    return export(log, world.public, LATER)


def test_a_rewritten_history_is_a_fork_to_those_who_saw_the_first(told: World) -> None:
    fork = rewritten(told, "civil-affairs", lambda entries: [*entries[:6], *entries[7:], entries[6]])
    assert "fork" in failures(told, fork, told.bundle("big-data"))
    assert "fork — two bundles of it differ" in failures(told, fork, told.bundle("civil-affairs"))
    shorter = rewritten(told, "civil-affairs", lambda entries: entries[:7])
    said = failures(told, shorter, told.bundle("human-resources"))
    assert "civil-affairs: human-resources saw 12 entries of it, this bundle of 2026-06-02T00:00:00Z holds 7" in said


def test_two_checkpoints_of_one_size_are_a_fork_even_without_the_partys_bundle(told: World) -> None:
    state = told.logs["civil-affairs"].last_seen("big-data")
    other = sign_checkpoint(Checkpoint(state.origin, state.size, bytes(32)), told.keys["big-data"])
    told_twice = Log(MemoryStore(), "human-resources", told.keys["human-resources"])
    for entry in told.logs["human-resources"].entries():
        told_twice.append(entry.content(), NOW)
    told_twice.store.keep(state.origin, state.size, other)
    bundle = export(told_twice, told.public, LATER)
    said = failures(told, bundle, told.bundle("civil-affairs"))
    assert "big-data: fork — it signed different ledgers of" in said


def test_tokens_must_say_what_their_entries_say(world: World) -> None:
    world.agree()
    contract, honest = world.terms.sha256(), world.approved("human-resources")
    cases = {
        "it is signed by human-resources, not by civil-affairs": honest.model_copy(update={"party": "civil-affairs"}),
        "names another contract": honest.model_copy(update={"contract": OTHER}),
        "it holds a signed approval, not the revocation": Revoked(
            contract=contract, party="human-resources", token=honest.token
        ),
        "does not hold": honest.model_copy(update={"token": honest.token[:-8] + "AAAAAAAA"}),
        "names another plan": world.started().model_copy(update={"plan": OTHER}),
        "names another job": world.started().model_copy(update={"job": "f" * 32}),
    }
    for says, body in cases.items():
        log = Log(MemoryStore(), "civil-affairs", world.keys["civil-affairs"])
        log.append(body, NOW)
        said = failures(world, export(log, world.public, LATER))
        assert f"civil-affairs: entry 0 ({body.kind}) — " in said
        assert says in said
    other_terms = world.logs["big-data"].entries()[2].content().model_copy(update={"contract": OTHER})
    world.tell(other_terms, "big-data")
    assert "the proposed terms are not those" in failures(world, world.bundle("big-data"))


def test_a_token_that_does_not_speak_of_the_entry_proves_nothing(world: World) -> None:
    world.agree()
    contract, job = world.terms.sha256(), "f" * 32
    by, note = "big-data", digest(b"the table")
    approval = world.approved("civil-affairs").token
    other = world.token(world.terms.assets[0], "civil-affairs", "asset")
    cases = {
        "it holds a signed approval, not the job-offer": RunStarted(
            job=job, contract=contract, plan=world.terms.plan, requester="civil-affairs", token=approval
        ),
        "the signed job-offer names no contract": RunStarted(
            job=job,
            contract=contract,
            plan=world.terms.plan,
            requester=by,
            token=world.token(world.terms.program, by, "job-offer"),
        ),
        "the signed table is not the one registered": Registered(
            asset="civil-affairs/people", version=1, digest=note, token=other
        ),
        "it is signed by civil-affairs, not by big-data": Registered(
            asset="big-data/people", version=1, digest=note, token=other
        ),
    }
    for says, body in cases.items():
        log = Log(MemoryStore(), "big-data", world.keys["big-data"])
        log.append(_proposal(world), NOW)
        log.append(body, NOW)
        assert says in failures(world, export(log, world.public, LATER))


def test_an_approval_before_the_proposal_and_a_use_out_of_time_are_named(world: World) -> None:
    log = Log(MemoryStore(), "big-data", world.keys["big-data"])
    contract = world.terms.sha256()
    log.append(world.approved("human-resources", statement=OTHER), NOW)
    log.append(_proposal(world), NOW)
    assert "was not proposed in this ledger before" in failures(world, export(log, world.public, LATER))
    world.agree()
    world.tell(world.started())
    world.logs["civil-affairs"].append(Spent(job=JOB, contract=contract), "2027-01-01T00:10:00Z")
    said = failures(world, export(world.logs["civil-affairs"], world.public, "2027-01-02T00:00:00Z"))
    assert "a use was spent at 2027-01-01T00:10:00Z, outside the contract's time" in said


def test_a_use_beyond_the_contract_is_named(world: World) -> None:
    contract = world.terms.sha256()
    world.tell(world.started(), "civil-affairs")
    world.tell(Spent(job=JOB, contract=contract), "civil-affairs")
    assert "never proposed in this ledger" in failures(world, world.bundle("civil-affairs"))
    world.tell(world.started(), "big-data")
    world.tell(Released(job=JOB, contract=contract, recipient="big-data", result=OTHER), "big-data")
    assert "released without a use being spent" in failures(world, world.bundle("big-data"))


def test_a_use_without_signatures_again_or_after_revocation_is_named(world: World) -> None:
    from lingqu.contract import Revocation

    contract = world.terms.sha256()
    world.tell(world.logs["big-data"].entries()[0].content(), "human-resources")
    proposal = _proposal(world)
    world.tell(proposal, "human-resources")
    world.tell(world.started(), "human-resources")
    world.tell(Spent(job=JOB, contract=contract), "human-resources")
    said = failures(world, world.bundle("human-resources"))
    assert "without the signature of civil-affairs, human-resources" in said

    world.tell(proposal, "civil-affairs")
    for name in NAMES[1:]:
        world.tell(world.approved(name), "civil-affairs")
    for job in (JOB, "f" * 32):
        world.tell(world.started(job), "civil-affairs")
        world.tell(Spent(job=job, contract=contract), "civil-affairs")
    assert "this is use 2 of a contract for 1" in failures(world, world.bundle("civil-affairs"))

    revocation = Revocation(contract=contract, party="civil-affairs", reason="", decided=NOW)
    token = world.token(revocation, "civil-affairs", "revocation")
    world.agree()
    world.tell(Revoked(contract=contract, party="civil-affairs", token=token), "big-data")
    world.tell(world.started(), "big-data")
    world.tell(Spent(job=JOB, contract=contract), "big-data")
    said = failures(world, world.bundle("big-data"))
    assert "spent after the contract was closed (revoke by civil-affairs)" in said


def _proposal(world: World) -> Any:
    from lingqu.contract import Proposal
    from lingqu.ledger import Proposed

    token = world.token(Proposal(terms=world.terms), "big-data", "proposal")
    return Proposed(contract=world.terms.sha256(), proposer="big-data", token=token)


@pytest.mark.parametrize(
    ("tell", "says"),
    [
        (
            lambda world: world.tell(world.started(plan=OTHER), "civil-affairs"),
            "the plan is not the one that the contract names",
        ),
        (
            lambda world: world.tell(world.started(plan=OTHER), "civil-affairs"),
            "the ledgers name different values of its plan",
        ),
        (
            lambda world: world.tell(world.approved("human-resources", statement=OTHER), "civil-affairs"),
            "human-resources approved another statement than the contract's",
        ),
        (
            lambda world: world.tell(world.approved("human-resources", statement=OTHER), "civil-affairs"),
            "human-resources: it approved contract sha256:",
        ),
        (
            lambda world: world.tell(world.approved("human-resources", statement=OTHER), "civil-affairs"),
            "human-resources: it signed the approval in entry 12 of civil-affairs, but its own ledger does not hold it",
        ),
        (
            lambda world: world.tell(world.receipt("big-data", rounds=8), "civil-affairs"),
            "big-data gave different receipts: entry ",
        ),
        (
            lambda world: world.tell(world.receipt("human-resources", Outcome.REFUSED), "civil-affairs"),
            "one party says that it was released, another that it was refused",
        ),
        (
            lambda world: world.tell(
                Released(job=JOB, contract=world.terms.sha256(), recipient="big-data", result=OTHER), "big-data"
            ),
            "the job's result was released already",
        ),
    ],
)
def test_diverging_accounts_of_two_nodes_are_named(world: World, tell: Callable[[World], None], says: str) -> None:
    world.agree()
    world.run()
    assert verify([world.bundle(name) for name in NAMES], world.public).ok
    tell(world)
    world.cosign()
    assert says in failures(world, *(world.bundle(name) for name in NAMES))


def test_entries_hold_what_their_kind_has_and_nothing_else(told: World) -> None:
    honest = told.logs["civil-affairs"].entries()[2]
    assert isinstance(honest.content(), Registered)
    assert Entry.parse(honest.canonical()) == honest
    for change in (
        {"kind": "gossip"},
        {"kind": "approve"},
        {"index": -1},
        {"at": "2026-13-01T00:00:00Z"},
        {"body": {**honest.body, "rows": [1, 2]}},
        {"body": {key: value for key, value in honest.body.items() if key != "token"}},
    ):
        with pytest.raises(BadInput):
            Entry.parse(canonical({**honest.model_dump(mode="json"), **change}))
    assert Approved.signs == "approval"
