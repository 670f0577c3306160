"""The machine that a plan names, found among installed packages and connected; a name only ever selects among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import Any

from lingqu.kinds.channel import Channel
from lingqu.kinds.errands import Runner
from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.mechanism import Adversary, Declaration, installed
from lingqu.plan.plan import LOCAL, Plan
from lingqu.share.outside import Doorway


def mechanism_of(plan: Plan) -> str:
    """The one mechanism that a plan's steps name.

    Refused for a mixture, for one that computes in the clear, and for one whose own declaration is of other parties or
    withstands less than the plan promises: whoever compiled it, such a plan does not run here.
    """
    names = sorted({step.mechanism for step in plan.steps} - {LOCAL})
    if len(names) != 1:
        raise Refused(
            f"The plan uses {', '.join(names) or 'no mechanism'}.", "One mechanism a plan.", term="techniques"
        )
    declaration = installed().get(names[0])
    if declaration.ideal:
        raise Refused(f"{names[0]} computes in the clear.", "It is for tests only.", term="techniques")
    threat = declaration.threat
    if not threat.adversary.withstands(plan.adversary):
        raise Refused(
            f"{names[0]} withstands {threat.adversary.value} parties only, the plan promises {plan.adversary.value}.",
            "Run the signed plan.",
            term="adversary",
        )
    if not threat.takes(len(plan.parties)):
        raise Refused(
            f"{names[0]} runs among {threat.count} parties, the plan has {len(plan.parties)}.",
            "Run the signed plan.",
            term="parties",
        )
    return names[0]


def connect(name: str, channel: Channel) -> Any:
    """A machine of an installed mechanism over a channel of its compute parties (entry points `lingqu.machines`)."""
    made: Callable[[Channel], Any] = _loaded("lingqu.machines", name)
    return made(channel)


def machine_for(plan: Plan, channel: Channel) -> Any:
    """The machine of the one mechanism that a plan names, over a channel of its compute parties."""
    return connect(mechanism_of(plan), channel)


def doorway(name: str) -> Doorway:
    """How a mechanism meets parties that do not compute (entry points `lingqu.doorways`)."""
    found: Doorway = _loaded("lingqu.doorways", name)
    return found


def runner(name: str) -> Runner | None:
    """What carries out a mechanism's errands (entry points `lingqu.runners`); None where it computes on shares."""
    points = entry_points(group="lingqu.runners", name=name)
    found: Runner | None = next(iter(points)).load() if points else None
    return found


def fitting(parties: int, adversary: Adversary, declarations: Iterable[Declaration]) -> str:
    """The mechanism of so many parties that withstands the adversary, none stronger than needed; BadInput if none."""
    found = [one for one in declarations if not one.ideal and entry_points(group="lingqu.machines", name=one.name)]
    able = [one for one in found if one.threat.parties == parties and one.threat.adversary.withstands(adversary)]
    if not able:
        known = "; ".join(f"{one.name}: {one.threat.parties} parties, {one.threat.adversary.value}" for one in found)
        raise BadInput(
            f"No installed protocol of {parties} parties withstands {adversary.value} ones.",
            f"Installed: {known or 'none'}.",
        )
    return min(able, key=lambda one: (not adversary.withstands(one.threat.adversary), one.name)).name


def _loaded(group: str, name: str) -> Any:
    points = entry_points(group=group, name=name)
    if not points:
        raise BadInput(f"Nothing installed runs {name} here ({group}).", "Install the package that declares it.")
    return next(iter(points)).load()
