//! Rows of any number of bits, one after the other without gaps: the tables of keys that a sort shuffles and compares.
use crate::memory::zeros;
use crate::prg::Prg;

/// Rows of a block whose bits fill whole words, whatever their number.
const BLOCK: usize = 64;

/// Bits that are appended to words.
struct Writer {
    out: Vec<u64>,
    held: u64,
    filled: usize,
}

impl Writer {
    fn new(bits: usize) -> Self {
        Writer { out: Vec::with_capacity(bits.div_ceil(64) + 1), held: 0, filled: 0 }
    }

    /// The low `width` bits of a word, 1 to 64.
    #[inline(always)]
    fn push(&mut self, word: u64, width: usize) {
        let word = word & u64::MAX >> (64 - width);
        self.held |= word << self.filled;
        self.filled += width;
        if self.filled >= 64 {
            self.out.push(self.held);
            self.filled -= 64;
            self.held = if self.filled == 0 { 0 } else { word >> (width - self.filled) };
        }
    }

    /// `width` bits of a table from bit `at` on; the caller has checked that they are there.
    #[inline(always)]
    fn copy(&mut self, table: &[u64], at: usize, width: usize) {
        let mut at = at;
        let end = at + width;
        while at < end {
            let part = (end - at).min(64);
            let (word, shift) = (at / 64, at % 64);
            let rest = if shift + part > 64 { table[word + 1] << (64 - shift) } else { 0 };
            self.push(table[word] >> shift | rest, part);
            at += part;
        }
    }

    /// Move what was written, the last word filled up with zeros, to the front of `out`.
    fn flush(&mut self, out: &mut [u64]) {
        if self.filled > 0 {
            self.out.push(self.held);
            (self.held, self.filled) = (0, 0);
        }
        out[..self.out.len()].copy_from_slice(&self.out);
        self.out.clear();
    }

    fn finish(mut self) -> Vec<u64> {
        if self.filled > 0 {
            self.out.push(self.held);
        }
        self.out
    }
}

/// Words whose low `width` bits are a part of every row, XORed with others where there are some.
pub struct Key<'a> {
    pub words: &'a [u64],
    pub other: Option<&'a [u64]>,
    pub width: usize,
}

/// Rows of a number's `bits` bits, the row's own or 0, and the keys above it; all keys have `rows` words.
pub fn pack_rows(rows: usize, bits: usize, numbered: bool, keys: &[Key]) -> Vec<u64> {
    let width = bits + keys.iter().map(|key| key.width).sum::<usize>();
    let mut writer = Writer::new(rows * width);
    for row in 0..rows {
        if bits > 0 {
            writer.push(if numbered { row as u64 } else { 0 }, bits);
        }
        for key in keys {
            let other = key.other.map_or(0, |other| other[row]);
            writer.push(key.words[row] ^ other, key.width);
        }
    }
    writer.finish()
}

/// Row i of the result is row `from[i]` of `width` bits; None when a row is not there.
pub fn gather_packed(table: &[u64], from: &[u32], width: usize) -> Option<Vec<u64>> {
    let mut out = zeros((from.len() * width).div_ceil(64));
    gather_into(&mut out, table, from, width)?;
    Some(out)
}

/// As `gather_packed`, in the last words of a table that has room for `interleave_within` before them.
pub fn gather_behind(table: &[u64], from: &[u32], width: usize) -> Option<Vec<u64>> {
    let count = (from.len() * width).div_ceil(64);
    let mut out = zeros(2 * count + 1);
    gather_into(&mut out[count + 1..], table, from, width)?;
    Some(out)
}

/// Rows that fill whole words together are gathered and then written.
fn gather_into(out: &mut [u64], table: &[u64], from: &[u32], width: usize) -> Option<()> {
    let mut writer = Writer::new(BLOCK * width);
    for (out, from) in out.chunks_mut(width.max(1)).zip(from.chunks(BLOCK)) {
        for index in from {
            let at = *index as usize * width;
            if at + width > 64 * table.len() {
                return None;
            }
            writer.copy(table, at, width);
        }
        writer.flush(out);
    }
    Some(())
}

