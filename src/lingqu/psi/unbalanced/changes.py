"""From one version of a table's keys to the next, where both are filled with random elements to a public size."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.psi.elements import Elements
from lingqu.psi.parts import filled, fillers

_DIGEST = np.dtype("V16")


def changes(before: Elements, own: Elements, size: int) -> tuple[Elements, Elements]:
    """Elements that come and those that go, so that the set before becomes `own` and random ones, `size` in all.

    before: filled.  Random elements stay as far as they are needed.
    """
    salt = secrets.token_bytes(32)
    was, now = _digests(before, salt), _digests(own, salt)
    gone = ~np.isin(was, now)
    spare = np.flatnonzero(gone & fillers(before))[: size - len(own)]
    gone[spare] = False
    new = _some(own, np.flatnonzero(~np.isin(now, was)))
    return filled(new, len(new) + size - len(own) - len(spare)), _some(before, np.flatnonzero(gone))


def without(before: Elements, removed: Elements, added: Elements) -> Elements:
    """The set after a change."""
    salt = secrets.token_bytes(32)
    rest = _some(before, np.flatnonzero(~np.isin(_digests(before, salt), _digests(removed, salt))))
    data = np.concatenate([rest.data, added.data])
    offsets = np.concatenate([rest.offsets, rest.offsets[-1] + added.offsets[1:]])
    return Elements(data, offsets, np.zeros(0, np.int64))


def keep_elements(path: Path, elements: Elements) -> None:
    """Write a set to a file that this user alone can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        for array in (elements.offsets, elements.data):
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def kept_elements(path: Path) -> Elements:
    """Read what `keep_elements` wrote; BadInput when it is not that."""
    try:
        with open(path, "rb") as file:
            offsets, data = (np.lib.format.read_array(file, allow_pickle=False) for _ in range(2))
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path} holds no set: {error}.", "Publish it again.") from None
    if offsets.ndim != 1 or data.ndim != 1 or not len(offsets) or offsets[-1] != len(data):
        raise BadInput(f"{path} holds no set.", "Publish it again.")
    return Elements(data.astype(np.uint8), offsets.astype(np.int64), np.zeros(0, np.int64))


def _some(elements: Elements, which: NDArray[np.int64]) -> Elements:
    return Elements(*elements.take(which), np.zeros(0, np.int64))


def _digests(elements: Elements, salt: bytes) -> NDArray[np.void]:
    return np.ascontiguousarray(elements.digests(salt)).view(_DIGEST).reshape(-1)
