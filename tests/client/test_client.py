"""The Python client against a node made of the table: what `lingqu.connect` gives and what it refuses."""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

import lingqu
from lingqu.client import Agreement, Client, Query, Result
from lingqu.intersect import IntersectSpec
from lingqu.kinds.errors import BadInput, Refused, Tampered, Unavailable
from lingqu.kinds.programs import Parameter, Program
from lingqu.ml import Feature, Label, TrainSpec
from lingqu.node.remote import Remote

SQL = "SELECT education, COUNT(*) AS people FROM civil_affairs.residents GROUP BY education"
PURPOSE = "labour statistics"
SPEC = TrainSpec(
    tables=("civil-affairs/residents",),
    on=(("person_id", "person_id"),),
    label=Label(table="civil-affairs/residents", column="education", positive="Masters"),
    features=(Feature(table="civil-affairs/residents", column="age"),),
)


def release(**changes: Any) -> dict[str, Any]:
    """A released table with one group withheld and every type of cell."""
    columns = {"education": "string", "people": "int", "mean_age": "real", "first": "date", "adult": "bool"}
    fields: dict[str, Any] = {
        "job": "0123456789abcdef" * 2,
        "plan": "sha256:" + "0" * 64,
        "recipient": "big-data",
        "kind": "table",
        "blind": "00" * 16,
        "minimum_group": 10,
        "columns": [{"name": name, "type": kind, "computed": "…"} for name, kind in columns.items()],
        "rows": [["Bachelors <b>", str(2**60), 38.25, "2026-01-02", True], ["Masters", 40, None, None, None]],
        "withheld": [["Preschool"]],
        "values": {},
        "note": "Groups that are missing were withheld (below 10 rows or absent).",
    }
    return fields | changes


@pytest.fixture
def client(remote: Remote, fake: Any) -> Client:
    """A client of the fake node, whose results are the table above."""
    fake.release = release()
    return Client(remote)


@pytest.fixture
def query(client: Client) -> Query:
    """The fake node's question."""
    return client.sql(SQL + ";\n", purpose=PURPOSE)


