"""Private lookups in another organisation's table: explain, propose, run with keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lingqu.client.answers import Result
from lingqu.client.asked import Agreement, Arranged, Asked
from lingqu.kinds.documents import canonical
from lingqu.kinds.errors import BadInput
from lingqu.kinds.programs import Program
from lingqu.node.remote import Progress, Remote

if TYPE_CHECKING:
    from lingqu.lookup import LookupSpec


class Lookup(Asked):
    """A table that may be looked into, with the purpose: explain it, propose a contract over it, run it with keys."""

    def __init__(self, remote: Remote, spec: LookupSpec, purpose: str, arranged: Arranged) -> None:
        program = Program(kind="lookup", text=spec.canonical().decode())
        super().__init__(remote, program, purpose, 2, arranged)
        self.spec = spec

    def run(self, keys: Any, contract: str | Agreement | None = None, *, progress: Progress | None = None) -> Result:
        """Look keys up and return, for each in its order, whether the table has it and its row's columns.

        keys: a list of values, or of tuples for several key columns; columns by name; or a frame that has them.
        At most the agreed number for a run.  The keys go to this organisation's own node and no further.
        contract, progress, errors: as for `Query.run`.  The first run of a contract takes longer: the owner prepares
        its table.
        """
        from lingqu.lookup.keys import given

        found = [asset for asset in self._remote.catalog() if asset.id == self.spec.table]
        if not found:
            raise BadInput(f"The catalogue has no {self.spec.table!r}.", "Look at `client.catalog()`.")
        return self.result(contract, {}, progress, given(keys, self.spec, found[0]))

    def __repr__(self) -> str:
        return f"<Lookup in {self.spec.table}, for {self.purpose!r}>"


def lookup_spec(
    table: str, on: str | Sequence[str], columns: Sequence[str], forms: str | Sequence[str], queries: int, width: int
) -> LookupSpec:
    """The specification from its short form; arguments as for `Client.lookup`."""
    from lingqu.lookup import LookupSpec

    keys = [on] if isinstance(on, str) else list(on)
    document = {
        "table": table,
        "keys": keys,
        "forms": [forms] * len(keys) if isinstance(forms, str) else list(forms),
        "columns": list(columns),
        "queries": queries,
        "width": width,
    }
    return LookupSpec.parse(canonical(document))
