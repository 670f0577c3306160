//! As many correlated transfers as a start needs, straight from the base transfers: SoftSpokenOT (Roy, CRYPTO 2022).
//!
//! Both parties' base messages cross, the receiver answers, and both hold rows, the sender q and the receiver
//! t = q + b delta. Checked rows hold against malicious parties: fields of one bit need no trees, and the receiver shows
//! a random linear hash of every column (the paper's consistency check, section 4), with 128 rows more to hide it. The
//! hash is a polynomial over GF(2^128) in a point that comes from all that was sent before, as Fiat and Shamir do.
use sha2::{Digest, Sha512};

use super::aes::Block;
use super::base::{self, Label};
use super::gf128::scale_add;
use super::{blocks, bytes, softspoken, Fault};
use crate::turn::turn;

const MASK: usize = 128;
const CHECK: usize = 128;

/// Field bits of the extension.
const fn field(checked: bool) -> usize {
    if checked {
        1
    } else {
        4
    }
}

/// Rows that are made for `count`.
const fn made(count: usize, checked: bool) -> usize {
    if checked {
        (count + MASK).next_multiple_of(MASK)
    } else {
        count
    }
}

/// Bytes of the receiver's answer.
pub const fn answer_bytes(count: usize, checked: bool) -> usize {
    let k = field(checked);
    let check = if checked { 16 * CHECK } else { 0 };
    softspoken::setup_bytes(k) + softspoken::extend_bytes(k, made(count, checked)) + check
}

fn point(digest: &[u8; 64], sent: &[u8]) -> Block {
    let hash = Sha512::new_with_prefix(b"lingqu OT extension check").chain_update(digest).chain_update(sent).finalize();
    Block::from_le_bytes(std::array::from_fn(|i| hash[i]))
}

/// The hash of every column of the rows: their blocks of 128 bits as coefficients of a polynomial in the point.
fn columns(rows: &[Block], point: Block) -> Vec<Block> {
    let mut sums = vec![0; 128];
    for rows in rows.chunks_exact(128) {
        let mut quarters = [[0u64; 64]; 4];
        for (quarter, block) in quarters.iter_mut().enumerate() {
            let (half, word) = (quarter / 2, quarter % 2);
            for (row, bits) in block.iter_mut().zip(&rows[64 * half..]) {
                *row = (bits >> (64 * word)) as u64;
            }
            turn(block);
        }
        let columns: Vec<Block> = (0..128)
            .map(|j| Block::from(quarters[j / 64][j % 64]) | Block::from(quarters[2 + j / 64][j % 64]) << 64)
            .collect();
        scale_add(point, &mut sums, &columns);
    }
    sums
}

/// The party that holds delta, whose lowest bit is 1.
pub struct Sender {
    pub delta: Block,
    base: base::Receiver,
}

impl Sender {
    /// seed: fresh randomness. label: what both parties call this session.
    pub fn new(seed: &[u8; 32], label: &Label) -> Self {
        let hash = Sha512::new_with_prefix(b"lingqu direct delta").chain_update(seed).chain_update(0u64.to_le_bytes());
        let digest = hash.finalize();
        let delta = Block::from_le_bytes(std::array::from_fn(|i| digest[i])) | 1;
        Sender { delta, base: base::Receiver::new(seed, label, !delta) }
    }

    pub fn base_message(&self) -> &[u8] {
        self.base.message()
    }

    /// `count` rows, of the receiver's base message and answer.
    pub fn rows(&self, sent: &[u8], answer: &[u8], count: usize, checked: bool) -> Result<Vec<Block>, Fault> {
        if answer.len() != answer_bytes(count, checked) {
            return Err(Fault("an answer of another length"));
        }
        let (keys, digest) = self.base.keys(sent)?;
        let k = field(checked);
        let (correction, rest) = answer.split_at(softspoken::setup_bytes(k));
        let (extension, shown) = rest.split_at(softspoken::extend_bytes(k, made(count, checked)));
        let mut soft = softspoken::Sender::new(k, self.delta, &keys, correction)?;
        let mut rows = soft.extend(made(count, checked), extension)?;
        if checked {
            self.check(&rows, point(&digest, extension), shown)?;
        }
        rows.truncate(count);
        Ok(rows)
    }

