//! The negacyclic number-theoretic transform modulo one prime, and products of its values.
//!
//! Sources: Longa, Naehrig (CANS 2016) for the transform without bit reversal, Harvey (J. Symb. Comp. 2014) for lazy
//! butterflies. Values come out in bit-reversed order: position i holds the value at psi^(2 brv(i) + 1).
//! A polynomial in X^m only (m a power of two) has the same value throughout each run of m positions.
use super::field::{inverse_mod, mul_mod, once, pow_mod, Factor, Prime};
#[cfg(target_arch = "x86_64")]
use super::ifma;

/// Below this many coefficients, the remaining layers of a block are done while it lies in the first-level cache.
pub const BLOCK: usize = 2048;

/// Tables for one prime q = 1 mod 2n, q < 2^50.
pub struct Table {
    pub n: usize,
    pub p: Prime,
    pub roots: Vec<u64>,
    pub ratios: Vec<u64>,
    pub back: Vec<u64>,
    pub back_ratios: Vec<u64>,
    /// 1/n, and 2^104/n for values that come from `Prime::fold`.
    scale: Factor,
    scale_folded: Factor,
    simd: bool,
}

fn reversed(index: usize, bits: u32) -> usize {
    index.reverse_bits() >> (usize::BITS - bits)
}

impl Table {
    /// n a power of two, at least 16; q prime, 1 mod 2n.
    pub fn new(n: usize, q: u64) -> Self {
        let p = Prime::new(q);
        let order = (q - 1) / (2 * n as u64);
        let psi = (2..).map(|g| pow_mod(g, order, q)).find(|psi| pow_mod(*psi, n as u64, q) == q - 1);
        let psi = psi.unwrap_or(1);
        let (mut roots, mut back) = (vec![1; n], vec![1; n]);
        let inverse = inverse_mod(psi, q);
        let (mut power, mut power_back) = (1, 1);
        for exponent in 0..n {
            let place = reversed(exponent, n.trailing_zeros());
            (roots[place], back[place]) = (power, power_back);
            (power, power_back) = (mul_mod(power, psi, q), mul_mod(power_back, inverse, q));
        }
        let ratios = |of: &[u64]| of.iter().map(|w| Factor::new(*w, q).ratio).collect();
        let one_over_n = inverse_mod(n as u64, q);
        let twice = mul_mod(p.mont.w, p.mont.w, q);
        Table {
            n,
            p,
            ratios: ratios(&roots),
            back_ratios: ratios(&back),
            roots,
            back,
            scale: p.factor(one_over_n),
            scale_folded: p.factor(mul_mod(one_over_n, twice, q)),
            simd: simd(),
        }
    }

    /// The same tables, using portable code only.
    #[cfg(test)]
    pub fn portable(mut self) -> Self {
        self.simd = false;
        self
    }

    pub fn is_simd(&self) -> bool {
        self.simd
    }

    /// Values below 4q to values below q, in place; the length is any power of two up to n.
    ///
    /// Of a shorter row it is the transform of a polynomial in X^(n / length), one value for each run of equal ones.
    pub fn forward(&self, a: &mut [u64]) {
        #[cfg(target_arch = "x86_64")]
        if self.simd && a.len() >= 16 {
            // SAFETY: `simd` is set only when the processor has AVX-512 F, DQ and IFMA.
            unsafe { ifma::forward(self, a) };
            return;
        }
        self.layers(a, 1, 0);
        let q = self.p.q;
        a.iter_mut().for_each(|x| *x = once(once(*x, 2 * q), q));
    }

    /// The layers under block `at` of `blocks`, depth first once a block fits the cache.
    fn layers(&self, a: &mut [u64], mut blocks: usize, mut at: usize) {
        let q = self.p.q;
        let mut half = a.len() / 2;
        let mut width = 1;
        while half >= 1 {
            for (i, block) in a.chunks_exact_mut(2 * half).enumerate() {
                let w = Factor { w: self.roots[blocks + at + i], ratio: self.ratios[blocks + at + i] };
                let (left, right) = block.split_at_mut(half);
                for (x, y) in left.iter_mut().zip(right) {
                    let (u, v) = (once(*x, 2 * q), w.lazy(*y, q));
                    (*x, *y) = (u + v, u + 2 * q - v);
                }
            }
            (blocks, at, width, half) = (2 * blocks, 2 * at, 2 * width, half / 2);
            if 2 * half == BLOCK && width > 1 {
                a.chunks_exact_mut(BLOCK).enumerate().for_each(|(i, block)| self.layers(block, blocks, at + i));
                return;
            }
        }
    }

