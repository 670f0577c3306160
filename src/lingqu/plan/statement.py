"""The disclosure statement, composed from what the steps say they reveal."""

from __future__ import annotations

from collections.abc import Sequence

from lingqu.kinds.disclosure import Fact, Learned, Statement
from lingqu.kinds.mechanism import Adversary, Threat
from lingqu.kinds.schema import Asset
from lingqu.plan.plan import Setting, Step

CATALOGUE = "catalogue"
"""Where a line of a statement comes from that no step reveals: what the catalogue publishes anyway."""
ABORT = "if a check fails: that the computation was aborted by it, and when; not who deviated, nothing of a result"


def compose(
    steps: Sequence[Step],
    setting: Setting,
    threat: Threat,
    assets: Sequence[Asset],
    withheld: Sequence[str],
    manner: str = "compute on shares",
) -> Statement:
    """What each party will learn: others' row counts, public shapes, what steps reveal; and nothing else.

    threat: of the mechanism that was chosen.  withheld: what nobody learns.  manner: what the compute parties do.
    Lines keep the order of the steps; a line that is said twice is said once.
    """
    learned: dict[str, tuple[Learned, ...]] = {}
    outside = setting.outside(asset.owner for asset in assets)
    for party in sorted((*setting.parties, *outside)):
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
        if threat.adversary is Adversary.MALICIOUS_ABORT:
            lines.append(Learned(fact=Fact.ABORT, about=ABORT, step=steps[-1].id))
        learned[party] = tuple(lines)
    return Statement(learned=learned, withheld=tuple(withheld), assumes=assumption(setting.parties, threat, manner))


def assumption(parties: Sequence[str], threat: Threat, manner: str = "compute on shares") -> str:
    """What must hold of the compute parties for a statement to be true, in words.

    threat: of the mechanism; its corruptions are the parties that may work against the others together.
    manner: what the compute parties do.
    """
    names = ", ".join(parties)
    few = {1: "one", 2: "two"}.get(threat.corruptions, str(threat.corruptions))
    allies = "they do not" if len(parties) == 2 else "no two of them" if few == "one" else f"no more than {few} of them"
    if threat.adversary is Adversary.MALICIOUS_ABORT:
        return (
            f"{names} {manner}. This holds whatever {few} of them may do instead of following the protocol, "
            f"as long as {allies} act together: a deviation is found before anything is opened and ends "
            f"the computation ({threat.assumption})."
        )
    return (
        f"{names} {manner}. This holds while each of them follows the protocol and {allies} pool what they "
        f"hold; a party that deviates is not noticed ({threat.assumption})."
    )


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
    if statement.assumes:
        lines += ["On this condition:", f"  - {statement.assumes}"]
    return "\n".join(lines)
