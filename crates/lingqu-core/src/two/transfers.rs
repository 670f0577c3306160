//! Correlated transfers turned into what operations take, group by group while their rows are still in the cache.
//!
//! A transfer is q at its sender and t = q ^ c Delta at its receiver, c the lowest bit of t where rows come from an
//! extension. Hash: pi(s(x)) ^ s(x), pi AES-128 under a public key, s(left, right) = (left ^ right, left), circular
//! correlation robust for a random Delta (Guo, Katz, Wang, Yu, S&P 2020, section 7).
//! Lookup: 1 of 16 from four transfers with the choice's bits (Naor, Pinkas, J. Cryptology 18, 2005, section 3.1): the
//! mask of entry x is the sum of the keys that x's bits name, each cut to a part that belongs to x alone. For any other
//! entry than the chosen one a key is missing, whose part no other mask uses. No branch and no index depends on a choice.
use std::sync::{Arc, OnceLock};

use super::lookup::{CHOICES, DIGIT, MOST_BITS};
use crate::memory::zeros;
use crate::ot::aes::{Block, Engine, Permutation};
use crate::ot::rows::Rows;
use crate::turn::turn;

/// Transfers that one word of planes holds.
pub const LANES: usize = 64;
/// Transfers of 64 lookups: first those of the lowest bits of the choices.
pub const LOOKED: usize = LANES * DIGIT;
const _: () = assert!(CHOICES * MOST_BITS <= Block::BITS as usize);

const PUBLIC_KEY: [u8; 16] = *b"lingqu: transfer";

/// The hash's permutation; another key than the trees' and the code's.
fn hash() -> &'static Permutation {
    static HASH: OnceLock<Permutation> = OnceLock::new();
    HASH.get_or_init(|| Permutation::new(&PUBLIC_KEY, Engine::available()[0]))
}

/// Transfers one after another, from extensions or as blocks.
pub enum Span {
    Silent { rows: Arc<Rows>, first: usize, count: usize },
    Given(Vec<Block>),
}

/// The transfers of several spans.
pub struct Transfers(pub Vec<Span>);

