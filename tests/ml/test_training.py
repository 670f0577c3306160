"""Training and metrics over shares against scikit-learn, on the ideal twin and on rep3."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.metrics import roc_auc_score

from lingqu.ml import LogisticRegression
from lingqu.ml.encoding import held_out, matrix
from lingqu.ml.ranges import HESSIAN, INVERSE, Schedule
from lingqu.ml.training import (
    METRIC_BITS,
    before_ties,
    damped_inverse,
    metrics,
    score_buckets,
    smallest,
)
from lingqu.plan.plan import Setting
from lingqu.share.plain import Plain

Tables = dict[str, Any]
Register = Callable[[str, pa.Table], Tables]
LEFT, RIGHT = "civil-affairs/people", "human-resources/work"
FEATURES = [f"{LEFT}.age", f"{LEFT}.town", f"{RIGHT}.hours", f"log1p({RIGHT}.gain)", f"{RIGHT}.member"]


@pytest.fixture
def people(register: Register, engine: SimpleNamespace) -> Tables:
    left, right = engine.two_tables(1200)
    return {**register(LEFT, left), **register(RIGHT, right)}


def pooled(tables: Tables) -> dict[str, list[Any]]:
    """The join in the clear, for the comparison; without rows whose number is null."""
    left, right = (pa.parquet.read_table(tables[name][0].path) for name in (LEFT, RIGHT))
    joined = left.join(right, "id", join_type="inner")
    return dict(joined.filter(joined["gain"].is_valid()).to_pydict())


def fit_reference(model: LogisticRegression, rows: dict[str, list[Any]]) -> tuple[Any, Any, Any, Any]:
    """scikit-learn's model on the same split; also the encoded rows, labels and who is held out."""
    x = matrix(model.release_.encoding, rows)
    y = np.array(rows["income"]) == "high"
    test = np.array([held_out([key], model.seed, model.holdout) for key in rows["id"]])
    reference = Reference(C=model.C, tol=1e-10, max_iter=5000).fit(x[~test], y[~test])
    return reference, x, y, test


def test_matches_scikit_learn_on_the_pooled_join(people: Tables, setting: Setting, engine: SimpleNamespace) -> None:
    model = LogisticRegression(C=0.5, max_iter=60, holdout=0.3, seed=7)
    model.fit(engine.PlainClient(people, setting), label=(f"{RIGHT}.income", "high"), features=FEATURES, on="id")
    reference, x, y, test = fit_reference(model, pooled(people))
    assert np.max(np.abs(model.coef_ - reference.coef_)) < 1e-2
    assert abs(model.intercept_[0] - reference.intercept_[0]) < 1e-2
    expected = roc_auc_score(y[test], reference.decision_function(x[test]))
    assert abs(model.metrics_["auc"] - expected) < 1e-3
    assert abs(model.metrics_["accuracy"] - reference.score(x[test], y[test])) < 5e-3
    assert abs(model.metrics_["base_rate"] - y[test].mean()) < 1e-3


def test_few_iterations_rank_as_well(people: Tables, setting: Setting, engine: SimpleNamespace) -> None:
    model = LogisticRegression()
    model.fit(engine.PlainClient(people, setting), label=(f"{RIGHT}.income", "high"), features=FEATURES, on="id")
    reference, x, y, test = fit_reference(model, pooled(people))
    expected = roc_auc_score(y[test], reference.decision_function(x[test]))
    assert abs(model.metrics_["auc"] - expected) < 1e-3


def test_one_table_without_holdout(register: Register, setting: Setting, engine: SimpleNamespace) -> None:
    _, work = engine.two_tables(400)
    model = LogisticRegression(holdout=0.0, max_iter=60)
    trainer = engine.PlainClient(register(RIGHT, work), setting)
    model.fit(trainer, label=(f"{RIGHT}.income", "high"), features=FEATURES[2:], on="id")
    work = work.filter(work["gain"].is_valid())
    x = matrix(model.release_.encoding, work)
    reference = Reference(tol=1e-10, max_iter=5000).fit(x, np.array(work["income"].to_pylist()) == "high")
    assert np.max(np.abs(model.coef_ - reference.coef_)) < 1e-2
    assert model.metrics_ == {}


