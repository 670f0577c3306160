"""The node's memory: SQLAlchemy tables, their migrations, and transactions that either hold or name why not."""

from lingqu.node.store.store import Store

__all__ = ["Store"]
