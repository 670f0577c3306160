//! Inner products modulo a prime, folded: lengths shrink by a factor, pieces are weighed by powers of a challenge.
//!
//! Vectors are streams of sides. A block of a stream is `factor` pieces of `lanes` entries; every side is filled up
//! with zeros to whole blocks.
use super::field::Field;

/// Words, taken modulo the prime, times the weights of their outputs.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub words: &'a [u64],
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

    /// Entries lifted at a time, whole blocks.
    fn chunk(self) -> usize {
        4096usize.next_multiple_of(self.block())
    }

    pub fn folded(self, length: usize) -> usize {
        length.div_ceil(self.block()) * self.lanes
    }
}

impl Side<'_> {
    /// Entries from `start` on, zeros behind the last.
    fn lift(&self, field: Field, start: usize, out: &mut [u64]) {
        let count = out.len().min(self.words.len() - start);
        let (words, rest) = (&self.words[start..start + count], &mut out[count..]);
        rest.fill(0);
        for (to, word) in out.iter_mut().zip(words) {
            *to = field.narrow(u128::from(*word));
        }
        let Some(weights) = self.weights else { return };
        for (i, to) in out[..count].iter_mut().enumerate() {
            *to = field.multiply(*to, weights[(start + i) / self.repeat % weights.len()]);
        }
    }
}

/// The inner products of all pieces of u with all pieces of v: entry factor - 1 + a - b of the result sums <u_a, v_b>.
pub fn products(field: Field, u: &[Side], v: &[Side], cut: Cut) -> Vec<u64> {
    let (factor, lanes) = (cut.factor, cut.lanes);
    let mut totals = vec![0u64; 2 * factor - 1];
    let (mut left, mut right) = (vec![0u64; cut.chunk()], vec![0u64; cut.chunk()]);
    for (u, v) in u.iter().zip(v) {
        for start in (0..u.words.len()).step_by(cut.chunk()) {
            let size = (u.words.len() - start).next_multiple_of(cut.block()).min(cut.chunk());
            u.lift(field, start, &mut left[..size]);
            v.lift(field, start, &mut right[..size]);
            let mut sums = vec![0u128; 2 * factor - 1];
            for (left, right) in left[..size].chunks_exact(cut.block()).zip(right.chunks_exact(cut.block())) {
                for (a, left) in left.chunks_exact(lanes).enumerate() {
                    for (b, right) in right.chunks_exact(lanes).enumerate() {
                        let sum: u128 = left.iter().zip(right).map(|(x, y)| u128::from(*x) * u128::from(*y)).sum();
                        sums[factor - 1 + a - b] += sum;
                    }
                }
            }
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total = field.reduce(sum + u128::from(*total));
            }
        }
    }
    totals
}

/// Entry by entry the sum of the pieces times their powers.
pub fn fold(field: Field, sides: &[Side], powers: &[u64], lanes: usize) -> Vec<u64> {
    let cut = Cut { factor: powers.len(), lanes };
    let mut out = Vec::with_capacity(sides.iter().map(|side| cut.folded(side.words.len())).sum());
    let mut lifted = vec![0u64; cut.chunk()];
    for side in sides {
        for start in (0..side.words.len()).step_by(cut.chunk()) {
            let size = (side.words.len() - start).next_multiple_of(cut.block()).min(cut.chunk());
            side.lift(field, start, &mut lifted[..size]);
            for block in lifted[..size].chunks_exact(cut.block()) {
                for lane in 0..lanes {
                    let pieces = block[lane..].iter().step_by(lanes);
                    let sum = pieces.zip(powers).map(|(x, power)| u128::from(*x) * u128::from(*power)).sum();
                    out.push(field.reduce(sum));
                }
            }
        }
    }
    out
}

/// Weights modulo the prime: for every word the sum of the challenges that its bits pick, from tables over its bytes.
pub fn weigh(field: Field, words: &[u64], challenges: &[u64]) -> Vec<u64> {
    let tables: Vec<[u64; 256]> = challenges
        .chunks(8)
        .map(|eight| {
            std::array::from_fn(|byte| {
                let picked = eight.iter().enumerate().filter(|(i, _)| byte >> i & 1 == 1);
                field.narrow(picked.map(|(_, challenge)| u128::from(*challenge)).sum())
            })
        })
        .collect();
    let one =
        |word: &u64| tables.iter().zip(word.to_le_bytes()).map(|(table, byte)| table[usize::from(byte)]).sum::<u64>();
    words.iter().map(|word| field.narrow(u128::from(one(word)))).collect()
}

/// The sum of words times weights.
pub fn weighed_sum(field: Field, words: &[u64], weights: &[u64]) -> u64 {
    let mut total = 0;
    for (words, weights) in words.chunks(4096).zip(weights.chunks(4096)) {
        let sum: u128 = words.iter().zip(weights).map(|(word, weight)| u128::from(*word) * u128::from(*weight)).sum();
        total = field.narrow(u128::from(field.reduce(sum)) + u128::from(total));
    }
    total
}

/// Row b of the result sums over a: weights[a, b] times row a of the table, rows of `inner` words.
pub fn weighed_rows(field: Field, table: &[u64], inner: usize, weights: &[u64], turned: bool) -> Vec<u64> {
    let rows = table.len().checked_div(inner).unwrap_or(0);
    let columns = weights.len().checked_div(rows).unwrap_or(0);
    let mut out = Vec::with_capacity(columns * inner);
    for b in 0..columns {
        let mut sums = vec![0u128; inner];
        for (a, row) in table.chunks_exact(inner.max(1)).enumerate() {
            let weight = u128::from(weights[if turned { b * rows + a } else { a * columns + b }]);
            sums.iter_mut().zip(row).for_each(|(sum, word)| *sum += weight * u128::from(*word));
        }
        out.extend(sums.into_iter().map(|sum| field.reduce(sum)));
    }
    out
}
