//! AES-128 under a public key as a permutation of blocks, and the digests of set elements.
use aes::cipher::{BlockEncrypt, KeyInit};
use aes::Aes128;
use sha2::{Digest, Sha256};

use super::sha::{sixteen, Words, LANES};
use super::spread;
use crate::memory;

/// AES-128 under a key that both parties know, on 128-bit integers read as little-endian blocks.
pub struct FixedKey(Aes128);

impl FixedKey {
    pub fn new(key: &[u8; 16]) -> Self {
        FixedKey(Aes128::new(key.into()))
    }

    /// Every block replaced by its image.
    pub fn apply(&self, blocks: &mut [u128]) {
        blocks.iter_mut().for_each(|block| *block = block.to_le());
        // SAFETY: a cipher block is 16 bytes with the alignment of a byte; the view has the slice's exact extent.
        let view = unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), blocks.len()) };
        self.0.encrypt_blocks(view);
        blocks.iter_mut().for_each(|block| *block = u128::from_le(*block));
    }
}

/// The longest element that fills one block of SHA-256 with the salt, the padding and the length.
const SHORT: usize = 64 - 32 - 9;

/// Short elements that wait until there are sixteen.
struct Waiting {
    blocks: Words<16>,
    places: [usize; LANES],
    count: usize,
}

impl Waiting {
    /// With the salt in front of all of them (FIPS 180-4, section 5.1.1).
    fn new(salt: &[u8; 32]) -> Self {
        let mut blocks = [[0; LANES]; 16];
        for (word, bytes) in blocks.iter_mut().zip(salt.as_chunks().0) {
            *word = [u32::from_be_bytes(*bytes); LANES];
        }
        Waiting { blocks, places: [0; LANES], count: 0 }
    }

    /// One more, of `length` bytes at the front of `bytes`; whatever is behind them does not matter.
    #[inline(always)]
    fn push(&mut self, place: usize, bytes: &[u8; SHORT + 1], length: usize) {
        let lane = self.count;
        for (i, eight) in bytes.as_chunks::<8>().0.iter().enumerate() {
            let inside = length.saturating_sub(8 * i).min(8) as u32;
            let kept = u64::from_le_bytes(*eight) & u64::MAX.checked_shr(64 - 8 * inside).unwrap_or(0);
            let end = if length / 8 == i { 0x80 << (8 * inside) } else { 0 };
            let word = (kept | end).swap_bytes();
            self.blocks[8 + 2 * i][lane] = (word >> 32) as u32;
            self.blocks[9 + 2 * i][lane] = word as u32;
        }
        self.blocks[15][lane] = 8 * (32 + length as u32);
        self.places[lane] = place;
        self.count += 1;
    }

    fn finish(&mut self, put: &mut impl FnMut(usize, [u128; 2])) {
        let words = sixteen(&self.blocks).map(|word| word.map(u32::swap_bytes));
        for (lane, place) in self.places[..self.count].iter().enumerate() {
            let half = |from: usize| (0..4).fold(0, |sum, i| sum | u128::from(words[from + i][lane]) << (32 * i));
            put(*place, [half(0), half(4)]);
        }
        self.count = 0;
    }
}

/// Both halves of SHA-256(salt || element) for every element of `data`, which ends at its offset; `put` gets them with
/// the element's number, in any order.
///
/// None when offsets do not rise from 0 to the length of the data.
pub fn digests(salt: &[u8; 32], data: &[u8], offsets: &[i64], mut put: impl FnMut(usize, [u128; 2])) -> Option<()> {
    let mut start = usize::try_from(*offsets.first()?).ok()?;
    let begun = Sha256::new_with_prefix(salt);
    let mut waiting = Waiting::new(salt);
    for (place, end) in offsets[1..].iter().enumerate() {
        let end = usize::try_from(*end).ok()?;
        let element = data.get(start..end)?;
        if element.len() > SHORT {
            let digest: [u8; 32] = begun.clone().chain_update(element).finalize().into();
            let half = |from: usize| u128::from_le_bytes(std::array::from_fn(|i| digest[from + i]));
            put(place, [half(0), half(16)]);
        } else if let Some(bytes) = data[start..].first_chunk() {
            waiting.push(place, bytes, element.len());
        } else {
            let mut last = [0; SHORT + 1];
            last[..element.len()].copy_from_slice(element);
            waiting.push(place, &last, element.len());
        }
        if waiting.count == LANES {
            waiting.finish(&mut put);
        }
        start = end;
    }
    waiting.finish(&mut put);
    Some(())
}

