"""The choice of a mechanism: the cheapest declared one whose threat model fits the setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lingqu.kinds.errors import Refused
from lingqu.kinds.mechanism import Cost, Declaration, Sizes
from lingqu.plan.plan import Setting

LATENCY = 0.002
"""Seconds a round is taken to cost in estimates: two machines in one city."""
BANDWIDTH = 12_500_000
"""Bytes a second that estimates assume: 100 Mbit/s between all parties together."""


@dataclass(frozen=True)
class Work:
    """One operation that a step uses, with the public sizes its cost depends on, `times` in sequence."""

    operation: str
    sizes: Sizes = field(default_factory=dict)
    times: int = 1


def entering(setting: Setting, owner: str, rows: int, columns: int, words: Sequence[int] = ()) -> list[Work]:
    """The operations by which an owner's rows become shares.

    columns: values a row.  words: bits of each key.  An owner that does not compute sends its shares from outside.
    """
    outside = "" if owner in setting.parties else "_outside"
    work = [Work(f"input{outside}", {"rows": rows, "columns": columns})] if columns else []
    work += [Work(f"input_bits{outside}", {"rows": rows, "columns": 1, "bits": bits}) for bits in words]
    return work


def opening(setting: Setting, rows: int, columns: int) -> list[Work]:
    """The operations by which values are opened to every recipient, whether it computes or not."""
    sizes = {"rows": rows, "columns": columns}
    return [
        Work("reveal", {**sizes, "recipients": 1}) if name in setting.parties else Work("reveal_outside", sizes)
        for name in setting.recipients
    ]


def seconds(cost: Cost, latency: float | None = None, bandwidth: float | None = None) -> float:
    """The estimated duration of a cost on a network; None: as the reference network (LATENCY, BANDWIDTH).

    latency: of a round, seconds.  bandwidth: bytes a second.  Computation is not counted.
    """
    wait, width = (LATENCY if latency is None else latency), (BANDWIDTH if bandwidth is None else bandwidth)
    return cost.rounds * wait + cost.bytes / width


def cost(declaration: Declaration, work: Sequence[Work]) -> Cost:
    """What a mechanism declares for some work, done one after the other."""
    total = Cost()
    for item in work:
        total += declaration.cost(item.operation, item.sizes) * item.times
    return total


def preparation(declaration: Declaration, work: Sequence[Work]) -> Cost:
    """What making that work's correlations takes beside its own cost, in a session that has none yet."""
    if declaration.preparation is None:
        return Cost()
    return declaration.preparation([(item.operation, item.sizes, item.times) for item in work])


def effort(declaration: Declaration, work: Sequence[Work]) -> float:
    """Seconds of a processor core that some work takes at each party, as far as the mechanism declares them."""
    if declaration.effort is None:
        return 0.0
    return sum(declaration.effort(item.operation, item.sizes) * item.times for item in work)


def choose(setting: Setting, work: Sequence[Work]) -> tuple[Declaration, str]:
    """The cheapest installed mechanism that fits the setting and offers all operations, and the reason in words.

    Refused (term "techniques") names why each candidate fails.  Ties are broken by name, so every node chooses alike.
    """
    fitting: list[tuple[float, str, Declaration]] = []
    failures: list[str] = []
    for name in sorted(setting.registry.declarations):
        declaration = setting.registry.declarations[name]
        failure = _failure(declaration, setting, work)
        if failure is None:
            total = cost(declaration, work) + preparation(declaration, work)
            duration = seconds(total, setting.latency, setting.bandwidth) + effort(declaration, work)
            fitting.append((duration, name, declaration))
        elif name in setting.techniques or _able(declaration, work):  # others carry no such programs
            failures.append(f"{name}: {failure}")
    if not fitting:
        raise Refused(
            f"No mechanism fits. {'; '.join(failures) or 'None is installed'}.",
            _cure(setting, work),
            term="techniques",
        )
    _, name, chosen = min(fitting, key=lambda entry: entry[:2])
    others = f"cheapest of {len(fitting)} that fit" if len(fitting) > 1 else "the only one that fits"
    return chosen, f"{name}: {others} ({chosen.threat.among(len(setting.parties))})"


@dataclass(frozen=True)
class Aligning:
    """Whether two owners' tables can be aligned, with keys that stay at their owners.

    rows: of the result for so many rows of the owner that asks; None where shared rows must be sorted.  why: in words.
    """

    rows: Callable[[int], int] | None
    why: str


def aligning(setting: Setting, one: str, other: str) -> Aligning:
    """Whether these two owners' tables can be aligned in a setting; alignment is always cheaper than sorting."""
    if one == other:
        return Aligning(None, "both tables are one owner's")
    if not {one, other} <= set(setting.parties):
        outside = ", ".join(sorted({one, other} - set(setting.parties)))
        return Aligning(None, f"{outside} does not compute")
    why = []
    for name in sorted(setting.registry.declarations):
        declaration = setting.registry.declarations[name]
        if declaration.aligned_rows is not None and _failure(declaration, setting, [Work("align")]) is None:
            return Aligning(declaration.aligned_rows, f"{name} looks keys up that stay at their owners")
        if name in setting.techniques and _failure(declaration, setting, []) is None:
            why.append(f"{name} offers no alignment")
    return Aligning(None, " and ".join(why) or "no mechanism offers alignment")


def whole(declaration: Declaration) -> bool:
    """Whether a mechanism carries whole programs: it takes values in and gives them out, and is not ideal."""
    return not declaration.ideal and declaration.operations.keys() >= {"input", "reveal"}


def _able(declaration: Declaration, work: Sequence[Work]) -> bool:
    """Whether a mechanism offers everything that some work takes, and is not ideal."""
    return not declaration.ideal and declaration.operations.keys() >= {item.operation for item in work}


def _cure(setting: Setting, work: Sequence[Work]) -> str:
    """What would let some installed mechanism fit, by the declarations alone."""
    able = [declaration for declaration in setting.registry.declarations.values() if _able(declaration, work)]
    strong = [d for d in able if d.threat.adversary.withstands(setting.adversary)]
    here = [d.name for d in strong if d.threat.takes(len(setting.parties))]
    if here:
        return f"Agree on a contract that allows {' or '.join(sorted(here))}."
    if strong:
        ways = sorted(f"{d.threat.count} compute parties for {d.name}" for d in strong)
        return f"Name {' or '.join(ways)}."
    weaker = sorted(d.name for d in able)
    if weaker:
        return (
            f"Install a mechanism that withstands {setting.adversary.value} parties. {', '.join(weaker)} would run "
            "this with a weaker promise, under a contract that says so."
        )
    return "Install a mechanism that offers what is missing, or change the program."


def _failure(declaration: Declaration, setting: Setting, work: Sequence[Work]) -> str | None:
    if declaration.ideal:
        return "computes in the clear, for tests only"
    if declaration.name not in setting.techniques:
        return "not among the techniques that the contract allows"
    if not declaration.threat.adversary.withstands(setting.adversary):
        return f"withstands {declaration.threat.adversary.value} parties only, {setting.adversary.value} is asked for"
    if not declaration.threat.takes(len(setting.parties)):
        return f"needs {declaration.threat.count} compute parties, there are {len(setting.parties)}"
    missing = sorted({item.operation for item in work} - set(declaration.operations))
    if missing:
        return f"does not offer {', '.join(missing)}"
    return None
