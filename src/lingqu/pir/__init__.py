"""Private lookup (匿踪查询): a client reads values of keys, the table's owner never learns the keys."""

from lingqu.pir.client import Answers, Client, connect
from lingqu.pir.declaration import DECLARATION
from lingqu.pir.hint import Hint
from lingqu.pir.layout import LARGEST_VALUE, Layout, choose_layout
from lingqu.pir.records import Records, key, records
from lingqu.pir.serving import Serving, serve
from lingqu.pir.table import Table
from lingqu.pir.terms import Terms

__all__ = [
    "DECLARATION",
    "LARGEST_VALUE",
    "Answers",
    "Client",
    "Hint",
    "Layout",
    "Records",
    "Serving",
    "Table",
    "Terms",
    "choose_layout",
    "connect",
    "key",
    "records",
    "serve",
]
