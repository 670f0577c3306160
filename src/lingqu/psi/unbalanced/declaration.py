"""What an unbalanced intersection declares: threat, cost and disclosure.

Sizes.  left: elements of the client; right: of the server; count: the most queries of a session that the set is
published for (that of the terms; `left` where it is not named); size: elements that came and went in one version.
"""

from __future__ import annotations

from lingqu.kinds.disclosure import Audience, Fact, Reveals
from lingqu.kinds.mechanism import Adversary, Cost, Declaration, Operation, Sizes, Threat
from lingqu.psi.tables import EARLIER, GATE, PUBLISHED
from lingqu.psi.unbalanced.session import POINT
from lingqu.psi.unbalanced.terms import ABOUT, HELLO, NAME, Shape

SIZES = Reveals(to=Audience.COMPUTE, fact=Fact.ROW_COUNT, about="how many different keys either side has")
ELEMENTS = Reveals(to=Audience.RECIPIENT, fact=Fact.INTERSECTION, about="which of its own keys the other side has too")
CHANGES = Reveals(
    to=Audience.RECIPIENT,
    fact=Fact.ROW_COUNT,
    about="between versions how many keys came and went, and whether one did that it has asked about before",
)
RENEWED = Reveals(
    to=Audience.RECIPIENT,
    fact=Fact.ROW_COUNT,
    about="where an earlier contract over this program left its tags: how many keys came and went since, and whether "
    "one did that it has asked about before",
)


def _ask(sizes: Sizes) -> Cost:
    return Cost(2, HELLO.size + ABOUT + 2 * POINT * sizes["left"])


def _first(sizes: Sizes) -> Cost:
    shape = Shape.of(sizes["right"], sizes.get("count", sizes["left"]))
    return _ask(sizes) + Cost(0, shape.encoded_bytes(sizes["right"]))


def _refresh(sizes: Sizes) -> Cost:
    shape = Shape.of(sizes["right"], sizes.get("count", sizes["left"]))
    return _ask(sizes) + Cost(0, 8 + shape.change_bytes * sizes["size"])


def _effort(operation: str, sizes: Sizes) -> float:
    """Of the session that publishes: an exponentiation an element of the server, three an element of the client."""
    return 1.2e-5 * (sizes.get("right", 0) + 3 * sizes.get("left", 0))


_SOURCE = "Kiss et al. (PETS 2017), section 4; Kales et al. (USENIX Security 2019), section 4"
DECLARATION = Declaration(
    name=NAME,
    title="Intersection of a small set with a very large one that is published once as tags",
    source="Kiss et al. (PETS 2017); Kales et al. (USENIX Security 2019); Jarecki, Liu (SCN 2010); RFC 9497",
    threat=Threat(Adversary.SEMI_HONEST, 2, 1, "one-more gap Diffie-Hellman on ristretto255, hashes random oracles"),
    operations={
        "intersect_published": Operation("intersect_published", _first, _SOURCE, (SIZES, ELEMENTS)),
        "intersect_known": Operation("intersect_known", _ask, _SOURCE, (SIZES, ELEMENTS)),
        "intersect_refreshed": Operation("intersect_refreshed", _refresh, _SOURCE, (SIZES, ELEMENTS, CHANGES)),
        PUBLISHED: Operation(PUBLISHED, lambda sizes: _first(sizes) + GATE, _SOURCE, (EARLIER, ELEMENTS, RENEWED)),
    },
    effort=_effort,
)
