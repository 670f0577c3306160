"""Three-party replicated secret sharing, semi-honest with an honest majority."""

from lingqu.share.rep3.declaration import DECLARATION
from lingqu.share.rep3.machine import Rep3, connect
from lingqu.share.rep3.outside import DOORWAY

__all__ = ["DECLARATION", "DOORWAY", "Rep3", "connect"]
