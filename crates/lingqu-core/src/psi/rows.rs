//! A key-value store for rows of words, on the band matrix of `bands`, and the keyed functions that mask such rows.
//!
//! One elimination serves all words of a row. The store lies by planes, one of `columns` words for every word of a
//! row, so that a lookup reads whole registers whatever the width.
use super::bands::{reduce, Bands, Bits, Entry, Right, BAND, CHUNK};
use super::hash::FixedKey;
use crate::prg::Prg;

/// Words of a plane with the room that the last bands reach into.
const fn padded(columns: usize) -> usize {
    columns + BAND
}

/// The XOR of the columns of a plane that a row names, from `first` on; every column of the band is read.
fn combine(bits: &Bits, plane: &[u64], first: usize) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        return unsafe { combine_wide(bits, &plane[first..first + BAND]) };
    }
    combine_portable(bits, &plane[first..first + BAND])
}

fn combine_portable(bits: &Bits, columns: &[u64]) -> u64 {
    let mut sum = 0;
    for (word, columns) in bits.iter().zip(columns.chunks_exact(64)) {
        for (i, column) in columns.iter().enumerate() {
            sum ^= column & (word >> i & 1).wrapping_neg();
        }
    }
    sum
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn combine_wide(bits: &Bits, columns: &[u64]) -> u64 {
    use std::arch::x86_64::*;
    assert!(columns.len() == BAND);
    let mut sums = [_mm512_setzero_si512(); 4];
    for (i, word) in bits.iter().enumerate() {
        for step in 0..8 {
            // SAFETY: the assertion says that there are 64 columns of 8 bytes a word; each load covers eight of them.
            let lanes = unsafe { _mm512_loadu_si512(columns.as_ptr().add(64 * i + 8 * step).cast()) };
            let sum = &mut sums[step % 4];
            *sum = _mm512_mask_xor_epi64(*sum, (word >> (8 * step)) as __mmask8, *sum, lanes);
        }
    }
    let sum = _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3]));
    let half = _mm256_xor_si256(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64::<1>(sum));
    let two = _mm_xor_si128(_mm256_castsi256_si128(half), _mm256_extracti128_si256::<1>(half));
    (_mm_extract_epi64::<1>(two) ^ _mm_cvtsi128_si64(two)) as u64
}

/// Rows of words as the right sides: `own` is in hand, `settled` has `width` words a column.
struct Words<'a> {
    planes: Vec<&'a [u64]>,
    near: Vec<usize>,
    own: Vec<u64>,
    settled: Vec<u64>,
}

impl Words<'_> {
    fn column(&mut self, column: usize) -> (&mut [u64], &mut [u64]) {
        let width = self.own.len();
        (&mut self.own, &mut self.settled[column * width..(column + 1) * width])
    }
}

impl Right for Words<'_> {
    fn gather(&mut self, chunk: &[Entry]) {
        self.near.clear();
        self.near.extend(chunk.iter().map(|entry| entry.key()));
    }

    fn take(&mut self, place: usize) {
        let key = self.near[place];
        self.own.iter_mut().zip(&self.planes).for_each(|(word, plane)| *word = plane[key]);
    }

    fn subtract(&mut self, column: usize) {
        let (own, settled) = self.column(column);
        own.iter_mut().zip(settled).for_each(|(word, other)| *word ^= *other);
    }

    fn settle(&mut self, column: usize) {
        let (own, settled) = self.column(column);
        settled.copy_from_slice(own);
    }
}

/// A store of `columns` columns in which every key has its row: `width` planes of words, one after the other.
///
/// values: as many planes of a word a key.  None when the band's rows depend on each other (the caller takes another
/// seed). Free columns come from `fill`. Keys must differ.
pub fn encode(
    seed: &[u8; 16],
    keys: &[u128],
    values: &[u64],
    width: usize,
    columns: usize,
    fill: &mut Prg,
) -> Option<Vec<u64>> {
    let planes = (0..width).map(|place| &values[place * keys.len()..(place + 1) * keys.len()]).collect();
    let mut right = Words { planes, near: Vec::new(), own: vec![0; width], settled: vec![0; width * columns] };
    let pivots = reduce(&Bands::new(seed, columns), keys, columns, &mut right)?;
    let rows: &[Bits] = pivots.as_chunks().0;
    let mut store = vec![0u64; width * columns];
    fill.fill(&mut store);
    let mut plane = vec![0u64; padded(columns)];
    for (place, part) in store.chunks_exact_mut(columns).enumerate() {
        plane[..columns].copy_from_slice(part);
        for (column, row) in rows.iter().enumerate().rev() {
            if row[0] != 0 {
                plane[column] = 0;
                plane[column] = right.settled[column * width + place] ^ combine(row, &plane, column);
            }
        }
        part.copy_from_slice(&plane[..columns]);
    }
    Some(store)
}

