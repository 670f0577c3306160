"""Hot kernels in Rust. Arrays are one-dimensional and contiguous; every kernel releases the interpreter lock."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

_Words = NDArray[np.uint64]
_Indices = NDArray[np.uint32]
_Bytes = NDArray[np.uint8]
_Offsets = NDArray[np.int64]
_Pair = tuple[_Words, _Words]
_Reading = tuple[_Words, tuple[int, int] | None]
_Sides = Sequence[tuple[Sequence[_Reading], _Words | None, int]]

class Prg:
    """AES-128-CTR under one key; both holders of the key draw the same words in the same order."""

    def __init__(self, key: bytes) -> None: ...
    def words(self, n: int) -> _Words:
        """The next n words of the stream."""

    def mask(self, words: _Words, width: int, how: Literal["add", "subtract", "xor"]) -> None:
        """Combine the words, in place, with the next words of the stream, cut to a width."""

    def copy(self) -> Prg:
        """A generator that draws the same words as this one will."""

    def permutation(self, n: int) -> _Indices:
        """A uniform permutation of 0 .. n-1, n < 2**32."""

def multiply_shares(x: _Pair, y: _Pair, mine: Prg, next: Prg) -> _Words:
    """This party's additive component of x * y (Araki et al. 2016), masked by a share of zero."""

def and_shares(x: _Pair, y: _Pair, mine: Prg, next: Prg) -> _Words:
    """This party's XOR component of x & y, masked by a share of zero."""

def and_masked(x: _Pair, y: _Pair, mine: Prg, next: Prg) -> tuple[_Words, _Words, _Words]:
    """As and_shares; then what this party knows of the claims on it.

    As first verifier, but for the component that it is to receive, what was drawn under the next key; as second, what
    it drew under its own key, and x_0 & y_0.
    """

def multiply_masked(x: _Pair, y: _Pair, mine: Prg, next: Prg) -> tuple[_Words, _Words, _Words]:
    """As multiply_shares; then what was drawn under the own key, which is added, and under the next one."""

def dot_masked(left: Sequence[_Reading], right: Sequence[_Reading], drawn: _Words) -> _Words:
    """Sums of left * right less what was drawn, terms a vector of results after the other.

    A reading is words, and (number of a bit, value) where one bit of each is read, as 0 or the value.
    """

def choose_masked(
    x: tuple[Sequence[_Words], Sequence[_Words]],
    length: int,
    choices: Sequence[tuple[int, int, int]],
    unions: Sequence[tuple[int, int]],
    mine: Prg,
    next: Prg,
) -> tuple[_Pair, _Pair, tuple[_Words, _Words, _Words]]:
    """The factors of the conjunctions that choose_rows makes, and as and_masked, with what is linear in it."""

def carries(x: _Words, y: _Words, mask: _Words) -> _Words:
    """Bit i: the carry out of bit i of x + y; masked."""

def carry_part(x: _Words, c: _Words) -> _Pair:
    """For a summand x and a share c of the sum's carries: x with the carries into each bit added to it, and those
    carries; see Checked.carries."""

def carry_known(c: _Words) -> _Words:
    """The carries' share's own summand of the claim that they are the sum's: c ^ (c << 1)."""

def top_part(u: _Words, product: _Words, bits: int) -> _Words:
    """The top bits of u times 2**(64 - bits), less twice a share of the product with another's."""

def truncated_summand(x: _Words, carries: _Words, added: _Words, top: _Words, wrapped: _Words, bits: int) -> _Words:
    """A summand's component of a sum's quotient by 2**bits.

    x >> bits and what the share of the carries adds to it by itself, plus added, less top, plus wrapped.
    """

def truncated_known(b: _Words, one: _Words, two: _Words, bits: int, offset: int) -> _Words:
    """(b >> bits) less its top bit times 2**(64 - bits) and offset >> bits, plus one and two."""

def keep_memory() -> None:
    """Keep memory that is freed, in arrays of up to 32 MiB, for what is asked for next, until `release_memory`."""

def spare_memory(begin: bool) -> None:
    """Where memory is kept, let go of arrays of more than 3 MiB once they are freed; ended as often as it is begun."""

def release_memory() -> None:
    """Give memory that was freed back to the system; the C library keeps it otherwise."""

