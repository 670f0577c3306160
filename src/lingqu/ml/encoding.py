"""From an asset's published profile to the columns that a model reads, the same at the owner and at the recipient."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lingqu.kinds.errors import BadInput
from lingqu.kinds.schema import Asset, Column, ColumnProfile, ColumnType
from lingqu.ml.spec import CLIP, Class, Encoded, Feature, Label, TrainSpec, agreed
from lingqu.plan.inputs import literal

Reals = npt.NDArray[np.float64]

_HOLDOUT_BITS = 52  # 13 hexadecimal digits of the hash
_ROUNDING = 1e-3  # published means and deviations are this near to the true ones, relatively


def identifier(name: str) -> str:
    """A column's name as DuckDB reads it."""
    return '"' + name.replace('"', '""') + '"'


def column_of(asset: Asset, name: str) -> Column:
    """The asset's column; BadInput lists what there is."""
    column = asset.column(name)
    if column is None:
        known = ", ".join(column.name for column in asset.columns)
        raise BadInput(f"{asset.id} has no column {name!r}.", f"Its columns: {known}.")
    return column


def encode(features: Sequence[Feature], assets: Mapping[str, Asset]) -> tuple[Encoded, ...]:
    """The model's input columns, in the order of the features, categories sorted.

    BadInput: unknown column, a type without encoding, a constant or empty column, categories that are not published.
    """
    encoded: list[Encoded] = []
    for feature in features:
        asset = assets[feature.table]
        column = column_of(asset, feature.column)
        encoded += _encode(feature, asset, column, asset.profile[column.name])
    return tuple(encoded)


def _encode(feature: Feature, asset: Asset, column: Column, profile: ColumnProfile) -> list[Encoded]:
    place = f"{asset.id}, column {column.name!r}"
    if column.type is ColumnType.STRING:
        if feature.transform != "none":
            raise BadInput(f"{place} holds text; {feature.transform} is for numbers.", 'Use transform "none".')
        return _categories(feature, asset, profile, place)
    if column.type in (ColumnType.DATE, ColumnType.TIMESTAMP):
        raise BadInput(
            f"{place} is a {column.type.value}, which has no encoding.", "Register the age or the year as a number."
        )
    if profile.lower is None or profile.upper is None:
        why = "every row is null" if profile.nulls == 1 else "too few rows"
        raise BadInput(
            f"{place} publishes no bounds: {why}.", "Leave this feature out, or register at least 20 rows of it."
        )
    if profile.lower == profile.upper:
        raise BadInput(f"{place} is constant ({profile.lower:g}).", "Leave this feature out: it tells nothing.")
    if column.type is ColumnType.BOOL:
        flag = Encoded(name=feature.column, table=asset.id, column=column.name, kind="flag", squares=float(asset.rows))
        return [flag]
    if feature.transform == "log1p":
        return [_logarithm(feature, asset, profile.lower, profile.upper, place)]
    if profile.mean is None or not profile.deviation:
        raise BadInput(
            f"{place} publishes no mean and deviation to standardise with.",
            "Register at least 20 rows whose values differ, or leave this feature out.",
        )
    reach = max(abs(profile.lower - profile.mean), abs(profile.upper - profile.mean)) / profile.deviation
    number = Encoded(
        name=feature.column,
        table=asset.id,
        column=column.name,
        kind="number",
        center=profile.mean,
        scale=profile.deviation,
        bound=min(CLIP, reach),
        # The squares around the published mean are the variance and the square of what the mean was rounded by.
        squares=asset.rows * ((1 + _ROUNDING) ** 2 + (_ROUNDING * profile.mean / profile.deviation) ** 2),
    )
    return [number]


