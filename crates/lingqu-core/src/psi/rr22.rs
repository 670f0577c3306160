//! Tags of set elements under a key that is a store over GF(2^128), and the tags that two sets share.
//!
//! Source: Raghuraman, Rindal, "Blazing Fast PSI from Improved OKVS and Subfield VOLE" (CCS 2022), section 4.
use super::bands::{Entry, CHUNK};
use super::okvs;
use super::sha::{sixteen, Words, LANES};
use crate::memory;
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

/// Write the tag of every element at the place that it is given, or at its own number.
///
/// Elements come by where their bands start, a few at a time, so that what lies between a digest and its tag stays in
/// the cache.  places: a permutation of the elements' numbers.
pub fn tags(keyed: &Keyed<'_>, keys: &[u128], values: &[u128], places: Option<&[u32]>, out: &mut [u8]) {
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
        let mut put = |entry: &Entry, tag: &[u8]| {
            let place = places.map_or(entry.key(), |places| places[entry.key()] as usize);
            copy(tag, &mut out[place * width..][..width]);
        };
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

/// This party's tags, to be met with the other's as they come.
///
/// A table with open addressing: the first twelve bytes of a tag and its number, and what is behind them apart. Tags of
/// this party are random, so a peer cannot make it slow.
pub struct Table {
    width: usize,
    slots: Vec<u64>,
    rest: Vec<u8>,
    found: Vec<bool>,
}

/// Bytes of a tag in its slot.
const FRONT: usize = 12;
/// Tags whose slots are fetched together.
const TOGETHER: usize = 32;

impl Table {
    /// width: 1 to 32 bytes a tag.  tags: fewer than 2^32 - 1.
    pub fn new(tags: &[u8], width: usize) -> Self {
        let count = tags.len() / width;
        let rest = tags.chunks_exact(width).flat_map(|tag| &tag[width.min(FRONT)..]).copied().collect();
        let mut table = Table { width, slots: memory::zeros(2 * (2 * count + 1)), rest, found: vec![false; count] };
        let mut index = 0u64;
        for part in tags.chunks(TOGETHER * width) {
            let places = table.fetch(part);
            for ((front, next), mut at) in part.chunks_exact(width).map(front).zip(places) {
                while table.slots[2 * at + 1] >> 32 != 0 {
                    at = table.after(at);
                }
                index += 1;
                (table.slots[2 * at], table.slots[2 * at + 1]) = (front, index << 32 | next);
            }
        }
        table
    }

    fn after(&self, at: usize) -> usize {
        if 2 * (at + 1) == self.slots.len() {
            0
        } else {
            at + 1
        }
    }

    /// Where the search for each of up to TOGETHER tags begins; the caches are told.
    fn fetch(&self, tags: &[u8]) -> [usize; TOGETHER] {
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut places = [0; TOGETHER];
        let count = self.slots.len() as u128 / 2;
        for (place, tag) in places.iter_mut().zip(tags.chunks_exact(self.width)) {
            *place = ((u128::from(front(tag).0.wrapping_mul(SPREAD)) * count) >> 64) as usize;
            memory::prefetch(&self.slots[2 * *place]);
        }
        places
    }

    /// Which of some tags of the other side this side has, too.
    pub fn meet(&mut self, tags: &[u8]) -> Vec<bool> {
        let behind = self.width.saturating_sub(FRONT);
        let mut met = Vec::with_capacity(tags.len() / self.width);
        for part in tags.chunks(TOGETHER * self.width) {
            let places = self.fetch(part);
            for (tag, mut at) in part.chunks_exact(self.width).zip(places) {
                let (first, next) = front(tag);
                let mut here = false;
                while self.slots[2 * at + 1] >> 32 != 0 {
                    let (other, info) = (self.slots[2 * at], self.slots[2 * at + 1]);
                    if other == first && info as u32 == next as u32 {
                        let own = (info >> 32) as usize - 1;
                        if self.rest[own * behind..][..behind] == tag[self.width - behind..] {
                            self.found[own] = true;
                            here = true;
                        }
                    }
                    at = self.after(at);
                }
                met.push(here);
            }
        }
        met
    }

    /// Which of this side's tags the other side has shown so far.
    pub fn found(&self) -> &[bool] {
        &self.found
    }
}

/// The first twelve bytes of a tag as eight and four, zeros behind a shorter one.
#[inline(always)]
fn front(tag: &[u8]) -> (u64, u64) {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    match tag.split_first_chunk() {
        Some((eight, rest)) => (u64::from_le_bytes(*eight), number(&rest[..rest.len().min(FRONT - 8)])),
        None => (number(tag), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;
    use sha2::{Digest, Sha256};

    #[test]
    fn shared_tags_are_found() {
        for width in [1usize, 3, 8, 9, 12, 13, 32] {
            let mut words = vec![0u64; 4 * 5000];
            Prg::new(&[width as u8; 16]).fill(&mut words);
            let all: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).take(5000 * width).collect();
            let (mine, theirs) = (&all[..3000 * width], &all[2000 * width..]);
            let has = |some: &[u8], tag: &[u8]| some.chunks_exact(width).any(|other| other == tag);
            let mut table = Table::new(mine, width);
            let met: Vec<bool> = theirs.chunks(700 * width).flat_map(|part| table.meet(part)).collect();
            assert_eq!(met, theirs.chunks_exact(width).map(|tag| has(mine, tag)).collect::<Vec<_>>());
            assert_eq!(table.found(), mine.chunks_exact(width).map(|tag| has(theirs, tag)).collect::<Vec<_>>());
        }
        let mut none = Table::new(&[], 6);
        assert_eq!((none.meet(&[1; 12]), none.meet(&[])), (vec![false; 2], vec![]));
    }

    #[test]
    fn tags_that_differ_behind_their_fronts_are_different() {
        let mut table = Table::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], 14);
        let near = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15];
        assert_eq!((table.meet(&near), table.found()), (vec![false], &[false][..]));
    }

    #[test]
    fn tags_are_where_they_are_given_a_place() {
        let count = 1000;
        let mut words = vec![0u64; 8 * count];
        Prg::new(&[1; 16]).fill(&mut words);
        let blocks = crate::memory::blocks(&words).into_owned();
        let (keys, values) = (&blocks[..count], &blocks[count..2 * count]);
        let store = &blocks[2 * count..][..okvs::columns(count)];
        let places = Prg::new(&[2; 16]).permutation(count as u32);
        let hash = |x: u128| {
            let mut one = [x];
            fixed().apply(&mut one);
            one[0]
        };
        let mut decoded = vec![0; count];
        okvs::decode(&[9; 16], keys, store, &mut decoded);
        for (oracle, width) in [(Oracle::Block, 7), (Oracle::Block, 11), (Oracle::Random(5), 32)] {
            let keyed = Keyed { seed: &[9; 16], store, delta: Some(77), oracle, width };
            let (mut plain, mut placed) = (vec![0; count * width], vec![0; count * width]);
            tags(&keyed, keys, values, None, &mut plain);
            tags(&keyed, keys, values, Some(&places), &mut placed);
            for (i, place) in places.iter().enumerate() {
                let mut part = [values[i]];
                gf128::scale_add(77, &mut part, &decoded[i..=i]);
                let tag = &plain[i * width..][..width];
                assert_eq!(&placed[*place as usize * width..][..width], tag);
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
