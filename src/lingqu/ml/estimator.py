"""Estimators in scikit-learn's manner: `__init__` only stores, `fit` trains under a contract, attributes end in `_`."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from lingqu.kinds.errors import BadInput
from lingqu.ml.encoding import Reals, matrix
from lingqu.ml.release import ModelCard, model_card
from lingqu.ml.spec import Class, Feature, Label, ModelRelease, TrainSpec, Transform


class InvalidParameter(BadInput, ValueError):
    """An estimator's parameter has a wrong type or lies outside its limits."""

    code = "invalid-parameter"


class NotFitted(BadInput, ValueError, AttributeError):
    """The estimator has not been trained yet."""

    code = "not-fitted"


class Trainer(Protocol):
    """What `fit` needs of a client: it has the specification agreed on and run, and returns what was released."""

    def train(self, spec: TrainSpec) -> ModelRelease:
        """Train under a contract in force; Refused and BadInput say what is missing."""


@dataclass(frozen=True)
class Limits:
    """A parameter's limits: both ends belong to it.  whole: only integers."""

    lower: float
    upper: float
    whole: bool = False

    def check(self, name: str, value: object) -> None:
        """InvalidParameter unless the value is a number within the limits."""
        kind = numbers.Integral if self.whole else numbers.Real
        if isinstance(value, bool) or not isinstance(value, kind) or not self.lower <= float(value) <= self.upper:
            what = "an integer" if self.whole else "a number"
            raise InvalidParameter(
                f"{name} = {value!r} is not {what} from {self.lower:g} to {self.upper:g}.", f"Give {name} such a value."
            )


