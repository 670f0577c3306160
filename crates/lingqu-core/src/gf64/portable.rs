//! The kernels without vector instructions, in constant time.
use super::reduce;

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

pub fn dot_bits(x: &[u64], y: &[u64], t: &[u64]) -> u64 {
    reduce(x.iter().zip(y).zip(t).fold(0, |sum, ((x, y), t)| sum ^ carryless(x & y, *t)))
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

pub fn fold_bits(out: &mut [u64], x: &[u64], coefficients: &[u64]) {
    let n = out.len() / 64;
    for (j, block) in out.chunks_exact_mut(64).enumerate() {
        block.fill(0);
        for (a, coefficient) in coefficients.iter().enumerate() {
            let word = x[a * n + j];
            for (b, out) in block.iter_mut().enumerate() {
                *out ^= coefficient & (word >> b & 1).wrapping_neg();
            }
        }
    }
}
