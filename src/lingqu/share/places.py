"""Where the words of bits of a row stand side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where one word of a row stands in the dense row."""

    word: int
    shift: int
    width: int


def places_of(widths: Sequence[int]) -> tuple[list[Place], int, int]:
    """First-fit places without splitting a word; words a row, and the width of the fullest."""
    filled: list[int] = []
    places = []
    for width in widths:
        word = next((i for i, used in enumerate(filled) if used + width <= 64), len(filled))
        if word == len(filled):
            filled.append(0)
        places.append(Place(word, filled[word], width))
        filled[word] += width
    return places, len(filled), max(filled, default=1)
