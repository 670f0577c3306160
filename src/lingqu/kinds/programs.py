"""Programs: what an analyst asks to be computed, as text that a frontend compiles."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from lingqu.kinds.documents import Document

Value = bool | int | float | str


class Parameter(Document):
    """A template's open place: bound per run, within limits the owners signed.

    lower, upper: limits of a number.  allowed: the permitted values; exactly one of the two kinds is given.
    """

    lower: int | float | None = None
    upper: int | float | None = None
    allowed: tuple[Value, ...] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Parameter:
        if (self.allowed is None) == (self.lower is None or self.upper is None):
            raise ValueError("give lower and upper, or allowed")
        return self

    def admits(self, value: Value) -> bool:
        """Whether a value may be bound here."""
        if self.allowed is not None:
            return any(type(value) is type(choice) and value == choice for choice in self.allowed)
        assert self.lower is not None
        assert self.upper is not None
        return not isinstance(value, bool | str) and self.lower <= value <= self.upper


class Program(Document):
    """kind: the frontend's name ("sql", "train").  text: SQL, or the training specification as canonical JSON.

    parameters: open places (`:name` in SQL) with their limits; none makes the program fixed.
    """

    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,30}$")]
    text: Annotated[str, StringConstraints(min_length=1, max_length=64_000)]
    parameters: dict[Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,30}$")], Parameter] = Field(
        default_factory=dict
    )
