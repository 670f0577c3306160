"""Normal forms of keys: both sides name the same forms, so equal people have equal bytes.

A form's name carries its version; a form never changes, a better one gets the next number.

exact/1     the bytes of a text, or a whole number in decimal, unchanged
text/1      text in Unicode form NFKC, case folded, outer spaces removed, inner runs of spaces made one
identity/1  a Chinese resident identity number: full width digits accepted, 15 digits made 18 (GB 11643-1999), X upper
phone/1     a telephone number: digits only, +86 or 0086 removed from a mainland mobile number of 11 digits
name/1      a person's name, traditional characters simplified, without spaces and middle dots (`names`)
pinyin/1    a person's name as syllables without tones and breaks, ü as v, the surname by its own reading (`names`)
date/1      a date as YYYYMMDD, from a date column or from YYYY-MM-DD, YYYY/M/D, YYYYMMDD or a Chinese written date
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lingqu.kinds.errors import BadInput
from lingqu.psi import names

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"
_DATE = re.compile(r"(\d{4})[-/.年]?(\d{1,2})[-/.月]?(\d{1,2})日?")
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")


def _text(value: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


def _identity(value: str) -> str | None:
    number = "".join(unicodedata.normalize("NFKC", value).upper().split())
    if re.fullmatch(r"\d{15}", number, re.ASCII):
        number = number[:6] + "19" + number[6:]
        return number + _check_digit(number)
    if re.fullmatch(r"\d{17}[\dX]", number, re.ASCII) and number[17] == _check_digit(number):
        return number
    return None


def _check_digit(number: str) -> str:
    return _CHECK[sum(int(digit) * weight for digit, weight in zip(number, _WEIGHTS, strict=False)) % 11]


def _phone(value: str) -> str | None:
    kept = re.sub(r"[\s()\-.]", "", unicodedata.normalize("NFKC", value))
    digits = kept.removeprefix("+")
    if not re.fullmatch(r"\d{5,20}", digits, re.ASCII):
        return None
    bare = re.fullmatch(r"(?:86|0086)?(1[3-9]\d{9})", digits, re.ASCII)
    return bare.group(1) if bare else ("+" + digits if kept.startswith("+") else digits)


def _date(value: str) -> str | None:
    written = unicodedata.normalize("NFKC", value).strip()
    found = _COMPACT.fullmatch(written) or _DATE.fullmatch(written)
    if found is None or (written.isdigit() and len(written) != 8):
        return None
    try:
        return datetime.date(*(int(part) for part in found.groups())).strftime("%Y%m%d")
    except ValueError:
        return None


FORMS: dict[str, Callable[[str], str | None]] = {
    "exact/1": lambda value: value,
    "text/1": _text,
    "identity/1": _identity,
    "phone/1": _phone,
    "name/1": names.name,
    "pinyin/1": names.pinyin,
    "date/1": _date,
}


_DATA: dict[str, Callable[[], object]] = {"name/1": names.simplified, "pinyin/1": names.tables}
"""What a form cannot do without."""


def require_forms(forms: Iterable[str]) -> None:
    """Check that this installation has the forms: BadInput for one unknown, Unavailable for one without its data."""
    for form in forms:
        if form not in FORMS:
            raise BadInput(f"There is no normal form {form!r}.", f"Known forms: {', '.join(FORMS)}.")
        if form in _DATA:
            _DATA[form]()


def normalise(column: Any, form: str, place: int = 0) -> pa.Array:
    """A key column in a normal form, as large_binary; nulls stay null.

    BadInput when there is no such form, the column's type has none, or a value does not fit (its row is named);
    Unavailable when the form's data is not installed.
    """
    require_forms([form])
    rule = FORMS[form]
    texts = _as_text(column, place)
    if form == "exact/1":
        return texts.cast(pa.large_binary())
    found = [None if value is None else rule(value) for value in texts.to_pylist()]
    result = pa.array(found, pa.large_string())
    bad = pc.index(pc.and_(pc.is_null(result), pc.is_valid(texts)), True).as_py()
    if bad >= 0:
        raise BadInput(
            f"Key column {place + 1} has a value in row {bad + 1} that is not in the form {form}.",
            "Correct the value, or agree on another form.",
        )
    return result.cast(pa.large_binary())


def _as_text(column: Any, place: int) -> pa.Array:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = array if isinstance(array, pa.Array) else pa.array(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_null(array.type):
        return array.cast(pa.large_string())
    if pa.types.is_date(array.type):
        return pc.strftime(array, "%Y%m%d").cast(pa.large_string())
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type) or pa.types.is_integer(array.type):
        return array.cast(pa.large_string())
    raise BadInput(
        f"Key column {place + 1} has the type {array.type}, which is no key.",
        "Use text, whole numbers or dates as keys.",
    )
