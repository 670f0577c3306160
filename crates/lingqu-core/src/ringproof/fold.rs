//! Inner products modulo a prime, folded: lengths shrink by a factor, pieces are weighed by powers of a challenge.
//!
//! Vectors are streams of sides. A block of a stream is `factor` pieces of `lanes` entries; every side is filled up
//! with zeros to whole blocks.
use super::field::Field;
#[cfg(target_arch = "x86_64")]
use super::wide;
use super::COMBINATIONS;
use crate::memory::zeros;
use crate::ring::widened;

/// One bit of every word, times a value.
#[derive(Clone, Copy)]
pub struct Bit {
    pub at: u32,
    pub value: u64,
}

/// Words, or one bit of each, taken modulo the prime, times the weights of their outputs.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub words: &'a [u64],
    /// What is added to the words, as integers; not where a bit is read.
    pub other: Option<&'a [u64]>,
    pub bit: Option<Bit>,
    pub weights: Option<&'a [u64]>,
    /// The weight of entry i is number (i / repeat) modulo their count.
    pub repeat: usize,
}

/// How a stream is cut.
#[derive(Clone, Copy)]
pub struct Cut {
    pub factor: usize,
    pub lanes: usize,
}

impl Cut {
    fn block(self) -> usize {
        self.factor * self.lanes
    }

    /// Entries lifted at a time, whole blocks; `products` takes more, as each of its sums costs some time a chunk.
    fn chunk(self, most: usize) -> usize {
        most.next_multiple_of(self.block())
    }

    pub fn folded(self, length: usize) -> usize {
        length.div_ceil(self.block()) * self.lanes
    }
}

/// Words, or sums of two, modulo the prime, times their weights where they have some, as entries below 2^52; see
/// `Side::turned`.
fn lift(field: Field, words: &[u64], other: Option<&[u64]>, weights: Option<&[u64]>, out: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    if wide::lift(field, words, other, weights, out) {
        return;
    }
    for (i, (to, word)) in out.iter_mut().zip(words).enumerate() {
        *to = field.narrow(u128::from(*word) + other.map_or(0, |other| u128::from(other[i])));
    }
    for (to, weight) in out.iter_mut().zip(weights.unwrap_or(&[])) {
        *to = field.multiply(*to, *weight);
    }
}

/// Where the bit is set, the weight times the bit's value.
fn pick(field: Field, words: &[u64], bit: Bit, weights: Option<&[u64]>, out: &mut [u64]) {
    let value = field.narrow(u128::from(bit.value));
    #[cfg(target_arch = "x86_64")]
    let done = wide::pick(words, bit.at, weights, value, out);
    #[cfg(not(target_arch = "x86_64"))]
    let done = false;
    if !done {
        for (i, (to, word)) in out.iter_mut().zip(words).enumerate() {
            *to = weights.map_or(value, |weights| weights[i]) & (word >> bit.at & 1).wrapping_neg();
        }
    }
    if weights.is_some() && value != 1 {
        out.iter_mut().for_each(|to| *to = field.multiply(*to, value));
    }
}

impl Side<'_> {
    /// What entries are to be multiplied by: vector code leaves a factor of 2^-52 in weighed words.
    fn turned(&self, field: Field) -> Option<u64> {
        #[cfg(target_arch = "x86_64")]
        let wide = wide::available();
        #[cfg(not(target_arch = "x86_64"))]
        let wide = false;
        (wide && self.weights.is_some() && self.bit.is_none()).then(|| field.limb())
    }

    /// Entries from `start` on, zeros behind the last.  spare: room for as many weights.
    fn lift(&self, field: Field, start: usize, out: &mut [u64], spare: &mut [u64]) {
        let count = out.len().min(self.words.len() - start);
        let words = &self.words[start..start + count];
        out[count..].fill(0);
        let out = &mut out[..count];
        let weights = self.weights.map(|weights| {
            let whole = self.repeat == 1 && start + count <= weights.len();
            if whole {
                &weights[start..start + count]
            } else {
                self.spread(weights, start, &mut spare[..count])
            }
        });
        match self.bit {
            None => lift(field, words, self.other.map(|other| &other[start..start + count]), weights, out),
            Some(bit) => pick(field, words, bit, weights, out),
        }
    }

    /// The weights of entries from `start` on.
    fn spread<'a>(&self, weights: &[u64], start: usize, spare: &'a mut [u64]) -> &'a [u64] {
        let (mut output, mut left) = (start / self.repeat % weights.len(), self.repeat - start % self.repeat);
        let mut rest = &mut spare[..];
        while !rest.is_empty() {
            let run;
            (run, rest) = rest.split_at_mut(left.min(rest.len()));
            run.fill(weights[output]);
            (output, left) = (if output + 1 == weights.len() { 0 } else { output + 1 }, self.repeat);
        }
        spare
    }
}

