//! Sums under binary weights, and the integers by which sums of products exceed their residues modulo 2^64.
use super::fold::Bit;
#[cfg(target_arch = "x86_64")]
use super::sums_wide;
use super::COMBINATIONS;
use crate::ring::widened;

const BYTES: usize = COMBINATIONS / 8;
/// Values that are summed at a time.
const CHUNK: usize = 512;
/// Bits of a value's lower part; the quotients of 2^31 terms are below 2^97.
pub const LOWER: u32 = 40;
/// Terms of a sum from which its quotient may be too large for the vector code.
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
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

/// A value's lower bits and the rest, which the vector code sums apart.
fn split(value: i128) -> (u64, u64) {
    (value as u64 & ((1 << LOWER) - 1), (value >> LOWER) as u64)
}

/// For every combination the sum of the values of the outputs that its bit of the weights picks; terms: of each value.
/// fill: writes the values of outputs from a number on, as `split` does.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
fn picked(weights: &[u64], terms: usize, mut fill: impl FnMut(usize, &mut [u64], &mut [u64])) -> Vec<i128> {
    let [mut low, mut high] = [[0u64; CHUNK]; 2];
    #[cfg(target_arch = "x86_64")]
    if terms < MANY && sums_wide::available() {
        let mut totals = [0; COMBINATIONS];
        let mut picks = [0u64; CHUNK];
        for (chunk, part) in weights.chunks(CHUNK).enumerate() {
            fill(chunk * CHUNK, &mut low[..part.len()], &mut high[..part.len()]);
            picks[..part.len()].copy_from_slice(part);
            picks[part.len()..].fill(0);
            // SAFETY: the processor has the features that the function is compiled for.
            unsafe { sums_wide::add(&picks, &low, &high, &mut totals) };
        }
        return totals.to_vec();
    }
    let mut buckets = Buckets(vec![[0; 256]; BYTES]);
    for (chunk, part) in weights.chunks(CHUNK).enumerate() {
        fill(chunk * CHUNK, &mut low[..part.len()], &mut high[..part.len()]);
        for (weight, (low, high)) in part.iter().zip(low.iter().zip(high)) {
            buckets.add(*weight, i128::from(*low) + (i128::from(high as i64) << LOWER));
        }
    }
    buckets.sums()
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

    #[inline(always)]
    fn add_word(&mut self, word: u64) {
        let (low, carry) = self.low.overflowing_add(word);
        self.low = low;
        self.high += u128::from(carry);
    }

    /// Add a product of sums of two words each.
    #[inline(always)]
    pub fn add_sums(&mut self, x: (u64, u64), y: (u64, u64)) {
        let ((x, over_x), (y, over_y)) = (x.0.overflowing_add(x.1), y.0.overflowing_add(y.1));
        self.add(x, y);
        let above = (y & u64::from(over_x).wrapping_neg(), x & u64::from(over_y).wrapping_neg());
        self.high += u128::from(above.0) + u128::from(above.1) + (u128::from(over_x & over_y) << 64);
    }

    /// (sum - c1 - c2) / 2^64 for the words c1 = sum - c2 modulo 2^64 and c2.
    #[inline(always)]
    pub fn quotient(self, second: u64) -> i128 {
        self.high as i128 - i128::from(self.low < second)
    }
}

/// Both components of the factors of products, and what was drawn for the results' second summand.
pub struct Products<'a> {
    pub x: (&'a [u64], &'a [u64]),
    pub y: (&'a [u64], &'a [u64]),
    pub drawn: &'a [u64],
}

impl Products<'_> {
    /// Output t sums the products terms * t .. terms * (t + 1), or with `strided` t, t + outputs, ...  The second verifier
    /// knows of it what was drawn and the products of the components that it has.
    pub fn quotients(&self, weights: &[u64], strided: bool) -> Vec<i128> {
        let outputs = self.drawn.len();
        let terms = self.x.0.len().checked_div(outputs).unwrap_or(0);
        picked(weights, terms, |start, low, high| {
            for (t, (low, high)) in (start..).zip(low.iter_mut().zip(high)) {
                let (mut sum, mut second) = (Exact::default(), self.drawn[t]);
                for l in 0..terms {
                    let i = if strided { l * outputs + t } else { t * terms + l };
                    sum.add_sums((self.x.0[i], self.x.1[i]), (self.y.0[i], self.y.1[i]));
                    second = second.wrapping_add(self.x.1[i].wrapping_mul(self.y.1[i]));
                }
                (*low, *high) = split(sum.quotient(second));
            }
        })
    }
}

