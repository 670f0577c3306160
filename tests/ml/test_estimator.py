"""The estimator keeps scikit-learn's conventions, and the card reads well."""

from __future__ import annotations

import copy
from typing import ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.base import clone

from lingqu.kinds.disclosure import Statement
from lingqu.kinds.errors import BadInput
from lingqu.ml import (
    Feature,
    InvalidParameter,
    Label,
    LogisticRegression,
    ModelCard,
    ModelRelease,
    NotFitted,
    TrainSpec,
    model_card,
)
from lingqu.ml.spec import Encoded, TableUse

LEFT, RIGHT = "civil-affairs/people", "human-resources/work"
LABEL = (f"{RIGHT}.income", ">50K")


def release() -> ModelRelease:
    return ModelRelease(
        spec=TrainSpec(
            tables=(LEFT, RIGHT),
            on=(("id", "id"),),
            label=Label(table=RIGHT, column="income", positive=">50K"),
            features=(Feature(table=LEFT, column="age"), Feature(table=LEFT, column="town")),
        ),
        encoding=(
            Encoded(name="age", table=LEFT, column="age", kind="number", center=40, scale=10, bound=4, squares=9),
            Encoded(name="town=`a|", table=LEFT, column="town", kind="category", category="`a|\n#", squares=9),
            Encoded(name="member", table=RIGHT, column="member", kind="flag", squares=9),
            Encoded(name="gain", table=RIGHT, column="gain", kind="number", transform="log1p", scale=11.5, squares=9),
        ),
        classes=("<=50K", ">50K"),
        coefficients=(0.5, -2.0, 0.01, 9.0),
        intercept=-1.0,
        metrics={"auc": 0.9, "accuracy": 0.84, "base_rate": 0.24},
        parties=("civil-affairs", "human-resources", "big-data"),
        recipient="big-data",
        minimum_group=10,
        mechanism="share.rep3",
        tables=(TableUse(id=LEFT, owner="civil-affairs", rows=27711, columns=("id", "age", "town")),),
        statement=Statement(learned={"civil-affairs": ()}, withheld=("who is in both",)),
        plan="sha256:" + "0" * 64,
        released="2026-01-01T00:00:00Z",
    )


ROWS = {"age": [40, 60], "town": ["x", "`a|\n#"], "member": [True, False], "gain": [0, 99999]}


class Recorder:
    """A client that keeps what it was asked."""

    def __init__(self) -> None:
        self.spec: TrainSpec | None = None

    def train(self, spec: TrainSpec) -> ModelRelease:
        self.spec = spec
        return release()


def test_init_only_stores_and_clone_works() -> None:
    model = LogisticRegression(C="odd", max_iter=-1)  # type: ignore[arg-type]
    assert model.get_params() == {"C": "odd", "max_iter": -1, "holdout": 0.2, "seed": 0}
    assert vars(model) == model.get_params()
    copy = clone(model.set_params(C=2.0))
    assert copy is not model
    assert copy.get_params() == model.get_params()
    assert repr(copy) == "LogisticRegression(C=2.0, max_iter=-1, holdout=0.2, seed=0)"
    with pytest.raises(InvalidParameter, match="no parameter 'penalty'"):
        model.set_params(penalty="l1")


@pytest.mark.parametrize(
    ("name", "value"),
    [("C", 0), ("C", "1"), ("C", float("nan")), ("max_iter", 1.5), ("max_iter", True), ("holdout", 0.6), ("seed", -1)],
)
def test_parameters_are_checked_when_fitting(name: str, value: object) -> None:
    model = LogisticRegression().set_params(**{name: value})
    with pytest.raises(InvalidParameter, match=f"{name} = "):
        model.fit(Recorder(), label=LABEL, features=[f"{LEFT}.age"], on="id")
    assert issubclass(InvalidParameter, ValueError)


def test_fit_asks_for_what_was_said() -> None:
    client = Recorder()
    model = LogisticRegression(C=4.0, max_iter=9, holdout=0.1, seed=5)
    fitted = model.fit(
        client,
        label=LABEL,
        features=[f"{LEFT}.age", f"log1p({RIGHT}.gain)"],
        on={LEFT: ["id", "born"], RIGHT: ["person", "birth"]},
    )
    assert fitted is model
    assert client.spec == TrainSpec(
        tables=(LEFT, RIGHT),
        on=(("id", "person"), ("born", "birth")),
        label=Label(table=RIGHT, column="income", positive=">50K"),
        features=(Feature(table=LEFT, column="age"), Feature(table=RIGHT, column="gain", transform="log1p")),
        holdout=0.1,
        iterations=9,
        l2=0.25,
        seed=5,
    )
    assert TrainSpec.parse(client.spec.canonical()) == client.spec
    assert model.coef_.shape == (1, 4)
    assert model.intercept_.shape == (1,)
    assert model.classes_.tolist() == ["<=50K", ">50K"]
    assert model.feature_names_in_.tolist() == ["age", "town", "member", "gain"]
    assert model.n_features_in_ == 4
    assert model.metrics_["auc"] == 0.9


