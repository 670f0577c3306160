"""Lingqu from Python: `lingqu.connect()` and what it gives."""

from lingqu.client.answers import Explanation, Result
from lingqu.client.asked import Agreement
from lingqu.client.client import Catalog, Client, Query, Tables, connect
from lingqu.client.intersections import Intersection
from lingqu.client.lookups import Lookup

__all__ = [
    "Agreement",
    "Catalog",
    "Client",
    "Explanation",
    "Intersection",
    "Lookup",
    "Query",
    "Result",
    "Tables",
    "connect",
]