impl Transfers {
    pub fn len(&self) -> usize {
        let count = |span: &Span| match span {
            Span::Silent { count, .. } => *count,
            Span::Given(blocks) => blocks.len(),
        };
        self.0.iter().map(count).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Groups of N with their numbers, in order; N divides the transfers' number.
    fn each<const N: usize>(&self, mut use_them: impl FnMut(usize, &[Block; N])) {
        let (mut group, mut held) = (0, 0);
        let mut work = [0; N];
        let mut feed = |mut rows: &[Block]| {
            while held + rows.len() >= N {
                let (now, later) = rows.split_at(N - held);
                work[held..].copy_from_slice(now);
                use_them(group, &work);
                (group, held, rows) = (group + 1, 0, later);
            }
            work[held..held + rows.len()].copy_from_slice(rows);
            held += rows.len();
        };
        for span in &self.0 {
            match span {
                Span::Silent { rows, first, count } => rows.each(*first, *count, &mut feed),
                Span::Given(blocks) => feed(blocks),
            }
        }
    }
}

fn hashed<const N: usize>(mut blocks: [Block; N]) -> [Block; N] {
    hash().robust_hash(&mut blocks);
    blocks
}

fn low<const N: usize>(blocks: &[Block; N]) -> [u64; N] {
    std::array::from_fn(|i| blocks[i] as u64)
}

/// The lowest bits of 64 blocks.
fn lowest(blocks: &[Block]) -> u64 {
    blocks.iter().rev().fold(0, |word, block| word << 1 | (*block as u64 & 1))
}

/// The lowest planes of 64 words, one each at `stride`.
fn store(mut words: [u64; LANES], out: &mut [u64], stride: usize) {
    turn(&mut words);
    for (place, word) in out.chunks_mut(stride).zip(words) {
        place[0] = word;
    }
}

/// `columns` words of every key: itself, or hashes of it with the column's number.
fn stretch(keys: &[Block; LANES], columns: usize, out: &mut [u64]) {
    if columns == 1 {
        return out.copy_from_slice(&low(keys));
    }
    for column in 0..columns {
        let hashes = low(&hashed(keys.map(|key| key ^ column as Block)));
        for (words, hash) in out.chunks_exact_mut(columns).zip(hashes) {
            words[column] = hash;
        }
    }
}

/// Both keys of every transfer, `columns` words each.
pub fn words_sent(transfers: &Transfers, delta: Block, columns: usize) -> (Vec<u64>, Vec<u64>) {
    let size = transfers.len() * columns;
    let (mut zero, mut one) = (zeros(size), zeros(size));
    transfers.each::<LANES>(|group, rows| {
        let span = group * LANES * columns..(group + 1) * LANES * columns;
        stretch(&hashed(*rows), columns, &mut zero[span.clone()]);
        stretch(&hashed(rows.map(|row| row ^ delta)), columns, &mut one[span]);
    });
    (zero, one)
}

/// The choices, 64 to a word, and the key of every choice, `columns` words each.
pub fn words_received(transfers: &Transfers, columns: usize) -> (Vec<u64>, Vec<u64>) {
    let (mut choices, mut keys) = (zeros(transfers.len() / LANES), zeros(transfers.len() * columns));
    transfers.each::<LANES>(|group, rows| {
        choices[group] = lowest(rows);
        stretch(&hashed(*rows), columns, &mut keys[group * LANES * columns..][..LANES * columns]);
    });
    (choices, keys)
}

/// Planes (width, n / 64) of the sums of both keys, and of the first keys.
pub fn strings_sent(transfers: &Transfers, delta: Block, width: usize) -> (Vec<u64>, Vec<u64>) {
    let stride = transfers.len() / LANES;
    let (mut sums, mut first) = (zeros(width * stride), zeros(width * stride));
    transfers.each::<LANES>(|group, rows| {
        let (zero, one) = (low(&hashed(*rows)), low(&hashed(rows.map(|row| row ^ delta))));
        store(std::array::from_fn(|i| zero[i] ^ one[i]), &mut sums[group..], stride);
        store(zero, &mut first[group..], stride);
    });
    (sums, first)
}

/// The choices, 64 to a word, and planes (width, n / 64) of their keys.
pub fn strings_received(transfers: &Transfers, width: usize) -> (Vec<u64>, Vec<u64>) {
    let stride = transfers.len() / LANES;
    let (mut choices, mut keys) = (zeros(stride), zeros(width * stride));
    transfers.each::<LANES>(|group, rows| {
        choices[group] = lowest(rows);
        store(low(&hashed(*rows)), &mut keys[group..], stride);
    });
    (choices, keys)
}

/// For every bit of a choice and its value, the parts of a key that belong to the entries with it.
fn parts(bits: usize) -> [[Block; 2]; DIGIT] {
    let part = ((1 << bits) - 1) as Block;
    let of = |i: usize, value: usize| {
        (0..CHOICES).filter(|x| x >> i & 1 == value).fold(0, |sum, x| sum | part << (x * bits))
    };
    std::array::from_fn(|i| [of(i, 0), of(i, 1)])
}

/// Planes of blocks, each of which holds the masks of all entries, bit by bit.
fn spread(masks: &[Block; LANES], planes: usize, out: &mut [u64], stride: usize) {
    let half = planes.min(LANES);
    store(low(masks), &mut out[..(half - 1) * stride + 1], stride);
    if planes > LANES {
        store(masks.map(|mask| (mask >> LANES) as u64), &mut out[LANES * stride..], stride);
    }
}

/// The sender's masks of n lookups (a multiple of 64) of `bits` bits: planes (16, bits, n / 64).
pub fn lookups_sent(transfers: &Transfers, delta: Block, bits: usize) -> Vec<u64> {
    let stride = transfers.len() / LOOKED;
    let parts = parts(bits);
    let mut out = zeros(CHOICES * bits * stride);
    transfers.each::<LOOKED>(|group, rows| {
        let (zero, one) = (hashed(*rows), hashed(rows.map(|row| row ^ delta)));
        let mut masks = [0; LANES];
        for (i, [off, on]) in parts.iter().enumerate() {
            let keys = zero[LANES * i..].iter().zip(&one[LANES * i..]);
            masks.iter_mut().zip(keys).for_each(|(mask, (zero, one))| *mask ^= zero & off | one & on);
        }
        spread(&masks, CHOICES * bits, &mut out[group..], stride);
    });
    out
}

/// The receiver's masks, planes (bits, n / 64), and choices, planes (4, n / 64).
pub fn lookups_received(transfers: &Transfers, bits: usize) -> (Vec<u64>, Vec<u64>) {
    let stride = transfers.len() / LOOKED;
    let (mut keys, mut choices) = (zeros(bits * stride), zeros(DIGIT * stride));
    transfers.each::<LOOKED>(|group, rows| {
        let known = hashed(*rows);
        let masks = std::array::from_fn(|l| (0..DIGIT).fold(0, |sum, i| sum ^ known[LANES * i + l]));
        let mut all = [0; Block::BITS as usize];
        spread(&masks, CHOICES * bits, &mut all[..CHOICES * bits], 1);
        let mut left = CHOICES;
        for (i, rows) in rows.chunks_exact(LANES).enumerate() {
            let choice = lowest(rows);
            choices[i * stride + group] = choice;
            left /= 2;
            for x in 0..left {
                for bit in 0..bits {
                    let (off, on) = (all[2 * x * bits + bit], all[(2 * x + 1) * bits + bit]);
                    all[x * bits + bit] = off ^ (off ^ on) & choice;
                }
            }
        }
        for (bit, word) in all[..bits].iter().enumerate() {
            keys[bit * stride + group] = *word;
        }
    });
    (keys, choices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::two::lookup::tests::{bit, drawn};

    const DELTA: Block = 0x1234_5678 << 64 | 0x9abd;

    /// Transfers of both parties, in spans of these lengths.
    pub fn pair(lengths: &[usize]) -> (Transfers, Transfers) {
        let blocks = |seed: u8, length: usize| -> Vec<Block> {
            let words = drawn(seed, 2 * length);
            words.chunks_exact(2).map(|x| (Block::from(x[0]) | Block::from(x[1]) << 64) & !1).collect()
        };
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for (i, length) in lengths.iter().enumerate() {
            let q = blocks(i as u8, *length);
            let t = q.iter().map(|q| q ^ DELTA & ((q >> 77) & 1).wrapping_neg()).collect();
            mine.push(Span::Given(q));
            theirs.push(Span::Given(t));
        }
        (Transfers(mine), Transfers(theirs))
    }

    #[test]
    fn a_transfer_gives_one_of_two() {
        let (mine, theirs) = pair(&[1, 63, 100, 28]);
        for columns in [1, 3] {
            let (zero, one) = words_sent(&mine, DELTA, columns);
            let (choices, keys) = words_received(&theirs, columns);
            assert!(zero.iter().zip(&one).all(|(a, b)| a != b));
            for (i, key) in keys.iter().enumerate() {
                let wanted = if bit(&choices, 1, 0, i / columns) == 1 { one[i] } else { zero[i] };
                assert_eq!(*key, wanted);
            }
        }
    }

    #[test]
    fn strings_are_the_lowest_bits_of_both_keys() {
        let (mine, theirs) = pair(&[65, 127]);
        let ((zero, one), (choices, keys)) = (words_sent(&mine, DELTA, 1), words_received(&theirs, 1));
        for width in [1, 2, 64] {
            let (sums, first) = strings_sent(&mine, DELTA, width);
            let (same, read) = strings_received(&theirs, width);
            assert_eq!(same, choices);
            for i in 0..192 {
                for p in 0..width {
                    assert_eq!(bit(&first, 3, p, i), zero[i] >> p & 1);
                    assert_eq!(bit(&sums, 3, p, i), (zero[i] ^ one[i]) >> p & 1);
                    assert_eq!(bit(&read, 3, p, i), keys[i] >> p & 1);
                }
            }
        }
    }

    #[test]
    fn the_receiver_has_the_mask_of_its_choice() {
        let (mine, theirs) = pair(&[300, 5, 3 * LOOKED - 305]);
        for bits in 1..=MOST_BITS {
            let masks = lookups_sent(&mine, DELTA, bits);
            let (keys, choices) = lookups_received(&theirs, bits);
            for i in 0..3 * LANES {
                let value = |planes: &[u64], from: usize, count: usize| {
                    (0..count).fold(0, |sum, p| sum | (bit(planes, 3, from + p, i) as usize) << p)
                };
                let choice = value(&choices, 0, DIGIT);
                assert_eq!(value(&keys, 0, bits), value(&masks, choice * bits, bits), "{bits} bits");
            }
            let ones: u32 = masks.iter().map(|word| word.count_ones()).sum();
            let all = 64 * masks.len();
            assert!((ones as usize).abs_diff(all / 2) < 4 * all.isqrt());
        }
    }

    #[test]
    fn rows_of_an_extension_are_taken_in_order() {
        use crate::ot::lpn::Parameters;
        use crate::ot::rows::{seeds, Trees};
        let parameters = Parameters { trees: 4, height: 7, secret: 50 };
        let trees = Trees::Full { delta: DELTA, seeds: seeds(&[7; 16], 4) };
        let rows = Arc::new(Rows { parameters, code: 3, secret: (0..50).collect(), trees });
        let silent = |first, count| Span::Silent { rows: rows.clone(), first, count };
        let whole = Transfers(vec![silent(3, 200), silent(210, 56)]);
        let given = Transfers(vec![Span::Given([rows.take(3, 200), rows.take(210, 56)].concat())]);
        assert_eq!(words_sent(&whole, DELTA, 1), words_sent(&given, DELTA, 1));
        assert_eq!(lookups_sent(&whole, DELTA, 2), lookups_sent(&given, DELTA, 2));
    }
}
