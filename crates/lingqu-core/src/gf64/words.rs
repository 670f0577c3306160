//! Proofs of conjunctions on words as they were sent: (u_0 ^ u_1) & (v_0 ^ v_1) = c, 64 bits at a time, in blocks.
//!
//! A prover has both shares of a vector, a verifier one of them.
//!
//! A block is ROWS rows of LANES words; column 8 k + lane has the words of block k at that lane.  Bit b of the word in row
//! a and column j weighs s[a] t[j] X^b.  The first round folds the rows, the second the bits by their numbers' upper
//! three bits, the third by the lower three; one element a column is left.
//! Segments of any length are filled up with zeros to whole blocks.
#[cfg(target_arch = "x86_64")]
use super::words_wide;
use super::{doubled, multiply, portable, product, reduce, values};
use crate::memory::zeros;
use crate::ring::widened;

pub const ROWS: usize = 32;
pub const LANES: usize = 8;
pub const BLOCK: usize = ROWS * LANES;
/// Bits that stand in one row of the second round, and rows of it; so too of the third.
pub const EIGHT: usize = 8;
/// Blocks taken together, so that two vectors of them stay in the first-level cache.
const BATCH: usize = 8;
type Batch = [u64; BATCH * BLOCK];

/// A vector of words, the XOR of its shares, cut into segments.
pub type Segments<'a, const SHARES: usize> = [[&'a [u64]; SHARES]];
/// Four unreduced products, of which only the sum matters.
pub type Sum = [u64; LANES];

/// Columns of segments of these lengths.
pub fn columns(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.map(|length| length.div_ceil(BLOCK) * LANES).sum()
}

pub(super) fn total(sum: &Sum) -> u64 {
    reduce(sum.chunks_exact(2).fold(0, |all, pair| all ^ (u128::from(pair[1]) << 64 | u128::from(pair[0]))))
}

/// Calls work with the vectors' words in whole blocks, at most BATCH, and the first column of them.
fn by_batches<const N: usize>(segments: &[[&[u64]; N]], mut work: impl FnMut([&[u64]; N], usize)) {
    let mut column = 0;
    for vectors in segments {
        let length = vectors[0].len();
        let whole = length / BLOCK * BLOCK;
        for start in (0..whole).step_by(BATCH * BLOCK) {
            let end = whole.min(start + BATCH * BLOCK);
            work(vectors.map(|words| &words[start..end]), column + start / ROWS);
        }
        if whole < length {
            let filled = vectors.map(|words| {
                let mut block = [0; BLOCK];
                block[..length - whole].copy_from_slice(&words[whole..]);
                block
            });
            work(filled.each_ref().map(|block| &block[..]), column + whole / ROWS);
        }
        column += length.div_ceil(BLOCK) * LANES;
    }
}

macro_rules! on_vectors {
    ($name:ident($($arg:expr),*)) => {{
        #[cfg(target_arch = "x86_64")]
        if words_wide::available() {
            // SAFETY: the processor has the features that the function is compiled for.
            unsafe { words_wide::$name($($arg),*) }
        } else {
            portable::$name($($arg),*)
        }
        #[cfg(not(target_arch = "x86_64"))]
        portable::$name($($arg),*)
    }};
}

fn joined<'a>(u: &Segments<'a, 2>, v: &Segments<'a, 2>) -> Vec<[&'a [u64]; 4]> {
    u.iter().zip(v).map(|(u, v)| [u[0], u[1], v[0], v[1]]).collect()
}

#[inline(always)]
fn xor(x: &[u64], y: &[u64], out: &mut [u64]) {
    for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
        *out = x ^ y;
    }
}
widened!(xor_fast, xor, x: &[u64], y: &[u64], out: &mut [u64]);

/// The XOR of one share or two.
fn summed<'a>(shares: &[&'a [u64]], room: &'a mut Batch) -> &'a [u64] {
    let [x, y] = shares else { return shares[0] };
    let room = &mut room[..x.len()];
    xor_fast(x, y, room);
    room
}

