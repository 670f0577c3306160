//! Eight elements of GF(2^255 - 19) at a time, in 52-bit lanes of AVX-512 IFMA: limbs of 52, 52, 52, 52 and 47 bits.
//!
//! The multiplier reads the low 52 bits of a lane and gives halves that weigh 2^0 and 2^52, so both halves of a product
//! add into one column a limb, and what a limb has above its 52 bits needs no mask before the next product.  Ten columns
//! fold to five by 2^260 = 608, five columns are carried to limbs by 2^255 = 19.  Nothing branches on or indexes by values.
use std::arch::x86_64::*;

pub type V = __m512i;
pub type Lanes = __mmask8;

/// Eight reduced elements, limb by limb: the value is that of the low 52 bits of the first four limbs, and of the last,
/// which is below 2^47 + 2^14.  What stands above the 52 bits has been carried and means nothing.
#[derive(Clone, Copy)]
pub struct F([V; 5]);

/// Five columns of 2^0, 2^52 .. 2^208, each below 2^62: a sum of products before its carries.
#[derive(Clone, Copy)]
pub struct Sum([V; 5]);

/// A constant by its limbs.
pub type Limbs = [u64; 5];

const LIMB: u64 = (1 << 52) - 1;
const TOP: u64 = (1 << 47) - 1;
/// 2^10 times the prime, in columns that are even and above those of every product.
const BIAS: Limbs = [(LIMB - 607) << 5, LIMB << 5, LIMB << 5, LIMB << 5, LIMB << 5];
const ONE: Limbs = [1, 0, 0, 0, 0];

