"""Parameters, assets, instants and receipts take what they say, and nothing else."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lingqu.kinds import clock
from lingqu.kinds.programs import Parameter, Program
from lingqu.kinds.receipts import Outcome, Receipt
from lingqu.kinds.schema import Asset, Column, ColumnProfile, ColumnType, Grade

DIGEST = "sha256:" + "a" * 64


@given(st.integers(-100, 100), st.integers(-100, 100), st.integers(-200, 200))
def test_limits_admit_what_lies_between(lower: int, upper: int, value: int) -> None:
    assert Parameter(lower=lower, upper=upper).admits(value) == (lower <= value <= upper)
    assert Parameter(lower=lower, upper=upper).admits(float(value)) == (lower <= value <= upper)


@pytest.mark.parametrize("value", [True, "5", float("nan"), 11, -1])
def test_limits_admit_numbers_only(value: bool | int | float | str) -> None:
    assert not Parameter(lower=0, upper=10).admits(value)


def test_allowed_values_are_compared_with_their_type() -> None:
    place = Parameter(allowed=(1, "北京", 2.5))
    assert place.admits(1)
    assert place.admits("北京")
    assert place.admits(2.5)
    assert not place.admits(True)
    assert not place.admits(1.0)
    assert not place.admits("1")
    assert Parameter.parse(place.canonical()) == place


@pytest.mark.parametrize("given_fields", [{}, {"lower": 1}, {"upper": 1}, {"lower": 1, "upper": 2, "allowed": (1,)}])
def test_a_parameter_has_one_kind_of_limit(given_fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="lower and upper, or allowed"):
        Parameter.model_validate(given_fields)


def test_a_program_names_its_places() -> None:
    program = Program(kind="sql", text="SELECT 1", parameters={"least_age": Parameter(lower=18, upper=99)})
    assert Program.parse(program.canonical()) == program
    for broken in ({"kind": "SQL", "text": "x"}, {"kind": "sql", "text": ""}):
        with pytest.raises(ValidationError):
            Program.model_validate(broken)
    with pytest.raises(ValidationError):
        Program(kind="sql", text="x", parameters={"Age": Parameter(lower=0, upper=1)})


def asset(**changes: object) -> Asset:
    return Asset.model_validate(
        {
            "id": "civil-affairs/residents",
            "owner": "civil-affairs",
            "name": "residents",
            "title": "常住人口",
            "version": 1,
            "columns": (Column(name="age", type=ColumnType.INT), Column(name="姓名", type=ColumnType.STRING)),
            "rows": 0,
            "profile": {"age": ColumnProfile(), "姓名": ColumnProfile()},
            "grade": Grade.GENERAL,
            "registered": "2026-01-02T03:04:05Z",
            **changes,
        }
    )


def test_an_asset_finds_its_columns() -> None:
    table = asset()
    assert table.column("姓名") == Column(name="姓名", type=ColumnType.STRING)
    assert table.column("salary") is None
    assert Asset.parse(table.canonical()) == table


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "human-resources/residents"},
        {"profile": {"age": ColumnProfile()}},
        {"columns": (Column(name="age", type=ColumnType.INT),) * 2, "profile": {"age": ColumnProfile()}},
        {"version": 0},
        {"rows": -1},
        {"name": "no spaces", "id": "civil-affairs/no spaces"},
        {"registered": "2026-01-02 03:04:05"},
        {"grade": "secret"},
    ],
)
def test_an_asset_that_contradicts_itself_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        asset(**changes)


def test_a_table_may_carry_a_chinese_name() -> None:
    assert asset(id="civil-affairs/居民", name="居民").name == "居民"


@given(st.datetimes(datetime(1970, 1, 1), datetime(2999, 12, 31)))
def test_an_instant_is_read_as_it_was_written(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC, microsecond=0)
    assert clock.read(clock.written(moment)) == moment
    assert clock.written(moment.astimezone(timezone(timedelta(hours=8)))) == clock.written(moment)


def test_now_is_an_instant() -> None:
    instant = clock.now()
    assert clock.written(clock.read(instant)) == instant
    with pytest.raises(ValueError, match="does not match"):
        clock.read("2026-01-02T03:04:05+08:00")


def test_a_receipt_says_how_a_run_ended() -> None:
    receipt = Receipt(
        job="0" * 32,
        contract=DIGEST,
        plan=DIGEST,
        party="big-data",
        outcome=Outcome.REFUSED,
        started="2026-01-02T03:04:05Z",
        ended="2026-01-02T03:04:06Z",
        rounds=0,
        bytes=0,
        term="uses",
    )
    assert Receipt.parse(receipt.canonical()) == receipt