/// The row of every key in a store, by planes; for a key that was not encoded it is as random as the store.
pub fn decode(seed: &[u8; 16], keys: &[u128], store: &[u64], width: usize) -> Vec<u64> {
    let (columns, count) = (store.len() / width, keys.len());
    let bands = Bands::new(seed, columns);
    let stride = padded(columns);
    let mut planes = vec![0u64; width * stride];
    for (plane, part) in planes.chunks_exact_mut(stride).zip(store.chunks_exact(columns)) {
        plane[..columns].copy_from_slice(part);
    }
    let mut out = vec![0u64; width * count];
    let mut bits = [[0; BAND / 64]; CHUNK];
    bands.chunks(keys, |entries, near| {
        bands.bits(near, &mut bits);
        for (place, plane) in planes.chunks_exact(stride).enumerate() {
            for (entry, bits) in entries.iter().zip(&bits) {
                out[place * count + entry.key()] = combine(bits, plane, entry.start());
            }
        }
        Some(())
    });
    out
}

/// Fewest columns that a store may have, whatever it holds.
pub const LEAST: usize = BAND;

/// AES-128 of every block under a secret key: a pseudorandom function of distinct blocks.
pub fn blocks_under(key: &[u8; 16], blocks: &[u128], out: &mut [u128]) {
    out.copy_from_slice(blocks);
    let cipher = FixedKey::new(key);
    out.chunks_mut(CHUNK).for_each(|part| cipher.apply(part));
}

/// `width` words for every pseudorandom block, by planes: AES-128 of block ^ 0, block ^ 1, ... under a secret key.
///
/// forward: every block is added to its image, for blocks that are secret themselves under a key that is public.
pub fn masks_under(key: &[u8; 16], blocks: &[u128], width: usize, forward: bool) -> Vec<u64> {
    let (cipher, count) = (FixedKey::new(key), blocks.len());
    let mut out = vec![0u64; width * count];
    let mut drawn = Vec::with_capacity(CHUNK);
    for (start, part) in (0..).step_by(CHUNK).zip(blocks.chunks(CHUNK)) {
        for pair in 0..width.div_ceil(2) {
            drawn.clear();
            drawn.extend(part.iter().map(|block| block ^ pair as u128));
            cipher.apply(&mut drawn);
            if forward {
                drawn.iter_mut().zip(part).for_each(|(image, block)| *image ^= block ^ pair as u128);
            }
            for half in 0..2.min(width - 2 * pair) {
                let plane = &mut out[(2 * pair + half) * count + start..][..part.len()];
                plane.iter_mut().zip(&drawn).for_each(|(word, block)| *word = (block >> (64 * half)) as u64);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::okvs::columns;
    use super::*;

    fn random(seed: u8, count: usize) -> Vec<u64> {
        let mut words = vec![0u64; count];
        Prg::new(&[seed; 16]).fill(&mut words);
        words
    }

    fn blocks(seed: u8, count: usize) -> Vec<u128> {
        random(seed, 2 * count).chunks_exact(2).map(|two| u128::from(two[0]) | u128::from(two[1]) << 64).collect()
    }

    #[test]
    fn every_key_has_its_row() {
        for (count, width) in [(0usize, 1usize), (1, 3), (2, 1), (64, 2), (1000, 5), (20_000, 3)] {
            let (keys, values) = (blocks(1, count), random(2, count * width));
            let store = encode(&[9; 16], &keys, &values, width, columns(count), &mut Prg::new(&[3; 16])).unwrap();
            assert_eq!(store.len(), columns(count) * width);
            assert_eq!(decode(&[9; 16], &keys, &store, width), values);
            let others = decode(&[9; 16], &blocks(4, count), &store, width);
            assert!(others.iter().zip(&values).all(|(a, b)| a != b));
        }
    }

    #[test]
    fn equal_keys_have_no_store() {
        assert!(encode(&[9; 16], &[5, 5], &[1, 2], 1, columns(2), &mut Prg::new(&[3; 16])).is_none());
    }

    #[test]
    fn wide_and_portable_sums_agree() {
        let plane = random(5, BAND + 3);
        for bits in [[0; 4], [u64::MAX; 4], [1, 1 << 63, 0x0123_4567_89ab_cdef, 7], [1 << 40, 0, 0, 0]] {
            assert_eq!(combine(&bits, &plane, 3), combine_portable(&bits, &plane[3..]));
        }
    }

    #[test]
    fn masks_are_aes_of_the_block_and_a_counter() {
        let (keys, all) = (blocks(6, 700), masks_under(&[7; 16], &blocks(6, 700), 5, false));
        let under = |blocks: &[u128]| {
            let mut out = vec![0; blocks.len()];
            blocks_under(&[7; 16], blocks, &mut out);
            out
        };
        let third = under(&keys.iter().map(|block| block ^ 2).collect::<Vec<_>>());
        assert_eq!(all[4 * 700..], third.iter().map(|block| *block as u64).collect::<Vec<_>>());
        let first = under(&keys);
        assert_eq!(all[700..1400], first.iter().map(|block| (block >> 64) as u64).collect::<Vec<_>>());
        let forward = masks_under(&[7; 16], &keys, 5, true);
        let added = third.iter().zip(&keys).map(|(image, block)| (image ^ block ^ 2) as u64);
        assert_eq!(forward[4 * 700..], added.collect::<Vec<_>>());
    }
}
