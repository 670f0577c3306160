//! SHA-256 of sixteen messages of one block each, side by side in the lanes of a register (FIPS 180-4, section 6.2).
use sha2::compress256;

/// Messages at a time.
pub const LANES: usize = 16;
/// A block's or a digest's words, of every message.
pub type Words<const COUNT: usize> = [[u32; LANES]; COUNT];

const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// The digests of sixteen blocks, which their senders have padded.
pub fn sixteen(blocks: &Words<16>) -> Words<8> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has AVX-512F.
        return unsafe { wide::sixteen(blocks) };
    }
    each(blocks)
}

fn each(blocks: &Words<16>) -> Words<8> {
    let mut out = [[0; LANES]; 8];
    for lane in 0..LANES {
        let mut block = [0u8; 64];
        block
            .chunks_exact_mut(4)
            .zip(blocks)
            .for_each(|(bytes, word)| bytes.copy_from_slice(&word[lane].to_be_bytes()));
        let mut state = START;
        compress256(&mut state, &[block.into()]);
        out.iter_mut().zip(state).for_each(|(word, found)| word[lane] = found);
    }
    out
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{Words, START};
    use std::arch::x86_64::*;

    const ROUNDS: [u32; 64] = [
        0x428a_2f98,
        0x7137_4491,
        0xb5c0_fbcf,
        0xe9b5_dba5,
        0x3956_c25b,
        0x59f1_11f1,
        0x923f_82a4,
        0xab1c_5ed5,
        0xd807_aa98,
        0x1283_5b01,
        0x2431_85be,
        0x550c_7dc3,
        0x72be_5d74,
        0x80de_b1fe,
        0x9bdc_06a7,
        0xc19b_f174,
        0xe49b_69c1,
        0xefbe_4786,
        0x0fc1_9dc6,
        0x240c_a1cc,
        0x2de9_2c6f,
        0x4a74_84aa,
        0x5cb0_a9dc,
        0x76f9_88da,
        0x983e_5152,
        0xa831_c66d,
        0xb003_27c8,
        0xbf59_7fc7,
        0xc6e0_0bf3,
        0xd5a7_9147,
        0x06ca_6351,
        0x1429_2967,
        0x27b7_0a85,
        0x2e1b_2138,
        0x4d2c_6dfc,
        0x5338_0d13,
        0x650a_7354,
        0x766a_0abb,
        0x81c2_c92e,
        0x9272_2c85,
        0xa2bf_e8a1,
        0xa81a_664b,
        0xc24b_8b70,
        0xc76c_51a3,
        0xd192_e819,
        0xd699_0624,
        0xf40e_3585,
        0x106a_a070,
        0x19a4_c116,
        0x1e37_6c08,
        0x2748_774c,
        0x34b0_bcb5,
        0x391c_0cb3,
        0x4ed8_aa4a,
        0x5b9c_ca4f,
        0x682e_6ff3,
        0x748f_82ee,
        0x78a5_636f,
        0x84c8_7814,
        0x8cc7_0208,
        0x90be_fffa,
        0xa450_6ceb,
        0xbef9_a3f7,
        0xc671_78f2,
    ];

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn xor3(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        _mm512_ternarylogic_epi32::<0x96>(a, b, c)
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn add(a: __m512i, b: __m512i) -> __m512i {
        _mm512_add_epi32(a, b)
    }

    /// As `super::sixteen`.
    ///
    /// # Safety
    /// The processor must have AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn sixteen(blocks: &Words<16>) -> Words<8> {
        // SAFETY: an unaligned load of 16 words.
        let mut w: [__m512i; 16] = std::array::from_fn(|i| unsafe { _mm512_loadu_si512(blocks[i].as_ptr().cast()) });
        let start = START.map(|word| _mm512_set1_epi32(word as i32));
        let mut s = start;
        for pass in 0..4 {
            for i in 0..16 {
                let choice = _mm512_ternarylogic_epi32::<0xca>(s[4], s[5], s[6]);
                let majority = _mm512_ternarylogic_epi32::<0xe8>(s[0], s[1], s[2]);
                let upper =
                    xor3(_mm512_ror_epi32::<2>(s[0]), _mm512_ror_epi32::<13>(s[0]), _mm512_ror_epi32::<22>(s[0]));
                let lower =
                    xor3(_mm512_ror_epi32::<6>(s[4]), _mm512_ror_epi32::<11>(s[4]), _mm512_ror_epi32::<25>(s[4]));
                let given = add(w[i], _mm512_set1_epi32(ROUNDS[16 * pass + i] as i32));
                let first = add(add(s[7], given), add(lower, choice));
                s = [add(first, add(upper, majority)), s[0], s[1], s[2], add(s[3], first), s[4], s[5], s[6]];
                if pass < 3 {
                    let (near, late) = (w[(i + 1) % 16], w[(i + 14) % 16]);
                    let one =
                        xor3(_mm512_ror_epi32::<7>(near), _mm512_ror_epi32::<18>(near), _mm512_srli_epi32::<3>(near));
                    let two =
                        xor3(_mm512_ror_epi32::<17>(late), _mm512_ror_epi32::<19>(late), _mm512_srli_epi32::<10>(late));
                    w[i] = add(add(w[i], one), add(w[(i + 9) % 16], two));
                }
            }
        }
        let mut out = [[0; super::LANES]; 8];
        for ((out, s), start) in out.iter_mut().zip(s).zip(start) {
            // SAFETY: an unaligned store of 16 words.
            unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), add(s, start)) };
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_at_once_are_sixteen_one_by_one() {
        let mut words = [[0u32; LANES]; 16];
        for (i, word) in words.iter_mut().flatten().enumerate() {
            *word = (i as u32 + 1).wrapping_mul(0x9e37_79b9) ^ i as u32 >> 3;
        }
        assert_eq!(sixteen(&words), each(&words));
    }
}
