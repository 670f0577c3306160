"""Encoding: the owner's database and the recipient's Python make the same columns, and both split alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lingqu.kinds.errors import BadInput
from lingqu.ml.encoding import (
    classes,
    encode,
    encoded_sql,
    held_out,
    holdout_sql,
    label_sql,
    matrix,
    present_sql,
)
from lingqu.ml.spec import Encoded, Feature, Label

Register = Callable[[str, pa.Table], dict[str, Any]]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)


def evaluate(sql: str, table: pa.Table) -> list[Any]:
    """A projection over every row."""
    with duckdb.connect(":memory:") as connection:
        connection.register("rows", table)
        return [row[0] for row in connection.execute(f"SELECT {sql} FROM rows").fetchall()]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=8), st.floats(-100, 100), st.floats(0.01, 100))
def test_numbers_are_encoded_alike(values: list[float], center: float, scale: float) -> None:
    encoded = Encoded(
        name="n", table="own-er/t", column="n", kind="number", center=center, scale=scale, bound=16.0, squares=1.0
    )
    table = pa.table({"n": pa.array(values, pa.float64())})
    ours = matrix([encoded], {"n": values})[:, 0]
    assert np.allclose(evaluate(encoded_sql(encoded), table), ours, rtol=1e-12, atol=1e-12)
    assert np.all(np.abs(ours) <= 16)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=8), st.integers(0, 100))
def test_logarithms_are_encoded_alike(values: list[int], lower: int) -> None:
    center = math.log1p(lower)
    encoded = Encoded(
        name="n",
        table="own-er/t",
        column='a "b"',
        kind="number",
        transform="log1p",
        center=center,
        scale=20.0,
        squares=1.0,
    )
    table = pa.table({'a "b"': pa.array(values, pa.int64())})
    ours = matrix([encoded], {'a "b"': values})[:, 0]
    assert np.allclose(evaluate(encoded_sql(encoded), table), ours, rtol=1e-12, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=6), TEXT)
def test_categories_are_encoded_alike(values: list[str], category: str) -> None:
    encoded = Encoded(name="c", table="own-er/t", column="c", kind="category", category=category, squares=1.0)
    table = pa.table({"c": pa.array([*values, category], pa.string())})
    assert evaluate(encoded_sql(encoded), table) == matrix([encoded], {"c": [*values, category]})[:, 0].tolist()


def test_nulls_become_zero_and_are_marked() -> None:
    table = pa.table({"c": pa.array(["x", None]), "n": pa.array([None, 2.0])})
    number = Encoded(name="n", table="own-er/t", column="n", kind="number", squares=1.0, bound=4.0)
    flag = Encoded(name="f", table="own-er/t", column="n", kind="flag", squares=1.0)
    category = Encoded(name="c", table="own-er/t", column="c", kind="category", category="x", squares=1.0)
    assert evaluate(encoded_sql(number), table) == [0.0, 2.0]
    assert evaluate(encoded_sql(flag), table) == [0, 1]
    assert evaluate(encoded_sql(category), table) == [1, 0]
    missing = category.model_copy(update={"kind": "missing"})
    assert evaluate(encoded_sql(missing), table) == [0, 1]
    assert matrix([category, missing], table).tolist() == [[1, 0], [0, 1]]
    assert evaluate(present_sql(["c", "n"]), table) == [False, False]
    assert evaluate(present_sql([]), table) == [True, True]
    assert evaluate(label_sql(Label(table="own-er/t", column="c", positive="x")), table) == [1, 0]


@settings(max_examples=30, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=8), st.integers(0, 2**31 - 1), st.floats(0, 0.5))
def test_database_and_python_hold_out_the_same_people(keys: list[str], seed: int, share: float) -> None:
    table = pa.table({"id": pa.array(keys, pa.string()), "n": pa.array(range(len(keys)), pa.int64())})
    found = evaluate(holdout_sql(["id"], seed, share), table)
    assert found == [int(held_out([key], seed, share)) for key in keys]
    found = evaluate(holdout_sql(["id", "n"], seed, share), table)
    assert found == [int(held_out([key, str(n)], seed, share)) for n, key in enumerate(keys)]


def test_holdout_keeps_its_share_and_depends_on_the_seed() -> None:
    people = [f"person {n}" for n in range(4000)]
    first = [held_out([person], 1, 0.2) for person in people]
    second = [held_out([person], 2, 0.2) for person in people]
    assert abs(np.mean(first) - 0.2) < 0.03
    assert first != second
    assert not any(held_out([person], 1, 0.0) for person in people)


def rows(**columns: Any) -> pa.Table:
    return pa.table(columns)


def test_a_feature_that_tells_nothing_is_refused(register: Register) -> None:
    table = rows(
        constant=pa.array([3] * 40),
        nothing=pa.array([None] * 40, pa.int64()),
        same=pa.array(["x"] * 40),
        many=pa.array([f"value {n}" for n in range(40)]),
        negative=pa.array([-1.0, 2.0] * 20),
        day=pa.array([0, 1] * 20, pa.date32()),
        empty=pa.array([None] * 40, pa.string()),
    )
    assets = {name: asset for name, (_, asset, _) in register("own-er/t", table).items()}

    def refused(column: str, transform: str = "none") -> str:
        feature = Feature.model_validate({"table": "own-er/t", "column": column, "transform": transform})
        with pytest.raises(BadInput) as caught:
            encode([feature], assets)
        return str(caught.value)

    assert "constant (3)" in refused("constant")
    assert "every row is null" in refused("nothing")
    assert "constant ('x')" in refused("same")
    assert "publishes no categories" in refused("many")
    assert "publishes no categories" in refused("empty")
    assert "may be negative" in refused("negative", "log1p")
    assert "for numbers" in refused("same", "log1p")
    assert "is a date" in refused("day")
    assert "no column 'absent'. Its columns: constant" in refused("absent")


def test_too_few_rows_to_standardise(register: Register) -> None:
    tables = register("own-er/t", rows(n=pa.array([1.0, 2.0, 3.0])))
    with pytest.raises(BadInput, match="at least 20 rows"):
        encode([Feature(table="own-er/t", column="n")], {name: asset for name, (_, asset, _) in tables.items()})


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(-1e6, 1e6), st.floats(1, 1e4), st.integers(0, 2**32 - 1))
def test_sums_of_squares_keep_their_bound(register: Register, center: float, spread: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(center, spread, 60)
    asset = register("own-er/t", rows(n=pa.array(values)))["own-er/t"][1]
    (encoded,) = encode([Feature(table="own-er/t", column="n")], {"own-er/t": asset})
    found = matrix([encoded], {"n": values})[:, 0]
    assert np.sum(found**2) <= encoded.squares
    assert np.max(np.abs(found)) <= encoded.bound


def test_labels(register: Register) -> None:
    table = rows(
        text=pa.array(["no", "yes"] * 20),
        three=pa.array((["a", "b", "c"] * 14)[:40]),
        number=pa.array([0, 1] * 20),
        flag=pa.array([True, False] * 20),
        real=pa.array([0.0, 1.0] * 20),
    )
    asset = register("own-er/t", table)["own-er/t"][1]

    def of(column: str, positive: str | int | bool) -> tuple[Any, Any]:
        return classes(Label(table="own-er/t", column=column, positive=positive), asset)

    assert of("text", "yes") == ("no", "yes")
    assert of("text", "no") == ("yes", "no")
    assert of("number", 1) == (0, 1)
    assert of("flag", True) == (False, True)
    refused: list[tuple[str, str | int | bool, str]] = [
        ("text", "maybe", "has no value 'maybe'"),
        ("number", 2, "has no value 2"),
        ("number", True, "has no value True"),
        ("three", "a", "exactly two"),
        ("real", 1, "exactly two"),
        ("absent", 1, "no column 'absent'"),
    ]
    for column, positive, words in refused:
        with pytest.raises(BadInput, match=words):
            of(column, positive)


def test_the_recipients_rows_are_checked() -> None:
    number = Encoded(name="n", table="own-er/t", column="n", kind="number", squares=1.0, bound=4.0)
    category = Encoded(name="c=x", table="own-er/t", column="c", kind="category", category="x", squares=1.0)
    for frame, words in [
        ({"c": ["x"]}, "no column 'n'"),
        ({"n": [1.0, 2.0], "c": ["x"]}, "differ in length"),
        ({"n": [None], "c": ["x"]}, "has nulls"),
        ({"n": [math.nan], "c": ["x"]}, "has nulls"),
        ({"n": [None, 1.0], "c": ["x", None]}, "has nulls"),
        ({"n": ["many"], "c": ["x"]}, "no number"),
        ({"n": [[1.0]], "c": ["x"]}, "not one-dimensional"),
        ({"n": 3, "c": ["x"]}, "not one-dimensional"),
        (7, "no column 'n'"),
    ]:
        with pytest.raises(BadInput, match=words):
            matrix([number, category], frame)
    assert matrix([number, category], pa.table({"n": [9], "c": ["unseen"]})).tolist() == [[4.0, 0.0]]
