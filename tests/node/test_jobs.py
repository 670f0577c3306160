"""One question over two bureaus' tables, from contract to result."""

from __future__ import annotations

from tests.node.cluster import Trio


def test_a_query_runs_end_to_end(trio: Trio) -> None:
    contract = trio.agree()
    job = trio.run(contract)
    view = trio.ended(job)
    assert view["state"] == "done", view
