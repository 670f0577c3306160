"""The disclosure statement, composed from what the steps say they reveal."""

from __future__ import annotations

from collections.abc import Sequence

from lingqu.kinds.disclosure import Fact, Learned, Statement
from lingqu.kinds.schema import Asset
from lingqu.plan.plan import Setting, Step

CATALOGUE = "catalogue"
"""Where a line of a statement comes from that no step reveals: what the catalogue publishes anyway."""


def compose(steps: Sequence[Step], setting: Setting, assets: Sequence[Asset], withheld: Sequence[str]) -> Statement:
    """What each compute party will learn: others' row counts, public shapes, what steps reveal; and nothing else.

    withheld: what nobody learns.  Lines keep the order of the steps; a line that is said twice is said once.
    """
    learned: dict[str, tuple[Learned, ...]] = {}
    for party in sorted(setting.parties):
        lines = [
            Learned(
                fact=Fact.ROW_COUNT,
                about=f"{asset.id} has {asset.rows} rows (public in the catalogue)",
                step=CATALOGUE,
            )
            for asset in assets
            if asset.owner != party
        ]
        said: set[tuple[Fact, str]] = set()
        for step in steps:
            for told in step.reveals:
                if told.party == party and (told.fact, told.about) not in said:
                    said.add((told.fact, told.about))
                    lines.append(Learned(fact=told.fact, about=told.about, step=step.id))
        learned[party] = tuple(lines)
    return Statement(learned=learned, withheld=tuple(withheld))


def text(statement: Statement) -> str:
    """The statement as owners read it: one paragraph a party, then what is withheld."""
    lines: list[str] = []
    for party in sorted(statement.learned):
        lines.append(f"{party} learns:")
        entries = statement.learned[party]
        lines += [f"  - {entry.about} [{entry.fact.value}, {entry.step}]" for entry in entries]
        lines.append("  - nothing else" if entries else "  - nothing")
    if statement.withheld:
        lines.append("Nobody learns:")
        lines += [f"  - {line}" for line in statement.withheld]
    return "\n".join(lines)