def pack_rows(rows: int, bits: int, numbered: bool, keys: Sequence[tuple[_Words, _Words | None, int]]) -> _Words:
    """Rows without gaps: `bits` bits of the row's number (of 0 unless `numbered`), then of each key its width.

    keys: (words, words that are XORed to them, width).
    """

def group_pairs(
    begins: _Indices, start: tuple[int, int, int], count: int
) -> tuple[tuple[_Indices, _Indices], tuple[int, int, int]]:
    """Up to `count` pairs of different places of one group (begins: of `group_places`), and where the next ones start.

    start: (0, 0, 1) for the first; ValueError where no pair starts.
    """

def gather_packed(table: _Words, origin: _Indices, width: int, behind: bool) -> _Words:
    """As `gather` on rows of `width` bits without gaps; behind: in the last words, as for `interleave_within`."""

def interleave_within(table: _Words, drawn: Prg, rows: int, width: int, own_first: bool) -> None:
    """As `interleave`, in place: one component lies in the table's last words, the next words of `drawn` are the other.

    table: twice a component's words and one more.
    """

def group_places(values: _Indices, groups: int) -> tuple[_Indices, _Indices]:
    """Where values 0 .. groups - 1 lie, in ascending order and equal ones as they come; where each value begins there.

    Behind these places stands the values' number.  ValueError for a value that is no group.
    """

def interleave(first: _Words | Prg, second: _Words | Prg, rows: int, width: int) -> _Words:
    """Both components of rows without gaps side by side in rows twice as wide, and a word of zeros.

    A component that is a generator is its next words.
    """

def pair_planes(table: _Words, bits: int, pairs: tuple[_Indices, _Indices]) -> _Pair:
    """Both components of planes of x ^ y, then planes of y, `bits` each, for pairs (x, y) of rows.

    table: keys of `bits` bits, as `interleave` gives them.
    """

def choose_pairs(
    table: _Words, bits: int, pairs: tuple[_Indices, _Indices], mine: Prg, next: Prg
) -> tuple[_Words, _Words, _Words]:
    """The first level of a comparison of the pairs, and both components of the highest bit where it is left over.

    With d the planes of x ^ y and v those of y: this party's component, masked by a share of zero, of rows
    v[1] if d[1] else v[0], v[3] if d[3] else v[2], ..., then d[3] | d[2], d[5] | d[4], ...  With an odd number of
    bits the highest plane of d and that of v besides.  table: as in `pair_planes`.
    """

def choose_rows(
    x: tuple[Sequence[_Words], Sequence[_Words]],
    length: int,
    choices: Sequence[tuple[int, int, int]],
    unions: Sequence[tuple[int, int]],
    mine: Prg,
    next: Prg,
) -> _Words:
    """This party's XOR component of rows of `length` words, masked by a share of zero: choices, then unions.

    x: both components of matrices; their rows are counted through all matrices.  choices: rows (by, upper, lower): the
    upper where `by` is 1, else the lower.  unions: pairs of rows.
    """

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

class CotSender:
    """The holder of delta in silent correlated transfers.  ValueError for a peer's bytes of another length or kind."""

    def __init__(self, seed: bytes, label: bytes) -> None:
        """seed: 32 fresh random bytes.  label: 32 bytes that name the session at both parties."""

    @property
    def delta(self) -> tuple[int, int]:
        """Two words, the low one first; the lowest bit is 1."""

    def base_message(self) -> bytes:
        """The message that crosses the receiver's."""

    def setup(self, sent: bytes, answer: bytes, key: bytes) -> bytes:
        """From the receiver's base message and its answer: the first correction.  key: 16 fresh random bytes."""

    def extend(self, trees: int, key: bytes) -> tuple[bytes, CotRows]:
        """One extension's message, and its rows q.  key: 16 fresh random bytes."""

class CotReceiver:
    """The holder of choice bits in silent correlated transfers.  ValueError for a peer's bytes of another kind."""

    def __init__(self, seed: bytes, label: bytes) -> None:
        """seed: 32 fresh random bytes.  label: 32 bytes that name the session at both parties."""

    def base_message(self) -> bytes:
        """The message that crosses the sender's."""

    def setup(self, points: bytes) -> bytes:
        """From the sender's base message: the answer."""

    def begin(self, message: bytes) -> None:
        """Take the sender's first correction."""

    def extend(self, trees: int, message: bytes) -> CotRows:
        """One extension's rows t = q ^ b * delta, b their lowest bit."""

