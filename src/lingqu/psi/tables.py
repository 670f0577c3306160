"""What the intersection of two registered tables declares: the protocols' operations, part by part, over padded sets.

Sizes.  left, right: rows of the receiver's table and of the other; recipients: 1 (the left side) or 2; most: rows of
the larger in a part.  Of more than two tables: parties; leader: rows of the one that leads, a recipient; rows1, rows2
and so on: of the others in their order, or others for each; recipients: 1, or all; most: rows of the largest in a part.
"""

from __future__ import annotations

from dataclasses import replace

from lingqu.kinds.disclosure import Audience, Fact, Reveals
from lingqu.kinds.mechanism import Cost, Declaration, Operation, Sizes
from lingqu.psi import crowd, declaration, ecdh, many, rr22
from lingqu.psi.agreement import Result
from lingqu.psi.parts import PART, parted
from lingqu.psi.protocols import Line, seconds
from lingqu.psi.session import opening_cost

ELEMENTS = "intersect_tables"
BOTH = "intersect_tables_both"
"""To both sides."""
SIZE = "intersect_tables_size"
MANY_TABLES = "intersect_tables_many"
"""Of three or more owners' tables, to one or to all."""
PUBLISHED = "intersect_tables_published"
"""To one side, with the other's table published once as tags."""
GATE = Cost(1, 0)
EARLIER = Reveals(
    to=Audience.COMPUTE,
    fact=Fact.SHAPE,
    about="of the other side's keys its table's number of rows alone; of a run that broke off, how far it had come",
)
# A part's first message is on its way while the last one of the part before is: what each part but the first adds, by
# the number of recipients.
_FURTHER = {**dict.fromkeys(ecdh.GROUPS, (2, 4)), rr22.NAME: (6, 6), rr22.MALICIOUS: (6, 6)}
_PLAIN = {ELEMENTS: "intersect", BOTH: "intersect", SIZE: "intersection_size"}


def cost(declared: Declaration, plain: str, sizes: Sizes) -> Cost:
    """Of one of the protocol's own operations over all parts, with the session's opening and the gates' meeting."""
    rows = (sizes["left"], sizes["right"])
    recipients = sizes.get("recipients", 1)
    parts = parted(rows, whole=plain == "intersection_size", most=sizes.get("most", PART))
    left, right = parts.sizes
    each = declared.cost(plain, {"left": left, "right": right, "recipients": recipients})
    further = _FURTHER.get(declared.name, (each.rounds, each.rounds))[recipients - 1]
    total = Cost(each.rounds + further * (parts.count - 1), each.bytes * parts.count)
    return total + opening_cost(parts) + GATE


def _operation(declared: Declaration, plain: str, name: str) -> Operation:
    own = declared.operations[plain]
    told = tuple(one for one in own.reveals if one.to is Audience.RECIPIENT)
    return Operation(name, lambda sizes: cost(declared, plain, sizes), own.source, (EARLIER, *told))


def _effort(declared: Declaration, operation: str, sizes: Sizes) -> float:
    rows = (sizes.get("left", 0), sizes.get("right", 0))
    one = operation not in _PLAIN  # the protocol's own operations know no parts
    parts = parted(rows, whole=one or operation == SIZE, most=sizes.get("most", PART))
    result = Result.SIZE if _PLAIN.get(operation, operation) == _PLAIN[SIZE] else Result.ELEMENTS
    left, right = parts.sizes
    return parts.count * seconds(declared.name, Cost(), (left, right), Line(), result)


def over_tables(declared: Declaration, *, both: bool = True) -> Declaration:
    """A protocol's declaration with what the platform runs of it, and the work of all of it.

    both: whether it can tell the elements to both sides.
    """
    operations = {
        name: _operation(declared, plain, name)
        for name, plain in _PLAIN.items()
        if plain in declared.operations and (both or name != BOTH)
    }
    return replace(
        declared,
        operations={**declared.operations, **operations},
        effort=lambda operation, sizes: _effort(declared, operation, sizes),
    )


DECLARATION = over_tables(declaration.DECLARATION)
RR22 = over_tables(declaration.RR22)
RR22_MALICIOUS = over_tables(declaration.RR22_MALICIOUS, both=False)
ECDH_P256 = over_tables(declaration.ECDH_P256)
ECDH_SM2 = over_tables(declaration.ECDH_SM2)


def _rows(sizes: Sizes) -> tuple[int, ...]:
    others = [sizes.get(f"rows{place}", sizes.get("others", 0)) for place in range(1, sizes["parties"])]
    return (sizes["leader"], *others)


def _many(sizes: Sizes) -> Cost:
    """Where all are told, at the most: as if all keys of the smallest table were in every one."""
    rows, told = _rows(sizes), sizes.get("recipients", 1) > 1
    parts = parted(rows, most=sizes.get("most", PART))
    each = many.cost(parts.sizes, 0, 0 if told else None)
    found = (len(rows) - 1) * rr22.BLOCK * min(rows) if told else 0
    total = Cost(each.rounds * parts.count, each.bytes * parts.count + found)
    return total + crowd.opening_cost(len(rows), parts) + GATE


def _many_effort(operation: str, sizes: Sizes) -> float:
    if operation != MANY_TABLES:
        return 0.0
    parts = parted(_rows(sizes), most=sizes.get("most", PART))
    leader, *others = parts.sizes
    return parts.count * sum(seconds(rr22.NAME, Cost(), (leader, other), Line()) for other in others)


_MANY = declaration.MANY.operations["intersect_many"]
MANY = replace(
    declaration.MANY,
    operations={
        **declaration.MANY.operations,
        MANY_TABLES: Operation(
            MANY_TABLES,
            _many,
            _MANY.source,
            (
                Reveals(
                    to=Audience.COMPUTE,
                    fact=Fact.SHAPE,
                    about="of the other sides' keys their tables' numbers of rows alone; of a run that broke off, "
                    "how far it had come",
                ),
                *(told for told in _MANY.reveals if told.to is Audience.RECIPIENT),
            ),
        ),
    },
    effort=_many_effort,
)
