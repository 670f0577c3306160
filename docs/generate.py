"""Write docs/reference/mechanisms.md from the declarations of the installed mechanisms.

The page is never edited and never committed: `make docs` writes it, so it cannot drift from the code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from lingqu.kinds.errors import LingquError
from lingqu.kinds.mechanism import Declaration, Operation, installed

PAGE = Path(__file__).parent / "reference" / "mechanisms.md"

# Sizes that the cost tables are worked out for, by the names that operations document.
ROWS = (10, 1_000, 50_000)
COMMON = {
    "columns": 1,
    "stack": 10,
    "side": 28,
    "window": 3,
    "bits": 32,
    "groups": 16,
    "inner": 1,
    "width": 64,
    "divisor": 10,
    "sums": 2,
    "keys": 1,
}
COMMON |= {"value_bits": 32, "limbs": 2, "exponent": 3, "asked_columns": 1, "held_columns": 1, "parties": 3}


def sizes(rows: int) -> dict[str, int]:
    """Example sizes of an operation over that many rows."""
    by_rows = ("rows", "left", "right", "asked", "held", "elements", "size", "count", "leader", "others")
    return {**COMMON, **dict.fromkeys(by_rows, rows)}


def cell(text: str) -> str:
    """Text that a table's cell can hold."""
    return " ".join(text.split()).replace("|", "\\|")


def cost(operation: Operation, given: Mapping[str, int]) -> str:
    """Rounds and bytes of an operation, or a dash where it needs a size that the table does not have."""
    try:
        figure = operation.cost(given)
    except KeyError:
        return "–"
    return f"{figure.rounds:,} / {figure.bytes:,}"


def summary(declarations: list[Declaration]) -> Iterator[str]:
    """The mechanisms, each with its standing and its source."""
    yield "| mechanism | what it is | standing | source |"
    yield "|---|---|---|---|"
    for declaration in declarations:
        standing = "**ideal: tests only, refused by nodes**" if declaration.ideal else "protects data"
        if declaration.simulated:
            standing += "; **simulated part**"
        yield f"| `{declaration.name}` | {cell(declaration.title)} | {standing} | {cell(declaration.source)} |"


def threats(declarations: list[Declaration]) -> Iterator[str]:
    """Against whom each mechanism protects."""
    yield "| mechanism | adversary | parties | may be corrupt | assumption |"
    yield "|---|---|---|---|---|"
    for declaration in declarations:
        threat = declaration.threat
        name = f"`{declaration.name}`" + (" (ideal)" if declaration.ideal else "")
        bounds = f"{threat.count} | {threat.corrupt} | {cell(threat.assumption)}"
        yield f"| {name} | {threat.adversary.value} | {bounds} |"


def costs(declaration: Declaration) -> Iterator[str]:
    """Operations of one mechanism, their costs at three sizes and what they reveal."""
    yield "| operation | " + " | ".join(f"{rows:,} rows" for rows in ROWS) + " | reveals | source |"
    yield "|---|" + "---:|" * len(ROWS) + "---|---|"
    for name in sorted(declaration.operations):
        operation = declaration.operations[name]
        figures = " | ".join(cost(operation, sizes(rows)) for rows in ROWS)
        reveals = "; ".join(f"{line.fact.value} to {line.to.value}: {line.about}" for line in operation.reveals)
        yield f"| `{name}` | {figures} | {cell(reveals) or 'nothing'} | {cell(operation.source)} |"


def sharing(declarations: list[Declaration]) -> Iterator[str]:
    """Every operation of secret sharing beside every protocol that is registered for it."""
    protocols = [d for d in declarations if d.name.startswith("share.") and not d.ideal]
    yield "| operation | " + " | ".join(f"`{declaration.name}`" for declaration in protocols) + " |"
    yield "|---|" + "---:|" * len(protocols)
    for name in sorted({name for declaration in protocols for name in declaration.operations}):
        offered = [declaration.operations.get(name) for declaration in protocols]
        figures = ["not offered" if operation is None else cost(operation, sizes(1_000)) for operation in offered]
        yield f"| `{name}` | {' | '.join(figures)} |"


def page(declarations: list[Declaration]) -> str:
    """The whole page."""
    lines = [
        "# Mechanisms",
        "",
        "Written by `docs/generate.py` from the declarations of the installed mechanisms.",
        "",
        *summary(declarations),
        "",
        "## Threat models",
        "",
        *threats(declarations),
        "",
        "## Costs",
        "",
        "Each cell: rounds / payload bytes sent by all parties together, framing and TLS apart. One column, 32 bits,",
        "16 groups; both sides of a join have that many rows. A test of the mechanism measures these figures.",
        "",
    ]
    lines += [
        "### Secret sharing: every operation of every protocol",
        "",
        "The cells are for 1,000 rows. A protocol that is registered by entry point gets its column by itself.",
        "",
        *sharing(declarations),
        "",
    ]
    for declaration in declarations:
        if not declaration.ideal:
            lines += [f"### {declaration.name}", "", *costs(declaration), ""]
    return "\n".join(lines)


def main() -> None:
    declarations = list(installed().declarations.values())
    if not declarations:
        raise LingquError("No mechanism is installed.", "Install the package first: make install.")
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(declarations), encoding="utf-8")
    print(f"{PAGE.name}: {len(declarations)} mechanisms")


if __name__ == "__main__":
    main()
