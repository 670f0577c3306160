"""The page of the room: its table of costs is the declared one, and its sample runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lingqu.share.rep3 import DECLARATION

EXAMPLES: tuple[tuple[str, dict[str, int]], ...] = (
    ("input", {"rows": 1000}),
    ("reveal", {"rows": 1000, "recipients": 1}),
    ("multiply", {"rows": 1000}),
    ("truncate", {"rows": 1000}),
    ("inject", {"rows": 1000}),
    ("weigh", {"rows": 1000, "bits": 6, "sums": 2}),
    ("less_than", {"rows": 1000}),
    ("equal", {"rows": 1000}),
    ("to_bits", {"rows": 1000}),
    ("sigmoid", {"rows": 1000}),
    ("tanh", {"rows": 1000}),
    ("erf", {"rows": 1000}),
    ("gelu", {"rows": 1000}),
    ("exp", {"rows": 1000}),
    ("log", {"rows": 1000}),
    ("sqrt", {"rows": 1000}),
    ("inverse_sqrt", {"rows": 1000}),
    ("power", {"rows": 1000}),
    ("softmax", {"rows": 1000, "columns": 10}),
    ("reciprocal", {"rows": 1000}),
    ("divide", {"rows": 1000}),
    ("divide_whole", {"rows": 1000, "divisor": 86400}),
    ("divide_exact", {"rows": 1000}),
    ("whole_power", {"rows": 1000, "exponent": 3}),
    ("bitwise", {"rows": 1000}),
    ("shift_right", {"rows": 1000, "bits": 8}),
    ("absolute", {"rows": 1000}),
    ("sign", {"rows": 1000}),
    ("minimum", {"rows": 1000}),
    ("maximum_along", {"rows": 1000}),
    ("argmax", {"rows": 1000}),
    ("shuffle", {"rows": 1000, "columns": 1}),
    ("sort", {"rows": 1000, "bits": 64}),
    ("sort_columns", {"rows": 1000, "bits": 32, "columns": 3}),
    ("sort_by", {"rows": 1000, "keys": 2, "nullable": 1, "bits": 32, "columns": 3}),
    ("top_k", {"rows": 1000, "bits": 32}),
    ("quantile", {"rows": 1000, "bits": 32}),
    ("count_distinct", {"rows": 1000, "bits": 32}),
    ("distinct_marks", {"rows": 1000, "bits": 5, "value_bits": 32}),
    ("compact", {"rows": 1000, "columns": 3, "bits": 32}),
    ("join", {"left": 1000, "right": 1000, "bits": 70, "columns": 10}),
    ("align", {"asked": 1000, "held": 1000, "asked_columns": 5, "held_columns": 5}),
    ("matmul", {"rows": 1000, "columns": 1000}),
    ("matmul_stack", {"stack": 10, "rows": 100, "inner": 64, "columns": 10}),
    ("convolve", {"rows": 10, "side": 28, "window": 5, "outputs": 8}),
    ("norm", {"rows": 1000, "columns": 10}),
    ("divide_signed", {"rows": 1000}),
    ("group", {"rows": 1000, "bits": 5, "columns": 3, "groups": 32}),
)


def cost_table() -> str:
    """The table of the documentation."""
    lines = ["| operation | sizes | rounds | bytes | source |", "|---|---|---:|---:|---|"]
    for name, sizes in EXAMPLES:
        cost = DECLARATION.cost(name, sizes)
        shown = ", ".join(f"{key} {value}" for key, value in sizes.items())
        source = DECLARATION.operations[name].source
        lines.append(f"| `{name}` | {shown} | {cost.rounds} | {cost.bytes:,} | {source} |")
    return "\n".join(lines)


def test_the_documented_costs_are_the_declared_ones() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rooms" / "share.md").read_text("utf-8")
    assert f"<!-- costs -->\n\n{cost_table()}\n\n<!-- end of costs -->" in page


def test_the_documented_sample_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "rooms" / "share.md").read_text("utf-8")
    sample = page.split("```python\n")[1].split("```")[0]
    subprocess.run([sys.executable, "-c", sample], check=True, timeout=60)
