"""The client of a node's local API, against a node made of the table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from lingqu.kinds import clock
from lingqu.kinds.errors import BadInput, LingquError, PartyLost, Refused, Unavailable
from lingqu.kinds.programs import Parameter, Program
from lingqu.node.errors import NotFound, Unauthenticated
from lingqu.node.remote import Home, Remote, expiry
from lingqu.node.replies import InvitationView, JobView, LoginView, rebuilt

SQL = "SELECT education, COUNT(*) AS people FROM civil_affairs.residents GROUP BY education"
PROGRAM = Program(kind="sql", text=SQL)


def test_every_route_is_asked_as_the_table_says(remote: Remote, fake: Any) -> None:
    contract = fake.contract(PROGRAM)
    assert remote.health().name == "big-data"
    assert remote.login("analyst", "password").role == "analyst"
    assert remote.add_user("li", "owner", "a long password").name == "li"
    assert remote.node().version == "0.1.0"
    assert remote.invite(5).code.startswith("lingqu1:")
    assert remote.join("lingqu1:ABCD").state == "pending"
    assert remote.confirm("civil-affairs", "204 517").state == "confirmed"
    remote.remove_peer("civil-affairs")
    assert remote.register("residents", "a.csv", title="居民").id == "civil-affairs/residents"
    assert remote.catalog()[0].rows == 41_523
    assert remote.plan(PROGRAM).plan.sha256() == remote.plan(PROGRAM).plan_digest
    assert remote.contract(contract).state == "in-force"
    assert remote.approve(contract).waiting == ()
    assert remote.reject(contract, "no").state == "rejected"
    assert remote.revoke(contract).state == "revoked"
    assert remote.start(contract, "labour statistics", {"lo": 1}).state == "admitting"
    assert remote.job(remote.jobs()[0].id).over
    assert remote.cancel("0123456789abcdef" * 2).state == "failed"
    assert remote.ledger(0)[0]["kind"] == "register"
    assert remote.export() == b"bundle"
    assert ("POST", "/v1/users", {"name": "li", "role": "owner", "password": "a long password"}) in fake.asked
    assert ("POST", f"/v1/contracts/{contract}/reject", {"reason": "no"}) in fake.asked


def test_errors_come_back_as_their_own_class(remote: Remote, fake: Any) -> None:
    fake.failure = (503, {"code": "party-lost", "cause": "gone", "cure": "retry", "term": None, "party": "big-data"})
    with pytest.raises(PartyLost, match="gone") as caught:
        remote.jobs()
    assert caught.value.party == "big-data"
    fake.failure = None
    with pytest.raises(NotFound):
        remote._request("GET", "/v1/nothing")
    with pytest.raises(Unauthenticated):
        Remote("http://127.0.0.1:7101", "wrong", transport=httpx.MockTransport(fake)).catalog()
    assert type(rebuilt({"code": "of the future", "cause": "c"})) is LingquError


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"{}", Refused),
        (404, b"no JSON", BadInput),
        (500, b"[]", Unavailable),
        (418, b"", LingquError),
        (200, b"no JSON", LingquError),
        (200, b'{"contracts": 7}', LingquError),
        (200, b'{"contracts": [{"id": 1}]}', LingquError),
    ],
)
def test_replies_that_are_not_in_the_table_are_errors(status: int, body: bytes, kind: type[LingquError]) -> None:
    remote = Remote("http://node", "t", transport=httpx.MockTransport(lambda _: httpx.Response(status, content=body)))
    with pytest.raises(LingquError) as caught:
        remote.contracts()
    assert type(caught.value) is kind
    assert caught.value.cure


def test_a_node_that_is_away_says_how_to_start_it(home: Path) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    remote = Remote("http://node", "t", home=home, transport=httpx.MockTransport(away))
    with pytest.raises(Unavailable, match=f"lingqu serve --home {home}"):
        remote.catalog()
    with pytest.raises(BadInput, match="no address"):
        Remote("http://[", "t")


def test_a_slow_node_is_told_from_one_that_is_away() -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(Unavailable, match="in time"):
        Remote("http://node", "t", transport=httpx.MockTransport(slow)).catalog()


def test_following_survives_dropped_streams(remote: Remote, fake: Any) -> None:
    fake.drops = 2
    seen: list[JobView] = []
    assert remote.follow("0123456789abcdef" * 2, seen.append).state == "done"
    assert [view.state for view in seen] == ["running", "running", "running", "done"]


def test_following_gives_up_when_nothing_comes() -> None:
    asked: list[str] = []

    def broken(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise httpx.ReadError("broke", request=request)

    remote = Remote("http://node", "t", transport=httpx.MockTransport(broken))
    remote.pause_seconds = 0.0
    with pytest.raises(Unavailable):
        remote.follow("ab")
    assert 3 <= len(asked) <= 10


def test_a_failed_job_raises_its_error() -> None:
    error = {"code": "refused", "cause": "c", "cure": "d", "term": "uses", "party": None}
    view = JobView(id="ab", contract="c", state="refused", error=error)
    with pytest.raises(Refused) as caught:
        view.checked()
    assert caught.value.term == "uses"
    with pytest.raises(LingquError, match="ended as failed"):
        JobView(id="ab", contract="c", state="failed").checked()


@pytest.mark.parametrize(
    ("state", "term"),
    [
        ("proposed", "signatures"),
        ("used-up", "uses"),
        ("expired", "expires"),
        ("revoked", "revoked"),
        ("rejected", "signatures"),
        ("signed", "not_before"),
    ],
)
def test_without_a_contract_in_force_the_nearest_term_refuses(remote: Remote, fake: Any, state: str, term: str) -> None:
    fake.contract(PROGRAM, state)
    with pytest.raises(Refused) as caught:
        remote.matching(PROGRAM, "labour statistics")
    assert caught.value.term == term


def test_matching_takes_program_and_purpose(remote: Remote, fake: Any) -> None:
    with pytest.raises(Refused, match="propose") as caught:
        remote.matching(PROGRAM, "labour statistics")
    assert caught.value.term == "signatures"
    old = fake.contract(PROGRAM, expires="2090-01-01T00:00:00Z")
    new = fake.contract(PROGRAM)
    assert remote.matching(PROGRAM, "labour statistics").id == new != old
    with pytest.raises(Refused) as caught:
        remote.matching(PROGRAM, "advertising")
    assert caught.value.term == "purpose"


def test_a_template_is_found_by_its_text(remote: Remote, fake: Any) -> None:
    text = "SELECT COUNT(*) AS n FROM civil_affairs.residents WHERE age >= :lo"
    contract = fake.contract(Program(kind="sql", text=text, parameters={"lo": Parameter(lower=18, upper=60)}))
    assert remote.matching(Program(kind="sql", text=text), "labour statistics").id == contract
    other = Program(kind="sql", text=text, parameters={"lo": Parameter(lower=0, upper=60)})
    with pytest.raises(Refused):
        remote.matching(other, "labour statistics")


def test_homes_are_read(home: Path, tmp_path: Path) -> None:
    assert Home(home).url == "http://127.0.0.1:7101"
    assert Home(home).tokens() == ("analyst", "auditor", "manager", "owner")
    with pytest.raises(Refused, match="analyst, auditor"):
        Home(home).token("nobody")
    with pytest.raises(Unavailable, match="lingqu init"):
        _ = Home(tmp_path / "elsewhere").url
    (home / "config.toml").write_text('[api]\nhost = "::1"\nport = 7101\ntls_certificate = "api.crt"\n')
    assert Home(home).url == "https://[::1]:7101"
    assert Home(home).authority == home / "api.crt"
    for text, said in (("[api]\n", "no port"), ("= broken", "no TOML")):
        (home / "config.toml").write_text(text)
        with pytest.raises(BadInput, match=said):
            _ = Home(home).url


def test_secrets_do_not_print() -> None:
    assert "s3cret" not in repr(LoginView(token="s3cret", role="owner", expires="2027-01-01T00:00:00Z"))
    assert "s3cret" not in repr(InvitationView(code="s3cret", expires="2027-01-01T00:00:00Z"))
    assert "s3cret" not in repr(Remote("http://node", "s3cret"))


def test_expiry_reads_what_people_write() -> None:
    assert expiry("2031-02-03") == "2031-02-03T00:00:00Z"
    assert expiry("2031-02-03T04:05:06Z") == "2031-02-03T04:05:06Z"
    assert expiry("2031-02-03T04:05:06+08:00") == "2031-02-02T20:05:06Z"
    assert 29 <= (clock.read(expiry("30d")) - clock.read(clock.now())).days <= 30
    assert (clock.read(expiry("12h")) - clock.read(clock.now())).days == 0
    for wrong in ("tomorrow", "2031-13-01", "0x10", ""):
        with pytest.raises(BadInput, match="30d"):
            expiry(wrong)