class LogisticRegression:
    """Logistic regression over several organisations' columns, trained on secret shares.

    C: inverse strength of the penalty, as in scikit-learn; the intercept is not penalised.
    max_iter: iterations; more bring the coefficients closer to the optimum and cost time in proportion.
    holdout: share of people kept out of training to measure the model; 0 measures nothing.
    seed: salts the choice of the people held out.

    Fitted: coef_ (1, d), intercept_ (1,), classes_ (negative, positive), feature_names_in_ (the columns that `predict`
    needs), encoded_names_ (d), metrics_ (dict), n_features_in_, n_iter_, release_ (the ModelRelease).
    """

    parameter_limits: Mapping[str, Limits] = {
        "C": Limits(1e-4, 1e4),
        "max_iter": Limits(1, 200, whole=True),
        "holdout": Limits(0.0, 0.5),
        "seed": Limits(0, 2**31 - 1, whole=True),
    }

    coef_: Reals
    intercept_: Reals
    classes_: npt.NDArray[Any]
    feature_names_in_: npt.NDArray[Any]
    encoded_names_: npt.NDArray[Any]
    metrics_: dict[str, float]
    n_features_in_: int
    n_iter_: int
    release_: ModelRelease

    def __init__(self, C: float = 1.0, max_iter: int = 20, holdout: float = 0.2, seed: int = 0) -> None:  # noqa: N803
        self.C = C
        self.max_iter = max_iter
        self.holdout = holdout
        self.seed = seed

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name; deep: kept for scikit-learn's convention, no parameter is an estimator."""
        names = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        return {name: getattr(self, name) for name in names}

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters by name; InvalidParameter for one that there is not."""
        known = self.get_params()
        for name, value in parameters.items():
            if name not in known:
                raise InvalidParameter(f"There is no parameter {name!r}.", f"Known: {', '.join(known)}.")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.get_params().items())})"

    def specification(
        self,
        *,
        label: tuple[str, Class],
        features: Sequence[str],
        on: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    ) -> TrainSpec:
        """What `fit` asks to be trained, to be read, proposed and approved before.

        label: column and the value that counts as positive, ("human-resources/employment.income", ">50K").
        features: columns "owner/table.column", or "log1p(owner/table.column)" for heavy-tailed amounts.
        on: the key columns' name where all tables use the same, or names by table.
        InvalidParameter for parameters outside their limits, BadInput for names that do not fit.
        """
        for name, limits in self.parameter_limits.items():
            limits.check(name, getattr(self, name))
        table, column = _place(label[0])
        target = Label.model_construct(table=table, column=column, positive=label[1])
        wanted = tuple(_feature(text) for text in features)
        if not wanted:
            raise BadInput("There are no features.", "Name at least one column.")
        tables = tuple(dict.fromkeys([*(feature.table for feature in wanted), target.table]))
        return TrainSpec.parse(
            TrainSpec.model_construct(
                estimator="logistic_regression",
                tables=tables,
                on=_pairs(on, tables),
                label=target,
                features=wanted,
                holdout=float(self.holdout),
                iterations=int(self.max_iter),
                l2=1.0 / float(self.C),
                seed=int(self.seed),
                metrics=("auc", "accuracy", "base_rate"),
            ).canonical()
        )

    def fit(
        self,
        tables: Trainer,
        *,
        label: tuple[str, Class],
        features: Sequence[str],
        on: str | Sequence[str] | Mapping[str, str | Sequence[str]] | None = None,
    ) -> Self:
        """Have the model trained; see `specification` for the arguments.

        tables: what `Client.tables` gives, or anything that trains.  on: the tables' own keys when not given.
        """
        keys = on if on is not None else getattr(tables, "on", None)
        if keys is None:
            raise BadInput("There is no key to join the tables on.", 'Name the key columns: on="person_id".')
        return self._load(tables.train(self.specification(label=label, features=features, on=keys)))

    @classmethod
    def from_release(cls, release: ModelRelease) -> Self:
        """The fitted estimator of a model released earlier."""
        spec = release.spec
        return cls(C=1.0 / spec.l2, max_iter=spec.iterations, holdout=spec.holdout, seed=spec.seed)._load(release)

    def _load(self, release: ModelRelease) -> Self:
        columns = list(dict.fromkeys(encoded.column for encoded in release.encoding))
        tables = {(encoded.table, encoded.column) for encoded in release.encoding}
        if len(tables) != len(columns):
            raise BadInput("Two tables have a feature of the same name.", "Register one of them under another name.")
        self.release_ = release
        self.coef_ = np.array([release.coefficients], dtype=np.float64)
        self.intercept_ = np.array([release.intercept], dtype=np.float64)
        self.classes_ = np.array(release.classes)
        self.feature_names_in_ = np.array(columns, dtype=object)
        self.encoded_names_ = np.array([encoded.name for encoded in release.encoding], dtype=object)
        self.metrics_ = {str(name): value for name, value in release.metrics.items()}
        self.n_features_in_ = len(columns)
        self.n_iter_ = release.spec.iterations
        return self

    def _fitted(self) -> ModelRelease:
        if not hasattr(self, "release_"):
            raise NotFitted(f"This {type(self).__name__} is not trained yet.", "Call fit first.")
        return self.release_

    def decision_function(self, frame: Any) -> Reals:
        """The log-odds of the positive class a row, shape (rows,).

        frame: the recipient's own rows, columns by name (pandas, Polars, Arrow, a dict); encoded as the owners did.
        """
        release = self._fitted()
        scores: Reals = matrix(release.encoding, frame) @ self.coef_[0] + self.intercept_[0]
        return scores

    def predict_proba(self, frame: Any) -> Reals:
        """The chances of both classes in the order of classes_, shape (rows, 2)."""
        positive = 0.5 * (1.0 + np.tanh(0.5 * self.decision_function(frame)))
        return np.stack([1.0 - positive, positive], axis=1)

    def predict(self, frame: Any) -> npt.NDArray[Any]:
        """The likelier class a row."""
        positive = self.decision_function(frame) > 0
        chosen: npt.NDArray[Any] = self.classes_[positive.astype(np.int64)]
        return chosen

    def score(self, frame: Any, y: Any) -> float:
        """Share of rows whose class is predicted rightly."""
        return float(np.mean(self.predict(frame) == np.asarray(y)))

    def card(self) -> ModelCard:
        """The model card, for people."""
        return model_card(self._fitted())


def _place(text: str) -> tuple[str, str]:
    table, dot, column = text.partition(".")
    if not dot or "/" not in table or not column:
        raise BadInput(f"{text!r} names no column.", 'Write "owner/table.column".')
    return table, column


def _feature(text: str) -> Feature:
    transform: Transform = "none"
    if text.startswith("log1p(") and text.endswith(")"):
        text, transform = text[len("log1p(") : -1], "log1p"
    table, column = _place(text)
    return Feature.model_construct(table=table, column=column, transform=transform)


def _pairs(
    on: str | Sequence[str] | Mapping[str, str | Sequence[str]], tables: Sequence[str]
) -> tuple[tuple[str, str], ...]:
    if len(tables) > 2:
        raise BadInput(f"The columns come from {len(tables)} tables.", "Train on one table, or on two that are joined.")
    by_table = on if isinstance(on, Mapping) else dict.fromkeys(tables, on)
    missing = [table for table in tables if table not in by_table]
    if missing:
        raise BadInput(f"`on` names no key of {', '.join(missing)}.", "Give the key columns of every table.")
    keys = [[key] if isinstance(key := by_table[table], str) else list(key) for table in tables]
    if len(keys) == 1:
        keys *= 2
    if len(keys[0]) != len(keys[1]):
        raise BadInput("The tables' keys differ in number.", "Name as many key columns for one table as for the other.")
    return tuple(zip(keys[0], keys[1], strict=True))
