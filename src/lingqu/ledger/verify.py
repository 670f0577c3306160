"""Verification of exported histories: offline, with public keys only, in sentences that an auditor can read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lingqu.kinds.documents import canonical, digest
from lingqu.kinds.errors import LingquError, Tampered
from lingqu.ledger import bundle as bundles_
from lingqu.ledger import checkpoint as notes
from lingqu.ledger.bundle import Bundle
from lingqu.ledger.crosscheck import AGREEMENT, Account, Fact, contradictions, history_faults, summarise
from lingqu.ledger.entries import BODIES, Body, CheckpointSeen, Entry, Proposed, ReceiptLogged, Registered, Stance
from lingqu.ledger.merkle import Tree, leaf_hash
from lingqu.wire.jws import encode, verify_compact, verify_signature


class TokenHead(Protocol):
    """What verification needs of a token's header: kind, issuer, time of issue in seconds."""

    @property
    def kind(self) -> str: ...
    @property
    def iss(self) -> str: ...
    @property
    def iat(self) -> int: ...


OpenToken = Callable[[str, Callable[[str], str | None]], tuple[TokenHead, bytes]]
"""Checks a JWS token against the issuers' keys and returns header and payload; raises Tampered."""


@dataclass(frozen=True)
class Finding:
    """One sentence; holds: False when it says that something is wrong."""

    holds: bool
    text: str


@dataclass(frozen=True)
class Report:
    """What verification found.  summary: events by kind; what several ledgers tell of counts once."""

    findings: tuple[Finding, ...]
    summary: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return all(finding.holds for finding in self.findings)

    @property
    def failures(self) -> list[str]:
        """The sentences that say what is wrong."""
        return [finding.text for finding in self.findings if not finding.holds]

    def __str__(self) -> str:
        marks = "\n".join(f"{'✓' if finding.holds else '✗'} {finding.text}" for finding in self.findings)
        counts = ", ".join(f"{count} {_named(kind, count)}" for kind, count in self.summary.items())
        return f"{marks}\n{'Everything holds' if self.ok else 'NOT VERIFIED'}: {counts or 'no entries'}."


@dataclass
class _Findings:
    items: list[Finding] = field(default_factory=list)

    def good(self, text: str) -> None:
        self.items.append(Finding(True, text))

    def bad(self, text: str) -> None:
        self.items.append(Finding(False, text))


def verify(
    bundles: Sequence[bytes], keys: Mapping[str, str] | None = None, open_token: OpenToken = verify_compact
) -> Report:
    """Verify one node's exported history, or several nodes' together.

    keys: Ed25519 keys (base64url) by party, from a source the reader trusts; without them those in the bundles are
    taken, which shows that the history is consistent but not who wrote it.  open_token: how a JWS is checked.
    Checks of each bundle: its seal, the order of entries, the Merkle roots of its checkpoints, every signature and
    cosignature, that tokens say what their entries say, and that no run went beyond its contract.  Across bundles:
    no fork of any log, and equal accounts of every contract and job.
    Never raises for a broken bundle: that is a finding.  Cost: linear in the bundles' size.
    """
    found = _Findings()
    read = []
    for number, data in enumerate(bundles, 1):
        result = bundles_.read(data)
        if isinstance(result, str):
            found.bad(f"bundle {number}: {result}")
        else:
            read.append(result)
    if not read:
        found.bad("There is no bundle to verify.")
    known = dict(_agreed_keys(read, found)) if keys is None else dict(keys)
    accounts = [_account(bundle, known, found, open_token) for bundle in read]
    _forks(read, accounts, known, found)
    for text in contradictions(accounts):
        found.bad(text)
    if len(accounts) > 1 and all(finding.holds for finding in found.items):
        names = ", ".join(account.party for account in accounts)
        found.good(f"The accounts of {names} agree on every contract and job.")
    return Report(tuple(found.items), summarise(accounts))


def _agreed_keys(read: Sequence[Bundle], found: _Findings) -> Iterator[tuple[str, str]]:
    """The keys in the bundles, when they agree."""
    claimed: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for bundle in read:
        for party, key in bundle.head.keys.items():
            claimed[party][key].append(bundle.head.party)
    for party, by_key in sorted(claimed.items()):
        if len(by_key) > 1:
            who = " and ".join(sorted(", ".join(parties) for parties in by_key.values()))
            found.bad(f"{party}: {who} name different keys for it")
        yield party, next(iter(by_key))
    if claimed:
        found.good("keys: taken from the bundles; compare them with those the parties publish")


