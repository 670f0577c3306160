//! Eight numbers at a time modulo a prime of 51 bits, with AVX-512 IFMA.  Equal to the portable code, number for number.
use std::arch::x86_64::*;

use super::field::{Field, BITS};

type V = __m512i;

/// Entries to a vector.
pub const LANES: usize = 8;
/// Pieces of a tile in `products`.
const TILE: usize = 4;
const DIAGONALS: usize = 2 * TILE - 1;

pub fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512ifma")
}

macro_rules! wide {
    ($($item:item)*) => { $(#[target_feature(enable = "avx512f,avx512dq,avx512ifma")] #[inline] $item)* };
}

#[derive(Clone, Copy)]
struct Constants {
    prime: V,
    factor: V,
    /// 2^52 modulo the prime.
    turn: V,
}

wide! {
    fn splat(word: u64) -> V {
        _mm512_set1_epi64(word as i64)
    }

    fn load(words: &[u64; LANES]) -> V {
        // SAFETY: the load is of the array's 64 bytes, and needs no alignment.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    fn store(words: &mut [u64; LANES], v: V) {
        // SAFETY: the store is to the array's 64 bytes, and needs no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), v) };
    }

    fn constants(field: Field) -> Constants {
        let turn = ((1u128 << 52) % u128::from(field.prime)) as u64;
        Constants { prime: splat(field.prime), factor: splat(field.factor), turn: splat(turn) }
    }

    /// `value - quotient * prime`, less the prime as long as it is not below it, for values given by their low words
    /// and by what stands above bit 50, below 2^52.
    fn rest(c: Constants, low: V, high: V) -> V {
        let quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), high, c.factor);
        let rest = _mm512_sub_epi64(low, _mm512_mullo_epi64(quotient, c.prime));
        let rest = _mm512_min_epu64(rest, _mm512_sub_epi64(rest, c.prime));
        _mm512_min_epu64(rest, _mm512_sub_epi64(rest, c.prime))
    }

    fn word(c: Constants, x: V) -> V {
        rest(c, x, _mm512_srli_epi64::<{ BITS - 1 }>(x))
    }

    /// low + 2^52 high, below 2^102, low below 2^63.
    fn narrow(c: Constants, low: V, high: V) -> V {
        let high = _mm512_add_epi64(high, _mm512_srli_epi64::<52>(low));
        let low = _mm512_and_si512(low, splat((1 << 52) - 1));
        let above = _mm512_or_si512(_mm512_slli_epi64::<2>(high), _mm512_srli_epi64::<{ BITS - 1 }>(low));
        rest(c, _mm512_add_epi64(low, _mm512_slli_epi64::<52>(high)), above)
    }

    fn multiply(c: Constants, x: V, y: V) -> V {
        let zero = _mm512_setzero_si512();
        narrow(c, _mm512_madd52lo_epu64(zero, x, y), _mm512_madd52hi_epu64(zero, x, y))
    }

    /// low + 2^52 high for sums of up to 2^10 products.
    fn reduce(c: Constants, low: V, high: V) -> V {
        let high = word(c, high);
        let low = _mm512_madd52lo_epu64(low, high, c.turn);
        narrow(c, low, _mm512_madd52hi_epu64(_mm512_setzero_si512(), high, c.turn))
    }

    /// Words modulo the prime.  words and out: whole vectors.
    fn lift_vectors(field: Field, words: &[[u64; LANES]], out: &mut [[u64; LANES]]) {
        let c = constants(field);
        for (to, words) in out.iter_mut().zip(words) {
            store(to, word(c, load(words)));
        }
    }

    fn lift_weighed_vectors(
        field: Field,
        words: &[[u64; LANES]],
        weights: &[[u64; LANES]],
        out: &mut [[u64; LANES]],
    ) {
        let c = constants(field);
        for ((to, words), weights) in out.iter_mut().zip(words).zip(weights) {
            store(to, multiply(c, word(c, load(words)), load(weights)));
        }
    }

    /// For every word the sum of the tables' entries that its four-bit digits name, modulo the prime.
    fn picked_vectors(field: Field, words: &[[u64; LANES]], tables: &[[u64; 16]; 12], out: &mut [[u64; LANES]]) {
        let c = constants(field);
        let tables = tables.each_ref().map(|table| {
            let (halves, _) = table.as_chunks::<LANES>();
            (load(&halves[0]), load(&halves[1]))
        });
        for (to, words) in out.iter_mut().zip(words) {
            let (mut digits, mut sum) = (load(words), _mm512_setzero_si512());
            for (lower, upper) in tables {
                sum = _mm512_add_epi64(sum, _mm512_permutex2var_epi64(lower, digits, upper));
                digits = _mm512_srli_epi64::<4>(digits);
            }
            store(to, word(c, sum));
        }
    }

    /// Sums of the tile's products by diagonals, over all blocks of `factor` vectors: low and high halves.
    fn tile(
        left: &[[u64; LANES]],
        right: &[[u64; LANES]],
        factor: usize,
        at: (usize, usize),
    ) -> [(V, V); DIAGONALS] {
        let mut sums = [(_mm512_setzero_si512(), _mm512_setzero_si512()); DIAGONALS];
        for (left, right) in left.chunks_exact(factor).zip(right.chunks_exact(factor)) {
            let left: &[[u64; LANES]; TILE] = left[at.0..at.0 + TILE].try_into().expect("a tile");
            let right: &[[u64; LANES]; TILE] = right[at.1..at.1 + TILE].try_into().expect("a tile");
            let (u, v) = (left.each_ref().map(|row| load(row)), right.each_ref().map(|row| load(row)));
            for (a, u) in u.into_iter().enumerate() {
                for (b, v) in v.into_iter().enumerate() {
                    let (low, high) = &mut sums[TILE - 1 + a - b];
                    *low = _mm512_madd52lo_epu64(*low, u, v);
                    *high = _mm512_madd52hi_epu64(*high, u, v);
                }
            }
        }
        sums
    }

    fn products_of_vectors(left: &[[u64; LANES]], right: &[[u64; LANES]], factor: usize, sums: &mut [u128]) {
        for a in (0..factor).step_by(TILE) {
            for b in (0..factor).step_by(TILE) {
                for (d, (low, high)) in tile(left, right, factor, (a, b)).into_iter().enumerate() {
                    let (mut lows, mut highs) = ([0; LANES], [0; LANES]);
                    store(&mut lows, low);
                    store(&mut highs, high);
                    let halves = lows.into_iter().zip(highs);
                    let sum: u128 = halves.map(|(low, high)| u128::from(low) + (u128::from(high) << 52)).sum();
                    sums[factor - TILE + a + d - b] += sum;
                }
            }
        }
    }

    fn fold_vectors(field: Field, entries: &[[u64; LANES]], powers: &[u64], out: &mut [[u64; LANES]]) {
        let c = constants(field);
        for (to, block) in out.iter_mut().zip(entries.chunks_exact(powers.len())) {
            let (mut low, mut high) = (_mm512_setzero_si512(), _mm512_setzero_si512());
            for (piece, power) in block.iter().zip(powers) {
                let (piece, power) = (load(piece), splat(*power));
                low = _mm512_madd52lo_epu64(low, piece, power);
                high = _mm512_madd52hi_epu64(high, piece, power);
            }
            store(to, reduce(c, low, high));
        }
    }
}