/// Words, or one bit of each times a value.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub words: &'a [u64],
    pub bit: Option<Bit>,
}

#[inline(always)]
fn pick(words: &[u64], at: u32, value: u64, out: &mut [u64]) {
    for (to, word) in out.iter_mut().zip(words) {
        *to = value & (word >> at & 1).wrapping_neg();
    }
}
widened!(pick_fast, pick, words: &[u64], at: u32, value: u64, out: &mut [u64]);

impl Reading<'_> {
    /// The words read at a range; room: for bits.
    pub fn read<'a>(&'a self, at: std::ops::Range<usize>, room: &'a mut [u64]) -> &'a [u64] {
        let words = &self.words[at];
        let Some(bit) = self.bit else { return words };
        let room = &mut room[..words.len()];
        pick_fast(words, bit.at, bit.value, room);
        room
    }

    /// Whether it is 0 or 1 whatever the words are.
    fn is_bit(&self) -> bool {
        self.bit.is_some_and(|bit| bit.value == 1)
    }
}

/// As `Products::quotients` for sums of products of one word with another, output t of the products t, t + outputs, ... of
/// every pair of readings.
pub fn single_quotients(left: &[Reading], right: &[Reading], second: &[u64], weights: &[u64]) -> Vec<i128> {
    let outputs = second.len();
    let terms = left.iter().map(|left| left.words.len()).sum::<usize>().checked_div(outputs).unwrap_or(0);
    let [mut one, mut other] = [[0u64; CHUNK]; 2];
    picked(weights, terms, |start, low, high| {
        let end = start + low.len();
        let mut sums = [Exact::default(); CHUNK];
        for (left, right) in left.iter().zip(right) {
            for term in (0..left.words.len()).step_by(outputs) {
                let at = term + start..term + end;
                let (x, y) = (left.read(at.clone(), &mut one), right.read(at, &mut other));
                let terms = sums.iter_mut().zip(x).zip(y);
                if left.is_bit() || right.is_bit() {
                    terms.for_each(|((sum, x), y)| sum.add_word(x * y));
                } else {
                    terms.for_each(|((sum, x), y)| sum.add(*x, *y));
                }
            }
        }
        let parts = low.iter_mut().zip(high).zip(sums).zip(&second[start..end]);
        parts.for_each(|(((low, high), sum), second)| (*low, *high) = split(sum.quotient(*second)));
    })
}

/// As `Products::quotients` where the sums are the words themselves.
pub fn words_quotients(words: &[u64], second: &[u64], weights: &[u64]) -> Vec<i128> {
    picked(weights, 1, |start, low, high| {
        let pairs = words[start..].iter().zip(&second[start..]);
        for ((low, high), (word, second)) in low.iter_mut().zip(high).zip(pairs) {
            let below = u64::from(word < second).wrapping_neg();
            (*low, *high) = (below >> (64 - LOWER), below);
        }
    })
}

/// Words of a row that are summed at a time, and rows of which all sums are made first.
pub const WIDTH: usize = 8;
pub const FOUR: usize = 4;
pub type Row = [u64; WIDTH];

/// Which of four rows each combination picks, as a number below 16, for all rows four by four.
fn fours(weights: &[u64]) -> Vec<[u8; COMBINATIONS]> {
    let bit = |weight: Option<&u64>, j: usize| (weight.copied().unwrap_or(0) >> j & 1) as u8;
    let number = |four: &[u64], j: usize| (0..FOUR).fold(0, |sum, i| sum | bit(four.get(i), j) << i);
    weights.chunks(FOUR).map(|four| std::array::from_fn(|j| number(four, j))).collect()
}

/// sums[j] gets of every four rows those that their number for combination j picks.
fn add_fours(rows: &[Row], fours: &[[u8; COMBINATIONS]], sums: &mut [Row; COMBINATIONS]) {
    #[cfg(target_arch = "x86_64")]
    if sums_wide::available() {
        // SAFETY: the processor has the features that the function is compiled for.
        return unsafe { sums_wide::add_fours(rows, fours, sums) };
    }
    plain_fours(rows, fours, sums);
}

fn plain_fours(rows: &[Row], fours: &[[u8; COMBINATIONS]], sums: &mut [Row; COMBINATIONS]) {
    let plus = |x: Row, y: Row| -> Row { std::array::from_fn(|i| x[i].wrapping_add(y[i])) };
    let mut table = [[0u64; WIDTH]; 1 << FOUR];
    for (rows, numbers) in rows.as_chunks::<FOUR>().0.iter().zip(fours) {
        for (i, row) in rows.iter().enumerate() {
            for number in 0..1 << i {
                table[number | 1 << i] = plus(table[number], *row);
            }
        }
        for (sum, number) in sums.iter_mut().zip(numbers) {
            *sum = plus(*sum, table[usize::from(number & 15)]);
        }
    }
}

