"""Secret sharing: one Machine interface, the ideal twin `plain`, and `rep3` for three parties."""

from lingqu.share.api import FRACTION_BITS, Machine, Permutation, Shared, SharedBits
from lingqu.share.relation import Aggregate, Relation, filter_rows, group, join

__all__ = [
    "FRACTION_BITS",
    "Aggregate",
    "Machine",
    "Permutation",
    "Relation",
    "Shared",
    "SharedBits",
    "filter_rows",
    "group",
    "join",
]
