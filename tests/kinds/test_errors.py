"""Errors name cause and cure, and travel as documents."""

import pytest

from lingqu.kinds import errors
from lingqu.kinds.errors import LingquError, Refused

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, LingquError)]


def test_every_error_has_its_own_code() -> None:
    codes = [cls.code for cls in CLASSES]
    assert len(set(codes)) == len(codes) == 9


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_travels_as_a_document(cls: type[LingquError]) -> None:
    error = cls("The port 7401 is in use.", "Choose another.", term="uses", party="big-data")
    assert error.document() == {
        "code": cls.code,
        "cause": "The port 7401 is in use.",
        "cure": "Choose another.",
        "term": "uses",
        "party": "big-data",
    }


def test_a_refusal_prints_its_term() -> None:
    assert str(Refused("No use is left.", "Agree on a new contract.", term="uses")) == (
        "No use is left. [term: uses] Agree on a new contract."
    )
    assert str(LingquError("It broke.", "")) == "It broke."
