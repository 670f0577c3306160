//! GF(2^64) = GF(2)[X] / (X^64 + X^4 + X^3 + X + 1): inner products of vectors and their folding, for distributed proofs.
//!
//! A vector of k n elements stands in k rows of n. Each column is read as the values of a polynomial at the points
//! 0 .. k-1; folding evaluates all of them at one point, and `cross` has what the values of their products follow from.
//! `words` has what stands in words of bits.
mod portable;
pub mod python;
#[cfg(target_arch = "x86_64")]
mod wide;
pub mod words;
#[cfg(target_arch = "x86_64")]
mod words_wide;

use std::sync::OnceLock;

const LOW: u64 = 0x1b;

/// A carry-less product of at most 127 bits as a field element.
#[inline(always)]
fn reduce(product: u128) -> u64 {
    let (low, high) = (product as u64, (product >> 64) as u64);
    let over = (high >> 63) ^ (high >> 61) ^ (high >> 60);
    let folded = |x: u64| x ^ (x << 1) ^ (x << 3) ^ (x << 4);
    low ^ folded(high) ^ folded(over)
}

/// X times an element.
#[inline(always)]
fn doubled(x: u64) -> u64 {
    (x << 1) ^ ((x >> 63) * LOW)
}

macro_rules! dispatched {
    ($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty),*) $(-> $out:ty)?) => {
        $(#[$doc])*
        pub fn $name($($arg: $ty),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            if wide::available() {
                // SAFETY: the processor has the features that the module is compiled for.
                return unsafe { wide::$name($($arg),*) };
            }
            portable::$name($($arg),*)
        }
    };
}

dispatched! {
    /// The sum of x y over two vectors of one length.
    dot(x: &[u64], y: &[u64]) -> u64
}
dispatched! {
    /// out = x y, element by element.
    multiply(out: &mut [u64], x: &[u64], y: &[u64])
}
dispatched! {
    /// out[j] = the sum over rows a of coefficients[a] x[a][j].
    fold(out: &mut [u64], x: &[u64], coefficients: &[u64])
}

/// One product.
pub fn product(x: u64, y: u64) -> u64 {
    dot(&[x], &[y])
}

/// x^(2^64 - 2), the inverse of any x but 0.
fn inverse(x: u64) -> u64 {
    let (mut square, mut result) = (x, 1);
    for _ in 1..64 {
        square = product(square, square);
        result = product(result, square);
    }
    result
}

/// Most points of a polynomial.
pub const MOST_POINTS: usize = 128;

/// The inverses of the products over k != i of (i - k), for points 0 .. count-1.
fn denominators(count: usize) -> &'static [u64] {
    static FOUND: [OnceLock<Vec<u64>>; MOST_POINTS + 1] = [const { OnceLock::new() }; MOST_POINTS + 1];
    FOUND[count].get_or_init(|| {
        let points = 0..count as u64;
        let under = |i: u64| points.clone().filter(|k| *k != i).fold(1, |under, k| product(under, i ^ k));
        points.clone().map(|i| inverse(under(i))).collect()
    })
}

/// Lagrange's coefficients: the value at a point of the polynomial with given values at 0 .. count-1, at most MOST_POINTS.
pub fn lagrange(count: usize, at: u64) -> Vec<u64> {
    let mut out = denominators(count).to_vec();
    let (mut below, mut above) = (1, 1);
    for (i, out) in out.iter_mut().enumerate() {
        *out = product(*out, below);
        below = product(below, at ^ i as u64);
    }
    for (i, out) in out.iter_mut().enumerate().rev() {
        *out = product(*out, above);
        above = product(above, at ^ i as u64);
    }
    out
}

/// Values at 0 .. 2k-2 of the sum over columns of products of polynomials, from the k by k inner products of their rows.
pub fn values(inner: &[u64], k: usize) -> Vec<u64> {
    (0..2 * k - 1)
        .map(|point| {
            if point < k {
                return inner[point * k + point];
            }
            let coefficients = lagrange(k, point as u64);
            let rows: Vec<u64> = inner.chunks_exact(k).map(|row| dot(row, &coefficients)).collect();
            dot(&rows, &coefficients)
        })
        .collect()
}

/// Values at 0 .. 2k-2 of the sum over columns of x's polynomial times y's.  Lengths are multiples of k.
pub fn cross(x: &[u64], y: &[u64], k: usize) -> Vec<u64> {
    /// Columns taken together, so that the rows' parts stay in the first-level cache.
    const PART: usize = 256;
    let n = (x.len() / k).max(1);
    let mut inner = vec![0; k * k];
    for start in (0..n).step_by(PART) {
        let at = start..n.min(start + PART);
        for (x, inner) in x.chunks_exact(n).zip(inner.chunks_exact_mut(k)) {
            for (y, sum) in y.chunks_exact(n).zip(inner) {
                *sum ^= dot(&x[at.clone()], &y[at.clone()]);
            }
        }
    }
    values(&inner, k)
}

#[cfg(test)]
mod tests;
