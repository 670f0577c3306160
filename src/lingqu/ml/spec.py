"""What is asked to be trained, and what comes back: the documents of the model room."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from lingqu.kinds.disclosure import Statement
from lingqu.kinds.documents import Document
from lingqu.kinds.parties import Digest, Instant, PartyName
from lingqu.kinds.schema import AssetId, ColumnName

Metric = Literal["auc", "accuracy", "base_rate"]
Transform = Literal["none", "log1p"]
Class = str | int | bool
CLIP = 16.0
"""Standardised values are cut off here, so that the fixed-point range can be proved."""


def agreed(value: float) -> float:
    """A number to 12 digits: two nodes' mathematical libraries differ in the last bit, their plans must not."""
    return float(f"{value:.12g}")


class Label(Document):
    """What the model predicts: whether this column has the value `positive`."""

    table: AssetId
    column: ColumnName
    positive: Class


class Feature(Document):
    """A column the model reads.  transform "log1p": ln(1 + value), for heavy-tailed amounts that are never negative."""

    table: AssetId
    column: ColumnName
    transform: Transform = "none"


class TrainSpec(Document):
    """A training program's text.

    tables: one asset, or two that are joined.  on: pairs of key columns (first table's, second table's).
    holdout: share of people kept out of training and used for the metrics only; 0 means no metrics.
    iterations: of the accelerated fixed-Hessian descent.  l2: weight of the penalty l2/2 * |w|^2 (sklearn's 1/C).
    seed: salts the hash of the key that decides who is held out.
    """

    estimator: Literal["logistic_regression"] = "logistic_regression"
    tables: Annotated[tuple[AssetId, ...], Field(min_length=1, max_length=2)]
    on: tuple[tuple[ColumnName, ColumnName], ...] = ()
    label: Label
    features: Annotated[tuple[Feature, ...], Field(min_length=1, max_length=256)]
    holdout: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    iterations: Annotated[int, Field(ge=1, le=200)] = 20
    l2: Annotated[float, Field(ge=1e-4, le=1e4)] = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    metrics: tuple[Metric, ...] = ("auc", "accuracy", "base_rate")

    @model_validator(mode="after")
    def _consistent(self) -> TrainSpec:
        if len(set(self.tables)) != len(self.tables):
            raise ValueError("a table is named twice")
        if not self.on:
            raise ValueError("`on` names the key columns (for one table, its key twice), that tell people apart")
        named = {self.label.table, *(feature.table for feature in self.features)}
        if not named <= set(self.tables):
            raise ValueError(f"{', '.join(sorted(named - set(self.tables)))} is not among the tables")
        pairs = [(feature.table, feature.column) for feature in self.features]
        if len(set(pairs)) != len(pairs):
            raise ValueError("a feature is named twice")
        if (self.label.table, self.label.column) in pairs:
            raise ValueError("the label is among the features")
        if len(set(self.metrics)) != len(self.metrics):
            raise ValueError("a metric is named twice")
        return self

    def keys(self, table: str) -> tuple[str, ...]:
        """The key columns of one of the tables."""
        return tuple(pair[self.tables.index(table)] for pair in self.on)


class Encoded(Document):
    """One column of the model's input, as its owner makes it and as the recipient makes it again to predict.

    name: "age" or "education=Bachelors".  kind: "number" gives (f(value) - center) / scale cut off at +-bound with
    f = identity or ln(1 + value); "category" gives 1 where the value equals `category`, "missing" where it is null,
    "flag" where it is true.
    bound: largest magnitude.  squares: proved bound of the sum of squares over all rows.
    """

    name: str
    table: AssetId
    column: ColumnName
    kind: Literal["number", "category", "missing", "flag"]
    transform: Transform = "none"
    center: float = 0.0
    scale: float = 1.0
    category: str = ""
    bound: float = 1.0
    squares: float


class TableUse(Document):
    """One table as a model card names it."""

    id: AssetId
    owner: PartyName
    rows: int
    columns: tuple[ColumnName, ...]


class ModelRelease(Document):
    """A trained model as its recipient gets it; nothing in it is a row.

    coefficients: one an encoded column, in order.  metrics: over the held-out people, rounded; empty without holdout.
    classes: the label's values, negative first.  parties: those that computed; outside: owners and recipients that did
    not.  recipient, copies_to: who received the model.
    """

    spec: TrainSpec
    encoding: tuple[Encoded, ...]
    classes: tuple[Class, Class]
    coefficients: tuple[float, ...]
    intercept: float
    metrics: dict[Metric, float]
    parties: tuple[PartyName, ...]
    recipient: PartyName
    minimum_group: int
    mechanism: str
    tables: tuple[TableUse, ...]
    statement: Statement
    plan: Digest
    contract: Digest | None = None
    purpose: str | None = None
    released: Instant
    outside: tuple[PartyName, ...] = Field(default=(), exclude_if=lambda names: not names)
    copies_to: tuple[PartyName, ...] = Field(default=(), exclude_if=lambda names: not names)

    @model_validator(mode="after")
    def _consistent(self) -> ModelRelease:
        if len(self.coefficients) != len(self.encoding):
            raise ValueError("coefficients and encoding differ in length")
        return self
