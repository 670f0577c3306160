"""Private lookups in another organisation's table: programs of kind "lookup"."""

from lingqu.lookup.frontend import FRONTEND, LookupFrontend
from lingqu.lookup.runner import run
from lingqu.lookup.spec import LookupSpec

__all__ = ["FRONTEND", "LookupFrontend", "LookupSpec", "run"]
