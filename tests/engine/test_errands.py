"""Plans whose mechanism runs its steps itself: gates, the one exit, and what a faulty mechanism cannot do."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lingqu.engine import errands
from lingqu.engine.errands import carry_out
from lingqu.engine.release import Release, found
from lingqu.kinds.channel import Channel
from lingqu.kinds.disclosure import Statement
from lingqu.kinds.errands import Errand, Finding, Given, Runner
from lingqu.kinds.errors import BadInput, LingquError, PartyLost, Refused
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import ColumnType
from lingqu.net.memory import memory_channels
from lingqu.plan.outputs import FoundArguments, FoundColumn
from lingqu.plan.plan import LOCAL, Output, Plan, Step

JOB = "00112233445566778899aabbccddeeff"
PARTIES = ("aa-a", "bb-b")
NUMBER = FoundColumn(title="total", type=ColumnType.INT, value="total", about="as a test computes")
Gate = Callable[[str, bool], None]


def plan(release: FoundArguments | None = None, **more: Any) -> Plan:
    """scan at each party → add → release to the first."""
    scans = [
        Step(id=f"scan{i}", operator="scan", mechanism=LOCAL, parties=(name,), arguments={"asset": name}, reason="r")
        for i, name in enumerate(PARTIES)
    ]
    add = Step(id="add", operator="add", mechanism="adder", parties=PARTIES, inputs=("scan0", "scan1"), reason="r")
    arguments = (release or FoundArguments(columns={PARTIES[0]: (NUMBER,)})).arguments()
    last = Step(
        id="release",
        operator="release",
        mechanism="adder",
        parties=PARTIES,
        inputs=("add",),
        arguments=arguments,
        reason="r",
    )
    titles = (release or FoundArguments(columns={PARTIES[0]: (NUMBER,)})).columns[PARTIES[0]]
    return Plan(
        program=Program(kind="test", text="x"),
        parties=PARTIES,
        recipient=PARTIES[0],
        minimum_group=3,
        assets=(),
        steps=(*scans, add, last),
        statement=Statement(learned={}, withheld=()),
        outputs=tuple(Output(name=c.title, type=c.type, computed="as a test computes") for c in titles),
        **more,
    )


def add(errand: Errand) -> Finding | None:
    """Sends its own sum to the first party in the clear, behind the gates."""
    own = next(columns for columns in errand.inputs if columns is not None)
    total = int(own["x"].sum())
    errand.report(1, 2)
    errand.gate()
    errand.proceed()
    if errand.channel.party:
        errand.channel.send(0, total.to_bytes(8, "little"))
        return None
    total += int.from_bytes(errand.channel.receive(1, 8), "little")
    return Finding({"total": np.array([total])})


def run(
    runner: Runner,
    folder: Path,
    gates: tuple[Gate, Gate] = (lambda *_: None, lambda *_: None),
    which: Plan | None = None,
    more: Callable[[int], dict[str, Any]] = lambda party: {},
) -> list[Release | LingquError | None]:
    """What each party ends with."""
    channels = memory_channels(PARTIES)

    def part(channel: Channel) -> Release | LingquError | None:
        try:
            return carry_out(
                which or plan(),
                runner,
                channel,
                lambda step: {"x": np.array([1, 2, 3])},
                {},
                gate=gates[channel.party],
                job=JOB,
                folder=folder / str(channel.party),
                **({"on_step": lambda step, traffic: None} | more(channel.party)),
            )
        except LingquError as error:
            channel.close()
            return error

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(part, channels))


def test_the_recipient_alone_gets_the_release(tmp_path: Path) -> None:
    first, second = run(add, tmp_path)
    assert isinstance(first, Release)
    assert first.rows == ((12,),)
    assert first.recipient == PARTIES[0]
    assert second is None


def test_every_gate_is_asked_and_the_reveal_waits_for_both(tmp_path: Path) -> None:
    asked: list[tuple[int, str, bool]] = []
    writing = threading.Lock()

    def gate(party: int) -> Gate:
        def ask(step: str, reveal: bool) -> None:
            with writing:
                asked.append((party, step, reveal))

        return ask

    run(add, tmp_path, (gate(0), gate(1)))
    steps = [("scan0", False), ("scan1", False), ("add", False), ("add", True), ("add", False)]
    steps += [("release", False), ("release", True)]
    for party in (0, 1):
        assert [(step, reveal) for who, step, reveal in asked if who == party] == steps
    opened = [place for place, (_, step, reveal) in enumerate(asked) if (step, reveal) == ("add", True)]
    after = [place for place, entry in enumerate(asked) if entry[1:] == ("add", False)][2:]
    assert max(opened) < min(after)


def test_a_recipient_leaves_before_it_looks_at_what_it_found(tmp_path: Path) -> None:
    """Its channel is closed and its node told of the step and of the end, once; who learns nothing does not leave."""
    events: list[tuple[int, str]] = []

    def looking(errand: Errand) -> Finding | None:
        finding = add(errand)
        errand.leave()
        errand.leave()
        if finding is not None:
            with pytest.raises(PartyLost, match="closed"):
                errand.channel.send(1, b"")
        events.append((errand.channel.party, "looks"))
        return finding

    def leaves(party: int) -> dict[str, Any]:
        return {
            "on_step": lambda step, traffic: events.append((party, step.id)),
            "left": lambda: events.append((party, "left")),
        }

    found = run(looking, tmp_path, more=leaves)
    assert isinstance(found[0], Release)
    order = [[event for who, event in events if who == party] for party in (0, 1)]
    assert order[0] == ["scan0", "scan1", "add", "left", "looks", "release"]
    assert order[1] == ["scan0", "scan1", "looks", "add", "release"]


def test_a_recipient_whose_mechanism_does_not_leave_does_so_before_the_release_is_made(tmp_path: Path) -> None:
    events: list[str] = []

    def leaves(party: int) -> dict[str, Any]:
        return {
            "on_step": lambda step, traffic: events.append(step.id) if party == 0 else None,
            "left": lambda: events.append("left"),
        }

    run(add, tmp_path, more=leaves)
    assert events == ["scan0", "scan1", "add", "left", "release"]


def test_who_leaves_without_having_asked_the_gate_gets_nothing(tmp_path: Path) -> None:
    def hasty(errand: Errand) -> Finding | None:
        errand.leave()
        return Finding({"total": np.array([1])})

    assert all("no gate" in str(error) for error in run(hasty, tmp_path))


@pytest.mark.parametrize("party", [0, 1])
def test_one_partys_no_keeps_the_result_from_both(tmp_path: Path, party: int) -> None:
    sent: list[int] = []

    def watched(errand: Errand) -> Finding | None:
        finding = add(errand)
        sent.append(errand.channel.party)
        return finding

    def refuse(step: str, reveal: bool) -> None:
        if reveal:
            raise Refused("Revoked.", "Ask the owner.", term="revoked")

    gates: list[Gate] = [lambda *_: None, lambda *_: None]
    gates[party] = refuse
    ended = run(watched, tmp_path, (gates[0], gates[1]))
    assert all(isinstance(one, LingquError) for one in ended)
    error = ended[party]
    assert isinstance(error, Refused)
    assert error.term == "revoked"
    assert not sent


def test_a_mechanism_that_asks_no_gate_gives_no_result(tmp_path: Path) -> None:
    ended = run(lambda errand: Finding({"total": np.array([9])}) if not errand.channel.party else None, tmp_path)
    assert all(isinstance(one, LingquError) and "asked no gate" in one.cause for one in ended)


def test_a_finding_at_the_wrong_party_is_no_result(tmp_path: Path) -> None:
    def everywhere(errand: Errand) -> Finding | None:
        errand.gate()
        return Finding({"total": np.array([9])})

    first, second = run(everywhere, tmp_path)
    assert isinstance(first, Release)
    assert isinstance(second, LingquError)
    assert "wrong party" in second.cause


def test_outside_parties_are_refused(tmp_path: Path) -> None:
    ended = run(add, tmp_path, which=plan(outside=("cc-c",)))
    assert all(isinstance(one, Refused) and one.term == "parties" for one in ended)


def test_another_finding_than_the_plan_releases_is_refused(tmp_path: Path) -> None:
    def other(errand: Errand) -> Finding | None:
        errand.gate()
        return None if errand.channel.party else Finding({"mean": np.array([9.0])})

    first = run(other, tmp_path)[0]
    assert isinstance(first, Refused)
    assert first.term == "plan"


@pytest.mark.parametrize(("number", "rows"), [(2, ()), (3, ((3,),)), (0, ())])
def test_a_count_below_the_minimum_is_withheld(number: int, rows: tuple[Any, ...]) -> None:
    which = plan(FoundArguments(columns={PARTIES[0]: (NUMBER,)}, counted="total"))
    release = found(which, which.steps[-1], Finding({"total": np.array([number])}), recipient=PARTIES[0], job=JOB)
    assert release.rows == rows
    assert ("Withheld" in release.note) == (not rows)


def test_cells_have_their_columns_types() -> None:
    columns = {
        "flag": np.array([True, False]),
        "count": np.array([7, 1 << 60]),
        "real": np.array([0.5, -1.0]),
        "name": np.array(["李", ""], dtype=object),
        "day": np.array([0, 20_000]),
        "time": np.array([1, 0]),
        "price": np.array([1234, -5]),
        "gone": np.array([False, True]),
    }
    types = {
        "flag": ColumnType.BOOL,
        "count": ColumnType.INT,
        "real": ColumnType.REAL,
        "name": ColumnType.STRING,
        "day": ColumnType.DATE,
        "time": ColumnType.TIMESTAMP,
        "price": ColumnType.DECIMAL,
    }
    shown = tuple(
        FoundColumn(title=name, type=kind, value=name, nulls="gone" if name == "name" else None, scale=2, about=name)
        for name, kind in types.items()
    )
    which = plan(FoundArguments(columns={PARTIES[0]: shown}))
    release = found(which, which.steps[-1], Finding(columns), recipient=PARTIES[0], job=JOB)
    first = (True, 7, 0.5, "李", datetime.date(1970, 1, 1), datetime.datetime(1970, 1, 1, 0, 0, 0, 1), Decimal("12.34"))
    assert Release.parse(release.canonical()).table()[0] == first
    assert release.table()[1][1:4] == (1 << 60, -1.0, None)


def test_what_an_errand_leaves_is_there_at_the_next_run_and_one_run_at_a_time_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with errands._own(tmp_path / "kept") as first:
        (first / "left").write_text("x")
        with errands._own(tmp_path / "kept") as second:
            assert second != first
            assert not list(second.iterdir())
        assert not second.exists()
    with errands._own(tmp_path / "kept") as again:
        assert (again / "left").read_text() == "x"


def test_rows_are_read_when_a_step_looks_at_them(tmp_path: Path) -> None:
    """A mechanism that has prepared what it needs before looks at no row."""
    read: list[str] = []

    def idle(errand: Errand) -> Finding | None:
        errand.gate()
        if errand.channel.party:
            return None
        own = errand.inputs[0]
        assert own is not None
        return Finding({"total": np.array([sum(len(own[name]) for name in own)])})

    def local(step: Step) -> dict[str, Any]:
        read.append(step.id)
        return {"x": np.array([1, 2, 3])}

    channels = memory_channels(PARTIES)

    def part(channel: Channel) -> Release | None:
        nothing: Any = lambda *_: None  # noqa: E731
        return carry_out(
            plan(), idle, channel, local, {}, nothing, nothing, job=JOB, folder=tmp_path / str(channel.party)
        )

    with ThreadPoolExecutor(2) as pool:
        first, _ = pool.map(part, channels)
    assert isinstance(first, Release)
    assert (first.rows, read) == (((3,),), ["scan0"])


def test_what_the_asker_gives_reaches_its_own_errand_alone(tmp_path: Path) -> None:
    seen: dict[int, Any] = {}

    def look(errand: Errand) -> Finding | None:
        seen[errand.channel.party] = errand.given
        errand.gate()
        return None if errand.channel.party else Finding({"total": np.array([0])})

    given = Given(columns={"k": ("secret", None)})
    channels = memory_channels(PARTIES)

    def part(channel: Channel) -> Release | None:
        nothing: Any = lambda *_: None  # noqa: E731
        own = given if channel.party == 0 else None
        place = tmp_path / str(channel.party)
        return carry_out(plan(), look, channel, nothing, {}, nothing, nothing, job=JOB, folder=place, given=own)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(part, channels))
    assert seen == {0: given, 1: None}
    assert "secret" not in repr(given)


def test_given_columns_are_even_and_bounded() -> None:
    for columns in ({}, {"a": ["1"], "b": []}, {"a": [1.5]}, {"a": ["x"] * 4097}):
        with pytest.raises(BadInput):
            Given.parse(json.dumps({"columns": columns}))
