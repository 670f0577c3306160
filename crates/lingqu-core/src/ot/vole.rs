//! Silent vector oblivious linear evaluation: one party holds delta and b, the other a and c = a delta + b, over GF(2^128).
//!
//! 128 correlated transfers are one such correlation under the choice bits' field element (Gilboa, CRYPTO 1999). Two
//! iterations of LPN with noise of random field elements make many of few (Weng, Yang, Katz, Wang, "Wolverine", S&P 2021,
//! section 5); trees, code and parameters are those of `cot`. A larger field does not weaken the assumption (Liu, Wang,
//! Yang, Yu, EUROCRYPT 2024). A tree's noise has its place from choice bits and its value from a correlation, so the
//! party that holds a sends nothing.
use super::aes::{fixed, Block};
use super::cot::{FIRST, MAIN};
use super::gf128::compose;
use super::lpn::{self, Parameters};
use super::rows::seeds;
use super::{blocks, bytes, ggm, Fault};

const FIELD: usize = 128;

/// How `count` correlations are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    count: usize,
    first: usize,
    main: usize,
}

impl Shape {
    /// None for more than one run of the parameters makes.
    pub fn of(count: usize) -> Option<Shape> {
        let main = count.div_ceil(MAIN.makes(1)).max(1);
        let first = (MAIN.secret + main).div_ceil(FIRST.makes(1));
        (main <= MAIN.trees && first <= FIRST.trees).then_some(Shape { count, first, main })
    }

    /// Correlated transfers that it takes.
    pub fn transfers(&self) -> usize {
        FIELD * (FIRST.secret + self.first) + self.first * FIRST.height + self.main * MAIN.height
    }

    /// Bytes of the message of the party that holds delta.
    pub fn message(&self) -> usize {
        16 * (self.first * (FIRST.height + 1) + self.main * (MAIN.height + 1))
    }

    /// Rows for the first correlations, and for the paths of both iterations.
    fn cut<'a>(&self, rows: &'a [Block]) -> (&'a [Block], &'a [Block], &'a [Block]) {
        let (base, paths) = rows.split_at(FIELD * (FIRST.secret + self.first));
        let (first, main) = paths.split_at(self.first * FIRST.height);
        (base, first, main)
    }
}

fn second_code(code: Block) -> Block {
    code ^ (1 << 127)
}

/// At the holder of delta. rows: q of `shape.transfers()` transfers; code: public and fresh; key: fresh randomness.
///
/// The message, and b.
pub fn send(shape: Shape, delta: Block, rows: &[Block], code: Block, key: &[u8; 16]) -> (Vec<u8>, Vec<Block>) {
    let (base, first, main) = shape.cut(rows);
    let base: Vec<Block> = base.chunks_exact(FIELD).map(compose).collect();
    let seeds = seeds(key, shape.first + shape.main);
    let (one, two) = seeds.split_at(shape.first);
    let (mut message, held) = iterate_sender(FIRST, code, delta, &base, first, one);
    let (more, mut b) = iterate_sender(MAIN, second_code(code), delta, &held, main, two);
    message.extend(more);
    b.truncate(shape.count);
    (bytes(&message), b)
}

/// base: b of the secret and of a correlation a tree; masks: q of the paths.
fn iterate_sender(
    parameters: Parameters,
    code: Block,
    delta: Block,
    base: &[Block],
    masks: &[Block],
    seeds: &[Block],
) -> (Vec<Block>, Vec<Block>) {
    let height = parameters.height;
    let (secret, values) = base.split_at(parameters.secret);
    let mut message = Vec::with_capacity(seeds.len() * (height + 1));
    let mut out = vec![0; parameters.makes(seeds.len())];
    let mut sums = vec![0; height];
    let trees = out.chunks_exact_mut(1 << height).zip(masks.chunks_exact(height)).zip(values);
    for (index, ((leaves, masks), value)) in trees.enumerate() {
        ggm::full(delta, seeds[index], leaves, &mut sums);
        message.extend(sums.iter().zip(masks).map(|(sum, mask)| sum ^ mask));
        let place = index << height;
        fixed().tweak_hash(leaves, place as u64, 1);
        message.push(leaves.iter().fold(*value, |sum, leaf| sum ^ leaf));
        lpn::add(code, place as u64, secret, leaves);
    }
    (message, out)
}

