"""Secret sharing: one Machine interface, functions and relations over it, the ideal twin `plain`, `rep3` for three."""

from lingqu.share.api import FRACTION_BITS, Machine, Permutation, Shared, SharedBits
from lingqu.share.curves import erf, gelu, sigmoid, tanh
from lingqu.share.functions import exp, inverse_sqrt, log, power, softmax, sqrt
from lingqu.share.integers import absolute, divide_whole, maximum, minimum, round_shift, sign
from lingqu.share.ordering import (
    SortKey,
    argmax,
    argmin,
    count_distinct,
    maximum_along,
    median,
    minimum_along,
    prefix_sums,
    quantile,
    sort_by,
    top_k,
)
from lingqu.share.relation import Aggregate, Relation, filter_rows, group, join

__all__ = [
    "FRACTION_BITS",
    "Aggregate",
    "Machine",
    "Permutation",
    "Relation",
    "Shared",
    "SharedBits",
    "SortKey",
    "absolute",
    "argmax",
    "argmin",
    "count_distinct",
    "divide_whole",
    "erf",
    "exp",
    "filter_rows",
    "gelu",
    "group",
    "inverse_sqrt",
    "join",
    "log",
    "maximum",
    "maximum_along",
    "median",
    "minimum",
    "minimum_along",
    "power",
    "prefix_sums",
    "quantile",
    "round_shift",
    "sigmoid",
    "sign",
    "softmax",
    "sort_by",
    "sqrt",
    "tanh",
    "top_k",
]
