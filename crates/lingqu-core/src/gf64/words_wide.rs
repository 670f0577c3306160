//! The kernels on blocks of words with carry-less products and products of 8 by 8 bit matrices (GFNI on AVX-512).
use super::wide::{add_product, nothing, reduced, Wide};
use super::words::{Coefficients, Sum, BLOCK, EIGHT, LANES, ROWS};
use std::arch::x86_64::*;

type V = __m512i;
/// Elements of a block's columns: number 8 lane + g has the bits 8 g .. 8 g + 7 of the column at that lane.
type Folded = [V; 64];

pub fn available() -> bool {
    super::wide::available() && is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("gfni")
}

macro_rules! wide {
    ($($item:item)*) => {
        $(#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vbmi,gfni,vpclmulqdq")] #[inline] $item)*
    };
}

wide! {
    fn load(words: &[u64; LANES]) -> V {
        // SAFETY: the load is of the array's 64 bytes, and needs no alignment.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    fn store(words: &mut [u64; LANES], v: V) {
        // SAFETY: the store is to the array's 64 bytes, and needs no alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), v) };
    }

    fn bytes(of: [u8; 64]) -> V {
        // SAFETY: the load is of the array's 64 bytes, and needs no alignment.
        unsafe { _mm512_loadu_si512(of.as_ptr().cast()) }
    }

    /// sum ^ x y, for the products of even and of odd lanes alike.
    fn plus_product(sum: V, x: V, y: V) -> V {
        let (even, odd) = (_mm512_clmulepi64_epi128(x, y, 0x00), _mm512_clmulepi64_epi128(x, y, 0x11));
        _mm512_ternarylogic_epi64(sum, even, odd, 0x96)
    }

    /// As the portable one: sums[ROWS a + b] gets the words of row a of u with those of row b of v, weighed by t.
    pub fn cross_words(u: &[u64], v: &[u64], t: &[u64], sums: &mut [Sum]) {
        const TILE: usize = 4;
        let (u, v, t) = (u.as_chunks::<BLOCK>().0, v.as_chunks::<BLOCK>().0, t.as_chunks::<LANES>().0);
        for a in (0..ROWS).step_by(TILE) {
            for b in (0..ROWS).step_by(TILE) {
                let mut found = [[_mm512_setzero_si512(); TILE]; TILE];
                for ((u, v), t) in u.iter().zip(v).zip(t) {
                    let (u, v, weight) = (u.as_chunks::<LANES>().0, v.as_chunks::<LANES>().0, load(t));
                    let left: [V; TILE] = std::array::from_fn(|i| load(&u[a + i]));
                    for j in 0..TILE {
                        let right = load(&v[b + j]);
                        for i in 0..TILE {
                            found[i][j] = plus_product(found[i][j], _mm512_and_si512(left[i], right), weight);
                        }
                    }
                }
                for (i, row) in found.into_iter().enumerate() {
                    for (j, sum) in row.into_iter().enumerate() {
                        let to = &mut sums[(a + i) * ROWS + b + j];
                        let held = load(to);
                        store(to, _mm512_xor_si512(held, sum));
                    }
                }
            }
        }
    }

    /// Lane l of register r becomes lane r of register l.
    fn turned(x: [V; 8]) -> [V; 8] {
        let mut pairs = x;
        for i in 0..4 {
            pairs[2 * i] = _mm512_unpacklo_epi64(x[2 * i], x[2 * i + 1]);
            pairs[2 * i + 1] = _mm512_unpackhi_epi64(x[2 * i], x[2 * i + 1]);
        }
        let mut out = x;
        for odd in 0..2 {
            let (p, q, r, s) = (pairs[odd], pairs[2 + odd], pairs[4 + odd], pairs[6 + odd]);
            let (low, high) = (_mm512_shuffle_i64x2(p, q, 0x88), _mm512_shuffle_i64x2(p, q, 0xdd));
            let (low2, high2) = (_mm512_shuffle_i64x2(r, s, 0x88), _mm512_shuffle_i64x2(r, s, 0xdd));
            out[odd] = _mm512_shuffle_i64x2(low, low2, 0x88);
            out[4 + odd] = _mm512_shuffle_i64x2(low, low2, 0xdd);
            out[2 + odd] = _mm512_shuffle_i64x2(high, high2, 0x88);
            out[6 + odd] = _mm512_shuffle_i64x2(high, high2, 0xdd);
        }
        out
    }

    /// The columns' bits with the rows folded.
    fn fold_block(block: &[u64; BLOCK], c: &Coefficients, out: &mut Folded) {
        let rows = block.as_chunks::<LANES>().0;
        // byte 7 - r of lane g: byte g of row r; the product with the identity then turns 8 by 8 bits
        let spread = bytes(std::array::from_fn(|i| (8 * (7 - i % 8) + i / 8) as u8));
        let gather = bytes(std::array::from_fn(|i| (8 * (i % 8) + i / 8) as u8));
        let identity = _mm512_set1_epi64(0x8040_2010_0804_0201_u64 as i64);
        let mut bits = [[_mm512_setzero_si512(); 8]; ROWS / 8];
        for (group, bits) in bits.iter_mut().enumerate() {
            let columns = turned(std::array::from_fn(|r| load(&rows[8 * group + r])));
            for (to, column) in bits.iter_mut().zip(columns) {
                *to = _mm512_gf2p8affine_epi64_epi8(identity, _mm512_permutexvar_epi8(spread, column), 0);
            }
        }
        for j in 0..LANES {
            let parts = turned(std::array::from_fn(|part| {
                let of = |group: usize| {
                    let matrix = _mm512_set1_epi64(c.matrices[group][part] as i64);
                    _mm512_gf2p8affine_epi64_epi8(bits[group][j], matrix, 0)
                };
                _mm512_xor_si512(_mm512_ternarylogic_epi64(of(0), of(1), of(2), 0x96), of(3))
            }));
            for (g, part) in parts.into_iter().enumerate() {
                out[8 * j + g] = _mm512_permutexvar_epi8(gather, part);
            }
        }
    }

    fn times(x: V, y: V) -> V {
        let mut sum = nothing();
        add_product(&mut sum, x, y);
        reduced(sum)
    }

    /// t X^l at lane l.
    fn shifted(t: u64) -> V {
        let by = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
        let word = _mm512_set1_epi64(t as i64);
        let over = _mm512_srlv_epi64(word, _mm512_sub_epi64(_mm512_set1_epi64(64), by));
        let low = _mm512_ternarylogic_epi64(_mm512_sllv_epi64(word, by), over, _mm512_slli_epi64(over, 1), 0x96);
        _mm512_ternarylogic_epi64(low, _mm512_slli_epi64(over, 3), _mm512_slli_epi64(over, 4), 0x96)
    }

    /// As the portable one: sums[EIGHT g + h] gets the folded bits of row g of u with those of row h of v.
    pub fn cross_folded(u: (&[u64], &Coefficients), v: (&[u64], &Coefficients), t: &[u64], sums: &mut [Sum]) {
        let zero = _mm512_setzero_si512();
        let (mut left, mut right) = ([zero; 64], [zero; 64]);
        let blocks = u.0.as_chunks::<BLOCK>().0.iter().zip(v.0.as_chunks::<BLOCK>().0);
        for ((of_u, of_v), t) in blocks.zip(t.as_chunks::<LANES>().0) {
            fold_block(of_u, u.1, &mut left);
            for (part, t) in left.as_chunks_mut::<8>().0.iter_mut().zip(t) {
                let weight = shifted(*t);
                part.iter_mut().for_each(|x| *x = times(*x, weight));
            }
            fold_block(of_v, v.1, &mut right);
            for g in (0..EIGHT).step_by(4) {
                for h in (0..EIGHT).step_by(4) {
                    let mut found = [[zero; 4]; 4];
                    for (u, v) in left.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0) {
                        for (j, right) in v[h..h + 4].iter().enumerate() {
                            for (i, left) in u[g..g + 4].iter().enumerate() {
                                found[i][j] = plus_product(found[i][j], *left, *right);
                            }
                        }
                    }
                    for (i, row) in found.into_iter().enumerate() {
                        for (j, sum) in row.into_iter().enumerate() {
                            let to = &mut sums[(g + i) * EIGHT + h + j];
                            let held = load(to);
                            store(to, _mm512_xor_si512(held, sum));
                        }
                    }
                }
            }
        }
    }

    /// As the portable one: columns folded to one element, or to one for every bit number modulo eight.
    pub fn fold_words(
        words: &[u64],
        c: &Coefficients,
        weights: &[u64; 64],
        left: usize,
        out: &mut [u64],
        at: (usize, usize),
    ) {
        let weights = weights.as_chunks::<LANES>().0;
        let mut folded = [_mm512_setzero_si512(); 64];
        for (k, block) in words.as_chunks::<BLOCK>().0.iter().enumerate() {
            fold_block(block, c, &mut folded);
            let mut found = [[0; LANES]; LANES];
            for (to, column) in found.iter_mut().zip(folded.as_chunks::<8>().0) {
                let mut sum: Wide = nothing();
                for (x, weight) in column.iter().zip(weights) {
                    add_product(&mut sum, *x, load(weight));
                }
                store(to, reduced(sum));
            }
            let first = at.0 + k * LANES;
            for (j, lanes) in found.into_iter().enumerate() {
                if left == 1 {
                    out[first + j] = lanes.into_iter().fold(0, |sum, x| sum ^ x);
                    continue;
                }
                for (l, x) in lanes.into_iter().enumerate() {
                    out[l * at.1 + first + j] = x;
                }
            }
        }
    }
}
