//! Keys of several columns as one text each, and equal ones made one.
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

/// Rows whose hashes fall together, in the rows' order.
fn parts(hashes: &[u64], log: u32) -> (Vec<u32>, Vec<usize>) {
    let part = |hash: &u64| hash.checked_shr(64 - log).unwrap_or(0) as usize;
    let mut ends = vec![0usize; 1 << log];
    hashes.iter().for_each(|hash| ends[part(hash)] += 1);
    let mut total = 0;
    for end in &mut ends {
        (*end, total) = (total, total + *end);
    }
    let mut rows = vec![0u32; hashes.len()];
    for (row, hash) in hashes.iter().enumerate() {
        let end = &mut ends[part(hash)];
        rows[*end] = row as u32;
        *end += 1;
    }
    (rows, ends)
}

/// The first row of every different string, in order, and for every row the number of its string among them.
///
/// Hashes are keyed afresh, so nobody can choose rows that collide. None for 2^32 - 1 rows and more.
pub fn unique(texts: &Texts<'_>) -> Option<(Vec<i64>, Vec<i64>)> {
    const FREE: u32 = u32::MAX;
    if texts.len() >= FREE as usize {
        return None;
    }
    let keyed = RandomState::new();
    let hashes: Vec<u64> = (0..texts.len()).map(|row| keyed.hash_one(texts.get(row))).collect();
    let log = (texts.len() / 4096).checked_ilog2().unwrap_or(0).min(12);
    let (rows, ends) = parts(&hashes, log);
    let mut first = vec![0u32; texts.len()];
    let mut table: Vec<u32> = Vec::new();
    let mut start = 0;
    for end in ends {
        let part = &rows[start..end];
        start = end;
        let slots = (2 * part.len() + 1).next_power_of_two();
        table.clear();
        table.resize(slots, FREE);
        for &row in part {
            let hash = hashes[row as usize];
            let mut slot = hash as usize & (slots - 1);
            loop {
                let other = table[slot];
                if other == FREE {
                    table[slot] = row;
                    first[row as usize] = row;
                    break;
                }
                if hashes[other as usize] == hash && texts.get(other as usize) == texts.get(row as usize) {
                    first[row as usize] = other;
                    break;
                }
                slot = (slot + 1) & (slots - 1);
            }
        }
    }
    let mut kept = Vec::with_capacity(texts.len());
    let mut number = vec![0i64; texts.len()];
    for (row, first) in first.into_iter().enumerate() {
        if first as usize == row {
            number[row] = kept.len() as i64;
            kept.push(row as i64);
        } else {
            number[row] = number[first as usize];
        }
    }
    Some((kept, number))
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
        let different: std::collections::HashSet<u16> = (0..count).map(value).collect();
        assert_eq!(kept.len(), different.len());
        assert_eq!(unique(&Texts::new(&[], &[0]).unwrap()).unwrap(), (vec![], vec![]));
    }
}
