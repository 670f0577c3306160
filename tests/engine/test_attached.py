"""The rows of a large result in a file: the same as in a document, whatever their types, and never by halves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from tests.engine.test_errands import JOB, PARTIES, plan

from lingqu.engine import attached, release
from lingqu.engine.attached import attach
from lingqu.engine.release import MOST_BYTES, MOST_ROWS, Release, found
from lingqu.kinds.errands import BATCH, Columns, Finding, Held, Scan
from lingqu.kinds.errors import Refused
from lingqu.kinds.schema import ColumnType
from lingqu.node.replies import released_table
from lingqu.plan.outputs import FoundArguments, FoundColumn

KINDS = {
    "bool": ColumnType.BOOL,
    "int": ColumnType.INT,
    "real": ColumnType.REAL,
    "string": ColumnType.STRING,
    "date": ColumnType.DATE,
    "timestamp": ColumnType.TIMESTAMP,
    "decimal": ColumnType.DECIMAL,
}
SHOWN = tuple(
    FoundColumn(
        title=name, type=kind, value=name, about="as a test has it", nulls="gone", scale=2 * (name == "decimal")
    )
    for name, kind in KINDS.items()
)
ROW = st.tuples(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.integers(-700_000, 2_000_000),
    st.integers(-(2**55), 2**55),
    st.integers(-(10**18) + 1, 10**18 - 1),
    st.booleans(),
)
DTYPES = (np.bool_, np.int64, np.float64, object, np.int64, np.int64, np.int64, np.bool_)


def columns(rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    names = (*KINDS, "gone")
    return {
        name: np.array([row[place] for row in rows], dtype)
        for place, (name, dtype) in enumerate(zip(names, DTYPES, strict=True))
    }


def made(finding: Finding, shown: tuple[FoundColumn, ...], beside: Path | None) -> Release:
    which = plan(FoundArguments(columns={PARTIES[0]: shown}))
    return found(which, which.steps[-1], finding, recipient=PARTIES[0], job=JOB, beside=beside)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROW, min_size=1, max_size=9))
def test_a_file_holds_what_a_document_would(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Any, ...]]
) -> None:
    file = tmp_path_factory.mktemp("rows") / "rows.parquet"
    said = attach(SHOWN, Held(columns(rows)), file)
    assert said.rows == len(rows)
    data = file.read_bytes()
    assert (said.bytes, said.digest) == (len(data), "sha256:" + hashlib.sha256(data).hexdigest())
    assert file.stat().st_mode & 0o777 == 0o600
    document = released_table(made(Finding(columns(rows)), SHOWN, None))
    kept = parquet.read_table(file)
    assert kept.to_pylist() == document.to_pylist()
    assert [str(kind) for kind in kept.schema.types[:6]] == [str(kind) for kind in document.schema.types[:6]]


class Counted(Scan):
    """Numbers from 0 on; `held`: the most rows that were asked for at once."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.whole_asked = 0

    @property
    def rows(self) -> int:
        return self._rows

    def batches(self, names: Sequence[str]) -> Iterator[Columns]:
        for start in range(0, self._rows, BATCH):
            yield {name: np.arange(start, min(start + BATCH, self._rows)) for name in names}

    def __getitem__(self, name: str) -> Any:
        self.whole_asked += 1
        return np.arange(self._rows)

    def __iter__(self) -> Iterator[str]:
        return iter(("n",))

    def __len__(self) -> int:
        return 1


NUMBER = (FoundColumn(title="number", type=ColumnType.INT, value="n", about="as a test counts"),)


@pytest.mark.parametrize(("rows", "large"), [(MOST_ROWS, False), (MOST_ROWS + 1, True), (200_000, True)])
def test_many_rows_go_to_the_file_and_are_never_held_whole(tmp_path: Path, rows: int, large: bool) -> None:
    scan, file = Counted(rows), tmp_path / "rows.parquet"
    release = made(Finding(scan), NUMBER, file)
    assert release.count == rows
    assert (release.attached is not None) == file.exists() == large
    assert scan.whole_asked == (0 if large else 1)
    if large:
        assert release.rows == ()
        assert parquet.read_table(file).column("number").to_pylist() == list(range(rows))
        assert parquet.ParquetFile(file).metadata.row_group(0).num_rows <= attached.GROUP
    assert Release.parse(release.canonical()) == release


def test_few_rows_of_long_texts_go_to_the_file_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document of more than so many bytes is read by nobody."""
    shown = (FoundColumn(title="text", type=ColumnType.STRING, value="t", about="as a test writes"),)
    texts = Finding({"t": np.array(["李" * 400] * 50, object)})
    assert made(texts, shown, tmp_path / "none").attached is None
    monkeypatch.setattr(release, "MOST_BYTES", 50_000)
    assert MOST_BYTES > 50_000
    attached = made(texts, shown, tmp_path / "rows.parquet").attached
    assert attached is not None
    assert attached.rows == 50
    assert made(texts, shown, None).attached is None


def test_a_file_that_is_there_is_not_written_over_and_a_finding_without_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"x")
    with pytest.raises(FileExistsError):
        made(Finding(Counted(MOST_ROWS + 1)), NUMBER, tmp_path / "rows.parquet")
    other = (FoundColumn(title="other", type=ColumnType.INT, value="other", about="as a test counts"),)
    with pytest.raises(Refused, match="something else"):
        made(Finding(Counted(MOST_ROWS + 1)), other, tmp_path / "other.parquet")
