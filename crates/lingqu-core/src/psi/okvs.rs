//! An oblivious key-value store: a random band matrix over GF(2), solved for 128-bit values.
//!
//! Source: Bienstock, Patel, Seo, Yeo, "Near-Optimal Oblivious Key-Value Stores for Efficient PSI, PSU and
//! Volume-Hiding Multi-Maps" (USENIX Security 2023), section 3. A key gives a start and BAND random bits; the value is
//! the XOR of the columns that the bits name. Columns that no row determines are filled from a keyed generator, so a
//! store says nothing of its keys when the values are random.
use super::hash::FixedKey;
use crate::prg::Prg;

/// Bits of a band.
pub const BAND: usize = 256;
pub(super) const WORDS: usize = BAND / 64 + 1;
/// Keys expanded at a time, small enough for the first-level cache.
pub(super) const CHUNK: usize = 256;

/// Columns of a store of `keys` keys: 7 % more than keys, and one band.
pub const fn columns(keys: usize) -> usize {
    keys + keys * 7 / 100 + BAND
}

/// A row: the words of its bits, the first at column 64 * base. One cache line.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Row {
    pub(super) bits: [u64; WORDS],
    pub(super) base: u32,
    pub(super) value: u128,
}

impl Row {
    pub(super) const EMPTY: Row = Row { bits: [0; WORDS], base: 0, value: 0 };

    /// The first column with a one, or None for an empty row; words of zeros at the front are dropped.
    #[inline]
    pub(super) fn lead(&mut self) -> Option<usize> {
        for _ in 0..WORDS {
            if self.bits[0] != 0 {
                return Some(self.base as usize * 64 + self.bits[0].trailing_zeros() as usize);
            }
            self.bits.rotate_left(1);
            self.base += 1;
        }
        None
    }

    #[inline]
    pub(super) fn subtract(&mut self, pivot: &Row) {
        for (word, other) in self.bits.iter_mut().zip(&pivot.bits) {
            *word ^= other;
        }
        self.value ^= pivot.value;
    }
}

/// Where every key's band starts and which bits it has, aligned to words.
pub(super) struct Bands {
    hash: FixedKey,
    starts: u64,
}

impl Bands {
    pub(super) fn new(seed: &[u8; 16], columns: usize) -> Self {
        Bands { hash: FixedKey::new(seed), starts: (columns - BAND + 1) as u64 }
    }

    /// Rows of a chunk of keys, without values.
    pub(super) fn expand(&self, keys: &[u128], rows: &mut Vec<Row>) {
        rows.clear();
        let mut blocks = [0u128; 3 * CHUNK];
        let blocks = &mut blocks[..3 * keys.len()];
        for (slot, key) in blocks.chunks_exact_mut(3).zip(keys) {
            slot[0] = *key;
            slot[1] = key ^ 1;
            slot[2] = key ^ 2;
        }
        self.hash.apply(blocks);
        for slot in blocks.chunks_exact(3) {
            let start = ((u128::from(slot[0] as u64) * u128::from(self.starts)) >> 64) as u64;
            let band = [slot[1] as u64 | 1, (slot[1] >> 64) as u64, slot[2] as u64, (slot[2] >> 64) as u64];
            let shift = (start % 64) as u32;
            let mut bits = [0u64; WORDS];
            for (i, word) in band.iter().enumerate() {
                let wide = u128::from(*word) << shift;
                bits[i] ^= wide as u64;
                bits[i + 1] ^= (wide >> 64) as u64;
            }
            rows.push(Row { bits, base: (start / 64) as u32, value: 0 });
        }
    }
}

impl Bands {
    /// The keys' indices by where their bands start, to the nearest few columns: neighbours share cached columns.
    pub(super) fn order(&self, keys: &[u128]) -> Vec<u32> {
        const PLACES: usize = 1 << 12;
        let mut starts = Vec::with_capacity(keys.len());
        let mut blocks = Vec::with_capacity(CHUNK);
        for keys in keys.chunks(CHUNK) {
            blocks.clear();
            blocks.extend_from_slice(keys);
            self.hash.apply(&mut blocks);
            starts.extend(blocks.iter().map(|block| ((*block as u64) >> 52) as u16));
        }
        let mut ends = vec![0u32; PLACES];
        starts.iter().for_each(|start| ends[*start as usize] += 1);
        let mut total = 0;
        for end in &mut ends {
            (*end, total) = (total, total + *end);
        }
        let mut order = vec![0u32; keys.len()];
        for (i, start) in starts.iter().enumerate() {
            let end = &mut ends[*start as usize];
            order[*end as usize] = i as u32;
            *end += 1;
        }
        order
    }
}

