"""What a worker keeps to itself: places of data in errors that others read, and core dumps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lingqu.catalog import Source, describe, open_source
from lingqu.engine.places import Placeless
from lingqu.engine.worker import LocalTable
from lingqu.kinds.errands import Scan
from lingqu.kinds.errors import BadInput, Unavailable
from lingqu.kinds.schema import Grade


def table(folder: Path, source: str) -> LocalTable:
    path = folder / "t.csv"
    path.write_text("id\n1\n2\n")
    asset, fingerprint = describe(
        open_source(str(path)), owner="civil-affairs", name="t", title="t", grade=Grade.GENERAL, version=1
    )
    return LocalTable(source=source or str(path), asset=asset, fingerprint=fingerprint)


def there_is(source: Source) -> Scan:
    raise AssertionError(f"{source} is there")


def test_errors_name_the_table_and_not_where_it_lies(tmp_path: Path) -> None:
    there = table(tmp_path, "")
    (tmp_path / "t.csv").unlink()
    lost = Placeless(lambda: there_is(open_source(there.source)), there.source, there.asset.id)
    for look in (lambda: lost.rows, lost.whole, lambda: list(lost.batches(["id"])), lambda: lost["id"]):
        with pytest.raises(BadInput) as missing:
            look()
        assert "civil-affairs/t" in missing.value.cause
        assert str(tmp_path) not in str(missing.value)
    url = "postgresql://reader:hunter2@inner.example/db#t"

    def away() -> Scan:
        raise Unavailable(f"{open_source(url)} cannot be reached.", "Check it.")

    with pytest.raises(Unavailable) as unreachable:
        Placeless(away, url, "civil-affairs/t").whole()
    assert unreachable.value.cause == "civil-affairs/t cannot be reached."
    assert "hunter2" not in repr(table(tmp_path, url))


def test_core_dumps_are_forbidden() -> None:
    code = (
        "import resource; from lingqu.engine.worker import forbid_core_dumps; forbid_core_dumps(); "
        "print(resource.getrlimit(resource.RLIMIT_CORE)[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 1
