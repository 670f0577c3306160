//! Sums under binary weights, and the integers by which sums of products exceed their residues modulo 2^64.
use super::fold::Bit;
#[cfg(target_arch = "x86_64")]
use super::sums_wide;
use super::COMBINATIONS;
use crate::ring::widened;

const BYTES: usize = COMBINATIONS / 8;
/// Values that are summed at a time.
const CHUNK: usize = 512;
/// Terms of a sum from which its quotient may be too large for the vector code.
const MANY: usize = 1 << 20;

/// For every combination the sum of the values that its bit of the weights picks. The weights are public.
struct Buckets(Vec<[i128; 256]>);

impl Buckets {
    fn add(&mut self, weight: u64, value: i128) {
        for (bucket, byte) in self.0.iter_mut().zip(weight.to_le_bytes()) {
            bucket[usize::from(byte)] += value;
        }
    }

    fn sums(&self) -> Vec<i128> {
        (0..COMBINATIONS)
            .map(|j| {
                let bucket = self.0[j / 8].iter().enumerate();
                bucket.filter(|(byte, _)| byte >> (j % 8) & 1 == 1).map(|(_, value)| value).sum()
            })
            .collect()
    }
}

fn bucketed(weights: &[u64], value: impl Fn(usize) -> i128) -> Vec<i128> {
    let mut buckets = Buckets(vec![[0; 256]; BYTES]);
    weights.iter().enumerate().for_each(|(t, weight)| buckets.add(*weight, value(t)));
    buckets.sums()
}

#[cfg(target_arch = "x86_64")]
fn vectored(weights: &[u64], value: impl Fn(usize) -> i128) -> Vec<i128> {
    let mut totals = [0; COMBINATIONS];
    let [mut picks, mut low, mut high] = [[0u64; CHUNK]; 3];
    for (chunk, part) in weights.chunks(CHUNK).enumerate() {
        picks[..part.len()].copy_from_slice(part);
        picks[part.len()..].fill(0);
        for (t, (low, high)) in low.iter_mut().zip(&mut high).take(part.len()).enumerate() {
            let value = value(chunk * CHUNK + t);
            (*low, *high) = (value as u64 & u64::from(u32::MAX), (value >> 32) as u64);
        }
        // SAFETY: the processor has the features that the function is compiled for.
        unsafe { sums_wide::add(&picks, &low, &high, &mut totals) };
    }
    totals.to_vec()
}

/// For every combination the sum of the values of the outputs that its bit of the weights picks; terms: of each value.
fn picked(weights: &[u64], terms: usize, value: impl Fn(usize) -> i128) -> Vec<i128> {
    #[cfg(target_arch = "x86_64")]
    if terms < MANY && sums_wide::available() {
        return vectored(weights, value);
    }
    bucketed(weights, value)
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
        picked(weights, terms, |t| {
            let mut sum = Exact::default();
            for l in 0..terms {
                let i = if strided { l * outputs + t } else { t * terms + l };
                self.cross(&mut sum, i, i);
            }
            sum.quotient(self.second[t])
        })
    }
}

/// Words, or one bit of each times a value.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub words: &'a [u64],
    pub bit: Option<Bit>,
}

impl Reading<'_> {
    /// The words read at a range; room: for bits.
    pub fn read<'a>(&'a self, at: std::ops::Range<usize>, room: &'a mut [u64]) -> &'a [u64] {
        let words = &self.words[at];
        let Some(bit) = self.bit else { return words };
        let room = &mut room[..words.len()];
        for (to, word) in room.iter_mut().zip(words) {
            *to = bit.value & (word >> bit.at & 1).wrapping_neg();
        }
        room
    }

    #[inline(always)]
    pub fn at(&self, i: usize) -> u64 {
        self.bit.map_or(self.words[i], |bit| bit.value & (self.words[i] >> bit.at & 1).wrapping_neg())
    }
}

/// As `Products::quotients` for sums of products of one word with another, output t of the products t, t + outputs, ... of
/// every pair of readings.
pub fn single_quotients(left: &[Reading], right: &[Reading], second: &[u64], weights: &[u64]) -> Vec<i128> {
    let outputs = second.len();
    let terms = left.iter().map(|left| left.words.len()).sum::<usize>().checked_div(outputs).unwrap_or(0);
    picked(weights, terms, |t| {
        let mut sum = Exact::default();
        for (left, right) in left.iter().zip(right) {
            (t..left.words.len()).step_by(outputs).for_each(|i| sum.add(left.at(i), right.at(i)));
        }
        sum.quotient(second[t])
    })
}

/// As `Products::quotients` where the sums are the words themselves.
pub fn words_quotients(words: &[u64], second: &[u64], weights: &[u64]) -> Vec<i128> {
    picked(weights, 1, |t| -i128::from(words[t] < second[t]))
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
    fn sums_are_those_of_the_values_that_bits_pick() {
        for count in [0, 5, 512, 1301] {
            let (weights, words) = (drawn(1, count), drawn(2, 2 * count));
            let values: Vec<i128> =
                words.chunks(2).map(|pair| (i128::from(pair[0]) << 64 | i128::from(pair[1])) >> 40).collect();
            let values: Vec<i128> = values.iter().enumerate().map(|(i, v)| if i % 3 == 0 { -v } else { *v }).collect();
            let expected: Vec<i128> = (0..COMBINATIONS)
                .map(|j| values.iter().zip(&weights).filter(|(_, w)| *w >> j & 1 == 1).map(|(v, _)| v).sum())
                .collect();
            assert_eq!(picked(&weights, 1, |t| values[t]), expected);
            assert_eq!(picked(&weights, MANY, |t| values[t]), expected);
        }
    }

    #[test]
    fn bits_are_read_as_the_words_they_stand_for() {
        let [x, y, second, weights] = [1, 2, 3, 4].map(|seed| drawn(seed, 600));
        let (low, sign) = (Bit { at: 3, value: u64::MAX - 1 }, Bit { at: 63, value: 1 });
        let words = |words: &[u64], bit: Bit| -> Vec<u64> {
            words.iter().map(|word| (word >> bit.at & 1).wrapping_mul(bit.value)).collect()
        };
        let (plain, of_x, of_y) = (words(&y, sign), words(&x, low), words(&y, sign));
        let whole = |words| Reading { words, bit: None };
        let expected = single_quotients(&[whole(&of_x), whole(&x)], &[whole(&of_y), whole(&plain)], &second, &weights);
        let left = [Reading { words: &x, bit: Some(low) }, whole(&x)];
        let right = [Reading { words: &y, bit: Some(sign) }; 2];
        assert_eq!(single_quotients(&left, &right, &second, &weights), expected);
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
