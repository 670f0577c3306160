//! The kernels of `ntt` and `basis` with AVX-512 IFMA: the same steps, eight at a time, with equal results.
//!
//! Every function here needs AVX-512 F, DQ and IFMA, which callers have detected. Loads and stores are unaligned.
use super::basis::Basis;
use super::field::{Factor, Prime, MASK, STEP};
use super::ntt::{Table, BLOCK};
use std::arch::x86_64::*;

type V = __m512i;

pub fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512ifma")
}

/// A prime spread over the lanes.
#[derive(Clone, Copy)]
struct Lanes {
    q: V,
    twice: V,
    /// 2^52 - q, so that adding its low products subtracts those of q.
    minus: V,
    inv: V,
    mask: V,
    zero: V,
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn spread(x: u64) -> V {
    _mm512_set1_epi64(x as i64)
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn lanes(p: &Prime) -> Lanes {
    Lanes {
        q: spread(p.q),
        twice: spread(2 * p.q),
        minus: spread((1 << STEP) - p.q),
        inv: spread(p.inv),
        mask: spread(MASK),
        zero: _mm512_setzero_si512(),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn load(a: &[u64]) -> V {
    let eight: &[u64; 8] = a[..8].first_chunk().expect("eight words");
    // SAFETY: the reference covers 64 readable bytes; the load is unaligned.
    unsafe { _mm512_loadu_si512(eight.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn store(a: &mut [u64], x: V) {
    let eight: &mut [u64; 8] = a[..8].first_chunk_mut().expect("eight words");
    // SAFETY: the reference covers 64 writable bytes; the store is unaligned.
    unsafe { _mm512_storeu_si512(eight.as_mut_ptr().cast(), x) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn once(x: V, q: V) -> V {
    _mm512_min_epu64(x, _mm512_sub_epi64(x, q))
}

/// x * w mod q in [0, 2q).
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn lazy(l: &Lanes, x: V, w: V, ratio: V) -> V {
    let h = _mm512_madd52hi_epu64(l.zero, x, ratio);
    let low = _mm512_madd52lo_epu64(l.zero, x, w);
    _mm512_and_si512(_mm512_madd52lo_epu64(low, h, l.minus), l.mask)
}

/// One of Montgomery's steps on low + 2^52 high.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn step(l: &Lanes, low: V, high: V) -> V {
    let m = _mm512_madd52lo_epu64(l.zero, low, l.inv);
    let h = _mm512_madd52hi_epu64(l.zero, m, l.q);
    _mm512_sub_epi64(_mm512_add_epi64(high, l.q), h)
}

/// `Prime::fold` of low + 2^52 high, both up to 64 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn fold(l: &Lanes, low: V, high: V) -> V {
    let high = _mm512_add_epi64(high, _mm512_srli_epi64::<STEP>(low));
    let x = step(l, _mm512_and_si512(low, l.mask), high);
    once(step(l, _mm512_and_si512(x, l.mask), _mm512_srli_epi64::<STEP>(x)), l.q)
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn down(l: &Lanes, x: V, y: V, w: V, ratio: V) -> (V, V) {
    let (u, v) = (once(x, l.twice), lazy(l, y, w, ratio));
    (_mm512_add_epi64(u, v), _mm512_sub_epi64(_mm512_add_epi64(u, l.twice), v))
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn up(l: &Lanes, x: V, y: V, w: V, ratio: V) -> (V, V) {
    let difference = _mm512_sub_epi64(_mm512_add_epi64(x, l.twice), y);
    (once(_mm512_add_epi64(x, y), l.twice), lazy(l, difference, w, ratio))
}

/// How 16 values of layers with half a block of 4, 2, 1 part into the two sides of butterflies, and return.
struct Shuffles {
    left: V,
    right: V,
    low: V,
    high: V,
    twiddle: V,
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn shuffles(half: i64) -> Shuffles {
    let (mut left, mut right, mut back, mut twiddle) = ([0i64; 8], [0i64; 8], [0i64; 16], [0i64; 8]);
    for lane in 0..8 {
        let (block, within) = (lane / half, lane % half);
        left[lane as usize] = block * 2 * half + within;
        right[lane as usize] = block * 2 * half + half + within;
        twiddle[lane as usize] = block;
    }
    for lane in 0..8 {
        back[left[lane as usize] as usize] = lane;
        back[right[lane as usize] as usize] = lane + 8;
    }
    let vector = |x: &[i64]| _mm512_set_epi64(x[7], x[6], x[5], x[4], x[3], x[2], x[1], x[0]);
    Shuffles {
        left: vector(&left),
        right: vector(&right),
        low: vector(&back[..8]),
        high: vector(&back[8..]),
        twiddle: vector(&twiddle),
    }
}

/// The factors of 16 values: 8 / half of them, each for `half` lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn twiddles(s: &Shuffles, of: &[u64], at: usize, half: usize) -> V {
    let mut words = [0u64; 8];
    words[..8 / half].copy_from_slice(&of[at..at + 8 / half]);
    _mm512_permutexvar_epi64(s.twiddle, load(&words))
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub fn forward(table: &Table, a: &mut [u64]) {
    let l = lanes(&table.p);
    forward_blocks(table, &l, a, 1, 0);
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn forward_blocks(table: &Table, l: &Lanes, a: &mut [u64], mut blocks: usize, mut at: usize) {
    let mut half = a.len() / 2;
    while half >= 8 {
        if 2 * half == BLOCK && a.len() > BLOCK {
            for (i, block) in a.chunks_exact_mut(BLOCK).enumerate() {
                forward_blocks(table, l, block, blocks, at + i);
            }
            return;
        }
        if half >= 16 && (2 * half > 2 * BLOCK || a.len() <= BLOCK) {
            two_down(table, l, a, (blocks, at), half);
            (blocks, at, half) = (4 * blocks, 4 * at, half / 4);
            continue;
        }
        for (i, block) in a.chunks_exact_mut(2 * half).enumerate() {
            let (w, ratio) = (spread(table.roots[blocks + at + i]), spread(table.ratios[blocks + at + i]));
            let (left, right) = block.split_at_mut(half);
            for (x, y) in left.chunks_exact_mut(8).zip(right.chunks_exact_mut(8)) {
                let (u, v) = down(l, load(x), load(y), w, ratio);
                store(x, u);
                store(y, v);
            }
        }
        (blocks, at, half) = (2 * blocks, 2 * at, half / 2);
    }
    last_layers_down(table, l, a, blocks, at);
}

/// Two layers in one pass over memory.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn two_down(table: &Table, l: &Lanes, a: &mut [u64], (blocks, at): (usize, usize), half: usize) {
    for (i, block) in a.chunks_exact_mut(2 * half).enumerate() {
        let (first, second) = (blocks + at + i, 2 * (blocks + at + i));
        let (w, r) = (spread(table.roots[first]), spread(table.ratios[first]));
        let (w0, r0) = (spread(table.roots[second]), spread(table.ratios[second]));
        let (w1, r1) = (spread(table.roots[second + 1]), spread(table.ratios[second + 1]));
        let (left, right) = block.split_at_mut(half);
        let ((a0, a1), (a2, a3)) = (left.split_at_mut(half / 2), right.split_at_mut(half / 2));
        let sides = a0.chunks_exact_mut(8).zip(a1.chunks_exact_mut(8));
        for ((x0, x1), (x2, x3)) in sides.zip(a2.chunks_exact_mut(8).zip(a3.chunks_exact_mut(8))) {
            let (y0, y2) = down(l, load(x0), load(x2), w, r);
            let (y1, y3) = down(l, load(x1), load(x3), w, r);
            let ((z0, z1), (z2, z3)) = (down(l, y0, y1, w0, r0), down(l, y2, y3, w1, r1));
            store(x0, z0);
            store(x1, z1);
            store(x2, z2);
            store(x3, z3);
        }
    }
}

/// The layers with half a block of 4, 2, 1 on 16 values at a time, and the final reduction.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn last_layers_down(table: &Table, l: &Lanes, a: &mut [u64], blocks: usize, at: usize) {
    let plans = [(4, shuffles(4)), (2, shuffles(2)), (1, shuffles(1))];
    for (i, values) in a.chunks_exact_mut(16).enumerate() {
        let (mut low, mut high) = (load(&values[..8]), load(&values[8..]));
        let mut first = blocks + at + 2 * i; // two blocks of 8 in 16 values
        for (half, s) in &plans {
            let (w, r) = (twiddles(s, &table.roots, first, *half), twiddles(s, &table.ratios, first, *half));
            let x = _mm512_permutex2var_epi64(low, s.left, high);
            let y = _mm512_permutex2var_epi64(low, s.right, high);
            let (u, v) = down(l, x, y, w, r);
            low = _mm512_permutex2var_epi64(u, s.low, v);
            high = _mm512_permutex2var_epi64(u, s.high, v);
            first *= 2;
        }
        store(&mut values[..8], once(once(low, l.twice), l.q));
        store(&mut values[8..], once(once(high, l.twice), l.q));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub fn inverse(table: &Table, a: &mut [u64], scale: Factor) {
    let l = lanes(&table.p);
    let n = a.len();
    if n > BLOCK {
        for (i, block) in a.chunks_exact_mut(BLOCK).enumerate() {
            inverse_blocks(table, &l, block, n / BLOCK, i);
        }
    } else {
        inverse_blocks(table, &l, a, 1, 0);
    }
    let mut half = BLOCK.min(n);
    while half < n {
        layer_up(table, &l, a, n / (2 * half), half);
        half *= 2;
    }
    let (w, ratio) = (spread(scale.w), spread(scale.ratio));
    for x in a.chunks_exact_mut(8) {
        let value = once(lazy(&l, load(x), w, ratio), l.q);
        store(x, value);
    }
}

/// All layers within block `at` of `blocks`.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn inverse_blocks(table: &Table, l: &Lanes, a: &mut [u64], blocks: usize, at: usize) {
    let plans = [(1, shuffles(1)), (2, shuffles(2)), (4, shuffles(4))];
    let n = a.len();
    for (i, values) in a.chunks_exact_mut(16).enumerate() {
        let (mut low, mut high) = (load(&values[..8]), load(&values[8..]));
        for (half, s) in &plans {
            let first = (blocks + at) * (n / (2 * half)) + i * (8 / half);
            let (w, r) = (twiddles(s, &table.back, first, *half), twiddles(s, &table.back_ratios, first, *half));
            let x = _mm512_permutex2var_epi64(low, s.left, high);
            let y = _mm512_permutex2var_epi64(low, s.right, high);
            let (u, v) = up(l, x, y, w, r);
            low = _mm512_permutex2var_epi64(u, s.low, v);
            high = _mm512_permutex2var_epi64(u, s.high, v);
        }
        store(&mut values[..8], low);
        store(&mut values[8..], high);
    }
    let mut half = 8;
    while half < n {
        layer_up(table, l, a, (blocks + at) * (n / (2 * half)), half);
        half *= 2;
    }
}

/// One layer whose first block has the factor at `first`.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn layer_up(table: &Table, l: &Lanes, a: &mut [u64], first: usize, half: usize) {
    for (i, block) in a.chunks_exact_mut(2 * half).enumerate() {
        let (w, ratio) = (spread(table.back[first + i]), spread(table.back_ratios[first + i]));
        let (left, right) = block.split_at_mut(half);
        for (x, y) in left.chunks_exact_mut(8).zip(right.chunks_exact_mut(8)) {
            let (u, v) = up(l, load(x), load(y), w, ratio);
            store(x, u);
            store(y, v);
        }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub fn add_product(p: &Prime, acc: &mut [u64], x: &[u64], y: &[u64]) {
    let l = lanes(p);
    for ((a, x), y) in acc.chunks_exact_mut(8).zip(x.chunks_exact(8)).zip(y.chunks_exact(8)) {
        let (x, y) = (load(x), load(y));
        let (low, high) = (_mm512_madd52lo_epu64(l.zero, x, y), _mm512_madd52hi_epu64(l.zero, x, y));
        let product = once(step(&l, low, high), l.q);
        let sum = once(_mm512_add_epi64(load(a), product), l.q);
        store(a, sum);
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub fn three_products(p: &Prime, out: &mut [u64], terms: [(&[u64], &[u64]); 3]) {
    let l = lanes(p);
    for (i, out) in out.chunks_exact_mut(8).enumerate() {
        let (mut low, mut high) = (l.zero, l.zero);
        for (x, y) in terms {
            let (x, y) = (load(&x[8 * i..]), load(&y[8 * i..]));
            low = _mm512_madd52lo_epu64(low, x, y);
            high = _mm512_madd52hi_epu64(high, x, y);
        }
        store(out, fold(&l, low, high));
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub fn gemm(p: &Prime, out: &mut [u64], rows: &[u64], scalars: &[u64], width: usize) {
    match width {
        8 => gemm_wide::<1>(p, out, rows, scalars),
        16 => gemm_wide::<2>(p, out, rows, scalars),
        _ => panic!("a row of 8 or 16 values"),
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn gemm_wide<const W: usize>(p: &Prime, out: &mut [u64], rows: &[u64], scalars: &[u64]) {
    let l = lanes(p);
    let columns = out.len() / (8 * W);
    let (mut at, mut rest) = (0, out);
    while columns - at >= 6 {
        let (now, later) = rest.split_at_mut(6 * 8 * W);
        gemm_block::<W, 6>(&l, now, rows, scalars, (columns, at));
        (at, rest) = (at + 6, later);
    }
    for now in rest.chunks_exact_mut(8 * W) {
        gemm_block::<W, 1>(&l, now, rows, scalars, (columns, at));
        at += 1;
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
fn gemm_block<const W: usize, const J: usize>(
    l: &Lanes,
    out: &mut [u64],
    rows: &[u64],
    scalars: &[u64],
    (columns, at): (usize, usize),
) {
    let mut low = [[l.zero; W]; J];
    let mut high = [[l.zero; W]; J];
    for (row, scalars) in rows.chunks_exact(8 * W).zip(scalars.chunks_exact(columns)) {
        let mut x = [l.zero; W];
        for (w, x) in x.iter_mut().enumerate() {
            *x = load(&row[8 * w..]);
        }
        for (j, y) in scalars[at..at + J].iter().enumerate() {
            let y = spread(*y);
            for w in 0..W {
                low[j][w] = _mm512_madd52lo_epu64(low[j][w], x[w], y);
                high[j][w] = _mm512_madd52hi_epu64(high[j][w], x[w], y);
            }
        }
    }
    for (j, out) in out.chunks_exact_mut(8 * W).enumerate() {
        for w in 0..W {
            store(&mut out[8 * w..], fold(l, low[j][w], high[j][w]));
        }
    }
}

/// `Basis::convert` over whole rows.
#[target_feature(enable = "avx512f,avx512dq,avx512ifma")]
pub fn convert(basis: &Basis, from: &[&[u64]], to: &mut [&mut [u64]]) {
    let sources: Vec<Lanes> = basis.from.iter().map(|p| lanes(p)).collect();
    let targets: Vec<Lanes> = basis.to.iter().map(|p| lanes(p)).collect();
    let half = _mm512_set1_pd(0.5);
    for at in (0..from[0].len()).step_by(8) {
        let mut digits = [_mm512_setzero_si512(); 8];
        let mut quotient = _mm512_setzero_pd();
        for (i, l) in sources.iter().enumerate() {
            let f = basis.digits[i];
            digits[i] = once(lazy(l, load(&from[i][at..]), spread(f.w), spread(f.ratio)), l.q);
            let part = _mm512_mul_pd(_mm512_cvtepu64_pd(digits[i]), _mm512_set1_pd(basis.reciprocals[i]));
            quotient = _mm512_add_pd(quotient, part);
        }
        let k = _mm512_cvttpd_epu64(_mm512_add_pd(quotient, half));
        for (j, l) in targets.iter().enumerate() {
            let mut sum = _mm512_permutexvar_epi64(k, load(&basis.minus[j]));
            for (i, digit) in digits[..sources.len()].iter().enumerate() {
                let f = basis.weights[j][i];
                sum = _mm512_add_epi64(sum, lazy(l, *digit, spread(f.w), spread(f.ratio)));
            }
            for multiple in [8, 4, 2, 1] {
                sum = once(sum, spread(multiple * basis.to[j].q));
            }
            store(&mut to[j][at..], sum);
        }
    }
}
