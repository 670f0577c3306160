"""Plans of training programs: the same everywhere, honest about what they tell, refused before the run when unsound."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.kinds.disclosure import Fact
from lingqu.kinds.errors import BadInput, LingquError, RangeError, Refused
from lingqu.kinds.mechanism import Registry
from lingqu.kinds.programs import Parameter, Program
from lingqu.kinds.schema import Asset, Column, ColumnProfile, ColumnType, Grade
from lingqu.ml import FRONTEND, LogisticRegression, TrainSpec, model_release
from lingqu.ml.encoding import encode
from lingqu.ml.ranges import schedule
from lingqu.plan.explain import explain_text
from lingqu.plan.inputs import AlignArguments
from lingqu.plan.plan import Setting

LEFT, RIGHT = "civil-affairs/people", "human-resources/work"
LABEL = (f"{RIGHT}.income", "high")
FEATURES = [f"{LEFT}.age", f"{LEFT}.town", f"{RIGHT}.hours", f"log1p({RIGHT}.gain)"]

NUMBER = ColumnProfile(lower=0, upper=100, mean=40, deviation=12)
COLUMNS = {
    LEFT: {
        "id": (ColumnType.STRING, ColumnProfile(unique=True)),
        "age": (ColumnType.INT, NUMBER),
        "town": (ColumnType.STRING, ColumnProfile(categories=("north", "south"))),
        "born": (ColumnType.REAL, NUMBER),
    },
    RIGHT: {
        "id": (ColumnType.STRING, ColumnProfile(unique=True)),
        "hours": (ColumnType.REAL, NUMBER),
        "gain": (ColumnType.INT, ColumnProfile(lower=0, upper=1e5)),
        "income": (ColumnType.STRING, ColumnProfile(categories=("high", "low"), complete=True)),
    },
}


def asset(name: str, rows: int = 1000) -> Asset:
    owner, short = name.split("/")
    return Asset(
        id=name,
        owner=owner,
        name=short,
        title=short,
        version=1,
        columns=tuple(Column(name=column, type=kind) for column, (kind, _) in COLUMNS[name].items()),
        rows=rows,
        profile={column: profile for column, (_, profile) in COLUMNS[name].items()},
        grade=Grade.GENERAL,
        registered="2026-01-01T00:00:00Z",
    )


ASSETS = {name: asset(name) for name in (LEFT, RIGHT)}


def specification(**parameters: Any) -> TrainSpec:
    return LogisticRegression(**parameters).specification(label=LABEL, features=FEATURES, on="id")


def program(spec: TrainSpec) -> Program:
    return Program(kind="train", text=spec.canonical().decode())


def test_a_plan_is_the_same_at_every_node(setting: Setting) -> None:
    first = FRONTEND.compile(program(specification()), ASSETS, setting)
    second = FRONTEND.compile(program(specification()), dict(reversed(ASSETS.items())), setting)
    assert first.sha256() == second.sha256()
    assert first.sha256() != FRONTEND.compile(program(specification(seed=1)), ASSETS, setting).sha256()
    assert type(first).parse(first.canonical()) == first
    assert [step.operator for step in first.steps] == ["scan", "scan", "align", "train", "evaluate", "release"]
    assert "by alignment: share.rep3 looks keys up that stay at their owners" in first.step("join").reason
    used = {use.id: use.columns for use in first.assets}
    assert used == {LEFT: ("id", "age", "town"), RIGHT: ("id", "hours", "gain", "income")}


OUTSIDE = ("input", "input_bits", "reveal")


def test_tables_are_joined_by_sorting_where_no_mechanism_aligns(setting: Setting) -> None:
    known = setting.registry.get("share.rep3")
    sorting = replace(setting, registry=Registry({"share.rep3": replace(known, aligned_rows=None)}))
    entering = {f"{name}_outside": replace(known.operations[name], name=f"{name}_outside") for name in OUTSIDE}
    open_to_all = replace(known, operations={**known.operations, **entering})
    parties = ("civil-affairs", "big-data", "another")
    outside = replace(setting, parties=parties, registry=Registry({"share.rep3": open_to_all}))
    for where, why in ((sorting, "share.rep3 offers no alignment"), (outside, "human-resources does not compute")):
        plan = FRONTEND.compile(program(specification()), ASSETS, where)
        operators = ["scan", "input", "scan", "input", "join", "train", "evaluate", "release"]
        assert [step.operator for step in plan.steps] == operators
        assert f"by sorting shared rows: {why}" in plan.step("join").reason


def test_the_plan_does_not_hang_on_a_node_s_mathematical_library(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """log1p may differ in its last bit between two systems; who signs the plan's digest must not notice."""
    plan = FRONTEND.compile(program(specification()), ASSETS, setting)
    for name in ("log", "log1p", "log2"):
        known = getattr(math, name)
        monkeypatch.setattr(math, name, lambda x, known=known: known(x) * (1 + 2**-52))
    assert FRONTEND.compile(program(specification()), ASSETS, setting).sha256() == plan.sha256()


