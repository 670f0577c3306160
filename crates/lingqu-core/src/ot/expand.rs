//! The dual linear code of the first correlations: a convolution that runs twice, then sums of few random entries.
//!
//! Source: Raghuraman, Rindal, Tanguy, "Expand-Convolute Codes for Pseudorandom Correlation Generators from LPN" (CRYPTO
//! 2023), with their conservative weights, 21 entries and 24 places, and the convolution run round twice, as in their
//! library since. The code is public, and fresh in every session. Its entries are bits: a code's distance over GF(2^128)
//! is that of its bits.
use super::aes::{fixed, Block, CHUNK};
use crate::prg::Prg;

/// Entries that one output sums, one from each of as many sections.
pub const WEIGHT: usize = 21;
/// Places that an entry of the convolution reaches ahead; the first always.
pub const REACH: usize = 24;
/// The least number of noisy entries: (1 - 0.15)^560 < 2^-128, where 0.15 is the estimate of the distance.
pub const NOISE: usize = 560;

const ROW_BLOCKS: usize = 6;
const ROWS: usize = CHUNK / ROW_BLOCKS;

/// The outputs of the code for a noise vector, which is used up. count: at most half the noise vector's length.
pub fn encode(code: Block, mut noise: Vec<Block>, count: usize) -> Vec<Block> {
    convolve(code, &mut noise);
    expand(code, &noise, count)
}

/// Every entry is added to the next one and to those of 23 more that a random word names; what leaves the end enters at
/// the front of the second run.
fn convolve(code: Block, entries: &mut [Block]) {
    let mut ahead = [0; REACH];
    for run in 1..=2u8 {
        let mut taps = Prg::new(&(code ^ Block::from(run)).to_le_bytes());
        let mut drawn = [0u64; 256];
        for part in entries.chunks_mut(2 * drawn.len()) {
            taps.fill(&mut drawn);
            #[cfg(target_arch = "x86_64")]
            if wide() {
                // SAFETY: `wide` has seen what the function needs.
                unsafe { run_wide(&drawn, part, &mut ahead) };
                continue;
            }
            run_portable(&drawn, part, &mut ahead);
        }
    }
}

/// The bits of the next entry: which of the 24 places ahead it is added to.
#[inline(always)]
fn reach(drawn: &[u64], i: usize) -> u64 {
    (drawn[i / 2] >> (32 * (i % 2))) & ((1 << REACH) - 1) | 1
}

fn run_portable(drawn: &[u64], part: &mut [Block], ahead: &mut [Block; REACH]) {
    for (i, entry) in part.iter_mut().enumerate() {
        *entry ^= ahead[0];
        ahead.copy_within(1.., 0);
        ahead[REACH - 1] = 0;
        let bits = reach(drawn, i);
        for (j, next) in ahead.iter_mut().enumerate() {
            *next ^= *entry & Block::from(bits >> j & 1).wrapping_neg();
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn wide() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("bmi2")
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,bmi2")]
fn run_wide(drawn: &[u64], part: &mut [Block], ahead: &mut [Block; REACH]) {
    use std::arch::x86_64::*;
    const EVEN: u64 = 0x5555_5555_5555_5555;
    // SAFETY: 24 blocks are six registers of four.
    let mut next: [__m512i; 6] =
        std::array::from_fn(|k| unsafe { _mm512_loadu_si512(ahead.as_ptr().add(4 * k).cast()) });
    for (i, entry) in part.iter_mut().enumerate() {
        let place = std::ptr::from_mut(entry);
        // SAFETY: an unaligned load of 16 bytes from a block.
        let sum = _mm_xor_si128(unsafe { _mm_loadu_si128(place.cast()) }, _mm512_castsi512_si128(next[0]));
        // SAFETY: an unaligned store of 16 bytes at a block.
        unsafe { _mm_storeu_si128(place.cast(), sum) };
        let all = _mm512_broadcast_i32x4(sum);
        let masks = _pdep_u64(reach(drawn, i), EVEN) * 3;
        for k in 0..6 {
            let after = if k < 5 { next[k + 1] } else { _mm512_setzero_si512() };
            let moved = _mm512_alignr_epi64::<2>(after, next[k]);
            next[k] = _mm512_mask_xor_epi64(moved, (masks >> (8 * k)) as __mmask8, moved, all);
        }
    }
    for (k, four) in next.iter().enumerate() {
        // SAFETY: as for the loads.
        unsafe { _mm512_storeu_si512(ahead.as_mut_ptr().add(4 * k).cast(), *four) };
    }
}

/// Sums of 21 entries for every output, one from each section.
fn expand(code: Block, entries: &[Block], count: usize) -> Vec<Block> {
    let length = entries.len() / WEIGHT;
    let starts: [usize; WEIGHT] = std::array::from_fn(|s| s * (entries.len() - length) / (WEIGHT - 1));
    let mut out = vec![0; count];
    let mut places = [0u32; ROWS * ROW_BLOCKS * 4];
    for (chunk, rows) in out.chunks_mut(ROWS).enumerate() {
        draw(code, (chunk * ROWS * ROW_BLOCKS) as u64, length, &mut places);
        for (row, places) in rows.iter_mut().zip(places.chunks_exact(4 * ROW_BLOCKS)) {
            *row = starts.iter().zip(places).fold(0, |sum, (start, place)| sum ^ entries[start + *place as usize]);
        }
    }
    out
}

fn draw(code: Block, first: u64, length: usize, places: &mut [u32; ROWS * ROW_BLOCKS * 4]) {
    let mut drawn: [Block; ROWS * ROW_BLOCKS] = std::array::from_fn(|i| code ^ Block::from(first + i as u64) << 8);
    fixed().robust_hash(&mut drawn);
    for (four, block) in places.chunks_exact_mut(4).zip(&drawn) {
        for (i, place) in four.iter_mut().enumerate() {
            *place = ((u64::from((block >> (32 * i)) as u32) * length as u64) >> 32) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::seeds;
    use super::*;

    #[test]
    fn the_code_is_linear_and_every_entry_counts() {
        let (one, two) = (seeds(&[1; 16], 5000), seeds(&[2; 16], 5000));
        let both: Vec<Block> = one.iter().zip(&two).map(|(x, y)| x ^ y).collect();
        let sum: Vec<Block> =
            encode(7, one.clone(), 2000).iter().zip(&encode(7, two, 2000)).map(|(x, y)| x ^ y).collect();
        assert_eq!(encode(7, both, 2000), sum);
        assert_ne!(encode(8, one.clone(), 2000), encode(7, one.clone(), 2000));
        for place in [0, 1, 2500, 4990, 4999] {
            let mut single = vec![0; 5000];
            single[place] = 1;
            let ones = encode(7, single, 2000).iter().filter(|x| **x == 1).count();
            // About half of all outputs, as the convolution spreads one entry over the whole vector.
            assert!((850..1150).contains(&ones), "{ones} at {place}");
        }
    }

    #[test]
    fn wide_and_portable_runs_agree() {
        let drawn: Vec<u64> = seeds(&[3; 16], 256).iter().map(|x| *x as u64).collect();
        let (mut one, mut two) = (seeds(&[4; 16], 500), seeds(&[4; 16], 500));
        let (mut ahead, mut other) = ([9; REACH], [9; REACH]);
        run_portable(&drawn, &mut one, &mut ahead);
        #[cfg(target_arch = "x86_64")]
        if wide() {
            // SAFETY: the processor has what it needs.
            unsafe { run_wide(&drawn, &mut two, &mut other) };
            assert_eq!((one, ahead), (two, other));
        }
    }
}
