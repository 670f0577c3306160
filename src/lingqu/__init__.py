"""Lingqu 灵渠: compute on everyone's data together while every row stays at home.

>>> import lingqu
>>> client = lingqu.connect()  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["connect"]


def __getattr__(name: str) -> Any:
    """`lingqu.connect`, loaded when it is first used, so that `import lingqu` stays cheap for workers."""
    if name == "connect":
        return import_module("lingqu.client").connect
    raise AttributeError(f"module 'lingqu' has no attribute {name!r}")
