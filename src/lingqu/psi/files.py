"""Intersections of two parties without nodes: a table in, this party's rows in both out, both larger than memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lingqu.kinds.channel import Channel
from lingqu.kinds.errors import BadInput, TableChanged
from lingqu.psi.agreement import Terms
from lingqu.psi.parts import PART
from lingqu.psi.session import Report, Session, open_session, resume_session
from lingqu.psi.spill import Fingerprint


@dataclass(frozen=True)
class Outcome:
    """rows: how many of this party's rows are in both, size: how many keys; None where it may not know."""

    rows: int | None
    size: int | None


def intersect_files(
    channel: Channel,
    source: str,
    keys: Sequence[str],
    terms: Terms,
    folder: Path,
    output: Path | None = None,
    *,
    columns: Sequence[str] = (),
    most: int = PART,
    report: Report = lambda done, total: None,
) -> Outcome:
    """Intersect a table with the peer's; both call it alike.  The channel is closed when it returns.

    It is closed when the last message has been sent, before anything is compared or written: nothing that the peer sees
    waits for how many match.  A recipient that breaks off after that goes on alone, by `finish_files`.
    source: a .csv, .csv.gz or .parquet file, or `postgresql://…#schema.table`.  keys: its key columns, in the order of
    terms.forms; types as for `elements`, CSV columns being text.  output: a .csv or .parquet file for this party's rows
    in both, keys and `columns`, in the table's order.  folder: this party's own, on a disk with room for its keys; a
    call that broke off goes on from there when both call again.  most: rows of the larger side in a part.
    Cost and disclosure: as for `open_session` and the protocol, part by part.  Memory: a part of about `most` rows, and
    8 bytes a row in both.  Disk: as for `Session.run`.  BadInput, Refused, ProtocolViolation as there; TableChanged
    when the table is another when the result is written.
    """
    _check(output)
    table = _Table(source, keys, columns)
    session = open_session(channel, table.keys, table.rows, terms, folder, most=most)
    session.run(channel, report=report)
    channel.close()
    return _finished(session, table, terms, output)


def finish_files(
    source: str,
    keys: Sequence[str],
    terms: Terms,
    folder: Path,
    output: Path | None = None,
    *,
    columns: Sequence[str] = (),
    most: int = PART,
) -> Outcome:
    """The rows of an `intersect_files` that broke off after its last message, without the peer, to whom it is over.

    All arguments: as there.  BadInput where messages are missing, so that both have to call `intersect_files` again;
    TableChanged as there.
    """
    _check(output)
    return _finished(resume_session(folder, terms, most=most), _Table(source, keys, columns), terms, output)


def _check(output: Path | None) -> None:
    if output is not None and output.suffix not in (".csv", ".parquet"):
        raise BadInput(f"{output.name} is no file for rows.", "Name one that ends in .csv or .parquet.")


def _finished(session: Session, table: _Table, terms: Terms, output: Path | None) -> Outcome:
    found = session.rows()
    if found is not None and output is not None:
        table.write(found, terms.forms, session.fingerprint, output)
    outcome = Outcome(None if found is None else len(found), session.size())
    session.discard()
    return outcome


class _Table:
    """A source, read batch by batch: always the same columns, since a database sorts by those that are read."""

    def __init__(self, source: str, keys: Sequence[str], columns: Sequence[str]) -> None:
        # What reads files and databases is large, and columns in memory are intersected without it.
        from lingqu.catalog import count, open_source

        self._source = open_source(source)
        self._keys = list(keys)
        self._names = list(dict.fromkeys([*keys, *columns]))
        self.rows = count(self._source)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        from lingqu.catalog import stream

        return stream(self._source, self._names)

    def keys(self) -> Iterator[list[pa.Array]]:
        """The key columns."""
        for batch in self._batches():
            yield [batch.column(name) for name in self._keys]

    def write(self, rows: NDArray[np.int64], forms: Sequence[str], fingerprint: str, output: Path) -> None:
        """The rows of these numbers into a file, which is there whole or not at all."""
        known, first = Fingerprint(forms), 0
        with _writer(output) as write:
            for batch in self._batches():
                known.read([batch.column(name) for name in self._keys])
                low, high = np.searchsorted(rows, [first, first + batch.num_rows])
                write(batch.take(pa.array(rows[low:high] - first)))
                first += batch.num_rows
            if known.hexdigest() != fingerprint:
                raise TableChanged("The table changed while it was intersected.", "Run it again.")


@contextmanager
def _writer(output: Path) -> Iterator[Any]:
    other = output.with_name(output.name + ".new")
    held: list[Any] = []

    def write(batch: pa.RecordBatch) -> None:
        if not held:
            from pyarrow import csv, parquet

            make = parquet.ParquetWriter if output.suffix == ".parquet" else csv.CSVWriter
            held.append(make(other, batch.schema))
        held[0].write_batch(batch)

    try:
        yield write
        for writer in held:
            writer.close()
        os.replace(other, output)
    finally:
        other.unlink(missing_ok=True)
