"""What people get wrong, through three real nodes: every error names cause and cure, and no value of a row."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.acceptance.tiny import NAMES, SECRETS, Tiny, failed, spilled, tiny

from scenarios.census.network import BIG, CIVIL, HUMAN

TEXT, NUMBER = SECRETS
PEOPLE = 24
CITIES = ("北京", "上海")
RESIDENTS = "id,city,age,wage\n" + "".join(
    f"p{i:02d},{CITIES[i % 2]},{30 + i % 2},{100.5 + i % 2}\n" for i in range(PEOPLE)
)
WORK = "id,hours\n" + "".join(f"p{i:02d},{40 + i % 2}\n" for i in range(4, PEOPLE + 4))
JOIN = 'FROM "civil-affairs".residents r JOIN "human-resources".work w ON r.id = w.id'


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with tiny(tmp_path_factory.mktemp("bad")) as made:
        made.register(CIVIL, "residents", RESIDENTS, key=["id"], title="居民 Résidents")
        made.register(HUMAN, "work", WORK, key=["id"], title="就业")
        yield made


@pytest.fixture(autouse=True)
def _no_value_is_kept(nodes: Tiny) -> Iterator[None]:
    """After every test: no node has a planted value in its logs, its database, its ledger or its catalogue."""
    yield
    for place, content in nodes.places():
        for secret in SECRETS:
            assert secret.encode() not in content, place


# Registration

ROWS = "id,n\n" + "".join(f"p{i},{i}\n" for i in range(3))
BAD_TABLES: dict[str, tuple[str | bytes, dict[str, Any], list[str], str]] = {
    "wrong key column": (ROWS, {"key": ["idd"]}, ["key column idd"], "The table has id, n"),
    "wrong typed column": (ROWS, {"types": {"m": "int"}}, ["no column m"], "It has id, n"),
    "no such type": (ROWS, {"types": {"n": "number"}}, ["number"], "Types are bool, int"),
    "type mismatch": (ROWS + f"p9,{TEXT}\n", {"types": {"n": "int"}}, ["line 5", "column n", "no int"], "Correct"),
    "duplicate key": (f"id,n\n{TEXT},1\n{TEXT},2\n", {"key": ["id"]}, ["key id", "1 of 2 rows repeat"], "Remove"),
    "duplicate in two spellings": (
        "id,n\n" + "".join(unicodedata.normalize(form, f"é{TEXT}") + ",1\n" for form in ("NFC", "NFD")),
        {"key": ["id"]},
        ["key id", "1 of 2 rows repeat"],
        "Remove",
    ),
    "null keys": (f"id,n\n{TEXT},1\n,2\n", {"key": ["id"]}, ["key column id", "1 of 2 rows"], "Fill or drop"),
    "real keys": ("id,n\n1.5,1\n", {"key": ["id"]}, ["key column id", "reals"], "Use a string"),
    "too many fields": (ROWS + f"p9,9,{TEXT}\n", {}, ["line 5", "column"], "Correct that line"),
    "too few fields": (ROWS + f"{TEXT}\n", {}, ["line 5", "column"], "Correct that line"),
    "open quote": (ROWS + f'p9,"{TEXT}\n', {}, ["line 5", "column"], "Correct that line"),
    "not UTF-8": (ROWS.encode() + TEXT.encode() + b"\xff,4\n", {}, ["line 5", "column"], "Correct that line"),
    "no header": ("", {}, ["no header line"], "column names"),
    "two columns of one name": ("id,ID\np1,2\n", {}, ["ID, case aside"], "Rename"),
    "two spellings of one name": ("é,e\u0301\np1,2\n", {}, ["case aside"], "Rename"),
    "not finite": (f"id,n\np1,2.5\np2,{NUMBER}e999\n", {"types": {"n": "real"}}, ["line 3", "column n"], "Correct"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_table_that_cannot_be_registered(nodes: Tiny, case: str) -> None:
    content, options, causes, cure = BAD_TABLES[case]
    path = nodes.file(content)
    manager = nodes.net[CIVIL].remote("manager")
    error = failed(lambda: manager.register("broken", str(path), title="t", **options), "bad-input")
    for words in causes:
        assert words in error.cause
    assert cure in error.cure
    assert not any(asset.name == "broken" for asset in manager.catalog())


def test_the_command_line_names_line_and_column(nodes: Tiny) -> None:
    path = nodes.file(ROWS + f"p9,9,{TEXT}\n")
    code, error = nodes.lingqu(CIVIL, "register", "broken", str(path))
    assert code == 1
    assert error["code"] == "bad-input"
    assert "line 5" in error["cause"]
    assert error["cure"] == "Correct that line of the file."
    code, error = nodes.lingqu(CIVIL, "register", "broken", str(nodes.file(f"id\n{TEXT}\n{TEXT}\n")), "--key", "id")
    assert (code, error["code"]) == (1, "bad-input")
    assert "1 of 2 rows repeat" in error["cause"]
    code, error = nodes.lingqu(CIVIL, "register", "broken", str(nodes.tables / "nowhere.csv"))
    assert (code, error["code"]) == (1, "bad-input")
    assert "nowhere.csv" in error["cause"]


# Questions

BAD_QUESTIONS = {
    "wrong column": (f"SELECT COUNT(*) {JOIN} WHERE r.aeg > 3", "bad-input", "no column aeg", "id, city, age, wage"),
    "wrong table": ("SELECT COUNT(*) FROM nowhere", "bad-input", "nowhere", "residents"),
    "type mismatch": (f"SELECT COUNT(*) {JOIN} WHERE r.age = 'x'", "bad-input", "cannot be compared", "one type"),
    "sum of texts": (f"SELECT SUM(r.city) {JOIN}", "bad-input", "r.city", "number"),
    "no join key": (JOIN.replace("FROM", "SELECT COUNT(*) FROM").partition(" ON ")[0], "bad-input", "", "ON"),
    "wrong join key": (f"SELECT COUNT(*) {JOIN.replace('w.id', 'w.no')}", "bad-input", "no column", "id, hours"),
    "join keys of two types": (f"SELECT COUNT(*) {JOIN.replace('w.id', 'w.hours')}", "bad-input", "r.id", ""),
    "open text as group": (f"SELECT r.id, COUNT(*) {JOIN} GROUP BY r.id", "bad-input", "r.id", "Group by"),
}


@pytest.mark.parametrize("case", BAD_QUESTIONS)
def test_a_question_that_cannot_be_asked(nodes: Tiny, case: str) -> None:
    query, code, cause, cure = BAD_QUESTIONS[case]
    error = failed(lambda: nodes.explain(query), code)
    assert cause in error.cause
    assert cure in error.cure


def test_the_command_line_shows_the_place(nodes: Tiny) -> None:
    code, error = nodes.lingqu(BIG, "explain", f"SELECT COUNT(*) {JOIN} WHERE r.学历 = 'x'")
    assert (code, error["code"]) == (1, "bad-input")
    assert "There is no column 学历" in error["cause"] or "学历" in error["cause"]
    assert "city" in error["cure"]


TRAINING = {
    "tables": ["civil-affairs/residents", "human-resources/work"],
    "on": [["id", "id"]],
    "label": {"table": "civil-affairs/residents", "column": "city", "positive": "北京"},
    "features": [{"table": "human-resources/work", "column": "hours"}],
    "iterations": 2,
}
BAD_TRAININGS = {
    "wrong feature": ({"features": [{"table": "human-resources/work", "column": "hors"}]}, "hors"),
    "wrong label value": ({"label": TRAINING["label"] | {"positive": "Rome"}}, "Rome"),  # type: ignore[operator]
    "missing key": ({"on": []}, "on"),
    "wrong key": ({"on": [["id", "no"]]}, "no"),
    "table not listed": ({"tables": ["civil-affairs/residents"]}, "human-resources/work"),
    "label of many values": ({"label": TRAINING["label"] | {"column": "id"}}, "id"),  # type: ignore[operator]
}


@pytest.mark.parametrize("case", BAD_TRAININGS)
def test_a_training_that_cannot_be_asked(nodes: Tiny, case: str) -> None:
    change, cause = BAD_TRAININGS[case]
    error = failed(lambda: nodes.explain(json.dumps(TRAINING | change), "train"), "bad-input")
    assert cause in error.cause


# Nothing there


def test_zero_matching_rows_are_an_ordinary_result(nodes: Tiny) -> None:
    other = "id,hours\n" + "".join(f"q{i:02d},{40 + i % 2}\n" for i in range(PEOPLE))
    nodes.register(HUMAN, "strangers", other, key=["id"])
    join = JOIN.replace(".work", ".strangers")
    grouped = nodes.answer(f"SELECT r.city, COUNT(*) AS n, AVG(w.hours) AS h {join} GROUP BY r.city")
    assert grouped.rows == ()
    assert sorted(grouped.withheld) == sorted((city,) for city in CITIES)
    whole = nodes.answer(f"SELECT COUNT(*) AS n, SUM(w.hours) AS h {join}")
    assert whole.rows == ()
    assert "fewer than 2" in whole.note
    training = TRAINING | {
        "tables": ["civil-affairs/residents", "human-resources/strangers"],
        "features": [{"table": "human-resources/strangers", "column": "hours"}],
    }
    model = nodes.answer(json.dumps(training), "train")
    assert model.values == {}
    assert "Withheld" in model.note


def test_empty_tables_are_an_ordinary_result(nodes: Tiny) -> None:
    nodes.register(HUMAN, "header_only", "id,hours\n", key=["id"], types={"hours": "int"})
    empty = pa.table({"id": pa.array([], pa.string()), "hours": pa.array([], pa.float64())})
    path = nodes.tables / "empty.parquet"
    pq.write_table(empty, path)
    nodes.register(CIVIL, "nobody", path, key=["id"])
    one = nodes.answer(
        f"SELECT r.city, COUNT(*) AS n, AVG(w.hours) AS h {JOIN.replace('.work', '.header_only')} GROUP BY r.city"
    )
    assert one.rows == ()
    assert len(one.withheld) == len(CITIES)
    both = nodes.answer(
        'SELECT COUNT(*) AS n, SUM(e.hours) AS h FROM "civil-affairs".nobody e '
        'JOIN "human-resources".header_only w ON e.id = w.id'
    )
    assert both.rows == ()
    assert "fewer than 2" in both.note
    training = TRAINING | {
        "tables": ["civil-affairs/residents", "human-resources/header_only"],
        "features": [{"table": "human-resources/header_only", "column": "hours"}],
    }
    error = failed(lambda: nodes.explain(json.dumps(training), "train"), "bad-input")
    assert "hours" in error.cause


# Keys


def test_rows_without_a_key_match_nothing(nodes: Tiny) -> None:
    known = "".join(f"p{i:02d},{i}\n" for i in range(12))
    nodes.register(CIVIL, "some", "id,n\n" + known + f",{NUMBER}\n" * 6)
    nodes.register(HUMAN, "others", "id,m\n" + known + f",{NUMBER}\n" * 9)
    query = 'SELECT COUNT(*) AS n FROM "civil-affairs".some s JOIN "human-resources".others o ON s.id = o.id'
    # Nulls repeat, and null is no key: the profile's `unique` speaks of the values that are there.
    assert nodes.answer(query).table() == [(12,)]


def test_a_key_that_repeats_where_no_profile_can_tell(nodes: Tiny) -> None:
    """Two columns are a key together, and only the owner's worker sees that they repeat: every pair of rows counts."""
    rows = "".join(f"{TEXT}{i % 11},{i % 11}\n" for i in range(22))
    nodes.register(CIVIL, "pairs", "a,b\n" + rows)
    nodes.register(HUMAN, "singles", "a,b\n" + "".join(f"{TEXT}{i},{i}\n" for i in range(22)))
    both = '"civil-affairs".pairs p JOIN "human-resources".singles s ON p.a = s.a AND p.b = s.b'
    assert nodes.answer(f"SELECT COUNT(*) AS n FROM {both}").table() == [(22,)]