def test_connect_is_reached_from_the_package(fake: Any, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lingqu.connect(home=home) as client:
        assert client.catalog()[0].id == "civil-affairs/residents"
    monkeypatch.setenv("LINGQU_HOME", str(home))
    assert "7101" in repr(lingqu.connect())
    monkeypatch.delenv("LINGQU_TOKEN", raising=False)
    for arguments in ({"url": "http://node"}, {"token": "t"}, {"url": "http://node", "token": "t", "home": home}):
        with pytest.raises(BadInput):
            lingqu.connect(**arguments)
    with pytest.raises(Refused):
        lingqu.connect(home=home, user="nobody")
    with pytest.raises(AttributeError):
        _ = lingqu.nothing


def test_the_catalogue_reads_well(client: Client) -> None:
    catalog = client.catalog()
    assert "41,523 rows" in repr(catalog)
    assert "age: int" in catalog._repr_html_()
    assert catalog.named("civil-affairs/residents").rows == 41_523
    with pytest.raises(BadInput, match="civil-affairs/residents"):
        catalog.named("nothing")


def test_a_query_is_explained_proposed_and_run(client: Client, query: Query, fake: Any) -> None:
    explained = query.explain()
    assert "share.rep3" in repr(explained)
    assert explained.statement.learned["civil-affairs"] == ()
    assert "who is in both tables" in explained._repr_html_()
    agreement = query.propose(title="Education", uses=2, expires=datetime.timedelta(days=1))
    assert agreement.state == "proposed"
    assert "waiting for civil-affairs" in repr(agreement)
    with pytest.raises(Refused) as refused:
        query.run()
    assert refused.value.term == "signatures"
    with pytest.raises(Unavailable, match="civil-affairs"):
        agreement.wait(timeout=0.0)
    fake.contracts[agreement.id] |= {"state": "in-force", "approvals": ["civil-affairs", "human-resources", "big-data"]}
    assert agreement.wait(timeout=0.0).state == "in-force"
    seen: list[str] = []
    result = query.run(progress=lambda view: seen.append(view.state))
    assert seen == ["running", "done"]
    assert result.receipt.contract == agreement.id
    assert "measured" in explained.beside(result)
    assert client.result(result.receipt.id).release == result.release
    assert [item.id for item in client.contracts()] == [agreement.id] == [client.contract(agreement.id).id]
    assert len(client.jobs()) == 1


def test_waiting_ends_when_the_contract_does(client: Client, query: Query, fake: Any) -> None:
    for state, term in (("rejected", "signatures"), ("revoked", "revoked"), ("used-up", "used_up")):
        contract = fake.contract(query.program, state)
        with pytest.raises(Refused) as refused:
            client.contract(contract).wait(timeout=0.0)
        assert refused.value.term == term


def test_without_a_contract_the_refusal_names_signatures_and_the_cure(query: Query) -> None:
    with pytest.raises(Refused, match="propose") as refused:
        query.run()
    assert refused.value.term == "signatures"


def test_bindings_are_passed_on(client: Client, fake: Any) -> None:
    text = SQL.replace("GROUP", "WHERE age >= :lo GROUP")
    query = client.sql(text, purpose=PURPOSE, parameters={"lo": (18, 60), "level": ["a", "b"]})
    assert query.program.parameters["lo"] == Parameter(lower=18, upper=60)
    assert query.program.parameters["level"] == Parameter(allowed=("a", "b"))
    contract = Agreement(client.remote, client.remote.contract(fake.contract(query.program)))
    query.run(contract, lo=30, level="a")
    assert next(b for m, p, b in fake.asked if (m, p) == ("POST", "/v1/jobs"))["bindings"] == {"lo": 30, "level": "a"}
    wrong: Any
    for wrong in ("abc", [], ()):
        with pytest.raises(BadInput, match="limits"):
            client.sql(text, purpose=PURPOSE, parameters={"lo": wrong})


@pytest.fixture
def result(query: Query, fake: Any) -> Result:
    """The fake node's answer."""
    fake.contract(query.program)
    return query.run()


def test_results_become_frames_of_the_right_types(result: Result) -> None:
    table = result.to_arrow()
    assert list(map(str, table.schema.types)) == ["string", "int64", "double", "date32[day]", "bool"]
    first = {"education": "Bachelors <b>", "people": 2**60, "mean_age": 38.25, "first": datetime.date(2026, 1, 2)}
    assert table.to_pylist()[0] == first | {"adult": True}
    assert result.to_pandas()["people"].tolist() == [2**60, 40]
    assert result.to_polars()["people"].to_list() == [2**60, 40]
    assert (len(result), result.columns[0], result.withheld) == (2, "education", (("Preschool",),))


def test_results_read_well(result: Result) -> None:
    assert "Masters" in repr(result)
    assert "Not shown: Preschool. A group is shown only where at least 10 rows stand" in result.note
    assert "Not shown: Preschool." in repr(result)
    assert "&lt;b&gt;" in result._repr_html_()
    with pytest.raises(BadInput, match="no model"):
        _ = result.model


def test_a_missing_extra_is_named(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"lingqu\[pandas\]"):
        result.to_pandas()
    with pytest.raises(BadInput, match=r"lingqu\[polars\]"):
        result.to_polars()


def test_tables_train_only_what_they_are(client: Client) -> None:
    people = client.tables("civil-affairs/residents", on="person_id", purpose=PURPOSE)
    assert people.on == {"civil-affairs/residents": ["person_id"]}
    assert "person_id" in repr(people)
    with pytest.raises(Refused) as refused:
        people.train(SPEC)
    assert refused.value.term == "signatures"
    with pytest.raises(BadInput, match="other keys"):
        client.tables("civil-affairs/residents", on="id", purpose=PURPOSE).train(SPEC)
    with pytest.raises(BadInput, match="not among"):
        client.tables("civil-affairs/others", on="person_id", purpose=PURPOSE).train(SPEC)
    with pytest.raises(BadInput, match="3 tables"):
        client.tables("a/b", "c/d", "e/f", on="person_id", purpose=PURPOSE)
    pair = client.tables("aaa/b", "ccc/d", on=[("id", "person")], purpose=PURPOSE)
    assert pair.on == {"aaa/b": ["id"], "ccc/d": ["person"]}


def test_a_model_is_made_of_the_release_and_the_plan(client: Client, fake: Any) -> None:
    training = client.training(SPEC.model_dump(mode="json"), purpose=PURPOSE)
    assert "Training of education" in repr(training)
    fake.contract(training.program)
    fake.release = release(kind="model", rows=[], columns=[], withheld=[], values={"intercept": [1.0]})
    with pytest.raises(Tampered, match="not the one that the result names"):
        training.run()
    with pytest.raises(BadInput, match="no table"):
        training.result(None, {}, None).to_arrow()


def test_a_contract_over_a_training_is_found_however_its_json_is_spelt(client: Client, fake: Any) -> None:
    contract = fake.contract(Program(kind="train", text=SPEC.model_dump_json(indent=1)))
    assert client.remote.matching(client.training(SPEC, purpose=PURPOSE).program, PURPOSE).id == contract


def test_export_writes_the_bundle(client: Client, tmp_path: Path) -> None:
    assert client.export(tmp_path / "bundle").read_bytes() == b"bundle"


def test_estimators_are_reached_from_the_package() -> None:
    assert repr(lingqu.ml.LogisticRegression(C=2.0)).startswith("LogisticRegression(C=2.0")


def test_an_intersection_is_specified_in_short(client: Client) -> None:
    first, second = "civil-affairs/residents", "human-resources/employment"
    asked = client.intersect(
        first,
        second,
        on=["person_id", ("born", "birthday")],
        forms=["identity/1", "date/1"],
        columns={first: ["age"]},
        largest={second: 10},
        purpose="p",
    )
    one, two = asked.spec.tables
    assert (one.keys, two.keys) == (("person_id", "born"), ("person_id", "birthday"))
    assert (one.columns, two.columns) == (("age",), ())
    assert (one.largest, two.largest) == (None, 10)
    assert asked.program.kind == "intersect"
    assert IntersectSpec.parse(asked.program.text) == asked.spec
    assert "civil-affairs/residents and human-resources/employment" in repr(asked)
    plain = client.intersect(first, second, on="person_id", largest=7, purpose="p").spec
    assert plain.forms == ("exact/1",)
    assert [side.largest for side in plain.tables] == [7, 7]
    for strange in ({"columns": {"other/table": ["x"]}}, {"largest": {"other/table": 1}}):
        with pytest.raises(BadInput, match="other/table is not among these tables"):
            client.intersect(first, second, on="person_id", purpose="p", **strange)
    with pytest.raises(BadInput, match="as many key columns as there are forms"):
        client.intersect(first, second, on="person_id", forms=["text/1", "text/1"], purpose="p")


def large(rows: pa.Table, **other: Any) -> tuple[dict[str, Any], bytes]:
    """A result whose rows are a file at the node, and the file."""
    file = pa.BufferOutputStream()
    parquet.write_table(rows, file)
    data = file.getvalue().to_pybytes()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    attached = {"rows": rows.num_rows, "bytes": len(data), "digest": digest} | other
    columns = [{"name": "n", "type": "int", "computed": "…"}]
    return release(rows=[], columns=columns, withheld=[], note="", attached=attached), data


def test_a_large_results_rows_are_fetched_when_looked_at(query: Query, fake: Any, tmp_path: Path) -> None:
    rows = pa.table({"n": range(70_000)})
    fake.contract(query.program)
    fake.release, fake.rows = large(rows)
    result = query.run()
    asked = len(fake.asked)
    assert (len(result), result.columns) == (70_000, ("n",))
    assert len(fake.asked) == asked
    assert repr(result).splitlines()[2].strip() == "0"
    assert "… 69980 more rows" in repr(result)
    assert result.to_arrow().equals(rows)
    assert len(fake.asked) == asked + 1
    result.write(tmp_path / "n.parquet")
    result.write(tmp_path / "n.csv")
    assert parquet.read_table(tmp_path / "n.parquet").equals(rows)
    assert (tmp_path / "n.csv").read_text().splitlines()[:3] == ['"n"', "0", "1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["n.csv", "n.parquet"]
    with pytest.raises(BadInput, match="no file for rows"):
        result.write(tmp_path / "n.xlsx")


@pytest.mark.parametrize("other", [{"digest": "sha256:" + "0" * 64}, {"bytes": 10}, {"bytes": 10_000_000}])
def test_rows_that_the_document_does_not_name_are_refused(
    query: Query, fake: Any, tmp_path: Path, other: dict[str, Any]
) -> None:
    fake.release, fake.rows = large(pa.table({"n": range(100)}), **other)
    fake.contract(query.program)
    result = query.run()
    for kind in ("csv", "parquet"):
        with pytest.raises(Tampered, match="others than its result names"):
            result.write(tmp_path / f"n.{kind}")
    with pytest.raises(Tampered):
        result.to_arrow()
    assert not list(tmp_path.iterdir())


def test_a_small_result_is_written_from_its_document(query: Query, fake: Any, tmp_path: Path) -> None:
    fake.contract(query.program)
    query.run().write(tmp_path / "some.parquet")
    assert parquet.read_table(tmp_path / "some.parquet").column("education").to_pylist() == [
        "Bachelors <b>",
        "Masters",
    ]