class FewSender:
    """The holder of delta in transfers straight from the base transfers.  ValueError for bytes of another kind."""

    delta: tuple[int, int]

    def __init__(self, seed: bytes, label: bytes) -> None:
        """seed: 32 fresh random bytes.  label: 32 bytes that name the session at both parties."""

    def base_message(self) -> bytes:
        """The message that crosses the receiver's."""

    def rows(self, sent: bytes, answer: bytes, count: int, checked: bool) -> _Words:
        """From the receiver's messages: rows q.  checked: the answer proves that it is made by the protocol."""

class FewReceiver:
    """The other party of FewSender."""

    def __init__(self, seed: bytes, label: bytes) -> None:
        """seed: 32 fresh random bytes.  label: 32 bytes that name the session at both parties."""

    def base_message(self) -> bytes:
        """The message that crosses the sender's."""

    def rows(self, points: bytes, count: int, checked: bool) -> tuple[bytes, _Words]:
        """From the sender's base message: the answer, and rows t = q + b delta with b their lowest bit."""

def few_answer_bytes(count: int, checked: bool) -> int:
    """Bytes of FewReceiver's answer."""

class CotRows:
    """The correlations of one extension, computed when they are asked for; they do not change."""

    def __len__(self) -> int: ...
    def words(self, first: int, count: int) -> _Words:
        """Rows first .. first + count - 1, two words each."""

    def state(self) -> bytes:
        """All that the rows are computed from; as secret as they are."""

    @staticmethod
    def restore(state: bytes) -> CotRows:
        """The inverse of state; ValueError when it is none."""

def cot_sizes() -> tuple[int, int, int, int, int, int]:
    """Bytes of answer, first correction and extension by one tree; most trees, rows of a tree, rows held back."""

def ot_keys_send(rows: _Words, delta: tuple[int, int], log: int, tweak: int) -> _Words:
    """All 2**log keys, two words each, of every transfer of log rows.  tweak: the first transfer's."""

def ot_bytes_send(rows: _Words, delta: tuple[int, int], log: int, tweak: int) -> NDArray[np.uint8]:
    """The lowest byte of every key of ot_keys_send."""

def ot_keys_receive(rows: _Words, log: int, tweak: int) -> _Words:
    """The chosen key, two words, of every transfer of log rows."""

def ot_choices(rows: _Words, log: int) -> NDArray[np.uint8]:
    """The choice of every transfer: bit j from its row j."""

def vole_sizes(count: int) -> tuple[int, int]:
    """Correlated transfers, and bytes of the message, that `count` correlations over GF(2^128) take."""

def vole_send(rows: _Words, delta: tuple[int, int], count: int, code: bytes, key: bytes) -> tuple[bytes, _Words]:
    """The message of the holder of delta, and b.  rows: its transfers; code: public, fresh; key: secret, fresh."""

def vole_hold(rows: _Words, count: int, code: bytes) -> _Words:
    """a at the other party, from its transfers alone."""

def vole_receive(rows: _Words, count: int, code: bytes, message: bytes) -> _Words:
    """c = a delta + b at the other party; ValueError for a message of another length."""

def gf128_inner(seed: bytes, x: _Words) -> tuple[int, int]:
    """The sum of x, blocks of two words, times the random elements of GF(2^128) that 16 bytes give."""

def gf128_scale_add(factor: tuple[int, int], x: _Words, y: _Words) -> _Words:
    """factor x + y in GF(2^128), blocks of two words."""

class CurveKey:
    """One secret scalar of P-256 or SM2's curve; compressed points are 33 bytes each, one after the other."""

    def __init__(self, curve: str, uniform: bytes) -> None:
        """curve: p256 or sm2.  uniform: 64 random bytes.  ValueError for the scalar zero."""

    def map(self, tag: bytes, data: _Bytes, offsets: _Offsets) -> _Bytes:
        """Elements hashed to the curve (RFC 9380, SSWU with SHA-256, or SM3 on SM2's) times the scalar."""

    def multiply(self, points: _Bytes) -> _Bytes:
        """Points times the scalar; ValueError naming the first that is none."""

    def public(self) -> bytes:
        """What `CurveUnblinding` needs of it: the generator times the scalar."""

    def answer(self, points: _Bytes) -> _Bytes:
        """Blinded elements for `CurveUnblinding`: times the scalar; ValueError as of `multiply`."""

