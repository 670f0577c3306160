"""The census scenario: identity numbers after GB 11643, and tables that come out the same every time."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pyarrow.parquet
import pytest

CENSUS = Path(__file__).resolve().parents[2] / "scenarios" / "census"

HEADER = (
    "age,workclass,fnlwgt,education,education_num,marital_status,occupation,relationship,race,sex,"
    "capital_gain,capital_loss,hours_per_week,native_country,income\n"
)


@pytest.mark.parametrize(
    "number",
    [
        "11010519491231002X",  # GB 11643-1999's example: Chaoyang, Beijing, a woman born 1949-12-31
        "440524188001010014",  # GB 11643-1999's example: Chaoyang county, Guangdong, a man born 1880-01-01
        "34052419800101001X",  # the worked example that explanations of the check character use
    ],
)
def test_published_numbers_are_valid(prepare: ModuleType, number: str) -> None:
    assert prepare.check_character(number[:17]) == number[17]
    assert prepare.is_identity_number(number)


@pytest.mark.parametrize(
    "number",
    [
        "110105194912310021",  # wrong check character
        "11010519491231002x",  # the check character is a capital X
        "11010519491321002X",  # no month 13
        "110105194902290027",  # no 29 February 1949
        "1101054912310026",  # the 15-digit form of before 1999, with a digit more
        "01010519491231002X",  # no division starts with 0
        "11010519491231000X",  # no sequence number 000
        "１１010519491231002X",  # full-width digits
        "",
    ],
)
def test_wrong_numbers_are_found(prepare: ModuleType, number: str) -> None:
    assert not prepare.is_identity_number(number)


def test_swapped_neighbours_change_the_check(prepare: ModuleType) -> None:
    number = "440524188001010014"
    for place in range(16):
        if number[place] != number[place + 1]:
            swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 : 17]
            assert prepare.check_character(swapped) != number[17]


def test_numbers_fit_age_and_sex(prepare: ModuleType) -> None:
    ages = [17 + i % 74 for i in range(2000)]
    sexes = ["Male" if i % 3 else "Female" for i in range(2000)]
    numbers = prepare.identity_numbers(ages, sexes)
    assert len(set(numbers)) == 2000
    for number, age, sex in zip(numbers, ages, sexes, strict=True):
        assert prepare.is_identity_number(number)
        assert 2024 - int(number[6:10]) == age  # on the last day of the year every birthday of the year has passed
        assert int(number[16]) % 2 == (sex == "Male")


def test_a_taken_number_is_drawn_again(prepare: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "draw", lambda label, row, attempt=0: attempt)
    numbers = prepare.identity_numbers([30, 30, 30], ["Male"] * 3)
    assert len(set(numbers)) == 3


def test_twice_gives_the_same_bytes(prepare: ModuleType, tmp_path: Path) -> None:
    source = tmp_path / "small.csv"
    row = "{age},Private,1,HS-grad,9,Divorced,?,Unmarried,White,Female,0,0,40,United-States,<=50K\n"
    source.write_text(HEADER + "".join(row.format(age=20 + i % 60) for i in range(300)), encoding="utf-8")
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        prepare.prepare(source, tmp_path / run)
    for name in ("residents.parquet", "employment.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    employment = pyarrow.parquet.read_table(tmp_path / "one" / "employment.parquet")
    assert employment["occupation"].null_count == employment.num_rows
    assert 225 < employment.num_rows < 285


def test_the_committed_tables(prepare: ModuleType) -> None:
    residents = pyarrow.parquet.read_table(CENSUS / "residents.parquet")
    employment = pyarrow.parquet.read_table(CENSUS / "employment.parquet")
    assert residents.column_names == ["person_id", *prepare.RESIDENTS]
    assert employment.column_names == ["person_id", *prepare.EMPLOYMENT]
    left, right = residents["person_id"].to_pylist(), employment["person_id"].to_pylist()
    assert (len(left), len(right), len(set(left) & set(right))) == (27_711, 27_746, 23_634)
    assert len(set(left)) == len(left)
    assert len(set(right)) == len(right)
    assert all(map(prepare.is_identity_number, set(left) | set(right)))
    theirs = set(right)
    both = [number for number in left if number in theirs]
    ours = set(both)
    assert both != [number for number in right if number in ours]
