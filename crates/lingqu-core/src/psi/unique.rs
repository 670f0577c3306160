//! Keys of several columns as one text each, and equal ones made one.
use super::spread;
use std::hash::{BuildHasher, RandomState};

/// A column of byte strings: string i is data[offsets[i]..offsets[i + 1]].
pub struct Texts<'a> {
    data: &'a [u8],
    offsets: &'a [i64],
}

impl<'a> Texts<'a> {
    /// None when offsets do not rise from 0 or more to at most the length of the data.
    pub fn new(data: &'a [u8], offsets: &'a [i64]) -> Option<Self> {
        let (first, last) = (*offsets.first()?, *offsets.last()?);
        let rises = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        (first >= 0 && rises && last as u64 <= data.len() as u64).then_some(Texts { data, offsets })
    }

    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get(&self, i: usize) -> &'a [u8] {
        &self.data[self.offsets[i] as usize..self.offsets[i + 1] as usize]
    }
}

/// Every row's strings, each behind its length in four bytes, so that no two rows run into the same bytes; and offsets.
///
/// None when a string has 2^32 bytes or more.  The columns have equally many rows.
pub fn join(columns: &[Texts<'_>]) -> Option<(Vec<u8>, Vec<i64>)> {
    let rows = columns.first().map_or(0, Texts::len);
    let size: usize = columns.iter().map(|column| (column.offsets[rows] - column.offsets[0]) as usize + 4 * rows).sum();
    let mut data = Vec::with_capacity(size);
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0);
    for row in 0..rows {
        for column in columns {
            let text = column.get(row);
            data.extend_from_slice(&u32::try_from(text.len()).ok()?.to_le_bytes());
            data.extend_from_slice(text);
        }
        offsets.push(data.len() as i64);
    }
    Some((data, offsets))
}

/// Some of the texts, in the given order; None when a row is none of them.
pub fn take(texts: &Texts<'_>, rows: &[i64]) -> Option<(Vec<u8>, Vec<i64>)> {
    let mut data = Vec::new();
    let mut offsets = Vec::with_capacity(rows.len() + 1);
    offsets.push(0);
    for row in rows {
        let row = usize::try_from(*row).ok().filter(|row| *row < texts.len())?;
        data.extend_from_slice(texts.get(row));
        offsets.push(data.len() as i64);
    }
    Some((data, offsets))
}

/// A keyed hash of byte strings. Two that differ agree with a chance of about 2^-63, whoever chose them.
///
/// Up to 32 bytes that is NH (Black, Halevi, Krawczyk, Krovetz, Rogaway, "UMAC", CRYPTO 1999), a sum of products of words
/// under random keys, with the length, brought to 64 bits by Thorup's pair-multiply-shift; beyond, the standard library's.
struct Keyed {
    words: [u64; 4],
    pair: [u128; 2],
    longer: RandomState,
}

impl Keyed {
    fn new() -> Self {
        let longer = RandomState::new();
        let pair = [4, 6].map(|i| u128::from(longer.hash_one(i)) << 64 | u128::from(longer.hash_one(i + 1)));
        Keyed { words: std::array::from_fn(|i| longer.hash_one(i)), pair, longer }
    }

    #[inline(always)]
    fn hash(&self, text: &[u8]) -> u64 {
        let Some(words) = short(text) else { return self.longer.hash_one(text) };
        let k = &self.words;
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        let one = product(words[0].wrapping_add(k[0]), words[1].wrapping_add(k[1]));
        let two = product(words[2].wrapping_add(k[2]), words[3].wrapping_add(k[3]));
        let sum = one.wrapping_add(two).wrapping_add(u128::from(text.len() as u64) << 64);
        let (low, high) = (u128::from(sum as u64), sum >> 64);
        (self.pair[0].wrapping_add(low).wrapping_mul(self.pair[1].wrapping_add(high)) >> 64) as u64
    }
}

/// A text of up to 32 bytes as words, zeros behind its end.
#[inline(always)]
fn short(text: &[u8]) -> Option<[u64; 4]> {
    let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| text[at + i]));
    let length = text.len();
    match length {
        25..=32 => Some([word(0), word(8), word(16), word(length - 8)]),
        17..=24 => Some([word(0), word(8), word(length - 8), 0]),
        9..=16 => Some([word(0), word(length - 8), 0, 0]),
        8 => Some([word(0), 0, 0, 0]),
        0..8 => Some([text.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), 0, 0, 0]),
        _ => None,
    }
}

