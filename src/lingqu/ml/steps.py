"""The arguments of this room's steps, as they stand in a signed plan."""

from __future__ import annotations

from typing import Self

from pydantic import JsonValue

from lingqu.kinds.documents import Document, canonical
from lingqu.ml.ranges import Schedule
from lingqu.ml.spec import Class, Encoded, Metric


class Arguments(Document):
    """Arguments that go into a step and come out of it unchanged."""

    def arguments(self) -> dict[str, JsonValue]:
        """As a step's arguments."""
        return self.model_dump(mode="json")

    @classmethod
    def of(cls, arguments: dict[str, JsonValue]) -> Self:
        """From a step's arguments; BadInput when they are not these."""
        return cls.parse(canonical(arguments))


class JoinArguments(Arguments):
    """on: pairs of key names, left and right."""

    on: tuple[tuple[str, str], ...]


class TrainArguments(Arguments):
    """columns: the relation's encoded columns in the model's order.  label, holdout: names of its 0/1 columns."""

    columns: tuple[str, ...]
    label: str
    holdout: str | None
    schedule: Schedule


class EvaluateArguments(Arguments):
    """As TrainArguments, and what the recipient needs to read the weights: the encoding and the label's classes."""

    columns: tuple[str, ...]
    label: str
    holdout: str | None
    schedule: Schedule
    metrics: tuple[Metric, ...]
    encoding: tuple[Encoded, ...]
    classes: tuple[Class, Class]
