"""The user interface: who may do what, what a refusal looks like, where it listens; and the ports of a node."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from tests.node.cluster import SERVE, Trio, make_home, refusal

from lingqu.identity import Certificate, NodeKey, client_context, pairing_context
from lingqu.kinds.errors import BadInput, LingquError, PartyLost, Refused, Tampered
from lingqu.kinds.parties import Role
from lingqu.node.api import PUBLIC, RULES, build, check_rules
from lingqu.node.config import ApiConfig, Config, Home, PeerConfig, check_bind, initialise
from lingqu.node.errors import Conflict
from lingqu.node.node import Node
from lingqu.node.transport import exchange


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    opened = Node(make_home(tmp_path_factory.mktemp("api"), "our-node"))
    yield opened
    opened.close()


class Client:
    """Requests to an application in this process."""

    def __init__(self, app: FastAPI) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://node") as client:
                return await client.request(method, path, **more)

        return asyncio.run(ask())

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)


@pytest.fixture(scope="module")
def client(node: Node) -> Client:
    return Client(build(node))


def bearer(node: Node, role: Role) -> dict[str, str]:
    return {"Authorization": f"Bearer {(node.core.home.tokens / f'{role.value}.token').read_text()}"}


def test_every_route_has_a_rule_and_one_without_stops_the_start(node: Node) -> None:
    app = build(node)
    served = {(method, route.path) for route in app.routes for method in route.methods}  # type: ignore[attr-defined]
    assert served == set(RULES)
    app.get("/v1/secrets", response_model=None)(node.core.confirmed)
    with pytest.raises(LingquError, match="GET /v1/secrets has no rule"):
        check_rules(app)
    mounted = FastAPI()  # its own documentation pages are routes without a rule
    with pytest.raises(LingquError, match="has no rule"):
        check_rules(mounted)


@pytest.mark.parametrize(("method", "path"), sorted(RULES))
def test_each_route_admits_its_roles_and_nobody_else(node: Node, client: Client, method: str, path: str) -> None:
    allowed = RULES[method, path]
    filled = path.format(name="nobody", contract="sha256:" + "0" * 64, job="0" * 32)
    if allowed is PUBLIC:
        assert client.request(method, filled, json={}).status_code != 403
        return
    anonymous = client.request(method, filled, json={})
    assert (anonymous.status_code, anonymous.json()["code"]) == (401, "unauthenticated")
    for role in Role:
        answer = client.request(method, filled, json={}, headers=bearer(node, role))
        assert (answer.status_code == 403) == (role not in allowed), answer.text


def test_bad_requests_name_the_field_and_unknown_things_are_404(node: Node, client: Client) -> None:
    manager = bearer(node, Role.MANAGER)
    unknown = client.post("/v1/tables", json={"name": "t", "title": "t", "source": "t.csv", "lock": 1}, headers=manager)
    assert (unknown.status_code, unknown.json()["code"]) == (400, "bad-input")
    assert "lock" in unknown.json()["cause"]
    assert client.post("/v1/tables", content=b"{", headers=manager).status_code == 400
    missing = client.get("/v1/contracts/sha256:00", headers=manager)
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")
    assert client.get("/v1/nothing", headers=manager).status_code == 404


def test_login_users_and_the_description(node: Node, client: Client) -> None:
    made = {"name": "王", "role": "auditor", "password": "a long password"}
    assert client.post("/v1/users", json=made, headers=bearer(node, Role.MANAGER)).json()["role"] == "auditor"
    assert client.post("/v1/users", json=made, headers=bearer(node, Role.MANAGER)).status_code == 409
    login = client.post("/v1/login", json={"user": "王", "password": "a long password"}).json()
    answer = client.get("/v1/ledger", headers={"Authorization": f"Bearer {login['token']}"})
    assert answer.json() == {"entries": []}
    document = client.get("/v1/openapi.json").json()
    assert set(document["paths"]) == {path for _, path in RULES}
    references = set(_references(document))
    assert references <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert "#/components/schemas/TableIn" in references


def _references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def test_beyond_the_loopback_it_takes_tls(tmp_path: Path) -> None:
    check_bind(ApiConfig(host="127.0.0.1", port=1))
    check_bind(ApiConfig(host="::1", port=1))
    check_bind(ApiConfig(host="0.0.0.0", port=1, tls_key="k", tls_certificate="c"))
    for host in ("0.0.0.0", "10.0.0.1", "bureau.example", "::"):
        with pytest.raises(Refused, match="without TLS"):
            check_bind(ApiConfig(host=host, port=1))
    home = make_home(tmp_path, "our-node", ())
    home.config_file.write_text(home.config_file.read_text().replace('host = "127.0.0.1"', 'host = "0.0.0.0"', 1))
    with pytest.raises(Refused) as caught:
        home.config()
    assert caught.value.term == "api-tls"


def test_a_home_is_made_once_and_a_broken_configuration_is_named(tmp_path: Path) -> None:
    home = make_home(tmp_path, "our-node", ())
    again = Config(
        name="our-node", title='x\n"y"', api=ApiConfig(port=1), peer=PeerConfig(host="::1", port=2, address="a:2")
    )
    with pytest.raises(Conflict):
        initialise(home, again, [])
    home.config_file.write_text(again.toml(), encoding="utf-8")
    assert home.config() == again
    home.config_file.write_text(again.toml().replace("port = 2", 'port = "2"'), encoding="utf-8")
    with pytest.raises(BadInput, match=r"peer\.port"):
        home.config()
    home.config_file.write_text("name = ", encoding="utf-8")
    with pytest.raises(BadInput, match="is not TOML"):
        home.config()
    with pytest.raises(BadInput, match="no node's home"):
        Home(tmp_path / "nowhere").config()


def test_a_port_in_use_and_a_home_in_use_are_named(trio: Trio, tmp_path: Path) -> None:
    home = make_home(tmp_path, "our-node", ())
    config = home.config()
    taken = trio.big.home.config().peer.port
    changed = config.model_copy(update={"peer": config.peer.model_copy(update={"port": taken})})
    home.config_file.write_text(changed.toml())
    done = subprocess.run([*SERVE, "--home", str(home.path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"Port {taken} of 127.0.0.1 cannot be listened on: Address already in use." in done.stderr
    assert "peer.port in config.toml" in done.stderr
    with pytest.raises(LingquError, match=r"runs on .* already"):
        Node(trio.big.home)


def test_an_unknown_or_wrong_certificate_gets_nothing(trio: Trio, tmp_path: Path) -> None:
    config = trio.civil.home.config()
    pinned = Certificate.load(trio.civil.home.certificate)

    def post(context: ssl.SSLContext, path: str, body: bytes = b"x") -> tuple[int, bytes]:
        return exchange(config.peer.address, context, pinned.fingerprint, path, body, 5, "civil-affairs")

    for path in ("/peer/messages", "/peer/pair", "/", "/v1/health", "/docs", "/openapi.json"):
        assert post(pairing_context(), path) == (404, b"")  # without a certificate
    key = NodeKey.generate()
    key.save(tmp_path / "key.pem")
    (tmp_path / "crt.pem").write_text(Certificate.issue(key, "big-data", "大数据局").pem)
    with pytest.raises(PartyLost):  # a certificate that is not pinned, though it bears a pinned name
        post(client_context(tmp_path / "key.pem", tmp_path / "crt.pem", [pinned]), "/peer/messages")
    big = trio.big.home
    assert post(client_context(big.key, big.certificate, [pinned]), "/peer/other") == (404, b"")
    status, answer = post(client_context(big.key, big.certificate, [pinned]), "/peer/messages")
    assert status == 200
    assert len(answer) > 100  # a signed answer that says what is wrong
    mistaken = client_context(big.key, big.certificate, [Certificate.load(big.certificate)])
    with pytest.raises(Tampered):  # and no node talks to another one than it pinned
        post(mistaken, "/peer/messages")


def test_the_catalogue_shows_peers_tables_and_no_row(trio: Trio) -> None:
    for node in trio.nodes.values():
        assets = node.call("auditor", "GET", "/v1/catalog")["assets"]
        assert [asset["id"] for asset in assets] == ["civil-affairs/residents", "human-resources/employment"]
        assert "p0001" not in json.dumps(assets)
        peers = node.call("auditor", "GET", "/v1/node")["peers"]
        assert {peer["state"] for peer in peers} == {"confirmed"}


def test_a_refusal_before_any_contract_is_on_record(trio: Trio) -> None:
    program = {"kind": "sql", "text": 'SELECT * FROM "civil-affairs/residents"'}
    error = refusal(trio.big, "analyst", "POST", "/v1/plans", {"program": program, "minimum_group": 5})
    assert isinstance(error, BadInput | Refused)
    entries = trio.big.call("auditor", "GET", "/v1/ledger")["entries"]
    entry = [entry for entry in entries if entry["kind"] == "refuse"][-1]
    assert entry["body"]["term"] == (error.term or "program")
    assert entry["body"]["cause"] == error.cause
