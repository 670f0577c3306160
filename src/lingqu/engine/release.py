"""The one exit: values are opened here and nowhere else, to the recipient, if enough rows stand behind them."""

from __future__ import annotations

import datetime
import itertools
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import prod, sqrt
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lingqu.kinds.documents import Document
from lingqu.kinds.errands import Columns, Finding, Held, Scan
from lingqu.kinds.errors import BadInput, Refused
from lingqu.kinds.parties import Digest, PartyName
from lingqu.kinds.schema import ColumnType
from lingqu.plan.frontend import Sealed
from lingqu.plan.outputs import FoundArguments, FoundColumn, Order, ReleaseArguments, ReleasedColumn, ReleasedKey
from lingqu.plan.plan import Plan, Step
from lingqu.share import Machine, Shared, SharedBits, wide
from lingqu.share.outside import Door

Cell = bool | int | float | str | None
Row = tuple[Cell, ...]
Exact = Cell | Decimal
"""A cell before it is written."""
MOST_ROWS = 1 << 14
MOST_BYTES = 4 << 20
"""Rows and bytes of what a mechanism's own run has found that stands in the release whole."""
MAX_LISTED = 1024
"""Missing groups are listed by their keys only where there are at most this many possible ones."""
_SAFE = (1 << 53) - 1
_EPOCH = datetime.date(1970, 1, 1)
_START = datetime.datetime(1970, 1, 1)
_TEXTS: Mapping[ColumnType, Callable[[str], Any]] = {
    ColumnType.DATE: datetime.date.fromisoformat,
    ColumnType.TIMESTAMP: datetime.datetime.fromisoformat,
    ColumnType.DECIMAL: Decimal,
}


class ResultColumn(Document):
    """name: as the program calls it.  type: of its cells.  computed: how, in words."""

    name: str
    type: ColumnType
    computed: str


class Attached(Document):
    """The file with a large result's rows, Parquet.  rows: how many.  bytes, digest: of the file."""

    rows: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]
    digest: Digest


class Release(Document):
    """What the recipient's users may see of a run; only this module makes one.

    columns, rows: the result table.  Dates and timestamps are ISO 8601 texts, decimals and integers beyond
    2**53 decimal texts: see `table`.
    withheld: keys of groups that are not in the result: below the minimum group or absent, which of the two is unknown.
    values: a model's numbers by name, each a flat list.  note: what a reader should know, or empty.
    attached: of a large result, the file that has its rows; then there are none here.
    blind: random, so that the digest, which receipts and ledgers carry, tells nobody who guesses the rest that the
    guess is right.
    """

    job: str
    plan: Digest
    blind: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    recipient: PartyName
    kind: Literal["table", "model"]
    minimum_group: int
    columns: tuple[ResultColumn, ...] = ()
    rows: tuple[Row, ...] = ()
    withheld: tuple[Row, ...] = ()
    values: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    note: str = ""
    attached: Attached | None = Field(default=None, exclude_if=lambda attached: attached is None)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.rows) if self.attached is None else self.attached.rows

    def table(self) -> list[tuple[Any, ...]]:
        """The rows with cells of their columns' types: bool, int, float, str, date, datetime, Decimal, None."""
        return [tuple(_typed(cell, c.type) for cell, c in zip(row, self.columns, strict=True)) for row in self.rows]


def _typed(cell: Cell, kind: ColumnType) -> Any:
    if cell is None:
        return None
    if kind in _TEXTS:
        return _TEXTS[kind](str(cell))
    return int(cell) if kind is ColumnType.INT else float(cell) if kind is ColumnType.REAL else cell


@dataclass(frozen=True)
class Opened:
    """What the recipient holds after opening, rows in random order.

    values: integers by name, shape (rows, width).  kept: rows that were released; the others hold zeros.
    guarded: by name, rows whose own count sufficed too.
    """

    values: Mapping[str, npt.NDArray[np.int64]]
    kept: npt.NDArray[np.bool_]
    guarded: Mapping[str, npt.NDArray[np.bool_]]


