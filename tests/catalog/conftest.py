"""Tables on disk and in a PostgreSQL server of the tests' own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[1] / "fixtures" / "postgres.py"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    spec = importlib.util.spec_from_file_location("lingqu_tests_postgres", FIXTURES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.postgres_server() as url:
        yield url


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a file and return its path."""

    def write(text: str | bytes, name: str = "table.csv") -> str:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    return write
