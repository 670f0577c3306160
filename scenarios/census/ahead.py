"""What two parties make ahead of their runs, and what it saves; passed over where the nodes make nothing ahead."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.table import Table

from lingqu.node.replies import ContractView
from scenarios.census.network import Network, wait_until
from scenarios.census.story import Story

MOST_SECONDS = 900.0


def make_ahead(story: Story, net: Network, contracts: Sequence[ContractView]) -> None:
    """Wait until every node holds the correlations of one run of each contract; nothing to do where none takes any."""
    nodes = [bureau.remote("auditor") for bureau in net.bureaus.values()]
    if not any(node.supplies() for node in nodes):
        return
    story.doing("making correlations ahead of the runs")
    began = time.monotonic()
    ids = {contract.id for contract in contracts}
    wait_until(
        "the correlations of one run of each contract are made ahead",
        lambda: all({view.contract for view in node.supplies() if view.state == "ready"} >= ids for node in nodes),
        MOST_SECONDS,
    )
    table = Table("made ahead, before anybody asks", "mechanism", "portions", "bytes on each disk")
    for view in nodes[0].supplies():
        table.add_row(view.title, view.mechanism, str(view.portions), f"{view.bytes:,}")
    story.say(table)
    seconds = time.monotonic() - began
    story.check(f"one run of each contract is made ahead, while no job runs: {seconds:.1f} s", True)


def show_used(story: Story, net: Network, contracts: Sequence[ContractView]) -> None:
    """What the runs' correlations took at each node, ahead of them and within them."""
    table = Table("correlations of", "at", "ahead: seconds", "bytes sent", "in the run: seconds", "bytes sent")
    online = 0
    for contract in contracts:
        for bureau in net.bureaus.values():
            remote = bureau.remote("auditor")
            job = next(job for job in remote.jobs() if job.contract == contract.id and job.state == "done")
            used = remote.job(job.id).supplies
            if used is None:
                return
            online += used.online.bytes
            cells = [f"{took.milliseconds / 1000:.1f}" for took in (used.ahead, used.online)]
            sent = [f"{took.bytes:,}" for took in (used.ahead, used.online)]
            table.add_row(contract.terms.title, bureau.name, cells[0], sent[0], cells[1], sent[1])
    story.say(table)
    story.check(f"correlations sent within the runs: {online:,} bytes, all else was made ahead", online == 0)
