//! The local linear code of the LPN assumption: every output is the sum of ten random entries of a short vector.
//!
//! Source: Yang, Weng, Lan, Zhang, Wang, "Ferret" (CCS 2020), section 5; ten as in its implementation. The code is public.
use super::aes::{fixed, Block};

/// Entries summed for one output.
pub const WEIGHT: usize = 10;
/// Outputs whose places are drawn together.
pub const GROUP: usize = 64;
const DRAWN: usize = GROUP * WEIGHT / 4;

/// Regular LPN: noise of one in each of `trees` blocks of 2^height outputs, a secret of `secret` entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    pub trees: usize,
    pub height: usize,
    pub secret: usize,
}

impl Parameters {
    /// Correlations an iteration with this many trees takes.
    pub const fn needs(&self, trees: usize) -> usize {
        self.secret + trees * self.height
    }

    /// Correlations an iteration with this many trees makes.
    pub const fn makes(&self, trees: usize) -> usize {
        trees << self.height
    }
}

/// Arrays at the start of a cache line, which wide loads and stores do not straddle.
#[repr(align(64))]
struct Lines<T>(T);

type Places = Lines<[u32; GROUP * WEIGHT]>;

/// The places that `GROUP` outputs from number `group * GROUP` on sum, each below `secret`.
///
/// They come from the images of the code's name and a counter under the public permutation.
fn places(code: Block, group: u64, secret: usize, out: &mut Places) {
    let mut lines = Lines([0; DRAWN]);
    let drawn = &mut lines.0;
    fixed().counter(code, group.wrapping_mul(DRAWN as u64), drawn);
    #[cfg(target_arch = "x86_64")]
    if wide::available() {
        // SAFETY: the processor has what the function was compiled for.
        return unsafe { wide::scaled(drawn, secret as u32, &mut out.0) };
    }
    scaled(drawn, secret as u32, &mut out.0);
}

/// Every 32 bits drawn, scaled to 0 .. below - 1.
fn scaled(drawn: &[Block; DRAWN], below: u32, out: &mut [u32; GROUP * WEIGHT]) {
    for (four, block) in out.chunks_exact_mut(4).zip(drawn) {
        for (i, place) in four.iter_mut().enumerate() {
            *place = (((block >> (32 * i)) as u32 as u64 * u64::from(below)) >> 32) as u32;
        }
    }
}

/// Add to every row of a group the entries at its places.
fn gathered(at: &[u32; GROUP * WEIGHT], secret: &[Block], rows: &mut [Block; GROUP]) {
    #[cfg(target_arch = "x86_64")]
    if wide::available() {
        // SAFETY: the processor has what the function was compiled for, and all places are below secret.len().
        return unsafe { wide::gathered(at, secret, rows) };
    }
    for (row, at) in rows.iter_mut().zip(at.chunks_exact(WEIGHT)) {
        *row ^= at.iter().fold(0, |sum, place| sum ^ secret[*place as usize]);
    }
}

/// Rows in whole groups.
fn groups(rows: &mut [Block]) -> impl Iterator<Item = &mut [Block; GROUP]> {
    rows.as_chunks_mut().0.iter_mut()
}

/// Add the code's outputs from number `first` on to `rows`; first and the number of rows are multiples of `GROUP`.
pub fn add(code: Block, first: u64, secret: &[Block], rows: &mut [Block]) {
    let mut at = Lines([0; GROUP * WEIGHT]);
    for (group, rows) in groups(rows).enumerate() {
        places(code, first / GROUP as u64 + group as u64, secret.len(), &mut at);
        gathered(&at.0, secret, rows);
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{Block, DRAWN, GROUP, WEIGHT};
    use std::arch::x86_64::*;

    pub fn available() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl")
    }

    /// # Safety
    /// The processor must have AVX-512F.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn scaled(drawn: &[Block; DRAWN], below: u32, out: &mut [u32; GROUP * WEIGHT]) {
        let factor = _mm512_set1_epi64(i64::from(below));
        for (words, four) in out.chunks_exact_mut(16).zip(drawn.chunks_exact(4)) {
            // SAFETY: four blocks, and sixteen places, are 64 bytes; no alignment is asked for.
            let x = unsafe { _mm512_loadu_si512(four.as_ptr().cast()) };
            let even = _mm512_srli_epi64::<32>(_mm512_mul_epu32(x, factor));
            let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(x), factor);
            // SAFETY: as above.
            unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), _mm512_mask_blend_epi32(0xaaaa, even, odd)) };
        }
    }

    /// # Safety
    /// The processor must have AVX-512F and AVX-512VL, and all places must be below secret.len().
    #[target_feature(enable = "avx512f,avx512vl")]
    pub unsafe fn gathered(at: &[u32; GROUP * WEIGHT], secret: &[Block], rows: &mut [Block; GROUP]) {
        // SAFETY: the caller promises that the place is within the secret.
        let entry = |place: u32| unsafe { _mm_loadu_si128(secret.as_ptr().add(place as usize).cast()) };
        for (row, at) in rows.iter_mut().zip(at.as_chunks::<WEIGHT>().0) {
            let place = std::ptr::from_mut(row).cast();
            // SAFETY: an unaligned load of one block.
            let own = unsafe { _mm_loadu_si128(place) };
            let three = |x, y, z| _mm_ternarylogic_epi64::<0x96>(x, y, z);
            let one = three(entry(at[0]), entry(at[1]), entry(at[2]));
            let two = three(entry(at[3]), entry(at[4]), entry(at[5]));
            let last = three(entry(at[6]), entry(at[7]), entry(at[8]));
            let sum = three(three(one, two, last), entry(at[9]), own);
            // SAFETY: an unaligned store of one block.
            unsafe { _mm_storeu_si128(place, sum) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_sums_ten_entries_at_places_below_the_length() {
        let mut at = Lines([0; GROUP * WEIGHT]);
        for length in [11, 17_384, 124_000] {
            let secret: Vec<Block> =
                (0..length as Block).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).collect();
            let mut rows = vec![3; 3 * GROUP];
            add(5, 2 * GROUP as u64, &secret, &mut rows);
            for (group, rows) in rows.chunks(GROUP).enumerate() {
                places(5, 2 + group as u64, length, &mut at);
                for (row, at) in rows.iter().zip(at.0.chunks(WEIGHT)) {
                    assert_eq!(*row, at.iter().fold(3, |sum, place| sum ^ secret[*place as usize]));
                }
            }
        }
    }

    #[test]
    fn both_ways_scale_alike() {
        let drawn: [Block; DRAWN] = std::array::from_fn(|i| (i as Block).wrapping_mul(u128::MAX / 77));
        let (mut one, mut two) = ([0; GROUP * WEIGHT], [0; GROUP * WEIGHT]);
        scaled(&drawn, 124_000, &mut one);
        #[cfg(target_arch = "x86_64")]
        if wide::available() {
            // SAFETY: the processor has it.
            unsafe { wide::scaled(&drawn, 124_000, &mut two) };
            assert_eq!(one, two);
        }
        two.copy_from_slice(&one);
        assert!(two.iter().all(|place| *place < 124_000));
    }
}
