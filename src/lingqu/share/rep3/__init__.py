"""Three-party replicated secret sharing, semi-honest with an honest majority."""

from lingqu.share.rep3.declaration import DECLARATION
from lingqu.share.rep3.machine import Rep3, connect

__all__ = ["DECLARATION", "Rep3", "connect"]
