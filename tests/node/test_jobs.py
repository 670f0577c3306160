"""A job as its people follow it, and what passes between nodes and workers meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

from tests.node.cluster import Trio, refusal

from lingqu.net.record import read_recording


def test_events_tell_a_job_until_its_end(trio: Trio) -> None:
    job = trio.run(trio.agree())
    views = trio.big.events(job)
    assert views[0]["state"] in ("admitting", "running")
    assert views[-1]["state"] == "done"
    assert [step["state"] for step in views[-1]["steps"]] == ["done"] * len(views[-1]["steps"])
    assert sum(step["bytes"] for step in views[-1]["steps"]) > 1000
    assert trio.big.events(job) == views[-1:]  # one that has ended is told at once
    assert job in [view["id"] for view in trio.civil.call("owner", "GET", "/v1/jobs")["jobs"]]
    assert refusal(trio.big, "analyst", "GET", "/v1/jobs/unknown/events").code == "not-found"


def test_recordings_hold_no_row_of_anyone(trio: Trio) -> None:
    job = trio.run(trio.agree())
    assert trio.ended(job)["state"] == "done"
    for name, node in trio.nodes.items():
        assert trio.ended(job, node)["state"] == "done"
        recorded = Path(node.home.config().record)
        messages = read_recording(recorded / f"{job}.{name}.recording")
        assert len(messages.shape) > 50
        for path in (recorded / f"{job}.{name}.recording", recorded / f"{name}.control.jsonl", node.home.log):
            content = path.read_bytes()
            assert b"p0001" not in content
            assert "学士".encode() not in content or path.suffix == ".jsonl"  # published as a category
        control = (recorded / f"{name}.control.jsonl").read_text().splitlines()
        directions = {json.loads(line)["direction"] for line in control}
        assert directions == {"sent", "received"}
        assert not (node.home.jobs / job).exists()


def test_the_number_of_jobs_at_once_is_limited(trio: Trio) -> None:
    contract = trio.agree(uses=9)
    jobs = [trio.run(contract) for _ in range(4)]
    full = refusal(trio.big, "analyst", "POST", "/v1/jobs", {"contract": contract, "purpose": "labour statistics"})
    assert full.code == "unavailable"
    assert full.party == "big-data"
    for job in jobs:
        trio.big.call("analyst", "POST", f"/v1/jobs/{job}/cancel", {})
    assert {trio.ended(job)["state"] for job in jobs} <= {"refused", "failed"}
    job = trio.run(contract)
    assert trio.ended(job)["state"] == "done"
