"""How many portions of correlations are begun when there is room for some of them only."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from lingqu.node.shelf import Shelf
from lingqu.node.supplies import Supplies


class Portions:
    """A supplier of one run's four portions, none of which is there yet."""

    def held(self, folder: Path) -> dict[str, int]:
        return {}

    def place(self, name: str) -> tuple[str, int, int]:
        return "run", int(name), 4


def fitting(room: int) -> tuple[tuple[str, ...], str]:
    shelf = Shelf("contract", cast(Any, None), cast(Any, Portions()), (10, 10, 20, 10), Path("nowhere"))
    owner = object.__new__(Supplies)
    return owner._fitting(shelf, ["0", "1", "2", "3"], room)


def test_portions_are_begun_in_order_up_to_the_bound() -> None:
    assert fitting(50) == (("0", "1", "2", "3"), "")
    for room, count in ((49, 3), (40, 3), (39, 2), (10, 1), (9, 0), (0, 0), (-1, 0)):
        names, cause = fitting(room)
        assert names == ("0", "1", "2", "3")[:count]
        assert "no room" in cause
