"""Who gets a result, how often, and that the last use of a contract is given once."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from tests.acceptance.tiny import ENDED, NAMES, PURPOSE, Tiny, failed, tiny

from lingqu.kinds.errors import LingquError
from lingqu.node.remote import Remote
from lingqu.node.replies import JobView
from scenarios.census.network import BIG, CIVIL, HUMAN, LINGQU, wait_until

QUERY = 'SELECT COUNT(*) AS n FROM "civil-affairs".people p JOIN "human-resources".work w ON p.id = w.id'
PASSWORD = "a second analyst of this node"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with tiny(tmp_path_factory.mktemp("release")) as made:
        for owner, name in ((CIVIL, "people"), (HUMAN, "work")):
            made.register(owner, name, "id,n\n" + "".join(f"p{i:02d},{i}\n" for i in range(24)), key=["id"])
        made.net[BIG].remote("manager").add_user("second", "analyst", PASSWORD)
        yield made


def test_a_result_is_the_asking_analysts_alone(nodes: Tiny) -> None:
    contract = nodes.agreed(QUERY)
    job = nodes.run(contract).checked()
    first = nodes.analyst.result(job.id)
    assert first.table() == [(24,)]
    assert nodes.analyst.result(job.id) == first  # released once, fetched as often as one likes
    code, shown = nodes.lingqu(BIG, "result", job.id)
    assert code == 0
    assert shown["release"] == json.loads(first.canonical())
    with Remote(nodes.analyst.url) as nobody:
        token = nobody.login("second", PASSWORD).token
        assert failed(lambda: nobody.result(job.id), "unauthenticated").term == "token"
    with Remote(nodes.analyst.url, token) as second:
        assert second.job(job.id).state == "done"  # that it ran is no secret in the house; what it gave is
        assert failed(lambda: second.result(job.id), "refused").term == "recipients"
    for role in ("owner", "manager", "auditor"):
        assert failed(partial(nodes.net[BIG].remote(role).result, job.id), "refused").term == "role"
    for owner in (CIVIL, HUMAN):
        assert failed(partial(nodes.net[owner].remote("analyst").result, job.id), "refused")
        for place, content in nodes.places():
            if str(nodes.net[owner].home) in place:
                assert json.dumps(json.loads(first.canonical())["rows"]).encode() not in content
    assert failed(lambda: nodes.analyst.result("0" * 32), "not-found")


def test_a_result_is_released_once_in_every_history(nodes: Tiny) -> None:
    contract = nodes.agreed(QUERY)
    job = nodes.run(contract).checked()
    for _ in range(3):
        nodes.analyst.result(job.id)
    for name, releases in ((BIG, 1), (CIVIL, 0), (HUMAN, 0)):
        ledger = json.dumps(nodes.net[name].remote("auditor").ledger())
        entries = [entry for entry in nodes.net[name].remote("auditor").ledger() if job.id in json.dumps(entry)]
        kinds = [entry["kind"] for entry in entries]
        assert kinds.count("release") == releases, ledger
        assert kinds.count("run") == 1


def test_the_last_use_is_given_once(nodes: Tiny) -> None:
    """Two starts at one moment, round after round: one runs, the other is refused by the number of uses."""
    uses = 3
    contract = nodes.agreed(QUERY, uses=uses)
    done = 0
    for left in range(uses, 0, -1):
        outcomes = together(nodes, contract.id, left + 1)
        jobs = [outcome for outcome in outcomes if isinstance(outcome, JobView)]
        refused = [outcome for outcome in outcomes if isinstance(outcome, LingquError)]
        assert len(jobs) <= left
        assert all((error.code, error.term) == ("refused", "uses") for error in refused)
        assert all(error.cure for error in refused)
        ended = [nodes.analyst.follow(job.id) for job in jobs]
        done += sum(job.state == "done" for job in ended)
        view = nodes.analyst.contract(contract.id)
        assert view.spent == done <= uses
        if done == uses:
            break
    assert done == uses
    assert failed(lambda: nodes.run(contract), "refused").term == "uses"
    for name in NAMES:
        remote = nodes.net[name].remote("auditor")
        wait_until(f"{name} has ended all", lambda remote=remote: all(job.state in ENDED for job in remote.jobs()))
        view = remote.contract(contract.id)
        assert (view.spent, view.reserved, view.state) == (uses, 0, "used-up")


def together(nodes: Tiny, contract: str, count: int) -> list[JobView | LingquError]:
    """So many starts of one contract at one moment, each over a connection of its own."""

    def start(remote: Remote) -> JobView | LingquError:
        try:
            return remote.start(contract, PURPOSE)
        except LingquError as error:
            return error

    token = nodes.net[BIG].home / "tokens" / "analyst.token"
    remotes = [Remote(nodes.analyst.url, token.read_text().strip()) for _ in range(count)]
    try:
        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(start, remotes))
    finally:
        for remote in remotes:
            remote.close()


def test_three_histories_agree(nodes: Tiny) -> None:
    files = []
    for name in NAMES:
        files.append(nodes.tables / f"{name}.bundle")
        files[-1].write_bytes(nodes.net[name].remote("auditor").export())
    command = [*LINGQU, "verify", *map(str, files), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