def test_fit_takes_the_keys_of_the_tables() -> None:
    class Keyed(Recorder):
        on: ClassVar = {LEFT: ["id"], RIGHT: ["person"]}

    client = Keyed()
    LogisticRegression().fit(client, label=LABEL, features=[f"{LEFT}.age"])
    assert client.spec is not None
    assert client.spec.on == (("id", "person"),)
    with pytest.raises(BadInput, match="no key to join"):
        LogisticRegression().fit(Recorder(), label=LABEL, features=[f"{LEFT}.age"])


def test_names_that_do_not_fit() -> None:
    model = LogisticRegression()
    for features, on, words in [
        ([], "id", "no features"),
        (["age"], "id", "names no column"),
        ([f"{LEFT}."], "id", "names no column"),
        (["Odd Owner/t.age"], "id", "TrainSpec: tables"),
        ([f"{LEFT}.age", "third-party/t.x"], "id", "come from 3 tables"),
        ([f"{LEFT}.age"], {LEFT: "id"}, "names no key of human-resources/work"),
        ([f"{LEFT}.age"], {LEFT: "id", RIGHT: ["a", "b"]}, "differ in number"),
        ([f"{LEFT}.age"] * 2, "id", "named twice"),
    ]:
        with pytest.raises(BadInput, match=words):
            model.specification(label=LABEL, features=features, on=on)  # type: ignore[arg-type]
    single = model.specification(label=LABEL, features=[f"{RIGHT}.hours"], on="id")
    assert single.tables == (RIGHT,)
    assert single.on == (("id", "id"),)


def test_predictions_on_every_kind_of_frame() -> None:
    model = LogisticRegression.from_release(release())
    by_hand = [-1.0 + 0.01, -1.0 + 0.5 * 2 - 2.0 + 9.0]
    for frame in (ROWS, pd.DataFrame(ROWS), pa.table(ROWS)):
        assert np.allclose(model.decision_function(frame), by_hand, atol=2e-3)
        chances = model.predict_proba(frame)
        assert np.allclose(chances[:, 1], 1 / (1 + np.exp(-np.array(by_hand))), atol=1e-3)
        assert np.allclose(chances.sum(axis=1), 1)
        assert model.predict(frame).tolist() == ["<=50K", ">50K"]
    assert model.score(ROWS, ["<=50K", "<=50K"]) == 0.5
    assert model.get_params()["C"] == 1.0
    again = copy.deepcopy(model)
    assert again.predict(ROWS).tolist() == ["<=50K", ">50K"]


def test_extreme_scores_stay_chances() -> None:
    far = release().model_copy(update={"intercept": 1e4})
    assert LogisticRegression.from_release(far).predict_proba(ROWS)[:, 1].tolist() == [1.0, 1.0]


def test_not_fitted() -> None:
    for call in ("predict", "predict_proba", "decision_function"):
        with pytest.raises(NotFitted, match="not trained"):
            getattr(LogisticRegression(), call)(ROWS)
    with pytest.raises(NotFitted):
        LogisticRegression().card()


def test_features_of_one_name_cannot_be_told_apart() -> None:
    encoding = release().encoding
    twin = encoding[0].model_copy(update={"table": RIGHT})
    clash = release().model_copy(update={"encoding": (*encoding[:3], twin)})
    with pytest.raises(BadInput, match="same name"):
        LogisticRegression.from_release(clash)


def test_card_for_people() -> None:
    card = LogisticRegression.from_release(release()).card()
    assert ModelCard.parse(card.canonical()) == card
    text = card.to_markdown()
    assert "ranks about 90 the right way round" in text
    assert "tells about 84 of 100 people right; always giving the more frequent answer gets 76" in text
    for heading in ("Purpose 用途", "Parties 参与方", "Data 数据来源", "Performance", "效果", "主要因素", "局限与警示"):
        assert heading in text or heading == "Performance"
    assert [factor.name for factor in card.factors] == ["town=`a|", "gain", "age", "member"]
    assert "A tenfold `gain` raises the odds 6.1-fold." in text
    assert "10 more of `age` raises the odds 1.6-fold." in text
    assert "`town` being `'a| #` lowers the odds 7.4-fold." in text
    assert "civil-affairs gave the table `civil-affairs/people` (27,711 rows)" in text
    assert "big-data: received the model and computed on shares" in text
    assert "- civil-affairs learned nothing." in text
    assert "- Nobody learned:\n    - who is in both" in text
    assert "sha256:" in text
    wide = release().encoding[0].model_copy(update={"scale": 7561.4})
    numbers = model_card(release().model_copy(update={"encoding": (wide, *release().encoding[1:])})).factors
    assert "7,560 more of `age` raises the odds 1.6-fold." in [factor.words for factor in numbers]


def test_card_without_metrics_and_of_a_weak_model() -> None:
    bare = model_card(release().model_copy(update={"metrics": {}}))
    assert bare.performance == ("Not measured: nobody was kept out of training.",)
    weak = model_card(release().model_copy(update={"metrics": {"auc": 0.6}}))
    assert "weak" in weak.limits[0]
