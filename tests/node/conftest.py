"""Three paired nodes for the tests of one folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that tests can import their helpers as tests.node.*

from tests.fixtures.postgres import postgres_server
from tests.node.cluster import Trio


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    root = tmp_path_factory.mktemp("trio")
    nodes = Trio(root, record=str(root / "record"))
    try:
        nodes.start()
        nodes.pair()
        nodes.register()
        yield nodes
    finally:
        nodes.close()
