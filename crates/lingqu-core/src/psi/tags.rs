//! Tags in order, and which of them two sides share.
//!
//! Tags are random, so their order says nothing of the elements: it takes the place of a random one.
use super::spread;
use crate::memory;

/// Bytes of a tag that stand in its record, above its number.
const FRONT: usize = 12;

/// The front of a tag in the upper bits of a record: its first eight bytes as a number, and four more.
#[inline(always)]
fn record(tag: &[u8]) -> u128 {
    let width = tag.len();
    let four = |from: usize| u32::from_le_bytes(std::array::from_fn(|i| tag[from + i]));
    match tag.first_chunk() {
        Some(eight) => {
            let next = if width >= FRONT { four(8) } else { four(width - 4) };
            u128::from(u64::from_le_bytes(*eight)) << 64 | u128::from(next) << 32
        }
        None => {
            let number = tag.iter().rev().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            u128::from(number << (64 - 8 * width)) << 64
        }
    }
}

fn records(tags: &[u8], width: usize) -> Vec<u128> {
    let mut records = spread::blocks(tags.len() / width);
    let numbered = tags.chunks_exact(width).enumerate();
    records.iter_mut().zip(numbered).for_each(|(x, (i, tag))| *x = record(tag) | i as u128);
    spread::sort(records)
}

/// Tags in the order of their fronts, and which of the given ones each is.  width: 1 to 32 bytes a tag.
pub fn sorted(tags: &[u8], width: usize) -> (Vec<u8>, Vec<u32>) {
    const AHEAD: usize = 24;
    let mut out = memory::large(vec![0; tags.len()]);
    let records = records(tags, width);
    for (i, (out, record)) in out.chunks_exact_mut(width).zip(&records).enumerate() {
        let front = ((record >> 64) as u64).to_le_bytes();
        if width < 8 {
            out.copy_from_slice(&front[8 - width..]);
        } else if width <= FRONT {
            out[..8].copy_from_slice(&front);
            out[width - 4..].copy_from_slice(&((record >> 32) as u32).to_le_bytes());
        } else {
            if let Some(later) = records.get(i + AHEAD) {
                memory::prefetch(&tags[*later as u32 as usize * width]);
            }
            out.copy_from_slice(&tags[*record as u32 as usize * width..][..width]);
        }
    }
    (out, records.into_iter().map(|record| record as u32).collect())
}

/// This party's tags, which the other's meet as they come, both in order.
pub struct Meeting {
    width: usize,
    records: Vec<u128>,
    rest: Vec<u8>,
    next: usize,
    found: Vec<bool>,
}

impl Meeting {
    /// width: 1 to 32 bytes a tag.  tags: fewer than 2^32, in any order.
    pub fn new(tags: &[u8], width: usize) -> Self {
        let rest = tags.chunks_exact(width).flat_map(|tag| &tag[width.min(FRONT)..]).copied().collect();
        let records = records(tags, width);
        Meeting { width, found: vec![false; records.len()], records, rest, next: 0 }
    }

    /// Which of the other side's next tags this side has, too; of tags out of order it may miss some.
    pub fn meet(&mut self, tags: &[u8]) -> Vec<bool> {
        let behind = self.width.saturating_sub(FRONT);
        let mut met = Vec::with_capacity(tags.len() / self.width);
        for tag in tags.chunks_exact(self.width) {
            let theirs = record(tag);
            while self.records.get(self.next).is_some_and(|own| *own < theirs) {
                self.next += 1;
            }
            let same = self.records[self.next..].iter().take_while(|own| *own >> 32 == theirs >> 32);
            let mut here = false;
            for own in same.map(|own| *own as u32 as usize) {
                if behind == 0 || self.rest[own * behind..][..behind] == tag[FRONT..] {
                    self.found[own] = true;
                    here = true;
                }
            }
            met.push(here);
        }
        met
    }

    /// Which of this side's tags, in the order in which they were given, the other side has shown so far.
    pub fn found(&self) -> &[bool] {
        &self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    #[test]
    fn shared_tags_are_found() {
        for width in [1usize, 3, 8, 9, 12, 13, 32] {
            let mut words = vec![0u64; 4 * 5000];
            Prg::new(&[width as u8; 16]).fill(&mut words);
            let all: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).take(5000 * width).collect();
            let (mine, given) = (&all[..3000 * width], &all[2000 * width..]);
            let (theirs, order) = sorted(given, width);
            for (tag, from) in theirs.chunks_exact(width).zip(&order) {
                assert_eq!(tag, &given[*from as usize * width..][..width]);
            }
            let has = |some: &[u8], tag: &[u8]| some.chunks_exact(width).any(|other| other == tag);
            let mut meeting = Meeting::new(mine, width);
            let met: Vec<bool> = theirs.chunks(700 * width).flat_map(|part| meeting.meet(part)).collect();
            assert_eq!(met, theirs.chunks_exact(width).map(|tag| has(mine, tag)).collect::<Vec<_>>());
            assert_eq!(meeting.found(), mine.chunks_exact(width).map(|tag| has(&theirs, tag)).collect::<Vec<_>>());
        }
        let mut none = Meeting::new(&[], 6);
        assert_eq!((none.meet(&[1; 12]), none.meet(&[])), (vec![false; 2], vec![]));
    }

    #[test]
    fn order_is_that_of_the_tags_alone() {
        let mut words = vec![0u64; 500];
        Prg::new(&[1; 16]).fill(&mut words);
        for width in [5usize, 10, 20] {
            let tags: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).take(100 * width).collect();
            let turned: Vec<u8> = tags.chunks_exact(width).rev().flatten().copied().collect();
            assert_eq!(sorted(&tags, width).0, sorted(&turned, width).0);
        }
    }

    #[test]
    fn tags_that_differ_behind_their_fronts_are_different() {
        let mut meeting = Meeting::new(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14], 14);
        let near = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15];
        assert_eq!((meeting.meet(&near), meeting.found()), (vec![false], &[false][..]));
    }
}