/// The products of a chunk's pieces, added to the sums of their diagonals.
fn chunk_products(left: &[u64], right: &[u64], cut: Cut, sums: &mut [u128]) {
    #[cfg(target_arch = "x86_64")]
    if wide::products(left, right, cut.factor, cut.lanes, sums) {
        return;
    }
    for (left, right) in left.chunks_exact(cut.block()).zip(right.chunks_exact(cut.block())) {
        for (a, left) in left.chunks_exact(cut.lanes).enumerate() {
            for (b, right) in right.chunks_exact(cut.lanes).enumerate() {
                let sum: u128 = left.iter().zip(right).map(|(x, y)| u128::from(*x) * u128::from(*y)).sum();
                sums[cut.factor - 1 + a - b] += sum;
            }
        }
    }
}

/// The fold of a chunk.
fn chunk_fold(field: Field, entries: &[u64], powers: &[u64], lanes: usize, out: &mut [u64]) {
    #[cfg(target_arch = "x86_64")]
    if wide::fold(field, entries, powers, lanes, out) {
        return;
    }
    let blocks = entries.chunks_exact(powers.len() * lanes);
    for (block, out) in blocks.zip(out.chunks_exact_mut(lanes)) {
        for (lane, to) in out.iter_mut().enumerate() {
            let pieces = block[lane..].iter().step_by(lanes);
            *to = field.reduce(pieces.zip(powers).map(|(x, power)| u128::from(*x) * u128::from(*power)).sum());
        }
    }
}

/// The inner products of all pieces of u with all pieces of v: entry factor - 1 + a - b of the result sums <u_a, v_b>.
pub fn products(field: Field, u: &[Side], v: &[Side], cut: Cut) -> Vec<u64> {
    let (factor, chunk) = (cut.factor, cut.chunk(4096));
    let mut totals = vec![0u64; 2 * factor - 1];
    let [mut left, mut right, mut spare] = [0; 3].map(|zero| vec![zero; chunk]);
    for (u, v) in u.iter().zip(v) {
        let mut sums = vec![0u64; 2 * factor - 1];
        for start in (0..u.words.len()).step_by(chunk) {
            let size = (u.words.len() - start).next_multiple_of(cut.block()).min(chunk);
            u.lift(field, start, &mut left[..size], &mut spare);
            v.lift(field, start, &mut right[..size], &mut spare);
            let mut found = vec![0u128; 2 * factor - 1];
            chunk_products(&left[..size], &right[..size], cut, &mut found);
            sums.iter_mut().zip(found).for_each(|(sum, found)| *sum = field.reduce(found + u128::from(*sum)));
        }
        for turn in [u.turned(field), v.turned(field)].into_iter().flatten() {
            sums.iter_mut().for_each(|sum| *sum = field.multiply(*sum, turn));
        }
        totals
            .iter_mut()
            .zip(sums)
            .for_each(|(total, sum)| *total = field.narrow(u128::from(*total) + u128::from(sum)));
    }
    totals
}