    /// Values below 2q to coefficients below q, in place.  folded: the values carry a factor 2^-104, which is taken out.
    pub fn inverse(&self, a: &mut [u64], folded: bool) {
        let scale = if folded { self.scale_folded } else { self.scale };
        #[cfg(target_arch = "x86_64")]
        if self.simd {
            // SAFETY: `simd` is set only when the processor has AVX-512 F, DQ and IFMA.
            unsafe { ifma::inverse(self, a, scale) };
            return;
        }
        let q = self.p.q;
        let (mut half, mut blocks) = (1, self.n / 2);
        while blocks >= 1 {
            for (i, block) in a.chunks_exact_mut(2 * half).enumerate() {
                let w = Factor { w: self.back[blocks + i], ratio: self.back_ratios[blocks + i] };
                let (left, right) = block.split_at_mut(half);
                for (x, y) in left.iter_mut().zip(right) {
                    (*x, *y) = (once(*x + *y, 2 * q), w.lazy(*x + 2 * q - *y, q));
                }
            }
            (half, blocks) = (2 * half, blocks / 2);
        }
        a.iter_mut().for_each(|x| *x = scale.times(*x, q));
    }

    /// acc + x * y * 2^-52: x any value below 2^52, y below q (in Montgomery's form for a plain product).
    pub fn add_product(&self, acc: &mut [u64], x: &[u64], y: &[u64]) {
        #[cfg(target_arch = "x86_64")]
        if self.simd {
            // SAFETY: `simd` is set only when the processor has AVX-512 F, DQ and IFMA.
            unsafe { ifma::add_product(&self.p, acc, x, y) };
            return;
        }
        for ((a, x), y) in acc.iter_mut().zip(x).zip(y) {
            *a = self.p.add(*a, self.p.montgomery(*x, *y));
        }
    }

    /// x * y * 2^-52, in place.
    pub fn scale_by(&self, x: &mut [u64], y: &[u64]) {
        for (x, y) in x.iter_mut().zip(y) {
            *x = self.p.montgomery(*x, *y);
        }
    }

    /// (x0 y0 + x1 y1 + x2 y2) * 2^-104.
    pub fn three_products(&self, out: &mut [u64], terms: [(&[u64], &[u64]); 3]) {
        #[cfg(target_arch = "x86_64")]
        if self.simd {
            // SAFETY: `simd` is set only when the processor has AVX-512 F, DQ and IFMA.
            unsafe { ifma::three_products(&self.p, out, terms) };
            return;
        }
        for (i, out) in out.iter_mut().enumerate() {
            *out = self.p.fold(terms.iter().map(|(x, y)| u128::from(x[i]) * u128::from(y[i])).sum());
        }
    }

    /// out[j][s] = sum over k of rows[k][s] * scalars[k * columns + j], times 2^-104, for the `width` values s.
    ///
    /// rows: `depth` rows of `width` values below q, width 8 or 16.  depth at most 4096.  out: columns rows of `width`.
    pub fn gemm(&self, out: &mut [u64], rows: &[u64], scalars: &[u64], width: usize) {
        let columns = out.len() / width;
        #[cfg(target_arch = "x86_64")]
        if self.simd {
            // SAFETY: `simd` is set only when the processor has AVX-512 F, DQ and IFMA; sizes are checked inside.
            unsafe { ifma::gemm(&self.p, out, rows, scalars, width) };
            return;
        }
        let mut sums = vec![0u128; out.len()];
        for (row, scalars) in rows.chunks_exact(width).zip(scalars.chunks_exact(columns)) {
            for (sums, y) in sums.chunks_exact_mut(width).zip(scalars) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += u128::from(*x) * u128::from(*y));
            }
        }
        out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = self.p.fold(*sum));
    }
}

#[cfg(target_arch = "x86_64")]
pub fn simd() -> bool {
    ifma::available()
}

