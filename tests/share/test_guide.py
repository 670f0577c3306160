"""The guide's page on arrays: its sample runs with real parties, and its table has every primitive with a rule."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from lingqu.share.graphs.interpret import NESTED
from lingqu.share.graphs.lower import INLINED, SAME
from lingqu.share.graphs.rules import RULES

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "arrays.md"
ALIASES = {"add_any", "scatter_add", "expand_dims", "copy"}
"""Other names of what the page lists."""


def test_the_sample_runs(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    sample = tmp_path / "trial.py"
    sample.write_text("\n".join(blocks), encoding="utf-8")
    subprocess.run([sys.executable, "-W", "error", sample], cwd=tmp_path, check=True, capture_output=True, timeout=120)


def test_the_table_has_every_primitive_with_a_rule() -> None:
    rows = [line for line in PAGE.read_text("utf-8").splitlines() if re.match(r"\| (?!group)\w.*\|", line)]
    listed = {name for row in rows for name in re.findall(r"`([\w-]+)`", row.partition("|")[2])}
    assert not (set(RULES) | set(NESTED)) - ALIASES - listed
    assert listed <= set(RULES) | set(NESTED) | INLINED | SAME