/// Entry by entry the sum of the pieces times their powers.
pub fn fold(field: Field, sides: &[Side], powers: &[u64], lanes: usize) -> Vec<u64> {
    let cut = Cut { factor: powers.len(), lanes };
    let chunk = cut.chunk(1024);
    let mut out = zeros(sides.iter().map(|side| cut.folded(side.words.len())).sum());
    let [mut lifted, mut spare] = [0; 2].map(|zero| vec![zero; chunk]);
    let mut at = 0;
    for side in sides {
        let turn = side.turned(field).unwrap_or(1);
        let powers: Vec<u64> = powers.iter().map(|power| field.multiply(*power, turn)).collect();
        for start in (0..side.words.len()).step_by(chunk) {
            let size = (side.words.len() - start).next_multiple_of(cut.block()).min(chunk);
            side.lift(field, start, &mut lifted[..size], &mut spare);
            let end = at + size / cut.factor;
            chunk_fold(field, &lifted[..size], &powers, lanes, &mut out[at..end]);
            at = end;
        }
    }
    out
}

/// Weights modulo the prime: for every word the sum of the 48 challenges that its bits pick, from tables over four bits.
pub fn weigh(field: Field, words: &[u64], challenges: &[u64; COMBINATIONS]) -> Vec<u64> {
    let tables: [[u64; 16]; COMBINATIONS / 4] = std::array::from_fn(|digit| {
        std::array::from_fn(|value| {
            let picked = (0..4).filter(|i| value >> i & 1 == 1).map(|i| challenges[4 * digit + i]);
            picked.sum()
        })
    });
    let mut out = zeros(words.len());
    #[cfg(target_arch = "x86_64")]
    let done = wide::weigh(field, words, &tables, &mut out);
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    for (to, word) in out.iter_mut().zip(words).skip(done) {
        let picked = tables.iter().enumerate().map(|(digit, table)| table[(word >> (4 * digit) & 15) as usize]);
        *to = field.narrow(u128::from(picked.sum::<u64>()));
    }
    out
}

/// Words whose weighed sums are taken before they are reduced.
const SUMMED: usize = 4096;

/// What is weighed: words, less others, plus products, modulo 2^64.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    pub words: &'a [u64],
    pub less: Option<&'a [u64]>,
    pub product: Option<(&'a [u64], &'a [u64])>,
}

impl Known<'_> {
    fn part(&self, at: std::ops::Range<usize>) -> Self {
        Known {
            words: &self.words[at.clone()],
            less: self.less.map(|less| &less[at.clone()]),
            product: self.product.map(|(x, y)| (&x[at.clone()], &y[at])),
        }
    }

    fn word(&self, i: usize) -> u64 {
        let product = self.product.map_or(0, |(x, y)| x[i].wrapping_mul(y[i]));
        self.words[i].wrapping_sub(self.less.map_or(0, |less| less[i])).wrapping_add(product)
    }
}

fn chunk_sum(field: Field, known: Known, weights: &[u64]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if let Some(sum) = wide::weighed_sum(field, known, weights) {
        return sum;
    }
    field.reduce((0..weights.len()).map(|i| u128::from(known.word(i)) * u128::from(weights[i])).sum())
}

/// The sum of what a verifier knows of the outputs, times weights below the prime.
pub fn weighed_sum(field: Field, known: Known, weights: &[u64]) -> u64 {
    (0..weights.len()).step_by(SUMMED).fold(0, |total, start| {
        let at = start..weights.len().min(start + SUMMED);
        let sum = chunk_sum(field, known.part(at.clone()), &weights[at]);
        field.narrow(u128::from(sum) + u128::from(total))
    })
}

#[inline(always)]
fn add_rows(prime: u64, x: &[u64], y: &[u64], out: &mut [u64]) {
    for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
        let sum = x + y;
        *out = sum.min(sum.wrapping_sub(prime));
    }
}
widened!(add_rows_fast, add_rows, prime: u64, x: &[u64], y: &[u64], out: &mut [u64]);

