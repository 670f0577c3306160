//! Eight numbers at a time modulo a prime of 51 bits, with AVX-512 IFMA.
//!
//! Entries that are lifted to be multiplied lie below 2^52, not below the prime; weighed ones are 2^-52 times the product.
//! What comes out of a kernel is below the prime and equal to what the portable code gives.
use std::arch::x86_64::*;

use super::field::{Field, BITS};
use super::fold::Known;

type V = __m512i;
type Row = [u64; LANES];

/// Entries to a vector.
pub const LANES: usize = 8;
/// Pieces of a tile in `products`.
const TILE: usize = 4;
const DIAGONALS: usize = 2 * TILE - 1;
const LIMB: u64 = (1 << 52) - 1;

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
    /// 2^52 less the prime.
    below: V,
    factor: V,
    quick: V,
    inverse: V,
    /// 2^52 modulo the prime.
    turn: V,
    /// 2^64 modulo the prime.
    carried: V,
    limb: V,
}

wide! {
    fn splat(word: u64) -> V {
        _mm512_set1_epi64(word as i64)
    }

    fn load(words: &Row) -> V {
        // SAFETY: the load is of the array's 64 bytes, and needs no alignment.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    fn store(words: &mut Row, v: V) {
        // SAFETY: the store is to the array's 64 bytes, and needs no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), v) };
    }

    fn constants(field: Field) -> Constants {
        Constants {
            prime: splat(field.prime),
            below: splat((1 << 52) - field.prime),
            factor: splat(field.factor),
            quick: splat(field.quick),
            inverse: splat(field.inverse),
            turn: splat(field.limb()),
            carried: splat(field.narrow(1 << 64)),
            limb: splat(LIMB),
        }
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
        let low = _mm512_and_si512(low, c.limb);
        let above = _mm512_or_si512(_mm512_slli_epi64::<2>(high), _mm512_srli_epi64::<{ BITS - 1 }>(low));
        rest(c, _mm512_add_epi64(low, _mm512_slli_epi64::<52>(high)), above)
    }

    /// low + 2^52 high for sums of up to 2^10 products.
    fn reduce(c: Constants, low: V, high: V) -> V {
        let high = word(c, high);
        let low = _mm512_madd52lo_epu64(low, high, c.turn);
        narrow(c, low, _mm512_madd52hi_epu64(_mm512_setzero_si512(), high, c.turn))
    }

    /// A word modulo the prime, below 2^52: of the word's 34 upper bits times 2^82 / prime the quotient is at most
    /// 1 + 2^-17 too small.
    fn lifted(c: Constants, x: V) -> V {
        let quotient = _mm512_madd52hi_epu64(_mm512_setzero_si512(), _mm512_srli_epi64::<30>(x), c.quick);
        _mm512_and_si512(_mm512_madd52lo_epu64(x, quotient, c.below), c.limb)
    }

    /// x + y modulo the prime, below 2^52: what `lifted` gives lies below the prime once that is taken away or not.
    fn lifted_sum(c: Constants, x: V, y: V) -> V {
        let sum = _mm512_add_epi64(x, y);
        let carry = _mm512_cmplt_epu64_mask(sum, x);
        let sum = lifted(c, sum);
        let sum = _mm512_min_epu64(sum, _mm512_sub_epi64(sum, c.prime));
        _mm512_mask_add_epi64(sum, carry, sum, c.carried)
    }

    /// x weight / 2^52 modulo the prime, above 0 and below 2^52, for x below 2^52.  Source: Montgomery (1985).
    fn weighed(c: Constants, x: V, weight: V) -> V {
        let zero = _mm512_setzero_si512();
        let low = _mm512_madd52lo_epu64(zero, x, weight);
        let high = _mm512_madd52hi_epu64(c.prime, x, weight);
        let times = _mm512_madd52lo_epu64(zero, low, c.inverse);
        _mm512_sub_epi64(high, _mm512_madd52hi_epu64(zero, times, c.prime))
    }

    fn lift_rows(field: Field, words: &[Row], other: Option<&[Row]>, weights: Option<&[Row]>, out: &mut [Row]) {
        let c = constants(field);
        for (i, (to, words)) in out.iter_mut().zip(words).enumerate() {
            let words = load(words);
            let x = other.map_or_else(|| lifted(c, words), |other| lifted_sum(c, words, load(&other[i])));
            store(to, weights.map_or(x, |weights| weighed(c, x, load(&weights[i]))));
        }
    }

    /// Where a bit of the words is set, the weight or the value.
    fn pick_rows(words: &[Row], bit: u64, weights: Option<&[Row]>, value: u64, out: &mut [Row]) {
        let (bit, value) = (splat(bit), splat(value));
        for (i, (to, words)) in out.iter_mut().zip(words).enumerate() {
            let set = _mm512_test_epi64_mask(load(words), bit);
            store(to, _mm512_maskz_mov_epi64(set, weights.map_or(value, |weights| load(&weights[i]))));
        }
    }

    /// For every word the sum of the tables' entries that its four-bit digits name, modulo the prime.
    fn picked_vectors(field: Field, words: &[Row], tables: &[[u64; 16]; 12], out: &mut [Row]) {
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
    fn tile(left: &[Row], right: &[Row], factor: usize, at: (usize, usize)) -> [(V, V); DIAGONALS] {
        let mut sums = [(_mm512_setzero_si512(), _mm512_setzero_si512()); DIAGONALS];
        for (left, right) in left.chunks_exact(factor).zip(right.chunks_exact(factor)) {
            let left: &[Row; TILE] = left[at.0..at.0 + TILE].try_into().expect("a tile");
            let right: &[Row; TILE] = right[at.1..at.1 + TILE].try_into().expect("a tile");
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

    fn products_of_vectors(left: &[Row], right: &[Row], factor: usize, sums: &mut [u128]) {
        for a in (0..factor).step_by(TILE) {
            for b in (0..factor).step_by(TILE) {
                for (d, (low, high)) in tile(left, right, factor, (a, b)).into_iter().enumerate() {
                    sums[factor - TILE + a + d - b] += across(low) + (across(high) << 52);
                }
            }
        }
    }

    /// The sum of all lanes.
    fn across(v: V) -> u128 {
        let mut lanes = [0; LANES];
        store(&mut lanes, v);
        lanes.into_iter().map(u128::from).sum()
    }

    fn fold_vectors(field: Field, entries: &[Row], powers: &[u64], out: &mut [Row]) {
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

    /// The sum of what a verifier knows times weights: three limbs of 52 bits.
    fn sum_of(words: &[Row], less: Option<&[Row]>, product: Option<[&[Row]; 2]>, weights: &[Row]) -> [u128; 3] {
        let mut sums = [_mm512_setzero_si512(); 3];
        for (i, (words, weight)) in words.iter().zip(weights).enumerate() {
            let (mut word, weight) = (load(words), load(weight));
            if let Some(less) = less {
                word = _mm512_sub_epi64(word, load(&less[i]));
            }
            if let Some([x, y]) = product {
                word = _mm512_add_epi64(word, _mm512_mullo_epi64(load(&x[i]), load(&y[i])));
            }
            let above = _mm512_srli_epi64::<52>(word);
            sums[0] = _mm512_madd52lo_epu64(sums[0], word, weight);
            sums[1] = _mm512_madd52hi_epu64(sums[1], word, weight);
            sums[1] = _mm512_madd52lo_epu64(sums[1], above, weight);
            sums[2] = _mm512_madd52hi_epu64(sums[2], above, weight);
        }
        sums.map(|sum| across(sum))
    }
}

fn rows(words: &[u64]) -> &[Row] {
    words.as_chunks().0
}

/// The entries behind the last whole vector, and zeros.
fn tail(words: &[u64]) -> Row {
    let rest = words.as_chunks::<LANES>().1;
    std::array::from_fn(|i| rest.get(i).copied().unwrap_or(0))
}

/// Words, or sums of two, modulo the prime, below 2^52, or such a number times its weight / 2^52; false where the processor
/// cannot.
pub fn lift(field: Field, words: &[u64], other: Option<&[u64]>, weights: Option<&[u64]>, out: &mut [u64]) -> bool {
    if !available() {
        return false;
    }
    let (whole, rest) = out.as_chunks_mut::<LANES>();
    let mut last = [[0; LANES]];
    let tails = [other, weights].map(|words| words.map(|words| [tail(words)]));
    let [last_other, last_weights] = tails.each_ref().map(|row| row.as_ref().map(|row| &row[..]));
    // SAFETY: the processor has the features that the function is compiled for.
    unsafe {
        lift_rows(field, rows(words), other.map(rows), weights.map(rows), whole);
        lift_rows(field, &[tail(words)], last_other, last_weights, &mut last);
    }
    rest.copy_from_slice(&last[0][..rest.len()]);
    true
}

/// Where a bit of the words is set, the weight, or the value where there are none; false where the processor cannot.
pub fn pick(words: &[u64], at: u32, weights: Option<&[u64]>, value: u64, out: &mut [u64]) -> bool {
    if !available() {
        return false;
    }
    let (whole, rest) = out.as_chunks_mut::<LANES>();
    let mut last = [[0; LANES]];
    // SAFETY: the processor has the features that the function is compiled for.
    unsafe {
        pick_rows(rows(words), 1 << at, weights.map(rows), value, whole);
        let weights = weights.map(|weights| [tail(weights)]);
        pick_rows(&[tail(words)], 1 << at, weights.as_ref().map(|row| &row[..]), value, &mut last);
    }
    rest.copy_from_slice(&last[0][..rest.len()]);
    true
}

/// As `fold::weigh` for the first words, in whole vectors.  Returns how many, none on a processor without the instructions.
pub fn weigh(field: Field, words: &[u64], tables: &[[u64; 16]; 12], out: &mut [u64]) -> usize {
    if !available() {
        return 0;
    }
    let (out, _) = out.as_chunks_mut::<LANES>();
    // SAFETY: the processor has the features that the function is compiled for.
    unsafe { picked_vectors(field, rows(words), tables, out) };
    LANES * rows(words).len().min(out.len())
}

/// As `fold::products` for blocks of whole vectors, at most 2^10 blocks, added to the sums; false where it does nothing.
pub fn products(left: &[u64], right: &[u64], factor: usize, lanes: usize, sums: &mut [u128]) -> bool {
    if lanes != LANES || !factor.is_multiple_of(TILE) || !available() {
        return false;
    }
    // SAFETY: the processor has the features that the function is compiled for.
    unsafe { products_of_vectors(rows(left), rows(right), factor, sums) };
    true
}

/// As `fold::fold` for blocks of whole vectors; false where it does nothing.
pub fn fold(field: Field, entries: &[u64], powers: &[u64], lanes: usize, out: &mut [u64]) -> bool {
    if lanes != LANES || !available() {
        return false;
    }
    // SAFETY: the processor has the features that the function is compiled for.
    unsafe { fold_vectors(field, rows(entries), powers, out.as_chunks_mut().0) };
    true
}

/// The sum of what is known of at most 2^12 outputs times weights below 2^52.  None where the processor cannot.
pub fn weighed_sum(field: Field, known: Known, weights: &[u64]) -> Option<u64> {
    if !available() {
        return None;
    }
    let less = known.less.map(|less| [tail(less)]);
    let product = known.product.map(|(x, y)| [[tail(x)], [tail(y)]]);
    // SAFETY: the processor has the features that the function is compiled for.
    let (whole, rest) = unsafe {
        let factors = known.product.map(|(x, y)| [rows(x), rows(y)]);
        let whole = sum_of(rows(known.words), known.less.map(rows), factors, rows(weights));
        let factors = product.as_ref().map(|pair| pair.each_ref().map(|row| &row[..]));
        let less = less.as_ref().map(|row| &row[..]);
        (whole, sum_of(&[tail(known.words)], less, factors, &[tail(weights)]))
    };
    let [low, middle, high] = [0, 1, 2].map(|i| whole[i] + rest[i]);
    let above = field.multiply(field.multiply(field.reduce(high), field.limb()), field.limb());
    Some(field.narrow(u128::from(field.reduce(low + (middle << 52))) + u128::from(above)))
}
