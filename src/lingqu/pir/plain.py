"""The twin in the clear: a dictionary behind the interface of a prepared table and its client."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lingqu.kinds.errors import BadInput
from lingqu.pir.client import Answers
from lingqu.pir.records import Records


class PlainTable:
    """What a `Table` does, in the clear; for tests."""

    def __init__(self, given: Records) -> None:
        self._values = {given.keys[i]: given.value(i) for i in range(len(given))}

    def __len__(self) -> int:
        return len(self._values)

    def update(self, changed: Records, removed: Sequence[bytes] = ()) -> None:
        """Put records in or replace them, take others out; BadInput when a removed one is not there."""
        for row, gone in enumerate(removed):
            if gone not in self._values:
                raise BadInput(f"The key to remove in row {row} is not in the table.", "Remove what is there.")
            del self._values[gone]
        self._values |= {changed.keys[i]: changed.value(i) for i in range(len(changed))}

    def lookup(self, keys: Sequence[bytes]) -> Answers:
        """The values of keys, or their absence."""
        found = np.array([one in self._values for one in keys], bool)
        return Answers(found, tuple(self._values.get(one) for one in keys))
