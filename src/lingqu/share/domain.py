"""Domains of functions over a Machine: a machine that sees values checks them, the others rely on range analysis."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from lingqu.share.api import Machine, Shared


@runtime_checkable
class Checking(Protocol):
    """A machine that can tell whether values are inside a domain: the ideal twin."""

    def require(self, x: Shared, low: int, high: int, operation: str) -> None:
        """RangeError when an integer is outside [low, high]."""


def within(machine: Machine, x: Shared, low: int, high: int, operation: str) -> None:
    """Have x checked against [low, high] (integers, so fixed point scaled) where the machine can; free elsewhere."""
    if isinstance(machine, Checking):
        machine.require(x, low, high, operation)
