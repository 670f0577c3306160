//! Eight elements of GF(2^255 - 19) at a time, in 52-bit lanes of AVX-512 IFMA: five limbs of 51 bits.
//!
//! Every function takes and gives reduced elements: limbs below 2^51 + 2^17, so that they fit the multiplier's 52 bits.
//! Nothing branches on or indexes by values.  Source of the representation: Hamburg's radix-51 layout, as in RFC 9496
//! implementations; the multiplier's halves weigh 2^0 and 2^52 = 2 * 2^51, so high halves count twice one limb up.
use std::arch::x86_64::*;

pub type V = __m512i;
pub type Lanes = __mmask8;

/// Eight field elements, limb by limb.
#[derive(Clone, Copy)]
pub struct F(pub [V; 5]);

/// A constant by its limbs.
pub type Limbs = [u64; 5];

const MASK: u64 = (1 << 51) - 1;
/// Twice the prime, limb by limb, so that a difference stays positive.
const TWICE: Limbs = [2 * (MASK - 18), 2 * MASK, 2 * MASK, 2 * MASK, 2 * MASK];

/// A field element as limbs from its little-endian bytes, the top bit left out.
pub fn limbs(bytes: &[u8; 32]) -> Limbs {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
    [word(0) & MASK, (word(6) >> 3) & MASK, (word(12) >> 6) & MASK, (word(19) >> 1) & MASK, (word(24) >> 12) & MASK]
}

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
        let mut turned = [[0u64; 8]; 5];
        for (limb, row) in canonical(x).0.into_iter().zip(&mut turned) {
            // SAFETY: every row has 64 bytes.
            unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), limb) };
        }
        let mut out = [[0u8; 32]; 8];
        for (lane, bytes) in out.iter_mut().enumerate() {
            let [a, b, c, d, e] = turned.map(|row| row[lane]);
            let words = [a | b << 51, b >> 13 | c << 38, c >> 26 | d << 25, d >> 39 | e << 12];
            for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
        out
    }

    fn times19(x: V) -> V {
        _mm512_add_epi64(_mm512_add_epi64(_mm512_slli_epi64::<4>(x), x), _mm512_slli_epi64::<1>(x))
    }

    /// Limbs below 2^62 made reduced.
    fn carry(r: [V; 5]) -> F {
        let mask = splat(MASK);
        let c = r.map(|limb| _mm512_srli_epi64::<51>(limb));
        F([
            _mm512_add_epi64(_mm512_and_si512(r[0], mask), times19(c[4])),
            _mm512_add_epi64(_mm512_and_si512(r[1], mask), c[0]),
            _mm512_add_epi64(_mm512_and_si512(r[2], mask), c[1]),
            _mm512_add_epi64(_mm512_and_si512(r[3], mask), c[2]),
            _mm512_add_epi64(_mm512_and_si512(r[4], mask), c[3]),
        ])
    }

    pub fn add(x: F, y: F) -> F {
        let mut sum = x.0;
        sum.iter_mut().zip(y.0).for_each(|(a, b)| *a = _mm512_add_epi64(*a, b));
        carry(sum)
    }

    pub fn sub(x: F, y: F) -> F {
        let mut difference = x.0;
        for ((a, b), twice) in difference.iter_mut().zip(y.0).zip(TWICE) {
            *a = _mm512_sub_epi64(_mm512_add_epi64(*a, splat(twice)), b);
        }
        carry(difference)
    }

    pub fn neg(x: F) -> F {
        sub(constant(&[0; 5]), x)
    }

    pub fn twice(x: F) -> F {
        add(x, x)
    }

    /// Ten columns of a product, low halves and high halves apart, as one reduced element.
    fn fold(low: [V; 9], high: [V; 9]) -> F {
        let zero = _mm512_setzero_si512();
        let mut columns = [zero; 10];
        columns[..9].copy_from_slice(&low);
        for (column, part) in columns[1..].iter_mut().zip(high) {
            *column = _mm512_add_epi64(*column, _mm512_slli_epi64::<1>(part));
        }
        let mut r = [zero; 5];
        for (i, limb) in r.iter_mut().enumerate() {
            *limb = _mm512_add_epi64(columns[i], times19(columns[i + 5]));
        }
        carry(r)
    }

    pub fn mul(x: F, y: F) -> F {
        let zero = _mm512_setzero_si512();
        let (mut low, mut high) = ([zero; 9], [zero; 9]);
        for i in 0..5 {
            for j in 0..5 {
                low[i + j] = _mm512_madd52lo_epu64(low[i + j], x.0[i], y.0[j]);
                high[i + j] = _mm512_madd52hi_epu64(high[i + j], x.0[i], y.0[j]);
            }
        }
        fold(low, high)
    }

    pub fn square(x: F) -> F {
        let zero = _mm512_setzero_si512();
        let (mut low, mut high) = ([zero; 9], [zero; 9]);
        for i in 0..5 {
            for j in i + 1..5 {
                low[i + j] = _mm512_madd52lo_epu64(low[i + j], x.0[i], x.0[j]);
                high[i + j] = _mm512_madd52hi_epu64(high[i + j], x.0[i], x.0[j]);
            }
        }
        for k in 1..8 {
            low[k] = _mm512_slli_epi64::<1>(low[k]);
            high[k] = _mm512_slli_epi64::<1>(high[k]);
        }
        for i in 0..5 {
            low[2 * i] = _mm512_madd52lo_epu64(low[2 * i], x.0[i], x.0[i]);
            high[2 * i] = _mm512_madd52hi_epu64(high[2 * i], x.0[i], x.0[i]);
        }
        fold(low, high)
    }

    fn squares(mut x: F, times: usize) -> F {
        for _ in 0..times {
            x = square(x);
        }
        x
    }

    /// x^(2^250 - 1) and x^11, the common front of the two powers below.
    fn front(x: F) -> (F, F) {
        let x2 = square(x);
        let x9 = mul(x, squares(x2, 2));
        let x11 = mul(x2, x9);
        let e5 = mul(x9, square(x11));
        let e10 = mul(squares(e5, 5), e5);
        let e20 = mul(squares(e10, 10), e10);
        let e40 = mul(squares(e20, 20), e20);
        let e50 = mul(squares(e40, 10), e10);
        let e100 = mul(squares(e50, 50), e50);
        let e200 = mul(squares(e100, 100), e100);
        (mul(squares(e200, 50), e50), x11)
    }

    /// 1 / x, and 0 for 0.
    pub fn invert(x: F) -> F {
        let (e250, x11) = front(x);
        mul(squares(e250, 5), x11)
    }

    /// x^((p - 5) / 8).
    pub fn power_58(x: F) -> F {
        mul(squares(front(x).0, 2), x)
    }

    /// Limbs of the one representative below the prime.
    pub fn canonical(x: F) -> F {
        let mask = splat(MASK);
        let mut r = carry(x.0).0;
        // How often the prime fits: once at most, and then x + 19 reaches 2^255.
        let mut over = _mm512_srli_epi64::<51>(_mm512_add_epi64(r[0], splat(19)));
        for limb in &r[1..] {
            over = _mm512_srli_epi64::<51>(_mm512_add_epi64(*limb, over));
        }
        r[0] = _mm512_add_epi64(r[0], times19(over));
        for i in 0..4 {
            r[i + 1] = _mm512_add_epi64(r[i + 1], _mm512_srli_epi64::<51>(r[i]));
            r[i] = _mm512_and_si512(r[i], mask);
        }
        r[4] = _mm512_and_si512(r[4], mask);
        F(r)
    }

    pub fn equal(x: F, y: F) -> Lanes {
        is_zero(sub(x, y))
    }

    pub fn is_zero(x: F) -> Lanes {
        let r = canonical(x).0;
        let any = r[1..].iter().fold(r[0], |all, limb| _mm512_or_si512(all, *limb));
        _mm512_testn_epi64_mask(any, any)
    }

    /// Lanes whose canonical value is odd, which RFC 9496 calls negative.
    pub fn is_negative(x: F) -> Lanes {
        _mm512_test_epi64_mask(canonical(x).0[0], splat(1))
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
