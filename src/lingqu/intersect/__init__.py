"""Intersections of two or more organisations' tables: programs of kind "intersect"."""

from lingqu.intersect.frontend import FRONTEND, IntersectFrontend
from lingqu.intersect.spec import IntersectSpec, TableSpec

__all__ = ["FRONTEND", "IntersectFrontend", "IntersectSpec", "TableSpec"]
