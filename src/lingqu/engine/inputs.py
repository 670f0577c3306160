"""An owner's rows on their way into shares: checked against what was published, keys hashed with the job's salt."""

from __future__ import annotations

import hashlib
import secrets
import struct
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lingqu.kinds.errors import BadInput, RangeError
from lingqu.kinds.schema import ColumnType
from lingqu.plan.inputs import AlignArguments, Aligned, InputArguments, InputColumn, InputKey, number_bits
from lingqu.share import Machine, Relation, Rows, Shared, SharedBits, Side, align
from lingqu.share.api import Integers, Shape
from lingqu.share.outside import Outsider

Scanned = Mapping[str, npt.NDArray[Any]]
WORD = 64
_PERSON = b"lingqu join key"
_TAGS = {
    ColumnType.STRING: b"s",
    ColumnType.INT: b"i",
    ColumnType.DATE: b"d",
    ColumnType.BOOL: b"b",
    ColumnType.TIMESTAMP: b"t",
    ColumnType.DECIMAL: b"n",
}
_AGAIN = "Register the table again; the contract is about what was published."


class Entry(Protocol):
    """Through which an owner's values become shares: the machine, or a door to owners that do not compute."""

    def input(self, owner: int, values: Integers | None, shape: Shape) -> Shared:
        """As Machine.input."""

    def input_bits(self, owner: int, words: Integers | None, shape: Shape, width: int) -> SharedBits:
        """As Machine.input_bits."""


def share_rows(
    machine: Machine,
    arguments: InputArguments,
    scanned: Scanned | None,
    owner: int,
    job: str,
    entry: Entry | None = None,
) -> Relation:
    """Share an owner's columns, keys and validity as a relation.

    scanned: the owner's columns by name, each of arguments.rows values; None at the other parties.  owner: index.
    entry: the door to an owner that does not compute, whose own side is `give_rows`; None: the machine itself.
    job: hexadecimal id of the run, the salt of hashed keys.
    RangeError for a value outside the published bounds, BadInput for a key that occurs twice. All parties hear of it,
    so neither shows a value or a count of rows.
    Cost: one input of all columns, one input of words a key.  Discloses: nothing.
    """
    rows = arguments.rows
    entry = machine if entry is None else entry
    if scanned is not None:
        _check_rows(arguments, scanned)
    names = [column.name for column in arguments.columns]
    width = len(names) + int(arguments.valid is not None)
    table: Shared | None = None
    if width:
        values = None if scanned is None else _table(arguments, scanned)
        table = entry.input(owner, values, (rows, width))
    keys = {key.name: _share_key(entry, key, scanned, owner, rows, job) for key in arguments.keys}
    valid = machine.constant(np.ones(rows, np.int64))
    if table is not None and arguments.valid is not None:
        valid = table[:, width - 1]
    return Relation({} if table is None else {name: table[:, i] for i, name in enumerate(names)}, keys, valid)


def give_rows(outsider: Outsider, arguments: InputArguments, scanned: Scanned, job: str) -> None:
    """The side of an owner that does not compute, of what the compute parties do in `share_rows`; errors alike."""
    rows = arguments.rows
    _check_rows(arguments, scanned)
    width = len(arguments.columns) + int(arguments.valid is not None)
    if width:
        outsider.input(_table(arguments, scanned), (rows, width))
    for key in arguments.keys:
        for words, width in zip(_key_words(key, scanned, rows, job), _word_widths(key), strict=True):
            outsider.input_bits(words, (rows,), width)


