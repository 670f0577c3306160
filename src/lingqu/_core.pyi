"""Hot kernels in Rust. Arrays are one-dimensional and contiguous; every kernel releases the interpreter lock."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_Words = NDArray[np.uint64]
_Indices = NDArray[np.uint32]
_Pair = tuple[_Words, _Words]

class Prg:
    """AES-128-CTR under one key; both holders of the key draw the same words in the same order."""

    def __init__(self, key: bytes) -> None: ...
    def words(self, n: int) -> _Words:
        """The next n words of the stream."""

    def permutation(self, n: int) -> _Indices:
        """A uniform permutation of 0 .. n-1, n < 2**32."""

def multiply_shares(x: _Pair, y: _Pair, mine: Prg, next: Prg) -> _Words:
    """This party's additive component of x * y (Araki et al. 2016), masked by a share of zero."""

def and_shares(x: _Pair, y: _Pair, mine: Prg, next: Prg) -> _Words:
    """This party's XOR component of x & y, masked by a share of zero."""

def and_rows(
    x: tuple[Sequence[_Words], Sequence[_Words]], length: int, rows: tuple[list[int], list[int]], mine: Prg, next: Prg
) -> _Words:
    """As and_shares on rows of `length` words: row r is the conjunction of rows rows[0][r] and rows[1][r] of x.

    x: both components of matrices; their rows are counted through all matrices.
    """

def xor_rows(out: _Words, x: Sequence[_Words], length: int, rows: list[int]) -> None:
    """XOR row rows[r] of the matrices x into row r of out, in place."""

def and_known(x: _Words, y: _Words, adds: bool, mine: Prg, next: Prg) -> _Words:
    """This party's XOR component of a product to which it adds x & y, or nothing, masked by a share of zero."""

def truncate_lead(a: _Words, bits: int, mine: Prg, next: Prg) -> tuple[_Words, _Words, _Words]:
    """Party 0 of an exact truncation of a + b: components x_0 and x_1, and the message to party 1."""

def truncate_helper(message: _Words, b: _Words, bits: int, mine: Prg) -> tuple[_Words, _Words]:
    """Party 1: component x_1, and its summand, `bits` wide, for party 2."""

def truncate_other(b: _Words, bits: int, next: Prg) -> tuple[_Words, _Words]:
    """Party 2: component x_0, and its summand, `bits` wide, for party 1."""

def truncate_joint(b: _Words, part: _Words, theirs: _Words, bits: int) -> _Words:
    """Parties 1 and 2: component x_2, from b, the own summand and the peer's packed one."""

def matmul_shares(x: _Pair, y: _Pair, sizes: tuple[int, int, int], turned: bool, mine: Prg, next: Prg) -> _Words:
    """This party's additive component of x @ y for sizes (rows, inner, columns), masked by a share of zero.

    turned: x comes by columns.
    """

def matmul(x: _Words, y: _Words, sizes: tuple[int, int, int], turned: bool) -> _Words:
    """x @ y modulo 2**64 for sizes (rows, inner, columns).  turned: x comes by columns."""

def pack(words: _Words, width: int) -> _Words:
    """The low `width` bits of every word, densely."""

def unpack(packed: _Words, n: int, width: int) -> _Words:
    """The inverse of pack for n words; ValueError when the length differs."""

def to_planes(words: _Words, planes: int) -> _Words:
    """Bit matrix turned: row p of ceil(n/64) words holds bit p of all words."""

def from_planes(planes: _Words, n: int) -> _Words:
    """The inverse of to_planes for n words."""

def gather(table: _Words, origin: _Indices, columns: int) -> _Words:
    """Row i of the result is row origin[i] of the table."""

def scatter(table: _Words, to: _Indices, columns: int) -> _Words:
    """Row i of the table becomes row to[i] of the result."""

def as_permutation(words: _Words) -> _Indices:
    """Words checked to be a permutation of 0 .. n-1; ValueError when they are none."""