@pytest.mark.parametrize("kind", ["nobody in both", "one class only"])
def test_where_there_is_nothing_to_learn_the_model_is_withheld(
    kind: str, register: Register, setting: Setting, engine: SimpleNamespace
) -> None:
    left, right = engine.two_tables(200)
    if kind == "nobody in both":
        right = right.set_column(0, "id", pa.array([f"q{n}" for n in range(right.num_rows)]))
    else:
        keep = {
            n for n, label in zip(right["id"].to_pylist(), right["income"].to_pylist(), strict=True) if label == "low"
        }
        left = left.filter(pa.array([n in keep for n in left["id"].to_pylist()]))
    tables = {**register(LEFT, left), **register(RIGHT, right)}
    spec = LogisticRegression(max_iter=5).specification(
        label=(f"{RIGHT}.income", "high"), features=FEATURES, on={LEFT: "id", RIGHT: ["id"]}
    )
    plan = engine.compile_spec(spec, tables, setting)
    result = engine.run(plan, Plain(), engine.scan_all(plan, tables))
    assert result is not None
    assert result.values == {}
    assert result.note.startswith("Withheld")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from("pnx")), min_size=1, max_size=60))
def test_auc_counts_ties_as_halves(rows: list[tuple[int, str]]) -> None:
    machine = Plain()
    buckets = np.array([bucket * 500 for bucket, _ in rows])
    positive = np.array([int(kind == "p") for _, kind in rows])
    negative = np.array([int(kind == "n") for _, kind in rows])
    shape = (len(rows),)
    shared = [machine.input(0, values, shape) for values in (buckets, positive, negative)]
    found = {name: machine.reveal(value) for name, value in metrics(machine, *shared).items()}
    counted = (positive + negative) > 0
    if positive.any() and negative.any():
        auc = roc_auc_score(positive[counted], buckets[counted])
        accuracy = np.mean((buckets >= 2048)[counted] == positive[counted])
        for name, expected in {"auc": auc, "accuracy": accuracy, "base_rate": positive[counted].mean()}.items():
            value = found[name]
            assert value is not None
            assert abs(float(value) / 2 ** METRIC_BITS[name] - expected) <= 0.51 / 2 ** METRIC_BITS[name]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e5, 1e5) | st.floats(-17, 17), min_size=1, max_size=30))
def test_buckets_order_as_the_scores_do(scores: list[float]) -> None:
    machine = Plain()
    found = machine.reveal(score_buckets(machine, machine.input_real(0, np.array(scores), (len(scores),))))
    assert found is not None
    assert np.all((found >= 0) & (found < 4096))
    order = np.argsort(scores)
    assert np.all(np.diff(found[order]) >= 0)
    certain = np.abs(scores) > 1e-6
    assert np.array_equal((found >= 2048)[certain], (np.array(scores) > 0)[certain])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=40))
def test_before_ties_is_the_first_rows_count(keys: list[int]) -> None:
    machine = Plain()
    ordered = np.sort(np.array(keys))
    counts = np.arange(len(keys)).reshape(-1, 1) * np.array([[1, 3]])
    found = machine.reveal(
        before_ties(machine, machine.input(0, ordered, ordered.shape), machine.input(0, counts, counts.shape))
    )
    first = np.searchsorted(ordered, ordered)
    assert found is not None
    assert np.array_equal(found, counts[first])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=9))
def test_smallest(values: list[int]) -> None:
    machine = Plain()
    assert machine.reveal(smallest(machine, machine.input(0, np.array(values), (len(values),)))) == min(values)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1), st.integers(6, 16))
def test_the_inverse_never_exceeds_the_true_one(width: int, seed: int, doublings: int) -> None:
    machine = Plain()
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(width, width + 2)) * rng.choice([0.05, 0.5], (width, 1))
    matrix_ = x @ x.T / (width + 2) + 1e-3 * np.eye(width)
    start = max(1, int(np.ceil(np.trace(matrix_))))
    run_ = Schedule(
        rows=1, fraction=20, shift=0, start=start, doublings=doublings, momentum=(), l2=1.0, score=1.0, weight=1.0
    )
    fixed = np.rint(matrix_ * 2**HESSIAN).astype(np.int64)
    shared = damped_inverse(machine, machine.input(0, fixed, fixed.shape), run_)
    found = machine.reveal(shared)
    assert found is not None
    inverse = found / 2**INVERSE
    relative = np.linalg.eigvals(inverse @ matrix_).real
    assert relative.max() < 1.01
    damped = 1 - (1 - np.linalg.eigvalsh(matrix_) / start) ** (2**doublings)
    assert np.allclose(np.sort(relative), np.sort(damped), atol=0.02)
