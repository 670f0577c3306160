"""A published table's next version: only keys that came and went, and random elements that fill it up, change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingqu.kinds.errors import BadInput
from lingqu.psi import Elements, elements
from lingqu.psi.parts import filled, fillers
from lingqu.psi.unbalanced.changes import changes, keep_elements, kept_elements, without


def held(values: set[str]) -> Elements:
    return elements([sorted(values)], ["exact/1"]) if values else elements([np.zeros(0, np.int64)], ["exact/1"])


def contents(found: Elements) -> list[bytes]:
    raw = found.data.tobytes()
    return [raw[a:b] for a, b in zip(found.offsets, found.offsets[1:], strict=False)]


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.text(max_size=2), max_size=12),
    st.sets(st.text(max_size=2), max_size=12),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_the_set_becomes_the_new_keys_filled_to_the_new_size(
    one: set[str], two: set[str], less: int, more: int
) -> None:
    before, own = filled(held(one), len(one) + less), held(two)
    size = len(two) + more
    added, removed = changes(before, own, size)
    after = without(before, removed, added)
    assert len(after) == len(before) + len(added) - len(removed) == size
    assert set(contents(after)) >= set(contents(own))
    assert int(fillers(after).sum()) == more
    assert set(contents(removed)) <= set(contents(before))
    assert not set(contents(added)) & set(contents(before))
    assert len(added) == len(two - one) + max(more - less, 0)
    assert len(removed) == len(one - two) + max(less - more, 0)


def test_a_set_is_kept_in_a_file_for_this_user_alone(tmp_path: Path) -> None:
    path, own = tmp_path / "place" / "keys", held({"a", "bc", ""})
    keep_elements(path, own)
    assert path.stat().st_mode & 0o777 == 0o600
    assert contents(kept_elements(path)) == contents(own)


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[::-1]])
def test_what_is_no_set_is_refused(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "keys"
    keep_elements(path, held({"a", "bc"}))
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(BadInput, match="holds no set"):
        kept_elements(path)
    with pytest.raises(BadInput, match="holds no set"):
        kept_elements(tmp_path / "none")
