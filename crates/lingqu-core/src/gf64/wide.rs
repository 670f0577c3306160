//! The kernels with carry-less products of four pairs at once (VPCLMULQDQ on AVX-512).
use super::reduce;
use std::arch::x86_64::*;

/// Elements of a register.
const LANES: usize = 8;

pub fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("vpclmulqdq")
        && is_x86_feature_detected!("pclmulqdq")
}

/// Eight elements, or the first `count` of them and zeros.
#[inline]
#[target_feature(enable = "avx512f")]
fn load(from: &[u64], count: usize) -> __m512i {
    assert!(count <= from.len());
    let mask = if count >= LANES { 0xff } else { (1u8 << count) - 1 };
    // SAFETY: only the elements under the mask are read, and the slice has as many.
    unsafe { _mm512_maskz_loadu_epi64(mask, from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(to: &mut [u64], count: usize, from: __m512i) {
    assert!(count <= to.len());
    let mask = if count >= LANES { 0xff } else { (1u8 << count) - 1 };
    // SAFETY: only the elements under the mask are written, and the slice has as many.
    unsafe { _mm512_mask_storeu_epi64(to.as_mut_ptr().cast(), mask, from) };
}

/// Unreduced products of even and of odd elements.
pub type Wide = (__m512i, __m512i);

#[inline]
#[target_feature(enable = "avx512f,vpclmulqdq")]
pub fn add_product(sum: &mut Wide, x: __m512i, y: __m512i) {
    sum.0 = _mm512_xor_si512(sum.0, _mm512_clmulepi64_epi128(x, y, 0x00));
    sum.1 = _mm512_xor_si512(sum.1, _mm512_clmulepi64_epi128(x, y, 0x11));
}

/// The sum of all lanes, reduced.
#[inline]
#[target_feature(enable = "avx512f")]
fn total(sum: Wide) -> u64 {
    let mut lanes = [0u64; LANES];
    store(&mut lanes, LANES, _mm512_xor_si512(sum.0, sum.1));
    reduce(lanes.chunks_exact(2).fold(0, |sum, pair| sum ^ (u128::from(pair[1]) << 64 | u128::from(pair[0]))))
}

/// Eight elements from their unreduced products.
#[inline]
#[target_feature(enable = "avx512f")]
pub fn reduced(sum: Wide) -> __m512i {
    let (low, high) = (_mm512_unpacklo_epi64(sum.0, sum.1), _mm512_unpackhi_epi64(sum.0, sum.1));
    let over = _mm512_ternarylogic_epi64(
        _mm512_srli_epi64(high, 63),
        _mm512_srli_epi64(high, 61),
        _mm512_srli_epi64(high, 60),
        0x96,
    );
    let high = _mm512_xor_si512(high, over);
    let most = _mm512_ternarylogic_epi64(low, high, _mm512_slli_epi64(high, 1), 0x96);
    _mm512_ternarylogic_epi64(most, _mm512_slli_epi64(high, 3), _mm512_slli_epi64(high, 4), 0x96)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub fn nothing() -> Wide {
    (_mm512_setzero_si512(), _mm512_setzero_si512())
}

#[target_feature(enable = "avx512f,vpclmulqdq")]
pub fn dot(x: &[u64], y: &[u64]) -> u64 {
    let mut sum = nothing();
    for (x, y) in x.chunks(LANES).zip(y.chunks(LANES)) {
        add_product(&mut sum, load(x, x.len()), load(y, y.len()));
    }
    total(sum)
}

#[target_feature(enable = "avx512f,vpclmulqdq")]
pub fn multiply(out: &mut [u64], x: &[u64], y: &[u64]) {
    for ((out, x), y) in out.chunks_mut(LANES).zip(x.chunks(LANES)).zip(y.chunks(LANES)) {
        let mut sum = nothing();
        add_product(&mut sum, load(x, x.len()), load(y, y.len()));
        store(out, out.len(), reduced(sum));
    }
}

#[target_feature(enable = "avx512f,vpclmulqdq")]
pub fn fold(out: &mut [u64], x: &[u64], coefficients: &[u64]) {
    let n = out.len();
    for (chunk, out) in out.chunks_mut(LANES).enumerate() {
        let mut sum = nothing();
        for (a, coefficient) in coefficients.iter().enumerate() {
            let row = &x[a * n + chunk * LANES..][..out.len()];
            add_product(&mut sum, load(row, row.len()), _mm512_set1_epi64(*coefficient as i64));
        }
        store(out, out.len(), reduced(sum));
    }
}
