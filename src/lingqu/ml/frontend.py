"""From a training specification to a plan: who shares what, what is joined, trained, measured and released."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lingqu.kinds.disclosure import Fact
from lingqu.kinds.errors import BadInput, RangeError
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset, ColumnType
from lingqu.ml import encoding as enc
from lingqu.ml.costs import evaluation_work, release_work, training_work
from lingqu.ml.ranges import FRACTION, Schedule, schedule
from lingqu.ml.spec import Encoded, TrainSpec
from lingqu.ml.steps import EvaluateArguments, JoinArguments, TrainArguments
from lingqu.ml.training import METRIC_BITS, evaluate, join_rows, train
from lingqu.plan.choose import Aligning, Work, aligning, entering
from lingqu.plan.draft import Draft
from lingqu.plan.frontend import OnShares, OperatorFn
from lingqu.plan.inputs import (
    ALIGNED_BITS,
    AlignArguments,
    Aligned,
    InputArguments,
    InputColumn,
    InputKey,
    Projected,
    ScanArguments,
    key_width,
)
from lingqu.plan.outputs import ReleaseArguments
from lingqu.plan.plan import Output, Plan, Setting, Told

LABEL = "label"
HOLDOUT = "holdout"
VALID = "valid"
KEY = "key"
MOST_ROWS = 1 << 20
"""Rows that the metrics' sums of pairs have room for."""

_EMPTY = {
    ColumnType.STRING: "''",
    ColumnType.INT: "0",
    ColumnType.BOOL: "FALSE",
    ColumnType.DATE: "DATE '1970-01-01'",
}
_METRICS = {
    "auc": "area under the ROC curve over the people held out: how often a positive one ranks above a negative one",
    "accuracy": "share of the people held out whose label the model tells",
    "base_rate": "share of positive labels among the people held out",
}


class TrainFrontend(OnShares):
    """The frontend of programs of kind "train", whose text is a TrainSpec as JSON."""

    operators: Mapping[str, OperatorFn] = {"join": join_rows, "train": train, "evaluate": evaluate}

    def compile(self, program: Program, assets: Mapping[str, Asset], setting: Setting) -> Plan:
        """The plan of a training specification.

        BadInput: unknown table or column, label not binary, a feature that has no encoding, parameters (a training has
        none).  RangeError: the published bounds do not prove that every number fits.  Refused: no mechanism fits.
        """
        if program.parameters:
            raise BadInput("A training program has no open parameters.", "Write the values into the specification.")
        spec = TrainSpec.parse(program.text)
        used = {table: _asset(assets, table) for table in spec.tables}
        enc.check_keys(spec, used)
        classes = enc.classes(spec.label, used[spec.label.table])
        encoding = enc.encode(spec.features, used)
        how = aligning(setting, *(used[spec.tables[place]].owner for place in (0, -1)))
        rows = _joined_rows(used, how)
        _check_rows(spec, used, rows)
        run = schedule(spec, encoding, rows)
        draft = Draft(setting)
        sides, shared = [], []
        for place in range(len(spec.tables)):
            sides.append(_side(draft, spec, used, encoding, run, place, how))
            if how.rows is None or len(used) == 1:
                shared.append(_input(draft, place, *sides[-1]))
        joined = _align(draft, sides, how) if not shared else _join(draft, sides, shared, how)
        names = tuple(_name(place) for place in range(len(encoding)))
        holdout = HOLDOUT if spec.holdout else None
        training = TrainArguments(columns=names, label=LABEL, holdout=holdout, schedule=run)
        trained = draft.shared(
            "train",
            "train",
            [joined],
            training.arguments(),
            training_work(run, len(encoding) + 1, held=bool(holdout)),
            reason=f"logistic regression on shares, {spec.iterations} iterations",
        )
        metrics = spec.metrics if holdout else ()
        receivers = "the recipients" if setting.copies_to else "the recipient"
        evaluation = EvaluateArguments(
            columns=names,
            label=LABEL,
            holdout=holdout,
            schedule=run,
            metrics=metrics,
            encoding=encoding,
            classes=classes,
        )
        measured = draft.shared(
            "evaluate",
            "evaluate",
            [joined, trained],
            evaluation.arguments(),
            evaluation_work(run, len(encoding) + 1, held=bool(holdout)),
            reason=f"{'metrics over the people held out' if holdout else 'counts for the minimum group'}, on shares",
        )
        draft.shared(
            "release",
            "release",
            [measured],
            ReleaseArguments(kind="model").arguments(),
            release_work(setting, len(encoding) + 1 + len(metrics)),
            reason=f"opened to {receivers} only, if {setting.minimum_group} people of each kind stand behind it",
            reveals=_told(spec, encoding, setting),
        )
        columns = {table: _columns(spec, table) for table in spec.tables}
        return draft.plan(program, used, columns, _outputs(spec, encoding), _withheld(spec, used))