# Names and texts beyond ASCII


def test_names_and_keys_beyond_ascii(nodes: Tiny) -> None:
    nfc = [unicodedata.normalize("NFC", f"Zoë-{i:02d}-李") for i in range(PEOPLE)]
    nfd = [unicodedata.normalize("NFD", name) for name in nfc]
    assert nfc != nfd
    city = ["北京", "Orléans"]
    left = "".join(f"{name},{unicodedata.normalize('NFD', city[i % 2])},{20 + i % 2}\n" for i, name in enumerate(nfd))
    right = "".join(f"{name},{3000 + i % 2}\n" for i, name in enumerate(nfc))
    nodes.register(CIVIL, "ren", f"姓名,{unicodedata.normalize('NFD', 'Ville é')},年龄\n" + left, key=["姓名"])
    nodes.register(HUMAN, "gong", "姓名,工资\n" + right, key=["姓名"], title="工资表 ①")
    release = nodes.answer(
        'SELECT r."Ville é" AS 城市, COUNT(*) AS 人数, AVG(g.工资) AS 平均 FROM "civil-affairs".ren r '
        'JOIN "human-resources".gong g ON r.姓名 = g.姓名 GROUP BY r."Ville é"'
    )
    assert [column.name for column in release.columns] == ["城市", "人数", "平均"]
    assert sorted(release.table()) == [("Orléans", 12, 3001.0), ("北京", 12, 3000.0)]
    where = nodes.answer(
        'SELECT COUNT(*) AS n FROM "civil-affairs".ren r JOIN "human-resources".gong g ON r.姓名 = g.姓名 '
        f"WHERE r.\"Ville é\" = '{unicodedata.normalize('NFD', 'Orléans')}'"
    )
    assert where.table() == [(12,)]
    code, shown = nodes.lingqu(BIG, "catalog", "human-resources/gong")
    assert code == 0
    assert (shown["title"], shown["columns"][1]["name"]) == ("工资表 ①", "工资")


