//! OT extension after Roy, "SoftSpokenOT" (CRYPTO 2022), sections 3 and 5: correlations from small-field VOLE.
//!
//! The 128 bits of delta are cut into 128 / k fields of k bits. For each the receiver of the correlations holds the 2^k
//! leaves of a GGM tree and the sender all of them but the one that its bits of delta name (k base transfers). Leaves are
//! stretched; their sum gives the choice bits, their weighted sums the columns. k = 1 is IKNP. Semi-honest.
use super::aes::{fixed, Block};
use super::Fault;
use crate::prg::Prg;

/// Correlations made together: 8 blocks of every leaf's stream.
pub const BATCH: usize = 1024;
const WORDS: usize = BATCH / 64;
type Row = [u64; WORDS];

/// The bytes of the correction that lets the sender know its leaves.
pub const fn setup_bytes(k: usize) -> usize {
    128 / k * (k - 1) * 32
}

/// The bytes the receiver sends for `count` correlations.
pub const fn extend_bytes(k: usize, count: usize) -> usize {
    count.div_ceil(BATCH) * (128 / k - 1) * BATCH / 8
}

/// Whether k is one that this module takes.
pub const fn is_field(k: usize) -> bool {
    matches!(k, 1 | 2 | 4 | 8)
}

/// The left and right child of every node: pi(sigma(x + side)) + sigma(x + side).
fn children(nodes: &[Block]) -> [Vec<Block>; 2] {
    [0, 1].map(|side: Block| {
        let mut out: Vec<Block> = nodes.iter().map(|x| x ^ side).collect();
        fixed().robust_hash(&mut out);
        out
    })
}

fn total(blocks: &[Block]) -> Block {
    blocks.iter().fold(0, |sum, x| sum ^ x)
}

fn streams(leaves: &[Block]) -> Vec<Prg> {
    leaves.iter().map(|leaf| Prg::new(&leaf.to_le_bytes())).collect()
}

fn add(to: &mut Row, from: &Row) {
    to.iter_mut().zip(from).for_each(|(x, y)| *x ^= y);
}

/// Sums of all streams, and for each bit of a leaf's index the sum of the leaves that have it.
fn fold(leaves: &mut [Prg], columns: &mut [Row], rows: &mut [Row]) -> Row {
    for (leaf, row) in leaves.iter_mut().zip(rows.iter_mut()) {
        leaf.fill(row);
    }
    let mut length = leaves.len();
    for column in columns {
        *column = [0; WORDS];
        for j in 0..length / 2 {
            let odd = rows[2 * j + 1];
            add(column, &odd);
            let mut even = rows[2 * j];
            add(&mut even, &odd);
            rows[j] = even;
        }
        length /= 2;
    }
    rows[0]
}

/// 128 columns of BATCH bits as BATCH blocks, bit i of a block from column i.
fn turn(columns: &[Row; 128], out: &mut Vec<Block>) {
    for word in 0..WORDS {
        let mut halves = [[0u64; 64]; 2];
        for (half, rows) in halves.iter_mut().enumerate() {
            for (row, column) in rows.iter_mut().zip(&columns[64 * half..]) {
                *row = column[word];
            }
            crate::turn::turn(rows);
        }
        out.extend((0..64).map(|i| Block::from(halves[0][i]) | Block::from(halves[1][i]) << 64));
    }
}

/// The party with the choice bits; it knows every leaf.
pub struct Receiver {
    k: usize,
    leaves: Vec<Vec<Prg>>,
}

impl Receiver {
    /// pairs: both keys of the 128 base transfers. Returns the machine and the correction for the sender.
    pub fn new(k: usize, pairs: &[[Block; 2]]) -> (Self, Vec<u8>) {
        let mut message = Vec::with_capacity(setup_bytes(k));
        let leaves = pairs.chunks_exact(k).map(|pairs| {
            let mut nodes = pairs[0].to_vec();
            for keys in &pairs[1..] {
                let sides = children(&nodes);
                for (side, key) in sides.iter().zip(keys) {
                    message.extend((total(side) ^ key).to_le_bytes());
                }
                nodes = sides.concat();
            }
            streams(&nodes)
        });
        let leaves = leaves.collect();
        (Receiver { k, leaves }, message)
    }