FRONTEND = TrainFrontend()


def _asset(assets: Mapping[str, Asset], table: str) -> Asset:
    if table not in assets:
        raise BadInput(f"There is no table {table!r}.", f"Known: {', '.join(sorted(assets)) or 'none'}.")
    return assets[table]


def _joined_rows(used: Mapping[str, Asset], how: Aligning) -> int:
    """Rows that go into the training, those of people who are not in all tables included."""
    rows = min(asset.rows for asset in used.values())
    return rows if how.rows is None or len(used) == 1 else how.rows(rows)


def _check_rows(spec: TrainSpec, used: Mapping[str, Asset], rows: int) -> None:
    for asset in used.values():
        if asset.rows == 0:
            raise BadInput(f"{asset.id} is empty.", "Train on tables that have rows.")
    if spec.holdout and rows > MOST_ROWS:
        raise RangeError(
            f"The metrics' sums have room for {MOST_ROWS} rows, there may be {rows}.",
            "Train without a holdout, or on fewer rows.",
        )


def _columns(spec: TrainSpec, table: str) -> tuple[str, ...]:
    """The asset's columns that the program reads: keys, label, features."""
    label = [spec.label.column] if spec.label.table == table else []
    features = [feature.column for feature in spec.features if feature.table == table]
    return tuple(dict.fromkeys([*spec.keys(table), *label, *features]))


def _required(spec: TrainSpec, asset: Asset) -> tuple[str, ...]:
    """The columns without which a row does not count; a missing text is a category of its own."""
    texts = {feature.column for feature in spec.features if feature.table == asset.id}
    texts = {name for name in texts if enc.column_of(asset, name).type is ColumnType.STRING}
    return tuple(name for name in _columns(spec, asset.id) if name not in texts or name in spec.keys(asset.id))


def _name(place: int) -> str:
    return f"x{place}"


Brought = tuple[str, InputArguments]
"""The id of a table's scan, and what its owner brings."""


def _side(
    draft: Draft,
    spec: TrainSpec,
    used: Mapping[str, Asset],
    encoding: Sequence[Encoded],
    run: Schedule,
    place: int,
    how: Aligning,
) -> Brought:
    """Add the scan of one table."""
    table = spec.tables[place]
    asset = used[table]
    keys = spec.keys(table)
    projections = [Projected(name=VALID, sql=enc.present_sql(_required(spec, asset)))]
    columns: list[InputColumn] = []
    if table == spec.label.table:
        projections.append(Projected(name=LABEL, sql=enc.label_sql(spec.label)))
        about = f"whether {spec.label.column} is {spec.label.positive}"
        columns.append(InputColumn(name=LABEL, source=LABEL, kind="bit", lower=0, upper=1, about=about))
        if spec.holdout:
            projections.append(Projected(name=HOLDOUT, sql=enc.holdout_sql(keys, spec.seed, spec.holdout)))
            about = "whether the person is held out for the metrics"
            columns.append(InputColumn(name=HOLDOUT, source=HOLDOUT, kind="bit", lower=0, upper=1, about=about))
    for index, encoded in enumerate(encoding):
        if encoded.table == table:
            name = _name(index)
            projections.append(Projected(name=name, sql=enc.encoded_sql(encoded)))
            columns.append(_input_column(name, encoded, run))
    hashed: tuple[InputKey, ...] = ()
    if len(spec.tables) > 1:
        projections += [Projected(name=f"{KEY}{i}", sql=_key_sql(asset, key)) for i, key in enumerate(keys)]
        sorting = key_width(*(used[name].rows for name in spec.tables))
        hashed = (_input_key(spec, asset, keys, sorting if how.rows is None else ALIGNED_BITS),)
    scan = draft.local(
        f"scan{place}",
        "scan",
        asset.owner,
        ScanArguments(asset=table, projections=tuple(projections)).arguments(),
        "the owner encodes its own columns by the published profile; every row is kept",
    )
    return scan, InputArguments(owner=asset.owner, rows=asset.rows, valid=VALID, columns=tuple(columns), keys=hashed)


def _input(draft: Draft, place: int, scan: str, brought: InputArguments) -> str:
    """Add the input of one table; returns its id."""
    widths = [key.width for key in brought.keys]
    work = entering(draft.setting, brought.owner, brought.rows, len(brought.columns) + 1, widths)
    return draft.shared(
        f"input{place}", "input", [scan], brought.arguments(), work, reason="the owner shares its columns"
    )


