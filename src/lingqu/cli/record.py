"""Verbs of owners and auditors: approve, reject, revoke; ledger, export, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lingqu.cli.session import HomeOption, JsonOption, Session, UserOption, YesOption, pairs, text_of

IdArgument = Annotated[str, typer.Argument(metavar="CONTRACT", help="The contract's id or its beginning.")]


def approve(
    contract: IdArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,
    yes: YesOption = False,
    user: UserOption = None,
) -> None:
    """Read a contract's terms and the statement of who learns what, and sign them for your organisation."""
    from lingqu.cli import show

    session = Session(home, as_json, user, role="owner")
    view = session.contract(contract)
    if not as_json:
        session.console.print(show.contract(view))
    session.confirm("Sign these terms for your organisation?", yes)
    signed = session.remote.approve(view.id)
    session.give(signed, f"Signed. Contract {show.short(signed.id)} is {signed.state}.", show.standing(signed))


def reject(
    contract: IdArgument,
    reason: Annotated[str | None, typer.Option(help="Why; the other parties read it.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """Say no to a proposed contract."""
    from lingqu.cli import show

    session = Session(home, as_json, user, role="owner")
    view = session.remote.reject(session.contract(contract).id, reason)
    session.give(view, f"Contract {show.short(view.id)} is {view.state}.")


def revoke(
    contract: IdArgument,
    reason: Annotated[str | None, typer.Option(help="Why; the other parties read it.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
    yes: YesOption = False,
    user: UserOption = None,
) -> None:
    """Take your signature back: nothing runs or opens under the contract any more, running jobs included."""
    from lingqu.cli import show

    session = Session(home, as_json, user, role="owner")
    view = session.contract(contract)
    session.confirm(f"Revoke {show.safe(view.terms.title)!r} for good?", yes)
    view = session.remote.revoke(view.id, reason)
    session.give(view, f"Contract {show.short(view.id)} is {view.state}.")


def ledger(
    after: Annotated[int, typer.Option(min=0, help="Only entries from this index on.")] = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """List what this node has recorded: registrations, agreements, runs, releases, refusals."""
    from lingqu.cli import show

    session = Session(home, as_json, user, role="auditor")
    items = session.remote.ledger(after)
    session.give({"entries": items}, show.entries(items))


def export(
    output: Annotated[Path, typer.Argument(help="The file to write.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
    user: UserOption = None,
) -> None:
    """Write this node's history as a bundle that anyone can verify offline."""
    session = Session(home, as_json, user, role="auditor")
    data = session.remote.export()
    output.write_bytes(data)
    session.give(
        {"file": str(output), "bytes": len(data)}, f"{output}: {len(data):,} bytes. Check: lingqu verify {output}"
    )


def verify(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Exported files, of one node or several.")],
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="NAME=KEY", help="A party's public key, or @file of its certificate; repeat."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check exported histories offline, with public keys only; exit code 4 when anything does not hold.

    Keys that are not given are taken from the bundles, which shows that a history is consistent, not who wrote it.
    """
    from lingqu.cli import show
    from lingqu.ledger import bundle
    from lingqu.ledger import verify as check

    session = Session(None, as_json)
    data = [file.read_bytes() for file in bundles]
    trusted = {name: _public_key(text) for name, text in pairs(keys or (), "--key").items()}
    known: dict[str, str] | None = None
    if trusted:
        heads = [read.head.keys for item in data if not isinstance(read := bundle.read(item), str)]
        known = {name: key for head in reversed(heads) for name, key in head.items()} | trusted
    report = check(data, known)
    findings = [{"holds": finding.holds, "text": finding.text} for finding in report.findings]
    unproved = sorted(set(known or ()) - set(trusted))
    if unproved:
        findings.append({"holds": True, "text": f"keys of {', '.join(unproved)}: taken from the bundles"})
    document = {"ok": report.ok, "findings": findings, "summary": dict(report.summary)}
    session.give(document, show.report(document))
    if not report.ok:
        raise typer.Exit(UNVERIFIED)


def _public_key(text: str) -> str:
    """A key as bundles write it, from the key itself or from a certificate's file."""
    import re

    from lingqu.identity import Certificate
    from lingqu.kinds.errors import BadInput

    if text.startswith("@"):
        return Certificate.parse(text_of(text)).public
    if not re.fullmatch(r"[A-Za-z0-9_-]{43}", text):
        raise BadInput(f"{text!r} is no public key.", "Give the 43 characters, or @file of the party's certificate.")
    return text


UNVERIFIED = 4


def supplies(home: HomeOption = None, as_json: JsonOption = False, user: UserOption = None) -> None:
    """Show what is made ahead for contracts between two parties: how much is held, and what it waits for."""
    from lingqu.cli import show

    session = Session(home, as_json, user)
    views = session.remote.supplies()
    session.give({"supplies": views}, show.supplies(views))


VERBS = (approve, reject, revoke, supplies, ledger, export, verify)
