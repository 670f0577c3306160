"""Queries of two parties alone: joins by alignment over real transfers agree with the twin."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from lingqu.engine.execute import execute
from lingqu.engine.release import Release
from lingqu.kinds.mechanism import Registry
from lingqu.net.memory import memory_channels
from lingqu.plan.explain import explain
from lingqu.share.plain import Plain
from lingqu.share.two import DECLARATION
from lingqu.share.two.machine import connect
from lingqu.sql import FRONTEND

PAIR = ("civil-affairs", "human-resources")
JOB = "00112233445566778899aabbccddeeff"
QUERIES = (
    "SELECT education, COUNT(*), SUM(hours) FROM residents r JOIN employment e ON r.id = e.id GROUP BY education",
    "SELECT married, COUNT(*), COUNT(hours) FROM residents r LEFT JOIN employment e ON r.id = e.id GROUP BY married",
)


def run(world: Any, plan: Any) -> list[Release | None]:
    """Both parties' releases."""
    channels = memory_channels(PAIR)
    found: list[Release | None] = [None, None]
    errors: list[BaseException] = []

    def party(place: int) -> None:
        try:
            found[place] = execute(
                plan, connect(channels[place]), world.scan({}), {}, lambda *_: None, lambda *_: None, job=JOB,
                operators=FRONTEND.operators,
            )  # fmt: skip
        except BaseException as error:
            errors.append(error)
        finally:
            channels[place].close()

    threads = [threading.Thread(target=party, args=(place,)) for place in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if errors:
        raise errors[0]
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_two_parties_align_their_tables(bureaus: Any, query: str) -> None:
    registry = Registry({"share.two": DECLARATION})
    how = {"parties": PAIR, "recipient": PAIR[0], "techniques": ("share.two",), "registry": registry}
    plan = bureaus.compile(query, **how)
    line = next(line for line in explain(plan) if line.step == "join1")
    assert (line.operator, line.technique) == ("align", "share.two")
    assert "by alignment: share.two looks keys up that stay at their owners" in line.reason
    release = run(bureaus, plan)[0]
    twin = execute(
        plan, Plain(2), bureaus.scan({}), {}, lambda *_: None, lambda *_: None, job=JOB, operators=FRONTEND.operators
    )
    assert release is not None
    assert twin is not None
    assert sorted(map(repr, release.table())) == sorted(map(repr, twin.table()))
    assert len(release.table()) > 1