def _categories(feature: Feature, asset: Asset, profile: ColumnProfile, place: str) -> list[Encoded]:
    if not profile.categories:
        raise BadInput(
            f"{place} publishes no categories (too many values, too few rows for each, or only nulls).",
            "Register a coarser column, or leave this feature out.",
        )
    nullable = column_of(asset, feature.column).nullable
    if len(profile.categories) == 1 and profile.complete and not nullable:
        raise BadInput(f"{place} is constant ({profile.categories[0]!r}).", "Leave this feature out: it tells nothing.")
    encoded = [
        Encoded(
            name=f"{feature.column}={category}",
            table=asset.id,
            column=feature.column,
            kind="category",
            category=category,
            squares=float(asset.rows),
        )
        for category in profile.categories
    ]
    if nullable:
        name = f"{feature.column} is missing"
        squares = float(asset.rows)
        encoded.append(Encoded(name=name, table=asset.id, column=feature.column, kind="missing", squares=squares))
    return encoded


def _logarithm(feature: Feature, asset: Asset, lower: float, upper: float, place: str) -> Encoded:
    if lower < 0:
        raise BadInput(
            f"{place} may be negative ({lower:g}); log1p is for amounts of 0 or more.", "Drop the transform."
        )
    center = agreed(math.log1p(lower))
    return Encoded(
        name=feature.column,
        table=asset.id,
        column=feature.column,
        kind="number",
        transform="log1p",
        center=center,
        scale=agreed(math.log1p(upper)) - center,
        bound=1.0,
        squares=float(asset.rows),
    )


def classes(label: Label, asset: Asset) -> tuple[Class, Class]:
    """The label's two values, the negative one first; BadInput when it is not binary or `positive` is neither."""
    column = column_of(asset, label.column)
    profile = asset.profile[label.column]
    place = f"The label {asset.id}, column {label.column!r},"
    found: tuple[Class, ...]
    if column.type is ColumnType.BOOL:
        found = (False, True)
    elif column.type is ColumnType.INT and profile.lower is not None and profile.upper == profile.lower + 1:
        found = (int(profile.lower), int(profile.lower) + 1)
    elif column.type is ColumnType.STRING and profile.complete and profile.categories and len(profile.categories) == 2:
        found = profile.categories
    else:
        raise BadInput(f"{place} does not have exactly two published values.", "Choose a column with two values.")
    if not any(type(value) is type(label.positive) and value == label.positive for value in found):
        values = ", ".join(map(repr, found))
        raise BadInput(f"{place} has no value {label.positive!r}.", f"`positive` is one of {values}.")
    negative = next(value for value in found if value != label.positive)
    return negative, label.positive


def check_keys(spec: TrainSpec, assets: Mapping[str, Asset]) -> None:
    """BadInput unless the key columns exist, pair by type, and are such that equal values have one written form."""
    for pair in spec.on:
        columns = [column_of(assets[table], name) for table, name in zip(spec.tables, pair, strict=False)]
        types = {column.type for column in columns}
        if len(types) > 1 or types & {ColumnType.REAL, ColumnType.DECIMAL, ColumnType.TIMESTAMP}:
            described = " and ".join(f"{column.name!r} ({column.type.value})" for column in columns)
            raise BadInput(
                f"The keys {described} cannot be joined.",
                "Join columns of one type, not reals, decimals or timestamps.",
            )


def encoded_sql(encoded: Encoded) -> str:
    """The DuckDB expression of one encoded column; never null (nulls give 0, and their rows do not count)."""
    name = identifier(encoded.column)
    if encoded.kind == "category":
        return f"COALESCE(CASE WHEN {name} = {literal(encoded.category)} THEN 1 ELSE 0 END, 0)"
    if encoded.kind == "missing":
        return f"CASE WHEN {name} IS NULL THEN 1 ELSE 0 END"
    if encoded.kind == "flag":
        return f"COALESCE(CASE WHEN {name} THEN 1 ELSE 0 END, 0)"
    value = f"CAST({name} AS DOUBLE)"
    if encoded.transform == "log1p":
        value = f"LN(1.0 + GREATEST({value}, 0.0))"
    scaled = f"({value} - {literal(float(encoded.center))}) / {literal(float(encoded.scale))}"
    bound = literal(float(encoded.bound))
    # LEAST and GREATEST pass nulls over, so the null is replaced inside.
    return f"GREATEST(LEAST(COALESCE({scaled}, 0.0), {bound}), -{bound})"