class CurveBlinding:
    """Hides elements' points of a curve, p256 or sm2, behind multiples of its generator."""

    def __init__(self, curve: str) -> None: ...
    def blind(self, tag: bytes, data: _Bytes, offsets: _Offsets, blinds: _Bytes) -> _Bytes:
        """H + r G of every element, hashed as by `CurveKey.map`; blinds: 48 random bytes an element, reduced to r."""

class CurveUnblinding:
    """Takes the blinds away from a key holder's answers."""

    def __init__(self, curve: str, public: bytes) -> None:
        """public: of the holder's `CurveKey`; ValueError when it is no compressed point of the curve."""

    def unblind(self, answers: _Bytes, blinds: _Bytes) -> _Bytes:
        """What `CurveKey.map` gives for the elements; ValueError naming the first answer that is no point."""

class GroupBlinding:
    """Hides elements' points of ristretto255 behind multiples of the generator."""

    def __init__(self) -> None: ...
    def blind(self, tag: bytes, data: _Bytes, offsets: _Offsets, blinds: _Bytes) -> _Bytes:
        """2 (H + r G) of every element, hashed as by `GroupKey.map`.

        blinds: 32 random bytes an element, of which the lower 252 bits v are read; r = 2 v + 1 - 2^252.
        """

class GroupUnblinding:
    """Takes the blinds away from a key holder's answers."""

    def __init__(self, public: bytes) -> None:
        """public: of the holder's `GroupKey`; ValueError when it is no canonical point or is the identity."""

    def unblind(self, answers: _Bytes, blinds: _Bytes) -> _Bytes:
        """What `GroupKey.map` gives for the elements.

        ValueError names the first answer that is no canonical point or is the identity.
        """

class GroupKey:
    """One secret scalar of ristretto255; encoded points are 32 bytes each, one after the other."""

    def __init__(self, uniform: bytes) -> None:
        """uniform: 64 random bytes; ValueError when the scalar is zero."""

    def map(self, tag: bytes, data: _Bytes, offsets: _Offsets) -> _Bytes:
        """Every element hashed to the group (RFC 9380, ristretto255_XMD:SHA-512_R255MAP_RO_) times the scalar.

        tag: the domain separation tag, 1 to 255 bytes.  Element i is data[offsets[i] : offsets[i + 1]].
        """

    def multiply(self, points: _Bytes) -> _Bytes:
        """Every point times the scalar; ValueError names the first that is no canonical point or is the identity."""

    def public(self) -> bytes:
        """What `GroupUnblinding` needs of it: half the scalar times the generator."""

    def answer(self, points: _Bytes) -> _Bytes:
        """Blinded elements for `GroupUnblinding`: a quarter of the scalar times each; ValueError as of `multiply`."""

def element_digests(salt: bytes, data: _Bytes, offsets: _Offsets) -> _Words:
    """The first 128 bits of SHA-256(salt || element), two words an element; salt: 32 bytes."""

def element_hashes(salt: bytes, data: _Bytes, offsets: _Offsets) -> tuple[_Words, _Words]:
    """Both halves of SHA-256(salt || element), two words an element each; salt: 32 bytes."""

def sorted_hashes(salt: bytes, data: _Bytes, offsets: _Offsets) -> tuple[_Words, _Words, NDArray[np.uint32]]:
    """As `element_hashes`, in an order in which stores are made and read faster, and which element each pair is of."""

def join_texts(columns: Sequence[tuple[_Bytes, _Offsets]]) -> tuple[_Bytes, _Offsets]:
    """Every row's texts, each behind its length in four bytes, as data and offsets; a column is data and offsets."""

def take_texts(data: _Bytes, offsets: _Offsets, rows: _Offsets) -> tuple[_Bytes, _Offsets]:
    """Data and offsets of some rows' texts, in the given order; ValueError when a row is none of them."""

def unique_texts(data: _Bytes, offsets: _Offsets) -> tuple[_Offsets, _Offsets]:
    """The first row of every different text, in order, and for every row the number of its text among them."""