/// The first round: values at 0 .. 2 ROWS - 2 of the sum over columns of u's polynomials times v's.
pub fn first_values(u: &Segments<2>, v: &Segments<2>, t: &[u64], s: &[u64]) -> Vec<u64> {
    let mut sums = vec![[0; LANES]; ROWS * ROWS];
    let mut room = [[0; BATCH * BLOCK]; 2];
    by_batches(&joined(u, v), |words, column| {
        let t = &t[column..column + words[0].len() / ROWS];
        let [left, right] = &mut room;
        let (u, v) = (summed(&words[..2], left), summed(&words[2..], right));
        on_vectors!(cross_words(u, v, t, &mut sums));
    });
    let inner: Vec<u64> = sums.iter().enumerate().map(|(i, sum)| product(total(sum), s[i / ROWS])).collect();
    values(&inner, ROWS)
}

/// The second round, rows folded with `left` (the weights s in it) and `right`: values at 0 .. 14.
pub fn second_values(u: &Segments<2>, v: &Segments<2>, t: &[u64], left: &[u64], right: &[u64]) -> Vec<u64> {
    let mut sums = vec![[0; LANES]; EIGHT * EIGHT];
    let (left, right) = (matrices(left), matrices(right));
    let mut room = [[0; BATCH * BLOCK]; 2];
    by_batches(&joined(u, v), |words, column| {
        let t = &t[column..column + words[0].len() / ROWS];
        let [of_left, of_right] = &mut room;
        let (u, v) = (summed(&words[..2], of_left), summed(&words[2..], of_right));
        on_vectors!(cross_folded((u, &left), (v, &right), t, &mut sums));
    });
    let powers = powers();
    let inner: Vec<u64> = sums.iter().enumerate().map(|(i, sum)| product(total(sum), powers[i / EIGHT * 8])).collect();
    values(&inner, EIGHT)
}

/// X^0 .. X^63.
pub fn powers() -> [u64; 64] {
    let mut next = 1;
    std::array::from_fn(|_| {
        let power = next;
        next = doubled(power);
        power
    })
}

/// Rows folded, then the bits with weights: element l n + j of the result sums, over the bits b of which b mod `left` is
/// l, weights[b] times the folded bit b of column j.  left: 1 or EIGHT.
pub fn folded<const SHARES: usize>(
    x: &Segments<SHARES>,
    coefficients: &[u64],
    weights: &[u64; 64],
    left: usize,
) -> Vec<u64> {
    let n = columns(x.iter().map(|shares| shares[0].len()));
    let mut out = zeros(n * left);
    let coefficients = matrices(coefficients);
    let mut room = [0; BATCH * BLOCK];
    by_batches(x, |shares, column| {
        let words = summed(&shares, &mut room);
        on_vectors!(fold_words(words, &coefficients, weights, left, &mut out, (column, n)));
    });
    out
}

/// The elements of every row times t, which has a weight a column.
pub fn weigh(out: &mut [u64], t: &[u64]) {
    for row in out.chunks_exact_mut(t.len().max(1)) {
        let plain = row.to_vec();
        multiply(row, &plain, t);
    }
}

/// The sum over rows a and columns j of s[a] t[j] times the word there.
pub fn claim(x: &[&[u64]], t: &[u64], s: &[u64]) -> u64 {
    let segments: Vec<[&[u64]; 1]> = x.iter().map(|words| [*words]).collect();
    let mut sum = 0;
    let mut row = Vec::new();
    by_batches(&segments, |[words], column| {
        for (k, block) in words.chunks_exact(BLOCK).enumerate() {
            row.clear();
            row.resize(LANES, 0);
            super::fold(&mut row, block, s);
            sum ^= super::dot(&row, &t[column + k * LANES..][..LANES]);
        }
    });
    sum
}

/// Coefficients of rows, and the same as matrices of 8 by 8 bits: number [a / 8][c / 8] has in byte 7 - c % 8, bit a % 8
/// the bit c of coefficient a.
pub struct Coefficients {
    pub each: [u64; ROWS],
    pub matrices: [[u64; 8]; ROWS / 8],
}

pub(super) fn matrices(coefficients: &[u64]) -> Coefficients {
    let each: [u64; ROWS] = coefficients.try_into().expect("a coefficient a row");
    let bit = |a: usize, c: usize| each[a] >> c & 1;
    let one = |group: usize, part: usize| {
        (0..64).fold(0, |sum, i| {
            let (c, a) = (i / 8, i % 8);
            sum | bit(8 * group + a, 8 * part + c) << (8 * (7 - c) + a)
        })
    };
    Coefficients { each, matrices: std::array::from_fn(|group| std::array::from_fn(|part| one(group, part))) }
}
