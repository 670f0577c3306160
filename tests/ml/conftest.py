"""Fixtures of the model room's tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

CENSUS = Path(__file__).resolve().parents[2] / "scenarios" / "census"


@pytest.fixture(scope="session")
def prepare() -> ModuleType:
    """The census scenario's script, as a module."""
    spec = importlib.util.spec_from_file_location("census_prepare", CENSUS / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