/// Keys and values by the lower halves of the keys, as they were hashed; and which element each is of.
pub fn in_order(keys: &[u128], values: &[u128], sorted: [&mut [u128]; 2]) -> Vec<u32> {
    const AHEAD: usize = 24;
    let mut records = spread::blocks(keys.len());
    records.iter_mut().zip(keys).enumerate().for_each(|(i, (record, key))| *record = key << 64 | i as u128);
    let records = spread::sort(records);
    let [new_keys, new_values] = sorted;
    for (i, record) in records.iter().enumerate() {
        if let Some(later) = records.get(i + AHEAD) {
            memory::prefetch(&keys[*later as u32 as usize]);
            memory::prefetch(&values[*later as u32 as usize]);
        }
        let from = *record as u32 as usize;
        (new_keys[i], new_values[i]) = (keys[from], values[from]);
    }
    records.into_iter().map(|record| record as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(salt: &[u8; 32], data: &[u8], offsets: &[i64]) -> Option<Vec<[u8; 32]>> {
        let mut out = vec![[0; 32]; offsets.len().saturating_sub(1)];
        digests(salt, data, offsets, |place, [one, two]| {
            out[place][..16].copy_from_slice(&one.to_le_bytes());
            out[place][16..].copy_from_slice(&two.to_le_bytes());
        })?;
        Some(out)
    }

    #[test]
    fn digests_are_sha256_of_salt_and_element() {
        let salt = [0x61u8; 32];
        let lengths = (0..200).map(|i| (i * 7) % 41).chain([SHORT, SHORT + 1, 100, 0, 3]);
        let (mut data, mut offsets) = (Vec::new(), vec![0]);
        for (i, length) in lengths.enumerate() {
            data.extend((0..length).map(|j| (i * 3 + j) as u8));
            offsets.push(data.len() as i64);
        }
        let found_all = found(&salt, &data, &offsets).unwrap();
        for (digest, ends) in found_all.iter().zip(offsets.windows(2)) {
            let element = &data[ends[0] as usize..ends[1] as usize];
            assert_eq!(digest[..], Sha256::digest([&salt[..], element].concat())[..]);
        }
        assert!(found(&salt, b"abcd", &[0, 3, 2]).is_none());
        assert!(found(&salt, b"abcd", &[0, 5]).is_none());
        assert!(found(&salt, b"abcd", &[-1, 2]).is_none());
        assert!(found(&salt, b"abcd", &[]).is_none());
    }

    #[test]
    fn hashes_are_put_in_order_with_their_elements() {
        let keys: Vec<u128> = (1..3000u128).map(|i| i * 0x9e37_79b9_7f4a_7c15 * 0x3_0000_0005).collect();
        let values: Vec<u128> = keys.iter().map(|key| key ^ 5).collect();
        let (mut sorted, mut with) = (vec![0; keys.len()], vec![0; keys.len()]);
        let who = in_order(&keys, &values, [&mut sorted, &mut with]);
        assert!(sorted.is_sorted_by_key(|key| *key as u64));
        for (i, from) in who.iter().enumerate() {
            assert_eq!((sorted[i], with[i]), (keys[*from as usize], values[*from as usize]));
        }
    }

    #[test]
    fn fixed_key_is_aes() {
        let mut blocks = [0u128];
        FixedKey::new(&[0; 16]).apply(&mut blocks);
        assert_eq!(blocks[0].to_le_bytes()[..4], [0x66, 0xe9, 0x4b, 0xd4]);
    }
}
