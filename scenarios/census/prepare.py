"""Make the census scenario's two tables from UCI Adult: `python scenarios/census/prepare.py [census_income.csv.gz]`.

Every draw is a SHA-256 of the seed, a label and the row, so no library version changes what comes out.
The persons are real answers of 1994; their identity numbers are synthetic and belong to nobody in the data.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1].parent / "shared" / "data" / "census_income.csv.gz"
SEED = "lingqu census 1"
AS_OF = datetime.date(2024, 12, 31)  # ages in the data are ages in completed years on this day
SHARE_HELD = 0.85

RESIDENTS = ("age", "sex", "race", "marital_status", "relationship", "native_country", "education")
EMPLOYMENT = ("workclass", "occupation", "hours_per_week", "capital_gain", "capital_loss", "income")

# County-level division codes of GB/T 2260.
DIVISIONS = (
    *("110101", "110102", "110105", "110106", "110107", "110108"),  # Beijing
    *("310101", "310104", "310105", "310106", "310107", "310109", "310110"),  # Shanghai
    *("320102", "320104", "320105", "320106"),  # Nanjing
    *("330102", "330105", "330106"),  # Hangzhou
    *("420102", "420103", "420104", "420105"),  # Wuhan
    *("440103", "440104", "440105", "440106"),  # Guangzhou
    *("450302", "450303", "450304", "450305", "450325"),  # Guilin, and Xing'an, where the canal is
    *("500103", "510104", "510105", "610102", "610103", "610104"),  # Chongqing, Chengdu, Xi'an
)

_WEIGHTS = tuple(2 ** (17 - place) % 11 for place in range(17))
_CHECKS = "10X98765432"
_NUMBER = re.compile(r"[1-9][0-9]{16}[0-9X]")


def check_character(body: str) -> str:
    """The 18th character of an identity number from its first 17 digits.

    Source: GB 11643-1999, annex A (ISO/IEC 7064 MOD 11-2).
    """
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, body, strict=True))
    return _CHECKS[total % 11]


def is_identity_number(text: str) -> bool:
    """Whether a text fits GB 11643: 17 digits with a real date and a sequence number, then the check character."""
    if not _NUMBER.fullmatch(text) or text[14:17] == "000":
        return False
    try:
        datetime.date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    return check_character(text[:17]) == text[17]


def draw(label: str, row: int, attempt: int = 0) -> int:
    """A number below 2**64 that depends on nothing but the seed, the label, the row and the attempt."""
    return int.from_bytes(hashlib.sha256(f"{SEED}|{label}|{row}|{attempt}".encode()).digest()[:8], "big")


def identity_number(row: int, age: int, male: bool, attempt: int = 0) -> str:
    """A synthetic identity number of a person of that age on AS_OF; the sequence number is odd for men."""
    last = AS_OF.replace(year=AS_OF.year - age)
    first = last.replace(year=last.year - 1) + datetime.timedelta(days=1)
    born = first + datetime.timedelta(days=draw("born", row, attempt) % ((last - first).days + 1))
    sequence = 2 * (draw("sequence", row, attempt) % 499) + (1 if male else 2)
    body = f"{DIVISIONS[draw('division', row, attempt) % len(DIVISIONS)]}{born:%Y%m%d}{sequence:03d}"
    return body + check_character(body)


def identity_numbers(ages: Sequence[int], sexes: Sequence[str]) -> list[str]:
    """One distinct identity number a row."""
    taken: set[str] = set()
    numbers = []
    for row, (age, sex) in enumerate(zip(ages, sexes, strict=True)):
        attempt = 0
        while (number := identity_number(row, age, sex == "Male", attempt)) in taken:
            attempt += 1
        taken.add(number)
        numbers.append(number)
    return numbers


def held(people: pa.Table, bureau: str, columns: Sequence[str]) -> pa.Table:
    """One bureau's table: its columns of its own 85 % of the people, in its own order."""
    chosen = [row for row in range(people.num_rows) if draw(f"{bureau} holds", row) < SHARE_HELD * 2**64]
    chosen.sort(key=lambda row: draw(f"{bureau} order", row))
    return people.select(["person_id", *columns]).take(pa.array(chosen, pa.int64()))


def tables(source: pa.Table) -> dict[str, pa.Table]:
    """The two bureaus' tables, by file name, from the rows of census_income.csv; `?` becomes null."""
    numbers = identity_numbers(source["age"].to_pylist(), source["sex"].to_pylist())
    people = source.append_column("person_id", pa.array(numbers, pa.string()))
    return {
        "residents.parquet": held(people, "civil-affairs", RESIDENTS),
        "employment.parquet": held(people, "human-resources", EMPLOYMENT),
    }


def read(path: Path) -> pa.Table:
    """census_income.csv or its gzip; `?` is the source's mark of a missing answer."""
    convert = pyarrow.csv.ConvertOptions(null_values=["?"], strings_can_be_null=True)
    return pyarrow.csv.read_csv(path, convert_options=convert)


def prepare(source: Path, directory: Path) -> None:
    """Write both tables into a directory; the same source gives the same bytes."""
    for name, table in tables(read(source)).items():
        pyarrow.parquet.write_table(
            table, directory / name, compression="zstd", compression_level=19, use_dictionary=True, store_schema=False
        )


def main() -> None:
    """Read the arguments and write the files beside this script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", nargs="?", type=Path, default=SOURCE, help="census_income.csv.gz")
    parser.add_argument("--out", type=Path, default=HERE, help="directory for the Parquet files")
    arguments = parser.parse_args()
    prepare(arguments.source, arguments.out)


if __name__ == "__main__":
    main()
