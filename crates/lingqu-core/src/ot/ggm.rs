//! Correlated GGM trees: Guo, Yang, Wang, Zhang, Xie, Liu, Zhao, "Half-Tree" (EUROCRYPT 2023), section 4.
//!
//! On every level the nodes sum to delta. A node x has the children H(x) and x + H(x), one call a node. The child on side
//! s of node j is node j + s 2^level of the next level, so the bits of a leaf's number name its path from the root.
use super::aes::{fixed, Block, CHUNK};

/// Replace 2^level nodes at the front of `nodes` by their 2^(level + 1) children; the sum of the left ones is returned.
fn grow(nodes: &mut [Block], level: usize) -> Block {
    let width = 1 << level;
    let (left, right) = nodes[..2 * width].split_at_mut(width);
    let mut sum = 0;
    let mut work = [0; CHUNK];
    for (left, right) in left.chunks_mut(CHUNK).zip(right.chunks_mut(CHUNK)) {
        let work = &mut work[..left.len()];
        work.copy_from_slice(left);
        fixed().robust_hash(work);
        for ((left, right), hash) in left.iter_mut().zip(right.iter_mut()).zip(work.iter()) {
            *right = *left ^ hash;
            *left = *hash;
            sum ^= hash;
        }
    }
    sum
}

/// The whole tree of 2^(sums.len()) leaves from its first left node; the sums of the left nodes go to `sums`.
pub fn full(delta: Block, seed: Block, leaves: &mut [Block], sums: &mut [Block]) {
    leaves[0] = seed;
    leaves[1] = seed ^ delta;
    sums[0] = seed;
    for (level, sum) in sums.iter_mut().enumerate().skip(1) {
        *sum = grow(leaves, level);
    }
}

/// The tree without the leaf `hole`: siblings[level] is the sum on the side that the path to it does not take.
///
/// The hole is left as 0. Every leaf is touched in the same way, wherever the hole is.
pub fn punctured(hole: usize, siblings: &[Block], leaves: &mut [Block]) {
    let bit = |level: usize| (hole >> level) & 1;
    let mask = |yes: bool| Block::from(yes).wrapping_neg();
    leaves[0] = siblings[0] & mask(bit(0) == 1);
    leaves[1] = siblings[0] & mask(bit(0) == 0);
    let mut zero = [0];
    fixed().robust_hash(&mut zero);
    for (level, sibling) in siblings.iter().enumerate().skip(1) {
        let width = 1 << level;
        grow(leaves, level);
        // The unknown node was 0, so both its children are now H(0): one becomes what its side lacks, the other 0.
        for (side, part) in leaves[..2 * width].chunks_exact_mut(width).enumerate() {
            let sum = part.iter().fold(0, |sum, x| sum ^ x);
            let known = mask(side != bit(level));
            let change = (sibling ^ sum) & known | zero[0] & !known;
            let place = hole & (width - 1);
            part.iter_mut().enumerate().for_each(|(j, x)| *x ^= change & mask(j == place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctured_trees_have_all_leaves_but_one() {
        for height in 1..=7 {
            let (delta, seed) = (0x1234_5678_9abc_def1_0246_8ace_1357_9bdf, 99 + height as Block);
            let (mut leaves, mut sums) = (vec![0; 1 << height], vec![0; height]);
            full(delta, seed, &mut leaves, &mut sums);
            assert_eq!(leaves.iter().fold(0, |sum, x| sum ^ x), delta);
            for hole in 0..1 << height {
                let siblings: Vec<Block> =
                    (0..height).map(|level| sums[level] ^ if hole >> level & 1 == 0 { delta } else { 0 }).collect();
                let mut rest = vec![0; 1 << height];
                punctured(hole, &siblings, &mut rest);
                let mut expected = leaves.clone();
                expected[hole] = 0;
                assert_eq!(rest, expected, "{hole} of {height}");
            }
        }
    }
}
