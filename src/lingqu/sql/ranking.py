"""ORDER BY with LIMIT on shares: rows beyond the limit stay closed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lingqu.plan.choose import Work
from lingqu.plan.frontend import Sealed
from lingqu.share import Machine, SortKey
from lingqu.share.api import Shared
from lingqu.share.ordering import top_rows
from lingqu.sql.steps import Ranked


def first_sealed(machine: Machine, sealed: Sealed, order: Sequence[Ranked], top: int, minimum: int) -> Sealed:
    """The first `top` rows in an order, of those that rest on at least `minimum` rows.

    A value whose own guard fails counts as null, as it will be shown.  Cost: as `ranking_work`.  Discloses: nothing:
    how many rows there are beyond the first stays hidden.
    """
    rows = len(sealed.count)
    names, guards = list(sealed.values), list(sealed.guards)
    counts = machine.stack([sealed.count, *(sealed.guards[name] for name in guards)])
    enough = machine.logical_not(machine.less_than(counts, minimum))
    keep = enough[0] if sealed.valid is None else machine.logical_and(enough[0], machine.parity(sealed.valid))
    flags = machine.inject(enough[1:]) if guards else None
    keys = []
    width = max((ranked.bits for ranked in order), default=2)
    for ranked in order:
        present: Shared | None = None
        value = sealed.values[ranked.value]
        if ranked.absent >= 0:
            present = machine.inject(machine.logical_not(machine.equal(value, ranked.absent)))
        elif flags is not None and ranked.value in sealed.guards:
            present = flags[guards.index(ranked.value)]
        keys.append(SortKey(value, ranked.descending, present, ranked.nulls_last, width))
    valid = sealed.valid if sealed.valid is not None else machine.constant(np.ones(rows, np.int64))
    tables = [sealed.values[name].reshape(rows, -1) for name in names]
    columns = [valid, sealed.count, *(sealed.guards[name] for name in guards)]
    moved = top_rows(machine, keep, keys, [*(column.reshape(rows, 1) for column in columns), *tables], top)
    flat = [column[:, 0] for column in moved[: len(columns)]]
    return Sealed(
        values=dict(zip(names, moved[len(columns) :], strict=True)),
        count=flat[1],
        valid=flat[0],
        fractions=sealed.fractions,
        guards=dict(zip(guards, flat[2:], strict=True)),
    )


def ranking_work(order: Sequence[Ranked], rows: int, guarded: Sequence[str], width: int) -> list[Work]:
    """The operations that `first_sealed` takes.  guarded: names with a guard.  width: of all values together."""
    absent = sum(1 for ranked in order if ranked.absent >= 0)
    nullable = absent + sum(1 for ranked in order if ranked.absent < 0 and ranked.value in guarded)
    one = {"rows": rows, "columns": 1}
    return [
        Work("less_than", {"rows": rows * (1 + len(guarded)), "columns": 1}),
        Work("logical_and", {"rows": rows, "bits": 1}),
        *([Work("inject", {"rows": rows * len(guarded)})] if guarded else []),
        *([Work("equal", one), Work("inject", one)] * absent),
        Work(
            "top_rows",
            {
                "rows": rows,
                "keys": len(order),
                "nullable": nullable,
                "bits": max((ranked.bits for ranked in order), default=2),
                "columns": 2 + len(guarded) + width,
            },
        ),
    ]