def test_the_statement_says_who_learns_what(setting: Setting) -> None:
    plan = FRONTEND.compile(program(specification()), ASSETS, setting)
    told = {party: [line.fact for line in lines] for party, lines in plan.statement.learned.items()}
    assert told["civil-affairs"] == told["human-resources"] == [Fact.ROW_COUNT]
    assert told["big-data"] == [*[Fact.ROW_COUNT] * 2, Fact.MODEL, *[Fact.METRIC] * 3]
    assert f"how many people are in both {LEFT} and {RIGHT}" in plan.statement.withheld
    assert "who is in both" in explain_text(plan)
    bare = FRONTEND.compile(program(specification(holdout=0.0)), ASSETS, setting)
    assert Fact.METRIC not in {line.fact for line in bare.statement.learned["big-data"]}
    assert [output.name for output in bare.outputs] == ["intercept", "coefficients"]


def test_nothing_but_the_release_opens_values(setting: Setting) -> None:
    plan = FRONTEND.compile(program(specification()), ASSETS, setting)
    assert [step.id for step in plan.steps if step.reveals] == ["release"]
    aligned = AlignArguments.parse(json.dumps(plan.step("join").arguments))
    sides = (aligned.asker.rows, aligned.keeper.rows)
    assert [side.valid for side in sides] == ["valid", "valid"]
    assert [key.most for side in sides for key in side.keys] == [1, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tables": [LEFT, "human-resources/absent"]}, "is not among the tables"),
        ({"label": {"table": RIGHT, "column": "absent", "positive": "high"}}, "no column 'absent'"),
        ({"label": {"table": RIGHT, "column": "income", "positive": "middle"}}, "no value 'middle'"),
        ({"features": [{"table": LEFT, "column": "absent", "transform": "none"}]}, "no column 'absent'"),
        ({"features": []}, "features"),
        ({"features": [{"table": RIGHT, "column": "income", "transform": "none"}]}, "label is among the features"),
        ({"features": [{"table": LEFT, "column": "age", "transform": "none"}] * 2}, "named twice"),
        ({"on": []}, "on"),
        ({"on": [["id", "hours"]]}, "cannot be joined"),
        ({"on": [["born", "hours"]]}, "cannot be joined"),
        ({"on": [["absent", "id"]]}, "no column 'absent'"),
        ({"holdout": 0.9}, "holdout"),
        ({"iterations": 0}, "iterations"),
        ({"l2": 0.0}, "l2"),
        ({"metrics": ["auc", "auc"]}, "metric is named twice"),
        ({"tables": [LEFT, LEFT]}, "named twice"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_bad_specifications_are_refused(change: dict[str, Any], words: str, setting: Setting) -> None:
    text = json.dumps({**specification().model_dump(mode="json"), **change})
    with pytest.raises(BadInput, match=words):
        FRONTEND.compile(Program(kind="train", text=text), ASSETS, setting)


def test_other_bad_input(setting: Setting) -> None:
    good = program(specification())
    with pytest.raises(BadInput, match="There is no table"):
        FRONTEND.compile(good, {LEFT: ASSETS[LEFT]}, setting)
    with pytest.raises(BadInput, match="is empty"):
        FRONTEND.compile(good, {**ASSETS, LEFT: asset(LEFT, 0)}, setting)
    with pytest.raises(BadInput, match="no open parameters"):
        FRONTEND.compile(good.model_copy(update={"parameters": {"a": Parameter(allowed=(1,))}}), ASSETS, setting)
    outside = dataclasses.replace(setting, parties=("a-party", "b-party", "big-data"))
    with pytest.raises(Refused, match="does not offer input_bits_outside, input_outside"):
        FRONTEND.compile(good, ASSETS, outside)


def test_what_does_not_fit_is_found_before_the_run(setting: Setting) -> None:
    huge = {name: asset(name, 1 << 26) for name in ASSETS}
    with pytest.raises(RangeError, match="room for 1048576 rows"):
        FRONTEND.compile(program(specification()), huge, setting)
    with pytest.raises(RangeError, match="'age'") as caught:
        FRONTEND.compile(program(specification(holdout=0.0)), huge, setting)
    assert "narrower bounds" in caught.value.cure


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 1 << 22), st.floats(1e-4, 1e4), st.integers(1, 200))
def test_every_schedule_keeps_its_products_below_62_bits(rows: int, strength: float, iterations: int) -> None:
    assets = {name: asset(name, rows) for name in ASSETS}
    spec = specification(C=strength, max_iter=iterations)
    try:
        run = schedule(spec, encode(spec.features, assets), rows)
    except RangeError:
        assert rows > 1 << 18 or strength > 10
        return
    assert rows * 5 * 2.0 ** (run.fraction + 20) < 2**62
    assert run.score * 2.0 ** (run.fraction + 20) < 2**62
    assert run.weight * 2.0**42 < 2**62
    assert 2**run.doublings / run.start <= 2**13
    assert 15 <= run.fraction <= 20
    assert 2 * run.fraction + 2 + run.shift > 30
    assert len(run.momentum) == iterations
    assert run.momentum[0] == 0
    assert max(run.momentum) <= 3


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=200))
def test_any_text_ends_in_a_named_error(text: str) -> None:
    with pytest.raises(LingquError):
        TrainSpec.parse(text)


def test_release_of_another_plan(setting: Setting) -> None:
    plan = FRONTEND.compile(program(specification()), ASSETS, setting)
    with pytest.raises(BadInput, match="Fewer than 10 people"):
        model_release(plan, {}, released="2026-01-01T00:00:00Z")
    without = plan.model_copy(update={"steps": plan.steps[-1:]})
    with pytest.raises(BadInput, match="trains no model"):
        model_release(without, {}, released="2026-01-01T00:00:00Z")
