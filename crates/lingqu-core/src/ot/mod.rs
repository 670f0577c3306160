//! Oblivious transfer of two parties without a dealer: state machines that take and give bytes, and do no I/O.
pub mod aes;
pub mod base;
pub mod cot;
pub mod direct;
pub mod expand;
pub mod gf128;
pub mod ggm;
pub mod keys;
pub mod lpn;
pub mod python;
pub mod rows;
pub mod softspoken;
pub mod vole;

use aes::Block;

/// What is wrong with a peer's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub &'static str);

/// Blocks as words, the low one first; `words` has two for every block.
pub fn split(blocks: &[Block], words: &mut [u64]) {
    for (pair, block) in words.chunks_exact_mut(2).zip(blocks) {
        pair[0] = *block as u64;
        pair[1] = (*block >> 64) as u64;
    }
}

/// Blocks as words at the end of `words`.
pub fn append(blocks: &[Block], words: &mut Vec<u64>) {
    if cfg!(target_endian = "little") {
        // SAFETY: every pattern of bits is a block and a word, and blocks are aligned as words are.
        let (before, inside, after) = unsafe { blocks.align_to::<u64>() };
        debug_assert!(before.is_empty() && after.is_empty());
        words.extend_from_slice(inside);
    } else {
        words.extend(blocks.iter().flat_map(|block| [*block as u64, (*block >> 64) as u64]));
    }
}

/// The inverse of `split`.
pub fn join(words: &[u64]) -> Vec<Block> {
    words.chunks_exact(2).map(|pair| Block::from(pair[0]) | Block::from(pair[1]) << 64).collect()
}

/// The blocks of a message; bytes that do not fill one are the caller's to refuse.
pub fn blocks(bytes: &[u8]) -> impl Iterator<Item = Block> + '_ {
    bytes.chunks_exact(16).map(|x| Block::from_le_bytes(x.try_into().unwrap_or([0; 16])))
}

/// Blocks as bytes of a message.
pub fn bytes(blocks: &[Block]) -> Vec<u8> {
    blocks.iter().flat_map(|block| block.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn words(blocks: &[Block]) -> Vec<u64> {
        let mut words = vec![0; 2 * blocks.len()];
        split(blocks, &mut words);
        words
    }

    #[test]
    fn blocks_words_and_bytes_are_one() {
        let all = [1, u128::MAX - 5, 1 << 64];
        assert_eq!(join(&words(&all)), all);
        let mut appended = vec![7];
        append(&all, &mut appended);
        assert_eq!(appended[1..], words(&all));
        assert_eq!(blocks(&bytes(&all)).collect::<Vec<_>>(), all);
    }
}
