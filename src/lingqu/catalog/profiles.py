"""What the catalogue publishes of a table: enough to plan with, nothing that identifies anyone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lingqu.catalog.sources import Source
from lingqu.catalog.tables import check_key, column_type, fingerprint, read
from lingqu.kinds import clock
from lingqu.kinds.mechanism import log2_ceil
from lingqu.kinds.parties import Instant
from lingqu.kinds.schema import Asset, Column, ColumnProfile, ColumnType, Grade

CATEGORY_FLOOR = 10
"""A value is published only when at least so many rows share it."""
CATEGORIES_MOST = 256
MOMENTS_FLOOR = 20
"""Mean and deviation are published only of at least so many values."""
CATEGORY_LENGTH = 200

Numbers = npt.NDArray[np.int64] | npt.NDArray[np.float64]


def describe(
    source: Source,
    *,
    owner: str,
    name: str,
    title: str,
    grade: Grade,
    version: int,
    types: Mapping[str, ColumnType] | None = None,
    key: Sequence[str] = (),
    registered: Instant | None = None,
) -> tuple[Asset, str]:
    """The asset to publish, and the fingerprint by which `scan` knows that the data has not changed since.

    types: overrides, as for `tables.read`.  key: columns checked to be a key, where given.
    Discloses: names and types of columns, exact row count, and the profile: bounds rounded outward, mean and
    deviation to four digits of 20 values or more, categories that 10 rows or more share, how often a value occurs at
    most (rounded up to a power of two), shares of nulls to 1 %.
    Errors: BadInput and Unavailable as for `tables.read` and `tables.check_key`.
    """
    table = read(source, types)
    if key:
        check_key(table, key)
    columns = tuple(
        Column(
            name=field.name,
            type=column_type(field.type),
            nullable=table.column(field.name).null_count > 0,
            scale=field.type.scale if column_type(field.type) is ColumnType.DECIMAL else 0,
        )
        for field in table.schema
    )
    asset = Asset(
        id=f"{owner}/{name}",
        owner=owner,
        name=name,
        title=title,
        version=version,
        columns=columns,
        rows=table.num_rows,
        profile={column.name: profile(table.column(column.name), column.type) for column in columns},
        grade=grade,
        registered=registered or clock.now(),
        key=tuple(key),
    )
    return asset, fingerprint(table)


def profile(column: pa.ChunkedArray, kind: ColumnType) -> ColumnProfile:
    """The published facts of one conformed column; no bound, mean, deviation or category is a rare value of it."""
    values = column.drop_null()
    nulls = round(column.null_count / len(column), 2) if len(column) else 0.0
    counts = pc.value_counts(values)
    most = pc.max(counts.field("counts")).as_py() if len(counts) else 1
    shared = ColumnProfile(unique=most <= 1, repeats=1 << log2_ceil(most), nulls=nulls)
    if kind is ColumnType.STRING:
        return shared.model_copy(update=_text_profile(counts))
    if kind is ColumnType.BOOL:  # the type's own bounds, whatever the data
        return shared.model_copy(update={"lower": 0.0, "upper": 1.0})
    if kind is ColumnType.DATE:
        values = values.cast(pa.int32()).cast(pa.int64())
    elif kind in (ColumnType.TIMESTAMP, ColumnType.DECIMAL):
        values = values.cast(pa.int64() if kind is ColumnType.TIMESTAMP else pa.float64())
    numbers: Numbers = values.to_numpy()
    lower, upper = _bounds(numbers)
    mean, deviation = (None, None) if kind in (ColumnType.DATE, ColumnType.TIMESTAMP) else _moments(numbers)
    return shared.model_copy(update={"lower": lower, "upper": upper, "mean": mean, "deviation": deviation})


def _text_profile(counts: pa.StructArray) -> dict[str, Any]:
    pairs = zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True)
    shared = sorted(value for value, count in pairs if count >= CATEGORY_FLOOR and len(value) <= CATEGORY_LENGTH)
    if len(shared) > CATEGORIES_MOST:
        return {}
    complete = len(counts) > 0 and len(shared) == len(counts)
    return {"categories": tuple(shared), "complete": complete}


def _bounds(numbers: Numbers) -> tuple[float | None, float | None]:
    """Bounds rounded outward: to two significant digits where ten rows share the extreme, else strictly beyond to one.

    Fewer than ten values have no bounds at all.
    """
    if len(numbers) < CATEGORY_FLOOR:
        return None, None
    low, high = numbers.min(), numbers.max()
    size = Decimal(max(abs(low.item()), abs(high.item())))
    grain = Decimal((0, (1,), size.adjusted() - 1)) if size else Decimal(1)
    if numbers.dtype == np.int64:
        grain = max(grain, Decimal(1))
    low_rare = int((numbers == low).sum()) < CATEGORY_FLOOR
    high_rare = int((numbers == high).sum()) < CATEGORY_FLOOR
    return -_above(-low.item(), low_rare, grain), _above(high.item(), high_rare, grain)


def _above(value: int | float, rare: bool, grain: Decimal) -> float:
    """A number not below the value, and not the value itself when that is rare; grain: the step away from zero."""
    if value == 0:
        return float(grain) if rare else 0.0
    exact = Decimal(repr(value))
    unit = Decimal((0, (1,), exact.adjusted() - (0 if rare else 1)))
    rounded = (exact / unit).to_integral_value(ROUND_CEILING) * unit
    if rare and rounded == exact:
        rounded += unit
    result = float(rounded)
    return math.nextafter(result, math.inf) if result < value else result


def _moments(numbers: Numbers) -> tuple[float | None, float | None]:
    """Mean and population deviation to four significant digits, stepped off any rare value that they happen to meet."""
    if len(numbers) < MOMENTS_FLOOR:
        return None, None
    reals = numbers.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean, deviation = float(reals.mean()), float(reals.std())
    if not (math.isfinite(mean) and math.isfinite(deviation)):
        return None, None
    distinct, counts = np.unique(reals, return_counts=True)
    rare = set(distinct[counts < CATEGORY_FLOOR].tolist())
    return _digits(mean, rare), _digits(deviation, rare)


def _digits(value: float, rare: set[float]) -> float:
    exact = Decimal(value)
    unit = Decimal((0, (1,), (exact.adjusted() if exact else 0) - 3))
    rounded = (exact / unit).to_integral_value(ROUND_FLOOR if exact < 0 else ROUND_CEILING) * unit
    nearest = float(f"{value:.4g}")
    while nearest in rare:
        nearest = float(rounded)
        rounded += unit
    return nearest
