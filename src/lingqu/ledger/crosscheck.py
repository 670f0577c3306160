"""What histories may not say: uses beyond a contract, results released twice, two accounts of one event."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from lingqu.kinds import clock
from lingqu.kinds.parties import Instant
from lingqu.ledger.entries import (
    BODIES,
    Approved,
    Body,
    Failed,
    Proposed,
    ReceiptLogged,
    Rejected,
    Released,
    Revoked,
    RunStarted,
    Spent,
    Stance,
)
from lingqu.ledger.merkle import Tree

AGREEMENT = "agreement"
CORRECTION = timedelta(minutes=2)
OWN_WORD = frozenset({"proposal", "approval", "rejection", "revocation", "receipt"})
"""Tokens that a party logs itself before it sends them; an offer that was refused need not stand in its own ledger."""


@dataclass(frozen=True)
class Fact:
    """A token that holds.  at: when its author issued it, seconds since 1970.  digest: of what was signed."""

    entry: int
    kind: str
    author: str
    at: int
    digest: str
    document: dict[str, Any]


@dataclass
class Account:
    """One bundle's statements.

    events: entries by index and body.  dated: when each was written.  facts: what its valid tokens prove.
    """

    party: str
    exported: Instant
    tree: Tree
    events: list[tuple[int, Body]] = field(default_factory=list)
    dated: dict[int, Instant] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)


def history_faults(account: Account) -> Iterator[str]:
    """Sentences about entries of one ledger that could not stand in an honest one."""
    terms = {fact.entry: fact.document["terms"] for fact in account.facts if fact.kind == "proposal"}
    stated = {fact.entry: fact.document.get("statement") for fact in account.facts if fact.kind == "approval"}
    signed: dict[str, set[str]] = defaultdict(set)
    agreed: dict[str, dict[str, Any]] = {}
    closed: dict[str, str] = {}
    spent: dict[str, list[str]] = defaultdict(list)
    begun: set[str] = set()
    released: set[str] = set()
    for index, body in account.events:
        where = f"{account.party}: entry {index} ({body.kind})"
        match body:
            case Proposed() if index in terms:
                agreed.setdefault(body.contract, terms[index])
                signed[body.contract].add(body.proposer)
            case Approved():
                if body.contract not in agreed:
                    yield f"{where} — {body.party} approved a contract that was not proposed in this ledger before"
                elif stated.get(index) != agreed[body.contract].get("statement_digest"):
                    yield f"{where} — {body.party} approved another statement than the contract's"
                else:
                    signed[body.contract].add(body.party)
            case Revoked() | Rejected():
                closed.setdefault(body.contract, f"{body.kind} by {body.party}")
            case RunStarted():
                if body.contract in agreed and body.plan != agreed[body.contract].get("plan"):
                    yield f"{where} — the plan is not the one that the contract names"
                begun.add(body.job)
            case Spent():
                if body.contract in closed:
                    yield f"{where} — a use was spent after the contract was closed ({closed[body.contract]})"
                if body.job in spent[body.contract]:
                    yield f"{where} — the job's use was spent already"
                if body.job not in begun:
                    yield f"{where} — the job did not begin in this ledger"
                spent[body.contract].append(body.job)
                yield from _untimely(where, agreed.get(body.contract, {}), account.dated[index])
                yield from _beyond(where, agreed.get(body.contract), signed[body.contract], spent[body.contract])
            case Released():
                if body.job in released:
                    yield f"{where} — the job's result was released already"
                if body.recipient not in agreed.get(body.contract, {}).get("recipients", [body.recipient]):
                    yield f"{where} — {body.recipient} received the result and is no recipient by the contract"
                if body.job not in spent[body.contract]:
                    yield f"{where} — a result was released without a use being spent"
                released.add(body.job)
            case _:
                continue


def summarise(accounts: Sequence[Account]) -> dict[str, int]:
    """Events by kind, and agreements: contracts that every party signed.  What several ledgers tell of counts once."""
    events: dict[str, set[tuple[object, ...]]] = defaultdict(set)
    signed: dict[str, set[str]] = defaultdict(set)
    parties: dict[str, set[str]] = {}
    for account in accounts:
        terms = {fact.entry: fact.document["terms"] for fact in account.facts if fact.kind == "proposal"}
        for index, body in account.events:
            match body:
                case Proposed():
                    events[body.kind].add((body.contract,))
                    signed[body.contract].add(body.proposer)
                    if index in terms:
                        parties[body.contract] = set(_names(terms[index]))
                case Stance():
                    events[body.kind].add((body.contract, body.party))
                    if isinstance(body, Approved):
                        signed[body.contract].add(body.party)
                case ReceiptLogged():
                    events[body.kind].add((body.job, body.party))
                case RunStarted() | Spent() | Released() | Failed():
                    events[body.kind].add((body.job,))
                case _:
                    events[body.kind].add((account.party, index))
    counts = {kind: len(events[kind]) for kind in BODIES if events[kind]}
    agreed = sum(1 for contract, names in parties.items() if names and names <= signed[contract])
    return {**counts, **({AGREEMENT: agreed} if agreed else {})}


def contradictions(accounts: Sequence[Account]) -> Iterator[str]:
    """Sentences about contracts and jobs of which the ledgers give diverging accounts."""
    yield from _disowned(accounts)
    yield from _stances(accounts)
    yield from _jobs(accounts)
    yield from _receipts(accounts)


def _beyond(where: str, terms: dict[str, Any] | None, signed: set[str], spent: list[str]) -> Iterator[str]:
    """What a spent use violates of the contract's own terms."""
    if terms is None:
        yield f"{where} — a use was spent of a contract that was never proposed in this ledger"
        return
    uses = terms.get("uses")
    if isinstance(uses, int) and len(spent) > uses:
        yield f"{where} — this is use {len(spent)} of a contract for {uses}"
    missing = [name for name in _names(terms) if name not in signed]
    if missing:
        yield f"{where} — a use was spent without the signature of {', '.join(missing)}"