/// Words modulo the prime, times the weights below it where there are some; the first of them, in whole vectors.
/// Returns how many, none on a processor without the instructions.
pub fn lift(field: Field, words: &[u64], weights: Option<&[u64]>, out: &mut [u64]) -> usize {
    if !available() {
        return 0;
    }
    let (words, _) = words.as_chunks::<LANES>();
    let (out, _) = out.as_chunks_mut::<LANES>();
    match weights {
        // SAFETY: the processor has the features that the function is compiled for.
        None => unsafe { lift_vectors(field, words, out) },
        // SAFETY: as above.
        Some(weights) => unsafe { lift_weighed_vectors(field, words, weights.as_chunks::<LANES>().0, out) },
    }
    LANES * words.len().min(out.len())
}

/// As `fold::weigh` for the first words, in whole vectors.  Returns how many, none on a processor without the instructions.
pub fn weigh(field: Field, words: &[u64], tables: &[[u64; 16]; 12], out: &mut [u64]) -> usize {
    if !available() {
        return 0;
    }
    let (words, _) = words.as_chunks::<LANES>();
    let (out, _) = out.as_chunks_mut::<LANES>();
    // SAFETY: the processor has the features that the function is compiled for.
    unsafe { picked_vectors(field, words, tables, out) };
    LANES * words.len().min(out.len())
}

/// As `fold::products` for blocks of whole vectors, at most 2^10 blocks, added to the sums; false where it does nothing.
pub fn products(left: &[u64], right: &[u64], factor: usize, lanes: usize, sums: &mut [u128]) -> bool {
    if lanes != LANES || !factor.is_multiple_of(TILE) || !available() {
        return false;
    }
    // SAFETY: the processor has the features that the function is compiled for.
    unsafe { products_of_vectors(left.as_chunks::<LANES>().0, right.as_chunks::<LANES>().0, factor, sums) };
    true
}

/// As `fold::fold` for blocks of whole vectors; false where it does nothing.
pub fn fold(field: Field, entries: &[u64], powers: &[u64], lanes: usize, out: &mut [u64]) -> bool {
    if lanes != LANES || !available() {
        return false;
    }
    // SAFETY: the processor has the features that the function is compiled for.
    unsafe { fold_vectors(field, entries.as_chunks::<LANES>().0, powers, out.as_chunks_mut::<LANES>().0) };
    true
}
