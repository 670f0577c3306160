"""Ranges of what a computation on shares may hold, found before anything is shared."""

from lingqu.share.ranges.machine import Ranges

__all__ = ["Ranges"]
