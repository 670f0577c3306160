"""What private lookup declares: threat, cost and disclosure.

Sizes.  rows: records of the table; width: the most bytes of a value; count: keys that are asked in one batch;
size: cells that changed, in one version.
"""

from __future__ import annotations

from lingqu.kinds.disclosure import Audience, Fact, Reveals
from lingqu.kinds.mechanism import Adversary, Cost, Declaration, Operation, Sizes, Threat
from lingqu.pir.layout import Layout, choose_layout
from lingqu.pir.patches import patch_bytes
from lingqu.pir.serving import POINT
from lingqu.pir.terms import ABOUT, COUNT, GROUP, HELLO, NAME

NUMBER = Reveals(to=Audience.OWNER, fact=Fact.ROW_COUNT, about="how many keys are asked, and when; never which")
VALUES = Reveals(
    to=Audience.RECIPIENT, fact=Fact.RESULT_ROWS, about="for each key it asks the value, or that the table lacks it"
)
SHAPE = Reveals(
    to=Audience.RECIPIENT, fact=Fact.SHAPE, about="room for how many records the table has, and their longest value"
)
CHANGES = Reveals(
    to=Audience.RECIPIENT, fact=Fact.SHAPE, about="how many cells changed between versions; not whose records they hold"
)
VERSION = Reveals(to=Audience.OWNER, fact=Fact.SHAPE, about="the version that the asking party had")


def _layout(sizes: Sizes) -> Layout:
    return choose_layout(sizes["rows"], sizes["width"])


def _opening(sizes: Sizes) -> Cost:
    """Greeting, description, and the client's farewell."""
    return Cost(3, HELLO.size + ABOUT + COUNT.size)


def _hint(sizes: Sizes) -> Cost:
    return _opening(sizes) + Cost(0, _layout(sizes).hint_bytes)


def _refresh(sizes: Sizes) -> Cost:
    return _opening(sizes) + Cost(0, patch_bytes(_layout(sizes), sizes["size"]))


def _lookup(sizes: Sizes) -> Cost:
    layout, count = _layout(sizes), sizes["count"]
    waits = (-(-count // GROUP) - 1) // 2  # the second group travels with the first
    return Cost(4 + 2 * waits, COUNT.size + count * (2 * POINT + layout.query_bytes + layout.answer_bytes))


def _table(sizes: Sizes) -> Cost:
    """A contract's first run: the hint and one batch; both gates meet in rounds that are there anyway."""
    return _hint(sizes) + _lookup(sizes)


def _effort(operation: str, sizes: Sizes) -> float:
    """Seconds of the server's processor: preparing a table (first run), and passes over it."""
    if operation != "lookup_table":
        return 0.0
    size = _layout(sizes).table_bytes
    return 1.2e-5 * sizes["rows"] + 3.3e-8 * size + 3.3e-11 * size * sizes["count"]


DECLARATION = Declaration(
    name=NAME,
    title="Private lookup by key: linear retrieval with a hint, over records that only an OPRF opens",
    source="SimplePIR: Henzinger et al. (USENIX Security 2023); FrodoPIR: Davidson et al. (PETS 2023); RFC 9497",
    threat=Threat(
        Adversary.SEMI_HONEST,
        2,
        1,
        "learning with errors (n 1280, q 2^32, ternary secret, deviation 5.66); one-more gap Diffie-Hellman on "
        "ristretto255; hashes random oracles",
    ),
    operations={
        "connect": Operation(
            "connect", _opening, "Henzinger et al. (USENIX Security 2023), section 4", (SHAPE, VERSION)
        ),
        "hint": Operation("hint", _hint, "Henzinger et al. (USENIX Security 2023), section 4", (SHAPE, VERSION)),
        "refresh": Operation("refresh", _refresh, "docs/protocols/private-lookup.md", (SHAPE, CHANGES, VERSION)),
        "lookup": Operation("lookup", _lookup, "docs/protocols/private-lookup.md", (NUMBER, VALUES)),
        "lookup_table": Operation(
            "lookup_table", _table, "docs/protocols/private-lookup.md", (SHAPE, VERSION, NUMBER, VALUES)
        ),
    },
    effort=_effort,
)