def _input_column(name: str, encoded: Encoded, run: Schedule) -> InputColumn:
    return InputColumn(
        name=name,
        source=name,
        kind="fixed",
        fraction=run.fraction,
        lower=-encoded.bound if encoded.kind == "number" else 0.0,
        upper=encoded.bound,
        about=encoded.name,
    )


def _key_sql(asset: Asset, key: str) -> str:
    """The key column itself, nulls replaced: they are marked absent beside it."""
    return f"COALESCE({enc.identifier(key)}, {_EMPTY[enc.column_of(asset, key).type]})"


def _input_key(spec: TrainSpec, asset: Asset, keys: Sequence[str], width: int) -> InputKey:
    return InputKey(
        name=KEY,
        kind="hashed",
        sources=tuple(f"{KEY}{i}" for i in range(len(keys))),
        types=tuple(enc.column_of(asset, key).type for key in keys),
        width=width,
        present=VALID,
        most=1,
        about=", ".join(keys),
    )


def _join(draft: Draft, sides: Sequence[Brought], shared: Sequence[str], how: Aligning) -> str:
    """The only input's id, or that of the join of two by sorting, which it adds."""
    if len(shared) == 1:
        return shared[0]
    left, right = (brought for _, brought in sides)
    sizes = {
        "left": left.rows,
        "right": right.rows,
        "columns": len(left.columns) + len(right.columns),
        "left_columns": len(left.columns),
        "bits": left.keys[0].width,
    }
    arguments = JoinArguments(on=((KEY, KEY),)).arguments()
    reason = f"matches stay hidden, by sorting shared rows: {how.why}"
    return draft.shared("join", "join", shared, arguments, [Work("join", sizes)], reason=reason)


def _align(draft: Draft, sides: Sequence[Brought], how: Aligning) -> str:
    """Add the join by alignment: the smaller table's owner asks, so that fewer rows come out."""
    asker, keeper = sorted(sides, key=lambda side: side[1].rows)
    parties = draft.setting.parties
    sizes = {
        "asked": asker[1].rows,
        "held": keeper[1].rows,
        "asked_columns": len(asker[1].columns),
        "held_columns": len(keeper[1].columns),
        "asker": parties.index(asker[1].owner),
        "keeper": parties.index(keeper[1].owner),
    }
    arguments = AlignArguments(asker=Aligned(rows=asker[1], on=KEY), keeper=Aligned(rows=keeper[1], on=KEY))
    reason = f"matches stay hidden, by alignment: {how.why}"
    scans = [asker[0], keeper[0]]
    return draft.shared("join", "align", scans, arguments.arguments(), [Work("align", sizes)], reason=reason)


def _told(spec: TrainSpec, encoding: Sequence[Encoded], setting: Setting) -> tuple[Told, ...]:
    weights = (
        f"the model: {len(encoding)} coefficients and an intercept for {spec.label.column} = {spec.label.positive}"
    )
    few = f"or only that fewer than {setting.minimum_group} people of one kind stand behind it"
    told = [Told(party=party, fact=Fact.MODEL, about=f"{weights}; {few}") for party in setting.recipients]
    if spec.holdout:
        told += [
            Told(party=party, fact=Fact.METRIC, about=f"{_METRICS[name]}, to 1/{2 ** METRIC_BITS[name]}")
            for name in spec.metrics
            for party in setting.recipients
        ]
    return tuple(told)


def _withheld(spec: TrainSpec, used: Mapping[str, Asset]) -> tuple[str, ...]:
    lines = [f"any row or value of {table}" for table in used]
    if len(used) > 1:
        both = " and ".join(used)
        lines += [f"who is in both {both}", f"how many people are in both {both}"]
    if spec.holdout:
        lines.append("how many people were trained on or held out, unless the metrics' fractions tell it of very few")
        lines.append("the model's score of any person")
    return (*lines, "any weight before the last iteration, any gradient, any row's contribution")


def _outputs(spec: TrainSpec, encoding: Sequence[Encoded]) -> tuple[Output, ...]:
    names = ", ".join(encoded.name for encoded in encoding)
    outputs = [
        Output(name="intercept", type=ColumnType.REAL, computed="the model's intercept"),
        Output(
            name="coefficients",
            type=ColumnType.REAL,
            computed=f"log-odds of {spec.label.column} = {spec.label.positive}, a number each for {names}",
        ),
    ]
    if spec.holdout:
        outputs += [Output(name=name, type=ColumnType.REAL, computed=_METRICS[name]) for name in spec.metrics]
    return tuple(outputs)


__all__ = ["FRACTION", "FRONTEND", "TrainFrontend"]
