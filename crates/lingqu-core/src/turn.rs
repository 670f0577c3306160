//! Turning 64 by 64 bit matrices: bit j of word i becomes bit i of word j.

pub type Block = [u64; 64];

/// Warren, Hacker's Delight, section 7-3.
pub fn turn_portable(block: &mut Block) {
    let (mut step, mut mask) = (32, 0x0000_0000_ffff_ffffu64);
    while step > 0 {
        let mut i = 0;
        while i < 64 {
            let t = (block[i] >> step ^ block[i + step]) & mask;
            block[i] ^= t << step;
            block[i + step] ^= t;
            i = (i + step + 1) & !step;
        }
        step >>= 1;
        mask ^= mask << step;
    }
}

/// Turn a block with the fastest way this processor has.
pub fn turn(block: &mut Block) {
    #[cfg(target_arch = "x86_64")]
    if wide::available() {
        // SAFETY: the processor has the features the function was compiled for.
        return unsafe { wide::turn(block) };
    }
    turn_portable(block);
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use super::Block;
    use std::arch::x86_64::*;

    pub fn available() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vbmi")
            && is_x86_feature_detected!("gfni")
    }

    /// Byte 8 b + m of a register from byte b of word 7 - m: the bytes of one place together, as the affine map takes them.
    const TOGETHER: [u8; 64] = {
        let mut index = [0u8; 64];
        let mut at = 0;
        while at < 64 {
            index[at] = ((7 - at % 8) * 8 + at / 8) as u8;
            at += 1;
        }
        index
    };
    /// The row that each word has after the three interleavings.
    const ROWS: [u8; 64] = {
        let mut rows = [0u8; 64];
        let mut at = 0;
        while at < 64 {
            let (register, lane, half) = (at / 8, at % 8 / 2, at % 2);
            rows[at] = (16 * lane + 8 * (register / 4) + 4 * (register / 2 % 2) + 2 * (register % 2) + half) as u8;
            at += 1;
        }
        rows
    };

    /// Eight words to a register: bits turned within bytes of one place, then the registers' bytes interleaved.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
    pub fn turn(block: &mut Block) {
        // SAFETY: all loads and stores are of 64 bytes within arrays of that size, and need no alignment.
        let together = unsafe { _mm512_loadu_si512(TOGETHER.as_ptr().cast()) };
        let unit = _mm512_set1_epi64(0x8040_2010_0804_0201u64 as i64);
        let mut rows = [_mm512_setzero_si512(); 8];
        for (row, words) in rows.iter_mut().zip(block.chunks_exact(8)) {
            // SAFETY: as above.
            let words = unsafe { _mm512_loadu_si512(words.as_ptr().cast()) };
            *row = _mm512_gf2p8affine_epi64_epi8::<0>(unit, _mm512_permutexvar_epi8(together, words));
        }
        let [a, b, c, d, e, f, g, h] = rows;
        let bytes =
            [(a, b), (c, d), (e, f), (g, h)].map(|(x, y)| (_mm512_unpacklo_epi8(x, y), _mm512_unpackhi_epi8(x, y)));
        let mut turned = [0u64; 64];
        for high in 0..2 {
            let [p, q, r, s] = bytes.map(|pair| if high == 0 { pair.0 } else { pair.1 });
            let low = (_mm512_unpacklo_epi16(p, q), _mm512_unpacklo_epi16(r, s));
            let up = (_mm512_unpackhi_epi16(p, q), _mm512_unpackhi_epi16(r, s));
            for (second, (x, y)) in [low, up].into_iter().enumerate() {
                for (third, words) in [_mm512_unpacklo_epi32(x, y), _mm512_unpackhi_epi32(x, y)].into_iter().enumerate()
                {
                    let at = 8 * (4 * high + 2 * second + third);
                    // SAFETY: as above.
                    unsafe { _mm512_storeu_si512(turned[at..at + 8].as_mut_ptr().cast(), words) };
                }
            }
        }
        for (word, row) in turned.iter().zip(ROWS) {
            block[row as usize] = *word;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    #[test]
    fn both_ways_agree_with_the_definition() {
        for seed in 0..20 {
            let mut block = [0u64; 64];
            Prg::new(&[seed; 16]).fill(&mut block);
            let (mut one, mut two) = (block, block);
            turn(&mut one);
            turn_portable(&mut two);
            assert_eq!(one, two);
            for (j, row) in one.iter().enumerate() {
                for (i, word) in block.iter().enumerate() {
                    assert_eq!(row >> i & 1, word >> j & 1);
                }
            }
        }
    }
}
