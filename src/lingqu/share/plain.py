"""The ideal twin: every operation of a Machine in the clear, with its preconditions checked. For tests only."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput, RangeError
from lingqu.kinds.mechanism import Adversary, Cost, Declaration, Operation, Threat
from lingqu.share import bitplanes, checks
from lingqu.share.api import (
    FRACTION_BITS,
    INTEGER_LIMIT,
    REAL_LIMIT,
    C,
    Column,
    Integers,
    Permutation,
    Public,
    Reals,
    Shape,
    Shared,
    SharedBits,
    Words,
    decode,
    encode,
    ring,
)
from lingqu.share.lookups import Found, Kept, Lookup, asked_keys, kept_rows


def _signed(x: Shared) -> NDArray[np.int64]:
    return x.parts[0].view(np.int64)


def _word(x: SharedBits) -> Words:
    return x.parts[0]


def _share(values: NDArray[Any]) -> Shared:
    return Shared((ring(values),))


def _bits(words: NDArray[Any], width: int) -> SharedBits:
    return SharedBits((np.asarray(words, dtype=np.uint64),), width)


def _mask(width: int) -> np.uint64:
    return np.uint64((1 << width) - 1)


def _bounded(values: NDArray[np.int64], limit: int, operation: str) -> NDArray[np.int64]:
    if bool(np.any((values >= limit) | (values <= -limit))):
        raise RangeError(
            f"An operand of {operation} reaches 2^{limit.bit_length() - 1}.", "Scale the values down before it."
        )
    return values


def _product_bounded(x: NDArray[np.float64], limit: int) -> None:
    if bool(np.any(np.abs(x) >= float(limit))):
        raise RangeError("A fixed-point product leaves the range below 2^62.", "Scale the values down before it.")


class Plain:
    """A Machine that holds everything in the clear: all parties in one. Nodes refuse it."""

    steers = False

    def __init__(self, parties: int = 3) -> None:
        self._parties = parties

    @property
    def party(self) -> int:
        """Always 0."""
        return 0

    @property
    def parties(self) -> int:
        """As many as the protocol it stands for has."""
        return self._parties

    def owns(self, owner: int) -> bool:
        """It stands for every party."""
        return 0 <= owner < self._parties

    def input(self, owner: int, values: Integers | None, shape: Shape) -> Shared:
        """As Machine.input."""
        return _share(checks.owned(values, shape))

    def input_bits(self, owner: int, words: Integers | None, shape: Shape, width: int) -> SharedBits:
        """As Machine.input_bits."""
        return self.constant_bits(checks.owned(words, shape), width)

    def input_real(self, owner: int, values: NDArray[Any] | None, shape: Shape) -> Shared:
        """As Machine.input_real."""
        return Shared((encode(checks.owned(values, shape)),))

    def constant(self, values: Public) -> Shared:
        """As Machine.constant."""
        return Shared((ring(values),))

    def constant_bits(self, words: Public, width: int) -> SharedBits:
        """As Machine.constant_bits."""
        return SharedBits((checks.words(words, width),), width)

    def constant_real(self, values: NDArray[Any] | float) -> Shared:
        """As Machine.constant_real."""
        return Shared((encode(np.asarray(values)),))

    def reveal(self, x: Shared, to: int | None = None) -> NDArray[np.int64] | None:
        """As Machine.reveal."""
        return _signed(x).copy()

    def reveal_bits(self, x: SharedBits, to: int | None = None) -> Words | None:
        """As Machine.reveal_bits."""
        return _word(x).copy()

    def reveal_real(self, x: Shared, to: int | None = None) -> Reals | None:
        """As Machine.reveal_real."""
        return decode(x.parts[0])

    def _other(self, y: Shared | Public) -> Words:
        return y.parts[0] if isinstance(y, Shared) else ring(y)

    def add(self, x: Shared, y: Shared | Public) -> Shared:
        """As Machine.add."""
        return _share(np.add(x.parts[0], self._other(y)))

    def subtract(self, x: Shared, y: Shared | Public) -> Shared:
        """As Machine.subtract."""
        return _share(np.subtract(x.parts[0], self._other(y)))

    def negate(self, x: Shared) -> Shared:
        """As Machine.negate."""
        return _share(np.negative(x.parts[0]))

    def scale(self, x: Shared, factor: Public) -> Shared:
        """As Machine.scale."""
        return _share(np.multiply(x.parts[0], ring(factor)))

    def sum(self, x: Shared, axis: int | None = None) -> Shared:
        """As Machine.sum."""
        return _share(np.asarray(x.parts[0].sum(axis=axis, dtype=np.uint64)))

    def cumsum(self, x: Shared, axis: int = 0) -> Shared:
        """As Machine.cumsum."""
        return _share(np.cumsum(x.parts[0], axis=axis, dtype=np.uint64))

    def concat(self, arrays: Sequence[C], axis: int = 0) -> C:
        """As Machine.concat."""
        return arrays[0].like((np.concatenate([a.parts[0] for a in checks.same_width(arrays)], axis=axis),))

    def stack(self, arrays: Sequence[C], axis: int = 0) -> C:
        """As Machine.stack."""
        return arrays[0].like((np.stack([a.parts[0] for a in checks.same_width(arrays)], axis=axis),))

    def matmul_public(self, x: Shared, y: Integers) -> Shared:
        """As Machine.matmul_public."""
        checks.stack_sizes(x.shape, y.shape)
        return _share(np.matmul(x.parts[0], ring(y)))

    def logical_xor(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_xor."""
        checks.same_width([x, y])
        return _bits(_word(x) ^ _word(y), x.width)

    def logical_not(self, x: SharedBits) -> SharedBits:
        """As Machine.logical_not."""
        return _bits(_word(x) ^ _mask(x.width), x.width)

    def parity(self, x: Shared) -> SharedBits:
        """As Machine.parity."""
        return _bits(x.parts[0] & np.uint64(1), 1)

    def bit(self, x: SharedBits, position: int) -> SharedBits:
        """As Machine.bit."""
        return _bits((_word(x) >> np.uint64(checks.position(x, position))) & np.uint64(1), 1)

    def planes(self, x: SharedBits) -> SharedBits:
        """As Machine.planes."""
        return SharedBits(bitplanes.planes(x.parts, x.width), 64)

    def from_planes(self, x: SharedBits, shape: Shape) -> SharedBits:
        """As Machine.from_planes."""
        return SharedBits(bitplanes.single_bits(x.parts, shape), 1)

    def multiply(self, x: Shared, y: Shared) -> Shared:
        """As Machine.multiply."""
        return _share(np.multiply(x.parts[0], y.parts[0]))

    def multiply_real(self, x: Shared, y: Shared) -> Shared:
        """As Machine.multiply_real; RangeError when a product leaves the range."""
        _product_bounded(_signed(x).astype(np.float64) * _signed(y).astype(np.float64), INTEGER_LIMIT)
        return self.truncate(self.multiply(x, y), FRACTION_BITS)

    def scale_real(self, x: Shared, factor: NDArray[Any] | float) -> Shared:
        """As Machine.scale_real."""
        return self.multiply_real(x, self.constant_real(factor))

    def matmul(self, x: Shared, y: Shared) -> Shared:
        """As Machine.matmul."""
        checks.stack_sizes(x.shape, y.shape)
        return _share(np.matmul(x.parts[0], y.parts[0]))

    def matmul_real(self, x: Shared, y: Shared) -> Shared:
        """As Machine.matmul_real; RangeError when an entry leaves the range."""
        _product_bounded(_signed(x).astype(np.float64) @ _signed(y).astype(np.float64), INTEGER_LIMIT)
        return self.truncate(self.matmul(x, y), FRACTION_BITS)

    def truncate(self, x: Shared, bits: int) -> Shared:
        """As Machine.truncate, exact; RangeError when a value reaches 2**62."""
        checks.shift(bits)
        return _share(_bounded(_signed(x), INTEGER_LIMIT, "truncate") >> np.int64(bits))

    def reciprocal(self, x: Shared, fraction_bits: int = FRACTION_BITS) -> Shared:
        """As Machine.reciprocal, rounded; RangeError outside [1, 2**30]."""
        checks.fraction(fraction_bits)
        value = self._divisor(x)
        return _share(np.rint(2.0**fraction_bits / value).astype(np.int64))

    def _divisor(self, x: Shared) -> Reals:
        value = decode(x.parts[0])
        if bool(np.any((value < 1) | (value > 1 << 30))):
            raise RangeError("A divisor is outside [1, 2^30].", "Scale it into that range first.")
        return value

    def require(self, x: Shared, low: int, high: int, operation: str) -> None:
        """As Checking.require, which functions over a Machine call."""
        if bool(np.any((_signed(x) < low) | (_signed(x) > high))):
            raise RangeError(f"An operand of {operation} is outside its domain.", "Bring it into the domain first.")

    def divide(self, x: Shared, y: Shared) -> Shared:
        """As Machine.divide, rounded; RangeError outside the domain."""
        _bounded(_signed(x), REAL_LIMIT << (FRACTION_BITS - 2), "divide")
        return _share(np.rint(_signed(x).astype(np.float64) / self._divisor(y)).astype(np.int64))

    def sigmoid(self, x: Shared) -> Shared:
        """As Machine.sigmoid, rounded; RangeError when a value reaches 2**40."""
        _bounded(_signed(x), REAL_LIMIT << (FRACTION_BITS - 1), "sigmoid")
        return Shared((encode(1 / (1 + np.exp(-np.clip(decode(x.parts[0]), -700, 700)))),))

    def less_than(self, x: Shared, y: Shared | Public, bits: int = 64) -> SharedBits:
        """As Machine.less_than; RangeError when an operand or the difference is too large."""
        checks.compare(bits)
        left = _bounded(_signed(x), INTEGER_LIMIT, "less_than")
        right = _bounded(np.asarray(self._other(y)).view(np.int64), INTEGER_LIMIT, "less_than")
        _bounded(left - right, 1 << (bits - 1), "less_than")
        return _bits(np.less(left, right), 1)

    def equal(self, x: Shared, y: Shared | Public) -> SharedBits:
        """As Machine.equal."""
        return _bits(np.equal(x.parts[0], self._other(y)), 1)

    def equal_words(self, pairs: Sequence[tuple[SharedBits, SharedBits]]) -> SharedBits:
        """As Machine.equal_words."""
        checks.same_shapes(pairs)
        result = np.ones(pairs[0][0].shape, dtype=bool)
        for x, y in pairs:
            checks.same_width([x, y])
            result &= _word(x) == _word(y)
        return _bits(result, 1)

    def logical_and(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_and."""
        checks.same_width([x, y])
        return _bits(_word(x) & _word(y), x.width)

    def logical_or(self, x: SharedBits, y: SharedBits) -> SharedBits:
        """As Machine.logical_or."""
        checks.same_width([x, y])
        return _bits(_word(x) | _word(y), x.width)

    def select(self, bit: SharedBits | Shared, x: Shared, y: Shared) -> Shared:
        """As Machine.select."""
        chosen = self._flag(bit.parts[0])
        return _share(np.where(chosen, x.parts[0], y.parts[0]))

    def _flag(self, words: Words) -> NDArray[np.bool_]:
        if bool(np.any(words > 1)):
            raise RangeError("A selector is neither 0 nor 1.", "Select by a bit.")
        return words.astype(bool)

    def to_bits(self, x: Shared, bits: int = 64, low: int = 0) -> SharedBits:
        """As Machine.to_bits."""
        width = checks.window(bits, low)
        return _bits((x.parts[0] >> np.uint64(low)) & _mask(width), width)

    def to_shared(self, x: SharedBits) -> Shared:
        """As Machine.to_shared."""
        return _share(_word(x))

    def inject(self, x: SharedBits) -> Shared:
        """As Machine.inject."""
        checks.single(x)
        return _share(_word(x))

    def weigh(self, bits: SharedBits, weights: NDArray[np.int64]) -> Shared:
        """As Machine.weigh."""
        return _share(np.tensordot(ring(checks.weights(bits, weights)), _word(bits), 1))

    def shuffle(self, columns: Iterable[Column]) -> list[Column]:
        """As Machine.shuffle."""
        every = list(columns)
        count = checks.row_count(every)
        order = np.asarray(secrets.SystemRandom().sample(range(count), count), dtype=np.int64)
        return [column[order] for column in every]

    def sort(self, keys: Iterable[SharedBits]) -> Permutation:
        """As Machine.sort."""
        every = list(keys)
        checks.row_count(every)
        order = np.lexsort([_word(key) for key in reversed(every)])
        destinations = np.empty_like(order)
        destinations[order] = np.arange(len(order))
        return Permutation(_share(destinations))

    def apply(self, permutation: Permutation, columns: Iterable[Column]) -> list[Column]:
        """As Machine.apply."""
        every = list(columns)
        checks.same_rows(every, permutation.rows)
        source = np.argsort(_signed(permutation.destinations))
        return [column[source] for column in every]

    def unapply(self, permutation: Permutation, columns: Iterable[Column]) -> list[Column]:
        """As Machine.unapply."""
        every = list(columns)
        checks.same_rows(every, permutation.rows)
        return [column[_signed(permutation.destinations)] for column in every]

    def permutation(self, destinations: Shared) -> Permutation:
        """As Machine.permutation; BadInput when it is none."""
        if not np.array_equal(np.sort(_signed(destinations)), np.arange(len(destinations))):
            raise BadInput("These destinations are no permutation.", "Pass each of 0 to n-1 once.")
        return Permutation(destinations)

    def slots(self, asked: int) -> int:
        """As Machine.slots."""
        return asked

    def look_up(self, sizes: Lookup, asked: Words | None, kept: Kept | None) -> Found:
        """As Machine.look_up."""
        checks.two_of(sizes.asker, sizes.keeper, self._parties)
        wanted, (keys, rows) = asked_keys(sizes, asked), kept_rows(sizes, kept)
        known = {key.tobytes(): row for row, key in enumerate(keys.reshape(-1, 2))}
        places = np.asarray([known.get(key.tobytes(), sizes.kept) for key in wanted.reshape(-1, 2)], np.int64)
        planes = np.concatenate([rows, np.zeros((len(rows), 1), np.uint64)], axis=1)[:, places.reshape(-1)]
        table, dense = planes[: sizes.columns].T, planes[sizes.columns :].T
        found = _bits(dense, sizes.dense_width) if sizes.dense else None
        met = _share((places.reshape(-1) < sizes.kept).astype(np.int64))
        return Found(met, _share(table), found, np.arange(sizes.asked))


def _free(name: str) -> Operation:
    return Operation(name, lambda sizes: Cost(), "ideal functionality")


DECLARATION = Declaration(
    name="share.plain",
    title="Computation in the clear, the ideal twin of secret sharing",
    source="ideal functionality",
    threat=Threat(Adversary.SEMI_HONEST, 1, 0, "no protection at all: for tests only"),
    operations={
        name: _free(name)
        for name in (
            "input",
            "input_bits",
            "reveal",
            "reveal_bits",
            "multiply",
            "multiply_real",
            "matmul",
            "matmul_real",
            "truncate",
            "reciprocal",
            "divide",
            "sigmoid",
            "less_than",
            "equal",
            "equal_words",
            "logical_and",
            "select",
            "to_bits",
            "to_shared",
            "inject",
            "weigh",
            "shuffle",
            "sort",
            "apply",
            "unapply",
            "filter",
            "join",
            "group",
            "round_shift",
            "absolute",
            "sign",
            "minimum",
            "maximum",
            "divide_whole",
            "tanh",
            "erf",
            "gelu",
            "exp",
            "log",
            "sqrt",
            "inverse_sqrt",
            "power",
            "softmax",
            "minimum_along",
            "maximum_along",
            "argmin",
            "argmax",
            "sort_columns",
            "sort_by",
            "top_k",
            "quantile",
            "count_distinct",
            "join_rows",
            "align",
            "compact",
            "distinct_marks",
            "quantile_parts",
            "scatter_digits",
            "square_limbs",
            "bitwise_xor",
            "top_rows",
            "value_limbs",
            "divide_exact",
            "divide_or_null",
            "whole_power",
            "bitwise",
            "shift_right",
            "widen",
            "wide_limbs",
            "wide_multiply",
            "wide_digits",
            "wide_less_than",
            "wide_equal",
            "scatter",
            "matmul_stack",
            "convolve",
            "norm",
            "divide_signed",
        )
    },
    ideal=True,
    aligned_rows=lambda asked: asked,
)
