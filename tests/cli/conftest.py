"""The fake node of tests/client, and a way to run verbs against it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from lingqu.cli import main


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("fake_node_for_cli", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FAKE = _load(Path(__file__).parents[1] / "client" / "conftest.py")
fake, home = FAKE.fake, FAKE.home


@dataclass
class Ran:
    """How a verb ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on standard output."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The document on standard error."""
        return json.loads(self.err)


Run = Callable[..., Ran]


@pytest.fixture
def run(fake: Any, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a verb at the fake node, 120 columns wide."""
    monkeypatch.setenv("LINGQU_HOME", str(home))
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def call(*arguments: str) -> Ran:
        code = main(arguments)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call
