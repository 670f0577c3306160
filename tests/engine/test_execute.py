"""The interpreter, owners' inputs and the release, on the ideal twin."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from lingqu.engine.execute import execute
from lingqu.engine.inputs import share_rows
from lingqu.engine.release import Release, open_values
from lingqu.kinds.channel import Traffic
from lingqu.kinds.disclosure import Statement
from lingqu.kinds.errors import BadInput, LingquError, RangeError, Refused
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import ColumnType
from lingqu.net.memory import memory_channels
from lingqu.plan.frontend import Context, OperatorFn, Sealed
from lingqu.plan.inputs import InputArguments, InputColumn, InputKey
from lingqu.plan.outputs import ReleaseArguments
from lingqu.plan.plan import Output, Plan, Step
from lingqu.share.plain import Plain
from lingqu.share.rep3 import connect

JOB = "00112233445566778899aabbccddeeff"
PARTIES = ("aa-a", "bb-b", "cc-c")


def model_plan(**release: Any) -> Plan:
    """scan → input → weigh → release."""
    column = InputColumn(name="x", source="x", kind="fixed", fraction=10, lower=0, upper=9, about="the x")
    steps = (
        Step(id="scan", operator="scan", mechanism="local", parties=("bb-b",), arguments={"asset": "a"}, reason="r"),
        Step(
            id="input",
            operator="input",
            mechanism="share.rep3",
            parties=PARTIES,
            inputs=("scan",),
            arguments=InputArguments(owner="bb-b", rows=3, columns=(column,)).arguments(),
            reason="r",
        ),
        Step(id="weigh", operator="weigh", mechanism="share.rep3", parties=PARTIES, inputs=("input",), reason="r"),
        Step(
            id="release",
            operator="release",
            mechanism="share.rep3",
            parties=PARTIES,
            inputs=("weigh",),
            arguments=ReleaseArguments(**release).arguments(),
            reason="r",
        ),
    )
    return Plan(
        program=Program(kind="test", text="x"),
        parties=PARTIES,
        recipient="cc-c",
        minimum_group=3,
        assets=(),
        steps=steps,
        statement=Statement(learned={}, withheld=()),
        outputs=(Output(name="weights", type=ColumnType.REAL, computed="as a test computes"),),
    )


def weigh(machine: Any, step: Step, inputs: Any, context: Context) -> Sealed:
    relation = inputs[0]
    count = machine.sum(relation.valid, axis=0).reshape(1)
    total = machine.sum(relation.columns["x"], axis=0).reshape(1, 1)
    return Sealed(values={"weights": total, "bias": count}, count=count, fractions={"weights": 10})


OPERATORS: Mapping[str, OperatorFn] = {"weigh": weigh}


def run(plan: Plan, gate: Callable[[str, bool], None] = lambda *_: None, rows: int = 3) -> Release | None:
    return execute(
        plan,
        Plain(),
        lambda step: {"x": np.arange(rows) / 4},
        {},
        lambda step, traffic: None,
        gate,
        job=JOB,
        operators=OPERATORS,
    )


def test_a_model_is_released_whole() -> None:
    release = run(model_plan())
    assert release is not None
    assert release.kind == "model"
    assert release.values == {"weights": (0.75,), "bias": (3.0,)}
    assert Release.parse(release.canonical()) == release


def test_a_digest_does_not_confirm_a_guess() -> None:
    first, second = run(model_plan()), run(model_plan())
    assert first is not None
    assert second is not None
    assert first.model_copy(update={"blind": second.blind}) == second
    assert first.sha256() != second.sha256()


def test_a_model_over_too_few_rows_is_withheld() -> None:
    release = run(model_plan().model_copy(update={"minimum_group": 4}))
    assert release is not None
    assert release.values == {}
    assert "fewer than 4 rows" in release.note


def test_the_gate_is_asked_before_every_step_and_before_the_reveal() -> None:
    asked: list[tuple[str, bool]] = []
    run(model_plan(), lambda step, reveal: asked.append((step, reveal)))
    assert asked == [("scan", False), ("input", False), ("weigh", False), ("release", False), ("release", True)]


@pytest.mark.parametrize("stop", [("input", False), ("release", True)])
def test_a_closed_gate_stops_the_run(stop: tuple[str, bool]) -> None:
    def gate(step: str, reveal: bool) -> None:
        if (step, reveal) == stop:
            raise Refused("Revoked.", "Ask the owner.", term="revoked")

    class Watched(Plain):
        """Fails the test when anything is opened."""

        def reveal(self, x: Any, to: int | None = None) -> Any:
            raise AssertionError("opened behind a closed gate")

    with pytest.raises(Refused, match="Revoked"):
        execute(
            model_plan(), Watched(), lambda step: {"x": np.zeros(3)}, {}, lambda *_: None, gate, job=JOB,
            operators=OPERATORS,
        )  # fmt: skip


@pytest.mark.parametrize("refuser", [0, 1, 2])
def test_any_one_party_s_gate_keeps_the_result_from_the_recipient(refuser: int) -> None:
    channels = memory_channels(PARTIES, timeout=1)

    def gate(step: str, reveal: bool) -> None:
        if reveal:
            raise Refused("Revoked.", "Ask the owner.", term="revoked")

    def party(index: int) -> Release | LingquError | None:
        closed = gate if index == refuser else lambda *_: None
        try:
            machine = connect(channels[index])
            return execute(
                model_plan(), machine, lambda step: {"x": np.arange(3.0)}, {}, lambda *_: None, closed, job=JOB,
                operators=OPERATORS,
            )  # fmt: skip
        except LingquError as error:
            return error

    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(party, range(3)))
    for channel in channels:
        channel.close()
    assert isinstance(results[refuser], Refused)
    assert isinstance(results[2], LingquError)


def test_steps_report_their_own_traffic() -> None:
    counters = iter(range(100))
    spent: list[tuple[str, int]] = []
    execute(
        model_plan(),
        Plain(),
        lambda step: {"x": np.zeros(3)},
        {},
        lambda step, traffic: spent.append((step.id, traffic.sent)),
        lambda *_: None,
        job=JOB,
        traffic=lambda: Traffic(sent=10 * next(counters)),
        operators=OPERATORS,
    )
    assert spent == [("scan", 10), ("input", 10), ("weigh", 10), ("release", 10)]


def test_what_is_not_sealed_or_not_known_does_not_run() -> None:
    with pytest.raises(Refused, match="'weigh'"):
        execute(model_plan(), Plain(), lambda s: {"x": np.zeros(3)}, {}, lambda *_: None, lambda *_: None, job=JOB,
                operators={})  # fmt: skip
    with pytest.raises(Refused, match="not sealed"):
        execute(model_plan(), Plain(), lambda s: {"x": np.zeros(3)}, {}, lambda *_: None, lambda *_: None, job=JOB,
                operators={"weigh": lambda *_: 7})  # fmt: skip
    with pytest.raises(BadInput, match="32 hexadecimal digits"):
        execute(model_plan(), Plain(), lambda s: {}, {}, lambda *_: None, lambda *_: None, job="x", operators={})
    with pytest.raises(BadInput, match="There are no programs of kind"):
        execute(model_plan(), Plain(), lambda s: {}, {}, lambda *_: None, lambda *_: None, job=JOB)


def test_wrong_row_counts_are_refused() -> None:
    with pytest.raises(BadInput, match="gave 2 rows for x, the plan says 3"):
        run(model_plan(), rows=2)


def shared(column: dict[str, Any], **scanned: Any) -> Any:
    machine = Plain()
    rows = len(next(iter(scanned.values())))
    arguments = InputArguments(owner="a-a", rows=rows, columns=(InputColumn(name="c", about="the c", **column),))
    relation = share_rows(machine, arguments, {n: np.asarray(v) for n, v in scanned.items()}, 0, JOB)
    found = machine.reveal(relation.columns["c"])
    assert found is not None
    return found.tolist()


def test_columns_are_encoded() -> None:
    fixed = {"source": "s", "kind": "fixed", "fraction": 4, "lower": -2, "upper": 2}
    assert shared(fixed, s=[0.5, -1.97]) == [8, -32]
    assert shared({"source": "s", "kind": "bit"}, s=[True, False]) == [1, 0]
    nullable = {"source": "s", "kind": "integer", "lower": 5, "upper": 9, "nulls": "n"}
    assert shared(nullable, s=[7, 0], n=[False, True]) == [7, 0]
    for wrong in ([4, 5], [9, 10]):
        with pytest.raises(RangeError, match="the c has values outside its published bounds 5 to 9") as caught:
            shared(nullable, s=wrong, n=[False, False])
        assert str(wrong[0]) not in caught.value.cause.replace("5 to 9", "")
    with pytest.raises(RangeError):
        shared(fixed, s=[np.inf, 0.0])
    with pytest.raises(BadInput, match="float64"):
        shared(nullable, s=[7.5, 8.0], n=[False, False])


def words(key: InputKey, job: str = JOB, **scanned: Any) -> list[tuple[int, ...]]:
    machine = Plain()
    rows = len(next(iter(scanned.values())))
    arguments = InputArguments(owner="a-a", rows=rows, keys=(key,))
    relation = share_rows(machine, arguments, {n: np.asarray(v) for n, v in scanned.items()}, 0, job)
    opened = [machine.reveal_bits(word) for word in relation.keys[key.name]]
    return [tuple(int(word[row]) for word in opened if word is not None) for row in range(rows)]


def hashed(**changes: Any) -> InputKey:
    fields: dict[str, Any] = {"name": "k", "kind": "hashed", "sources": ("s",), "types": (ColumnType.STRING,)}
    return InputKey.model_validate({**fields, "width": 70, "most": 1, "about": "the k", **changes})


def test_keys_are_salted_typed_and_prefixed() -> None:
    texts = np.asarray(["1", "12"], object)
    first = words(hashed(), s=texts)
    assert first == words(hashed(), s=texts)
    assert all(len(word) == 2 and max(word) < 1 << 35 for word in first)
    assert not set(first) & set(words(hashed(), job="11" * 16, s=texts))
    assert not set(first) & set(words(hashed(types=(ColumnType.INT,)), s=[1, 12]))
    pair = hashed(sources=("s", "t"), types=(ColumnType.STRING, ColumnType.STRING))
    split = words(pair, s=np.asarray(["ab", "a"], object), t=np.asarray(["c", "bc"], object))
    assert split[0] != split[1]


def test_null_keys_match_nothing_and_duplicates_are_found() -> None:
    present = np.asarray([True, False, False])
    texts = np.asarray(["x", "", ""], object)
    found = words(hashed(present="p"), s=texts, p=present)
    assert len(set(found)) == 3
    with pytest.raises(BadInput, match="the k is not unique") as caught:
        words(hashed(), s=np.asarray(["same", "same", "same"], object))
    # Every party hears of it, so it holds no value, and no count of the owner's rows either.
    assert "same" not in caught.value.cause
    assert not any(character.isdigit() for character in caught.value.cause)


def test_codes_and_numbers() -> None:
    codes = InputKey(
        name="k", kind="codes", sources=("s",), types=(ColumnType.STRING,), width=2, categories=("a", "中"),
        present="p", about="the k",
    )  # fmt: skip
    assert words(codes, s=np.asarray(["中", "", "a"], object), p=[True, False, True]) == [(1,), (2,), (0,)]
    with pytest.raises(BadInput, match="not among its published categories"):
        words(codes, s=np.asarray(["b"], object), p=[True])


def test_rows_below_the_minimum_and_guarded_values_are_zero() -> None:
    machine = Plain()

    def constant(values: list[int]) -> Any:
        return machine.constant(np.asarray(values))

    sealed = Sealed(
        values={"sum": constant([10, 20, 30, 40]), "key": constant([1, 2, 3, 4])},
        count=constant([5, 2, 3, 9]),
        valid=constant([1, 1, 1, 0]),
        guards={"sum": constant([5, 2, 1, 9])},
    )
    asked: list[int] = []
    opened = open_values(machine, sealed, to=[1], minimum=3, gate=lambda: asked.append(1))
    assert opened is not None
    assert asked == [1]
    rows = sorted(zip(opened.values["key"][:, 0], opened.values["sum"][:, 0], opened.guarded["sum"], strict=True))
    assert rows == [(0, 0, False), (0, 0, False), (1, 10, True), (3, 0, False)]
    assert sorted(opened.kept.tolist()) == [False, False, True, True]


def test_large_integers_and_dates_survive_the_document() -> None:
    release = run(model_plan())
    assert release is not None
    document = json.loads(release.canonical())
    document |= {"kind": "table", "values": {}, "rows": [[str(1 << 60), "2020-02-29", 2, None]]}
    document["columns"] = [
        {"name": name, "type": kind, "computed": ""}
        for name, kind in (("a", "int"), ("b", "date"), ("c", "real"), ("d", "string"))
    ]
    row = Release.parse(json.dumps(document)).table()[0]
    assert row[0] == 1 << 60
    assert row[1].isoformat() == "2020-02-29"
    assert isinstance(row[2], float)
    assert row[3] is None
