"""Secret sharing between two parties alone, semi-honest, without a dealer or a third party."""

from lingqu.share.two.declaration import DECLARATION
from lingqu.share.two.machine import Two, connect
from lingqu.share.two.outside import DOORWAY
from lingqu.share.two.store import Store
from lingqu.share.two.supplies import SUPPLIER, connect_prepared, prepare

__all__ = ["DECLARATION", "DOORWAY", "SUPPLIER", "Store", "Two", "connect", "connect_prepared", "prepare"]
