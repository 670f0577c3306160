//! GF(2^64) = GF(2)[X] / (X^64 + X^4 + X^3 + X + 1): inner products of vectors and their folding, for distributed proofs.
//!
//! A vector of k n elements stands in k rows of n. Each column is read as the values of a polynomial at the points
//! 0 .. k-1; folding evaluates all of them at one point, and `cross` has what the values of their products follow from.
//! A vector of bits stands in words: k rows of n words make 64 n columns, bit b of word j being column 64 j + b.
mod portable;
pub mod python;
#[cfg(target_arch = "x86_64")]
mod wide;

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
    /// The sum of t (x & y), words of bits read as elements.
    dot_bits(x: &[u64], y: &[u64], t: &[u64]) -> u64
}
dispatched! {
    /// out = x y, element by element.
    multiply(out: &mut [u64], x: &[u64], y: &[u64])
}
dispatched! {
    /// out[j] = the sum over rows a of coefficients[a] x[a][j].
    fold(out: &mut [u64], x: &[u64], coefficients: &[u64])
}
dispatched! {
    /// out[64 j + b] = the sum over rows a of coefficients[a] (bit b of x[a][j]).
    fold_bits(out: &mut [u64], x: &[u64], coefficients: &[u64])
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

/// Lagrange's coefficients: the value at a point of the polynomial with given values at 0 .. count-1.
pub fn lagrange(count: usize, at: u64) -> Vec<u64> {
    (0..count as u64)
        .map(|i| {
            let (mut over, mut under) = (1, 1);
            for k in (0..count as u64).filter(|k| *k != i) {
                over = product(over, at ^ k);
                under = product(under, i ^ k);
            }
            product(over, inverse(under))
        })
        .collect()
}

/// Values at 0 .. 2k-2 of the sum over columns of products of polynomials, from the k by k inner products of their rows.
fn values(inner: &[u64], k: usize) -> Vec<u64> {
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
    let n = (x.len() / k).max(1);
    let inner: Vec<u64> = x.chunks_exact(n).flat_map(|a| y.chunks_exact(n).map(move |b| dot(a, b))).collect();
    values(&inner, k)
}

/// As `cross` for bits, where column 64 j + b weighs t[j] X^b, and row a of x weighs s[a].
pub fn cross_bits(x: &[(&[u64], &[u64])], t: &[u64], s: &[u64]) -> Vec<u64> {
    let (n, k) = (t.len(), s.len());
    let mut inner = vec![0; k * k];
    /// Words of a row taken together, so that what both vectors have of them stays in the second-level cache.
    const BLOCK: usize = 512;
    for start in (0..n).step_by(BLOCK) {
        let end = n.min(start + BLOCK);
        for (x, y) in x {
            for a in 0..k {
                for b in 0..k {
                    let (left, right) = (&x[a * n + start..a * n + end], &y[b * n + start..b * n + end]);
                    inner[a * k + b] ^= dot_bits(left, right, &t[start..end]);
                }
            }
        }
    }
    for (row, weight) in inner.chunks_exact_mut(k).zip(s) {
        row.iter_mut().for_each(|entry| *entry = product(*entry, *weight));
    }
    values(&inner, k)
}

/// out[64 j + b] times t[j] X^b, in place.
pub fn weigh(out: &mut [u64], t: &[u64]) {
    let mut weights = [0; 64];
    let mut held = [0; 64];
    for (block, weight) in out.chunks_exact_mut(64).zip(t) {
        let mut next = *weight;
        for slot in &mut weights {
            *slot = next;
            next = doubled(next);
        }
        multiply(&mut held, block, &weights);
        block.copy_from_slice(&held);
    }
}

/// The sum over rows a and words j of s[a] t[j] x[a][j]: words of bits by the weights that `cross_bits` gives them.
pub fn claim(x: &[u64], t: &[u64], s: &[u64]) -> u64 {
    let n = t.len().max(1);
    x.chunks_exact(n).zip(s).fold(0, |sum, (row, weight)| sum ^ product(*weight, dot(row, t)))
}

#[cfg(test)]
mod tests;