/// At the other party. rows: t of the transfers; message: from the holder of delta.  a and c.
pub fn receive(shape: Shape, rows: &[Block], code: Block, message: &[u8]) -> Result<(Vec<Block>, Vec<Block>), Fault> {
    if message.len() != shape.message() {
        return Err(Fault("a message of another length for these correlations"));
    }
    let message: Vec<Block> = blocks(message).collect();
    let (base, first, main) = shape.cut(rows);
    let held = base.chunks_exact(FIELD).map(|rows| (choices(rows), compose(rows))).unzip();
    let (one, two) = message.split_at(shape.first * (FIRST.height + 1));
    let held = iterate_receiver(FIRST, code, &held, first, one);
    let (mut a, mut c) = iterate_receiver(MAIN, second_code(code), &held, main, two);
    a.truncate(shape.count);
    c.truncate(shape.count);
    Ok((a, c))
}

/// The field element of the choice bits, which are the rows' lowest.
fn choices(rows: &[Block]) -> Block {
    rows.iter().enumerate().fold(0, |sum, (k, row)| sum | (row & 1) << k)
}

/// base: a and c of the secret and of a correlation a tree; masks: t of the paths.
fn iterate_receiver(
    parameters: Parameters,
    code: Block,
    base: &(Vec<Block>, Vec<Block>),
    masks: &[Block],
    message: &[Block],
) -> (Vec<Block>, Vec<Block>) {
    let height = parameters.height;
    let trees = masks.len() / height;
    let (mut a, mut c) = (vec![0; parameters.makes(trees)], vec![0; parameters.makes(trees)]);
    let mut siblings = vec![0; height];
    let each = a.chunks_exact_mut(1 << height).zip(c.chunks_exact_mut(1 << height));
    for (index, (noise, leaves)) in each.enumerate() {
        let masks = &masks[index * height..][..height];
        let sent = &message[index * (height + 1)..][..=height];
        siblings.iter_mut().zip(masks.iter().zip(sent)).for_each(|(sibling, (mask, sum))| *sibling = mask ^ sum);
        let hole = masks.iter().enumerate().fold(0, |hole, (level, mask)| hole | ((1 ^ (mask & 1)) as usize) << level);
        ggm::punctured(hole, &siblings, leaves);
        let place = index << height;
        fixed().tweak_hash(leaves, place as u64, 1);
        let mut missing = sent[height] ^ base.1[parameters.secret + index];
        for (at, leaf) in leaves.iter_mut().enumerate() {
            *leaf &= Block::from(at != hole).wrapping_neg();
            missing ^= *leaf;
        }
        let value = base.0[parameters.secret + index];
        for (at, (noise, leaf)) in noise.iter_mut().zip(leaves.iter_mut()).enumerate() {
            let here = Block::from(at == hole).wrapping_neg();
            *noise = value & here;
            *leaf |= missing & here;
        }
        let secret = (&base.0[..parameters.secret], &base.1[..parameters.secret]);
        lpn::add_pair(code, place as u64, secret, (noise, leaves));
    }
    (a, c)
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
        for count in [1, 2048, 5000] {
            let shape = Shape::of(count).unwrap();
            let (q, t) = transfers(delta, shape.transfers());
            let (message, b) = send(shape, delta, &q, 77, &[5; 16]);
            assert_eq!(message.len(), shape.message());
            let (a, c) = receive(shape, &t, 77, &message).unwrap();
            assert_eq!((a.len(), b.len(), c.len()), (count, count, count));
            for ((a, b), c) in a.iter().zip(&b).zip(&c) {
                assert_eq!(multiply_portable(*a, delta) ^ b, *c);
            }
            assert!(a.iter().all(|x| *x != 0));
            assert!(receive(shape, &t, 77, &message[16..]).is_err());
        }
    }

    #[test]
    fn shapes_have_a_most() {
        assert!(Shape::of(MAIN.makes(MAIN.trees)).is_some());
        assert!(Shape::of(MAIN.makes(MAIN.trees) + 1).is_none());
    }
}
