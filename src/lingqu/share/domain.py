"""Domains and images of functions over a Machine.

A machine that sees values, or ranges of them, checks that they are in a function's domain; the others rely on that.
What a function is made of (bits, scales, polynomials) says little of its result to a machine of ranges, which takes the
image that the function declares.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lingqu.share.api import Machine, Shared

F = TypeVar("F", bound=Callable[..., Any])
Ends = tuple[NDArray[np.int64], NDArray[np.int64]]


@runtime_checkable
class Checking(Protocol):
    """A machine that can tell whether values are inside a domain: the ideal twin, or one of ranges."""

    def require(self, x: Shared, low: int, high: int, operation: str) -> None:
        """RangeError when an integer is, or may be, outside [low, high]."""


@runtime_checkable
class Bounding(Checking, Protocol):
    """A machine of ranges: its handles hold the least and the greatest integer that each entry can be."""

    def ends(self, x: Shared) -> Ends:
        """The least and the greatest integers, int64."""

    def between(self, low: Any, high: Any) -> Shared:
        """A handle of integers in [low, high], broadcast."""

    def extreme(self, entries: Shared, found: Shared, greatest: bool) -> None:
        """Remember what is the greatest, or the least, over the first axis of entries."""

    def risen(self, x: Shared, found: Shared, function: Callable[[NDArray[np.int64]], NDArray[np.int64]]) -> None:
        """Remember that x became `found` by a function that does not fall, whose results are at least function(x)."""


def within(machine: Machine, x: Shared, low: int, high: int, operation: str) -> None:
    """Have x checked against [low, high] (integers, so fixed point scaled) where the machine can; free elsewhere."""
    if isinstance(machine, Checking):
        machine.require(x, low, high, operation)


def image(rule: Callable[..., Any], *domains: tuple[int, int]) -> Callable[[F], F]:
    """Declare what a function over a Machine does to ranges; a decorator.

    rule: takes the function's arguments with a machine of ranges, and gives its result as that machine's handles; what
    the function can return, by its own errors and by every protocol, lies in them.
    domains: least and greatest integers of the first operands, checked as by `within` before the function runs.
    """

    def declared(function: F) -> F:
        @wraps(function)
        def over(machine: Machine, *arguments: Any, **named: Any) -> Any:
            for operand, domain in zip(arguments, domains, strict=False):
                within(machine, operand, *domain, function.__name__)
            if isinstance(machine, Bounding):
                return rule(machine, *arguments, **named)
            return function(machine, *arguments, **named)

        return cast(F, over)

    return declared