/// One component of packed rows: there, or the next words of a stream, which are drawn a block at a time.
pub enum Source<'a> {
    Words(&'a [u64]),
    Stream(&'a mut Prg),
}

/// Rows of both components side by side, twice as wide, with a word of zeros behind the last; None when rows are missing.
pub fn interleave(mut first: Source, mut second: Source, rows: usize, width: usize) -> Option<Vec<u64>> {
    let mut writer = Writer::new(2 * rows * width);
    let mut drawn = (vec![0; width], vec![0; width]);
    for start in (0..rows).step_by(BLOCK) {
        let count = BLOCK.min(rows - start);
        let at = start * width / 64..(start * width / 64) + (count * width).div_ceil(64);
        let one = block(&mut first, &mut drawn.0, &at)?;
        let two = block(&mut second, &mut drawn.1, &at)?;
        for row in 0..count {
            writer.copy(one, row * width, width);
            writer.copy(two, row * width, width);
        }
    }
    let mut out = writer.finish();
    out.push(0);
    Some(out)
}

/// As `interleave`, in the place of a table whose last words are one component (`gather_behind`); a stream draws the other.
/// own_first: whether the one that is there comes first.  False when the table has another size.
pub fn interleave_within(table: &mut [u64], drawn: &mut Prg, rows: usize, width: usize, own_first: bool) -> bool {
    let count = (rows * width).div_ceil(64);
    if table.len() != 2 * count + 1 {
        return false;
    }
    let mut writer = Writer::new(2 * BLOCK * width);
    let (mut own, mut other) = (vec![0; width], vec![0; width]);
    for start in (0..rows).step_by(BLOCK) {
        let some = BLOCK.min(rows - start);
        let (at, words) = (start / BLOCK * width, (some * width).div_ceil(64));
        own[..words].copy_from_slice(&table[count + 1 + at..][..words]);
        drawn.fill(&mut other[..words]);
        let (one, two) = if own_first { (&own, &other) } else { (&other, &own) };
        for row in 0..some {
            writer.copy(one, row * width, width);
            writer.copy(two, row * width, width);
        }
        // what is written ends before what has not been read yet
        writer.flush(&mut table[2 * at..]);
    }
    table[(2 * rows * width).div_ceil(64)..].fill(0);
    true
}

fn block<'a>(source: &'a mut Source, drawn: &'a mut [u64], at: &std::ops::Range<usize>) -> Option<&'a [u64]> {
    match source {
        Source::Words(words) => words.get(at.clone()),
        Source::Stream(stream) => {
            let drawn = &mut drawn[..at.len()];
            stream.fill(drawn);
            Some(drawn)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(seed: u8, n: usize) -> Vec<u64> {
        let mut out = vec![0; n];
        Prg::new(&[seed; 16]).fill(&mut out);
        out
    }

    fn bit(table: &[u64], at: usize) -> u64 {
        table[at / 64] >> (at % 64) & 1
    }

    #[test]
    fn rows_are_numbers_and_keys() {
        let (rows, a, b, c) = (100, words(1, 100), words(2, 100), words(3, 100));
        let keys = [Key { words: &a, other: Some(&b), width: 64 }, Key { words: &c, other: None, width: 13 }];
        for numbered in [false, true] {
            let packed = pack_rows(rows, 7, numbered, &keys);
            assert_eq!(packed.len(), (rows * 84usize).div_ceil(64));
            for row in 0..rows {
                let number = if numbered { row as u64 } else { 0 };
                for at in 0..84 {
                    let expected = match at {
                        0..7 => number >> at & 1,
                        7..71 => (a[row] ^ b[row]) >> (at - 7) & 1,
                        _ => c[row] >> (at - 71) & 1,
                    };
                    assert_eq!(bit(&packed, row * 84 + at), expected);
                }
            }
        }
    }

    #[test]
    fn rows_move_whole() {
        for width in [1usize, 5, 63, 64, 65, 84, 128, 150] {
            let rows = 70;
            let table = words(4, (rows * width).div_ceil(64));
            let from: Vec<u32> = (0..rows as u32).map(|i| i * 11 % rows as u32).collect();
            let moved = gather_packed(&table, &from, width).unwrap();
            for (i, row) in from.iter().enumerate() {
                for at in 0..width {
                    assert_eq!(bit(&moved, i * width + at), bit(&table, *row as usize * width + at));
                }
            }
            assert!(gather_packed(&table, &[rows as u32 + 64], width).is_none());
        }
    }

    #[test]
    fn components_are_laid_side_by_side_in_place() {
        for (rows, width) in [(1usize, 7usize), (64, 84), (131, 84), (131, 64), (200, 130), (129, 3)] {
            let table = words(5, (rows * width).div_ceil(64));
            let from: Vec<u32> = (0..rows as u32).map(|i| i * 11 % rows as u32).collect();
            let own = gather_packed(&table, &from, width).unwrap();
            for own_first in [false, true] {
                let mut within = gather_behind(&table, &from, width).unwrap();
                assert!(interleave_within(&mut within, &mut Prg::new(&[6; 16]), rows, width, own_first));
                let mut stream = Prg::new(&[6; 16]);
                let (own, drawn) = (Source::Words(&own), Source::Stream(&mut stream));
                let (one, two) = if own_first { (own, drawn) } else { (drawn, own) };
                let whole = interleave(one, two, rows, width).unwrap();
                assert_eq!(within[..whole.len()], whole);
                assert!(within[whole.len()..].iter().all(|word| *word == 0));
            }
        }
        assert!(!interleave_within(&mut [0; 4], &mut Prg::new(&[6; 16]), 64, 2, true));
    }

    #[test]
    fn components_side_by_side_are_there_or_drawn() {
        for (rows, width) in [(1usize, 7usize), (64, 84), (131, 84), (131, 64), (200, 130)] {
            let count = (rows * width).div_ceil(64);
            let (one, two) = (words(5, count), words(6, count));
            let whole = interleave(Source::Words(&one), Source::Words(&two), rows, width).unwrap();
            assert_eq!(whole.len(), (2 * rows * width).div_ceil(64) + 1);
            for row in 0..rows {
                for at in 0..width {
                    assert_eq!(bit(&whole, 2 * row * width + at), bit(&one, row * width + at));
                    assert_eq!(bit(&whole, (2 * row + 1) * width + at), bit(&two, row * width + at));
                }
            }
            let mut stream = Prg::new(&[6; 16]);
            assert_eq!(interleave(Source::Words(&one), Source::Stream(&mut stream), rows, width).unwrap(), whole);
            let (mut next, mut expected) = ([0; 1], words(6, count + 1));
            stream.fill(&mut next);
            assert_eq!(next[0], expected.pop().unwrap());
            assert!(interleave(Source::Words(&one[1..]), Source::Words(&two), rows, width).is_none());
        }
    }
}
