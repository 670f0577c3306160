//! Tags of set elements under a key that is a store over GF(2^128), and the tags that two sets share.
//!
//! Source: Raghuraman, Rindal, "Blazing Fast PSI from Improved OKVS and Subfield VOLE" (CCS 2022), section 4.
use super::okvs;
use crate::ot::aes::fixed;
use crate::ot::gf128;
use sha2::{Digest, Sha256};

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

const CHUNK: usize = 1 << 12;

/// Elements at a time, so that what lies between a digest and its tag stays in the cache.
pub fn tags(keyed: &Keyed<'_>, keys: &[u128], values: &[u128]) -> Vec<u8> {
    let mut decoded = okvs::decode(keyed.seed, keys, keyed.store);
    let mut out = Vec::with_capacity(keys.len() * keyed.width);
    let mut scaled = Vec::with_capacity(CHUNK);
    for ((decoded, keys), values) in decoded.chunks_mut(CHUNK).zip(keys.chunks(CHUNK)).zip(values.chunks(CHUNK)) {
        let parts = match keyed.delta {
            Some(delta) => {
                scaled.clear();
                scaled.extend_from_slice(values);
                gf128::scale_add(delta, &mut scaled, decoded);
                &mut scaled[..]
            }
            None => decoded,
        };
        match keyed.oracle {
            Oracle::Block => {
                hash_blocks(parts, keys);
                parts.iter().for_each(|tag| out.extend_from_slice(&tag.to_le_bytes()[..keyed.width]));
            }
            Oracle::Random(drawn) => {
                for ((part, key), value) in parts.iter().zip(keys).zip(values) {
                    let hash = Sha256::new_with_prefix((part ^ drawn).to_le_bytes());
                    let hash = hash.chain_update(key.to_le_bytes()).chain_update(value.to_le_bytes()).finalize();
                    out.extend_from_slice(&hash[..keyed.width]);
                }
            }
        }
    }
    out
}

/// Every x becomes pi(pi(x) + tweak) + pi(x).
fn hash_blocks(blocks: &mut [u128], tweaks: &[u128]) {
    let pi = fixed();
    pi.apply(blocks);
    let mut work: Vec<u128> = blocks.iter().zip(tweaks).map(|(x, tweak)| x ^ tweak).collect();
    pi.apply(&mut work);
    blocks.iter_mut().zip(&work).for_each(|(x, image)| *x ^= image);
}

/// The first eight bytes of a tag, fewer where it is shorter.
fn front(tag: &[u8]) -> u64 {
    let mut bytes = [0u8; 8];
    let size = tag.len().min(8);
    bytes[..size].copy_from_slice(&tag[..size]);
    u64::from_le_bytes(bytes)
}

/// Fronts and places of tags, those together whose fronts a multiplication sends to one part.
struct Parts {
    tags: Vec<(u64, u32)>,
    ends: Vec<usize>,
}

impl Parts {
    fn of(tags: &[u8], width: usize, log: u32) -> Self {
        let part = |tag: &[u8]| front(tag).wrapping_mul(SPREAD).checked_shr(64 - log).unwrap_or(0) as usize;
        let mut ends = vec![0usize; 1 << log];
        tags.chunks_exact(width).for_each(|tag| ends[part(tag)] += 1);
        let mut total = 0;
        for end in &mut ends {
            (*end, total) = (total, total + *end);
        }
        let mut parts = vec![(0u64, 0u32); tags.len() / width];
        for (index, tag) in tags.chunks_exact(width).enumerate() {
            let end = &mut ends[part(tag)];
            parts[*end] = (front(tag), index as u32);
            *end += 1;
        }
        Parts { tags: parts, ends }
    }

    fn part(&self, index: usize) -> &[(u64, u32)] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.tags[start..self.ends[index]]
    }
}

const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
const FREE: u32 = u32::MAX;

/// Which tags of each side the other side has too.  width: 1 to 32 bytes a tag.
///
/// The table holds this party's tags, which are random, so a peer cannot make it slow.
pub fn shared(mine: &[u8], theirs: &[u8], width: usize) -> (Vec<bool>, Vec<bool>) {
    let mut found = (vec![false; mine.len() / width], vec![false; theirs.len() / width]);
    let log = (found.0.len() / 4096).checked_ilog2().unwrap_or(0).min(10);
    let (left, right) = (Parts::of(mine, width, log), Parts::of(theirs, width, log));
    let mut table = Vec::new();
    for index in 0..1 << log {
        let (left, right) = (left.part(index), right.part(index));
        let slots = (2 * left.len() + 1).next_power_of_two();
        let place = |front: u64| (front.wrapping_mul(SPREAD) >> 20) as usize & (slots - 1);
        table.clear();
        table.resize(slots, FREE);
        for (at, (front, _)) in left.iter().enumerate() {
            let mut slot = place(*front);
            while table[slot] != FREE {
                slot = (slot + 1) & (slots - 1);
            }
            table[slot] = at as u32;
        }
        for (front, its) in right {
            let mut slot = place(*front);
            while table[slot] != FREE {
                let (other, own) = left[table[slot] as usize];
                if other == *front && mine[own as usize * width..][..width] == theirs[*its as usize * width..][..width]
                {
                    found.0[own as usize] = true;
                    found.1[*its as usize] = true;
                }
                slot = (slot + 1) & (slots - 1);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_tags_are_found() {
        let all: Vec<[u8; 9]> =
            (0..5000u64).map(|i| std::array::from_fn(|j| ((i * 77) >> (8 * (j % 3))) as u8)).collect();
        let (mine, theirs) = (all[..3000].concat(), all[2000..].concat());
        let (left, right) = shared(&mine, &theirs, 9);
        assert_eq!(left, (0..3000).map(|i| i >= 2000).collect::<Vec<_>>());
        assert_eq!(right, (2000..5000).map(|i| i < 3000).collect::<Vec<_>>());
        assert_eq!(shared(&[], &[], 6), (vec![], vec![]));
    }
}
