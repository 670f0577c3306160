"""Parties on the loopback with keys of their own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lingqu.identity import Certificate, NodeKey
from lingqu.net.stream import Limits, StreamChannel
from lingqu.net.tls import Listener, listen

NAMES = ("ant", "bee", "cat")
QUICK = Limits(heartbeat=0.1, silence=1.0, patience=20.0, farewell=1.0)


@dataclass
class Site:
    """One party's files and certificate."""

    key: Path
    path: Path
    certificate: Certificate

    @classmethod
    def make(cls, directory: Path, name: str) -> Site:
        """A new key and certificate under a directory."""
        key = NodeKey.generate()
        certificate = Certificate.issue(key, name, name)
        directory.mkdir(parents=True, exist_ok=True)
        site = cls(directory / f"{name}.pem", directory / f"{name}.crt", certificate)
        key.save(site.key)
        site.path.write_text(certificate.pem)
        return site

    def listen(self) -> Listener:
        """A listener on a free port of the loopback."""
        return listen("127.0.0.1", key=self.key, certificate=self.path)


@dataclass
class World:
    """Three sites, and the channels that a test opened between them."""

    sites: list[Site]
    channels: list[StreamChannel] = field(default_factory=list)

    @property
    def pinned(self) -> list[Certificate]:
        """Everyone's certificates in order."""
        return [site.certificate for site in self.sites]

    def mesh(
        self, limits: Limits = QUICK, disturb: Callable[[list[Listener]], None] | None = None
    ) -> list[StreamChannel]:
        """Connected channels of all parties; `disturb` runs once all listen and none has dialled."""
        listeners = [site.listen() for site in self.sites]
        endpoints = [listener.address for listener in listeners]
        session = secrets.token_bytes(16)
        if disturb is not None:
            disturb(listeners)
        with ThreadPoolExecutor() as pool:
            futures = [
                pool.submit(listener.mesh, session, party, NAMES, endpoints, self.pinned, 20.0, limits)
                for party, listener in enumerate(listeners)
            ]
            self.channels = [future.result() for future in futures]
        return self.channels


@pytest.fixture(scope="session")
def sites(tmp_path_factory: pytest.TempPathFactory) -> list[Site]:
    """The three parties' files, made once."""
    return [Site.make(tmp_path_factory.mktemp("sites"), name) for name in NAMES]


@pytest.fixture
def world(sites: list[Site]) -> Iterator[World]:
    """Three parties; their channels are closed in the end."""
    made = World(list(sites))
    yield made
    for channel in made.channels:
        channel.close()