def rr22_tags(
    keyed: tuple[bytes, int],
    hashes: tuple[_Words, _Words],
    store: _Words,
    delta: tuple[int, int] | None,
    drawn: bytes | None = None,
) -> _Bytes:
    """Tags of elements: a hash of decoded + delta value that the key tweaks, cut.  keyed: seed, bytes of a tag.

    hashes: keys and values; keys that come as `sorted_hashes` gives them take less time.  drawn: 16 bytes of both
    parties, for tags of up to 32 bytes from SHA-256 of all of the element's digest.
    """

def sorted_tags(tags: _Bytes, width: int) -> tuple[_Bytes, NDArray[np.uint32]]:
    """Tags in an order that depends on them alone, and which of the given ones each is.  width: bytes, 1 to 32."""

class TagMeeting:
    """This side's tags of `width` bytes, 1 to 32, which the other side's meet as they come."""

    def __init__(self, tags: _Bytes, width: int) -> None: ...
    def meet(self, tags: _Bytes) -> NDArray[np.bool_]:
        """Which of the other side's next tags this side has; what is not in `sorted_tags`' order may be missed."""

    def found(self) -> NDArray[np.bool_]:
        """Which of this side's tags, in the order in which they were given, the other side has shown so far."""

def okvs_columns(keys: int) -> int:
    """Columns of a store of so many keys."""

def okvs_encode(seed: bytes, keys: _Words, values: _Words, columns: int, fill: bytes) -> _Words | None:
    """A store in which every key has its value (blocks of two words); None when another seed must be tried.

    Keys are hashes, and differ.  seed: 16 public bytes.  fill: a key of 16 secret bytes for the columns that no key
    determines.
    """

def okvs_decode(seed: bytes, keys: _Words, store: _Words) -> _Words:
    """The value of every key in a store."""

def rows_encode(seed: bytes, keys: _Words, values: _Words, width: int, fill: bytes) -> _Words | None:
    """A store of `okvs_columns` columns in which every key (two words) has a row of `width` words; None as okvs_encode.

    values and store lie by planes: the first word of every row, then the second of every row, ...
    """

def rows_decode(seed: bytes, keys: _Words, store: _Words, width: int) -> _Words:
    """The row of every key in a store, by planes."""

def blocks_under(key: bytes, keys: _Words) -> _Words:
    """AES-128 of blocks of two words under a secret key of 16 bytes."""

def masks_under(key: bytes, keys: _Words, width: int, forward: bool) -> _Words:
    """`width` words for every block, by planes: AES-128 of block ^ 0, block ^ 1, ... under a secret key.

    The blocks are pseudorandom themselves, so that no two of these inputs meet.  forward: every input is added to its
    image, for blocks that are secret themselves; the key may then be public.
    """

def cuckoo_bins(keys: int) -> int:
    """Bins of a cuckoo table of so many keys."""

def cuckoo_places(hashes: _Words, bins: int) -> NDArray[np.int64]:
    """The bin of every hash, three a key."""

def cuckoo_table(hashes: _Words, bins: int, seed: bytes) -> NDArray[np.int64] | None:
    """For every bin three times its key and which of its hashes put it there, or -1; None when the keys do not fit."""

_MatrixSizes = tuple[int, int, int, int, int, int]

def lattice_parameters() -> list[tuple[int, list[int]]]:
    """Degree and primes of the ciphertext modulus, of triples and of matrix products."""

def lattice_bytes() -> tuple[int, int, int, int]:
    """Bytes of a public key, a request and an answer for triples, and of a public key for matrix products."""

def matrix_layout(sizes: _MatrixSizes) -> tuple[int, list[tuple[int, int, int]]]:
    """Bytes of a request; for each group of columns the first, one past the last, and the bytes of its answer.

    sizes: (rows, inner, columns, run, deep, wide), rows at most run, run * deep * wide the degree; else ValueError.
    """

class TripleHolder:
    """Encrypts words under its own fresh key, drawn from a secret seed, and reads what the evaluator answers."""

    def __init__(self, seed: bytes) -> None: ...
    def public_key(self) -> _Bytes:
        """What the evaluator needs."""

    def request(self) -> tuple[_Bytes, _Words, _Words]:
        """Encryptions of 16,384 random words a, and of as many b, beside the words."""

    def finish(self, answer: _Bytes, count: int) -> _Words:
        """This party's words of a * b' + b * a'; ValueError when the answer is malformed."""

