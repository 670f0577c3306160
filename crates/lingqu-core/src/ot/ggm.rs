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
/// The hole is left as 0, and the sum of all leaves is returned. Every leaf is touched in the same way, wherever the hole is.
pub fn punctured(hole: usize, siblings: &[Block], leaves: &mut [Block]) -> Block {
    let bit = |level: usize| (hole >> level) & 1;
    let mask = |yes: bool| Block::from(yes).wrapping_neg();
    leaves[0] = siblings[0] & mask(bit(0) == 1);
    leaves[1] = siblings[0] & mask(bit(0) == 0);
    let mut zero = [0];
    fixed().robust_hash(&mut zero);
    let mut whole = siblings[0];
    for (level, sibling) in siblings.iter().enumerate().skip(1) {
        let width = 1 << level;
        let left = grow(leaves, level);
        // The unknown node was 0, so both its children are now H(0): one becomes what its side lacks, the other 0.
        for (side, part) in leaves[..2 * width].chunks_exact_mut(width).enumerate() {
            let sum = if side == 0 { left } else { left ^ whole };
            let known = mask(side != bit(level));
            add_at(part, hole & (width - 1), (sibling ^ sum) & known | zero[0] & !known);
        }
        // The side of the hole sums to what it did, less H(0).
        let beside = left ^ whole & mask(bit(level) == 1);
        whole = sibling ^ beside ^ zero[0];
    }
    whole
}

/// Add a block at a secret place, touching all of them alike.
pub fn add_at(blocks: &mut [Block], place: usize, change: Block) {
    #[cfg(target_arch = "x86_64")]
    if blocks.len().is_multiple_of(4) && is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has what the function was compiled for.
        return unsafe { add_at_512(blocks, place, change) };
    }
    let masked = |yes: bool| Block::from(yes).wrapping_neg() & change;
    blocks.iter_mut().enumerate().for_each(|(i, x)| *x ^= masked(i == place));
}

/// # Safety
/// The processor must have AVX-512F.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn add_at_512(blocks: &mut [Block], place: usize, change: Block) {
    use std::arch::x86_64::*;
    // SAFETY: an unaligned load of one block.
    let change = _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(std::ptr::from_ref(&change).cast()) });
    let within = 3 << (2 * (place & 3));
    for (i, four) in blocks.chunks_exact_mut(4).enumerate() {
        let here = u8::from(i == place >> 2).wrapping_neg() & within;
        let at = four.as_mut_ptr().cast();
        // SAFETY: four blocks are 64 bytes; no alignment is asked for.
        unsafe {
            let own = _mm512_loadu_si512(at);
            _mm512_storeu_si512(at, _mm512_mask_xor_epi64(own, here, own, change));
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
                let sum = punctured(hole, &siblings, &mut rest);
                assert_eq!(sum, rest.iter().fold(0, |sum, x| sum ^ x));
                let mut expected = leaves.clone();
                expected[hole] = 0;
                assert_eq!(rest, expected, "{hole} of {height}");
            }
        }
    }
}
