"""Hot kernels in Rust. Arrays are one-dimensional and contiguous; every kernel releases the interpreter lock."""

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