class TripleEvaluator:
    """Multiplies encrypted words by its own, drawing masks from a secret seed."""

    def __init__(self, seed: bytes, public_key: _Bytes) -> None:
        """ValueError when the public key is malformed."""

    def answer(self, request: _Bytes, a: _Words, b: _Words) -> tuple[_Bytes, _Words]:
        """The answer, and this party's words of the products; ValueError when the request is malformed."""

class MatrixHolder:
    """Encrypts left matrices under its own fresh key, drawn from a secret seed, and reads answers."""

    def __init__(self, seed: bytes) -> None: ...
    def public_key(self) -> _Bytes:
        """What the evaluator needs."""

    def request(self, left: _Words, sizes: _MatrixSizes) -> _Bytes:
        """Encryptions of a matrix rows x inner."""

    def finish(self, answer: _Bytes, sizes: _MatrixSizes, group: int) -> _Words:
        """This party's words of one group of columns, by rows; ValueError when the answer is malformed."""

class MatrixLeft:
    """The ciphertexts of a request."""

    def __init__(self, request: _Bytes, sizes: _MatrixSizes) -> None:
        """ValueError when the request is malformed."""

class MatrixRight:
    """One group of columns of a matrix inner x columns, transformed."""

    def __init__(self, right: _Words, sizes: _MatrixSizes, group: int) -> None: ...

class MatrixEvaluator:
    """Multiplies encrypted matrices by its own, drawing masks from a secret seed."""

    def __init__(self, seed: bytes, public_key: _Bytes) -> None:
        """ValueError when the public key is malformed."""

    def answer(self, left: MatrixLeft, right: MatrixRight) -> tuple[_Bytes, _Words]:
        """The answer for the group of columns, and this party's words of the product there, by rows."""

def ring_prime(words: _Words) -> int:
    """The first of the words, cut to odd numbers between 2**50 and 2**51, that is prime; ValueError when none is."""

def ring_quotients(x: _Pair, y: _Pair, drawn: _Words, weights: _Words, strided: bool) -> _Words:
    """For 48 combinations the sum of the picked outputs' (sum - c1 - c2) / 2**64, two words each, the low one first.

    An output sums the products (x_0 + x_1) (y_0 + y_1) of its terms; c2 is its word of drawn and the sum of its
    products x_1 y_1, c1 = sum - c2, all three modulo 2**64.
    Bit j of an output's weight picks it for combination j.  strided: as RingProofs.dot.
    """

def ring_single_quotients(
    left: Sequence[_Reading], right: Sequence[_Reading], second: _Words, weights: _Words
) -> _Words:
    """As ring_quotients for sums of left * right; readings as in dot_masked."""

def ring_word_quotients(words: _Words, second: _Words, weights: _Words) -> _Words:
    """As ring_quotients where the sums are the words themselves."""

def ring_combine(table: _Words, weights: _Words, columns: bool) -> _Words:
    """48 rows: sums modulo 2**64 of the rows of a table that the weights pick, or of its columns, then turned."""

def ring_weigh(prime: int, words: _Words, challenges: _Words) -> _Words:
    """For every word the sum of the 48 challenges that its bits pick, modulo the prime."""

def ring_weighed_sum(
    prime: int, words: _Words, weights: _Words, less: _Words | None = None, product: _Pair | None = None
) -> int:
    """The sum modulo the prime of weights times words - less + the product's factors' product, which is below 2**64."""

def ring_sums(prime: int, x: _Words, y: _Words) -> _Words:
    """Sums of numbers below the prime, modulo it."""

def ring_products(prime: int, u: _Sides, v: _Sides, factor: int, lanes: int) -> _Words:
    """The coefficients of sum <u_a, v_b> X**(factor - 1 + a - b), u and v cut into `factor` pieces.

    A side is (readings, weights or None, repeat): the sum of word i of one reading, or of two of whole words, times
    weight (i // repeat) modulo their count. Sides are filled
    up with zeros to blocks of factor * lanes; piece a of a block is its lanes a * lanes .. (a + 1) * lanes - 1.
    """

