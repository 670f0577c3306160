//! An oblivious key-value store: a random band matrix over GF(2), solved for 128-bit values.
//!
//! Source: Bienstock, Patel, Seo, Yeo (USENIX Security 2023), section 3; see `bands`. The value of a key is the XOR of
//! the columns that its band names. Columns that no row determines are filled from a keyed generator, so a store says
//! nothing of its keys when the values are random.
use super::bands::{reduce, Bands, Bits, Entry, Right, BAND, CHUNK};
#[cfg(target_arch = "x86_64")]
use super::columns as eight;
use crate::prg::Prg;

/// Columns of a store of `keys` keys: 7 % more than keys, and one band.
pub const fn columns(keys: usize) -> usize {
    keys + keys * 7 / 100 + BAND
}

/// Values as the right sides: those of settled rows stand in the store.
struct Values<'a> {
    values: &'a [u128],
    near: Vec<u128>,
    own: u128,
    store: &'a mut [u128],
}

impl Right for Values<'_> {
    fn gather(&mut self, chunk: &[Entry]) {
        self.near.clear();
        self.near.extend(chunk.iter().map(|entry| self.values[entry.key()]));
    }

    #[inline(always)]
    fn take(&mut self, place: usize) {
        self.own = self.near[place];
    }

    #[inline(always)]
    fn subtract(&mut self, column: usize) {
        self.own ^= self.store[column];
    }

    #[inline(always)]
    fn settle(&mut self, column: usize) {
        self.store[column] = self.own;
    }
}

/// Make `store` one in which every key has its value; None when the rows depend on each other (the caller takes another
/// seed). It has at least `columns(keys.len())` columns, and free ones come from `fill`. Keys are hashes, and differ.
pub fn encode(seed: &[u8; 16], keys: &[u128], values: &[u128], fill: &mut Prg, store: &mut [u128]) -> Option<()> {
    let mut words = [0; 2 * CHUNK];
    for part in store.chunks_mut(CHUNK) {
        fill.fill(&mut words[..2 * part.len()]);
        let pairs = words.chunks_exact(2);
        part.iter_mut().zip(pairs).for_each(|(x, pair)| *x = u128::from(pair[0]) | u128::from(pair[1]) << 64);
    }
    let bands = Bands::new(seed, store.len());
    let mut right = Values { values, near: Vec::with_capacity(CHUNK), own: 0, store };
    let pivots = reduce(&bands, keys, right.store.len(), &mut right)?;
    solve(pivots.as_chunks().0, store);
    Some(())
}

/// Back substitution: every column with a row becomes its right side plus the later columns that the row names.
fn solve(pivots: &[Bits], store: &mut [u128]) {
    #[cfg(target_arch = "x86_64")]
    if eight::available() {
        // SAFETY: the processor has what the function is compiled for.
        return unsafe { eight::solve(pivots, store) };
    }
    solve_each(pivots, store);
}

fn solve_each(pivots: &[Bits], store: &mut [u128]) {
    let mut last = [0; BAND];
    for (column, row) in pivots.iter().enumerate().rev() {
        if row[0] != 0 {
            let others = [row[0] & !1, row[1], row[2], row[3]];
            let here = if let Some(here) = store[column..].first_chunk() {
                here
            } else {
                last[..store.len() - column].copy_from_slice(&store[column..]);
                &last
            };
            store[column] ^= combine(&others, here);
        }
    }
}

/// The XOR of the columns that a row names. Every column of the band is read, so that the time tells nothing.
fn combine(bits: &Bits, columns: &[u128; BAND]) -> u128 {
    bits.iter().zip(columns.chunks_exact(64)).fold(0, |sum, (word, columns)| sum ^ masked_xor(*word, columns))
}

#[inline]
fn masked_xor(word: u64, columns: &[u128]) -> u128 {
    #[cfg(target_arch = "x86_64")]
    if columns.len() == 64 && wide() {
        // SAFETY: `wide` has seen that the processor has AVX-512F and BMI2; the slice has 64 entries.
        return unsafe { masked_xor_wide(word, columns) };
    }
    masked_xor_portable(word, columns)
}

fn masked_xor_portable(word: u64, columns: &[u128]) -> u128 {
    columns.iter().enumerate().fold(0, |sum, (i, column)| sum ^ (column & u128::from(word >> i & 1).wrapping_neg()))
}

#[cfg(target_arch = "x86_64")]
fn wide() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("bmi2")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,bmi2")]
fn masked_xor_wide(word: u64, columns: &[u128]) -> u128 {
    use std::arch::x86_64::*;
    const EVEN: u64 = 0x5555_5555_5555_5555;
    // Every bit twice, as a column is two lanes.
    let (low, high) = (_pdep_u64(word, EVEN) * 3, _pdep_u64(word >> 32, EVEN) * 3);
    let mut sums = [_mm512_setzero_si512(); 4];
    for (half, masks) in [low, high].into_iter().enumerate() {
        for step in 0..8 {
            // SAFETY: the caller gives 64 entries of 16 bytes; 16 loads of 64 bytes cover them exactly.
            let lanes = unsafe { _mm512_loadu_si512(columns.as_ptr().add(32 * half + 4 * step).cast()) };
            let sum = &mut sums[step % 4];
            *sum = _mm512_mask_xor_epi64(*sum, (masks >> (8 * step)) as __mmask8, *sum, lanes);
        }
    }
    let sum = _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3]));
    let halves = _mm256_xor_si256(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum));
    let block = _mm_xor_si128(_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
    (u128::from(_mm_extract_epi64::<1>(block) as u64) << 64) | u128::from(_mm_cvtsi128_si64(block) as u64)
}

