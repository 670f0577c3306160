//! Tags of set elements under a key that is a store over GF(2^128), by which two sets meet.
//!
//! Source: Raghuraman, Rindal, "Blazing Fast PSI from Improved OKVS and Subfield VOLE" (CCS 2022), section 4.
use super::bands::{Entry, CHUNK};
use super::okvs;
use super::sha::{sixteen, Words, LANES};
use crate::ot::aes::fixed;
use crate::ot::gf128;

/// What turns elements into tags: `delta` is None at the party whose store needs no correction.
pub struct Keyed<'a> {
    pub seed: &'a [u8; 16],
    pub store: &'a [u128],
    pub delta: Option<u128>,
    pub oracle: Oracle,
    pub width: usize,
}

/// How a tag comes of the value under the key.
#[derive(Clone, Copy)]
pub enum Oracle {
    /// A hash of fixed-key AES that the element's digest tweaks, up to 16 bytes: enough against parties that follow the
    /// protocol, as delta is random (Guo, Katz, Wang, Yu, S&P 2020, section 7.4).
    Block,
    /// SHA-256 of the value plus what both parties drew, and of all of the element's digest: 32 bytes.
    Random(u128),
}

impl Oracle {
    /// The most bytes of a tag.
    pub fn most(self) -> usize {
        match self {
            Oracle::Block => 16,
            Oracle::Random(_) => 32,
        }
    }
}

/// The tags of all elements, in their order.
///
/// They are made by where the elements' bands start, a few at a time, so that what lies between a digest and its tag
/// stays in the cache.
pub fn tags(keyed: &Keyed<'_>, keys: &[u128], values: &[u128], out: &mut [u8]) {
    let width = keyed.width;
    let mut own: Vec<u128> = Vec::with_capacity(CHUNK);
    let mut scaled = Vec::with_capacity(CHUNK);
    let mut work = Vec::with_capacity(CHUNK);
    okvs::decode_each(keyed.seed, keys, keyed.store, |entries, keys, decoded| {
        if keyed.delta.is_some() || matches!(keyed.oracle, Oracle::Random(_)) {
            own.clear();
            own.extend(entries.iter().map(|entry| values[entry.key()]));
        }
        let parts = match keyed.delta {
            Some(delta) => {
                scaled.clone_from(&own);
                gf128::scale_add(delta, &mut scaled, decoded);
                &mut scaled[..]
            }
            None => decoded,
        };
        let mut put = |entry: &Entry, tag: &[u8]| copy(tag, &mut out[entry.key() * width..][..width]);
        match keyed.oracle {
            Oracle::Block => {
                hash_blocks(parts, keys, &mut work);
                entries.iter().zip(parts).for_each(|(entry, tag)| put(entry, &tag.to_le_bytes()));
            }
            Oracle::Random(drawn) => {
                let elements = keys.chunks(LANES).zip(own.chunks(LANES));
                for ((entries, parts), (keys, values)) in entries.chunks(LANES).zip(parts.chunks(LANES)).zip(elements) {
                    let words = digests_of(drawn, [parts, keys, values]);
                    for (lane, entry) in entries.iter().enumerate() {
                        let mut tag = [0; 32];
                        let bytes = tag.as_chunks_mut::<4>().0.iter_mut();
                        bytes.zip(&words).for_each(|(bytes, word)| *bytes = word[lane].to_be_bytes());
                        put(entry, &tag);
                    }
                }
            }
        }
    });
}

/// The front of a tag; the usual lengths as two words, which may overlap.
#[inline(always)]
fn copy(tag: &[u8], out: &mut [u8]) {
    let width = out.len();
    if (8..=16).contains(&width) {
        let last: [u8; 8] = std::array::from_fn(|i| tag[width - 8 + i]);
        out[..8].copy_from_slice(&tag[..8]);
        out[width - 8..].copy_from_slice(&last);
    } else {
        out.copy_from_slice(&tag[..width]);
    }
}

/// SHA-256 of what both drew plus a value, of a key and of a value, for up to sixteen of each.
fn digests_of(drawn: u128, parts: [&[u128]; 3]) -> Words<8> {
    let mut blocks = [[0; LANES]; 16];
    for (i, (words, part)) in blocks.chunks_exact_mut(4).zip(parts).enumerate() {
        for (lane, x) in part.iter().enumerate() {
            let x = if i == 0 { x ^ drawn } else { *x };
            words.iter_mut().enumerate().for_each(|(k, word)| word[lane] = ((x >> (32 * k)) as u32).swap_bytes());
        }
    }
    (blocks[12], blocks[15]) = ([1 << 31; LANES], [8 * 48; LANES]);
    sixteen(&blocks)
}

/// Every x becomes pi(pi(x) + tweak) + pi(x).
fn hash_blocks(blocks: &mut [u128], tweaks: &[u128], work: &mut Vec<u128>) {
    let pi = fixed();
    pi.apply(blocks);
    work.clear();
    work.extend(blocks.iter().zip(tweaks).map(|(x, tweak)| x ^ tweak));
    pi.apply(work);
    blocks.iter_mut().zip(work).for_each(|(x, image)| *x ^= *image);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;
    use sha2::{Digest, Sha256};

    #[test]
    fn tags_are_hashes_of_what_the_store_gives() {
        let count = 1000;
        let mut words = vec![0u64; 8 * count];
        Prg::new(&[1; 16]).fill(&mut words);
        let blocks = crate::memory::blocks(&words).into_owned();
        let (keys, values) = (&blocks[..count], &blocks[count..2 * count]);
        let store = &blocks[2 * count..][..okvs::columns(count)];
        let hash = |x: u128| {
            let mut one = [x];
            fixed().apply(&mut one);
            one[0]
        };
        let mut decoded = vec![0; count];
        okvs::decode(&[9; 16], keys, store, &mut decoded);
        for (oracle, width) in [(Oracle::Block, 7), (Oracle::Block, 11), (Oracle::Random(5), 32)] {
            let keyed = Keyed { seed: &[9; 16], store, delta: Some(77), oracle, width };
            let mut all = vec![0; count * width];
            tags(&keyed, keys, values, &mut all);
            for (i, tag) in all.chunks_exact(width).enumerate() {
                let mut part = [values[i]];
                gf128::scale_add(77, &mut part, &decoded[i..=i]);
                match oracle {
                    Oracle::Block => {
                        let image = hash(part[0]);
                        assert_eq!(tag, &(hash(image ^ keys[i]) ^ image).to_le_bytes()[..width]);
                    }
                    Oracle::Random(drawn) => {
                        let message = [part[0] ^ drawn, keys[i], values[i]].map(u128::to_le_bytes).concat();
                        assert_eq!(tag, &Sha256::digest(message)[..]);
                    }
                }
            }
        }
    }
}
