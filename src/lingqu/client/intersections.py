"""Intersections of two or more organisations' tables: explain, propose, run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lingqu.client.answers import Result
from lingqu.client.asked import Agreement, Arranged, Asked
from lingqu.kinds.documents import canonical
from lingqu.kinds.errors import BadInput
from lingqu.kinds.programs import Program
from lingqu.node.remote import Progress, Remote

if TYPE_CHECKING:
    from lingqu.intersect import IntersectSpec

On = str | Sequence[str | tuple[str, ...]]


class Intersection(Asked):
    """An intersection with its purpose: explain it, propose a contract over it, run it."""

    def __init__(
        self, remote: Remote, spec: IntersectSpec, purpose: str, minimum_group: int, arranged: Arranged
    ) -> None:
        program = Program(kind="intersect", text=spec.canonical().decode())
        super().__init__(remote, program, purpose, minimum_group, arranged)
        self.spec = spec

    def run(self, contract: str | Agreement | None = None, *, progress: Progress | None = None) -> Result:
        """Run it and return this organisation's rows that are in all tables, or the number of keys; as `Query.run`.

        A run that broke off goes on where it was when it is run again: it takes another use.
        """
        return self.result(contract, {}, progress)

    def __repr__(self) -> str:
        tables = " and ".join(side.table for side in self.spec.tables)
        return f"<Intersection of {tables}, for {self.purpose!r}>"


def specified(
    tables: tuple[str, ...],
    on: On,
    forms: str | Sequence[str],
    columns: Mapping[str, Sequence[str]],
    result: str,
    largest: int | Mapping[str, int] | None,
    published: bool,
    mechanism: str | None,
) -> IntersectSpec:
    """The specification from its short form; arguments as for `Client.intersect`."""
    from lingqu.intersect import IntersectSpec

    names = [on] if isinstance(on, str) else list(on)
    keys = [(name,) * len(tables) if isinstance(name, str) else tuple(name) for name in names]
    if any(len(key) != len(tables) for key in keys):
        raise BadInput(f"A key has one column in each of the {len(tables)} tables.", "Name as many, or one for all.")
    most: Mapping[str, int | None] = largest if isinstance(largest, Mapping) else dict.fromkeys(tables, largest)
    strange = sorted({*columns, *most} - set(tables))
    if strange:
        raise BadInput(f"{strange[0]} is not among these tables.", f"They are {' and '.join(tables)}.")
    document: dict[str, Any] = {
        "tables": [
            {
                "table": table,
                "keys": [key[side] for key in keys],
                "columns": list(columns.get(table, ())),
                "largest": most.get(table),
            }
            for side, table in enumerate(tables)
        ],
        "forms": [forms] * len(keys) if isinstance(forms, str) else list(forms),
        "result": result,
        "published": published,
        "mechanism": mechanism,
    }
    return IntersectSpec.parse(canonical(document))
