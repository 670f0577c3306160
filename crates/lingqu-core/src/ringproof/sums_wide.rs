//! Sums under binary weights, eight numbers at a time, with AVX-512.
use std::arch::x86_64::*;

use super::COMBINATIONS;

const LANES: usize = 8;
type Row = [u64; LANES];
/// Combinations that are summed at a time: two sums of each stay in registers.
const GROUP: usize = 12;

pub fn available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// The sum of signed lanes.
#[target_feature(enable = "avx512f")]
#[inline]
fn across(v: __m512i) -> i128 {
    let mut lanes = [0i64; LANES];
    // SAFETY: the store is to the array's 64 bytes, and needs no alignment.
    unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), v) };
    lanes.into_iter().map(i128::from).sum()
}

#[target_feature(enable = "avx512f")]
#[inline]
fn load(words: &Row) -> __m512i {
    // SAFETY: the load is of the array's 64 bytes, and needs no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

/// totals[j] gets low + 2^32 high of all entries whose weight has bit j: low below 2^32, high signed and below 2^57 in size,
/// at most 2^9 of them, in whole vectors.
///
/// # Safety
/// The processor has AVX-512.
#[target_feature(enable = "avx512f")]
pub fn add(weights: &[u64], low: &[u64], high: &[u64], totals: &mut [i128; COMBINATIONS]) {
    let (weights, low, high) = (weights.as_chunks().0, low.as_chunks().0, high.as_chunks().0);
    for (group, totals) in totals.as_chunks_mut::<GROUP>().0.iter_mut().enumerate() {
        let bits: [__m512i; GROUP] = std::array::from_fn(|j| _mm512_set1_epi64(1 << (group * GROUP + j)));
        let mut sums = [[_mm512_setzero_si512(); 2]; GROUP];
        for ((weights, low), high) in weights.iter().zip(low).zip(high) {
            let (weights, low, high) = (load(weights), load(low), load(high));
            for (sums, bit) in sums.iter_mut().zip(bits) {
                let picked = _mm512_test_epi64_mask(weights, bit);
                sums[0] = _mm512_mask_add_epi64(sums[0], picked, sums[0], low);
                sums[1] = _mm512_mask_add_epi64(sums[1], picked, sums[1], high);
            }
        }
        for (total, [low, high]) in totals.iter_mut().zip(sums) {
            *total += across(low) + (across(high) << 32);
        }
    }
}
