"""Models: training specifications, logistic regression over shares, model cards."""

from lingqu.ml.estimator import InvalidParameter, LogisticRegression, NotFitted, Trainer
from lingqu.ml.frontend import FRONTEND
from lingqu.ml.release import ModelCard, model_card, model_release
from lingqu.ml.spec import Feature, Label, ModelRelease, TrainSpec

__all__ = [
    "FRONTEND",
    "Feature",
    "InvalidParameter",
    "Label",
    "LogisticRegression",
    "ModelCard",
    "ModelRelease",
    "NotFitted",
    "TrainSpec",
    "Trainer",
    "model_card",
    "model_release",
]