    /// Column j is the receiver's plus delta's bit j times its choices; column 0 is zero, as what is there is known.
    fn check(&self, rows: &[Block], point: Block, shown: &[u8]) -> Result<(), Fault> {
        let shown: Vec<Block> = blocks(shown).collect();
        let mut differ = 0;
        for (j, sum) in columns(rows, point).iter().enumerate().skip(1) {
            differ |= sum ^ shown[j] ^ (shown[0] & ((self.delta >> j) & 1).wrapping_neg());
        }
        if differ != 0 {
            return Err(Fault("transfers that are not those of one set of choices"));
        }
        Ok(())
    }
}

/// The party with the choice bits.
pub struct Receiver {
    base: base::Sender,
}

impl Receiver {
    /// seed: fresh randomness. label: what both parties call this session.
    pub fn new(seed: &[u8; 32], label: &Label) -> Self {
        Receiver { base: base::Sender::new(seed, label) }
    }

    pub fn base_message(&self) -> [u8; base::POINT] {
        self.base.message()
    }

    /// The answer to the sender's base message, and `count` rows whose lowest bits are the choices.
    pub fn rows(&self, points: &[u8], count: usize, checked: bool) -> Result<(Vec<u8>, Vec<Block>), Fault> {
        let (pairs, digest) = self.base.keys(points)?;
        let (mut soft, mut answer) = softspoken::Receiver::new(field(checked), &pairs);
        let (mut rows, extension) = soft.extend(made(count, checked));
        answer.extend(&extension);
        if checked {
            answer.extend(bytes(&columns(&rows, point(&digest, &extension))));
        }
        rows.truncate(count);
        Ok((answer, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Sender, Receiver) {
        (Sender::new(&[1; 32], &[3; 32]), Receiver::new(&[2; 32], &[3; 32]))
    }

    #[test]
    fn rows_correlate() {
        let (sender, receiver) = pair();
        for (count, checked) in [(1, false), (3000, false), (1, true), (3000, true)] {
            let (answer, t) = receiver.rows(sender.base_message(), count, checked).unwrap();
            assert_eq!(answer.len(), answer_bytes(count, checked));
            let q = sender.rows(&receiver.base_message(), &answer, count, checked).unwrap();
            assert_eq!((q.len(), t.len()), (count, count));
            assert!(q.iter().zip(&t).all(|(q, t)| q & 1 == 0 && q ^ sender.delta & (t & 1).wrapping_neg() == *t));
            assert!(sender.rows(&receiver.base_message(), &answer[1..], count, checked).is_err());
        }
    }

    /// A receiver that sends another correction for one column, and the hashes that go with what it holds.
    #[test]
    fn other_choices_in_one_column_are_found_where_delta_has_a_one() {
        let (sender, receiver) = pair();
        let (answer, t) = receiver.rows(sender.base_message(), 3000, true).unwrap();
        let (_, digest) = receiver.base.keys(sender.base_message()).unwrap();
        let (mut soft, _) = softspoken::Receiver::new(1, &receiver.base.keys(sender.base_message()).unwrap().0);
        let (rows, extension) = soft.extend(made(3000, true));
        assert_eq!(rows[..3000], t);
        for column in 1..100 {
            let mut altered = extension.clone();
            altered[(column - 1) * 128 + 5] ^= 4;
            let shown = bytes(&columns(&rows, point(&digest, &altered)));
            let found = sender.rows(&receiver.base_message(), &[altered, shown].concat(), 3000, true);
            assert_eq!(found.is_err(), sender.delta >> column & 1 == 1, "column {column}");
        }
        for place in [answer.len() - 2048, answer.len() - 1, answer.len() - 1000] {
            let mut altered = answer.clone();
            altered[place] ^= 1;
            assert!(sender.rows(&receiver.base_message(), &altered, 3000, true).is_err());
        }
    }
}
