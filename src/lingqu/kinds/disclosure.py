"""Who learns what: the words of declarations and statements."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from lingqu.kinds.documents import Document
from lingqu.kinds.parties import PartyName


class Fact(StrEnum):
    """Kinds of facts a party can learn."""

    ROW_COUNT = "row-count"
    SHAPE = "shape"  # public sizes and bounds that follow from the plan and the catalogue
    INTERSECTION = "intersection"
    INTERSECTION_SIZE = "intersection-size"
    RESULT_ROWS = "result-rows"
    MODEL = "model"
    METRIC = "metric"
    TIMING = "timing"
    ABORT = "abort"  # that a check of the protocol failed


class Audience(StrEnum):
    """Who learns a fact, seen from a mechanism, before parties have names."""

    COMPUTE = "compute"
    OWNER = "owner"
    RECIPIENT = "recipient"


class Reveals(Document):
    """A mechanism's declaration for one operation: this audience learns this fact."""

    to: Audience
    fact: Fact
    about: Annotated[str, StringConstraints(max_length=400)]


class Learned(Document):
    """One line of a statement: a named party learns a fact, by a step of the plan."""

    fact: Fact
    about: Annotated[str, StringConstraints(max_length=400)]
    step: str


class Statement(Document):
    """The disclosure statement that owners sign: for every party exactly what it will learn.

    withheld: what nobody learns, said because people ask.  assumes: what must hold of the compute parties for this to
    be true; empty in statements of versions that did not say it.
    """

    learned: dict[PartyName, tuple[Learned, ...]]
    withheld: tuple[str, ...]
    assumes: Annotated[str, StringConstraints(max_length=1000)] = Field(default="", exclude_if=lambda text: not text)