/// Sums of numbers below the prime.
pub fn sums(field: Field, x: &[u64], y: &[u64]) -> Vec<u64> {
    let mut out = zeros(x.len());
    add_rows_fast(field.prime, x, y, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    fn field() -> Field {
        Field::new((1 << 51) - 129).unwrap()
    }

    fn drawn(seed: u8, count: usize) -> Vec<u64> {
        let mut words = vec![0; count];
        Prg::new(&[seed; 16]).fill(&mut words);
        let edges = [0, u64::MAX, 1 << 63, (1 << 51) - 129, (1 << 51) - 130, 2 * ((1 << 51) - 129)];
        words.iter_mut().step_by(3).zip(edges.iter().cycle()).for_each(|(word, edge)| *word = *edge);
        words
    }

    fn reduced(words: Vec<u64>) -> Vec<u64> {
        words.into_iter().map(|word| word % field().prime).collect()
    }

    fn sides<'a>(words: &'a [Vec<u64>], weights: &'a [u64]) -> Vec<Side<'a>> {
        let (sign, low) = (Some(Bit { at: 63, value: 1 }), Some(Bit { at: 0, value: u64::MAX - 1 }));
        let each = [
            (None, None, 1),
            (None, Some(weights), 1),
            (None, Some(weights), 7),
            (sign, Some(weights), 1),
            (low, None, 1),
            (None, Some(&weights[..5]), 1),
            (low, Some(weights), 1),
        ];
        let mut sides = Vec::new();
        for (i, (words, (bit, weights, repeat))) in words.iter().zip(each.into_iter().cycle()).enumerate() {
            let other = (bit.is_none() && i % 2 == 0).then_some(&words[..]);
            sides.push(Side { words, other, bit, weights, repeat });
        }
        sides
    }

    /// Entries in the order of `fold`, each block turned so that pieces lie together.
    fn lifted(sides: &[Side], cut: Cut) -> Vec<u64> {
        let mut out = Vec::new();
        for side in sides {
            let mut entries: Vec<u64> = side.words.to_vec();
            for (i, entry) in entries.iter_mut().enumerate() {
                let weight = side.weights.map_or(1, |weights| weights[i / side.repeat % weights.len()]);
                *entry = side.bit.map_or(*entry, |bit| (*entry >> bit.at & 1) * bit.value);
                let both = u128::from(*entry) + side.other.map_or(0, |other| u128::from(other[i]));
                *entry = (both % u128::from(field().prime) * u128::from(weight) % u128::from(field().prime)) as u64;
            }
            entries.resize(entries.len().next_multiple_of(cut.block()), 0);
            out.extend(entries);
        }
        out
    }

    #[test]
    fn products_and_folds_are_those_of_the_definition() {
        let prime = u128::from(field().prime);
        let weights = reduced(drawn(1, 5000));
        for lengths in [vec![1, 0, 300], vec![5000, 4096, 17, 129, 1030, 8, 3001], vec![127, 128]] {
            let u: Vec<Vec<u64>> = lengths.iter().map(|length| drawn(2, *length)).collect();
            let v: Vec<Vec<u64>> = lengths.iter().map(|length| drawn(3, *length)).collect();
            let (u, v) = (sides(&u, &weights), sides(&v, &weights));
            for (factor, lanes) in [(1, 1), (16, 8), (5, 3), (64, 8), (10, 8), (32, 1)] {
                let cut = Cut { factor, lanes };
                let (left, right) = (lifted(&u, cut), lifted(&v, cut));
                let powers = reduced(drawn(4, factor));
                let mut sums = vec![0u128; 2 * factor - 1];
                let mut folded = vec![0u128; left.len() / factor];
                for (i, x) in left.iter().enumerate() {
                    let (block, a, lane) = (i / cut.block(), i % cut.block() / lanes, i % lanes);
                    folded[block * lanes + lane] += u128::from(*x) * u128::from(powers[a]) % prime;
                    for b in 0..factor {
                        let y = right[block * cut.block() + b * lanes + lane];
                        sums[factor - 1 + a - b] += u128::from(*x) * u128::from(y) % prime;
                    }
                }
                let modulo = |sums: Vec<u128>| sums.into_iter().map(|sum| (sum % prime) as u64).collect::<Vec<_>>();
                assert_eq!(products(field(), &u, &v, cut), modulo(sums));
                assert_eq!(fold(field(), &u, &powers, lanes), modulo(folded));
            }
        }
    }

    #[test]
    fn weights_are_the_sums_that_the_bits_pick() {
        let words = drawn(1, 203);
        let challenges: [u64; COMBINATIONS] = reduced(drawn(2, COMBINATIONS)).try_into().unwrap();
        for (word, found) in words.iter().zip(weigh(field(), &words, &challenges)) {
            let picked = challenges.iter().enumerate().filter(|(j, _)| word >> j & 1 == 1);
            assert_eq!(
                u128::from(found),
                picked.map(|(_, c)| u128::from(*c)).sum::<u128>() % u128::from(field().prime)
            );
        }
    }

    #[test]
    fn known_summands_are_weighed_as_they_are() {
        let [received, x, y, other] = [3, 4, 5, 6].map(|seed| drawn(seed, 5000));
        let weights = reduced(drawn(7, 5000));
        let known = drawn(8, 5000);
        let less: Vec<u64> = (0..5000).map(|i| received[i].wrapping_sub(other[i])).collect();
        let plus: Vec<u64> = (0..5000).map(|i| x[i].wrapping_mul(y[i]).wrapping_add(other[i])).collect();
        for count in [0, 7, 4096, 5000] {
            let prime = u128::from(field().prime);
            let expected = |known: &[u64]| {
                let terms = known[..count].iter().zip(&weights).map(|(x, w)| u128::from(*x) * u128::from(*w) % prime);
                (terms.sum::<u128>() % prime) as u64
            };
            let sum = |known: Known| weighed_sum(field(), known.part(0..count), &weights[..count]);
            let plain = |words| Known { words, less: None, product: None };
            assert_eq!(sum(plain(&known)), expected(&known));
            assert_eq!(sum(Known { less: Some(&other), ..plain(&received) }), expected(&less));
            assert_eq!(sum(Known { product: Some((&x, &y)), ..plain(&other) }), expected(&plus));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn vectors_equal_the_portable_code() {
        if !wide::available() {
            return;
        }
        for prime in [(1u64 << 50) + 55, (1 << 51) - 129, (1 << 50) + (1 << 49) + 29] {
            let field = Field::new(prime).unwrap();
            let words = drawn(5, 4096);
            let weights: Vec<u64> = drawn(6, 4096).into_iter().map(|word| word % prime).collect();
            let mut out = vec![0; 4096];
            let mut plain = out.clone();
            assert!(wide::lift(field, &words, None, Some(&weights), &mut out));
            assert!(wide::lift(field, &words, None, None, &mut plain));
            let others: Vec<u64> = words.iter().map(|word| word.rotate_left(7) | 1 << 63).collect();
            let mut both = vec![0; 4096];
            assert!(wide::lift(field, &words, Some(&others), None, &mut both));
            for ((both, word), other) in both.iter().zip(&words).zip(&others) {
                assert!(*both < 1 << 52);
                assert_eq!(field.narrow(u128::from(*both)), field.narrow(u128::from(*word) + u128::from(*other)));
            }
            assert_eq!(sums(field, &weights, &weights), weights.iter().map(|x| 2 * x % prime).collect::<Vec<_>>());
            for (((out, plain), word), weight) in out.iter().zip(&plain).zip(&words).zip(&weights) {
                assert!(*out < 1 << 52 && *plain < 1 << 52);
                assert_eq!(field.narrow(u128::from(*plain)), field.narrow(u128::from(*word)));
                let product = field.multiply(field.narrow(u128::from(*word)), *weight);
                assert_eq!(field.multiply(field.narrow(u128::from(*out)), field.limb()), product);
            }
            let powers = &weights[..64];
            let mut folded = vec![0; 64];
            assert!(wide::fold(field, &weights, powers, 8, &mut folded));
            for (i, to) in folded.iter().enumerate() {
                let pieces = weights[i / 8 * 512 + i % 8..].iter().step_by(8).zip(powers);
                assert_eq!(*to, field.reduce(pieces.map(|(x, power)| u128::from(*x) * u128::from(*power)).sum()));
            }
        }
    }
}
