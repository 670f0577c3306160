"""Checks of public arguments that every Machine makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.errors import BadInput
from lingqu.share.api import FRACTION_BITS, C, Column, Public, Shape, SharedBits, Words, ring

MOST_BESIDE = 64
"""Words that may meet one and still be counted together."""


def owned(values: NDArray[Any] | None, shape: Shape) -> NDArray[Any]:
    """An owner's values, which must be there and of the agreed shape."""
    if values is None:
        raise BadInput("The owner gave no values to share.", "Pass the values at the machine that owns them.")
    array = np.asarray(values)
    if array.shape != shape:
        raise BadInput(f"The values have shape {array.shape}, not {shape}.", "Agree on the shape beforehand.")
    return array


def common_shape(x: Column, y: Column) -> Shape:
    """The shape to which two operands are broadcast."""
    return x.shape if x.shape == y.shape else np.broadcast_shapes(x.shape, y.shape)


def words(values: Public, width: int) -> Words:
    """Words that fit their width; BadInput otherwise."""
    array = ring(values)
    if not 1 <= width <= 64 or bool(np.any(array >> np.uint64(width - 1) > 1)):
        raise BadInput(f"A word has more than {width} bits.", "Give the right width, or split the key into words.")
    return array


def position(x: SharedBits, position: int) -> int:
    """A bit's position within a word."""
    if not 0 <= position < x.width:
        raise BadInput(f"A word of {x.width} bits has no bit {position}.", "Count bits from 0, the lowest.")
    return position


def single(x: SharedBits) -> SharedBits:
    """A single bit."""
    if x.width != 1:
        raise BadInput(f"This takes single bits, not words of {x.width}.", "Take one bit of the word.")
    return x


def two_of(asker: int, keeper: int, parties: int) -> None:
    """Two parties that compute."""
    if not (0 <= asker < parties and 0 <= keeper < parties):
        raise BadInput(f"Not both of {asker} and {keeper} compute here.", "Share the tables, and join them by sorting.")


def shift(bits: int) -> int:
    """A truncation's number of bits."""
    if not 1 <= bits <= 62:
        raise BadInput(f"A truncation takes off 1 to 62 bits, not {bits}.", "Choose another scale.")
    return bits


def compare(bits: int) -> int:
    """A comparison's number of bits."""
    if not 2 <= bits <= 64:
        raise BadInput(f"A comparison takes 2 to 64 bits, not {bits}.", "Choose the width of the difference.")
    return bits


def window(bits: int, low: int) -> int:
    """How many bits stand from place `low` up to place `bits`."""
    if not 0 <= low < compare(bits):
        raise BadInput(f"Bits from place {low} to {bits} are none.", "Give a lower place below the upper one.")
    return bits - low


def weights(bits: SharedBits, given: NDArray[np.int64]) -> NDArray[np.int64]:
    """Public weights of single bits over the first axis, one row a sum."""
    single(bits)
    if bits.ndim == 0 or given.ndim != 2 or given.shape[1] != len(bits):
        raise BadInput("Weights have a row a sum and a column a bit.", "Stack the bits over the first axis.")
    return given


def fraction(bits: int) -> int:
    """A reciprocal's number of fractional bits."""
    if not FRACTION_BITS <= bits <= 50:
        raise BadInput(f"A reciprocal has {FRACTION_BITS} to 50 fractional bits, not {bits}.", "Choose another scale.")
    return bits


def same_width(arrays: Sequence[C]) -> Sequence[C]:
    """Words of one width (and anything that is no word)."""
    if not arrays or len({a.width for a in arrays if isinstance(a, SharedBits)}) > 1:
        raise BadInput("The words differ in width.", "Bring them to one width first.")
    return arrays


def beside(x: Shape, y: Shape) -> int:
    """How many words of one operand meet each of the other, over the first axis alone; 1 where they meet otherwise."""
    for few, many in ((x, y), (y, x)):
        if len(many) > 1 and few in ((1, *many[1:]), many[1:]) and 1 < many[0] <= MOST_BESIDE:
            return many[0]
    return 1


def row_count(columns: Sequence[Column]) -> int:
    """Rows of columns of one length, at least one column."""
    if not columns or any(column.ndim == 0 or len(column) != len(columns[0]) for column in columns):
        raise BadInput("The columns differ in length.", "Give every column one value a row.")
    return len(columns[0])


def same_rows(columns: Sequence[Column], rows: int) -> None:
    """Columns of a given length."""
    if row_count(columns) != rows:
        raise BadInput(f"The columns have {row_count(columns)} rows, not {rows}.", "Give every column one value a row.")


def same_shapes(pairs: Sequence[tuple[SharedBits, SharedBits]]) -> None:
    """Pairs of words of one shape, at least one pair."""
    if len({word.shape for pair in pairs for word in pair}) != 1:
        raise BadInput("The words to compare differ in shape.", "Give pairs of one shape.")


def matrix_sizes(x: Shape, y: Shape) -> tuple[int, int, int]:
    """(rows, inner, columns) of a product of two matrices."""
    if len(x) != 2 or len(y) != 2 or x[1] != y[0]:
        raise BadInput(f"Matrices of shapes {x} and {y} have no product.", "Give (m, k) and (k, n).")
    return x[0], x[1], y[1]


def stack_sizes(x: Shape, y: Shape) -> tuple[Shape, tuple[int, int, int]]:
    """(leading axes broadcast, (rows, inner, columns)) of a product of stacks of matrices, as numpy's matmul."""
    if len(x) < 2 or len(y) < 2:
        raise BadInput(f"Arrays of shapes {x} and {y} are no matrices.", "Give at least two axes each.")
    sizes = matrix_sizes(x[-2:], y[-2:])
    try:
        return np.broadcast_shapes(x[:-2], y[:-2]), sizes
    except ValueError:
        raise BadInput(f"Stacks of shapes {x} and {y} have no product.", "Give leading axes that broadcast.") from None