def test_full_width_digits_stay_text(nodes: Tiny) -> None:
    wide = "".join(f"{chr(0xFF11 + i % 9)}{chr(0xFF10 + i // 9)},{i}\n" for i in range(12))
    asset = nodes.register(CIVIL, "wide", "no,n\n" + wide, key=["no"])
    assert asset.columns[0].type.value == "string"
    nodes.register(HUMAN, "narrow", "no,n\n" + "".join(f"{i + 1},{i}\n" for i in range(12)), key=["no"])
    query = 'SELECT COUNT(*) AS n FROM "civil-affairs".wide w JOIN "human-resources".narrow n ON w.no = n.no'
    error = failed(lambda: nodes.explain(query), "bad-input")
    assert "string" in error.cause
    path = nodes.file("no\n" + f"{chr(0xFF11)}\n")
    error = failed(
        lambda: nodes.net[CIVIL].remote("manager").register("x", str(path), title="x", types={"no": "int"}), "bad-input"
    )
    assert "line 2, column no: no int" in error.cause


# Ranges

HUGE = {
    "int": ("big", [2**62 - 1 - i for i in range(PEOPLE)]),
    "negative": ("low", [-(2**62) + 1 + i for i in range(PEOPLE)]),
    "edge": ("edge", [2**63 - 1 if i % 2 else -(2**63) for i in range(PEOPLE)]),
    "real": ("real", [1e17 + i * 1e15 for i in range(PEOPLE)]),
}
ASKED = ("SUM(h.x)", "AVG(h.x)", "SUM(h.x * 2)", "SUM(h.x + w.hours)", "SUM(h.x * w.hours)", "SUM(-h.x)")