/// The first row of every different string, in order, and for every row the number of its string among them.
///
/// Hashes are keyed afresh, so nobody can choose rows that collide. None for 2^32 - 1 rows and more.
pub fn unique(texts: &Texts<'_>) -> Option<(Vec<i64>, Vec<i64>)> {
    if texts.len() >= u32::MAX as usize {
        return None;
    }
    let keyed = Keyed::new();
    let mut records = spread::blocks(texts.len());
    let rows = records.iter_mut().enumerate();
    rows.for_each(|(row, record)| *record = u128::from(keyed.hash(texts.get(row))) << 64 | row as u128);
    let again = repeated(texts, &spread::sort(records));
    let mut kept = Vec::with_capacity(texts.len());
    let mut number = Vec::with_capacity(texts.len());
    let mut later = again.iter().peekable();
    for row in 0..texts.len() {
        if let Some((_, first)) = later.next_if(|(other, _)| *other as usize == row) {
            number.push(number[*first as usize]);
        } else {
            number.push(kept.len() as i64);
            kept.push(row as i64);
        }
    }
    Some((kept, number))
}

/// Rows whose string an earlier one has, in order, each with the first such row.  records: hash and row, in order.
fn repeated(texts: &Texts<'_>, records: &[u128]) -> Vec<(u32, u32)> {
    let mut again = Vec::new();
    let mut firsts: Vec<u32> = Vec::new();
    for run in records.chunk_by(|one, other| one >> 64 == other >> 64).filter(|run| run.len() > 1) {
        firsts.clear();
        for row in run.iter().map(|record| *record as u32) {
            let text = texts.get(row as usize);
            match firsts.iter().find(|first| texts.get(**first as usize) == text) {
                Some(first) => again.push((row, *first)),
                None => firsts.push(row),
            }
        }
    }
    again.sort_unstable();
    again
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_rows_are_behind_their_lengths() {
        let (one, two) = (Texts::new(b"xab", &[1, 2, 3]).unwrap(), Texts::new(b"cd", &[0, 0, 2]).unwrap());
        let (data, offsets) = join(&[one, two]).unwrap();
        assert_eq!(data, b"\x01\0\0\0a\0\0\0\0\x01\0\0\0b\x02\0\0\0cd");
        assert_eq!(offsets, [0, 9, 20]);
        assert!(Texts::new(b"ab", &[0, 3]).is_none());
        assert!(Texts::new(b"ab", &[1, 0]).is_none());
        assert!(Texts::new(b"ab", &[-1, 0]).is_none());
        assert!(Texts::new(b"ab", &[]).is_none());
    }

    #[test]
    fn texts_are_taken_in_any_order() {
        let texts = Texts::new(b"xabbccc", &[1, 2, 4, 4, 7]).unwrap();
        assert_eq!(take(&texts, &[3, 0, 2, 1, 0]).unwrap(), (b"cccabba".to_vec(), vec![0, 3, 4, 4, 6, 7]));
        assert_eq!(take(&texts, &[]).unwrap(), (vec![], vec![0]));
        assert_eq!(take(&texts, &[4]), None);
        assert_eq!(take(&texts, &[-1]), None);
    }

    #[test]
    fn equal_strings_are_one() {
        let count = 20_000usize;
        let value = |row: usize| (row * row % 7919) as u16;
        let data: Vec<u8> = (0..count).flat_map(|row| value(row).to_le_bytes()).collect();
        let offsets: Vec<i64> = (0..=count as i64).map(|row| 2 * row).collect();
        let (kept, number) = unique(&Texts::new(&data, &offsets).unwrap()).unwrap();
        assert!(kept.windows(2).all(|pair| pair[0] < pair[1]));
        for (row, number) in number.iter().enumerate() {
            let first = kept[*number as usize] as usize;
            assert!(first <= row && value(first) == value(row));
        }
        let all = [0usize, 1, 7, 8, 9, 16, 17, 24, 25, 32, 33].map(|length| vec![0u8; length]);
        assert!(all.iter().all(|text| short(text).is_some() == (text.len() <= 32)));
        let different: std::collections::HashSet<u16> = (0..count).map(value).collect();
        assert_eq!(kept.len(), different.len());
        assert_eq!(unique(&Texts::new(&[], &[0]).unwrap()).unwrap(), (vec![], vec![]));
    }
}