macro_rules! wide {
    ($($item:item)*) => { $(#[target_feature(enable = "avx512f,avx512ifma")] #[inline] $item)* };
}

wide! {
    fn splat(word: u64) -> V {
        _mm512_set1_epi64(word as i64)
    }

    pub fn constant(limbs: &Limbs) -> F {
        F(limbs.map(|limb| splat(limb)))
    }

    pub fn zero() -> F {
        constant(&[0; 5])
    }

    pub fn one() -> F {
        constant(&ONE)
    }

    /// Element i from the i-th 32 bytes, the top bit of each left out; the value may be the prime or more.
    pub fn load(bytes: &[[u8; 32]; 8]) -> F {
        let mut turned = [[0u64; 8]; 5];
        for (lane, element) in bytes.iter().enumerate() {
            for (limb, row) in limbs(element).into_iter().zip(&mut turned) {
                row[lane] = limb;
            }
        }
        // SAFETY: every row has 64 bytes.
        F(turned.map(|row| unsafe { _mm512_loadu_si512(row.as_ptr().cast()) }))
    }

    /// The canonical little-endian bytes of every element.
    pub fn store(x: F) -> [[u8; 32]; 8] {
        let turned = rows(x);
        let mut out = [[0u8; 32]; 8];
        for (lane, bytes) in out.iter_mut().enumerate() {
            let [a, b, c, d, e] = turned.map(|row| row[lane]);
            let words = [a | b << 52, b >> 12 | c << 40, c >> 24 | d << 28, d >> 36 | e << 16];
            for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
        out
    }

    /// The limbs of every element's canonical value, a row a limb.
    pub fn rows(x: F) -> [[u64; 8]; 5] {
        let mut rows = [[0u64; 8]; 5];
        for (limb, row) in canonical(x).into_iter().zip(&mut rows) {
            // SAFETY: every row has 64 bytes.
            unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), limb) };
        }
        rows
    }

    /// The elements of reduced limbs.
    pub fn raw(limbs: [V; 5]) -> F {
        F(limbs)
    }

    /// The columns of an element's value.
    pub fn widen(x: F) -> Sum {
        let mask = splat(LIMB);
        let [a, b, c, d, e] = x.0;
        let clean = |limb| _mm512_and_si512(limb, mask);
        Sum([clean(a), clean(b), clean(c), clean(d), e])
    }

    /// The same value with columns above those of every product, for a difference.
    pub fn lifted(x: Sum) -> Sum {
        plus(x, Sum(BIAS.map(|column| splat(column))))
    }

    pub fn plus(x: Sum, y: Sum) -> Sum {
        let mut sum = x.0;
        sum.iter_mut().zip(y.0).for_each(|(a, b)| *a = _mm512_add_epi64(*a, b));
        Sum(sum)
    }

    /// x - y for an x that is lifted more often than y.
    pub fn minus(x: Sum, y: Sum) -> Sum {
        let mut difference = x.0;
        difference.iter_mut().zip(y.0).for_each(|(a, b)| *a = _mm512_sub_epi64(*a, b));
        Sum(difference)
    }

    /// The element of five columns below 2^62.
    pub fn carry(x: Sum) -> F {
        let [mut a, mut b, mut c, mut d, mut e] = x.0;
        a = _mm512_madd52lo_epu64(a, _mm512_srli_epi64::<47>(e), splat(19));
        e = _mm512_and_si512(e, splat(TOP));
        b = _mm512_add_epi64(b, _mm512_srli_epi64::<52>(a));
        c = _mm512_add_epi64(c, _mm512_srli_epi64::<52>(b));
        d = _mm512_add_epi64(d, _mm512_srli_epi64::<52>(c));
        e = _mm512_add_epi64(e, _mm512_srli_epi64::<52>(d));
        F([a, b, c, d, e])
    }

    /// Ten columns of a product folded to five: each of the upper ones is carried into the next, and 2^260 is 608.
    fn fold(mut columns: [V; 10]) -> Sum {
        let factor = splat(608);
        for i in 5..9 {
            columns[i + 1] = _mm512_add_epi64(columns[i + 1], _mm512_srli_epi64::<52>(columns[i]));
        }
        let mut r = [columns[0], columns[1], columns[2], columns[3], columns[4]];
        for i in 0..5 {
            r[i] = _mm512_madd52lo_epu64(r[i], columns[i + 5], factor);
        }
        // The last column is below 2^42 + 2^18: 608 times it has no upper half.
        for i in 0..4 {
            r[i + 1] = _mm512_madd52hi_epu64(r[i + 1], columns[i + 5], factor);
        }
        Sum(r)
    }

    fn add_product(mut columns: [V; 10], x: F, y: F) -> Sum {
        for i in 0..5 {
            for j in 0..5 {
                columns[i + j] = _mm512_madd52lo_epu64(columns[i + j], x.0[i], y.0[j]);
            }
            for j in 0..5 {
                columns[i + j + 1] = _mm512_madd52hi_epu64(columns[i + j + 1], x.0[i], y.0[j]);
            }
        }
        fold(columns)
    }

    pub fn product(x: F, y: F) -> Sum {
        add_product([_mm512_setzero_si512(); 10], x, y)
    }

    /// A product that is lifted, at no cost.
    pub fn lifted_product(x: F, y: F) -> Sum {
        let mut columns = [_mm512_setzero_si512(); 10];
        columns.iter_mut().zip(BIAS).for_each(|(column, bias)| *column = splat(bias));
        add_product(columns, x, y)
    }

    /// A square added to `halves`, of which all but the first column count twice.
    fn add_square(halves: [V; 10], x: F) -> Sum {
        let mut columns = halves;
        for i in 0..3 {
            for j in i + 1..4 {
                columns[i + j] = _mm512_madd52lo_epu64(columns[i + j], x.0[i], x.0[j]);
            }
            for j in i + 1..4 {
                columns[i + j + 1] = _mm512_madd52hi_epu64(columns[i + j + 1], x.0[i], x.0[j]);
            }
        }
        for column in &mut columns[1..7] {
            *column = _mm512_add_epi64(*column, *column);
        }
        // The last limb is short enough to be doubled itself.
        let last = _mm512_add_epi64(x.0[4], x.0[4]);
        for i in 0..4 {
            columns[i + 4] = _mm512_madd52lo_epu64(columns[i + 4], x.0[i], last);
            columns[2 * i] = _mm512_madd52lo_epu64(columns[2 * i], x.0[i], x.0[i]);
            columns[i + 5] = _mm512_madd52hi_epu64(columns[i + 5], x.0[i], last);
            columns[2 * i + 1] = _mm512_madd52hi_epu64(columns[2 * i + 1], x.0[i], x.0[i]);
        }
        columns[8] = _mm512_madd52lo_epu64(columns[8], x.0[4], x.0[4]);
        columns[9] = _mm512_madd52hi_epu64(columns[9], x.0[4], x.0[4]);
        fold(columns)
    }

    pub fn square_sum(x: F) -> Sum {
        add_square([_mm512_setzero_si512(); 10], x)
    }

    /// A square that is lifted, at no cost.
    pub fn lifted_square(x: F) -> Sum {
        let mut columns = [_mm512_setzero_si512(); 10];
        columns.iter_mut().zip(BIAS).for_each(|(column, bias)| *column = splat(bias / 2));
        columns[0] = splat(BIAS[0]);
        add_square(columns, x)
    }

    pub fn mul(x: F, y: F) -> F {
        carry(product(x, y))
    }

    pub fn square(x: F) -> F {
        carry(square_sum(x))
    }

    pub fn add(x: F, y: F) -> F {
        carry(plus(widen(x), widen(y)))
    }

    pub fn sub(x: F, y: F) -> F {
        carry(minus(lifted(widen(x)), widen(y)))
    }

    pub fn neg(x: F) -> F {
        sub(zero(), x)
    }

    pub fn twice(x: F) -> F {
        add(x, x)
    }

    /// Products of pairs, one after the other in the program, so that the processor works on all at once.
    fn each<const N: usize>(x: &[F; N], y: &[F; N]) -> [F; N] {
        std::array::from_fn(|i| mul(x[i], y[i]))
    }

    fn squares<const N: usize>(x: &[F; N], times: usize) -> [F; N] {
        let mut x = *x;
        for _ in 0..times {
            for one in &mut x {
                *one = square(*one);
            }
        }
        x
    }

    /// x^(2^250 - 1) and x^11, the common front of the two powers below.
    fn front<const N: usize>(x: &[F; N]) -> ([F; N], [F; N]) {
        let x2 = squares(x, 1);
        let x9 = each(x, &squares(&x2, 2));
        let x11 = each(&x2, &x9);
        let e5 = each(&x9, &squares(&x11, 1));
        let e10 = each(&squares(&e5, 5), &e5);
        let e20 = each(&squares(&e10, 10), &e10);
        let e40 = each(&squares(&e20, 20), &e20);
        let e50 = each(&squares(&e40, 10), &e10);
        let e100 = each(&squares(&e50, 50), &e50);
        let e200 = each(&squares(&e100, 100), &e100);
        (each(&squares(&e200, 50), &e50), x11)
    }

    /// 1 / x, and 0 for 0.
    pub fn invert(x: F) -> F {
        let (e250, x11) = front(&[x]);
        each(&squares(&e250, 5), &x11)[0]
    }

    /// x^((p - 5) / 8) of N times eight elements at once.
    pub fn power_58<const N: usize>(x: &[F; N]) -> [F; N] {
        each(&squares(&front(x).0, 2), x)
    }

    /// Limbs of the one representative below the prime.
    fn canonical(x: F) -> [V; 5] {
        let mut r = widen(x).0;
        // How often the prime fits: once at most, and then x + 19 reaches 2^255.
        let mut over = _mm512_srli_epi64::<52>(_mm512_add_epi64(r[0], splat(19)));
        for limb in &r[1..4] {
            over = _mm512_srli_epi64::<52>(_mm512_add_epi64(*limb, over));
        }
        over = _mm512_srli_epi64::<47>(_mm512_add_epi64(r[4], over));
        r[0] = _mm512_madd52lo_epu64(r[0], over, splat(19));
        for i in 0..4 {
            r[i + 1] = _mm512_add_epi64(r[i + 1], _mm512_srli_epi64::<52>(r[i]));
            r[i] = _mm512_and_si512(r[i], splat(LIMB));
        }
        r[4] = _mm512_and_si512(r[4], splat(TOP));
        r
    }

    pub fn equal(x: F, y: F) -> Lanes {
        is_zero(sub(x, y))
    }

    pub fn is_zero(x: F) -> Lanes {
        let r = canonical(x);
        let any = r[1..].iter().fold(r[0], |all, limb| _mm512_or_si512(all, *limb));
        _mm512_testn_epi64_mask(any, any)
    }

    /// Lanes whose canonical value is odd, which RFC 9496 calls negative.
    pub fn is_negative(x: F) -> Lanes {
        _mm512_test_epi64_mask(canonical(x)[0], splat(1))
    }

    /// The first lane's element in every lane.
    pub fn first(x: F) -> F {
        F(x.0.map(|limb| _mm512_broadcastq_epi64(_mm512_castsi512_si128(limb))))
    }

    /// y in the given lanes, x in the others.
    pub fn select(lanes: Lanes, x: F, y: F) -> F {
        let mut out = x.0;
        out.iter_mut().zip(y.0).for_each(|(a, b)| *a = _mm512_mask_blend_epi64(lanes, *a, b));
        F(out)
    }

    pub fn negate_in(lanes: Lanes, x: F) -> F {
        select(lanes, x, neg(x))
    }

    /// |x|: the one of x and -x that is even.
    pub fn magnitude(x: F) -> F {
        negate_in(is_negative(x), x)
    }
}

