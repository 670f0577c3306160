"""How the platform looks keys up: the owner's prepared table and the asker's hint stay in the contract's folder."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from lingqu.kinds.errands import Columns, Errand, Finding
from lingqu.kinds.errors import BadInput, Refused
from lingqu.lookup.rows import asked, owned, read
from lingqu.lookup.steps import FOUND, LookupArguments
from lingqu.pir import Hint, Serving, Table, Terms, connect

_TABLE = "table"
_HINT = "hint"


def run(errand: Errand) -> Finding | None:
    """Look up the keys that the asker gave its run; the answers there, None at the owner.

    Cost and disclosure: as the mechanism declares.  The first run of a contract prepares the owner's table and fetches
    the hint; both are kept, each at its party, and go with the contract.
    Memory: at the owner the scanned columns while it prepares, at the asker the hint.
    """
    arguments = LookupArguments.parse(json.dumps(errand.arguments))
    terms = Terms(table=arguments.table, queries=arguments.queries, value=arguments.width)
    if errand.channel.party == arguments.asker:
        return _ask(errand, arguments, terms)
    if errand.given is not None:
        raise Refused("Keys were given to the owner's run.", "Let the other side ask.", term="recipients")
    _serve(errand, arguments, terms)
    return None


def _serve(errand: Errand, arguments: LookupArguments, terms: Terms) -> None:
    scanned = errand.inputs[0]
    if scanned is None:
        raise Refused("The owner looks nothing up in its own table.", "Run the signed plan.", term="plan")
    table = _prepared(errand.folder / _TABLE, arguments, scanned)
    serving = Serving(errand.channel, table, terms)
    serving.open()
    errand.gate()
    serving.answer()


def _prepared(folder: Path, arguments: LookupArguments, scanned: Columns) -> Table:
    """The table that an earlier run prepared, or a new one."""
    with contextlib.suppress(BadInput):
        return Table.open(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return Table.build(owned(arguments, scanned), value=arguments.width, room=arguments.rows, folder=folder)


def _ask(errand: Errand, arguments: LookupArguments, terms: Terms) -> Finding:
    if errand.given is None:
        raise BadInput("A lookup needs keys.", "Give them with the run.")
    cells, keys = asked(arguments, errand.given)
    known = None
    with contextlib.suppress(BadInput):
        known = Hint.load(errand.folder / _HINT)
    session = connect(errand.channel, terms, known)
    if session.hint is not known:
        session.hint.save(errand.folder / _HINT)
    session.prepare(arguments.queries)
    errand.gate()
    # A key that is null, and every query beyond the keys, asks for what no table has.
    padded = [secrets.token_bytes(32) if one is None else one for one in (*keys, *[None] * arguments.queries)]

    def said() -> None:
        session.close()
        errand.report(len(keys), len(keys))
        errand.leave()

    answers = session.lookup(padded[: arguments.queries], said)
    owner = errand.channel.parties[1 - arguments.asker]
    columns: dict[str, Any] = {FOUND: answers.found[: len(keys)]}
    for place, column in enumerate(cells):
        whole = not any(isinstance(cell, str) for cell in column)
        filler = 0 if whole else ""
        values = [filler if cell is None else cell for cell in column]
        columns[f"key{place}"] = np.array(values, np.int64 if whole else object)
        columns[f"key{place}_null"] = np.array([cell is None for cell in column], bool)
    return Finding(columns | dict(read(arguments, answers.values[: len(keys)], owner)))
