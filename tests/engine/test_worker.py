"""What a worker keeps to itself: places of data in errors that others read, and core dumps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lingqu.catalog import describe, open_source
from lingqu.engine.worker import LocalTable, _without_place
from lingqu.kinds.errors import BadInput, Unavailable
from lingqu.kinds.schema import Grade


def table(folder: Path, source: str) -> LocalTable:
    path = folder / "t.csv"
    path.write_text("id\n1\n2\n")
    asset, fingerprint = describe(
        open_source(str(path)), owner="civil-affairs", name="t", title="t", grade=Grade.GENERAL, version=1
    )
    return LocalTable(source=source or str(path), asset=asset, fingerprint=fingerprint)


def test_errors_name_the_table_and_not_where_it_lies(tmp_path: Path) -> None:
    there = table(tmp_path, "")
    (tmp_path / "t.csv").unlink()
    with pytest.raises(BadInput) as missing:
        open_source(there.source)
    said = _without_place(missing.value, there)
    assert "civil-affairs/t" in said.cause
    assert str(tmp_path) not in str(said)
    url = "postgresql://reader:hunter2@inner.example/db#t"
    away = Unavailable(f"{open_source(url)} cannot be reached.", "Check it.")
    assert _without_place(away, table(tmp_path, url)).cause == "civil-affairs/t cannot be reached."
    assert "hunter2" not in repr(table(tmp_path, url))


def test_core_dumps_are_forbidden() -> None:
    code = (
        "import resource; from lingqu.engine.worker import forbid_core_dumps; forbid_core_dumps(); "
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 1
