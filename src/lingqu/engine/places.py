"""An owner's scan for a run whose errors the other parties read: they name the table, not where it lies."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lingqu.catalog import open_source
from lingqu.kinds.errands import Columns, Scan
from lingqu.kinds.errors import LingquError


class Placeless(Scan):
    """A scan, made when it is first looked at.  source: where the table lies.  asset: its name."""

    def __init__(self, make: Callable[[], Scan], source: str, asset: str) -> None:
        self._make = make
        self._source = source
        self._asset = asset

    @cached_property
    def _scan(self) -> Scan:
        with self._named():
            return self._make()

    @property
    def rows(self) -> int:
        """As the scan says."""
        return self._scan.rows

    def batches(self, names: Sequence[str]) -> Iterator[Columns]:
        """As the scan's."""
        batches = self._scan.batches(names)
        while True:
            with self._named():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def whole(self) -> Columns:
        """As the scan's."""
        with self._named():
            return self._scan.whole()

    def __getitem__(self, name: str) -> NDArray[np.generic]:
        with self._named():
            return self._scan[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._scan)

    def __len__(self) -> int:
        return len(self._scan)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except LingquError as error:
            places = [self._source]
            with contextlib.suppress(LingquError):
                places.append(str(open_source(self._source)))
            for place in places:
                error.cause = error.cause.replace(place, self._asset)
                error.cure = error.cure.replace(place, self._asset)
            raise error from None
