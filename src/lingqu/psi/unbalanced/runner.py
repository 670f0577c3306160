"""How the platform intersects a small registered table with a published one; what both keep is the contract's."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from lingqu.kinds.errands import Errand, Finding
from lingqu.kinds.errors import BadInput, Refused
from lingqu.psi.parts import filled
from lingqu.psi.runner import Part
from lingqu.psi.unbalanced.holder import Holder
from lingqu.psi.unbalanced.published import Published
from lingqu.psi.unbalanced.session import intersect, serve
from lingqu.psi.unbalanced.terms import UnbalancedTerms

_HOLDER = "holder"
_PUBLISHED = "published"


def run(errand: Errand) -> Finding | None:
    """Intersect the one recipient's table with the other, which is published to it once; its rows in both.

    Both sets are filled with random elements to their tables' numbers of rows.  The first run of a contract tags the
    owner's table and sends the tags; both are kept, each at its party, and go with the contract.  Later runs read no
    row of the owner's.  Cost and disclosure: as the mechanism declares.
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
    holder = _held(errand.folder / _HOLDER, part, terms)
    errand.gate()
    serve(errand.channel, holder, terms)
    errand.report(part.side.rows, part.side.rows)


def _held(folder: Path, part: Part, terms: UnbalancedTerms) -> Holder:
    """What an earlier run published, or what this one does."""
    with contextlib.suppress(BadInput):
        return Holder.load(folder)
    shutil.rmtree(folder, ignore_errors=True)
    holder = Holder.publish(filled(part.elements(), part.side.rows), terms.queries)
    holder.save(folder)
    return holder


def _ask(errand: Errand, part: Part, terms: UnbalancedTerms) -> Finding:
    own, folder = part.elements(), errand.folder / _PUBLISHED
    known = None
    with contextlib.suppress(BadInput):
        known = Published.load(folder)
    errand.gate()
    asked = intersect(errand.channel, filled(own, part.side.rows), terms, known)
    if known is None or known.digest != asked.published.digest:
        shutil.rmtree(folder, ignore_errors=True)
        asked.published.save(folder)
    errand.report(part.side.rows, part.side.rows)
    found = asked.intersection.elements
    assert found is not None  # the client of a published set learns which of its elements are there
    return part.found(own.rows_of(found[found < len(own)]))
