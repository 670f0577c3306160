//! Sums under binary weights, and the integers by which sums of products exceed their residues modulo 2^64.
use super::COMBINATIONS;
use crate::ring::widened;

const BYTES: usize = COMBINATIONS / 8;

/// For every combination the sum of the values that its bit of the weights picks. The weights are public.
pub struct Buckets(Vec<[i128; 256]>);

impl Default for Buckets {
    fn default() -> Self {
        Buckets(vec![[0; 256]; BYTES])
    }
}

impl Buckets {
    #[inline(always)]
    pub fn add(&mut self, weight: u64, value: i128) {
        for (bucket, byte) in self.0.iter_mut().zip(weight.to_le_bytes()) {
            bucket[usize::from(byte)] += value;
        }
    }

    pub fn sums(&self) -> Vec<i128> {
        (0..COMBINATIONS)
            .map(|j| {
                let bucket = self.0[j / 8].iter().enumerate();
                bucket.filter(|(byte, _)| byte >> (j % 8) & 1 == 1).map(|(_, value)| value).sum()
            })
            .collect()
    }
}

/// A sum of products of words: its low word and the rest.
#[derive(Clone, Copy, Default)]
pub struct Exact {
    low: u64,
    high: u128,
}

impl Exact {
    #[inline(always)]
    pub fn add(&mut self, x: u64, y: u64) {
        let product = u128::from(x) * u128::from(y);
        let (low, carry) = self.low.overflowing_add(product as u64);
        self.low = low;
        self.high += (product >> 64) + u128::from(carry);
    }

    /// (sum - c1 - c2) / 2^64 for the words c1 = sum - c2 modulo 2^64 and c2.
    #[inline(always)]
    pub fn quotient(self, second: u64) -> i128 {
        self.high as i128 - i128::from(self.low < second)
    }
}

/// Both components of the factors of products, and the second summand of the results' claim.
pub struct Products<'a> {
    pub x: (&'a [u64], &'a [u64]),
    pub y: (&'a [u64], &'a [u64]),
    pub second: &'a [u64],
}

impl Products<'_> {
    #[inline(always)]
    fn cross(&self, sum: &mut Exact, i: usize, j: usize) {
        sum.add(self.x.0[i], self.y.1[j]);
        sum.add(self.x.1[i], self.y.0[j]);
    }

    /// Output t sums the products terms * t .. terms * (t + 1), or with `strided` t, t + outputs, ...
    pub fn quotients(&self, weights: &[u64], strided: bool) -> Vec<i128> {
        let outputs = self.second.len();
        let terms = self.x.0.len().checked_div(outputs).unwrap_or(0);
        let mut buckets = Buckets::default();
        for (t, (second, weight)) in self.second.iter().zip(weights).enumerate() {
            let mut sum = Exact::default();
            for l in 0..terms {
                let i = if strided { l * outputs + t } else { t * terms + l };
                self.cross(&mut sum, i, i);
            }
            buckets.add(*weight, sum.quotient(*second));
        }
        buckets.sums()
    }

    /// As `quotients` for the inner products of all rows of x with all rows of y, rows of `inner` words.
    pub fn all_pairs(&self, weights: &[u64], inner: usize, columns: usize) -> Vec<i128> {
        let mut buckets = Buckets::default();
        for (t, (second, weight)) in self.second.iter().zip(weights).enumerate() {
            let (a, b) = (t / columns, t % columns);
            let mut sum = Exact::default();
            for l in 0..inner {
                self.cross(&mut sum, a * inner + l, b * inner + l);
            }
            buckets.add(*weight, sum.quotient(*second));
        }
        buckets.sums()
    }
}

/// As `Products::quotients` for sums of products of one word with another.
pub fn single_quotients(left: &[u64], right: &[u64], second: &[u64], weights: &[u64], strided: bool) -> Vec<i128> {
    let outputs = second.len();
    let terms = left.len().checked_div(outputs).unwrap_or(0);
    let mut buckets = Buckets::default();
    for (t, (second, weight)) in second.iter().zip(weights).enumerate() {
        let mut sum = Exact::default();
        for l in 0..terms {
            let i = if strided { l * outputs + t } else { t * terms + l };
            sum.add(left[i], right[i]);
        }
        buckets.add(*weight, sum.quotient(*second));
    }
    buckets.sums()
}

/// As `Products::quotients` where the sums are the words themselves.
pub fn words_quotients(words: &[u64], second: &[u64], weights: &[u64]) -> Vec<i128> {
    let mut buckets = Buckets::default();
    for ((word, second), weight) in words.iter().zip(second).zip(weights) {
        buckets.add(*weight, -i128::from(word < second));
    }
    buckets.sums()
}

/// Columns met at once, so that their sums stay in the first-level cache.
const BLOCK: usize = 64;