@pytest.mark.parametrize("kind", HUGE)
def test_what_does_not_fit_is_found_before_the_run(nodes: Tiny, kind: str) -> None:
    name, values = HUGE[kind]
    path = nodes.tables / f"{name}.parquet"
    pq.write_table(pa.table({"id": [f"p{i:02d}" for i in range(PEOPLE)], "x": values}), path)
    nodes.register(CIVIL, name, path, key=["id"])
    join = f'FROM "civil-affairs".{name} h JOIN "human-resources".work w ON h.id = w.id'
    for asked in (*ASKED, *(["MIN(h.x)", "MAX(h.x)"] if kind == "edge" else [])):
        error = failed(partial(nodes.explain, f"SELECT {asked} AS a {join}"), "out-of-range")
        assert "x" in error.cause
        assert "bounds" in error.cause
        assert "unit" in error.cure or "bounds" in error.cure
    failed(lambda: nodes.explain(f"SELECT COUNT(*) AS n {join} GROUP BY w.hours HAVING SUM(h.x) > 5"), "out-of-range")


def test_large_reals_that_fit_are_right(nodes: Tiny) -> None:
    values = [1e15 + i * 1e13 for i in range(PEOPLE)]
    path = nodes.tables / "large.parquet"
    pq.write_table(pa.table({"id": [f"p{i:02d}" for i in range(PEOPLE)], "x": values}), path)
    nodes.register(CIVIL, "large", path, key=["id"])
    join = 'FROM "civil-affairs".large h JOIN "human-resources".work w ON h.id = w.id'
    [(total, mean)] = nodes.answer(f"SELECT SUM(h.x) AS s, AVG(h.x) AS a {join}").table()
    joined = values[4:]
    assert total == pytest.approx(sum(joined), rel=1e-12)
    assert mean == pytest.approx(sum(joined) / len(joined), rel=1e-12)


