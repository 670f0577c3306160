"""The published profile says enough to plan with and nothing that identifies anyone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.catalog import CATEGORIES_MOST, CATEGORY_FLOOR, describe, open_source
from lingqu.catalog.profiles import profile
from lingqu.kinds.errors import BadInput
from lingqu.kinds.schema import Asset, ColumnProfile, ColumnType, Grade

Write = Callable[..., str]


def of(values: Sequence[object], kind: ColumnType, arrow: pa.DataType) -> ColumnProfile:
    return profile(pa.chunked_array([pa.array(values, arrow)]), kind)


def described(text: str, write: Write, **more: object) -> tuple[Asset, str]:
    keywords = {"owner": "civil-affairs", "name": "居民", "title": "居民表", "grade": Grade.IMPORTANT, "version": 1}
    return describe(open_source(write(text)), **{**keywords, **more})  # type: ignore[arg-type]


def test_bounds_of_common_extremes_are_close_and_of_rare_ones_wide() -> None:
    common = of([17] * 10 + [123] * 10, ColumnType.INT, pa.int64())
    assert (common.lower, common.upper) == (17, 130)
    rare = of([17, 123] + [50] * 20, ColumnType.INT, pa.int64())
    assert (rare.lower, rare.upper) == (10, 200)
    even = of([0, 100] + [50] * 20, ColumnType.INT, pa.int64())
    assert (even.lower, even.upper) == (-10, 200)
    negative = of([-1234] * 10 + [-56] * 10, ColumnType.INT, pa.int64())
    assert (negative.lower, negative.upper) == (-1300, -56)
    widest = of([-(2**63)] * 10 + [2**63 - 1] * 10, ColumnType.INT, pa.int64())
    assert (widest.lower, widest.upper) == (-9.3e18, 9.3e18)
    tiny = of([0.000123] * 10 + [0.1] * 10, ColumnType.REAL, pa.float64())
    assert (tiny.lower, tiny.upper) == (0.00012, 0.1)
    days = of([date(1970, 1, 13)] * 10 + [date(2020, 1, 1)] * 10, ColumnType.DATE, pa.date32())
    assert (days.lower, days.upper, days.mean) == (12, 19000, None)


def test_few_rows_publish_no_numbers() -> None:
    few = of(list(range(9)), ColumnType.INT, pa.int64())
    assert (few.lower, few.upper, few.mean, few.deviation) == (None, None, None, None)
    some = of(list(range(19)), ColumnType.INT, pa.int64())
    assert some.lower is not None
    assert some.mean is None
    enough = of([*range(20), None, None], ColumnType.INT, pa.int64())
    assert enough.mean == 9.5
    assert enough.deviation == 5.766
    assert enough.nulls == 0.09
    assert enough.unique


def test_only_shared_categories_are_published() -> None:
    words: list[object] = ["本科"] * 10 + ["高中"] * 12 + ["博士"] * 9 + [None] * 5
    found = of(words, ColumnType.STRING, pa.string())
    assert found.categories == ("本科", "高中")
    assert not found.complete
    assert found.nulls == 0.14
    assert of(words[:22], ColumnType.STRING, pa.string()).complete
    identities = of([f"{n:018d}" for n in range(100)], ColumnType.STRING, pa.string())
    assert identities.categories == ()
    assert identities.unique
    assert not identities.complete
    many = of([str(n) for n in range(CATEGORIES_MOST + 1)] * CATEGORY_FLOOR, ColumnType.STRING, pa.string())
    assert many.categories is None
    essay: list[object] = ["x" * 201] * 10
    assert of(essay, ColumnType.STRING, pa.string()).categories == ()


def test_flags_have_the_bounds_of_their_type() -> None:
    flags = of([True] * 3, ColumnType.BOOL, pa.bool_())
    assert (flags.lower, flags.upper, flags.mean) == (0.0, 1.0, None)


NUMBERS = st.lists(
    st.tuples(
        st.one_of(st.integers(-120, 120), st.integers(-(2**53), 2**53), st.just(0)), st.sampled_from((1, 2, 9, 10, 11))
    ),
    max_size=12,
)


@settings(max_examples=50)
@given(groups=NUMBERS, scale=st.sampled_from((1, 0.01, 2.5)))
def test_no_published_number_is_a_rare_value(groups: list[tuple[int, int]], scale: float) -> None:
    values = [number if scale == 1 else number * scale for number, times in groups for _ in range(times)]
    kind, arrow = (ColumnType.INT, pa.int64()) if scale == 1 else (ColumnType.REAL, pa.float64())
    found = of(list(values), kind, arrow)
    rare = {value for value, count in Counter(values).items() if count < CATEGORY_FLOOR}
    assert not rare & {found.lower, found.upper, found.mean, found.deviation}
    if found.lower is not None:
        assert found.upper is not None
        assert found.lower <= min(values)
        assert max(values) <= found.upper
        assert all(float(f"{bound:.2g}") == bound for bound in (found.lower, found.upper))
    if found.mean is not None:
        exact = sum(values) / len(values)
        assert abs(found.mean - exact) <= 0.002 * abs(exact) + 1e-2 * max(map(abs, values))


@settings(max_examples=30)
@given(groups=st.lists(st.tuples(st.text(max_size=3), st.integers(1, 12)), max_size=10))
def test_no_published_category_is_a_rare_value(groups: list[tuple[str, int]]) -> None:
    values = [word for word, times in groups for _ in range(times)]
    found = of(list(values), ColumnType.STRING, pa.string())
    counts = Counter(values)
    assert found.categories == tuple(sorted(word for word, count in counts.items() if count >= CATEGORY_FLOOR))
    assert found.complete == (bool(values) and min(counts.values()) >= CATEGORY_FLOOR)


def test_describe_publishes_the_schema(write: Write) -> None:
    asset, seal = described("编号,age\na,1\nb,\n", write, key=["编号"], registered="2026-01-01T00:00:00Z")
    assert asset.id == "civil-affairs/居民"
    assert [(column.name, column.type.value, column.nullable) for column in asset.columns] == [
        ("编号", "string", False),
        ("age", "int", True),
    ]
    assert asset.rows == 2
    assert seal.startswith("sha256:")
    assert Asset.parse(asset.canonical()) == asset
    assert described("编号,age\na,1\nb,2\n", write)[1] != seal


def test_an_empty_table_can_be_described(write: Write) -> None:
    asset, _ = described("id,age\n", write, key=["id"], types={"age": ColumnType.INT})
    assert asset.rows == 0
    assert asset.profile["age"] == ColumnProfile(unique=True, repeats=1)
    assert asset.profile["id"].categories == ()


def test_describe_refuses_a_bad_key_and_a_bad_name(write: Write) -> None:
    with pytest.raises(BadInput, match="not unique"):
        described("id\na\na\n", write, key=["id"])