/// Sums modulo 2^64 for the weights, one to a row of `width` words; read: writes the words of every row from a place on.
fn combined(weights: &[u64], width: usize, mut read: impl FnMut(usize, &mut [Row])) -> Vec<u64> {
    let fours = fours(weights);
    let mut rows = vec![[0; WIDTH]; FOUR * fours.len()];
    let mut out = vec![0; COMBINATIONS * width];
    for start in (0..width).step_by(WIDTH) {
        read(start, &mut rows[..weights.len()]);
        let mut sums = [[0; WIDTH]; COMBINATIONS];
        add_fours(&rows, &fours, &mut sums);
        let count = WIDTH.min(width - start);
        for (sum, out) in sums.iter().zip(out.chunks_exact_mut(width)) {
            out[start..start + count].copy_from_slice(&sum[..count]);
        }
    }
    out
}

/// Row j of the result: the sum modulo 2^64 of the rows that combination j picks. weights: one a row.
pub fn combine_rows(table: &[u64], weights: &[u64]) -> Vec<u64> {
    let columns = table.len().checked_div(weights.len()).unwrap_or(0);
    combined(weights, columns, |start, rows| {
        let end = columns.min(start + WIDTH);
        for (to, row) in rows.iter_mut().zip(table.chunks_exact(columns)) {
            to[..end - start].copy_from_slice(&row[start..end]);
        }
    })
}

/// Row j of the result: the sums modulo 2^64, over every row, of the columns that combination j picks.
pub fn combine_columns(table: &[u64], weights: &[u64]) -> Vec<u64> {
    let (columns, rows) = (weights.len(), table.len().checked_div(weights.len()).unwrap_or(0));
    combined(weights, rows, |start, to| {
        for (place, row) in table[start * columns..].chunks_exact(columns).take(WIDTH).enumerate() {
            to.iter_mut().zip(row).for_each(|(to, word)| to[place] = *word);
        }
    })
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
    fn vectors_equal_the_portable_code() {
        let rows = drawn(1, 20 * WIDTH);
        let (rows, fours) = (rows.as_chunks().0, fours(&drawn(2, 20)));
        let [mut one, mut two] = [[[7; WIDTH]; COMBINATIONS]; 2];
        add_fours(rows, &fours, &mut one);
        plain_fours(rows, &fours, &mut two);
        assert_eq!(one, two);
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
            let fill = |start: usize, low: &mut [u64], high: &mut [u64]| {
                let parts = low.iter_mut().zip(high).zip(&values[start..]);
                parts.for_each(|((low, high), value)| (*low, *high) = split(*value));
            };
            assert_eq!(picked(&weights, 1, fill), expected);
            assert_eq!(picked(&weights, MANY, fill), expected);
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
        let [x0, x1, y0, y1, drawn, weights] = [1, 2, 3, 4, 5, 6].map(|seed| {
            let mut words = drawn(seed, count);
            words[..4].copy_from_slice(&[0, 1, u64::MAX, 1 << 63]);
            words
        });
        assert_eq!((x0[2], y1[2]), (u64::MAX, u64::MAX));
        for terms in [1, 3] {
            let outputs = count / terms;
            let products = Products { x: (&x0, &x1), y: (&y0, &y1), drawn: &drawn[..outputs] };
            for strided in [false, true] {
                let mut expected = vec![0i128; COMBINATIONS];
                for t in 0..outputs {
                    let place = |l| if strided { l * outputs + t } else { t * terms + l };
                    let wide = |x: &[u64], y: &[u64], i: usize| u128::from(x[i]) * u128::from(y[i]);
                    let all = |i| [wide(&x0, &y0, i), wide(&x0, &y1, i), wide(&x1, &y0, i), wide(&x1, &y1, i)];
                    let factors = (0..terms).map(place).flat_map(all);
                    let products = (0..terms).map(place).map(|i| x1[i].wrapping_mul(y1[i]));
                    let second = products.fold(drawn[t], u64::wrapping_add);
                    let (mut low, mut above) = (0u128, 0i128);
                    for product in factors {
                        low += u128::from(product as u64);
                        above += (product >> 64) as i128;
                    }
                    let first = (low as u64).wrapping_sub(second);
                    let rest = low as i128 - i128::from(first) - i128::from(second);
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
