"""Lingqu 灵渠: compute on everyone's data together while every row stays at home.

>>> import lingqu
>>> client = lingqu.connect()  # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["connect", "local", "ml", "secure"]


def __getattr__(name: str) -> Any:
    """What `__all__` names, loaded when first used: workers import `lingqu` too."""
    if name == "connect":
        return import_module("lingqu.client").connect
    if name == "local":
        return import_module("lingqu.engine.local").local
    if name == "ml":
        return import_module("lingqu.ml")
    if name == "secure":
        return import_module("lingqu.share.graphs").secure
    raise AttributeError(f"module 'lingqu' has no attribute {name!r}")