def _account(bundle: Bundle, keys: Mapping[str, str], found: _Findings, open_token: OpenToken) -> Account:
    """Verify one bundle for itself and return the facts that its entries state."""
    party = bundle.head.party
    for fault in bundle.faults:
        found.bad(f"{party}: {fault}")
    if party not in keys:
        found.bad(f"{party}: no key is known for it")
    else:
        try:
            verify_signature(keys[party], bundle.signature or b"", bundle.sealed, party)
            found.good(f"{party}: the bundle is as {party} exported it at {bundle.head.exported}")
        except Tampered:
            found.bad(f"{party}: the bundle was altered after {party} exported it, or another party sealed it")
    tree = _chain(bundle, found)
    _checkpoints(bundle, tree, keys, found)
    account = Account(party, bundle.head.exported, tree)
    for index in sorted(bundle.entries):
        entry = bundle.entries[index]
        body = entry.content()
        account.events.append((index, body))
        account.dated[index] = entry.at
        if (fact := _token(party, entry, body, keys, found, open_token)) is not None:
            account.facts.append(fact)
        if isinstance(body, CheckpointSeen):
            bundle.seen.append(body.note)
    for text in history_faults(account):
        found.bad(text)
    return account


def _chain(bundle: Bundle, found: _Findings) -> Tree:
    """Check that the entries are those of the head, each at its place; the tree over the entries as they stand."""
    party, size = bundle.head.party, len(bundle.head.leaves)
    for place, index in enumerate(bundle.order):
        if index != place:
            found.bad(f"{party}: entry {index} stands where entry {place} belongs; entries were dropped or reordered")
            break
    missing = [index for index in range(size) if index not in bundle.entries]
    for index in missing[:10]:
        found.bad(f"{party}: entry {index} is missing")
    if len(bundle.order) > size:
        found.bad(f"{party}: there are {len(bundle.order)} entries, the head counts {size}")
    tree, before = Tree(), ""
    for index, entry in sorted(bundle.entries.items()):
        leaf = leaf_hash(entry.canonical())
        tree.append(leaf)
        if index < size and encode(leaf) != bundle.head.leaves[index]:
            found.bad(f"{party}: entry {index} ({entry.kind}) is not what the ledger's leaf hash says")
        if entry.at < before:
            found.good(f"{party}: entry {index} ({entry.kind}) is dated before the one it follows; its clock was set")
        before = entry.at
    return tree


def _checkpoints(bundle: Bundle, tree: Tree, keys: Mapping[str, str], found: _Findings) -> None:
    """Check the own checkpoints against the entries, and their cosignatures."""
    party, largest, before = bundle.head.party, -1, -1
    covered: dict[str, int] = {}
    for note in bundle.own:
        try:
            state = notes.open_checkpoint(note, keys.get(party, ""))
            if state.party != party:
                raise Tampered(f"A checkpoint of {state.party} stands among those of {party}.", "")
            cosigned = notes.cosignatures(note, {name: key for name, key in keys.items() if name != party})
        except LingquError as error:
            found.bad(f"{party}: a checkpoint does not hold: {error.cause}")
            continue
        others = len(notes.parse_checkpoint(note)[1]) - 1 - len(cosigned)
        if others:
            found.bad(f"{party}: the checkpoint of {state.size} entries has {others} cosignatures of unknown parties")
        if state.size <= before:
            found.bad(f"{party}: its checkpoints of {before} and {state.size} entries are out of order")
        before, largest = state.size, max(largest, state.size)
        if state.size > len(tree) or tree.root(state.size) != state.root:
            found.bad(f"{party}: the entries are not those of its checkpoint of {state.size} entries")
            continue
        for cosignature in cosigned:
            covered[cosignature.party] = max(covered.get(cosignature.party, 0), state.size)
    if largest != len(bundle.head.leaves):
        found.bad(f"{party}: no checkpoint covers all its {len(bundle.head.leaves)} entries")
    else:
        found.good(f"{party}: {_entries(largest)}, as its signed checkpoint says")
    for name, size in sorted(covered.items()):
        found.good(f"{party}: {name} has cosigned the first {_entries(size)}")
    if not covered:
        found.good(f"{party}: no peer has cosigned a checkpoint yet")


