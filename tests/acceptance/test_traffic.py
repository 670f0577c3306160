"""What passes between the nodes, recorded before encryption, tells nobody anything that was not declared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.acceptance.recorded import control, leaks, plain_words, recordings, sent
from tests.acceptance.worlds import NAMES, SQL, TRAINING, World, agreed, answered, paired, world

from lingqu.kinds.programs import Program
from lingqu.net.record import Direction, Message, Recording
from scenarios.census.network import BIG


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, World]]:
    """The same two questions asked in two worlds that publish the same, with other people in both tables."""
    done = []
    for seed, shared in ((1, 0.9), (2, 0.6)):
        data, folder = world(seed, shared), tmp_path_factory.mktemp("record")
        for name in NAMES:
            (folder / name).mkdir()
        with paired(tmp_path_factory.mktemp("nodes"), data, folder) as net:
            analyst = net[BIG].remote("analyst")
            for program in (Program(kind="sql", text=SQL), Program(kind="train", text=TRAINING)):
                answered(analyst, agreed(net, program))
        done.append((folder, data))
    return done


@pytest.mark.timeout(240)
def test_no_plaintext_between_any_two_processes(runs: list[tuple[Path, World]]) -> None:
    for folder, data in runs:
        for name in NAMES:
            taken = recordings(folder, name)
            assert len(taken) == 2
            for recording in taken:
                assert len(sent(recording)) > 10_000
                assert plain_words(recording) == 0
                for table in (data.residents, data.employment):
                    assert leaks(sent(recording), table) == []


def test_no_identity_number_in_control_messages(runs: list[tuple[Path, World]]) -> None:
    for folder, data in runs:
        people = {
            number.encode() for table in (data.residents, data.employment) for number in table["person_id"].to_pylist()
        }
        for name in NAMES:
            payloads = list(control(folder, name))
            assert len(payloads) > 10
            for payload in payloads:
                assert not any(number in payload for number in people)
                assert leaks(payload, data.residents.select(["person_id"])) == []


@pytest.mark.parametrize("name", NAMES)
def test_transcripts_of_two_worlds_have_one_shape(runs: list[tuple[Path, World]], name: str) -> None:
    """Who is in both tables differs, and so do the matches' number and the answers; the messages' shapes do not."""
    one, other = (recordings(folder, name) for folder, _ in runs)
    for mine, theirs in zip(one, other, strict=True):
        assert mine.shape == theirs.shape


def test_the_search_would_find_a_leak() -> None:
    """The search is no dead letter: it finds a column that was sent in the clear."""
    data = world(3, 0.5)
    hours = np.asarray(data.employment["hours_per_week"].to_pylist(), dtype="<i8").tobytes()
    assert leaks(b"noise" + hours, data.employment)
    assert leaks("、".join(data.residents["person_id"].to_pylist()).encode(), data.residents)
    message = Message(Direction.SENT, 1, 1, 1, hours)
    assert plain_words(Recording(0, NAMES, (message,))) == len(hours) // 8 - 1
