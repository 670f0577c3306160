"""How the platform intersects a small registered table with a published one; what both keep is the contract's."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from lingqu.kinds.errands import Errand, Finding
from lingqu.kinds.errors import BadInput, Refused
from lingqu.psi.elements import Elements
from lingqu.psi.parts import filled
from lingqu.psi.runner import Part
from lingqu.psi.unbalanced.changes import changes, keep_elements, kept_elements, without
from lingqu.psi.unbalanced.holder import Holder
from lingqu.psi.unbalanced.published import Published
from lingqu.psi.unbalanced.session import exchange, serve
from lingqu.psi.unbalanced.terms import UnbalancedTerms

_HOLDER = "holder"
_KEYS = "keys"
_PUBLISHED = "published"


def run(errand: Errand) -> Finding | None:
    """Intersect the one recipient's table with the other, which is published to it once; its rows in both.

    Both sets are filled with random elements to their tables' numbers of rows.  The first run of a contract tags the
    owner's table and sends the tags; both are kept, each at its party, and go with the contract.  Later runs read no
    row of the owner's.  A further contract over the same program, as after a change of a table, begins with what the
    earlier one left: keys that came and went are tagged, and their tags sent.
    Cost and disclosure: as the mechanism declares.
    Memory: the scanned columns and their keys, and the published set at either side.
    """
    if len(errand.recipients) != 1:
        raise Refused("A table is published to one party.", "Name one recipient.", term="recipients")
    part, client = Part.of(errand), errand.recipients[0]
    terms = UnbalancedTerms(forms=part.arguments.forms, queries=part.rows[client], largest=part.rows[1 - client])
    if errand.channel.party == client:
        return _ask(errand, part, terms)
    _serve(errand, part, terms)
    return None


def _serve(errand: Errand, part: Part, terms: UnbalancedTerms) -> None:
    holder = _held(errand, part, terms)
    errand.gate()
    serve(errand.channel, holder, terms)
    errand.report(part.side.rows, part.side.rows)


def _held(errand: Errand, part: Part, terms: UnbalancedTerms) -> Holder:
    """What an earlier run of this contract published, or one of an earlier contract, changed, or what this run does."""
    folder = errand.folder / _HOLDER
    with contextlib.suppress(BadInput):
        return Holder.load(folder)
    shutil.rmtree(folder, ignore_errors=True)
    renewed = None
    if errand.earlier is not None:
        with contextlib.suppress(BadInput, Refused):
            renewed = _renewed(errand.earlier / _HOLDER, part, terms.queries)
    if renewed is None:
        own = filled(part.elements(), part.side.rows)
        renewed = Holder.publish(own, terms.queries), own
    holder, own = renewed
    keep_elements(folder / _KEYS, own)
    holder.save(folder)
    return holder


def _renewed(folder: Path, part: Part, queries: int) -> tuple[Holder, Elements]:
    """The next version of an earlier contract's set, and its elements.

    BadInput where nothing whole is there, Refused where the set has outgrown its tags.
    """
    holder, before = Holder.load(folder), kept_elements(folder / _KEYS)
    added, removed = changes(before, part.elements(), part.side.rows)
    if len(added) or len(removed):
        holder.update(added, removed, queries)
    elif not holder.published.shape.holds(len(holder.published), queries):
        raise Refused("The tags are too short for so many queries.", "Publish again.", term="set-size")
    return holder, without(before, removed, added)


def _ask(errand: Errand, part: Part, terms: UnbalancedTerms) -> Finding:
    own, folder = part.elements(), errand.folder / _PUBLISHED
    known, kept = None, False
    for place in (folder, errand.earlier and errand.earlier / _PUBLISHED):
        if known is None and place is not None:
            with contextlib.suppress(BadInput):
                known, kept = Published.load(place), place == folder
    errand.gate()
    asked = exchange(errand.channel, filled(own, part.side.rows), terms, known)
    if not kept or known is None or known.digest != asked.published.digest:
        shutil.rmtree(folder, ignore_errors=True)
        asked.published.save(folder)
    errand.report(part.side.rows, part.side.rows)
    errand.leave()
    found = asked.found().elements
    assert found is not None  # the client of a published set learns which of its elements are there
    return part.found(own.marked(found[found < len(own)]))
