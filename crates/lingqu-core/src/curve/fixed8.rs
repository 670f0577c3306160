//! Secret multiples of one known point, a scalar a lane, added to eight points at a time.
//!
//! A scalar is given by 252 uniform bits v and is r = 2 v + 1 - 2^252: 42 digits to the base 64, each of them odd and
//! -63 to 63, whose sign and size are six bits of v as they are.  The group's order l is 2^252 + c with c below
//! 2^124.7, so r is uniform modulo l but for a distance below 2^-127 (of each class of scalars one v is missed at most,
//! and c of l classes are).
//! A window of the table holds 1, 3 .. 63 times 64^i P, limb by limb over the entries: a lane's entry comes by
//! permutations that read the whole window, so no address and no branch depends on a scalar.
use super::field8::*;
use super::formulas::Constants;
use super::points8::{affine, Affine, Augend, Parts, Points};
use std::arch::x86_64::*;
use std::array::from_fn;

/// Bits of a digit, and the digits of a scalar.
const BITS: usize = 6;
const DIGITS: usize = 252 / BITS;
/// Odd multiples in a window.
const ENTRIES: usize = 1 << (BITS - 1);
/// Eights that a window is read for before the next one: both then stay in the first cache.
const TOGETHER: usize = 8;

/// y + x, y - x and 2 d x y of every entry, limb by limb.
#[repr(align(64))]
struct Window([[[u64; ENTRIES]; 5]; 3]);

/// The windows of one point.
pub struct Table(Vec<Window>);

/// A scalar's 252 bits in every lane, a row a word.
type Rows = [V; 4];

macro_rules! wide {
    ($($item:item)*) => { $(#[target_feature(enable = "avx512f,avx512ifma")] #[inline] $item)* };
}

wide! {
    /// The table of the point in the first lane.
    pub fn table(point: &Points, k: &Constants) -> Table {
        let groups = DIGITS.div_ceil(8);
        let mut base = point.first();
        let mut bases = vec![base; groups];
        for place in 1..8 * groups {
            base = base.times_power_of_two(BITS);
            bases[place / 8].replace(1u8 << (place % 8), &base);
        }
        let mut multiples = Vec::with_capacity(groups * ENTRIES);
        for base in bases {
            base.odd_multiples(ENTRIES, &mut multiples, k);
        }
        let mut windows: Vec<Window> = (0..DIGITS).map(|_| Window([[[0; ENTRIES]; 5]; 3])).collect();
        for (number, entry) in affine(&multiples, k).into_iter().enumerate() {
            let (group, place) = (number / ENTRIES, number % ENTRIES);
            for (coordinate, value) in entry.0.into_iter().enumerate() {
                for (limb, lanes) in rows(value).into_iter().enumerate() {
                    for (window, word) in windows[8 * group..].iter_mut().zip(lanes) {
                        window.0[coordinate][limb][place] = word;
                    }
                }
            }
        }
        Table(windows)
    }

    /// To every point its lane's multiple of the table's point; scalars: 32 bytes each, the top four bits left out.
    pub fn add_multiples(points: &mut [Points], scalars: &[[[u8; 32]; 8]], table: &Table) {
        for (points, scalars) in points.chunks_mut(TOGETHER).zip(scalars.chunks(TOGETHER)) {
            let bits: Vec<Rows> = scalars.iter().map(|lanes| words(lanes)).collect();
            let mut sums: Vec<Augend> = points.iter().map(|p| p.augend()).collect();
            let (last, front) = table.0.split_last().expect("windows");
            for (i, window) in front.iter().enumerate() {
                for (sums, bits) in sums.chunks_mut(2).zip(bits.chunks(2)) {
                    if let ([one, two], [first, second]) = (&mut *sums, bits) {
                        let parts = [next(one, window, digit(first, i)), next(two, window, digit(second, i))];
                        (*one, *two) = (parts[0].augend(), parts[1].augend());
                    } else {
                        sums[0] = next(&sums[0], window, digit(&bits[0], i)).augend();
                    }
                }
            }
            for ((point, sum), bits) in points.iter_mut().zip(&sums).zip(&bits) {
                *point = next(sum, last, digit(bits, DIGITS - 1)).points();
            }
        }
    }

    fn words(lanes: &[[u8; 32]; 8]) -> Rows {
        let rows: [[u64; 8]; 4] = from_fn(|row| {
            from_fn(|lane| u64::from_le_bytes(lanes[lane][8 * row..8 * row + 8].try_into().expect("eight bytes")))
        });
        // SAFETY: every row has 64 bytes.
        rows.map(|row| unsafe { _mm512_loadu_si512(row.as_ptr().cast()) })
    }

    /// The i-th six bits of every lane.
    fn digit(rows: &Rows, i: usize) -> V {
        let (word, shift) = (BITS * i / 64, (BITS * i % 64) as u32);
        let low = _mm512_srlv_epi64(rows[word], _mm512_set1_epi64(i64::from(shift)));
        let high = match rows.get(word + 1) {
            Some(next) => _mm512_sllv_epi64(*next, _mm512_set1_epi64(i64::from(64 - shift))),
            None => _mm512_setzero_si512(),
        };
        _mm512_and_si512(_mm512_or_si512(low, high), _mm512_set1_epi64((1 << BITS) - 1))
    }

    /// The sum with (2 v - 63) 64^i P for every lane's six bits v.
    fn next(sum: &Augend, window: &Window, v: V) -> Parts {
        let negative = _mm512_testn_epi64_mask(v, _mm512_set1_epi64(ENTRIES as i64));
        let place = _mm512_mask_xor_epi64(v, negative, v, _mm512_set1_epi64(ENTRIES as i64 - 1));
        let upper = _mm512_test_epi64_mask(place, _mm512_set1_epi64(16));
        let entry = Affine(window.0.each_ref().map(|coordinate| {
            raw(coordinate.each_ref().map(|limb| {
                // SAFETY: a limb has 32 words, four registers of eight.
                let [a, b, c, d] = from_fn(|part| unsafe { _mm512_loadu_si512(limb.as_ptr().add(8 * part).cast()) });
                let low = _mm512_permutex2var_epi64(a, place, b);
                _mm512_mask_blend_epi64(upper, low, _mm512_permutex2var_epi64(c, place, d))
            }))
        }));
        sum.plus_affine(&entry, negative)
    }
}