class Layout(Document):
    """What is opened, in public: all of it follows from the plan.

    rows: how many.  guards: names of values with a count of their own.  values: names and widths.
    fractions: fraction bits by name.
    """

    rows: Annotated[int, Field(ge=0)]
    guards: tuple[str, ...]
    values: tuple[tuple[str, Annotated[int, Field(ge=0)]], ...]
    fractions: dict[str, int]

    @classmethod
    def of(cls, sealed: Sealed) -> Layout:
        """The layout of sealed values."""
        return cls(
            rows=len(sealed.count),
            guards=tuple(sealed.guards),
            values=tuple((name, prod(value.shape[1:])) for name, value in sealed.values.items()),
            fractions=dict(sealed.fractions),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Of the one array that is opened: flags of rows and guards, then the values side by side."""
        return self.rows, 1 + len(self.guards) + sum(width for _, width in self.values)

    def read(self, opened: npt.NDArray[np.int64]) -> Opened:
        """The opened array by its parts."""
        ends = np.cumsum([1 + len(self.guards), *(width for _, width in self.values)])
        return Opened(
            values={name: opened[:, ends[i] : ends[i + 1]] for i, (name, _) in enumerate(self.values)},
            kept=opened[:, 0] == 1,
            guarded={name: opened[:, 1 + i] == 1 for i, name in enumerate(self.guards)},
        )


def open_values(
    machine: Machine,
    sealed: Sealed,
    *,
    to: Sequence[int],
    minimum: int,
    gate: Callable[[], None],
    door: Door | None = None,
    away: Sequence[int] = (),
) -> Opened | None:
    """Zero under the protocol what rests on fewer than `minimum` rows, shuffle the rows, and open to the recipients.

    to: indices of recipients that compute.  door, away: the way to recipients that do not, and their indices.
    gate: asked when it is known under shares what suffices; it raises Refused to stop.
    What follows it, from the injection on, needs a message of every party that has passed its own gate: one party's no
    keeps the values closed to all, though the opening itself is a single message.
    Returns None at every party but the recipients.
    Cost: one comparison, one conjunction, one injection, one multiplication, one shuffle, one opening of all values to
    each recipient.
    Discloses: to the recipients the values of sufficient rows and how many those are; to the others nothing.
    """
    rows = len(sealed.count)
    guards = list(sealed.guards)
    enough = _enough(machine, sealed, guards, minimum)
    gate()
    flags = machine.inject(enough)
    parts: list[Shared] = [flags.transpose()]
    weights: list[Shared] = []
    tables: list[Shared] = []
    for name, value in sealed.values.items():
        table = value.reshape(rows, -1)
        flag = flags[1 + guards.index(name) if name in sealed.guards else 0]
        tables.append(table)
        weights.append(flag.reshape(-1, 1).broadcast_to(table.shape))
    if tables:
        parts.append(machine.multiply(machine.concat(tables, axis=1), machine.concat(weights, axis=1)))
    everything = machine.concat(parts, axis=1)
    if rows > 1:
        shuffled = machine.shuffle([everything])[0]
        assert isinstance(shuffled, Shared)
        everything = shuffled
    found = [machine.reveal(everything, to=place) for place in to]
    if door is not None:
        for place in away:
            door.reveal(everything, place)
    opened = next((values for values in found if values is not None), None)
    return None if opened is None else Layout.of(sealed).read(opened)


def _enough(machine: Machine, sealed: Sealed, guards: Sequence[str], minimum: int) -> SharedBits:
    """Bits, shape (1 + guards, rows): rows to keep, and among them those whose guard suffices."""
    rows = len(sealed.count)
    counts = machine.stack([sealed.count, *(sealed.guards[name] for name in guards)])
    enough = machine.logical_not(machine.less_than(counts, minimum))
    valid: SharedBits | None = None if sealed.valid is None else machine.parity(sealed.valid)
    if valid is not None:
        enough = machine.logical_and(enough, valid.reshape(1, -1).broadcast_to(enough.shape))
    if guards:
        both = machine.logical_and(enough[1:], enough[:1].broadcast_to((len(guards), rows)))
        enough = machine.concat([enough[:1], both])
    return enough


def release(
    machine: Machine,
    plan: Plan,
    step: Step,
    sealed: Sealed,
    *,
    job: str,
    gate: Callable[[], None],
    door: Door | None = None,
) -> Release | None:
    """Run the plan's release step: open to the recipients and build the Release of the one here; None elsewhere.

    gate, door: as for `open_values`.
    """
    places = [plan.everyone.index(name) for name in plan.recipients]
    inside = [place for place in places if place < len(plan.parties) or machine.owns(place)]
    away = [place for place in places if place not in inside]
    opened = open_values(machine, sealed, to=inside, minimum=plan.minimum_group, gate=gate, door=door, away=away)
    mine = next((plan.everyone[place] for place in inside if machine.owns(place)), None)
    if opened is None or mine is None:
        return None
    return released(plan, step, Layout.of(sealed), opened, recipient=mine, job=job)


def released(plan: Plan, step: Step, layout: Layout, opened: Opened, *, recipient: str, job: str) -> Release:
    """The Release of opened values at one recipient."""
    arguments = ReleaseArguments.parse(json.dumps(step.arguments))
    form = _model if arguments.kind == "model" else _table
    return form(plan, layout, opened, arguments, job).model_copy(update={"recipient": recipient})


def found(plan: Plan, step: Step, finding: Finding, *, recipient: str, job: str, beside: Path | None = None) -> Release:
    """The Release of what a mechanism's own run has found for one recipient.

    beside: the file for the rows of a large result, which is made where it is needed; None: all are in the document.
    Refused (term "plan") when the finding lacks what the plan releases.
    """
    arguments = FoundArguments.parse(json.dumps(step.arguments))
    shown = arguments.columns.get(recipient, ())
    wanted = [name for column in shown for name in (column.value, column.nulls) if name is not None]
    missing = sorted({*wanted, *filter(None, [arguments.counted])} - finding.columns.keys())
    large = beside is not None and isinstance(finding.columns, Scan) and finding.columns.rows > MOST_ROWS
    held = finding.columns
    if isinstance(held, Scan):
        held = {} if large else held.whole()
    lengths = {len(held[name]) for name in wanted if name in held}
    if missing or not wanted or (not large and len(lengths) != 1):
        raise Refused("The run found something else than the plan releases.", "Run the signed plan.", term="plan")
    counted = [] if arguments.counted is None else finding.columns[arguments.counted].tolist()
    few = any(number < plan.minimum_group for number in counted)
    columns = [] if large else [_found_cells(column, held) for column in shown]
    release = Release(
        job=job,
        plan=plan.sha256(),
        blind=secrets.token_hex(16),
        recipient=recipient,
        kind="table",
        minimum_group=plan.minimum_group,
        columns=tuple(ResultColumn(name=c.title, type=c.type, computed=c.about) for c in shown),
        rows=() if few else tuple(zip(*columns, strict=True)),
        note=f"Withheld: fewer than {plan.minimum_group}." if few else "",
    )
    if beside is None or few or not (large or len(release.canonical()) > MOST_BYTES):
        return release
    from lingqu.engine.attached import attach  # what writes such files is large, and most results are small

    source = finding.columns if isinstance(finding.columns, Scan) else Held(held)
    return release.model_copy(update={"rows": (), "attached": attach(shown, source, beside)})


def _found_cells(column: FoundColumn, columns: Columns) -> list[Cell]:
    values = columns[column.value].tolist()
    if column.type is ColumnType.DECIMAL:
        values = [_decimal(value, column.scale) for value in values]
    written = [_written(value, column.type) for value in values]
    if column.nulls is None:
        return written
    absent = columns[column.nulls].tolist()
    return [None if gone else cell for gone, cell in zip(absent, written, strict=True)]


def _model(plan: Plan, layout: Layout, opened: Opened, arguments: ReleaseArguments, job: str) -> Release:
    kept = bool(opened.kept.all())
    values = {
        name: tuple(float(number) / (1 << layout.fractions.get(name, 0)) for number in found.reshape(-1).tolist())
        for name, found in opened.values.items()
    }
    return Release(
        job=job,
        plan=plan.sha256(),
        blind=secrets.token_hex(16),
        recipient=plan.recipient,
        kind="model",
        minimum_group=plan.minimum_group,
        columns=_columns(plan),
        values=values if kept else {},
        note="" if kept else f"Withheld: it would rest on fewer than {plan.minimum_group} rows.",
    )


def _columns(plan: Plan) -> tuple[ResultColumn, ...]:
    return tuple(ResultColumn(name=o.name, type=o.type, computed=o.computed) for o in plan.outputs)


def _table(plan: Plan, layout: Layout, opened: Opened, arguments: ReleaseArguments, job: str) -> Release:
    keys = {key.name: key for key in arguments.keys}
    found = [
        (
            tuple(_key(key, int(opened.values[name][row, 0])) for name, key in keys.items()),
            tuple(_cell(column, keys, layout, opened, row) for column in arguments.columns),
        )
        for row in np.flatnonzero(opened.kept).tolist()
    ]
    if len({key for key, _ in found}) != len(found):
        raise BadInput("Two released groups have one key.", "Report this: the plan or a peer is faulty.")
    found.sort(key=lambda entry: tuple((cell is None, cell if cell is not None else 0) for cell in entry[0]))
    missing = [] if arguments.top else _missing(arguments.keys, {key for key, _ in found})
    rows = [row for _, row in found]
    for order in reversed(arguments.order):
        rows = _ordered(rows, order)
    return Release(
        job=job,
        plan=plan.sha256(),
        blind=secrets.token_hex(16),
        recipient=plan.recipient,
        kind="table",
        minimum_group=plan.minimum_group,
        columns=_columns(plan),
        rows=tuple(
            tuple(_written(cell, column.type) for cell, column in zip(row, arguments.columns, strict=True))
            for row in rows[: arguments.limit]
        ),
        withheld=tuple(
            tuple(_written(cell, key.type) for cell, key in zip(row, arguments.keys, strict=True)) for row in missing
        ),
        note=_note(plan, arguments, bool(rows), bool(missing)),
    )


def _note(plan: Plan, arguments: ReleaseArguments, some: bool, missing: bool) -> str:
    least = plan.minimum_group
    if not arguments.keys and not some:
        return f"Withheld: fewer than {least} rows, or HAVING not met."
    if arguments.top:
        return f"At most the first {arguments.limit} groups were opened."
    having = ", failing HAVING" if any(step.operator == "having" for step in plan.steps) else ""
    return f"Groups that are missing were withheld (below {least} rows{having} or absent)." if missing or having else ""


def _key(key: ReleasedKey, word: int) -> Exact:
    """The key's value: text, number (days for dates) or bool."""
    if word == key.absent:
        return None
    if key.type is ColumnType.DECIMAL:
        return _decimal(word + key.offset, key.scale)
    if key.kind == "codes":
        return key.categories[word]
    return bool(word + key.offset) if key.type is ColumnType.BOOL else word + key.offset


def _cell(column: ReleasedColumn, keys: Mapping[str, ReleasedKey], layout: Layout, opened: Opened, row: int) -> Exact:
    digits = opened.values[column.value][row]
    number = wide.integer(digits) if len(digits) == 3 else int(digits[0])
    if column.kind == "key":
        return _key(keys[column.value], number)
    guard = opened.guarded.get(column.value)
    if guard is not None and not guard[row]:
        return None
    unit = column.divisor << layout.fractions.get(column.value, 0)
    if column.kind != "value":
        count = int(opened.values[column.by or ""][row, 0])
        if count <= column.less:
            return None
        if column.kind == "ratio":
            return number / (unit * count)
        variance = number / (unit**2 * count * (count - column.less))
        return variance if column.kind == "variance" else sqrt(variance)
    if column.type is ColumnType.REAL:
        return number / unit
    if column.type is ColumnType.DECIMAL:
        return _decimal(number, column.scale)
    return bool(number) if column.type is ColumnType.BOOL else number


def _decimal(number: int, scale: int) -> Decimal:
    """A whole number of the last digit as a decimal, exactly."""
    digits = tuple(int(digit) for digit in str(abs(number)))
    return Decimal((int(number < 0), digits, -scale))


def _missing(keys: Sequence[ReleasedKey], found: set[tuple[Exact, ...]]) -> list[tuple[Exact, ...]]:
    """Possible keys that are not in the result, where all keys have few published values."""
    domains: list[list[Exact]] = []
    possible = 1
    for key in keys:
        if key.kind != "codes" and key.type is not ColumnType.BOOL:
            return []
        domain: list[Exact] = list(key.categories) if key.kind == "codes" else [False, True]
        domains.append([*domain, None] if key.absent >= 0 else domain)
        possible *= len(domains[-1])
    if not keys or possible > MAX_LISTED:
        return []
    return [key for key in itertools.product(*domains) if key not in found]


def _ordered(rows: Sequence[tuple[Exact, ...]], order: Order) -> list[tuple[Exact, ...]]:
    """A stable sort by one column; nulls at one end."""
    nulls = [row for row in rows if row[order.column] is None]
    others = [row for row in rows if row[order.column] is not None]
    others.sort(key=lambda row: row[order.column], reverse=order.descending)  # type: ignore[arg-type, return-value]
    return [*nulls, *others] if order.nulls_first else [*others, *nulls]


def _written(cell: Exact, kind: ColumnType) -> Cell:
    """A cell as the document holds it: a number that JSON readers would not keep exactly is text."""
    if cell is None or isinstance(cell, bool | str):
        return cell
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    if kind is ColumnType.DATE:
        return (_EPOCH + datetime.timedelta(days=cell)).isoformat()
    if kind is ColumnType.TIMESTAMP:
        return (_START + datetime.timedelta(microseconds=cell)).isoformat(sep=" ")
    return cell if abs(cell) <= _SAFE else str(cell)