/// An element's limbs from its little-endian bytes, the top bit left out.
fn limbs(bytes: &[u8; 32]) -> Limbs {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    [word(0) & LIMB, (word(6) >> 4) & LIMB, word(13) & LIMB, (word(19) >> 4) & LIMB, (word(24) >> 16) & TOP]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    /// A number below 2^256 by digits of 16 bits.
    type Digits = [u64; 16];

    fn digits_of(x: &Limbs) -> Digits {
        let bit = |i: usize| x[(i / 52).min(4)] >> (i - 52 * (i / 52).min(4)) & 1;
        std::array::from_fn(|k| (0..16).map(|i| bit(16 * k + i) << i).sum())
    }

    /// The product modulo 2^255 - 19, digit by digit.
    fn product_of(x: &Digits, y: &Digits) -> [u8; 32] {
        let mut columns = [0u64; 16];
        for i in 0..16 {
            for j in 0..16 {
                columns[(i + j) % 16] += x[i] * y[j] * if i + j < 16 { 1 } else { 38 };
            }
        }
        for _ in 0..3 {
            let top = columns[15] >> 15;
            columns[15] &= 0x7fff;
            columns[0] += 19 * top;
            for i in 0..15 {
                columns[i + 1] += columns[i] >> 16;
                columns[i] &= 0xffff;
            }
        }
        let prime: Digits = std::array::from_fn(|i| [0xffed, 0xffff, 0x7fff][usize::from(i > 0) + usize::from(i > 14)]);
        if columns.iter().rev().ge(prime.iter().rev()) {
            columns = std::array::from_fn(|i| if i == 0 { columns[0] - prime[0] } else { 0 });
        }
        std::array::from_fn(|i| (columns[i / 2] >> (8 * (i % 2))) as u8)
    }

    /// Elements at the edges of what limbs hold, and random ones.
    fn elements() -> Vec<Limbs> {
        let top = TOP + (1 << 14);
        let mut out = vec![
            [0; 5],
            ONE,
            [LIMB - 18, LIMB, LIMB, LIMB, TOP],
            [LIMB - 19, LIMB, LIMB, LIMB, TOP],
            [LIMB, LIMB, LIMB, LIMB, TOP],
            [LIMB, LIMB, LIMB, LIMB, top],
            [0, 0, 0, 0, top],
            [LIMB, 0, LIMB, 0, top],
            [0, LIMB, 0, LIMB, 0],
            [0, 0, 0, 0, 1 << 46],
        ];
        let mut words = [0u64; 5 * 22];
        Prg::new(&[3; 16]).fill(&mut words);
        out.extend(words.chunks_exact(5).map(|w| [w[0] & LIMB, w[1] & LIMB, w[2] & LIMB, w[3] & LIMB, w[4] & TOP]));
        out
    }

    /// Eight elements; above the 52 bits of the first four limbs stands what is to be ignored.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn eight(elements: &[Limbs]) -> F {
        let rows: [[u64; 8]; 5] = std::array::from_fn(|limb| {
            std::array::from_fn(|lane| elements[lane][limb] | if limb < 4 { (lane as u64 * 37) << 52 } else { 0 })
        });
        // SAFETY: every row has 64 bytes.
        F(rows.map(|row| unsafe { _mm512_loadu_si512(row.as_ptr().cast()) }))
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn check() {
        let all = elements();
        for (xs, shift) in all.chunks_exact(8).flat_map(|xs| (0..all.len()).map(move |shift| (xs, shift))) {
            let ys: Vec<Limbs> = (0..8).map(|i| all[(i + shift) % all.len()]).collect();
            let (x, y) = (eight(xs), eight(&ys));
            let expected: [[u8; 32]; 8] = std::array::from_fn(|i| product_of(&digits_of(&xs[i]), &digits_of(&ys[i])));
            assert_eq!(store(mul(x, y)), expected);
            assert_eq!(store(square(y)), store(mul(y, y)));
            assert_eq!(store(add(sub(x, y), y)), store(x));
            assert_eq!(is_zero(carry(minus(lifted_product(x, y), product(x, y)))), u8::MAX);
            assert_eq!(is_zero(carry(minus(lifted_square(y), square_sum(y)))), u8::MAX);
            // The largest sum of the point formulas.
            let (yy, lifted) = (square_sum(y), minus(lifted_square(y), square_sum(x)));
            let largest = carry(plus(plus(yy, yy), lifted));
            assert_eq!(store(add(largest, square(x))), store(add(square(y), twice(square(y)))));
            assert_eq!(is_zero(x) | equal(mul(x, invert(x)), one()), u8::MAX);
            assert_eq!(store(load(&store(x))), store(x));
        }
    }

    #[test]
    fn sums_and_products_are_right_at_the_edges() {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma") {
            // SAFETY: just asked for.
            unsafe { check() };
        }
    }
}