def label_sql(label: Label) -> str:
    """1 where the label is positive, else 0; never null."""
    return f"COALESCE(CASE WHEN {identifier(label.column)} = {literal(label.positive)} THEN 1 ELSE 0 END, 0)"


def present_sql(columns: Sequence[str]) -> str:
    """True where none of the columns is null."""
    return " AND ".join(f"{identifier(name)} IS NOT NULL" for name in columns) or "TRUE"


def holdout_sql(keys: Sequence[str], seed: int, share: float) -> str:
    """1 for the people held out: SHA-256 of seed and key, as a fraction, below `share`.  Nulls in the key give 0.

    The rule reads the key only, so every owner of a person's rows finds the same answer by itself.
    """
    parts = ", ".join(f"CAST({identifier(key)} AS VARCHAR)" for key in keys)
    fraction = f"SUBSTR(SHA256(CONCAT_WS(CHR(31), {literal(_salt(seed))}, {parts})), 1, {_HOLDOUT_BITS // 4})"
    return f"COALESCE(CASE WHEN {fraction} < {literal(_threshold(share))} THEN 1 ELSE 0 END, 0)"


def held_out(key: Sequence[str], seed: int, share: float) -> bool:
    """The same rule in Python, for keys in their written form."""
    text = "\x1f".join([_salt(seed), *key])
    return hashlib.sha256(text.encode()).hexdigest()[: _HOLDOUT_BITS // 4] < _threshold(share)


def _salt(seed: int) -> str:
    return f"lingqu holdout {seed}"


def _threshold(share: float) -> str:
    return f"{math.floor(share * 2**_HOLDOUT_BITS):0{_HOLDOUT_BITS // 4}x}"


def matrix(encoding: Sequence[Encoded], frame: Any) -> Reals:
    """The recipient's rows as the model reads them, shape (rows, columns).

    frame: anything with columns by name (pandas, Polars, Arrow, a dict of sequences).  A category that
    the model has not seen, and a null where the owner had none, give 0 in each of its columns, as at the owners.
    BadInput: column absent, null or text where a number is needed, lengths differ.
    """
    cache: dict[str, npt.NDArray[Any]] = {}
    columns: list[Reals] = []
    for encoded in encoding:
        if encoded.column not in cache:
            cache[encoded.column] = _values(frame, encoded.column)
        columns.append(_encoded_values(encoded, cache[encoded.column]))
    if len({len(column) for column in columns}) > 1:
        raise BadInput("The columns differ in length.", "Give every feature one value a row.")
    return np.stack(columns, axis=1)


def _values(frame: Any, name: str) -> npt.NDArray[Any]:
    try:
        column = frame[name]
    except (KeyError, LookupError, ValueError, TypeError):
        raise BadInput(
            f"The rows have no column {name!r}.", "Give every column that the model was trained on."
        ) from None
    if hasattr(column, "to_pylist"):
        column = column.to_pylist()
    values = np.asarray(column, dtype=object)
    if values.ndim != 1:
        raise BadInput(f"Column {name!r} is not one-dimensional.", "Give one value a row.")
    return values


def _encoded_values(encoded: Encoded, values: npt.NDArray[Any]) -> Reals:
    absent = np.array([value is None or value != value for value in values], dtype=np.bool_)
    if encoded.kind == "missing":
        return absent.astype(np.float64)
    if encoded.kind == "category":
        return np.array([value == encoded.category for value in values], dtype=np.float64)
    if np.any(absent):
        raise BadInput(
            f"Column {encoded.column!r} has nulls.", "The model needs every number; leave out or fill in those rows."
        )
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        raise BadInput(f"Column {encoded.column!r} holds something that is no number.", "Give numbers.") from None
    if encoded.kind == "flag":
        return np.asarray(numbers != 0, dtype=np.float64)
    if encoded.transform == "log1p":
        numbers = np.log1p(np.maximum(numbers, 0.0))
    return np.clip((numbers - encoded.center) / encoded.scale, -encoded.bound, encoded.bound)
