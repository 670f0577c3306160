//! Sums under binary weights, and the integers by which sums of products exceed their residues modulo 2^64.
use super::COMBINATIONS;

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

/// As `Products::quotients` where the sums are the words themselves.
pub fn words_quotients(words: &[u64], second: &[u64], weights: &[u64]) -> Vec<i128> {
    let mut buckets = Buckets::default();
    for ((word, second), weight) in words.iter().zip(second).zip(weights) {
        buckets.add(*weight, -i128::from(word < second));
    }
    buckets.sums()
}

/// Row j of the result: the sum modulo 2^64 of the rows that combination j picks. weights: one a row.
pub fn combine_rows(table: &[u64], weights: &[u64]) -> Vec<u64> {
    let columns = table.len().checked_div(weights.len()).unwrap_or(0);
    const BLOCK: usize = 64;
    let mut out = vec![0u64; COMBINATIONS * columns];
    let mut part = [[0u64; BLOCK]; COMBINATIONS];
    for start in (0..columns).step_by(BLOCK) {
        let width = BLOCK.min(columns - start);
        part.iter_mut().for_each(|row| row.fill(0));
        for (weight, row) in weights.iter().zip(table.chunks_exact(columns)) {
            let mut words = [0u64; BLOCK];
            words[..width].copy_from_slice(&row[start..start + width]);
            for (j, sums) in part.iter_mut().enumerate() {
                if weight >> j & 1 == 1 {
                    sums.iter_mut().zip(&words).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
                }
            }
        }
        for (sums, row) in part.iter().zip(out.chunks_exact_mut(columns)) {
            row[start..start + width].copy_from_slice(&sums[..width]);
        }
    }
    out
}

/// Row j of the result: the sums modulo 2^64, over every row, of the columns that combination j picks.
pub fn combine_columns(table: &[u64], weights: &[u64]) -> Vec<u64> {
    let columns = weights.len();
    let rows = table.len().checked_div(columns).unwrap_or(0);
    let picks: Vec<[u64; COMBINATIONS]> =
        weights.iter().map(|weight| std::array::from_fn(|j| (weight >> j & 1).wrapping_neg())).collect();
    let mut out = vec![0u64; COMBINATIONS * rows];
    for (r, row) in table.chunks_exact(columns.max(1)).enumerate() {
        let mut sums = [0u64; COMBINATIONS];
        for (word, pick) in row.iter().zip(&picks) {
            sums.iter_mut().zip(pick).for_each(|(sum, pick)| *sum = sum.wrapping_add(word & pick));
        }
        sums.iter().enumerate().for_each(|(j, sum)| out[j * rows + r] = *sum);
    }
    out
}
