//! Records sealed under keys that only the OPRF gives, and the table's columns that hold them.
use super::cuckoo::EMPTY;
use crate::prg::Prg;
use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use sha2::{Digest, Sha512};

/// Bytes of what a record's place and key come from.
pub const DERIVED: usize = 64;
const KEY: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;
/// Bytes of a cell beside the padded value: nonce, tag, length.
pub const OVERHEAD: usize = NONCE + TAG + 2;
/// The length that says null.
const NULL: u16 = u16::MAX;
/// Columns written at a time: a cache line of every row.
const COLUMNS: usize = 64;

/// SHA-512 of the label and each output of the OPRF.
pub fn derive(label: &[u8], outputs: &[u8]) -> Vec<u8> {
    let begun = Sha512::new_with_prefix(label);
    outputs.chunks_exact(64).flat_map(|output| begun.clone().chain_update(output).finalize()).collect()
}

/// Both columns of a derived record, among 1 .. columns - 1: column 0 is the version's.
pub fn columns_of(derived: &[u8], columns: usize) -> [u32; 2] {
    std::array::from_fn(|half| {
        let bytes: [u8; 8] = std::array::from_fn(|i| derived[KEY + 8 * half + i]);
        1 + ((u128::from(u64::from_le_bytes(bytes)) * (columns as u128 - 1)) >> 64) as u32
    })
}

/// The cell of a value: nonce, tag, and the encrypted length and padded value.
pub fn seal(derived: &[u8], nonce: &[u8; NONCE], value: Option<&[u8]>, cell: &mut [u8]) -> bool {
    let bytes = value.unwrap_or_default();
    let (head, body) = cell.split_at_mut(NONCE + TAG);
    if bytes.len() + 2 > body.len() || bytes.len() >= usize::from(NULL) {
        return false;
    }
    body.fill(0);
    let length = if value.is_some() { bytes.len() as u16 } else { NULL };
    body[..2].copy_from_slice(&length.to_le_bytes());
    body[2..2 + bytes.len()].copy_from_slice(bytes);
    let cipher = Aes256Gcm::new(derived[..KEY].into());
    let Ok(tag) = cipher.encrypt_in_place_detached(Nonce::from_slice(nonce), b"", body) else { return false };
    head[..NONCE].copy_from_slice(nonce);
    head[NONCE..].copy_from_slice(&tag);
    true
}

/// What a record's cell holds: its number among the cells, and its value.
pub type Opened = (usize, Option<Vec<u8>>);

/// The cell among these that is sealed under the record's key; all are tried.  Err when what it holds is no value.
pub fn open(derived: &[u8], cells: &[u8], width: usize) -> Result<Option<Opened>, &'static str> {
    let cipher = Aes256Gcm::new(derived[..KEY].into());
    let mut found = None;
    for (number, cell) in cells.chunks_exact(width).enumerate() {
        let mut body = cell[NONCE + TAG..].to_vec();
        let (nonce, tag) = (Nonce::from_slice(&cell[..NONCE]), Tag::from_slice(&cell[NONCE..NONCE + TAG]));
        if cipher.decrypt_in_place_detached(nonce, b"", &mut body, tag).is_ok() {
            found = Some((number, body));
        }
    }
    let Some((number, body)) = found else { return Ok(None) };
    let length = u16::from_le_bytes([body[0], body[1]]);
    if length == NULL {
        return Ok(Some((number, None)));
    }
    let value = body.get(2..2 + usize::from(length)).ok_or("a cell holds no value")?;
    Ok(Some((number, Some(value.to_vec()))))
}

/// The values of a table: value i is data[offsets[i]..offsets[i + 1]], null where `null` says so.
pub struct Values<'a> {
    pub data: &'a [u8],
    pub offsets: &'a [i64],
    pub null: &'a [bool],
}

impl Values<'_> {
    fn get(&self, record: usize) -> Option<Option<&[u8]>> {
        let (start, end) = (*self.offsets.get(record)?, *self.offsets.get(record + 1)?);
        let value = self.data.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?;
        Some((!*self.null.get(record)?).then_some(value))
    }
}