/// The XOR of the columns that a row names. Every column of the band is read, so that the time tells nothing.
fn combine(row: &Row, store: &[u128]) -> u128 {
    let first = row.base as usize * 64;
    let mut sum = 0u128;
    for (word, columns) in row.bits.iter().zip(store[first..].chunks(64)) {
        sum ^= masked_xor(*word, columns);
    }
    sum
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

/// A store of `columns` columns in which every key has its value; None when the rows depend on each other (the caller
/// takes another seed). Free columns come from `fill`. Keys must differ.
pub fn encode(seed: &[u8; 16], keys: &[u128], values: &[u128], columns: usize, fill: &mut Prg) -> Option<Vec<u128>> {
    let rows = reduce(seed, keys, values, columns)?;
    let mut words = vec![0u64; 2 * columns];
    fill.fill(&mut words);
    let mut store: Vec<u128> =
        words.chunks_exact(2).map(|pair| u128::from(pair[0]) | u128::from(pair[1]) << 64).collect();
    // The band of the last rows may reach past the last column: those bits are zero, but are read.
    store.resize(columns.next_multiple_of(64) + 64 * WORDS, 0);
    for (column, row) in rows.iter().enumerate().rev() {
        if row.bits[0] != 0 {
            store[column] = 0;
            store[column] = row.value ^ combine(row, &store);
        }
    }
    store.truncate(columns);
    Some(store)
}

/// Gaussian elimination from the left: the row whose first one stands in a column, for every column that has one.
///
/// A row ends less than BAND columns after its first one, whatever was subtracted from it, so rows may come in any
/// order; they come roughly by their starts, as neighbours share cached rows.
fn reduce(seed: &[u8; 16], keys: &[u128], values: &[u128], columns: usize) -> Option<Vec<Row>> {
    let bands = Bands::new(seed, columns);
    let mut pivots = vec![Row::EMPTY; columns];
    let mut near = Vec::with_capacity(CHUNK);
    let mut rows = Vec::with_capacity(CHUNK);
    for indices in bands.order(keys).chunks(CHUNK) {
        near.clear();
        near.extend(indices.iter().map(|&i| keys[i as usize]));
        bands.expand(&near, &mut rows);
        for (row, &i) in rows.iter_mut().zip(indices) {
            row.value = values[i as usize];
            insert(row, &mut pivots)?;
        }
    }
    Some(pivots)
}

fn insert(row: &mut Row, pivots: &mut [Row]) -> Option<()> {
    loop {
        let pivot = &mut pivots[row.lead()?];
        if pivot.bits[0] == 0 {
            *pivot = *row;
            return Some(());
        }
        row.subtract(pivot);
    }
}

/// The value of every key in a store, which for a key that was not encoded is as random as the store.
pub fn decode(seed: &[u8; 16], keys: &[u128], store: &[u128]) -> Vec<u128> {
    let columns = store.len();
    let bands = Bands::new(seed, columns);
    let padded_length = columns.next_multiple_of(64) + 64 * WORDS;
    let mut padded = Vec::with_capacity(padded_length);
    padded.extend_from_slice(store);
    padded.resize(padded_length, 0);
    let order = bands.order(keys);
    let mut out = vec![0u128; keys.len()];
    let mut rows = Vec::with_capacity(CHUNK);
    let mut near = Vec::with_capacity(CHUNK);
    for indices in order.chunks(CHUNK) {
        near.clear();
        near.extend(indices.iter().map(|&i| keys[i as usize]));
        bands.expand(&near, &mut rows);
        for (row, &i) in rows.iter().zip(indices) {
            out[i as usize] = combine(row, &padded);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u8, count: usize) -> Vec<u128> {
        let mut words = vec![0u64; 2 * count];
        Prg::new(&[seed; 16]).fill(&mut words);
        words.chunks_exact(2).map(|pair| u128::from(pair[0]) | u128::from(pair[1]) << 64).collect()
    }

    #[test]
    fn every_key_has_its_value() {
        for count in [0usize, 1, 2, 63, 64, 1000, 20_000] {
            let (keys, values) = (random(1, count), random(2, count));
            let store = encode(&[9; 16], &keys, &values, columns(count), &mut Prg::new(&[3; 16])).unwrap();
            assert_eq!(store.len(), columns(count));
            assert_eq!(decode(&[9; 16], &keys, &store), values);
            assert!(decode(&[9; 16], &random(4, count), &store).iter().zip(&values).all(|(a, b)| a != b));
        }
    }

    #[test]
    fn equal_keys_have_no_store() {
        let store = encode(&[9; 16], &[5, 5], &[1, 2], columns(2), &mut Prg::new(&[3; 16]));
        assert!(store.is_none());
    }

    #[test]
    fn wide_and_portable_sums_agree() {
        let columns = random(5, 64);
        for word in [0, 1, u64::MAX, 1 << 63, 0x0123_4567_89ab_cdef] {
            assert_eq!(masked_xor(word, &columns), masked_xor_portable(word, &columns));
        }
    }

    #[test]
    fn stores_of_random_values_look_random() {
        let count = 4000;
        let store =
            encode(&[9; 16], &random(1, count), &random(2, count), columns(count), &mut Prg::new(&[3; 16])).unwrap();
        let ones: u32 = store.iter().map(|word| word.count_ones()).sum();
        let bits = 128.0 * store.len() as f64;
        // Six standard deviations of a fair coin: a false alarm in 500 million runs.
        assert!((f64::from(ones) - bits / 2.0).abs() < 3.0 * bits.sqrt());
    }
}
