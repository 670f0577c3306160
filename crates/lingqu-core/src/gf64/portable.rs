//! The kernels without vector instructions, in constant time.
use super::words::{Coefficients, Sum, BLOCK, EIGHT, LANES, ROWS};
use super::{doubled, reduce};

const HOLES: u64 = 0x1111_1111_1111_1111;

/// The low half of a carry-less product: integer products whose operands have holes for their carries, after BearSSL.
fn half(x: u64, y: u64) -> u64 {
    let part = |word: u64, i: usize| word & (HOLES << i);
    (0..4).fold(0, |sum, i| {
        let column = (0..4).fold(0, |column, j| column ^ part(x, j).wrapping_mul(part(y, (4 + i - j) % 4)));
        sum | column & (HOLES << i)
    })
}

fn carryless(x: u64, y: u64) -> u128 {
    let high = half(x.reverse_bits(), y.reverse_bits()).reverse_bits() >> 1;
    u128::from(high) << 64 | u128::from(half(x, y))
}

pub fn dot(x: &[u64], y: &[u64]) -> u64 {
    reduce(x.iter().zip(y).fold(0, |sum, (x, y)| sum ^ carryless(*x, *y)))
}

pub fn multiply(out: &mut [u64], x: &[u64], y: &[u64]) {
    for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
        *out = reduce(carryless(*x, *y));
    }
}

pub fn fold(out: &mut [u64], x: &[u64], coefficients: &[u64]) {
    let n = out.len();
    for (j, out) in out.iter_mut().enumerate() {
        *out = reduce(coefficients.iter().enumerate().fold(0, |sum, (a, c)| sum ^ carryless(x[a * n + j], *c)));
    }
}

/// The sum over the rows a of coefficients[a] (bit b of the word at row a and this lane), for every bit b.
fn folded_column(block: &[u64], lane: usize, coefficients: &[u64]) -> [u64; 64] {
    let mut out = [0; 64];
    for (word, coefficient) in block[lane..].iter().step_by(LANES).zip(coefficients) {
        for (b, out) in out.iter_mut().enumerate() {
            *out ^= coefficient & (word >> b & 1).wrapping_neg();
        }
    }
    out
}

fn add_to(sum: &mut Sum, product: u128) {
    sum[0] ^= product as u64;
    sum[1] ^= (product >> 64) as u64;
}

/// sums[ROWS a + b] gets the sum over lanes of t times what the words of u's row a and v's row b have in common.
pub fn cross_words(u: &[u64], v: &[u64], t: &[u64], sums: &mut [Sum]) {
    for (at, t) in t.chunks_exact(LANES).enumerate().map(|(k, t)| (k * BLOCK, t)) {
        for a in 0..ROWS {
            for b in 0..ROWS {
                for (lane, t) in t.iter().enumerate() {
                    let (i, j) = (at + a * LANES + lane, at + b * LANES + lane);
                    add_to(&mut sums[a * ROWS + b], carryless(u[i] & v[j], *t));
                }
            }
        }
    }
}

/// sums[EIGHT g + h] gets t X^l times bit 8 g + l of u's columns and bit 8 h + l of v's, rows folded.
pub fn cross_folded(u: (&[u64], &Coefficients), v: (&[u64], &Coefficients), t: &[u64], sums: &mut [Sum]) {
    for (at, t) in t.chunks_exact(LANES).enumerate().map(|(k, t)| (k * BLOCK, t)) {
        for (lane, t) in t.iter().enumerate() {
            let of = |x: (&[u64], &Coefficients)| folded_column(&x.0[at..at + BLOCK], lane, &x.1.each);
            let (u, v) = (of(u), of(v));
            let mut weight = *t;
            for l in 0..EIGHT {
                for g in 0..EIGHT {
                    let weighed = reduce(carryless(u[8 * g + l], weight));
                    for h in 0..EIGHT {
                        add_to(&mut sums[g * EIGHT + h], carryless(weighed, v[8 * h + l]));
                    }
                }
                weight = doubled(weight);
            }
        }
    }
}

/// Columns folded to one element, or to one for every bit number modulo eight; at: the first column, and those of a row.
pub fn fold_words(
    words: &[u64],
    c: &Coefficients,
    weights: &[u64; 64],
    left: usize,
    out: &mut [u64],
    at: (usize, usize),
) {
    for (k, block) in words.chunks_exact(BLOCK).enumerate() {
        for lane in 0..LANES {
            let column = folded_column(block, lane, &c.each);
            for (b, (x, weight)) in column.into_iter().zip(weights).enumerate() {
                out[b % left * at.1 + at.0 + k * LANES + lane] ^= reduce(carryless(x, *weight));
            }
        }
    }
}
