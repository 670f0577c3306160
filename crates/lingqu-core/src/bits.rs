//! Packing of words into dense bits, and bit matrices turned so that a plane holds one bit of every word.
use crate::memory::zeros;
use crate::turn::turn;

fn low(width: usize) -> u64 {
    if width == 64 {
        u64::MAX
    } else {
        (1 << width) - 1
    }
}

/// Words that n words of `width` bits fill when packed.
pub fn packed_len(n: usize, width: usize) -> usize {
    (n * width).div_ceil(64)
}

/// The low `width` bits of every word, one after the other from the lowest bit on.
pub fn pack(words: &[u64], width: usize) -> Vec<u64> {
    if width == 64 {
        return words.to_vec();
    }
    if width == 1 {
        return words
            .chunks(64)
            .map(|chunk| chunk.iter().enumerate().fold(0, |sum, (i, word)| sum | (word & 1) << i))
            .collect();
    }
    let mut out = Vec::with_capacity(packed_len(words.len(), width));
    let (mut held, mut filled) = (0u64, 0);
    for word in words {
        let word = word & low(width);
        held |= word << filled;
        filled += width;
        if filled >= 64 {
            out.push(held);
            filled -= 64;
            held = if filled == 0 { 0 } else { word >> (width - filled) };
        }
    }
    if filled > 0 {
        out.push(held);
    }
    out
}

/// The inverse of `pack`; `packed` holds at least `packed_len(n, width)` words.
pub fn unpack(packed: &[u64], n: usize, width: usize) -> Vec<u64> {
    if width == 64 {
        return packed[..n].to_vec();
    }
    if width == 1 {
        return (0..n).map(|i| packed[i / 64] >> (i % 64) & 1).collect();
    }
    let mask = low(width);
    (0..n)
        .map(|i| {
            let (word, shift) = (i * width / 64, i * width % 64);
            let first = packed[word] >> shift;
            let rest = if shift + width > 64 { packed[word + 1] << (64 - shift) } else { 0 };
            (first | rest) & mask
        })
        .collect()
}

/// Blocks turned together, so that a whole line of every plane is written at once.
const TOGETHER: usize = 8;

/// The lowest `planes` bits of every word as rows of packed bits: row p holds bit p of all words.
pub fn to_planes(words: &[u64], planes: usize) -> Vec<u64> {
    let length = words.len().div_ceil(64);
    let mut out = zeros(planes * length);
    let mut blocks = [[0u64; 64]; TOGETHER];
    for (b, chunk) in words.chunks(64 * TOGETHER).enumerate() {
        let count = chunk.len().div_ceil(64);
        for (block, part) in blocks.iter_mut().zip(chunk.chunks(64)) {
            block[part.len()..].fill(0);
            block[..part.len()].copy_from_slice(part);
            turn(block);
        }
        for p in 0..planes {
            let line = &mut out[p * length + b * TOGETHER..][..count];
            for (word, block) in line.iter_mut().zip(&blocks) {
                *word = block[p];
            }
        }
    }
    out
}

/// The inverse of `to_planes` for n words.
pub fn from_planes(planes: &[u64], n: usize) -> Vec<u64> {
    let length = n.div_ceil(64);
    let mut out = zeros(n);
    let mut blocks = [[0u64; 64]; TOGETHER];
    let rows = planes.len().checked_div(length).unwrap_or(0);
    for (b, chunk) in out.chunks_mut(64 * TOGETHER).enumerate() {
        let count = chunk.len().div_ceil(64);
        blocks.iter_mut().for_each(|block| block[rows..].fill(0));
        for p in 0..rows {
            for (block, word) in blocks.iter_mut().zip(&planes[p * length + b * TOGETHER..][..count]) {
                block[p] = *word;
            }
        }
        for (block, part) in blocks.iter_mut().zip(chunk.chunks_mut(64)) {
            turn(block);
            part.copy_from_slice(&block[..part.len()]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    #[test]
    fn packing_round_trips() {
        for width in 1..=64 {
            for n in [0, 1, 2, 63, 64, 65, 200] {
                let mut words = vec![0; n];
                Prg::new(&[width as u8; 16]).fill(&mut words);
                words.iter_mut().for_each(|word| *word &= low(width));
                let packed = pack(&words, width);
                assert_eq!(packed.len(), packed_len(n, width));
                assert_eq!(unpack(&packed, n, width), words);
            }
        }
    }

    #[test]
    fn planes_hold_bits() {
        for n in [0, 1, 63, 64, 65, 300] {
            let mut words = vec![0; n];
            Prg::new(&[5; 16]).fill(&mut words);
            let planes = to_planes(&words, 64);
            let length = n.div_ceil(64);
            for p in 0..64 {
                for (i, word) in words.iter().enumerate() {
                    assert_eq!(planes[p * length + i / 64] >> (i % 64) & 1, word >> p & 1);
                }
            }
            assert_eq!(from_planes(&planes, n), words);
            let few: Vec<u64> = words.iter().map(|word| word & 0x1f).collect();
            assert_eq!(from_planes(&to_planes(&words, 5), n), few);
        }
    }
}
