//! Sums under binary weights, eight numbers at a time (GFNI on AVX-512): all sums of four values first, then for every
//! combination the one that four bits pick.
use std::arch::x86_64::*;

use super::sums::{Row, FOUR, LOWER, WIDTH};
use super::COMBINATIONS;

/// Combinations whose sums stay in registers at a time.
const HALF: usize = COMBINATIONS / 2;

pub fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("gfni")
}

macro_rules! wide {
    ($($item:item)*) => { $(#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")] #[inline] $item)* };
}

wide! {
    fn load(words: &Row) -> __m512i {
        // SAFETY: the load is of the array's 64 bytes, and needs no alignment.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    fn store(words: &mut Row, v: __m512i) {
        // SAFETY: the store is to the array's 64 bytes, and needs no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), v) };
    }

    /// Byte k of word l of the result: bit 8 k + l of all eight words.
    fn turned_bits(words: &Row) -> __m512i {
        let orders: [[u8; 64]; 2] = [
            std::array::from_fn(|i| (8 * (7 - i % 8) + i / 8) as u8),
            std::array::from_fn(|i| (8 * (i % 8) + i / 8) as u8),
        ];
        // SAFETY: the loads are of the arrays' 64 bytes, and need no alignment.
        let [spread, gather] = orders.map(|order| unsafe { _mm512_loadu_si512(order.as_ptr().cast()) });
        let identity = _mm512_set1_epi64(0x8040_2010_0804_0201_u64 as i64);
        let bytes = _mm512_permutexvar_epi8(spread, load(words));
        _mm512_permutexvar_epi8(gather, _mm512_gf2p8affine_epi64_epi8(identity, bytes, 0))
    }

    /// Entry n: the sum of the values whose bits n has.
    fn all_sums(values: &[u64; FOUR]) -> (__m512i, __m512i) {
        let [a, b, c, d] = values.map(|value| _mm512_set1_epi64(value as i64));
        let lower = _mm512_maskz_mov_epi64(0xaa, a);
        let lower = _mm512_mask_add_epi64(lower, 0xcc, lower, b);
        let lower = _mm512_mask_add_epi64(lower, 0xf0, lower, c);
        (lower, _mm512_add_epi64(lower, d))
    }

    /// totals[j] gets low + 2^40 high of all entries whose weight has bit j: low below 2^40, high signed and below 2^54 in
    /// size, at most 2^9 of them, in whole vectors.
    pub fn add(weights: &[u64], low: &[u64], high: &[u64], totals: &mut [i128; COMBINATIONS]) {
        let (weights, low, high) = (weights.as_chunks().0, low.as_chunks::<WIDTH>().0, high.as_chunks::<WIDTH>().0);
        let mut sums = [[_mm512_setzero_si512(); 2]; COMBINATIONS / WIDTH];
        for ((weights, low), high) in weights.iter().zip(low).zip(high) {
            let picks = turned_bits(weights);
            // by the literal numbers, so that the sums stay in registers; of a picked number the lowest four bits count
            macro_rules! each {
                ($half:literal: $($k:literal)*) => {
                    let (low, high) = (&low.as_chunks().0[$half], &high.as_chunks().0[$half]);
                    let ((l0, l1), (h0, h1)) = (all_sums(low), all_sums(high));
                    $(
                        let picked = _mm512_srli_epi64::<{ 8 * $k + 4 * $half }>(picks);
                        sums[$k][0] = _mm512_add_epi64(sums[$k][0], _mm512_permutex2var_epi64(l0, picked, l1));
                        sums[$k][1] = _mm512_add_epi64(sums[$k][1], _mm512_permutex2var_epi64(h0, picked, h1));
                    )*
                };
            }
            each!(0: 0 1 2 3 4 5);
            each!(1: 0 1 2 3 4 5);
        }
        for (totals, found) in totals.as_chunks_mut::<WIDTH>().0.iter_mut().zip(sums) {
            let [low, high] = found.map(|found| {
                let mut lanes = [0; WIDTH];
                store(&mut lanes, found);
                lanes.map(|lane| i128::from(lane as i64))
            });
            for (total, (low, high)) in totals.iter_mut().zip(low.into_iter().zip(high)) {
                *total += low + (high << LOWER);
            }
        }
    }

    /// As `sums::add_fours`.
    pub fn add_fours(rows: &[Row], fours: &[[u8; COMBINATIONS]], sums: &mut [Row; COMBINATIONS]) {
        let mut table = [[0; WIDTH]; 1 << FOUR];
        for (half, sums) in sums.as_chunks_mut::<HALF>().0.iter_mut().enumerate() {
            let mut found = [_mm512_setzero_si512(); HALF];
            for (rows, numbers) in rows.as_chunks::<FOUR>().0.iter().zip(fours) {
                let [a, b, c, d] = rows.each_ref().map(|row| load(row));
                let none = _mm512_setzero_si512();
                let lower = [none, a, b, _mm512_add_epi64(a, b)];
                for (i, upper) in [none, c, d, _mm512_add_epi64(c, d)].into_iter().enumerate() {
                    for (j, lower) in lower.into_iter().enumerate() {
                        store(&mut table[4 * i + j], _mm512_add_epi64(upper, lower));
                    }
                }
                let numbers = &numbers.as_chunks::<HALF>().0[half];
                macro_rules! each {
                    ($($j:literal)*) => {$(
                        found[$j] = _mm512_add_epi64(found[$j], load(&table[usize::from(numbers[$j] & 15)]));
                    )*};
                }
                each!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23);
            }
            for (sum, found) in sums.iter_mut().zip(found) {
                let held = load(sum);
                store(sum, _mm512_add_epi64(held, found));
            }
        }
    }
}
