//! Sums of columns for eight rows at a time: products of 8 x 8 matrices over GF(2), which GFNI has an instruction for.
//!
//! Eight columns of 128 bits are kept as 128 bytes, one a bit position, in which bit i is that of column i. Eight rows
//! have a matrix a group of eight columns; its product with those bytes is the rows' share of the sums, in the same
//! form. What is done depends on the number of rows alone, but for a batch that does not fit its window.
use super::bands::{Bits, Entry, BAND};
use std::arch::x86_64::*;

const EIGHT: usize = 8;
/// Groups that eight rows reach over whose starts lie within 64 columns.
const REACH: usize = (BAND + 64) / EIGHT;
/// Groups at a time in the form above.
const ROOM: usize = 256;
/// The matrix of ones on the diagonal.
const DIAGONAL: u64 = 0x0102_0408_1020_4080;
/// Transposes when it is multiplied with: byte m is bit m.
const UNITS: i64 = 0x8040_2010_0804_0201u64 as i64;

/// Eight columns as bit positions 0..64 and 64..128.
type Group = [__m512i; 2];

/// Whether the processor has what this module is compiled for.
pub fn available() -> bool {
    is_x86_feature_detected!("gfni")
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi")
        && is_x86_feature_detected!("avx512vbmi2")
}

/// An order of bytes, told by where each comes from.
#[target_feature(enable = "avx512f")]
fn order(from: impl Fn(usize) -> usize) -> __m512i {
    let bytes: [u8; 64] = std::array::from_fn(|at| from(at) as u8);
    // SAFETY: an unaligned load of 64 bytes.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// The orders of bytes that the changes of form need.
struct Orders {
    /// Byte j of columns 7 to 0 together, of the lower eight bytes and of the upper eight.
    apart: Group,
    /// Back: columns 0 to 3 and 4 to 7.
    together: Group,
    /// Every eight bytes turned round.
    reversed: __m512i,
    /// Byte j of rows 7 to 0 together.
    rows: __m512i,
}

impl Orders {
    #[target_feature(enable = "avx512f")]
    fn new() -> Self {
        let half = |h: usize| order(|at| (7 - at % 8) * 16 + 8 * h + at / 8);
        let four = |h: usize| order(|at| (at % 16 / 8) * 64 + (at % 8) * 8 + 4 * h + at / 16);
        Orders {
            apart: [half(0), half(1)],
            together: [four(0), four(1)],
            reversed: order(|at| at / 8 * 8 + 7 - at % 8),
            rows: order(|at| (7 - at % 8) * 8 + at / 8),
        }
    }

    /// Eight columns in the form of this module.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
    fn split(&self, columns: &[u128; EIGHT]) -> Group {
        let units = _mm512_set1_epi64(UNITS);
        // SAFETY: two unaligned loads of four columns of 16 bytes each.
        let [one, two] = [0, 4].map(|at| unsafe { _mm512_loadu_si512(columns.as_ptr().add(at).cast()) });
        self.apart.map(|order| {
            let bytes = _mm512_permutex2var_epi8(one, order, two);
            _mm512_gf2p8affine_epi64_epi8::<0>(units, bytes)
        })
    }

    /// The inverse of `split`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
    fn join(&self, group: Group, columns: &mut [u128; EIGHT]) {
        let units = _mm512_set1_epi64(UNITS);
        let [one, two] = group.map(|half| {
            let turned = _mm512_permutexvar_epi8(self.reversed, half);
            _mm512_gf2p8affine_epi64_epi8::<0>(units, turned)
        });
        for (at, order) in [0, 4].into_iter().zip(self.together) {
            let four = _mm512_permutex2var_epi8(one, order, two);
            // SAFETY: an unaligned store of four columns of 16 bytes.
            unsafe { _mm512_storeu_si512(columns.as_mut_ptr().add(at).cast(), four) };
        }
    }

    /// The matrices of eight rows for the groups from the first on, each row moved by its own shift below 64.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2")]
    fn matrices(&self, rows: &[Bits; EIGHT], shifts: __m512i) -> [u64; REACH] {
        // SAFETY: four unaligned loads of two rows of 32 bytes each.
        let pairs: [__m512i; 4] =
            std::array::from_fn(|i| unsafe { _mm512_loadu_si512(rows.as_ptr().add(2 * i).cast()) });
        let lower = _mm512_set_epi64(13, 9, 5, 1, 12, 8, 4, 0);
        let upper = _mm512_set_epi64(15, 11, 7, 3, 14, 10, 6, 2);
        let mut words = [_mm512_setzero_si512(); 6];
        for (i, order) in [lower, upper].into_iter().enumerate() {
            let front = _mm512_permutex2var_epi64(pairs[0], order, pairs[1]);
            let back = _mm512_permutex2var_epi64(pairs[2], order, pairs[3]);
            words[1 + 2 * i] = _mm512_shuffle_i64x2::<0b01_00_01_00>(front, back);
            words[2 + 2 * i] = _mm512_shuffle_i64x2::<0b11_10_11_10>(front, back);
        }
        let mut out = [0; REACH];
        for (i, eight) in out.chunks_exact_mut(EIGHT).enumerate() {
            let moved = _mm512_shldv_epi64(words[i + 1], words[i], shifts);
            let matrices = _mm512_permutexvar_epi8(self.rows, moved);
            // SAFETY: an unaligned store of eight matrices of 8 bytes.
            unsafe { _mm512_storeu_si512(eight.as_mut_ptr().cast(), matrices) };
        }
        out
    }
}

/// Add the products of some matrices, an even number, with as many groups.
#[inline]
#[target_feature(enable = "avx512f,gfni")]
fn add_products(sums: Group, matrices: &[u64], groups: &[Group]) -> Group {
    let [mut low, mut high] = sums;
    for (pair, groups) in matrices.chunks_exact(2).zip(groups.chunks_exact(2)) {
        let (one, two) = (_mm512_set1_epi64(pair[0] as i64), _mm512_set1_epi64(pair[1] as i64));
        let product = |x, matrix| _mm512_gf2p8affine_epi64_epi8::<0>(x, matrix);
        low = _mm512_ternarylogic_epi64::<0x96>(low, product(groups[0][0], one), product(groups[1][0], two));
        high = _mm512_ternarylogic_epi64::<0x96>(high, product(groups[0][1], one), product(groups[1][1], two));
    }
    [low, high]
}

/// Some columns of a store, eight from a group's first on; zeros behind its end.
fn eight<T: Copy>(store: &[T], group: usize, zero: T) -> [T; EIGHT] {
    let rest = store.get(EIGHT * group..).unwrap_or(&[]);
    rest.first_chunk().copied().unwrap_or_else(|| std::array::from_fn(|i| rest.get(i).copied().unwrap_or(zero)))
}

/// Back substitution; see `okvs::solve`.
///
/// # Safety
/// `available` must have been true.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,gfni")]
pub unsafe fn solve(pivots: &[Bits], store: &mut [u128]) {
    const AHEAD: usize = BAND / EIGHT;
    let (orders, zero) = (Orders::new(), _mm512_setzero_si512());
    let mut solved = vec![[zero; 2]; ROOM + AHEAD];
    let mut at = ROOM;
    let steps = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    for group in (0..store.len().div_ceil(EIGHT)).rev() {
        if at == 0 {
            solved.copy_within(..AHEAD, ROOM);
            at = ROOM;
        }
        let (mut values, rows) = (eight(store, group, 0), eight(pivots, group, [0; BAND / 64]));
        let matrices = orders.matrices(&rows, steps);
        let known = add_products(orders.split(&values), &matrices[1..=AHEAD], &solved[at..at + AHEAD]);
        // Within the group the matrix is one plus N, and N^8 = 0: seven steps of x = known + N x solve it.
        let inner = _mm512_set1_epi64((matrices[0] & !DIAGONAL) as i64);
        let mut found = known;
        for _ in 1..EIGHT {
            for (x, known) in found.iter_mut().zip(known) {
                *x = _mm512_xor_si512(known, _mm512_gf2p8affine_epi64_epi8::<0>(*x, inner));
            }
        }
        at -= 1;
        solved[at] = found;
        orders.join(found, &mut values);
        let rest = &mut store[EIGHT * group..];
        let count = rest.len().min(EIGHT);
        rest[..count].copy_from_slice(&values[..count]);
    }
}

/// A store, of which a window is kept in the form of this module.
pub struct Window<'a> {
    store: &'a [u128],
    orders: Orders,
    groups: Vec<Group>,
    first: usize,
}