def _untimely(where: str, terms: dict[str, Any], at: Instant) -> Iterator[str]:
    """A use that was spent before the contract began or after it expired, give or take a clock's correction."""
    try:
        begins, ends = (clock.read(terms[name]) for name in ("not_before", "expires"))
    except (KeyError, TypeError, ValueError):
        return  # never proposed here, or terms of another form: said elsewhere
    if not begins - CORRECTION <= clock.read(at) <= ends + CORRECTION:
        yield f"{where} — a use was spent at {at}, outside the contract's time"


def _names(terms: dict[str, Any]) -> list[str]:
    """The parties that signed terms name; none when the terms are of another form."""
    parties = terms.get("parties")
    return [str(party.get("name")) for party in parties if isinstance(party, dict)] if isinstance(parties, list) else []


def _disowned(accounts: Sequence[Account]) -> Iterator[str]:
    """What a party decided and signed, before its export, must stand in its own ledger."""
    own: dict[str, set[tuple[str, str]]] = defaultdict(set)
    exported: dict[str, float] = {}
    for account in accounts:
        own[account.party] |= {(fact.kind, fact.digest) for fact in account.facts if fact.author == account.party}
        moment = clock.read(account.exported).timestamp()
        exported[account.party] = max(exported.get(account.party, moment), moment)
    for account in accounts:
        for fact in account.facts:
            early = fact.author in exported and fact.at < exported[fact.author]
            if (
                early
                and fact.kind in OWN_WORD
                and fact.author != account.party
                and (fact.kind, fact.digest) not in own[fact.author]
            ):
                yield (
                    f"{fact.author}: it signed the {fact.kind} in entry {fact.entry} of {account.party}, "
                    "but its own ledger does not hold it"
                )


def _stances(accounts: Sequence[Account]) -> Iterator[str]:
    """A party's approval of a contract must say the same in every ledger."""
    said: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for account in accounts:
        for fact in account.facts:
            if fact.kind == "approval":
                contract, statement = str(fact.document.get("contract")), str(fact.document.get("statement"))
                said[contract, fact.author, fact.kind].setdefault(statement, f"entry {fact.entry} of {account.party}")
    for (contract, author, _), by_statement in sorted(said.items()):
        if len(by_statement) > 1:
            places = " and ".join(sorted(by_statement.values()))
            yield f"{author}: it approved contract {_short(contract)} with different statements: {places}"


def _jobs(accounts: Sequence[Account]) -> Iterator[str]:
    """Every ledger must name the same contract, plan, requester and result for one job."""
    told: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for account in accounts:
        for index, body in account.events:
            if isinstance(body, Proposed | Stance):
                continue
            job = getattr(body, "job", None)
            for name in ("contract", "plan", "requester", "result"):
                value = getattr(body, name, None)
                if job is not None and value is not None and (name != "plan" or isinstance(body, RunStarted)):
                    # Each recipient has a document of its own.
                    where = f" at {body.recipient}" if isinstance(body, Released) and name == "result" else ""
                    told[job, name + where].setdefault(value, f"entry {index} of {account.party}")
    for (job, name), by_value in sorted(told.items()):
        if len(by_value) > 1:
            places = " and ".join(sorted(by_value.values()))
            yield f"job {job}: the ledgers name different values of its {name}: {places}"


def _receipts(accounts: Sequence[Account]) -> Iterator[str]:
    """One party gives one receipt of a job, over one plan; a refused job is released nowhere."""
    said: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    plans: dict[str, dict[str, str]] = defaultdict(dict)
    outcomes: dict[str, dict[str, str]] = defaultdict(dict)
    results: dict[str, dict[str, str]] = defaultdict(dict)
    for account in accounts:
        for index, body in account.events:
            place = f"entry {index} of {account.party}"
            if isinstance(body, RunStarted):
                plans[body.job].setdefault(body.plan, place)
            if isinstance(body, Released) and body.result is not None:
                results[f"{body.job} at {body.recipient}"].setdefault(body.result, place)
        receipts = {index: body for index, body in account.events if isinstance(body, ReceiptLogged)}
        for fact in account.facts:
            if fact.entry in receipts and fact.kind == "receipt":
                job, place = receipts[fact.entry].job, f"entry {fact.entry} of {account.party}"
                said[job, fact.author].setdefault(fact.digest, place)
                plans[job].setdefault(str(fact.document.get("plan")), place)
                outcomes[job].setdefault(str(fact.document.get("outcome")), place)
                if fact.document.get("result") is not None:
                    results[f"{job} at {fact.author}"].setdefault(str(fact.document["result"]), place)
    for (job, author), by_digest in sorted(said.items()):
        if len(by_digest) > 1:
            yield f"job {job}: {author} gave different receipts: {' and '.join(sorted(by_digest.values()))}"
    for name, table in (("plan", plans), ("result", results)):
        for job, by_value in sorted(table.items()):
            if len(by_value) > 1:
                yield f"job {job}: the receipts name another {name}: {' and '.join(sorted(by_value.values()))}"
    for job, by_outcome in sorted(outcomes.items()):
        if {"released", "refused"} <= set(by_outcome):
            places = " and ".join(sorted(by_outcome.values()))
            yield f"job {job}: one party says that it was released, another that it was refused: {places}"


def _short(contract: str) -> str:
    return contract[:19] + "…"
