//! The rows of a random band matrix over GF(2): where every key's band starts, and which of its bits are ones.
//!
//! Keys are hashes, random under a salt: the start is the lower half of the key scaled, the bits depend on the seed.
//! Source: Bienstock, Patel, Seo, Yeo, "Near-Optimal Oblivious Key-Value Stores for Efficient PSI, PSU and
//! Volume-Hiding Multi-Maps" (USENIX Security 2023), section 3.
use crate::memory;
use crate::ot::aes::{Engine, Permutation};

/// Bits of a band.
pub const BAND: usize = 256;
/// Keys expanded at a time, small enough for the first-level cache.
pub const CHUNK: usize = 256;

/// The bits of a row from some column on, the lowest first.
pub type Bits = [u64; BAND / 64];

/// A key's number and where its band starts.
#[derive(Clone, Copy)]
pub struct Entry(u64);

impl Entry {
    pub fn key(self) -> usize {
        self.0 as u32 as usize
    }

    pub fn start(self) -> usize {
        (self.0 >> 32) as usize
    }
}

/// The bands under a public seed.
pub struct Bands {
    hash: Permutation,
    starts: u64,
}

impl Bands {
    pub fn new(seed: &[u8; 16], columns: usize) -> Self {
        Bands { hash: Permutation::new(seed, Engine::available()[0]), starts: (columns - BAND + 1) as u64 }
    }

    /// How many different starts there are.
    pub fn starts(&self) -> usize {
        self.starts as usize
    }

    /// Where the band of a key starts: what is greater in its lower half does not start earlier.
    #[inline(always)]
    fn start(&self, key: u128) -> u64 {
        ((u128::from(key as u64) * u128::from(self.starts)) >> 64) as u64
    }

    /// Chunks of entries, by where their bands start, with their keys; None as soon as `each` gives None.
    ///
    /// Keys that come by their lower halves are taken as they lie; others are sorted and gathered.
    pub fn chunks(&self, keys: &[u128], mut each: impl FnMut(&[Entry], &[u128]) -> Option<()>) -> Option<()> {
        let entry = |at: usize, key: u128| self.start(key) << 32 | at as u64;
        let mut entries = [Entry(0); CHUNK];
        if keys.is_sorted_by_key(|key| *key as u64) {
            for (chunk, keys) in keys.chunks(CHUNK).enumerate() {
                let entries = &mut entries[..keys.len()];
                let numbered = keys.iter().enumerate();
                entries.iter_mut().zip(numbered).for_each(|(x, (i, key))| x.0 = entry(chunk * CHUNK + i, *key));
                each(entries, keys)?;
            }
            return Some(());
        }
        let mut numbers = memory::zeros(keys.len());
        numbers.iter_mut().zip(keys.iter().enumerate()).for_each(|(number, (at, key))| *number = entry(at, *key));
        let mut near = Vec::with_capacity(CHUNK);
        for numbers in sort(numbers, u64::BITS - self.starts.leading_zeros()).chunks(CHUNK) {
            let entries = &mut entries[..numbers.len()];
            entries.iter_mut().zip(numbers).for_each(|(entry, number)| entry.0 = *number);
            near.clear();
            near.extend(entries.iter().map(|entry| keys[entry.key()]));
            each(entries, &near)?;
        }
        Some(())
    }

    /// The band of every key of a chunk; the first bit is always one.
    pub fn bits(&self, keys: &[u128], out: &mut [Bits]) {
        let mut blocks = [0u128; 2 * CHUNK];
        let blocks = &mut blocks[..2 * keys.len()];
        for (pair, key) in blocks.chunks_exact_mut(2).zip(keys) {
            pair[0] = key ^ 1;
            pair[1] = key ^ 2;
        }
        self.hash.apply(blocks);
        for (bits, pair) in out.iter_mut().zip(blocks.chunks_exact(2)) {
            *bits = [pair[0] as u64 | 1, (pair[0] >> 64) as u64, pair[1] as u64, (pair[1] >> 64) as u64];
        }
    }
}

/// Entries by their upper half, of which `bits` count: by digits, the last one first.
fn sort(mut entries: Vec<u64>, bits: u32) -> Vec<u64> {
    const DIGIT: u32 = 11;
    let passes = bits.div_ceil(DIGIT).max(1);
    let digit = bits.div_ceil(passes);
    let mut other = memory::zeros(entries.len());
    let mut ends = vec![0u32; 1 << digit];
    for pass in 0..passes {
        let value = |entry: u64| (entry >> (32 + pass * digit)) as usize & ((1 << digit) - 1);
        ends.fill(0);
        entries.iter().for_each(|entry| ends[value(*entry)] += 1);
        let mut total = 0;
        for end in &mut ends {
            (*end, total) = (total, total + *end);
        }
        for entry in &entries {
            let end = &mut ends[value(*entry)];
            other[*end as usize] = *entry;
            *end += 1;
        }
        std::mem::swap(&mut entries, &mut other);
    }
    entries
}

