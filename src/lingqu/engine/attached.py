"""The rows of a large result as a Parquet file beside its document, which holds the file's digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import parquet

from lingqu.catalog.tables import ARROW
from lingqu.engine.release import Attached
from lingqu.kinds.errands import Columns, Scan
from lingqu.kinds.schema import ColumnType
from lingqu.plan.outputs import FoundColumn

GROUP = 1 << 14
"""Rows of a group in the file, about."""
DIGITS = 38


def attach(columns: Sequence[FoundColumn], found: Scan, file: Path) -> Attached:
    """Write what was found to a file, readable by this user alone and on the disk for good when this returns.

    Memory: some batches.  FileExistsError where there is a file.
    """
    schema = pa.schema([(column.title, _kind(column)) for column in columns])
    rows = 0
    with open(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as target:
        with parquet.ParquetWriter(target, schema, compression="zstd") as writer:
            for table in _groups(columns, found, schema):
                writer.write_table(table, row_group_size=GROUP)
                rows += table.num_rows
        target.flush()
        os.fsync(target.fileno())
        return Attached(rows=rows, bytes=target.seek(0, os.SEEK_END), digest=digest_of(target))


def digest_of(file: BufferedIOBase) -> str:
    """`sha256:` and the hexadecimal SHA-256 of a file, read from its beginning."""
    file.seek(0)
    return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def _groups(columns: Sequence[FoundColumn], found: Scan, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows in tables of a group's size, but for the last one."""
    names = list(dict.fromkeys(name for c in columns for name in (c.value, c.nulls) if name is not None))
    held: list[pa.RecordBatch] = []
    for batch in found.batches(names):
        held.append(pa.RecordBatch.from_arrays([_array(column, batch) for column in columns], schema=schema))
        if sum(one.num_rows for one in held) >= GROUP:
            yield pa.Table.from_batches(held)
            held = []
    yield pa.Table.from_batches(held, schema)


def _kind(column: FoundColumn) -> pa.DataType:
    return pa.decimal128(DIGITS, column.scale) if column.type is ColumnType.DECIMAL else ARROW[column.type]


def _array(column: FoundColumn, batch: Columns) -> pa.Array:
    values: NDArray[Any] = batch[column.value]
    if column.type is ColumnType.DECIMAL:
        whole = values.astype(np.int64)
        words = np.stack([whole, whole >> 63], axis=1)  # 128 bits, the low ones first
        array = pa.Array.from_buffers(_kind(column), len(whole), [None, pa.py_buffer(words.tobytes())])
    elif column.type is ColumnType.DATE:
        array = pa.array(values, pa.int64()).cast(pa.int32()).cast(pa.date32())
    elif column.type is ColumnType.TIMESTAMP:
        array = pa.array(values, pa.int64()).cast(pa.timestamp("us"))
    else:
        array = pa.array(values, _kind(column))
    if column.nulls is None:
        return array
    return pc.if_else(pa.array(batch[column.nulls].astype(np.bool_)), pa.scalar(None, array.type), array)
