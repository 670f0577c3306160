"""An owner's scanned key columns as normal forms take them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from lingqu.kinds.errands import Columns, Scanned
from lingqu.kinds.schema import ColumnType


def key_array(column: Scanned, scan: Columns) -> pa.Array:
    """A key column, null where the scan says so: texts, whole numbers or dates."""
    values = scan[column.value]
    mask = None if column.nulls is None else scan[column.nulls].astype(np.bool_)
    if column.type is ColumnType.STRING:
        return pa.array(values, pa.large_string(), mask=mask)
    array = pa.array(values, pa.int64(), mask=mask)
    return array.cast(pa.int32()).cast(pa.date32()) if column.type is ColumnType.DATE else array
