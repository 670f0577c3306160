"""Secret sharing: one Machine interface, functions and relations over it, the ideal twin `plain`, `rep3` for three."""

from lingqu.share import wide
from lingqu.share.alignment import Aligned, Rows, Side, align
from lingqu.share.api import FRACTION_BITS, Machine, Permutation, Shared, SharedBits
from lingqu.share.curves import erf, gelu, sigmoid, tanh
from lingqu.share.division import (
    bitwise,
    bitwise_not,
    divide_exact,
    divide_or_null,
    shift_left,
    shift_right,
    whole_power,
)
from lingqu.share.functions import exp, inverse_sqrt, log, power, softmax, sqrt
from lingqu.share.groups import Aggregate, distinct_marks, distinct_rows, group, quantile_parts, quantile_unit
from lingqu.share.integers import absolute, divide_whole, maximum, minimum, round_shift, sign
from lingqu.share.joins import join
from lingqu.share.matches import Joined, join_rows
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
from lingqu.share.relation import Relation, compact, filter_rows

__all__ = [
    "FRACTION_BITS",
    "Aggregate",
    "Aligned",
    "Joined",
    "Machine",
    "Permutation",
    "Relation",
    "Rows",
    "Shared",
    "SharedBits",
    "Side",
    "SortKey",
    "absolute",
    "align",
    "argmax",
    "argmin",
    "bitwise",
    "bitwise_not",
    "compact",
    "count_distinct",
    "distinct_marks",
    "distinct_rows",
    "divide_exact",
    "divide_or_null",
    "divide_whole",
    "erf",
    "exp",
    "filter_rows",
    "gelu",
    "group",
    "inverse_sqrt",
    "join",
    "join_rows",
    "log",
    "maximum",
    "maximum_along",
    "median",
    "minimum",
    "minimum_along",
    "power",
    "prefix_sums",
    "quantile",
    "quantile_parts",
    "quantile_unit",
    "round_shift",
    "shift_left",
    "shift_right",
    "sigmoid",
    "sign",
    "softmax",
    "sort_by",
    "sqrt",
    "tanh",
    "top_k",
    "whole_power",
    "wide",
]