    /// `count` rows t whose lowest bit is the choice bit, and the message for the sender.
    pub fn extend(&mut self, count: usize) -> (Vec<Block>, Vec<u8>) {
        let mut message = Vec::with_capacity(extend_bytes(self.k, count));
        let mut out = Vec::with_capacity(count.next_multiple_of(BATCH));
        let mut columns = [[0; WORDS]; 128];
        let mut rows = vec![[0; WORDS]; 1 << self.k];
        while out.len() < count {
            let mut choices = [0; WORDS];
            for (field, leaves) in self.leaves.iter_mut().enumerate() {
                let mut sum = fold(leaves, &mut columns[field * self.k..][..self.k], &mut rows);
                if field == 0 {
                    choices = sum;
                } else {
                    add(&mut sum, &choices);
                    message.extend(sum.iter().flat_map(|word| word.to_le_bytes()));
                }
            }
            columns[0] = choices;
            turn(&columns, &mut out);
        }
        out.truncate(count);
        (out, message)
    }
}

/// The party with delta; it knows every leaf but one a field.
pub struct Sender {
    k: usize,
    delta: Block,
    leaves: Vec<Vec<Prg>>,
}

impl Sender {
    /// keys: of the base transfers whose choice bits were the complement of delta. message: the receiver's correction.
    pub fn new(k: usize, delta: Block, keys: &[Block], message: &[u8]) -> Result<Self, Fault> {
        if message.len() != setup_bytes(k) {
            return Err(Fault("an extension's correction of another length"));
        }
        let mut sums = message.chunks_exact(16).map(|x| Block::from_le_bytes(x.try_into().unwrap_or([0; 16])));
        let mut leaves = Vec::with_capacity(keys.len() / k);
        for (field, keys) in keys.chunks_exact(k).enumerate() {
            // Nodes are numbered relative to delta's path, so the unknown one is always node 0, kept as zero.
            let mut nodes = vec![0, keys[0]];
            for (depth, key) in keys.iter().enumerate().skip(1) {
                let on_path = mask(delta >> (field * k + depth));
                let pair = [sums.next().unwrap_or(0), sums.next().unwrap_or(0)];
                let [mut on, mut off] = children(&nodes);
                for (zero, one) in on.iter_mut().zip(&mut off) {
                    let differ = (*zero ^ *one) & on_path;
                    *zero ^= differ;
                    *one ^= differ;
                }
                on[0] = 0;
                off[0] = 0;
                off[0] = (pair[1] ^ (pair[0] ^ pair[1]) & on_path) ^ key ^ total(&off);
                nodes = [on, off].concat();
            }
            leaves.push(streams(&nodes));
        }
        Ok(Sender { k, delta, leaves })
    }

    /// `count` rows q with t = q + b delta, lowest bit 0.
    pub fn extend(&mut self, count: usize, message: &[u8]) -> Result<Vec<Block>, Fault> {
        if message.len() != extend_bytes(self.k, count) {
            return Err(Fault("an extension's message of another length"));
        }
        let mut corrections = message.chunks_exact(BATCH / 8);
        let mut out = Vec::with_capacity(count.next_multiple_of(BATCH));
        let mut columns = [[0; WORDS]; 128];
        let mut rows = vec![[0; WORDS]; 1 << self.k];
        while out.len() < count {
            for (field, leaves) in self.leaves.iter_mut().enumerate() {
                let columns = &mut columns[field * self.k..][..self.k];
                fold(leaves, columns, &mut rows);
                if field > 0 {
                    let correction = corrections.next().unwrap_or(&[]);
                    for (bit, column) in columns.iter_mut().enumerate() {
                        let chosen = mask(self.delta >> (field * self.k + bit)) as u64;
                        for (word, bytes) in column.iter_mut().zip(correction.chunks_exact(8)) {
                            *word ^= chosen & u64::from_le_bytes(bytes.try_into().unwrap_or([0; 8]));
                        }
                    }
                }
            }
            columns[0] = [0; WORDS];
            turn(&columns, &mut out);
        }
        out.truncate(count);
        Ok(out)
    }
}

/// All ones when the lowest bit is set.
fn mask(bit: Block) -> Block {
    (bit & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_correlate_for_every_field() {
        let delta = 0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f1;
        let pairs: Vec<[Block; 2]> = (0..128).map(|i| [1000 + i, 9_000_000 + i * i]).collect();
        let known: Vec<Block> = (0..128).map(|i| pairs[i][(!delta >> i) as usize & 1]).collect();
        for k in [1, 2, 4, 8] {
            let (mut receiver, correction) = Receiver::new(k, &pairs);
            let mut sender = Sender::new(k, delta, &known, &correction).unwrap();
            for count in [1, 1024, 1500] {
                let (t, message) = receiver.extend(count);
                let q = sender.extend(count, &message).unwrap();
                assert_eq!(t.len(), count);
                for (q, t) in q.iter().zip(&t) {
                    assert_eq!(q ^ delta & mask(*t), *t, "k = {k}");
                    assert_eq!(q & 1, 0);
                }
                assert!(sender.extend(count, &message[8..]).is_err());
            }
            assert!(Sender::new(k, delta, &known, &[0; 1]).is_err());
        }
    }
}
