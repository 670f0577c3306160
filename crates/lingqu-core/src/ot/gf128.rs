//! GF(2^128) = GF(2)[X] / (X^128 + X^7 + X^2 + X + 1); bit i of a block is the coefficient of X^i.
//!
//! Nothing branches on or indexes by values.
use super::aes::Block;

/// The polynomial below X^128.
const LOW: Block = 0x87;

/// a X.
#[inline(always)]
fn times_x(a: Block) -> Block {
    (a << 1) ^ ((a >> 127).wrapping_neg() & LOW)
}

/// The sum of rows[k] X^k.
pub fn compose(rows: &[Block]) -> Block {
    rows.iter().rev().fold(0, |sum, row| times_x(sum) ^ row)
}

/// a b, on any machine.
pub fn multiply_portable(mut a: Block, b: Block) -> Block {
    let mut product = 0;
    for i in 0..128 {
        product ^= ((b >> i) & 1).wrapping_neg() & a;
        a = times_x(a);
    }
    product
}

/// Every x_i becomes factor x_i + added_i.
pub fn scale_add(factor: Block, blocks: &mut [Block], added: &[Block]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("pclmulqdq") && is_x86_feature_detected!("sse2") {
        // SAFETY: the processor has both.
        return unsafe { x86::scale_add(factor, blocks, added) };
    }
    blocks.iter_mut().zip(added).for_each(|(x, y)| *x = multiply_portable(*x, factor) ^ y);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Block;
    use std::arch::x86_64::*;

    #[inline(always)]
    fn load(x: &Block) -> __m128i {
        // SAFETY: an unaligned load of 16 bytes from a u128.
        unsafe { _mm_loadu_si128(std::ptr::from_ref(x).cast()) }
    }

    /// # Safety
    /// The processor must have PCLMULQDQ and SSE2.
    #[target_feature(enable = "pclmulqdq,sse2")]
    pub unsafe fn scale_add(factor: Block, blocks: &mut [Block], added: &[Block]) {
        let a = load(&factor);
        let low = _mm_set_epi64x(0, 0x87);
        for (x, y) in blocks.iter_mut().zip(added) {
            let b = load(x);
            let middle = _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(a, b), _mm_clmulepi64_si128::<0x10>(a, b));
            let bottom = _mm_xor_si128(_mm_clmulepi64_si128::<0x00>(a, b), _mm_slli_si128::<8>(middle));
            let top = _mm_xor_si128(_mm_clmulepi64_si128::<0x11>(a, b), _mm_srli_si128::<8>(middle));
            // X^128 = X^7 + X^2 + X + 1: what lies above bit 192 first, then what lies above bit 128.
            let upper = _mm_clmulepi64_si128::<0x01>(top, low);
            let bottom = _mm_xor_si128(bottom, _mm_slli_si128::<8>(upper));
            let top = _mm_xor_si128(top, _mm_srli_si128::<8>(upper));
            let lower = _mm_clmulepi64_si128::<0x00>(top, low);
            let product = _mm_xor_si128(_mm_xor_si128(bottom, lower), load(y));
            // SAFETY: an unaligned store of 16 bytes at a u128.
            unsafe { _mm_storeu_si128(std::ptr::from_mut(x).cast(), product) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: [Block; 6] = [0, 1, 2, 0x87, Block::MAX, 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210];

    #[test]
    fn the_field_is_a_field() {
        assert_eq!(multiply_portable(1 << 127, 2), LOW);
        for a in SOME {
            assert_eq!(multiply_portable(a, 1), a);
            // a^(2^128) = a
            assert_eq!((0..128).fold(a, |x, _| multiply_portable(x, x)), a);
            for b in SOME {
                assert_eq!(multiply_portable(a, b), multiply_portable(b, a));
                assert_eq!(multiply_portable(a, b ^ 5), multiply_portable(a, b) ^ multiply_portable(a, 5));
            }
        }
    }

    #[test]
    fn both_products_agree() {
        for factor in SOME {
            let mut found = SOME;
            scale_add(factor, &mut found, &[7; 6]);
            assert_eq!(found, SOME.map(|x| multiply_portable(x, factor) ^ 7));
        }
    }

    #[test]
    fn bits_compose() {
        let x = SOME[5];
        let bits: Vec<Block> = (0..128).map(|k| (x >> k) & 1).collect();
        assert_eq!(compose(&bits), x);
        let scaled: Vec<Block> = bits.iter().map(|bit| bit.wrapping_neg() & SOME[4]).collect();
        assert_eq!(compose(&scaled), multiply_portable(x, SOME[4]));
    }
}