def align_rows(
    machine: Machine,
    arguments: AlignArguments,
    scanned: tuple[Scanned | None, Scanned | None],
    owners: tuple[int, int],
    job: str,
) -> Relation:
    """Join two owners' rows by keys that stay at their owners, as a relation; who matched stays hidden.

    scanned, owners: of the asker and of the keeper, otherwise as for `share_rows`; so are the errors.
    Cost: share.alignment.align.  Discloses: nothing.
    """
    both = arguments.asker, arguments.keeper
    asks, keeps = (None if f is None else _brought(side, f, job) for side, f in zip(both, scanned, strict=True))
    return align(
        machine,
        _side(arguments.asker, owners[0]),
        _side(arguments.keeper, owners[1]),
        asks,
        keeps,
        outer=arguments.outer,
        repeated=arguments.repeated,
        absent={name: (word,) for name, word in arguments.absent.items()},
    ).rows


def _side(side: Aligned, owner: int) -> Side:
    columns, keys = (
        [column.name for column in side.rows.columns],
        [key for key in side.rows.keys if key.name != side.on],
    )
    widths = {key.name: _word_widths(key) for key in keys}
    if side.numbers is not None:
        columns.append(f"{side.numbers}p")
        widths[side.numbers] = (number_bits(side.rows.rows),)
    return Side(owner, side.rows.rows, columns, widths)


def _brought(side: Aligned, scanned: Scanned, job: str) -> Rows:
    """What an owner brings to an alignment."""
    rows, count = side.rows, side.rows.rows
    _check_rows(rows, scanned)
    columns = [_encoded(column, scanned) for column in rows.columns]
    words = {key.name: _key_words(key, scanned, count, job) for key in rows.keys}
    match = np.stack(words.pop(side.on), axis=1)
    others = [word for key in words.values() for word in key]
    if side.numbers is not None:
        columns.append(np.ones(count, np.int64))
        others.append(np.arange(count, dtype=np.uint64))
    table = np.stack(columns, axis=1) if columns else np.zeros((count, 0), np.int64)
    return Rows(match, table, others, None if rows.valid is None else scanned[rows.valid].astype(np.bool_))


