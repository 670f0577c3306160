//! A key-value store for rows of words, on the band matrix of `okvs`, and the keyed functions that mask such rows.
//!
//! One elimination serves all words of a row. The store lies by planes, one of `columns` words for every word of a
//! row, so that a lookup reads whole registers whatever the width.
use super::hash::FixedKey;
use super::okvs::{Bands, Row, BAND, CHUNK, WORDS};
use crate::prg::Prg;

/// Words of a plane with the room that the last bands reach into.
const fn padded(columns: usize) -> usize {
    columns.next_multiple_of(64) + 64 * WORDS
}

/// The XOR of the columns of a plane that a row names; every column of the band is read.
fn combine(row: &Row, plane: &[u64]) -> u64 {
    let first = row.base as usize * 64;
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        return unsafe { combine_wide(&row.bits, &plane[first..first + 64 * WORDS]) };
    }
    combine_portable(&row.bits, &plane[first..first + 64 * WORDS])
}

fn combine_portable(bits: &[u64; WORDS], columns: &[u64]) -> u64 {
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
fn combine_wide(bits: &[u64; WORDS], columns: &[u64]) -> u64 {
    use std::arch::x86_64::*;
    assert!(columns.len() == 64 * WORDS);
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
    let (rows, right) = reduce(seed, keys, values, width, columns)?;
    let mut store = vec![0u64; width * columns];
    fill.fill(&mut store);
    let mut plane = vec![0u64; padded(columns)];
    for (place, part) in store.chunks_exact_mut(columns).enumerate() {
        plane[..columns].copy_from_slice(part);
        for (column, row) in rows.iter().enumerate().rev() {
            if row.bits[0] != 0 {
                plane[column] = 0;
                plane[column] = right[column * width + place] ^ combine(row, &plane);
            }
        }
        part.copy_from_slice(&plane[..columns]);
    }
    Some(store)
}

/// As `okvs::encode` eliminates, with `width` words on the right side of every row.
fn reduce(
    seed: &[u8; 16],
    keys: &[u128],
    values: &[u64],
    width: usize,
    columns: usize,
) -> Option<(Vec<Row>, Vec<u64>)> {
    let (bands, count) = (Bands::new(seed, columns), keys.len());
    let mut pivots = vec![Row::EMPTY; columns];
    let mut right = vec![0u64; columns * width];
    let (mut near, mut rows) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
    let mut own = vec![0u64; width];
    for indices in bands.order(keys).chunks(CHUNK) {
        near.clear();
        near.extend(indices.iter().map(|&i| keys[i as usize]));
        bands.expand(&near, &mut rows);
        for (row, &i) in rows.iter_mut().zip(indices) {
            own.iter_mut().enumerate().for_each(|(place, word)| *word = values[place * count + i as usize]);
            loop {
                let column = row.lead()?;
                let settled = &mut right[column * width..(column + 1) * width];
                if pivots[column].bits[0] == 0 {
                    pivots[column] = *row;
                    settled.copy_from_slice(&own);
                    break;
                }
                row.subtract(&pivots[column]);
                own.iter_mut().zip(settled.iter()).for_each(|(word, other)| *word ^= other);
            }
        }
    }
    Some((pivots, right))
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
    let (mut near, mut rows) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
    for indices in bands.order(keys).chunks(CHUNK) {
        near.clear();
        near.extend(indices.iter().map(|&i| keys[i as usize]));
        bands.expand(&near, &mut rows);
        for (place, plane) in planes.chunks_exact(stride).enumerate() {
            for (row, &i) in rows.iter().zip(indices) {
                out[place * count + i as usize] = combine(row, plane);
            }
        }
    }
    out
}

/// Fewest columns that a store may have, whatever it holds.
pub const LEAST: usize = BAND;

/// AES-128 of every block under a secret key: a pseudorandom function of distinct blocks.
pub fn blocks_under(key: &[u8; 16], blocks: &[u128]) -> Vec<u128> {
    let mut out = blocks.to_vec();
    let cipher = FixedKey::new(key);
    out.chunks_mut(CHUNK).for_each(|part| cipher.apply(part));
    out
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
        let plane = random(5, 64 * WORDS);
        for bits in [[0u64; WORDS], [u64::MAX; WORDS], [1, 1 << 63, 0x0123_4567_89ab_cdef, 7, 1 << 40]] {
            let row = Row { bits, base: 0, value: 0 };
            assert_eq!(combine(&row, &plane), combine_portable(&bits, &plane));
        }
    }

    #[test]
    fn masks_are_aes_of_the_block_and_a_counter() {
        let (keys, all) = (blocks(6, 700), masks_under(&[7; 16], &blocks(6, 700), 5, false));
        let third = blocks_under(&[7; 16], &keys.iter().map(|block| block ^ 2).collect::<Vec<_>>());
        assert_eq!(all[4 * 700..], third.iter().map(|block| *block as u64).collect::<Vec<_>>());
        let first = blocks_under(&[7; 16], &keys);
        assert_eq!(all[700..1400], first.iter().map(|block| (block >> 64) as u64).collect::<Vec<_>>());
        let forward = masks_under(&[7; 16], &keys, 5, true);
        let added = third.iter().zip(&keys).map(|(image, block)| (image ^ block ^ 2) as u64);
        assert_eq!(forward[4 * 700..], added.collect::<Vec<_>>());
    }
}
