"""A party's own tables: reading them, publishing what identifies nobody, scanning them for a plan."""

from lingqu.catalog.profiles import CATEGORIES_MOST, CATEGORY_FLOOR, describe
from lingqu.catalog.scans import Projection, Registered, scan
from lingqu.catalog.sources import CsvFile, ParquetFile, PostgresTable, Source, open_source
from lingqu.catalog.streams import count, stream
from lingqu.catalog.tables import check_key, fingerprint, read
from lingqu.kinds.errors import TableChanged

__all__ = [
    "CATEGORIES_MOST",
    "CATEGORY_FLOOR",
    "CsvFile",
    "ParquetFile",
    "PostgresTable",
    "Projection",
    "Registered",
    "Source",
    "TableChanged",
    "check_key",
    "count",
    "describe",
    "fingerprint",
    "open_source",
    "read",
    "scan",
    "stream",
]