def _token(
    party: str, entry: Entry, body: Body, keys: Mapping[str, str], found: _Findings, open_token: OpenToken
) -> Fact | None:
    """Check an entry's token and that it says what the entry says; the fact it proves."""
    where = f"{party}: entry {entry.index} ({entry.kind})"
    if body.token is None:
        return None
    try:
        head, signed = open_token(body.token, keys.get)
        document = json.loads(signed)
        if not isinstance(document, dict) or canonical(document) != signed:
            raise ValueError
    except LingquError as error:
        found.bad(f"{where} — {error.cause}")
        return None
    except (ValueError, RecursionError):
        found.bad(f"{where} — the signed document is not in canonical form")
        return None
    wrong = _mismatch(body, head, document)
    if wrong:
        found.bad(f"{where} — {wrong}")
        return None
    found.good(f"{where} — signature of {head.iss} holds")
    return Fact(entry.index, head.kind, head.iss, head.iat, digest(signed), document)


def _mismatch(body: Body, head: TokenHead, document: Mapping[str, Any]) -> str | None:
    """What the token says otherwise than the entry, or None."""
    if body.signs is not None and head.kind != body.signs:
        return f"it holds a signed {head.kind}, not the {body.signs}"
    if body.author is not None and head.iss != body.author:
        return f"it is signed by {head.iss}, not by {body.author}"
    if isinstance(body, Proposed):
        terms = document.get("terms")
        if not isinstance(terms, dict) or digest(canonical(terms)) != body.contract:
            return "the proposed terms are not those of the contract named"
        return None if terms.get("proposer") == body.proposer else "the terms name another proposer"
    if isinstance(body, Registered) and digest(canonical(dict(document))) != body.digest:
        return "the signed table is not the one registered"
    same = ["contract", "plan", "job"]
    if isinstance(body, Stance | ReceiptLogged):
        same.append("party")
    for name in same:
        stated = getattr(body, name, None)
        if stated is not None and document.get(name) != stated:
            return f"the signed {head.kind} names {'another' if name in document else 'no'} {name}"
    return None


def _forks(read: Sequence[Bundle], accounts: Sequence[Account], keys: Mapping[str, str], found: _Findings) -> None:
    """Compare every checkpoint that anybody holds of any log, and the logs of one party that was exported twice."""
    trees: dict[str, list[Tree]] = defaultdict(list)
    for account in accounts:
        trees[account.party].append(account.tree)
    for party, several in sorted(trees.items()):
        shortest = min(len(tree) for tree in several)
        if len({tree.root(shortest) for tree in several}) > 1:
            found.bad(f"{party}: fork — two bundles of it differ within their first {shortest} entries")
    roots: dict[tuple[str, int], dict[bytes, str]] = defaultdict(dict)
    for bundle in read:
        own = [(note, True) for note in bundle.own]
        for note, mine in own + [(note, False) for note in bundle.seen]:
            try:
                claimed = notes.parse_checkpoint(note)[0]
                if not mine and claimed.party not in keys:
                    found.bad(f"{bundle.head.party}: it saw a checkpoint of {claimed.party}, whose key is unknown")
                    continue
                state = notes.open_checkpoint(note, keys.get(claimed.party, ""))
            except LingquError as error:
                if not mine:  # an own one was reported with its ledger
                    found.bad(f"{bundle.head.party}: a peer's checkpoint does not hold: {error.cause}")
                continue
            roots[state.party, state.size].setdefault(state.root, bundle.head.party)
    for (party, size), by_root in sorted(roots.items()):
        if len(by_root) > 1:
            who = " and ".join(sorted(by_root.values()))
            found.bad(f"{party}: fork — it signed different ledgers of {size} entries, as {who} hold them")
        for tree in trees.get(party, ()):
            foreign = [holder for root, holder in by_root.items() if size <= len(tree) and root != tree.root(size)]
            if foreign and len(by_root) == 1 and foreign[0] != party:
                found.bad(f"{party}: fork — its ledger is not the one of {size} entries that {foreign[0]} saw")
    for account, bundle in zip(accounts, read, strict=True):
        _shrunk(account, bundle, roots, found)


def _shrunk(
    account: Account, bundle: Bundle, roots: Mapping[tuple[str, int], Mapping[bytes, str]], found: _Findings
) -> None:
    """A peer that saw more entries of a log than a bundle holds must have seen them after the export."""
    for (party, size), by_root in sorted(roots.items()):
        for holder in by_root.values():
            if party == account.party and size > len(account.tree) and holder != party:
                found.bad(
                    f"{party}: {holder} saw {size} entries of it, this bundle of {bundle.head.exported} holds "
                    f"{len(account.tree)}; export {party} again, after {holder}"
                )


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


def _named(kind: str, count: int) -> str:
    title = AGREEMENT if kind == AGREEMENT else BODIES[kind].title
    if count == 1:
        return title
    first, _, rest = title.partition(" of ")
    return f"{first}s" + (f" of {rest}" if rest else "")
