//! GF(2^128) = GF(2)[X] / (X^128 + X^7 + X^2 + X + 1); bit i of a block is the coefficient of X^i.
//!
//! Nothing branches on or indexes by values.
use super::aes::Block;
use crate::prg::Prg;

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

/// The sum of the x_i times random elements that the seed gives.
pub fn inner(seed: &[u8; 16], x: &[Block]) -> Block {
    const CHUNK: usize = 256;
    let mut drawn = Prg::new(seed);
    let mut words = [0u64; 2 * CHUNK];
    let mut sum = 0;
    for part in x.chunks(CHUNK) {
        drawn.fill(&mut words);
        let factors = words.chunks_exact(2).map(|pair| Block::from(pair[0]) | Block::from(pair[1]) << 64);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("pclmulqdq") && is_x86_feature_detected!("sse2") {
            // SAFETY: the processor has both.
            sum ^= unsafe { x86::inner(factors, part) };
            continue;
        }
        sum ^= factors.zip(part).fold(0, |sum, (factor, x)| sum ^ multiply_portable(*x, factor));
    }
    sum
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

    /// Products are summed before they are reduced.
    ///
    /// # Safety
    /// The processor must have PCLMULQDQ and SSE2.
    #[target_feature(enable = "pclmulqdq,sse2")]
    pub unsafe fn inner(factors: impl Iterator<Item = Block>, x: &[Block]) -> Block {
        let (mut bottom, mut middle, mut top) = (_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128());
        for (factor, x) in factors.zip(x) {
            let (a, b) = (load(&factor), load(x));
            bottom = _mm_xor_si128(bottom, _mm_clmulepi64_si128::<0x00>(a, b));
            top = _mm_xor_si128(top, _mm_clmulepi64_si128::<0x11>(a, b));
            let cross = _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(a, b), _mm_clmulepi64_si128::<0x10>(a, b));
            middle = _mm_xor_si128(middle, cross);
        }
        let mut out = 0;
        // SAFETY: an unaligned store of 16 bytes at a u128.
        unsafe { _mm_storeu_si128(std::ptr::from_mut(&mut out).cast(), reduce(bottom, middle, top)) };
        out
    }

    /// bottom + middle X^64 + top X^128, modulo the polynomial: what lies above bit 192 first, then above bit 128.
    #[inline]
    #[target_feature(enable = "pclmulqdq,sse2")]
    fn reduce(bottom: __m128i, middle: __m128i, top: __m128i) -> __m128i {
        let low = _mm_set_epi64x(0, 0x87);
        let bottom = _mm_xor_si128(bottom, _mm_slli_si128::<8>(middle));
        let top = _mm_xor_si128(top, _mm_srli_si128::<8>(middle));
        let upper = _mm_clmulepi64_si128::<0x01>(top, low);
        let bottom = _mm_xor_si128(bottom, _mm_slli_si128::<8>(upper));
        let top = _mm_xor_si128(top, _mm_srli_si128::<8>(upper));
        _mm_xor_si128(bottom, _mm_clmulepi64_si128::<0x00>(top, low))
    }

    /// # Safety
    /// The processor must have PCLMULQDQ and SSE2.
    #[target_feature(enable = "pclmulqdq,sse2")]
    pub unsafe fn scale_add(factor: Block, blocks: &mut [Block], added: &[Block]) {
        let a = load(&factor);
        for (x, y) in blocks.iter_mut().zip(added) {
            let b = load(x);
            let middle = _mm_xor_si128(_mm_clmulepi64_si128::<0x01>(a, b), _mm_clmulepi64_si128::<0x10>(a, b));
            let (bottom, top) = (_mm_clmulepi64_si128::<0x00>(a, b), _mm_clmulepi64_si128::<0x11>(a, b));
            let product = _mm_xor_si128(reduce(bottom, middle, top), load(y));
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
    fn inner_products_are_sums_of_products() {
        let many: Vec<Block> = SOME.iter().cycle().take(600).copied().collect();
        let mut words = vec![0u64; 1200];
        Prg::new(&[5; 16]).fill(&mut words);
        let factors = words.chunks_exact(2).map(|pair| Block::from(pair[0]) | Block::from(pair[1]) << 64);
        let sum = factors.zip(&many).fold(0, |sum, (factor, x)| sum ^ multiply_portable(*x, factor));
        assert_eq!(inner(&[5; 16], &many), sum);
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