/// Writes one half's columns from the second on: every record's cell, random bytes where a cell is empty.
///
/// held: the record of every cell, columns * cells.  None when a record or value is not as its sizes say.
pub fn fill(
    table: &mut [u8],
    columns: usize,
    held: &[u32],
    width: usize,
    derived: &[u8],
    values: &Values,
    seed: &[u8; 16],
) -> Option<()> {
    let (rows, cells) = (table.len() / columns, held.len() / columns);
    let mut prg = Prg::new(seed);
    let mut buffer = vec![0u8; COLUMNS * rows];
    let mut words = vec![0u64; (cells * width).div_ceil(8)];
    for start in (0..columns).step_by(COLUMNS) {
        buffer.fill(0);
        for (column, out) in (start..).zip(buffer.chunks_exact_mut(rows)).skip(usize::from(start == 0)) {
            prg.fill(&mut words);
            for (i, byte) in out[..cells * width].iter_mut().enumerate() {
                *byte = (words[i / 8] >> (8 * (i % 8))) as u8;
            }
            for (record, cell) in held[column * cells..][..cells].iter().zip(out.chunks_exact_mut(width)) {
                if *record != EMPTY {
                    let record = *record as usize;
                    let nonce: [u8; NONCE] = std::array::from_fn(|i| cell[i]);
                    let key = derived.get(record * DERIVED..(record + 1) * DERIVED)?;
                    seal(key, &nonce, values.get(record)?, cell).then_some(())?;
                }
            }
        }
        for (row, line) in table.chunks_exact_mut(columns).enumerate() {
            line[start..start + COLUMNS].iter_mut().enumerate().for_each(|(i, byte)| *byte = buffer[i * rows + row]);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_opens_under_its_own_key_alone() {
        let derived = derive(b"label", &[1u8; 128]);
        assert_eq!(derived[..64], derived[64..]);
        let (one, two) = (&derived[..64], derive(b"other", &[1u8; 64]));
        let width = OVERHEAD + 5;
        let mut cells = vec![7u8; 4 * width];
        assert!(seal(one, &[3; 12], Some(b"value"), &mut cells[2 * width..3 * width]));
        assert_eq!(open(one, &cells, width), Ok(Some((2, Some(b"value".to_vec())))));
        assert_eq!(open(&two, &cells, width), Ok(None));
        for value in [Some(&b""[..]), None] {
            assert!(seal(&two, &[4; 12], value, &mut cells[..width]));
            assert_eq!(open(&two, &cells, width), Ok(Some((0, value.map(<[u8]>::to_vec)))));
        }
        assert!(!seal(one, &[3; 12], Some(b"longer"), &mut cells[..width]));
        cells[2 * width + 30] ^= 1;
        assert_eq!(open(one, &cells, width), Ok(None));
    }

    #[test]
    fn a_filled_table_holds_every_record() {
        let (columns, cells, width) = (64usize, 4usize, OVERHEAD + 3);
        let derived = derive(b"", &[9u8; 64 * 2].iter().enumerate().map(|(i, _)| i as u8).collect::<Vec<_>>());
        let mut held = vec![EMPTY; columns * cells];
        (held[5 * cells + 1], held[63 * cells]) = (0, 1);
        let mut table = vec![0u8; columns * (cells * width + 16)];
        let values = Values { data: b"abcd", offsets: &[0, 3, 4], null: &[false, false] };
        fill(&mut table, columns, &held, width, &derived, &values, &[2; 16]).unwrap();
        for (column, record, value) in [(5usize, 0usize, &b"abc"[..]), (63, 1, b"d")] {
            let bytes: Vec<u8> = table.chunks_exact(columns).map(|row| row[column]).collect();
            let found = open(&derived[64 * record..], &bytes[..cells * width], width).unwrap();
            assert_eq!(found.unwrap().1, Some(value.to_vec()));
        }
        assert!(table.chunks_exact(columns).all(|row| row[0] == 0));
    }
}
