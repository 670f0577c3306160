//! Silent vector oblivious linear evaluation: one party holds delta and b, the other a and c = a delta + b, over GF(2^128).
//!
//! 128 correlated transfers are one such correlation under the choice bits' field element (Gilboa, CRYPTO 1999). A few
//! hundred of them, each at a place of its own that choice bits name, are sparse vectors that the dual code of `expand`
//! turns into up to `DIRECT` correlations; more come of an iteration of LPN on 124,000 of those (Weng, Yang, Katz, Wang,
//! "Wolverine", S&P 2021, section 5), with trees and parameters of `cot`. A larger field does not weaken the assumption
//! (Liu, Wang, Yang, Yu, EUROCRYPT 2024). Places and values come from transfers, so the party that holds a sends nothing.
use super::aes::{fixed, Block};
use super::cot::MAIN;
use super::expand::{self, NOISE};
use super::gf128::compose;
use super::rows::seeds;
use super::{blocks, bytes, ggm, lpn, Fault};

const FIELD: usize = 128;
/// The most correlations that come of the dual code alone.
const DIRECT: usize = 150_000;
/// The least height of its trees.
const LOWEST: usize = 4;

/// How `count` correlations are made: trees and height for the dual code, trees for the iteration after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    count: usize,
    first: usize,
    height: usize,
    main: usize,
}

impl Shape {
    /// None for more than one run of the parameters makes.
    pub fn of(count: usize) -> Option<Shape> {
        let main = if count <= DIRECT { 0 } else { count.div_ceil(MAIN.makes(1)) };
        let made = if main == 0 { count } else { MAIN.secret + main };
        let height = (LOWEST..).find(|height| (2 * made).div_ceil(1 << height) <= NOISE * 5 / 4)?;
        let first = (2 * made).div_ceil(1 << height).max(NOISE);
        (main <= MAIN.trees).then_some(Shape { count, first, height, main })
    }

    /// Correlations that the dual code makes.
    fn made(&self) -> usize {
        if self.main == 0 {
            self.count
        } else {
            MAIN.secret + self.main
        }
    }

    /// Correlated transfers that it takes.
    pub fn transfers(&self) -> usize {
        self.first * (FIELD + self.height) + self.main * MAIN.height
    }

    /// Bytes of the message of the party that holds delta.
    pub fn message(&self) -> usize {
        16 * (self.first * (self.height + 1) + self.main * (MAIN.height + 1))
    }

    /// Places that making them takes: as many as are made, and the rest of the last tree.
    pub fn room(&self) -> usize {
        if self.main == 0 {
            self.count
        } else {
            MAIN.makes(self.main)
        }
    }

    /// How many are made.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Room for the sparse vector that the dual code takes.
    fn noise(&self) -> Vec<Block> {
        vec![0; self.first << self.height]
    }

    /// Rows for the values of the first trees, and for the paths of both kinds.
    fn cut<'a>(&self, rows: &'a [Block]) -> (&'a [Block], &'a [Block], &'a [Block]) {
        let (values, paths) = rows.split_at(FIELD * self.first);
        let (first, main) = paths.split_at(self.first * self.height);
        (values, first, main)
    }
}

fn second_code(code: Block) -> Block {
    code ^ (1 << 127)
}

/// At the holder of delta. rows: q of `shape.transfers()` transfers; code: public and fresh; key: fresh randomness.
///
/// The message; b is in front of `out`, which has `shape.room()` blocks of zeros.
pub fn send(shape: Shape, delta: Block, rows: &[Block], code: Block, key: &[u8; 16], out: &mut [Block]) -> Vec<u8> {
    let (values, first, main) = shape.cut(rows);
    let values: Vec<Block> = values.chunks_exact(FIELD).map(compose).collect();
    let seeds = seeds(key, shape.first + shape.main);
    let (one, two) = seeds.split_at(shape.first);
    let mut noise = shape.noise();
    let mut message = trees_sender(shape.height, delta, &values, first, one, &mut noise);
    let b = expand::encode(code, noise, shape.made());
    if shape.main == 0 {
        out.copy_from_slice(&b);
    } else {
        let (secret, values) = b.split_at(MAIN.secret);
        message.extend(trees_sender(MAIN.height, delta, values, main, two, out));
        lpn::add(second_code(code), 0, secret, out);
    }
    bytes(&message)
}

/// b of sparse vectors. values: b of a correlation a tree; masks: q of the paths.
fn trees_sender(
    height: usize,
    delta: Block,
    values: &[Block],
    masks: &[Block],
    seeds: &[Block],
    out: &mut [Block],
) -> Vec<Block> {
    let mut message = Vec::with_capacity(seeds.len() * (height + 1));
    let mut sums = vec![0; height];
    let trees = out.chunks_exact_mut(1 << height).zip(masks.chunks_exact(height)).zip(values);
    for (index, ((leaves, masks), value)) in trees.enumerate() {
        ggm::full(delta, seeds[index], leaves, &mut sums);
        message.extend(sums.iter().zip(masks).map(|(sum, mask)| sum ^ mask));
        fixed().tweak_hash(leaves, (index << height) as u64, 1);
        message.push(leaves.iter().fold(*value, |sum, leaf| sum ^ leaf));
    }
    message
}

