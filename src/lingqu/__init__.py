"""Lingqu 灵渠: compute on everyone's data together while every row stays at home.

>>> import lingqu
>>> client = lingqu.connect()  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["connect", "local", "ml"]


def __getattr__(name: str) -> Any:
    """`lingqu.connect`, `lingqu.local` and `lingqu.ml`, loaded when first used: workers import `lingqu` too."""
    if name == "connect":
        return import_module("lingqu.client").connect
    if name == "local":
        return import_module("lingqu.engine.local").local
    if name == "ml":
        return import_module("lingqu.ml")
    raise AttributeError(f"module 'lingqu' has no attribute {name!r}")
