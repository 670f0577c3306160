"""Point 8: what must not happen does not happen, and every refusal names the term that refused it."""

from __future__ import annotations

import sys

from lingqu.kinds.programs import Program
from lingqu.node.replies import ContractView
from scenarios.census import questions
from scenarios.census.network import CIVIL, Network, wait_until
from scenarios.census.story import Story, finished

EVERYTHING = 'SELECT * FROM "civil-affairs".residents'
MODIFIED = (sys.executable, "-m", "scenarios.census.modified_node")


def show_locks(story: Story, net: Network, contracts: tuple[ContractView, ContractView]) -> dict[str, bytes]:
    """Try what the contracts forbid, with an honest analyst's node and with a modified one.

    Returns every node's bundle from before the analyst's was modified.
    """
    statistics, training = contracts
    analyst = net[net.asker].remote("analyst")
    everything = Program(kind="sql", text=EVERYTHING)
    story.refused("SELECT *", "minimum_group", lambda: analyst.plan(everything, questions.MINIMUM_GROUP))
    story.refused(
        "the same query for another purpose",
        "purpose",
        lambda: finished(analyst, statistics.id, "Find out who earns what"),
    )
    story.refused("the model a second time, where one use was agreed", "uses", lambda: finished(analyst, training.id))
    story.doing("restarting the analyst's node with its checks taken out")
    before = {name: bureau.remote("auditor").export() for name, bureau in net.bureaus.items()}
    net[net.asker].stop()
    net[net.asker].start(MODIFIED)
    net[net.asker].wait_ready()
    cheat = net[net.asker].remote("analyst")
    story.refused(
        "an altered plan (groups of 2) sent by the modified node", "plan", lambda: finished(cheat, statistics.id)
    )
    story.refused(
        "a use beyond the agreed number, asked by the modified node", "uses", lambda: finished(cheat, training.id)
    )
    net[net.asker].stop()
    net[net.asker].start()
    net[net.asker].wait_ready()
    analyst = net[net.asker].remote("analyst")
    story.doing("revoking")
    revoking = net.signers[-1]
    net[revoking].remote("owner").revoke(statistics.id, "The demo shows that it stops at once")
    wait_until("the analyst's node knows", lambda: analyst.contract(statistics.id).state == "revoked")
    story.refused(f"the agreed query after {revoking} revoked", "revoked", lambda: finished(analyst, statistics.id))
    refusals = [entry for entry in net[CIVIL].remote("auditor").ledger() if entry["kind"] == "refuse"]
    story.check(f"civil-affairs has its own refusals on record: {len(refusals)}", len(refusals) > 0)
    return before
