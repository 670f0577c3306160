"""Replicated secret sharing among three parties, secure with abort against one party that deviates."""

from lingqu.share.rep3.malicious.declaration import DECLARATION
from lingqu.share.rep3.malicious.machine import MaliciousRep3, connect
from lingqu.share.rep3.malicious.outside import DOORWAY

__all__ = ["DECLARATION", "DOORWAY", "MaliciousRep3", "connect"]