def ring_fold(prime: int, sides: _Sides, powers: _Words, lanes: int) -> _Words:
    """The sum of the pieces times their powers, cut as ring_products does into len(powers) pieces."""

_Taken = Sequence[tuple[CotRows, int, int] | _Words]
"""Transfers: rows of an extension from a place on and how many, or blocks of two words.  64 divides their number n."""

def words_sent(rows: _Taken, delta: tuple[int, int], columns: int = 1) -> tuple[_Words, _Words]:
    """Both keys of every transfer, `columns` words each, at the sender."""

def words_received(rows: _Taken, columns: int = 1) -> tuple[_Words, _Words]:
    """The choices, 64 to a word, and the key of each, `columns` words, at the receiver."""

def strings_sent(rows: _Taken, delta: tuple[int, int], width: int) -> tuple[_Words, _Words]:
    """Planes (width, n / 64) of the XOR of both keys, and of the first ones.  width: 1 to 64."""

def strings_received(rows: _Taken, width: int) -> tuple[_Words, _Words]:
    """The choices, 64 to a word, and planes (width, n / 64) of their keys."""

def lookups_sent(rows: _Taken, delta: tuple[int, int], bits: int) -> _Words:
    """The sender's masks of n / 4 lookups, 64 together: planes (16, bits, n / 256).  bits: 1 to 8."""

def lookups_received(rows: _Taken, bits: int) -> tuple[_Words, _Words]:
    """The receiver's masks, planes (bits, n / 256), and choices, planes (4, n / 256)."""

def lookup_answers(masks: _Words, shift: _Words, digit: _Words, share: _Words, table: bytes, bits: int) -> _Words:
    """The sender's answers (16, bits, stride): entries of its digit (4, stride), masked by `share` and the masks.

    table: 256 entries, that of digit x and choice v at 16 x + v.
    """

def lookup_read(said: _Words, digit: _Words, masks: _Words, bits: int) -> _Words:
    """The receiver's share (bits, stride): the answer of its digit (4, stride), unmasked."""

def switch_count(n: int) -> int:
    """Switches of a permutation network of n positions."""

def switch_network(n: int) -> _Indices:
    """The positions that each switch joins, in order: two a switch."""

def switch_route(order: _Indices) -> NDArray[np.uint8]:
    """Settings (0 straight, 1 crossed) that bring position order[k] to position k; ValueError for no permutation."""

def switch_label(
    labels: _Words, pairs: _Indices, zero: _Words, one: _Words, flips: _Words, columns: int, xor: bool
) -> tuple[_Words, _Words]:
    """(corrections for the other party, labels after the switches): the side that does not know the permutation."""

def switch_settle(
    excess: _Words,
    pairs: _Indices,
    chosen: _Words,
    settings: NDArray[np.uint8],
    said: _Words,
    columns: int,
    xor: bool,
) -> _Words:
    """What the permuted rows exceed their labels by, after the switches: the side that knows the permutation."""

def gf_dot(x: _Words, y: _Words) -> int:
    """The inner product in GF(2^64) = GF(2)[X] / (X^64 + X^4 + X^3 + X + 1)."""

def gf_multiply(x: _Words, y: _Words) -> _Words:
    """Products element by element."""

def gf_scale(x: _Words, factor: int) -> _Words:
    """Every element times a factor."""

def gf_lagrange(count: int, at: int) -> _Words:
    """What the values at 0 .. count-1 weigh in the value at a point, for a polynomial of that degree."""

def gf_cross(x: _Words, y: _Words, rows: int) -> _Words:
    """Both vectors stand in rows; a column is the values of a polynomial at 0, 1, ...

    The values at 0 .. 2 rows - 2 of the sum over columns of products of polynomials.
    """

def gf_first_values(u: Sequence[tuple[_Words, ...]], v: Sequence[tuple[_Words, ...]], t: _Words, s: _Words) -> _Words:
    """As gf_cross on words of bits in 32 rows; u and v: segments, each (share, other share) of which it is the XOR.

    A segment is filled up with zeros to blocks of 32 rows of 8 words, each lane a column.  Bit b of the word in row a
    and column j of u weighs s[a] t[j] X^b.
    """