/// The right sides of a system's rows, one of which is in hand.
pub trait Right {
    /// Look at a chunk of keys that come next.
    fn gather(&mut self, chunk: &[Entry]);
    /// Take the right side of a key of the chunk in hand.
    fn take(&mut self, place: usize);
    /// Subtract that of the row that stands in a column.
    fn subtract(&mut self, column: usize);
    /// Leave it in a column.
    fn settle(&mut self, column: usize);
}

/// Gaussian elimination from the left: for every column the row whose first one stands there, from that column on, or
/// zeros.  None when rows depend on each other.
///
/// A row that is settled ends less than BAND columns after its first one, so whatever is subtracted, that stays true.
/// Rows come by their starts: then the columns right of a start are free but for the few next ones.
pub fn reduce(bands: &Bands, keys: &[u128], columns: usize, right: &mut impl Right) -> Option<Vec<u64>> {
    let mut pivots = memory::zeros(columns * (BAND / 64));
    let rows = pivots.as_chunks_mut().0;
    let mut all_bits = [[0; BAND / 64]; CHUNK];
    bands.chunks(keys, |entries, near| {
        right.gather(entries);
        bands.bits(near, &mut all_bits);
        for (place, (entry, bits)) in entries.iter().zip(&all_bits).enumerate() {
            right.take(place);
            let column = insert(rows, *bits, entry.start(), right)?;
            right.settle(column);
        }
        Some(())
    })?;
    Some(pivots)
}

/// Subtract rows until there is none where the first one stands, and leave the rest there; which column that is.
#[inline(always)]
fn insert(rows: &mut [Bits], mut bits: Bits, mut column: usize, right: &mut impl Right) -> Option<usize> {
    loop {
        let row = &mut rows[column];
        if row[0] == 0 {
            *row = bits;
            return Some(column);
        }
        bits.iter_mut().zip(row).for_each(|(word, other)| *word ^= *other);
        right.subtract(column);
        column += advance(&mut bits)?;
    }
}

/// Move the first one to the front; by how many columns, or None where there is none.
#[inline(always)]
fn advance(bits: &mut Bits) -> Option<usize> {
    let mut moved = 0;
    while bits[0] == 0 {
        moved += 64;
        if moved == BAND {
            return None;
        }
        *bits = [bits[1], bits[2], bits[3], 0];
    }
    let zeros = bits[0].trailing_zeros();
    for i in 0..3 {
        bits[i] = bits[i] >> zeros | (bits[i + 1] << 1) << (63 - zeros);
    }
    bits[3] >>= zeros;
    Some(moved + zeros as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_all_there() {
        for count in [0usize, 1, 700, 5000] {
            let keys: Vec<u128> = (1..=count as u128).map(|i| i * 0x9e37_79b9_7f4a_7c15 * 0x1_0000_0003).collect();
            let mut in_order = keys.clone();
            in_order.sort_unstable_by_key(|key| *key as u64);
            let bands = Bands::new(&[3; 16], count + BAND);
            let listed = |keys: &[u128]| {
                let mut entries = Vec::new();
                let found = bands.chunks(keys, |some, near| {
                    assert!(some.iter().zip(near).all(|(entry, key)| keys[entry.key()] == *key));
                    entries.extend_from_slice(some);
                    Some(())
                });
                assert!(found.is_some());
                entries
            };
            assert!(listed(&in_order).windows(2).all(|pair| pair[0].key() < pair[1].key()));
            let entries = listed(&keys);
            assert!(entries.windows(2).all(|pair| pair[0].start() <= pair[1].start()));
            assert!(entries.iter().all(|entry| entry.start() < bands.starts()));
            let mut found: Vec<usize> = entries.iter().map(|entry| entry.key()).collect();
            found.sort_unstable();
            assert_eq!(found, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn rows_advance_to_their_first_one() {
        for shift in [0usize, 1, 63, 64, 130, 255] {
            let mut bits = [0u64; 4];
            bits[shift / 64] |= 1 << (shift % 64);
            bits[3] |= 1 << 63;
            let moved = advance(&mut bits).unwrap();
            assert_eq!((moved, bits[0] & 1), (shift, 1));
            assert_eq!(bits[(255 - shift) / 64] >> ((255 - shift) % 64), 1);
        }
        assert!(advance(&mut [0; 4]).is_none());
    }
}