/// The value of every key in a store, which for a key that was not encoded is as random as the store.
///
/// Chunk by chunk, by where bands start: `each` gets the entries, their keys and their values.
pub fn decode_each(
    seed: &[u8; 16],
    keys: &[u128],
    store: &[u128],
    mut each: impl FnMut(&[Entry], &[u128], &mut [u128]),
) {
    let bands = Bands::new(seed, store.len());
    let mut sums = Sums::new(store, batch(keys.len(), bands.starts()));
    let mut bits = [[0; BAND / 64]; CHUNK + BESIDE];
    let mut out = [0; CHUNK + BESIDE];
    bands.chunks(keys, |entries, near| {
        bands.bits(near, &mut bits);
        sums.combine(entries, &bits, &mut out);
        each(entries, near, &mut out[..entries.len()]);
        Some(())
    });
}

/// As `decode_each`, in the keys' order.
pub fn decode(seed: &[u8; 16], keys: &[u128], store: &[u128], out: &mut [u128]) {
    decode_each(seed, keys, store, |entries, _, values| {
        entries.iter().zip(values).for_each(|(entry, value)| out[entry.key()] = *value);
    });
}

/// Rows beyond a chunk that `Sums::combine` may read and write.
const BESIDE: usize = 7;

/// How many sorted keys start within 57 columns of each other, but with a chance below 2^-45 a batch; 0 if not even
/// four do. It depends on the sizes alone, and so does the time of a decoding.
fn batch(keys: usize, starts: usize) -> usize {
    match keys as f64 / starts as f64 {
        dense if dense >= 0.9 => 8,
        dense if dense >= 0.75 => 4,
        _ => 0,
    }
}

/// Sums of columns of a store, by eight rows at a time or row by row.
enum Sums<'a> {
    #[cfg(target_arch = "x86_64")]
    Eight(Box<eight::Window<'a>>, usize),
    Each(&'a [u128]),
}

impl<'a> Sums<'a> {
    fn new(store: &'a [u128], most: usize) -> Self {
        #[cfg(target_arch = "x86_64")]
        if most > 0 && eight::available() {
            // SAFETY: the processor has what the function is compiled for.
            return Sums::Eight(Box::new(unsafe { eight::Window::new(store) }), most);
        }
        let _ = most;
        Sums::Each(store)
    }

    fn combine(&mut self, entries: &[Entry], bits: &[Bits], out: &mut [u128]) {
        match self {
            // SAFETY: a window exists only where the processor has what the function is compiled for.
            #[cfg(target_arch = "x86_64")]
            Sums::Eight(window, most) => unsafe { window.combine(entries, *most, bits, out) },
            Sums::Each(store) => {
                for ((entry, bits), out) in entries.iter().zip(bits).zip(out) {
                    *out = store[entry.start()..].first_chunk().map_or(0, |here| combine(bits, here));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u8, count: usize) -> Vec<u128> {
        let mut words = vec![0u64; 2 * count];
        Prg::new(&[seed; 16]).fill(&mut words);
        words.chunks_exact(2).map(|pair| u128::from(pair[0]) | u128::from(pair[1]) << 64).collect()
    }

    fn encoded(keys: &[u128], values: &[u128], columns: usize) -> Option<Vec<u128>> {
        let mut store = vec![0; columns];
        encode(&[9; 16], keys, values, &mut Prg::new(&[3; 16]), &mut store).map(|()| store)
    }

    #[test]
    fn every_key_has_its_value() {
        for count in [0usize, 1, 2, 63, 64, 1000, 20_000] {
            let (keys, values) = (random(1, count), random(2, count));
            let store = encoded(&keys, &values, columns(count)).unwrap();
            let found = |keys: &[u128]| {
                let mut found = vec![0; keys.len()];
                decode(&[9; 16], keys, &store, &mut found);
                found
            };
            assert_eq!(found(&keys), values);
            assert!(found(&random(4, count)).iter().zip(&values).all(|(a, b)| a != b));
            // Fewer keys are taken in smaller batches, or row by row.
            for kept in [count * 9 / 10, count / 2, count / 100] {
                assert_eq!(found(&keys[..kept]), values[..kept]);
            }
        }
    }

    #[test]
    fn equal_keys_have_no_store() {
        assert!(encoded(&[5, 5], &[1, 2], columns(2)).is_none());
    }

    #[test]
    fn wide_and_portable_sums_agree() {
        let columns = random(5, 64);
        for word in [0, 1, u64::MAX, 1 << 63, 0x0123_4567_89ab_cdef] {
            assert_eq!(masked_xor(word, &columns), masked_xor_portable(word, &columns));
        }
    }

    #[test]
    fn rows_are_solved_alike_by_eights_and_one_by_one() {
        for count in [0usize, 1, 5, 1000] {
            let mut right = vec![0; columns(count)];
            let (keys, values) = (random(1, count), random(2, count));
            let bands = Bands::new(&[9; 16], right.len());
            let mut sides = Values { values: &values, near: vec![], own: 0, store: &mut right };
            let pivots = reduce(&bands, &keys, columns(count), &mut sides).unwrap();
            let mut each = right.clone();
            solve(pivots.as_chunks().0, &mut right);
            solve_each(pivots.as_chunks().0, &mut each);
            assert_eq!(right, each);
        }
    }

    #[test]
    fn stores_of_random_values_look_random() {
        let count = 4000;
        let store = encoded(&random(1, count), &random(2, count), columns(count)).unwrap();
        let ones: u32 = store.iter().map(|word| word.count_ones()).sum();
        let bits = 128.0 * store.len() as f64;
        // Six standard deviations of a fair coin: a false alarm in 500 million runs.
        assert!((f64::from(ones) - bits / 2.0).abs() < 3.0 * bits.sqrt());
    }
}