/// At the other party: a, in front of `out` as in `send`; no message of the peer's changes it. rows: t of the transfers.
pub fn hold(shape: Shape, rows: &[Block], code: Block, out: &mut [Block]) {
    let (values, first, main) = shape.cut(rows);
    let values: Vec<Block> = values.chunks_exact(FIELD).map(choices).collect();
    let mut noise = shape.noise();
    sparse(shape.height, &values, first, &mut noise);
    let a = expand::encode(code, noise, shape.made());
    if shape.main == 0 {
        out.copy_from_slice(&a);
    } else {
        let (secret, values) = a.split_at(MAIN.secret);
        sparse(MAIN.height, values, main, out);
        lpn::add(second_code(code), 0, secret, out);
    }
}

/// c, of the message from the holder of delta, in front of `out` as in `send`.
pub fn receive(shape: Shape, rows: &[Block], code: Block, message: &[u8], out: &mut [Block]) -> Result<(), Fault> {
    if message.len() != shape.message() {
        return Err(Fault("a message of another length for these correlations"));
    }
    let message: Vec<Block> = blocks(message).collect();
    let (values, first, main) = shape.cut(rows);
    let values: Vec<Block> = values.chunks_exact(FIELD).map(compose).collect();
    let (one, two) = message.split_at(shape.first * (shape.height + 1));
    let mut noise = shape.noise();
    trees_receiver(shape.height, &values, first, one, &mut noise);
    let c = expand::encode(code, noise, shape.made());
    if shape.main == 0 {
        out.copy_from_slice(&c);
    } else {
        let (secret, values) = c.split_at(MAIN.secret);
        trees_receiver(MAIN.height, values, main, two, out);
        lpn::add(second_code(code), 0, secret, out);
    }
    Ok(())
}

/// The field element of the choice bits, which are the rows' lowest.
fn choices(rows: &[Block]) -> Block {
    rows.iter().enumerate().fold(0, |sum, (k, row)| sum | (row & 1) << k)
}

/// Where a tree lacks its leaf: its path takes at every level the side that the choice bit does not name.
fn hole(masks: &[Block]) -> usize {
    masks.iter().enumerate().fold(0, |hole, (level, mask)| hole | ((1 ^ (mask & 1)) as usize) << level)
}

/// a of sparse vectors: a tree's value at its hole. Every place is written in the same way, wherever the hole is.
fn sparse(height: usize, values: &[Block], masks: &[Block], out: &mut [Block]) {
    for ((part, masks), value) in out.chunks_exact_mut(1 << height).zip(masks.chunks_exact(height)).zip(values) {
        let hole = hole(masks);
        part.iter_mut().enumerate().for_each(|(at, x)| *x = value & Block::from(at == hole).wrapping_neg());
    }
}

/// c of sparse vectors. values: c of a correlation a tree; masks: t of the paths.
fn trees_receiver(height: usize, values: &[Block], masks: &[Block], message: &[Block], out: &mut [Block]) {
    let mut siblings = vec![0; height];
    for (index, leaves) in out.chunks_exact_mut(1 << height).enumerate() {
        let masks = &masks[index * height..][..height];
        let sent = &message[index * (height + 1)..][..=height];
        siblings.iter_mut().zip(masks.iter().zip(sent)).for_each(|(sibling, (mask, sum))| *sibling = mask ^ sum);
        let hole = hole(masks);
        ggm::punctured(hole, &siblings, leaves);
        fixed().tweak_hash(leaves, (index << height) as u64, 1);
        let mut missing = sent[height] ^ values[index];
        for (at, leaf) in leaves.iter_mut().enumerate() {
            *leaf &= Block::from(at != hole).wrapping_neg();
            missing ^= *leaf;
        }
        leaves.iter_mut().enumerate().for_each(|(at, leaf)| *leaf |= missing & Block::from(at == hole).wrapping_neg());
    }
}

#[cfg(test)]
mod tests {
    use super::super::gf128::multiply_portable;
    use super::*;
    use crate::prg::Prg;

    fn transfers(delta: Block, count: usize) -> (Vec<Block>, Vec<Block>) {
        let q = seeds(&[9; 16], count);
        let bits = seeds(&[8; 16], count);
        let q: Vec<Block> = q.into_iter().map(|x| x & !1).collect();
        let t = q.iter().zip(&bits).map(|(q, bit)| q ^ (bit & 1).wrapping_neg() & delta).collect();
        (q, t)
    }

    #[test]
    fn correlations_hold() {
        let mut words = [0u64; 2];
        Prg::new(&[7; 16]).fill(&mut words);
        let delta = (Block::from(words[0]) | Block::from(words[1]) << 64) | 1;
        for count in [1, 2048, 5000, DIRECT, DIRECT + 1] {
            let shape = Shape::of(count).unwrap();
            let (q, t) = transfers(delta, shape.transfers());
            assert!(shape.room() >= shape.count() && shape.count() == count);
            let [mut a, mut b, mut c] = [(); 3].map(|()| vec![0; shape.room()]);
            let message = send(shape, delta, &q, 77, &[5; 16], &mut b);
            assert_eq!(message.len(), shape.message());
            hold(shape, &t, 77, &mut a);
            receive(shape, &t, 77, &message, &mut c).unwrap();
            for ((a, b), c) in a.iter().zip(&b).zip(&c).take(5000) {
                assert_eq!(multiply_portable(*a, delta) ^ b, *c);
            }
            assert!(a.iter().all(|x| *x != 0));
            assert!(receive(shape, &t, 77, &message[16..], &mut c).is_err());
        }
    }

    #[test]
    fn shapes_have_a_most() {
        assert!(Shape::of(MAIN.makes(MAIN.trees)).is_some());
        assert!(Shape::of(MAIN.makes(MAIN.trees) + 1).is_none());
    }
}
