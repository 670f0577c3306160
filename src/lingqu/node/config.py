"""A node's home directory and its config.toml."""

from __future__ import annotations

import ipaddress
import json
import os
import secrets
import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from lingqu.identity import Certificate, NodeKey
from lingqu.kinds.documents import Document
from lingqu.kinds.errors import BadInput, Refused, Unavailable
from lingqu.kinds.parties import PartyName, Role
from lingqu.node.errors import Conflict
from lingqu.node.store import Store
from lingqu.node.users import LOCAL_DAYS, Users

Port = Annotated[int, Field(ge=0, le=65535)]


class ApiConfig(Document):
    """The interface for this node's own people.  tls_key, tls_certificate: files, needed off the loopback."""

    host: str = "127.0.0.1"
    port: Port
    tls_key: str = ""
    tls_certificate: str = ""


class PeerConfig(Document):
    """The interface for other nodes.  address: host:port under which they reach it."""

    host: str
    port: Port
    address: str


class StreamConfig(Document):
    """Where workers listen.  first, last: a port range to open in a firewall; 0, 0 takes any free port.

    address: the host under which other nodes reach the workers, when it is not `host`.
    """

    host: str = "127.0.0.1"
    address: str = ""
    first: Port = 0
    last: Port = 0


class JobsConfig(Document):
    """limit: jobs that may run at once.  timeout: seconds a worker waits for a peer before it gives up."""

    limit: Annotated[int, Field(ge=1, le=64)] = 4
    timeout: Annotated[int, Field(ge=5, le=3600)] = 60


class SuppliesConfig(Document):
    """Correlations made ahead, while no job runs.  runs: of each contract, 0 makes none.

    bytes: on disk at most, of all contracts.  free: bytes of the disk that stay free.
    """

    runs: Annotated[int, Field(ge=0, le=16)] = 1
    bytes: Annotated[int, Field(ge=0)] = 4 << 30
    free: Annotated[int, Field(ge=0)] = 2 << 30


class Config(Document):
    """config.toml.  store: a database URL, empty for lingqu.db in the home.  record: a folder, for tests only."""

    name: PartyName
    title: str
    store: str = ""
    record: str = ""
    api: ApiConfig
    peer: PeerConfig
    stream: StreamConfig = Field(default_factory=StreamConfig)
    jobs: JobsConfig = Field(default_factory=JobsConfig)
    supplies: SuppliesConfig = Field(default_factory=SuppliesConfig)

    def toml(self) -> str:
        """The file's text."""
        lines: list[str] = []
        tables: list[str] = []
        for name, value in self.model_dump(mode="json").items():
            if isinstance(value, dict):
                tables += ["", f"[{name}]", *(f"{key} = {_toml(item)}" for key, item in value.items())]
            else:
                lines.append(f"{name} = {_toml(value)}")
        return "\n".join(lines + tables) + "\n"


def _toml(value: str | int) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


class Home:
    """The directory that holds everything of one node."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.config_file = self.path / "config.toml"
        self.key = self.path / "keys" / "node.pem"
        self.certificate = self.path / "keys" / "node.crt"
        self.peers = self.path / "peers"
        self.jobs = self.path / "jobs"
        self.kept = self.path / "kept"
        self.supplies = self.path / "supplies"
        self.results = self.path / "results"
        self.tokens = self.path / "tokens"
        self.log = self.path / "node.log"

    def job(self, job: str) -> Path:
        """The folder of one job."""
        return self.jobs / job

    def kept_of(self, contract: str) -> Path:
        """Where this node keeps what unfinished runs of a contract have done."""
        return self.kept / contract.removeprefix("sha256:")

    def config(self) -> Config:
        """Read config.toml; BadInput names the file and the field."""
        try:
            found = tomllib.loads(self.config_file.read_text(encoding="utf-8"))
            config = Config.model_validate(found)
        except FileNotFoundError:
            raise BadInput(
                f"{self.path} is no node's home: it has no config.toml.", "Run `lingqu init` first."
            ) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadInput(f"{self.config_file} is not TOML: {error}.", "Correct that line.") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BadInput(f"{self.config_file}: {place}: {first['msg']}.", "Correct that setting.") from None
        check_bind(config.api)
        return config

    def store(self, config: Config) -> Store:
        """The node's database, not yet migrated."""
        return Store(config.store or f"sqlite:///{self.path / 'lingqu.db'}")


def check_bind(api: ApiConfig) -> None:
    """Refuse to offer people's passwords in the clear beyond this machine."""
    try:
        loopback = ipaddress.ip_address(api.host).is_loopback
    except ValueError:
        loopback = api.host == "localhost"
    if not loopback and not (api.tls_key and api.tls_certificate):
        raise Refused(
            f"The user interface would listen on {api.host} without TLS.",
            "Bind it to 127.0.0.1, or set api.tls_key and api.tls_certificate in config.toml.",
            term="api-tls",
        )


def initialise(home: Home, config: Config, people: list[tuple[str, Role]]) -> dict[str, str]:
    """Create a node's home: keys, certificate, database, users, and a token file for each user.

    Returns each user's password, which is stored nowhere.  Conflict when the home holds a node already.
    """
    check_bind(config.api)
    if home.config_file.exists():
        raise Conflict(f"{home.path} holds a node already.", "Choose another directory.")
    try:
        for directory in (home.path, home.key.parent, home.peers, home.jobs, home.tokens):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)  # also where it was there before
        key = NodeKey.generate()
        key.save(home.key)
        home.certificate.write_text(Certificate.issue(key, config.name, config.title).pem, encoding="ascii")
        store = home.store(config)
        try:
            store.migrate()
            users = Users(store)
            passwords = {name: secrets.token_urlsafe(12) for name, _ in people}
            for name, role in people:
                users.create(name, role, passwords[name])
                write_private(home.tokens / f"{name}.token", users.issue(name, days=LOCAL_DAYS).token)
        finally:
            store.close()
        write_private(home.config_file, config.toml())  # the store's URL may hold a password
    except OSError as error:
        raise Unavailable(
            f"The home {home.path} cannot be written: {error.strerror}.", "Choose a directory that you may write to."
        ) from None
    return passwords


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