def _word_widths(key: InputKey) -> tuple[int, ...]:
    count = -(-key.width // WORD)
    return (key.width // count,) * count


def _check_rows(arguments: InputArguments, scanned: Scanned) -> None:
    for name, values in scanned.items():
        if values.shape != (arguments.rows,):
            raise BadInput(f"The scan gave {len(values)} rows for {name}, the plan says {arguments.rows}.", _AGAIN)


def _table(arguments: InputArguments, scanned: Scanned) -> npt.NDArray[np.int64]:
    columns = [_encoded(column, scanned) for column in arguments.columns]
    if arguments.valid is not None:
        columns.append(scanned[arguments.valid].astype(np.int64))
    return np.stack(columns, axis=1)


def _encoded(column: InputColumn, scanned: Scanned) -> npt.NDArray[np.int64]:
    """A column as ring elements; nulls become 0."""
    values = scanned[column.source]
    wanted = "f" if column.kind == "fixed" else "iub"
    if values.dtype.kind not in wanted + "iub":
        raise BadInput(f"{column.about} holds values of type {values.dtype}.", _AGAIN)
    if column.nulls is not None:
        values = np.where(scanned[column.nulls], np.zeros((), values.dtype), values)
        present = ~scanned[column.nulls].astype(np.bool_)
    else:
        present = np.ones(len(values), np.bool_)
    finite = np.isfinite(values) if values.dtype.kind == "f" else np.ones(len(values), np.bool_)
    low = column.lower is not None and bool(np.any(values[present] < column.lower))
    high = column.upper is not None and bool(np.any(values[present] > column.upper))
    if low or high or not bool(np.all(finite)):
        raise RangeError(f"{column.about} has values outside its published bounds {_bounds(column)}.", _AGAIN)
    if column.kind == "fixed":
        return np.rint(values.astype(np.float64) * float(1 << column.fraction)).astype(np.int64)
    return values.astype(np.int64)


def _bounds(column: InputColumn) -> str:
    return (
        f"{column.lower:g} to {column.upper:g}" if column.lower is not None and column.upper is not None else "(none)"
    )


def _share_key(
    entry: Entry, key: InputKey, scanned: Scanned | None, owner: int, rows: int, job: str
) -> tuple[SharedBits, ...]:
    """A key's words, the most significant first."""
    values = None if scanned is None else _key_words(key, scanned, rows, job)
    return tuple(
        entry.input_bits(owner, None if values is None else values[place], (rows,), width)
        for place, width in enumerate(_word_widths(key))
    )


def _key_words(key: InputKey, scanned: Scanned, rows: int, job: str) -> list[npt.NDArray[np.uint64]]:
    """A key's words at its owner, the most significant first."""
    if key.kind == "hashed":
        return _hashed(key, scanned, rows, job)
    return [_codes(key, scanned) if key.kind == "codes" else _numbers(key, scanned)]


def _present(key: InputKey, scanned: Scanned, rows: int) -> npt.NDArray[np.bool_]:
    return np.ones(rows, np.bool_) if key.present is None else scanned[key.present].astype(np.bool_)


def _hashed(key: InputKey, scanned: Scanned, rows: int, job: str) -> list[npt.NDArray[np.uint64]]:
    """BLAKE2b of the typed, length-prefixed values, salted with the job; absent keys are random."""
    salt = bytes.fromhex(job)
    columns = [(_TAGS[kind], scanned[source].tolist()) for source, kind in zip(key.sources, key.types, strict=True)]
    present = _present(key, scanned, rows)
    count = -(-key.width // WORD)
    width = key.width // count
    words = np.zeros((count, rows), np.uint64)
    seen: Counter[int] = Counter()
    for row in range(rows):
        if present[row]:
            state = hashlib.blake2b(digest_size=16, salt=salt, person=_PERSON)
            for tag, values in columns:
                data = _bytes(values[row])
                state.update(tag + struct.pack("<Q", len(data)) + data)
            digest = state.digest()
            seen[int.from_bytes(digest, "big")] += 1
        else:
            digest = secrets.token_bytes(16)
        number = int.from_bytes(digest, "big") >> (128 - key.width)
        for place in range(count):
            words[place, row] = number >> (width * (count - 1 - place)) & ((1 << width) - 1)
    if key.most == 1 and max(seen.values(), default=0) > 1:
        raise BadInput(
            f"The join key {key.about} is not unique: there are rows that repeat the key of another row.",
            "Remove duplicate rows, or register a table aggregated to one row a key.",
        )
    if key.most and max(seen.values(), default=0) > key.most:
        raise BadInput(f"The join key {key.about} repeats more often than its profile says.", _AGAIN)
    return list(words)


def _bytes(value: Any) -> bytes:
    """A value's bytes: texts in normal form NFC, so that two ways to write one character agree."""
    if isinstance(value, str):
        return unicodedata.normalize("NFC", value).encode()
    return str(int(value)).encode()


def _codes(key: InputKey, scanned: Scanned) -> npt.NDArray[np.uint64]:
    places = {category: place for place, category in enumerate(key.categories)}
    values = scanned[key.sources[0]].tolist()
    present = _present(key, scanned, len(values))
    absent = len(key.categories)
    codes = [places.get(value, -1) if there else absent for value, there in zip(values, present, strict=True)]
    if -1 in codes:
        raise BadInput(f"{key.about} has values that are not among its published categories.", _AGAIN)
    return np.asarray(codes, dtype=np.uint64)


def _numbers(key: InputKey, scanned: Scanned) -> npt.NDArray[np.uint64]:
    values = scanned[key.sources[0]].astype(np.int64)
    present = _present(key, scanned, len(values))
    absent = (1 << key.width) - 1
    shifted = np.where(present, values - key.offset, absent)
    if bool(np.any((shifted[present] < 0) | (shifted[present] >= key.values))):
        raise RangeError(f"The group key {key.about} has values outside its published bounds.", _AGAIN)
    return shifted.astype(np.uint64)
