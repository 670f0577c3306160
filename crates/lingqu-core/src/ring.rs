//! Arithmetic on replicated shares over Z_2^64 and over words of bits (Araki et al. 2016).
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::amx::{self, Strided};
use crate::memory::zeros;
use crate::prg::{Prg, CHUNK};

/// Two components of replicated shares, flat and of equal length.
pub type Pair<'a> = (&'a [u64], &'a [u64]);

#[cfg(target_arch = "x86_64")]
pub(crate) fn wide_available() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
}

/// Compile a loop twice, once with AVX-512, and choose at run time.
macro_rules! widened {
    ($name:ident, $body:ident, $($arg:ident : $ty:ty),*) => {
        pub(crate) fn $name($($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq")]
                fn wide($($arg: $ty),*) {
                    $body($($arg),*);
                }
                if $crate::ring::wide_available() {
                    // SAFETY: the processor has the features the function was compiled for.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body($($arg),*);
        }
    };
}
pub(crate) use widened;

#[inline(always)]
fn cross_add(out: &mut [u64], x: Pair, y: Pair, plus: &[u64], minus: &[u64]) {
    let n = out.len();
    let (x0, x1, y0, y1) = (&x.0[..n], &x.1[..n], &y.0[..n], &y.1[..n]);
    let (plus, minus) = (&plus[..n], &minus[..n]);
    for i in 0..n {
        out[i] = x0[i]
            .wrapping_mul(y0[i].wrapping_add(y1[i]))
            .wrapping_add(x1[i].wrapping_mul(y0[i]))
            .wrapping_add(plus[i])
            .wrapping_sub(minus[i]);
    }
}
widened!(cross_add_fast, cross_add, out: &mut [u64], x: Pair, y: Pair, plus: &[u64], minus: &[u64]);

#[inline(always)]
fn cross_xor(out: &mut [u64], x: Pair, y: Pair, plus: &[u64], minus: &[u64]) {
    let n = out.len();
    let (x0, x1, y0, y1) = (&x.0[..n], &x.1[..n], &y.0[..n], &y.1[..n]);
    let (plus, minus) = (&plus[..n], &minus[..n]);
    for i in 0..n {
        out[i] = (x0[i] & (y0[i] ^ y1[i])) ^ (x1[i] & y0[i]) ^ plus[i] ^ minus[i];
    }
}
widened!(cross_xor_fast, cross_xor, out: &mut [u64], x: Pair, y: Pair, plus: &[u64], minus: &[u64]);

type Cross = fn(&mut [u64], Pair, Pair, &[u64], &[u64]);

fn masked(x: Pair, y: Pair, mine: &mut Prg, next: &mut Prg, cross: Cross) -> Vec<u64> {
    let mut out = zeros(x.0.len());
    let (mut plus, mut minus) = ([0u64; CHUNK], [0u64; CHUNK]);
    for (chunk, part) in out.chunks_mut(CHUNK).enumerate() {
        let at = chunk * CHUNK..chunk * CHUNK + part.len();
        mine.fill(&mut plus[..part.len()]);
        next.fill(&mut minus[..part.len()]);
        cross(part, (&x.0[at.clone()], &x.1[at.clone()]), (&y.0[at.clone()], &y.1[at.clone()]), &plus, &minus);
    }
    out
}

/// This party's additive component of x * y, masked by a fresh share of zero.
pub fn multiply(x: Pair, y: Pair, mine: &mut Prg, next: &mut Prg) -> Vec<u64> {
    masked(x, y, mine, next, cross_add_fast)
}

/// This party's XOR component of x & y, masked by a fresh share of zero.
pub fn and(x: Pair, y: Pair, mine: &mut Prg, next: &mut Prg) -> Vec<u64> {
    masked(x, y, mine, next, cross_xor_fast)
}

/// Matrices of rows of one length, one after the other; row r is counted through all of them.
pub struct Rows<'a> {
    tables: Vec<&'a [u64]>,
    length: usize,
}

impl<'a> Rows<'a> {
    pub fn new(tables: Vec<&'a [u64]>, length: usize) -> Self {
        Rows { tables, length }
    }

    /// Words of a row.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The words of a row, if it is there.
    pub fn row(&self, mut row: usize) -> Option<&'a [u64]> {
        if self.length == 0 {
            return Some(&[]); // rows of no words are all alike
        }
        for table in &self.tables {
            let count = table.len() / self.length;
            if row < count {
                return Some(&table[row * self.length..(row + 1) * self.length]);
            }
            row -= count;
        }
        None
    }
}

