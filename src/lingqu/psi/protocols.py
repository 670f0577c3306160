"""The protocols of this room by name, and which of them suits a pair of sets.

A choice weighs the declared rounds and bytes against the line, and the work an element against a processor's core.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lingqu.kinds.channel import Channel
from lingqu.kinds.errors import BadInput
from lingqu.kinds.mechanism import Adversary, Cost
from lingqu.psi import ecdh, many, rr22
from lingqu.psi.agreement import Result, Terms
from lingqu.psi.declaration import DECLARATION, RR22, RR22_MALICIOUS
from lingqu.psi.elements import Elements
from lingqu.psi.heard import Heard, Intersection

Exchange = Callable[[Channel, Elements, Terms], Heard | None]
"""All messages of a protocol; what a recipient then compares alone, None at a party that learns nothing."""

PROTOCOLS: dict[str, Exchange] = {
    **dict.fromkeys(ecdh.GROUPS, ecdh.exchange),
    rr22.NAME: rr22.exchange,
    rr22.MALICIOUS: rr22.exchange,
    many.NAME: many.exchange,
}

_TO_ONE = {rr22.MALICIOUS}
"""Those that tell one recipient."""
_DECLARED = {ecdh.NAME: DECLARATION, rr22.NAME: RR22, rr22.MALICIOUS: RR22_MALICIOUS}
# Seconds of two cores for both parties, by the processor time of kernels and the shaped line of `make bench-psi`: to
# begin, and an element of the receiver and of the sender; for the size alone an element of either side.
_START = {rr22.NAME: 0.04, rr22.MALICIOUS: 0.05}
_ELEMENT = {
    ecdh.NAME: (4.9e-6, 3.4e-6),
    ecdh.P256: (2.0e-4, 1.3e-4),
    ecdh.SM2: (4.3e-4, 2.7e-4),
    rr22.NAME: (4e-7, 4e-7),
    rr22.MALICIOUS: (5e-7, 5e-7),
}
_COUNTED = {ecdh.NAME: 6e-6, ecdh.P256: 2.2e-4, ecdh.SM2: 4.5e-4}


@dataclass(frozen=True)
class Line:
    """The line between two parties.  bytes_per_second: in one direction.  round_trip: seconds."""

    bytes_per_second: float = 1e9
    round_trip: float = 1e-4


@dataclass(frozen=True)
class Choice:
    """A protocol, the seconds it is expected to take, and why it was taken."""

    protocol: str
    seconds: float
    reason: str


def exchange(channel: Channel, own: Elements, terms: Terms) -> Heard | None:
    """All messages of an intersection by the protocol that the terms name; what a recipient then compares alone.

    Both call it alike.  None at a party that learns nothing.  What the peer sees of this party's times does not depend
    on how many elements match, where the peer may not know that.
    Cost, work, memory and disclosure: see the protocol's own module.  BadInput for a protocol that is not known.
    """
    run = PROTOCOLS.get(terms.protocol)
    if run is None:
        raise BadInput(f"There is no intersection protocol {terms.protocol!r}.", f"Known: {', '.join(PROTOCOLS)}.")
    return run(channel, own, terms)


def intersect(channel: Channel, own: Elements, terms: Terms) -> Intersection:
    """Intersect this party's set with its peer's: `exchange`, and then what it left to compare."""
    heard = exchange(channel, own, terms)
    if heard is None:
        return Intersection(None, None)
    elements = heard.compare()
    return Intersection(len(elements), None if terms.result is Result.SIZE else elements)


def seconds(protocol: str, cost: Cost, sizes: tuple[int, int], line: Line, result: Result = Result.ELEMENTS) -> float:
    """What a run is expected to take: its rounds, the bytes of the busier direction at most, and the work.

    Points travel while others are computed, so of their bytes and their work the longer counts.
    sizes: elements of the receiver and of the sender.
    """
    each = (_COUNTED[protocol],) * 2 if result is Result.SIZE else _ELEMENT[protocol]
    work = _START.get(protocol, 0.0) + each[0] * sizes[0] + each[1] * sizes[1]
    sent = cost.bytes / line.bytes_per_second
    busy = max(work, sent) if protocol in ecdh.GROUPS else work + sent
    return busy + cost.rounds * line.round_trip / 2


def choose(
    sizes: tuple[int, int],
    line: Line | None = None,
    *,
    result: Result = Result.ELEMENTS,
    recipients: int = 1,
    adversary: Adversary = Adversary.SEMI_HONEST,
) -> Choice:
    """The quickest protocol that gives this result against this adversary, and why.

    sizes: elements of the receiver and of the sender.  recipients: how many learn the result, 1 or 2.
    BadInput names what each lacks when none fits.
    """
    line = line or Line()
    operation = "intersection_size" if result is Result.SIZE else "intersect"
    known, lacking = {}, []
    for name, declaration in _DECLARED.items():
        if operation not in declaration.operations:
            lacking.append(f"{name} tells more than the number")
        elif not declaration.threat.adversary.withstands(adversary):
            lacking.append(f"{name} holds against {declaration.threat.adversary.value} parties")
        elif recipients > 1 and name in _TO_ONE:
            lacking.append(f"{name} tells one recipient")
        else:
            size = {"left": sizes[0], "right": sizes[1], "recipients": recipients}
            known[name] = seconds(name, declaration.cost(operation, size), sizes, line, result)
    if not known:
        raise BadInput(
            f"No intersection protocol fits: {'; '.join(lacking)}.",
            "Ask for less, for one recipient, or of other parties.",
        )
    best = min(known, key=lambda name: known[name])
    others = [f"{name} about {known[name]:.2g} s" for name in known if name != best] + lacking
    return Choice(best, known[best], f"{best} about {known[best]:.2g} s" + "".join(f"; {other}" for other in others))
