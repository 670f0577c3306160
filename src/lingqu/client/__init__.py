"""Lingqu from Python: `lingqu.connect()` and what it gives."""

from lingqu.client.answers import Explanation, Result
from lingqu.client.client import Agreement, Catalog, Client, Query, Tables, connect

__all__ = ["Agreement", "Catalog", "Client", "Explanation", "Query", "Result", "Tables", "connect"]