#[inline(always)]
fn accumulate(out: &mut [u64], factor: u64, row: &[u64]) {
    for (sum, value) in out.iter_mut().zip(row) {
        *sum = sum.wrapping_add(factor.wrapping_mul(*value));
    }
}

#[inline(always)]
fn dot(x: &[u64], y: &[u64]) -> u64 {
    x.iter().zip(y).fold(0, |sum, (a, b)| sum.wrapping_add(a.wrapping_mul(*b)))
}

/// A tile of sums that stays in registers, and rows of y that stay in the cache meanwhile.
const TILE_ROWS: usize = 4;
const TILE_COLUMNS: usize = 32;
const INNER_BLOCK: usize = 256;

/// Add to `out`, rows of which are `columns` apart, R rows of x times a panel of y: TILE_COLUMNS words a row, of which
/// `width` count.  x: its first row begins at 0, and `step` is how far apart rows and neighbours in a row are.
#[inline(always)]
fn tile<const R: usize>(out: &mut [u64], x: &[u64], step: (usize, usize), panel: &[u64], columns: usize, width: usize) {
    let mut factors = [[0u64; R]; INNER_BLOCK];
    let depth = panel.len() / TILE_COLUMNS;
    for (k, factors) in factors[..depth].iter_mut().enumerate() {
        for (r, factor) in factors.iter_mut().enumerate() {
            *factor = x[r * step.0 + k * step.1];
        }
    }
    let mut sums = [[0u64; TILE_COLUMNS]; R];
    for (y, factors) in panel.chunks_exact(TILE_COLUMNS).zip(&factors) {
        for (sums, factor) in sums.iter_mut().zip(factors) {
            accumulate(sums, *factor, y);
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        for (sum, value) in out[r * columns..][..width].iter_mut().zip(sums) {
            *sum = sum.wrapping_add(*value);
        }
    }
}

/// Add x @ y to `out`, tile by tile.  step: how far apart rows of x, and neighbours in a row, are.
#[inline(always)]
fn product_tiled(out: &mut [u64], x: &[u64], y: &[u64], step: (usize, usize), inner: usize, columns: usize) {
    let rows = out.len() / columns;
    let whole = rows - rows % TILE_ROWS;
    let mut panel = [0u64; INNER_BLOCK * TILE_COLUMNS];
    for block in (0..inner).step_by(INNER_BLOCK) {
        let panel = &mut panel[..INNER_BLOCK.min(inner - block) * TILE_COLUMNS];
        for column in (0..columns).step_by(TILE_COLUMNS) {
            let width = TILE_COLUMNS.min(columns - column);
            for (line, k) in panel.chunks_exact_mut(TILE_COLUMNS).zip(block..) {
                line[..width].copy_from_slice(&y[k * columns + column..][..width]);
                line[width..].fill(0);
            }
            let at = |row: usize| (row * columns + column, row * step.0 + block * step.1);
            for (to, from) in (0..whole).step_by(TILE_ROWS).map(at) {
                tile::<TILE_ROWS>(&mut out[to..], &x[from..], step, panel, columns, width);
            }
            for (to, from) in (whole..rows).map(at) {
                tile::<1>(&mut out[to..], &x[from..], step, panel, columns, width);
            }
        }
    }
}
widened!(product_tiled_fast, product_tiled, out: &mut [u64], x: &[u64], y: &[u64], step: (usize, usize), inner: usize, columns: usize);

/// From so many columns on tiles are worth turning y into panels.
const FEW_COLUMNS: usize = 8;

/// Add x @ y of few columns to `out`.
#[inline(always)]
fn product_narrow(out: &mut [u64], x: &[u64], y: &[u64], inner: usize, columns: usize) {
    let mut turned = vec![0u64; y.len()];
    for k in 0..inner {
        for j in 0..columns {
            turned[j * inner + k] = y[k * columns + j];
        }
    }
    for (row, x_row) in out.chunks_exact_mut(columns).zip(x.chunks_exact(inner)) {
        for (sum, column) in row.iter_mut().zip(turned.chunks_exact(inner)) {
            *sum = sum.wrapping_add(dot(x_row, column));
        }
    }
}
widened!(product_narrow_fast, product_narrow, out: &mut [u64], x: &[u64], y: &[u64], inner: usize, columns: usize);

/// As `product_narrow`, for x given by columns (transposed): streams over the shared dimension, and builds the result by columns.
#[inline(always)]
fn product_turned(out: &mut [u64], x: &[u64], y: &[u64], rows: usize, columns: usize) {
    let mut sums = vec![0u64; rows * columns];
    for (x_column, y_row) in x.chunks_exact(rows).zip(y.chunks_exact(columns)) {
        for (sum, factor) in sums.chunks_exact_mut(rows).zip(y_row) {
            accumulate(sum, *factor, x_column);
        }
    }
    for (j, sum) in sums.chunks_exact(rows).enumerate() {
        for (i, value) in sum.iter().enumerate() {
            out[i * columns + j] = out[i * columns + j].wrapping_add(*value);
        }
    }
}
widened!(product_turned_fast, product_turned, out: &mut [u64], x: &[u64], y: &[u64], rows: usize, columns: usize);

/// Sizes of a matrix product; `turned` says that x comes by columns.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub rows: usize,
    pub inner: usize,
    pub columns: usize,
    pub turned: bool,
}

