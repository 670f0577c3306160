"""A prepared table: what the server computes once for all clients, and how it follows changes of rows."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu import _core
from lingqu.kinds.errors import BadInput, Unavailable
from lingqu.pir.editing import EMPTY, Editor
from lingqu.pir.layout import HALVES, LARGEST_VALUE, MARK, Layout, choose_layout
from lingqu.pir.patches import Patch, hint_words
from lingqu.pir.records import Packed, Records, records
from lingqu.pir.terms import ABOUT, ID, About

_ATTEMPTS = 20
_CHUNK = 1 << 16
_STATE = "state.json"
_DIRTY = "changing"
_KEY = "key"
_PATCHES = "patches"

Bytes = NDArray[np.uint8]


class Table:
    """One version of a prepared table.

    about: what clients know of it.  halves: rows x columns bytes each, rows first.  hints: each half times the public
    matrix.  other: for every cell the column that its record could have in the other half, EMPTY where there is none.
    patches: of the versions since it was prepared.
    """

    def __init__(
        self,
        about: About,
        secret: bytes,
        arrays: Mapping[str, NDArray[Any]],
        patches: Sequence[bytes] = (),
        folder: Path | None = None,
    ) -> None:
        self.about = about
        self.halves: list[Bytes] = [arrays[f"half-{half}"] for half in range(HALVES)]
        self.hints: list[NDArray[np.uint32]] = [arrays[f"hint-{half}"] for half in range(HALVES)]
        self.other: NDArray[np.uint32] = arrays["other"]
        self.patches = list(patches)
        self._secret = secret
        self._key = _core.GroupKey(secret)
        self._folder = folder

    def __repr__(self) -> str:
        return f"Table(version {self.about.version}, {len(self)} records)"

    def __len__(self) -> int:
        return int((self.other != EMPTY).sum())

    @classmethod
    def build(
        cls, given: Records, *, value: int | None = None, room: int = 0, folder: Path | None = None, threads: int = 1
    ) -> Table:
        """Prepare records for lookups.

        value: the most bytes of a value, now and later; the longest one's when None.  room: records that the table is
        made for at least, so that its shape does not tell their number.  folder: where to keep it, so that
        `open` finds it; in memory when None.  threads: for the hints.
        Work: an exponentiation and a sealing a record, and 1280 multiplications a byte of the table.
        BadInput when values are longer than `value`.
        """
        value = given.longest if value is None else value
        if not given.longest <= value <= LARGEST_VALUE:
            raise BadInput(f"A value has {given.longest} bytes.", f"Allow that many, and at most {LARGEST_VALUE}.")
        layout = choose_layout(max(room, len(given)), value)
        drawn = [secrets.token_bytes(ID) for _ in range(3)]
        about = About(table=drawn[0], version=0, mark=drawn[1], seed=drawn[2], layout=layout)
        secret = secrets.token_bytes(64)
        arrays = _arrays(layout, folder)
        table = cls(about, secret, arrays, folder=folder)
        if folder is not None:
            (folder / _DIRTY).touch()
        table._fill(given)
        for half in range(HALVES):
            table.hints[half][:] = _core.pir_hint(
                about.seed, half * layout.columns, table.halves[half], layout.columns, threads
            )
        table._save()
        return table

    @classmethod
    def open(cls, folder: Path) -> Table:
        """A table that `build` has kept; its arrays are mapped, not read.

        BadInput when there is none, or a damaged one.
        """
        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            encoded, secret = bytes.fromhex(state["about"]), (folder / _KEY).read_bytes()
            about = About.decoded(encoded, folder.name) if len(encoded) == ABOUT else None
            if about is None or (folder / _DIRTY).exists():
                raise ValueError("it was not written to its end")
            data, sizes = (folder / _PATCHES).read_bytes(), state["patches"]
            ends = np.cumsum([0, *sizes]).tolist()
            patches = [data[start:stop] for start, stop in pairwise(ends)]
            arrays = _arrays(about.layout, folder, "r+")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{folder} holds no prepared table: {error}.", "Prepare it again.") from None
        return cls(about, secret, arrays, patches, folder)

    def derive(self, keys: Packed) -> Bytes:
        """Where the records of keys stand and what seals them: 64 secret bytes a key."""
        points = self._key.map(_core.oprf_tag(), keys.data, keys.offsets)
        outputs = _core.oprf_finalize(keys.data, keys.offsets, points)
        return _core.pir_derive(label(self.about.table), outputs)

    def evaluate(self, blinded: Bytes) -> Bytes:
        """The server's half of the OPRF on a client's elements; ValueError when one is no group element."""
        return self._key.multiply(blinded)

    def answer(self, half: int, queries: NDArray[np.uint32], threads: int = 1) -> NDArray[np.uint16]:
        """Answers of one half to queries that stand one after the other."""
        return _core.pir_answer(self.halves[half], self.about.layout.columns, queries, threads)

    def update(self, changed: Records, removed: Sequence[bytes] = ()) -> Patch:
        """Put records in, replace those whose key is there, take others out; the next version.

        Work: about half a millisecond a cell.  BadInput when a key comes twice, a removed one is not there, or a value
        does not fit; Unavailable when the table is full: prepare it again.  Sessions under way end with an error.
        """
        gone = records(list(removed), [None] * len(removed))
        both = records(
            [*map(changed.keys.__getitem__, range(len(changed))), *removed], [None] * (len(changed) + len(gone))
        )
        if changed.longest > self.about.layout.value:
            raise BadInput(f"A value has {changed.longest} bytes.", f"This table holds {self.about.layout.value}.")
        derived = self.derive(both.keys).reshape(-1, 64)
        mark = secrets.token_bytes(MARK)
        editor = Editor(self.about.layout, self.halves, self.other)
        for number in range(len(changed)):
            editor.put(derived[number], changed.value(number))
        for number in range(len(changed), len(both)):
            editor.remove(derived[number], number - len(changed))
        patch = editor.patch(mark)
        self._apply(patch, editor)
        return patch

    def _apply(self, patch: Patch, editor: Editor) -> None:
        if self._folder is not None:
            (self._folder / _DIRTY).touch()
        editor.write()
        layout = self.about.layout
        patch.apply(self.hints, self.about.seed, layout, self.about.mark)
        for half in self.halves:
            half.reshape(layout.rows, layout.columns)[-MARK:, 0] = np.frombuffer(patch.mark, np.uint8)
        self.about = About(self.about.table, self.about.version + 1, patch.mark, self.about.seed, layout)
        self.patches.append(patch.encoded())
        self._save()

    def _fill(self, given: Records) -> None:
        layout = self.about.layout
        parts = [given.keys.part(i, min(i + _CHUNK, len(given))) for i in range(0, len(given), _CHUNK)]
        derived = np.concatenate([np.zeros(0, np.uint8), *(self.derive(part) for part in parts)])
        positions = _core.pir_columns(derived, layout.columns)
        held = self._place(positions)
        values = (given.values.data, given.values.offsets, given.null)
        both = positions.reshape(-1, HALVES)
        for half, cells in enumerate(held.reshape(HALVES, -1)):
            seed = secrets.token_bytes(16)
            _core.pir_fill(self.halves[half], cells, (layout.columns, layout.width), derived, values, seed)
            self.halves[half].reshape(layout.rows, layout.columns)[-MARK:, 0] = np.frombuffer(self.about.mark, np.uint8)
            used = cells != EMPTY
            self.other.reshape(HALVES, -1)[half][used] = both[cells[used], 1 - half]

    def _place(self, positions: NDArray[np.uint32]) -> NDArray[np.uint32]:
        layout = self.about.layout
        for _ in range(_ATTEMPTS):
            held = _core.pir_place(positions, layout.columns, layout.cells, secrets.token_bytes(16))
            if held is not None:
                return held
        raise Unavailable("The records find no places in the table.", "Prepare it again; if it comes back, report it.")

    def _save(self) -> None:
        if self._folder is None:
            return
        for array in (*self.halves, *self.hints, self.other):
            array.flush()  # type: ignore[attr-defined]
        descriptor = os.open(self._folder / _KEY, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._secret)
        (self._folder / _PATCHES).write_bytes(b"".join(self.patches))
        state = {"about": self.about.encoded().hex(), "patches": [len(patch) for patch in self.patches]}
        (self._folder / _STATE).write_text(json.dumps(state), encoding="utf-8")
        (self._folder / _DIRTY).unlink(missing_ok=True)


def label(table: bytes) -> bytes:
    """What separates the derived keys of one prepared table from those of every other."""
    return b"lingqu pir record 1" + table


def _arrays(layout: Layout, folder: Path | None, mode: str = "w+") -> dict[str, NDArray[Any]]:
    shapes: dict[str, tuple[type, int]] = {"other": (np.uint32, HALVES * layout.columns * layout.cells)}
    for half in range(HALVES):
        shapes |= {
            f"half-{half}": (np.uint8, layout.rows * layout.columns),
            f"hint-{half}": (np.uint32, hint_words(layout)),
        }
    if folder is None:
        arrays: dict[str, NDArray[Any]] = {name: np.zeros(size, dtype) for name, (dtype, size) in shapes.items()}
    else:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        arrays = {
            name: np.memmap(folder / name, dtype, mode, shape=(size,))  # type: ignore[call-overload]
            for name, (dtype, size) in shapes.items()
        }
    if mode == "w+":
        arrays["other"][:] = EMPTY
    return arrays