#[cfg(not(target_arch = "x86_64"))]
pub fn simd() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lattice::{matrix, triples};
    use crate::prg::Prg;

    fn random(key: u8, n: usize, q: u64) -> Vec<u64> {
        let mut words = vec![0; n];
        Prg::new(&[key; 16]).fill(&mut words);
        words.iter().map(|word| word % q).collect()
    }

    fn schoolbook(x: &[u64], y: &[u64], q: u64) -> Vec<u64> {
        let n = x.len();
        let mut out = vec![0; n];
        for i in 0..n {
            for j in 0..n {
                let product = mul_mod(x[i], y[j], q);
                let signed = if i + j < n { product } else { (q - product) % q };
                out[(i + j) % n] = (out[(i + j) % n] + signed) % q;
            }
        }
        out
    }

    #[test]
    fn products_agree_with_the_schoolbook() {
        for q in [triples::PRIMES[0], triples::PRIMES[4], triples::PRIMES[9], matrix::PRIMES[0]] {
            for n in [16, 32, 64, 256] {
                for table in [Table::new(n, q), Table::new(n, q).portable()] {
                    let (mut x, mut y) = (random(1, n, q), random(2, n, q));
                    let expected = schoolbook(&x, &y, q);
                    table.forward(&mut x);
                    table.forward(&mut y);
                    let (mut out, mut zero) = (vec![0; n], vec![0; n]);
                    table.three_products(&mut out, [(&x, &y), (&zero, &x), (&y, &zero)]);
                    table.inverse(&mut out, true);
                    assert_eq!(out, expected);
                    let y: Vec<u64> = y.iter().map(|y| table.p.mont.times(*y, q)).collect();
                    table.add_product(&mut zero, &x, &y);
                    table.inverse(&mut zero, false);
                    assert_eq!(zero, expected);
                }
            }
        }
    }

    #[test]
    fn wide_instructions_change_nothing() {
        for (n, q) in [(16384, triples::PRIMES[3]), (8192, matrix::PRIMES[1]), (4096, 65537), (2048, 65537)] {
            let (wide, plain) = (Table::new(n, q), Table::new(n, q).portable());
            let (x, y) = (random(3, n, q), random(4, n, q));
            let both = |run: &dyn Fn(&Table, &mut Vec<u64>)| {
                let (mut one, mut two) = (x.clone(), x.clone());
                run(&wide, &mut one);
                run(&plain, &mut two);
                assert_eq!(one, two);
            };
            both(&|table, a| table.forward(a));
            both(&|table, a| table.forward(&mut a[..n / 4]));
            both(&|table, a| table.inverse(a, false));
            both(&|table, a| table.inverse(a, true));
            both(&|table, a| table.add_product(a, &x, &y));
            both(&|table, a| table.three_products(a, [(&x, &y), (&y, &y), (&x, &x)]));
            both(&|table, a| table.gemm(&mut a[..16 * 17], &x[..16 * 9], &y[..17 * 9], 16));
            both(&|table, a| table.gemm(&mut a[..8 * 5], &x[..8 * 20], &y[..5 * 20], 8));
        }
    }

    #[test]
    fn sparse_polynomials_have_equal_runs() {
        let (n, q) = (1024, matrix::PRIMES[0]);
        let table = Table::new(n, q);
        for run in [8, 64, 512] {
            let mut short = random(5, n / run, q);
            let mut long = vec![0; n];
            short.iter().enumerate().for_each(|(i, x)| long[run * i] = *x);
            table.forward(&mut long);
            table.forward(&mut short);
            assert!(long.chunks_exact(run).zip(&short).all(|(values, x)| values.iter().all(|value| value == x)));
        }
    }

    #[test]
    fn primes_are_prime_and_fit() {
        let witnesses = [2u64, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
        let all = triples::PRIMES.iter().map(|q| (*q, 2 * triples::N as u64));
        for (q, order) in all.chain(matrix::PRIMES.iter().map(|q| (*q, 2 * matrix::N as u64))) {
            assert!(q < 1 << 50 && q % order == 1);
            let (odd, twos) = ((q - 1) >> (q - 1).trailing_zeros(), (q - 1).trailing_zeros());
            for witness in witnesses {
                let start = pow_mod(witness, odd, q);
                let squares = std::iter::successors(Some(start), |x| Some(mul_mod(*x, *x, q)));
                assert!(start == 1 || squares.take(twos as usize).any(|x| x == q - 1), "{q} is composite");
            }
        }
    }
}