def gf_second_values(
    u: Sequence[tuple[_Words, ...]], v: Sequence[tuple[_Words, ...]], t: _Words, left: _Words, right: _Words
) -> _Words:
    """As gf_cross in 8 rows, by the upper three bits of b, on the words' bits with their rows folded.

    left: coefficients of u's rows, with the weights s; right: those of v's rows.
    """

def gf_fold_words(
    x: Sequence[Sequence[_Words]], coefficients: _Words, weights: _Words, left: int, t: _Words | None = None
) -> _Words:
    """Rows folded by coefficients, then bits b by weights[b] where b mod left is the result's row: 1 or 8 rows.

    x: segments, each of one share or the XOR of two.  A row has the columns, times t where there is one.
    """

def gf_fold(x: _Words, coefficients: _Words) -> _Words:
    """The sum of the rows times their coefficients."""

def gf_claim(x: Sequence[_Words], t: _Words, s: _Words) -> int:
    """The sum of words of bits in segments, read as elements, with the weights s[a] t[j]."""

def pir_sizes() -> tuple[int, int, int, int]:
    """Entries of a secret, columns of a block, rows of a group, bytes of a cell beside its value."""

def pir_hint(seed: bytes, first: int, table: _Bytes, columns: int, threads: int) -> _Indices:
    """The table (rows first, entries signed) times the public matrix's rows from `first` on: 1280 words a row."""

def pir_answer(table: _Bytes, columns: int, queries: _Indices, threads: int) -> NDArray[np.uint16]:
    """The table times each of the queries that stand one after the other, rounded to upper 16 bits."""

def pir_patch(hint: _Indices, seed: bytes, column: int, first: int, changes: NDArray[np.int16]) -> None:
    """Add what changed entries of one column, of the rows from `first` on, add to the hint."""

class PirQueries:
    """Masks and products of `count` queries to come, under fresh secrets; each mask is used once."""

    def __init__(self, seed: bytes, randomness: bytes, columns: int, hints: Sequence[_Indices], count: int) -> None: ...
    def query(self, index: int, columns: tuple[int, int]) -> _Indices:
        """A query for one column of each half, beside its first; ValueError the second time."""

    def decode(self, index: int, answer: NDArray[np.uint16]) -> _Bytes:
        """The bytes of the columns that were asked; ValueError for an answer of another length."""

class Blinding:
    """Elements hashed to ristretto255 under blinds of their own; RFC 9497, mode 0, the client's side."""

    def __init__(self, data: _Bytes, offsets: _Offsets, randomness: _Bytes) -> None:
        """randomness: 64 secret bytes an element."""

    def message(self) -> _Bytes:
        """32 bytes an element for the server."""

    def unblind(self, evaluated: _Bytes) -> _Bytes:
        """The elements under the server's key; ValueError when one is no point."""

def oprf_tag() -> bytes:
    """The domain of hashing to the group, RFC 9497 for ristretto255 and mode 0; `GroupKey.map` is the server's side."""

def oprf_finalize(data: _Bytes, offsets: _Offsets, points: _Bytes) -> _Bytes:
    """The OPRF's outputs, 64 bytes an element."""

def pir_derive(label: bytes, outputs: _Bytes) -> _Bytes:
    """64 bytes a key, from which its record's columns and its sealing come."""

def pir_columns(derived: _Bytes, columns: int) -> _Indices:
    """Both columns of every record, 1 to columns - 1."""

def pir_place(positions: _Indices, columns: int, cells: int, seed: bytes) -> _Indices | None:
    """The record of every cell, 2**32 - 1 where none is; None when not all find a place."""

def pir_fill(
    table: _Bytes,
    held: _Indices,
    sizes: tuple[int, int],
    derived: _Bytes,
    values: tuple[_Bytes, _Offsets, NDArray[np.bool_]],
    seed: bytes,
) -> None:
    """Write one half's sealed cells; sizes: columns and bytes of a cell.  seed: for nonces and empty cells."""

def pir_seal(derived: _Bytes, nonce: bytes, value: bytes | None, width: int) -> _Bytes:
    """The cell of a record; ValueError when the value does not fit."""

def pir_open(derived: _Bytes, cells: _Bytes, width: int) -> tuple[int, bytes | None] | None:
    """The number of the record's cell among these and its value; None when it is not there. All cells are tried."""