fn add_product(out: &mut [u64], x: &[u64], y: &[u64], sizes: Sizes) {
    if out.is_empty() || sizes.inner == 0 {
        return;
    }
    let Sizes { rows, inner, columns, turned } = sizes;
    let step = if turned { (1, rows) } else { (inner, 1) };
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    if amx::suits(rows, inner, columns) && amx::available() {
        let (x, y) = (
            Strided { words: x, rows, columns: inner, step },
            Strided { words: y, rows: inner, columns, step: (columns, 1) },
        );
        return amx::add_product(out, x, y);
    }
    if columns >= FEW_COLUMNS {
        product_tiled_fast(out, x, y, step, inner, columns);
    } else if turned {
        product_turned_fast(out, x, y, rows, columns);
    } else {
        product_narrow_fast(out, x, y, inner, columns);
    }
}

/// x @ y for matrices in row order, but x by columns where `turned`.
pub fn matmul(x: &[u64], y: &[u64], sizes: Sizes) -> Vec<u64> {
    let mut out = vec![0u64; sizes.rows * sizes.columns];
    add_product(&mut out, x, y, sizes);
    out
}

/// This party's additive component of x @ y, masked by a fresh share of zero.
pub fn matmul_shares(x: Pair, y: Pair, sizes: Sizes, mine: &mut Prg, next: &mut Prg) -> Vec<u64> {
    let both: Vec<u64> = y.0.iter().zip(y.1).map(|(a, b)| a.wrapping_add(*b)).collect();
    let mut out = vec![0u64; sizes.rows * sizes.columns];
    add_product(&mut out, x.0, &both, sizes);
    add_product(&mut out, x.1, y.0, sizes);
    let (mut plus, mut minus) = ([0u64; CHUNK], [0u64; CHUNK]);
    for part in out.chunks_mut(CHUNK) {
        mine.fill(&mut plus[..part.len()]);
        next.fill(&mut minus[..part.len()]);
        for (i, sum) in part.iter_mut().enumerate() {
            *sum = sum.wrapping_add(plus[i]).wrapping_sub(minus[i]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(x: &[u64], prg: &mut Prg, add: bool) -> [Vec<u64>; 3] {
        let (mut a, mut b) = (vec![0; x.len()], vec![0; x.len()]);
        prg.fill(&mut a);
        prg.fill(&mut b);
        let c = (0..x.len())
            .map(|i| if add { x[i].wrapping_sub(a[i]).wrapping_sub(b[i]) } else { x[i] ^ a[i] ^ b[i] })
            .collect();
        [a, b, c]
    }

    fn run(x: &[u64], y: &[u64], add: bool, f: impl Fn(Pair, Pair, &mut Prg, &mut Prg) -> Vec<u64>) -> Vec<u64> {
        let mut prg = Prg::new(&[3; 16]);
        let (xs, ys) = (share(x, &mut prg, add), share(y, &mut prg, add));
        let keys = [[1u8; 16], [2; 16], [4; 16]];
        let parts: Vec<Vec<u64>> = (0..3)
            .map(|i| {
                let j = (i + 1) % 3;
                f((&xs[i], &xs[j]), (&ys[i], &ys[j]), &mut Prg::new(&keys[i]), &mut Prg::new(&keys[j]))
            })
            .collect();
        (0..parts[0].len())
            .map(|i| {
                let (a, b, c) = (parts[0][i], parts[1][i], parts[2][i]);
                if add {
                    a.wrapping_add(b).wrapping_add(c)
                } else {
                    a ^ b ^ c
                }
            })
            .collect()
    }

    #[test]
    fn the_greatest_sums_do_not_overflow() {
        let (rows, inner, columns) = (16, 4096, 16);
        let (x, y) = (vec![u64::MAX; rows * inner], vec![u64::MAX; inner * columns]);
        let sizes = Sizes { rows, inner, columns, turned: false };
        assert_eq!(matmul(&x, &y, sizes), vec![inner as u64; rows * columns]);
        let mut tiled = vec![0; rows * columns];
        product_tiled_fast(&mut tiled, &x, &y, (inner, 1), inner, columns);
        assert_eq!(tiled, vec![inner as u64; rows * columns]);
    }

    #[test]
    fn all_kernels_agree() {
        let (rows, inner, columns) = (37, 200, 45);
        let (x, y) = (values(rows * inner, 1), values(inner * columns, 2));
        let sizes = Sizes { rows, inner, columns, turned: false };
        let mut tiled = vec![0; rows * columns];
        product_tiled_fast(&mut tiled, &x, &y, (inner, 1), inner, columns);
        let mut narrow = vec![0; rows * columns];
        product_narrow_fast(&mut narrow, &x, &y, inner, columns);
        assert_eq!(tiled, narrow);
        assert_eq!(matmul(&x, &y, sizes), narrow);
    }

    fn values(n: usize, seed: u8) -> Vec<u64> {
        let mut out = vec![0; n];
        Prg::new(&[seed; 16]).fill(&mut out);
        out
    }

    #[test]
    fn products_are_products() {
        for n in [0, 1, 511, 512, 513, 2000] {
            let (x, y) = (values(n, 8), values(n, 9));
            let expected: Vec<u64> = x.iter().zip(&y).map(|(a, b)| a.wrapping_mul(*b)).collect();
            assert_eq!(run(&x, &y, true, multiply), expected);
            let expected: Vec<u64> = x.iter().zip(&y).map(|(a, b)| a & b).collect();
            assert_eq!(run(&x, &y, false, and), expected);
        }
    }

    #[test]
    fn rows_are_counted_through_all_matrices() {
        let length = 600;
        let x = values(3 * length, 7);
        let row = |r: usize| &x[r * length..(r + 1) * length];
        let all = Rows::new(vec![&x[..length], &x[length..]], length);
        assert_eq!((all.row(2).unwrap(), all.row(0).unwrap()), (row(2), row(0)));
        assert!(all.row(3).is_none());
    }

    #[test]
    fn matrices_multiply() {
        for (rows, inner, columns) in [
            (1, 1, 1),
            (3, 5, 2),
            (7, 300, 9),
            (8, 3, 70),
            (40, 130, 17),
            (16, 4200, 16),
            (0, 3, 3),
            (3, 0, 2),
            (2, 2, 0),
        ] {
            let (x, y) = (values(rows * inner, 5), values(inner * columns, 6));
            let mut expected = vec![0u64; rows * columns];
            for i in 0..rows {
                for j in 0..columns {
                    for k in 0..inner {
                        let term = x[i * inner + k].wrapping_mul(y[k * columns + j]);
                        expected[i * columns + j] = expected[i * columns + j].wrapping_add(term);
                    }
                }
            }
            let mut turned_x = vec![0; x.len()];
            for i in 0..rows {
                for k in 0..inner {
                    turned_x[k * rows + i] = x[i * inner + k];
                }
            }
            for (turned, x) in [(false, &x), (true, &turned_x)] {
                let sizes = Sizes { rows, inner, columns, turned };
                assert_eq!(matmul(x, &y, sizes), expected);
                assert_eq!(run(x, &y, true, |x, y, a, b| matmul_shares(x, y, sizes, a, b)), expected);
            }
        }
    }
}