def test_without_published_bounds_a_sum_is_not_asked(nodes: Tiny) -> None:
    """Of fewer than ten values nothing is published, so nobody can know that their sum fits."""
    nodes.register(CIVIL, "few", "id,x\n" + "".join(f"p{i:02d},{NUMBER}\n" for i in range(4, 9)), key=["id"])
    join = 'FROM "civil-affairs".few h JOIN "human-resources".work w ON h.id = w.id'
    error = failed(lambda: nodes.explain(f"SELECT SUM(h.x) AS s {join}"), "bad-input")
    assert "h.x" in error.cause
    assert "bounds" in error.cause
    assert "10" in error.cure
    assert nodes.answer(f"SELECT COUNT(*) AS n {join}").table() == [(5,)]


# The data changed


def test_data_that_changed_since_registration_do_not_run(nodes: Tiny) -> None:
    rows = "id,n\n" + "".join(f"p{i:02d},{i % 2}\n" for i in range(PEOPLE))
    path = nodes.file(rows)
    nodes.register(CIVIL, "moving", path, key=["id"])
    query = 'SELECT SUM(m.n) AS s FROM "civil-affairs".moving m JOIN "human-resources".work w ON m.id = w.id'
    contract = nodes.agreed(query, uses=1)
    changes: dict[str, str] = {
        "content": rows.replace("p05,1\n", f"p05,{NUMBER}\n"),
        "rows": rows + f"{TEXT},1\n",
        "types": rows.replace("p05,1\n", f"p05,{TEXT}\n"),
        "columns": rows.replace("id,n", "id,m"),
    }
    for what, changed in changes.items():
        path.write_text(changed)
        error = nodes.failure(nodes.run(contract))
        assert (error.code, error.party) == ("table-changed", CIVIL), what
        assert "civil-affairs/moving" in error.cause
        assert "Register the table again" in error.cure
        for name in NAMES:
            job = nodes.net[name].remote("auditor").jobs()[-1]
            assert job.state == "failed"
            assert job.error is not None
            assert job.error["code"] == "table-changed"
    path.unlink()
    error = nodes.failure(nodes.run(contract))
    assert (error.code, error.party) == ("bad-input", CIVIL)
    assert "civil-affairs/moving" in error.cause  # where it lies is for its owner alone
    path.write_text(rows)
    job = nodes.run(contract)  # no failed run has cost a use
    assert nodes.analyst.result(job.checked().id).table() == [(10,)]
    assert not spilled([repr(job)])