impl<'a> Window<'a> {
    /// # Safety
    /// `available` must have been true.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn new(store: &'a [u128]) -> Self {
        let zero = _mm512_setzero_si512();
        Window { store, orders: Orders::new(), groups: vec![[zero; 2]; ROOM + REACH], first: usize::MAX }
    }

    /// The sum of the columns that each row of a chunk names; rows come by their starts.
    ///
    /// most: rows of a batch, 1 to 8: so many that they nearly always start within 57 columns.  bits and out: seven
    /// more than entries.
    ///
    /// # Safety
    /// `available` must have been true.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,gfni")]
    pub unsafe fn combine(&mut self, entries: &[Entry], most: usize, bits: &[Bits], out: &mut [u128]) {
        let mut at = 0;
        while at < entries.len() {
            let batch = &entries[at..entries.len().min(at + most)];
            let group = batch[0].start() / EIGHT;
            let shifts: [u64; EIGHT] =
                std::array::from_fn(|i| batch.get(i).map_or(u64::MAX, |entry| (entry.start() - EIGHT * group) as u64));
            let fit = shifts.iter().filter(|shift| **shift < 64).count();
            self.reach(group);
            // SAFETY: an unaligned load of eight shifts.
            let shifts = unsafe { _mm512_loadu_si512(shifts.as_ptr().cast()) };
            let (Some(rows), Some(sums)) = (bits[at..].first_chunk(), out[at..].first_chunk_mut()) else { return };
            let matrices = self.orders.matrices(rows, shifts);
            let groups = &self.groups[group - self.first..][..REACH];
            self.orders.join(add_products([_mm512_setzero_si512(); 2], &matrices, groups), sums);
            at += fit;
        }
    }

    /// Bring a group and those that its rows reach over into the window.
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,gfni")]
    fn reach(&mut self, group: usize) {
        if group < self.first || group > self.first + ROOM {
            self.first = group;
            for (i, slot) in self.groups.iter_mut().enumerate() {
                *slot = self.orders.split(&eight(self.store, group + i, 0));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_split_and_join() {
        if !available() {
            return;
        }
        let columns: [u128; 8] =
            std::array::from_fn(|i| (i as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        // SAFETY: the processor has what the functions are compiled for.
        unsafe {
            let orders = Orders::new();
            let group = orders.split(&columns);
            let bytes: [u8; 128] = std::mem::transmute(group);
            for (place, byte) in bytes.iter().enumerate() {
                assert!((0..8).all(|i| u128::from(byte >> i & 1) == columns[i] >> place & 1));
            }
            let mut back = [0; 8];
            orders.join(group, &mut back);
            assert_eq!(back, columns);
        }
    }
}