#[inline(always)]
fn add_rows(table: &[u64], weights: &[u64], out: &mut [u64]) {
    let columns = out.len() / COMBINATIONS;
    let mut part = [[0u64; BLOCK]; COMBINATIONS];
    for start in (0..columns).step_by(BLOCK) {
        let width = BLOCK.min(columns - start);
        part.iter_mut().for_each(|row| row.fill(0));
        for (weight, row) in weights.iter().zip(table.chunks_exact(columns)) {
            let mut words = [0u64; BLOCK];
            words[..width].copy_from_slice(&row[start..start + width]);
            let mut picks = weight & ((1 << COMBINATIONS) - 1);
            while picks != 0 {
                let sums = &mut part[picks.trailing_zeros() as usize];
                sums.iter_mut().zip(&words).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
                picks &= picks - 1;
            }
        }
        for (sums, row) in part.iter().zip(out.chunks_exact_mut(columns)) {
            row[start..start + width].copy_from_slice(&sums[..width]);
        }
    }
}
widened!(add_rows_fast, add_rows, table: &[u64], weights: &[u64], out: &mut [u64]);

/// Row j of the result: the sum modulo 2^64 of the rows that combination j picks. weights: one a row.
pub fn combine_rows(table: &[u64], weights: &[u64]) -> Vec<u64> {
    let mut out = vec![0u64; COMBINATIONS * table.len().checked_div(weights.len()).unwrap_or(0)];
    add_rows_fast(table, weights, &mut out);
    out
}

#[inline(always)]
fn add_columns(table: &[u64], picks: &[[u64; COMBINATIONS]], out: &mut [u64]) {
    let rows = out.len() / COMBINATIONS;
    for (r, row) in table.chunks_exact(picks.len().max(1)).enumerate() {
        let mut sums = [0u64; COMBINATIONS];
        for (word, pick) in row.iter().zip(picks) {
            sums.iter_mut().zip(pick).for_each(|(sum, pick)| *sum = sum.wrapping_add(word & pick));
        }
        sums.iter().enumerate().for_each(|(j, sum)| out[j * rows + r] = *sum);
    }
}
widened!(add_columns_fast, add_columns, table: &[u64], picks: &[[u64; COMBINATIONS]], out: &mut [u64]);

/// Row j of the result: the sums modulo 2^64, over every row, of the columns that combination j picks.
pub fn combine_columns(table: &[u64], weights: &[u64]) -> Vec<u64> {
    let picks: Vec<[u64; COMBINATIONS]> =
        weights.iter().map(|weight| std::array::from_fn(|j| (weight >> j & 1).wrapping_neg())).collect();
    let mut out = vec![0u64; COMBINATIONS * table.len().checked_div(weights.len()).unwrap_or(0)];
    add_columns_fast(table, &picks, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    fn drawn(seed: u8, count: usize) -> Vec<u64> {
        let mut words = vec![0; count];
        Prg::new(&[seed; 16]).fill(&mut words);
        words
    }

    #[test]
    fn combinations_are_those_of_the_definition() {
        for (rows, columns) in [(1, 1), (3, 9), (50, 64), (17, 130), (64, 7), (5, 0)] {
            let (table, weights) = (drawn(1, rows * columns), drawn(2, rows.max(columns)));
            let (down, across) = (combine_rows(&table, &weights[..rows]), combine_columns(&table, &weights[..columns]));
            for j in 0..COMBINATIONS {
                let picked = |i: usize| (weights[i] >> j & 1).wrapping_neg();
                for c in 0..columns {
                    let sum = (0..rows).fold(0u64, |sum, r| sum.wrapping_add(picked(r) & table[r * columns + c]));
                    assert_eq!(down[j * columns + c], sum);
                }
                for r in (0..rows).filter(|_| columns > 0) {
                    let sum = (0..columns).fold(0u64, |sum, c| sum.wrapping_add(picked(c) & table[r * columns + c]));
                    assert_eq!(across[j * rows + r], sum);
                }
            }
        }
    }

    #[test]
    fn quotients_are_what_the_sums_exceed_their_summands_by() {
        let count = 60;
        let [x0, x1, y0, y1, second, weights] = [1, 2, 3, 4, 5, 6].map(|seed| {
            let mut words = drawn(seed, count);
            words[..4].copy_from_slice(&[0, 1, u64::MAX, 1 << 63]);
            words
        });
        for terms in [1, 3] {
            let outputs = count / terms;
            let products = Products { x: (&x0, &x1), y: (&y0, &y1), second: &second[..outputs] };
            for strided in [false, true] {
                let mut expected = vec![0i128; COMBINATIONS];
                for t in 0..outputs {
                    let place = |l| if strided { l * outputs + t } else { t * terms + l };
                    let wide = |x: &[u64], y: &[u64], i: usize| u128::from(x[i]) * u128::from(y[i]);
                    let factors = (0..terms).map(place).flat_map(|i| [wide(&x0, &y1, i), wide(&x1, &y0, i)]);
                    let (mut low, mut above) = (0u128, 0i128);
                    for product in factors {
                        low += u128::from(product as u64);
                        above += (product >> 64) as i128;
                    }
                    let first = (low as u64).wrapping_sub(second[t]);
                    let rest = low as i128 - i128::from(first) - i128::from(second[t]);
                    assert_eq!(rest % (1 << 64), 0);
                    let quotient = above + rest / (1 << 64);
                    let picked = expected.iter_mut().enumerate().filter(|(j, _)| weights[t] >> j & 1 == 1);
                    picked.for_each(|(_, sum)| *sum += quotient);
                }
                assert_eq!(products.quotients(&weights[..outputs], strided), expected);
            }
        }
    }
}
